"""Pictures of what augmentation does to samples."""

from __future__ import annotations

import numpy as np

from kerasgrid.config.augment import Augment, Augmentation
from kerasgrid.training import backend
from kerasgrid.training.augmentation import augment, draw
from kerasgrid.training.mixing import mixed

GAP = 2
"""Pixels between images."""


def augmented_rows(images: np.ndarray, given: Augment, n_draws: int, seed: int = 0) -> np.ndarray:
    """Returns rows of images: each as it is stored, and then as epochs would see it.

    Where samples are mixed, each is with the one in the next row.

    Args:
        images: (sample, height, width, channel), as they are stored; all of them are shown.
        given: The augmentation; its normalisation is left out, since it has no picture.
        n_draws: Augmented images a row.
        seed: Another one draws others.

    Returns:
        (height, width, 3) uint8, on white; the darkest pixel stored is black and the brightest white.
    """
    how = Augmentation.of(given, images)
    numbers = np.asarray(how.numbers, dtype=np.float32)
    stored = np.asarray(images, dtype=np.float32)
    columns = [stored]
    for epoch in range(n_draws if how.operations else 0):
        uniform = draw(len(images), np.array([seed, epoch], dtype=np.int32), np.int32(0), how)
        drawn = augment(how, backend.to_device(stored), numbers, uniform)
        if how.mixes:
            drawn, _ = mixed(how, drawn, numbers, uniform)
        columns.append(backend.to_host(drawn))
    low, high = stored.min(), stored.max()
    cells = np.stack(columns, axis=1)  # row, column, height, width, channel
    cells = np.clip((cells - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
    cells = np.repeat(cells, 3, axis=-1) if cells.shape[-1] == 1 else cells[..., :3]
    cells = np.pad(cells, [(0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)], constant_values=255)
    rows = [np.concatenate(list(row), axis=1) for row in cells]
    return np.concatenate(rows, axis=0)
