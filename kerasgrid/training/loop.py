"""The training loop: epochs by Keras's own fit, callbacks, curves, checkpoints; and layers that learn mean
and variance before the first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.data.statistics import moments
from kerasgrid.errors import ModelError, TrialError, did_you_mean
from kerasgrid.models.keras_private import call_of, inputs_of_calls, layers_within
from kerasgrid.records import CheckpointRecord, Context, EpochRecord, Job, StopRecord
from kerasgrid.seeds import augment_key, data_order
from kerasgrid.training import checkpoint
from kerasgrid.training.batches import EVALUATION_BATCH, LoopData
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.frozen import is_fresh
from kerasgrid.training.learning_rate import rate_of
from kerasgrid.training.moving import Counted
from kerasgrid.training.scoring import is_out_of_memory


@dataclass(frozen=True)
class Stretch:
    """Epochs of a fit with one graph and one optimizer: those of a stage, or all.

    Attributes:
        end: The epoch after which it ends at most, counted over the whole fit.
        begin: Epochs that the fit was trained before it.
        first: Epochs before its callbacks began to count theirs.
        start: The stage, from 0, with which its callbacks began.
        total: Epochs of the fit at most.
        begins: Whether callbacks begin with it; else they go on from the stretch before.
        ends: Whether callbacks end with it; else they go on in the next one.
    """

    end: int
    begin: int = 0
    first: int = 0
    start: int = 0
    total: int = 0
    begins: bool = True
    ends: bool = True


@dataclass
class Loop:
    """Trains one job's model over a stretch, from where its checkpoint stands, or from the beginning.

    Attributes:
        job: Whose random keys are used.
        owner: The hash of the candidate's params, kept in checkpoints.
        candidate: Its candidate.
        compiled: Its model.
        callbacks: Keras's.
        samples: The data.
        stretch: Which epochs to train.
        context: Is told of epochs, checkpoints and a stop.
        checkpoint_path: Where to keep the checkpoint.
        counted: The moving statistics of the whole model.
        until: The epoch, from 1, after which the job waits; None for none.
        progress: Where the job stands.
        saved: The checkpoint that it stands at; None for none.
        hooks: The callbacks as they go on from the stretch before; None to let them begin.
    """

    job: Job
    owner: str
    candidate: Candidate
    compiled: Compiled
    callbacks: Sequence[keras.callbacks.Callback]
    samples: LoopData
    stretch: Stretch
    context: Context
    checkpoint_path: Path
    counted: Counted
    until: int | None = None
    progress: checkpoint.Progress = field(default_factory=checkpoint.Progress)
    saved: checkpoint.Checkpoint | None = None
    hooks: keras.callbacks.CallbackList | None = None
    best_epoch: int | None = None
    _n_at_once: int = EVALUATION_BATCH
    _saved_at: float = field(default_factory=time.monotonic)
    _watch: _Stopwatch = field(default_factory=lambda: _Stopwatch())

    def run(self) -> bool:
        """Trains until the last epoch, a callback's end, the epoch to wait at, or a stop that was asked for.

        Returns:
            Whether the stretch is done; else a checkpoint holds where the job is: it waits or was stopped.

        Raises:
            TrialError: The loss is NaN, or a callback monitors what is not measured.
        """
        saved, stretch = self.saved, self.stretch
        self._watch = _Stopwatch(self.progress.fit_time)
        if saved is not None:
            self._make_variables()
        if saved is not None and self.waits:  # a crash came between the checkpoint and its record
            saved.restore(self.model, self.callbacks)
            return False
        optimizer = self.model.optimizer
        finalize = optimizer.finalize_variable_values
        optimizer.finalize_variable_values = _put_off  # each epoch is a fit, and this is for the last one
        about = {"epochs": stretch.end - stretch.first, "steps": self.n_steps, "verbose": 0}
        hooks = self.hooks
        if hooks is None:
            hooks = keras.callbacks.CallbackList(list(self.callbacks), model=self.model, **about)
            hooks.on_train_begin()
        else:
            hooks.set_model(self.model)
            hooks.set_params(about)
        self.hooks = hooks
        if stretch.begin and saved is None and self._pauses():  # as after any epoch
            return False
        done, logs = False, {}
        while not done:
            epoch = self.progress.epoch
            logs = self._train_epoch(epoch, hooks, saved)
            saved = None
            self.counted.note(self.progress.updates)
            logs |= self._measure_val(hooks)
            rate = rate_of(self.model.optimizer)
            hooks.on_epoch_end(epoch - stretch.first, logs)
            self.counted.settle(self.progress.updates)
            self._record(epoch, logs if rate is None else {**logs, "learning_rate": rate})
            check_logs(str(self.job), epoch, logs, rate, self.callbacks)
            done = self.model.stop_training or self.progress.epoch >= stretch.end
            if not done and self._pauses():
                return False
        finalize(self.model.trainable_weights)
        if stretch.ends:
            hooks.on_train_end(logs)
        self.counted.settle(self.progress.updates)
        of_callbacks = {name: values[stretch.first :] for name, values in self.progress.history.items()}
        best = best_epoch(self.callbacks, of_callbacks, self.progress.epoch - stretch.first)
        self.best_epoch = stretch.first + best
        return True

    def _pauses(self) -> bool:
        """Tells whether the job waits or stops here; a checkpoint holds it then, and one that is due, too."""
        is_stopping = not self.waits and self.context.should_stop()
        if self.waits or is_stopping:
            self._save()
            if is_stopping:
                self.context.emit(StopRecord(self.job.id, self.progress.epoch))
            return True
        self.save_if_due()
        return False

    @property
    def model(self) -> keras.Model:
        """The model that is trained."""
        return self.compiled.model

    @property
    def n_steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.samples.train) // self.candidate.route.batch_size)

    @property
    def waits(self) -> bool:
        """Whether the job has come to the epoch after which it waits."""
        return self.until is not None and self.progress.epoch >= self.until

    def _train_epoch(
        self, epoch: int, hooks: keras.callbacks.CallbackList, saved: checkpoint.Checkpoint | None
    ) -> dict[str, float]:
        """Trains one epoch, or the rest of the one that a checkpoint stands in; returns its means."""
        recipe = self.candidate.recipe
        seed, drawn = recipe.seed, recipe.drawn(self.job)
        rows = self.samples.train
        if self.compiled.shuffles:
            rows = rows[data_order(seed, drawn, epoch, len(rows))]
        bridge = _Bridge(self, hooks, epoch, saved)
        self._watch.begin()
        size = self.candidate.route.batch_size
        key = augment_key(seed, drawn, epoch)
        with self.samples.batches(rows, size, self.progress.step, key) as batches:
            history = self.model.fit(
                self.samples.given(batches),
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,
                verbose=0,
                callbacks=[bridge],
            )
        self.progress.fit_time = self._watch.end()
        return {name: float(values[-1]) for name, values in history.history.items()}

    def _measure_val(self, hooks: keras.callbacks.CallbackList) -> dict[str, float]:
        """Returns `val_*`, which callbacks may look at."""
        if self.samples.val is None:
            return {}
        return {f"val_{name}": value for name, value in self.evaluate(self.samples.val, hooks).items()}

    def evaluate(
        self, rows: np.ndarray, hooks: keras.callbacks.CallbackList | None = None
    ) -> dict[str, float]:
        """Returns loss and metrics on some rows; none where the model alone knows its loss."""
        if not self.compiled.is_measured:
            return {}
        told = {"return_dict": True, "callbacks": hooks}
        measured = self._asked(rows, lambda batches: self.model.evaluate(batches, verbose=0, **told))
        return {name: float(value) for name, value in measured.items()}

    def outputs(self, rows: np.ndarray) -> np.ndarray:
        """Returns (row, output) of some rows."""
        return self._asked(rows, lambda batches: self.model.predict(batches, verbose=0))

    def _asked(self, rows: np.ndarray, ask: Callable[[Any], Any]) -> Any:
        """Returns what the model is asked in batches; in smaller ones, not below those that it is trained on,
        where they do not fit into memory."""
        while True:
            try:
                with self.statistics(), self.samples.batches(rows, self._n_at_once) as batches:
                    return ask(self.samples.given(batches))
            except Exception as error:
                if self._n_at_once <= self.candidate.route.batch_size or not is_out_of_memory(error):
                    raise
            self._n_at_once //= 2

    def statistics(self) -> AbstractContextManager[None]:
        """Lets the model have, within, the moving statistics that it is measured and saved with."""
        return self.counted.debiased() if self.candidate.is_debiased else nullcontext()

    def _record(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Adds an epoch to the history, with the held-out fold's curve, which nothing decides by."""
        is_measured = self.candidate.recipe.measures_epochs and len(self.samples.test) > 0
        test = self.evaluate(self.samples.test) if is_measured else {}
        row = {**logs, **{f"test_{name}": value for name, value in test.items()}}
        for name, value in row.items():
            self.progress.history.setdefault(name, []).append(value)
        self.progress.epoch, self.progress.step = epoch + 1, 0
        total = max(self.stretch.total, self.stretch.end)
        self.context.emit(EpochRecord(self.job.id, epoch + 1, total, row))

    def _make_variables(self) -> None:
        """Builds optimizer and metrics, which Keras does at the first batch, to be saved or restored.

        RNNs draw the masks of their dropout in prediction, too: no fit trains with others for that.
        """
        weights = {id(weight) for weight in self.model.weights}
        others = [one for one in self.model.variables if id(one) not in weights]
        values = [np.array(keras.ops.convert_to_numpy(one)) for one in others]
        if not self.evaluate(self.samples.train[:1]):
            self.outputs(self.samples.train[:1])
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        for one, value in zip(others, values, strict=True):
            one.assign(value)

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough for another one."""
        return time.monotonic() - self._saved_at >= self.candidate.recipe.checkpoint_interval_s

    def save_if_due(self, step: int = 0) -> None:
        """Writes a checkpoint after so many batches of the epoch at hand, if the last one is old enough."""
        if not self.is_due:
            return
        self.progress.step = step
        if step:
            self.progress.fit_time = self._watch.pause()
        self._save()
        self._watch.begin()

    def _save(self) -> None:
        if not self.model.optimizer.built:  # before the first batch of a stretch
            self._make_variables()
        checkpoint.save(self.checkpoint_path, self.owner, self.model, self.callbacks, self.progress)
        self._saved_at = time.monotonic()
        self.context.emit(CheckpointRecord(self.job.id, self.progress.epoch, self.checkpoint_path.name))


def best_epoch(
    callbacks: Sequence[keras.callbacks.Callback], history: Mapping[str, Sequence[float]], last: int
) -> int:
    """Returns the epoch that was the best by the inner split; the last one where there is none."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.EarlyStopping) and callback.best is not None:
            return callback.best_epoch + 1
    losses = np.asarray(history.get("val_loss", [math.nan]), dtype=float)
    return last if np.isnan(losses).all() else int(np.nanargmin(losses)) + 1


