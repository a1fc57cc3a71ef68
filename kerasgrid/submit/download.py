"""A competition's files, downloaded by Kaggle's client and unpacked with care: no path leaves the folder."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kerasgrid.data.archives import MOST_RATIO, SMALL_BYTES
from kerasgrid.errors import ArchiveError, DataError, KerasgridError, LockedError
from kerasgrid.io import (
    ZIP_DAMAGE,
    insist,
    is_link,
    reading_errors,
    storage_errors,
    sync_folder,
    windows_takes,
)
from kerasgrid.locks import FolderLock
from kerasgrid.submit.client import Client
from kerasgrid.submit.columns import first_few
from kerasgrid.submit.refusals import Credentials, find_credentials
from kerasgrid.submit.sending import competition_name
from kerasgrid.wording import count, shown_path

_DRIVE = re.compile(r"[A-Za-z]:")
"""Unpacked to packed bytes; beyond it an archive is a trap, unless it is small. Deflate ends at 1032."""
_MOST_FILES = 1_000_000
_SPARE_BYTES = 256 * 1024**2
"""Left free on the disk."""
_PIECE = 1024**2
_TRAIN = re.compile(r"train(ing)?([_-].*)?\.(csv|npz)", re.IGNORECASE)
_LEAST_FREE = 64 * 1024**2
_TELL_S = 10.0
_LOCK = ".lock"


@dataclass(frozen=True)
class Unpacked:
    """What came of an archive: files that were `written`, and those that were `there` and are the same."""

    written: tuple[Path, ...]
    there: tuple[Path, ...]


def unpack(archive: Path, target: Path, staging: Path, most_bytes: int) -> Unpacked:
    """Unpacks a .zip into a folder: all of it is looked at first, and all or nothing is put into place.

    Args:
        staging: A folder on the same disk that is made for files that are not whole yet.
        most_bytes: How large all files may be together.

    Raises:
        ArchiveError: It is no archive or damaged; a name leads out of the folder, or is a link; it unpacks
            to more than data does.
        DataError: It is too large; a file of another content is there already, or a link in the way.
        StorageError: The disk is full or cannot be written.
    """
    where = shown_path(archive)
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [one for one in packed.infolist() if not _is_folder(one)]
            _check(packed.infolist(), archive, target, most_bytes)
            new: list[zipfile.ZipInfo] = []
            there: list[zipfile.ZipInfo] = []
            for one in members:
                (there if _is_same(target / one.filename, one) else new).append(one)
            links = sorted({name for one in members for name in _links(target, one.filename)})
            if links:
                told = (
                    f"{shown_path(target / name)} is a link, through which nothing is written."
                    for name in links
                )
                raise DataError(
                    "\n".join(first_few(told, len(links), "links in the way"))
                    + "\nNothing was unpacked. Move them away, or choose another folder with -o."
                )
            taken = sorted({name for one in new for name in _taken(target, one.filename)})
            if taken:
                told = (
                    f"{shown_path(target / name)} is there already, and is another than the downloaded one."
                    for name in taken
                )
                raise DataError(
                    "\n".join(first_few(told, len(taken), "files that are there already"))
                    + "\nNothing was overwritten. Move them away, or choose another folder with -o."
                )
            with storage_errors(target):
                try:
                    _write(packed, new, target, staging)
                finally:
                    shutil.rmtree(staging, ignore_errors=True)
    except ZIP_DAMAGE as error:
        raise ArchiveError(f"{where}: no whole .zip archive ({error}). Download it again.") from error
    return Unpacked(
        tuple(target / one.filename for one in new), tuple(target / one.filename for one in there)
    )


def _check(infos: list[zipfile.ZipInfo], archive: Path, target: Path, most_bytes: int) -> None:
    where = shown_path(archive)
    if len(infos) > _MOST_FILES:
        raise ArchiveError(f"{where}: {len(infos):,} files, and {_MOST_FILES:,} are the most.")
    wrong = list(_wrong_names(infos))
    if wrong:
        told = (f"{where}, {name!r}: {fault}." for name, fault in wrong)
        raise ArchiveError(
            "\n".join(first_few(told, len(wrong), "names"))
            + "\nNothing was unpacked: competitions have no such files, so do not trust this archive."
        )
    n_bytes = sum(one.file_size for one in infos)
    size = archive.stat().st_size
    if n_bytes > most_bytes:
        raise DataError(
            f"{where}: {gigabytes(n_bytes)} unpacked, and {gigabytes(most_bytes)} are allowed. Nothing was "
            "unpacked; allow more with --max-gb."
        )
    if n_bytes > SMALL_BYTES and n_bytes > MOST_RATIO * size:
        raise ArchiveError(
            f"{where}: {gigabytes(n_bytes)} out of {gigabytes(size)}, more than {MOST_RATIO} times as much: "
            "data does not shrink so far. Nothing was unpacked; if you trust it, fetch it with Kaggle's own "
            "client and unpack it by hand."
        )
    free = shutil.disk_usage(target).free
    if n_bytes + _SPARE_BYTES > free:
        raise DataError(
            f"{where}: {gigabytes(n_bytes)} unpacked, and the disk of {shown_path(target)} has "
            f"{gigabytes(free)} free. Nothing was unpacked: free some space, or choose another folder "
            "with -o."
        )


def _wrong_names(infos: list[zipfile.ZipInfo]) -> Iterator[tuple[str, str]]:
    """Yields names that must not be written, and why."""
    seen: set[str] = set()
    folders: set[str] = set()
    for one in infos:
        name = one.orig_filename
        kind = stat.S_IFMT(one.external_attr >> 16)
        parts = name.rstrip("/").split("/")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            yield name, "a link or device"
        elif name.startswith("/") or _DRIVE.match(name):
            yield name, "an absolute path"
        elif "\\" in name or any(ord(mark) < 32 for mark in name):
            yield name, "a backslash or control character in a name"
        elif any(part in ("", ".", "..") for part in parts):
            yield name, "a path that leads out of the folder, or is none"
        elif sys.platform == "win32" and (taken := next(filter(None, map(windows_takes, parts)), None)):
            yield name, f"on Windows {taken}"
        elif one.flag_bits & 1:
            yield name, "encrypted"
        elif not _is_folder(one) and (name.casefold() in seen or name.casefold() in folders):
            yield name, "there twice"
        elif any(str(parent).casefold() in seen for parent in PurePosixPath(name).parents):
            yield name, "within a file of the archive"
        if not _is_folder(one):
            seen.add(name.casefold())
        folders |= {str(parent).casefold() for parent in PurePosixPath(name).parents}


def _is_folder(one: zipfile.ZipInfo) -> bool:
    """Tells whether a member is a folder; Python 3.11's `is_dir` ends in an error for one without a name."""
    return one.filename.endswith("/")


