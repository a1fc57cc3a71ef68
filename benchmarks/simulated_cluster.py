"""What the driver does for a large cluster: 64 seats on as many nodes under a clock of their own, no Keras.

    python benchmarks/simulated_cluster.py                                # 1,000, 5,000 and 10,000 trials
    python benchmarks/simulated_cluster.py --engines tpe --trials 1000 --search '{"proposals": 64}'
    python benchmarks/simulated_cluster.py --engines grid --trials 1000 --profile 40

The driver, its engine, planner, journal and results.json are the real ones; of each search, which is a
process of its own, the executor alone is made up. Its nodes differ in speed by a factor of four, a few come
late, and they are lost at random, in mid-task, each with another in its place after a while. Fits have the
records and files that workers make, a score of their params, and checkpoints from which they go on elsewhere.

`busy` is the share of the seats' time, while their nodes are there, in which they have a task. The clock goes
on while seats wait for the driver and its engine between proposals, as long as that takes. `ms` are processor
time of this process beside what the executor takes, by trial and by fit, its start left out; MiB are
resident: when the engine begins, at the end of its last fit, and the peak.
"""

from __future__ import annotations

import argparse
import cProfile
import heapq
import io
import json
import math
import pstats
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console

from kerasgrid.checks.draft import read_draft
from kerasgrid.driver.search import opened
from kerasgrid.executors.base import Died, Emitted, Event, Executor, Finished, Function, Started
from kerasgrid.io import digest
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.records import (
    CheckpointRecord,
    EpochRecord,
    FoldRecord,
    Graph,
    Job,
    Pack,
    ProbeRecord,
    RungRecord,
    WidthRecord,
)
from kerasgrid.seeds import key
from kerasgrid.views.progress import PlainProgress

N_SEATS, EPOCHS, FOLDS = 64, 9, 3
EPOCH_S, PROBE_S, COMPILE_S, CHECKPOINT_S = 20.0, 5.0, 10.0, 30.0
"""Seconds on a node of speed 1."""
LIFE_S, AWAY_S, LATE_S = 20 * 3600.0, 600.0, 900.0
"""Mean seconds until a node is lost, until another is there in its place, and until the last one comes."""
BESIDE = 0.3
"""Of an epoch's seconds, what each further run side by side costs."""

Step = tuple[float, list[Any]]
"""Seconds on a node of speed 1, and what is emitted after them."""


@dataclass
class Seat:
    """A place for one task at a time, on a node of its own.

    Attributes:
        speed: Of its node.
        dies_at: When its node is lost, by the clock.
        since: From when its node has been there.
    """

    number: int
    speed: float
    dies_at: float
    since: float
    task: Any = None
    steps: Iterator[Step] | None = None
    payloads: Iterable[Any] = ()


class SimulatedCluster(Executor):
    """An executor under a virtual clock, whose tasks are played instead of run; the same seed gives the same.

    Args:
        play: Given the function and a task of a run, yields what happens.
        life_s: Seconds until a node is lost, on average; infinity for never.

    Attributes:
        now: Seconds by the clock.
        busy_s: Seats' seconds with a task.
        there_s: Seats' seconds with a node.
        waited_s: Real seconds in which no run was under way, while all seats waited for the next.
        own_s: Processor seconds that the executor itself took.
        n_lost: Tasks that were lost with their nodes.
    """

    def __init__(
        self,
        play: Callable[[Function, Any], Iterator[Step]],
        n_seats: int = N_SEATS,
        seed: int = 0,
        life_s: float = LIFE_S,
    ) -> None:
        self.n_workers, self._play, self._life_s = n_seats, play, life_s
        self._random = random.Random(seed)
        self.now = self.busy_s = self.there_s = self.waited_s = self.own_s = 0.0
        self.n_lost = 0
        self._left_at: float | None = None
        late = n_seats // 8
        self._seats = [
            self._node(number, 0.0 if number >= late else LATE_S * (number + 1) / late)
            for number in range(n_seats)
        ]

    def _node(self, number: int, since: float) -> Seat:
        life_s = math.inf if math.isinf(self._life_s) else self._random.expovariate(1 / self._life_s)
        return Seat(number, 0.5 * 4 ** self._random.random(), since + life_s, since)

    def start(self) -> None:
        """Does nothing: the nodes are there when they are."""

    def close(self) -> None:
        """Stops."""
        self.stop()

    def run(self, function: Function, tasks: Iterable[Any]) -> Iterator[Event]:
        """Yields the tasks' events; see Executor.run."""
        if self._left_at is not None:
            self.waited_s += time.perf_counter() - self._left_at
        drawn = iter(tasks)
        began_s = time.process_time()
        for event in self._events(function, drawn):
            self.own_s += time.process_time() - began_s
            yield event
            began_s = time.process_time()
        self.own_s += time.process_time() - began_s
        self._left_at = time.perf_counter()

    def _events(self, function: Function, tasks: Iterator[Any]) -> Iterator[Event]:
        began, order = self.now, 0
        due: list[tuple[float, int, Seat]] = []
        for seat in self._seats:
            heapq.heappush(due, (max(self.now, seat.since), order := order + 1, seat))
        is_over, n_running = False, 0
        while due:
            at, _, seat = heapq.heappop(due)
            if is_over and not n_running:
                break
            self.now = at
            if at >= seat.dies_at:  # lost, with what it runs
                self._count(seat, began, seat.dies_at)
                if seat.task is not None:
                    n_running -= 1
                    self.n_lost += 1
                    yield Died(seat.task, "was lost with its node", by_memory=False, is_lost=True)
                seat = self._seats[seat.number] = self._node(seat.number, seat.dies_at + AWAY_S)
                heapq.heappush(due, (max(self.now, seat.since), order := order + 1, seat))
                continue
            if seat.steps is not None:
                for payload in seat.payloads:
                    yield Emitted(seat.task, payload)
            elif not is_over:
                task = None if self._stopping else next(tasks, None)
                is_over = task is None
                if not is_over:
                    seat.task, seat.steps = task, self._play(function, task)
                    n_running += 1
                    yield Started(task, seat.number)
            if seat.steps is None:  # it waits, in vain, for the others
                continue
            step = None if self._stopping else next(seat.steps, None)
            if step is None:
                n_running -= 1
                task, seat.task, seat.steps = seat.task, None, None
                yield Finished(task)
                heapq.heappush(due, (self.now, order := order + 1, seat))
                continue
            seconds, seat.payloads = step
            ends_at = self.now + seconds / seat.speed
            self.busy_s += min(ends_at, seat.dies_at) - self.now
            heapq.heappush(due, (min(ends_at, seat.dies_at), order := order + 1, seat))
        for seat in self._seats:
            self._count(seat, began, self.now)

    def _count(self, seat: Seat, began: float, until: float) -> None:
        """Counts the time for which a seat's node was there in this run."""
        self.there_s += max(0.0, until - max(began, seat.since))


