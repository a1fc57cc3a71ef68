"""What the cache's folder holds, of all rooms: what each part is of, what it takes, and which may go.

All of it can be made again. What has not been used for longest goes first where it takes more than it may,
and what a process that lives has opened never goes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgrid.errors import StorageError
from kerasgrid.io import HALF_WRITTEN, cache_folder, half_written_name, insist, is_being_written, remove
from kerasgrid.locks import is_held
from kerasgrid.wording import bytes_word, count, format_seconds

SAMPLES, DECODING, DIGESTS, OUTPUTS, WEIGHTS = "data", "decoding", "digests", "outputs", "weights"
"""Folders of the cache: samples, images that are being decoded, what files held when they were read, what
frozen parts of nets give of samples, and weights that came from another machine."""
LOCK, HEARTBEAT, MADE_OF = "lock", "heartbeat.json", "made_of.json"
LIMIT = "KERASGRID_CACHE_LIMIT"
_KINDS = {
    SAMPLES: "samples",
    DECODING: "images decoded in part",
    DIGESTS: "digests of files",
    OUTPUTS: "outputs of frozen parts",
    WEIGHTS: "trained weights",
    "measurements": "measured fits",
    "widths": "measured widths",
    "passes": "measured passes through frozen parts",
}
_LARGE = {SAMPLES, DECODING, DIGESTS, OUTPUTS, WEIGHTS}
"""The others are some bytes each."""
_USED = "used"
_SHARE = 5
"""The cache may take one part in so many of its disk."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SHORT = 12
_own: dict[Path, Path] = {}
"""By which file this process keeps each folder."""


@dataclass(frozen=True)
class Kept:
    """A part of the cache.

    Attributes:
        path: A file or a folder.
        what: In words.
        n_bytes: What it takes of the disk.
        used_at: When it was used last, as `time.time` has it.
        source: What the data are called that it was made of; None where it does not tell.
        is_used: Whether a process that lives has opened it.
    """

    path: Path
    what: str
    n_bytes: int
    used_at: float
    source: str | None
    is_used: bool

    @property
    def name(self) -> str:
        """By which it is named in commands."""
        return self.path.name[:_SHORT]

    def as_json(self) -> dict[str, Any]:
        """Returns it as a JSON object."""
        return {
            "name": self.name,
            "path": str(self.path),
            "what": self.what,
            "bytes": self.n_bytes,
            "used_at": self.used_at,
            "source": self.source,
            "is_used": self.is_used,
        }


def kept() -> list[Kept]:
    """Returns all parts of the cache, those that were used last first."""
    parts = [
        found
        for folder, what in _KINDS.items()
        for path in _children(cache_folder() / folder)
        if (found := _look_at(path, what)) is not None
    ]
    return sorted(parts, key=lambda part: -part.used_at)


def _children(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    return []


def _look_at(path: Path, what: str) -> Kept | None:
    """Returns a part of the cache; None where it has gone meanwhile."""
    try:
        own = path.stat()
        files = [one.stat() for one in path.iterdir()] if path.is_dir() else [own]
    except OSError:
        return None
    used_at = max(one.st_mtime for one in (own, *files))
    is_promised = path.parent.name == OUTPUTS  # written in any order, into files that have room for all
    n_bytes = sum(one.st_size if is_promised else _taken(one) for one in files)
    return Kept(path, what, n_bytes, used_at, _made_of(path, "source"), is_used(path))


def _taken(status: os.stat_result) -> int:
    """Returns what a file takes of the disk: the places that are written, and its part of several names."""
    blocks = getattr(status, "st_blocks", None)
    n_bytes = status.st_size if blocks is None else min(status.st_size, 512 * blocks)
    return n_bytes // max(1, status.st_nlink)


def _made_of(path: Path, what: str) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((path / MADE_OF).read_bytes())[what])
    return None


def mark_made_of(folder: Path, source: str, form: str | None = None) -> None:
    """Writes into a new part of the cache what it is made of.

    Args:
        source: What the data are called.
        form: The digest of what image files became; None where it is not of files.
    """
    told = {"source": source} if form is None else {"source": source, "form": form}
    (folder / MADE_OF).write_text(json.dumps(told), encoding="utf-8")


def of_form(form: str) -> list[Path]:
    """Returns the folders of samples whose images were decoded to the same form."""
    folders = _children(cache_folder() / SAMPLES)
    return [folder for folder in folders if _made_of(folder, "form") == form]


def mark_used(folder: Path) -> None:
    """Lets a part of the cache stay as long as this process lives, if it is there."""
    with contextlib.suppress(OSError):  # it is not there, or cannot be written and so not be removed
        os.utime(folder)
        if folder not in _own or not _own[folder].exists():
            _own[folder] = half_written_name(folder / _USED)
            _own[folder].touch()


def _marks(folder: Path) -> Iterable[Path]:
    return folder.glob(f".{_USED}.*{HALF_WRITTEN}")


