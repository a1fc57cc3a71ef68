"""SHA-256 of many files, which are read again only where they may have changed.

As git's index has it, a file whose size, times of change and number are those of the last look holds what it
held then. One that had just been written when it was read is not relied on: it may be written again within
the same tick of the file system's clock.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from kerasgrid import machine
from kerasgrid.data.arrays import opened
from kerasgrid.data.keeping import DIGESTS
from kerasgrid.errors import StorageError
from kerasgrid.io import cache_folder, digest, read_json, write_json

FEW = 16
"""Files whose digests are found anew each time, which takes no longer."""
_FORMAT = 1
_TICK_NS = 2_000_000_000
"""The coarsest clock of a file system, FAT's."""
_AT_ONCE = 64
"""Files that a thread reads in one go."""
_SMALL = 1 << 22
"""Bytes of a file that is read at once: many files are small."""

Form = tuple[int, int, int, int]


class FileDigest(NamedTuple):
    """What a file holds, and by what it is known that it has not changed since.

    Attributes:
        digest: SHA-256, 64 hex digits.
        form: Size, times of change in nanoseconds, number.
    """

    digest: str
    form: Form


def form_of(status: os.stat_result) -> Form:
    """Returns by what a file is known again."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def is_settled(status: os.stat_result, at_ns: int) -> bool:
    """Tells whether a file that is written after a time will have another form than it had then."""
    return max(status.st_mtime_ns, status.st_ctime_ns) < at_ns - _TICK_NS


def file_digests(
    paths: Sequence[Path], tell: Callable[[int], object] = lambda n_done: None
) -> list[FileDigest]:
    """Returns what each file holds.

    Args:
        paths: Regular files.
        tell: Is told how many are done, where many have to be read.

    Raises:
        DataError: One is missing, no regular file, or may not be read.
    """
    if len(paths) <= FEW:
        return [_looked_at(path)[0] for path in paths]
    places = [os.path.abspath(path) for path in paths]
    top = os.path.commonpath({os.path.dirname(place) for place in places})
    index = cache_folder() / DIGESTS / f"{digest([_FORMAT, top])}.json"
    known = known_in(index)
    names = [place[len(top) :] for place in places]
    found = [_recalled(known.get(name), place) for name, place in zip(names, places, strict=True)]
    unknown = [place for place, own in enumerate(found) if own is None]
    groups = [unknown[first : first + _AT_ONCE] for first in range(0, len(unknown), _AT_ONCE)]
    new: dict[str, list[Any]] = {}
    with ThreadPoolExecutor(machine.usable_cores()) as pool:
        for group in pool.map(lambda group: [(place, *_looked_at(paths[place])) for place in group], groups):
            for place, own, may_be_known in group:
                found[place] = own
                if may_be_known:
                    new[names[place]] = [*own.form, own.digest]
            tell(len(found) - found.count(None))
    if new:
        with suppress(StorageError):  # what cannot be kept is found anew
            write_json(index, {**known, **new})
    return [own for own in found if own is not None]


def known_in(path: Path) -> dict[str, Any]:
    """Returns what an earlier look has written of files; nothing where it is damaged or not there."""
    with suppress(OSError, ValueError):
        known = read_json(path)
        return known if isinstance(known, dict) else {}
    return {}


def _recalled(known: Any, path: str) -> FileDigest | None:
    """Returns what is known of a file; None where it may have changed, or is not there."""
    if not isinstance(known, list) or len(known) != 5 or not isinstance(known[4], str):
        return None
    with suppress(OSError):
        form = form_of(os.stat(path))
        return FileDigest(known[4], form) if known[:4] == [*form] else None
    return None


def _looked_at(path: Path) -> tuple[FileDigest, bool]:
    """Returns what a file holds, and whether that may be relied on where it looks the same later."""
    began_ns = time.time_ns()
    with opened(path) as file:
        before = os.fstat(file.fileno())
        own = hashlib.sha256(file.read()) if before.st_size < _SMALL else hashlib.file_digest(file, "sha256")
        after = form_of(os.fstat(file.fileno()))
    return FileDigest(own.hexdigest(), after), is_settled(before, began_ns) and form_of(before) == after
