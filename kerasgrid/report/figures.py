"""The report's pictures, each of one finding, with the tables that say the same in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasgrid.report.comparison import Contender
from kerasgrid.report.findings import Findings
from kerasgrid.report.importance import Importance
from kerasgrid.report.label_scores import LabelScore
from kerasgrid.report.residuals import TargetResiduals
from kerasgrid.report.sentences import worded
from kerasgrid.tables.table import DEBIASED
from kerasgrid.views.drawing import ACCENT, INK, LINE, MUTED, ON_WARM, WARM, label
from kerasgrid.views.leaderboard import format_score, format_seconds
from kerasgrid.views.pages import Cells, Picture
from kerasgrid.wording import number_word, percent, score_word

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Interval = tuple[str, float, float | None, float | None]
"""Of what, the mean, and both ends; None where there are none."""
MOST_ROWS = 24
"""Of a table, or of a picture of intervals."""
MOST_CLASSES = 40
_MOST_COLUMNS = 20
"""Classes of a confusion matrix in a text, where a line has to end, or with numbers in a picture."""
_MOST_BARS = 16
_SMALLEST_SHARE = 0.005
_MOST_EPOCHS = 10
_MOST_STEPS = 200
_MOST_DOTS = 1500
"""More dots than this are one image within the drawing, so that the page stays small."""
_LONGEST_CLASS = 16
_LONGEST_SIDE = 40
"""Of what stands at the side of a picture, which is less wide than high."""
_DEEP = 0.58
"""The depth of a cell's colour from which on its number is dark on a dark page, too."""


def leaderboard_cells(findings: Findings, shown: Sequence[Contender]) -> Cells:
    """Returns rank, score, p-value, time and size of trials, and their parameters that vary."""
    table = findings.table
    rows = [table.rows[one.row] for one in shown]
    means = [one.mean for one in findings.contenders]
    columns = [
        ("rank", [str(means.index(one.mean) + 1) for one in shown]),  # equal scores share it
        ("trial", [str(findings.trial(one.row)) for one in shown]),
        (table.scores[0], [format_score(one.mean, one.std) for one in shown]),
    ]
    if findings.debiased is not None:
        columns.append(("debiased", [format_score(row.get(DEBIASED, row[table.scores[0]])) for row in rows]))
    if any(one.p_value is not None for one in shown):
        columns.append(("p, against the best", list(map(_p_text, shown))))
    columns.append(("fit time", [format_seconds(one.fit_time) for one in shown]))
    sizes = [row.get("n_parameters") for row in rows]
    if any(size is not None for size in sizes):
        columns.append(("weights", ["-" if size is None else f"{size:,}" for size in sizes]))
    n_numbers = len(columns)
    for factor in findings.design.factors:
        name = factor.name
        columns.append((name, [worded(row[name]) if name in row else "" for row in rows]))
    names, cells = zip(*columns, strict=True)
    return Cells(names, list(zip(*cells, strict=True)), right=range(n_numbers))


def _p_text(one: Contender) -> str:
    if one.p_value is None:
        return "-"
    text = "< 0.001" if one.p_value < 0.001 else f"{one.p_value:.3f}"
    return f"{text} (level)" if one.is_level else text


def front_picture(findings: Findings) -> Picture:
    """Returns score against fit time, the Pareto front of both, the best and the one to pick."""
    timed = [one for one in findings.contenders if one.fit_time is not None]
    are_many = len(timed) > _MOST_DOTS
    named = {findings.best: "best"}
    named.setdefault(findings.pick, "if time counts")
    labelled = [(one, what) for one, what in named.items() if one and one.fit_time is not None]

    def paint(axes: Axes) -> None:
        axes.scatter(
            [one.fit_time for one in timed],
            [one.mean for one in timed],
            s=14,
            color="#808890" if are_many else MUTED,
            alpha=0.5,
            linewidths=0,
            rasterized=are_many,
        )
        axes.step(
            [one.fit_time for one in findings.front],
            [one.mean for one in findings.front],
            "o-",
            where="post",
            color=ACCENT,
            markersize=4,
            linewidth=1.2,
        )
        for (one, what), above in zip(labelled, (7, -15), strict=False):
            text = label(f"{what}: {findings.trial(one.row)}")
            axes.plot([one.fit_time], [one.mean], "o", color=WARM, markersize=7)
            axes.annotate(text, (one.fit_time, one.mean), (6, above), textcoords="offset points")
        axes.margins(y=0.15)
        axes.set_xlabel("fit time (seconds a fold)")
        axes.set_ylabel(label(findings.table.scores[0], _LONGEST_SIDE))

    cells = Cells(
        ("trial", findings.table.scores[0], "fit time"),
        [
            (str(findings.trial(one.row)), format_score(one.mean, one.std), format_seconds(one.fit_time))
            for one in findings.front[: -MOST_ROWS - 1 : -1]
        ],
        right=range(3),
        caption="No candidate is both better and quicker than one of these:",
    )
    caption = "A dot a trial. No candidate is both better and quicker than one on the line."
    return Picture(paint, "Score against fit time", 3.4, caption, cells)


