"""A view of results.json for Python.

>>> results = Results.load("results/digits.json")          # doctest: +SKIP
>>> results.frame().head()                                 # doctest: +SKIP
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasgrid.errors import ResultsError
from kerasgrid.io import RunPaths
from kerasgrid.state import SCHEMA

_SCORES = ("rank_test_score", "mean_test_score", "std_test_score", "mean_fit_time", "n_parameters")
_FRAME = {"id", "state", "error", *_SCORES}


class Results:
    """A finished or running search's results.

    Args:
        data: The object of results.json.
        path: Its file, where it has one.
    """

    def __init__(self, data: Mapping[str, Any], path: Path | None = None) -> None:
        self.data = dict(data)
        self.path = path

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Reads a results.json.

        Raises:
            ResultsError: It cannot be read, or is none.
        """
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultsError(f"{path}: cannot be read as results: {error}.") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ResultsError(f"{path}: is no results file of kerasgrid (schema {SCHEMA}).")
        return cls(data, path)

    @property
    def status(self) -> str:
        """running, complete, interrupted, budget or failed."""
        return self.data["status"]

    @property
    def trials(self) -> list[dict[str, Any]]:
        """One object a trial, as in results.json, in the order of their ids."""
        return self.data["trials"]

    @property
    def best(self) -> dict[str, Any] | None:
        """The best trial's `trial`, `params` and `mean_test_score`; None where none is complete."""
        return self.data["best"]

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

        `keras.models.load_model` loads each; they are not compiled.

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
        files = [] if self.path is None else self._model_files(trial)
        n_kept = sum(file.exists() for file in files)
        if not files or n_kept < len(files):
            raise ResultsError(f"{where}: {self._not_kept(trial, n_kept, len(files))}")
        return files

    def _model_files(self, trial: int) -> list[Path]:
        paths = RunPaths(self.file.parent, self.file.stem)
        folds, repeats = self.data["folds"]["n"], self._searched.get("repeats", 1)
        return [paths.model(trial, fold, repeat) for fold in range(folds) for repeat in range(repeats)]

    def _not_kept(self, trial: int, n_kept: int, n_files: int) -> str:
        """Returns that fold models are missing, and how to keep them."""
        keep, best = self._searched.get("keep_models", "none"), self.data["best"]
        if keep == "best" and trial != best["trial"] and not n_kept:
            return (
                f"search.keep_models is best, which keeps the fold models of trial {best['trial']}, and "
                f"those of trial {trial} are not there. To have them, search with keep_models: all."
            )
        found = f"{n_kept} of its {n_files} fold models are there" if n_kept else "no fold models are there"
        return (
            f"trial {trial}: {found}, and search.keep_models is {keep}. It has to be best or all when "
            "fits are trained: set search: {keep_models: best}, and start anew with --fresh."
        )

    @property
    def _searched(self) -> Mapping[str, Any]:
        return self.data["config"].get("search", {})

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
                "error": row["error"] and row["error"]["message"],
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

    def __repr__(self) -> str:
        summary = self.data["summary"]
        best = "" if self.best is None else f", best {self.best['mean_test_score']:.4f}"
        return f"<Results {self.data['name']!r}: {self.status}, {summary['trials']} trials{best}>"
