"""HiPlot's page: a line a trial or an epoch across an axis a parameter, in one file, without a network."""

from __future__ import annotations

import html
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kerasgrid.errors import MissingPackageError, ResultsError
from kerasgrid.io import digest, write_text
from kerasgrid.space.dimensions import is_number
from kerasgrid.tables.table import Table, finite
from kerasgrid.wording import distinct, joined, visible_line

if TYPE_CHECKING:
    import hiplot

log = logging.getLogger(__name__)

MOST_POINTS = 50_000
MOST_LEVELS = 12
LONGEST_TEXT = 80
LONGEST_NAME = 60
_RESERVED = {"", "uid", "from_uid", "__proto__"}
_LOOK_ALIKES = str.maketrans({"<": "\u2039", ">": "\u203a"})
_ENTITY = re.compile(r"&(?=#?\w+;)")
_EXACT_IN_A_FLOAT = 2**53
_DIGITS = 6
_HASH = 12
_DRAWN_ID = re.compile(r"hiplot_(?<!\whiplot_)[0-9a-f]{32}\b")
"""HiPlot's own id of the page's element, another one each time; behind `\\b` its search would be slow."""
_COLORMAP = "interpolateTurbo"
_MOST_CATEGORIES = 1000
_CURVES_HEIGHT = 420


def write_page(tables: Sequence[Table], target: Path, *, epochs: bool = False) -> Path:
    """Writes the page of one or several tables, whole or not at all.

    Args:
        tables: What read_table gave. Several make one page, coloured by source.
        target: The .html file; its folder is made where missing.
        epochs: A line an epoch instead of a line a trial, chained to learning curves.

    Returns:
        `target`.

    Raises:
        ResultsError: There is no trial, or for `epochs` no history, to show.
        MissingPackageError: HiPlot is not installed.
        StorageError: The page cannot be written.
    """
    write_text(Path(target), page_of(show(tables, epochs=epochs), tables))
    return Path(target)


def page_of(experiment: hiplot.Experiment, tables: Sequence[Table]) -> str:
    """Returns the page of an experiment that `show` has made of some tables."""
    page = _DRAWN_ID.sub("hiplot_page", experiment.to_html())
    title = html.escape(", ".join(dict.fromkeys(safe_text(table.source) for table in tables)))
    return page.replace("<title>HiPlot</title>", f"<title>{title}</title>", 1)


def show(tables: Sequence[Table], *, epochs: bool = False) -> hiplot.Experiment:
    """Returns the page as a hiplot.Experiment, whose `display()` shows it in a notebook.

    Args:
        tables: What read_table gave; see write_page.
        epochs: See write_page.

    Raises:
        ResultsError: There is no trial, or for `epochs` no history, to show.
        MissingPackageError: HiPlot is not installed.
    """
    try:
        import hiplot
    except ImportError as error:
        raise MissingPackageError(
            "The page needs the package hiplot. Install it with: pip install hiplot"
        ) from error
    plot = epoch_plot(tables) if epochs else trial_plot(tables)
    axes = {name: axis for name in plot.columns if (axis := _axis(plot, name))}
    names = safe_names(axes)
    points = [
        hiplot.Datapoint(
            uid=point.uid,
            from_uid=point.parent,
            values={names[name]: axes[name].convert(point.row[name]) for name in axes if name in point.row},
        )
        for point in plot.points
    ]
    experiment = hiplot.Experiment(points, colormap=_COLORMAP)
    for name, axis in axes.items():
        experiment.parameters_definition[names[name]].type = hiplot.ValueType(axis.type)
    _arrange(experiment, plot, axes, names)
    return experiment


def _axis(plot: Plot, name: str) -> Axis | None:
    """Returns how a column is drawn; None where no line has a value in it."""
    values = [point.row[name] for point in plot.points if name in point.row]
    is_needed = name in (plot.scores[0], *(plot.curve or ()))
    if not is_needed and all(value is None for value in values):
        return None
    return score_axis(values) if name in plot.scores else param_axis(values, name in plot.log_params)


