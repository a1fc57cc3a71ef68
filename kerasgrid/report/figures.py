"""The report's pictures, each of one finding, and its tables, which say the same without pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerasgrid.report.comparison import Contender
from kerasgrid.report.curves import Curves
from kerasgrid.report.findings import Findings
from kerasgrid.report.importance import Importance
from kerasgrid.report.sentences import worded
from kerasgrid.views.drawing import ACCENT, INK, LINE, MUTED, ON_WARM, WARM, draw_svg, label
from kerasgrid.views.leaderboard import format_score, format_seconds
from kerasgrid.views.pages import Cells

SMALLEST_SHARE = 0.005
_MOST_ROWS = 24
_MOST_EPOCHS = 10
_MOST_CLASSES = 20
MOST_ROWS = 24
_MOST_BARS = 16
_MOST_DOTS = 1500
"""More dots than this are one image within the drawing, so that the page stays small."""
_MOST_STEPS = 200
MOST_CLASSES = 40
_MOST_NUMBERED = 20
_LONGEST_CLASS = 16
_LONGEST_SIDE = 40
"""Of what stands at the side of a picture, which is less wide than high."""
_DEEP = 0.58
"""The depth of a cell's colour from which on its number is dark on a dark page, too."""


def leaderboard_cells(findings: Findings, shown: Sequence[Contender]) -> Cells:
    """Returns rank, score, p-value, time and size of trials, and their parameters that vary."""
    table = findings.table
    names = [factor.name for factor in findings.design.factors]
    with_p = any(one.p_value is not None for one in shown)
    with_size = any(table.rows[one.row].get("n_parameters") is not None for one in shown)
    header = ["rank", "trial", table.scores[0]] + ["p, against the best"] * with_p + ["fit time"]
    header += ["weights"] * with_size
    means = [one.mean for one in findings.contenders]  # equal scores share a rank
    ranks = {one.row: means.index(one.mean) + 1 for one in shown}
    rows = []
    for one in shown:
        row = table.rows[one.row]
        cells = [str(ranks[one.row]), str(findings.trial(one.row)), format_score(one.mean, one.std)]
        cells += [_p_text(one)] * with_p + [format_seconds(one.fit_time)]
        cells += [f"{row['n_parameters']:,}" if row.get("n_parameters") is not None else "-"] * with_size
        rows.append((*cells, *(worded(row[name]) if name in row else "" for name in names)))
    return Cells((*header, *names), tuple(rows), frozenset(range(len(header))))


def front_cells(findings: Findings) -> Cells:
    """Returns the Pareto front of score and fit time, the best of it first."""
    shown = findings.front[: -_MOST_ROWS - 1 : -1]
    rows = [
        (str(findings.trial(one.row)), format_score(one.mean, one.std), format_seconds(one.fit_time))
        for one in shown
    ]
    return Cells(
        ("trial", findings.table.scores[0], "fit time"),
        tuple(rows),
        frozenset(range(3)),
        "No candidate is both better and quicker than one of these:",
    )


def importance_cells(importance: Importance) -> Cells:
    """Returns the shares of the variance: parameters, and pairs of them, the largest first."""
    rows = [
        (" x ".join(names), f"{100 * share:.1f}%")
        for names, share in importance.ranked()[:_MOST_ROWS]
        if share >= SMALLEST_SHARE
    ]
    return Cells(("parameter", "share of the variance"), tuple(rows), frozenset({1}))


def curves_cells(findings: Findings) -> Cells:
    """Returns the held-out curves of the best and the worst, and the best's on training batches."""
    scored = [findings.curves[one.row] for one in findings.contenders if one.row in findings.curves]
    scored = [found for found in scored if len(found.test)]
    if not scored:
        return Cells((), ())
    columns = [(f"best: trial {findings.trial(scored[0].row)}", scored[0].test)]
    if len(scored[0].train):
        columns.append(("the same, on training batches", scored[0].train))
    if len(scored) > 1:
        columns.append((f"worst: trial {findings.trial(scored[-1].row)}", scored[-1].test))
    length = max(len(values) for _, values in columns)
    places = np.unique(np.linspace(0, length - 1, min(length, _MOST_EPOCHS)).round().astype(int))
    rows = [
        (
            str(place + 1),
            *(format_score(values[place]) if place < len(values) else "" for _, values in columns),
        )
        for place in places
    ]
    return Cells(
        ("epoch", *(name for name, _ in columns)),
        tuple(rows),
        frozenset(range(len(columns) + 1)),
        f"Held-out {findings.curve_metric}, a mean over folds:",
    )


