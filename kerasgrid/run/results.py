"""results.json as it was read: its trials, their fits, the best one, and the models that were kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from kerasgrid.config.sections import Config
from kerasgrid.config.validation import shown
from kerasgrid.errors import ResultsError
from kerasgrid.records import Target
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.schema import SCORES, About, checked, read_results, refuse, section_of
from kerasgrid.space.dimensions import all_known
from kerasgrid.wording import score_word

_OF_BATCH_NORM = ("mean_debiased_score", "first_values")
_FRAME = {"id", "state", "error", *SCORES, *_OF_BATCH_NORM}


def mean_metrics(folds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the mean of each metric over the folds that have it; of none that is not finite on one."""
    values: dict[str, list[float | None]] = {}
    for fold in folds:
        for name, value in fold["metrics"].items():
            values.setdefault(name, []).append(value)
    return {name: sum(found) / len(found) for name, found in values.items() if all_known(found)}


@dataclass(frozen=True)
class FoldRun:
    """What one fold and repeat of a trial came to.

    Attributes:
        best_epoch: The best epoch by what an early stopping or checkpoint looked at, from 1; None where none
            did. Where its weights were restored, they made the score.
        stages: Epochs of each stage; none where there were no stages.
        restored_stages: As in FoldRecord; none where no weights were restored.
        history: Lists over the epochs, or the file that holds them.
    """

    fold: int
    repeat: int
    best_epoch: int | None
    history: Mapping[str, Sequence[float]] | Path
    stages: tuple[int, ...] = ()
    restored_stages: tuple[int, ...] = ()


def runs_of(row: Mapping[str, Any], folder: Path) -> list[FoldRun]:
    """Returns a trial's folds and repeats.

    Args:
        row: As results.json has it.
        folder: The run's, where long histories lie.
    """
    runs = []
    for fold in row["folds"]:
        for part in fold.get("repeats") or [fold]:
            file = part.get("history_file")
            history = part["history"] if file is None else folder / file
            about = fold["fold"], part.get("repeat", 0), part["best_epoch"], history
            of_stages = (tuple(part.get(name) or ()) for name in ("stages", "restored_stages"))
            runs.append(FoldRun(*about, *of_stages))
    return runs


