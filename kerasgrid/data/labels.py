"""What is predicted, as class indices, (sample, label) of 0 and 1 or (sample, target) numbers; and whether it
can be learnt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from kerasgrid.data.cells import NUMBER
from kerasgrid.data.samples import Samples, check_samples
from kerasgrid.errors import DataError
from kerasgrid.records import Target

_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[+-]?0[0-9]")
_NUMBERS = (bool, int, float, np.number, np.bool_)
_MOST_LIKE_LABELS = _SAMPLES_OF_LABEL = 10
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.0*)?")


def are_whole(names: Iterable[str]) -> bool:
    """Tells whether all labels of a text file are whole numbers; `007` is none but a name."""
    return all(_WHOLE.fullmatch(name) for name in names)


def are_numbers(names: Iterable[str]) -> bool:
    """Tells whether all labels of a text file are finite numbers; `007` is none but a name."""
    return all(
        NUMBER.fullmatch(name) and not _NAME.match(name) and np.isfinite(float(name)) for name in names
    )


def labels_of_names(
    codes: np.ndarray, names: Sequence[str], column: str
) -> tuple[np.ndarray, Target, str | None]:
    """Returns the labels of a text file; numbers that are not whole are no classes, but numbers to predict.

    Args:
        codes: (sample,), which name each has.
        names: As they are spelled, each once.
        column: What the labels are called.

    Returns:
        Labels as `Dataset` has them, what they are, and a line where it should be told.
    """
    if names and are_numbers(names) and not are_whole(names):
        line = (
            f"label: {column!r} holds numbers that are not whole, such as {names[0]}: these are predicted, "
            f"as data.target: {column} says, and no classes"
        )
        numbers = np.array([float(name) for name in names])
        return numbers[codes][:, np.newaxis], Target("numbers", (column,)), line
    values = as_classes(names)
    classes = tuple(sorted(set(values)))
    place = {name: index for index, name in enumerate(classes)}
    own = np.array([place[value] for value in values], np.int64)
    return own[codes], Target("classes", classes), None


def as_classes(names: Sequence[str]) -> list[Any]:
    """Returns the labels of a text file as int where all are whole numbers, else as they are.

    `3` and `3.0` are the same class.
    """
    if are_whole(names):
        return [int(name.split(".")[0]) for name in names]
    return list(names)


def encode_labels(
    values: Any, where: str, *, multi_label: bool = False
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Returns class indices and the sorted classes of labels given as an array.

    Args:
        values: (sample,) or (sample, 1) of whole numbers, bools or strings; or (sample, class) of
            one-hot rows, whose classes are then 0, 1, ...
        where: How a message begins.
        multi_label: Whether they are (sample, label) of 0 and 1 instead, any number of ones a row.

    Returns:
        Labels (sample,), int64, and the classes, all int or all str; or (sample, label), uint8, and 0, 1, ...

    Raises:
        DataError: They are none of these, or one is missing.
    """
    values = np.asarray(values)
    if multi_label:
        return _several(values, where)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2:
        return _one_hot(values, where)
    if values.ndim != 1:
        raise DataError(
            f"{where}: labels of shape {values.shape}. One label a sample is needed, shape (n,), or one-hot "
            "rows, shape (n, classes)."
        )
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: labels are bytes that are not UTF-8 text.") from error
    if values.dtype.kind in "OT":
        values = _same_kind(values.tolist(), where)
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**63)
        if not whole.all():
            row = int(np.argmin(whole))
            raise DataError(
                f"{where}: the label of sample {row} (counted from 0) is {values[row]}. Labels must be whole "
                "numbers or strings."
            )
        values = values.astype(np.int64)
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind not in "iuU":
        raise DataError(
            f"{where}: labels of dtype {values.dtype}. Labels must be whole numbers, bools, strings or "
            "one-hot rows."
        )
    classes, labels = np.unique(values, return_inverse=True)
    check_texts(classes.tolist(), f"{where}: the label")
    return labels.astype(np.int64), tuple(classes.tolist())


