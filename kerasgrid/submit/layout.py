"""How a submission looks, and writing predictions so: columns, ids in order, what stands in the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kerasgrid.data.columns import WHOLE_NUMBER
from kerasgrid.errors import DataError
from kerasgrid.io import write_atomic
from kerasgrid.records import Target
from kerasgrid.submit.columns import (
    Holds,
    Label,
    cell_text,
    find_id_place,
    first_few,
    match_columns,
    read_cells,
    repeated,
    sign_between,
    some_of,
    spelled,
    what_is_held,
)
from kerasgrid.wording import count, shown_path

_CHUNK_ROWS = 65_536
_MOST_VALUES = 10_000
"""Different cells of a column that are looked at; more than that are no labels."""
_CONVENTIONS = {"ImageId/Label": 1, "id/label": 0}
_SPOKEN = {" ": "a blank", ",": "a comma"}
SLACK = 1e-4
"""How far a probability may lie outside 0 to 1, as float16 and float32 sums do."""


@dataclass(frozen=True)
class Layout:
    """How a submission looks.

    Attributes:
        source: What messages call it, such as `data/sample_submission.csv`.
        header: The columns' names in order, each as the sample spells it.
        id_place: Which column holds the ids; None where there is none.
        ids: The ids in order, each as the sample spells it; None where the test set's rows are counted.
        lines: The line of each id in the sample.
        holds: What stands in the other columns.
        names: Of what each column that is no ids is: the class, or the number that is predicted, in the
            columns' order; of labels, all that may stand there.
        first_id: Where ids that no one gives are counted from.
        sign: What stands between labels of a sample, of tags.
        shows_whole: Whether the sample's numbers are whole ones, and not one alone that fills a column.
    """

    source: str
    header: tuple[str, ...]
    id_place: int | None
    ids: tuple[str, ...] | None
    lines: tuple[int, ...]
    holds: Holds
    names: tuple[Label, ...]
    first_id: int = 0
    shows_whole: bool = False
    sign: str = " "

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(map(cell_text, self.header))

    @property
    def value_places(self) -> tuple[int, ...]:
        """Which columns are no ids."""
        return tuple(place for place in range(len(self.header)) if place != self.id_place)

    @property
    def summary(self) -> str:
        """What a submission holds, in a line."""
        names = [self.columns[place] for place in self.value_places]
        what = {
            Holds.labels: "the label of the most probable class",
            Holds.positive: f"the probability of {some_of(self.names)}",
            Holds.probabilities: "a probability a class",
            Holds.flags: "1 or 0 each" if len(self.names) > 1 else f"1 for {some_of(self.names)}, else 0",
            Holds.tags: f"all labels of a sample, with {_SPOKEN.get(self.sign, self.sign)} between",
            Holds.numbers: ("the number" if len(names) == 1 else "a number each")
            + (", with decimals that the sample has not" * self.shows_whole),
        }[self.holds]
        shown_names = ", ".join(names if len(names) <= 4 else [*names[:3], "...", names[-1]])
        rows = "" if self.ids is None else f", {count(len(self.ids), 'row')}"
        return f"{shown_names}: {what}{rows}"

    def write(
        self,
        path: Path,
        ids: Sequence[object] | None,
        predictions: np.ndarray,
        names: Sequence[Label],
        thresholds: Sequence[float] | None = None,
    ) -> None:
        """Writes predictions as the sample shows it, whole or not at all.

        Where both have ids, rows are put into the sample's order by them; where the test set has none, row
        order holds; where the sample has none of its own, the test set's are written, else rows are counted.

        Args:
            path: The file to write; what was there is replaced.
            ids: The test set's ids, a row each; None where it has none.
            predictions: In the test set's order, (sample, class), float32, 0 to 1; or (sample, number),
                float. May be mapped from disk.
            names: What each column of `predictions` is of.
            thresholds: At which a sample has each of several labels, in the order of `names`; None for 0.5.

        Raises:
            DataError: Ids or counts do not fit, or a prediction is none; all faults together, with rows.
            StorageError: The file cannot be written.
        """
        faults = [*self._shape_faults(ids, predictions, names)]
        if faults:
            raise DataError("\n".join(faults))
        order, id_faults = self._order(ids, len(predictions))
        faults = [*id_faults, *_value_faults(predictions, ids, self.holds)]
        if faults:
            raise DataError("\n".join(faults))
        own_ids = self.ids or self._ids_of(ids, len(predictions))

        def write(file: BinaryIO) -> None:
            file.write((",".join(self.header) + "\n").encode())
            for rows in _chunks(len(predictions)):
                chosen = rows if order is None else order[rows]
                cells = self._cells(np.asarray(predictions[chosen]), list(names), thresholds)
                if self.id_place is not None:
                    cells.insert(self.id_place, list(own_ids[rows]))
                lines = map(",".join, zip(*cells, strict=True))
                file.write(("\n".join(lines) + "\n").encode())

        write_atomic(path, write)

    def _ids_of(self, ids: Sequence[object] | None, n_rows: int) -> list[str]:
        if ids is not None:
            return [spelled(id) for id in ids]
        return list(map(str, range(self.first_id, self.first_id + n_rows)))

    def _cells(
        self, predictions: np.ndarray, names: list[Label], thresholds: Sequence[float] | None
    ) -> list[list[str]]:
        """Returns the columns that are no ids of some rows, each a list of cells."""
        if self.holds is Holds.labels:
            texts = np.array([spelled(label) for label in names], object)
            return [texts[predictions.argmax(axis=1)].tolist()]
        places = [names.index(name) for name in self.names]
        values, cuts = predictions[:, places], 0.5 if thresholds is None else np.asarray(thresholds)[places]
        if self.holds is Holds.flags:
            return (values >= cuts).astype(int).astype(str).T.tolist()
        if self.holds is Holds.tags:
            texts = np.array(list(map(str, self.names)), object)
            return [[spelled(self.sign.join(texts[has])) for has in values >= cuts]]
        if self.holds is not Holds.numbers:
            values = np.clip(values.astype(np.float32), 0, 1)
        # The shortest decimals that are the same float again; none is -0.0.
        return (values + 0).astype(str).T.tolist()

    def _shape_faults(
        self, ids: Sequence[object] | None, predictions: np.ndarray, names: Sequence[Label]
    ) -> Iterator[str]:
        n_rows = len(predictions)
        are_numbers = self.holds is Holds.numbers
        if np.ndim(predictions) != 2 or np.shape(predictions)[1] != len(names):
            what = "number" if are_numbers else "class"
            yield (
                f"predictions are of shape {np.shape(predictions)}, and (sample, {what}) with "
                f"{count(len(names), 'column')} holds, one a {what}."
            )
        elif not n_rows:
            yield "predictions have no rows, and a submission needs one at least."
        if ids is not None and len(ids) != n_rows:
            yield f"{count(len(ids), 'id')} for {count(n_rows, 'row')} of predictions; give one a row."
        known = set(names)
        is_some = self.holds in (Holds.positive, Holds.flags, Holds.tags, Holds.numbers)
        if not (known >= set(self.names) if is_some else known == set(self.names or names)):
            what = "" if are_numbers else "the classes "
            yield (
                f"{self.source}: made for {what}{some_of(self.names)}, and the "
                f"predictions are of {some_of(list(names))}. Read the form for these."
            )

    def _order(self, ids: Sequence[object] | None, n_rows: int) -> tuple[np.ndarray | None, list[str]]:
        """Returns which row of the predictions comes where, None as they are; and what stands against it."""
        if ids is None:
            if self.ids is not None and len(self.ids) != n_rows:
                return None, [
                    f"{self.source} has {count(len(self.ids), 'row')}, and there are {n_rows:,} predictions. "
                    "The test set has no ids to match them by, so that counts must agree: predict the "
                    "competition's test set, or name its id column with data.id."
                ]
            return None, []
        texts = [str(id).strip() for id in ids]
        faults = list(repeated(texts, range(1, n_rows + 1), "test set, row"))
        if self.ids is None:
            return None, faults
        known = [cell_text(id) for id in self.ids]
        if not set(texts) & set(known):
            texts, known = _as_numbers(texts, known)
        place = {text: row for row, text in enumerate(texts)}
        wanted = set(known)
        strange = [row for row, text in enumerate(texts) if text not in wanted]
        faults += first_few(
            (f"test set, row {row + 1}: id {texts[row]!r} is not in {self.source}." for row in strange),
            len(strange),
            f"ids that {self.source} does not have",
        )
        missing = [row for row, text in enumerate(known) if text not in place]
        faults += first_few(
            (
                f"{self.source}, line {self.lines[row]}: id {known[row]!r} is not in the test set."
                for row in missing
            ),
            len(missing),
            "ids that the test set does not have",
        )
        if faults:
            if len(strange) == n_rows:
                faults.append(
                    f"No id of the test set is in {self.source}: is data.id the column that it goes by?"
                )
            return None, faults
        return np.array([place[text] for text in known], np.int64), []


def read_form(sample: Path, target: Target, sign: str = " ") -> Layout:
    """Returns how a submission looks, read off the competition's sample.

    Columns that are named as the classes are (`3`, or with one beginning or end in common, `class_3`) hold a
    probability each, or 1 and 0 where samples may have several labels and the sample holds whole numbers.
    Then a single column may also hold all labels of a sample with a sign between them.
    A single column holds labels; or the probability of the second class (of the one that the column is named
    after) where there are two and the sample holds numbers that are not whole.

    Numbers that are predicted stand in the columns that are named after them; a single one may be called
    otherwise. Which of several are asked for is the sample's.

    Args:
        sample: The file, UTF-8, separated by commas.
        target: What predictions are of.
        sign: What stands between labels of a sample where none of the cells has two.

    Raises:
        DataError: It cannot be read, or fits no submission of these; all faults together.
    """
    where = shown_path(sample)
    cells = read_cells(sample)
    header, names, lines = cells.header, cells.names, cells.lines
    if not header:
        raise DataError(f"{where}: empty, and a header line is needed.")
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise DataError(f"{where}, line 1: separated by {other!r}. Save it separated by commas.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}, line 1: several columns are named {some_of(twice)}. Rename them.")
    if cells.ragged:
        raise DataError("\n".join(first_few(cells.ragged, len(cells.ragged), "rows of another length")))
    if not lines:
        raise DataError(f"{where}: only a header and no rows.")
    matched = match_columns(names, target)
    id_place = find_id_place(names, cells.columns, matched, where, target)
    held = [
        set(itertools.islice(dict.fromkeys(column), _MOST_VALUES))
        for place, column in enumerate(cells.texts)
        if place != id_place
    ]
    holds, own = what_is_held(held, matched, target, where, names, id_place)
    ids = None
    if id_place is not None:
        ids, known = tuple(cells.columns[id_place]), cells.texts[id_place]
        empty = [line for line, text in zip(lines, known, strict=True) if not text]
        faults = first_few((f"{where}, line {line}: the id is missing." for line in empty), len(empty), "ids")
        faults += repeated(known, lines, f"{where}, line")
        if faults:
            raise DataError("\n".join(faults))
    shows_whole = holds is Holds.numbers and any(_are_whole(own) for own in held)
    form = Layout(where, tuple(header), id_place, ids, tuple(lines), holds, own, shows_whole=shows_whole)
    if holds is not Holds.tags:
        return form
    return replace(form, sign=sign_between(held[0], target.names, sign) or sign)


def _are_whole(texts: set[str]) -> bool:
    """Tells whether a column's numbers are whole; a single one of them fills the column of many a sample."""
    return len(texts - {""}) > 1 and all(WHOLE_NUMBER.fullmatch(text) for text in texts - {""})


