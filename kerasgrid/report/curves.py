"""What learning curves tell: whether they still rise, and whether a net fits too much or too little."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.errors import ResultsError
from kerasgrid.report.comparison import ALPHA
from kerasgrid.space.dimensions import all_known
from kerasgrid.tables.table import read_history

FEWEST_EPOCHS = 6
_OVERFIT = 0.05
"""The share by which the held-out loss has to have risen from its lowest."""


@dataclass(frozen=True)
class Curves:
    """A trial's curves, averaged over its folds and repeats, to the epoch that all of them have reached.

    Attributes:
        row: The trial's place in the table.
        train: (epoch,) float64, the objective on training batches; empty where not recorded.
        test: (epoch,) float64, the objective on held-out rows; empty where not recorded.
        train_loss: As `train`.
        test_loss: As `test`.
    """

    row: int
    train: np.ndarray = field(default_factory=lambda: np.empty(0))
    test: np.ndarray = field(default_factory=lambda: np.empty(0))
    train_loss: np.ndarray = field(default_factory=lambda: np.empty(0))
    test_loss: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def recorded(self) -> dict[str, np.ndarray]:
        """Those that are not empty, by name."""
        named = {"train": self.train, "test": self.test}
        named |= {"train_loss": self.train_loss, "test_loss": self.test_loss}
        return {name: curve for name, curve in named.items() if len(curve)}


def curves_of(row: int, histories: Sequence[Mapping[str, Any] | Path], metric: str) -> Curves | None:
    """Returns a trial's curves; None where nothing was recorded without gaps, or a file of them is missing.

    Args:
        row: The trial's place in the table.
        histories: Of its folds and repeats, or the files that hold them.
        metric: The objective as histories call it, such as `accuracy`.
    """
    try:
        read = [read_history(history) for history in histories]
    except ResultsError:
        return None
    found = Curves(
        row,
        train=_mean(read, metric),
        test=_mean(read, f"test_{metric}"),
        train_loss=_mean(read, "loss"),
        test_loss=_mean(read, "test_loss"),
    )
    return found if found.recorded else None


def rise(
    curve: np.ndarray, sign: int, least: float = 0.0, n_curves: int = 1, is_chosen: bool = False
) -> float | None:
    """Returns by how much a curve still improves an epoch at its end; None where it does not clearly.

    The slope of a straight line through the last third of the epochs (at least four) has to be clear by
    Student's t (one-sided, 5%), after Bonferroni's correction for all curves that are looked at.

    Args:
        curve: (epoch,).
        sign: 1 where a larger value is better.
        least: What half as many epochs again have to gain, at that slope, for it to matter.
        n_curves: Curves that are looked at.
        is_chosen: Whether it was chosen by its last value, which is then left out: chance has raised it.
    """
    from scipy import stats

    if len(curve) < FEWEST_EPOCHS:
        return None
    end = len(curve) - is_chosen
    tail = curve[end - max(4, len(curve) // 3) : end] * sign
    x = np.arange(len(tail)) - (len(tail) - 1) / 2
    slope = float(x @ tail / (x @ x))
    rest = tail - tail.mean() - slope * x
    error = math.sqrt(float(rest @ rest) / (len(tail) - 2) / float(x @ x))
    matters = slope * len(curve) / 2 > max(least, 1e-9 * float(np.abs(curve).max()))
    bound = float(stats.t.isf(ALPHA / n_curves, len(tail) - 2))
    return slope if matters and slope > bound * error else None


def rise_of_best(curves: Sequence[Curves], sign: int, least: float = 0.0) -> float | None:
    """Returns by how much the mean held-out curve of the best still improves an epoch at its end.

    Args:
        curves: Of the best trials; those with fewer epochs than the longest are left out.
        sign: As in rise.
        least: As in rise.
    """
    longest = max((len(found.test) for found in curves), default=0)
    tests = [found.test for found in curves if len(found.test) == longest > 0]
    return rise(np.mean(tests, axis=0), sign, least, is_chosen=True) if tests else None


def is_overfit(curves: Curves) -> bool:
    """Says whether the held-out loss has risen by 5% or more from its lowest while the training loss fell.

    Both are means over three epochs, so that one bad epoch is no overfitting.
    """
    if min(len(curves.test_loss), len(curves.train_loss)) < FEWEST_EPOCHS:
        return False
    test, train = _smooth(curves.test_loss), _smooth(curves.train_loss)
    lowest = int(np.argmin(test))
    rises = test[-1] - test[lowest] > _OVERFIT * abs(test[lowest])  # a loss may be below zero
    return bool(rises and train[-1] < train[lowest])


def is_underfit(curves: Curves, best: float, worst_gap: float, sign: int) -> bool:
    """Says whether a net is behind the best on its training rows, too, and hardly better there.

    Args:
        curves: Of the trial.
        best: The best trial's mean score on held-out rows.
        worst_gap: What its own held-out score must be behind `best` for this to matter.
        sign: 1 where a larger score is better.
    """
    if not len(curves.train) or not len(curves.test):
        return False
    train, test = float(curves.train[-1]), float(curves.test[-1])
    return (
        sign * (best - train) > 0 and sign * (best - test) > worst_gap and sign * (train - test) < worst_gap
    )


def _mean(histories: Sequence[Mapping[str, Sequence[Any]]], name: str) -> np.ndarray:
    """Returns a metric's mean over histories, (epoch,); empty where one lacks it or has a gap in it."""
    length = min((len(history.get(name, ())) for history in histories), default=0)
    series = [history[name][:length] for history in histories] if length else []
    if not series or not all(map(all_known, series)):
        return np.empty(0)
    return np.mean(np.array(series, dtype=float), axis=0)


def _smooth(values: np.ndarray) -> np.ndarray:
    return np.convolve(values, np.ones(3) / 3, mode="valid")