def samples_of(
    images: np.ndarray,
    labels: Any,
    where: str,
    where_labels: str,
    *,
    multi_label: bool = False,
    numbers: bool | None = None,
    names: Sequence[str] = (),
) -> Samples:
    """Returns values, and labels as `encode_labels` takes them or numbers to predict, as samples.

    Args:
        where: How a message begins.
        where_labels: How one about the labels begins.
        multi_label: As in `encode_labels`.
        numbers: Whether labels are numbers to predict, (sample,) or (sample, target); None to tell by
            `look_like_numbers`.
        names: What such numbers, or several labels, are called; by default as `target_of_numbers` has it, and
            0, 1, ...

    Raises:
        DataError: The labels are none, or the two do not belong together.
    """
    if numbers is None:
        numbers = not multi_label and look_like_numbers(np.asarray(labels))
    if numbers:
        found = _as_numbers(labels, where_labels)
        target = Target("numbers", tuple(names)) if names else target_of_numbers(found)
    else:
        found, classes = encode_labels(labels, where_labels, multi_label=multi_label)
        classes = tuple(names) if multi_label and names else classes
        kind: Literal["labels", "classes"] = "labels" if multi_label else "classes"
        target = Target(kind, classes, not multi_label and is_one_hot(labels, found))
    check_samples(images, found, where)
    return Samples(images, found, target)


def target_of_numbers(numbers: np.ndarray) -> Target:
    """Returns what numbers to predict, (sample, target), are where nothing names them: y, or y0, y1, ..."""
    n_targets = numbers.shape[1]
    return Target("numbers", ("y",) if n_targets == 1 else tuple(f"y{place}" for place in range(n_targets)))


def look_like_numbers(values: np.ndarray) -> bool:
    """Tells whether floats that were given as an array are numbers to predict, and no classes.

    Classes are one-hot rows, two values, and the whole numbers from 0 or 1 on of which none is left out.
    """
    if values.dtype.kind != "f" or not values.size or values.ndim not in (1, 2):
        return False
    if values.ndim == 2 and values.shape[1] > 1:
        return not (((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all())
    finite = values[np.isfinite(values)]
    if (finite != np.floor(finite)).any():
        return True
    found = np.unique(finite)
    if len(found) <= 2:
        return False
    return bool(found[0] not in (0, 1) or found[-1] - found[0] != len(found) - 1)


def like_labels(values: Any) -> str | None:
    """Returns that whole numbers are taken for labels: a few, each of many samples; None of others."""
    found = np.asarray(values)
    if found.dtype.kind not in "iu" or not found.ndim or found.size != len(found):
        return None
    n_different = len(np.unique(found))
    if n_different > _MOST_LIKE_LABELS or found.size < _SAMPLES_OF_LABEL * n_different:
        return None
    return (
        f"y holds {n_different} whole numbers, which are taken for labels, whose values are scored: "
        "to predict numbers, give y.astype(float)."
    )


def _as_numbers(values: Any, where: str) -> np.ndarray:
    """Returns numbers to predict, (sample, target) float64.

    Raises:
        DataError: They are none, one is not finite, or all are the same.
    """
    values = np.asarray(values)
    if values.dtype.kind == "O":
        items = [np.nan if _is_missing(value) else value for value in values.ravel().tolist()]
        if all(isinstance(item, _NUMBERS) for item in items):
            values = np.array(items, np.float64).reshape(values.shape)
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf" or not values.size:
        raise DataError(
            f"{where}: shape {values.shape} and dtype {values.dtype}, where numbers to predict are needed: "
            "(n,) or (n, targets)."
        )
    found = values.reshape(len(values), -1).astype(np.float64)
    if not np.isfinite(found).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(found))[0])
        which = f", target {column}" if found.shape[1] > 1 else ""
        raise DataError(
            f"{where}: sample {row} (counted from 0){which} is {found[row, column]}. Numbers to predict must "
            "be finite: fill it in or drop the sample."
        )
    return found


