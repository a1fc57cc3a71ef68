"""What is given in Python for an array: an array of it, or at once what it is and what to give in its place.

What is no array is judged by its type: nothing of it is taken, for it may never end, and nothing is imported.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from kerasgrid.data.arrays import check_memory
from kerasgrid.data.drawn import ENDLESS, gives_batches
from kerasgrid.errors import DataError, brief
from kerasgrid.wording import listed

# By the full names of a type and its parents, the first that fits: what it is, and what to give.
_KINDS = (
    *ENDLESS,
    (
        r"torch\.utils\.data\..*",
        "a torch Dataset",
        "Collect its samples into arrays: X, y = (np.stack(part) for part in zip(*(data[i] for i in "
        "range(len(data))))).",
    ),
    (
        r"datasets\..*Dataset",
        "a Hugging Face Dataset",
        "Give its columns as arrays: np.asarray(data.with_format('numpy')['NAME']).",
    ),
)
_ARRAY_WORDS = "Arrays, data frames and lists of numbers hold."


def refuse_others(X: Any, y: Any = None, name: str = "X") -> None:
    """Raises a DataError where X or y is no array of samples, and nothing that one is made of.

    Args:
        X: What was given as the samples.
        y: What was given as their labels; None where there are none.
        name: What messages call X.
    """
    for called, value, beside in ((name, X, y), ("y", y, X)):
        if value is None and called == "y":
            continue
        is_one = _is_number(value) and not hasattr(value, "__array__")
        fault = f"is the number {value}. {_ARRAY_WORDS}" if is_one else _fault(value, called)
        fault = fault or _fault_of_several(value, beside, called)
        if fault is not None:
            raise DataError(f"{called} {fault}")


def as_array(value: Any, name: str) -> np.ndarray:
    """Returns what `refuse_others` lets pass as an array.

    Raises:
        DataError: Its rows differ in length, or it cannot be made an array of numbers.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        n_masked = int(np.ma.count_masked(value))
        raise DataError(
            f"{name} is a masked array, {n_masked:,} of its values masked: fill them, .filled(0)."
        )
    if isinstance(n_bytes := getattr(value, "nbytes", None), int) and not isinstance(value, np.ndarray):
        check_memory(n_bytes, name)  # of one in a file, say
    if is_sparse(value):
        check_memory(2 * math.prod(value.shape) * value.dtype.itemsize, f"{name}, a sparse matrix made dense")
    try:
        array = np.asarray(value.toarray() if is_sparse(value) else value)
        if array.dtype == object and array.ndim == 1 and len(array) and hasattr(array[0], "shape"):
            array = np.stack([np.asarray(item) for item in array])  # a column of images
    except Exception as error:  # each library that has arrays has errors of its own
        uneven = _uneven(value) if isinstance(error, ValueError) and not hasattr(value, "dtype") else None
        raise DataError(f"{name}{uneven or f' cannot be made an array: {brief(error)}'}") from error
    if array.ndim == 2 and array.dtype.kind in "OUT" and hasattr(value, "columns"):
        return _of_columns(array, list(value.columns), name)
    return array


def _fault(value: Any, name: str) -> str | None:
    """Returns what something is that is no array, and what to give; None for an array and what makes one.

    Args:
        name: What messages call it; y is of labels.
    """
    if is_sparse(value):  # of which one format is a dict
        return None
    if isinstance(value, np.ndarray) and not value.ndim and value.dtype == object:
        value = value.item()  # as np.load gives a dict that was pickled
    kind = type(value)
    a = f"a{'n' if kind.__name__[0] in 'aeiouAEIOU' else ''} {kind.__name__}"
    names = [f"{parent.__module__}.{parent.__qualname__}" for parent in kind.__mro__]
    if gives_batches(value):
        return f"is a dataset ({kind.__name__}), which gives samples and labels: give it as X, and no y."
    for pattern, what, give in _KINDS:
        if any(re.fullmatch(pattern, name) for name in names):
            return f"is {what} ({kind.__name__}), which is not read yet. {give}"
    if isinstance(value, type):
        return f"is the class {value.__name__} itself. {_ARRAY_WORDS}"
    if isinstance(value, bytes | bytearray):
        return f"is {len(value):,} bytes. Make an array of them: np.frombuffer(data, dtype).reshape(shape)."
    if isinstance(value, str | os.PathLike):
        return (
            f"is the text {str(value)[:100]!r}. Give what it names: a file in the config, as data.train and "
            "without X and y; a column as an array of its own."
        )
    if isinstance(value, Mapping):
        why = "several outputs by name are not built yet" if name == "y" else "an array is needed here"
        return f"is {a} of {listed(list(value)) or 'nothing'}; {why}. Give one array of it" + (
            f", such as {name}[{next(iter(value))!r}]." if value else "."
        )
    if hasattr(value, "__next__"):
        return (
            f"is {a}, which gives one after another and may never end. Collect what it gives into arrays; of "
            "batches: X, y = (np.concatenate(part) for part in zip(*itertools.islice(data, N)))."
        )
    if isinstance(value, Set) or value is None:
        return f"is {value if value is None else f'{a}, which has no order'}. {_ARRAY_WORDS}"
    if callable(value) and not hasattr(value, "__array__"):
        return f"is {a}, and has to be called for samples. {_ARRAY_WORDS}"
    if _is_array(value):
        return None
    if isinstance(value, Sequence):
        by_type = {type(item): item for item in value}  # one of each is looked at
        inner = [
            item for item in by_type.values() if hasattr(item, "__iter__") or hasattr(item, "__getitem__")
        ]
        faults = [_fault(item, name) for item in inner if not isinstance(item, str | bytes)]
        return next((f"is {a} in which one {fault}" for fault in faults if fault is not None), None)
    if _is_number(value):
        return None
    collected = " Collect what it gives: np.stack([item for item in data])." if _gives_items(value) else ""
    return f"is {a}, which is no array. {_ARRAY_WORDS}{collected}"


