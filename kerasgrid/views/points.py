"""What the lines of a page are: a line a trial, or a line an epoch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kerasgrid.errors import ResultsError
from kerasgrid.tables.histories import mean_history
from kerasgrid.tables.table import Table

log = logging.getLogger(__name__)

MOST_POINTS = 50_000


@dataclass(frozen=True)
class Point:
    """One line of the page: its uid is short and no other's; `parent` is the uid that it goes on from."""

    uid: str
    row: Mapping[str, Any]
    parent: str | None = None


@dataclass(frozen=True)
class Sheet:
    """The lines of a page, and what their columns are.

    Attributes:
        points: One line each. A row lacks the columns that do not apply to it.
        params: Columns drawn left, in this order.
        scores: Columns drawn right, the objective first, which is outermost.
        details: Columns of the table alone.
        direction: Whether a larger (`max`) or a smaller (`min`) objective is better.
        log_params: Columns on a logarithmic scale.
        color: The column that colours the lines.
        curve: The columns (x, y) of the learning curves; None for a line a trial.
    """

    points: tuple[Point, ...]
    params: tuple[str, ...]
    scores: tuple[str, ...]
    details: tuple[str, ...]
    direction: Literal["max", "min"]
    log_params: frozenset[str]
    color: str
    curve: tuple[str, str] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, each once, from left to right."""
        return _union([self.params, self.details, self.scores])


def trial_sheet(tables: Sequence[Table]) -> Sheet:
    """Returns a line a trial, the tables one after the other.

    Raises:
        ResultsError: There is no trial in any of the tables.
    """
    tables = _distinct_sources(tables)
    if not any(table.rows for table in tables):
        names = ", ".join(table.source for table in tables)
        raise ResultsError(f"{names}: no trial has begun yet, so there is nothing to plot. Try again later.")
    several = len(tables) > 1
    points = tuple(
        Point(f"source {number}, {uid}" if several else uid, row)
        for number, table in enumerate(tables, start=1)
        for uid, row in _named_rows(table, several)
    )
    states = {point.row.get("state", "complete") for point in points}
    params = _union(table.params for table in tables)
    return Sheet(
        points=points,
        params=(*params, *(["source"] * several), *(["state"] * (states != {"complete"}))),
        scores=_union(table.scores for table in tables),
        details=_union([["trial"], *(table.details for table in tables)]),
        direction=tables[0].direction,
        log_params=frozenset.union(*(table.log_params for table in tables)),
        color="source" if several else tables[0].scores[0],
    )


def epoch_sheet(tables: Sequence[Table]) -> Sheet:
    """Returns a line an epoch of each trial, each going on from the epoch before it.

    A value is the mean over the trial's folds and repeats, as far as all of them go. Where that makes more
    than MOST_POINTS lines, every k-th epoch is kept, and the last.

    Raises:
        ResultsError: None of the tables has histories, or a file of one is missing or broken.
    """
    trials = trial_sheet(tables)
    histories = [folds for table in tables for folds in table.histories or [()] * len(table.rows)]
    means = [mean_history(folds) for folds in histories]
    if not any(means):
        names = ", ".join(table.source for table in tables)
        raise ResultsError(f"{names}: there is no history of epochs. Plot the trials, without --epochs.")
    taken = set(trials.columns)
    metrics = {name: f"{name} (epoch)" if name in taken else name for name in _union(means)}
    step = -(-sum(map(_length, means)) // MOST_POINTS)
    if step > 1:
        log.warning("The page would have more than %d epochs: one in %d is drawn.", MOST_POINTS, step)
    points = []
    for trial, mean in zip(trials.points, means, strict=True):
        parent = None
        last = _length(mean)
        for epoch in [*range(1, last, step), last] if last else []:
            values = {metrics[name]: series[epoch - 1] for name, series in mean.items()}
            uid = f"{trial.uid}, epoch {epoch}"
            points.append(Point(uid, {**trial.row, "epoch": epoch, **values}, parent))
            parent = uid
    return replace(
        trials,
        points=tuple(points),
        params=(*trials.params, "epoch"),
        scores=(trials.scores[0], *metrics.values()),
        details=_union([trials.details, trials.scores[1:]]),
        curve=("epoch", metrics[_curve(metrics, tables[0].metric)]),
    )


def _distinct_sources(tables: Sequence[Table]) -> list[Table]:
    """Returns the tables, the second of two equal sources with a number behind it."""
    counts: dict[str, int] = {}
    distinct = []
    for table in tables:
        counts[table.source] = count = counts.get(table.source, 0) + 1
        distinct.append(table if count == 1 else replace(table, source=f"{table.source} ({count})"))
    return distinct


def _named_rows(table: Table, several: bool) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yields each row's uid, and the row with `trial`, and `source` where there are several tables.

    The uid has the trial's id; or, as a file of the user's own may hold anything there, its place.
    """
    rows = [{"trial": place, **row} for place, row in enumerate(table.rows)]
    ids = [row["trial"] for row in rows]
    if len({id for id in ids if type(id) is int}) < len(rows):
        ids = list(range(len(rows)))
    for id, row in zip(ids, rows, strict=True):
        yield f"trial {id}", row | ({"source": table.source} if several else {})


def _length(history: Mapping[str, Sequence[Any]]) -> int:
    return len(next(iter(history.values()), ()))


def _curve(metrics: Iterable[str], metric: str) -> str:
    """Returns the history to draw against the epoch: the objective's, on held-out rows if it can."""
    names = list(metrics)
    wanted = [f"test_{metric}", f"val_{metric}", metric, "test_loss", "val_loss", "loss"]
    return next((name for name in wanted if name in names), names[0])


def _union(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in groups for name in group))