def check_texts(values: Sequence[Any], what: str) -> None:
    """Raises a DataError where a text cannot be written into a file, as halves of surrogate pairs cannot."""
    odd = next((text for text in values if isinstance(text, str) and _SURROGATE.search(text)), None)
    if odd is not None:
        raise DataError(f"{what} {odd!r} holds characters that are no text (a surrogate): rename it.")


def is_one_hot(values: Any, labels: np.ndarray) -> bool:
    """Tells whether labels that were read from an array had a column a class there."""
    return labels.ndim == 1 and np.ndim(values) == 2 and np.shape(values)[1] > 1


def check_labels(labels: np.ndarray, target: Target, where: str) -> None:
    """Holds that there is something to learn of the classes, and of each label or number.

    Raises:
        DataError: Fewer than two classes occur, or a label or number is the same for all samples.
    """
    if labels.ndim == 1 and len(present := np.unique(labels)) < 2:
        raise DataError(
            f"{where}: all {len(labels)} samples are of the class {target.names[present[0]]!r}. At least two "
            "classes are needed to learn from."
        )
    constant = (labels == labels[0]).all(axis=0)
    if labels.ndim == 2 and constant.any():
        place = int(np.argmax(constant))
        what = "target" if target.is_numbers else "label"
        raise DataError(
            f"{where}: {what} {target.names[place]!r} is {labels[0, place]:g} for all {len(labels)} samples, "
            "so that there is nothing to learn. Leave it out."
        )


def counts_of(labels: np.ndarray, n_outputs: int) -> np.ndarray:
    """Returns (class,) or (label,), how many samples have each.

    Args:
        labels: As in `Dataset`, of classes or of several labels.
        n_outputs: Classes, or labels.
    """
    return (
        labels.sum(axis=0, dtype=np.int64) if labels.ndim == 2 else np.bincount(labels, minlength=n_outputs)
    )


def _same_kind(values: list, where: str) -> np.ndarray:
    """Returns an array of labels that came as Python objects: all strings or all numbers."""
    for row, value in enumerate(values):
        if _is_missing(value):
            raise DataError(f"{where}: the label of sample {row} (counted from 0) is missing.")
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=np.str_)
    if all(isinstance(value, _NUMBERS) for value in values):
        return np.array(values)
    kinds = sorted({type(value).__name__ for value in values})
    raise DataError(
        f"{where}: labels of mixed or unknown kinds ({', '.join(kinds)}). All must be whole numbers or all "
        "strings."
    )


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or value != value  # pandas' NA has no truth


def _one_hot(values: np.ndarray, where: str) -> tuple[np.ndarray, tuple[int, ...]]:
    good = values.dtype.kind in "biuf"
    rows = ((values == 0) | (values == 1)).all(axis=1) & (values.sum(axis=1) == 1) if good else [False]
    if not np.all(rows):
        raise DataError(
            f"{where}: labels of shape {values.shape} whose row {int(np.argmin(rows))} (counted from 0) is "
            "not one-hot. One 1 a row and else 0 is needed, or one label a sample; data.multi_label: true "
            "is for several."
        )
    return values.argmax(axis=1).astype(np.int64), tuple(range(values.shape[1]))


def _several(values: np.ndarray, where: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Returns labels of which a sample has any number, (sample, label) uint8, and their numbers."""
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: labels of shape {values.shape} and dtype {values.dtype}. With data.multi_label, "
            "(n, labels) of 0 and 1 is needed, two labels at least."
        )
    good = ((values == 0) | (values == 1)).all(axis=1)
    if not good.all():
        raise DataError(
            f"{where}: labels whose row {int(np.argmin(good))} (counted from 0) holds other numbers than 0 "
            "and 1."
        )
    return values.astype(np.uint8), tuple(range(values.shape[1]))