def confusion_cells(confusion: np.ndarray, classes: Sequence[str]) -> Cells | None:
    """Returns how often each class (row) is taken for each (column); None where a line would be too long."""
    if len(classes) > _MOST_CLASSES:
        return None
    rows = [(name, *map(str, counts)) for name, counts in zip(classes, confusion, strict=True)]
    return Cells(("true, taken for", *classes), tuple(rows), frozenset(range(1, len(classes) + 1)))


def _p_text(one: Contender) -> str:
    if one.p_value is None:
        return "-"
    text = "< 0.001" if one.p_value < 0.001 else f"{one.p_value:.3f}"
    return f"{text} (level)" if one.is_level else text


if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Interval:
    """A row of a plot of intervals; `low` and `high` are None where there is none."""

    label: str
    mean: float
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Whether it excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def effect_rows(findings: Findings) -> list[Interval]:
    """Returns an interval for each pair of values, the most important parameter first."""
    shares = findings.importance.mains if findings.importance else {}
    names = sorted(findings.effects, key=lambda name: -shares.get(name, 0.0))
    return [
        Interval(
            f"{name}: {worded(one.better)} over {worded(one.worse)}",
            one.mean,
            one.low,
            one.high,
        )
        for name in names
        for one in findings.effects[name]
    ]


def interaction_rows(findings: Findings) -> list[Interval]:
    """Returns an interval for each conditional effect of the clear interactions."""
    return [
        Interval(
            f"{found.effect.name}: {worded(found.effect.better)} over {worded(found.effect.worse)}, "
            f"where {found.given} = {worded(one.value)}",
            one.mean,
            one.low,
            one.high,
        )
        for found in findings.interactions
        for one in found.conditionals
    ]


def draw_intervals(rows: Sequence[Interval], unit: str, about: str) -> str:
    """Draws means with their 95% intervals, one below the other, about a line at zero."""
    rows = rows[:MOST_ROWS]

    def paint(axes: Axes) -> None:
        for place, row in enumerate(rows):
            color = ACCENT if row.is_clear else MUTED
            if row.low is not None:
                axes.plot([row.low, row.high], [place, place], color=color, linewidth=2)
            axes.plot([row.mean], [place], "o", color=color, markersize=5)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [label(row.label) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"gain in {label(unit)}, with its 95% interval", loc="right")

    return draw_svg(paint, 0.9 + 0.26 * len(rows), about)