def check_logs(
    where: str,
    epoch: int,
    logs: Mapping[str, float],
    rate: float | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Checks what an epoch, counted from 0, has measured.

    Raises:
        TrialError: The loss is NaN, or a callback monitors what is not measured.
    """
    if math.isnan(logs.get("loss", 0.0)):
        shown = "" if rate is None else f" (learning_rate={rate:g})"
        raise TrialError(f"{where}, epoch {epoch + 1}: loss is nan{shown}.")
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if monitor is not None and monitor not in logs:
            name = type(callback).__name__
            guess = did_you_mean(monitor, logs)
            raise TrialError(f"{where}: {name} monitors {monitor!r}, which is not measured.{guess}")


def read_checkpoint(path: Path, owner: str, progress: checkpoint.Progress) -> checkpoint.Checkpoint | None:
    """Returns a job's checkpoint, and lets its progress be where that stands; None for none that holds."""
    if not path.exists():
        return None
    try:
        saved = checkpoint.Checkpoint(path, owner)
    except checkpoint.StaleCheckpointError:
        return None
    vars(progress).update(vars(saved.progress))
    return saved


def _put_off(weights: object) -> None:
    """Stands in for an optimizer's finalize_variable_values until the last epoch is done."""


class _Stopwatch:
    """Counts seconds of training, without what steps took longer when they were compiled.

    That is the first step, and where its rows are fewer the last one, in the first epoch of a process. Where
    an epoch has no others to compare them with, that is the second epoch.

    Args:
        before: Seconds that were trained in earlier processes.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._before, self._since, self._last = before, 0.0, 0.0
        self._steps: list[float] = []  # of the first epoch
        self._epochs = [0.0]

    def begin(self) -> None:
        self._since = self._last = time.perf_counter()

    def step(self) -> None:
        if len(self._epochs) == 1:
            now = time.perf_counter()
            self._steps.append(now - self._last)
            self._last = now

    def pause(self) -> float:
        """Returns the seconds so far."""
        now = time.perf_counter()
        self._epochs[-1] += now - self._since
        self._since = now
        return self._before + sum(self._epochs) - self._compiling_s()

    def end(self) -> float:
        """Ends an epoch; returns the seconds so far."""
        seconds = self.pause()
        self._epochs.append(0.0)
        return seconds

    def _compiling_s(self) -> float:
        first, *others, last = self._steps if len(self._steps) > 2 else (0.0, 0.0, 0.0)
        if any(others):
            usual = float(np.mean(others))
            return max(first - usual, 0.0) + max(last - usual, 0.0)
        return max(self._epochs[0] - self._epochs[1], 0.0) if len(self._epochs) > 1 else 0.0


class _Bridge(keras.callbacks.Callback):
    """Passes an epoch's hooks to the run's callbacks, restores a checkpoint, and writes due ones."""

    def __init__(
        self, loop: Loop, hooks: keras.callbacks.CallbackList, epoch: int, saved: checkpoint.Checkpoint | None
    ) -> None:
        super().__init__()
        self.loop, self.hooks, self.epoch, self.saved = loop, hooks, epoch, saved
        self.first = loop.progress.step

    def on_epoch_begin(self, epoch, logs=None) -> None:
        if self.saved is not None:
            self.saved.restore(self.model, self.loop.callbacks)
            self.loop.counted.note(self.loop.progress.updates)
        if self.first == 0:
            self.hooks.on_epoch_begin(self.epoch - self.loop.stretch.first)
            self.loop.counted.settle(self.loop.progress.updates)

    def on_train_batch_begin(self, batch, logs=None) -> None:
        self.hooks.on_train_batch_begin(batch + self.first, logs)

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.hooks.on_train_batch_end(batch + self.first, logs)
        self.loop._watch.step()
        step = batch + self.first + 1
        # Asking a callback for its model brings JAX's state back from the device: only where it is needed.
        if step < self.loop.n_steps and self.loop.is_due and not self.model.stop_training:
            self.loop.save_if_due(step)


def adapt(model: keras.Model, samples: Callable[[], LoopData]) -> None:
    """Adapts each `keras.layers.Normalization` that has neither values of its own nor been adapted.

    The training rows are read in batches, not augmented, and go through the layers before it as in
    inference. Models within a model are looked into. A subclassed model adapts its layers itself.

    Args:
        model: Built.
        samples: Gives those whose `train` rows are looked at.
    """
    if getattr(model, "inputs", None) and any(map(is_fresh, layers_within(model))):
        _adapt(model, samples(), ())


def _adapt(model: keras.Model, samples: LoopData, outer: Sequence[keras.Model]) -> None:
    """Adapts the layers of a model; `outer` gives, one after the other, what comes to its inputs."""
    for layer in model.layers if getattr(model, "inputs", None) else ():
        if is_fresh(layer):
            _learn(layer, _batches(samples, [*outer, _before(model, layer)]))
        elif getattr(layer, "inputs", None) and any(map(is_fresh, layers_within(layer))):
            _adapt(layer, samples, [*outer, _before(model, layer)])


def _learn(layer: keras.layers.Normalization, batches: Iterable[np.ndarray]) -> None:
    """Does as `adapt`, which takes no batches one after the other in Keras before 3.14."""
    shape = layer.adapt_mean.shape
    places = range(-len(shape), 0)  # of the axes whose entries are normalised each by itself
    n_columns = math.prod(shape)
    columns = (
        np.moveaxis(batch, sorted(axis % batch.ndim for axis in layer.axis), places) for batch in batches
    )
    mean, variance = moments(values.reshape(-1, n_columns) for values in columns)
    layer.adapt_mean.assign(mean.reshape(shape))
    layer.adapt_variance.assign(variance.reshape(shape))
    layer.finalize_state()


def _before(model: keras.Model, layer: keras.Layer) -> keras.Model:
    """Returns the part of a model that ends where a layer, or a model within, begins.

    A model within may stand in other models too, as one that was loaded may.
    """
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    for found in inputs_of_calls(layer):
        if _comes_from(model.inputs, found):
            return keras.Model(inputs, found[0] if len(found) == 1 else found)
    raise ModelError(f"{model.name}: {layer.name} has no place in it from which it could be adapted.")


def _comes_from(inputs: Sequence[Any], found: Sequence[Any]) -> bool:
    """Tells whether symbolic tensors are made of a model's inputs alone, and not of another graph's."""
    known, left = {id(tensor) for tensor in inputs}, list(found)
    while left:
        tensor = left.pop()
        if id(tensor) in known:
            continue
        known.add(id(tensor))
        call = call_of(tensor)
        if call is None or not call[1]:
            return False
        left += call[1]
    return True


def _batches(samples: LoopData, before: Sequence[keras.Model]) -> Iterator[np.ndarray]:
    """Yields what the training rows are after models, one after the other."""
    with samples.batches(samples.train) as batches:
        for index in range(len(batches)):
            images = batches[index][0]
            for part in before:
                images = part(images, training=False)
            yield keras.ops.convert_to_numpy(images)
