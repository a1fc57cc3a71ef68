"""The histories of a trial's folds and repeats as one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.space.dimensions import all_known
from kerasgrid.tables.parsing import finite, read_history
from kerasgrid.tables.table import columns_of


def mean_history(histories: Sequence[Mapping[str, Sequence[Any]] | Path]) -> dict[str, list[float | None]]:
    """Returns the mean over folds of each metric, as far as all folds that have it go; then None.

    Args:
        histories: Of folds and repeats, or the files that hold them.

    Raises:
        ResultsError: A file is not there, or holds no history.
    """
    folds, means = [read_history(history) for history in histories], {}
    for name in columns_of(folds):
        series = [fold[name] for fold in folds if isinstance(fold.get(name), list) and fold[name]]
        if series:
            means[name] = [_mean(values) for values in zip(*series, strict=False)]
    length = max(map(len, means.values()), default=0)
    return {name: [*values, *[None] * (length - len(values))] for name, values in means.items()}


def are_epochs(steps: Sequence[int]) -> bool:
    """Says whether steps, in order, are epochs one after the other from the first, counted from 0 or 1."""
    pairs = itertools.pairwise(steps)
    return len(steps) > 1 and steps[0] in (0, 1) and all(after == before + 1 for before, after in pairs)


def _mean(values: Sequence[Any]) -> float | None:
    numbers = [finite(value) for value in values]
    return sum(numbers) / len(numbers) if all_known(numbers) else None
