"""Several models' predictions as one, and what that would have scored on samples that they had not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from kerasgrid.errors import ResultsError
from kerasgrid.jobs.objective import (
    HALF,
    Objective,
    Thresholds,
    accuracy,
    default_objective,
    find_objective,
    sklearn_score,
)
from kerasgrid.jobs.thresholds import Chooser, Given, apart
from kerasgrid.records import Target
from kerasgrid.tables.predictions import HeldOut

WAYS = ("mean", "rank", "weighted")
_ROUNDS = 50
_SPLITS = 5
Score = Callable[..., float]
"""Of labels and predictions, (sample, class) or (sample, number), and of thresholds where samples may have
several labels; higher is better."""


def combine(parts: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray | None = None) -> np.ndarray:
    """Returns the mean of predictions.

    Args:
        parts: Each model's, (sample, class) or (sample, number).
        weights: Of the models, which sum to 1; None for equal ones.
    """
    shares = [1 / len(parts)] * len(parts) if weights is None else weights
    weighted = (share * np.asarray(part, np.float64) for share, part in zip(shares, parts, strict=True))
    return sum(weighted, np.zeros(()))


def combine_ranks(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the mean rank of each class within a sample, as a share of 1: Borda's count.

    Where models tie, the class of the larger mean probability comes first. How sure a model is counts for
    nothing in it, so that models whose probabilities are of different sharpness count the same.

    Args:
        parts: Each model's, (sample, class).

    Returns:
        (sample, class) float64; rows sum to 1.
    """
    n_classes = parts[0].shape[1]
    # Sums of ranks differ by a half at least, so that less than that only decides between equal ones.
    points = sum(rankdata(part, axis=1) - 1 for part in parts) + 0.49 * combine(parts)
    return points / (len(parts) * n_classes * (n_classes - 1) / 2 + 0.49)


def find_weights(parts: Sequence[np.ndarray], labels: np.ndarray, score: Score) -> np.ndarray:
    """Returns weights of models by which their mean scores best on samples that none was trained on.

    Ensemble selection (Caruana et al. 2004): the model that helps most is added to the mean, again and
    again, and may be added more than once; the best of all rounds is kept. Of models that help the same, the
    one with the better log loss is added, or the smaller squared error of numbers.

    Args:
        parts: Each model's, (sample, class) or (sample, number).
        labels: (sample,), class indices; (sample, label) of 0 and 1; or (sample, number).
        score: Higher is better.

    Returns:
        (model,) float64, 0 or more, which sum to 1.
    """
    counts = np.zeros(len(parts))
    total = np.zeros(np.shape(parts[0]))
    best, best_value = np.eye(len(parts))[0], (-np.inf, -np.inf)
    for n in range(_ROUNDS):
        values = []
        for part in parts:
            mean = (total + part) / (n + 1)
            values.append((score(labels, mean), -loss(labels, mean)))
        chosen = max(range(len(parts)), key=lambda place: values[place])
        counts[chosen] += 1
        total += parts[chosen]
        if values[chosen] > best_value:
            best, best_value = counts / (n + 1), values[chosen]
    return best


def score_of_weighted(
    parts: Sequence[np.ndarray],
    labels: np.ndarray,
    folds: np.ndarray,
    score: Score,
    choose: Chooser | None = None,
) -> float:
    """Returns what a mean with weights scores, each fold by weights and thresholds found without it.

    On the samples that they were found on, these score too well.

    Args:
        parts: Each model's, (sample, class) or (sample, number).
        labels: Of the samples.
        folds: (sample,), the fold of each; where there is one only, five parts, each class's samples in turn.
        score: Higher is better.
        choose: Of thresholds, where they are chosen.
    """
    if len(np.unique(folds)) < 2:
        order = np.arange(len(labels)) if labels.ndim == 2 else np.argsort(labels, kind="stable")
        folds = np.empty(len(labels), np.int64)
        folds[order] = np.arange(len(labels)) % _SPLITS
    whole, thresholds = np.zeros(np.shape(parts[0])), np.zeros(np.shape(parts[0]))
    for fold in np.unique(folds):
        others, own = folds != fold, folds == fold
        seen = [part[others] for part in parts]
        weights = find_weights(seen, labels[others], score)
        whole[own] = combine([part[own] for part in parts], weights)
        if choose is not None:
            thresholds[own] = choose(labels[others], combine(seen, weights))
    return score(labels, whole) if choose is None else score(labels, whole, thresholds)


