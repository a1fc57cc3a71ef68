"""Columns with a part of their own: what is predicted, and groups, times, folds and weights."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.arrays import Samples, check_samples
from kerasgrid.data.cells import ISO, NUMBER, CellFaults, Cells, likeliest_format, other_order, quoted_cell
from kerasgrid.data.csv_text import (
    faults_of_twins,
    line_places,
    names_of,
    read_frames,
    refuse_twins,
    stripped,
)
from kerasgrid.data.labels import are_numbers, are_whole, as_classes, labels_of_names
from kerasgrid.errors import DataError, NotBuiltError, did_you_mean
from kerasgrid.records import Table, Target
from kerasgrid.wording import listed, shown_path

MISSING = frozenset(("", "nan", "NaN"))
"""Labels that are missing; others that stand for blanks elsewhere may be classes."""
_FOLD_NAME = re.compile(r"(k[ _-]?)?folds?([ _-]?(id|no|number|index))?", re.I)
_LABEL_CELLS = 4_000_000
_FILL = "Fill it in or drop the row."
_CORRECT = "Correct it or drop the row."
_CORRECT_TARGET = f"{_CORRECT} Classes are named by data.label."
_REMEDIES = {"label": "Name it with data.label.", "id": "Correct data.id, or leave it out."}


@dataclass(frozen=True)
class Roles:
    """Which columns are no features; each None or empty where there is none.

    Attributes:
        label: That of classes.
        targets: Those of numbers to predict, in the place of a label.
        fold_file: A CSV file of ids and folds, in the place of a column.
    """

    label: str | None = "label"
    targets: tuple[str, ...] = ()
    id: str | None = None
    group: str | None = None
    time: str | None = None
    fold: str | None = None
    weight: str | None = None
    drop: tuple[str, ...] = ()
    fold_file: str | None = None

    @classmethod
    def of(cls, config: Any) -> Roles:
        """Returns those of a config's data section; `data.fold` may be a file, which is no column."""
        target = config.target
        targets = (target,) if isinstance(target, str) else tuple(target or ())
        label = config.label or "label"
        if not isinstance(label, str):
            raise NotBuiltError("data.label: several labels are not read from a CSV yet.")
        return cls(
            None if targets else label,
            targets,
            config.id,
            config.group,
            config.time,
            None if is_fold_file(config.fold) else config.fold,
            config.weight,
            tuple(config.drop),
            config.fold if is_fold_file(config.fold) else None,
        )

    def by_key(self) -> Iterator[tuple[str, str]]:
        """Yields the key of the config and the column that it names, of each."""
        yield from (("target", name) for name in self.targets)
        for key in ("label", "id", "group", "time", "fold", "weight"):
            if (name := getattr(self, key)) is not None:
                yield key, name
        yield from (("drop", name) for name in self.drop)

    @property
    def predicted(self) -> tuple[str, ...]:
        """Those that are predicted."""
        return self.targets or (() if self.label is None else (self.label,))

    @property
    def names(self) -> set[str]:
        """All of them."""
        return {name for _, name in self.by_key()}

    @property
    def special(self) -> tuple[str, ...]:
        """Those that are read beside features and labels."""
        return (*self.targets, *filter(None, (self.group, self.time, self.fold, self.weight)))

    @property
    def spelled(self) -> list[str]:
        """Those that are read as texts, whatever stands in them."""
        return [name for name in (self.label, self.id, self.group) if name is not None]

    def present(self, names: Collection[str]) -> Roles:
        """Returns those that are among some columns, as other rows than those to learn from may lack some."""
        gone = {
            key: None for key, name in self.by_key() if key not in ("target", "drop") and name not in names
        }
        targets = self.targets if set(self.targets) <= set(names) else ()
        return replace(self, targets=targets, drop=tuple(name for name in self.drop if name in names), **gone)

    def of_held_out(self, names: Collection[str], target: Target) -> Roles:
        """Returns those of a file of rows that are held out, by its columns.

        Groups, times and folds say how rows are held out, which is said by the file.
        """
        label, targets = self.label, self.targets
        if self.label is not None and target.is_numbers:
            label, targets = None, (self.label,)
        here = self.present(names)
        parts = filter(None, (here.group, here.time, here.fold, *here.drop))
        drop = {part for part in parts if part not in (here.id, label, *targets)}
        return Roles(label, targets, here.id, weight=here.weight, drop=tuple(sorted(drop)))

    @property
    def plain(self) -> dict[str, Any]:
        """All of it as plain data; of a file of folds whether there is one, as its content says the rest."""
        return {**asdict(self), "fold_file": self.fold_file is not None}

    def faults(self, names: Sequence[str], where: str) -> Iterator[str]:
        """Yields which columns are not there, or have two parts."""
        for key, name in dict.fromkeys(self.by_key()):
            if name not in names:
                guess = did_you_mean(name, names).replace(" Known:", " Columns:")
                remedy = _REMEDIES.get(key, f"Correct data.{key}.")
                yield f"{where}: no {key} column {name!r}.{guess} {remedy}"
        for (key, name), n_named in Counter(self.by_key()).items():
            if n_named > 1:
                yield f"{where}: data.{key} names {name!r} {n_named} times. Keep it once."
        taken: dict[str, str] = {}
        for key, name in dict.fromkeys(self.by_key()):
            other = taken.setdefault(name, key)
            if other != key and {other, key} != {"id", "group"}:
                yield f"{where}: data.{other} and data.{key} both name {name!r}. Keep one of them."


