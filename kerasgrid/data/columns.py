"""What the columns of a CSV file are, guessed from their names and first cells."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kerasgrid.data.arrays import opened
from kerasgrid.data.cells import BLANKS, NUMBER
from kerasgrid.data.csv import IMAGE_SUFFIXES
from kerasgrid.data.csv_text import numbered_rows
from kerasgrid.errors import DataError
from kerasgrid.wording import shell_word, shown_path

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
_FILE_NAME = re.compile(r"[\w(). +/-]{1,200}")
_MOST_FOLDERS = 100
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

    path: Path
    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]

    @property
    def have_names(self) -> bool:
        """Whether the first line is a header, and not numbers or a single cell."""
        return len(self.names) > 1 and not all(NUMBER.fullmatch(name) for name in self.names)

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
        series = series_of(self.names)
        for place, which in ((0, "first"), (-1, "last")):
            if self.names[place] not in series and _are_classes(self.cells[place]):
                return self.names[place], f"the {which} column, which looks like classes"
        raise DataError(
            f"{shown_path(self.path)}: which of its {len(self.names):,} columns is the label cannot be told: "
            f"none is named {', '.join(LABEL_NAMES[:8])} or the like, and neither the first "
            f"({self.names[0]!r}) nor the last ({self.names[-1]!r}) looks like classes. Say it: "
            f"kerasgrid init {shell_word(shown_path(self.path))} --label NAME."
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

    def find_file_names(self) -> tuple[str, str] | None:
        """Returns the column that names image files, by suffixes or as they lie beside, and such a name."""
        folders = [self.path.parent, *itertools.islice(self.path.parent.glob("*/"), _MOST_FOLDERS)]
        ends = ("", *IMAGE_SUFFIXES)
        series = series_of(self.names)
        for name, cells in self.by_name:
            if name in series or not cells:
                continue
            if all(cell.lower().endswith(IMAGE_SUFFIXES) for cell in cells):
                return name, cells[0]
            are_numbers = all(map(NUMBER.fullmatch, cells))
            if len(set(cells)) < (len(cells) if are_numbers else 2):
                continue
            if not all(map(_FILE_NAME.fullmatch, cells[:3])):
                continue
            found = [
                next(filter(os.path.isfile, files), None)
                for files in (
                    [folder / f"{cell}{end}" for folder in folders for end in ends] for cell in cells[:3]
                )
            ]
            if found[0] is not None and None not in found:
                return name, shown_path(found[0])
        return None

    def flags(self) -> list[str]:
        """Returns the columns that hold 0 and 1 alone, both of them."""
        zero, one = {"0", "0.0"}, {"1", "1.0"}
        return [
            name
            for name, cells in self.by_name
            if (found := set(cells)) <= zero | one and found & zero and found & one
        ]


def read_columns(path: Path) -> Columns:
    """Returns the names of a CSV file's columns and the cells of its first 2,000 rows at most.

    What is wrong with the file is left for the reading of all of it to tell.

    Raises:
        DataError: There is no such file.
    """
    rows: list[list[str]] = []
    n_rows = _HEAD_ROWS
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        try:
            for _, row in numbered_rows(csv.reader(text, skipinitialspace=True)):
                rows.append([cell.strip() for cell in row])
                n_rows = max(50, min(_HEAD_ROWS, _HEAD_CELLS // len(rows[0])))
                if len(rows) > n_rows:
                    break
        except csv.Error:
            rows = rows[:1]
    names, *body = rows or [[]]
    cells = (tuple(row[index] for row in body if index < len(row)) for index in range(len(names)))
    return Columns(path, tuple(names), tuple(cells))


def _are_classes(cells: Sequence[str]) -> bool:
    """Tells whether cells look like classes: words or whole numbers, few, and each more than once."""
    counts = Counter(cells)
    are_whole = all(WHOLE_NUMBER.fullmatch(cell) for cell in counts)
    are_words = not any(NUMBER.fullmatch(cell) for cell in counts)
    return (are_whole or are_words) and "" not in counts and 2 <= len(counts) <= len(cells) / 2
