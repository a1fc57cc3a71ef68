"""A competition's files, downloaded by Kaggle's client and unpacked with care."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kerasgrid.errors import ArchiveError, DataError, KerasgridError, LockedError
from kerasgrid.run.lock import RunLock
from kerasgrid.submit.client import Client
from kerasgrid.submit.credentials import Credentials, find_credentials
from kerasgrid.submit.sending import competition_name
from kerasgrid.submit.unpacking import Unpacked, gigabytes, unpack
from kerasgrid.wording import shown_path

_TRAIN = re.compile(r"train(ing)?([_-].*)?\.(csv|npz)", re.IGNORECASE)
_LEAST_FREE = 64 * 1024**2
_TELL_S = 10.0
_LOCK = ".lock"


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
    lock = RunLock(staging / _LOCK, staging / ".heartbeat")
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
