"""Columns of a table that are features: what each is, guessed where it is not said, and its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kerasgrid.config.sections import Features
from kerasgrid.data.arrays import check_memory
from kerasgrid.data.cells import (
    ISO,
    CellFaults,
    Cells,
    Places,
    date_format,
    likeliest_format,
    other_order,
    quoted_cell,
)
from kerasgrid.data.csv_text import faults_of_twins
from kerasgrid.errors import DataError, did_you_mean
from kerasgrid.records import Column, Table
from kerasgrid.wording import count, listed

_KINDS: tuple[Literal["numeric", "categorical", "date"], ...] = ("numeric", "categorical", "date")
_FEW = 20
"""So many categories are always categories."""
_NAMED = 5
"""So many columns of a kind are told by name."""
_ODD = 0.1
"""Fewer cells than that are faults among numbers or dates; more make a column of categories or texts."""
_WORDS = 5
"""Cells of more words on average are texts."""
_OTHERWISE = "; data.features.categorical takes a column as it is, and data.drop leaves it out."
_COUNTED = 20
"""So many rows that are numbered are no chance."""


@dataclass(frozen=True)
class Finding:
    """What a column of a table was found to be.

    Attributes:
        kind: As in `Column`; None for one that is left out.
        reason: What it holds.
        n_blanks: Cells that are blank.
        is_said: Whether `data.features` names it.
    """

    name: str
    kind: Literal["numeric", "categorical", "date"] | None
    reason: str
    n_blanks: int = 0
    is_said: bool = False


def learn_table(
    frame: Any, names: Sequence[str], said: Features, faults: CellFaults
) -> tuple[Table, np.ndarray, list[Finding]]:
    """Returns what the columns of training data are.

    Args:
        frame: pandas' DataFrame.
        names: Its columns that may be features.
        said: What is said of them.
        faults: Is told of cells that are not of the kind that is said.

    Returns:
        The table; its values, (row, column) float64; and what each of `names` was found to be.

    Raises:
        DataError: What is said names another column, or no column is a feature.
    """
    check_memory(3 * 8 * len(frame) * len(names), faults.where)
    if found := list(said_faults(said, frame.columns, names, faults.where)):
        raise DataError("\n".join(found))
    kinds = {name: kind for kind in _KINDS for name in getattr(said, kind)}
    findings, columns, values = [], [], []
    for name in names:
        cells = Cells(frame[name])
        finding = _said(name, cells, kinds[name]) if name in kinds else _guess(name, cells, faults.places)
        findings.append(finding)
        if finding.kind is None:
            continue
        column = _column(finding, cells)
        columns.append(column)
        values.append(_values(cells, column, faults, _OTHERWISE))
    if not columns:
        left = _left_out(findings)
        raise DataError(
            f"{faults.where}: no column is a feature{f': {left}' if left else ''}. Name one in data.features."
        )
    return Table(tuple(columns), said.scaler), np.stack(values, axis=1), findings


def values_of_table(frame: Any, table: Table, faults: CellFaults) -> np.ndarray:
    """Returns the values of other rows of a table, (row, column) float64.

    Args:
        frame: pandas' DataFrame, which has the table's columns.
        faults: Is told of cells that are not of their column's kind.
    """
    values = np.empty((len(frame), len(table.columns)))
    for place, column in enumerate(table.columns):
        values[:, place] = _values(Cells(frame[column.name]), column, faults)
    return values


def _left_out(findings: Sequence[Finding]) -> str:
    return ", ".join(f"{finding.name!r} ({finding.reason})" for finding in findings)


def faults_of_names(names: Sequence[str], table: Table, where: str) -> Iterator[str]:
    """Yields why other rows' columns are not those of a table: some have the same name, or are lacking."""
    yield from faults_of_twins(names, where)
    lacking = [column.name for column in table.columns if column.name not in names]
    if lacking:
        guess = did_you_mean(lacking[0], list(names)).replace(" Known:", " Columns:")
        yield f"{where}: lacks {listed(lacking)}, which the training data have as features.{guess}"


