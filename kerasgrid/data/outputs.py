"""What the frozen part of a net gives of all samples, beside their cache: written block by block, by any
process, and gone on with after a crash.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.arrays import npy_header
from kerasgrid.data.keeping import HEARTBEAT, LOCK, OUTPUTS, limit_bytes, mark_made_of, mark_used, prune
from kerasgrid.errors import LockedError
from kerasgrid.io import (
    ARRAY_DAMAGE,
    cache_folder,
    half_written_name,
    remove,
    storage_errors,
    sync_folder,
)
from kerasgrid.locks import FolderLock
from kerasgrid.wording import bytes_word

BLOCK = 64
"""Samples of a block, which a net is given at once."""
_ARRAY, _SUMS, _CLAIMS, _BEGINNING = "outputs.npy", "sums.npy", "claims", ".beginning"
_SHARE = 16
"""Blocks that a process takes at once."""
_WAIT_S = 0.2

_checked: dict[Path, dict[int, int]] = {}
"""Checksums of blocks that this process has found whole, by their file; one begun anew by others has none."""


class NoRoomError(Exception):
    """Outputs that the cache has no room for; the message says why."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of a frozen part, a row a sample; and the same again for each view of the samples.

    Attributes:
        key: What they are of: 64 hex digits.
        n_samples: Samples.
        shape: Of one row.
        dtype: float32 or float16.
        n_views: Views of each sample, beside the sample itself.
        source: What the samples are called.
    """

    key: str
    n_samples: int
    shape: tuple[int, ...]
    dtype: str
    n_views: int = 0
    source: str = ""

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return cache_folder() / OUTPUTS / self.key

    @property
    def n_rows(self) -> int:
        """Samples and views."""
        return self.n_samples * (1 + self.n_views)

    @property
    def n_bytes(self) -> int:
        """What they take of the disk."""
        return self.n_rows * self._row_bytes

    @property
    def n_blocks(self) -> int:
        """Blocks, those of the samples first, then those of each view."""
        return self._blocks_a_view * (1 + self.n_views)

    @property
    def _blocks_a_view(self) -> int:
        return -(-self.n_samples // BLOCK)

    @property
    def _row_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def _header(self) -> bytes:
        return npy_header((self.n_rows, *self.shape), np.dtype(self.dtype))

    def why_no_room(self, others: int = 0) -> str | None:
        """Returns why the cache has no room for them, beside so many bytes that stay; None where it has."""
        limit = limit_bytes()
        if self.n_bytes + others <= limit:
            return None
        beside = f" beside {bytes_word(others)} of others" if others else ""
        return (
            f"its outputs take {bytes_word(self.n_bytes)}, and the cache may take {bytes_word(limit)}{beside}"
        )

    def block(self, place: int) -> tuple[int, range]:
        """Returns the view of a block, 0 for the samples themselves, and which samples it is of."""
        view, place = divmod(place, self._blocks_a_view)
        return view, range(place * BLOCK, min((place + 1) * BLOCK, self.n_samples))

    def missing(self) -> list[int]:
        """Returns the blocks that are not there, or damaged."""
        try:
            sums, array = self._sums(), self.read()
        except ARRAY_DAMAGE:
            return list(range(self.n_blocks))
        known = _checked.setdefault(self.folder / _ARRAY, {})
        left = {place: total for place, total in enumerate(sums.tolist()) if known.get(place) != total}
        known.update((at, total) for at, total in left.items() if total and total == self._sum(array, at))
        return [place for place, total in left.items() if known.get(place) != total]

    @property
    def n_left(self) -> int:
        """Rows of the blocks that are missing."""
        return sum(len(self.block(place)[1]) for place in self.missing())

    def read(self) -> np.ndarray:
        """Returns (row, ...), mapped from disk."""
        mark_used(self.folder)
        array = np.load(self.folder / _ARRAY, mmap_mode="r", allow_pickle=False)
        if array.shape != (self.n_rows, *self.shape) or array.dtype != self.dtype:
            raise ValueError(f"{self.folder}: holds an array of {array.shape} {array.dtype}.")
        return array

    def begin(self) -> None:
        """Makes room for them, if none of them is there: what was not used for longest gives way.

        Raises:
            NoRoomError: The cache may not take them beside others that are in use.
            StorageError: The disk is full or cannot be written.
        """
        while not self._begin():
            time.sleep(_WAIT_S)

    def _begin(self) -> bool:
        """Does as `begin`, unless another process does so just now; returns whether it did."""
        with _claimed(self.folder.with_name(_BEGINNING)) as is_own:
            if is_own:
                self._make()
        return is_own

    def _make(self) -> None:
        with contextlib.suppress(*ARRAY_DAMAGE):
            self._sums()
            self.read()
            return
        with storage_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            remove(self.folder)
            prune(self.n_bytes)
            if (reason := self.why_no_room(self._of_others())) is not None:
                raise NoRoomError(reason)
            made = half_written_name(self.folder)
            made.mkdir()
            for name, header, n_bytes in (
                (_ARRAY, self._header, self.n_bytes),
                (_SUMS, npy_header((self.n_blocks,), np.dtype(np.uint32)), 4 * self.n_blocks),
            ):
                with open(made / name, "wb") as file:
                    file.write(header)
                    file.truncate(len(header) + n_bytes)
            mark_made_of(made, self.source)
            os.rename(made, self.folder)
            sync_folder(self.folder.parent)
        mark_used(self.folder)

    def _of_others(self) -> int:
        """Returns the bytes of other outputs, also of those that are not computed yet."""
        files = self.folder.parent.glob(f"[!.]*/{_ARRAY}")
        return sum(path.stat().st_size for path in files)

    def write(self, first: int, blocks: Sequence[np.ndarray]) -> None:
        """Writes blocks that follow each other; they count once they are on the disk.

        Raises:
            StorageError: The disk is full or cannot be written.
        """
        sums = np.array([_sum(block) for block in blocks], np.uint32)
        view, rows = self.block(first)
        place = view * self.n_samples + rows[0]
        with storage_errors(self.folder / _ARRAY):
            parts = [np.ascontiguousarray(block).reshape(-1).view(np.uint8) for block in blocks]
            _put(self.folder / _ARRAY, len(self._header) + place * self._row_bytes, parts)
            n_before = (self.folder / _SUMS).stat().st_size - 4 * (self.n_blocks - first)
            _put(self.folder / _SUMS, n_before, [sums.view(np.uint8)])
        _checked.setdefault(self.folder / _ARRAY, {}).update(enumerate(sums.tolist(), first))

    def shares(self) -> list[list[int]]:
        """Returns the blocks that are missing, in shares that a process takes at once."""
        shares: dict[int, list[int]] = {}
        for place in self.missing():
            shares.setdefault(place // _SHARE, []).append(place)
        return [*shares.values()]

    @contextlib.contextmanager
    def claimed(self, share: Sequence[int]) -> Iterator[list[int]]:
        """Gives what is still missing of a share; nothing where another process has it. A context."""
        with _claimed(self.folder / _CLAIMS / str(share[0] // _SHARE)) as is_own:
            yield [place for place in self.missing() if place in share] if is_own else []

    def _sums(self) -> np.ndarray:
        sums = np.load(self.folder / _SUMS, allow_pickle=False)
        if sums.shape != (self.n_blocks,):
            raise ValueError(f"{self.folder}: is of {sums.shape} blocks.")
        return sums

    def _sum(self, array: np.ndarray, place: int) -> int:
        view, rows = self.block(place)
        first = view * self.n_samples
        return _sum(array[first + rows[0] : first + rows[-1] + 1])


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Tells whether this process has a folder's lock, until the end."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FolderLock(folder / LOCK, folder / HEARTBEAT))
        except LockedError:
            yield False
        else:
            yield True


def _sum(block: np.ndarray) -> int:
    """Returns a checksum, which is not 0."""
    return zlib.crc32(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data) or 1


def _put(path: Path, place: int, parts: Sequence[Any]) -> None:
    """Writes bytes into a file from a place on, and waits until they are on the disk."""
    with open(path, "r+b") as file:
        file.seek(place)
        for part in parts:
            file.write(part.data)
        file.flush()
        os.fsync(file.fileno())


def drawn_views(key: np.ndarray, n_samples: int, n_views: int) -> np.ndarray:
    """Returns which view each sample takes in an epoch, (sample,) from 1, by the epoch's key, (2,) int32."""
    numbers = np.random.Generator(np.random.Philox(key=key.view(np.uint32).astype(np.uint64)))
    return numbers.integers(1, n_views + 1, n_samples)
