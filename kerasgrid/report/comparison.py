"""Which candidates can be told from the best, and which one to take if time counts.

Two candidates are compared over the same folds by the corrected resampled t-test of Nadeau and Bengio
(Inference for the Generalization Error, Machine Learning 52, 2003). Training sets of different folds
share samples, so that differences over folds vary less than those over new data would; the test takes
their variance times (1/n + n_test/n_train) in place of 1/n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05
"""Candidates with a larger p-value cannot be told apart."""
QUICKER = 0.95
"""The share of another's time below which a candidate is quicker by enough to be taken for it."""


@dataclass(frozen=True)
class Contender:
    """A complete trial, as it is compared.

    Attributes:
        row: Its place in the table.
        mean: Its mean score.
        std: Over its folds; None where the file does not say.
        fit_time: Seconds a fold; None where the file does not say.
        p_value: That of its difference to the best; None for the best itself, and where there are
            no scores of two folds or more.
    """

    row: int
    mean: float
    std: float | None
    fit_time: float | None
    p_value: float | None = None

    @property
    def is_level(self) -> bool:
        """Whether it cannot be told from the best."""
        return self.p_value is not None and self.p_value > LEVEL


def p_value(first: Sequence[float], second: Sequence[float], test_by_train: float | None = None) -> float:
    """Returns the two-sided p-value of two candidates' scores over the same folds.

    Args:
        first: A score a fold, at least two.
        second: The other one's, in the same order.
        test_by_train: Held-out samples over training samples of a fold; 1/(n-1) by default, as in
            n-fold cross-validation.
    """
    from scipy import stats

    gain = np.asarray(first, float) - np.asarray(second, float)
    mean, error = float(gain.mean()), _error(gain, test_by_train)
    if error <= 1e-12 * max(1.0, abs(mean)):
        return 1.0 if abs(mean) <= 1e-12 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, len(gain) - 1))


def fold_interval(gain: np.ndarray, n_intervals: int = 1) -> tuple[float, float]:
    """Returns the 95% interval of a mean gain, by the same test.

    Args:
        gain: (fold,), at least two.
        n_intervals: That it is one of, which shall hold all at once (Bonferroni).
    """
    from scipy import stats

    mean, error = float(gain.mean()), _error(gain)
    half = float(stats.t.isf(LEVEL / 2 / n_intervals, len(gain) - 1)) * error
    return mean - half, mean + half


def front(contenders: Sequence[Contender], sign: int) -> list[Contender]:
    """Returns the Pareto front of score and fit time, the quickest first.

    No other candidate is both at least as good and at least as quick, and one of them truly.
    """
    timed = [one for one in contenders if one.fit_time is not None]
    found: list[Contender] = []
    for one in sorted(timed, key=lambda one: (one.fit_time, -sign * one.mean)):
        if not found or sign * one.mean > sign * found[-1].mean:
            found.append(one)
    return found


def pick(on_front: Sequence[Contender], best: Contender, n_folds: int, sign: int) -> Contender | None:
    """Returns the one to take if time counts; None where the best one's time or spread is not known.

    It is the quickest whose mean is within one standard error of the best one's (the one-standard-error
    rule of Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984), or the best
    where that one is hardly quicker.
    """
    if best.std is None or best.fit_time is None or n_folds < 2:
        return None
    bound = sign * best.mean - best.std / math.sqrt(n_folds - 1)  # std is that of the population
    quickest = next((one for one in on_front if sign * one.mean >= bound), best)
    is_quicker = quickest.fit_time is not None and quickest.fit_time < QUICKER * best.fit_time
    return quickest if is_quicker else best


def _error(gain: np.ndarray, test_by_train: float | None = None) -> float:
    """Returns the corrected standard error of a mean over folds."""
    ratio = 1 / (len(gain) - 1) if test_by_train is None else test_by_train
    return math.sqrt((1 / len(gain) + ratio) * float(gain.var(ddof=1)))
