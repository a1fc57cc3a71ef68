"""Rows that are held out in the place of folds, behind those that are trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kerasgrid.data.drawn import drawn, gives_batches
from kerasgrid.data.samples import Joined, Samples
from kerasgrid.errors import DataError
from kerasgrid.records import Dataset
from kerasgrid.wording import count, joined

_OTHERWISE = {"weights": 1.0, "groups": -1, "times": np.inf, "given": -1}
"""What is taken to be known of samples of which it is not, where it is of others."""

_NO_WEIGHTS = "what its samples weigh is not told, and each counts 1 in scores that are weighed"


def parts_of(validation_data: Any) -> tuple[Any, Any, Any]:
    """Returns samples that are given to be held out, their labels and what each counts, None for the same.

    Args:
        validation_data: (X, y) or (X, y, sample_weight), or a dataset that gives them, which is drawn.

    Raises:
        DataError: It is something else.
    """
    if gives_batches(validation_data):
        validation_data = drawn(validation_data, "validation_data")
    parts = list(validation_data) if isinstance(validation_data, list | tuple) else []
    if len(parts) not in (2, 3):
        raise DataError("validation_data: (X, y) or (X, y, sample_weight) holds.")
    X, y, weights = (*parts, None)[:3]
    return X, y, weights


def check_held_out(train: Samples | Dataset, test: Samples | Dataset, where: str, where_test: str) -> None:
    """Holds that a net that is trained on some rows can be scored on others.

    Raises:
        DataError: They are of another shape or another kind of labels, of a class that these have not, or of
            the same numbers in another order.
    """
    shape, found = train.images.shape[1:], test.images.shape[1:]
    if shape != found:
        raise DataError(f"{where_test}: has samples of {found}, and {where} of {shape}.")
    ours, theirs = train.target, test.target
    if theirs.kind != ours.kind:
        raise DataError(f"{where_test}: has {theirs.kind} to predict, and {where} {ours.kind}.")
    if ours.kind != "classes":
        if theirs.n_outputs != ours.n_outputs:
            n_told = count(theirs.n_outputs, ours.kind.removesuffix("s"))
            raise DataError(f"{where_test}: has samples of {n_told}, and {where} of {ours.n_outputs}.")
        if theirs.names != ours.names and set(theirs.names) == set(ours.names):
            orders = f"{joined(theirs.names)}, and {where} {joined(ours.names)}"
            raise DataError(f"{where_test}: has {orders}, in this order: bring the columns into the same.")
        return
    known = set(map(str, ours.names))
    unknown = [label for label in theirs.names if str(label) not in known]
    if unknown:
        raise DataError(f"{where_test}: has the class {unknown[0]!r}, which {where} has not.")


def with_held_out(
    train: Samples | Dataset, test: Samples | Dataset, where_test: str, *, in_memory: bool = True
) -> Samples:
    """Returns samples to train on, and behind them others, which `check_held_out` has let pass.

    Args:
        where_test: What a line calls the others, that tells of weights which are not known of them.
        in_memory: Whether the images become one array, and not `Joined` where they are of one dtype.
    """
    labels = test.labels
    if train.target.kind == "classes":
        # By what is written: a file of some classes may hold numbers alone, and the other one texts too.
        place = {str(label): place for place, label in enumerate(train.target.names)}
        labels = np.array([place[str(label)] for label in test.target.names], np.int64)[labels]
    known: dict[str, Any] = {name: _joined(train, test, name) for name in _OTHERWISE}
    parts: tuple[Any, ...] = (train.images, test.images)
    is_joined = not in_memory and parts[0].dtype == parts[1].dtype
    images: Any = Joined(parts) if is_joined else np.concatenate(parts)
    labels = np.concatenate([train.labels, labels])
    joined = Samples(images, labels, train.target, train.table, train.inputs, **known)
    weights = [] if train.weights is None or test.weights is not None else [f"{where_test}: {_NO_WEIGHTS}"]
    return replace(joined, report=(*train.report, *test.report, *weights))


def _joined(train: Samples | Dataset, test: Samples | Dataset, name: str) -> np.ndarray | None:
    """Returns what is known of all samples; None where it is of none."""
    parts = [(getattr(data, name), len(data.labels)) for data in (train, test)]
    if all(values is None for values, _ in parts):
        return None
    filled = [np.full(n, _OTHERWISE[name]) if values is None else values for values, n in parts]
    return np.concatenate(filled).astype(np.float64 if name in ("weights", "times") else np.int64)
