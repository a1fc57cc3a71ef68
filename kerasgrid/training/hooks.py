"""The callbacks of a run: Keras's, kerasgrid's schedule of learning rates, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.config.callbacks import is_own
from kerasgrid.errors import ModelError
from kerasgrid.jobs.route import SETTING_RATES, Route
from kerasgrid.models.keras_private import layers_within, schedule_of
from kerasgrid.models.signature import load_function, parse_reference
from kerasgrid.training.compiling import Compiled, class_weights, loss_name
from kerasgrid.training.health import EPOCHS, Health, chance_level, chance_of_labels

_KERAS = {
    "early_stopping": keras.callbacks.EarlyStopping,
    "reduce_lr_on_plateau": keras.callbacks.ReduceLROnPlateau,
    "terminate_on_nan": keras.callbacks.TerminateOnNaN,
}


def rates(
    given: Mapping[str, Any], highest: float, steps: np.ndarray, per_epoch: int, epochs: int
) -> np.ndarray:
    """Returns the learning rate of some steps, (step,) float64.

    Args:
        given: The arguments of `kerasgrid.config.callbacks.LearningRateScheduler`.
        highest: The candidate's learning rate.
        steps: (step,), counted from the run's first, 0.
        per_epoch: Steps an epoch.
        epochs: Of the whole run.
    """
    total = epochs * per_epoch
    steps = np.asarray(steps, dtype=np.float64)
    if given["schedule"] == "one_cycle":
        return _one_cycle(given, highest, steps, total)
    warmup = given["warmup_epochs"] * per_epoch
    after = np.maximum(steps - warmup, 0)
    shares = np.ones_like(steps)
    if given["schedule"] == "cosine":
        done = np.minimum(after / max(total - warmup, 1), 1)
        shares = (1 - given["alpha"]) * 0.5 * (1 + np.cos(np.pi * done)) + given["alpha"]
    elif given["schedule"] in {"step", "exponential"}:
        decays = after / (given["decay_epochs"] * per_epoch)
        shares = given["decay_rate"] ** (np.floor(decays) if given["schedule"] == "step" else decays)
    rising = steps / warmup if warmup else np.ones_like(steps)
    return highest * np.where(steps < warmup, rising, shares)


def _one_cycle(given: Mapping[str, Any], highest: float, steps: np.ndarray, total: int) -> np.ndarray:
    """Rises along a half cosine and falls along another, to the last step."""
    first = highest / given["div_factor"]
    last = first / given["final_div_factor"]
    peak = max(given["pct_start"] * total - 1, 0)
    rising = _half_cosine(first, highest, steps / peak if peak else np.ones_like(steps))
    falling = _half_cosine(highest, last, np.clip((steps - peak) / max(total - 1 - peak, 1), 0, 1))
    return np.where(steps < peak, rising, falling)


def _half_cosine(begin: float, end: float, share: np.ndarray) -> np.ndarray:
    return end + (begin - end) / 2 * (1 + np.cos(np.pi * share))


class LearningRateSchedule(keras.callbacks.Callback):
    """Sets the learning rate before each batch.

    Args:
        given: The arguments of `kerasgrid.config.callbacks.LearningRateScheduler`.
        per_epoch: Steps an epoch.
        epochs: Of the whole run.
    """

    KEPT = ("epoch",)

    def __init__(self, given: Mapping[str, Any], per_epoch: int, epochs: int) -> None:
        super().__init__()
        self.given, self.per_epoch, self.epochs = given, per_epoch, epochs
        self.epoch = 0
        self._highest, self._rates = 0.0, (-1, np.empty(0))

    def on_train_begin(self, logs: Any = None) -> None:
        """Takes the optimizer's learning rate for the highest one."""
        self._highest = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Takes note of the epoch, from 0."""
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the rate of a batch, from 0."""
        if self._rates[0] != self.epoch:
            self._rates = self.epoch, self.rates(self.epoch)
        self.model.optimizer.learning_rate = self._rates[1][batch]

    def rates(self, epoch: int) -> np.ndarray:
        """Returns the rate of each step of an epoch, (step,) float64."""
        steps = epoch * self.per_epoch + np.arange(self.per_epoch)
        return rates(self.given, self._highest, steps, self.per_epoch, self.epochs)


