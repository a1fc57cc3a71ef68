"""What trials said of samples that they had not seen, and what an ensemble of them would have scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerasgrid.delivery.ensembles import (
    Score,
    combine,
    combine_ranks,
    find_weights,
    log_loss,
    score_of_weighted,
)
from kerasgrid.errors import ResultsError
from kerasgrid.jobs.objective import Objective, find_objective
from kerasgrid.tables.predictions import HeldOut


@dataclass(frozen=True)
class Member:
    """A trial of an ensemble, and what it said of samples that it had not seen.

    Attributes:
        name: What it is called, such as `grid, trial 3`.
        probabilities: (sample, class) of all samples, NaN where a sample was not held out; None where they
            were not kept.
    """

    name: str
    probabilities: np.ndarray | None


@dataclass(frozen=True)
class Jury:
    """Trials that are asked together, on the samples that all of them have been tested on.

    Attributes:
        objective: What they are scored by, as the search was; accuracy where that is a metric of Keras.
        classes: The label of each class.
        one_hot: Whether the user has the labels as one-hot rows.
        rows: (row,), the samples that all members have been tested on.
        labels: (row,), class indices; or (row, label).
        folds: (row,), the fold that held each row out.
        parts: By the members' places, (row, class).
        missing: Names of members of which predictions were not kept.
    """

    objective: Objective
    classes: tuple[Any, ...]
    one_hot: bool
    rows: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    parts: tuple[np.ndarray, ...]
    missing: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        held_out: HeldOut,
        members: Sequence[Member],
        objective: Objective,
        classes: Sequence[Any],
        one_hot: bool = False,
    ) -> Jury:
        """Returns the members with what was kept of them."""
        missing = tuple(member.name for member in members if member.probabilities is None)
        objective = find_objective("accuracy") if objective.kind == "keras" else objective
        form = tuple(classes), one_hot
        known = [member.probabilities for member in members if member.probabilities is not None]
        rows = np.flatnonzero(held_out.folds >= 0)
        for part in known:
            rows = rows[~np.isnan(part[rows]).any(axis=1)]
        parts = tuple(part[rows] for part in known)
        return cls(objective, *form, rows, held_out.labels[rows], held_out.folds[rows], parts, missing)

    @property
    def is_complete(self) -> bool:
        """Whether all members can be scored together."""
        return bool(self.parts) and not self.missing and len(self.labels) > 0

    @property
    def score(self) -> Score:
        """What scores probabilities; higher is better."""
        if self.objective.name == "loss":
            return lambda labels, probabilities: -log_loss(labels, probabilities)
        if self.objective.name == "accuracy":
            return _accuracy

        def score(labels: np.ndarray, probabilities: np.ndarray) -> float:
            from kerasgrid.jobs.scorers import sklearn_score

            scorer, form = (self.objective.name, self.objective.arguments), (self.classes, self.one_hot)
            value = sklearn_score(*scorer, labels, probabilities, *form)
            if not np.isfinite(value):
                raise ValueError(f"{self.objective} is not defined on these samples")
            return value

        return score

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
        return self.objective.name in {"accuracy", "loss"}

    def ways(self, with_weights: bool = True) -> dict[str, Callable[[], float]]:
        """Returns what scores each way of asking them together; higher is better."""
        found = {"mean": lambda: self.score(self.labels, combine(self.parts))}
        if self.labels.ndim == 1:
            found["rank"] = lambda: self.score(self.labels, combine_ranks(self.parts))
        if with_weights:
            found["weighted"] = lambda: score_of_weighted(self.parts, self.labels, self.folds, self.score)
        return found

    def shown(self, value: float) -> float:
        """Returns a score as the objective has it: a loss is positive."""
        return -value if self.objective.name == "loss" else value

    def with_parts(self, parts: Sequence[np.ndarray]) -> Jury:
        """Returns the same members with other probabilities, (sample, class) of all samples."""
        return replace(self, parts=tuple(part[self.rows] for part in parts))


def _accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    said = probabilities >= 0.5 if labels.ndim == 2 else probabilities.argmax(axis=1)
    return float(np.mean(said == labels))
