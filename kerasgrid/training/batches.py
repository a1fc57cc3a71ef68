"""Batches of images in an order that depends on keys only, scaled as they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from kerasgrid.records import Dataset

Prepare = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Scaling:
    """How stored pixels become the model's input.

    Attributes:
        divisor: Pixels are divided by it first; None for no division.
        mean: (channel,), subtracted then; None for none.
        std: (channel,), divided by last.
    """

    divisor: float | None = None
    mean: np.ndarray | None = None
    std: np.ndarray | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 of the same shape."""
        return self.center(self.divide(images))

    def divide(self, images: np.ndarray) -> np.ndarray:
        """Does what comes before augmentation."""
        result = np.asarray(images, dtype=np.float32)
        return result if self.divisor is None else result / np.float32(self.divisor)

    def center(self, images: np.ndarray) -> np.ndarray:
        """Does what comes after it."""
        if self.mean is None or self.std is None:
            return images
        return (images - self.mean.astype(np.float32)) / self.std.astype(np.float32)


class Batches(keras.utils.PyDataset):
    """Batches of some rows of a dataset, in the order given.

    A context manager that lets go of the arrays at its end: TensorFlow's default graph keeps every
    PyDataset that it has read from.

    Args:
        images: (sample, ...), as stored; may be mapped from disk.
        targets: (sample, ...), in the form that the loss wants.
        rows: Indices of the samples, in the order in which they come.
        batch_size: Samples a batch; the last one may have fewer.
        scaling: Applied to each batch as it is read, so that memory stays level.
        first: The first batch; those before it are left out.
        prepare: Augments and normalises images that are divided, given the batch's place in the epoch.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        batch_size: int,
        scaling: Scaling,
        first: int = 0,
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__()
        self.prepare = prepare
        self.images, self.targets, self.rows = images, targets, rows
        self.batch_size, self.scaling, self.first = batch_size, scaling, first

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exception: object) -> None:
        self.images = self.targets = self.rows = np.empty(0)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size) - self.first

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns images, float32 (sample, ...), and targets of a batch."""
        start = (index + self.first) * self.batch_size
        rows = self.rows[start : start + self.batch_size]
        images = self.scaling.divide(self.images[rows])
        if self.prepare is not None:
            images = self.prepare(images, index + self.first)
        return self.scaling.center(images), self.targets[rows]


def encode_labels(labels: np.ndarray, form: str, n_classes: int, n_outputs: int) -> np.ndarray:
    """Returns labels in the form that a loss wants.

    Args:
        labels: (sample,), class indices; or (sample, label) of 0 and 1.
        form: `sparse` for class indices; else one-hot rows, or 0 and 1 for a single output.
        n_classes: The number of classes.
        n_outputs: Values that the model gives a sample.

    Returns:
        (sample,) int32, (sample, 1) float32 or (sample, class) float32.
    """
    if labels.ndim == 2:
        return labels.astype(np.float32)
    if form in {"sparse", "any"} and n_outputs > 1:
        return labels.astype(np.int32)
    if n_outputs == 1:
        return labels.astype(np.float32)[:, None]
    return np.eye(n_classes, dtype=np.float32)[labels]


def open_dataset(folder: str, source: str) -> Dataset:
    """Maps the arrays that the driver has prepared from disk."""
    images = np.load(f"{folder}/images.npy", mmap_mode="r")
    labels = np.load(f"{folder}/labels.npy")
    return Dataset(images, labels, classes=(), fingerprint="", source=source, folder=folder)
