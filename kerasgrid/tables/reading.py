"""A file of results as a table, whatever form it has; those of this package, of a running search too."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.config.validation import kind
from kerasgrid.errors import ResultsError
from kerasgrid.io import kind_of, open_input
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.results import ResultsData, mean_metrics, runs_of
from kerasgrid.run.schema import FORMS, as_it_stands, parse_json, read_text
from kerasgrid.space.dimensions import all_known
from kerasgrid.tables.flat import by_columns, parse_csv, records_table
from kerasgrid.tables.keras_tuner import keras_tuner_table
from kerasgrid.tables.optuna import optuna_table
from kerasgrid.tables.table import BATCH_NORM, DEBIASED, Table, columns_of, param_columns

_SQLITE = b"SQLite format 3\0"
_SQLITE_URL = "sqlite:///"
_FIRST_KEYS = 400
"""Characters within which a journal's first line has named its operation."""
_MEASURED = ("mean_test_score", "std_test_score", "mean_fit_time")
_DETAILS = (
    "trial",
    "state",
    "rank_test_score",
    "n_parameters",
    "first_values",
    "dead",
    "decided_on",
    "error",
)
_OWN = {*_MEASURED, *_DETAILS, DEBIASED}


def is_url(source: str | Path) -> bool:
    """Says whether a source is a database's URL, and so no file."""
    return "://" in str(source)


def read_table(source: str | Path) -> Table:
    """Reads results in any of the forms that FORMS names.

    Args:
        source: A file or folder, or the URL of a database; what it is, is told by its content.

    Raises:
        ResultsError: There is no such file, or it cannot be read as any of the forms.
        MissingPackageError: It is a storage of Optuna's, which is not installed.
    """
    if str(source).startswith(_SQLITE_URL) and "?" not in str(source):
        source = Path(str(source).removeprefix(_SQLITE_URL))  # opened read-only, as a file is
    if is_url(source):
        url, _, name = str(source).partition("#")
        return optuna_table(url, name or None)
    path, study = file_and_study(Path(source))
    if other := kind_of(path, takes=("results", "table", "database", "folder")):
        raise ResultsError(f"{path} {other.told('trials', FORMS)}")
    if os.path.isdir(path):
        return keras_tuner_table(path)
    if _head(path) == _SQLITE:
        return optuna_table(path, study)
    text = read_text(path)
    if _is_journal(text):
        return optuna_table(path, study, is_journal=True)
    if study is not None:
        raise ResultsError(f"{source}: only of a storage of Optuna's does # name a part. {FORMS}")
    if text.lstrip()[:1] not in {"{", "["}:
        return records_table(parse_csv(text, path), path)
    value = parse_json(text, path)
    if isinstance(value, dict):
        if "schema" in value:
            return results_table(ResultsData(as_it_stands(value, path), path))
        return records_table(by_columns(value, path), path)
    if not value:
        raise ResultsError(f"{path}: an empty list, so there are no trials to show.")
    for index, record in enumerate(value):
        if not isinstance(record, dict):
            raise ResultsError(f"{path}: item {index} of the list is {kind(record)}, not an object. {FORMS}")
    return records_table(value, path)


def file_and_study(path: Path) -> tuple[Path, str | None]:
    """Returns the file, and the study that stands behind a # where the file itself has none in its name."""
    if not os.path.exists(path):
        for place, letter in enumerate(path.name):
            file = path.with_name(path.name[:place]) if place else path
            if letter == "#" and os.path.isfile(file):
                return file, path.name[place + 1 :]
    return path, None


def _head(path: Path) -> bytes:
    try:
        with open_input(path) as file:
            return file.read(len(_SQLITE))
    except OSError:  # read_text says what is wrong
        return b""


