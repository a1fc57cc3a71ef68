"""Which candidates can be told from the best, which to take if time counts, and what single folds tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasgrid.report.design import fold_scores_of
from kerasgrid.space.dimensions import all_known
from kerasgrid.tables.table import Table, finite

ALPHA = 0.05
"""The level of significance: candidates with a larger p-value cannot be told apart."""
QUICKER = 0.95
"""The share of another's time below which a candidate is quicker by enough to be taken for it."""
_FEWEST_TRIALS = 8
_UNSTABLE = 3.0
"""The spread over folds, of the usual one, from which on a trial's folds differ too much."""
_HARD = 0.8
"""The share of trials that score worst on a fold which is harder than the others."""


@dataclass(frozen=True)
class Contender:
    """A complete trial, as it is compared.

    Attributes:
        row: Its place in the table.
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
        return self.p_value is not None and self.p_value > ALPHA


def contenders_of(table: Table) -> tuple[tuple[Contender, ...], int]:
    """Returns the scored trials, each compared with the best over the same folds, and how many these are.

    The best is the first; trials of equal score stay in the table's order.
    """
    objective = table.scores[0]
    std = f"std_{objective.removeprefix('mean_')}" if objective.startswith("mean_") else None
    ordered = sorted(table.scored, key=lambda row: -table.sign * table.rows[row][objective])
    by_fold = [table.fold_scores[row] if table.fold_scores else () for row in ordered]
    best = by_fold[0] if by_fold else ()
    found = []
    for row, folds in zip(ordered, by_fold, strict=True):
        given, is_compared = table.rows[row], row != ordered[0] and len(folds) == len(best) > 1
        spread = None if std is None or len(folds) == 1 else finite(given.get(std))
        p = p_value(best, folds) if is_compared and all_known(best) and all_known(folds) else None
        found.append(Contender(row, given[objective], spread, table.seconds(given), p))
    return tuple(found), len(best)


def p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns the two-sided p-value of two candidates' scores over the same folds, at least two.

    It is that of the corrected resampled t-test (Nadeau and Bengio, Inference for the Generalization Error,
    2003); held-out rows are taken as 1/(n-1) of the training rows, as in n-fold cross-validation.
    """
    from scipy import stats

    gain = np.asarray(first, float) - np.asarray(second, float)
    mean, error = float(gain.mean()), _corrected_error(gain)
    rounding = 1e-12 * float(np.abs([first, second]).max())
    if error <= rounding:
        return 1.0 if abs(mean) <= rounding else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, len(gain) - 1))


def fold_interval(gain: np.ndarray, n_intervals: int = 1) -> tuple[float, float]:
    """Returns the 95% interval of a mean gain, by the same test.

    Args:
        gain: (fold,), at least two.
        n_intervals: That it is one of, which shall hold all at once (Bonferroni).
    """
    from scipy import stats

    mean, error = float(gain.mean()), _corrected_error(gain)
    half = float(stats.t.isf(ALPHA / 2 / n_intervals, len(gain) - 1)) * error
    return mean - half, mean + half


def _corrected_error(gain: np.ndarray) -> float:
    """Returns the corrected standard error of a mean over folds."""
    n_folds = len(gain)
    return math.sqrt((1 / n_folds + 1 / (n_folds - 1)) * float(gain.var(ddof=1)))


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


@dataclass(frozen=True)
class HardFold:
    """A fold on which nearly all candidates score worse than on the others."""

    fold: int
    n_worst: int
    n_trials: int
    gap: float


def fold_matrix(table: Table, contenders: Sequence[Contender]) -> tuple[list[int], np.ndarray] | None:
    """Returns the places of trials with all folds, and (trial, fold) scores; None for too few."""
    rows = [one.row for one in contenders if table.fold_scores and None not in table.fold_scores[one.row]]
    scores = fold_scores_of(table, rows)
    return None if scores is None or len(rows) < _FEWEST_TRIALS else (rows, scores)


def unstable(rows: Sequence[int], scores: np.ndarray) -> tuple[int, ...]:
    """Returns trials whose folds spread over three times the median, what folds have in common taken out."""
    spread = (scores - np.median(scores - scores.mean(axis=1, keepdims=True), axis=0)).std(axis=1)
    limit = _UNSTABLE * np.median(spread)
    return tuple(row for row, own in zip(rows, spread, strict=True) if own > limit > 0)


def hard_fold(scores: np.ndarray) -> HardFold | None:
    """Returns the fold that nearly all trials score worst on; scores are (trial, fold), higher is better."""
    is_worst = scores == scores.min(axis=1, keepdims=True)
    counts = is_worst[is_worst.sum(axis=1) == 1].sum(axis=0)  # of equal folds none is the worst
    fold = int(counts.argmax())
    others = np.delete(scores, fold, axis=1).mean(axis=1)
    gap = float((others - scores[:, fold]).mean())
    is_hard = counts[fold] >= _HARD * len(scores)
    return HardFold(fold, int(counts[fold]), len(scores), gap) if is_hard else None