def effect_rows(findings: Findings) -> list[Interval]:
    """Returns an interval for each pair of values, the most important parameter first."""
    return [
        (f"{name}: {worded(one.better)} over {worded(one.worse)}", one.mean, one.low, one.high)
        for name in findings.ranked_parameters
        for one in findings.effects[name]
    ]


def interaction_rows(findings: Findings) -> list[Interval]:
    """Returns an interval for each conditional effect of the clear interactions."""
    return [
        (
            f"{found.effect.name}: {worded(found.effect.better)} over {worded(found.effect.worse)}, "
            f"where {found.given} = {worded(one.value)}",
            one.mean,
            one.low,
            one.high,
        )
        for found in findings.interactions
        for one in found.conditionals
    ]


def intervals_picture(rows: Sequence[Interval], unit: str, about: str, caption: str) -> Picture:
    """Returns means with their 95% intervals, one below the other, about a line at zero."""
    rows = rows[:MOST_ROWS]

    def paint(axes: Axes) -> None:
        for place, (_, mean, low, high) in enumerate(rows):
            is_clear = low is not None and high is not None and (low > 0 or high < 0)
            color = ACCENT if is_clear else MUTED
            if low is not None:
                axes.plot([low, high], [place, place], color=color, linewidth=2)
            axes.plot([mean], [place], "o", color=color, markersize=5)
        axes.axvline(0, color=INK, linewidth=0.8)
        _name_rows(axes, [name for name, *_ in rows])
        axes.set_xlabel(f"gain in {label(unit)}, with its 95% interval", loc="right")

    return Picture(paint, about, _height(rows), caption)


def importance_picture(importance: Importance) -> Picture:
    """Returns the shares of the variance: parameters, and pairs of them, the largest first."""
    ranked = [
        (" x ".join(names), share, ACCENT if len(names) == 1 else WARM)
        for names, share in importance.ranked()[:MOST_ROWS]
        if share >= _SMALLEST_SHARE
    ]
    bars = ranked[:_MOST_BARS]

    def paint(axes: Axes) -> None:
        shares, colors = [100 * share for _, share, _ in bars], [color for *_, color in bars]
        axes.barh(range(len(bars)), shares, color=colors, height=0.6)
        for place, share in enumerate(shares):
            axes.text(share, place, f" {share:.1f}%", va="center")
        _name_rows(axes, [name for name, *_ in bars])
        axes.set_xlim(0, 112 * max((share for _, share, _ in bars), default=1))
        axes.set_xlabel("share of the variance of scores (%)", loc="right")

    how = (
        "exact, since every combination of values has a score"
        if importance.is_exact
        else "estimated by regression trees, since not every combination has a score"
    )
    caption = f"Importance: {how}. Pairs are what they add; noise has a share in all."
    rows = [(name, f"{100 * share:.1f}%") for name, share, _ in ranked]
    cells = Cells(("parameter", "share of the variance"), rows, right={1})
    return Picture(paint, "Importance of parameters", _height(bars), caption, cells)