class LearningRateReplay(keras.callbacks.Callback):
    """Sets the learning rate of each epoch to what it was in another run.

    An optimizer that has a schedule of its own keeps that.

    Args:
        rates: By epoch; the last one stays.
    """

    KEPT = ()

    def __init__(self, rates: Sequence[float]) -> None:
        super().__init__()
        self.rates = list(rates)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the rate of an epoch, from 0."""
        if schedule_of(self.model.optimizer) is not None:
            return
        self.model.optimizer.learning_rate = self.rates[min(epoch, len(self.rates) - 1)]


def hooks_of(
    plan: Route,
    compiled: Compiled,
    labels: np.ndarray,
    classes: Sequence[Any],
    base: str | Path,
    sources: Mapping[str, str] | None = None,
) -> list[keras.callbacks.Callback]:
    """Returns all that looks at a run between its epochs: its callbacks, and the watch over its health.

    Args:
        plan: The candidate's.
        compiled: Its model.
        labels: (sample,), class indices of the rows that are trained on; or (sample, label).
        classes: The label of each class.
        base: The folder that the import paths of the user's own are relative to.
        sources: The hash that the source of each had when the search began.

    Raises:
        ChangedError: One of them has another source now.
        ModelError: As `make_callbacks`; or one of Keras's sets a learning rate that it cannot.
    """
    _check_learning_rate(plan, compiled)
    loss = compiled.model.loss
    smoothing = plan.loss_args.get("label_smoothing", getattr(loss, "label_smoothing", 0))
    if labels.ndim == 2:
        chance = chance_of_labels(loss_name(loss), labels.mean(axis=0), smoothing)
    else:
        counts = np.bincount(labels, minlength=len(classes))
        weights = class_weights(plan.training.class_weight, labels, classes)
        chance = chance_level(loss_name(loss), counts, weights, smoothing)
    if _has_penalties(compiled.model):
        chance = None
    stop = plan.training.stop_dead
    stop_after = None if stop is False else EPOCHS if stop is True else stop
    return [*make_callbacks(plan, len(labels), base, sources), Health(chance, stop_after)]


def _has_penalties(model: keras.Model) -> bool:
    """Tells whether the training loss holds more than the loss of the outputs."""
    return bool(model.losses) or any(
        getattr(layer, "activity_regularizer", None) for layer in layers_within(model)
    )


def _check_learning_rate(plan: Route, compiled: Compiled) -> None:
    """Refuses callbacks that set a learning rate which Keras does not let them set."""
    rate = schedule_of(compiled.model.optimizer)
    name = next((name for name in SETTING_RATES if name in plan.callbacks), None)
    if name is not None and rate is not None:
        raise ModelError(
            f"callbacks.{name} sets the learning rate, which the model's own optimizer takes from its "
            f"{type(rate).__name__}: leave one of them out."
        )


def make_callbacks(
    plan: Route, n_rows: int, base: str | Path, sources: Mapping[str, str] | None = None
) -> list[keras.callbacks.Callback]:
    """Returns a run's callbacks: Keras's in the order of their names here, and then the user's own.

    Args:
        plan: The candidate's.
        n_rows: Rows that are trained on.
        base: The folder that the import paths of the user's own are relative to.
        sources: The hash that the source of each had when the search began.

    Raises:
        ChangedError: One of them has another source now.
        ModelError: One of the user's own cannot be made, or is no keras.callbacks.Callback.
    """
    made = [cls(**plan.callbacks[name]) for name, cls in _KERAS.items() if name in plan.callbacks]
    if "learning_rate_scheduler" in plan.callbacks:
        given = plan.callbacks["learning_rate_scheduler"]
        made.insert(0, LearningRateSchedule(given, -(-n_rows // plan.batch_size), plan.epochs))
    own = [name for name in plan.callbacks if is_own(name)]
    return made + [_own(name, plan.callbacks[name], Path(base), (sources or {}).get(name)) for name in own]


def _own(name: str, arguments: Mapping[str, Any], base: Path, source: str | None) -> keras.callbacks.Callback:
    reference = parse_reference(name, base)
    made = load_function(reference, source)
    is_callback = isinstance(made, type) and issubclass(made, keras.callbacks.Callback)
    if reference.folder is None and not is_callback:  # of a package, any function of which a config may name
        raise ModelError(
            f"callbacks.{name} is no keras.callbacks.Callback, and only those of a package hold."
        )
    try:
        made = made(**arguments)
    except Exception as error:  # whatever the user's own code raises
        raise ModelError(f"callbacks.{name} refused {dict(arguments)}: {error}") from error
    if not isinstance(made, keras.callbacks.Callback):
        raise ModelError(f"callbacks.{name} is a {type(made).__name__}; a keras.callbacks.Callback holds.")
    return made
