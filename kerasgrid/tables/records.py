"""Trials as records whose columns say by their names alone what they are.

A column is a parameter if it is called `param_*` or `params_*`, or comes out of `params`. Where there is
none, the scores are the numeric columns called `mean_*`, `std_*` or `val_*`, and those whose last word is a
metric or a time (`accuracy`, `test_loss`, `fit_time`), or `value`; where no name fits, the last numeric
column is the score. The rest are parameters, but for texts that differ in all rows, and for columns that
have no values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.errors import ResultsError
from kerasgrid.run.results import FORMS
from kerasgrid.space.dimensions import is_number
from kerasgrid.tables.parsing import finite
from kerasgrid.tables.table import Table, columns_of, direction, importance, is_detail, is_score, state_of

_FEWEST_ROWS = 4
_MOST_UNNAMED = 50
_IDS = ("trial", "trial_id", "number", "id")


def records_table(records: Sequence[Mapping[str, Any]], path: Path) -> Table:
    """Returns the table of records, whose columns say by their names alone what they are."""
    rows, given = _take_params(records)
    others = [name for name in columns_of(rows) if name not in given]
    details = [name for name in others if is_detail(name) or _says_nothing(name, rows)]
    scores = [name for name in others if name not in details and _is_numeric(row.get(name) for row in rows)]
    if not given:
        named = [name for name in scores if is_score(name)]
        if not named and len(scores) > _MOST_UNNAMED:
            raise ResultsError(
                f"{path}: {len(scores):,} numeric columns, none a score by its name: are these samples, "
                f"such as images, and not results? {FORMS}"
            )
        scores = named or scores[-1:]
    if not scores:
        shown = ", ".join(columns_of(records)[:20])
        raise ResultsError(f"{path}: none of the columns is a score, which is numeric: {shown}. {FORMS}")
    rest = [name for name in others if name not in scores and name not in details]
    scores.sort(key=importance)
    params = given or rest
    measured, called = set(scores), _id_column(details, rows)
    return Table(
        source=path.stem,
        params=tuple(params),
        scores=tuple(scores),
        details=tuple(details + rest if given else details),
        rows=tuple(
            {name: finite(value) if name in measured else value for name, value in row.items()}
            | _state(row)
            | ({"trial": row[called]} if called else {})
            for row in rows
        ),
        direction=direction(scores[0]),
        log_params=frozenset(name for name in params if _spans_decades(row.get(name) for row in rows)),
        fold_scores=_fold_scores(rows, details, scores[0]),
    )


def _state(row: Mapping[str, Any]) -> dict[str, str]:
    """Returns a row's state as it is called here; nothing where the row has none that is known."""
    for name in row:
        if name.lower() in ("state", "status") and (state := state_of(row[name])) is not None:
            return {"state": state}
    return {}


def _id_column(details: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Returns the column that says what trials are called: each has its own; None where there is none."""
    for name in _IDS:
        called = [row.get(name) for row in rows] if name in details else [None]
        if all(isinstance(one, str | int | float) for one in called) and len(set(called)) == len(rows):
            return name
    return None


def _says_nothing(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Says whether a column has no values, or texts of which each row has its own: no parameter is so."""
    values = [row[name] for row in rows if row.get(name) is not None]
    are_texts = all(isinstance(value, str) for value in values)
    return are_texts and (not values or len(set(values)) == len(rows) >= _FEWEST_ROWS)


def _fold_scores(
    rows: Sequence[Mapping[str, Any]], details: Sequence[str], objective: str
) -> tuple[tuple[float | None, ...], ...]:
    """Returns each row's scores of single folds: of `mean_test_X` the columns `split0_test_X`, ..."""
    end = objective.removeprefix("mean")
    names = [name for name in details if re.fullmatch(rf"split\d+{re.escape(end)}", name)]
    names.sort(key=lambda name: float(re.findall(r"\d+", name)[0]))
    return tuple(tuple(finite(row.get(name)) for name in names) for row in rows) if names else ()


def _take_params(records: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the rows with their parameters by plain names, and those names; none if not told.

    `params` has the values' true types and leaves out what a candidate does not have, so it wins
    over the columns `param_*`, as scikit-learn calls them, or `params_*`, as Optuna does.
    """
    nested = all(isinstance(record.get("params"), dict) for record in records)
    is_sklearn = any(name.startswith("param_") for record in records for name in record)
    prefix = "param_" if is_sklearn else "params_"
    rows: list[dict[str, Any]] = []
    given: dict[str, Any] = {}
    for record in records:
        columns = {
            name.removeprefix(prefix): value
            for name, value in record.items()
            if name.startswith(prefix) and not is_detail(name)
        }
        params = record["params"] if nested else columns
        given.update(params)
        rest = {
            name: value
            for name, value in record.items()
            if not (name.startswith(prefix) and name.removeprefix(prefix) in columns)
            and not (name == "params" and (nested or columns))
        }
        rows.append(rest | params)
    if not nested:  # a column has a place for a number that a candidate does not have
        gaps = {name for name in given if _is_numeric(row.get(name) for row in rows)}
        rows = [{k: v for k, v in row.items() if v is not None or k not in gaps} for row in rows]
    return rows, list(given)


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


def _is_numeric(values: Iterable[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(map(is_number, present))