def loss(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Returns the mean cross-entropy; of numbers the mean squared error, in units of the variance of each.

    Args:
        labels: (sample,), class indices; (sample, label) of 0 and 1; or (sample, number), float.
        predictions: (sample, class), or (sample, number).
    """
    if labels.dtype.kind == "f":
        spread = labels.std(axis=0)
        return float(np.mean(np.square((predictions - labels) / np.where(spread > 0, spread, 1.0))))
    clipped = np.clip(predictions, 1e-7, 1 - 1e-7)
    if labels.ndim == 2:
        return float(-np.mean(labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped)))
    return float(-np.mean(np.log(clipped[np.arange(len(labels)), labels])))


@dataclass(frozen=True)
class EnsembleMember:
    """A trial of an ensemble, and what it said of samples that it had not seen.

    Attributes:
        name: What it is called, such as `grid, trial 3`.
        predictions: (sample, class) or (sample, number) of all samples, NaN where a sample was not held out;
            None where they were not kept.
    """

    name: str
    predictions: np.ndarray | None


@dataclass(frozen=True)
class Jury:
    """Trials that are asked together, on the samples that all of them have been tested on.

    Attributes:
        objective: What they are scored by, as the search was; accuracy, or r2 of numbers, where that is a
            metric of Keras or a function of the user's own, which workers alone run, or the loss of numbers.
        target: What is predicted.
        rows: (row,), the samples that all members have been tested on.
        labels: (row,), class indices; (row, label); or (row, number).
        folds: (row,), the fold that held each row out.
        parts: By the members' places, (row, class) or (row, number).
        missing: Names of members of which predictions were not kept.
        thresholds: At which a sample has each of several labels; or how they are chosen.
    """

    objective: Objective
    target: Target
    rows: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    parts: tuple[np.ndarray, ...]
    missing: tuple[str, ...] = ()
    thresholds: float | Chooser = HALF

    @classmethod
    def of(
        cls,
        held_out: HeldOut,
        members: Sequence[EnsembleMember],
        objective: Objective,
        target: Target,
        thresholds: Given = HALF,
    ) -> Jury:
        """Returns the members with what was kept of them; `thresholds` as in the search's config."""
        cut = thresholds if isinstance(thresholds, float) else Chooser.of(objective)
        missing = tuple(member.name for member in members if member.predictions is None)
        if objective.kind in ("keras", "own") or (target.is_numbers and objective.kind == "loss"):
            objective = find_objective(default_objective(target))
        known = [member.predictions for member in members if member.predictions is not None]
        rows = np.flatnonzero(held_out.folds >= 0)
        for part in known:
            rows = rows[~np.isnan(part[rows]).any(axis=1)]
        parts = tuple(part[rows] for part in known)
        own = held_out.labels[rows], held_out.folds[rows]
        return cls(objective, target, rows, *own, parts, missing, cut)

    @property
    def is_complete(self) -> bool:
        """Whether all members can be scored together."""
        return bool(self.parts) and not self.missing and len(self.labels) > 0

    @property
    def score(self) -> Score:
        """What scores predictions; higher is better.

        Where samples may have several labels it is given thresholds too. Without, they are those of the
        search; and where these are chosen, the best for the predictions themselves, by which a score is too
        good.
        """
        if self.objective.name == "loss":
            return lambda labels, predictions, thresholds=None: -loss(labels, predictions)

        def score(labels: np.ndarray, predictions: np.ndarray, thresholds: Thresholds | None = None) -> float:
            if thresholds is None:
                thresholds = self.cut(labels, predictions)
            if self.objective.name == "accuracy":
                return accuracy(labels, predictions, thresholds=thresholds)
            scorer = self.objective.name, self.objective.arguments, labels, predictions, self.target
            value = sklearn_score(*scorer, among=self.labels, thresholds=thresholds)
            if not np.isfinite(value):
                raise ValueError(f"{self.objective} is not defined on these samples")
            return value

        return score

    def cut(self, labels: np.ndarray, predictions: np.ndarray) -> Thresholds:
        """Returns thresholds for other samples: those of the search, or the best for predictions of these."""
        return self.thresholds if isinstance(self.thresholds, float) else self.thresholds(labels, predictions)

    def value(self, predictions: np.ndarray) -> float:
        """Returns the score of predictions of the jury's rows; each fold by thresholds chosen without it."""
        if isinstance(self.thresholds, float):
            return self.score(self.labels, predictions)
        thresholds = apart(self.thresholds, self.labels, predictions, self.folds)
        return self.score(self.labels, predictions, thresholds)

    def weights(self) -> np.ndarray:
        """Returns the weights of the members that score best on what all of them have not seen.

        Raises:
            ResultsError: Of a member it is not known, or they cannot be scored.
        """
        if not self.is_complete:
            raise ResultsError(
                f"no weights: out-of-fold predictions of {', '.join(self.missing) or 'them'} were "
                "not kept, which are those of a search's 10 best trials. Take --ensemble mean."
            )
        try:
            return find_weights(self.parts, self.labels, self.score)
        except ValueError as error:  # of a class that none of these samples is of, say
            told = " ".join(str(error).split())
            raise ResultsError(
                f"no weights: {self.objective} does not score these samples ({told}). Take --ensemble mean."
            ) from error

    @property
    def is_quick(self) -> bool:
        """Whether scoring takes little time, so that weights can be sought only to tell their score."""
        has_cuts = isinstance(self.thresholds, float)
        return self.objective.name == "loss" or (self.objective.name == "accuracy" and has_cuts)

    def ways(self, with_weights: bool = True) -> dict[str, Callable[[], float]]:
        """Returns what scores each way of asking them together; higher is better."""
        found = {"mean": lambda: self.value(combine(self.parts))}
        if self.labels.ndim == 1:
            found["rank"] = lambda: self.value(combine_ranks(self.parts))
        choose = None if isinstance(self.thresholds, float) else self.thresholds
        given = self.parts, self.labels, self.folds, self.score, choose
        if with_weights:
            found["weighted"] = lambda: score_of_weighted(*given)
        return found

    def shown(self, value: float) -> float:
        """Returns a score as the objective has it: a loss is positive."""
        return -value if self.objective.name == "loss" else value

    def with_parts(self, parts: Sequence[np.ndarray]) -> Jury:
        """Returns the same members with other predictions, of all samples."""
        return replace(self, parts=tuple(part[self.rows] for part in parts))
