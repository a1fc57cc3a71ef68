"""The report's tables: the leaderboard, and what the pictures show, for texts without any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasgrid.report.comparison import Contender
from kerasgrid.report.findings import Findings
from kerasgrid.report.importance import Importance
from kerasgrid.report.sentences import value_text
from kerasgrid.views.blocks import Cells
from kerasgrid.views.leaderboard import format_score, format_seconds

SMALLEST_SHARE = 0.005
_MOST_ROWS = 24
_MOST_EPOCHS = 10
_MOST_CLASSES = 20


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
        rows.append((*cells, *(value_text(row[name]) if name in row else "" for name in names)))
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