class Training:
    """Plays what workers are asked: probes, widths, and packs, whose checkpoints outlive their nodes."""

    def __init__(self) -> None:
        self._saved: dict[tuple[Any, bool], int] = {}
        self._predicted: dict[int, np.ndarray] = {}

    def __call__(self, function: Any, task: Any) -> Iterator[Step]:
        """Yields what a task comes to."""
        recipe, name = function.args[0], function.func.__name__
        if name == "probe":
            return self._probe(task)
        if name == "measure_width":
            return iter([(60.0, [WidthRecord(task.key, 4, {1: 1.0, 4: (1 + 3 * BESIDE) / 4})])])
        assert name == "train_pack", name
        return self._train(recipe, task)

    def _probe(self, params: dict[str, Any]) -> Iterator[Step]:
        graph = Graph(digest(params["batch_size"]), None, (params["dropout"],), 0.001)
        yield PROBE_S, [ProbeRecord(params, 100_000, None, "cpu", graph)]

    def _train(self, recipe: Recipe, pack: Pack) -> Iterator[Step]:
        recipe = recipe.leg(pack.until)
        if not self._predicted:
            with np.load(recipe.paths.folds) as folds:
                n_held_out = {int(name[5:]): len(folds[name]) for name in folds if name.startswith("test_")}
            self._predicted = {fold: np.full((n, 10), 0.1, np.float16) for fold, n in n_held_out.items()}
        first_s = COMPILE_S
        for wave in pack.waves:
            jobs = [job for run in wave for job in run]
            # Those of a wave stand at one epoch: it is saved whole.
            epoch = min(self._saved.get(self._owner(recipe, job), 0) for job in jobs)
            n_epochs = recipe.route(jobs[0].trial.params).epochs
            until = n_epochs if pack.until is None else min(pack.until, n_epochs)
            epoch_s, since_s = EPOCH_S * (1 + BESIDE * (len(wave) - 1)), 0.0
            while epoch < until:
                epoch, since_s = epoch + 1, since_s + epoch_s
                payloads: list[Any] = [
                    EpochRecord(job.id, epoch, n_epochs, self._logs(recipe, job, epoch)) for job in jobs
                ]
                saves = epoch < n_epochs and (since_s >= CHECKPOINT_S or epoch == until)
                if saves:
                    payloads.append(CheckpointRecord(jobs[-1].id, epoch, "checkpoint.npz"))
                    since_s = 0.0
                if epoch == until:
                    ended = [self._end(recipe, job, epoch) for job in jobs]
                    payloads += map(RungRecord, ended) if epoch < n_epochs else ended
                yield first_s + epoch_s, payloads
                first_s = 0.0
                if saves:  # a node that was lost meanwhile has saved nothing
                    self._saved |= {self._owner(recipe, job): epoch for job in jobs}
                    _touch(recipe.paths.checkpoint(*jobs[-1].id))

    def _owner(self, recipe: Recipe, job: Job) -> tuple[Any, bool]:
        return job.id, recipe.is_anew

    def _end(self, recipe: Recipe, job: Job, epoch: int) -> FoldRecord:
        logs = [self._logs(recipe, job, one) for one in range(1, epoch + 1)]
        last, predictions = logs[-1], recipe.paths.prediction(*job.id)
        _touch(predictions)
        np.save(predictions, self._predicted[job.fold])
        return FoldRecord(
            job.id,
            score=last["test_accuracy"],
            val_score=last["val_accuracy"] if recipe.decides_by_val else None,
            metrics={"accuracy": last["test_accuracy"], "loss": last["test_loss"]},
            history={name: [one[name] for one in logs] for name in last},
            fit_time=epoch * EPOCH_S,
            epochs=epoch,
            best_epoch=epoch,
            n_parameters=100_000,
            memory_bytes=2**29,
        )

    def _logs(self, recipe: Recipe, job: Job, epoch: int) -> dict[str, float]:
        params = job.trial.params
        rate = math.log10(params["learning_rate"] / 0.003)
        noise = key(recipe.seed, job.trial.key, job.fold, job.repeat) % 1000 / 1e5
        best = 0.97 - 0.1 * rate**2 - 0.3 * abs(params["dropout"] - 0.3) - noise
        score = round(max(0.1, best * (1 - math.exp(-epoch * params["batch_size"] / 200))), 6)
        losses = {"loss": 1 - score, "val_loss": 1.1 - score, "test_loss": 1.1 - score}
        return {**losses, "accuracy": score, "val_accuracy": 0.99 * score, "test_accuracy": 0.98 * score}


