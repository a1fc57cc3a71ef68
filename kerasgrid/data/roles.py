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

from kerasgrid.config.sections import LabelColumn
from kerasgrid.data.cells import ISO, NUMBER, CellFaults, Cells, likeliest_format, other_order, quoted_cell
from kerasgrid.data.csv_text import (
    CsvFile,
    faults_of_twins,
    line_places,
    read_frames,
    refuse_twins,
    stripped,
)
from kerasgrid.data.labels import are_numbers, are_whole, as_classes, labels_of_names
from kerasgrid.data.pictures import Pictures
from kerasgrid.data.samples import Samples, check_samples
from kerasgrid.errors import DataError, did_you_mean
from kerasgrid.records import Table, Target
from kerasgrid.wording import listed

MISSING = frozenset(("", "nan", "NaN"))
"""Labels that are missing; others that stand for blanks elsewhere may be classes."""
_FOLD_NAME = re.compile(r"(k[ _-]?)?folds?([ _-]?(id|no|number|index))?", re.I)
_LABEL_CELLS = 4_000_000
_FILL = "Fill it in or drop the row."
_CORRECT = "Correct it or drop the row."
_CORRECT_TARGET = f"{_CORRECT} Classes are named by data.label."
_UNLABELLED = "without a label"
_REMEDIES = {"label": "Name it with data.label.", "id": "Correct data.id, or leave it out."}


@dataclass(frozen=True)
class Roles:
    """Which columns are no features; each None or empty where there is none.

    Attributes:
        label: That of classes.
        targets: Those of numbers to predict, in the place of a label.
        labels: Those of 0 and 1, a label each, in the place of one.
        tags: That whose cells hold several labels each, in the place of one.
        split: What stands between the labels of a cell.
        words: The labels of the training data, where `tags` is of other rows; none to take all that there
            are.
        fold_file: A CSV file of ids and folds, in the place of a column.
    """

    label: str | None = "label"
    targets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    tags: str | None = None
    split: str = " "
    words: tuple[str, ...] = ()
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
        said = config.label or "label"
        split = said if isinstance(said, LabelColumn) else None
        one = said if isinstance(said, str) else None
        return cls(
            label=None if targets else one,
            targets=targets,
            labels=() if split or one or targets else tuple(said),
            tags=None if split is None or targets else split.column,
            split=" " if split is None else split.split,
            id=config.id,
            group=config.group,
            time=config.time,
            fold=None if is_fold_file(config.fold) else config.fold,
            weight=config.weight,
            drop=tuple(config.drop),
            fold_file=config.fold if is_fold_file(config.fold) else None,
        )

    def by_key(self) -> Iterator[tuple[str, str]]:
        """Yields the key of the config and the column that it names, of each."""
        yield from (("target", name) for name in self.targets)
        yield from (("label", name) for name in (*self.labels, *filter(None, (self.tags,))))
        for key in ("label", "id", "group", "time", "fold", "weight"):
            if (name := getattr(self, key)) is not None:
                yield key, name
        yield from (("drop", name) for name in self.drop)

    @property
    def predicted(self) -> tuple[str, ...]:
        """Those that are predicted."""
        return self.targets or self.labels or tuple(filter(None, (self.tags or self.label,)))

    @property
    def are_several(self) -> bool:
        """Whether a sample may have several labels, or none."""
        return bool(self.labels) or self.tags is not None

    @property
    def without_predicted(self) -> Roles:
        """The others, where what is predicted is given beside them."""
        return replace(self, label=None, targets=(), labels=(), tags=None)

    @property
    def names(self) -> set[str]:
        """All of them."""
        return {name for _, name in self.by_key()}

    @property
    def special(self) -> tuple[str, ...]:
        """Those that are read beside features and labels of classes."""
        one_each = self.tags, self.group, self.time, self.fold, self.weight
        return (*self.targets, *self.labels, *filter(None, one_each))

    @property
    def spelled(self) -> list[str]:
        """Those that are read as texts, whatever stands in them."""
        return [name for name in (self.label, self.tags, self.id, self.group) if name is not None]

    def present(self, names: Collection[str]) -> Roles:
        """Returns those that are among some columns, as other rows than those to learn from may lack some."""
        here = set(names)
        gone: dict[str, Any] = {key: None for key in _ONE_EACH if getattr(self, key) not in here}
        return replace(
            self,
            targets=self.targets if set(self.targets) <= here else (),
            labels=self.labels if set(self.labels) <= here else (),
            drop=tuple(name for name in self.drop if name in here),
            **gone,
        )

    def of_labels(self, target: Target | None) -> Roles:
        """Returns the same of other rows than those to learn from, whose labels are among the latter's."""
        known = self.tags is not None and target is not None
        return replace(self, words=target.names) if known and target is not None else self

    def of_held_out(self, names: Collection[str], target: Target) -> Roles:
        """Returns those of a file of rows that are held out, by its columns.

        Groups, times and folds say how rows are held out, which is said by the file.
        """
        own = self.of_labels(target)
        if self.label is not None and target.is_numbers:
            own = replace(own, label=None, targets=(self.label,))
        here = self.present(names)
        parts = filter(None, (here.group, here.time, here.fold, *here.drop))
        drop = {part for part in parts if part not in (here.id, *own.predicted)}
        return replace(
            own, id=here.id, group=None, time=None, fold=None, weight=here.weight, drop=tuple(sorted(drop)),
            fold_file=None,
        )  # fmt: skip

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


