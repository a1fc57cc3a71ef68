"""What a run writes beside its journal: results.json, long histories, and the leading trials' predictions and
models.

Beside predictions stands what is needed to read them without the data: labels, classes or targets, and the
images that the best trial is most wrong about. Those of trials that fall behind are removed.
"""

from __future__ import annotations

import bisect
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import is_zipfile

import numpy as np

from kerasgrid.checks.prepared import Prepared
from kerasgrid.data.folds import folds_fingerprint
from kerasgrid.driver.results import Results
from kerasgrid.errors import spoken
from kerasgrid.io import (
    ARRAY_DAMAGE,
    discard,
    is_drive,
    is_whole_archive,
    json_bytes,
    open_input,
    read_json,
    strict,
    write_arrays,
    write_atomic,
    write_json,
)
from kerasgrid.jobs.route import TEST_FOLD
from kerasgrid.jobs.thresholds import PARTS, Chooser, apart
from kerasgrid.records import Dataset, Fold, FoldRecord, Target
from kerasgrid.report.label_scores import labels_of
from kerasgrid.report.mistakes import mistakes_of
from kerasgrid.report.residuals import residuals_of
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.schema import SCHEMA
from kerasgrid.run.state import LONG_HISTORY, JobId, RunState
from kerasgrid.tables.predictions import Predictions
from kerasgrid.wording import listed

WRITE_INTERVAL_S = 2.0
DRIVE_INTERVAL_S = 60.0
"""On a drive, whose trash keeps each one that is replaced."""
_LEAST_RATIO = 50
"""Of the time between two writings to what the last one took."""
log = logging.getLogger(__name__)
N_LEADERS = 10
LARGEST_SIDE = 96
"""Pixels of an image that is kept; of a larger one every second, third, ... row and column."""


class ResultsFile:
    """The results.json of a run.

    Args:
        folds: As they are on disk.
    """

    def __init__(self, prepared: Prepared, paths: RunPaths, folds: Sequence[Fold]) -> None:
        self._paths, self._prepared = paths, prepared
        kind = prepared.how.kind if prepared.cv is None else prepared.cv
        self._folds = {"n": len(folds), "kind": kind, "fingerprint": folds_fingerprint(folds)}
        self._written_at, self._took_s = 0.0, 0.0
        self._pause_s = DRIVE_INTERVAL_S if is_drive(paths.results) else WRITE_INTERVAL_S
        self._looked_at: set[JobId] = set()

    @property
    def is_due(self) -> bool:
        """Whether the last one is some seconds old; writing takes at most a 50th of the time."""
        pause_s = max(self._pause_s, _LEAST_RATIO * self._took_s)
        return time.monotonic() - self._written_at > pause_s

    def write(
        self,
        state: RunState,
        status: str,
        wall_time_s: float,
        environment: Mapping[str, Any],
        decides_on_test: bool,
        journal: str,
    ) -> Results:
        """Writes it and returns it.

        Args:
            status: As in results.json.
            wall_time_s: Seconds of all sessions.
            environment: Versions, backend and device.
            decides_on_test: Whether something has been decided by the folds that make the score.
            journal: The format of the run's journal.
        """
        began = time.monotonic()
        for record in (state.waiting | state.ended).values():
            if record.epochs > LONG_HISTORY:
                self._write_history(record)
        about = self._about(status, environment, decides_on_test, journal)
        data = {**about, **state.results(wall_time_s)}
        write_atomic(self._paths.json, partial(_write, data))
        self._written_at = time.monotonic()
        self._took_s = self._written_at - began
        return Results.known(data, self._paths.json)

    def _write_history(self, record: FoldRecord) -> None:
        """Writes a long history where it is not there, or, in this session's first look at it, is another."""
        path = self._paths.history(*record.job)
        if record.job in self._looked_at and path.exists():
            return
        try:
            is_whole = read_json(path) == strict(dict(record.history))
        except (OSError, ValueError):
            is_whole = False
        if not is_whole:
            write_json(path, dict(record.history))
        self._looked_at.add(record.job)

    def _about(
        self, status: str, environment: Mapping[str, Any], decides_on_test: bool, journal: str
    ) -> dict[str, Any]:
        prepared = self._prepared
        return {
            "schema": SCHEMA,
            "journal": journal,
            "name": prepared.config.name,
            "status": status,
            "objective": {
                "name": prepared.objective.name,
                **({"arguments": dict(arguments)} if (arguments := prepared.objective.arguments) else {}),
                "direction": prepared.objective.direction,
                **({"decided_on": TEST_FOLD} if decides_on_test else {}),
            },
            "config": prepared.config.whole,
            "base": self._paths.relative(prepared.base),
            "data": {
                "samples": len(prepared.data),
                **_about_target(prepared.data.target),
                "report": list(prepared.data.report),
                "fingerprint": prepared.data.fingerprint,
            },
            "folds": self._folds,
            "environment": environment,
        }


