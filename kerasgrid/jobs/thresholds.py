"""Thresholds: at which probability a sample has a label, a number each, where samples may have several.

A row is cut by thresholds that were chosen without it: a score by thresholds of its own rows is too good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kerasgrid.jobs.objective import HALF, Objective

CHOSEN = "chosen"
Given = float | Literal["chosen"]
"""As `search.thresholds` has it."""
PARTS = 5
"""In which rows of one fold are divided, of which those of a part have thresholds of the others."""


@dataclass(frozen=True)
class Chooser:
    """How thresholds are chosen: each label's so that its own score is best.

    Attributes:
        beta: Of the F-score, (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp); None for the share of rows
            that are right.
    """

    beta: float | None = 1.0

    @classmethod
    def of(cls, objective: Objective) -> Chooser:
        """Returns what is best for an objective: accuracy, F-beta by its beta, and F1 for all others."""
        if objective.name == "accuracy":
            return cls(None)
        beta = objective.arguments.get("beta", 1.0)
        return cls(float(beta) if isinstance(beta, int | float) and beta > 0 else 1.0)

    def __call__(
        self, labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns (label,) float64, between two neighbouring probabilities each.

        Of several that are as good it is that nearest to 0.5, which is also that of a label that none of the
        rows that count has, or none lacks.

        Args:
            labels: (row, label) of 0 and 1.
            probabilities: (row, label).
            weights: (row,), what each counts; None for the same.
        """
        counts = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
        pairs = zip(np.asarray(labels).T, np.asarray(probabilities, np.float64).T, strict=True)
        return np.array([self._of_one(has, told, counts) for has, told in pairs])

    def _of_one(self, has: np.ndarray, told: np.ndarray, counts: np.ndarray) -> float:
        has, told, counts = (values[counts > 0] for values in (has, told, counts))
        if (has == has[:1]).all():  # or none counts
            return HALF
        order = np.argsort(-told, kind="stable")
        told, gains = told[order], counts[order] * has[order]
        hits = np.concatenate([[0.0], np.cumsum(gains)])
        said = np.concatenate([[0.0], np.cumsum(counts[order])])
        if self.beta is None:
            scores = said[-1] - hits[-1] - said + 2 * hits  # what is right: found, and left out rightly
        else:
            square = self.beta**2
            scores = (1 + square) * hits / (square * hits[-1] + said)
        edges = np.concatenate([[1.0], told, [0.0]])
        cuts = (edges[:-1] + edges[1:]) / 2
        is_between = np.concatenate([[True], np.diff(told) < 0, [True]])
        scores = np.where(is_between, scores, -np.inf)
        best = np.flatnonzero(scores >= scores.max() - 1e-12 * abs(scores.max()))
        return float(cuts[best[np.argmin(np.abs(cuts[best] - HALF))]])


def apart(
    choose: Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray],
    labels: np.ndarray,
    probabilities: np.ndarray,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Returns each row's thresholds, (row, label), chosen on the rows of all other folds, none of its own.

    Args:
        choose: As a Chooser.
        labels: (row, label) of 0 and 1.
        probabilities: (row, label).
        folds: (row,), the fold of each; where there is one only, or None, `PARTS` of every fifth row.
        weights: (row,), what each counts; None for the same.
    """
    parts = np.arange(len(labels)) % PARTS if folds is None or len(np.unique(folds)) < 2 else folds
    found = np.full(np.shape(probabilities), HALF)
    for part in np.unique(parts):
        others = parts != part
        if others.any():
            counts = None if weights is None else weights[others]
            found[~others] = choose(labels[others], probabilities[others], counts)
    return found
