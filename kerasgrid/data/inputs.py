"""Samples of several inputs, given as a list or dict of arrays: a row of all values each.

Rows are one thing to whatever takes, splits or keeps samples, and the arrays of each input to a model alone.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasgrid.data.array_likes import as_array, is_sparse, refuse_others
from kerasgrid.data.arrays import as_pixels, check_memory
from kerasgrid.errors import DataError
from kerasgrid.records import Input, Inputs
from kerasgrid.wording import joined, listed

_LARGEST = 1 << 24
"""Whole numbers up to it are float32 numbers, each of them."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples of several inputs, which scikit-learn indexes and splits as it does an array.

    Attributes:
        values: (sample, value), uint8 or float32.
        inputs: What of a row is what.
    """

    values: np.ndarray
    inputs: Inputs

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples, and values of each."""
        return self.values.shape

    @property
    def apart(self) -> Any:
        """The arrays of each input, in a list or a dict, as they were given."""
        return self.inputs.apart(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> Rows:
        return Rows(self.values[rows], self.inputs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype, copy=bool(copy)) if copy else np.asarray(self.values, dtype)


def in_rows(X: Any, y: Any = None) -> Any:
    """Returns samples of several inputs as rows; any others as they are.

    A dict is of several inputs, and so is a list or tuple of arrays that each are as long as y. One that is
    itself as long as y is of samples.

    Args:
        X: What is given as samples.
        y: Their labels, of which only the number matters.

    Raises:
        DataError: An input is no array of numbers, or they are of different lengths.
    """
    X = _unwrapped(X)
    if _is_dict(X):
        return _rows(X, "X")
    if not isinstance(X, list | tuple) or not hasattr(y, "__len__") or len(X) == len(y):
        return X
    shapes = [tuple(getattr(part, "shape", ())) or None for part in X]
    if not any(shapes) or any(
        shape is None and not isinstance(part, list) for shape, part in zip(shapes, X, strict=True)
    ):
        return X
    n_each = [len(part) if shape is None else shape[0] for shape, part in zip(shapes, X, strict=True)]
    # As samples they would be of one shape.
    return _rows(X, "X") if len(y) in n_each or len({*shapes}) > 1 else X


def rows_like(X: Any, inputs: Inputs, where: str = "X") -> Rows:
    """Returns samples of several inputs as rows like those that a model was fitted to.

    Raises:
        DataError: Their number, names or axes are others; or as `in_rows`.
    """
    X = _unwrapped(X)
    if isinstance(X, Rows):
        found = X
    elif _is_dict(X) if inputs.has_names else isinstance(X, list | tuple):
        names = [one.name for one in inputs.each]
        # Others may stand in the same dict, and in another order, as Keras has it.
        is_more = inputs.has_names and {*X} >= {*names}
        found = _rows({name: X[name] for name in names} if is_more else X, where)
    else:
        form = "a dict of arrays by name" if inputs.has_names else "a list of arrays"
        is_array = isinstance(X, np.ndarray)
        kind = f"an array of shape {X.shape}" if is_array else f"a {type(X).__name__}"
        raise DataError(
            f"{where} is {kind}, and the samples trained on have the inputs {inputs}: give {form}."
        )
    if [(one.name, one.shape) for one in found.inputs.each] != [(one.name, one.shape) for one in inputs.each]:
        raise DataError(
            f"{where} has the inputs {found.inputs}, and the samples trained on have {inputs}: give the same."
        )
    return Rows(found.values, inputs)


def _unwrapped(X: Any) -> Any:
    """Returns what np.load gives of a dict that was saved, as that."""
    is_item = isinstance(X, np.ndarray) and not X.ndim and X.dtype == object
    return X.item() if is_item else X


def _is_dict(X: Any) -> bool:
    return isinstance(X, dict | UserDict) and not is_sparse(X)


def _rows(X: Mapping[Any, Any] | Sequence[Any], where: str) -> Rows:
    """Returns the inputs of a dict or list, side by side.

    Args:
        where: What messages call it.
    """
    if not len(X):
        raise DataError(f"{where} is empty: give an array of each of the model's inputs.")
    names = [*X] if isinstance(X, Mapping) else []
    if wrong := [name for name in names if not isinstance(name, str)]:
        told = f"{where} is a dict with the keys {listed(wrong)}"
        raise DataError(f"{told}; the names of the model's inputs hold.")
    parts: list[np.ndarray] = []
    each: list[Input] = []
    for key, part in X.items() if isinstance(X, Mapping) else enumerate(X):
        values, kind = _values(part, f"{where}[{key!r}]")
        parts.append(values.reshape(len(values), -1))
        each.append(Input(values.shape[1:] or (1,), kind, str(key) if names else None))
    inputs, lengths = Inputs(tuple(each)), [len(values) for values in parts]
    if len({*lengths}) > 1:
        pairs = zip(inputs.names, lengths, strict=True)
        told = joined([f"{name} has {length:,} samples" for name, length in pairs])
        raise DataError(f"{told}: as many in each hold, since each sample has all inputs.")
    dtype = np.result_type(*parts)
    check_memory(sum(values.size for values in parts) * dtype.itemsize, where)
    return Rows(np.concatenate(parts, axis=1, dtype=dtype), inputs)


def _values(part: Any, where: str) -> tuple[np.ndarray, str]:
    """Returns an input's values, uint8 or float32, and the dtype in which a model is given them."""
    refuse_others(part, name=where)
    array = as_array(part, where)
    kind = array.dtype.kind
    if kind not in "biuf":
        example = f", such as {array.reshape(-1)[:1].tolist()[0]!r}" if array.size else ""
        raise DataError(
            f"{where} holds values of dtype {array.dtype}{example}, where numbers are needed: encode texts "
            "as numbers before, as keras.layers.StringLookup or TextVectorization does."
        )
    if not array.ndim or 0 in array.shape[1:]:
        raise DataError(f"{where} has shape {array.shape}. The sample's axis and values in it are needed.")
    largest = max(-int(array.min()), int(array.max())) if kind in "iu" and array.size else 0
    if largest > _LARGEST:
        raise DataError(
            f"{where} holds {largest:,}, and of several inputs whole numbers up to {_LARGEST:,} are kept as "
            "they are: give their places instead, np.unique(column, return_inverse=True)[1]."
        )
    return as_pixels(array, where), "float32" if kind == "f" else array.dtype.name
