"""Fits that scikit-learn asks for one by one, trained side by side before, as those of a search are.

A search of scikit-learn's clones its estimator for each candidate and split, fits it and has it scored. The
fits of a proposal are trained all together first: planned, packed, given to workers and journalled by the
driver. What scikit-learn fits then takes what it finds.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from kerasgrid import errors
from kerasgrid.checks.draft import Draft, read_draft
from kerasgrid.data.array_likes import is_sparse
from kerasgrid.data.arrays import as_pixels
from kerasgrid.data.cache import fingerprint
from kerasgrid.data.in_memory import Given, Read
from kerasgrid.data.inputs import Rows
from kerasgrid.driver.search import Session, opened
from kerasgrid.engines.base import Proposal
from kerasgrid.errors import (
    AT_LENGTH,
    ChangedError,
    ConfigError,
    KerasgridError,
    ModelError,
    RefusedError,
    TrialError,
)
from kerasgrid.estimators.alone import training
from kerasgrid.estimators.base import KerasEstimator
from kerasgrid.estimators.wrappers import VALIDATION
from kerasgrid.executors import Executor
from kerasgrid.planning.workers import MAX_PROBES, lent_executor
from kerasgrid.records import Dataset, Fold, FoldRecord, Job
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths

Split = tuple[np.ndarray, np.ndarray]
"""Rows to train on, and rows that are held out."""
_RATES = {"reduce_lr_on_plateau", "learning_rate_scheduler"}
"""Callbacks with which Keras's own history tells of learning rates."""
_AT_A_TIME = 256
"""Rows that are compared at a time, which stay in a processor's cache."""
_SAMPLE = 64
"""Rows on which a fit of all samples is looked at; it holds none out."""


@dataclass(frozen=True)
class Told:
    """A fit that was trained ahead.

    Attributes:
        params: What it was trained by, with what fits of a run have in common.
        rows: Of all samples, that it was trained on.
        record: How its training went.
        X: All samples, as they were given.
        said: Files of what it says of some samples, and which of all these are.
        weights_file: The file of its weights; None where they are not kept.
    """

    params: Mapping[str, Any]
    rows: np.ndarray
    record: FoldRecord
    X: Any
    said: Sequence[tuple[Path, np.ndarray]]
    weights_file: Path | None

    def predictions(self, X: Any) -> np.ndarray | None:
        """Returns what it says of held-out samples, or of those that it was trained on.

        None of others, and where that was not kept, or not any more.
        """
        there = ((file, rows) for file, rows in self.said if file.exists())
        return next((np.load(file) for file, rows in there if _are_some(X, self.X, rows)), None)

    def weights(self) -> list[np.ndarray] | None:
        """Returns its model's weights; None where they are not kept, or not any more."""
        if self.weights_file is None or not self.weights_file.exists():
            return None
        with np.load(self.weights_file) as found:
            return [found[str(place)] for place in range(len(found.files))]


@dataclass(frozen=True)
class Failed:
    """A fit that was trained ahead and has failed.

    Attributes:
        params: As of one that has not, and so are the rows.
        rows: Likewise.
        error: By what.
    """

    params: Mapping[str, Any]
    rows: np.ndarray
    error: KerasgridError


