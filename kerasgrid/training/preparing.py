"""Augmentation and normalisation of batches on the way to Keras's own fit: what programs do within."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from kerasgrid.augment import Augmentation
from kerasgrid.errors import TrialError
from kerasgrid.seeds import first_step
from kerasgrid.training import augmentation, backend
from kerasgrid.training.batches import Prepare


@dataclass(frozen=True)
class Preparation:
    """What a job does to its images.

    Attributes:
        how: The operations.
        key: (2,) int32 of the job.
        function: Of one image, before it is rescaled; None for none.
    """

    how: Augmentation
    key: np.ndarray
    function: Callable[[np.ndarray], np.ndarray] | None = None

    def of_epoch(self, epoch: int) -> Prepare | None:
        """Returns what is done to the batches that are trained on in an epoch, from 0."""
        if not self.how.operations:
            return self.of_held_out
        numbers = np.asarray(self.how.numbers, dtype=np.float32)
        augment, begin = _augment(self.how), first_step(epoch)

        def prepare(images: np.ndarray, place: int) -> np.ndarray:
            step = np.int32(begin + np.int32(place))
            return self.of_held_out(np.asarray(augment(images, numbers, self.key, step)), place)

        return prepare

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


@lru_cache(maxsize=8)
def _augment(how: Augmentation) -> Callable[..., Any]:
    def run(images, numbers, key, step):
        return augmentation.augment(how, images, numbers, augmentation.draw(images.shape[0], key, step))

    return backend.compile(run)


@lru_cache(maxsize=8)
def _normalize(how: Augmentation) -> Callable[..., Any]:
    if how.rescale is None and not any(how.samplewise):
        return lambda images: images
    return backend.compile(lambda images: augmentation.normalize(how, images))