def _arrange(experiment: hiplot.Experiment, plot: Plot, axes: dict[str, Axis], names: dict[str, str]) -> None:
    """Says which columns stand where, which are hidden, and what colours the lines."""
    from hiplot import Displays

    objective = plot.scores[0]
    drawn = [name for name in (*plot.params, *reversed(plot.scores)) if name in axes and axes[name].varies]
    table = ("trial", *plot.params, *plot.scores, *plot.details)
    experiment.colorby = names[plot.color]
    experiment.display_data(Displays.PARALLEL_PLOT).update(
        order=[names[name] for name in reversed(drawn)],
        hide=["uid", "from_uid", *(names[name] for name in axes if name not in drawn)],
        invert=[names[objective]] if plot.direction == "min" else [],
        categoricalMaximumValues=_MOST_CATEGORIES,
    )
    order = [[names[objective], "desc" if plot.direction == "max" else "asc"]]
    if "state" in drawn:
        order.insert(0, [names["state"], "asc"])
    experiment.display_data(Displays.TABLE).update(
        order=[names[name] for name in dict.fromkeys(table) if name in axes],
        hide=["uid", "from_uid"],
        order_by=order,
    )
    experiment.parameters_definition[names[objective]].label_css = "font-weight-bold"
    displays = [Displays.PARALLEL_PLOT] if drawn else []  # HiPlot breaks down without any axis
    if plot.curve:
        x, y = plot.curve
        experiment.display_data(Displays.XY).update(axis_x=names[x], axis_y=names[y], height=_CURVES_HEIGHT)
        displays.insert(0, Displays.XY)
    else:
        displays.append(Displays.XY)
    experiment.enabledDisplays = [*displays, Displays.DISTRIBUTION, Displays.TABLE]


@dataclass(frozen=True)
class Point:
    """One line of the page: its uid is short and no other's; `parent` is the uid that it goes on from."""

    uid: str
    row: Mapping[str, Any]
    parent: str | None = None


@dataclass(frozen=True)
class Plot:
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


def trial_plot(tables: Sequence[Table]) -> Plot:
    """Returns a line a trial, the tables one after the other.

    Raises:
        ResultsError: There is no trial in any of the tables.
    """
    tables = _distinct_sources(tables)
    if not any(table.rows for table in tables):
        names = ", ".join(table.source for table in tables)
        raise ResultsError(f"{names}: no trial has begun yet, so there is nothing to plot. Try again later.")
    several = len(tables) > 1
    if len(versions := {table.about.journal for table in tables if table.about is not None}) > 1:
        log.warning(
            "The files are of %s, in which a candidate has other scores: compare within a source alone.",
            joined(sorted(versions)),
        )
    points = tuple(
        Point(f"source {number}, {uid}" if several else uid, row)
        for number, table in enumerate(tables, start=1)
        for uid, row in _named_rows(table, several)
    )
    states = {point.row.get("state", "complete") for point in points}
    params = _union(table.params for table in tables)
    return Plot(
        points=points,
        params=(*params, *(["source"] * several), *(["state"] * (states != {"complete"}))),
        scores=_union(table.scores for table in tables),
        details=_union([["trial"], *(table.details for table in tables)]),
        direction=tables[0].direction,
        log_params=frozenset.union(*(table.log_params for table in tables)),
        color="source" if several else tables[0].scores[0],
    )


def _distinct_sources(tables: Sequence[Table]) -> list[Table]:
    """Returns the tables, the second of two equal sources with a number behind it."""
    counts: Counter[str] = Counter()
    found = []
    for table in tables:
        counts[table.source] += 1
        n = counts[table.source]
        found.append(table if n == 1 else replace(table, source=f"{table.source} ({n})"))
    return found


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


def epoch_plot(tables: Sequence[Table]) -> Plot:
    """Returns a line an epoch of each trial, each going on from the epoch before it.

    A value is the mean over the trial's folds and repeats, as far as all of them go. Where that makes more
    than MOST_POINTS lines, every k-th epoch is kept, and the last.

    Raises:
        ResultsError: None of the tables has histories, or a file of one is missing or broken.
    """
    trials = trial_plot(tables)
    means = [table.mean_history(place) for table in tables for place in range(len(table.rows))]
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


def _length(history: Mapping[str, Sequence[Any]]) -> int:
    return len(next(iter(history.values()), ()))


def _curve(metrics: Iterable[str], metric: str) -> str:
    """Returns the history to draw against the epoch: the objective's, on held-out rows if it can."""
    names = list(metrics)
    wanted = [f"test_{metric}", f"val_{metric}", metric, "test_loss", "val_loss", "loss"]
    return next((name for name in wanted if name in names), names[0])


def _union(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in groups for name in group))


