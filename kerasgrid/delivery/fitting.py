"""The best candidates, trained on all of the training data; or their fold models on what was held out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kerasgrid import executors
from kerasgrid.delivery.cards import read_card, write_card
from kerasgrid.delivery.course import runs_of
from kerasgrid.delivery.finished import Finished, check_counts
from kerasgrid.delivery.plans import Plan, Planner
from kerasgrid.errors import NoModelError, ResultsError
from kerasgrid.io import file_digest, replacing
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import FinalRecord, FinalTask
from kerasgrid.planning.workers import ask_worker, check_goes_on, make_executor, make_recipe, reading
from kerasgrid.records import EpochRecord, FoldRecord, StopRecord
from kerasgrid.run.lock import RunLock
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.results import ResultsData
from kerasgrid.run.state import RunState
from kerasgrid.seeds import kept_random_state
from kerasgrid.spawning import stop_on_signals
from kerasgrid.training.entry import train_final

log = logging.getLogger(__name__)
_NO_TRIALS = RunState(1, 1, "max")
"""What observers are told of trials, of which none is searched here."""


@dataclass(frozen=True)
class Fitted:
    """What came of `fit`.

    Attributes:
        models: The .keras files, a candidate's side by side, the best candidate's first.
        cards: Theirs.
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
        results: A results.json.
        trial: The candidate; the best one by default.
        top: Instead, so many of the best.
        seeds: Models of each, which differ in initial weights, data order and what is drawn.
        finetune: Instead of training anew, go on with each fold model, on the rows that its fold held out, at
            the learning rate that its training ended with; after a schedule, at a tenth of its highest.
        epochs: To train, where it is not to be as the search says; 5 for `finetune`.
        learning_rate: Of `finetune`, where it is not to be that.
        model: The model function, where the search was given one that cannot be imported.
        overrides: `key.path=value` texts, of where data and model are now.
        observer: Is told what happens.
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
    finished, observer = Finished(results, model, overrides), observer or Observer()
    rows, paths = finished.rows(trial, top), finished.paths
    n_models = sum(len(runs_of(row, paths.folder)) for row in rows) if finetune else len(rows) * seeds
    draft = finished.draft(rows)
    with ExitStack() as stack:
        executor = stack.enter_context(make_executor(draft, most=n_models))
        observer.doing(reading(draft, executor.n_workers))
        prepared = (finished.prepare if finetune else finished.prepare_whole)(
            draft, partial(ask_worker, executor)
        )
        stack.enter_context(RunLock(paths.fit_lock, paths.fit_heartbeat))
        for left in paths.half_fitted:
            left.unlink(missing_ok=True)
        recipe = make_recipe(prepared, paths, checkpoint_interval_s)
        planner = Planner(finished, prepared, recipe)
        plans = [plan for row in rows for plan in planner.plans(row, seeds, finetune, epochs, learning_rate)]
        for line in (*prepared.code_of_packages, *planner.notes):
            observer.note(line)
        return _Session(recipe, plans, executor, observer).run(paths)


class _Session:
    """Trains the models that are asked for and not there yet; one whose worker died is tried once more."""

    def __init__(
        self, recipe: Recipe, plans: Sequence[Plan], executor: executors.Executor, observer: Observer
    ) -> None:
        self.recipe, self.plans, self.executor, self.observer = recipe, plans, executor, observer
        self._by_job = {plan.task.job.id: plan for plan in plans}
        self._cards: dict[tuple[int, int, int], Mapping[str, Any]] = {}
        self._failed: dict[tuple[int, int, int], str] = {}

    def run(self, paths: RunPaths) -> Fitted:
        """Trains what is to be trained."""
        for plan in self.plans:
            card = _card_of(plan.task.file)
            if card is not None and card["identity"] == plan.task.owner:
                self._cards[plan.task.job.id] = card
                self.observer.note(f"{plan.task.job}: {plan.task.file.name} is there already.{_aged(card)}")
        tasks = [plan.task for plan in self.plans if plan.task.job.id not in self._cards]
        if tasks:
            self.observer.begin(_NO_TRIALS, [task.job for task in tasks], None)
            with stop_on_signals(self.executor.stop):
                died = self._train(tasks, is_retry=False)
                self._train(died, is_retry=True)
        done = [plan for plan in self.plans if plan.task.job.id in self._cards]
        first = self.plans[0].task
        if first.start is None and first.job.id in self._cards:
            _keep_best(first.file, paths.best, self._cards[first.job.id])
        return Fitted(
            tuple(plan.task.file for plan in done),
            tuple(self._cards[plan.task.job.id] for plan in done),
            tuple(self._failed.values()),
            len(done) + len(self._failed) < len(self.plans),
        )

    def _train(self, tasks: Sequence[FinalTask], is_retry: bool) -> list[FinalTask]:
        died = []
        for event in self.executor.run(partial(train_final, self.recipe), tasks) if tasks else ():
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
            elif isinstance(event, executors.Died):
                reason = f"the worker {event.reason}."
                if is_retry:
                    self._fail(task, reason)
                elif task.job.id not in self._cards:
                    died.append(task)
                    self.observer.note(f"{task.job}: {reason} It will be tried once more.")
        return died

    def _handle(self, payload: Any) -> None:
        if isinstance(payload, EpochRecord):
            self.observer.epoch(payload)
        elif isinstance(payload, StopRecord):
            self.observer.note(f"{self._by_job[payload.job].task.job}: saved after epoch {payload.epoch}.")
        elif isinstance(payload, FinalRecord):
            self._end(payload)

    def _end(self, record: FinalRecord) -> None:
        plan = self._by_job[record.job]
        about = {
            **plan.about,
            "input": {**plan.about["input"], "center": record.center and list(map(list, record.center))},
            "epochs": record.epochs,
            "n_parameters": record.n_parameters,
            "fit_time": record.fit_time,
            "dead": record.dead,
            "history": dict(record.history),
        }
        self._cards[record.job] = write_card(plan.task.file, about)
        plan.task.checkpoint.unlink(missing_ok=True)
        if record.dead is not None:
            self.observer.note(f"{plan.task.job}: {record.dead}")
        self.observer.ended(FoldRecord(record.job, epochs=record.epochs), _NO_TRIALS)

    def _fail(self, task: FinalTask, message: str) -> None:
        told = message if message.startswith(str(task.job)) else f"{task.job}: {message}"
        self._failed[task.job.id] = told
        self.observer.note(told)
        self.observer.ended(FoldRecord(task.job.id, error={"message": told}), _NO_TRIALS)


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
    if best.exists() and file_digest(best) == card["sha256"] and _card_of(best) is not None:
        return
    with replacing(best, ".keras") as part:
        shutil.copyfile(file, part)
    write_card(best, {key: value for key, value in card.items() if key not in {"schema", "file", "sha256"}})
