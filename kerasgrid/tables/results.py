"""The table of results/NAME.json of this package, of a running search too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.errors import ResultsError
from kerasgrid.io import RunPaths
from kerasgrid.state import SCHEMA
from kerasgrid.tables.parsing import FORMS, finite, is_number, kind
from kerasgrid.tables.table import Table, columns_of, param_columns

_MEASURED = ("mean_test_score", "std_test_score", "mean_fit_time")
_DETAILS = ("trial", "state", "rank_test_score", "n_parameters", "dead", "decided_on", "error")
_OWN = {*_MEASURED, *_DETAILS}


def results_table(results: Mapping[str, Any], where: Path = Path("results.json")) -> Table:
    """Returns the table of a results.json that has been read.

    Args:
        results: The content of results/NAME.json.
        where: Its path, which messages name and long histories lie beside.

    Raises:
        ResultsError: It has another schema, or is not built as the schema says.
    """
    check_schema(results, where)
    trials = _expect(results.get("trials"), list, f"{where}: trials")
    objective = _expect(results.get("objective", {}), dict, f"{where}: objective")
    names = _param_columns(trials, where)
    rows, histories, fold_scores = [], [], []
    for index, trial in enumerate(trials):
        place = f"{where}: trials[{index}]"
        folds = [
            _expect(fold, dict, f"{place}.folds[{number}]")
            for number, fold in enumerate(_expect(trial.get("folds") or [], list, f"{place}.folds"))
        ]
        rows.append(
            {
                "trial": trial.get("id", index),
                **{names[name]: value for name, value in trial["params"].items()},
                "state": trial.get("state", "complete"),
                **{name: _score(trial.get(name), f"{place}.{name}") for name in _MEASURED},
                **_mean_metrics(folds, objective.get("name")),
                **{name: trial.get(name) for name in ("rank_test_score", "n_parameters")},
                "dead": trial.get("dead"),
                "decided_on": objective.get("decided_on"),
                "error": error_text(trial.get("error")),
            }
        )
        histories.append(tuple(_histories(folds, where)))
        fold_scores.append(tuple(finite(fold.get("test_score")) for fold in folds))
    metrics = columns_of(rows, lambda name: name.startswith("mean_test_") and name not in _OWN)
    return Table(
        source=str(results.get("name") or where.stem)
        + (", decided on the test fold" if objective.get("decided_on") else ""),
        params=tuple(names.values()),
        scores=(*_MEASURED[:2], *metrics, *_MEASURED[2:]),
        details=_DETAILS,
        rows=tuple(rows),
        direction="min" if objective.get("direction") == "min" else "max",
        log_params=frozenset(names[name] for name in _log_ranges(results.get("config")) if name in names),
        metric=str(objective.get("name") or ""),
        histories=tuple(histories),
        fold_scores=tuple(fold_scores),
        about={name: value for name, value in results.items() if name != "trials"},
    )


def check_schema(results: Mapping[str, Any], where: Path = Path("results.json")) -> None:
    """Refuses what is no results.json of this version, with a ResultsError."""
    schema = results.get("schema")
    if schema == SCHEMA:
        return
    if isinstance(schema, str) and schema.startswith("kerasgrid.results/"):
        raise ResultsError(
            f"{where}: schema {schema!r} was written by another version of kerasgrid; this one reads "
            f"{SCHEMA!r}. Install the version that wrote it."
        )
    raise ResultsError(f"{where}: schema is {schema!r}, which is no results file of kerasgrid. {FORMS}")


def error_text(error: Any) -> str | None:
    """Returns a trial's error as `Type: message`; None where it has none."""
    if isinstance(error, dict):
        return f"{error.get('type') or 'Error'}: {error.get('message') or 'no message'}"
    return None if error is None else str(error)


def _param_columns(trials: Sequence[Any], where: Path) -> dict[str, str]:
    """Returns the column of each parameter; every trial has to have its parameters."""
    names: dict[str, None] = {}
    for index, trial in enumerate(trials):
        _expect(trial, dict, f"{where}: trials[{index}]")
        names |= dict.fromkeys(_expect(trial.get("params"), dict, f"{where}: trials[{index}].params"))
    return param_columns(names, lambda name: name in _OWN or name.startswith("mean_test_"))


def _mean_metrics(folds: Sequence[Mapping[str, Any]], objective: str | None) -> dict[str, float]:
    """Returns `mean_test_NAME` of each metric but the objective, over the folds that have it."""
    values: dict[str, list[float]] = {}
    for fold in folds:
        metrics = fold.get("metrics")
        for name, value in metrics.items() if isinstance(metrics, dict) else ():
            if name != objective and (number := finite(value)) is not None:
                values.setdefault(f"mean_test_{name}", []).append(number)
    return {name: sum(found) / len(found) for name, found in values.items()}


def _histories(folds: Sequence[Mapping[str, Any]], where: Path) -> Iterator[Mapping[str, Any] | Path]:
    """Yields the histories of folds, or of their repeats; a long one is a file in the run folder."""
    folder = RunPaths(where.parent, where.stem).folder
    for fold in folds:
        for part in fold.get("repeats") or [fold]:
            if isinstance(part, dict) and part.get("history_file"):
                yield folder / str(part["history_file"])
            elif isinstance(part, dict) and isinstance(part.get("history"), dict) and part["history"]:
                yield part["history"]


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


def _score(value: Any, place: str) -> float | None:
    if value is not None and not is_number(value):
        raise ResultsError(f"{place} is {kind(value)}; a number or null is expected there.")
    return finite(value)


def _expect(value: Any, wanted: type, place: str) -> Any:
    if isinstance(value, wanted):
        return value
    expected = "a list" if wanted is list else "an object"
    raise ResultsError(f"{place} is {kind(value)}; {expected} is expected there.")
