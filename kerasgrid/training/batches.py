"""Batches of images in an order that depends on keys only, scaled as they are read; and augmented and
normalised for Keras's own fit, as programs do within.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.config.augment import Augment, Augmentation
from kerasgrid.data.encoding import Encoder
from kerasgrid.data.outputs import drawn_views
from kerasgrid.errors import TrialError
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import parse_reference
from kerasgrid.records import Inputs, Target
from kerasgrid.training import augmentation, backend, mixing

Prepare = Callable[[np.ndarray, int], np.ndarray]
Batch = tuple[Any, ...]
"""Images, of several inputs a tuple or dict of arrays; targets, and what each counts where they differ."""
Mix = Callable[[Batch, int], Batch]
EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Scaling:
    """How stored pixels become the model's input.

    Attributes:
        divisor: Pixels are divided by it first; None for no division.
        mean: (channel,), subtracted then; None for none.
        std: (channel,), divided by last.
        encoder: Of a table's rows, which are no pixels; None for others.
        inputs: Into which rows come apart at last, where samples have several; None for one.
    """

    divisor: float | None = None
    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    encoder: Encoder | None = None
    inputs: Inputs | None = None

    def __call__(self, images: np.ndarray) -> Any:
        """Returns float32 of the same shape; of several inputs the arrays of each, of their own dtypes."""
        return self.center(self.divide(images))

    def divide(self, images: np.ndarray) -> np.ndarray:
        """Does what comes before augmentation."""
        result = np.asarray(images if self.encoder is None else self.encoder(images), dtype=np.float32)
        return result if self.divisor is None else result / np.float32(self.divisor)

    def center(self, images: np.ndarray) -> Any:
        """Does what comes after it."""
        if self.inputs is not None:
            return self.inputs.apart(images)
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
        weights: (sample,), what each sample counts; None for the same.
        mix: Mixes the samples of a batch that is ready, given its place in the epoch.
        places: (row,), which images the rows take; None for their own.
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
        weights: np.ndarray | None = None,
        mix: Mix | None = None,
        places: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.places = places
        self.prepare, self.weights, self.mix = prepare, weights, mix
        self.images, self.targets, self.rows = images, targets, rows
        self.batch_size, self.scaling, self.first = batch_size, scaling, first

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exception: object) -> None:
        self.images = self.targets = self.rows = np.empty(0)
        self.weights = self.places = None

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size) - self.first

    def __getitem__(self, index: int) -> Batch:
        """Returns a batch: images, float32 (sample, ...), targets, and what each counts if they differ.

        Of several inputs the arrays of each are in the place of images.
        """
        start = (index + self.first) * self.batch_size
        rows = self.rows[start : start + self.batch_size]
        places = self.rows if self.places is None else self.places
        images = self.scaling.divide(self.images[places[start : start + self.batch_size]])
        if self.prepare is not None:
            images = self.prepare(images, index + self.first)
        given = self.scaling.center(images)
        # TensorFlow takes a list for one array.
        found: Batch = tuple(given) if isinstance(given, list) else given, self.targets[rows]
        if self.weights is not None:
            found = *found, self.weights[rows]
        return found if self.mix is None else self.mix(found, index + self.first)


def targets_of(labels: np.ndarray, form: str, target: Target, n_outputs: int) -> np.ndarray:
    """Returns labels in the form that a loss wants.

    Args:
        labels: As in Dataset.
        form: `sparse` for class indices; else one-hot rows, or 0 and 1 for a single output.
        target: What they are.
        n_outputs: Values that the model gives a sample.

    Returns:
        (sample,) int32, (sample, 1) float32, (sample, class) float32, or numbers as floatx has them.
    """
    if target.is_numbers:
        return labels.astype(keras.config.floatx())
    if target.is_multi_label:
        return labels.astype(np.float32)
    if form in {"sparse", "any"} and n_outputs > 1:
        return labels.astype(np.int32)
    if n_outputs == 1:
        return labels.astype(np.float32)[:, None]
    return np.eye(target.n_outputs, dtype=np.float32)[labels]


@dataclass(frozen=True)
class Preparation:
    """What a job does to its images.

    Attributes:
        how: The operations.
        function: Of one image, before it is rescaled; None for none.
    """

    how: Augmentation
    function: Callable[[np.ndarray], np.ndarray] | None = None

    @classmethod
    def of(
        cls,
        given: Augment | None,
        images: np.ndarray,
        scale: float | None,
        base: Path,
        sources: Mapping[str, str] | None = None,
    ) -> Preparation | None:
        """Returns what a config asks for; None where nothing is done.

        Args:
            given: The config.
            images: (sample, ...), as they are stored.
            scale: What they are divided by before.
            base: The folder that the reference of a function is relative to.
            sources: The hash that the source of each had when the search began.
        """
        how = Augmentation.of(given, images, scale)
        name = None if given is None else given.preprocessing_function
        if not how.structure and name is None:
            return None
        if name is None:
            return cls(how)
        return cls(how, load_function(parse_reference(name, base), (sources or {}).get(name)))

    def of_epoch(self, key: np.ndarray) -> Prepare:
        """Returns what is done to the batches that are trained on in an epoch, whose key is (2,) int32."""
        if not self.how.operations:
            return self.of_held_out
        augment = _augment(self.how)

        def prepare(images: np.ndarray, place: int) -> np.ndarray:
            drawn = augment(images, self._numbers, key, np.int32(place))
            return self.of_held_out(np.asarray(drawn), place)

        return prepare

    def mix_of_epoch(self, key: np.ndarray, class_weight: np.ndarray | None = None) -> Mix | None:
        """Returns what mixes the batches that are trained on in an epoch; None where they are not mixed.

        Args:
            key: (2,) int32, the epoch's.
            class_weight: (class,), by which each of them is weighed then; None for the same.
        """
        if not self.how.mixes:
            return None
        mixed = _mixed(self.how, class_weight is not None)

        def mix(batch: Batch, place: int) -> Batch:
            images, targets, *counts = batch
            about = (self._numbers, key, np.int32(place), class_weight)
            found = mixed(images, targets, counts[0] if counts else None, *about)
            return tuple(np.asarray(part) for part in found if part is not None)

        return mix

    @property
    def _numbers(self) -> np.ndarray:
        return np.asarray(self.how.numbers, dtype=np.float32)

    def of_held_out(self, images: np.ndarray, place: int) -> np.ndarray:
        """Does what is done to all images, augmented or not.

        Raises:
            TrialError: The function gives an image of another shape.
        """
        if self.function is not None:
            made = [np.asarray(self.function(image.copy()), dtype=np.float32) for image in images]
            if any(image.shape != images.shape[1:] for image in made):
                found, held = {image.shape for image in made}, images.shape[1:]
                raise TrialError(f"augment.preprocessing_function gives images of {found}; {held} holds.")
            images = np.stack(made)
        return np.asarray(_normalize(self.how)(images))


@dataclass(frozen=True)
class LoopData:
    """What a loop trains and measures on.

    Attributes:
        images: (sample, ...), as stored.
        targets: (sample, ...), in the form that the loss wants.
        train: Rows to train on.
        val: Rows of the inner split; None for none.
        test: Held-out rows; none where all are trained on.
        scaling: How pixels become input.
        preparation: What is done to them between their division and their centring; None for nothing.
        weights: (sample,), what each counts in training; None for the same.
        class_weight: (class,), what mixed samples count by their classes; None for the same.
        n_views: Views of each sample that follow all samples' own images, one of which it is trained on.
    """

    images: np.ndarray
    targets: np.ndarray
    train: np.ndarray
    val: np.ndarray | None
    test: np.ndarray
    scaling: Scaling
    preparation: Preparation | None = None
    weights: np.ndarray | None = None
    class_weight: np.ndarray | None = None
    n_views: int = 0
    _reader: backend.Reader = field(default_factory=backend.Reader, repr=False)

    def given(self, batches: Batches) -> Any:
        """Returns what Keras is to read batches from."""
        return self._reader(batches)

    def batches(
        self,
        rows: np.ndarray,
        batch_size: int = EVALUATION_BATCH,
        first: int = 0,
        key: np.ndarray | None = None,
    ) -> Batches:
        """Returns batches of some rows in their order.

        Where the key of an epoch is given they are trained on: augmented, mixed and weighed.
        """
        prepare, mix = self.preparing(key)
        weights, places = None if key is None else self.weights, rows
        given = self.images, self.targets, rows, batch_size, self.scaling, first, prepare, weights
        if key is not None and self.n_views:
            places = in_views(rows, key, len(self.targets), self.n_views)
        return Batches(*given, mix, places)

    def preparing(self, key: np.ndarray | None = None) -> tuple[Prepare | None, Mix | None]:
        """Returns what prepares batches and what mixes them; of an epoch that is trained on by its key."""
        how = self.preparation
        if how is None:
            return None, None
        if key is None:
            return how.of_held_out, None
        return how.of_epoch(key), how.mix_of_epoch(key, self.class_weight)


def in_views(rows: np.ndarray, key: np.ndarray, n_samples: int, n_views: int) -> np.ndarray:
    """Returns which images some rows take in an epoch, by its key: those of one of each sample's views."""
    return rows + n_samples * drawn_views(key, n_samples, n_views)[rows]


@lru_cache(maxsize=8)
def _augment(how: Augmentation) -> Callable[..., Any]:
    def run(images, numbers, key, step):
        return augmentation.augment(how, images, numbers, augmentation.draw(images.shape[0], key, step, how))

    return backend.compile(run)


@lru_cache(maxsize=8)
def _mixed(how: Augmentation, weighs: bool) -> Callable[..., Any]:
    def run(images, targets, counts, numbers, key, step, class_weight):
        uniform = augmentation.draw(images.shape[0], key, step, how)
        images, targets, counts = mixing.mix(how, (images, targets, counts), numbers, uniform)
        if weighs:
            targets, of_classes = mixing.weighed(targets, class_weight)
            counts = of_classes if counts is None else of_classes * counts
        return images, targets, counts

    return backend.compile(run)


@lru_cache(maxsize=8)
def _normalize(how: Augmentation) -> Callable[..., Any]:
    if how.rescale is None and not any(how.samplewise):
        return lambda images: images
    return backend.compile(lambda images: augmentation.normalize(how, images))
