"""Cells of columns as numbers: which are blank, numbers, dates or categories, and which are none of these.

Columns are pandas' of any kind, of a file or of a frame given in Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from kerasgrid.errors import DataError
from kerasgrid.wording import count

BLANKS = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "NaT", "n/a", "nan", "null", "?"),
    )
)
"""Cells that are blank: pandas' own, and a question mark."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WRITTEN = re.compile(r"[$€£¥]? ?[+-]?[0-9]{1,3}([,' ]?[0-9]{3})*([.,][0-9]+)? ?[%$€£¥]?")
"""Numbers with other signs or with marks between thousands, which could be read in two ways."""
_DIGIT = re.compile(r"\d")
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0*")
_TRUE, _FALSE = {"true", "yes"}, {"false", "no"}
_MOST_TRUTHS = 10  # yes, Yes, YES and so on
_TRUTHS = ({"true", "false"}, {"yes", "no"})
_LARGEST = float(np.finfo(np.float32).max)
_DAY_US = 86_400_000_000
_DAYS = (
    *("%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d %b %Y", "%d-%b-%Y"),
    *("%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%m/%d/%y", "%d/%m/%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
ISO = "ISO8601"
_FORMATS = (ISO, *(day + time for day in _DAYS for time in _TIMES))
"""How dates are written, as `pandas.to_datetime` has it, in the order that they are tried in."""
_TRIED = 50
_SHOWN = 40
_MORE = 3


Places = Callable[[Sequence[int]], list[str]]
"""Returns what messages call some rows, counted from 0, such as `line 3`."""


class _Fault(NamedTuple):
    name: str
    rows: np.ndarray
    complaint: str
    remedy: str
    left_out_as: str | None


@dataclass
class CellFaults:
    """Cells of a file that are not what they should be, which are told together.

    Attributes:
        where: What messages call the file.
        places: Of its rows.
    """

    where: str
    places: Places
    _found: list[_Fault] = field(default_factory=list)

    def add(
        self, name: str, rows: np.ndarray, complaint: str, remedy: str, left_out_as: str | None = None
    ) -> None:
        """Keeps a column's faults of one kind.

        Args:
            rows: Of the cells, ascending; none for no fault.
            complaint: Of the first of them.
            remedy: A sentence.
            left_out_as: What rows of image files are called that `data.skip_bad` leaves out for it, such as
                `without a label`; None where it does not.
        """
        if len(rows):
            self._found.append(_Fault(name, rows, complaint, remedy, left_out_as))

    def extend(self, others: CellFaults) -> None:
        """Keeps the faults of other cells of the same file."""
        self._found += others._found

    def rows(self) -> np.ndarray:
        """Returns the rows that have faults, ascending."""
        return np.unique(np.concatenate([np.empty(0, np.int64), *(fault.rows for fault in self._found)]))

    def told(self, *, skip_bad: bool = False) -> list[str]:
        """Returns a line on each column's faults of one kind.

        Args:
            skip_bad: Whether those are no faults for which rows may be left out.
        """
        found = [fault for fault in self._found if not (skip_bad and fault.left_out_as)]
        place = self._places_of(found)
        lines = []
        for fault in found:
            first, *others = (place[int(row)] for row in fault.rows[: 1 + _MORE])
            n_left = len(fault.rows) - 1 - len(others)
            more = f"; so {'is' if len(fault.rows) == 2 else 'are'} {', '.join(others)}" if others else ""
            more += f" and {n_left:,} more" if n_left else ""
            head = f"{self.where}, {first}, column {fault.name!r}: {fault.complaint}{more}"
            lines.append(f"{head}. {fault.remedy}")
        return lines

    def told_left(self, n_rows: int) -> list[str]:
        """Returns a line on the rows of each kind that may be left out, of so many."""
        by_kind: dict[str, list[np.ndarray]] = {}
        for fault in self._found:
            if fault.left_out_as:
                by_kind.setdefault(fault.left_out_as, []).append(fault.rows)
        lines = []
        for kind, parts in by_kind.items():
            rows = np.unique(np.concatenate(parts))
            told = ", ".join(self.places(rows[: 1 + _MORE].tolist()))
            more = f" and {len(rows) - 1 - _MORE:,} more" if len(rows) > 1 + _MORE else ""
            lines.append(f"files: {count(len(rows), 'row')} of {n_rows:,} {kind}, left out: {told}{more}")
        return lines

    def _places_of(self, faults: Sequence[_Fault]) -> dict[int, str]:
        shown = sorted({int(row) for fault in faults for row in fault.rows[: 1 + _MORE]})
        return dict(zip(shown, self.places(shown) if shown else [], strict=True))

    def finish(self) -> None:
        """Raises a DataError where there are any."""
        if lines := self.told():
            raise DataError("\n".join(lines))


def row_places(rows: Sequence[int]) -> list[str]:
    """Returns what messages call rows of what was given in Python."""
    return [f"row {row} (counted from 0)" for row in rows]


def quoted_cell(cell: Any) -> str:
    """Returns a cell as a message shows it."""
    text = str(cell)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return repr(text) if isinstance(cell, str) else text


class Cells:
    """The cells of a column.

    Attributes:
        column: pandas' Series; spans of time are seconds.
    """

    def __init__(self, column: Any, blanks: Collection[str] = BLANKS, *, as_spelled: bool = False) -> None:
        """Looks at nothing yet.

        Args:
            column: pandas' Series.
            blanks: Words that are none.
            as_spelled: Whether a whole number keeps its `.0`, which it has where a column was kept as floats.
        """
        self.column = column.dt.total_seconds() if column.dtype.kind == "m" else column
        self._blanks = blanks
        self._as_spelled = as_spelled

    @property
    def is_number(self) -> bool:
        """Whether pandas has them as numbers or truth values."""
        return self.column.dtype.kind in "biuf"

    @property
    def is_date(self) -> bool:
        """Whether pandas has them as dates."""
        return self.column.dtype.kind == "M"

    @property
    def is_category(self) -> bool:
        """Whether pandas has them as categories, be they numbers too."""
        return self.column.dtype.name == "category"

    @cached_property
    def _found(self) -> tuple[np.ndarray, list[str]]:
        import pandas as pd

        try:
            codes, found = pd.factorize(self.column)
        except TypeError as error:  # of lists, dicts and arrays
            raise DataError(
                f"column {self.column.name!r}: holds what is no cell of a table ({error}). Give numbers, "
                "texts, dates or truth values, or leave the column out."
            ) from error
        places: dict[str, int] = {}
        own = []
        for cell in found.tolist():
            word = cell.strip() if isinstance(cell, str) else str(cell)
            if not self._as_spelled and (whole := _WHOLE.fullmatch(word)):
                word = whole[1]
            own.append(-1 if word in self._blanks else places.setdefault(word, len(places)))
        return np.array([*own, -1], np.int64)[codes], list(places)

    @property
    def codes(self) -> np.ndarray:
        """Which of `words` each cell is, (row,) int64, -1 for a blank one."""
        return self._found[0]

    @property
    def words(self) -> list[str]:
        """What cells hold, each once, in the order of their first ones."""
        return self._found[1]

    @property
    def has_truths(self) -> bool:
        """Whether they are truth values, all of them."""
        return self.column.dtype.kind == "b" or _are_truths(self.words)

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns numbers, (row,) float64, NaN where a cell is blank; and whether each is none, (row,) bool.

        Truth values are 1 and 0. What is not finite in float32 is none.
        """
        if self.is_number:
            values = self.column.to_numpy(dtype=np.float64, na_value=np.nan)
            return values, ~np.isnan(values) & ~(np.abs(values) <= _LARGEST)
        values = np.array([*_numbers(self.words), np.nan])[self.codes]
        return values, (self.codes >= 0) & ~(np.abs(values) <= _LARGEST)

    @property
    def are_numbers(self) -> bool:
        """Whether each is a number or truth value, or blank."""
        return self.is_number or not np.isnan(_numbers(self.words)).any()

    @property
    def are_written_numbers(self) -> bool:
        """Whether each is a number with a percent sign or the like, or one with commas, or blank."""
        return all(map(_WRITTEN.fullmatch, self.words))

    def dates(self, way: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns days since 1970, (row,) float64, NaN where a cell is blank; and whether each is no date.

        Args:
            way: How dates are written, where pandas does not have them as such.
        """
        if self.is_date:
            days = _as_days(self.column)
            return days, np.zeros(len(days), bool)
        found = np.append(_days(self.words, way), np.nan)[self.codes]
        return found, (self.codes >= 0) & np.isnan(found)

    def places(self, categories: Sequence[str]) -> np.ndarray:
        """Returns the place of each among categories, (row,) float64, -1 for no place and NaN for a blank."""
        place = {category: float(index) for index, category in enumerate(categories)}
        return np.array([*(place.get(word, -1.0) for word in self.words), np.nan])[self.codes]

    def shown(self, row: int) -> str:
        """Returns a cell as a message shows it."""
        return quoted_cell(self.column.iloc[row])


def _numbers(words: Sequence[str]) -> list[float]:
    """Returns the number that each word is, NaN for one that is none."""
    if _are_truths(words):
        return [float(word.lower() in _TRUE) for word in words]
    return [float(word) if NUMBER.fullmatch(word) else np.nan for word in words]


def _are_truths(words: Sequence[str]) -> bool:
    lowered = {word.lower() for word in words} if len(words) <= _MOST_TRUTHS else set()
    return any(lowered and lowered <= pair for pair in _TRUTHS)


def date_format(words: Sequence[str]) -> str | None:
    """Returns the first format that all words have; None where there is none."""
    few = words[:: max(1, len(words) // _TRIED)]
    return next((way for way in _FORMATS if _have(few, way) and _have(words, way)), None)


def likeliest_format(words: Sequence[str]) -> str:
    """Returns the format that most words have, the first of those that are equal."""
    if found := date_format(words):
        return found
    few = words[:: max(1, len(words) // _TRIED)]
    return max(_FORMATS, key=lambda way: int((~np.isnan(_days(few, way))).sum()))


def other_order(words: Sequence[str], way: str) -> bool:
    """Tells whether dates whose months come first could also be read as days first."""
    if not way.startswith("%m"):
        return False
    return _have(words, way.replace("%m", "%_").replace("%d", "%m").replace("%_", "%d"))


def _have(words: Sequence[str], way: str) -> bool:
    return bool(words) and all(map(_DIGIT.search, words)) and not np.isnan(_days(words, way)).any()


def _days(words: Sequence[str], way: str) -> np.ndarray:
    """Returns the days since 1970 of each word, (word,) float64, NaN for one that is no date.

    One without a digit is none, as "today", which pandas takes for the moment that it is read in.
    """
    import pandas as pd

    dated = [word if _DIGIT.search(word) else None for word in words]
    if not any(dated):
        return np.full(len(words), np.nan)
    return _as_days(pd.to_datetime(pd.Series(dated, dtype=object), format=way, errors="coerce", utc=True))


def _as_days(dates: Any) -> np.ndarray:
    """Returns pandas' dates as days since 1970."""
    if getattr(dates.dtype, "tz", None) is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    moments = dates.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / _DAY_US)
