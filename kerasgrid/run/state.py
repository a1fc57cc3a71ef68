"""The state of a search: what its journal says of trials and fits, and the packs that it has planned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from kerasgrid.records import FoldRecord, Graph, Job, Pack, Trial
from kerasgrid.run.paths import RunPaths
from kerasgrid.space.dimensions import all_known

LONG_HISTORY = 200
"""Histories of more epochs lie beside results.json, in RunPaths.histories."""

JobId = tuple[int, int, int]
_OF_FOLD = {field.name for field in fields(FoldRecord)}


@dataclass
class RunState:
    """What a journal says: the trials that were proposed and the jobs that have ended.

    Attributes:
        n_folds: Folds a trial.
        repeats: Repeats a fold.
        direction: max or min.
        trials: By id, in the order of their first proposal.
        ended: The end of each job.
        wanted: The ids that the engine has proposed in this session.
        waiting: What each job has reached that has waited at a rung, and may have gone on since.
        dropped: The ids of trials that an engine has given up.
        begun: The ids of trials of which something has been trained.
        saved: Epochs of each job in its last checkpoint, and of one of a training anew, after rungs.
        runs: Of jobs that are read off one run, one that stands for all of them.
        ended_at: Seconds into the search, over its sessions, when each job ended.
    """

    n_folds: int
    repeats: int
    direction: str
    trials: dict[int, Trial] = field(default_factory=dict)
    ended: dict[JobId, FoldRecord] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)
    waiting: dict[JobId, FoldRecord] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    begun: set[int] = field(default_factory=set)
    runs: dict[JobId, JobId] = field(default_factory=dict)
    saved: dict[tuple[JobId, bool], int] = field(default_factory=dict)
    ended_at: dict[JobId, float] = field(default_factory=dict)
    _plans: list[Mapping[str, Any]] = field(default_factory=list)
    _plans_of: dict[int, list[int]] = field(default_factory=dict)
    _rungs: dict[JobId, dict[float, float | None]] = field(default_factory=dict)
    _by_identity: dict[str, int] = field(default_factory=dict)
    _rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    def trial(self, params: Mapping[str, Any]) -> tuple[Trial, bool]:
        """Returns the trial of these params, and whether it is new; a new one gets the next id."""
        trial = Trial(len(self.trials), params)
        known = self._by_identity.get(trial.identity)
        if known is not None:
            return self.trials[known], False
        self.add(trial)
        return trial, True

    def add(self, trial: Trial) -> None:
        """Takes a trial that the journal holds."""
        self.trials[trial.id] = trial
        self._by_identity[trial.identity] = trial.id

    def take(self, record: Mapping[str, Any], at_s: float | None = None) -> None:
        """Takes what a line of the journal says of trials, fits and packs.

        Args:
            record: The line.
            at_s: The second of the search at which it came, where that is known.
        """
        kind, job = record["type"], tuple(record.get("job", ()))
        trial: Any = record.get("trial")
        if kind == "trial":
            self.add(Trial(record["id"], record["params"]))
        elif kind == "pack":
            self._plan(record)
        elif kind == "checkpoint":
            self.begin(job[0])
            self.saved[job, record.get("anew", False)] = record["epoch"]
        elif kind == "rung":
            self._wait(read_fold(record), record.get("at_end", False))
        elif kind == "fold":
            self.end(read_fold(record), at_s)
        elif kind == "drop":
            self.dropped.add(trial)
            self._rows.pop(trial, None)
        elif kind in ("readmit", "forget"):
            if kind == "readmit":
                self.dropped.discard(trial)
            else:
                self._forget_failed(trial)
            for lost in record.get("jobs", ()):  # whose files are gone, so that they are trained again
                self.ended.pop(tuple(lost), None)
            self._rows.pop(trial, None)

    def begin(self, trial_id: int) -> None:
        """Takes that a trial's training has begun."""
        if trial_id not in self.begun:
            self.begun.add(trial_id)
            self._rows.pop(trial_id, None)

    def end(self, record: FoldRecord, at_s: float | None = None) -> None:
        """Takes a job's end, and at which second of the search it came, where that is known."""
        self.begin(record.job[0])
        self.ended[record.job] = record
        if at_s is not None:
            self.ended_at[record.job] = at_s
        self._rows.pop(record.job[0], None)

    def failed(self) -> list[int]:
        """Returns the ids of trials with a fit that failed."""
        return sorted({job[0] for job, record in self.ended.items() if record.error is not None})

    def _forget_failed(self, trial_id: int) -> None:
        """Forgets the ends of a trial's fits that failed, as if they had never been tried."""
        for job in self.jobs_of(trial_id):
            if job in self.ended and self.ended[job].error is not None:
                del self.ended[job]
        if not self._records(trial_id):
            self.begun.discard(trial_id)
        self._rows.pop(trial_id, None)

    def _wait(self, record: FoldRecord, at_end: bool) -> None:
        """Takes a job that waits at a rung, or at its end, which counts for all rungs from there on."""
        self.begin(record.job[0])
        self.waiting[record.job] = record
        self._rungs.setdefault(record.job, {})[math.inf if at_end else record.epochs] = record.val_score
        self._rows.pop(record.job[0], None)

    def _plan(self, record: Mapping[str, Any]) -> None:
        """Takes a pack, and which of its jobs are read off which run."""
        for trial in {trial for trial, _, _ in record["jobs"]}:
            self._plans_of.setdefault(trial, []).append(len(self._plans))
        self._plans.append(record)
        if record["shares"]:
            for run in Pack(self._jobs(record), shares=True).runs:
                owner = self.runs.get(run[0].id, run[0].id)  # of a run of which a part has ended
                for job in run:
                    self.runs.setdefault(job.id, owner)

    def packs(self, graphs: Mapping[int, Graph], until: int | None = None) -> list[Pack]:
        """Returns the packs that were planned to wait after an epoch and whose graphs are still these.

        They are those with a trial that is asked for, in the order in which they were planned.

        Args:
            graphs: By trial, of those that are asked for.
            until: The epoch; None for packs that wait nowhere.
        """
        found = []
        for place in sorted({place for trial in graphs for place in self._plans_of.get(trial, ())}):
            record = self._plans[place]
            if record.get("until") != until:
                continue
            jobs = self._jobs(record)
            known = [graphs.get(job.trial.id) for job in jobs]
            # A trial that is not asked for is done; its place in the pack is taken out by who asks.
            if any(graph is not None and graph.key != record["graph"] for graph in known):
                continue
            filled = tuple(graph or Graph(record["graph"]) for graph in known)
            found.append(Pack(jobs, filled, record["width"], record["shares"], until=until))
        return found

    def _jobs(self, record: Mapping[str, Any]) -> tuple[Job, ...]:
        return tuple(Job(self.trials[trial], fold, repeat) for trial, fold, repeat in record["jobs"])

    def has_come_to(self, job: JobId, until: int | None) -> bool:
        """Tells whether a job has ended, or has waited after an epoch."""
        return job in self.ended or (until is not None and self._rung(job, until) is not None)

    def val_score(self, trial_id: int, fold: int, until: int) -> float | None:
        """Returns a fold's score on the inner split after an epoch, repeats averaged; None for a failure.

        Of a job that ended before it is the score at its end.
        """
        found = []
        for repeat in range(self.repeats):
            job = (trial_id, fold, repeat)
            ended = self.ended.get(job)
            rung = self._rung(job, until)
            if rung is not None:
                found.append(self._rungs[job][rung])
            else:
                found.append(None if ended is None else ended.val_score)
        return _mean(found)

    def _rung(self, job: JobId, until: int) -> float | None:
        """Returns the lowest rung, from an epoch on, at which a job has waited; None for none.

        It is that epoch, but for a job that had come further before it was proposed again.
        """
        return min((epochs for epochs in self._rungs.get(job, ()) if epochs >= until), default=None)

    def trained(self) -> dict[tuple[JobId, bool], int]:
        """Returns the epochs of each run that has been recorded.

        It is by the job that stands for the run, and whether that was trained anew after rungs.
        """
        found: dict[tuple[JobId, bool], int] = {}
        for (job, anew), epochs in self.saved.items():
            if job not in self.ended:  # its own record tells of a fit that was its own after all
                run = self.runs.get(job, job), anew
                found[run] = max(found.get(run, 0), epochs)
        for record in (*self.waiting.values(), *self.ended.values()):
            run = record.job if record.alone else self.runs.get(record.job, record.job), record.anew
            found[run] = max(found.get(run, 0), record.epochs)
        return found

    def jobs_of(self, trial_id: int) -> list[JobId]:
        """Returns a trial's job ids, fold by fold."""
        return [(trial_id, fold, repeat) for fold in range(self.n_folds) for repeat in range(self.repeats)]

    def is_done(self, trial_id: int) -> bool:
        """Tells whether all of a trial's jobs have ended."""
        return all(job in self.ended for job in self.jobs_of(trial_id))

    def shown(self) -> list[int]:
        """Returns the ids in results.json: all that are done, and those that are to be done.

        Left out is what an earlier session began and a narrower space proposes no more.
        """
        return [id for id in self.trials if not self.wanted or id in self.wanted or self.is_done(id)]

    def score(self, trial_id: int) -> float | None:
        """Returns a complete trial's mean score; None for one that failed or is not done."""
        return self.row(trial_id)["mean_test_score"] if self.row(trial_id)["state"] == "complete" else None

    def told(
        self, trials: Iterable[Trial], until: int | None = None, folds: Iterable[int] | None = None
    ) -> list[Any]:
        """Returns what an engine is told of trials: higher is better, whatever the objective.

        Args:
            trials: Of a proposal.
            until: The epoch after which they wait, for scores on the inner split; None for their final ones.
            folds: Those that are asked for until then; None for all.
        """

        def signed(score: float | None) -> float | None:
            return score if score is None or self.direction == "max" else -score

        if until is None:
            return [signed(self.score(trial.id)) for trial in trials]
        asked = range(self.n_folds) if folds is None else tuple(folds)
        return [[signed(self.val_score(trial.id, fold, until)) for fold in asked] for trial in trials]

    def ranking(self) -> list[int]:
        """Returns the ids of complete trials, the best first; equal scores by id."""
        sign = -1 if self.direction == "max" else 1
        scored = [(sign * score, trial) for trial in self.trials if (score := self.score(trial)) is not None]
        return [trial for _, trial in sorted(scored)]

    def row(self, trial_id: int) -> dict[str, Any]:
        """Returns a trial's object in results.json, without its rank."""
        if trial_id not in self._rows:
            self._rows[trial_id] = self._make_row(self.trials[trial_id])
        return self._rows[trial_id]

    def _make_row(self, trial: Trial) -> dict[str, Any]:
        found = self._records(trial.id)
        records = list(found.values())
        failed = next((record for record in records if record.error is not None), None)
        done, given_up = self.is_done(trial.id), trial.id in self.dropped
        going = "running" if trial.id in self.begun else "waiting"
        state = "complete" if done else "pruned" if given_up else going
        if failed is not None and (done or given_up):
            state = "failed"
        made = [self._fold(trial.id, fold, found) for fold in range(self.n_folds)]
        folds = [fold for fold in made if fold is not None]
        scores = [fold["test_score"] for fold in folds]
        waits = state == "running" and len(folds) == self.n_folds  # at a rung, as a budget may leave it
        scored = bool(folds) and (waits or state in {"complete", "pruned"})
        return {
            "id": trial.id,
            "params": dict(trial.params),
            "state": state,
            "mean_test_score": float(np.mean(scores)) if scored else None,
            "std_test_score": float(np.std(scores)) if scored else None,
            "rank_test_score": None,
            "mean_debiased_score": _mean_debiased(folds) if scored else None,
            "first_values": _first_values(records),
            "mean_fit_time": float(np.mean([fold["fit_time"] for fold in folds])) if scored else None,
            "end_time_s": self._end_time_s(trial.id) if done else None,
            "n_parameters": next((r.n_parameters for r in records if r.n_parameters is not None), None),
            "error": None if failed is None else dict(failed.error or {}),
            "dead": _dead(records),
            "folds": folds,
        }

    def _end_time_s(self, trial_id: int) -> float | None:
        """Returns when the last of a trial's jobs ended, in seconds of the search; None if not known."""
        times = [self.ended_at.get(job) for job in self.jobs_of(trial_id)]
        return round(max(times), 3) if all_known(times) else None

    def _records(self, trial_id: int) -> dict[JobId, FoldRecord]:
        """Returns the ends of a trial's jobs, and what those that wait at a rung have reached."""
        found = {job: self.ended.get(job) or self.waiting.get(job) for job in self.jobs_of(trial_id)}
        return {job: record for job, record in found.items() if record is not None}

    def _fold(self, trial_id: int, fold: int, found: Mapping[JobId, FoldRecord]) -> dict[str, Any] | None:
        """Returns a fold's object, its repeats averaged; None where one has no record."""
        records = [found.get((trial_id, fold, repeat)) for repeat in range(self.repeats)]
        if not all_known(records):
            return None
        parts = [self._repeat(record) for record in records]
        if len(parts) == 1:
            return {"fold": fold, **parts[0]}
        scores = [part["test_score"] for part in parts]
        is_scored = None not in scores
        names = [name for name in parts[0]["metrics"] if all(name in part["metrics"] for part in parts)]
        return {
            "fold": fold,
            "test_score": float(np.mean(scores)) if is_scored else None,
            "fit_time": float(np.mean([part["fit_time"] for part in parts])),
            "epochs": max(part["epochs"] for part in parts),
            "best_epoch": parts[0]["best_epoch"],
            **_told(stages=parts[0].get("stages"), restored_stages=parts[0].get("restored_stages")),
            "metrics": {name: _mean([part["metrics"][name] for part in parts]) for name in names},
            **_told(first_values=_first_values(records), debiased_score=_mean_debiased(parts)),
            **_told(thresholds=_mean_thresholds(records)),
            "repeats": [{"repeat": repeat, **part} for repeat, part in enumerate(parts)],
        }

    def _repeat(self, record: FoldRecord) -> dict[str, Any]:
        row: dict[str, Any] = {
            "test_score": record.score,
            **_told(val_score=record.val_score),
            "fit_time": record.fit_time,
            "epochs": record.epochs,
            "best_epoch": record.best_epoch,
            **_told(stages=None if record.stages is None else list(record.stages)),
            **_told(restored_stages=record.restored_stages and list(record.restored_stages)),
            "metrics": dict(record.metrics),
            **_told(first_values=record.first_values, debiased_score=record.debiased_score),
            **_told(thresholds=None if record.thresholds is None else list(record.thresholds)),
            "history": dict(record.history),
        }
        if record.epochs > LONG_HISTORY:
            row["history"] = {}
            row["history_file"] = RunPaths.history_name(*record.job)
        if record.dead is not None:
            row["dead"] = record.dead
        if record.error is not None:
            row["error"] = dict(record.error)
        return row

    def results(self, wall_time_s: float) -> dict[str, Any]:
        """Returns what results.json has of the trials: each of them, the best one and a summary.

        Args:
            wall_time_s: Seconds that the search has run, over all its sessions.
        """
        ranking = self.ranking()
        ranks: dict[int, int] = {}
        for place, trial in enumerate(ranking):
            before = ranking[place - 1]
            tied = place > 0 and self.score(before) == self.score(trial)
            ranks[trial] = ranks[before] if tied else place + 1
        rows = [{**self.row(trial), "rank_test_score": ranks.get(trial)} for trial in self.shown()]
        best = self.row(ranking[0]) if ranking else None
        return {
            "trials": rows,
            "best": best
            and {
                "trial": best["id"],
                "params": best["params"],
                "mean_test_score": best["mean_test_score"],
            },
            "summary": {
                "trials": len(rows),
                "failed": sum(row["state"] == "failed" for row in rows),
                "pruned": sum(row["state"] == "pruned" for row in rows),
                "dead": sum(row["dead"] is not None for row in rows),
                "fits": len(self.ended.keys() | self.waiting.keys()),
                "epochs_trained": sum(self.trained().values()),
                "wall_time_s": round(wall_time_s, 3),
            },
        }


