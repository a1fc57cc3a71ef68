"""Which classes the best trial takes for which, and what it is most confidently wrong about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasgrid.tables.predictions import Predictions

N_WRONG = 24


@dataclass(frozen=True)
class Wrong:
    """A sample that is put into the wrong class.

    Attributes:
        index: Its place in the data.
        said: The class that it is taken for.
        probability: That is given to `said`.
        image: (height, width, channel); None where it was not kept.
    """

    index: int
    true: str
    said: str
    probability: float
    image: np.ndarray | None


@dataclass(frozen=True)
class Mistakes:
    """Of one trial's held-out predictions.

    Attributes:
        confusion: (true class, predicted class) int64, counts of samples.
        wrong: The most confidently wrong, at most N_WRONG.
    """

    classes: tuple[str, ...]
    confusion: np.ndarray
    wrong: tuple[Wrong, ...]

    @property
    def n_samples(self) -> int:
        """Held-out samples."""
        return int(self.confusion.sum())

    @property
    def n_wrong(self) -> int:
        """Those of them that are put into a wrong class."""
        return self.n_samples - int(np.trace(self.confusion))

    @property
    def worst_samples(self) -> list[int]:
        """The places in the data of those that are shown."""
        return [one.index for one in self.wrong]

    def confused(self, most: int = 5) -> list[tuple[str, str, int, float]]:
        """Returns (true, predicted, count, share of the true class) of the most frequent confusions."""
        wrong = np.where(np.eye(len(self.classes), dtype=bool), 0, self.confusion)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        found = []
        for true, said in zip(*np.unravel_index(order, wrong.shape), strict=True):
            if wrong[true, said]:
                share = wrong[true, said] / self.confusion[true].sum()
                found.append((self.classes[true], self.classes[said], int(wrong[true, said]), float(share)))
        return found

    def as_json(self) -> dict[str, Any]:
        """Returns plain values; images are left out."""
        return {
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "wrong": [
                {"index": one.index, "true": one.true, "said": one.said, "probability": one.probability}
                for one in self.wrong
            ],
        }


def mistakes_of(predictions: Predictions) -> Mistakes:
    """Returns the mistakes of predictions, equally confident ones in the data's order."""
    classes, labels = predictions.target.classes, predictions.labels
    n_classes = len(classes)
    said = predictions.predicted.argmax(axis=1)
    confusion = np.bincount(labels * n_classes + said, minlength=n_classes**2).reshape(n_classes, n_classes)
    confidence = predictions.predicted.max(axis=1)
    rows = np.flatnonzero(said != labels)
    rows = rows[np.argsort(-confidence[rows], kind="stable")][:N_WRONG]
    return Mistakes(
        classes=classes,
        confusion=confusion,
        wrong=tuple(
            Wrong(
                index=(index := int(predictions.index[row])),
                true=classes[labels[row]],
                said=classes[said[row]],
                probability=float(confidence[row]),
                image=predictions.images.get(index),
            )
            for row in rows
        ),
    )
