"""How well the best trial tells each of several labels that a sample may have, and of which samples not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasgrid.jobs.objective import HALF
from kerasgrid.tables.predictions import Predictions

N_WRONG = 24


@dataclass(frozen=True)
class LabelScore:
    """Of the held-out predictions of one label.

    Attributes:
        frequency: The share of samples that have it.
        precision: Of the samples that are said to have it, those that do; None where none is.
        recall: Of those that have it, those that are said to; None where none has it.
        f1: 0 where it is never told rightly; None where none has it and none is said to.
        auc: The area under its ROC curve; None where all have it, or none.
        threshold: Above which a sample is said to have it; the mean over folds where each has its own.
    """

    name: str
    frequency: float
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    threshold: float


@dataclass(frozen=True)
class WrongLabels:
    """A sample some of whose labels are told wrongly.

    Attributes:
        index: Its place in the data.
        name: What it is called.
        missed: Labels that it has and is not said to have, each with its probability.
        invented: Labels that it is said to have and has not, likewise.
        image: (height, width, channel); None where it was not kept.
    """

    index: int
    name: str
    missed: tuple[tuple[str, float], ...]
    invented: tuple[tuple[str, float], ...]
    image: np.ndarray | None

    @property
    def told(self) -> str:
        """What is wrong, in words."""
        parts = (("misses", self.missed), ("invents", self.invented))
        return ", ".join(f"{does} {_named(labels)}" for does, labels in parts if labels)


@dataclass(frozen=True)
class LabelMistakes:
    """Of one trial's held-out predictions, where samples may have several labels.

    Attributes:
        labels: In the data's order.
        n_samples: Held-out samples.
        n_right: Those all of whose labels are told rightly.
        share_right: Of all labels of all samples, those that are told rightly.
        n_true: Labels that a sample has, on average.
        n_said: That it is said to have, on average.
        wrong: The samples with the largest mean cross-entropy that have something wrong, at most N_WRONG.
    """

    labels: tuple[LabelScore, ...]
    n_samples: int
    n_right: int
    share_right: float
    n_true: float
    n_said: float
    wrong: tuple[WrongLabels, ...]

    @property
    def worst_samples(self) -> list[int]:
        """The places in the data of those that are shown."""
        return [one.index for one in self.wrong]

    @property
    def hardest(self) -> list[LabelScore]:
        """The labels, that with the lowest F1 first."""
        return sorted(self.labels, key=lambda one: 2.0 if one.f1 is None else one.f1)

    def as_json(self) -> dict[str, Any]:
        """Returns plain values; images are left out."""
        return {
            "labels": [vars(one) for one in self.labels],
            "samples": self.n_samples,
            "all_right": self.n_right,
            "share_right": self.share_right,
            "labels_a_sample": {"true": self.n_true, "said": self.n_said},
            "wrong": [
                {
                    "index": one.index,
                    "name": one.name,
                    "missed": dict(one.missed),
                    "invented": dict(one.invented),
                }
                for one in self.wrong
            ],
        }


def labels_of(predictions: Predictions, usual: float = HALF) -> LabelMistakes:
    """Returns what predictions of several labels get right and wrong.

    Args:
        predictions: Their thresholds are those by which they were scored, if they were chosen.
        usual: The threshold of all labels, where they were not.
    """
    true, probabilities = predictions.labels.astype(bool), predictions.predicted
    thresholds = predictions.thresholds
    cuts = np.full(true.shape, usual) if thresholds is None else thresholds
    said, names = probabilities >= cuts, predictions.target.names
    clipped = np.clip(np.asarray(probabilities, np.float64), 1e-7, 1 - 1e-7)
    losses = -np.log(np.where(true, clipped, 1 - clipped)).mean(axis=1)
    rows = np.flatnonzero((said != true).any(axis=1))
    rows = rows[np.argsort(-losses[rows], kind="stable")][:N_WRONG]

    def of(row: Any, which: np.ndarray) -> tuple[tuple[str, float], ...]:
        return tuple((names[place], float(probabilities[row, place])) for place in np.flatnonzero(which))

    return LabelMistakes(
        labels=tuple(
            _score(name, true[:, place], said[:, place], probabilities[:, place], cuts[:, place])
            for place, name in enumerate(names)
        ),
        n_samples=len(true),
        n_right=int((said == true).all(axis=1).sum()),
        share_right=float((said == true).mean()),
        n_true=float(true.sum(axis=1).mean()),
        n_said=float(said.sum(axis=1).mean()),
        wrong=tuple(
            WrongLabels(
                index=(index := int(predictions.index[row])),
                name=predictions.name(index),
                missed=of(row, true[row] & ~said[row]),
                invented=of(row, said[row] & ~true[row]),
                image=predictions.images.get(index),
            )
            for row in rows
        ),
    )


def _score(
    name: str, true: np.ndarray, said: np.ndarray, probabilities: np.ndarray, cuts: np.ndarray
) -> LabelScore:
    from sklearn.metrics import roc_auc_score

    n_true, n_said, n_both = int(true.sum()), int(said.sum()), int((true & said).sum())
    return LabelScore(
        name=name,
        frequency=n_true / len(true),
        precision=n_both / n_said if n_said else None,
        recall=n_both / n_true if n_true else None,
        f1=2 * n_both / (n_true + n_said) if n_true + n_said else None,
        auc=float(roc_auc_score(true, probabilities)) if 0 < n_true < len(true) else None,
        threshold=float(cuts.mean()),
    )


def _named(labels: tuple[tuple[str, float], ...]) -> str:
    return ", ".join(f"{name} ({100 * probability:.1f}%)" for name, probability in labels)
