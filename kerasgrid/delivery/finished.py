"""A search that has ended, taken up again as it was; and how long its candidates are trained from now on."""

from __future__ import annotations

import math
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kerasgrid.checks.data import data_of
from kerasgrid.checks.draft import Draft, written_draft
from kerasgrid.checks.prepared import SOURCE, SOURCES, AskSignature, Trainable, prepare_trials
from kerasgrid.config.callbacks import is_own
from kerasgrid.config.sections import Config, DataConfig
from kerasgrid.config.stages import up_to
from kerasgrid.data.cache import open_samples
from kerasgrid.data.csv_text import known_names
from kerasgrid.data.folds import load_folds
from kerasgrid.data.places import csv_of
from kerasgrid.engines.autokeras import ENGINE as AUTOKERAS
from kerasgrid.engines.autokeras import with_samples
from kerasgrid.errors import ChangedError, ConfigError, Fault, ResultsError
from kerasgrid.jobs.objective import Objective, find_objective
from kerasgrid.jobs.route import Route
from kerasgrid.models.references import is_digest_of, is_found_by_name
from kerasgrid.records import Dataset, Doing, Fold, Target, Trial, not_told
from kerasgrid.run.journal import Journal, check_line
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.results import FoldRun, ResultsData
from kerasgrid.tables.table import read_history
from kerasgrid.wording import count, joined, shown_path

_MAY_CHANGE = (
    *("data.train", "data.test", "data.validation", "data.fold", "data.sample_submission", "data.subset"),
    *("model", "executor"),
    "training.batch_norm",
)
"""Where things are, how many samples the models of all training data see, and by which statistics of
BatchNormalization those are saved: what --set may change."""

_OF_DATA = ("samples", "fingerprint")