class ResultsData:
    """A results.json that was read and checked, whole or of a search that still runs.

    Args:
        data: The object of results.json.
        path: Its file, where it has one.

    Attributes:
        function: The model function that the search was given in this process; None for none.

    Raises:
        ResultsError: It is none.
    """

    function: Callable[..., Any] | None = None

    def __init__(self, data: Mapping[str, Any], path: Path | None = None) -> None:
        self.path = path
        self.data = checked(data, self._where)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a results.json.

        Raises:
            ResultsError: It cannot be read, or is none.
        """
        return cls.known(read_results(path), Path(path))

    @classmethod
    def known(cls, data: dict[str, Any], path: Path) -> Self:
        """Returns results whose form is known to hold: what a search has written, or `read_results` read."""
        found = cls.__new__(cls)
        found.path, found.data = path, data
        return found

    @cached_property
    def about(self) -> About:
        """What it tells beside its trials."""
        return About.model_validate({key: value for key, value in self.data.items() if key != "trials"})

    @cached_property
    def config(self) -> Config:
        """The config of the search, with what stands at its default.

        Raises:
            ResultsError: The file has none, or one that is none of this version.
        """
        self.need("config")
        return section_of(Config, self.data["config"], self._where, "config")

    @property
    def base(self) -> Path:
        """The folder that the config's paths are relative to; the working directory where it is not told."""
        if self.about.base is None or self.path is None:  # files of earlier versions do not tell it
            return Path()
        return Path(os.path.normpath(self.path.parent / self.about.base))

    @cached_property
    def target(self) -> Target | None:
        """What is predicted, in the order of the models' outputs; None where the file does not tell."""
        told, config = self.about.data, self.data.get("config") or {}
        if told.targets is not None:
            return Target("numbers", tuple(told.targets))
        if told.class_names is None:
            return None
        data = config.get("data") or {}
        is_multi_label = bool(data.get("multi_label")) or isinstance(data.get("label"), list | dict)
        return Target("labels" if is_multi_label else "classes", tuple(told.class_names), told.one_hot)

    @property
    def outcome(self) -> dict[str, Any]:
        """What is told of a search in short: name, status, objective, best and summary."""
        return {key: self.data[key] for key in ("name", "status", "objective", "best", "summary")}

    def need(self, *paths: str) -> None:
        """Holds that values are there, each named by its path, such as `data.fingerprint`.

        Raises:
            ResultsError: Some are not; all of them are told.
        """
        missing = []
        for path in paths:
            value: Any = self.data
            for key in path.split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
            missing += [path] if value is None else []
        if missing:
            raise ResultsError(
                f"{self._where}: is not whole: it has no {', no '.join(missing)}. A search of this version "
                "writes it, and plot and report do without. Restore the file, or search anew."
            )

    def need_ids(self) -> None:
        """Holds that trials are called by numbers, as their files are; to views they may be called anything.

        Raises:
            ResultsError: Some are not.
        """
        refuse(
            self._where,
            (
                f"trials[{place}].id is {shown(trial['id'])}; a whole number, at least 0, names its files."
                for place, trial in enumerate(self.trials)
                if not isinstance(trial["id"], int) or trial["id"] < 0
            ),
        )

    @property
    def status(self) -> str:
        """running, complete, interrupted, budget or failed."""
        self.need("status")
        return self.data["status"]

    @property
    def trials(self) -> list[dict[str, Any]]:
        """One object a trial, as in results.json, in the order of their ids."""
        return self.data["trials"]

    @property
    def best(self) -> dict[str, Any] | None:
        """The best trial's `trial`, `params` and `mean_test_score`; None where none is complete."""
        return self.data.get("best")

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's params.

        Raises:
            ResultsError: No trial is complete.
        """
        return self._known_best["params"]

    @property
    def _known_best(self) -> dict[str, Any]:
        if self.best is None:
            raise ResultsError("no trial is complete, so that there is no best one.")
        return self.best

    def row(self, trial: int) -> dict[str, Any]:
        """Returns a trial's object.

        Raises:
            ResultsError: There is no such trial.
        """
        found = next((row for row in self.trials if row["id"] == trial), None)
        if found is None:
            known = ", ".join(str(row["id"]) for row in self.trials[:40])
            raise ResultsError(f"{self._where}: there is no trial {trial}. Known: {known}.")
        return found

    @property
    def _where(self) -> str:
        return "these results" if self.path is None else str(self.path)

    @property
    def file(self) -> Path:
        """Where they are written.

        Raises:
            ResultsError: Nowhere.
        """
        if self.path is None:
            raise ResultsError("these results have no file, beside which models could be kept.")
        return self.path

    def model_files(self, trial: int | None = None) -> list[Path]:
        """Returns the files of a trial's fold models, in the order of folds and repeats.

        `keras.models.load_model` loads each; they take values as they are stored, and are not compiled. Of
        models that it would not load, as of those with a Lambda, they are files of weights, .weights.npz.

        Args:
            trial: Its id; None for the best one.

        Raises:
            ResultsError: There is no such trial, it is not complete, or its models were not all kept.
        """
        trial = self._known_best["trial"] if trial is None else trial
        where, row = self._where, self.row(trial)
        if row["state"] != "complete":
            raise ResultsError(
                f"{where}: trial {trial} is {row['state']}, and complete ones keep their models."
            )
        self.need_ids()
        files = [] if self.path is None else self._model_files(row)
        n_kept = sum(file.exists() for file in files)
        if not files or n_kept < len(files):
            raise ResultsError(f"{where}: {self._not_kept(trial, n_kept, len(files))}")
        return files

    def _model_files(self, row: Mapping[str, Any]) -> list[Path]:
        paths = RunPaths.of(self.file)
        runs = runs_of(row, paths.folder)
        return [paths.kept(paths.model(row["id"], run.fold, run.repeat)) for run in runs]

    def _not_kept(self, trial: int, n_kept: int, n_files: int) -> str:
        """Returns that fold models are missing, and how to keep them."""
        keep, best = self.config.search.keep_models, self.best
        if keep == "best" and best is not None and trial != best["trial"] and not n_kept:
            return (
                f"search.keep_models is best, which keeps the fold models of trial {best['trial']}, and "
                f"those of trial {trial} are not there. To have them, search with keep_models: all."
            )
        found = f"{n_kept} of its {n_files} fold models are there" if n_kept else "no fold models are there"
        return (
            f"trial {trial}: {found}, and search.keep_models is {keep}. It has to be best or all when "
            "fits are trained: set search: {keep_models: best}, and start anew with --fresh."
        )

    @cached_property
    def scores(self) -> tuple[str, ...]:
        """The names of what was recorded beside the objective, as `search.scores` has them."""
        search = (self.about.config or {}).get("search")
        given = search.get("scores") if isinstance(search, dict) else None
        names = [next(iter(one), "") if isinstance(one, dict) else one for one in given or ()]
        return tuple(name for name in names if isinstance(name, str))

    def mean_scores(self, row: Mapping[str, Any]) -> dict[str, float | None]:
        """Returns `mean_test_NAME` of each of these for a trial; None where it is not known of each fold."""
        means = mean_metrics(row["folds"])
        return {f"mean_test_{name}": means.get(name) for name in self.scores}

    def frame(self) -> Any:
        """Returns a pandas.DataFrame, one row a trial: id, params, state, scores, time, size.

        What `search.scores` names is there as `mean_test_NAME`.
        Where nets have BatchNormalization, also which share of its statistics are first values, and the
        scores without those.

        A param that is named like one of these columns becomes `param_NAME`.
        """
        import pandas as pd

        known = [name for name in _OF_BATCH_NORM if any(row.get(name) is not None for row in self.trials)]
        taken = _FRAME.union(f"mean_test_{name}" for name in self.scores)
        rows = [
            {
                "id": row["id"],
                **{
                    f"param_{name}" if name in taken else name: value for name, value in row["params"].items()
                },
                "state": row["state"],
                **{name: row[name] for name in SCORES},
                **{name: row.get(name) for name in known},
                **self.mean_scores(row),
                **{f"split{fold['fold']}_test_score": fold["test_score"] for fold in row["folds"]},
                "error": row["error"].get("message") if isinstance(row["error"], dict) else row["error"],
            }
            for row in self.trials
        ]
        return pd.DataFrame(rows).set_index("id") if rows else pd.DataFrame()

    def __repr__(self) -> str:
        score = None if self.best is None else self.best.get("mean_test_score")
        best = "" if score is None else f", best {score_word(score)}"
        name, status = self.data.get("name"), self.data.get("status", "no status")
        return f"<Results {name!r}: {status}, {len(self.trials)} trials{best}>"