_ONE_EACH = ("label", "tags", "id", "group", "time", "fold", "weight")
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
        [
            _numbers(name, Cells(frame[name]), "the target", faults, _CORRECT_TARGET, _UNLABELLED)
            for name in roles.targets
        ],
        axis=1,
    )


def read_labels(frame: Any, roles: Roles, faults: CellFaults) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns labels of which a row may have several, (row, label) uint8, and what each is called.

    Raises:
        DataError: Cells hold one label alone.
    """
    if roles.tags is None:
        columns = [_flags(name, Cells(frame[name]), faults) for name in roles.labels]
        return np.stack(columns, axis=1), roles.labels
    cells = Cells(frame[roles.tags], {""}, as_spelled=True)
    several = [split_labels(word, roles.split) for word in cells.words]
    names = roles.words or tuple(sorted({name for own in several for name in own}))
    if len(names) < 2:
        told = f"the label {names[0]!r} alone" if names else "no labels"
        raise DataError(
            f"{faults.where}, column {roles.tags!r}: holds {told}, with data.label.split {roles.split!r} "
            "between labels. Two labels at least are needed."
        )
    place = {name: index for index, name in enumerate(names)}
    rows = np.zeros((len(several) + 1, len(names)), np.uint8)  # the last one of blank cells
    for row, own in enumerate(several):
        if unknown := [name for name in own if name not in place]:
            what = f"the label {unknown[0]!r} is none of the training data's"
            faults.add(roles.tags, np.flatnonzero(cells.codes == row), what, _CORRECT)
        rows[row, [place[name] for name in own if name in place]] = 1
    return rows[cells.codes], names


def read_classes(frame: Any, roles: Roles, faults: CellFaults) -> tuple[np.ndarray, list[str]]:
    """Returns which class each row has, (row,) int64, -1 for none, and the classes as they are spelled."""
    cells = Cells(frame[roles.label], MISSING, as_spelled=True)
    missing = np.flatnonzero(cells.codes < 0)
    faults.add(str(roles.label), missing, "the label is missing", _FILL, _UNLABELLED)
    return cells.codes, cells.words


def split_labels(cell: str, split: str) -> list[str]:
    """Returns the labels in a cell."""
    parts = cell.split(None if split.isspace() else split)
    return [name for part in parts if (name := part.strip())]


def _flags(name: str, cells: Cells, faults: CellFaults) -> np.ndarray:
    """Returns 0 and 1, (row,) uint8."""
    values, is_bad = cells.numbers()
    is_blank = np.isnan(values) & ~is_bad
    faults.add(name, np.flatnonzero(is_blank), "the label is missing", f"0 or 1 holds. {_FILL}", _UNLABELLED)
    bad = np.flatnonzero(~is_blank & (is_bad | ((values != 0) & (values != 1))))
    if len(bad):
        faults.add(
            name, bad, f"the label is {cells.shown(bad[0])}", "0 or 1 holds, of several labels a sample."
        )
    return (values == 1).astype(np.uint8)


def _numbers(
    name: str,
    cells: Cells,
    what: str,
    faults: CellFaults,
    remedy: str = _CORRECT,
    left_out_as: str | None = None,
) -> np.ndarray:
    """Returns numbers of which none may be blank.

    Args:
        remedy: For a cell that is none.
        left_out_as: As `CellFaults.add` has it, for a blank one.
    """
    values, is_bad = cells.numbers()
    is_blank = np.isnan(values) & ~is_bad
    faults.add(name, np.flatnonzero(is_blank), f"{what} is missing", _FILL, left_out_as)
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


def check_header(names: Sequence[str], roles: Roles, file: CsvFile, more: Iterable[str] = ()) -> None:
    """Raises a DataError where the first line of a training file is none, or lacks a column that is named.

    Args:
        more: Faults that are told with those of the names.
    """
    line = file.first_line
    if file.has_header and (lacking := [name for name in roles.predicted if name not in names]):
        if all(NUMBER.fullmatch(name) for name in names):
            over = "the numbers to predict" if roles.targets else "the labels"
            raise DataError(
                f"{line}: numbers, where the columns' names are needed. Put a header line first, with "
                f"{lacking[0]!r} over {over}; or write data.header: none, and name columns by their places, "
                "from 0."
            )
        other = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
        if other:
            tabs = ", or name it .tsv" if other == "\t" else ""
            raise DataError(f"{line}: separated by {other!r}. Save it separated by commas{tabs}.")
    faults = [
        *faults_of_twins(names, line, " Rename or drop the others."),
        *roles.faults(names, line),
        *more,
    ]
    if faults:
        raise DataError("\n".join(faults))


def samples_of_file(
    file: CsvFile,
    values: np.ndarray | Pictures,
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
    faults = faults or CellFaults(file.where, partial(line_places, file))
    known = read_roles(frame, roles, faults)
    targets = read_targets(frame, roles, faults) if roles.targets else None
    several = read_labels(frame, roles, faults) if roles.are_several else None
    if targets is None and several is None and given is None:
        given = read_classes(frame, roles, faults)
    if roles.fold_file is not None:
        try:
            known["given"], told = read_fold_file(roles, stripped(frame[roles.id]), file)
        except DataError as error:
            raise DataError("\n".join([*faults.told(), str(error)])) from error
        report = (*report, *told)
    faults.finish()
    report = (*report, *told_times(frame, roles))
    if targets is not None:
        labels, target = targets, Target("numbers", roles.targets)
    elif several is not None:
        labels, target = several[0], Target("labels", several[1])
        if roles.tags is not None and not (labels.sum(axis=1) > 1).any():
            alone = f"no cell of {roles.tags!r} has {roles.split!r} between labels: each has one at most"
            report = (*report, f"label: {alone}")
    else:
        assert given is not None
        labels, target, line = labels_of_names(*given, str(roles.label))
        report = (*report, *([] if line is None else [line]))
    where = f"{file.where}, column {listed(roles.predicted)}"
    check_samples(values, labels, where)
    others: dict[str, Any] = {**known, "report": tuple(report)}
    return Samples(values, labels, target, table, **others)


def read_fold_file(roles: Roles, ids: Sequence[str], data: CsvFile) -> tuple[np.ndarray, list[str]]:
    """Returns the fold of each sample by a CSV file of ids and folds, (sample,) int64, and lines about it.

    Args:
        roles: Name the file and the column of ids.
        ids: Of the samples, in their order.
        data: Their file.

    Raises:
        DataError: The file has no such columns, or not one fold for each id.
    """
    assert roles.fold_file is not None
    file = CsvFile(Path(roles.fold_file))
    where, names = file.where, file.names()
    refuse_twins(names, where)
    if roles.id not in names:
        raise DataError(f"{where}, line 1: no column {roles.id!r}, which data.id names: {listed(names)}.")
    others = [name for name in names if name != roles.id]
    column = next(
        (name for name in others if _FOLD_NAME.fullmatch(name)), others[0] if len(others) == 1 else None
    )
    if column is None:
        raise DataError(f"{where}, line 1: no column 'fold' beside {roles.id!r}: {listed(names)}.")
    (frame,) = read_frames(file, [str(roles.id)], only=[str(roles.id), column])
    faults = CellFaults(where, partial(line_places, file))
    folds = given_folds(column, Cells(frame[column]), faults)
    told = dict(zip(stripped(frame[roles.id]), folds.tolist(), strict=True))
    twins = np.flatnonzero(frame[roles.id].str.strip().duplicated())
    faults.add(str(roles.id), twins, "the id comes a second time", "Each has one fold.")
    faults.finish()
    missing = [id for id in ids if id not in told]
    if missing:
        raise DataError(
            f"{where}: has no fold of {listed(missing)}, which {data.where} has. Each id needs one."
        )
    n_left = len(told) - len(set(ids))
    lines = [f"{where}: {n_left:,} ids that {data.where} has not are left out"] if n_left else []
    return np.array([told[id] for id in ids], np.int64), lines


def label_reader(file: CsvFile, roles: Roles) -> Callable[[list[Any] | None], list[Any] | None]:
    """Returns what makes labels of cells: ints or floats where all of a file are such, else as they are.

    Of numbers to predict a sample has a tuple of floats, and of several labels one of 0 and 1, in the order
    of the training data's; None where a cell is none.
    """
    columns = roles.predicted
    if not columns:
        return lambda cells: None
    if roles.tags is not None:
        split, words = roles.split, roles.words
        return lambda cells: [_as_flags(split_labels(cell, split), words) for cell in cells or ()]
    are_whole_ = are_numbers_ = True
    # Of a file that is damaged for as much as can be read of it: the reading of all of it says what is wrong.
    with contextlib.suppress(ValueError, OverflowError):
        for frame in read_frames(file, columns, only=columns, n_rows=_LABEL_CELLS // len(columns)):
            words_ = {cell.strip() for name in columns for cell in frame[name].unique()}
            are_whole_ &= are_whole(words_)
            are_numbers_ &= are_numbers(words_)
    if roles.targets or roles.labels:
        if not are_numbers_:
            return lambda cells: None
        number = float if roles.targets else _as_flag
        return lambda rows: [tuple(map(number, cells)) for cells in rows or ()]
    if are_whole_:
        return lambda cells: as_classes(cells or ())
    return (lambda cells: [float(cell) for cell in cells or ()]) if are_numbers_ else lambda cells: cells


def _as_flag(cell: str) -> float:
    """Returns 0 or 1 as an int, and another number as it is, which the scoring refuses."""
    return int(float(cell)) if float(cell) in (0, 1) else float(cell)


def _as_flags(labels: Collection[str], words: Sequence[str]) -> tuple[int, ...]:
    """Returns for each of some words whether it is among the labels, 0 or 1."""
    return tuple(int(word in labels) for word in words)