def _dead(records: Sequence[FoldRecord]) -> str | None:
    """Returns why a trial's nets learnt nothing, and how many of its fits, where not all; None for none."""
    reasons = [record.dead for record in records if record.dead is not None]
    if not reasons or len(reasons) == len(records):
        return next(iter(reasons), None)
    return f"{reasons[0]} ({len(reasons)} of {len(records)} fits)"


def _first_values(records: Iterable[FoldRecord]) -> float | None:
    """Returns the greatest share of first values in any fit's statistics; None where no fit has any."""
    return max((record.first_values for record in records if record.first_values is not None), default=None)


def _mean_debiased(parts: Sequence[Mapping[str, Any]]) -> float | None:
    """Returns the mean score by debiased statistics, of fits by Keras's that have warmed up by those.

    None where all have, so that it is the mean score.
    """
    if all(part.get("debiased_score") is None for part in parts):
        return None
    found = [part.get("debiased_score") for part in parts]
    return _mean([part["test_score"] if own is None else own for part, own in zip(parts, found, strict=True)])


def _mean_thresholds(records: Sequence[FoldRecord]) -> list[float] | None:
    """Returns the mean of thresholds over repeats; None where one has none."""
    found = [record.thresholds for record in records]
    return np.mean(found, axis=0).tolist() if all_known(found) else None


def _told(**values: Any) -> dict[str, Any]:
    """Returns what there is to tell of a fit, without what is not."""
    return {name: value for name, value in values.items() if value is not None}


def _mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean; None where a value is missing, which was NaN."""
    return float(np.mean(values)) if all_known(values) else None


def read_fold(record: Mapping[str, Any]) -> FoldRecord:
    """Makes a FoldRecord of a journal's line, which may hold what other versions have in theirs."""
    values = {name: value for name, value in record.items() if name in _OF_FOLD}
    return FoldRecord(**{**values, "job": tuple(values["job"])})


def plan_record(pack: Pack) -> dict[str, Any]:
    """Returns what is journalled of a pack."""
    until = {} if pack.until is None else {"until": pack.until}
    return {
        "jobs": [list(job.id) for job in pack.jobs],
        "graph": pack.graphs[0].key,
        "width": pack.width,
        "shares": pack.shares,
        **until,
    }