NO_ROLES = Roles()
"""Of a file that has a label alone, which is named so."""


def is_fold_file(fold: str | None) -> bool:
    """Tells whether `data.fold` names a file, and no column."""
    return fold is not None and Path(fold).suffix.lower() == ".csv"


def read_roles(frame: Any, roles: Roles, faults: CellFaults) -> dict[str, np.ndarray]:
    """Returns weights, groups, times and given folds as `Dataset` has them, by its names.

    Args:
        frame: pandas' DataFrame, which has the columns.
        faults: Is told of cells that are none.
    """
    readers = {
        "weights": (roles.weight, _weights),
        "groups": (roles.group, _groups),
        "times": (roles.time, _times),
        "given": (roles.fold, given_folds),
    }
    return {
        name: read(column, Cells(frame[column]), faults)
        for name, (column, read) in readers.items()
        if column is not None
    }


def told_times(frame: Any, roles: Roles) -> list[str]:
    """Returns a line on dates by which rows are ordered, where days could come first as well as months."""
    cells = None if roles.time is None else Cells(frame[roles.time])
    if cells is None or cells.is_number or cells.is_date or not cells.words:
        return []
    if not other_order(cells.words, likeliest_format(cells.words)):
        return []
    shown = quoted_cell(cells.words[0])
    return [f"time: dates such as {shown} in {roles.time!r}, month first, where it could be the day too"]


def read_targets(frame: Any, roles: Roles, faults: CellFaults) -> np.ndarray:
    """Returns the numbers to predict, (row, target) float64."""
    return np.stack(
        [_numbers(name, Cells(frame[name]), "the target", faults, _CORRECT_TARGET) for name in roles.targets],
        axis=1,
    )


def _numbers(name: str, cells: Cells, what: str, faults: CellFaults, remedy: str = _CORRECT) -> np.ndarray:
    """Returns numbers of which none may be blank; `remedy` is for a cell that is none."""
    values, is_bad = cells.numbers()
    is_blank = np.isnan(values) & ~is_bad
    faults.add(name, np.flatnonzero(is_blank), f"{what} is missing", _FILL)
    bad = np.flatnonzero(is_bad)
    if len(bad):
        faults.add(name, bad, f"{what} is {cells.shown(bad[0])}, which is no finite number", remedy)
    return values


