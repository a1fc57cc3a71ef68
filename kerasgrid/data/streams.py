"""Samples to predict, a few rows at a time: they need no labels, and may be more than memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.arrays import CHUNK_BYTES, StoredArray, as_pixels, shape_images
from kerasgrid.data.pictures import Pictures
from kerasgrid.errors import DataError


@dataclass(frozen=True)
class Chunk:
    """Some samples in their order.

    Attributes:
        images: (sample, height, width, channel), or other axes as the training data has them; uint8 or
            float32, as stored. Of a table (row, column) float64, as `Dataset` has them.
        ids: Of each, as the file spells it; None where it has none.
        labels: Of each, int, float or str, or a tuple of numbers to predict; None where it has none.
    """

    images: np.ndarray
    ids: list[str] | None = None
    labels: list[Any] | None = None

    def part(self, first: int, last: int) -> Chunk:
        """Returns the samples from the one place to before the other."""
        own = (values if values is None else values[first:last] for values in (self.ids, self.labels))
        return Chunk(self.images[first:last], *own)


@dataclass(frozen=True)
class Stream:
    """Samples that can be read, more than once.

    Attributes:
        name: What messages call them.
        chunks: Reads them from the first on.
        notes: What was guessed of them.
        pictures: The image files that `chunks` decodes; None where samples are none.
    """

    name: str
    chunks: Callable[[], Iterator[Chunk]]
    notes: tuple[str, ...] = ()
    pictures: Pictures | None = None

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
                yield whole.part(first, first + size)
            rest = whole.part(n_left - n_left % size, n_left)
            left, n_left = ([rest] if len(rest.images) else []), len(rest.images)
        if n_left:
            yield _joined(left)


def rows_of_array(file: Path, rows: np.ndarray) -> Iterator[Chunk]:
    """Yields some rows of a .npy file's array, in their order."""
    images = np.load(file, mmap_mode="r")
    at_once = max(1, CHUNK_BYTES // max(images[:1].nbytes, 1))
    for first in range(0, len(rows), at_once):
        yield Chunk(images[rows[first : first + at_once]])


def chunks_of(
    stored: StoredArray,
    shape: Sequence[int],
    ids: list[str] | None = None,
    labels: list[Any] | None = None,
) -> Iterator[Chunk]:
    """Yields the samples in an array of a file.

    Args:
        stored: Its images, (sample, ...).
        shape: Of a training sample.
        ids: Of all samples; None where they have none.
        labels: Likewise.

    Raises:
        DataError: The images are damaged or of another shape, or ids or labels are more or fewer.
    """
    where, n_samples = stored.where, stored.shape[0] if stored.shape else 0
    if not n_samples:
        raise DataError(f"{where}: no samples.")
    parts = stored.rows()
    for what, values in (("ids", ids), ("labels", labels)):
        if values is not None and len(values) != n_samples:
            raise DataError(f"{where}: {n_samples:,} images, but {len(values):,} {what}. Each image has one.")
    first = 0
    for part in parts:
        last = first + len(part)
        yield Chunk(fitting(part, shape, where), ids and ids[first:last], labels and labels[first:last])
        first = last


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    first = chunks[0]
    return Chunk(
        np.concatenate([chunk.images for chunk in chunks]),
        None if first.ids is None else [id for chunk in chunks for id in chunk.ids or ()],
        None if first.labels is None else [label for chunk in chunks for label in chunk.labels or ()],
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
