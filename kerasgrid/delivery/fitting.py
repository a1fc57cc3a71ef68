"""The best candidates, trained on all of the training data; or their fold models on what was held out."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid import executors
from kerasgrid.checks.prepared import Trainable
from kerasgrid.config.sections import DEBIASED_LINE, DataConfig
from kerasgrid.data.encoding import width
from kerasgrid.delivery.finished import Course, FinishedRun, check_counts, course_of, rates_of, trial_of
from kerasgrid.delivery.held_out import jury_of, thresholds_of
from kerasgrid.delivery.models import AskedTrial, read_card, write_card
from kerasgrid.errors import NoModelError, ResultsError, spoken
from kerasgrid.io import digest, discard, file_digest, replacing
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import Route
from kerasgrid.jobs.tasks import FinalRecord, FinalTask
from kerasgrid.locks import FolderLock
from kerasgrid.machine import backend, versions
from kerasgrid.planning.workers import (
    ask_worker,
    check_goes_on,
    lent_executor,
    make_fit_recipe,
    tell_beginning,
)
from kerasgrid.records import (
    FIRST_VALUES,
    WHOLE,
    Dataset,
    EpochRecord,
    Fold,
    FoldRecord,
    Job,
    NoteRecord,
    StopRecord,
    Target,
)
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths, is_weights, turns_of
from kerasgrid.run.results import FoldRun, ResultsData, runs_of
from kerasgrid.run.state import JobId, RunState
from kerasgrid.seeds import kept_random_state
from kerasgrid.spawning import stop_on_signals
from kerasgrid.training.entry import train_final
from kerasgrid.views.leaderboard import format_score
from kerasgrid.views.progress import in_notebook
from kerasgrid.wording import count, percent

_FINETUNE_SHARE = 0.1
FINETUNE_EPOCHS = 5
"""As experiment A5 did: 5 more epochs on the rows that were held out."""
log = logging.getLogger(__name__)
_NO_TRIALS = RunState(1, 1, "max")
"""What observers are told of trials, of which none is searched here."""


@dataclass(frozen=True)
class FitPlan:
    """A model that is asked for: the worker's task, and what its card tells beside what the worker does."""

    task: FinalTask
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The file that the model is kept in."""
        return RunPaths.kept(self.task.file)


def finetune_rate(run: FoldRun, is_scheduled: bool) -> tuple[float | None, str]:
    """Returns the learning rate at which a fold model goes on, and why, in words.

    That is the one that its training ended with. A schedule ends with one that teaches nothing any more, so
    that then it is a tenth of the highest.
    """
    rates = rates_of(run)
    if not rates:
        return None, ""
    if is_scheduled:
        return _FINETUNE_SHARE * max(rates), "a tenth of its highest"
    return rates[-1], "with which its training ended"


def _function(route: Route) -> str | None:
    """Returns the function of the user's that a trial's images go through."""
    return None if route.augment is None else route.augment.preprocessing_function


class FitPlanner:
    """Says which models are to be trained, and how."""

    def __init__(self, finished: FinishedRun, prepared: Trainable, recipe: Recipe) -> None:
        self.finished, self.prepared, self.recipe = finished, prepared, recipe
        self.notes: list[str] = []
        data = prepared.data
        self._n_rows = len(data) - data.n_held_out
        if prepared.data.fingerprint != finished.fingerprint:
            n_seen = finished.results.about.data.samples
            self.notes.append(
                f"The search saw {n_seen:,} samples of {data.source}; models are trained "
                f"on all {self._n_rows:,}."
            )

    def plans(
        self,
        row: Mapping[str, Any],
        seeds: int,
        finetune: bool,
        epochs: int | None,
        learning_rate: float | None,
    ) -> Iterator[FitPlan]:
        """Yields the models of a trial; the last arguments are as `fit` has them."""
        runs, route = runs_of(row, self.finished.paths.folder), self.recipe.route(row["params"])
        if (function := _function(route)) is not None:
            self.notes.append(
                f"trial {row['id']}: augment.preprocessing_function ({function}) is no layer, so that models "
                "take images that were scaled, went through it and were normalised. predict does so."
            )
        if finetune:
            if row.get("mean_debiased_score") is not None:
                share = percent(row.get("first_values") or 0.0)
                self.notes.append(
                    f"trial {row['id']}: up to {share} of the moving statistics "
                    "of BatchNormalization are first values in its fold models, and what is left of them "
                    f"after finetuning stays. Fold models of a search with `{DEBIASED_LINE}` have none."
                )
            yield from self._finetunings(row, route, runs, epochs or FINETUNE_EPOCHS, learning_rate)
            return
        course, total = course_of(route, runs), route.epochs
        if epochs is not None:
            course, total = course.of(epochs), epochs
        rows = np.arange(self._n_rows)
        for seed in range(seeds):
            file, about = self.finished.paths.fitted(row["id"], seed), {"kind": "fit", "seed": seed}
            yield self._plan(row, route, Fold(WHOLE, rows, rows[:0]), seed, course, total, file, about)

    def _finetunings(
        self,
        row: Mapping[str, Any],
        route: Route,
        runs: Sequence[FoldRun],
        epochs: int,
        learning_rate: float | None,
    ) -> Iterator[FitPlan]:
        if self.prepared.config.search.holdout == "test":
            raise ResultsError(
                f"{self.finished.path}: what was held out is the test set (search.holdout: test), on which "
                "no model may be trained. Leave --finetune out."
            )
        paths, data = self.finished.paths, self.prepared.data
        starts = self.finished.results.model_files(row["id"])
        folds = self.finished.folds(data)
        for run, start in zip(runs, starts, strict=True):
            rate, why = learning_rate, "as asked for"
            if rate is None:
                rate, why = finetune_rate(run, "learning_rate_scheduler" in route.callbacks)
            fold = folds[run.fold]
            how = f"{count(epochs, 'epoch')} on the {len(fold.test):,} rows that fold {run.fold} held out"
            how += "" if rate is None else f", at the learning rate {rate:g}, {why}"
            course = Course(epochs, how, tuple(route.callbacks), () if rate is None else (rate,))
            about = {"kind": "finetuned", "fold": run.fold, "repeat": run.repeat}
            file = paths.finetuned(row["id"], run.fold, run.repeat)
            yield self._plan(row, route, fold, run.repeat, course, epochs, file, about, start)

    def _plan(
        self,
        row: Mapping[str, Any],
        route: Route,
        fold: Fold,
        repeat: int,
        course: Course,
        total: int,
        file: Path,
        about: Mapping[str, Any],
        start: Path | None = None,
    ) -> FitPlan:
        """Returns the plan of a model of a fold's training rows; of one to start from, on its test rows."""
        job, rows = Job(trial_of(row), fold.index, repeat), fold.train if start is None else fold.test
        made_by = digest(
            {
                "search": self.prepared.identity,
                "params": row["params"],
                "course": [course.epochs, total, list(course.dropped), list(course.rates)],
                **({"stages": list(course.stages)} if course.stages else {}),
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
            course.stages,
        )
        data, config = self.prepared.data, self.finished.config
        card = {
            **about,
            "search": self.finished.paths.name,
            "trial": row["id"],
            "model": config.model,
            "params": {**config.params, **row["params"]},
            "how": course.how,
            "learning_rates": list(course.rates) or None,
            "made_by": made_by,
            "identity": identity,
            "data": {"source": data.source, "samples": len(rows), "fingerprint": data.fingerprint},
            **_outputs(data.target, config.data),
            **self._thresholds(row),
            "input": {
                **_samples(data, self.recipe),
                "scale": config.data.scale,
                "augment": config.given_augment,
                "is_scaled_inside": _function(route) is None,
            },
            "scores": {
                "objective": self.finished.results.about.objective.name,
                "mean_test_score": row["mean_test_score"],
                "std_test_score": row["std_test_score"],
                "mean_debiased_score": row.get("mean_debiased_score"),
                "folds": [part["test_score"] for part in row["folds"]],
            },
            "versions": {**versions(), "backend": backend()},
        }
        return FitPlan(task, card)

    def _thresholds(self, row: Mapping[str, Any]) -> dict[str, list[float]]:
        """Returns at which probability a trial's model says that a sample has each of several labels."""
        asked = [AskedTrial("", self.finished, row, "fit", ())]
        if not self.finished.target.is_multi_label:
            return {}
        found, _ = thresholds_of(jury_of(asked), asked)
        return {} if found is None else {"thresholds": found.tolist()}


def _outputs(target: Target, config: DataConfig) -> dict[str, Any]:
    """Returns what a card tells of what its model gives."""
    if target.is_numbers:
        return {"targets": list(target.names), "target_scale": config.target_scale}
    return {"classes": list(target.classes), "multi_label": target.is_multi_label}


def _samples(data: Dataset, recipe: Recipe) -> dict[str, Any]:
    """Returns what a card tells of the samples that its model takes: of a table, the vectors of its rows."""
    if data.inputs is not None:
        return {"inputs": [asdict(one) for one in data.inputs.each]}
    if data.table is None:
        return {"shape": list(data.images.shape[1:])}
    return {
        "shape": [width(data.table, recipe.takes_codes)],
        "columns": [column.name for column in data.table.columns],
    }


@dataclass(frozen=True)
class Fitted:
    """What came of `fit`.

    Attributes:
        models: The files that they are kept in, a candidate's side by side, the best candidate's first. They
            are .keras files, or .weights.npz of models that Keras would not load.
        cards: What the card beside each says.
        failed: What could not be trained, in a sentence each.
        is_interrupted: Whether the same command would go on.
    """

    models: tuple[Path, ...]
    cards: tuple[Mapping[str, Any], ...]
    failed: tuple[str, ...] = ()
    is_interrupted: bool = False


@kept_random_state()
def fit(
    results: str | Path | ResultsData,
    *,
    trial: int | None = None,
    top: int = 1,
    seeds: int = 1,
    finetune: bool = False,
    epochs: int | None = None,
    learning_rate: float | None = None,
    model: Callable[..., Any] | None = None,
    overrides: Sequence[str] = (),
    observer: Observer | None = None,
    checkpoint_interval_s: float = 30.0,
) -> Fitted:
    """Trains the best candidates of a search on all of its training data, or goes on with that.

    Each has its own recipe, and the epochs that its folds took; what was chosen and why is in its card.
    Models that are there already, of the same candidate, recipe and data, are left as they are.

    Args:
        results: A results.json, or the Results of a search.
        trial: The candidate; the best one by default.
        top: Instead, so many of the best.
        seeds: Models of each, which differ in initial weights, data order and what is drawn.
        finetune: Instead of training anew, go on with each fold model, on the rows that its fold held out, at
            the learning rate that its training ended with; after a schedule, at a tenth of its highest.
        epochs: To train, where it is not to be as the search says; 5 for `finetune`.
        learning_rate: Of `finetune`, where it is not to be that.
        model: The model function, where the search was given one that cannot be imported.
        overrides: `key.path=value` texts, of where data and model are now.
        observer: Is told what happens; by default a cell of a notebook shows one line of progress.
        checkpoint_interval_s: Seconds between checkpoints of a fit.

    Raises:
        ResultsError: There is no such trial; or, for `finetune`, no fold models; or a number is below 1.
        ChangedError: Data or model are others than the search's.
        ConfigError: What the config names is not there any more.
        NoModelError: The model function returns something else than a model.
        LockedError: Another process is doing this already.
        StorageError: The disk is full.
    """
    check_counts(seeds=seeds, epochs=epochs)
    finished, observer = FinishedRun(results, model, overrides), observer or in_notebook() or Observer()
    rows, paths = finished.rows(trial, top), finished.paths
    n_models = sum(len(runs_of(row, paths.folder)) for row in rows) if finetune else len(rows) * seeds
    with ExitStack() as stack:
        executor = stack.enter_context(lent_executor(finished.draft, most=n_models))
        executor.tell = observer.note
        tell_beginning(finished.draft, executor, observer.doing)
        prepared = (finished.prepare if finetune else finished.prepare_whole)(
            rows, partial(ask_worker, executor), doing=observer.doing
        )
        stack.enter_context(FolderLock(paths.fit_lock, paths.fit_heartbeat))
        for left in paths.half_fitted:
            left.unlink(missing_ok=True)
        recipe = make_fit_recipe(prepared, paths, checkpoint_interval_s)
        planner = FitPlanner(finished, prepared, recipe)
        plans = [plan for row in rows for plan in planner.plans(row, seeds, finetune, epochs, learning_rate)]
        for line in (*prepared.code_of_packages, *planner.notes):
            observer.note(line)
        return _Session(recipe, plans, executor, observer).run(paths)


class _Session:
    """Trains the models that are asked for and not there yet; one whose worker died is tried once more.

    Where its machine went that is no fault of its, and it is tried as often as in a search.
    """

    def __init__(
        self, recipe: Recipe, plans: Sequence[FitPlan], executor: executors.Executor, observer: Observer
    ) -> None:
        self.recipe, self.plans, self.executor, self.observer = recipe, plans, executor, observer
        self._by_job = {plan.task.job.id: plan for plan in plans}
        self._cards: dict[tuple[int, int, int], Mapping[str, Any]] = {}
        self._failed: dict[tuple[int, int, int], str] = {}
        self._died = Counter[tuple[JobId, bool]]()  # how often, and whether its machine went

    def run(self, paths: RunPaths) -> Fitted:
        """Trains what is to be trained."""
        for plan in self.plans:
            card = _card_of(file := plan.file)
            if card is not None and card["identity"] == plan.task.owner:
                self._cards[plan.task.job.id] = card
                self.observer.note(f"{plan.task.job}: {file.name} is there already.{_aged(card)}")
        tasks = [plan.task for plan in self.plans if plan.task.job.id not in self._cards]
        if tasks:
            self.observer.begin(_NO_TRIALS, [task.job for task in tasks], None)
            with stop_on_signals(self.executor.stop):
                while tasks and not self.executor.is_stopping:
                    tasks = self._train(tasks)
        done = [plan for plan in self.plans if plan.task.job.id in self._cards]
        first = self.plans[0].task
        if first.start is None and first.job.id in self._cards:
            _keep_best(self.plans[0].file, paths.best, self._cards[first.job.id])
        return Fitted(
            tuple(plan.file for plan in done),
            tuple(self._cards[plan.task.job.id] for plan in done),
            tuple(self._failed.values()),
            len(done) + len(self._failed) < len(self.plans),
        )

    def _train(self, tasks: Sequence[FinalTask]) -> list[FinalTask]:
        """Trains models, and returns those that are to be tried again."""
        again = []
        for event in self.executor.run(partial(train_final, self.recipe), tasks):
            task: FinalTask = event.task
            if isinstance(event, executors.Started):
                self.observer.started(task.job)
            elif isinstance(event, executors.Emitted):
                self._handle(event.payload)
            elif isinstance(event, executors.Raised):
                check_goes_on(event)
                if event.error_type == NoModelError.__name__:  # whose function is not called again
                    raise NoModelError(event.message)
                self._fail(task, event.message)
            elif isinstance(event, executors.Died) and task.job.id not in self._cards:
                reason = f"the worker {event.reason}."
                self._died[task.job.id, event.is_lost] += 1
                if self._died[task.job.id, event.is_lost] == (executors.MOST_LOSSES if event.is_lost else 2):
                    self._fail(task, reason)
                    continue
                again.append(task)
                will = "go on elsewhere" if event.is_lost else "be tried once more"
                self.observer.note(f"{task.job}: {reason} It will {will}.")
        return again

    def _handle(self, payload: Any) -> None:
        if isinstance(payload, EpochRecord):
            self.observer.epoch(payload)
        elif isinstance(payload, StopRecord):
            self.observer.note(f"{self._by_job[payload.job].task.job}: saved after epoch {payload.epoch}.")
        elif isinstance(payload, NoteRecord):
            self.observer.note(payload.text)
        elif isinstance(payload, FinalRecord):
            self._end(payload)

    def _end(self, record: FinalRecord) -> None:
        plan = self._by_job[record.job]
        given, is_whole = plan.about["input"], not is_weights(plan.file)
        about = {
            **plan.about,
            "input": {
                **given,
                "center": record.center and list(map(list, record.center)),
                "is_scaled_inside": given["is_scaled_inside"] and is_whole,
            },
            "epochs": record.epochs,
            **({"stages": list(record.stages)} if record.stages else {}),
            "n_parameters": record.n_parameters,
            "fit_time": record.fit_time,
            "dead": record.dead,
            "batch_norm": self.recipe.route(plan.task.job.trial.params).training.batch_norm,
            "first_values": record.first_values,
            "history": dict(record.history),
        }
        self._cards[record.job] = write_card(plan.file, about)
        discard(*turns_of(plan.task.checkpoint))
        if record.dead is not None:
            self.observer.note(f"{plan.task.job}: {record.dead}")
        if about["batch_norm"] == "keras" and (record.first_values or 0) > FIRST_VALUES:
            self.observer.note(spoken(_first_values(plan.task.job, about)))
        self.observer.ended(FoldRecord(record.job, epochs=record.epochs), _NO_TRIALS)

    def _fail(self, task: FinalTask, message: str) -> None:
        told = message if message.startswith(str(task.job)) else f"{task.job}: {message}"
        self._failed[task.job.id] = told
        self.observer.note(told)
        self.observer.ended(FoldRecord(task.job.id, error={"message": told}), _NO_TRIALS)


def _first_values(job: Job, card: Mapping[str, Any]) -> str:
    """Returns how far a model's BatchNormalization has not warmed up, what that cost, and what mends it."""
    scores, name = card["scores"], "training.batch_norm"
    told = (
        f"{job}: {percent(card['first_values'])} of the moving statistics of BatchNormalization are still "
        "first values in the model that is saved."
    )
    if scores["mean_debiased_score"] is not None:
        told += (
            f" In the search it scored {format_score(scores['mean_test_score'])} so, and "
            f"{format_score(scores['mean_debiased_score'])} by debiased statistics."
        )
    if name in card["params"]:
        return f"{told} Models of {name}: debiased are saved without them."
    return f"{told} With --set {name}=debiased it is saved without them."


def _aged(card: Mapping[str, Any]) -> str:
    """Returns that a model is of an earlier version, whose files hold no scaling; nothing of others."""
    told = card["input"]
    if "is_scaled_inside" in told or not (told["scale"] or told["center"] or told["augment"]):
        return ""
    return (
        " It was trained by an earlier version: predict scales images for it, and elsewhere they have to be "
        "scaled before. Delete it and give the same command again to have one that scales them itself."
    )


def _card_of(model: Path) -> Mapping[str, Any] | None:
    """Returns the card of a model that is there; None where there is none, or a damaged one."""
    try:
        return read_card(model)
    except ResultsError as error:
        log.warning("%s It is made anew.", error)
        return None


def _keep_best(file: Path, best: Path, card: Mapping[str, Any]) -> None:
    """Copies a model and its card to where people look for it."""
    whole, weights = RunPaths.forms(best)
    best, other = (weights, whole) if is_weights(file) else (whole, weights)
    discard(other)
    if best.exists() and file_digest(best) == card["sha256"] and _card_of(best) is not None:
        return
    with replacing(best, best.suffix) as part:
        shutil.copyfile(file, part)
    write_card(best, {key: value for key, value in card.items() if key not in {"schema", "file", "sha256"}})
