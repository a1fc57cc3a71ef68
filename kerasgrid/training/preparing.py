"""Augmentation and normalisation of batches on the way to Keras's own fit: what programs do within."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.config.augment import Augment, Augmentation
from kerasgrid.errors import TrialError
from kerasgrid.models.signature import load_function, parse_reference
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

    @classmethod
    def of(
        cls,
        given: Augment | None,
        images: np.ndarray,
        scale: float | None,
        key: np.ndarray,
        base: Path,
        sources: Mapping[str, str] | None = None,
    ) -> Preparation | None:
        """Returns what a config asks for; None where nothing is done.

        Args:
            given: The config.
            images: (sample, ...), as they are stored.
            scale: What they are divided by before.
            key: (2,) int32 of the job.
            base: The folder that the reference of a function is relative to.
            sources: The hash that the source of each had when the search began.
        """
        how = Augmentation.of(given, images, scale)
        name = None if given is None else given.preprocessing_function
        if not how.structure and name is None:
            return None
        if name is None:
            return cls(how, key)
        return cls(how, key, load_function(parse_reference(name, base), (sources or {}).get(name)))

    def of_epoch(self, epoch: int) -> Prepare:
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
