"""The learning rate of a run at each of its steps, in Keras's own fit and in programs.

The first one is the candidate's, or its optimizer's own. `callbacks.learning_rate_scheduler` says it of each
step, by the first one and the step alone; ReduceLROnPlateau and callbacks of the user's own set it between
epochs; and a run after a search may have the rates of one in the search. In between the optimizer's state
holds it, and so does a checkpoint. An optimizer that has a schedule of its own goes by that alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.errors import ModelError
from kerasgrid.jobs.route import SETTING_RATES, Route
from kerasgrid.models.keras_private import schedule_of


def rate_of(optimizer: Any) -> float | None:
    """Returns an optimizer's learning rate, of its last step or set since; None where it has none."""
    rate = getattr(optimizer, "learning_rate", None)
    return None if rate is None else float(ops.convert_to_numpy(rate))


def check_settable(route: Route, optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses callbacks that set a learning rate which Keras does not let them set.

    Raises:
        ModelError: The optimizer has a schedule of its own.
    """
    schedule = schedule_of(optimizer)
    name = next((name for name in SETTING_RATES if name in route.callbacks), None)
    if name is not None and schedule is not None:
        raise ModelError(
            f"callbacks.{name} sets the learning rate, which the model's own optimizer takes from its "
            f"{type(schedule).__name__}: leave one of them out."
        )


def check_stays(model: keras.Model) -> None:
    """Refuses an optimizer whose schedule would begin anew, with its highest rate.

    Raises:
        ModelError: It has a schedule of its own.
    """
    schedule = schedule_of(model.optimizer)
    if schedule is not None:
        raise ModelError(
            f"{model.name}: its optimizer takes the learning rate from its {type(schedule).__name__}, which "
            "would begin anew, and a model is fine-tuned at a rate that stays. Set the rate by "
            "callbacks.learning_rate_scheduler instead, and search anew."
        )


def scheduled(
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
        self._highest = rate_of(self.model.optimizer) or 0.0

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
        return scheduled(self.given, self._highest, steps, self.per_epoch, self.epochs)


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


def schedules_of(route: Route, n_rows: int) -> list[keras.callbacks.Callback]:
    """Returns the candidate's schedule, if it has one, over runs on so many rows."""
    given = route.callbacks.get("learning_rate_scheduler")
    if given is None:
        return []
    return [LearningRateSchedule(given, -(-n_rows // route.batch_size), route.epochs)]


class SeenOptimizer:
    """What Keras's callbacks see of a run in place of its optimizer: a learning rate, which they may set.

    Args:
        run: With a `state` on the host.
        place: Where states have the rate.
    """

    def __init__(self, run: Any, place: RateInState) -> None:
        self._run, self._place = run, place

    @property
    def learning_rate(self) -> float:
        """Of the last step, or the one that was set since."""
        return self._place.read(self._run.state)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._place.write(self._run.state, value)


class RateInState:
    """The learning rate among the arrays of a job's state in a program.

    Args:
        optimizer: The graph's, built.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._schedule, self._place = schedule_of(optimizer), -1
        if self._schedule is None:
            places = enumerate(optimizer.variables)
            self._place = next(place for place, v in places if v is optimizer.learning_rate)

    def read(self, state: Any) -> float:
        """Returns the rate of a state on the host: that of its last step, or the one set since."""
        if self._schedule is not None:  # over the steps that are done
            return float(ops.convert_to_numpy(self._schedule(state["optimizer"][0])))
        return float(state["optimizer"][self._place])

    def write(self, state: Any, value: Any) -> None:
        """Sets the rate in a state on the host."""
        state["optimizer"][self._place] = np.asarray(value, dtype=state["optimizer"][self._place].dtype)

    def put(self, state: Any, rate: Any) -> Any:
        """Returns a state with a rate, traced; as it is where the optimizer has a schedule of its own."""
        if self._schedule is not None:
            return state
        optimizer = [*state["optimizer"]]
        optimizer[self._place] = ops.cast(rate, optimizer[self._place].dtype)
        return {**state, "optimizer": optimizer}

    def of_epoch(
        self, state: Any, callbacks: Sequence[keras.callbacks.Callback], epoch: int, n_steps: int
    ) -> np.ndarray:
        """Returns the rate of each step of an epoch, (n_steps,), padding's too.

        Args:
            state: On the host.
            callbacks: The run's.
            epoch: From 0.
            n_steps: Of the program.
        """
        dtype = keras.config.floatx()
        for callback in callbacks:
            if isinstance(callback, LearningRateSchedule):
                own = callback.rates(epoch)[:n_steps]
                return np.pad(own, (0, n_steps - len(own)), mode="edge").astype(dtype)
        return np.full(n_steps, 0.0 if self._schedule is not None else self.read(state), dtype=dtype)
