"""The steps of an epoch, of equal shapes for all folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np


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
        """Returns the rows of the full steps, and (rows, weights) of each ragged step."""
        cut = self.n_full * self.batch_size
        ragged = []
        for size in self.ragged:
            part = rows[cut : cut + size]
            weights = np.zeros(size, dtype=keras.config.floatx())
            weights[: len(part)] = 1
            ragged.append((np.pad(part, (0, size - len(part))).astype(np.int32), weights))
            cut += size
        return rows[: self.n_full * self.batch_size].astype(np.int32), ragged
