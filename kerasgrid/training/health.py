"""Nets that learn nothing: found by their loss, their weights and what they predict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

EPOCHS = 5
"""Epochs in a row with the loss at chance level after which a net is dead."""
NEAR = 0.99
"""A loss above this share of the chance level is at it."""
LARGEST = 1e6
"""Weights beyond this have exploded."""
_CROSSENTROPIES = {"sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"}


class Health(keras.callbacks.Callback):
    """Watches whether a net learns, and ends its training on demand.

    Args:
        chance: The loss of the best constant prediction; None where it is not known.
        stop_after: Epochs at chance level after which training ends, exploded weights ending it at once;
            None to watch only.

    Attributes:
        wait: Epochs in a row whose loss was at chance level.
        exploded: The largest weight where one has exploded.
    """

    def __init__(self, chance: float | None, stop_after: int | None = None) -> None:
        super().__init__()
        self.chance, self.stop_after = chance, stop_after
        self.wait, self.exploded = 0, None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at loss and weights after an epoch."""
        loss = (logs or {}).get("loss")
        at_chance = None not in (loss, self.chance) and not loss < NEAR * self.chance
        self.wait = self.wait + 1 if at_chance else 0
        largest = max((_largest(v) for v in self.model.trainable_variables), default=0.0)
        self.exploded = None if largest <= LARGEST else largest
        if self.stop_after is not None and self.reason(self.stop_after) is not None:
            self.model.stop_training = True

    def reason(self, enough: int) -> str | None:
        """Returns why the net is dead, where `enough` epochs at chance level say so; None where it is not."""
        if self.exploded is not None:
            return f"weights exploded: the largest is {self.exploded:.3g}"
        if self.wait >= enough:
            return f"loss at chance level, {self.chance:.4g} or more, for {self.wait} epochs"
        return None


def _largest(variable: Any) -> float:
    """Returns the largest absolute value; infinity where one is NaN."""
    value = float(np.max(np.abs(keras.ops.convert_to_numpy(variable)), initial=0.0))
    return math.inf if math.isnan(value) else value


def chance_level(
    loss: str, counts: np.ndarray, class_weight: Mapping[int, float] | None = None, smoothing: float = 0.0
) -> float | None:
    """Returns the loss of the best constant prediction; None for a loss that is no crossentropy of classes.

    Args:
        loss: Its name in keras.losses.
        counts: (class,), samples of each class.
        class_weight: What a sample of each class counts.
        smoothing: Of the labels.
    """
    if loss not in _CROSSENTROPIES or (loss == "binary_crossentropy" and len(counts) != 2):
        return None
    weights = np.ones(len(counts)) if class_weight is None else np.asarray(list(class_weight.values()))
    shares = counts * weights / counts.sum()
    wanted = (1 - smoothing) * shares + smoothing * shares.sum() / len(counts)
    wanted = wanted[wanted > 0]
    return float(-np.sum(wanted * np.log(wanted / wanted.sum())))


def one_class(probabilities: np.ndarray, labels: np.ndarray) -> str | None:
    """Returns that one class alone is predicted where there are several; None where there is more than one.

    Args:
        probabilities: (sample, class).
        labels: (sample,), class indices.
    """
    found = np.unique(probabilities.argmax(axis=1))
    if len(found) > 1 or len(np.unique(labels)) == 1:
        return None
    return f"one class is predicted for all {len(labels)} held-out samples"


def find_reason(
    callbacks: Sequence[keras.callbacks.Callback], predicted: str | None, epochs: int
) -> str | None:
    """Returns why a net is dead, by its training or by what it predicts; None where it is not known to be.

    Args:
        callbacks: Of its run.
        predicted: What `one_class` says.
        epochs: That it was to be trained; a run of few is dead after all of them, and 3 at least.
    """
    watches = [callback for callback in callbacks if isinstance(callback, Health)]
    told = (w.reason(min(w.stop_after or EPOCHS, max(epochs, 3))) for w in watches)
    return next((reason for reason in told if reason), predicted)