class FitsAhead:
    """Trains an estimator's fits ahead, and gives them out in the order in which scikit-learn asks for them.

    Args:
        estimator: Whose candidates are trained.
        X: As its `fit` has it, and so are the others.
        y: Likewise.
        sample_weight: Likewise.
        validation_data: Likewise.
        objective: What the run's own table scores by.
        n_workers: Fits at a time; 1 for this process alone.
        keeps_weights: Whether somebody may ask fits for more than they say of samples.
        keeps_trained: Whether they are asked about those that they were trained on.
        name: Of the run; None for one that is forgotten.
        observer: Is told how it goes.

    Attributes:
        samples: What X and y are, and behind them those on which `val_*` is measured.
        is_used: Whether fits are taken from it.
        fit_times: Seconds of training of what was trained last, (candidate, split).
    """

    def __init__(
        self,
        estimator: KerasEstimator,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation_data: Any = None,
        *,
        objective: Any,
        n_workers: int,
        keeps_weights: bool,
        keeps_trained: bool,
        name: str | None,
        observer: Observer,
    ) -> None:
        self._template = clone(estimator)
        self._X, self._observer = X, observer
        self._objective, self._n_workers = objective, n_workers
        held_out = self._template._validation_data if validation_data is None else validation_data
        samples = self._template._with_held_out(self._template._samples(X, y, sample_weight), held_out)
        self._every = np.arange(len(samples) - samples.n_held_out)
        if samples.table is None:
            samples = replace(samples, images=as_pixels(samples.images, "X"))
        if name is not None:  # a run that is forgotten is gone on with by nobody
            samples = replace(samples, fingerprint=fingerprint(samples))
        self.samples: Dataset = samples
        self._stack, self._sessions = ExitStack(), dict[tuple, Session]()
        self._workers = ExitStack()
        self._executor: Executor | None = None
        self._queue: deque[Told | Failed] = deque()
        self._splits: Sequence[Split] = ()
        self._is_kept = name is not None
        self._read = Read(
            samples,
            folds=(),
            keeps_weights=keeps_weights,
            keeps_trained=keeps_trained,
            measures_epochs=self._is_kept,  # of a run that is forgotten nobody sees curves
        )
        self._results = Path("results") if self._is_kept else Path(tempfile.mkdtemp(prefix="kerasgrid-"))
        self._paths = RunPaths(self._results, name or "fits")
        self._n_runs = 0
        self.fit_times = np.empty((0, 0))
        self.is_used = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        """Ends what is open, as interrupted where an error ends it, and removes a run that is forgotten."""
        self.is_used = False
        ends = ExitStack()
        if not self._is_kept:
            ends.callback(shutil.rmtree, self._results, ignore_errors=True)
        ends.push(self._workers)
        ends.push(self._stack)
        ends.__exit__(*exception)

    def reason_not(self, candidates: Sequence[Mapping[str, Any]], splits: Sequence[Split]) -> str | None:
        """Returns why each fit has to be trained when it is asked for; None where none has.

        Args:
            candidates: Parameters by name.
            splits: Rows of each.
        """
        for params in candidates:
            estimator = self._of(params)
            if VALIDATION in params:
                return f"{VALIDATION} is searched"
            for one in estimator._objects:
                return f"{type(one).__name__} is a callback that grid.yaml has no name for"
            for name, value in estimator._python_params().items():
                if not _is_plain(value):
                    return f"{name}={value!r} is an object, which no other process and no journal can be told"
        keras = sys.modules.get("keras")
        if keras is not None and (kind := keras.config.floatx()) != "float32":
            return f"Keras computes in {kind}"
        labels, target = self.samples.labels, self.samples.target
        for place, (train, test) in enumerate(splits):
            for rows, what in ((train, "trains on"), (test, "holds out")):
                if not len(rows):
                    return f"split {place} {what} no sample"
                if len(np.unique(rows)) < len(rows):
                    return f"split {place} {what} a sample twice"
            if np.intersect1d(train, test).size:
                return f"split {place} holds out samples that it trains on"
            if target.kind == "classes" and len(np.unique(labels[train])) < len(target.classes):
                return f"split {place} trains on no sample of some class"
            if self.samples.table is not None and self._table_of(train) != self.samples.table:
                return f"split {place} trains on rows of which columns look otherwise than in all"
        return None

    def check_some_build(self, candidates: Sequence[Mapping[str, Any]]) -> None:
        """Builds candidates' models until one can be built, where each is trained when it is asked for.

        Args:
            candidates: Parameters by name.

        Raises:
            ConfigError, ModelError: What the first one fails by; so do all others, or as many as are tried.
        """
        failed: list[ConfigError | ModelError] = []
        for params in candidates[:MAX_PROBES]:
            try:
                with training():
                    self._of(params)._alone.check(self.samples)
            except (ConfigError, ModelError) as error:
                failed.append(error)
            else:
                return
        raise failed[0]

    def _table_of(self, rows: np.ndarray) -> Any:
        """Returns what the columns of some rows are, as a fit by itself reads them."""
        some = clone(self._template)
        return some._read(_safe_indexing(self._X, rows), np.zeros(len(rows)))[2]

    def _of(self, params: Mapping[str, Any]) -> KerasEstimator:
        return clone(self._template).set_params(**clone(dict(params), safe=False))

    def train(
        self, candidates: Sequence[Mapping[str, Any]], splits: Sequence[Split], longest: int | None = None
    ) -> None:
        """Trains candidates on splits; `next` gives them out, candidate by candidate and split by split.

        Args:
            candidates: Parameters by name.
            splits: Rows of each.
            longest: The most epochs that they will be trained in later calls, where they go on; None to train
                each for itself.

        Raises:
            RefusedError: No candidate's model can be built.
            KeyboardInterrupt: It was asked to stop. What was trained of a run with a name is kept.
        """
        folds = tuple(Fold(place, *map(_rows, split)) for place, split in enumerate(splits))
        if not self._is_same(splits):
            self._end_sessions()
        self._splits = splits
        estimators = [self._of(params) for params in candidates]
        grouped: dict[tuple, list[int]] = {}
        for place, estimator in enumerate(estimators):
            grouped.setdefault(_owned(estimator), []).append(place)
        found: dict[int, list[Told | Failed]] = {}
        refused: list[RefusedError] = []
        for own, places in grouped.items():
            members = [estimators[place] for place in places]
            try:
                told = self._train(own, members, replace(self._read, folds=folds), self._observer, longest)
            except RefusedError as error:
                refused.append(error)
                told = [[Failed(_identity_of(one), fold.train, error) for fold in folds] for one in members]
            found |= dict(zip(places, told, strict=True))
        if len(refused) == len(grouped):
            raise refused[0]
        self._queue = deque(
            found[place][split] for place, split in product(range(len(candidates)), range(len(splits)))
        )
        times = [
            [0.0 if isinstance(one, Failed) else one.record.fit_time for one in found[place]]
            for place in range(len(candidates))
        ]
        self.fit_times = np.array(times)

    def next(self, estimator: KerasEstimator, samples: Dataset) -> Told | None:
        """Returns the next fit that is asked for; when all are given out, one of all samples, trained now.

        None of others, such as those of a scorer that fits a clone.

        Raises:
            KerasgridError: It has failed.
        """
        if not self._queue:
            return self._fit_of_all(estimator) if self._are(samples, self._every) else None
        asked = self._queue[0]
        if asked.params != _identity_of(estimator) or not self._are(samples, asked.rows):
            return None
        found = self._queue.popleft()
        if isinstance(found, Failed):
            raise found.error.with_traceback(None)  # that of where it was trained tells nothing here
        return found

    def _are(self, samples: Dataset, rows: np.ndarray) -> bool:
        """Tells whether samples are some of all."""
        if len(samples) != len(rows) or not np.array_equal(samples.labels, self.samples.labels[rows]):
            return False
        images, known = samples.images, self.samples.images
        are_floats = samples.table is None and known.dtype == np.float32
        return _are_rows(images.astype(np.float32, copy=False) if are_floats else images, known, rows)

    def _fit_of_all(self, estimator: KerasEstimator) -> Told:
        """Trains an estimator on all samples, and keeps its weights."""
        self._end_sessions()
        every = self._every
        looked_at = np.arange(len(every), len(self.samples)) if self.samples.n_held_out else every
        fold = Fold(0, every, looked_at[:: -(-len(looked_at) // _SAMPLE)])  # of classes in blocks, too
        self._splits = [(fold.train, fold.test)]
        read = replace(
            self._read, folds=(fold,), keeps_weights=True, keeps_trained=False, measures_epochs=False
        )
        self._observer.doing("The best candidate is fitted to all samples.")
        silent = Observer()  # what its run tells is of samples that it trains on
        [[told]] = self._train(_owned(estimator), [estimator], read, silent)
        if isinstance(told, Failed):
            raise told.error
        return told

    def _train(
        self,
        own: tuple,
        estimators: Sequence[KerasEstimator],
        read: Read,
        observer: Observer,
        longest: int | None = None,
    ) -> list[list[Told | Failed]]:
        """Trains estimators with the same function and seed; returns each one's fits.

        Raises:
            RefusedError: None of the models can be built.
        """
        params = [json.loads(json.dumps(estimator._python_params())) for estimator in estimators]
        until = {one["epochs"] for one in params if "epochs" in one} if longest is not None else set()
        session = self._session(own, params, read, observer, longest)
        rung = None
        if longest is not None and len(until) == 1 and self._may_go_on(session, params):
            rung = until.pop()
            params = [{**one, "epochs": longest} for one in params]
        trials = session.train(Proposal(params, rung))
        if trials is None:
            raise KeyboardInterrupt
        session.is_finished = True
        return [
            [
                self._told(session, Job(trial, fold.index), fold, rung, _identity_of(one))
                for fold in read.folds
            ]
            for trial, one in zip(trials, estimators, strict=True)
        ]

    def _may_go_on(self, session: Session, params: Sequence[Mapping[str, Any]]) -> bool:
        """Tells whether a longer run after some epochs is what a run of these epochs is."""
        routes = map(session.recipe.route, params)
        return not session.recipe.keeps_weights and all(route.looks_at_total is None for route in routes)

    def _session(
        self,
        own: tuple,
        params: Sequence[Mapping[str, Any]],
        read: Read,
        observer: Observer,
        longest: int | None,
    ) -> Session:
        """Returns the session that trains such estimators; one that is open where that is the same."""
        if own in self._sessions:
            return self._sessions[own]
        if longest is not None:
            params = [{**one, **({"epochs": longest} if "epochs" in one else {})} for one in params]
        paths = self._next_run()
        draft = self._draft(paths.name, own, params)
        if self._executor is None:
            most = len(params) * len(read.folds)
            self._executor = self._workers.enter_context(lent_executor(draft, most=most))
        try:
            session = self._stack.enter_context(
                opened(draft, Given(read=read), paths.results, executor=self._executor, observer=observer)
            )
        except ChangedError as error:
            what = str(error).partition(". Restore what changed")[0]
            raise ChangedError(
                f"{what}. Give the search another name=, or move {paths.folder} and {paths.json} away."
            ) from None
        self._sessions[own] = session
        return session

    def _next_run(self) -> RunPaths:
        """Returns where the next run is kept: the first one by its name, and those after it in its folder."""
        number, self._n_runs = self._n_runs, self._n_runs + 1
        return RunPaths(self._paths.folder, f"run-{number}") if number else self._paths

    def _draft(self, name: str, own: tuple, params: Sequence[Mapping[str, Any]]) -> Draft:
        model, seed, target_scale, val = own
        kind = "inline" if self._n_workers == 1 else "processes"
        workers = {} if self._n_workers == 1 else {"workers": self._n_workers}
        return read_draft(
            {
                "name": name,
                "model": model,
                "space": [{name: [value] for name, value in one.items()} for one in params],
                **({} if target_scale is None else {"data": {"target_scale": target_scale}}),
                "search": {"seed": seed, "objective": self._objective, "val": val},
                "executor": {"kind": kind, **workers},
            }
        )

    def _told(
        self, session: Session, job: Job, fold: Fold, rung: int | None, params: Mapping[str, Any]
    ) -> Told | Failed:
        state, paths = session.run.state, session.run.paths
        record = state.ended.get(job.id) or state.waiting[job.id]
        if record.error is not None:
            message, _, file = record.error["message"].removeprefix(f"{job}: ").partition(AT_LENGTH)
            if file:  # which goes with the run
                message += (
                    f"{AT_LENGTH}{file}" if self._is_kept else ". With name=, all that it said is kept."
                )
            return Failed(params, fold.train, _error_of(record.error["type"], message))
        files = [(paths.prediction(*job.id), fold.test)]
        files += [(paths.trained(*job.id), fold.train)] if session.recipe.keeps_trained else []
        if rung is not None:  # what it says later takes their place
            files = [(_kept_after(rung, file), rows) for file, rows in files]
        history = {
            name: values[:rung] for name, values in record.history.items() if not name.startswith("test_")
        }
        if not _RATES & session.recipe.route(job.trial.params).callbacks.keys():
            history.pop("learning_rate", None)
        weights = paths.weights(*job.id) if session.recipe.keeps_weights else None
        files = [(file, rows) for file, rows in files if rows.max() < len(self._every)]  # rows of X
        return Told(params, fold.train, replace(record, history=history), self._X, files, weights)

    def _is_same(self, splits: Sequence[Split]) -> bool:
        return len(splits) == len(self._splits) and all(
            np.array_equal(one, other)
            for before, now in zip(self._splits, splits, strict=True)
            for one, other in zip(before, now, strict=True)
        )

    def _end_sessions(self) -> None:
        self._stack.close()
        self._sessions.clear()


def _rows(part: Any) -> np.ndarray:
    return np.asarray(part).astype(np.int64)


def _owned(estimator: KerasEstimator) -> tuple:
    """Returns what fits of one run have in common."""
    return estimator._function, int(estimator.seed), estimator._target_scale, estimator._val


def _identity_of(estimator: KerasEstimator) -> dict[str, Any]:
    """Returns what a fit is, but for its samples."""
    return {**estimator._python_params(), "": _owned(estimator)}


def _error_of(kind: str, message: str) -> KerasgridError:
    """Returns what a fit failed by, as an error of its own kind."""
    known: Any = getattr(errors, kind, None)
    is_known = isinstance(known, type) and issubclass(known, KerasgridError) and known is not ConfigError
    return known(message) if is_known else TrialError(message)


def _kept_after(epoch: int, file: Path) -> Path:
    """Returns a second name of a file that an epoch has left, which stays when another takes its place."""
    kept = file.with_stem(f"{file.stem}-epoch-{epoch}")
    if not kept.exists():
        try:
            os.link(file, kept)
        except OSError:  # a file system without links
            shutil.copyfile(file, kept)
    return kept


def _is_plain(value: Any) -> bool:
    """Tells whether JSON has a value."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | str) or _is_finite(value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _are_some(one: Any, whole: Any, rows: np.ndarray) -> bool:
    """Tells whether samples are some of all, as scikit-learn takes them."""
    if isinstance(one, Rows) and isinstance(whole, Rows):
        one, whole = one.values, whole.values
    if isinstance(one, np.ndarray) and isinstance(whole, np.ndarray):
        return one.dtype == whole.dtype and _are_rows(one, whole, rows)
    return _are_same(one, _safe_indexing(whole, rows))


def _are_rows(one: np.ndarray, whole: np.ndarray, rows: np.ndarray) -> bool:
    """Tells whether an array is some rows of another one, a few at a time."""
    parts = [slice(at, at + _AT_A_TIME) for at in range(0, len(rows), _AT_A_TIME)]
    return len(one) == len(rows) and all(_are_equal(one[part], whole[rows[part]]) for part in parts)


def _are_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if hasattr(one, "equals"):  # pandas
        return bool(one.equals(other))
    if is_sparse(one):
        return one.shape == other.shape and (one != other).nnz == 0
    if isinstance(one, list):
        return len(one) == len(other) and all(map(np.array_equal, one, other))
    return False


def _are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Tells whether arrays hold the same; NaN is looked for where they seem not to, which takes longer."""
    if np.array_equal(one, other):
        return True
    return one.dtype.kind in "fc" and other.dtype.kind in "fc" and np.array_equal(one, other, equal_nan=True)
