"""Whole jobs over a few digits, trained in packs and by Keras's own fit, and cut off where a test likes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from eagerly import eagerly
from fakes import Collector, Crash, Crashing, prepare_run

from kerasgrid.checks.prepared import Prepared
from kerasgrid.data.in_memory import NOTHING
from kerasgrid.executors import Inline
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.planning.packing import Graphs
from kerasgrid.records import EpochRecord, Graph, Job, NoteRecord, Pack, Trial
from kerasgrid.training import backend
from kerasgrid.training.job import train_pack

on_tensorflow = pytest.mark.skipif(
    backend.NAME != "tensorflow", reason="the same on JAX, where each program compiles for seconds"
)

VAL = {"folds": 2, "val": 0.2}
EVEN = {"train": "digits", "scale": 16, "subset": 100}
"""Whose folds batches of 10 divide, so that no step of fewer rows is compiled."""
STOPPING = {
    "early_stopping": {
        "monitor": "val_loss",
        "patience": 2,
        "min_delta": 0.15,
        "restore_best_weights": True,
    },
    "reduce_lr_on_plateau": {"monitor": "val_loss", "factor": 0.5, "patience": 1, "min_delta": 0.25},
}


@dataclass(frozen=True)
class Small:
    """A search over 101 digits in 2 folds, as the driver and its workers have it.

    Attributes:
        prepared: As the driver has it.
        recipe: As its workers have it.
        known: The graphs that it has asked for, by params; searches of one config may share them.
    """

    prepared: Prepared
    recipe: Recipe
    known: dict[str, Graph] = field(default_factory=dict)

    def but(self, **changes) -> Small:
        """Returns it with another recipe."""
        return replace(self, recipe=replace(self.recipe, **changes))

    def graphs(self, trials: Sequence[Trial]) -> dict[int, Graph]:
        new = {str(trial.params): trial for trial in trials if str(trial.params) not in self.known}
        with eagerly():  # a probe measures one sample of each model
            found = Graphs(self.prepared, self.recipe, Inline()).of(new.values()) if new else {}
        self.known.update({params: found[trial.id] for params, trial in new.items()})
        return {trial.id: self.known[str(trial.params)] for trial in trials}

    def pack(self, jobs: Sequence[Job], width: int | None = None, **changes) -> Pack:
        """Returns jobs as one pack; fails where they have several graphs, or none."""
        graphs = self.graphs({job.trial.id: job.trial for job in jobs}.values())
        assert len({graph.key for graph in graphs.values()}) == 1, graphs
        assert graphs[jobs[0].trial.id].key is not None, graphs[jobs[0].trial.id].reason
        return Pack(tuple(jobs), tuple(graphs[job.trial.id] for job in jobs), width or len(jobs), **changes)

    def train(self, pack: Pack, context: Collector | None = None) -> Collector:
        context = context or Collector()
        train_pack(self.recipe, pack, context)
        assert not context.of(NoteRecord), context.of(NoteRecord)[0].text
        return context

    def predicted(self, job_id) -> np.ndarray:
        return np.load(self.recipe.paths.prediction(*job_id))


def maker(folder: Path):
    """Returns a function that prepares such searches in a folder; `params=None` for another model than fc."""

    def make(name: str = "run", interval_s: float = 1e9, **changes) -> Small:
        fixed = {"units": [16], "batch_size": 16, "epochs": 3, "batch_norm": False, "dropout": 0.0}
        fixed |= {"optimizer": "SGD", "learning_rate": 0.0625}
        given = changes.pop("params", {})
        fixed = {"batch_size": 16, "epochs": 3} if given is None else fixed | given
        data = {"train": "digits", "scale": 16, "subset": 101}
        config = {"data": data, "model": "fc", "name": name, "params": fixed, "search": {"folds": 2}}
        given = changes.pop("given", NOTHING)
        return Small(*prepare_run(config | changes, folder, interval_s, given))

    return make


def jobs_of(space: Sequence[dict]) -> list[Job]:
    """Returns a job a candidate, of the two folds in turn."""
    return [Job(Trial(i, params), i % 2) for i, params in enumerate(space)]


def result(record) -> dict:
    """Returns all of a record that does not depend on the machine."""
    return {name: value for name, value in vars(record).items() if name not in {"fit_time", "memory_bytes"}}


def results(records) -> dict:
    return {job_id: result(record) for job_id, record in records.items()}


def assert_alike(found, wanted, tolerance: float = 2e-4) -> None:
    """Holds one record of a job against another one's errors, epochs, histories and metrics."""
    assert found.error == wanted.error
    assert (found.epochs, found.best_epoch, found.dead) == (wanted.epochs, wanted.best_epoch, wanted.dead)
    assert found.first_values == wanted.first_values
    assert (found.debiased_score is None) == (wanted.debiased_score is None)
    if wanted.debiased_score is not None:
        assert found.debiased_score == pytest.approx(wanted.debiased_score, rel=tolerance)
    assert (found.thresholds is None) == (wanted.thresholds is None)
    if wanted.thresholds is not None:
        np.testing.assert_allclose(found.thresholds, wanted.thresholds, atol=tolerance)
    assert set(found.history) == set(wanted.history)
    for name, values in wanted.history.items():
        np.testing.assert_allclose(
            found.history[name], values, rtol=tolerance, atol=1e-6, err_msg=f"{wanted.job} {name}"
        )
    for name, value in wanted.metrics.items():
        np.testing.assert_allclose(found.metrics[name], value, rtol=tolerance, atol=1e-6, err_msg=name)


def finished(small: Small, pack: Pack, cuts: Sequence[int]) -> dict:
    """Trains a pack in sessions that crash after so many checkpoints, the last one not; returns all records.

    Files of jobs that have ended are taken away, as the driver does. Each session goes on where every run
    stood when the one before it broke off.
    """
    records, reached = {}, {}
    for n in (*cuts, None):
        left = pack.of(job for job in pack.jobs if job.id not in records)
        if not left.jobs:
            break
        context = Collector() if n is None else Crashing(n)
        with suppress(Crash):
            small.train(left, context)
        begun = {}
        for record in context.of(EpochRecord):
            begun.setdefault(record.job, record.epoch)
        behind = {job_id: epoch for job_id, epoch in begun.items() if epoch < reached.get(job_id, 0)}
        assert not behind, f"{behind} began again before {reached}"
        reached |= {record.job: record.epoch for record in context.of(EpochRecord)}
        assert not set(records) & set(context.records)
        records |= context.records
        for job_id in context.records:
            small.recipe.paths.checkpoint(*job_id).unlink(missing_ok=True)
    return records
