"""Packed files, read where they lie: .gz, and members of a .zip, which a path leads through:
data.zip/train.csv.

Nothing is written. What unpacks to more than data do is refused before it is unpacked, or at the first byte
that is too many; and so is an archive whose names lead out of it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import posixpath
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Any, cast

from kerasgrid.errors import DataError
from kerasgrid.io import ZIP_DAMAGE
from kerasgrid.wording import shown_path

# Deflate cannot pack more than 1032 bytes into one: https://zlib.net/zlib_tech.html
MAX_DEFLATE_RATIO = 1032
MOST_RATIO, SMALL_BYTES = 250, 64 * 1024**2
"""More is no data, of files that are not small."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ENCRYPTED = 0x1
_UNPACK = "unpack it"


def check_ratio(n_unpacked: int, n_packed: int, where: str, instead: str) -> None:
    """Raises a DataError where a file unpacks to more than data do.

    Args:
        n_unpacked: Bytes that it says to hold.
        where: How the message begins.
        instead: What gives the same data without packing them, if they are meant.
    """
    if n_unpacked > SMALL_BYTES and n_unpacked > MOST_RATIO * n_packed:
        raise DataError(
            f"{where}: {n_unpacked:,} bytes out of {n_packed:,}, more than {MOST_RATIO} times as much: data "
            f"do not shrink so far, and nothing was unpacked. If you trust it: {instead}."
        )


def archive_on_way(path: Path) -> tuple[Path, str] | None:
    """Returns the .zip file that a path leads through or to, and what comes after it; None without one."""
    if ".zip" not in str(path).lower():
        return None
    for holder in (path, *path.parents):
        if holder.suffix.lower() == ".zip" and os.path.isfile(holder):
            return holder, "" if holder == path else path.relative_to(holder).as_posix()
    return None


def members_of(archive: Path) -> Mapping[str, zipfile.ZipInfo]:
    """Returns the files in a .zip by their names, posix, in the archive's order; not folders and links.

    Raises:
        DataError: It is missing, none, damaged or encrypted; it unpacks to more than data do, or has names
            that lead out of it or that come twice.
    """
    where = shown_path(archive)
    try:
        found = os.stat(archive)
        return _members(archive.absolute(), where, found.st_mtime_ns, found.st_size)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}.") from error


