"""Is a file what a competition takes? All that is not, told with its lines, before anything is sent."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from kerasgrid.data.columns import NUMBER
from kerasgrid.errors import DataError
from kerasgrid.records import Target
from kerasgrid.submit.columns import (
    CsvCells,
    Holds,
    Label,
    find_id_place,
    first_few,
    match_columns,
    read_cells,
    repeated,
    sign_between,
    some_of,
)
from kerasgrid.submit.layout import SLACK, Layout, read_form
from kerasgrid.wording import count, shown_path

Rule = Callable[[str], str | None]
"""Says what is wrong with a cell; None where nothing is."""

_WHOLE = re.compile(r"[+-]?\d+")
_ROUND = re.compile(r"[+-]?\d{1,18}(\.0*)?")  # labels are of 64 bits
_MISSING = {"", "nan", "null", "none", "na", "n/a"}


def submission_faults(
    file: Path,
    sample: Path | None = None,
    target: Target | None = None,
) -> list[str]:
    """Returns all that is wrong with a submission, a line each; nothing where it can be sent.

    Columns by name and order; rows; ids as a set and in order; labels by kind and class, probabilities, or
    numbers.
    Of many faults of one kind the first few are told and the rest is counted.

    Args:
        sample: The competition's sample; without it, what can be told by the file alone.
        target: What is predicted; None where it is not known.

    Raises:
        DataError: One of the files cannot be read, or the sample is none.
    """
    where = shown_path(file)
    found = read_cells(file)
    if not found.names:
        return [f"{where}: empty, and a header line and rows are needed."]
    faults = list(first_few(found.ragged, len(found.ragged), "rows of another length"))
    if not found.lines and not faults:
        return [f"{where}: only a header and no rows."]
    wanted, theirs = (None, "") if sample is None else (read_cells(sample), shown_path(sample))
    if wanted is not None and found.names != wanted.names:
        return [
            f"{where}, line 1: the columns are {some_of(found.names)}, and {theirs} has "
            f"{some_of(wanted.names)}, in this order.",
            *faults,
        ]
    form = _form(sample, target)
    id_place = form.id_place if form is not None else _id_place(wanted or found, target, where)
    if wanted is not None and len(found.lines) != len(wanted.lines) and not faults:
        rows = count(len(found.lines), "row")
        faults.append(f"{where}: {rows}, and {theirs} has {len(wanted.lines):,}.")
    if id_place is not None:
        faults += _id_faults(found, wanted, id_place, where, theirs)
    for place, name in enumerate(found.names):
        if place != id_place:
            rule = _rule(form, target, None if wanted is None else wanted.texts[place])
            faults += _cell_faults(found, place, f"{where}, line {{}}, column {name!r}", rule)
    return faults


def check(file: Path, sample: Path | None, target: Target | None) -> None:
    """Raises a DataError with all that is wrong with a submission."""
    faults = submission_faults(file, sample, target)
    if faults:
        raise DataError("\n".join(faults))


def _form(sample: Path | None, target: Target | None) -> Layout | None:
    """Returns the sample's form; None where it is one that predictions cannot be written in."""
    if sample is None or target is None or not target.names:
        return None
    try:
        return read_form(sample, target)
    except DataError:
        return None  # made by hand for such a sample: columns, rows, ids and kinds are still compared


def _id_place(table: CsvCells, target: Target | None, where: str) -> int | None:
    matched = {} if target is None or not target.names else match_columns(table.names, target)
    if len(table.names) == 2:
        return find_id_place(table.names, table.texts, matched, where)
    if len(table.names) == len(matched):
        return None
    return 0 if len(table.names) > 1 else None


def _id_faults(found: CsvCells, wanted: CsvCells | None, place: int, where: str, sample: str) -> list[str]:
    ids = found.texts[place]
    empty = [line for line, id in zip(found.lines, ids, strict=True) if not id]
    told = (f"{where}, line {line}: the id is missing." for line in empty)
    faults = [
        *first_few(told, len(empty), "ids that are missing"),
        *repeated(ids, found.lines, f"{where}, line"),
    ]
    if wanted is None:
        return faults
    own, known = set(ids), set(wanted.texts[place])
    strange = [row for row, id in enumerate(ids) if id and id not in known]
    told = (f"{where}, line {found.lines[row]}: id {ids[row]!r} is not in {sample}." for row in strange)
    faults += first_few(told, len(strange), f"ids that {sample} does not have")
    lacking = [row for row, id in enumerate(wanted.texts[place]) if id not in own]
    told = (
        f"{where}: id {wanted.texts[place][row]!r} is missing ({sample}, line {wanted.lines[row]})."
        for row in lacking
    )
    faults += first_few(told, len(lacking), f"ids of {sample} that are missing")
    if faults or len(ids) != len(wanted.lines):
        return faults
    moved = [row for row, (id, due) in enumerate(zip(ids, wanted.texts[place], strict=True)) if id != due]
    told = (
        f"{where}, line {found.lines[row]}: id {ids[row]!r}, and here {sample} has "
        f"{wanted.texts[place][row]!r}: put the rows into its order."
        for row in moved
    )
    return first_few(told, len(moved), "ids out of order")


