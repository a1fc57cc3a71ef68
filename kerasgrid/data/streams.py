"""Samples to predict, a few rows at a time: they need no labels, and may be more than memory holds."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.arrays import as_pixels, product, shape_images
from kerasgrid.errors import DataError

CHUNK_BYTES = 1 << 25


def read_rows(
    file: io.BufferedIOBase, shape: Sequence[int], dtype: np.dtype, where: str
) -> Iterator[np.ndarray]:
    """Yields the rows of an array of the promised shape, in C order, from the file's position.

    Args:
        file: Open for reading.
        shape: (row, ...).
        dtype: As it is stored.
        where: How a message begins.

    Raises:
        DataError: The file ends before, or goes on after, what it promises.
    """
    n_rows, row_bytes = shape[0], product(shape[1:]) * dtype.itemsize
    at_once = max(1, CHUNK_BYTES // max(row_bytes, 1))
    for first in range(0, n_rows, at_once):
        n = min(at_once, n_rows - first)
        data = _read_all(file, n * row_bytes)
        if len(data) < n * row_bytes:
            n_read = first * row_bytes + len(data)
            raise DataError(
                f"{where}: truncated: its header promises {n_rows * row_bytes:,} bytes of values, and "
                f"{n_read:,} are there. Fetch the file again."
            )
        yield np.frombuffer(data, dtype).reshape(n, *shape[1:]).astype(dtype.newbyteorder("="), copy=False)
    if file.read(1):
        raise DataError(
            f"{where}: more bytes follow the {n_rows * row_bytes:,} that its header promises. Fetch the file "
            "again."
        )


def _read_all(file: io.BufferedIOBase, n_bytes: int) -> bytearray:
    """Returns so many bytes, or what is left; a stream gives less than is asked for."""
    data = bytearray()
    while len(data) < n_bytes:
        part = file.read(n_bytes - len(data))
        if not part:
            break
        data += part
    return data


@dataclass(frozen=True)
class Chunk:
    """Some samples in their order.

    Attributes:
        images: (sample, height, width, channel), or other axes as the training data has them; uint8 or
            float32, as stored.
        ids: Of each, as the file spells it; None where it has none.
        labels: Of each, int or str; None where it has none.
    """

    images: np.ndarray
    ids: list[str] | None = None
    labels: list[Any] | None = None


@dataclass(frozen=True)
class Stream:
    """Samples that can be read, more than once.

    Attributes:
        name: What messages call them.
        chunks: Reads them from the first on.
    """

    name: str
    chunks: Callable[[], Iterator[Chunk]]

    def batches(self, size: int) -> Iterator[Chunk]:
        """Yields the samples in chunks of `size`, whatever the file gives; the last one may have fewer."""
        left: list[Chunk] = []
        n_left = 0
        for chunk in self.chunks():
            left.append(chunk)
            n_left += len(chunk.images)
            if n_left < size:
                continue
            whole = _joined(left)
            for first in range(0, n_left - size + 1, size):
                yield _part(whole, first, first + size)
            rest = _part(whole, n_left - n_left % size, n_left)
            left, n_left = ([rest] if len(rest.images) else []), len(rest.images)
        if n_left:
            yield _joined(left)


def rows_of_array(file: Path, rows: np.ndarray) -> Iterator[Chunk]:
    """Yields some rows of a .npy file's array, in their order."""
    images = np.load(file, mmap_mode="r")
    at_once = max(1, CHUNK_BYTES // max(images[:1].nbytes, 1))
    for first in range(0, len(rows), at_once):
        yield Chunk(images[rows[first : first + at_once]])


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    first = chunks[0]
    return Chunk(
        np.concatenate([chunk.images for chunk in chunks]),
        None if first.ids is None else [id for chunk in chunks for id in chunk.ids or ()],
        None if first.labels is None else [label for chunk in chunks for label in chunk.labels or ()],
    )


def _part(chunk: Chunk, first: int, last: int) -> Chunk:
    return Chunk(
        chunk.images[first:last],
        None if chunk.ids is None else chunk.ids[first:last],
        None if chunk.labels is None else chunk.labels[first:last],
    )


def fitting(pixels: np.ndarray, shape: Sequence[int], where: str) -> np.ndarray:
    """Returns images of the training samples' shape.

    Raises:
        DataError: They have another one.
    """
    pixels, wanted = as_pixels(pixels, where), tuple(shape)
    if len(wanted) == 3:
        if pixels.ndim > 2:
            axes = pixels.shape[1:] if pixels.ndim != 3 else (*pixels.shape[1:], 1)
            if axes != wanted:
                raise DataError(f"{where}: images of {list(axes)}, and those trained on have {list(wanted)}.")
        return shape_images(pixels, wanted, where)
    if pixels.shape[1:] != wanted:
        found = list(pixels.shape[1:])
        raise DataError(f"{where}: samples of {found}, and those trained on have {list(wanted)}.")
    return pixels