def _write(data: Mapping[str, Any], file: BinaryIO) -> None:
    """Writes results.json as `write_json` would, trial by trial: the text of many is large."""
    for place, (name, value) in enumerate(data.items()):
        file.write(b'%s"%s":' % (b"," if place else b"{", name.encode()))
        if name != "trials":
            file.write(json_bytes(value))
            continue
        file.write(b"[")
        for row, trial in enumerate(value):
            file.write((b"," if row else b"") + json_bytes(trial))
        file.write(b"]")
    file.write(b"}\n")


class Leaders:
    """Keeps the prediction files of the best complete trials.

    A trial that leads in the end has led since it was complete, so that what is removed on the way
    is never missed, also when a search is cut off and resumed.

    Args:
        direction: max or min.
        keeps_all: Whether the files of trials that fall behind stay.
    """

    def __init__(self, paths: RunPaths, direction: str, keeps_all: bool = False) -> None:
        self.paths, self._keeps_all = paths, keeps_all
        self._sign = -1 if direction == "max" else 1
        self._ranked: list[tuple[float, int]] = []

    def add(self, state: RunState, trial_id: int) -> list[Path]:
        """Takes a trial all of whose jobs have ended; returns the files that nobody needs any more."""
        score = state.score(trial_id)
        if score is None:  # failed: folds that have not are kept for a second try
            return []
        bisect.insort(self._ranked, (self._sign * score, trial_id))
        if len(self._ranked) <= N_LEADERS:
            return []
        _, behind = self._ranked.pop()
        return [] if self._keeps_all else [self.paths.prediction(*job) for job in state.jobs_of(behind)]

    def part(self, job: JobId, fold: Fold, n_outputs: int) -> np.ndarray | None:
        """Returns the predictions of a job, (row, output); None where they are not there or damaged."""
        return read_part(self.paths.prediction(*job), (len(fold.test), n_outputs))

    def write_oof(
        self,
        state: RunState,
        folds: Sequence[Fold],
        data: Dataset,
        choose: Chooser | None = None,
        weights: np.ndarray | None = None,
        names: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Writes oof.npz and mistakes.npz.

        oof.npz: `trial_ID` (sample, class) float32, probabilities, for each leader, the best first;
        `fold` (sample,) int16, `labels` (sample,) int64, or (sample, label) uint8 of several,
        and `classes` (class,), their names as text; where thresholds are chosen, `thresholds_ID`
        (fold, part, label), those of every fifth row of a fold that is held out, from the first, second and
        so on. Of numbers `trial_ID` and `labels` are (sample, number) float64, as the data have them,
        and `targets` (number,) stands for `classes`. Repeats are averaged, and so are folds that hold out the
        same sample, of which `fold` is the last. A sample that no fold holds out, as with `holdout`, has NaN
        in its row and -1 as its fold. Predictions that are missing, because somebody removed or damaged their
        files, leave their trial out.

        mistakes.npz: `trial`; `index` (mistake,) int64, the samples to whose wrong class the best trial
        gives the largest probabilities, or whose labels or numbers it misses by most; and, where samples are
        images, `images` (mistake, height, width, channel), and of image files `names` (mistake,).

        Args:
            state: Of the search.
            folds: Its folds.
            data: All samples.
            choose: Of thresholds, where they are chosen.
            weights: (sample,), what each counts there; None for the same.
            names: Gives the image file of each sample; none where samples are none.
        """
        n_samples, target = len(data), replace(data.target, names=tuple(map(str, data.target.names)))
        held_out = np.full(n_samples, -1, dtype=np.int16)
        n_times = np.zeros((n_samples, 1), dtype=np.int32)
        for fold in folds:
            held_out[fold.test] = fold.index
            n_times[fold.test] += 1
        arrays: dict[str, Any] = {
            "fold": held_out,
            "labels": np.asarray(data.labels),
            "targets" if target.is_numbers else "classes": np.array(target.names),
        }
        leaders = []
        for _, trial_id in self._ranked:
            jobs = state.jobs_of(trial_id)
            found = (self.part(job, folds[job[1]], target.n_outputs) for job in jobs)
            parts = [part for part in found if part is not None]
            if len(parts) < len(jobs):
                continue
            whole = np.zeros((n_samples, target.n_outputs), np.float64 if target.is_numbers else np.float32)
            for fold in folds:
                repeats = parts[fold.index * state.repeats : (fold.index + 1) * state.repeats]
                whole[fold.test] += np.mean(repeats, axis=0, dtype=whole.dtype)
            whole /= np.maximum(n_times, 1)
            whole[held_out < 0] = np.nan
            arrays[f"trial_{trial_id}"] = whole
            if choose is not None:
                cuts = [_cuts(choose, data.labels, whole, fold.test, weights) for fold in folds]
                arrays[f"thresholds_{trial_id}"] = np.stack(cuts)
            leaders.append(trial_id)
        if leaders:
            write_arrays(self.paths.oof, arrays)
            told = arrays["labels"], arrays[f"trial_{leaders[0]}"]
            thresholds = arrays.get(f"thresholds_{leaders[0]}")
            best = Predictions.of_held_out(target, *told, folds=held_out, thresholds=thresholds)
            mistakes = _mistakes(best, data, names())
            write_arrays(self.paths.mistakes, mistakes | {"trial": np.array(leaders[0])})


def _about_target(target: Target) -> dict[str, Any]:
    """Returns a target as results.json has it; of several labels the config tells."""
    if target.is_numbers:
        return {"targets": list(target.names)}
    names = list(target.names)
    return {
        "classes": len(names),
        "class_names": names,
        **({"one_hot": True} if target.one_hot else {}),
    }


def read_part(file: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Returns predictions that were kept, (row, output); None where they are not there or damaged."""
    try:
        with open_input(file):
            found = np.lib.format.open_memmap(file, mode="r")
    except FileNotFoundError:
        return None
    except ARRAY_DAMAGE as error:
        why = str(error)
    else:
        if found.shape == shape and found.dtype.kind == "f":
            return np.array(found)
        why = f"{found.dtype} of shape {found.shape}, and not floats of {shape}"
    log.warning("%s: is damaged (%s), and is left out as if it were not there.", file, why)
    return None


class FoldModels:
    """Keeps the fold models that a search asks for; failed trials and those given up keep none.

    Args:
        direction: max or min.
        keep: none, best or all. With `none`, what earlier sessions have kept stays.
    """

    def __init__(self, paths: RunPaths, direction: str, keep: str) -> None:
        self.paths, self.keep = paths, keep
        self._sign = -1 if direction == "max" else 1
        self._best: tuple[float, int] | None = None

    def add(self, state: RunState, trial_id: int) -> None:
        """Takes a trial all of whose jobs have ended; `best` keeps the better of it and the best before."""
        score = state.score(trial_id)
        if score is None:
            self._remove(state, trial_id)
            return
        ranked = sorted([(self._sign * score, trial_id), *([self._best] if self._best else [])])
        self._best = ranked[0]
        if self.keep == "best":
            for _, other in ranked[1:]:
                self._remove(state, other)

    def _remove(self, state: RunState, trial_id: int) -> None:
        models = (self.paths.model(*job) for job in state.jobs_of(trial_id))
        discard(*(file for model in models for file in self.paths.forms(model)))

    def sweep(self, state: RunState, *, is_over: bool = False) -> None:
        """Removes models of fits whose ends are not recorded, and of trials that were given up.

        Args:
            is_over: Whether nothing goes on, so that `best` keeps no trial whose other folds are not done.
        """
        if not (found := self.paths.models):
            return
        gone = state.dropped
        if is_over and self.keep == "best":
            gone = gone | {trial for trial in state.trials if not state.is_done(trial)}
        ended = (self.paths.model(*job) for job in state.ended if job[0] not in gone)
        kept = {file for model in ended for file in self.paths.forms(model)}
        discard(*(file for file in found if file not in kept))

    def remark(self, state: RunState, earlier: Collection[JobId]) -> str | None:
        """Returns that models of the best trial are missing, though they are asked for; None where none is.

        Args:
            earlier: The jobs that ended in earlier sessions. Of others a note has told why.
        """
        if self.keep == "none" or self._best is None:
            return None
        trial = self._best[1]
        jobs = state.jobs_of(trial)
        own = {self.paths.kept(self.paths.model(*job)) for job in jobs}
        # Of others, which may be many, the end alone is read.
        is_whole = {
            file: (is_whole_archive if file in own else is_zipfile)(file) for file in self.paths.models
        }
        if damaged := [file.name for file, whole in is_whole.items() if not whole]:
            log.warning(
                spoken("%s: fold models are damaged: %s. Restore them, or start anew with --fresh."),
                self.paths.folder,
                listed(damaged, 20),
            )
            return None
        n_missing = sum(
            job in earlier and not self.paths.kept(self.paths.model(*job)).exists() for job in jobs
        )
        if not n_missing:
            return None
        return (
            f"{n_missing} of the {len(jobs)} fold models of the best trial, {trial}, are missing: an earlier "
            "session trained those fits and did not keep them. To have all, start anew with --fresh."
        )


def _cuts(
    choose: Chooser, labels: np.ndarray, told: np.ndarray, rows: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    """Returns the thresholds of the parts of some rows, (part, label), as their score has them."""
    counts = None if weights is None else weights[rows]
    found = apart(choose, labels[rows], told[rows], weights=counts)
    return np.pad(found[:PARTS], [(0, max(0, PARTS - len(rows))), (0, 0)], "edge")


def _mistakes(predictions: Predictions, data: Dataset, names: Sequence[str]) -> dict[str, Any]:
    """Returns the samples that are most confidently wrong, or furthest off, and what they look like."""
    looks: dict[str, Callable[[Predictions], Any]]
    looks = {"numbers": residuals_of, "labels": labels_of, "classes": mistakes_of}
    index = np.array(looks[data.target.kind](predictions).worst_samples, dtype=np.int64)
    if data.images.ndim != 4 or data.images.shape[-1] not in (1, 3, 4):
        return {"index": index}
    found = {"index": index, "images": _small(data.images[index])}
    if len(names) <= index.max(initial=-1) or not names:
        return found
    return found | {"names": np.array([names[row] for row in index], dtype=str)}


def _small(images: np.ndarray) -> np.ndarray:
    """Returns images whose longer side is at most LARGEST_SIDE: means of squares of pixels, of one type."""
    step = -(-max(images.shape[1:3]) // LARGEST_SIDE)
    if step == 1:
        return images
    height, width = (max(size // step, 1) for size in images.shape[1:3])
    if min(images.shape[1:3]) < step:  # a line of pixels
        return images[:, ::step, ::step]
    squares = images[:, : height * step, : width * step].reshape(
        len(images), height, step, width, step, images.shape[-1]
    )
    means = squares.mean(axis=(2, 4))
    return (means.round() if np.issubdtype(images.dtype, np.integer) else means).astype(images.dtype)
