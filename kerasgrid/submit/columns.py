"""CSV files cell by cell, each as it is spelled; and what a submission's columns stand for."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import numpy as np

from kerasgrid.data.arrays import opened
from kerasgrid.data.columns import LABEL_NAMES, NUMBER, WHOLE_NUMBER
from kerasgrid.data.csv_text import refuse_archive
from kerasgrid.errors import DataError
from kerasgrid.io import kind_of
from kerasgrid.records import Target
from kerasgrid.wording import count, shown_path

_CELL = re.compile(r'("(?:[^"]|"")*"|[^,"][^,]*|)(,|$)')
_NEEDS_QUOTES = re.compile(r'[,"\r\n]|^\s|\s$')
_MOST_LINES = 100
"""Of one row: a quote that is left open would else take in the whole file."""
MOST_TOLD = 5
"""Faults of one kind that are told one by one."""
Label = int | str
_YOURSELF = "Write it yourself, from what kerasgrid predict --like id/label gives"
_SIGNS = (" ", "|", ";", ",")
_LABEL_NAMES = {*LABEL_NAMES, "predicted", "prediction", "expected", "answer"}


@dataclass(frozen=True)
class CsvCells:
    """A CSV file by its columns.

    Attributes:
        header: The cells of its first line, as they are spelled; none where it is empty.
        lines: The line that each row begins on.
        columns: (column, row), each cell as it is spelled.
        ragged: What is said of each row of another length than the header, which is left out.
    """

    header: list[str]
    lines: list[int]
    columns: list[list[str]]
    ragged: list[str]

    @property
    def names(self) -> list[str]:
        """What the header's cells say."""
        return list(map(cell_text, self.header))

    @cached_property
    def texts(self) -> list[list[str]]:
        """What the cells of each column say."""
        return [list(map(cell_text, column)) for column in self.columns]


def read_cells(path: Path) -> CsvCells:
    """Returns all cells of a file.

    Raises:
        DataError: The file is missing, of another kind, no UTF-8 text, or a quote is left open.
    """
    rows = _rows(path)
    _, header = next(rows, (0, []))
    cells = CsvCells(header, [], [[] for _ in header], [])
    for line, row in rows:
        if len(row) != len(header):
            n_cells = f"{count(len(row), 'cell')}, but the header has {len(header)}"
            cells.ragged.append(f"{shown_path(path)}, line {line}: {n_cells}.")
            continue
        cells.lines.append(line)
        for column, cell in zip(cells.columns, row, strict=True):
            column.append(cell)
    return cells


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not blank: the line that it begins on, from 1, and its cells as spelled."""
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


def cell_text(cell: str) -> str:
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


def some_of(values: Sequence[object]) -> str:
    """Returns values in a line, the first few of many."""
    first = (repr(str(value)) if isinstance(value, str) else str(value) for value in values[:MOST_TOLD])
    return ", ".join(first) + (f" and {len(values) - MOST_TOLD:,} more" if len(values) > MOST_TOLD else "")


class Holds(StrEnum):
    """What stands in a submission's label columns."""

    labels = "labels"
    """One column: the label of the most probable class."""
    probabilities = "probabilities"
    """A column a class: its probability."""
    positive = "positive"
    """One column: the probability of one of two classes."""
    flags = "flags"
    """A column a class: 1 where a sample has its label, else 0."""
    tags = "tags"
    """One column: all labels of a sample, with the same sign between them."""
    numbers = "numbers"
    """A column for each of what is predicted: the number."""


def match_columns(names: Sequence[str], target: Target) -> dict[int, Label]:
    """Returns which columns are named after which class, or after which number that is predicted.

    Of classes all or none, but for a single one of two; of numbers those that there are.
    """
    if target.is_numbers:
        return {place: name for place, name in enumerate(names) if name in target.names}
    classes: tuple[Label, ...] = target.names
    by_text = {str(label): label for label in classes}
    exact = {place: by_text[name] for place, name in enumerate(names) if name in by_text}
    if len(exact) == len(classes) or (len(exact) == 1 and len(classes) == 2 and len(names) == 2):
        return exact
    texts = list(by_text)
    for candidate in names:
        if not candidate.endswith(texts[0]) and not candidate.startswith(texts[0]):
            continue
        for before, after in (
            (candidate.removesuffix(texts[0]), ""),
            ("", candidate.removeprefix(texts[0])),
        ):
            wanted = {f"{before}{text}{after}": label for text, label in by_text.items()}
            if len(texts) > 1 and wanted.keys() <= set(names):
                return {place: wanted[name] for place, name in enumerate(names) if name in wanted}
    return {}


