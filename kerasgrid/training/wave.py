"""Runs that are trained side by side, epoch by epoch, from where their checkpoint stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import ChangedError, StorageError
from kerasgrid.records import CheckpointRecord, Context, EpochRecord, FoldRecord, StopRecord
from kerasgrid.seeds import data_order, model_seed
from kerasgrid.training.backend import to_host
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.health import find_reason, restored_epoch
from kerasgrid.training.loop import EVALUATION_BATCH, best_epoch, check_logs
from kerasgrid.training.member import Member, Stand, restore, save
from kerasgrid.training.objective import Objective
from kerasgrid.training.program import Program
from kerasgrid.training.recipe import Recipe
from kerasgrid.training.scoring import failure, score

CALL_S = 5.0
"""Seconds that a call of a program should take at most, so that checkpoints are in time."""


@dataclass
class Wave:
    """Trains runs of one program side by side; those that end make room.

    Attributes:
        recipe: The search's.
        program: Of their graph.
        compiled: How outputs are read.
        objective: What scores.
        labels: (sample,), class indices.
        members: The runs.
        context: Is told of epochs, checkpoints and ends.
        owner: The graph's key, kept in checkpoints.
        ended: Ids of jobs that have ended.
        has_measured: Whether an epoch has been trained and measured.
    """

    recipe: Recipe
    program: Program
    compiled: Compiled
    objective: Objective
    labels: np.ndarray
    members: list[Member]
    context: Context
    owner: str
    ended: set[tuple[int, int, int]] = field(default_factory=set)
    has_measured: bool = False
    epoch: int = 0
    step: int = 0
    _has_stepped: bool = False
    _step_s: float | None = None
    _saved: Path | None = None
    _saved_at: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Trains until all jobs have ended, or a stop that was asked for."""
        self._begin()
        self._restore()
        while self.members:
            self._end_epoch(self._train_epoch())
            if self.members and self.context.should_stop():
                self._save()
                for member in self.members:
                    for job in member.jobs:
                        self.context.emit(StopRecord(job.id, self.epoch))
                return
            if self.members and self._is_due():
                self._save()

    def stepper(self) -> Callable[[int], int]:
        """Returns a function that trains so many steps of the first epoch, and tells how many.

        For a trial of speed; nothing is recorded.
        """
        self._begin()
        fixed, (states, inputs) = _fixed(self.members), self._inputs()

        def step(n: int) -> int:
            nonlocal states
            n = min(n, self.program.schedule.n_steps)
            states = _ready(self.program.train(states, fixed, inputs, 0, n, 0))
            return n

        return step

    def _begin(self) -> None:
        for member in self.members:
            seed = model_seed(self.recipe.seed, member.jobs[-1])
            member.state = self.program.initial_state(seed, member.learning_rate)
            member.stand = Stand(member, self.program, self.compiled.model.metrics)
            for callback in member.callbacks:
                callback.set_model(member.stand)
                callback.on_train_begin()

    # An epoch

    def _train_epoch(self) -> Any:
        """Trains the epoch at hand, or the rest of it; returns the states on the device."""
        members, program = self.members, self.program
        for member in members:
            for callback in member.callbacks:
                callback.on_epoch_begin(self.epoch)
            if self.step == 0:
                member.state["metrics"] = program.fresh_metrics()
        fixed, (states, inputs) = _fixed(self.members), self._inputs()
        while self.step < program.schedule.n_steps:
            began = time.perf_counter()
            last = program.schedule.n_steps
            if self._step_s is not None:
                last = min(last, self.step + max(1, int(CALL_S / self._step_s)))
            elif last > 1 and not self._has_stepped:
                last = self.step + 1  # the first step is compiled and tells little of the others' time
            states = program.train(states, fixed, inputs, self.step, last, self.epoch)
            states = _ready(states)
            took = time.perf_counter() - began
            if self._has_stepped:
                self._step_s = took / (last - self.step)
            self._has_stepped = True
            self.step = last
            for member in members:
                member.fit_time += took / len(members)
            if self.step < program.schedule.n_steps and self._is_due():
                self._take(states)
                self._save()
        self._take(states)
        return states

    def _inputs(self) -> tuple[Any, Any]:
        """Returns states, and the epoch's rows and learning rates, stacked."""
        inputs, schedule = [], self.program.schedule
        for member in self.members:
            order = data_order(self.recipe.seed, member.jobs[-1], self.epoch, len(member.train))
            full, ragged = schedule.pad(member.train[order])
            rates = member.rates(self.epoch, schedule.n_steps)
            inputs.append({"full": full, "ragged": ragged, "rates": rates})
        return _stacked([member.state for member in self.members]), _stacked(inputs)

    def _take(self, states: Any) -> None:
        host = to_host(states)
        for place, member in enumerate(self.members):
            member.state = keras.tree.map_structure(lambda leaf, place=place: np.array(leaf[place]), host)

    def _end_epoch(self, states: Any) -> None:
        """Measures, lets callbacks decide, and ends the jobs that are read here."""
        vals = [{}] * len(self.members)
        is_apart = any(member.val is not member.test for member in self.members)
        if self.members[0].val is not None and is_apart:
            vals = self._evaluate(self.members, [member.val for member in self.members], states)[0]
        tests, outputs = self._evaluate(self.members, [member.test for member in self.members], states)
        vals = vals if is_apart else tests
        self.epoch, self.step, self.has_measured = self.epoch + 1, 0, True
        left, ends = [], []
        for member, val, test, output in zip(self.members, vals, tests, outputs, strict=True):
            try:
                ends += self._finish_epoch(member, val, test, output)
                if member.jobs:
                    left.append(member)
            except (StorageError, ChangedError):
                raise
            except Exception as error:
                ends += [
                    failure(job, error, member.history, member.fit_time, self.epoch) for job in member.jobs
                ]
        self.members = left
        # A job's end takes the checkpoint of its name away, in which the others may stand.
        if left and self._saved is not None and self._saved != self._path():
            self._save()
        for record in ends:
            self.ended.add(record.job)
            self.context.emit(record)

    def _finish_epoch(
        self, member: Member, val: dict[str, float], test: dict[str, float], outputs: np.ndarray
    ) -> list[FoldRecord]:
        """Does what follows an epoch of one run; drops the jobs that end and returns their records."""
        stand, epoch = member.stand, self.epoch - 1
        logs = self.program.logs(member.state["metrics"])
        logs |= {f"val_{name}": value for name, value in val.items()}
        rate = stand.learning_rate
        for callback in member.callbacks:
            if isinstance(callback, keras.callbacks.TerminateOnNaN):  # the program has taken no step since
                callback.on_batch_end(self.program.schedule.n_steps - 1, logs)
            callback.on_epoch_end(epoch, logs)
        row = {**logs, "learning_rate": rate}
        row |= {f"test_{name}": value for name, value in test.items()}
        for name, value in row.items():
            member.history.setdefault(name, []).append(float(value))
        for job, epochs in zip(member.jobs, member.epochs, strict=True):
            self.context.emit(EpochRecord(job.id, self.epoch, epochs, row))
        check_logs(str(member.jobs[-1]), epoch, logs, rate, member.callbacks)
        ends = stand.stop_training or self.epoch >= member.epochs[-1]
        if ends:
            restores = any(getattr(callback, "restore_best_weights", False) for callback in member.callbacks)
            for callback in member.callbacks:
                callback.on_train_end()
            if restores:
                (test,), (outputs,) = self._evaluate([member], [member.test], _stacked([member.state]))
        reads = len(member.jobs) if ends else sum(epochs <= self.epoch for epochs in member.epochs)
        records = []
        for job, epochs in zip(member.jobs[:reads], member.epochs, strict=False):
            record = score(
                self.recipe,
                job,
                self.objective,
                self.compiled,
                outputs,
                dict(test),
                self.labels[member.test],
                self.epoch,
            )
            measured = replace(
                record,
                history={name: list(values) for name, values in member.history.items()},
                fit_time=member.fit_time,
                best_epoch=best_epoch(member.callbacks, member.history, self.epoch),
                n_parameters=self.program.lifted.model.count_params(),
                dead=find_reason(
                    member.callbacks,
                    record.dead,
                    min(epochs, self.epoch),
                    restored_epoch(member.callbacks) if ends else None,
                ),
            )
            records.append(measured)
        member.jobs, member.epochs = member.jobs[reads:], member.epochs[reads:]
        return records

    def _evaluate(
        self, members: Sequence[Member], rows: Sequence[np.ndarray], states: Any
    ) -> tuple[list[dict[str, float]], list[np.ndarray]]:
        """Returns each run's loss and metrics and its outputs (sample, output) on some rows."""
        n_chunks = -(-max(map(len, rows)) // EVALUATION_BATCH)
        # Folds differ by a few rows: one size for all, so that nothing is compiled again.
        size = min(EVALUATION_BATCH, -(-max(map(len, rows)) // 64) * 64)
        chunks = np.zeros((len(rows), n_chunks * size), dtype=np.int32)
        weights = np.zeros(chunks.shape, dtype=keras.config.floatx())
        for place, part in enumerate(rows):
            chunks[place, : len(part)], weights[place, : len(part)] = part, 1
        shape = (len(rows), n_chunks, size)
        logs, outputs = to_host(
            self.program.evaluate(states, _fixed(members), chunks.reshape(shape), weights.reshape(shape))
        )
        outputs = outputs.reshape(len(rows), n_chunks * size, -1)
        return (
            [{name: float(values[place]) for name, values in logs.items()} for place in range(len(rows))],
            [outputs[place, : len(part)] for place, part in enumerate(rows)],
        )

    # Checkpoints

    def _path(self) -> Path:
        """The file is named after the job that ends last as far as one can tell."""
        return self.recipe.paths.checkpoint(*self.members[-1].jobs[-1].id)

    def _is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.recipe.checkpoint_interval_s

    def _save(self) -> None:
        path = self._path()
        save(path, self.owner, self.members, self.epoch, self.step)
        self._saved, self._saved_at = path, time.monotonic()
        self.context.emit(CheckpointRecord(self.members[-1].jobs[-1].id, self.epoch, path.name))

    def _restore(self) -> None:
        """Goes on from the checkpoint that holds all of these runs, if there is one."""
        stands = restore(self._path().parent, self.owner, self.members)
        if stands is not None:
            self._saved, self.epoch, self.step = stands
            if self._saved != self._path():  # another job's end may take it away
                self._save()


def _fixed(members: Sequence[Member]) -> dict[str, np.ndarray]:
    """Returns what runs keep for all their life, stacked."""
    return _stacked([member.fixed for member in members])


def _stacked(trees: Sequence[Any]) -> Any:
    return keras.tree.map_structure(lambda *leaves: np.stack(leaves), *trees)


def _ready(states: Any) -> Any:
    """Waits until the device has computed, so that times are true."""
    leaf = states["metrics"]["count"]
    np.asarray(leaf)
    return states
