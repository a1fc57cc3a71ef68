"""Samples as programs take them: all on the device; or, where they do not fit, in pieces of some steps, of
which the next one is read by a thread while the last one trains.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

import keras
import numpy as np

from kerasgrid import machine
from kerasgrid.training import backend

SHARE = 2
"""Samples may take one part in so many of a worker's memory on its device: the rest is the net's."""
PIECES = 4
"""Pieces that have room where samples do not: two are in memory, and where the device has memory of its own
they are there too."""
_READ_BYTES = 2**23
"""Samples that are prepared on the host are read so many bytes at a time."""
_EXPECTED_BYTES = 2**14
_ALIGNMENT = 64
"""Of what backends take on a CPU without copying it."""

Prepare = Callable[[np.ndarray], np.ndarray]


def room_bytes() -> int:
    """Returns how much of its device's memory a worker has for samples."""
    own = backend.memory_bytes()
    return (machine.own_memory_bytes() if own is None else own) // SHARE


@dataclass(frozen=True, eq=False)
class Stored:
    """Samples as programs take them, a block of all of them after the other where folds differ in that.

    Attributes:
        images: (sample, ...), as stored; may be mapped from disk.
        shape: Axes of one sample, as a program takes it.
        dtype: Likewise.
        prepares: What some samples become, block by block; None where they are taken as they are stored.
    """

    images: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype
    prepares: Sequence[Prepare | None] = (None,)

    @property
    def n_rows(self) -> int:
        """Samples of all blocks."""
        return len(self.images) * len(self.prepares)

    @property
    def row_bytes(self) -> int:
        """Bytes of one sample as a program takes it."""
        return max(1, math.prod(self.shape) * self.dtype.itemsize)

    @property
    def n_bytes(self) -> int:
        """Bytes of all blocks as a program takes them."""
        return self.n_rows * self.row_bytes

    def read(self, rows: np.ndarray, into: np.ndarray) -> None:
        """Writes some samples to an array, (row, ...), in the order of their rows: each once, rising."""
        n = len(self.images)
        bounds = np.searchsorted(rows, np.arange(len(self.prepares) + 1) * n)
        for block, prepare in enumerate(self.prepares):
            first, last = bounds[block : block + 2]
            self._read(rows[first:last] - block * n, into[first:last], prepare)

    def expect(self, rows: np.ndarray) -> None:
        """Lets the system fetch some samples of a mapped file at once, which faults do one by one.

        From a disk of 0.12 GB/s in order, sorted rows of 27 kB come at 0.18 GB/s so, and at 0.06 without.
        Rows of fewer bytes lie so near to each other that the system reads ahead by itself.
        """
        images = self.images
        if not (
            isinstance(images, np.memmap) and isinstance(images.base, mmap) and hasattr(os, "posix_fadvise")
        ):
            return
        n_bytes = images[:1].nbytes
        if images.filename is None or n_bytes < _EXPECTED_BYTES:
            return
        wanted = np.unique(rows % len(images))
        with open(images.filename, "rb") as file:
            for part in np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1):
                first, n = images.offset + int(part[0]) * n_bytes, len(part) * n_bytes
                os.posix_fadvise(file.fileno(), first, n, os.POSIX_FADV_WILLNEED)

    def _read(self, rows: np.ndarray, into: np.ndarray, prepare: Prepare | None) -> None:
        images = np.asarray(self.images)  # of a map, whose slices cost more
        if prepare is None:  # without the interpreter's lock, and `raise` would copy once more
            np.take(images, rows, axis=0, out=into, mode="clip")
            return
        n = max(1, _READ_BYTES // max(1, images[:1].nbytes))
        for first in range(0, len(rows), n):
            part = slice(first, first + n)
            into[part] = prepare(images[rows[part]])

    def on_device(self) -> Any:
        """Returns all of them on the device."""
        array = _empty((self.n_rows, *self.shape), self.dtype)
        n = max(1, _READ_BYTES // self.row_bytes)
        for first in range(0, self.n_rows, n):
            rows = np.arange(first, min(first + n, self.n_rows))
            self.read(rows, array[first : first + n])
        return backend.given(array)


@dataclass(frozen=True)
class Schedule:
    """How the rows of folds of about equal sizes are cut into steps of equal shapes.

    Attributes:
        batch_size: Rows of a full step.
        n_full: Steps that are full in every fold.
        ragged: Rows of each later step, in which some fold has padding.
    """

    batch_size: int
    n_full: int
    ragged: tuple[int, ...]

    @property
    def n_steps(self) -> int:
        """All steps of an epoch."""
        return self.n_full + len(self.ragged)

    @classmethod
    def of(cls, sizes: Sequence[int], batch_size: int) -> Schedule:
        """Returns the schedule for folds of these numbers of training rows."""
        n_full = min(sizes) // batch_size
        longest = max(sizes) - n_full * batch_size
        ragged = []
        while longest > 0:
            ragged.append(min(batch_size, longest))
            longest -= batch_size
        return cls(batch_size, n_full, tuple(ragged))

    def pad(self, rows: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Returns rows, (row, ...), of the full steps and of one more; (rows, weights) of each ragged one.

        XLA compiles what can be a single step otherwise: numbers would depend on how many there are.
        """
        cut = self.n_full * self.batch_size
        ragged = []
        for size in self.ragged:
            part = rows[cut : cut + size]
            weights = np.zeros(size, dtype=keras.config.floatx())
            weights[: len(part)] = 1
            padded = np.zeros((size, *rows.shape[1:]), np.int32)
            padded[: len(part)] = part
            ragged.append((padded, weights))
            cut += size
        full = np.zeros(((self.n_full + 1) * self.batch_size, *rows.shape[1:]), np.int32)
        full[: -self.batch_size] = rows[: self.n_full * self.batch_size]
        return full, ragged


@dataclass(frozen=True)
class Piece:
    """Some steps of an epoch, or all of them, with the samples that they take.

    Attributes:
        batches: As `Program.train` takes them.
        last: One after the last of the steps.
        images: On the device; None for those that the program has.
        start: The step whose rows are the first of the full ones.
    """

    batches: Any
    last: int
    images: Any = None
    start: int = 0


@dataclass(eq=False)
class Feed:
    """Feeds programs with pieces of stored samples; each is there until the next one is asked for.

    A row that several runs take in a piece is read once, and rows are read in their order. Two pieces are in
    memory. Iterators are to be closed: their thread ends then, and what it raises reaches who asks.

    Attributes:
        stored: The samples.
        piece_bytes: Of a piece; more where a single step of all runs takes more.
    """

    stored: Stored
    piece_bytes: int
    _buffers: list[np.ndarray] = field(default_factory=list, repr=False)

    def epoch(
        self, batches: Any, schedule: Schedule, first: int, most: int | None = None
    ) -> Generator[Piece]:
        """Yields an epoch's steps from one on, in pieces of equal shapes.

        Args:
            batches: As `Program.train` takes them, the rows those of `stored`.
            schedule: Of the steps.
            first: The first step.
            most: Steps of a piece, at most; None for as many as it has room for.
        """
        full, ragged, n_full = batches["full"], batches["ragged"], schedule.n_full
        size = schedule.batch_size
        parts = [full[:, : n_full * size], *(part for part, _ in ragged)]
        rows = np.concatenate([part[..., 0] for part in parts], axis=1)
        bounds = np.cumsum([0, *[size] * n_full, *schedule.ragged])
        n_rows, n_steps = self._cut(rows, size)
        n_steps = min(n_steps, schedule.n_steps, most or n_steps)
        starts = range(first, schedule.n_steps, n_steps)
        ends = [min(start + n_steps, schedule.n_steps) for start in starts]
        wanted = (rows[:, bounds[start] : bounds[end]] for start, end in zip(starts, ends, strict=True))
        with closing(self._read_ahead(wanted, n_rows)) as found:
            for start, end, (places, images) in zip(starts, ends, found, strict=False):
                cuts = bounds[start : end + 1] - bounds[start]
                own = np.zeros((len(rows), (n_steps + 1) * size, 2), np.int32)
                n_own = int(cuts[max(0, min(end, n_full) - start)])
                own[:, :n_own, 0] = places[:, :n_own]
                own[:, :n_own, 1] = full[:, bounds[start] : bounds[start] + n_own, 1]
                others = list(ragged)
                for step in range(max(start, n_full), end):
                    part, weights = ragged[step - n_full]
                    moved = places[:, cuts[step - start] : cuts[step - start + 1]]
                    others[step - n_full] = np.stack([moved, part[..., 1]], axis=-1), weights
                yield Piece({**batches, "full": own, "ragged": others}, end, images, start)

    def chunks(self, rows: np.ndarray) -> Generator[tuple[np.ndarray, int, Any]]:
        """Yields parts of the chunks of rows, (job, chunk, row, 2), as `Program.evaluate` takes them."""
        n_jobs, n_all, size, _ = rows.shape
        n_rows, n_chunks = self._cut(rows[..., 0].reshape(n_jobs, -1), size)
        n_chunks = min(n_chunks, n_all)
        starts = range(0, n_all, n_chunks)
        parts = (rows[:, start : start + n_chunks, :, 0] for start in starts)
        with closing(self._read_ahead(parts, n_rows)) as found:
            for start, (places, images) in zip(starts, found, strict=False):
                own, n = np.zeros((n_jobs, n_chunks, size, 2), np.int32), places.shape[1]
                own[:, :n, :, 0], own[:, :n, :, 1] = places, rows[:, start : start + n, :, 1]
                yield own, n, images

    def _cut(self, rows: np.ndarray, size: int) -> tuple[int, int]:
        """Returns the rows of a piece, and how many times `size` rows of each job it has room for."""
        n_rows = max(2, self.piece_bytes // self.stored.row_bytes)
        at_once = size * len({own.tobytes() for own in rows})  # runs of a fold take the same ones
        return min(max(n_rows, at_once), self.stored.n_rows), max(1, n_rows // at_once)

    def _read_ahead(self, parts: Iterable[np.ndarray], n_rows: int) -> Generator[tuple[np.ndarray, Any]]:
        """Yields for each array of rows their places in a piece, and the piece on the device."""
        buffers, left = self._made(n_rows), iter(parts)

        def read(buffer: np.ndarray) -> tuple[np.ndarray, Any] | None:
            rows = next(left, None)
            if rows is None:
                return None
            own, places = np.unique(rows, return_inverse=True)
            self.stored.expect(own)
            self.stored.read(own, buffer[: len(own)])
            return places.reshape(rows.shape).astype(np.int32), backend.given(buffer)

        with ThreadPoolExecutor(1, "kerasgrid-pieces") as reader:
            coming, turn = reader.submit(read, buffers[0]), 0
            while (found := coming.result()) is not None:
                turn = 1 - turn
                coming = reader.submit(read, buffers[turn])
                yield found

    def _made(self, n_rows: int) -> list[np.ndarray]:
        """Returns two arrays of so many samples, the ones of before where they are large enough."""
        if not self._buffers or len(self._buffers[0]) < n_rows:
            self._buffers.clear()
            shape = n_rows, *self.stored.shape
            self._buffers += [_empty(shape, self.stored.dtype) for _ in range(2)]
        return [buffer[:n_rows] for buffer in self._buffers]


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Returns an array as `np.empty` does, aligned."""
    n_bytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + n_bytes].view(dtype).reshape(shape)
