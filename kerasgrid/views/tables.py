"""What a page shows: the trials of one file as a table, whatever form the file has.

Four forms are read:

* results/NAME.json of this package (schema `kerasgrid.results/1`), of a running search too;
* a list of objects, one a trial: parameters and scores side by side;
* scikit-learn's `cv_results_` as JSON, by columns (NaN written as `NaN` is read);
* a CSV with a header line, such as `pandas.DataFrame(cv_results_).to_csv()`.

Only the first says which columns are scores. In the others a column is a parameter if it is
called `param_*` or comes out of `params`. Where there is neither, the scores are the numeric
columns called `mean_*`, `std_*` or `val_*`, and those whose last word is a metric or a time
(`accuracy`, `test_loss`, `fit_time`); where no name fits, the last numeric column is the score.
All the rest are parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kerasgrid.errors import ResultsError
from kerasgrid.io import RunPaths
from kerasgrid.state import SCHEMA
from kerasgrid.views.naming import direction, importance, is_detail, is_score
from kerasgrid.views.parsing import (
    FORMS,
    by_columns,
    finite,
    is_number,
    kind,
    parse_csv,
    parse_json,
    read_text,
)

_MEASURED = ("mean_test_score", "std_test_score", "mean_fit_time")
_DETAILS = ("trial", "state", "rank_test_score", "n_parameters", "dead", "decided_on", "error")
_OWN = {*_MEASURED, *_DETAILS}


@dataclass(frozen=True)
class Table:
    """Trials of one file.

    Attributes:
        source: What the page calls the file: the search's name, else the file's stem.
        params: Columns of parameters, in their order.
        scores: Columns of what was measured, the objective first. Their values are finite
            numbers or None.
        details: Columns that are neither: trial, state, error, rank, scores of single folds.
        rows: A mapping a trial. A key is absent where the trial does not have the parameter.
        direction: Whether a larger (`max`) or a smaller (`min`) objective is better.
        log_params: Parameters to be drawn on a logarithmic scale: those whose range in the config
            has `log: true`; where there is no config, those that spread over two decades.
        metric: The metric behind the objective as histories call it, such as `accuracy`.
        histories: For each row the histories of its folds and repeats, {metric: one value an
            epoch}, or the file that holds one; empty where there are none.
    """

    source: str
    params: tuple[str, ...]
    scores: tuple[str, ...]
    details: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    direction: Literal["max", "min"] = "max"
    log_params: frozenset[str] = frozenset()
    metric: str = ""
    histories: tuple[tuple[Mapping[str, Sequence[Any]] | Path, ...], ...] = ()


def read_table(path: Path) -> Table:
    """Reads a file of results in any of the forms named at the top of this module.

    Args:
        path: A .json or .csv file; what it is, is told by its content.

    Raises:
        ResultsError: There is no such file, or it cannot be read as any of the forms.
        NotBuiltError: It is a form that this version does not read yet.
    """
    path = Path(path)
    text = read_text(path)
    if text.lstrip()[:1] not in {"{", "["}:
        return _records_table(parse_csv(text, path), path)
    value = parse_json(text, path)
    if isinstance(value, dict):
        if "schema" in value:
            return results_table(value, path)
        return _records_table(by_columns(value, path), path)
    if not value:
        raise ResultsError(f"{path}: an empty list, so there are no trials to show.")
    for index, record in enumerate(value):
        if not isinstance(record, dict):
            raise ResultsError(f"{path}: item {index} of the list is {kind(record)}, not an object. {FORMS}")
    return _records_table(value, path)


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
    rows, histories = [], []
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
    metrics = _columns(rows, lambda name: name.startswith("mean_test_") and name not in _OWN)
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


def _records_table(records: Sequence[Mapping[str, Any]], path: Path) -> Table:
    """Returns the table of records, whose columns say by their names alone what they are."""
    rows, given = _take_params(records)
    others = [name for name in _columns(rows) if name not in given]
    details = [name for name in others if is_detail(name)]
    scores = [name for name in others if name not in details and _is_numeric(row.get(name) for row in rows)]
    if not given:
        scores = [name for name in scores if is_score(name)] or scores[-1:]
    if not scores:
        shown = ", ".join(_columns(records)[:20])
        raise ResultsError(f"{path}: none of the columns is a score, which is numeric: {shown}. {FORMS}")
    rest = [name for name in others if name not in scores and name not in details]
    scores.sort(key=importance)
    params = given or rest
    measured = set(scores)
    return Table(
        source=path.stem,
        params=tuple(params),
        scores=tuple(scores),
        details=tuple(details + rest if given else details),
        rows=tuple(
            {name: finite(value) if name in measured else value for name, value in row.items()}
            for row in rows
        ),
        direction=direction(scores[0]),
        log_params=frozenset(name for name in params if _spans_decades(row.get(name) for row in rows)),
    )


def _take_params(records: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the rows with their parameters by plain names, and those names; none if not told.

    `params` has the values' true types and leaves out what a candidate does not have, so it wins
    over the columns `param_*`.
    """
    nested = all(isinstance(record.get("params"), dict) for record in records)
    rows, given = [], {}
    for record in records:
        columns = {name.removeprefix("param_"): v for name, v in record.items() if name.startswith("param_")}
        params = record["params"] if nested else columns
        given.update(params)
        rest = {
            name: value
            for name, value in record.items()
            if not name.startswith("param_") and not (name == "params" and (nested or columns))
        }
        rows.append(rest | params)
    return rows, list(given)


def _param_columns(trials: Sequence[Any], where: Path) -> dict[str, str]:
    """Returns the column of each parameter; one that is called like a column of ours gets a suffix."""
    names: dict[str, str] = {}
    for index, trial in enumerate(trials):
        _expect(trial, dict, f"{where}: trials[{index}]")
        for name in _expect(trial.get("params"), dict, f"{where}: trials[{index}].params"):
            clash = name in _OWN or name.startswith("mean_test_")
            names[name] = f"{name} (param)" if clash else name
    return names


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


def _spans_decades(values: Iterable[Any]) -> bool:
    """Says whether values spread over two decades or more, as those of a log range do.

    The outermost twentieth on either side is left out, and fewer than a dozen different values
    say too little.
    """
    found = [value for value in values if value is not None]
    if any((finite(value) or 0) <= 0 for value in found):
        return False
    ordered = sorted(set(found))
    cut = len(ordered) // 20
    return len(ordered) >= 12 and ordered[-1 - cut] >= 100 * ordered[cut]


def _columns(records: Iterable[Mapping[str, Any]], keep: Callable[[str], bool] = bool) -> list[str]:
    """Returns all keys of all records, in the order in which they first appear."""
    return [name for name in dict.fromkeys(name for record in records for name in record) if keep(name)]


def _is_numeric(values: Iterable[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(map(is_number, present))


def _score(value: Any, place: str) -> float | None:
    if value is not None and not is_number(value):
        raise ResultsError(f"{place} is {kind(value)}; a number or null is expected there.")
    return finite(value)


def _expect(value: Any, wanted: type, place: str) -> Any:
    if isinstance(value, wanted):
        return value
    expected = {list: "a list", dict: "an object"}[wanted]
    raise ResultsError(f"{place} is {kind(value)}; {expected} is expected there.")
