"""Files that people have, as records: one mapping a trial.

Nothing here knows what a column means. All faults of a file are ResultsErrors that name it.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.config.forms import kind
from kerasgrid.errors import ResultsError
from kerasgrid.io import MOST_BESIDE
from kerasgrid.run.results import FORMS, parse_json, read_text
from kerasgrid.space.dimensions import is_number

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WORDS: dict[str, float | None] = {
    "": None,
    "none": None,
    "null": None,
    "nan": None,
    "true": True,
    "false": False,
}
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


def read_history(history: Mapping[str, Sequence[Any]] | Path) -> dict[str, list[float | None]]:
    """Returns a history, read from its file if it has one of its own; None stands for what is no number.

    What is no list over the epochs is left out.

    Raises:
        ResultsError: The file is not there, or holds no history.
    """
    value: Any = history
    if isinstance(history, Path):
        run = history.parents[1]
        if history.resolve().parents[1] != run.resolve():
            raise ResultsError(f"{history} is a link to elsewhere, and a run's files lie in its own folder.")
        value = parse_json(read_text(history, MOST_BESIDE), history)
        if not isinstance(value, dict):
            raise ResultsError(
                f"{history} is {kind(value)}; an object with a list for each metric was expected."
            )
    return {name: list(map(finite, values)) for name, values in value.items() if isinstance(values, list)}


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


def finite(value: Any) -> float | None:
    """Returns a number that a float can hold, and None for all else."""
    if not is_number(value):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond any float
        return None


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
