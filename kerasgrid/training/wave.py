"""Runs that are trained side by side, epoch by epoch, from where their checkpoint stands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import ChangedError, StorageError
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.records import (
    CheckpointRecord,
    Context,
    EpochRecord,
    FoldRecord,
    Job,
    RungRecord,
    StopRecord,
)
from kerasgrid.run.paths import turns_of
from kerasgrid.seeds import augment_key, data_order, draw_key, model_seed
from kerasgrid.training import backend
from kerasgrid.training.backend import to_host
from kerasgrid.training.batches import EVALUATION_BATCH
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.feeding import Piece
from kerasgrid.training.health import find_reason, restored_epoch
from kerasgrid.training.loop import best_epoch, check_logs
from kerasgrid.training.member import Member, restore, save
from kerasgrid.training.program import Program
from kerasgrid.training.saving import keep_model, keep_weights, own_model
from kerasgrid.training.scoring import failure, keep_trained, score, value_of

CALL_S = 5.0
"""Seconds that a call of a program should take at most, so that checkpoints are in time."""


@dataclass(frozen=True)
class _Measured:
    """Loss, metrics and outputs (sample, output) of a run, on held-out rows and on the inner split.

    Attributes:
        by_averages: Gives the same by debiased statistics; None where it is that already.
    """

    test: dict[str, float]
    test_outputs: np.ndarray
    val: dict[str, float]
    val_outputs: np.ndarray
    by_averages: Callable[[], _Measured] | None = None

    @property
    def debiased(self) -> _Measured:
        """What the run does by debiased statistics."""
        return self if self.by_averages is None else self.by_averages()


@dataclass
class Wave:
    """Trains runs of one program side by side; those that end make room.

    Attributes:
        recipe: The search's.
        program: Of their graph.
        compiled: How outputs are read.
        members: The runs.
        context: Is told of epochs, checkpoints and ends.
        owner: The graph's key, kept in checkpoints.
        until: The epoch, from 1, after which runs that have not ended wait; None for none.
        most: Runs that fit side by side, where more did not; None where that is not known.
        ended: Ids of jobs that have ended.
        has_measured: Whether what an epoch has trained was measured.
    """

    recipe: Recipe
    program: Program
    compiled: Compiled
    members: list[Member]
    context: Context
    owner: str
    until: int | None = None
    most: int | None = None
    ended: set[tuple[int, int, int]] = field(default_factory=set)
    has_measured: bool = False
    epoch: int = 0
    step: int = 0
    _width: int = 0
    _shares: bool = False
    _has_stepped: bool = False
    _has_padded: bool = False
    _first_calls: list[tuple[int, float]] = field(default_factory=list)
    _step_s: float | None = None
    _saved: Path | None = None
    _saved_at: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Trains until all jobs have ended or wait, or a stop that was asked for."""
        self._begin()
        self._restore()
        self._width = self._width or len(self.members)
        while self.members:
            if self.until is not None and self.epoch >= self.until:
                self._wait()
                return
            self._end_epoch(self._train_epoch())
            if self.members and self.context.should_stop():
                self._save()
                for member in self.members:
                    for job in member.jobs:
                        self.context.emit(StopRecord(job.id, self.epoch))
                return
            if self.members and self._is_due():
                self._save()

    @contextmanager
    def stepper(self, n: int) -> Iterator[Callable[[], int]]:
        """Gives a function that trains up to so many steps of the first epoch, and tells how many.

        For a trial of speed; nothing is recorded. Where samples are fed in pieces, those of the next call are
        read meanwhile, as in training.
        """
        self._begin()
        self._width = len(self.members)
        fixed, states, inputs = self._fixed(self.members), self._states(), self._inputs()
        batches, n = self._batches(), min(n, self.program.schedule.n_steps)

        def again() -> Generator[Piece]:
            while True:
                with closing(self._pieces(batches, n)) as pieces:
                    for piece in pieces:
                        yield piece
                        if piece.last + n > self.program.schedule.n_full:  # steps of fewer rows tell less
                            break

        def step() -> int:
            nonlocal states
            piece = next(pieces)
            last = min(piece.start + n, piece.last)
            told = piece.batches, piece.start, last, piece.images, piece.start
            states = _ready(self.program.train(states, fixed, inputs, *told))
            return last - piece.start

        with closing(again()) as pieces:
            yield step

    def _begin(self) -> None:
        for member in self.members:
            seed = model_seed(self.recipe.seed, self._drawn(member))
            member.begin(seed, self.program, self.compiled.model.metrics)
        self._shares = _take_the_same(self.members)

    def _drawn(self, member: Member) -> Job:
        """Returns the job whose seeds a run has."""
        return self.recipe.drawn(member.jobs[-1])

    # An epoch

    def _train_epoch(self) -> Any:
        """Trains the epoch at hand, or the rest of it; returns the states on the device."""
        members, program = self.members, self.program
        for member in members:
            for callback in member.callbacks:
                callback.on_epoch_begin(self.epoch)
            if self.step == 0:
                member.state["metrics"] = program.fresh_metrics()
        fixed, states = self._fixed(self.members), self._states()
        told, began = (fixed, self._inputs()), time.perf_counter()
        with closing(self._pieces(self._batches())) as pieces:
            for piece in pieces:
                self._add_time((time.perf_counter() - began) / len(members))
                states = self._train_piece(piece, states, *told)
                began = time.perf_counter()
        self._take(states)
        return states

    def _train_piece(self, piece: Piece, states: Any, fixed: Any, inputs: Any) -> Any:
        """Trains the steps of a piece that are left; returns the states on the device."""
        n_full, n_steps = self.program.schedule.n_full, self.program.schedule.n_steps
        while self.step < piece.last:
            began, last = time.perf_counter(), piece.last
            if self._step_s is not None:
                last = min(last, self.step + max(1, int(CALL_S / self._step_s)))
            elif not self._has_stepped:
                last = self.step + 1  # the first step is compiled and tells little of the others' time
            if not self._has_padded:  # nor do those of fewer rows, which are compiled by themselves
                last = min(last, n_full) if self.step < n_full else piece.last
            compiles = not (self._has_padded if last > n_full else self._has_stepped)
            told = piece.batches, self.step, last, piece.images, piece.start
            states = _ready(self.program.train(states, fixed, inputs, *told))
            share = self._share(last - self.step, time.perf_counter() - began, compiles)
            self._has_stepped, self._has_padded = True, self._has_padded or last > n_full
            self.step = last
            self._add_time(share)
            if self.step < n_steps and self._is_due():
                self._take(states)
                self._save()
        return states

    def _add_time(self, seconds: float) -> None:
        for member in self.members:
            member.fit_time += seconds

    def _pieces(self, batches: Any, most: int | None = None) -> Generator[Piece]:
        """Yields what is left of the epoch, in pieces of so many steps at most where it is fed in such."""
        feed, schedule = self.program.feed, self.program.schedule
        if feed is not None:
            yield from feed.epoch(batches, schedule, self.step, most)
        elif self.step < schedule.n_steps:
            yield Piece(batches, schedule.n_steps)

    def _share(self, n_steps: int, took: float, compiles: bool) -> float:
        """Returns a run's seconds of a call, as far as they are of training.

        A call that compiles counts as its steps do in others; until there is one, all of it.
        """
        share, n_members = took / len(self.members), len(self.members)
        if not compiles:
            self._step_s = took / n_steps
            for n_first, first in self._first_calls:
                share -= max(first - n_first * self._step_s / n_members, 0.0)
            self._first_calls.clear()
        elif self._step_s is not None:
            share = min(share, n_steps * self._step_s / n_members)
        else:
            self._first_calls.append((n_steps, share))
        return share

    def _states(self) -> Any:
        return self._stacked([member.state for member in self.members])

    def _inputs(self) -> Any:
        """Returns the epoch's learning rates, and the keys by which layers draw, stacked."""
        n_steps, rate = self.program.schedule.n_steps, self.program.rate
        return self._stacked(
            [
                {
                    "rates": rate.of_epoch(member.state, member.callbacks, self.epoch, n_steps),
                    "key": draw_key(self.recipe.seed, self._drawn(member), self.epoch),
                }
                for member in self.members
            ]
        )

    def _batches(self) -> Any:
        """Returns the rows of the epoch's batches, and how they are augmented, stacked."""
        return self._of_batches([partial(self._batches_of, member) for member in self.members])

    def _batches_of(self, member: Member) -> dict[str, Any]:
        where = self.recipe.seed, self._drawn(member), self.epoch
        order = member.train[data_order(*where, len(member.train))]
        key = augment_key(*where)
        full, ragged = self.program.schedule.pad(member.places(order, key))
        how = {"scaling": member.scaling, "strengths": member.strengths, "key": key}
        return {"full": full, "ragged": ragged, "how": how}

    def _of_batches(self, makers: Sequence[Callable[[], Any]]) -> Any:
        """Stacks what is made of each run's batches; where all take the same ones, of the first's alone."""
        if self._shares:
            return keras.tree.map_structure(lambda leaf: leaf[None], makers[0]())
        return self._stacked([maker() for maker in makers])

    def _fixed(self, members: Sequence[Member]) -> dict[str, np.ndarray]:
        """Returns what runs keep for all their life, stacked."""
        return self._stacked([member.fixed for member in members])

    def _stacked(self, trees: Sequence[Any]) -> Any:
        """Stacks what runs have, and the last one's again for each place that an ended run has left."""
        filled = [*trees, *[trees[-1]] * (self._width - len(trees))]
        return keras.tree.map_structure(lambda *leaves: np.stack(leaves), *filled)

    def _take(self, states: Any) -> None:
        host = to_host(states)
        for place, member in enumerate(self.members):
            member.state = keras.tree.map_structure(lambda leaf, place=place: np.array(leaf[place]), host)

    def _end_epoch(self, states: Any) -> None:
        """Measures, lets callbacks decide, and ends the jobs that are read here."""
        members, self.epoch, self.step = self.members, self.epoch + 1, 0
        is_looked_at = self.recipe.measures_epochs or any(
            member.val is not None or min(member.epochs) <= self.epoch for member in members
        )
        measured = self._measured(members, states) if is_looked_at else [None] * len(members)
        left, ends = [], []
        for member, found in zip(members, measured, strict=True):
            try:
                ends += self._finish_epoch(member, found)
                if member.jobs:
                    left.append(member)
            except (StorageError, ChangedError):
                raise
            except Exception as error:
                ends += [
                    failure(self.recipe, job, error, member.history, member.fit_time, self.epoch)
                    for job in member.jobs
                ]
        self.members = left
        # A job's end takes the checkpoint of its name away, in which the others may stand.
        if left:
            is_moved = self._saved is not None and self._saved != self._path()
            # Without a checkpoint they would begin again in a program for fewer.
            is_first = self._saved is None and len(left) < len(members) and backend.WIDTH_MATTERS
            # And another program computes them where they take the same batches from here on.
            is_other = self._shares != _take_the_same(left)
            if is_other:
                self._shares, self._has_stepped, self._has_padded = True, False, False
            # Each width is a program to compile: a place is given up when half of them are empty.
            while len(left) <= -(-self._width // 2) < self._width:
                self._width = -(-self._width // 2)
                self._has_stepped = self._has_padded = False  # it compiles anew
            if is_moved or is_first or (is_other and backend.WIDTH_MATTERS):
                self._save()
        for record in ends:
            self.ended.add(record.job)
            self.context.emit(record)

    def _wait(self) -> None:
        """Leaves each run with a checkpoint of its own, so that any of them go on together later."""
        measured = self._measured(self.members, self._stacked([member.state for member in self.members]))
        for member in self.members:
            save(self._path(member), self.owner, [member], self.epoch, 0)
        for member, found in zip(self.members, measured, strict=True):
            for job in member.jobs:
                record = self._record(member, job, found, self.epoch)
                if record.error is None:
                    self.context.emit(RungRecord(record))
                else:
                    self.ended.add(job.id)
                    self.context.emit(record)

    def _finish_epoch(self, member: Member, measured: _Measured | None) -> list[FoldRecord]:
        """Does what follows an epoch of one run; drops the jobs that end and returns their records.

        Where nothing looks at the epoch it was not measured, and is where the run ends by a callback.
        """
        stand, epoch = member.stand, self.epoch - 1
        logs = self.program.logs(member.state["metrics"])
        logs |= {f"val_{name}": value for name, value in measured.val.items()} if measured else {}
        rate = stand.optimizer.learning_rate
        for callback in member.callbacks:
            if isinstance(callback, keras.callbacks.TerminateOnNaN):  # the program has taken no step since
                n_steps = math.ceil(member.state["metrics"]["count"] / self.program.schedule.batch_size)
                callback.on_batch_end(n_steps - 1, logs)
            callback.on_epoch_end(epoch, logs)
        row = {**logs, "learning_rate": rate}
        if measured is not None and self.recipe.measures_epochs:
            row |= {f"test_{name}": value for name, value in measured.test.items()}
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
            if restores or measured is None:
                [measured] = self._measured([member], self._stacked([member.state]))
        reads = len(member.jobs) if ends else sum(epochs <= self.epoch for epochs in member.epochs)
        if not reads:
            return []
        assert measured is not None  # an epoch at which a job is read is looked at
        records = [
            self._record(member, job, measured, epochs, ends)
            for job, epochs in zip(member.jobs[:reads], member.epochs, strict=False)
        ]
        for job, candidate, record in zip(member.jobs, member.candidates, records, strict=False):
            if record.error is None:
                self._keep(member, job, candidate)
        member.jobs, member.candidates = member.jobs[reads:], member.candidates[reads:]
        return records

    def _keep(self, member: Member, job: Job, candidate: Candidate) -> None:
        """Saves the model of a job that has ended, or its weights, if these are kept."""
        keeps_model = self.recipe.keeps_model(candidate.route, self.until)
        if not keeps_model and not self.recipe.keeps_weights:
            return
        measured = self.program.measured(member.state, member.first, member.is_debiased)
        weights = self.program.variables(measured)
        if self.recipe.keeps_weights:
            is_whole = candidate.whole is None
            keep_weights(candidate, job, weights if is_whole else own_model(candidate, weights).get_weights())
        if keeps_model:
            keep_model(candidate, job, lambda: own_model(candidate, weights), self.context)

    def _record(
        self, member: Member, job: Job, measured: _Measured, epochs: int, ends: bool = False
    ) -> FoldRecord:
        """Returns what a job is worth now, or why it has failed; `ends` tells whether its run has ended.

        A job that cannot be scored where it is read takes no other with it that is read off the same run.
        """
        try:
            return self._scored(member, job, measured, epochs, ends)
        except (StorageError, ChangedError):
            raise
        except Exception as error:
            return failure(self.recipe, job, error, member.history, member.fit_time, self.epoch)

    def _scored(self, member: Member, job: Job, measured: _Measured, epochs: int, ends: bool) -> FoldRecord:
        candidate, found = member.candidates[-1], (measured.test_outputs, measured.test)
        record = score(candidate, job, self.compiled, *found, member.test, self.epoch)
        share, val, other = self.program.first_values(member.state), None, None
        fold = candidate.folds[job.fold]
        if self.recipe.keeps_trained:
            told = self._fixed([member]), [fold.train], self._stacked([member.state])
            keep_trained(candidate, job, self.compiled, self._evaluate([member], *told)[1][0])
        if candidate.scores_both_ways(share):
            by_averages = measured.debiased
            found = by_averages.test_outputs, by_averages.test
            other = value_of(candidate, fold, self.compiled, *found, member.test)
        if self.recipe.decides_by_val and member.val is not None:
            decided = measured.debiased if share else measured
            val = value_of(candidate, fold, self.compiled, decided.val_outputs, decided.val, member.val)
        restored = restored_epoch(member.callbacks) if ends else None
        return replace(
            record,
            val_score=val,
            first_values=share,
            debiased_score=other,
            history={name: list(values) for name, values in member.history.items()},
            fit_time=member.fit_time,
            best_epoch=best_epoch(member.callbacks, member.history, self.epoch),
            n_parameters=self.compiled.net.count_params(),
            dead=find_reason(member.callbacks, record.dead, min(epochs, self.epoch), restored),
        )

    def _measured(self, members: Sequence[Member], states: Any) -> list[_Measured]:
        """Returns what each run does, by the statistics that it is measured by."""
        by_averages = cache(lambda: self._measure(members, states, is_debiased=True))
        found = self._measure(members, states)
        self.has_measured = True

        def at(place: int) -> _Measured:
            return by_averages()[place]

        return [
            own if member.is_debiased else replace(own, by_averages=partial(at, place))
            for place, (member, own) in enumerate(zip(members, found, strict=True))
        ]

    def _measure(
        self, members: Sequence[Member], states: Any, is_debiased: bool | None = None
    ) -> list[_Measured]:
        """Returns what each run does on its held-out rows, and on its inner split where there is one."""
        fixed = self._fixed(members)
        if is_debiased is not None:
            fixed["is_debiased"] = np.full_like(fixed["is_debiased"], is_debiased)
        tests, outputs = self._evaluate(members, fixed, [member.test for member in members], states)
        inner = [member.val for member in members if member.val is not None]
        if not inner:
            return [_Measured(*found, {}, np.empty(0)) for found in zip(tests, outputs, strict=True)]
        vals, val_outputs = tests, outputs
        if any(member.val is not member.test for member in members):
            vals, val_outputs = self._evaluate(members, fixed, inner, states)
        return list(map(_Measured, tests, outputs, vals, val_outputs))

    def _evaluate(
        self, members: Sequence[Member], fixed: Any, rows: Sequence[np.ndarray], states: Any
    ) -> tuple[list[dict[str, float]], list[np.ndarray]]:
        """Returns each run's loss and metrics and its outputs (sample, output) on some rows."""
        n_chunks = -(-max(map(len, rows)) // EVALUATION_BATCH)
        # Folds differ by a few rows: one size for all, so that nothing is compiled again.
        size = min(EVALUATION_BATCH, -(-max(map(len, rows)) // 64) * 64)

        def held(member: Member, part: np.ndarray) -> dict[str, np.ndarray]:
            places = member.places(np.pad(part, (0, n_chunks * size - len(part))))
            weights = (np.arange(n_chunks * size) < len(part)).astype(keras.config.floatx())
            return {
                "rows": places.reshape(n_chunks, size, 2),
                "weights": weights.reshape(n_chunks, size),
                "scaling": member.scaling,
            }

        held_out = self._of_batches([partial(held, *own) for own in zip(members, rows, strict=True)])
        if self.program.feed is None:
            found = self.program.evaluate(states, fixed, held_out)
        else:
            with closing(self.program.feed.chunks(held_out["rows"])) as pieces:
                found = self.program.evaluate(states, fixed, held_out, pieces)
        logs, outputs = to_host(found)
        outputs = outputs.reshape(self._width, n_chunks * size, -1)
        return (
            [{name: float(values[place]) for name, values in logs.items()} for place in range(len(rows))],
            [outputs[place, : len(part)] for place, part in enumerate(rows)],
        )

    # Checkpoints

    def _path(self, member: Member | None = None) -> Path:
        """The file is named after the job of a run, or of all, that ends last as far as one can tell."""
        return self.recipe.paths.checkpoint(*(member or self.members[-1]).jobs[-1].id)

    def _is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.recipe.checkpoint_interval_s

    def _save(self) -> None:
        path = self._path()
        save(path, self.owner, self.members, self.epoch, self.step, self._width)
        self._saved, self._saved_at = path, time.monotonic()
        self.context.emit(CheckpointRecord(self.members[-1].jobs[-1].id, self.epoch, path.name))

    def _restore(self) -> None:
        """Goes on from the checkpoints that hold all of these runs, if there are any."""
        found = restore(self._path().parent, self.owner, self.members)
        if found is None:
            return
        files, self.epoch, self.step, self._width = found
        self._width = min(max(self._width, len(self.members)), self.most or 1 << 30)
        self._saved = self._path()
        if not files <= {*turns_of(self._saved)}:  # another job's end may take them away
            self._save()


def _take_the_same(members: Sequence[Member]) -> bool:
    """Tells whether all runs take the same batches: they are gathered, augmented and scaled once then."""
    return len({member.takes for member in members}) == 1


def _ready(states: Any) -> Any:
    """Waits until the device has computed, so that times are true."""
    leaf = states["metrics"]["count"]
    np.asarray(leaf)
    return states
