"""Files that people have, as records: one mapping a trial.

Nothing here knows what a column means. All faults of a file are ResultsErrors that name it.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.errors import ResultsError
from kerasgrid.forms import kind
from kerasgrid.io import MOST_BESIDE, read_input
from kerasgrid.state import SCHEMA

FORMS = (
    f"Known are: a results file of kerasgrid ({SCHEMA}), a list of objects (one a trial), "
    "scikit-learn's cv_results_ as JSON, a CSV with a header line, a project folder of KerasTuner, and a "
    "storage of Optuna's."
)

OURS = f"What kerasgrid search writes is needed here: results/NAME.json ({SCHEMA})."

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
_MOST_BYTES = 1 << 31
"""Of a file of results."""
_DEEPEST = 100
"""Levels of objects and lists within each other: what people search has a few."""


def read_text(path: Path, most_bytes: int = _MOST_BYTES, forms: str = FORMS) -> str:
    """Returns the text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        most_bytes: What it may hold.
        forms: Says what is needed here, where it is something else.

    Raises:
        ResultsError: There is no such file, it is no regular file or empty, or it holds no text.
    """
    if os.path.isdir(path):
        raise ResultsError(f"{path} is a folder; a file is needed here.")
    try:
        data = read_input(path, most_bytes)
    except FileNotFoundError as error:
        there = sorted(file.name for file in path.parent.glob("*.json")) if os.path.isdir(path.parent) else []
        hint = f" That folder has: {', '.join(there[:20])}." if there else ""
        raise ResultsError(f"{path}: there is no such file.{hint}") from error
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not data.strip():
        raise ResultsError(f"{path}: the file is empty. {forms}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ResultsError(f"{path}: no text in UTF-8 (byte {error.start}). {forms}") from error
    if "\0" in text:
        raise ResultsError(f"{path}: no text, since it has zero bytes. {forms}")
    return text


def parse_json(text: str, path: Path, forms: str = FORMS) -> Any:
    """Returns the value of a JSON text; the literals NaN and Infinity are read too.

    Raises:
        ResultsError: The text is cut off, is no JSON, or is nested beyond all use.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        if error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated"):
            raise ResultsError(
                f"{where}: the JSON ends too early ({error.msg}): the file is cut off."
            ) from error
        raise ResultsError(f"{where}: no JSON ({error.msg}). {forms}") from error
    except RecursionError as error:
        raise ResultsError(f"{path}: nested too deeply to be a file of results. {forms}") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise ResultsError(f"{path}: no JSON that can be read ({error}).") from error
    check_depth(value, path, forms)
    return value


def check_depth(value: Any, where: Path | str, forms: str = FORMS) -> None:
    """Raises a ResultsError where objects and lists are nested beyond all use."""
    level = [value]
    for _ in range(_DEEPEST):
        parts = (part.values() if isinstance(part, dict) else part for part in level)
        level = [item for part in parts for item in part if isinstance(item, dict | list)]
        if not level:
            return
    raise ResultsError(f"{where}: nested too deeply to be a file of results: {_DEEPEST} levels hold. {forms}")


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


def is_number(value: Any) -> bool:
    """Says whether a JSON value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


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
