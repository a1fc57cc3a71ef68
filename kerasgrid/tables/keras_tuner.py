"""The table of a KerasTuner project folder, read as the JSON that it is: KerasTuner is not needed."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kerasgrid.errors import ResultsError
from kerasgrid.run.schema import FORMS, parse_json, read_text
from kerasgrid.space.dimensions import all_known
from kerasgrid.tables.table import Table, are_epochs, columns_of, finite, param_columns

log = logging.getLogger(__name__)

_STATES = {"COMPLETED": "complete", "FAILED": "failed", "INVALID": "failed", "IDLE": "waiting"}
_TUNER = ("tuner/initial_epoch", "tuner/bracket", "tuner/round", "tuner/trial_id")
_DETAILS = ("trial", "state", "error", *_TUNER)
_UNKNOWN = "score"
_ERROR = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b")


def keras_tuner_table(folder: Path) -> Table:
    """Returns the table of a project folder, or of a folder that holds one project.

    A row has the hyperparameters that were active for the trial. Hyperband's `tuner/epochs`, which trials
    are given beside them, is a parameter here, its other bookkeeping details. A metric's value is, as in
    KerasTuner, the best over its steps, each the mean over executions; where they are one an epoch they are
    a history, too. Executions of a trial are repeats on one split, and so no folds.

    The objective is the metric whose best value is each trial's score. Where there is none, as of several
    objectives, whose sum KerasTuner makes smallest, it is called `score`.

    What Hyperband has trained for fewer than its `max_epochs` is pruned. What cannot be read, because it was
    cut off, is left out with a warning.

    Args:
        folder: With oracle.json and trial_*/trial.json.

    Raises:
        ResultsError: It is no such folder, or holds several projects or no trial.
    """
    project = _project(folder)
    try:
        oracle = _read_object(project / "oracle.json")
    except ResultsError as error:  # cut off as it was written; trials hold all but their order
        log.warning("%s Trials are taken in the order of their names.", error)
        oracle = {}
    order = oracle.get("start_order")
    trials = _trials(project, _list(order))
    if not trials:
        raise ResultsError(f"{project}: the project of KerasTuner has no trial yet.")
    metrics = [_metrics(trial) for trial in trials]
    objective, direction = _objective(trials, metrics)
    scores = (objective, *(name for name in columns_of(metrics) if name != objective))
    given = [_active(trial["hyperparameters"]) for trial in trials]
    taken = {*scores, *_DETAILS} - {*_TUNER}
    columns = param_columns(columns_of(given), taken.__contains__)
    most = finite(oracle.get("max_epochs"))
    rows = [
        _row(trial, own, objective, most) | {columns[name]: value for name, value in params.items()}
        for trial, own, params in zip(trials, metrics, given, strict=True)
    ]
    return Table(
        source=project.resolve().name,
        params=tuple(columns[name] for name in columns if name not in _TUNER),
        scores=scores,
        details=tuple(name for name in _DETAILS if any(name in row for row in rows)),
        rows=tuple(rows),
        direction=direction,
        log_params=frozenset(columns[name] for name in _log_params(trials) if name in columns),
        metric=objective.removeprefix("val_"),
        histories=tuple(_histories(own) for own in metrics),
    )


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
        if not isinstance(_items(trial.get("hyperparameters")).get("values"), dict):
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
    found: dict[str, tuple[Literal["max", "min"], dict[int, float]]] = {}
    for name, metric in _items(_items(trial.get("metrics")).get("metrics")).items():
        steps = {}
        for observation in _list(_items(metric).get("observations")):
            values, step = _items(observation).get("value"), finite(_items(observation).get("step") or 0)
            numbers = [finite(value) for value in (values if isinstance(values, list) else [values])]
            if step is not None and numbers and all_known(numbers):
                steps[int(step)] = math.fsum(numbers) / len(numbers)
        if steps:
            found[str(name)] = ("max" if metric.get("direction") == "max" else "min", steps)
    return found


def _items(value: Any) -> Mapping[str, Any]:
    """Returns an object's items; none where a file has something else in its place."""
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    """Returns a list; an empty one where a file has something else in its place."""
    return value if isinstance(value, list) else []


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


def _row(
    trial: Mapping[str, Any], metrics: Mapping[str, Any], objective: str, most: float | None
) -> dict[str, Any]:
    id = str(trial.get("trial_id"))
    state = _STATES.get(str(trial.get("status")), "running")
    epochs = finite(trial["hyperparameters"]["values"].get("tuner/epochs"))
    if state == "complete" and epochs is not None and most is not None and epochs < most:
        state = "pruned"
    return {
        "trial": int(id) if re.fullmatch("[0-9]{1,18}", id) else id,
        "state": state,
        **{name: _best(metric) for name, metric in metrics.items()},
        objective: finite(trial.get("score")),
        "error": _reason(trial.get("message")),
    }


def _reason(message: Any) -> str | None:
    """Returns the error at the end of a traceback, on one line."""
    lines = str(message or "").strip().splitlines()
    begins = [place for place, line in enumerate(lines) if _ERROR.match(line)]
    return " ".join(" ".join(lines[begins[-1] if begins else -1 :]).split()) or None if lines else None


def _active(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of hyperparameters that hold: of one of their declarations all conditions do.

    A condition holds where its parent does, and has one of the values that it names.
    """
    values = hyperparameters["values"]
    declared: dict[str, list[list[Mapping[str, Any]]]] = {}
    for config in _configs(hyperparameters.get("space")):
        conditions = [_items(_items(one).get("config")) for one in _list(config.get("conditions"))]
        declared.setdefault(str(config.get("name")), []).append(conditions)

    def holds(condition: Mapping[str, Any], path: tuple[str, ...]) -> bool:
        parent = condition.get("name")
        if not isinstance(parent, str) or "values" not in condition:
            return True
        return is_active(parent, path) and values[parent] in _list(condition["values"])

    def is_active(name: str, path: tuple[str, ...] = ()) -> bool:
        if name not in values or name in path:
            return False
        ways = declared.get(name, [[]])
        return any(all(holds(condition, (*path, name)) for condition in way) for way in ways)

    return {name: value for name, value in values.items() if is_active(name)}


def _configs(space: Any) -> list[Mapping[str, Any]]:
    return [config for part in _list(space) if (config := _items(_items(part).get("config")))]


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
        if are_epochs(ordered):
            held_out = f"test_{name.removeprefix('val_')}" if name.startswith("val_") else name
            curves[held_out] = [steps[step] for step in ordered]
    return (curves,) if curves else ()
