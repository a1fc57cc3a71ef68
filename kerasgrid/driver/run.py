"""A run: its folder, journal, folds and state, and the results.json that is made of them."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerasgrid.checks.draft import Draft
from kerasgrid.checks.prepared import Prepared
from kerasgrid.checks.samples import names_of
from kerasgrid.data.cache import save_samples
from kerasgrid.data.folds import folds_fingerprint, load_folds, save_folds
from kerasgrid.driver.identity import check_identity, is_superseded
from kerasgrid.driver.outputs import FoldModels, Leaders, ResultsFile
from kerasgrid.driver.results import Results
from kerasgrid.errors import DataError, ReplayError, ResultsError, RunError
from kerasgrid.io import canonical_json, digest, discard, remove, storage_errors, strict
from kerasgrid.jobs.route import TEST_FOLD
from kerasgrid.jobs.thresholds import CHOSEN, Chooser
from kerasgrid.machine import versions
from kerasgrid.records import CheckpointRecord, Fold, FoldRecord, Job, Pack, Trial, has_results
from kerasgrid.run.damage import damaged
from kerasgrid.run.journal import Journal, check_line, is_old, of_before
from kerasgrid.run.paths import RunPaths, turns_of
from kerasgrid.run.state import JobId, RunState, plan_record
from kerasgrid.wording import count

log = logging.getLogger(__name__)


class Run:
    """What one search has on disk; only the driver that holds its lock makes one.

    Args:
        check_lock: Raises LockedError where another process has taken the folder over.

    Attributes:
        prepared: The search, whose data lie where workers can map them.
        state: Trials and ended jobs, those of earlier sessions among them.
        environment: Versions, backend and device; empty before the first probe.
        elapsed_s: Seconds that earlier sessions took, but those that found nothing to do.
        last_status: What the last session ended with; None where it was cut off, or for a new run.
        threads: Threads a worker had in the first session; None for none or a new run.

    Raises:
        ChangedError: What makes a run the same run changed since it began.
        JournalError: The journal is damaged.
        DataError: The folds on disk are of other data.
    """

    def __init__(self, prepared: Prepared, paths: RunPaths, check_lock: Callable[[], None]) -> None:
        self.prepared, self.paths, self._check_lock = prepared, paths, check_lock
        self.environment: dict[str, Any] = {}
        self.threads: int | None = None
        self.last_status: str | None = None
        self._is_idle = False
        # Once true for a run: its trials stay, whatever a later session searches.
        self._decides_on_test = prepared.config.search.val == TEST_FOLD and prepared.looks_at_val
        self._began, self.elapsed_s = time.monotonic(), 0.0
        self._proposed_by: set[str | None] = set()
        self._expected: Iterator[int] = iter(())
        self._ended_files: list[Path] = []
        self._news: list[str] = []
        name = prepared.config.name
        header = {"identity": prepared.identity, "name": name, "versions": versions()}
        self._journal = Journal.open(paths.journal, header, check_line)
        try:
            if is_superseded(prepared, paths, self._journal.header, self._journal.records):
                self._journal.close()
                with storage_errors(paths.folds):  # first: after a kill either search makes them again
                    paths.folds.unlink(missing_ok=True)
                if self.is_old:
                    self._news.append(
                        "An earlier version had begun this run and trained nothing of it: it begins anew."
                    )
                self._journal = Journal.begin(paths.journal, header)
            self._new_sources = check_identity(
                prepared, paths.folder, self._journal.header, self._journal.records
            )
            if prepared.data.folder is None:  # arrays given in Python
                with storage_errors(paths.data):
                    kept = save_samples(paths.data, prepared.data, prepared.data.source)
                self.prepared = replace(prepared, data=replace(prepared.data, folder=kept.folder))
            self.folds = self._load_folds()
            self._file = ResultsFile(self.prepared, paths, self.folds)
            direction = prepared.objective.direction
            self.state = RunState(len(self.folds), prepared.config.search.repeats, direction)
            self._leaders = Leaders(paths, direction, keeps_all=prepared.read is not None)
            self._models = FoldModels(paths, direction, prepared.config.search.keep_models)
            self._replay()
            self._ended_before = frozenset(self.state.ended)
            if self._new_sources:
                self.append("sources", {"sources": self._new_sources})
            self._sweep()
        except BaseException:
            self._journal.close()
            raise

    def _load_folds(self) -> list[Fold]:
        """Returns the folds that the run began with; a file of them that is not theirs is made anew.

        Raises:
            RunError: They are others than the search makes now, so that they cannot be.
            DataError: They are of other data.
        """
        data, folds = self.prepared.data, list(self.prepared.folds)
        own, told = folds_fingerprint(folds), self._told_folds()
        if self.paths.folds.exists():
            try:
                return load_folds(self.paths.folds, len(data), data.source, told or own)[0]
            except RunError as error:
                if has_results(self._journal.records) and told != own:
                    raise
                self._news.append(f"{error} They are made anew: the search makes the same ones.")
        elif told not in (None, own) and has_results(self._journal.records):
            raise RunError(
                f"{self.paths.folds}: is not there any more, and the search would make other folds now than "
                "it has trained on. Restore the file, or start anew with --fresh."
            )
        save_folds(self.paths.folds, folds, len(data), data.fingerprint)
        return folds

    def _told_folds(self) -> str | None:
        """Returns the fingerprint of the run's folds, as its results.json tells it; None where none can."""
        try:
            return Results.load(self.paths.json).about.folds.fingerprint
        except ResultsError:  # it is written anew
            return None

    def _replay(self) -> None:
        """Takes in the records of earlier sessions."""
        began, took_s = None, 0.0
        for number, record in enumerate(self._journal.records, start=2):
            kind = record["type"]
            if (stranger := self._stranger(record)) is not None:
                raise damaged(self.paths.journal, number, stranger)
            if began is not None and kind != "session":
                told = record.get("session_s")
                # Journals of earlier versions have the wall clock alone, which may jump.
                took_s = max(took_s, record["time"] - began if told is None else told)
            if kind == "session":
                self.elapsed_s += took_s
                began, took_s, self.last_status = record["time"], 0.0, None
                self.threads = record["threads"] if self.threads is None else self.threads
                self._decides_on_test |= record.get("decided_on") == TEST_FOLD
                self._proposed_by.add(record.get("proposed_by"))
            elif kind == "environment":
                self.environment = record["environment"]
            elif kind == "end":
                self.last_status = record["status"]
                self.elapsed_s += 0.0 if record.get("idle", False) else took_s
                began, took_s = None, 0.0
            else:
                self.state.take(record, None if began is None else self.elapsed_s + took_s)
        self.elapsed_s += took_s
        for trial in self.state.trials:  # not before all is read: what failed may have been tried again
            if self.state.is_done(trial):
                self._take_end(trial)

    def _stranger(self, record: Mapping[str, Any]) -> str | None:
        """Returns which trial or fit of a record the journal has not named before; None where it has all."""
        if record["type"] == "trial":
            n_trials = len(self.state.trials)
            return None if record["id"] == n_trials else f"trial {record['id']} comes after {n_trials} trials"
        jobs = [*record.get("jobs", ()), *([record["job"]] if "job" in record else [])]
        trials = {trial for trial, _, _ in jobs} | ({record["trial"]} if "trial" in record else set())
        if strange := sorted(trials - self.state.trials.keys()):
            return f"there is no trial {strange[0]}"
        n_folds, repeats = self.state.n_folds, self.state.repeats
        wrong = next((job for job in jobs if job[1] >= n_folds or job[2] >= repeats), None)
        return None if wrong is None else f"there is no fold {wrong[1]}, repeat {wrong[2]}"

    def _take_end(self, trial: int) -> None:
        """Takes a trial all of whose jobs have ended."""
        self._ended_files += self._leaders.add(self.state, trial)
        self._models.add(self.state, trial)

    def _sweep(self) -> None:
        """Removes what a sudden end has left: half-written files, checkpoints of jobs that have ended, ..."""
        for half_written in self.paths.half_written:
            remove(half_written)
        given_up = [job for trial in self.state.dropped for job in self.state.jobs_of(trial)]
        for job in (*self.state.ended, *given_up):
            discard(*turns_of(self.paths.checkpoint(*job)))
        for job in given_up:
            discard(self.paths.prediction(*job))
        self._models.sweep(self.state)

    @property
    def is_old(self) -> bool:
        """Whether its fits are those of journals of version 1: nothing is trained or journalled any more."""
        return is_old(self._journal.header)

    def refuse_old(self, why: str) -> None:
        """Refuses that more is trained of a run under version 1.

        Args:
            why: What would be.

        Raises:
            JournalError: It is one.
        """
        if self.is_old:
            raise of_before(self.paths.journal, self._journal.header, why)

    @property
    def news(self) -> list[str]:
        """What is worth a line before the session: files made anew, and versions that have changed."""
        if self.is_old:
            return self._news
        before = self._journal.header.get("versions", {})
        return self._news + [
            f"This run began with {name} {before[name]} and goes on with {now}: the last bits may differ."
            for name, now in versions().items()
            if before.get(name, now) != now
        ]

    @property
    def remarks(self) -> list[str]:
        """What is worth a line after the session: fold models that earlier ones did not keep."""
        found = self._models.remark(self.state, self._ended_before)
        return [] if found is None else [found]

    def close(self) -> None:
        """Syncs and closes the journal."""
        self._journal.close()

    # What is journalled

    def begin(self, workers: Mapping[str, Any]) -> None:
        """Journals that a session begins, with the workers that it has."""
        decided = {"decided_on": TEST_FOLD} if self._decides_on_test else {}
        by = _proposed_by(self.prepared)
        is_replay = self._proposed_by == {by}  # then the trials come again in their order
        self._expected = iter([*self.state.trials] if is_replay else [])
        self.append("session", {"pid": os.getpid(), "proposed_by": by, **workers, **decided})

    def append(self, kind: str, record: Mapping[str, Any], durable: bool = False) -> float:
        """Journals a record with its kind and the time, and returns how many seconds the session has taken.

        Of a run under version 1 nothing is trained any more, and its journal stays as it is.

        Raises:
            LockedError: Another process has taken the folder over.
            StorageError: The disk is full.
        """
        self._check_lock()
        now, took_s = round(time.time(), 3), round(time.monotonic() - self._began, 3)
        if not self.is_old:
            self._journal.append({"type": kind, **record, "time": now, "session_s": took_s}, durable)
        return took_s

    def _record(self, kind: str, record: Mapping[str, Any], durable: bool = True) -> None:
        """Journals a record, of which the state takes what a later session will read of it."""
        took_s = self.append(kind, record, durable)
        self.state.take({"type": kind, **record}, self.elapsed_s + took_s)

    def propose(self, proposal: Iterable[Mapping[str, Any]]) -> list[Trial]:
        """Returns the trial of each candidate, in their order; those that are new are journalled.

        Raises:
            ReplayError: The journal holds another one in its place, though nothing has changed that says
                which come.
        """
        trials: list[Trial] = []
        for params in proposal:
            trial, is_new = self._trial(params)
            if trial.id not in self.state.wanted:
                expected = next(self._expected, trial.id)
                if expected != trial.id:
                    raise ReplayError(
                        f"the engine {self.prepared.config.search.engine} proposes {canonical_json(params)} "
                        f"where it proposed {canonical_json(self.state.trials[expected].params)} (trial "
                        f"{expected}) before, in the same search. A package may have changed: go on with the "
                        "versions that the search began with, or start anew with --fresh."
                    )
            if is_new:
                self.refuse_old(f"{canonical_json(params)} would be trained")
                self.append("trial", {"id": trial.id, "params": dict(trial.params)})
            self.state.wanted.add(trial.id)
            trials.append(trial)
        return trials

    def _trial(self, params: Mapping[str, Any]) -> tuple[Trial, bool]:
        """Returns the trial of params, as the journal would give them back, and whether it is new."""
        return self.state.trial(json.loads(canonical_json(params)))

    def open_jobs(
        self, trial: Trial, until: int | None = None, folds: Collection[int] | None = None
    ) -> list[Job]:
        """Returns the trial's jobs that have neither ended nor waited after an epoch, fold by fold."""
        jobs = [Job(trial, fold, repeat) for _, fold, repeat in self.state.jobs_of(trial.id)]
        wanted = [job for job in jobs if folds is None or job.fold in folds]
        return [job for job in wanted if not self.state.has_come_to(job.id, until)]

    def forget_failed(self) -> int:
        """Journals that trials which failed are to be tried again, and returns how many.

        Their fits that did not fail are trained again too where what is asked for was not kept of them.
        """
        if failed := self.state.failed():
            self.refuse_old(f"{count(len(failed), 'trial')} would be tried again")
        for trial in failed:
            for job in self.state.jobs_of(trial):
                if job in self.state.ended and self.state.ended[job].error is not None:
                    discard(self.paths.history(*job))
            lost = self._lost(trial)
            self._record("forget", {"trial": trial, "jobs": lost})
        return len(failed)

    def _lost(self, trial: int) -> list[JobId]:
        """Returns jobs of a trial that went well and whose files were removed when it failed or was given up.

        Their histories go too, since they are written anew.
        """
        ended = [job for job in self.state.jobs_of(trial) if job in self.state.ended]
        n_outputs, keeps = self.prepared.data.target.n_outputs, self._models.keep != "none"
        lost = [
            job
            for job in ended
            if self.state.ended[job].error is None
            and (
                self._leaders.part(job, self.folds[job[1]], n_outputs) is None
                or (keeps and not self.paths.kept(self.paths.model(*job)).exists())
            )
        ]
        for job in lost:
            discard(self.paths.history(*job))
        return lost

    def drop(self, candidates: Iterable[Mapping[str, Any]]) -> None:
        """Journals trials that an engine gives up, and removes what is kept to go on with them."""
        for params in candidates:
            trial, _ = self._trial(params)
            if trial.id not in self.state.dropped and not self.state.is_done(trial.id):
                self._record("drop", {"trial": trial.id})
                for job in self.state.jobs_of(trial.id):
                    self._ended_files += turns_of(self.paths.checkpoint(*job))
                    models = self.paths.forms(self.paths.model(*job))
                    self._ended_files += [self.paths.prediction(*job), *models]
        self._settle()

    def readmit(self, trial: int) -> None:
        """Journals that an engine goes on with a trial that it had given up when there were fewer others.

        Of its fits that had ended then the files are gone, so that they are open again.
        """
        if trial in self.state.dropped:
            self._journal.sync()
            self._settle()  # what was given up a moment ago loses its files now, not when it has new ones
            lost = self._lost(trial)
            self._record("readmit", {"trial": trial, "jobs": lost})

    def keep_plan(self, packs: Iterable[Pack]) -> None:
        """Journals packs, so that a later session trains the same; jobs by themselves need no line."""
        for pack in packs:
            if pack.graphs:
                self._record("pack", plan_record(pack), durable=False)

    def keep_environment(self, environment: Mapping[str, Any]) -> None:
        """Journals versions, backend and device."""
        self.environment = dict(environment)
        self.append("environment", {"environment": self.environment})

    def keep_checkpoint(self, record: CheckpointRecord) -> None:
        """Journals a checkpoint that is in its place."""
        self._record("checkpoint", vars(record))

    def end(self, record: FoldRecord) -> None:
        """Journals a job's end; its checkpoint goes when that is safe on the disk."""
        if record.job in self.state.waiting:
            discard(self.paths.history(*record.job))  # of a rung
        self._record("fold", strict(vars(record)))
        if self.state.is_done(record.job[0]):
            self._take_end(record.job[0])
        self._ended_files += turns_of(self.paths.checkpoint(*record.job))
        self._settle()

    def wait(self, record: FoldRecord, at_end: bool = False) -> None:
        """Journals that a job waits at a rung, or at its last epoch before one, with what it has reached."""
        discard(self.paths.history(*record.job))  # of a lower rung
        self._record("rung", {**strict(vars(record)), "at_end": at_end})

    def _settle(self) -> None:
        if not self.is_old and self._journal.settle() and self._ended_files:
            discard(*self._ended_files)
            self._ended_files.clear()

    # What is derived

    def _names(self) -> Sequence[str]:
        """Returns the image file of each sample; none where samples are none, or the files are others now."""
        prepared = self.prepared
        section = Draft(prepared.config, prepared.report, prepared.base, None).data
        try:
            return names_of(section, prepared.data)
        except DataError as error:
            log.warning("%s The report names mistakes by their places.", error)
            return ()

    def finish(self, status: str, *, is_idle: bool = False) -> Results:
        """Journals the session's end and writes what is derived from the journal.

        Args:
            status: As in results.json.
            is_idle: Whether there was nothing to do, so that the session's seconds are none of the search.
        """
        self._is_idle = is_idle
        search, data = self.prepared.config.search, self.prepared.data
        choose = Chooser.of(self.prepared.objective) if search.thresholds == CHOSEN else None
        weights = data.weights if search.weighted_scores else None
        self._leaders.write_oof(self.state, self.folds, data, choose, weights, self._names)
        self._models.sweep(self.state, is_over=status in {"complete", "failed"})
        self.append("end", {"status": status, "idle": is_idle}, durable=True)
        self._journal.sync()
        self._settle()
        return self.write(status)

    def tend(self) -> None:
        """Does what is due now and then: syncs the journal, and writes results.json."""
        self._settle()
        if self._file.is_due:
            self.write("running")

    def write(self, status: str) -> Results:
        """Writes results.json and the long histories beside it."""
        self._check_lock()
        took_s = 0.0 if self._is_idle else time.monotonic() - self._began
        return self._file.write(
            self.state,
            status,
            self.elapsed_s + took_s,
            self.environment,
            self._decides_on_test,
            self._journal.header["format"],
        )


def _proposed_by(prepared: Prepared) -> str:
    """Returns a digest of what says which candidates come, and in which order."""
    config = prepared.config
    search = config.search.model_dump(
        include={"engine", "trials", "proposals", "factor", "min_epochs", "seed"}
    )
    return digest({"search": search, "space": repr(prepared.space.grids), "exclude": config.exclude})
