"""The table of results/NAME.json of this package, of a running search too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.run.paths import RunPaths
from kerasgrid.run.results import ResultsData, runs_of
from kerasgrid.tables.table import Table, columns_of, param_columns

_MEASURED = ("mean_test_score", "std_test_score", "mean_fit_time")
_DETAILS = ("trial", "state", "rank_test_score", "n_parameters", "dead", "decided_on", "error")
_OWN = {*_MEASURED, *_DETAILS}


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
            **_mean_metrics(trial["folds"], objective.name),
            **{name: trial[name] for name in ("rank_test_score", "n_parameters")},
            "dead": trial.get("dead"),
            "decided_on": objective.decided_on,
            "error": error_text(trial["error"]),
        }
        for trial in trials
    ]
    metrics = [name for name in columns_of(rows) if name.startswith("mean_test_") and name not in _OWN]
    return Table(
        source=(results.about.name or paths.name)
        + (", decided on the test fold" if objective.decided_on else ""),
        params=tuple(names.values()),
        scores=(*_MEASURED[:2], *metrics, *_MEASURED[2:]),
        details=_DETAILS,
        rows=tuple(rows),
        direction=objective.direction,
        log_params=frozenset(names[name] for name in _log_ranges(results.about.config) if name in names),
        metric=objective.name or "",
        histories=tuple(_histories(trial, paths) for trial in trials),
        fold_scores=tuple(tuple(fold["test_score"] for fold in trial["folds"]) for trial in trials),
        about=results.about,
    )


def error_text(error: Any) -> str | None:
    """Returns a trial's error as `Type: message`; None where it has none."""
    if isinstance(error, dict):
        return f"{error.get('type') or 'Error'}: {error.get('message') or 'no message'}"
    return None if error is None else str(error)


def _mean_metrics(folds: Sequence[Mapping[str, Any]], objective: str | None) -> dict[str, float]:
    """Returns `mean_test_NAME` of each metric but the objective, over the folds that have it."""
    values: dict[str, list[float]] = {}
    for fold in folds:
        for name, value in fold["metrics"].items():
            if name != objective and value is not None:
                values.setdefault(f"mean_test_{name}", []).append(value)
    return {name: sum(found) / len(found) for name, found in values.items()}


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