def _gives_items(value: Any) -> bool:
    return hasattr(value, "__iter__") or (hasattr(value, "__getitem__") and hasattr(value, "__len__"))


def _is_array(value: Any) -> bool:
    """Tells whether NumPy is told by something itself what array it is, and need not go through it."""
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__", "__array_struct__")):
        return True
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def is_sparse(value: Any) -> bool:
    """Tells whether something is a matrix of scipy.sparse."""
    return any(parent.__module__.startswith("scipy.sparse") for parent in type(value).__mro__)


def indexable(value: Any) -> Any:
    """Returns what scikit-learn can take some samples of: a tensor as an array, sparse columns as dense."""
    if names := _sparse_columns(value):
        return value.astype({name: value.dtypes[name].subtype for name in names})
    is_one = isinstance(value, np.ndarray) or hasattr(value, "iloc") or hasattr(value, "columns")
    return value if is_one or not hasattr(value, "__array__") else np.asarray(value)


def _sparse_columns(value: Any) -> list[Any]:
    """Returns the names of a pandas DataFrame's columns that are sparse."""
    if not (hasattr(value, "iloc") and hasattr(value, "columns")):
        return []
    return [name for name, kind in value.dtypes.items() if type(kind).__name__ == "SparseDtype"]


def sparse_note(value: Any) -> list[str]:
    """Returns a line on what is sparse, and is learnt from as dense; none of what is not."""
    if is_sparse(value):
        what, size = "a sparse matrix", math.prod(value.shape)
        share = value.nnz / max(size, 1)
    elif names := _sparse_columns(value):
        what, size, share = "sparse columns", len(value) * len(names), value[names].sparse.density
    else:
        return []
    return [f"X: {what} of which {share:.1%} is not 0, made dense: {4 * size:,} bytes"]


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex | np.number | np.bool_)


def _fault_of_several(value: Any, beside: Any, name: str) -> str | None:
    """Returns what a list or tuple of arrays is that are no samples or labels; None for one that is.

    Args:
        beside: The labels of samples, the samples of labels; None where there are none.
        name: What messages call it; y is of labels.
    """
    if not isinstance(value, list | tuple) or len(value) < 2:
        return None
    kind = type(value).__name__
    if all(isinstance(item, tuple) and len(item) == 2 and _length(item[0]) for item in value):
        if len(value) == 2 and isinstance(value, tuple):
            return (
                "is a pair of pairs, as load_data() gives it: (X, y), (X_test, y_test) = ... takes it apart."
            )
        return f"is a {kind} of pairs. Take them apart: X, y = (np.stack(part) for part in zip(*pairs))."
    lengths = {_length(item) for item in value}
    if None in lengths or len(lengths) > 1:
        return None
    if beside is None:
        parts = {2: ("two", "X, y"), 3: ("three", "X, y, sample_weight")}
        if len(value) not in parts or (isinstance(value, list) and len(value) == 3):
            return None
        words, names = parts[len(value)]
        apart = f"Take it apart: {names} = ..., and give X and y."
        return f"is a {kind} of {words} arrays, and y is missing. {apart}"
    n_beside = len(beside) if hasattr(beside, "__len__") else None
    if name == "y" and n_beside in lengths and n_beside != len(value):
        return (
            f"is a {kind} of {len(value)} arrays of {n_beside:,} labels each, and several outputs are not "
            "built yet. Give one array."
        )
    return None


def _length(value: Any) -> int | None:
    """Returns the length of an array's first axis; None of what has no shape."""
    shape = getattr(value, "shape", None)
    return shape[0] if isinstance(shape, tuple) and shape else None


def _uneven(value: Any) -> str | None:
    """Returns which row of something has another shape than its first one; None where all are alike."""
    try:
        shapes = [np.shape(row) for row in value]
    except (TypeError, ValueError):  # uneven further in
        return ": rows of different lengths. Bring all samples to one shape."
    other = next((place for place, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is None:
        return None
    return (
        f": sample {other} (counted from 0) has shape {shapes[other]}, and sample 0 {shapes[0]}. Bring all "
        "samples to one shape."
    )


def _of_columns(values: np.ndarray, names: Sequence[Any], name: str) -> np.ndarray:
    """Returns a data frame's values of several kinds of numbers as float64.

    Raises:
        DataError: One is no number, or is missing.
    """
    for place, column in enumerate(names):
        row = next((row for row, item in enumerate(values[:, place]) if not _is_number(item)), None)
        if row is not None:
            raise DataError(
                f"{name}, column {column!r}: holds {values[row, place]!r} (row {row}, counted from 0), where "
                "numbers are needed: fill it or drop it, or encode the column as numbers."
            )
    return values.astype(np.float64)
