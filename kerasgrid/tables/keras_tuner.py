"""The table of a KerasTuner project folder, read as the JSON that it is: KerasTuner is not needed."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kerasgrid.errors import ResultsError
from kerasgrid.tables.parsing import FORMS, finite, parse_json, read_text
from kerasgrid.tables.table import Table, columns_of

log = logging.getLogger(__name__)

_STATES = {"COMPLETED": "complete", "FAILED": "failed", "INVALID": "failed"}
_TUNER = ("tuner/initial_epoch", "tuner/bracket", "tuner/round", "tuner/trial_id")
_DETAILS = ("trial", "state", "error", *_TUNER)
_UNKNOWN = "score"


def keras_tuner_table(folder: Path) -> Table:
    """Returns the table of a project folder, or of a folder that holds one project.

    A row has the hyperparameters that were active for the trial. Hyperband's `tuner/epochs`, which trials
    are given beside them, is a parameter here, its other bookkeeping details. A metric's value is, as in
    KerasTuner, the best over its steps, each the mean over executions; where they are one an epoch they are
    a history, too. Executions of a trial are repeats on one split, and so no folds.

    The objective is the metric whose best value is each trial's score. Where there is none, as of several
    objectives, whose sum KerasTuner makes smallest, it is called `score`.

    Args:
        folder: With oracle.json and trial_*/trial.json.

    Raises:
        ResultsError: It is no such folder, holds several projects or no trial, or its oracle.json is damaged.
    """
    project = _project(folder)
    oracle = _read_object(project / "oracle.json")
    order = oracle.get("start_order")
    trials = _trials(project, order if isinstance(order, list) else [])
    if not trials:
        raise ResultsError(f"{project}: the project of KerasTuner has no trial yet.")
    metrics = [_metrics(trial) for trial in trials]
    objective, direction = _objective(trials, metrics)
    rows = [_row(trial, own, objective) for trial, own in zip(trials, metrics, strict=True)]
    names = columns_of(metrics)
    scores = (objective, *(name for name in names if name != objective))
    details = tuple(name for name in _DETAILS if any(name in row for row in rows))
    return Table(
        source=project.resolve().name,
        params=tuple(columns_of(rows, lambda name: name not in scores and name not in details)),
        scores=scores,
        details=details,
        rows=tuple(rows),
        direction=direction,
        log_params=frozenset(_log_params(trials)),
        metric=objective.removeprefix("val_"),
        histories=tuple(_histories(own) for own in metrics),
    )


def is_project(folder: Path) -> bool:
    """Says whether a folder is a project of KerasTuner, or holds one."""
    return (folder / "oracle.json").exists() or any(folder.glob("*/oracle.json"))


def _project(folder: Path) -> Path:
    if (folder / "oracle.json").exists():
        return folder
    found = sorted(file.parent for file in folder.glob("*/oracle.json"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(project) for project in found[:20])
        raise ResultsError(f"{folder} holds several projects of KerasTuner. Name one: {names}.")
    raise ResultsError(f"{folder} is a folder, and no project of KerasTuner. {FORMS}")


def _trials(project: Path, order: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Returns the trials in the order in which they began; one that cannot be read is warned of."""
    places = {str(id): place for place, id in enumerate(order)}
    found = []
    for file in sorted(project.glob("trial_*/trial.json")):
        try:
            trial = _read_object(file)
        except ResultsError as error:  # cut off as it was written
            log.warning("%s It is left out.", error)
            continue
        hyperparameters = trial.get("hyperparameters")
        if not isinstance(hyperparameters, dict) or not isinstance(hyperparameters.get("values"), dict):
            log.warning("%s: no hyperparameters in it. It is left out.", file)
            continue
        found.append(trial)
    return sorted(found, key=lambda trial: places.get(str(trial.get("trial_id")), len(places)))


def _read_object(file: Path) -> dict[str, Any]:
    value = parse_json(read_text(file), file)
    if not isinstance(value, dict):
        raise ResultsError(f"{file}: an object was expected. {FORMS}")
    return value


def _metrics(trial: Mapping[str, Any]) -> dict[str, tuple[Literal["max", "min"], dict[int, float]]]:
    """Returns each metric's direction, and its mean over executions by step."""
    metrics = trial.get("metrics")
    metrics = metrics.get("metrics") if isinstance(metrics, dict) else None
    found = {}
    for name, metric in metrics.items() if isinstance(metrics, dict) else ():
        steps = {}
        for observation in metric.get("observations") or []:
            values = [finite(value) for value in observation.get("value") or []]
            if values and None not in values:
                steps[int(observation.get("step") or 0)] = math.fsum(values) / len(values)
        if steps:
            found[str(name)] = ("max" if metric.get("direction") == "max" else "min", steps)
    return found


def _best(metric: tuple[str, Mapping[int, float]]) -> float:
    direction, steps = metric
    return max(steps.values()) if direction == "max" else min(steps.values())


def _objective(
    trials: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]
) -> tuple[str, Literal["max", "min"]]:
    scored = [
        (own, score)
        for trial, own in zip(trials, metrics, strict=True)
        if (score := finite(trial.get("score"))) is not None
    ]
    names = columns_of([own for own, _ in scored])
    for name in sorted(names, key=lambda name: not name.startswith("val_")):
        if all(name in own and math.isclose(_best(own[name]), score, rel_tol=1e-6) for own, score in scored):
            return name, scored[0][0][name][0]
    return _UNKNOWN, "min"


def _row(trial: Mapping[str, Any], metrics: Mapping[str, Any], objective: str) -> dict[str, Any]:
    id = str(trial.get("trial_id"))
    error = trial.get("message")
    return {
        "trial": int(id) if id.isdecimal() else id,
        **_active(trial["hyperparameters"]),
        "state": _STATES.get(str(trial.get("status")), "running"),
        **{name: _best(metric) for name, metric in metrics.items()},
        objective: finite(trial.get("score")),
        "error": str(error).strip().splitlines()[-1] if error and str(error).strip() else None,
    }


def _active(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values whose conditions hold."""
    values = hyperparameters["values"]
    conditions = {
        config.get("name"): config.get("conditions") or []
        for config in _configs(hyperparameters.get("space"))
    }
    return {
        name: value
        for name, value in values.items()
        if all(_holds(condition, values) for condition in conditions.get(name, ()))
    }


def _configs(space: Any) -> list[Mapping[str, Any]]:
    parts = space if isinstance(space, list) else []
    return [p["config"] for p in parts if isinstance(p, dict) and isinstance(p.get("config"), dict)]


def _holds(condition: Any, values: Mapping[str, Any]) -> bool:
    config = condition.get("config") if isinstance(condition, dict) else None
    if not isinstance(config, dict) or "values" not in config:
        return True
    return config.get("name") in values and values[config["name"]] in config["values"]


def _log_params(trials: Sequence[Mapping[str, Any]]) -> set[str]:
    return {
        str(config.get("name"))
        for trial in trials
        for config in _configs(trial["hyperparameters"].get("space"))
        if config.get("sampling") in ("log", "reverse_log")
    }


def _histories(metrics: Mapping[str, Any]) -> tuple[Mapping[str, Sequence[float]], ...]:
    """Returns the metrics as one history, where they were reported for one step after the other."""
    curves = {}
    for name, (_, steps) in metrics.items():
        ordered = sorted(steps)
        if len(ordered) > 1 and ordered == list(range(ordered[0], ordered[0] + len(ordered))):
            held_out = f"test_{name.removeprefix('val_')}" if name.startswith("val_") else name
            curves[held_out] = [steps[step] for step in ordered]
    return (curves,) if curves else ()
