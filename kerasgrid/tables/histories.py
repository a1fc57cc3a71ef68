"""The histories of a trial's folds and repeats as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kerasgrid.tables.parsing import finite
from kerasgrid.tables.table import columns_of


def mean_history(folds: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, list[float | None]]:
    """Returns the mean over folds of each metric, as far as all folds that have it go; then None."""
    means = {}
    for name in columns_of(folds):
        series = [fold[name] for fold in folds if isinstance(fold.get(name), list) and fold[name]]
        if series:
            means[name] = [_mean(values) for values in zip(*series, strict=False)]
    length = max(map(len, means.values()), default=0)
    return {name: [*values, *[None] * (length - len(values))] for name, values in means.items()}


def _mean(values: Sequence[Any]) -> float | None:
    numbers = [finite(value) for value in values]
    return None if None in numbers else sum(numbers) / len(numbers)