def conventional(name: str, target: Target, id: str | None = None) -> Layout:
    """Returns how a submission looks by a convention, where there is no sample.

    It has one column of labels; of several labels a sample, and of numbers, one for each, named after it.

    Args:
        name: `ImageId/Label`, rows counted from 1; or `id/label`, from 0. The test set's own ids come first.
        target: What predictions are of.
        id: What the column of ids is called beside such columns, where the convention is not to say.

    Raises:
        DataError: There is no such convention.
    """
    known = {convention.lower(): convention for convention in _CONVENTIONS}
    found = known.get(name.lower())
    if found is None:
        raise DataError(
            f"{name!r} is no form of a submission; {' or '.join(_CONVENTIONS)} holds, or a sample."
        )
    header = tuple(found.split("/"))
    form = Layout(found, header, 0, None, (), Holds.labels, target.names, _CONVENTIONS[found])
    if target.kind == "classes":
        return form
    form = replace(form, header=(spelled(id or header[0]), header[1]))
    return a_column_each(form, target, Holds.numbers if target.is_numbers else Holds.flags)


def a_column_each(form: Layout, target: Target, holds: Holds) -> Layout:
    """Returns a form with the same ids, and a column for each class, or for each number that is predicted."""
    id_name = "id" if form.id_place is None else form.header[form.id_place]
    header = (id_name, *map(spelled, target.names))
    return replace(form, header=header, id_place=0, holds=holds, names=target.names)


