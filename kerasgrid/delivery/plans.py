"""Which models `fit` trains, and how: what workers are told, and what a model's card tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.checks import Prepared
from kerasgrid.delivery.course import Course, FoldRun, course_of, runs_of
from kerasgrid.delivery.finished import Finished, trial_of
from kerasgrid.errors import ResultsError
from kerasgrid.io import digest, file_digest
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import FinalTask
from kerasgrid.machine import backend, versions
from kerasgrid.records import WHOLE, Fold, Job
from kerasgrid.wording import count

_FINETUNE_SHARE = 0.1
FINETUNE_EPOCHS = 5
"""As experiment A5 did: 5 more epochs on the rows that were held out."""


@dataclass(frozen=True)
class Plan:
    """A model that is asked for: the worker's task, and what its card tells beside what the worker does."""

    task: FinalTask
    about: Mapping[str, Any] = field(default_factory=dict)


def finetune_rate(run: FoldRun, is_scheduled: bool) -> tuple[float | None, str]:
    """Returns the learning rate at which a fold model goes on, and why, in words.

    That is the one that its training ended with. A schedule ends with one that teaches nothing any more, so
    that then it is a tenth of the highest.
    """
    if not run.rates:
        return None, ""
    if is_scheduled:
        return _FINETUNE_SHARE * max(run.rates), "a tenth of its highest"
    return run.rates[-1], "with which its training ended"


class Planner:
    """Says which models are to be trained, and how."""

    def __init__(self, finished: Finished, prepared: Prepared, recipe: Recipe) -> None:
        self.finished, self.prepared, self.recipe = finished, prepared, recipe
        self.notes: list[str] = []
        data = prepared.data
        self._n_rows = len(data) - data.n_held_out
        if prepared.data.fingerprint != finished.data["fingerprint"]:
            self.notes.append(
                f"The search saw {finished.data['samples']:,} samples of {data.source}; models are trained "
                f"on all {self._n_rows:,}."
            )

    def plans(
        self,
        row: Mapping[str, Any],
        seeds: int,
        finetune: bool,
        epochs: int | None,
        learning_rate: float | None,
    ) -> Iterator[Plan]:
        """Yields the models of a trial; the last arguments are as `fit` has them."""
        runs = runs_of(row, self.finished.paths.folder)
        if (function := self._function(row)) is not None:
            self.notes.append(
                f"trial {row['id']}: augment.preprocessing_function ({function}) is no layer, so that models "
                "take images that were scaled, went through it and were normalised. predict does so."
            )
        if finetune:
            yield from self._finetunings(row, runs, epochs or FINETUNE_EPOCHS, learning_rate)
            return
        route = self.recipe.route(row["params"])
        course, total = course_of(route, runs), route.epochs
        if epochs is not None:
            how, total = f"{count(epochs, 'epoch')}, as asked for", epochs
            course = Course(epochs, how, course.dropped, course.rates)
        rows = np.arange(self._n_rows)
        for seed in range(seeds):
            job = Job(trial_of(row), WHOLE, seed)
            file = self.finished.paths.fitted(row["id"], seed)
            fold = Fold(WHOLE, rows, rows[:0])
            yield self._plan(row, job, fold, rows, course, total, file, {"kind": "fit", "seed": seed})

    def _finetunings(
        self, row: Mapping[str, Any], runs: Sequence[FoldRun], epochs: int, learning_rate: float | None
    ) -> Iterator[Plan]:
        if self.prepared.config.search.holdout == "test":
            raise ResultsError(
                f"{self.finished.path}: what was held out is the test set (search.holdout: test), on which "
                "no model may be trained. Leave --finetune out."
            )
        paths, data = self.finished.paths, self.prepared.data
        starts = self.finished.results.model_files(row["id"])
        folds = self.finished.folds(data)
        callbacks = self.recipe.route(row["params"]).callbacks
        for run, start in zip(runs, starts, strict=True):
            rate, why = learning_rate, "as asked for"
            if rate is None:
                rate, why = finetune_rate(run, "learning_rate_scheduler" in callbacks)
            job, fold = Job(trial_of(row), run.fold, run.repeat), folds[run.fold]
            how = f"{count(epochs, 'epoch')} on the {len(fold.test):,} rows that fold {run.fold} held out"
            how += "" if rate is None else f", at the learning rate {rate:g}, {why}"
            course = Course(epochs, how, tuple(callbacks), () if rate is None else (rate,))
            about = {"kind": "finetuned", "fold": run.fold, "repeat": run.repeat}
            file = paths.finetuned(row["id"], run.fold, run.repeat)
            yield self._plan(row, job, fold, fold.test, course, epochs, file, about, start)

    def _function(self, row: Mapping[str, Any]) -> str | None:
        """Returns the function of the user's that a trial's images go through."""
        augment = self.recipe.route(row["params"]).augment
        return None if augment is None else augment.preprocessing_function

    def _plan(
        self,
        row: Mapping[str, Any],
        job: Job,
        fold: Fold,
        rows: np.ndarray,
        course: Course,
        total: int,
        file: Path,
        about: Mapping[str, Any],
        start: Path | None = None,
    ) -> Plan:
        made_by = digest(
            {
                "search": {key: value for key, value in self.prepared.identity.items() if key != "rungs"},
                "params": row["params"],
                "course": [course.epochs, total, list(course.dropped), list(course.rates)],
                "rows": None if start else len(rows),
            }
        )
        started = None if start is None else file_digest(start)
        identity = digest({"by": made_by, "job": [job.fold, job.repeat], "start": started})
        task = FinalTask(
            job,
            fold,
            rows,
            course.epochs,
            total,
            identity,
            file.absolute(),
            file.with_suffix(".checkpoint.npz").absolute(),
            course.dropped,
            course.rates,
            None if start is None else start.absolute(),
        )
        data, config = self.prepared.data, self.finished.config
        card = {
            **about,
            "search": self.finished.paths.name,
            "trial": row["id"],
            "model": config["model"],
            "params": {**config["params"], **row["params"]},
            "how": course.how,
            "learning_rates": list(course.rates) or None,
            "made_by": made_by,
            "identity": identity,
            "data": {"source": data.source, "samples": len(rows), "fingerprint": data.fingerprint},
            "classes": list(data.classes),
            "multi_label": data.is_multi_label,
            "input": {
                "shape": list(data.images.shape[1:]),
                "scale": config["data"]["scale"],
                "augment": config["augment"],
                "is_scaled_inside": self._function(row) is None,
            },
            "scores": {
                "objective": self.finished.results.data["objective"]["name"],
                "mean_test_score": row["mean_test_score"],
                "std_test_score": row["std_test_score"],
                "folds": [part["test_score"] for part in row["folds"]],
            },
            "versions": {**versions(), "backend": backend()},
        }
        return Plan(task, card)