@dataclass(frozen=True)
class Axis:
    """How a column is drawn.

    Attributes:
        type: HiPlot's name of it: `numeric`, `numericlog` or `categorical`.
        convert: What a value becomes in the page: a number, true, false, safe text or None.
        varies: Whether the column has more than one value, None not counted.
    """

    type: str
    convert: Callable[[Any], Any]
    varies: bool


def score_axis(values: Sequence[Any]) -> Axis:
    """Returns the axis of a measured column; what is no finite number becomes None."""
    return Axis("numeric", _rounded, _varies(map(finite, values)))


def param_axis(values: Sequence[Any], log: bool = False) -> Axis:
    """Returns the axis of a parameter or detail.

    Numbers are drawn on a linear scale, or a logarithmic one if `log` and none is below zero or
    zero. Where they take few values, each several times, they are drawn as evenly spaced levels,
    as a list in a grid is meant. All else is categories.
    """
    present = [value for value in values if not _is_gap(value)]
    if not present or not all(map(_is_exact, present)):
        return Axis("categorical", _category, _varies(map(_category, values)))
    numbers = set(present)
    varies = len(numbers) > 1
    if log and min(numbers) > 0:
        return Axis("numericlog", _rounded, varies)
    if len(numbers) <= MOST_LEVELS and len(present) >= 2 * len(numbers) and (levels := _levels(numbers)):
        return Axis("categorical", levels.get, varies)
    return Axis("numeric", _rounded, varies)


def _levels(numbers: Iterable[float]) -> dict[float, Any] | None:
    """Returns what numbers become so that their order as text is their order as numbers.

    HiPlot sorts categories as text, so that 1024 would stand before 512. HTML does not show
    leading spaces, and HiPlot still reads ` 512` as a number. None where spaces do not help.
    """
    ordered = sorted(numbers)
    texts = [format(Decimal(repr(_rounded(number))).normalize(), "f") for number in ordered]
    width = max(len(text.partition(".")[0]) for text in texts)
    padded = [" " * (width - len(text.partition(".")[0])) + text for text in texts]
    if ordered[0] < 0 or max(map(len, padded)) > LONGEST_NAME // 4 or len(set(padded)) < len(padded):
        return None
    as_they_are = padded == [repr(_rounded(number)).removesuffix(".0") for number in ordered]
    return dict(zip(ordered, map(_rounded, ordered) if as_they_are else padded, strict=True))


def _is_gap(value: Any) -> bool:
    """Says whether a value is drawn to the mark for no number: None, NaN and infinity."""
    return value is None or (isinstance(value, float) and finite(value) is None)


def _is_exact(value: Any) -> bool:
    """Says whether a value is a number that the page, which knows only floats, shows as it is."""
    return is_number(value) and (isinstance(value, float) or abs(value) <= _EXACT_IN_A_FLOAT)


def _category(value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else safe_text(value)


def _rounded(value: Any) -> float | None:
    """Returns a number to six significant digits, which is more than a page can show."""
    number = finite(value)
    return float(f"{number:.{_DIGITS}g}") if isinstance(number, float) else number


def _varies(values: Iterable[Any]) -> bool:
    return len({value for value in values if value is not None}) > 1


def safe_names(columns: Iterable[str]) -> dict[str, str]:
    """Returns what each column is called in the page: safe, and different for different columns."""
    names: dict[str, str] = {}
    taken = set(_RESERVED)
    for column in columns:
        names[column] = distinct("(no name)" if column == "" else safe_text(column, LONGEST_NAME), taken)
        taken.add(names[column])
    return names


def safe_text(value: Any, longest: int = LONGEST_TEXT) -> str:
    """Returns a value as text that cannot run in the page, on one line and of bounded length.

    `<` and `>` become U+2039 and U+203A, an `&` that would begin an HTML entity becomes U+FF06.
    Text that is cut ends in twelve digits of its hash, so that different long texts stay different.
    """
    given = value if isinstance(value, str) else _as_text(value)
    text = _ENTITY.sub("\uff06", visible_line(given)).translate(_LOOK_ALIKES)
    if len(text) > longest:
        text = f"{text[: longest - _HASH - 2]}… {digest(given)[:_HASH]}"
    return text or "(empty)"


def _as_text(value: Any) -> str:
    if isinstance(value, float):
        return str(value if _is_gap(value) else _rounded(value))
    return json.dumps(value, ensure_ascii=False, default=str)