def unknown_categories(table: Table, values: np.ndarray) -> dict[str, int]:
    """Returns by column how many values are of a category that the training data have not."""
    counts = {
        column.name: int((values[:, place] < 0).sum())
        for place, column in enumerate(table.columns)
        if column.kind == "categorical"
    }
    return {name: n for name, n in counts.items() if n}


def told(findings: Sequence[Finding]) -> list[str]:
    """Returns lines on what columns were found to be, of which the guesses can be corrected."""
    names: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for finding in findings:
        if finding.kind is not None:
            names[finding.kind].append(finding.name)
    kinds = [f"{len(own)} {kind} ({_first_of(own)})" for kind, own in names.items() if own]
    is_said = {finding.is_said for finding in findings if finding.kind is not None}
    guess = "; guessed, and data.features corrects it" if is_said == {False} else ""
    if len(is_said) == 2:
        guess = "; what data.features does not name is guessed"
    lines = [f"features: {'; '.join(kinds)}{guess}"]
    if left := [finding for finding in findings if finding.kind is None]:
        lines.append(f"left out: {_left_out(left)}; data.features takes what it names all the same")
    kept = [finding for finding in findings if finding.kind is not None and finding.n_blanks]
    blank = sorted(kept, key=lambda one: -one.n_blanks)
    if blank:
        most = blank[0]
        lines.append(
            f"blank cells: in {count(len(blank), 'column')}, most in {most.name!r}, {most.n_blanks:,}; such "
            "numbers and dates become the median of the training folds, and a feature beside tells of it"
        )
    return lines


