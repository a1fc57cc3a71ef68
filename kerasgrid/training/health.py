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
FALL = 0.03
"""A loss that falls by this share of the chance level is on its way, however high it is."""
LARGEST = 1e6
"""Weights beyond this have exploded."""
SPREAD = 0.2
"""Probabilities of a label that differ by more than this tell samples apart."""
_CROSSENTROPIES = {"sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"}


class Health(keras.callbacks.Callback):
    """Watches whether a net learns, and ends its training on demand. It comes after all other callbacks.

    Args:
        chance: The loss of the best constant prediction; None where it is not known.
        stop_after: Epochs at chance level after which training ends, exploded weights ending it at once;
            None to watch only.

    Attributes:
        losses: Of the epochs so far.
        exploded: The largest weight where one has exploded.
    """

    KEPT = ("losses", "exploded")

    def __init__(self, chance: float | None, stop_after: int | None = None) -> None:
        super().__init__()
        self.chance, self.stop_after = chance, stop_after
        self.losses: list[float] = []
        self.exploded: float | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at loss and weights after an epoch."""
        self.losses.append(float((logs or {}).get("loss", math.nan)))
        self._look_at_weights()
        if self.stop_after is not None and self.reason(self.stop_after) is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Looks at the weights that are left, which may be earlier ones restored."""
        self._look_at_weights()

    def _look_at_weights(self) -> None:
        largest = max((_largest(v) for v in self.model.trainable_variables), default=0.0)
        self.exploded = None if largest <= LARGEST else largest

    def reason(self, enough: int, last: int | None = None) -> str | None:
        """Returns why the net is dead; None where it is not known to be.

        Args:
            enough: Epochs in a row at chance level that say so.
            last: The epoch whose weights count, from 1; None for the last one.
        """
        if self.exploded is not None:
            return f"weights exploded: the largest is {self.exploded:.3g}"
        wait = 0 if self.chance is None else at_chance(self.losses[:last], self.chance)
        if wait >= enough:
            return f"loss at chance level, {self.chance:.4g} or more, for {wait} epochs"
        return None


def at_chance(losses: Sequence[float], chance: float) -> int:
    """Returns how many epochs, to the last one, the loss was at chance level and did not clearly fall."""
    wait, since = 0, None
    for loss in losses:
        falls = since is not None and loss < since - FALL * chance
        wait = 0 if loss < NEAR * chance or falls else wait + 1
        since = loss if since is None or wait == 0 else since
    return wait


def _largest(variable: Any) -> float:
    """Returns the largest absolute value; infinity where one is NaN."""
    value = float(np.max(np.abs(keras.ops.convert_to_numpy(variable)), initial=0.0))
    return math.inf if math.isnan(value) else value


def chance_level(
    loss: str, counts: np.ndarray, class_weight: Mapping[int, float] | None = None, smoothing: float = 0.0
) -> float | None:
    """Returns the loss of the best constant prediction; None for a loss that is no crossentropy of classes.

    Args:
        loss: Its name in keras.losses; it must be all of the training loss, without penalties.
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


def chance_of_labels(loss: str, shares: np.ndarray, smoothing: float = 0.0) -> float | None:
    """Returns the loss of the best constant prediction of labels of which a sample has any number.

    Args:
        loss: Its name in keras.losses; None is returned for others than binary_crossentropy.
        shares: (label,), of the samples that have each.
        smoothing: Of the labels.
    """
    if loss != "binary_crossentropy":
        return None
    wanted = np.clip((1 - smoothing) * shares + smoothing / 2, 1e-7, 1 - 1e-7)
    return float(-np.mean(wanted * np.log(wanted) + (1 - wanted) * np.log(1 - wanted)))


def one_class(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: float | np.ndarray = 0.5
) -> str | None:
    """Returns that one class alone is predicted where there are several; None where there is more than one.

    Args:
        probabilities: (sample, class).
        labels: (sample,), class indices; or (sample, label), of which all samples may be told the same, while
            no probability tells them apart either: labels that few have stay below their thresholds for long.
        thresholds: At which a sample has each label.
    """
    if labels.ndim == 2:
        said = probabilities >= thresholds
        is_same = (said == said[0]).all() and np.ptp(probabilities, axis=0).max() <= SPREAD
        if is_same and not (labels == labels[0]).all():
            return f"the same labels are predicted for all {len(labels)} held-out samples"
        return None
    found = np.unique(probabilities.argmax(axis=1))
    if len(found) > 1 or len(np.unique(labels)) == 1:
        return None
    return f"one class is predicted for all {len(labels)} held-out samples"


def one_number(predicted: np.ndarray, labels: np.ndarray) -> str | None:
    """Returns that the same number is predicted for all, in each target that varies; None where it is not.

    Predictions are the same where they spread less than a millionth of the true numbers, or than float32
    tells apart.

    Args:
        predicted: (sample, number).
        labels: (sample, number), the true ones.
    """
    varies = np.ptp(labels, axis=0) > 0
    rounding = 4 * np.finfo(np.float32).eps * np.abs(predicted).max(axis=0)
    same = np.ptp(predicted, axis=0) <= np.maximum(1e-6 * np.ptp(labels, axis=0), rounding)
    if not varies.any() or not same[varies].all():
        return None
    numbers = "number is" if varies.sum() == 1 else "numbers are"
    return f"the same {numbers} predicted for all {len(labels)} held-out samples"


def find_reason(
    callbacks: Sequence[keras.callbacks.Callback], predicted: str | None, epochs: int, last: int | None = None
) -> str | None:
    """Returns why a net is dead, by its training or by what it predicts; None where it is not known to be.

    Args:
        callbacks: Of its run.
        predicted: What `one_class` or `one_number` says.
        epochs: That it was trained; a run of few is dead after all of them, and 3 at least.
        last: The epoch whose weights were restored, from 1; None for the last one.
    """
    watches = [callback for callback in callbacks if isinstance(callback, Health)]
    told = (watch.reason(min(watch.stop_after or EPOCHS, max(epochs, 3)), last) for watch in watches)
    return next((reason for reason in told if reason), predicted)


def restored_epoch(callbacks: Sequence[keras.callbacks.Callback]) -> int | None:
    """Returns the epoch, from 1, whose weights Keras's EarlyStopping has restored; None for none."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.EarlyStopping) and callback.best_weights is not None:
            return callback.best_epoch + 1
    return None
