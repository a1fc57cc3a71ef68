"""How a column is drawn by HiPlot: its type, and what its values become in the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kerasgrid.io import digest
from kerasgrid.tables.parsing import finite, is_number
from kerasgrid.wording import distinct, visible_line

MOST_LEVELS = 12
LONGEST_TEXT = 80
LONGEST_NAME = 60

_RESERVED = {"", "uid", "from_uid", "__proto__"}
_LOOK_ALIKES = str.maketrans({"<": "\u2039", ">": "\u203a"})
_ENTITY = re.compile(r"&(?=#?\w+;)")
_EXACT_IN_A_FLOAT = 2**53
_DIGITS = 6
_HASH = 12


@dataclass(frozen=True)
class Axis:
    """How a column is drawn.

    Attributes:
        type: HiPlot's name of it: `numeric`, `numericlog` or `categorical`.
        convert: What a value becomes in the page: a number, true, false, safe text or None.
        varies: Whether the column has more than one value, None not counted.
    """

    type: str
    convert: Callable[[Any], Any]
    varies: bool


def score_axis(values: Sequence[Any]) -> Axis:
    """Returns the axis of a measured column; what is no finite number becomes None."""
    return Axis("numeric", _rounded, _varies(map(finite, values)))


def param_axis(values: Sequence[Any], log: bool = False) -> Axis:
    """Returns the axis of a parameter or detail.

    Numbers are drawn on a linear scale, or a logarithmic one if `log` and none is below zero or
    zero. Where they take few values, each several times, they are drawn as evenly spaced levels,
    as a list in a grid is meant. All else is categories.
    """
    present = [value for value in values if not _is_gap(value)]
    if not present or not all(map(_is_exact, present)):
        return Axis("categorical", _category, _varies(map(_category, values)))
    distinct = set(present)
    if log and min(distinct) > 0:
        return Axis("numericlog", _rounded, len(distinct) > 1)
    if len(distinct) <= MOST_LEVELS and len(present) >= 2 * len(distinct) and (levels := _levels(distinct)):
        return Axis("categorical", levels.get, len(distinct) > 1)
    return Axis("numeric", _rounded, len(distinct) > 1)


def safe_text(value: Any, longest: int = LONGEST_TEXT) -> str:
    """Returns a value as text that cannot run in the page, on one line and of bounded length.

    `<` and `>` become U+2039 and U+203A, an `&` that would begin an HTML entity becomes U+FF06.
    Text that is cut ends in twelve digits of its hash, so that different long texts stay different.
    """
    given = value if isinstance(value, str) else _as_text(value)
    text = _ENTITY.sub("\uff06", visible_line(given)).translate(_LOOK_ALIKES)
    if len(text) > longest:
        text = f"{text[: longest - _HASH - 2]}… {digest(given)[:_HASH]}"
    return text or "(empty)"


def safe_names(columns: Iterable[str]) -> dict[str, str]:
    """Returns what each column is called in the page: safe, and different for different columns."""
    names: dict[str, str] = {}
    taken = set(_RESERVED)
    for column in columns:
        names[column] = distinct("(no name)" if column == "" else safe_text(column, LONGEST_NAME), taken)
        taken.add(names[column])
    return names


def _levels(numbers: Iterable[float]) -> dict[float, Any] | None:
    """Returns what numbers become so that their order as text is their order as numbers.

    HiPlot sorts categories as text, so that 1024 would stand before 512. HTML does not show
    leading spaces, and HiPlot still reads ` 512` as a number. None where spaces do not help.
    """
    ordered = sorted(numbers)
    texts = [format(Decimal(repr(_rounded(number))).normalize(), "f") for number in ordered]
    width = max(len(text.partition(".")[0]) for text in texts)
    padded = [" " * (width - len(text.partition(".")[0])) + text for text in texts]
    if ordered[0] < 0 or max(map(len, padded)) > LONGEST_NAME // 4 or len(set(padded)) < len(padded):
        return None
    as_they_are = padded == [repr(_rounded(number)).removesuffix(".0") for number in ordered]
    return dict(zip(ordered, map(_rounded, ordered) if as_they_are else padded, strict=True))


def _is_gap(value: Any) -> bool:
    """Says whether a value is drawn to the mark for no number: None, NaN and infinity."""
    return value is None or (isinstance(value, float) and finite(value) is None)


def _is_exact(value: Any) -> bool:
    """Says whether a value is a number that the page, which knows only floats, shows as it is."""
    return is_number(value) and (isinstance(value, float) or abs(value) <= _EXACT_IN_A_FLOAT)


def _category(value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else safe_text(value)


def _rounded(value: Any) -> float | None:
    """Returns a number to six significant digits, which is more than a page can show."""
    number = finite(value)
    return float(f"{number:.{_DIGITS}g}") if isinstance(number, float) else number


def _as_text(value: Any) -> str:
    if isinstance(value, float):
        return str(value if _is_gap(value) else _rounded(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _varies(values: Iterable[Any]) -> bool:
    present = {value for value in values if value is not None}
    return len(present) > 1