def _links(target: Path, name: str) -> Iterator[str]:
    """Yields folders of a name that are links where it is unpacked to."""
    for parent in PurePosixPath(name).parents:
        if is_link(target / parent):
            yield str(parent)


def _taken(target: Path, name: str) -> Iterator[str]:
    """Yields what stands in the way of a file: one of its name, or one where a folder of it would be."""
    if os.path.lexists(target / name):
        yield name
    for parent in PurePosixPath(name).parents:
        if (target / parent).exists() and not (target / parent).is_dir():
            yield str(parent)


def _is_same(path: Path, member: zipfile.ZipInfo) -> bool:
    """Tells whether a file is there with the content of an archive's."""
    if is_link(path) or not path.is_file() or path.stat().st_size != member.file_size:
        return False
    checksum = 0
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            checksum = zlib.crc32(piece, checksum)
    return checksum == member.CRC


def _pieces(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with reading_errors(Path(packed.filename or "the archive")), packed.open(member) as source:
        while piece := source.read(_PIECE):
            yield piece


def _write(packed: zipfile.ZipFile, members: list[zipfile.ZipInfo], target: Path, staging: Path) -> None:
    """Writes all files under other names, and renames them into place when they are whole."""
    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
    staging.mkdir(parents=True)
    parts = [staging / f"{place}.part" for place in range(len(members))]
    for member, part in zip(members, parts, strict=True):
        # zipfile itself gives no more than the bytes that were announced, and checks their sum.
        with open(part, "wb") as file:
            file.writelines(_pieces(packed, member))
        if part.stat().st_size != member.file_size:
            raise zipfile.BadZipFile(f"{member.filename!r} is not of the size that is announced")
    for member, part in zip(members, parts, strict=True):
        path = target / member.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        insist(os.replace, part, path)
    sync_folder(target)


def gigabytes(n_bytes: int) -> str:
    """Returns a size in words."""
    return f"{n_bytes / 1024**3:.2f} GB" if n_bytes >= 10 * 1024**2 else count(n_bytes, "byte")


def download(
    competition: str,
    target: Path,
    tell: Callable[[str], object],
    *,
    most_bytes: int,
    timeout_s: float = 120,
) -> Unpacked:
    """Downloads and unpacks a competition's files; what is there already is not overwritten.

    Until all is in place it stands in a folder of its own within `target`. A download that was cut off, or
    for which there was no room, goes on from there; an archive that is of no use is removed.

    Args:
        competition: Its name, or its address.
        target: The folder; made where missing.
        tell: Takes lines for the user.
        most_bytes: How large the archive, and all files together, may be.
        timeout_s: How long the service may be silent, seconds.

    Raises:
        ServiceError: The service refuses it, or does not answer.
        ArchiveError: The archive is damaged or not to be trusted.
        DataError: It is too large; or files of its names are there.
        StorageError: The folder cannot be written.
        LockedError: Another process downloads it there at this moment.
        MissingPackageError: Kaggle's client is not installed.
    """
    name = competition_name(competition)
    credentials = find_credentials()
    for warning in credentials.warnings:
        tell(warning)
    staging = target / f".{name}.download"
    with _held_alone(staging):
        return _download(name, credentials, target, staging, tell, most_bytes, timeout_s)


def _download(
    name: str,
    credentials: Credentials,
    target: Path,
    staging: Path,
    tell: Callable[[str], object],
    most_bytes: int,
    timeout_s: float,
) -> Unpacked:
    told = time.monotonic()

    def check() -> int:
        nonlocal told
        n_bytes = _bytes_in(staging)
        if n_bytes > most_bytes:
            raise DataError(
                f"{name}: the archive is larger than {gigabytes(most_bytes)}, and was not downloaded to its "
                "end. Allow more with --max-gb."
            )
        free = shutil.disk_usage(staging).free
        if free < _LEAST_FREE:
            raise DataError(
                f"{name}: the disk of {shown_path(target)} has {gigabytes(free)} free, which is too little "
                "for the archive. Free some space, or choose another folder with -o."
            )
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            tell(f"{name}: {gigabytes(n_bytes)} so far")
        return n_bytes

    try:
        with Client(name, timeout_s, credentials.places) as client:
            client.download(staging, check)
        check()
        found = unpack(_archive(staging, name), target, staging / "unpacked", most_bytes)
    except ArchiveError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    except DataError as error:
        kept = f"Then the command goes on with what has come, which is kept in {shown_path(staging)}."
        raise DataError(f"{error}\n{kept}") from error
    except KerasgridError:
        if all(path.name == _LOCK for path in staging.iterdir()):  # nothing has come
            shutil.rmtree(staging, ignore_errors=True)
        raise
    shutil.rmtree(staging, ignore_errors=True)
    return found


@contextlib.contextmanager
def _held_alone(staging: Path) -> Iterator[None]:
    """Makes the folder of a download, which no other process has meanwhile.

    Raises:
        LockedError: Another one downloads the same at this moment.
    """
    lock = FolderLock(staging / _LOCK, staging / ".heartbeat")
    try:
        lock.__enter__()
    except LockedError as error:
        raise LockedError(
            f"{shown_path(staging)}: another kerasgrid download is writing here at this moment. Let it end, "
            "and give the command again."
        ) from error
    try:
        yield
    finally:
        lock.__exit__()


def find_train(folder: Path) -> Path | None:
    """Returns the one file in a folder that holds the training data, by its name; None where that is none."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    for known in ("train.csv", "train.npz"):
        if folder / known in files:
            return folder / known
    alike = [path for path in files if _TRAIN.fullmatch(path.name)]
    images = [path for path in files if re.match(r"train[_-]images.*(idx|ubyte)", path.name)]
    found = alike or images
    return found[0] if len(found) == 1 else None


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the client renames what is whole
            total += path.stat().st_size if path.is_file() else 0
    return total


def _archive(staging: Path, name: str) -> Path:
    """Returns the one file that the client has written."""
    files = [path for path in staging.iterdir() if path.is_file() and not path.name.startswith(".")]
    files = [path for path in files if "kaggle-partial" not in path.name]
    if len(files) != 1:
        raise ArchiveError(f"{name}: {len(files)} files came in the place of an archive. Download it again.")
    return files[0]