def _first_of(names: Sequence[str]) -> str:
    """Returns `'a', 'b'`; of many names the first ones, whose number stands before them."""
    return ", ".join(map(repr, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")


def notes_on_unknown(table: Table, values: np.ndarray, where: str) -> list[str]:
    """Returns a line on categories in other rows that a table has not; none where it has all."""
    counts = unknown_categories(table, values)
    return [f"{where}: {told_unknown(counts)}"] if counts else []


def told_unknown(counts: Mapping[str, int]) -> str:
    """Returns a sentence on categories that the training data have not, from how many cells are of such."""
    columns = ", ".join(f"{name!r} ({n:,})" for name, n in counts.items())
    return f"cells of a category that the training data have not, which count as blank: {columns}"


def said_faults(said: Features, known: Collection[str], names: Sequence[str], where: str) -> Iterator[str]:
    """Yields what is said of columns that cannot be.

    Args:
        known: All columns that there are.
        names: Those that may be features.
    """
    kinds: dict[str, str] = {}
    for kind in _KINDS:
        for name, n_named in Counter(getattr(said, kind)).items():
            if n_named > 1:
                yield f"{where}: data.features.{kind} names {name!r} {n_named} times: keep it once."
            if name not in names:
                what = "has a part of its own" if name in known else "is no column"
                guess = "" if name in known else did_you_mean(name, names).replace(" Known:", " Columns:")
                yield f"{where}: data.features.{kind} names {name!r}, which {what}.{guess}"
            elif kinds.setdefault(name, kind) != kind:
                yield f"{where}: data.features names {name!r} as {kinds[name]} and as {kind}: keep one."


def _said(name: str, cells: Cells, kind: Any) -> Finding:
    is_blank = cells.column.isna() if cells.is_number or cells.is_date else cells.codes < 0
    return Finding(name, kind, "as data.features says", int(is_blank.sum()), is_said=True)


def _guess(name: str, cells: Cells, places: Places) -> Finding:
    """Returns what a column is taken for; `places` as CellFaults has it."""
    if cells.is_number:
        return _guess_of_numbers(name, cells)
    words = cells.words
    n_blanks = int((cells.codes < 0).sum())
    n_filled = len(cells.codes) - n_blanks
    if not words:
        return Finding(name, None, "blank in all rows", n_blanks)
    if len(words) == 1 and not n_blanks:
        return Finding(name, None, f"{quoted_cell(words[0])} in all rows", n_blanks)
    if cells.is_category:
        return Finding(name, "categorical", f"{len(words):,} categories", n_blanks)
    if cells.is_date:
        return Finding(name, "date", "dates", n_blanks)
    if cells.has_truths:
        return Finding(name, "numeric", f"truth values: {', '.join(sorted(words))}", n_blanks)
    if cells.are_numbers:
        return Finding(name, "numeric", "numbers", n_blanks)
    if way := date_format(words):
        order = "; month first, where it could be the day too" if other_order(words, way) else ""
        return Finding(name, "date", f"dates such as {quoted_cell(words[0])}{order}", n_blanks)
    if len(words) > _FEW and sum(len(word.split()) for word in words) > _WORDS * len(words):
        return Finding(name, None, "text, which is not read yet", n_blanks)
    if nearly := _nearly(cells, n_filled, places):
        return Finding(name, None, nearly, n_blanks)
    if n_filled == len(words):
        return Finding(name, None, "another value in each row", n_blanks)
    if len(words) > max(_FEW, n_filled / 2):
        return Finding(name, None, f"{len(words):,} values in {n_filled:,} cells", n_blanks)
    return Finding(name, "categorical", f"{len(words):,} categories", n_blanks)


def _nearly(cells: Cells, n_filled: int, places: Places) -> str | None:
    """Returns what is wrong with cells of which most are numbers or dates; None where they are others."""
    words = cells.words
    if len(words) <= _FEW:
        return None
    if cells.are_written_numbers:
        return f"numbers such as {quoted_cell(words[0])}: write them like 1234.5"
    for what, is_bad in (("numbers", cells.numbers()[1]), ("dates", cells.dates(likeliest_format(words))[1])):
        bad = np.flatnonzero(is_bad)
        if len(bad) < _ODD * n_filled:
            which = f"{len(bad):,} cells, the first " if len(bad) > 1 else ""
            it = "them" if len(bad) > 1 else "it"
            (place,) = places(bad[:1].tolist())
            return (
                f"{what}, but for {which}{cells.shown(bad[0])} in {place}: correct {it}, or leave {it} blank"
            )
    return None


def _guess_of_numbers(name: str, cells: Cells) -> Finding:
    values, _ = cells.numbers()
    n_blanks = int(np.isnan(values).sum())
    if n_blanks == len(values):
        return Finding(name, None, "blank in all rows", n_blanks)
    if not n_blanks and (values == values[0]).all():
        return Finding(name, None, f"{values[0]:g} in all rows", n_blanks)
    if len(values) >= _COUNTED and (values == values[0] + np.arange(len(values))).all():
        return Finding(name, None, "the rows' numbers", n_blanks)
    what = "truth values" if cells.column.dtype.kind == "b" else "numbers"
    return Finding(name, "numeric", what, n_blanks)


def _column(finding: Finding, cells: Cells) -> Column:
    """Returns what is known of a column that is a feature."""
    assert finding.kind is not None
    if finding.kind == "numeric":
        return Column(finding.name, "numeric", has_blanks=bool(np.isnan(cells.numbers()[0]).any()))
    has_blanks = bool((cells.codes < 0).any())
    if finding.kind == "categorical":
        return Column(finding.name, "categorical", tuple(sorted(cells.words)), has_blanks)
    way = ISO if cells.is_date else likeliest_format(cells.words)
    days, _ = cells.dates(way)
    days = days[~np.isnan(days)]
    has_times = bool((days != np.floor(days)).any())
    return Column(finding.name, "date", (), has_blanks, has_times, way)


def _values(cells: Cells, known: Column, faults: CellFaults, otherwise: str = ".") -> np.ndarray:
    """Returns the values of a column, (row,) float64.

    Args:
        otherwise: What messages end with.
    """
    if known.kind == "categorical":
        return cells.places(known.categories)
    if known.kind == "numeric":
        values, is_bad = cells.numbers()
        what = "no number that float32 holds"
    else:
        values, is_bad = cells.dates(known.date_format)
        what = "no date such as 2024-02-29"
        if known.date_format != ISO:
            what = f"no date that is written as the others, {known.date_format}"
    rows = np.flatnonzero(is_bad)
    if len(rows):
        complaint = f"{cells.shown(rows[0])} is {what}"
        faults.add(known.name, rows, complaint, f"Correct it, or leave the cell blank{otherwise}")
    return values
