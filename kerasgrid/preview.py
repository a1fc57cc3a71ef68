"""What a search is going to do, before it costs anything: the plan that `kerasgrid check` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kerasgrid.checks import Prepared, callbacks_of
from kerasgrid.engines import ENGINES
from kerasgrid.io import RunPaths, digest
from kerasgrid.journal import read
from kerasgrid.measurements import Measurement, recall
from kerasgrid.planning import plan
from kerasgrid.records import Job, ProbeRecord, Trial
from kerasgrid.results import fold_records
from kerasgrid.training.routing import route
from kerasgrid.views.leaderboard import format_seconds
from kerasgrid.workers import make_executor, make_recipe, run_probes

MAX_MODELS = 200


@dataclass(frozen=True)
class Preview:
    """A search's plan and what its models are.

    Attributes:
        prepared: The search.
        n_trials: Candidates of the engine's first proposal.
        n_done: Fits that an earlier session has done.
        n_packs: Groups of fits that are trained together.
        epochs: Epochs to train in all, early stopping not counted.
        n_workers: Fits at the same time.
        models: One record for each distinct model, at most 200.
        n_models: Distinct models in all.
        measured: From an earlier search.
        notes: The planner's.
    """

    prepared: Prepared
    n_trials: int
    n_done: int
    n_packs: int
    epochs: int
    n_workers: int
    models: tuple[ProbeRecord, ...]
    n_models: int
    measured: Measurement | None
    notes: tuple[str, ...]

    @property
    def refused(self) -> list[ProbeRecord]:
        """The models that do not build."""
        return [record for record in self.models if record.error is not None]

    def lines(self) -> list[str]:
        """Returns the plan as lines to print."""
        prepared, search = self.prepared, self.prepared.config.search
        data = prepared.data
        shape = " x ".join(str(size) for size in data.images.shape[1:])
        splits = (
            f"holdout of {search.holdout:g}"
            if search.n_folds is None
            else f"{search.n_folds} stratified folds"
        )
        fits = self.n_trials * len(prepared.folds) * search.repeats
        repeats = f" x {search.repeats} repeats" if search.repeats > 1 else ""
        sizes = [record.n_parameters for record in self.models if record.n_parameters is not None]
        small, large = (min(sizes), max(sizes)) if sizes else (0, 0)
        weights = (
            ""
            if not sizes
            else f", {small:,} parameters"
            if small == large
            else f", {small:,} to {large:,} parameters"
        )
        lines = [
            f"data       {data.source}: {len(data):,} samples of {shape} ({data.images.dtype}), {len(data.classes)} classes",
            *(f"           {line}" for line in data.report),
            f"splits     {splits}: about {len(prepared.folds[0].train):,} to train on, {len(prepared.folds[0].test):,} held out",
            f"model      {prepared.config.model}: {_count(self.n_models, 'distinct model')}{weights}",
            f"trials     {self.n_trials:,} by {search.engine}, scored by {search.objective} ({prepared.objective.direction})",
            f"fits       {fits:,} ({self.n_trials:,} trials x {_count(len(prepared.folds), 'fold')}{repeats}), {self.n_done:,} done before",
            f"packs      {self.n_packs:,} to train, {_count(self.n_workers, 'worker')}. {' '.join(self.notes)}".rstrip(),
            f"epochs     {self.epochs:,} to train{' at most' if 'early_stopping' in callbacks_of(prepared.config) else ''}",
            f"time       {self._time()}",
            f"memory     {self._memory()}",
        ]
        if len(self.models) < self.n_models:
            lines.append(
                f"           {len(self.models)} of the {self.n_models:,} distinct models were built."
            )
        return lines

    def _time(self) -> str:
        if self.measured is None:
            return "not measured yet"
        seconds = self.measured.seconds_per_epoch * self.epochs / self.n_workers
        return f"about {format_seconds(seconds)}, from {_count(self.measured.n_fits, 'fit')} measured before"

    def _memory(self) -> str:
        if self.measured is None:
            return "not measured yet"
        return f"about {self.measured.memory_bytes * self.n_workers / 2**30:.1f} GiB, {_count(self.n_workers, 'worker')} together"


def preview(prepared: Prepared, paths: RunPaths) -> Preview:
    """Builds each distinct model once and returns the plan; trains nothing.

    Raises:
        ModelError: A worker could not load the model function.
    """
    search = prepared.config.search
    engine = ENGINES[search.engine](prepared.space, search)
    trials = [Trial(index, params) for index, params in enumerate(next(engine))]
    done = _done(paths)
    written = callbacks_of(prepared.config)
    jobs, epochs, models = [], 0, {}
    for trial in trials:
        going = route({**prepared.config.params, **trial.params}, prepared.signature, written)
        arguments = [sorted(going.optimizer_args), sorted(going.loss_args)]
        models.setdefault(digest([dict(going.model), going.optimizer, going.loss, arguments]), trial.params)
        for fold in prepared.folds:
            for repeat in range(search.repeats):
                if (trial.identity, fold.index, repeat) not in done:
                    jobs.append(Job(trial, fold.index, repeat))
                    epochs += going.epochs
    planned = plan(jobs)
    with make_executor(prepared) as executor:
        recipe = make_recipe(prepared, paths)
        records = tuple(run_probes(prepared, recipe, executor, list(islice(models.values(), MAX_MODELS))))
        n_workers = executor.n_workers
    return Preview(
        prepared=prepared,
        n_trials=len(trials),
        n_done=len(trials) * len(prepared.folds) * search.repeats - len(jobs),
        n_packs=len(planned.packs),
        epochs=epochs,
        n_workers=n_workers,
        models=records,
        n_models=len(models),
        measured=recall(prepared),
        notes=planned.notes,
    )


def _done(paths: RunPaths) -> set[tuple[str, int, int]]:
    """Returns the fits that the run's journal holds, by their params' hash, fold and repeat."""
    if not paths.journal.exists():
        return set()
    records: Sequence[Mapping[str, Any]] = read(paths.journal)[1]
    trials = {r["id"]: Trial(r["id"], r["params"]).identity for r in records if r["type"] == "trial"}
    return {(trials[record.job[0]], *record.job[1:]) for record in fold_records(records)}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