class FinishedRun:
    """A search that has ended, or been cut off.

    Args:
        function: The model function, where that was given in Python and cannot be imported; None for the one
            that the search was given in this process.
        overrides: `key.path=value` texts, of where things are now.

    Raises:
        ResultsError: It cannot be read, or no trial is complete.
        ConfigError: An override is of something else.
    """

    def __init__(
        self,
        source: str | Path | ResultsData,
        function: Callable[..., Any] | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        self.results = source if isinstance(source, ResultsData) else ResultsData.load(source)
        self.path = self.results.file
        self.paths = RunPaths.of(self.path)
        self.paths.check_own()
        self.results.need("config", "objective.name", *(f"data.{name}" for name in _OF_DATA))
        if self.results.target is None:
            self.results.need("data.class_names")
        self.results.need_ids()
        self.config = self.results.config
        names_model = any(text.partition("=")[0].strip() == "model" for text in overrides)
        self._function = function or (None if names_model else self.results.function)
        self._overrides: list[str] = []
        self._subset: list[str] = []  # of the models of all training data; what was searched stays the same
        for text in overrides:
            key = text.partition("=")[0].strip()
            (self._subset if key == "data.subset" else self._overrides).append(text)
            if not any(key == known or key.startswith(f"{known}.") for known in _MAY_CHANGE):
                holds = f"what a search has trained with stays; {', '.join(_MAY_CHANGE)} may be set"
                raise ConfigError([Fault(key, f"belongs to the search: {holds}.")], "--set")
        if self.results.best is None:
            raise ResultsError(f"{self.path}: no trial is complete, so that there is no best one.")

    @property
    def base(self) -> Path:
        """The folder that the config's paths are relative to."""
        return Path(os.path.abspath(self.results.base))

    @property
    def fingerprint(self) -> str | None:
        """Of the data."""
        return self.results.about.data.fingerprint

    @property
    def target(self) -> Target:
        """What is predicted, in the order of the models' outputs."""
        assert self.results.target is not None  # it was looked at first
        return self.results.target

    @property
    def objective(self) -> Objective:
        """What the search was scored by."""
        told = self.results.about.objective
        name = str(told.name)
        return find_objective({name: told.arguments} if told.arguments else name)

    @property
    def train_name(self) -> str | None:
        """What messages call the training data's file; None for other forms."""
        train = self.data.train
        return train if train == "digits" else shown_path(train) if isinstance(train, str) else None

    @cached_property
    def _written(self) -> Draft:
        """The config of the search, with what --set says of where things are now."""
        # As the user would have written it: that a key is there means something where it is idle.
        config = {**self.config.model_dump(exclude_defaults=True), "name": self.paths.name}
        if (function := self._function or _of_main(self.config.model)) is not None:
            config["model"] = function
        return written_draft(config, self._overrides, str(self.path), self.base)

    @property
    def data_config(self) -> DataConfig:
        """Where the data is now, relative to `base`."""
        return self._written.config.data

    @property
    def data(self) -> DataConfig:
        """Where the data is now, from here."""
        return self._written.data

    @property
    def draft(self) -> Draft:
        """The config of the search, whose model function is known.

        Raises:
            ConfigError: It was given in Python, and no import finds it.
        """
        if self._written.function is None and not is_found_by_name(self._written.config.model):
            holds = (
                f"is {self._written.config.model!r}, a function that was given in Python and that no import "
                "finds: give it again, as in kerasgrid.fit(results, model=build) and predict(results, "
                "model=build), or name its file with --set model=path/to/file.py:build."
            )
            raise ConfigError([Fault("model", holds)], str(self.path))
        return self._written

    def folds(self, data: Dataset) -> list[Fold]:
        """Returns the folds that the search has trained on.

        Raises:
            RunError: They are not there any more, or are others.
        """
        told = self.results.about.folds.fingerprint
        return load_folds(self.paths.folds, len(data), data.source, told)[0]

    def rows(self, trial: int | None = None, top: int = 1) -> list[dict[str, Any]]:
        """Returns complete trials, as results.json has them: one by its id, or the best ones.

        Raises:
            ResultsError: There is no such trial, or it is not complete; or none is asked for.
        """
        check_counts(top=top)
        if trial is None:
            scored = [row for row in self.results.trials if _has_score(row)]
            found = sorted(scored, key=lambda row: (row["rank_test_score"] or math.inf, row["id"]))[:top]
            if not found:
                raise ResultsError(
                    f"{self.path}: no complete trial has a score, so that there is no best one."
                )
            return found
        row = self.results.row(trial)
        if not _has_score(row):
            state = "without a score" if row["state"] == "complete" else row["state"]
            raise ResultsError(f"{self.path}: trial {trial} is {state}; a complete one holds.")
        return [row]

    def prepare(
        self,
        rows: Sequence[Mapping[str, Any]],
        ask: AskSignature | None = None,
        *,
        has_models: bool = False,
        doing: Doing = not_told,
    ) -> Trainable:
        """Checks trials and loads the search's data.

        Args:
            rows: The trials, as results.json has them.
            ask: As in `kerasgrid.checks.prepared.prepare`.
            has_models: Whether their models are there, so that their source may have changed since.
            doing: Is told how far the decoding of image files is.

        Raises:
            ConfigError: What the config names is not there, or no longer fits; or a subset is asked for.
            ChangedError: The data, or the model function, are others than they were.
        """
        if self._subset:
            holds = "says how much of the data `fit` trains a new model on, and here there is none"
            raise ConfigError([Fault("data.subset", f"{holds}: leave it out.")], "--set")
        return self._prepare(rows, ask, doing, has_models)

    def _prepare(
        self,
        rows: Sequence[Mapping[str, Any]],
        ask: AskSignature | None,
        doing: Doing,
        has_models: bool = False,
    ) -> Trainable:
        draft = self.draft
        if draft.config.search.holdout != "test":
            draft = replace(draft, config=self._without_test(draft.config))
        trials = [row["params"] for row in rows]
        found = prepare_trials(draft, trials, self._kept(), ask=ask, doing=doing)
        if found.data.fingerprint != self.fingerprint:
            raise ChangedError(
                f"{found.data.source}: is other data than {self.path} was made of, whose scores say "
                "nothing of it. Restore that, name its place with --set data.train=FILE, or search anew."
            )
        if not has_models:
            self._check_sources(found)
        return found

    def _without_test(self, config: Config) -> Config:
        """Returns a config without what is to be predicted, which may not be there to train."""
        data = config.data
        file = csv_of(self.data.train, self.data)
        trained = [] if file is None else known_names(file)
        gone = {"test", "sample_submission"}
        if trained is not None and data.id not in trained:  # a column of test alone
            gone.add("id")
        left = DataConfig.model_validate(data.model_dump(exclude=gone, exclude_unset=True))
        return config.model_copy(update={"data": left})

    def prepare_whole(
        self, rows: Sequence[Mapping[str, Any]], ask: AskSignature | None = None, *, doing: Doing = not_told
    ) -> Trainable:
        """Checks trials as `prepare` does; of a search of a subset it gets all of the training data.

        An override of data.subset gets so many samples of it instead.
        """
        found, subset = self._prepare(rows, ask, doing), None
        if self._subset:
            asked = written_draft(self.config.model_dump(exclude_defaults=True), self._subset)
            asked.report.finish()
            subset = asked.config.data.subset
        if subset != found.config.data.subset:
            data_config = found.config.data.model_copy(update={"subset": subset})
            config = found.config.model_copy(update={"data": data_config})
            if self.config.data.train is None:
                found.report.add("data.subset", "does not go with arrays: shape or choose them before.")
            data = data_of(replace(self.draft, config=config), doing=doing)
            found.report.finish()
            assert data is not None  # else there were a fault of it
            found = replace(found, config=config, data=data)
        if found.config.search.engine == AUTOKERAS:
            n_samples = len(found.data) - found.data.n_held_out
            found = replace(found, config=with_samples(found.config, n_samples))
        return found

    def _kept(self) -> Dataset | None:
        """Returns the arrays that the search was given and has kept; None where it was given none."""
        if self.config.data.train is not None:
            return None
        kept = open_samples(self.paths.data, "X and y")
        if kept is None:
            raise ResultsError(
                f"{self.path}: the search was given arrays, which are not in {self.paths.data} any more: "
                "restore that folder."
            )
        return kept

    def _check_sources(self, found: Trainable) -> None:
        header = Journal.read_header(self.paths.journal, check_line)
        if header is None:  # the results alone were taken along
            return
        before = header.get("identity", {})
        told = before.get(SOURCES)
        known = told if isinstance(told, dict) else {}
        now = {**found.sources, **found.weights}
        changed = [name for name, source in now.items() if known.get(name, source) != source]
        if not is_digest_of(str(before.get(SOURCE, found.source)), found.model, found.base):
            changed.append(self.config.model)
        if changed:
            what = "file" if found.weights.keys() >= set(changed) else "source"
            raise ChangedError(
                f"{', '.join(changed)}: the {what} changed since the search: another model would be trained "
                "than the one that was scored. Restore it, or search anew."
            )


def _has_score(row: Mapping[str, Any]) -> bool:
    return row["state"] == "complete" and row["mean_test_score"] is not None


def check_counts(**counts: int | None) -> None:
    """Raises a ResultsError where a number of trials, models or epochs is below 1."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ResultsError(f"{name} is {value}; a whole number of at least 1 holds.")


def trial_of(row: Mapping[str, Any]) -> Trial:
    """Returns a trial of results.json as it was trained."""
    return Trial(row["id"], row["params"])


@dataclass(frozen=True)
class Course:
    """How long a candidate is trained on all of the training data, and at which learning rates.

    Attributes:
        how: How that was chosen, in words.
        dropped: Callbacks that are left out, since they look at an inner split.
        rates: The learning rate of each epoch; none for the candidate's own.
        stages: The epochs of each stage; none where there are none.
    """

    epochs: int
    how: str
    dropped: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    stages: tuple[int, ...] = ()

    def of(self, epochs: int) -> Course:
        """Returns it for so many epochs; the last stage has more, and stages that are not come to none."""
        stages: list[int] = []
        for n in self.stages:
            if left := epochs - sum(stages):
                stages.append(min(n, left))
        if stages:
            stages[-1] += epochs - sum(stages)
        how = f"{count(epochs, 'epoch')}{_in_stages(stages)}, as asked for"
        return Course(epochs, how, self.dropped, self.rates, tuple(stages))


def rates_of(run: FoldRun) -> tuple[float, ...]:
    """Returns the learning rate of each epoch of a run, as far as it is known."""
    found = read_history(run.history).get("learning_rate", ())
    return tuple(float(rate) for rate in found if rate is not None)


def course_of(route: Route, runs: Sequence[FoldRun]) -> Course:
    """Returns how a candidate is trained on all rows: by its recipe, for the epochs that its folds took.

    Where no callback looks at an inner split, that is the recipe itself. Where one does, there is no such
    split any more: it is trained for the median over the folds of the best epoch, with the learning rates
    of that fold's run.

    Args:
        route: The candidate's params in their places.
        runs: Its folds and repeats.
    """
    looking = [name for name, args in route.callbacks.items() if _looks_at_val(args)]
    best = sorted(run.best_epoch for run in runs if run.best_epoch is not None)
    if not looking or not best:
        stages = tuple(stage.epochs for stage in route.stages)
        told = f"{count(route.epochs, 'epoch')}{_in_stages(stages)}, as in the search"
        return Course(route.epochs, told, stages=stages)
    if route.stages:
        return _course_in_stages(route, runs, looking)
    epochs = statistics.median_low(best)
    run = next(run for run in runs if run.best_epoch == epochs)
    rates: tuple[float, ...] = ()
    unknown = ""
    if _sets_rates(route):
        looking = sorted({*looking, *({"reduce_lr_on_plateau"} & route.callbacks.keys())})
        rates = rates_of(run)[:epochs]
        rates = rates if len(rates) == epochs else ()
        unknown = "" if rates else "; the learning rates of its folds are not known, and its own is kept"
    shown = ", ".join(map(str, best[:10])) + (", ..." if len(best) > 10 else "")
    how = f"{count(epochs, 'epoch')}, the median over folds of the best epoch ({shown})"
    if rates:
        how += f", with the learning rates of fold {run.fold}"
    return Course(epochs, f"{how}; without {', '.join(looking)}{unknown}", tuple(looking), rates)


def _course_in_stages(route: Route, runs: Sequence[FoldRun], looking: Sequence[str]) -> Course:
    """Returns the course of a candidate with stages, as `course_of`: of each the median over the folds of its
    epochs up to the best one, or to what was restored at its end."""
    told = [run for run in runs if len(run.stages) == len(route.stages) and run.best_epoch is not None]
    if not told:  # of a file that tells none
        stages = tuple(stage.epochs for stage in route.stages)
        return Course(sum(stages), f"{count(sum(stages), 'epoch')}{_in_stages(stages)}, as in the search")
    each = [*zip(*map(_counted, told), strict=True)]
    medians = [statistics.median_low(epochs) for epochs in each]
    while len(medians) > 1 and not medians[-1]:
        medians.pop()
    stages = tuple(medians)
    run = told[each[len(stages) - 1].index(stages[-1])]
    rates: list[float] = []
    found = rates_of(run)
    dropped = sorted(looking)
    if _sets_rates(route) and len(found) >= sum(run.stages):
        dropped = sorted({*dropped, *({"reduce_lr_on_plateau"} & route.callbacks.keys())})
        for place, n in enumerate(stages):
            own = found[sum(run.stages[:place]) :][: run.stages[place]]
            rates += [own[min(epoch, len(own) - 1)] for epoch in range(n)]
    median = "of each the median over folds" if stages[1:] else "the median over folds of the first stage"
    how = f"{count(sum(stages), 'epoch')}{_in_stages(stages)}, {median}"
    if rates:
        how += f", with the learning rates of fold {run.fold}"
    return Course(sum(stages), f"{how}; without {', '.join(dropped)}", tuple(dropped), tuple(rates), stages)


def _counted(run: FoldRun) -> list[int]:
    """Returns the epochs of each stage that led to the best one."""
    is_told = len(run.restored_stages) == len(run.stages)
    return up_to(run.best_epoch or 1, run.stages, run.restored_stages if is_told else run.stages)


def _in_stages(stages: Sequence[int]) -> str:
    return f" in stages of {joined(list(map(str, stages)))}" if len(stages) > 1 else ""


def _sets_rates(route: Route) -> bool:
    """Tells whether a callback sets learning rates by what it sees."""
    is_set = any(name == "reduce_lr_on_plateau" or is_own(name) for name in route.callbacks)
    return is_set and "learning_rate_scheduler" not in route.callbacks


def _looks_at_val(arguments: Mapping[str, Any]) -> bool:
    return str(arguments.get("monitor", "")).startswith("val_")


def _of_main(text: str) -> Callable[..., Any] | None:
    """Returns what a config's `__main__:build` names, where this script or notebook defines it now."""
    module, _, name = text.partition(":")
    found = getattr(sys.modules["__main__"], name, None) if module == "__main__" else None
    return found if callable(found) and getattr(found, "__module__", None) == "__main__" else None