def _cell_faults(found: CsvCells, place: int, where: str, rule: Rule) -> list[str]:
    known: dict[str, str | None] = {}
    wrong: list[tuple[int, str]] = []
    for line, text in zip(found.lines, found.texts[place], strict=True):
        if text not in known:
            known[text] = rule(text)
        if (complaint := known[text]) is not None:
            wrong.append((line, complaint))
    told = (f"{where.format(line)}: {complaint}" for line, complaint in wrong)
    return first_few(told, len(wrong), f"cells of column {found.names[place]!r}")


def _rule(form: Layout | None, target: Target | None, sample: Sequence[str] | None) -> Rule:
    """Returns what a cell of a column that holds no ids has to be."""
    if (form is None and sample is None and target is not None and target.is_numbers) or (
        form is not None and form.holds is Holds.numbers
    ):
        return _is_number
    shown_cells = {text for text in sample or () if text}
    if form is not None and form.holds in (Holds.probabilities, Holds.positive):
        return _is_probability
    if form is not None and form.holds is Holds.flags:
        return _is_flag
    if form is not None and form.holds is Holds.tags:
        return _is_tags(form.names)
    if form is not None and form.holds is Holds.labels:
        return _is_class(form.names, all(_WHOLE.fullmatch(text) for text in shown_cells))
    if shown_cells and all(_WHOLE.fullmatch(text) for text in shown_cells):
        return _is_of(_WHOLE, "a whole number, as the sample's,")
    if shown_cells and all(NUMBER.fullmatch(text) for text in shown_cells):
        return _is_of(NUMBER, "a number, as the sample's,")
    return _is_there


def _is_there(text: str) -> str | None:
    if text.lower() in _MISSING or text.lower().lstrip("+-") in ("inf", "infinity"):
        return f"{text!r}, and a value is needed." if text else "empty, and a value is needed."
    return None


def _is_of(pattern: re.Pattern[str], what: str) -> Rule:
    def rule(text: str) -> str | None:
        return _is_there(text) or (None if pattern.fullmatch(text) else f"{text!r}, and {what} is needed.")

    return rule


def _is_probability(text: str) -> str | None:
    missing = _is_there(text)
    if missing or (NUMBER.fullmatch(text) and -SLACK <= float(text) <= 1 + SLACK):
        return missing
    return f"{text!r}, and a probability from 0 to 1 is needed."


def _is_number(text: str) -> str | None:
    missing = _is_there(text)
    if missing or (NUMBER.fullmatch(text) and math.isfinite(float(text))):
        return missing
    return f"{text!r}, and a number is needed."


def _is_flag(text: str) -> str | None:
    return _is_there(text) or (None if text in ("0", "1") else f"{text!r}, and 0 or 1 is needed.")


def _is_class(classes: Sequence[Label], are_whole: bool) -> Rule:
    known = {str(label) for label in classes}

    def rule(text: str) -> str | None:
        if text in known:
            return None
        is_round = not are_whole and _ROUND.fullmatch(text) and str(int(text.split(".")[0])) in known
        if is_round:
            return None
        return _is_there(text) or f"{text!r} is no class; known: {_classes_in_words(classes)}."

    return rule


def _is_tags(labels: Sequence[Label]) -> Rule:
    def rule(text: str) -> str | None:
        if sign_between([text], labels):  # a sample of no label is an empty cell
            return None
        return f"{text!r} holds something else than labels; known: {_classes_in_words(labels)}."

    return rule


def _classes_in_words(classes: Sequence[Label]) -> str:
    numbers = [label for label in classes if isinstance(label, int)]
    is_run = len(numbers) == len(classes) > 3 and all(high - low == 1 for low, high in pairwise(numbers))
    return f"{numbers[0]} to {numbers[-1]}" if is_run else some_of(list(classes))
