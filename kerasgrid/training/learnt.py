"""What is learnt of the rows that a fold trains on before any net is, or given in its place: statistics of
channels, of a table's columns, and of the numbers to predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from kerasgrid.config.augment import Augment
from kerasgrid.data.cache import map_samples
from kerasgrid.data.encoding import Encoder
from kerasgrid.data.folds import load_folds
from kerasgrid.data.statistics import TargetScale, standardize_statistics
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.records import WHOLE, Dataset, Fold


@dataclass(frozen=True, eq=False)
class Learnt:
    """What stands between samples as they are stored and what a net takes and gives.

    Attributes:
        center: (channel,) each, what is subtracted of divided images and what they are divided by; None for
            neither.
        encoder: Of a table's rows; None for other samples.
        scale: Of the numbers to predict; None where a net predicts them as they are.
    """

    center: tuple[np.ndarray, np.ndarray] | None = None
    encoder: Encoder | None = None
    scale: TargetScale | None = None

    @classmethod
    def of(cls, recipe: Recipe, data: Dataset, fold: Fold, augment: Augment | None) -> Learnt:
        """Returns what is learnt of a fold's training rows, the inner split's too; of files once a process.

        Args:
            recipe: Says what is asked for.
            data: All samples.
            fold: WHOLE for all of them as its training rows say.
            augment: ImageDataGenerator's featurewise normalisation learns too.
        """
        is_table, is_standardized = data.table is not None, recipe.standardize and data.table is None
        is_normalized = augment is not None and augment.has_statistics
        center = None if recipe.normalize is None else _given(recipe.normalize, data.images.shape[-1])
        if not (is_table or is_standardized or is_normalized or recipe.target_scale is not None):
            return cls(center)  # nothing is read
        rows = _rows(recipe, data, fold)
        if is_standardized:
            center = rows.statistics(recipe.scale)
        elif augment is not None and augment.has_statistics:
            center = augment.center_and_spread(*rows.statistics(recipe.scale))
        encoder = rows.encoder(recipe.takes_codes) if is_table else None
        scale = None if recipe.target_scale is None else rows.target_scale(recipe.target_scale)
        return cls(center, encoder, scale)

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        """Returns what a net's outputs, (row, ...), say of the numbers to predict: (row, number) float64."""
        values = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
        return values if self.scale is None else self.scale.undo(values)


def _given(
    figures: tuple[Sequence[float], Sequence[float]], n_channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns given means and stds, (channel,) float64 each, of figures for each channel or for all."""
    mean, std = (np.broadcast_to(np.asarray(own, np.float64), n_channels).copy() for own in figures)
    return mean, std


class _Rows:
    """What is learnt of some rows of samples, each asked for once.

    Attributes:
        statistics: Of what pixels are divided by, as `standardize_statistics`.
        encoder: Of whether a table's categories are codes.
        target_scale: Of how numbers to predict are scaled.
    """

    def __init__(self, data: Dataset, rows: np.ndarray) -> None:
        def encoder(codes: bool) -> Encoder:
            assert data.table is not None
            return Encoder.fit(data.table, data.images, rows, codes)

        self.statistics = cache(lambda scale: standardize_statistics(data.images, rows, scale))
        self.encoder = cache(encoder)
        self.target_scale = cache(lambda how: TargetScale.learn(how, data.labels[rows]))


def _rows(recipe: Recipe, data: Dataset, fold: Fold) -> _Rows:
    """Returns what a fold's training rows teach; of samples in files it is kept in this process."""
    if data.folder is None:
        return _Rows(data, fold.train)
    folder = Path(recipe.data_folder)
    where = folder, (folder / "images.npy").stat().st_mtime_ns, recipe.source
    if fold.index == WHOLE:
        return _rows_of_all(*where, len(fold.train))
    folds = recipe.paths.folds
    return _rows_of_fold(*where, folds, folds.stat().st_mtime_ns, fold.index)


@lru_cache(maxsize=4)
def kept_folds(path: Path, _changed_at: int, n_samples: int, source: str) -> tuple[Fold, ...]:
    """Returns the folds of a file that was changed at a time, in nanoseconds; read once in this process."""
    return tuple(load_folds(path, n_samples, source)[0])


@lru_cache(maxsize=64)
def _rows_of_fold(
    folder: Path, _changed_at: int, source: str, folds: Path, folds_changed_at: int, fold: int
) -> _Rows:
    data = map_samples(folder, source)
    return _Rows(data, kept_folds(folds, folds_changed_at, len(data), source)[fold].train)


@lru_cache(maxsize=2)
def _rows_of_all(folder: Path, _changed_at: int, source: str, n_rows: int) -> _Rows:
    return _Rows(map_samples(folder, source), np.arange(n_rows))