def _touch(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch()


def config_of(engine: str, n_trials: int, folds: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the grid.yaml of a search of so many trials, a multiple of 40."""
    rates = [float(f"{1e-4 * 1000 ** (place / (n_trials // 40)):.4g}") for place in range(n_trials // 40)]
    space: dict[str, Any] = {
        "batch_size": [64 * (1 + place) for place in range(8)],
        "dropout": [0.1 * place for place in range(5)],
        "learning_rate": rates,
    }
    search = {"engine": engine, "seed": 0} | ({"folds": folds} if folds else {"holdout": 0.5})
    if engine not in ("grid", "halving"):
        search["trials"] = n_trials
        space |= {
            "dropout": {"low": 0.0, "high": 0.5},
            "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
        }
    return {
        "name": engine,
        "data": {"train": "digits"},
        "model": "fc",
        "params": {"epochs": EPOCHS},
        "space": space,
        "search": search | settings,
        "executor": {"kind": "inline"},  # the one that is given takes its place
    }


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Runs one search and returns its figures."""
    import resource  # which Windows has not

    cluster = SimulatedCluster(Training(), given.seats, life_s=given.life_h * 3600)
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        draft = read_draft(config_of(given.engines[0], given.trials[0], given.folds, given.search))
        observer = PlainProgress("accuracy", Console(file=io.StringIO()))
        profile = cProfile.Profile()
        with opened(draft, results=Path(folder), executor=cluster, observer=observer) as session:
            before_s, before_mib = time.process_time() - cluster.own_s, process.memory_info().rss / 2**20
            if given.profile:
                profile.enable()
            session.run_engine()
            after_mib = process.memory_info().rss / 2**20
        driver_s = time.process_time() - cluster.own_s - before_s
        profile.disable()
        if given.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(given.profile)
        found, paths = session.results, session.run.paths
        n, states = len(found.trials), Counter(row["state"] for row in found.trials)
        n_fits = found.data["summary"]["fits"]
        there_s = cluster.there_s + cluster.waited_s * given.seats
        return {
            "engine": given.engines[0],
            "trials": n,
            "states": dict(states),
            "fits": n_fits,
            "hours": round((cluster.now + cluster.waited_s) / 3600, 2),
            "lost": cluster.n_lost,
            "busy": round(cluster.busy_s / there_s, 4),
            "waited, s": round(cluster.waited_s, 1),
            "ms a trial": round(1000 * driver_s / n, 3),
            "ms a fit": round(1000 * driver_s / n_fits, 3),
            "executor, s": round(cluster.own_s, 1),
            "MiB": [
                round(before_mib),
                round(after_mib),
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            ],
            "journal, MiB": round(paths.journal.stat().st_size / 2**20, 1),
            "results.json, MiB": round(paths.json.stat().st_size / 2**20, 1),
            "best": found.best and round(found.best["mean_test_score"], 4),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", default=["grid", "halving", "tpe"])
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 5_000, 10_000])
    parser.add_argument("--folds", type=int, default=FOLDS, help="0 for one fit a trial, on a holdout")
    parser.add_argument("--seats", type=int, default=N_SEATS)
    parser.add_argument("--life-h", type=float, default=LIFE_S / 3600, help="mean hours until a node is lost")
    parser.add_argument("--search", type=json.loads, default={}, help="settings of the search, as JSON")
    parser.add_argument("--profile", type=int, default=0, help="lines of a profile to print")
    given = parser.parse_args()
    if len(given.engines) == len(given.trials) == 1:
        print(json.dumps(run(given)), flush=True)
        return 0
    for engine in given.engines:
        for n_trials in given.trials:
            own = ["--engines", engine, "--trials", str(n_trials), "--folds", str(given.folds)]
            own += ["--seats", str(given.seats), "--life-h", str(given.life_h)]
            own += ["--search", json.dumps(given.search), "--profile", str(given.profile)]
            subprocess.run([sys.executable, __file__, *own], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
