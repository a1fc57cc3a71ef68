"""HiPlot's page: a line a trial across an axis a parameter, in one file that needs no network.

The page is HiPlot's own. What is done here and in axes.py is what HiPlot does not do by itself:

* HiPlot inserts the cells of its table as HTML, so text from the data could run. Every string and
  column name has `<` and `>` replaced by look-alikes.
* HiPlot sorts categories as text and draws axes from right to left. Numbers with few values are
  drawn as levels in numeric order; parameters stand left, scores right, the objective outermost.
* A trial without a score keeps its line: grey, and drawn to HiPlot's own mark for "no number".
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerasgrid.errors import MissingPackageError
from kerasgrid.io import write_text
from kerasgrid.tables.table import Table
from kerasgrid.views.axes import Axis, param_axis, safe_names, safe_text, score_axis
from kerasgrid.views.points import Sheet, epoch_sheet, trial_sheet

if TYPE_CHECKING:
    import hiplot

_DRAWN_ID = re.compile(r"\bhiplot_[0-9a-f]{32}\b")
"""HiPlot's own id of the page's element, another one each time."""
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
    page = _DRAWN_ID.sub("hiplot_page", show(tables, epochs=epochs).to_html())
    title = html.escape(", ".join(dict.fromkeys(safe_text(table.source) for table in tables)))
    write_text(Path(target), page.replace("<title>HiPlot</title>", f"<title>{title}</title>", 1))
    return Path(target)


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
    sheet = epoch_sheet(tables) if epochs else trial_sheet(tables)
    axes = {name: axis for name in sheet.columns if (axis := _axis(sheet, name))}
    names = safe_names(axes)
    points = [
        hiplot.Datapoint(
            uid=point.uid,
            from_uid=point.parent,
            values={names[name]: axes[name].convert(point.row[name]) for name in axes if name in point.row},
        )
        for point in sheet.points
    ]
    experiment = hiplot.Experiment(points, colormap=_COLORMAP)
    for name, axis in axes.items():
        experiment.parameters_definition[names[name]].type = hiplot.ValueType(axis.type)
    _arrange(experiment, sheet, axes, names)
    return experiment


def _axis(sheet: Sheet, name: str) -> Axis | None:
    """Returns how a column is drawn; None where no line has a value in it."""
    values = [point.row[name] for point in sheet.points if name in point.row]
    if name in sheet.scores:
        needed = name in (sheet.scores[0], *(sheet.curve or ()))
        return score_axis(values) if needed or any(value is not None for value in values) else None
    return param_axis(values, log=name in sheet.log_params) if any(v is not None for v in values) else None


def _arrange(
    experiment: hiplot.Experiment, sheet: Sheet, axes: dict[str, Axis], names: dict[str, str]
) -> None:
    """Says which columns stand where, which are hidden, and what colours the lines."""
    from hiplot import Displays

    objective = sheet.scores[0]
    drawn = [name for name in (*sheet.params, *reversed(sheet.scores)) if name in axes and axes[name].varies]
    table = ("trial", *sheet.params, *sheet.scores, *sheet.details)
    experiment.colorby = names[sheet.color]
    experiment.display_data(Displays.PARALLEL_PLOT).update(
        order=[names[name] for name in reversed(drawn)],
        hide=["uid", "from_uid", *(names[name] for name in axes if name not in drawn)],
        invert=[names[objective]] if sheet.direction == "min" else [],
        categoricalMaximumValues=_MOST_CATEGORIES,
    )
    order = [[names[objective], "desc" if sheet.direction == "max" else "asc"]]
    if "state" in drawn:
        order.insert(0, [names["state"], "asc"])
    experiment.display_data(Displays.TABLE).update(
        order=[names[name] for name in dict.fromkeys(table) if name in axes],
        hide=["uid", "from_uid"],
        order_by=order,
    )
    experiment.parameters_definition[names[objective]].label_css = "font-weight-bold"
    displays = [Displays.PARALLEL_PLOT] if drawn else []  # HiPlot breaks down without any axis
    if sheet.curve:
        x, y = sheet.curve
        experiment.display_data(Displays.XY).update(axis_x=names[x], axis_y=names[y], height=_CURVES_HEIGHT)
        displays.insert(0, Displays.XY)
    else:
        displays.append(Displays.XY)
    experiment.enabledDisplays = [*displays, Displays.DISTRIBUTION, Displays.TABLE]
