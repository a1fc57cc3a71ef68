"""What a source gives: samples, checked, before the cache has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasgrid.data.pictures import Pictures
from kerasgrid.errors import DataError
from kerasgrid.records import Dataset, Inputs, Table, Target


@dataclass(frozen=True, eq=False)
class Joined:
    """Images of several arrays one after the other, which the cache writes without holding them in memory.

    Attributes:
        parts: Of one dtype, (sample, ...) with the same axes.
    """

    parts: tuple[np.ndarray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all of them together."""
        return len(self), *self.parts[0].shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """That of all parts."""
        return self.parts[0].dtype

    @property
    def nbytes(self) -> int:
        """What they take together."""
        return sum(part.nbytes for part in self.parts)

    def __len__(self) -> int:
        return sum(map(len, self.parts))


@dataclass(frozen=True)
class Samples:
    """What a source gives: checked images and labels.

    Attributes:
        images: (sample, height, width, channel), uint8 or float32; arrays given in Python may have
            other axes after the first. Image files are `Pictures` until the cache decodes them, and what
            it joins is `Joined`.
        labels: As in Dataset: int64, uint8 or float64, as the target's kind is.
        target: What labels are.
        table: As in Dataset; and so are `inputs`, `weights`, `groups`, `times`, `given` and `report`.
    """

    images: np.ndarray | Pictures | Joined
    labels: np.ndarray
    target: Target
    table: Table | None = None
    inputs: Inputs | None = None
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    given: np.ndarray | None = None
    report: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        dtype = {"classes": np.int64, "labels": np.uint8, "numbers": np.float64}[self.target.kind]
        if isinstance(self.images, np.ndarray):
            object.__setattr__(self, "images", np.ascontiguousarray(self.images))
        object.__setattr__(self, "labels", np.ascontiguousarray(self.labels, dtype=dtype))


def take_rows(whole: Samples | Dataset, rows: np.ndarray) -> Samples:
    """Returns some of the samples, in the order of `rows`, with all that is known of each."""
    weights, groups, times, given = (
        None if values is None else values[rows]
        for values in (whole.weights, whole.groups, whole.times, whole.given)
    )
    images: Any = whole.images
    taken = images[rows], whole.labels[rows], whole.target, whole.table, whole.inputs
    return Samples(*taken, weights, groups, times, given, whole.report)


def check_samples(images: np.ndarray | Pictures, labels: np.ndarray, where: str) -> None:
    """Holds that images and labels belong together.

    Raises:
        DataError: Their lengths differ, or there are none.
    """
    if len(images) != len(labels):
        what = "numbers to predict of" if labels.dtype.kind == "f" else "labels of"
        raise DataError(
            f"{where}: {len(images)} samples, but {what} {len(labels)}: do the two belong together?"
        )
    if not len(images):
        raise DataError(f"{where}: no samples.")