def curves_picture(findings: Findings) -> Picture | None:
    """Returns all held-out curves as a faint bundle, the best and the worst in front; None for no curves."""
    curves = {row: found for row, found in findings.curves.items() if len(found.test)}
    if not curves:
        return None
    metric, scored = findings.curve_metric, [one.row for one in findings.contenders if one.row in curves]
    best: list[tuple[str, np.ndarray, dict[str, Any]]] = []
    worst: list[tuple[str, np.ndarray, dict[str, Any]]] = []
    solid, dashed = {"color": ACCENT, "linewidth": 2}, {"color": ACCENT, "linewidth": 1.2, "linestyle": "--"}
    if scored:
        best.append((f"best: trial {findings.trial(scored[0])}", curves[scored[0]].test, solid))
        if len(train := curves[scored[0]].train):
            best.append(("the same, on training batches", train, dashed))
    if len(scored) > 1:
        name = f"worst: trial {findings.trial(scored[-1])}"
        worst.append((name, curves[scored[-1]].test, {**solid, "color": WARM}))

    def paint(axes: Axes) -> None:
        from matplotlib.collections import LineCollection

        lines = [np.stack(_thin(found.test), axis=1) for found in curves.values()]
        dots = {"marker": "o", "markersize": 5} if max(map(len, lines)) == 1 else {}  # no line has one point
        if dots:
            axes.plot(*np.concatenate(lines).T, "o", color=MUTED, markersize=4, alpha=0.5)
        axes.add_collection(LineCollection(lines, colors=MUTED, linewidths=0.7, alpha=0.25))
        for name, values, style in worst + best:
            axes.plot(*_thin(values), label=label(name), **style, **dots)
        if scored:
            axes.legend(loc="best")
        axes.autoscale_view()
        axes.set_xlabel("epoch")
        axes.set_ylabel(label(f"held-out {metric}", _LONGEST_SIDE))

    n_all = sum(map(bool, findings.table.histories))
    some = f" ({len(findings.curves)} of {n_all})" if len(findings.curves) < n_all else ""
    caption = f"Means over folds: all trials{some} as a faint bundle, the best and the worst in front."
    shown = best + worst
    rows = [
        (str(epoch + 1), *(format_score(own[epoch]) if epoch < len(own) else "" for _, own, _ in shown))
        for epoch in _spread(max((len(own) for _, own, _ in shown), default=0), _MOST_EPOCHS)
    ]
    header = ("epoch", *(name for name, *_ in shown))
    cells = Cells(header, rows, range(len(header)), f"Held-out {metric}, a mean over folds:")
    return Picture(paint, "Learning curves", 3.6, caption, cells)


def confusion_picture(confusion: np.ndarray, classes: Sequence[str]) -> Picture:
    """Returns how often each class (row) is taken for each (column); the diagonal is left faint."""
    names = [label(name, _LONGEST_CLASS) for name in classes]
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, shares)
    scale = wrong.max(initial=0) or 1

    def paint(axes: Axes) -> None:
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import to_rgb

        squares, colors = [], []
        for true, said in zip(*np.nonzero(confusion), strict=True):
            left, top = said - 0.5, true - 0.5
            squares.append([(left, top), (left + 1, top), (left + 1, top + 1), (left, top + 1)])
            color, depth = (LINE, 0.6) if true == said else (WARM, 0.1 + 0.7 * wrong[true, said] / scale)
            colors.append((*to_rgb(color), float(depth)))
            if len(classes) <= _MOST_COLUMNS:
                on = ON_WARM if true != said and depth > _DEEP else INK
                number = f"{confusion[true, said]}"
                axes.text(said, true, number, ha="center", va="center", fontsize=8, color=on)
        axes.add_collection(PolyCollection(squares, facecolors=colors, linewidths=0))
        axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(classes) - 0.5)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")

    cells = None
    if len(classes) <= _MOST_COLUMNS:
        rows = [(name, *map(str, counts)) for name, counts in zip(classes, confusion, strict=True)]
        cells = Cells(("true, taken for", *classes), rows, right=range(1, len(classes) + 1))
    size, caption = min(2.8 + 0.32 * len(classes), 8), "Held-out samples by true and predicted class."
    return Picture(paint, "Confusion matrix", size, caption, cells, width=size + 0.2)


def predictions_picture(one: TargetResiduals, place: int) -> Picture:
    """Returns true against predicted numbers of a target, about the line where both are equal.

    Args:
        one: The target's.
        place: Of the target, from 1.
    """
    ends = np.array([min(one.true.min(), one.predicted.min()), max(one.true.max(), one.predicted.max())])
    side = 0.05 * float(ends[1] - ends[0]) or 1.0

    def paint(axes: Axes) -> None:
        axes.plot(ends, ends, color=INK, linewidth=0.8)
        _dots(axes, one.predicted, one.true)
        for set_limits in (axes.set_xlim, axes.set_ylim):
            set_limits(ends[0] - side, ends[1] + side)
        axes.set_aspect("equal")
        _in_numbers(axes, "x", "y")
        axes.tick_params("x", rotation=30)
        axes.set_xlabel("predicted")
        axes.set_ylabel(label(f"true {one.name}", _LONGEST_SIDE))

    rows = [
        (
            f"{number_word(part.low)} to {number_word(part.high)}",
            *map(number_word, (part.predicted, part.true, part.error)),
        )
        for part in one.tenths()
    ]
    header = ("predictions", "their mean", "mean true number", "median absolute error")
    about = f"Held-out samples by tenths of what is predicted of {one.name}:"
    cells = Cells(header, rows, range(len(header)), about)
    caption = f"A dot a held-out sample: {one.name} as it is, against what is predicted."
    return Picture(paint, f"True against predicted numbers {place}", 4.6, caption, cells, width=4.8)


