"""Which classes the best trial takes for which, and what it is most confidently wrong about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasgrid.tables.predictions import Predictions

N_WRONG = 24
N_CONFUSIONS, N_EACH = 5, 6
"""Of the most frequent confusions so many are told, and of each so many samples shown."""


@dataclass(frozen=True)
class Wrong:
    """A sample that is put into the wrong class.

    Attributes:
        index: Its place in the data.
        name: What it is called.
        said: The class that it is taken for.
        probability: That is given to `said`.
        image: (height, width, channel); None where it was not kept.
    """

    index: int
    name: str
    true: str
    said: str
    probability: float
    image: np.ndarray | None


@dataclass(frozen=True)
class Confusion:
    """Samples of one class that are taken for another.

    Attributes:
        n: How many.
        share: Of those that are of the class.
        samples: The most confidently wrong of them, at most N_EACH.
    """

    true: str
    said: str
    n: int
    share: float
    samples: tuple[Wrong, ...]


@dataclass(frozen=True)
class Mistakes:
    """Of one trial's held-out predictions.

    Attributes:
        confusion: (true class, predicted class) int64, counts of samples.
        wrong: The most confidently wrong, at most N_WRONG.
        confused: The most frequent confusions, at most N_CONFUSIONS.
    """

    classes: tuple[str, ...]
    confusion: np.ndarray
    wrong: tuple[Wrong, ...]
    confused: tuple[Confusion, ...]

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
        of_confusions = (one.index for confusion in self.confused for one in confusion.samples)
        return list(dict.fromkeys([*(one.index for one in self.wrong), *of_confusions]))

    def as_json(self) -> dict[str, Any]:
        """Returns plain values; images are left out."""
        return {
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "wrong": [
                {name: value for name, value in vars(one).items() if name != "image"} for one in self.wrong
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
    rows = rows[np.argsort(-confidence[rows], kind="stable")]

    def wrong(row: int) -> Wrong:
        index = int(predictions.index[row])
        image = predictions.images.get(index)
        own = classes[labels[row]], classes[said[row]], float(confidence[row])
        return Wrong(index, predictions.name(index), *own, image)

    confused = []
    counts = np.where(np.eye(n_classes, dtype=bool), 0, confusion)
    order = np.argsort(-counts, axis=None, kind="stable")[:N_CONFUSIONS]
    for true, other in zip(*np.unravel_index(order, counts.shape), strict=True):
        if n := int(counts[true, other]):
            own = rows[(labels[rows] == true) & (said[rows] == other)][:N_EACH]
            share = n / float(confusion[true].sum())
            confused.append(Confusion(classes[true], classes[other], n, share, tuple(map(wrong, own))))
    return Mistakes(classes, confusion, tuple(map(wrong, rows[:N_WRONG])), tuple(confused))