def with_probabilities(form: Layout, target: Target) -> Layout:
    """Returns a form of columns that are named after classes with probabilities in place of 1 and 0.

    Args:
        form: How the submission looks.
        target: The classes that predictions are of.
    """
    if form.holds is not Holds.flags:
        return form
    holds = Holds.probabilities if set(form.names) == set(target.names) else Holds.positive
    return replace(form, holds=holds)


def _as_numbers(texts: list[str], known: list[str]) -> tuple[list[str], list[str]]:
    """Returns ids without zeros before them, where that tells those of a file apart: 7 is 007."""
    numbers = [[id.lstrip("0") or "0" for id in ids] for ids in (texts, known)]
    are_numbers = all(id.isdecimal() for id in (*texts, *known))
    return (numbers[0], numbers[1]) if are_numbers and len(set(numbers[1])) == len(known) else (texts, known)


def _chunks(n_rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK_ROWS, n_rows)) for start in range(0, n_rows, _CHUNK_ROWS))


def _value_faults(predictions: np.ndarray, ids: Sequence[object] | None, holds: Holds) -> list[str]:
    what, rule = ("number", "a finite one") if holds is Holds.numbers else ("probability", "0 to 1")
    told: list[str] = []
    n_faults = 0
    for rows in _chunks(len(predictions)):
        values = np.asarray(predictions[rows])
        if holds is Holds.numbers:
            wrong = ~np.isfinite(values)
        else:
            wrong = ~((values >= -SLACK) & (values <= 1 + SLACK))
        places = np.flatnonzero(wrong.any(axis=1))
        n_faults += len(places)
        for place in places[: 5 - min(len(told), 5)]:
            value = float(values[place][wrong[place]][0])
            row = rows.start + int(place)
            of = "" if ids is None else f" (id {str(ids[row])!r})"
            told.append(f"predictions, row {row + 1}{of}: {value} is no {what}; {rule} holds.")
    return first_few(told, n_faults, f"predictions of which each is no {what}")
