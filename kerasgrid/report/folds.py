"""What scores of single folds tell: unstable candidates, and a fold that is hard for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kerasgrid.report.comparison import Contender
from kerasgrid.tables.table import Table

_UNSTABLE = 3.0
_FEWEST_TRIALS = 8
_HARD = 0.8


@dataclass(frozen=True)
class HardFold:
    """A fold on which nearly all candidates score worse than on the others."""

    fold: int
    n_worst: int
    n_trials: int
    gap: float


def fold_matrix(table: Table, contenders: tuple[Contender, ...]) -> tuple[list[int], np.ndarray] | None:
    """Returns the places of trials with all folds, and (trial, fold) scores; None for too few."""
    rows = [one.row for one in contenders if table.fold_scores and None not in table.fold_scores[one.row]]
    lengths = {len(table.fold_scores[row]) for row in rows}
    if len(rows) < _FEWEST_TRIALS or len(lengths) != 1 or lengths <= {0, 1}:
        return None
    return rows, np.array([table.fold_scores[row] for row in rows])


def unstable(rows: list[int], scores: np.ndarray) -> tuple[int, ...]:
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
    return (
        HardFold(fold, int(counts[fold]), len(scores), gap) if counts[fold] >= _HARD * len(scores) else None
    )
