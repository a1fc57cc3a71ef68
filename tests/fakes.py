"""A trainer without Keras: analytic curves, so that tests of a search take milliseconds."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerasgrid.checks.prepared import Prepared, prepare
from kerasgrid.data.cache import save_samples
from kerasgrid.data.folds import save_folds
from kerasgrid.data.in_memory import NOTHING, Given
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.machine import node, python_version, versions
from kerasgrid.planning.workers import make_recipe
from kerasgrid.records import (
    CheckpointRecord,
    EpochRecord,
    FoldRecord,
    Graph,
    ProbeRecord,
    RungRecord,
    StopRecord,
    Target,
)
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths
from kerasgrid.seeds import key
from kerasgrid.training import away
from kerasgrid.training.entry import settle

NAN = float("nan")
CONFIG = {
    "name": "fake",
    "data": {"train": "digits"},
    "model": "fc",
    "params": {"epochs": 3},
    "space": {"learning_rate": [0.001, 0.01, 0.1], "dropout": [0.2, 0.4]},
    "search": {"folds": 3},
    "executor": {"kind": "inline"},
}


def classes_of(n: int) -> Target:
    """Returns what is predicted where there are so many classes, 0, 1, ...."""
    return Target("classes", tuple(range(n)))


def fake_train_pack(recipe, pack, context) -> None:
    """Trains nothing: the score comes from params, fold and repeat.

    A job whose checkpoint is there goes on from it. `dropout: 0.9` fails, `0.99` gives NaN, of `0.8` the
    net is dead.
    """
    recipe = recipe.leg(pack.until)
    for job in pack.jobs:
        params = {**recipe.params, **job.trial.params}
        if params.get("dropout") == 0.9:
            context.emit(
                FoldRecord(job.id, error={"type": "ValueError", "message": f"{job}: too much dropout"})
            )
            continue
        path = recipe.paths.checkpoint(*job.id)
        owner = recipe.owner("", recipe.route(job.trial.params))
        saved = json.loads(path.read_text()) if path.exists() else {}
        history = saved["history"] if saved.get("owner") == owner else []
        until = params["epochs"] if pack.until is None else min(pack.until, params["epochs"])
        while len(history) < until:
            history.append(curve(recipe.seed, job, len(history)))
            context.emit(EpochRecord(job.id, len(history), params["epochs"], {"loss": history[-1]}))
            if len(history) < params["epochs"]:
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps({"owner": owner, "history": history}))
                context.emit(CheckpointRecord(job.id, len(history), path.name))
                if context.should_stop():
                    context.emit(StopRecord(job.id, len(history)))
                    return
        with np.load(recipe.paths.folds) as folds:
            predicted = np.full((len(folds[f"test_{job.fold}"]), 10), 0.1)
        target = recipe.paths.prediction(*job.id)
        target.parent.mkdir(exist_ok=True)
        np.save(target, predicted)
        score = 1 - history[-1]
        record = FoldRecord(
            job.id,
            score=score,
            val_score=score if recipe.decides_by_val else None,
            metrics={"accuracy": score, "loss": history[-1], "odd": NAN if job.repeat else 1.0},
            history={"loss": history},
            fit_time=0.5,
            epochs=len(history),
            best_epoch=len(history),
            n_parameters=100,
            memory_bytes=1,
            dead="loss at chance level" if params.get("dropout") == 0.8 else None,
        )
        if len(history) < params["epochs"]:
            context.emit(RungRecord(record))
            continue
        if recipe.keeps_model(recipe.route(job.trial.params), pack.until):
            kept = recipe.paths.model(*job.id)
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps(params))
        context.emit(record)


ONLY = Path("only")
"""While it is there, paced workers of other machines than the one that it names wait."""
TRAINS = Path("trains")
"""Is written by that one. Both lie in the driver's working directory, which is the workers' too."""


def paced_train_pack(recipe, pack, context) -> None:
    """Does the same, and takes a while for each epoch, in which something may happen."""

    class Paced:
        should_stop = context.should_stop

        def emit(self, payload):
            while self.is_held():
                time.sleep(0.05)
            context.emit(payload)
            if isinstance(payload, EpochRecord):
                time.sleep(0.05)

        def is_held(self):
            try:
                is_named = ONLY.read_text() == node()
            except FileNotFoundError:
                return False
            if is_named:
                TRAINS.touch()
            return not is_named

    fake_train_pack(recipe, pack, Paced())


def load_nothing() -> None:
    """Is what a worker imports before its first task where nothing is trained: nothing."""


def curve(seed: int, job, epoch: int) -> float:
    """Returns a loss in (0, 1) that falls with the epochs and is the same for the same job."""
    start = 0.2 + 0.6 * (key(seed, job.trial.key, job.fold, job.repeat) % 10**6) / 10**6
    return start / (epoch + 1)


def fake_probes(recipe, executor, candidates):
    """Finds that every model builds, and that no program can train it."""
    return [ProbeRecord(params, 100, None, "cpu", Graph(None)) for params in candidates]


class Crash(BaseException):
    """A sudden end of the driver or of a worker."""


class StopAfter(Observer):
    """Ends the driver, in order or at once, when so many fits have ended or epochs been told."""

    def __init__(self, n, how):
        self.n, self.how = n, how

    def epoch(self, record):
        self.n -= 1
        if self.n == 0:
            self.how()


def crash():
    """Ends the driver at once."""
    raise Crash


TIMES = {"fit_time", "mean_fit_time", "end_time_s", "wall_time_s"}


def without_times(value):
    """Returns what results.json holds without its times."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


