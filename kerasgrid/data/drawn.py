"""Samples that a dataset of Keras's, TensorFlow's or PyTorch's gives batch by batch, drawn once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from kerasgrid.data.arrays import check_memory
from kerasgrid.errors import DataError

_IN_BATCHES = re.compile(
    r"(tf_keras|keras|tensorflow)\..*\.(PyDataset|Sequence)|tensorflow\.python\.data\..*Dataset.*"
    r"|torch\.utils\.data\..*\.DataLoader"
)
_AUGMENT = 'augment: {rotation_range: 10}, or in a grid in Python {"augment.rotation_range": [10]}'
ENDLESS = (
    (
        r".*\.NumpyArrayIterator",
        "endless batches of an ImageDataGenerator",
        f"Give the arrays that it flows from, and its arguments under augment, such as {_AUGMENT}.",
    ),
    (
        r".*\.(DirectoryIterator|DataFrameIterator)",
        "endless batches of image files",
        "Name their folder or table in the config, as data.train, and what the ImageDataGenerator does under "
        f"augment, such as {_AUGMENT}.",
    ),
    (
        r".*\.ImageDataGenerator",
        "a maker of augmented batches",
        f"Give arrays, and its arguments under augment, such as {_AUGMENT}.",
    ),
)
"""Those of ImageDataGenerator, which have a length and never end, and give other samples each time: by the
full name of the type, what it is, and what to give."""
_MOST_PARTS = 3


def gives_batches(value: Any) -> bool:
    """Tells whether something is a dataset that is drawn: one of batches, or of tf.data's single samples."""
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__]
    return not any(re.fullmatch(kind, name) for kind, _, _ in ENDLESS for name in names) and any(
        map(_IN_BATCHES.fullmatch, names)
    )


def with_labels(X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Returns samples, labels and what each counts; where X is a dataset and y is None, what it gives."""
    if y is not None or not gives_batches(X):
        return X, y, sample_weight
    X, y, weights = drawn(X, "X")
    return X, y, weights if sample_weight is None else sample_weight


def drawn(value: Any, name: str) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Returns all that a dataset gives: samples, labels, and what each counts, None where it does not tell.

    Args:
        value: As `gives_batches` knows it; it gives (x, y) or (x, y, sample_weight), x an array, or a list or
            dict of them, as samples then are.
        name: What messages call it.

    Raises:
        DataError: It does not end, gives nothing or something else, or more than there is memory for.
    """
    parts: list[list[np.ndarray]] = []
    is_batched: bool | None = None
    n_bytes, form = 0, None
    for batch in _batches(value, name):
        given, own = _arrays(batch, name)
        if is_batched is None:
            is_batched, form = _is_batch(given), own
            parts = [[] for _ in given]
        if len(given) != len(parts) or own != form:
            raise DataError(f"{name} gives {len(parts)} arrays first, and {len(given)} later.")
        for kept, array in zip(parts, given, strict=True):
            n_bytes += array.nbytes
            check_memory(n_bytes, name)  # as much again as is kept, when all become one array
            kept.append(array if is_batched else array[None])
    if not parts:
        raise DataError(f"{name} gives no batch.")
    try:
        joined = [np.concatenate(kept) for kept in parts]
    except ValueError as error:
        raise DataError(f"{name} gives batches whose samples differ in shape: {error}") from error
    if len({len(array) for array in joined}) > 1:
        shapes = ", ".join(str(array.shape) for array in joined)
        raise DataError(f"{name} gives arrays of {shapes}: as many samples in each hold.")
    samples: Any = joined[0]
    if form is not None:
        n_inputs = len(form)
        samples, joined = joined[:n_inputs], joined[n_inputs - 1 :]
        samples = dict(zip(form, samples, strict=True)) if isinstance(form[0], str) else samples
    labels, *weights = joined[1:]
    if labels.ndim == 2 and labels.shape[1] == 1:  # as label_mode="binary" of image_dataset_from_directory
        labels = labels[:, 0]
    return samples, labels, weights[0].reshape(len(labels)) if weights else None


def _batches(value: Any, name: str) -> Iterator[Any]:
    """Yields what a dataset gives, once.

    Raises:
        DataError: It tells that it does not end.
    """
    endless = f"{name} does not end. Give one that does, by .take(n)."
    if hasattr(value, "cardinality"):  # tf.data
        if int(value.cardinality()) == -1:
            raise DataError(endless)
        yield from value.as_numpy_iterator() if hasattr(value, "as_numpy_iterator") else value
        return
    size = getattr(value, "num_batches", None)
    if size is None and hasattr(value, "__len__"):
        size = len(value)
    if hasattr(value, "__getitem__") and type(value).__module__.partition(".")[0] != "torch":
        if size is None or not math.isfinite(size):
            raise DataError(f"{name} does not end, since its num_batches is None. Give one that does.")
        yield from (value[place] for place in range(int(size)))
        return
    if not isinstance(value, Iterable):
        raise DataError(f"{name} cannot be gone over.")
    yield from value


def _arrays(batch: Any, name: str) -> tuple[list[np.ndarray], list[Any] | None]:
    """Returns the arrays of a batch, and by what those of several inputs are known; None for one input.

    Raises:
        DataError: It is not of two or three, or of several outputs.
    """
    if not isinstance(batch, list | tuple) or not 2 <= len(batch) <= _MOST_PARTS:
        found = f"{len(batch)} arrays" if isinstance(batch, list | tuple) else f"a {type(batch).__name__}"
        raise DataError(f"{name} gives {found} at a time; (x, y) or (x, y, sample_weight) holds.")
    if batch[-1] is None:
        batch = batch[:-1]
    inputs, *others = batch
    for part in others:
        if isinstance(part, dict | list | tuple):
            raise DataError(
                f"{name} gives several outputs ({type(part).__name__}), which are not built yet. Give one "
                "array of labels."
            )
    form = [*inputs] if isinstance(inputs, dict) else None
    if isinstance(inputs, dict):
        inputs = [*inputs.values()]
    elif isinstance(inputs, list | tuple):
        form = [*range(len(inputs))]
    else:
        inputs = [inputs]
    return [np.asarray(part) for part in (*inputs, *others)], form


def _is_batch(given: list[np.ndarray]) -> bool:
    """Tells whether what comes first is a batch, whose arrays have as many rows, or a single sample."""
    return all(array.ndim for array in given) and len({len(array) for array in given}) == 1
