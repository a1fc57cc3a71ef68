"""What the columns of a CSV file are, guessed from their names and first cells."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from kerasgrid.data.cells import BLANKS, NUMBER
from kerasgrid.data.csv_text import CsvFile, numbered_rows, opened_bytes
from kerasgrid.errors import DataError
from kerasgrid.wording import shell_word

LABEL_NAMES = (
    *("label", "labels", "target", "targets", "class", "classes", "category", "y", "digit", "letter"),
    *("class_label", "class_id", "class_name", "ground_truth"),
)
_ID_NAME = re.compile(
    r"((image|img|file|row|sample|item)?[ _-]?(id|index|idx|name|no|number)|unnamed: 0|)", re.I
)
WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
_MOST_CLASSES = 20
FEW_COLUMNS = 16
"""Fewer are hardly a picture: one of 4 x 4 is the smallest that shows something."""
_HEAD_ROWS, _HEAD_CELLS = 2_000, 2_000_000


def series_of(names: Sequence[str]) -> set[str]:
    """Returns the names that differ in their numbers alone, such as pixel0, pixel1, ...: the pixels."""
    patterns = [re.sub(r"\d+", "#", name) for name in names]
    pattern, n_like_it = Counter(patterns).most_common(1)[0]
    if n_like_it < 2:
        return set()
    return {name for name, own in zip(names, patterns, strict=True) if own == pattern}


def are_features(names: Sequence[str]) -> bool:
    """Tells whether columns have names of their own, where those of pixels are numbered."""
    return sum(re.search(r"\d", name) is not None for name in names) < len(names) / 2


@dataclass(frozen=True)
class Columns:
    """The head of a CSV file.

    Attributes:
        cells: For each column the cells of the first rows.
    """

    file: CsvFile
    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]

    @property
    def have_names(self) -> bool:
        """Whether the first line is a header, and not numbers or a single cell."""
        return len(self.names) > 1 and not all(NUMBER.fullmatch(name) for name in self.names)

    def without(self, names: Collection[str]) -> Columns:
        """Returns the other columns."""
        left = [pair for pair in self.by_name if pair[0] not in names]
        return replace(self, names=tuple(name for name, _ in left), cells=tuple(cells for _, cells in left))

    @property
    def by_name(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each name with its cells."""
        return list(zip(self.names, self.cells, strict=True))

    def find_label(self, in_test: Sequence[str] = ()) -> tuple[str, str]:
        """Returns the column of labels or of numbers to predict, and why it is taken for it.

        Args:
            in_test: Columns of the rows to predict; none where there are none.

        Raises:
            DataError: It cannot be told.
        """
        lacking = [name for name in self.names if name not in in_test]
        if in_test and len(lacking) == 1:
            return lacking[0], "the column that the test set lacks"
        lowered = [name.lower() for name in self.names]
        for known in LABEL_NAMES:
            if known in lowered:
                return self.names[lowered.index(known)], "by its name"
        series = series_of(self.names) if self.file.has_header else set()
        for place, which in ((0, "first"), (-1, "last")):
            if self.names[place] not in series and _are_classes(self.cells[place]):
                return self.names[place], f"the {which} column, which looks like classes"
        raise DataError(
            f"{self.file.where}: which of its {len(self.names):,} columns is the label cannot be told: "
            f"none is named {', '.join(LABEL_NAMES[:8])} or the like, and neither the first "
            f"({self.names[0]!r}) nor the last ({self.names[-1]!r}) looks like classes. Say it: "
            f"kerasgrid init {shell_word(self.file.where)} --label NAME."
        )

    def are_numbers(self, name: str) -> bool:
        """Tells whether a column holds numbers that are hardly classes, since they are too many."""
        cells = set(dict(self.by_name)[name]) - BLANKS
        if not cells or not all(map(NUMBER.fullmatch, cells)):
            return False
        if not all(map(WHOLE_NUMBER.fullmatch, cells)):
            return True
        return len(cells) > max(_MOST_CLASSES, len(self.cells[0]) / 10)

    def find_id(self, label: str, in_test: Sequence[str] = ()) -> str | None:
        """Returns the column that is no feature: it has another value in each row, and stands out.

        Args:
            label: The column that is predicted.
            in_test: Columns of the rows to predict, in which an id by its name's end alone has to be, too.
        """
        series = series_of(self.names)
        are_pixels_named = len(series) >= len(self.names) / 2
        for name, cells in self.by_name:
            if name == label or name in series or len(set(cells)) < len(cells):
                continue
            stands_out = are_pixels_named and all(cell.isdigit() for cell in cells)
            is_theirs = name in in_test and name.lower().endswith("id")
            if stands_out or is_theirs or _ID_NAME.fullmatch(name):
                return name
        return None

    def find_own(self, names: Sequence[str]) -> str | None:
        """Returns the id among the columns of another file: the one that is new, or that is named as one."""
        here = set(self.names)
        new = [name for name in names if name not in here]
        return new[0] if len(new) == 1 else next(filter(_ID_NAME.fullmatch, new), None)

    def flags(self) -> list[str]:
        """Returns the columns that hold 0 and 1 alone, both of them."""
        zero, one = {"0", "0.0"}, {"1", "1.0"}
        return [
            name
            for name, cells in self.by_name
            if (found := set(cells)) <= zero | one and found & zero and found & one
        ]


def read_columns(file: CsvFile) -> Columns:
    """Returns the names of a CSV file's columns and the cells of its first 2,000 rows at most.

    What is wrong with the file is left for the reading of all of it to tell.

    Raises:
        DataError: There is no such file.
    """
    rows: list[list[str]] = []
    n_rows = _HEAD_ROWS
    with opened_bytes(file) as (raw, _):
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
        try:
            reader = csv.reader(text, delimiter=file.separator, skipinitialspace=True)
            for _, row in numbered_rows(reader):
                rows.append([cell.strip() for cell in row])
                n_rows = max(50, min(_HEAD_ROWS, _HEAD_CELLS // len(rows[0])))
                if len(rows) > n_rows:
                    break
        except csv.Error:
            rows = rows[:1]
    if not file.has_header:
        rows.insert(0, [str(place) for place in range(len(rows[0]))] if rows else [])
    names, *body = rows or [[]]
    cells = (tuple(row[index] for row in body if index < len(row)) for index in range(len(names)))
    return Columns(file, tuple(names), tuple(cells))


def _are_classes(cells: Sequence[str]) -> bool:
    """Tells whether cells look like classes: words or whole numbers, few, and each more than once."""
    counts = Counter(cells)
    are_whole = all(WHOLE_NUMBER.fullmatch(cell) for cell in counts)
    are_words = not any(NUMBER.fullmatch(cell) for cell in counts)
    return (are_whole or are_words) and "" not in counts and 2 <= len(counts) <= len(cells) / 2
