"""Searches over the same folds side by side: a table for the terminal, and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kerasgrid.report.rivals import Rival, reservations, rivals_of, verdict
from kerasgrid.views import html
from kerasgrid.views.blocks import Bullets, Cells, Paragraph, Picture, Section
from kerasgrid.views.drawing import ACCENT, WARM, draw_svg, label
from kerasgrid.views.leaderboard import format_score, format_seconds, varying
from kerasgrid.wording import named, visible_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TRIALS = 10
_NONE = "-"


class Beside:
    """Searches side by side.

    Args:
        results: The contents of results.json files, of the same data, folds and objective.
        notes: What is to be said of how they were run.

    Raises:
        ResultsError: They are of other data, folds or objectives.
    """

    def __init__(self, results: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> None:
        self.rivals = rivals_of(results)
        self._reservations = reservations(results)
        self.notes = tuple(notes)
        self.metric = str(results[0]["objective"]["name"])

    def sentences(self) -> list[str]:
        """Returns which one is ahead, in words, and what speaks against comparing them."""
        return [*verdict(self.rivals[0], self.rivals[1], self.metric), *self._reservations]

    def table(self) -> Cells:
        """Returns a row for each thing to compare, and a column for each search."""
        both_s = min(one.wall_time_s for one in self.rivals)
        rows = {
            self.metric: [_score(one.best) for one in self.rivals],
            f"{self.metric} of the first {format_seconds(both_s)}": [
                _score(one.at(both_s)) for one in self.rivals
            ],
            "best trial": [_of(one.best, "id", str) for one in self.rivals],
            "its parameters": [_of(one.best, "n_parameters", "{:,}".format) for one in self.rivals],
            "its epochs a fold": [_epochs(one.best) for one in self.rivals],
            "its fit time a fold": [_of(one.best, "mean_fit_time", format_seconds) for one in self.rivals],
            "found after": [_of(one.best, "end_time_s", format_seconds) for one in self.rivals],
            "complete trials": [f"{len(one.trials):,}" for one in self.rivals],
            "fits": [f"{one.summary['fits']:,}" for one in self.rivals],
            "epochs trained": [f"{one.summary['epochs_trained']:,}" for one in self.rivals],
            "wall time": [format_seconds(one.wall_time_s) for one in self.rivals],
            "status": [one.status for one in self.rivals],
        }
        return Cells(
            ("", *(one.name for one in self.rivals)),
            tuple((name, *cells) for name, cells in rows.items()),
            frozenset(range(1, len(self.rivals) + 1)),
        )

    def lines(self) -> list[str]:
        """Returns the table as plain text, and the sentences."""
        cells = self.table()
        rows = [[visible_line(cell) for cell in row] for row in (cells.header, *cells.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                text.rjust(width) if place in cells.right else text.ljust(width)
                for place, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return [*lines, "", *map(visible_line, self.sentences())]

    def html(self) -> str:
        """Returns the page, one file that loads nothing.

        Raises:
            MissingPackageError: Matplotlib is not installed.
        """
        names = " and ".join(one.name for one in self.rivals)
        sections = [Section("Which is ahead", (Bullets(tuple(self.sentences())), self.table()))]
        if any(one.trials for one in self.rivals):
            draw = partial(draw_svg, self._paint, 3.4, "best score against time")
            caption = f"Best {self.metric} so far against the seconds of each search."
            sections.append(Section("How soon", (Picture(draw, caption),)))
        sections += [Section(f"The trials of {one.name}", (_trials(one),)) for one in self.rivals]
        if self.notes:
            notes = tuple(Paragraph(note, is_note=True) for note in self.notes)
            sections.append(Section("How they were run", notes))
        return html.page(f"{names} side by side", "The same data, folds and objective.", sections)

    def _paint(self, axes: Axes) -> None:
        for one, color in zip(self.rivals, (ACCENT, WARM), strict=False):
            curve = one.curve()
            shown = f" {label(one.name)}"  # a name that begins with _ is left out of legends
            if curve:
                seconds, scores = zip(*[*curve, (one.wall_time_s, curve[-1][1])], strict=True)
                axes.step(seconds, scores, where="post", color=color, label=shown)
                axes.plot(seconds[:-1], scores[:-1], "o", color=color, markersize=4)
        axes.set_xlim(left=0)
        axes.set_xlabel("seconds of the search")
        axes.set_ylabel(label(f"best {self.metric}", 40))
        axes.legend(loc="lower right" if self.rivals[0].sign > 0 else "upper right")


def _trials(rival: Rival) -> Cells | Paragraph:
    if not rival.trials:
        return Paragraph("No trial is complete.", is_note=True)
    shown = rival.trials[:_MOST_TRIALS]
    differing = varying(shown) if len(shown) > 1 else list(shown[0]["params"])
    rows = tuple(
        (
            str(trial["id"]),
            _score(trial),
            _of(trial, "n_parameters", "{:,}".format),
            _epochs(trial),
            _of(trial, "mean_fit_time", format_seconds),
            named({name: trial["params"][name] for name in differing if name in trial["params"]}),
        )
        for trial in shown
    )
    header = ("trial", "score", "parameters", "epochs", "fit time", "what differs")
    return Cells(header, rows, frozenset(range(5)))


def _score(trial: Mapping[str, Any] | None) -> str:
    if trial is None:
        return _NONE
    spread = trial["std_test_score"] if len(trial["folds"]) > 1 else None
    return format_score(trial["mean_test_score"], spread)


def _epochs(trial: Mapping[str, Any] | None) -> str:
    if trial is None or not trial["folds"]:
        return _NONE
    epochs = [fold["epochs"] for fold in trial["folds"]]
    return f"{sum(epochs) / len(epochs):.3g}"


def _of(trial: Mapping[str, Any] | None, key: str, shown: Any) -> str:
    value = None if trial is None else trial.get(key)
    return _NONE if value is None else shown(value)