def _weights(name: str, cells: Cells, faults: CellFaults) -> np.ndarray:
    values = _numbers(name, cells, "the weight", faults)
    below = np.flatnonzero(values < 0)
    if len(below):
        faults.add(name, below, f"the weight is {cells.shown(below[0])}", "0 or more holds.")
    if len(values) and not values.any():
        faults.add(name, np.zeros(1, np.int64), "the weight is 0 here and in all rows", "Some must count.")
    return values


def _groups(name: str, cells: Cells, faults: CellFaults) -> np.ndarray:
    faults.add(name, np.flatnonzero(cells.codes < 0), "the group is missing", _FILL)
    return cells.codes


def _times(name: str, cells: Cells, faults: CellFaults) -> np.ndarray:
    """Returns numbers as they are, and dates as days since 1970: what most cells are."""
    if cells.is_number or not cells.is_date:
        _, are_no_numbers = cells.numbers()
        if cells.is_number or not are_no_numbers.any():
            return _numbers(name, cells, "the time", faults)
    values, is_bad = cells.dates(ISO if cells.is_date else likeliest_format(cells.words))
    if not cells.is_date and are_no_numbers.sum() < is_bad.sum():
        return _numbers(name, cells, "the time", faults)
    faults.add(name, np.flatnonzero(cells.codes < 0), "the time is missing", _FILL)
    bad = np.flatnonzero(is_bad)
    if len(bad):
        what = f"the time is {cells.shown(bad[0])}, which is no date as the others are, and no number"
        faults.add(name, bad, what, _CORRECT)
    return values


def given_folds(name: str, cells: Cells, faults: CellFaults) -> np.ndarray:
    """Returns numbers of folds, (row,) int64."""
    values = _numbers(name, cells, "the fold", faults)
    odd = np.flatnonzero(np.isfinite(values) & ((values != np.floor(values)) | (values < -1)))
    if len(odd):
        remedy = "A whole number from 0 holds, or -1 of rows that are never held out."
        faults.add(name, odd, f"the fold is {cells.shown(odd[0])}", remedy)
    return np.where(np.isfinite(values), values, -1).astype(np.int64)


def check_header(names: Sequence[str], roles: Roles, where: str, more: Iterable[str] = ()) -> None:
    """Raises a DataError where the first line of a training file is none, or lacks a column that is named.

    Args:
        more: Faults that are told with those of the names.
    """
    if lacking := [name for name in roles.predicted if name not in names]:
        if all(NUMBER.fullmatch(name) for name in names):
            over = "the numbers to predict" if roles.targets else "the labels"
            raise DataError(
                f"{where}, line 1: numbers, where the columns' names are needed. Put a header line first, "
                f"with {lacking[0]!r} over {over}."
            )
        other = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
        if other:
            raise DataError(f"{where}, line 1: separated by {other!r}. Save it separated by commas.")
    line = f"{where}, line 1"
    faults = [
        *faults_of_twins(names, line, " Rename or drop the others."),
        *roles.faults(names, line),
        *more,
    ]
    if faults:
        raise DataError("\n".join(faults))


def samples_of_file(
    path: Path,
    values: np.ndarray,
    roles: Roles,
    frame: Any,
    given: tuple[np.ndarray, Sequence[str]] | None = None,
    faults: CellFaults | None = None,
    table: Table | None = None,
    report: Sequence[str] = (),
) -> Samples:
    """Returns samples of a file with what the columns that are no features say of them.

    Args:
        values: (sample, ...).
        frame: pandas' DataFrame of the columns that are no features.
        given: Which label each sample has, (sample,), and the labels as they are spelled; of the frame where
            None.
        faults: Those that were found before.
        table: What values are.
        report: Lines about them.

    Raises:
        DataError: A cell is not what its column needs.
    """
    faults = faults or CellFaults(shown_path(path), partial(line_places, path))
    known = read_roles(frame, roles, faults)
    targets = read_targets(frame, roles, faults) if roles.targets else None
    if targets is None and given is None:
        cells = Cells(frame[roles.label], MISSING, as_spelled=True)
        given = cells.codes, cells.words
        faults.add(str(roles.label), np.flatnonzero(given[0] < 0), "the label is missing", _FILL)
    if roles.fold_file is not None:
        try:
            known["given"], told = read_fold_file(roles, stripped(frame[roles.id]), path)
        except DataError as error:
            raise DataError("\n".join([*faults.told(), str(error)])) from error
        report = (*report, *told)
    faults.finish()
    report = (*report, *told_times(frame, roles))
    if targets is not None:
        labels, target = targets, Target("numbers", roles.targets)
    else:
        assert given is not None
        labels, target, line = labels_of_names(*given, str(roles.label))
        report = (*report, *([] if line is None else [line]))
    where = f"{shown_path(path)}, column {listed(roles.targets or [roles.label])}"
    check_samples(values, labels, target.names, where)
    return Samples(values, labels, target, table, report=tuple(report), **known)