class Collector:
    """A context that keeps what is emitted, and asks for a stop after so many epochs' records."""

    def __init__(self, stop_after: int | None = None):
        self.payloads, self.stop_after = [], stop_after

    def emit(self, payload):
        self.payloads.append(payload)

    def should_stop(self):
        return self.stop_after is not None and len(self.of(EpochRecord)) >= self.stop_after

    def of(self, kind):
        return [payload for payload in self.payloads if isinstance(payload, kind)]

    @property
    def records(self):
        return {record.job: record for record in self.of(FoldRecord)}


class Crashing(Collector):
    """Breaks off once n checkpoints have been written."""

    def __init__(self, n: int):
        super().__init__()
        self.n = n

    def emit(self, payload):
        super().emit(payload)
        if len(self.of(CheckpointRecord)) == self.n:
            raise Crash


def cut(path: Path, size: int) -> None:
    """Cuts a file to its first bytes, as a crash may."""
    os.truncate(path, size)


def prepare_run(
    config: dict, folder: Path, interval_s: float = 1e9, given: Given = NOTHING
) -> tuple[Prepared, Recipe]:
    """Checks a config and writes its folds, as the driver would; returns what workers are told too."""
    prepared = prepare(config, given)
    paths = RunPaths(folder, prepared.config.name)
    if given is not NOTHING:
        prepared = replace(prepared, data=save_samples(paths.data, prepared.data, "X and y"))
    save_folds(paths.folds, prepared.folds, len(prepared.data), prepared.data.fingerprint)
    return prepared, make_recipe(prepared, paths, interval_s)


def see_nothing() -> None:
    """Lets this process see no file of the driver's, as if it were on another machine."""
    away._sees = lambda path, content: False


def settle_unseeing(threads: int, variables: dict[str, str], share: float) -> dict[str, str]:
    """Is the setup of a cluster's worker that sees no file of the driver's."""
    see_nothing()
    return settle(threads, variables, share)


def settle_to_fake(threads: int, variables: dict[str, str], share: float) -> dict[str, str]:
    """Is that of one which does not train, so that it imports no backend."""
    see_nothing()
    return {**versions(), "python": python_version()}