@lru_cache(maxsize=8)
def _members(archive: Path, where: str, changed_ns: int, n_bytes: int) -> Mapping[str, zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = opened.infolist()
    except (*ZIP_DAMAGE, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: no .zip file, or a damaged one ({error}). Fetch it again.") from error
    check_ratio(sum(info.file_size for info in infos), n_bytes, where, _UNPACK)
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            continue
        name = info.filename.replace("\\", "/")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or ":" in (parts or ("",))[0]:
            raise DataError(
                f"{where}: holds the name {info.filename!r}, which leads out of the archive. Data are not "
                "packed so, and nothing was unpacked."
            )
        if name in members:
            raise DataError(
                f"{where}: holds {name!r} twice, and which one is meant is not told. Pack it anew."
            )
        if info.flag_bits & _ENCRYPTED:
            raise DataError(f"{where}: {name!r} is encrypted. Unpack it, and give what comes out.")
        if info.compress_type not in _METHODS:
            raise DataError(f"{where}: {name!r} is packed in a way that is not known here. Unpack it.")
        members[name] = info
    return MappingProxyType(members)


def opened_archive(path: Path) -> zipfile.ZipFile:
    """Returns a .zip whose members are read one after the other, to be closed.

    Raises:
        DataError: As `members_of`.
    """
    members_of(path)
    try:
        return zipfile.ZipFile(path)
    except (*ZIP_DAMAGE, OSError) as error:
        raise DataError(f"{shown_path(path)}: a damaged .zip ({error}). Fetch the file again.") from error


def member_digests(archive: Path, names: Iterable[str]) -> dict[str, str]:
    """Returns the SHA-256 of what members of a .zip hold, by their names, of those that can be read.

    Args:
        names: As the archive spells them.

    Raises:
        DataError: As `members_of`.
    """
    found: dict[str, str] = {}
    with opened_archive(archive) as opened:
        for name in names:
            with contextlib.suppress(*ZIP_DAMAGE, OSError), opened.open(name) as file:
                found[name] = hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()
    return found


@contextlib.contextmanager
def opened_member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """Opens a file in a .zip.

    Raises:
        DataError: There is none of that name, or it is damaged, which may only be found while it is read.
    """
    where = shown_path(archive / name)
    info = members_of(archive).get(name)
    if info is None:
        raise DataError(f"{where}: there is no such file in the archive.")
    check_ratio(info.file_size, info.compress_size, where, _UNPACK)
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(info.filename) as file:
            yield file
    except DataError:  # of whom it is read by
        raise
    except (*ZIP_DAMAGE, OSError) as error:
        raise DataError(f"{where}: damaged ({error}). Fetch the archive again.") from error


def size_of(path: Path) -> int:
    """Returns the bytes of a file, or of a member of a .zip once it is unpacked.

    Raises:
        DataError: It is not there.
    """
    if not os.path.isfile(path) and (found := archive_on_way(path)) is not None:
        archive, name = found
        if name in (members := members_of(archive)):
            return members[name].file_size
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise DataError(f"{shown_path(path)} cannot be read: {error.strerror or error}.") from error


@contextlib.contextmanager
def gunzipped(file: IO[bytes], n_packed: int, where: str) -> Iterator[io.BufferedReader[Any]]:
    """Gives what is in a .gz file.

    Args:
        n_packed: Bytes of the file.
        where: How a message begins.

    Raises:
        DataError: It is none, damaged, or unpacks to more than data do, as far as it is read.
    """
    try:
        with gzip.open(cast(io.BufferedReader, file)) as stream:
            bounded = _Bounded(stream, n_packed, where)
            with io.BufferedReader(bounded, 1 << 20) as reader:
                yield reader
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{where}: no gzip file, or a damaged one ({error}). Fetch it again.") from error


class _Bounded(io.RawIOBase):
    """What a packed stream gives, as long as that is no more than data are."""

    def __init__(self, stream: gzip.GzipFile, n_packed: int, where: str) -> None:
        self._stream, self._n_packed, self._where = stream, n_packed, where
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's is any buffer
        n_read = self._stream.readinto(buffer)
        self._n_read += n_read
        check_ratio(self._n_read, self._n_packed, self._where, "unpack it with gunzip")
        return n_read


_HIDDEN = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"}
"""What systems leave in folders and archives, in small letters, beside names that begin with a dot."""


def is_hidden(name: str) -> bool:
    """Tells whether a path below a folder, posix, is of what systems leave there."""
    return any(part.startswith(".") or part.lower() in _HIDDEN for part in name.split("/"))


@dataclass(frozen=True)
class Tree:
    """A folder with all below it, or a .zip, or a folder in one.

    Attributes:
        path: Of the folder, through a .zip where it lies in one.
    """

    path: Path

    @classmethod
    def at(cls, path: Path) -> Tree | None:
        """Returns what is at a path; None where that is a file or nothing.

        Raises:
            DataError: A .zip on the way is damaged, or holds what data do not.
        """
        if os.path.isdir(path):
            return cls(path)
        found = archive_on_way(path)
        if found is None:
            return None
        archive, folder = found
        members = members_of(archive)
        if (inner := next((one for one in members if f"{folder}/".startswith(f"{one}/")), "")).endswith(
            ".zip"
        ):
            raise DataError(
                f"{shown_path(archive / inner)}: a .zip in a .zip, which is not read. Unpack "
                f"{shown_path(archive)}, and name what comes out."
            )
        is_there = not folder or any(name.startswith(f"{folder}/") for name in members)
        return cls(path) if is_there else None

    @property
    def where(self) -> str:
        """What messages call it."""
        return shown_path(self.path)

    @property
    def is_packed(self) -> bool:
        """Whether it is in a .zip."""
        return self._packed is not None

    @cached_property
    def _packed(self) -> tuple[Path, str, Mapping[str, zipfile.ZipInfo]] | None:
        if os.path.isdir(self.path) or (found := archive_on_way(self.path)) is None:
            return None
        archive, folder = found
        return archive, f"{folder}/" if folder else "", members_of(archive)

    def files(self, depth: int | None = None) -> list[str]:
        """Returns all files below that are not hidden, posix paths from here, sorted.

        Args:
            depth: How many names a path has at most; None for any number.
        """
        if self._packed is not None:
            _, prefix, members = self._packed
            names = [name.removeprefix(prefix) for name in members if name.startswith(prefix)]
            shallow = [name for name in names if depth is None or name.count("/") < depth]
            return sorted(name for name in shallow if not is_hidden(name))
        found, seen = [], set()
        for folder, folders, files in os.walk(self.path, onerror=_refuse, followlinks=True):
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # a link leads back to it
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            here = os.path.relpath(folder, self.path).replace(os.sep, "/")
            start = "" if here == "." else f"{here}/"
            if depth is not None and start.count("/") + 1 >= depth:
                folders.clear()
            folders[:] = [name for name in folders if not is_hidden(name)]
            found += [start + name for name in files if not is_hidden(name)]
        return sorted(found)

    def folders(self) -> list[str]:
        """Returns the names of the folders in it that are not hidden, sorted."""
        if self._packed is not None:
            return sorted({name.partition("/")[0] for name in self.files() if "/" in name})
        with os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name))

    def has(self, name: str) -> bool:
        """Tells whether there is a file of a name, a path from here."""
        if self._packed is not None:
            _, prefix, members = self._packed
            return prefix + os.path.normpath(name).replace(os.sep, "/") in members
        return os.path.isfile(os.path.join(self.path, name))

    def place(self, name: str) -> tuple[Path, str | None]:
        """Returns the path of a file, or that of its .zip and what its member is called there."""
        if self._packed is None:
            return self.path / name, None
        archive, prefix, members = self._packed
        return archive, members[prefix + os.path.normpath(name).replace(os.sep, "/")].filename