def find_id_place(
    names: Sequence[str],
    cells: Sequence[Sequence[str]],
    matched: Mapping[int, Label],
    where: str,
    target: Target | None = None,
) -> int | None:
    """Returns which column holds the ids; None where there is none.

    Args:
        names: Of all columns.
        cells: Of all columns.
        matched: As `match_columns` gives it.
        where: How a message begins.
        target: What is predicted, where it is known.

    Raises:
        DataError: There are columns that are neither ids nor of what is predicted.
    """
    rest = [place for place in range(len(names)) if place not in matched]
    if matched and len(rest) <= 1:
        return rest[0] if rest else None
    if matched or len(names) > 2:
        known = "" if target is None else f" ({some_of(target.names)})"
        form = f"either one label column or one a class, named after it{known}. {_YOURSELF}, or with --proba."
        if target is not None and target.is_numbers:
            form = f"a column for each number that is predicted, named after it{known}. {_YOURSELF}."
        raise DataError(
            f"{where}, line 1: the columns {some_of(names)} are no form that is known here: an id, and {form}"
        )
    if len(names) == 1:
        return None
    named = [place for place in (0, 1) if names[place].lower() in _LABEL_NAMES]
    if len(named) == 1:
        return 1 - named[0]
    distinct = [place for place in (0, 1) if len({*cells[place]} - {""}) == len(cells[place])]
    return distinct[0] if distinct else 0


def what_is_held(
    held: Sequence[set[str]],
    matched: Mapping[int, Label],
    target: Target,
    where: str,
    names: Sequence[str],
    id_place: int | None,
) -> tuple[Holds, tuple[Label, ...]]:
    """Returns what stands in the columns that are no ids, and what each is of (of labels: all classes).

    Raises:
        DataError: What stands there fits no submission of what is predicted.
    """
    if target.is_numbers:
        return Holds.numbers, _numbers_of(held, matched, target, where, names, id_place)
    classes: tuple[Label, ...] = target.names
    values = set().union(*held) - {""}
    are_whole = all(WHOLE_NUMBER.fullmatch(text) for text in values)
    are_numbers = all(NUMBER.fullmatch(text) for text in values)
    if matched:
        own = tuple(label for _, label in sorted(matched.items()))
        are_flags = bool(values) and values <= {"0", "1"}
        if are_flags and (target.is_multi_label or len(own) < len(classes)):
            return Holds.flags, own
        return (Holds.probabilities if len(own) == len(classes) else Holds.positive), own
    column = names[next(place for place in range(len(names)) if place != id_place)]
    here = f"{where}, column {column!r}"
    if target.is_multi_label:
        if sign_between(values, classes):
            return Holds.tags, tuple(classes)
        raise DataError(
            f"{here} holds {some_of(sorted(values))}, and samples have any number of the labels "
            f"{some_of(classes)}. A column for each label, named after it, or one of labels with a blank, |, "
            f"; or a comma between is known here. {_YOURSELF}, or with --proba."
        )
    if values <= {str(label) for label in classes}:
        return Holds.labels, tuple(classes)
    if are_numbers and not are_whole and len(classes) == 2:
        return Holds.positive, (classes[1],)
    are_ints = all(isinstance(label, int | np.integer) for label in classes)
    if values <= {"0", "1"} and len(classes) == 2 and not are_ints:
        return Holds.flags, (classes[1],)
    if are_whole and are_ints:
        return Holds.labels, tuple(classes)
    if not are_numbers and not are_ints and not are_whole:
        return Holds.labels, tuple(classes)
    raise DataError(
        f"{here} holds {some_of(sorted(values))}, and the classes are {some_of(classes)}: a submission "
        "of labels would be of another kind than the sample. Correct the sample, or train on the labels that "
        "the competition asks for."
    )


def sign_between(values: Iterable[str], labels: Sequence[Label], usual: str = " ") -> str | None:
    """Returns what stands between labels in cells of several; the usual sign where none has two of them.

    Args:
        values: Different cells; empty ones are of no label.
        labels: All that there are.
        usual: What stands there elsewhere.

    Returns:
        None where cells hold something else than labels.
    """
    known = {str(label) for label in labels}
    cells = [{sign: _tags(cell, sign) for sign in dict.fromkeys((usual, *_SIGNS))} for cell in values if cell]
    found = [sign for sign in dict.fromkeys((usual, *_SIGNS)) if all(known >= {*own[sign]} for own in cells)]
    several = [sign for sign in found if any(len(own[sign]) > 1 for own in cells)]
    return next(iter(several or found), None)


def _tags(cell: str, sign: str) -> list[str]:
    return [tag.strip() for tag in cell.split(sign) if tag.strip()]


def _numbers_of(
    held: Sequence[set[str]],
    matched: Mapping[int, Label],
    target: Target,
    where: str,
    names: Sequence[str],
    id_place: int | None,
) -> tuple[Label, ...]:
    """Returns which number stands in each column that holds no ids.

    Raises:
        DataError: That is not told by their names, or a column holds something else than numbers.
    """
    places = [place for place in range(len(names)) if place != id_place]
    if not matched and target.n_outputs > 1:
        raise DataError(
            f"{where}, line 1: the column {names[places[0]]!r} is named after none of the numbers that are "
            f"predicted ({some_of(target.names)}), so that it is not known which it holds. Name it so."
        )
    for place, own in zip(places, held, strict=True):
        texts = sorted(text for text in own - {""} if not NUMBER.fullmatch(text))
        if texts:
            raise DataError(
                f"{where}, column {names[place]!r} holds {some_of(texts)}, and numbers are predicted: a "
                "submission of them would be of another kind than the sample. Correct the sample, or train "
                "on what the competition asks for."
            )
    return tuple(matched.get(place, target.names[0]) for place in places)
