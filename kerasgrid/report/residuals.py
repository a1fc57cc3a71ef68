"""How far the best trial's predicted numbers are from the true ones, and of which samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kerasgrid.report.comparison import ALPHA
from kerasgrid.tables.predictions import Predictions
from kerasgrid.tables.table import finite

N_WORST = 24
_N_PARTS = 10
_FEWEST = 50
"""Samples from which on tenths are told apart."""
_GROWN = 1.5
"""Errors of a tenth that are so many times as large as others' are told."""
_FEW = 0.03
"""Of samples that make half of the squared error, where a tenth or more is usual."""
_FEWEST_FEW = 20


@dataclass(frozen=True)
class Miss:
    """A sample and what is predicted of it; `index` is its place in the data."""

    index: int
    true: float
    predicted: float

    @property
    def residual(self) -> float:
        """The true number less the predicted one."""
        return self.true - self.predicted


@dataclass(frozen=True)
class Tenth:
    """Samples of neighbouring predictions.

    Attributes:
        low: The least prediction among them.
        high: The largest one.
        true: Their mean true number.
        predicted: Their mean prediction.
        error: Their median absolute error.
    """

    n_samples: int
    low: float
    high: float
    true: float
    predicted: float
    error: float


@dataclass(frozen=True)
class TargetResiduals:
    """Of the held-out predictions of one target. A residual is the true number less the predicted one.

    Attributes:
        name: The target's.
        true: (row,) float64.
        predicted: (row,) float64.
        worst: The largest residuals, at most N_WORST.
    """

    name: str
    true: np.ndarray
    predicted: np.ndarray
    worst: tuple[Miss, ...]

    @property
    def n_samples(self) -> int:
        """Held-out samples."""
        return len(self.true)

    @cached_property
    def residuals(self) -> np.ndarray:
        """(row,) float64."""
        return self.true - self.predicted

    @property
    def r2(self) -> float | None:
        """The share of the variance that is explained; None where all true numbers are equal."""
        spread = float(((self.true - self.true.mean()) ** 2).sum())
        return finite(1 - float((self.residuals**2).sum()) / spread) if spread else None

    @property
    def mean_absolute_error(self) -> float:
        """In the target's unit."""
        return float(np.abs(self.residuals).mean())

    @property
    def median_absolute_error(self) -> float:
        """In the target's unit; half of the samples are off by less."""
        return float(np.median(np.abs(self.residuals)))

    @property
    def root_mean_squared_error(self) -> float:
        """In the target's unit."""
        return float(np.sqrt((self.residuals**2).mean()))

    @property
    def bias(self) -> float:
        """The mean residual: above 0 where predictions are too low."""
        return float(self.residuals.mean())

    @cached_property
    def bias_interval(self) -> tuple[float, float] | None:
        """The 95% interval of the bias, by Student's t over samples; None where it cannot be told."""
        from scipy import stats

        if self.n_samples < 2 or not self.residuals.std():
            return None
        half = stats.t.ppf(1 - ALPHA / 2, self.n_samples - 1) * stats.sem(self.residuals)
        return self.bias - float(half), self.bias + float(half)

    @cached_property
    def growth(self) -> float | None:
        """How many times as large the errors of the tenth with the largest predictions are as all others'.

        It is the ratio of median absolute errors. None where it is below _GROWN, may be chance by a
        rank-sum test, or cannot be told.
        """
        from scipy import stats

        if self.n_samples < _FEWEST:
            return None
        order, errors = np.argsort(self.predicted, kind="stable"), np.abs(self.residuals)
        n_top = self.n_samples // _N_PARTS
        others, top = errors[order[:-n_top]], errors[order[-n_top:]]
        usual = float(np.median(others))
        ratio = float(np.median(top)) / usual if usual else 0.0
        is_clear = stats.mannwhitneyu(top, others, alternative="greater").pvalue < ALPHA
        return ratio if ratio >= _GROWN and is_clear else None

    @property
    def n_half(self) -> int | None:
        """How few samples make half of the squared error; None where they are not few."""
        squares = np.sort(self.residuals**2)[::-1].cumsum()
        if self.n_samples < _FEWEST_FEW or not squares[-1] or not np.isfinite(squares[-1]):
            return None
        n = int(np.searchsorted(squares, squares[-1] / 2)) + 1
        return n if n <= max(1, _FEW * self.n_samples) else None

    def tenths(self) -> list[Tenth]:
        """Returns samples in ten parts of equal size, or fewer, by their predictions."""
        order = np.argsort(self.predicted, kind="stable")
        parts = np.array_split(order, min(_N_PARTS, self.n_samples))
        return [
            Tenth(
                n_samples=len(rows),
                low=float(self.predicted[rows[0]]),
                high=float(self.predicted[rows[-1]]),
                true=float(self.true[rows].mean()),
                predicted=float(self.predicted[rows].mean()),
                error=float(np.median(np.abs(self.residuals[rows]))),
            )
            for rows in parts
        ]

    def as_json(self) -> dict[str, Any]:
        """Returns plain values; single predictions are in oof.npz."""
        interval = self.bias_interval
        return {
            "target": self.name,
            "samples": self.n_samples,
            "r2": self.r2,
            "mean_absolute_error": self.mean_absolute_error,
            "median_absolute_error": self.median_absolute_error,
            "root_mean_squared_error": self.root_mean_squared_error,
            "mean_residual": self.bias,
            "mean_residual_interval": None if interval is None else list(interval),
            "growth": self.growth,
            "samples_of_half_the_squared_error": self.n_half,
            "tenths": [vars(one) for one in self.tenths()],
            "worst": [
                {"index": one.index, "true": one.true, "predicted": one.predicted, "residual": one.residual}
                for one in self.worst
            ],
        }


@dataclass(frozen=True)
class Residuals:
    """Of one trial's held-out predictions.

    Attributes:
        targets: Each target's.
        worst_samples: The places in the data of the samples that are furthest off in all targets, each
            residual by the spread of its target; at most N_WORST.
        images: By a sample's place, (height, width, channel); of a few only.
        names: Likewise, what they are called.
    """

    targets: tuple[TargetResiduals, ...]
    worst_samples: tuple[int, ...]
    images: Mapping[int, np.ndarray]
    names: Mapping[int, str]

    def as_json(self) -> dict[str, Any]:
        """Returns plain values; images are left out."""
        return {"targets": [one.as_json() for one in self.targets]}


def residuals_of(predictions: Predictions) -> Residuals:
    """Returns the residuals of predicted numbers, equal ones in the data's order."""
    true = predictions.labels.astype(np.float64)
    predicted = predictions.predicted.astype(np.float64)
    sizes = np.abs(true - predicted)
    scales = true.std(axis=0) if len(true) else np.ones(true.shape[1])
    scales[scales == 0] = 1

    def worst(of: np.ndarray) -> np.ndarray:
        return np.argsort(-of, kind="stable")[:N_WORST]

    targets = tuple(
        TargetResiduals(
            name=name,
            true=true[:, place],
            predicted=predicted[:, place],
            worst=tuple(
                Miss(int(predictions.index[row]), float(true[row, place]), float(predicted[row, place]))
                for row in worst(sizes[:, place])
            ),
        )
        for place, name in enumerate(predictions.target.names)
    )
    overall = worst(np.hypot.reduce(sizes / scales, axis=1)) if len(true) else np.empty(0, np.int64)
    places = tuple(predictions.index[overall].tolist())
    names = {index: predictions.name(index) for index in places}
    return Residuals(targets, places, predictions.images, names)
