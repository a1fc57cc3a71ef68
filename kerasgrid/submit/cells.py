"""CSV files cell by cell, each as it is spelled: with its quotes, leading zeros and commas inside."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kerasgrid.data.arrays import opened
from kerasgrid.data.csv import refuse_archive
from kerasgrid.errors import DataError
from kerasgrid.io import kind_of
from kerasgrid.wording import count, shown_path

_CELL = re.compile(r'("(?:[^"]|"")*"|[^,"][^,]*|)(,|$)')
_NEEDS_QUOTES = re.compile(r'[,"\r\n]|^\s|\s$')
_MOST_LINES = 100
"""Of one row: a quote that is left open would else take in the whole file."""
MOST_TOLD = 5
"""Faults of one kind that are told one by one."""


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not blank: the line that it begins on, from 1, and its cells as spelled.

    Raises:
        DataError: The file is missing, of another kind, no UTF-8 text, or a quote is left open.
    """
    where = shown_path(path)
    if other := kind_of(path, takes=("table", "archive", "folder")):
        raise DataError(f"{where} {other.told('rows')}")
    with opened(path) as file:
        refuse_archive(file, where)
        begun, number = 1, 0
        held: list[str] = []
        try:
            for number, line in enumerate(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), start=1):
                if not held and not line.strip():
                    continue
                begun = begun if held else number
                held.append(line)
                cells = _split("".join(held).rstrip("\r\n"))
                if cells is not None:
                    yield begun, cells
                    held = []
                elif len(held) == _MOST_LINES:
                    break
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}, line {number + 1} or after: no UTF-8 text. If this is a CSV file, save it "
                "as UTF-8."
            ) from error
        if held:
            raise DataError(f'{where}, line {begun}: a quote (") is left open. Close it, or take it out.')


def _split(row: str) -> list[str] | None:
    """Returns a row's cells as they are spelled; None where a quote is open at its end."""
    if '"' not in row:
        return row.split(",")
    cells, place = [], 0
    while True:
        found = _CELL.match(row, place)
        if found is None:
            return None
        cells.append(found[1])
        place = found.end()
        if not found[2]:
            return cells


def text_of(cell: str) -> str:
    """Returns what a cell says: without its quotes, and without spaces around it."""
    cell = cell.strip()
    if cell.startswith('"'):
        return cell[1:-1].replace('""', '"').strip()
    return cell


def spelled(value: object) -> str:
    """Returns a value as a cell, in quotes where it needs them."""
    text = str(value)
    if _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def first_few(faults: Iterable[str], n_faults: int, what: str) -> list[str]:
    """Returns the first faults of a kind, and in the last line how many more there are.

    Args:
        faults: As many of them as are known in words, `MOST_TOLD` at least where there are so many.
        n_faults: How many there are.
        what: What there are more of, such as `row with an unknown id`.
    """
    told = [fault for fault, _ in zip(faults, range(MOST_TOLD), strict=False)]
    left = n_faults - len(told)
    return [*told, f"... and {count(left, 'more fault')} of this kind: {what}."] if left > 0 else told


def repeated(texts: Sequence[str], rows: Iterable[int], where: str) -> list[str]:
    """Returns what is said of ids that are there again, with the rows of both."""
    first: dict[str, int] = {}
    again = []
    for text, row in zip(texts, rows, strict=True):
        if first.setdefault(text, row) != row:
            again.append((text, row))
    told = (f"{where} {row}: id {text!r} is there again, as in {first[text]}." for text, row in again)
    return first_few(told, len(again), "ids that repeat")


def listed(values: Sequence[object]) -> str:
    """Returns values in a line, the first few of many."""
    first = (repr(str(value)) if isinstance(value, str) else str(value) for value in values[:MOST_TOLD])
    return ", ".join(first) + (f" and {len(values) - MOST_TOLD:,} more" if len(values) > MOST_TOLD else "")
