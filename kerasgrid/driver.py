"""The driver: the one place where the parts meet.

It runs the engine, asks the planner for packs, gives them to the executor, and writes what comes
back to the journal. Resuming is the same: what the journal knows is answered from it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kerasgrid import executors
from kerasgrid.checks import Prepared, prepare
from kerasgrid.data import dataset_from_arrays, folds_fingerprint, load_folds, save_folds
from kerasgrid.engines import ENGINES
from kerasgrid.errors import ChangedError, ModelError, ReplayError, StorageError
from kerasgrid.interrupts import stop_on_signals
from kerasgrid.io import RunPaths, canonical_json, move_aside, strict, write_json
from kerasgrid.journal import Journal
from kerasgrid.leaders import Leaders
from kerasgrid.locking import RunLock
from kerasgrid.measurements import remember
from kerasgrid.observer import Observer
from kerasgrid.planning import plan
from kerasgrid.records import CheckpointRecord, EpochRecord, Fold, FoldRecord, Job, Pack, StopRecord, Trial
from kerasgrid.results import LONG_HISTORY, Results, RunState, read_fold
from kerasgrid.training.entry import train_pack
from kerasgrid.workers import ask_worker, environment, make_executor, make_recipe, run_probes, threads_of

WRITE_INTERVAL_S = 2.0
MAX_PROBES = 16


def search(
    config: str | Path | Mapping[str, Any],
    X: Any = None,
    y: Any = None,
    *,
    results: str | Path = "results",
    overrides: Sequence[str] = (),
    fresh: bool = False,
    observer: Observer | None = None,
    checkpoint_interval_s: float = 30.0,
) -> Results:
    """Runs a search, or goes on with it if it was cut off.

    Args:
        config: A grid.yaml, or the same as a dict; there `model` may be a function.
        X: Images (sample, height, width, channel) or rows (sample, feature), instead of `data.train`.
        y: Their labels (sample,): numbers, texts or one-hot rows.
        results: The folder for NAME.json and NAME/.
        overrides: `key.path=value` texts, as the command line's --set.
        fresh: Start anew; what was there is moved aside.
        observer: Is told what happens.
        checkpoint_interval_s: Seconds between checkpoints of a fit.

    Returns:
        The results; their status is complete, interrupted, budget or failed. The same are written to
        `results`/NAME.json.

    Raises:
        ConfigError: Faults of the config, all together, before anything is trained.
        ModelError: No candidate's model can be built.
        ChangedError: What makes a run the same run changed since it began.
        LockedError: Another process is running this search.
        StorageError: The disk is full; what was journalled is intact.
    """
    prepared = prepare(config, X, y, overrides=overrides, ask=ask_worker)
    paths = RunPaths(Path(results), prepared.config.name)
    observer = observer or Observer()
    if fresh:
        with RunLock(paths.lock, paths.heartbeat):  # refused where a search is running
            pass
        if (aside := move_aside(paths)) is not None:
            observer.note(f"The old run is now {aside.folder}.")
    lock = RunLock(paths.lock, paths.heartbeat)
    with lock, _Driver(prepared, paths, observer, lock.check, checkpoint_interval_s) as driver:
        return driver.run()


class _Driver:
    """One session of a search."""

    def __init__(
        self,
        prepared: Prepared,
        paths: RunPaths,
        observer: Observer,
        check_lock: Callable[[], None],
        checkpoint_interval_s: float,
    ) -> None:
        self.prepared, self.paths, self.observer, self.check_lock = prepared, paths, observer, check_lock
        self.began = time.time()
        config = prepared.config
        header = {"identity": prepared.identity, "name": config.name, "kerasgrid": version("kerasgrid")}
        self.journal = Journal.open(paths.journal, header)
        try:
            self._check_identity()
            if prepared.data.folder is None:  # arrays given in Python
                kept = dataset_from_arrays(prepared.data.images, prepared.data.labels, paths.data)
                self.prepared = prepared = replace(prepared, data=replace(prepared.data, folder=kept.folder))
            self.folds = self._load_folds()
            self.folds_fingerprint = folds_fingerprint(self.folds)
            self.state = RunState(len(self.folds), config.search.repeats, prepared.objective.direction)
            self.leaders = Leaders(paths, prepared.objective.direction)
            self.elapsed_s, self.environment, threads = self._replay()
            self.recipe = make_recipe(prepared, paths, checkpoint_interval_s)
            self.threads = threads or threads_of(prepared)
            self.executor = make_executor(prepared, self.threads)
        except BaseException:
            self.journal.close()
            raise
        self._written_at, self._write_took_s = 0.0, 0.0
        self._interrupted = False

    def __enter__(self) -> _Driver:
        return self

    def __exit__(self, *exception: object) -> None:
        self.executor.close()
        self.journal.close()

    def run(self) -> Results:
        """Runs the engine to its end, or until it is interrupted."""
        session = {"pid": os.getpid(), "workers": self.executor.n_workers, "threads": self.threads}
        self._append({"type": "session", **session})
        with stop_on_signals(self._stop):
            try:
                self._probe()
                self._run_engine()
            except StorageError:
                raise
            except (Exception, KeyboardInterrupt):
                self._finish("interrupted")
                raise
            return self._finish(self._status())

    # What the journal holds

    def _check_identity(self) -> None:
        before = self.journal.header.get("identity", {})
        now = json.loads(canonical_json(self.prepared.identity))
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            told = "; ".join(_change(key, before.get(key), now[key]) for key in changed)
            raise ChangedError(
                f"{self.paths.folder}: this search began otherwise: {told}. Restore what changed, start anew "
                "with --fresh (the old run is moved aside), or give the search another name with --name."
            )

    def _load_folds(self) -> list[Fold]:
        data = self.prepared.data
        if self.paths.folds.exists():
            return load_folds(self.paths.folds, len(data), data.source)[0]
        folds = list(self.prepared.folds)
        save_folds(self.paths.folds, folds, len(data), data.fingerprint)
        return folds

    def _replay(self) -> tuple[float, dict[str, Any], int | None]:
        """Takes in the journal's records; returns seconds run before, the environment and threads."""
        elapsed_s, began, last, environment, threads = 0.0, None, None, {}, None
        for record in self.journal.records:
            kind = record["type"]
            if kind == "session":
                elapsed_s += (last - began) if began is not None else 0.0
                began = record["time"]
                threads = record["threads"] if threads is None else threads
            elif kind == "trial":
                self.state.add(Trial(record["id"], record["params"]))
            elif kind == "fold":
                self._take(read_fold(record))
            elif kind == "environment":
                environment = record["environment"]
            last = record["time"]
        elapsed_s += (last - began) if began is not None else 0.0
        return elapsed_s, environment, threads

    def _append(self, record: Mapping[str, Any], durable: bool = False) -> None:
        self.journal.append({**record, "time": round(time.time(), 3)}, durable)

    # What is run

    def _probe(self) -> None:
        """Builds a few models before the first epoch, in which every value of the space occurs."""
        if self.environment and self.state.ended:
            return
        candidates = self.prepared.space.cover()[:MAX_PROBES]
        records = list(run_probes(self.recipe, self.executor, candidates))
        refused = [record for record in records if record.error is not None]
        if records and len(refused) == len(records):
            raise ModelError(f"{self.prepared.config.model}: {refused[0].error['message']}")
        for record in refused:
            self.observer.note(
                f"{_shown(record.params)} will be recorded as failed: {record.error['message']}"
            )
        if records:
            self.environment = environment(
                next(filter(None, (record.device for record in records)), "unknown")
            )
            self._append({"type": "environment", "environment": self.environment})

    def _run_engine(self) -> None:
        search_config = self.prepared.config.search
        engine = ENGINES[search_config.engine](self.prepared.space, search_config)
        proposal: Sequence[Mapping[str, Any]] | None = next(engine, None)
        while proposal is not None and not self._interrupted:
            trials = self._propose(proposal)
            self._run_jobs([job for trial in trials for job in self._open_jobs(trial)])
            if self._interrupted:
                return
            scores = [self.state.score(trial.id) for trial in trials]
            sign = 1 if self.state.direction == "max" else -1
            try:
                proposal = engine.send([None if score is None else sign * score for score in scores])
            except StopIteration:
                return

    def _propose(self, proposal: Iterable[Mapping[str, Any]]) -> list[Trial]:
        """Gives each candidate its trial; those that are new are journalled."""
        trials: dict[int, Trial] = {}
        for params in proposal:
            trial, is_new = self.state.trial(json.loads(canonical_json(params)))
            if is_new:
                self._append({"type": "trial", "id": trial.id, "params": dict(trial.params)})
            trials.setdefault(trial.id, trial)
        if not trials:
            raise ReplayError(f"the engine {self.prepared.config.search.engine} proposed no candidate.")
        return list(trials.values())

    def _open_jobs(self, trial: Trial) -> list[Job]:
        jobs = [Job(trial, fold, repeat) for _, fold, repeat in self.state.jobs_of(trial.id)]
        return [job for job in jobs if job.id not in self.state.ended]

    def _run_jobs(self, jobs: Sequence[Job]) -> None:
        """Runs jobs to their ends; one whose worker died is tried once more."""
        self.observer.begin(
            len(self.state.trials), self.state.n_folds * self.state.repeats, len(self.state.ended)
        )
        packs: Sequence[Pack] = plan(jobs).packs
        died = self._run_packs(packs, is_retry=False)
        if died and not self._interrupted:
            self._run_packs(died, is_retry=True)

    def _run_packs(self, packs: Sequence[Pack], is_retry: bool) -> list[Pack]:
        died = []
        for event in self.executor.run(partial(train_pack, self.recipe), packs):
            if isinstance(event, executors.Started):
                self.observer.started(event.task.jobs[0])
            elif isinstance(event, executors.Emitted):
                self._handle(event.payload)
            elif isinstance(event, executors.Raised):
                if event.error_type == "StorageError":
                    raise StorageError(event.message)
                self._fail(event.task, event.error_type, event.message)
            elif isinstance(event, executors.Died):
                reason = f"the worker {event.reason}"
                if is_retry:
                    self._fail(event.task, "OutOfMemory" if event.by_memory else "WorkerDied", reason)
                else:
                    died.append(event.task)
                    self.observer.note(f"{event.task.jobs[0]}: {reason}; it will be tried once more.")
                    self._append({"type": "retry", "job": list(event.task.jobs[0].id), "reason": reason})
            self._write_if_due()
        return died

    def _handle(self, payload: Any) -> None:
        if isinstance(payload, EpochRecord):
            self.observer.epoch(payload)
        elif isinstance(payload, CheckpointRecord):
            record = {"type": "checkpoint", **asdict(payload)}
            self._append(record, durable=True)
        elif isinstance(payload, FoldRecord):
            self._end(payload)
        elif isinstance(payload, StopRecord):
            self.observer.note(
                f"trial {payload.job[0]}, fold {payload.job[1]}: saved after epoch {payload.epoch}."
            )

    def _fail(self, pack: Pack, error_type: str, message: str) -> None:
        for job in pack.jobs:
            if job.id not in self.state.ended:
                self._end(FoldRecord(job.id, error={"type": error_type, "message": f"{job}: {message}"}))

    def _end(self, record: FoldRecord) -> None:
        """Journals a job's end, and only then removes its checkpoint."""
        line = strict({"type": "fold", **asdict(record)})
        self._append(line, durable=True)
        self._take(read_fold(line))
        self.paths.checkpoint(*record.job).unlink(missing_ok=True)
        if record.error is not None:
            self.observer.note(f"{record.error['message']} Recorded as failed; the search goes on.")
        self.observer.ended(record, self.state)

    def _take(self, record: FoldRecord) -> None:
        self.state.end(record)
        if self.state.is_done(record.job[0]):
            self.leaders.add(self.state, record.job[0])

    # What is written

    def _status(self) -> str:
        if self._interrupted:
            return "interrupted"
        if all(self.state.row(trial)["state"] == "failed" for trial in self.state.trials):
            return "failed"
        budget = self.prepared.config.search.trials
        cut = self.prepared.config.search.engine == "grid" and budget is not None
        return "budget" if cut and budget < len(self.prepared.space) else "complete"

    def _finish(self, status: str) -> Results:
        self.leaders.write_oof(self.state, self.folds, len(self.prepared.data))
        self._append({"type": "end", "status": status}, durable=True)
        self.journal.sync()
        results = self._write(status)
        remember(self.prepared, self.state)
        self.observer.end(results)
        return results

    def _write_if_due(self) -> None:
        if time.monotonic() - self._written_at > max(WRITE_INTERVAL_S, 20 * self._write_took_s):
            self._write("running")

    def _write(self, status: str) -> Results:
        began = time.monotonic()
        self.check_lock()
        prepared = self.prepared
        config = prepared.config.model_dump()
        about = {
            "name": prepared.config.name,
            "objective": {"name": prepared.objective.name, "direction": prepared.objective.direction},
            "config": config,
            "data": {
                "samples": len(prepared.data),
                "classes": len(prepared.data.classes),
                "class_names": list(prepared.data.classes),
                "fingerprint": prepared.data.fingerprint,
            },
            "folds": {"n": len(self.folds), "fingerprint": self.folds_fingerprint},
            "environment": self.environment,
        }
        for record in self.state.ended.values():
            path = self.paths.history(*record.job)
            if record.epochs > LONG_HISTORY and not path.exists():
                write_json(path, dict(record.history))
        wall_time_s = self.elapsed_s + time.time() - self.began
        data = self.state.results(status, about, wall_time_s)
        write_json(self.paths.json, data)
        self._written_at = time.monotonic()
        self._write_took_s = self._written_at - began
        return Results(data, self.paths.json)

    def _stop(self) -> None:
        self._interrupted = True
        self.executor.stop()
        self.observer.note("Stopping after the epoch at hand; once more to stop at once.")


def _change(key: str, before: Any, now: Any) -> str:
    if key in {"data", "the model function's source"}:
        return f"{key} changed"
    return f"{key} was {canonical_json(before)}, and is {canonical_json(now)}"


def _shown(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items()) or "the model"
