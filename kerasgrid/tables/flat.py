"""Files that people have, as records, one mapping a trial, and what columns are by their names alone.

A column is a parameter if it is called `param_*` or `params_*`, or comes out of `params`. Where there is
none, the scores are the numeric columns called `mean_*`, `std_*` or `val_*`, and those whose last word is a
metric or a time (`accuracy`, `test_loss`, `fit_time`), or `value`; where no name fits, the last numeric
column is the score. The rest are parameters, but for texts that differ in all rows, and for columns that
have no values.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.config.validation import kind
from kerasgrid.errors import ResultsError
from kerasgrid.run.schema import FORMS
from kerasgrid.space.dimensions import is_number
from kerasgrid.tables.table import (
    Table,
    columns_of,
    direction,
    finite,
    importance,
    is_detail,
    is_score,
    state_of,
)

_FEWEST_ROWS = 4
_MOST_UNNAMED = 50
_IDS = ("trial", "trial_id", "number", "id")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WORDS: dict[str, float | None] = {**dict.fromkeys(("", "none", "null", "nan")), "true": True, "false": False}
_WORDS |= {f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "infinity")}
_DELIMITERS = ",;\t"
_LONGEST_CELL = 1 << 20


def parse_csv(text: str, path: Path) -> list[dict[str, Any]]:
    """Returns a CSV's rows by its header's names; the delimiter is a comma, semicolon or tab.

    Cells are numbers, `inf` among them, true and false, and else text; empty cells, `nan`, `None` and
    `null` are None. A first column without a name, which pandas writes for its index, is left out.

    Raises:
        ResultsError: There are no rows, a row has another length than the header, or the header
            has a name twice.
    """
    head = text.lstrip("\n\r").split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    records: list[dict[str, Any]] = []
    header: list[str] = []
    try:
        for cells in reader:
            if not any(cells):
                continue
            if not header:
                header = _header(cells, path)
                continue
            if len(cells) != len(header):
                raise ResultsError(
                    f"{path}:{reader.line_num}: {len(cells)} cells, but the header has {len(header)}. {FORMS}"
                )
            records.append({name: _cell(cell) for name, cell in zip(header, cells, strict=True) if name})
    except csv.Error as error:
        raise ResultsError(f"{path}:{reader.line_num}: no CSV ({error}). {FORMS}") from error
    if not records:
        raise ResultsError(f"{path}: no rows below the header line. {FORMS}")
    return records


def by_columns(columns: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """Returns one mapping a trial from an object of columns, each a list or {row: value}.

    Raises:
        ResultsError: It is no object of columns, or they differ in length.
    """
    lists: dict[str, list[Any]] = {}
    for name, column in columns.items():
        if isinstance(column, dict):
            column = list(column.values())
        if not isinstance(column, list):
            raise ResultsError(
                f"{path}: {name!r} is {kind(column)}, where a column of values was expected. {FORMS}"
            )
        lists[name] = column
    lengths = {len(column) for column in lists.values()}
    if len(lengths) > 1:
        sizes = ", ".join(f"{name}: {len(column)}" for name, column in list(lists.items())[:8])
        raise ResultsError(f"{path}: the columns differ in length ({sizes}). {FORMS}")
    if lengths <= {0}:
        raise ResultsError(f"{path}: no columns with values. {FORMS}")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


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


def _header(cells: Sequence[str], path: Path) -> list[str]:
    names = [name.strip() for name in cells]
    if re.fullmatch(r"(Unnamed: 0)?", names[0]):
        names[0] = ""
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise ResultsError(f"{path}: the header has {', '.join(map(repr, twice[:5]))} more than once.")
    return names


def _cell(cell: str) -> Any:
    word = cell.strip()
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if not _NUMBER.fullmatch(word) or len(word) > 400:
        return word
    return int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)