def read_fold_file(roles: Roles, ids: Sequence[str], data: Path) -> tuple[np.ndarray, list[str]]:
    """Returns the fold of each sample by a CSV file of ids and folds, (sample,) int64, and lines about it.

    Args:
        roles: Name the file and the column of ids.
        ids: Of the samples, in their order.
        data: Their file.

    Raises:
        DataError: The file has no such columns, or not one fold for each id.
    """
    assert roles.fold_file is not None
    path = Path(roles.fold_file)
    where, names = shown_path(path), names_of(path)
    refuse_twins(names, where)
    if roles.id not in names:
        raise DataError(f"{where}, line 1: no column {roles.id!r}, which data.id names: {listed(names)}.")
    others = [name for name in names if name != roles.id]
    column = next(
        (name for name in others if _FOLD_NAME.fullmatch(name)), others[0] if len(others) == 1 else None
    )
    if column is None:
        raise DataError(f"{where}, line 1: no column 'fold' beside {roles.id!r}: {listed(names)}.")
    (frame,) = read_frames(path, [str(roles.id)], only=[str(roles.id), column])
    faults = CellFaults(where, partial(line_places, path))
    folds = given_folds(column, Cells(frame[column]), faults)
    told = dict(zip(stripped(frame[roles.id]), folds.tolist(), strict=True))
    twins = np.flatnonzero(frame[roles.id].str.strip().duplicated())
    faults.add(str(roles.id), twins, "the id comes a second time", "Each has one fold.")
    faults.finish()
    missing = [id for id in ids if id not in told]
    if missing:
        raise DataError(
            f"{where}: has no fold of {listed(missing)}, which {shown_path(data)} has. Each id needs one."
        )
    n_left = len(told) - len(set(ids))
    lines = [f"{where}: {n_left:,} ids that {shown_path(data)} has not are left out"] if n_left else []
    return np.array([told[id] for id in ids], np.int64), lines


def label_reader(path: Path, roles: Roles) -> Callable[[list[Any] | None], list[Any] | None]:
    """Returns what makes labels of cells: ints or floats where all of a file are such, else as they are.

    Of numbers to predict a sample has a tuple of floats; None where a cell is no number.
    """
    columns = roles.predicted
    if not columns:
        return lambda cells: None
    are_whole_ = are_numbers_ = True
    # Of a file that is damaged for as much as can be read of it: the reading of all of it says what is wrong.
    with contextlib.suppress(ValueError, OverflowError):
        for frame in read_frames(path, columns, only=columns, n_rows=_LABEL_CELLS // len(columns)):
            words = {cell.strip() for name in columns for cell in frame[name].unique()}
            are_whole_ &= are_whole(words)
            are_numbers_ &= are_numbers(words)
    if roles.targets:
        if not are_numbers_:
            return lambda cells: None
        return lambda rows: [tuple(map(float, cells)) for cells in rows or ()]
    if are_whole_:
        return lambda cells: as_classes(cells or ())
    return (lambda cells: [float(cell) for cell in cells or ()]) if are_numbers_ else lambda cells: cells
