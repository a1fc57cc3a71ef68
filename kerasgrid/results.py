"""A view of results.json for Python.

>>> results = Results.load("results/digits.json")          # doctest: +SKIP
>>> results.frame().head()                                 # doctest: +SKIP
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasgrid.config import Config
from kerasgrid.errors import ResultsError
from kerasgrid.io import RunPaths, check_new, write_text
from kerasgrid.tables.results_form import checked, need, need_ids, read_results, section_of

if TYPE_CHECKING:
    from kerasgrid.delivery.fitting import Fitted

_SCORES = ("rank_test_score", "mean_test_score", "std_test_score", "mean_fit_time", "n_parameters")
_FRAME = {"id", "state", "error", *_SCORES}


class Results:
    """A finished or running search's results.

    Args:
        data: The object of results.json.
        path: Its file, where it has one.

    Raises:
        ResultsError: It is none.
    """

    def __init__(self, data: Mapping[str, Any], path: Path | None = None) -> None:
        self.path = path
        self.data = checked(data, self._where)

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Reads a results.json.

        Raises:
            ResultsError: It cannot be read, or is none.
        """
        return cls.known(read_results(path), Path(path))

    @classmethod
    def known(cls, data: dict[str, Any], path: Path) -> Results:
        """Returns results whose form is known to hold: what a search has written, or `read_results` read."""
        found = cls.__new__(cls)
        found.path, found.data = path, data
        return found

    @cached_property
    def config(self) -> Config:
        """The config of the search, with what stands at its default.

        Raises:
            ResultsError: The file has none, or one that is none of this version.
        """
        self.need("config")
        return section_of(Config, self.data["config"], self._where, "config")

    def need(self, *paths: str) -> None:
        """Holds that values are there, each named by its path, such as `data.fingerprint`.

        Raises:
            ResultsError: Some are not; all of them are told.
        """
        need(self.data, self._where, *paths)

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
        if self.best is None:
            raise ResultsError("no trial is complete, so that there is no best one.")
        return self.best["params"]

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

        `keras.models.load_model` loads each; they take values as they are stored, and are not compiled.

        Args:
            trial: Its id; None for the best one.

        Raises:
            ResultsError: There is no such trial, it is not complete, or its models were not all kept.
        """
        if trial is None:
            if self.best is None:
                raise ResultsError("no trial is complete, so that there is no best one.")
            trial = self.best["trial"]
        where, row = self._where, self.row(trial)
        if row["state"] != "complete":
            raise ResultsError(
                f"{where}: trial {trial} is {row['state']}, and complete ones keep their models."
            )
        need_ids(self.data, where)
        files = [] if self.path is None else self._model_files(row)
        n_kept = sum(file.exists() for file in files)
        if not files or n_kept < len(files):
            raise ResultsError(f"{where}: {self._not_kept(trial, n_kept, len(files))}")
        return files

    def _model_files(self, row: Mapping[str, Any]) -> list[Path]:
        paths = RunPaths(self.file.parent, self.file.stem)
        return [
            paths.model(row["id"], fold["fold"], part.get("repeat", 0))
            for fold in row["folds"]
            for part in fold.get("repeats") or [fold]
        ]

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

    def frame(self) -> Any:
        """Returns a pandas.DataFrame, one row a trial: id, params, state, scores, time, size.

        A param that is named like one of these columns becomes `param_NAME`.
        """
        import pandas as pd

        rows = [
            {
                "id": row["id"],
                **{
                    f"param_{name}" if name in _FRAME else name: value
                    for name, value in row["params"].items()
                },
                "state": row["state"],
                **{name: row[name] for name in _SCORES},
                **{f"split{fold['fold']}_test_score": fold["test_score"] for fold in row["folds"]},
                "error": row["error"].get("message") if isinstance(row["error"], dict) else row["error"],
            }
            for row in self.trials
        ]
        return pd.DataFrame(rows).set_index("id") if rows else pd.DataFrame()

    def hiplot(self, *, epochs: bool = False) -> Any:
        """Returns the hiplot.Experiment; in a notebook it is shown there too.

        Args:
            epochs: A line an epoch instead of a line a trial, chained to learning curves.
        """
        from kerasgrid.tables.results import results_table
        from kerasgrid.views.hiplot import show

        experiment = show([results_table(self.data, self.path or Path("results"))], epochs=epochs)
        if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
            experiment.display()
        return experiment

    def plot(self, output: str | Path | None = None, *, epochs: bool = False) -> Path:
        """Writes the HiPlot page, as `kerasgrid plot` does, and returns its path.

        Args:
            output: The .html file; beside the results by default.
            epochs: A line an epoch instead of a line a trial.

        Raises:
            ResultsError: There is no trial to show, or no file beside which the page could lie.
        """
        from kerasgrid.tables.results import results_table
        from kerasgrid.views.hiplot import write_page
        from kerasgrid.views.pages import page_path

        target = page_path([self.file], None if output is None else Path(output))
        return write_page([results_table(self.data, self.file)], target, epochs=epochs)

    def report(self, output: str | Path | None = None) -> Path:
        """Writes what was learnt as a page, as `kerasgrid report` does, and returns its path.

        Args:
            output: The .html file; NAME.report.html beside the results by default.

        Raises:
            ResultsError: No trial has begun, or there is no file beside which the page could lie.
        """
        from kerasgrid.views.pages import page_path
        from kerasgrid.views.report.writing import Report

        target = page_path([self.file], None if output is None else Path(output), ending=".report.html")
        write_text(target, Report(self.file).html())
        return target

    def suggest(self, output: str | Path | None = None) -> str:
        """Returns the text of the next grid.yaml, as `kerasgrid suggest` prints it.

        Args:
            output: A file to write it to as well, which must not exist.

        Raises:
            ResultsError: No trial has a score, or no parameter varies.
        """
        from kerasgrid.analysis.findings import analyse
        from kerasgrid.suggestion import suggest
        from kerasgrid.tables.results import results_table

        if output is not None:
            check_new(Path(output))
        text = suggest(analyse(results_table(self.data, self.path or Path("results"))))
        if output is not None:
            write_text(Path(output), text)
        return text

    def fit(self, **options: Any) -> Fitted:
        """Trains the best candidate on all of the training data, as `kerasgrid fit` and `kg.fit` do.

        Args:
            options: Those of `kg.fit`: trial, top, seeds, finetune and more.
        """
        from kerasgrid.delivery.fitting import fit

        return fit(self, **options)

    @property
    def best_model(self) -> Any:
        """The keras.Model of all training data that `fit` has trained last, loaded by Keras.

        Raises:
            ResultsError: None was trained yet, or Keras cannot load it.
        """
        file = RunPaths(self.file.parent, self.file.stem).best
        if not file.exists():
            raise ResultsError(f"{file} is not there yet: results.fit() trains it.")
        from kerasgrid.training.keeping import load_kept

        return load_kept(file)

    def __repr__(self) -> str:
        score = None if self.best is None else self.best.get("mean_test_score")
        best = "" if score is None else f", best {score:.4f}"
        name, status = self.data.get("name"), self.data.get("status", "no status")
        return f"<Results {name!r}: {status}, {len(self.trials)} trials{best}>"