def draw_importance(importance: Importance) -> str:
    """Draws the shares of the variance: parameters, and pairs of them."""
    bars = [
        (" x ".join(names), share, ACCENT if len(names) == 1 else WARM)
        for names, share in importance.ranked()[:_MOST_BARS]
        if share >= SMALLEST_SHARE
    ]

    def paint(axes: Axes) -> None:
        places = range(len(bars))
        axes.barh(
            places, [100 * share for _, share, _ in bars], color=[color for *_, color in bars], height=0.6
        )
        for place, (_, share, _) in enumerate(bars):
            axes.text(100 * share, place, f" {100 * share:.1f}%", va="center")
        axes.set_yticks(places, [label(name) for name, *_ in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlim(0, 112 * max((share for _, share, _ in bars), default=1))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("share of the variance of scores (%)", loc="right")

    return draw_svg(paint, 0.9 + 0.26 * len(bars), "Importance of parameters")


def draw_front(findings: Findings) -> str:
    """Draws score against fit time, the Pareto front of both, the best and the one to pick."""
    timed = [one for one in findings.contenders if one.fit_time is not None]

    def paint(axes: Axes) -> None:
        axes.scatter(
            [one.fit_time for one in timed],
            [one.mean for one in timed],
            s=14,
            color=MUTED if len(timed) <= _MOST_DOTS else "#808890",
            alpha=0.5,
            linewidths=0,
            rasterized=len(timed) > _MOST_DOTS,
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
        for (one, name), above in zip(_labelled(findings), (True, False), strict=False):
            axes.plot([one.fit_time], [one.mean], "o", color=WARM, markersize=7)
            axes.annotate(
                name, (one.fit_time, one.mean), (6, 7 if above else -15), textcoords="offset points"
            )
        axes.margins(y=0.15)
        axes.set_xlabel("fit time (seconds a fold)")
        axes.set_ylabel(label(findings.table.scores[0], _LONGEST_SIDE))

    return draw_svg(paint, 3.4, "Score against fit time")


def draw_curves(findings: Findings, metric: str) -> str:
    """Draws all held-out curves as a faint bundle, those of the best and the worst in front."""
    from matplotlib.collections import LineCollection

    curves = {row: found.test for row, found in findings.curves.items() if len(found.test)}
    scored = [one.row for one in findings.contenders if one.row in curves]

    def paint(axes: Axes) -> None:
        lines = [np.stack(_thin(curve), axis=1) for curve in curves.values()]
        dots = {"marker": "o", "markersize": 5} if max(map(len, lines)) == 1 else {}  # no line has one point
        if dots:
            axes.plot(*np.concatenate(lines).T, "o", color=MUTED, markersize=4, alpha=0.5)
        axes.add_collection(LineCollection(lines, colors=MUTED, linewidths=0.7, alpha=0.25))
        if len(scored) > 1:
            axes.plot(
                *_thin(curves[scored[-1]]),
                color=WARM,
                linewidth=2,
                label=_name(findings, scored[-1], "worst"),
                **dots,
            )
        if scored:
            best = findings.curves[scored[0]]
            name = _name(findings, scored[0], "best")
            axes.plot(*_thin(best.test), color=ACCENT, linewidth=2, label=name, **dots)
            if len(best.train):
                axes.plot(
                    *_thin(best.train),
                    "--",
                    color=ACCENT,
                    linewidth=1.2,
                    label="the same, on training batches",
                    **dots,
                )
            axes.legend(loc="best")
        axes.autoscale_view()
        axes.set_xlabel("epoch")
        axes.set_ylabel(label(f"held-out {metric}", _LONGEST_SIDE))

    return draw_svg(paint, 3.6, "Learning curves")


def draw_confusion(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """Draws how often each class (row) is taken for each (column); the diagonal is left faint."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgb

    names = [label(name, _LONGEST_CLASS) for name in classes]
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, shares)
    scale = wrong.max(initial=0) or 1

    def paint(axes: Axes) -> None:
        squares, colors = [], []
        for true, said in zip(*np.nonzero(confusion), strict=True):
            left, top = said - 0.5, true - 0.5
            squares.append([(left, top), (left + 1, top), (left + 1, top + 1), (left, top + 1)])
            color, depth = (LINE, 0.6) if true == said else (WARM, 0.1 + 0.7 * wrong[true, said] / scale)
            colors.append((*to_rgb(color), float(depth)))
            if len(classes) <= _MOST_NUMBERED:
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

    size = min(2.8 + 0.32 * len(classes), 8)
    return draw_svg(paint, size, "Confusion matrix", width=size + 0.2)


def _labelled(findings: Findings) -> list[tuple[Contender, str]]:
    """Returns the best and the one to pick, with what stands beside them."""
    found = [(findings.best, "best")] if findings.best else []
    if findings.pick is not None and findings.pick != findings.best:
        found.append((findings.pick, "if time counts"))
    return [
        (one, label(f"{name}: {findings.trial(one.row)}")) for one, name in found if one.fit_time is not None
    ]


def _name(findings: Findings, row: int, place: str) -> str:
    return label(f"{place}: trial {findings.trial(row)}")


def _thin(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns epochs and values of a curve, at most so many that a page can hold hundreds."""
    places = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _MOST_STEPS)).round().astype(int))
    return places + 1, curve[places]


def has_held_out(curves: Mapping[int, Curves]) -> bool:
    """Says whether any trial has a held-out curve."""
    return any(len(found.test) for found in curves.values())