@dataclass(frozen=True)
class Flat(Tree):
    """Files in some folders below one, by their names alone, but for those of which there are several.

    Attributes:
        within: Their paths from there, posix.
    """

    within: frozenset[str] = frozenset()

    @property
    def where(self) -> str:
        """What messages call them."""
        return f"{super().where} and its folders"

    @cached_property
    def _below(self) -> dict[str, str]:
        names = [
            posixpath.join(folder, name)
            for folder in sorted(self.within)
            for name in Tree(self.path / folder).files(1)
        ]
        n_each = Counter(map(posixpath.basename, names))
        return {own: name for name in names if n_each[own := posixpath.basename(name)] == 1}

    def has(self, name: str) -> bool:
        """Tells whether there is one file of a name."""
        return name in self._below

    def place(self, name: str) -> tuple[Path, str | None]:
        """Returns where a file is, as `Tree.place` does."""
        return super().place(self._below[name])


def _refuse(error: OSError) -> None:
    """Raises a DataError of a folder that may not be looked into."""
    raise DataError(f"{shown_path(error.filename)} cannot be read: {error.strerror or error}.") from error


def exists(path: str | Path) -> bool:
    """Tells whether there is a file or folder, also in a .zip that a path leads through."""
    try:
        path = Path(path)
        if path.exists():
            return True
        found = archive_on_way(path)
        return found is not None and (found[1] in members_of(found[0]) or Tree.at(path) is not None)
    except (
        OSError,
        ValueError,
    ):  # a name that no file can have; or no .zip, a DataError, as who reads it tells
        return False