def _is_journal(text: str) -> bool:
    """Says whether a text is the journal of Optuna's JournalFileBackend: a line an operation."""
    if '"op_code"' not in text[:_FIRST_KEYS]:
        return False
    try:
        first = json.loads(text.lstrip().partition("\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "op_code" in first and "worker_id" in first


def results_table(results: ResultsData) -> Table:
    """Returns the table of a results.json that has been read."""
    trials, objective = results.trials, results.about.objective
    paths = RunPaths.of(results.path or Path("results.json"))
    names = param_columns(
        columns_of(trial["params"] for trial in trials),
        lambda name: name in _OWN or name.startswith("mean_test_"),
    )
    rows = [
        {
            "trial": trial["id"],
            **{names[name]: value for name, value in trial["params"].items()},
            "state": trial["state"],
            **{name: trial[name] for name in _MEASURED},
            **{
                f"mean_test_{name}": value
                for name, value in mean_metrics(trial["folds"]).items()
                if name != objective.name
            },
            **{name: trial[name] for name in ("rank_test_score", "n_parameters")},
            **{name: trial[name] for name in (DEBIASED, "first_values") if trial.get(name) is not None},
            "dead": trial.get("dead"),
            "decided_on": objective.decided_on,
            "error": error_text(trial["error"]),
        }
        for trial in trials
    ]
    is_biased = any(DEBIASED in row for row in rows)
    metrics = [name for name in columns_of(rows) if name.startswith("mean_test_") and name not in _OWN]
    table = Table(
        source=(results.about.name or paths.name)
        + (", decided on the test fold" if objective.decided_on else ""),
        params=tuple(names.values()),
        scores=(*_MEASURED[:2], *metrics, *([DEBIASED] if is_biased else []), *_MEASURED[2:]),
        details=_DETAILS,
        rows=tuple(rows),
        direction=objective.direction,
        log_params=frozenset(names[name] for name in _log_ranges(results.about.config) if name in names),
        metric=objective.name or "",
        histories=tuple(_histories(trial, paths) for trial in trials),
        fold_scores=tuple(tuple(fold["test_score"] for fold in trial["folds"]) for trial in trials),
        about=results.about,
    )
    # Of trials that were given up at a rung nothing is judged.
    is_judged = any(DEBIASED in row and row["state"] == "complete" for row in rows)
    return replace(table, debiased=_debiased(table, trials)) if is_judged else table


def _debiased(table: Table, trials: Sequence[Mapping[str, Any]]) -> Table:
    """Returns a table by debiased statistics, where trials that differ in which ones are scored are one."""
    by_fold = [
        tuple(
            fold["test_score"] if fold.get("debiased_score") is None else fold["debiased_score"]
            for fold in trial["folds"]
        )
        for trial in trials
    ]
    rows = [
        row
        if DEBIASED not in row
        else {
            **row,
            "mean_test_score": row[DEBIASED],
            "std_test_score": float(np.std(scores)) if scores and all_known(scores) else None,
        }
        for row, scores in zip(table.rows, by_fold, strict=True)
    ]
    params = tuple(name for name in table.params if name != BATCH_NORM)
    return replace(table, params=params, rows=tuple(rows), fold_scores=tuple(by_fold))


def error_text(error: Any) -> str | None:
    """Returns a trial's error as `Type: message`; None where it has none."""
    if isinstance(error, dict):
        return f"{error.get('type') or 'Error'}: {error.get('message') or 'no message'}"
    return None if error is None else str(error)


def _histories(trial: Mapping[str, Any], paths: RunPaths) -> tuple[Mapping[str, Any] | Path, ...]:
    """Returns the histories of a trial's folds, or of their repeats, as far as they have one."""
    return tuple(run.history for run in runs_of(trial, paths.folder) if run.history)


def _log_ranges(config: Any) -> set[str]:
    """Returns the parameters that the config's space gives as ranges with `log: true`."""
    space = config.get("space") if isinstance(config, dict) else None
    return {
        name
        for part in (space if isinstance(space, list) else [space])
        if isinstance(part, dict)
        for name, values in part.items()
        if isinstance(values, dict) and values.get("log") is True
    }
