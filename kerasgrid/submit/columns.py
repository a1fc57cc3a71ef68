"""What the columns of a submission stand for: ids, labels, probabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np

from kerasgrid.data.columns import LABEL_NAMES
from kerasgrid.errors import DataError
from kerasgrid.submit.cells import listed

Label = int | str

YOURSELF = "Write it yourself, from what kerasgrid predict --like id/label gives, or with --proba as well."
_LABEL_NAMES = {*LABEL_NAMES, "predicted", "prediction", "expected", "answer"}

_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


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


def match_columns(names: Sequence[str], classes: Sequence[Label]) -> dict[int, Label]:
    """Returns which columns are named after which class; all classes or none, but for a single one of two."""
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
    classes: Sequence[Label],
) -> int | None:
    """Returns which column holds the ids; None where there is none.

    Raises:
        DataError: There are columns that are neither ids nor of a class.
    """
    rest = [place for place in range(len(names)) if place not in matched]
    if matched and len(rest) <= 1:
        return rest[0] if rest else None
    if matched or len(names) > 2:
        raise DataError(
            f"{where}, line 1: the columns {listed(names)} are no form that is known here: an id, and "
            f"either one label column or one a class, named after it ({listed(list(classes))}). {YOURSELF}"
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
    classes: Sequence[Label],
    multi_label: bool,
    where: str,
    names: Sequence[str],
    id_place: int | None,
) -> tuple[Holds, tuple[Label, ...]]:
    """Returns what stands in the label columns, and the class of each (of labels: all classes).

    Raises:
        DataError: What stands there fits no submission for these classes.
    """
    values = set().union(*held) - {""}
    are_whole = all(_WHOLE.fullmatch(text) for text in values)
    are_numbers = all(_NUMBER.fullmatch(text) for text in values)
    if matched:
        own = tuple(label for _, label in sorted(matched.items()))
        are_flags = bool(values) and values <= {"0", "1"}
        if are_flags and (multi_label or len(own) < len(classes)):
            return Holds.flags, own
        return (Holds.probabilities if len(own) == len(classes) else Holds.positive), own
    column = names[next(place for place in range(len(names)) if place != id_place)]
    here = f"{where}, column {column!r}"
    if multi_label:
        raise DataError(
            f"{here}: one column, and with data.multi_label a sample has any number of labels. A column a "
            f"class is known here, named after it ({listed(list(classes))}). {YOURSELF}"
        )
    if values <= {str(label) for label in classes}:
        return Holds.labels, tuple(classes)
    if are_numbers and not are_whole and len(classes) == 2:
        return Holds.positive, (classes[1],)
    are_ints = all(isinstance(label, int | np.integer) for label in classes)
    if are_whole and are_ints:
        return Holds.labels, tuple(classes)
    if not are_numbers and not are_ints and not are_whole:
        return Holds.labels, tuple(classes)
    raise DataError(
        f"{here} holds {listed(sorted(values))}, and the classes are {listed(list(classes))}: a submission "
        "of labels would be of another kind than the sample. Correct the sample, or train on the labels that "
        "the competition asks for."
    )