def residuals_picture(one: TargetResiduals, place: int) -> Picture:
    """Returns residuals against predictions of a target; `place` is its own, from 1."""

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=0.8)
        _dots(axes, one.predicted, one.residuals)
        _in_numbers(axes, "x", "y")
        axes.set_xlabel(label(f"predicted {one.name}"))
        axes.set_ylabel("true less predicted")

    caption = "Residuals against predictions: above the line predictions are too low, and below it too high."
    return Picture(paint, f"Residuals against predictions {place}", 3.2, caption)


def spread_picture(one: TargetResiduals, place: int) -> Picture:
    """Returns how many samples have which residual; `place` is the target's, from 1."""

    def paint(axes: Axes) -> None:
        low, high = np.quantile(one.residuals, (0.005, 0.995))  # of a few far away only the ends are shown
        inner = np.clip(one.residuals, low, high)
        axes.hist(inner, bins=min(40, max(5, int(np.sqrt(one.n_samples)))), color=ACCENT, alpha=0.75)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.grid(axis="x", visible=False)
        _in_numbers(axes, "x", "y")
        axes.set_xlabel(label(f"true less predicted {one.name}"))
        axes.set_ylabel("samples")

    caption = "How large residuals are; the hundredth that is furthest off is counted at the ends."
    return Picture(paint, f"How large residuals are {place}", 2.6, caption)


def worst_cells(one: TargetResiduals, most: int, counted: str) -> Cells:
    """Returns the samples of a target that are furthest off.

    Args:
        one: The target's.
        most: How many.
        counted: Which sample is the first.
    """
    rows = [
        (f"{miss.index}", *map(number_word, (miss.true, miss.predicted, miss.residual)))
        for miss in one.worst[:most]
    ]
    header = ("sample", f"true {one.name}", "predicted", "true less predicted")
    return Cells(header, rows, range(len(header)), f"The furthest off in {one.name} ({counted}):")


def targets_cells(targets: Sequence[TargetResiduals]) -> Cells:
    """Returns how well each target is predicted."""
    rows = [
        (
            one.name,
            "-" if one.r2 is None else score_word(one.r2),
            *map(number_word, (one.mean_absolute_error, one.root_mean_squared_error, one.bias)),
        )
        for one in targets[:MOST_ROWS]
    ]
    header = ("target", "R2", "mean absolute error", "root mean squared error", "mean residual")
    return Cells(header, rows, range(1, len(header)), "Each target, of held-out samples:")


def labels_cells(labels: Sequence[LabelScore]) -> Cells:
    """Returns how well each of several labels is told."""

    def word(value: float | None) -> str:
        return "-" if value is None else score_word(value)

    rows = [
        (
            one.name,
            percent(one.frequency),
            *map(word, (one.precision, one.recall, one.f1, one.auc)),
            number_word(one.threshold),
        )
        for one in labels
    ]
    header = ("label", "samples that have it", "precision", "recall", "F1", "ROC AUC", "threshold")
    return Cells(header, rows, range(1, len(header)), "Each label, of held-out samples:")


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    are_many = len(x) > _MOST_DOTS
    color = "#808890" if are_many else ACCENT  # an image has no colours of the page's
    axes.scatter(x, y, s=12, color=color, alpha=0.4, linewidths=0, rasterized=are_many)


def _in_numbers(axes: Axes, *sides: str) -> None:
    """Writes numbers along axes in whole, with thousands apart, and not as parts of a power of ten."""
    for side in sides:
        getattr(axes, f"{side}axis").set_major_formatter(lambda number, _: number_word(number))


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Names what stands one below the other, the first at the top."""
    axes.set_yticks(range(len(names)), list(map(label, names)))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _height(rows: Sequence[object]) -> float:
    return 0.9 + 0.26 * len(rows)


def _thin(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns epochs and values of a curve, at most so many that a page can hold hundreds."""
    places = _spread(len(curve), _MOST_STEPS)
    return places + 1, curve[places]


def _spread(n: int, most: int) -> np.ndarray:
    """Returns at most so many places of `n`, evenly spread, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