def is_used(path: Path) -> bool:
    """Tells whether a process has opened a part of the cache that may live: of another machine's it may."""
    if (path / LOCK).exists():
        return is_held(path / LOCK, path / HEARTBEAT)
    return any(is_being_written(mark) is not False for mark in _marks(path))


def limit_bytes() -> int:
    """Returns what the cache may take: $KERASGRID_CACHE_LIMIT, else a fifth of its disk.

    Raises:
        StorageError: The variable says no amount.
    """
    said = os.environ.get(LIMIT)
    if not said:
        return shutil.disk_usage(_existing(cache_folder())).total // _SHARE
    amount = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?)b?\s*", said.lower())
    unit = None if amount is None else {**_UNITS, **_BINARY}.get(amount[2])
    if amount is None or unit is None:
        raise StorageError(
            f"the environment variable {LIMIT} is {said!r}, which is no amount of bytes. Give such as 20GB, "
            "or take it away."
        )
    return int(float(amount[1]) * unit)


def _existing(folder: Path) -> Path:
    """Returns a folder, or the one in which it would be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def prune(needed_bytes: int = 0) -> list[Kept]:
    """Removes what has not been used for longest, until so much more is within the limit and has room.

    Returns:
        What was removed.

    Raises:
        StorageError: The limit is no amount.
    """
    limit, parts = limit_bytes(), kept()
    free = shutil.disk_usage(_existing(cache_folder())).free
    over = max(sum(part.n_bytes for part in parts) + needed_bytes - limit, needed_bytes - free)
    removed = []
    for part in reversed(parts):
        if over <= 0:
            break
        if part.path.parent.name in _LARGE and _discard(part):
            removed.append(part)
            over -= part.n_bytes
    return removed


def chosen(names: Sequence[str] = ()) -> list[Kept]:
    """Returns parts of the cache, those that were used last first.

    Args:
        names: Of each that is meant the beginning of its name, or what it is made of; none for all.

    Raises:
        StorageError: A name is none's.
    """
    parts = kept()
    if unknown := [name for name in names if not any(_is_called(part, name) for part in parts)]:
        raise StorageError(
            f"{cache_folder()}: nothing there is called {unknown[0]!r}. What is there is listed by: "
            "kerasgrid cache"
        )
    return [part for part in parts if not names or any(_is_called(part, name) for name in names)]


def clear(names: Sequence[str] = ()) -> tuple[list[Kept], list[Kept]]:
    """Removes parts of the cache, named as in `chosen`.

    Returns:
        What was removed, and what processes that live have opened.

    Raises:
        StorageError: A name is none's.
    """
    parts = chosen(names)
    removed = [part for part in parts if _discard(part)]
    return removed, [part for part in parts if part not in removed]


def _is_called(part: Kept, name: str) -> bool:
    return bool(name) and (part.path.name.startswith(name) or part.source == name)


def _discard(part: Kept) -> bool:
    """Removes a part of the cache, unless a process has opened it."""
    if is_used(part.path):
        return False
    aside = half_written_name(part.path)
    try:
        insist(os.rename, part.path, aside)
    except OSError:  # Windows renames no folder of which a file is open
        return not os.path.lexists(part.path)
    if is_used(aside):  # by a process that was quicker than the renaming
        with contextlib.suppress(OSError):
            os.rename(aside, part.path)
            return False
    remove(aside)
    return True


def told(parts: Sequence[Kept], removed: Sequence[Kept] | None, now: float) -> list[str]:
    """Returns in lines what there is, of samples one each, of the rest one a kind; or what was removed.

    Args:
        removed: None where nothing was to be.
        now: The time, as `time.time` has it.
    """
    size = bytes_word(sum(part.n_bytes for part in parts))
    if removed is None:
        head = f"{cache_folder()}: {size} of at most {bytes_word(limit_bytes())} ({LIMIT} sets another limit)"
        return [head, *_rows(parts, now)]
    gone = bytes_word(sum(part.n_bytes for part in removed))
    head = f"{cache_folder()}: {gone} removed."
    return [head, *(["In use, and left:", *_rows(parts, now)] if parts else [])]


def _rows(parts: Sequence[Kept], now: float) -> list[str]:
    folders = [part for part in parts if part.path.is_dir()]
    rows = [[part.name, *_row([part], now), part.source or ""] for part in folders]
    for what in dict.fromkeys(part.what for part in parts if part not in folders):
        own = [part for part in parts if part.what == what]
        rows.append(["", *_row(own, now), count(len(own), "file")])
    widths = [max(len(row[column]) for row in rows) for column in range(5)] if rows else []
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _row(parts: Sequence[Kept], now: float) -> list[str]:
    is_used = any(part.is_used for part in parts)
    ago = f"{format_seconds(max(0.0, now - max(part.used_at for part in parts)))} ago"
    size = bytes_word(sum(part.n_bytes for part in parts))
    return [parts[0].what, size, "in use" if is_used else f"used {ago}"]
