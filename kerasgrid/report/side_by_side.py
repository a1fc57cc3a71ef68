"""Two searches over the same folds side by side: what each found, how soon, which is ahead; a table and a
page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerasgrid.errors import ResultsError
from kerasgrid.report.comparison import ALPHA, p_value
from kerasgrid.run.results import ResultsData
from kerasgrid.run.schema import About
from kerasgrid.views.drawing import ACCENT, WARM, label
from kerasgrid.views.leaderboard import (
    aligned,
    first_values_sentences,
    format_seconds,
    trial_score,
    varying,
)
from kerasgrid.views.pages import Bullets, Cells, Chapter, Note, Picture, html_page
from kerasgrid.wording import named, score_word, visible_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TRIALS = 10


class Beside:
    """Searches side by side.

    Args:
        results: Of the same data, folds and objective.
        notes: What is to be said of how they were run.

    Raises:
        ResultsError: They are of other data, folds, objectives or versions of the journal.
    """

    def __init__(self, results: Sequence[ResultsData], notes: Sequence[str] = ()) -> None:
        self.rivals = rivals_of(results)
        self._reservations = reservations(results)
        self.notes = tuple(notes)
        self.metric = str(results[0].about.objective.name)

    def sentences(self) -> list[str]:
        """Returns which one is ahead, in words, and what speaks against comparing them."""
        return [*verdict(self.rivals[0], self.rivals[1], self.metric), *self._reservations]

    def table(self) -> Cells:
        """Returns a row for each thing to compare, and a column for each search."""
        both_s = min(one.wall_time_s for one in self.rivals)
        told: dict[str, Callable[[Rival], str]] = {
            self.metric: lambda one: _of(one.best, trial_score),
            f"{self.metric} of the first {format_seconds(both_s)}": lambda one: _of(
                one.at(both_s), trial_score
            ),
            "best trial": lambda one: _of(one.best, lambda trial: str(trial["id"])),
            "its parameters": lambda one: _of(one.best, _size),
            "its epochs a fold": lambda one: _of(one.best, _epochs),
            "its fit time a fold": lambda one: _of(one.best, _fit_time),
            "found after": lambda one: _of(one.best, lambda trial: format_seconds(trial.get("end_time_s"))),
            "complete trials": lambda one: f"{len(one.trials):,}",
            "fits": lambda one: f"{one.about.summary.fits:,}",
            "epochs trained": lambda one: f"{one.about.summary.epochs_trained:,}",
            "wall time": lambda one: format_seconds(one.wall_time_s),
            "status": lambda one: one.about.status,
        }
        rows = [(name, *map(tell, self.rivals)) for name, tell in told.items()]
        return Cells(("", *(one.name for one in self.rivals)), rows, right=range(1, len(self.rivals) + 1))

    def lines(self) -> list[str]:
        """Returns the table as plain text, and the sentences."""
        cells = self.table()
        rows = [[visible_line(cell) for cell in row] for row in (cells.header, *cells.rows)]
        lines = ["  ".join(row).rstrip() for row in aligned(rows, cells.right)]
        return [*lines, "", *map(visible_line, self.sentences())]

    def html(self) -> str:
        """Returns the page, one file that loads nothing.

        Raises:
            MissingPackageError: Matplotlib is not installed.
        """
        names = " and ".join(one.name for one in self.rivals)
        chapters = [Chapter("Which is ahead", [Bullets(self.sentences()), self.table()])]
        if any(one.trials for one in self.rivals):
            caption = f"Best {self.metric} so far against the seconds of each search."
            picture = Picture(self._paint, "best score against time", 3.4, caption)
            chapters.append(Chapter("How soon", [picture]))
        chapters += [Chapter(f"The trials of {one.name}", [_trials(one)]) for one in self.rivals]
        if self.notes:
            chapters.append(Chapter("How they were run", list(map(Note, self.notes))))
        return html_page(f"{names} side by side", "The same data, folds and objective.", chapters)

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


def _trials(rival: Rival) -> Cells | Note:
    if not rival.trials:
        return Note("No trial is complete.")
    shown = rival.trials[:_MOST_TRIALS]
    differing = varying(shown) if len(shown) > 1 else list(shown[0]["params"])
    rows = [
        (
            str(trial["id"]),
            trial_score(trial),
            _size(trial),
            _epochs(trial),
            _fit_time(trial),
            named({name: trial["params"][name] for name in differing if name in trial["params"]}),
        )
        for trial in shown
    ]
    header = ("trial", "score", "parameters", "epochs", "fit time", "what differs")
    return Cells(header, rows, right=range(5))


def _of(trial: Mapping[str, Any] | None, tell: Callable[[Mapping[str, Any]], str]) -> str:
    return "-" if trial is None else tell(trial)


def _size(trial: Mapping[str, Any]) -> str:
    return "-" if trial["n_parameters"] is None else f"{trial['n_parameters']:,}"


def _epochs(trial: Mapping[str, Any]) -> str:
    epochs = [fold["epochs"] for fold in trial["folds"]]
    return f"{sum(epochs) / len(epochs):.3g}" if epochs else "-"


def _fit_time(trial: Mapping[str, Any]) -> str:
    return format_seconds(trial["mean_fit_time"])


@dataclass(frozen=True)
class Rival:
    """A search, as it is set beside another.

    Attributes:
        sign: 1 where a larger score is better, -1 where a smaller one is.
        trials: Complete trials, as in results.json, the best first.
        about: What else its results.json tells.
    """

    name: str
    sign: int
    trials: tuple[Mapping[str, Any], ...]
    about: About

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The best trial; None where none is complete."""
        return self.trials[0] if self.trials else None

    @property
    def wall_time_s(self) -> float:
        """Seconds that the search took, over all its sessions."""
        return self.about.summary.wall_time_s or 0.0

    def at(self, seconds: float) -> Mapping[str, Any] | None:
        """Returns the best trial of those that had ended by then; None for none."""
        return next((t for t in self.trials if (t.get("end_time_s") or 0.0) <= seconds), None)

    def curve(self) -> list[tuple[float, float]]:
        """Returns (seconds, best score) whenever a trial came that was better than all before."""
        found: list[tuple[float, float]] = []
        for trial in sorted(self.trials, key=lambda trial: trial.get("end_time_s") or 0.0):
            score = trial["mean_test_score"]
            if not found or self.sign * score > self.sign * found[-1][1]:
                found.append((trial.get("end_time_s") or 0.0, score))
        return found


def rivals_of(results: Sequence[ResultsData]) -> list[Rival]:
    """Returns searches that can be set side by side.

    Raises:
        ResultsError: They are of other data, folds, objectives or versions of the journal.
    """
    first = results[0].about
    for other in (one.about for one in results[1:]):
        for key, mine, theirs in (
            ("data", first.data.fingerprint, other.data.fingerprint),
            ("folds", first.folds.fingerprint, other.folds.fingerprint),
            ("objective", _measure(first), _measure(other)),
            ("versions of the journal", first.journal, other.journal),
        ):
            if mine != theirs:
                raise ResultsError(f"{first.name} and {other.name} are of different {key}.")
    sign = -1 if first.objective.direction == "min" else 1
    return [
        Rival(
            str(one.about.name),
            sign,
            tuple(
                sorted(
                    (t for t in one.trials if t["state"] == "complete"),
                    key=lambda trial: (-sign * trial["mean_test_score"], trial["id"]),
                )
            ),
            one.about,
        )
        for one in results
    ]


def _measure(about: About) -> tuple[str | None, str]:
    return about.objective.name, about.objective.direction


def reservations(results: Sequence[ResultsData]) -> list[str]:
    """Returns in sentences what speaks against setting searches side by side as they are."""
    told = [
        f"{about.name} decided on the held-out rows themselves (search.val: "
        f"{about.objective.decided_on}), so that its scores are too good."
        for about in (one.about for one in results)
        if about.objective.decided_on is not None
    ]
    for one in results:
        cost = first_values_sentences(one.trials, one.about.objective.direction)
        told += [f"{one.about.name}: {' '.join(cost)}"] if cost else []
    if results[0].about.objective.name == "loss":
        told.append(
            "loss is what each model is trained by, penalties such as L2's included, so that it is one "
            "measure only where these are the same; search.objective: neg_log_loss is of predictions alone."
        )
    return told


def verdict(first: Rival, second: Rival, metric: str) -> list[str]:
    """Returns in sentences which search's best is ahead, and what it was when both had had as long."""
    if first.best is None or second.best is None:
        without = [one for one in (first, second) if one.best is None]
        names = " and ".join(one.name for one in without)
        more = ": a larger budget goes on" if all(one.about.status == "budget" for one in without) else ""
        return [f"{names}: no trial is complete, so that nothing can be compared{more}."]
    lines = [_difference(first, second, first.best, second.best, metric)]
    both_s = min(first.wall_time_s, second.wall_time_s)
    mine, theirs = first.at(both_s), second.at(both_s)
    if mine is not None and theirs is not None and (mine, theirs) != (first.best, second.best):
        told = _difference(first, second, mine, theirs, metric)
        lines.append(f"When each had had {both_s:.0f} s: {told}")
    return lines


def _difference(
    first: Rival, second: Rival, mine: Mapping[str, Any], theirs: Mapping[str, Any], metric: str
) -> str:
    gain = first.sign * (mine["mean_test_score"] - theirs["mean_test_score"])
    ahead, behind = (first, second) if gain >= 0 else (second, first)
    scores = f"{score_word(mine['mean_test_score'])} and {score_word(theirs['mean_test_score'])}"
    folds = [[fold["test_score"] for fold in trial["folds"]] for trial in (mine, theirs)]
    if gain == 0:
        return f"{first.name} and {second.name} are level: {metric} {scores}."
    ahead_by = score_word(abs(gain), mine["mean_test_score"])
    told = f"{ahead.name} is ahead of {behind.name} by {ahead_by} ({metric} {scores})"
    if len(folds[0]) < 2 or len(folds[0]) != len(folds[1]):
        return f"{told}; a single split does not say how much of that is chance."
    p = p_value(folds[0], folds[1])
    sure = "more than chance explains" if p <= ALPHA else "which may be chance"
    return f"{told}, {sure} (p = {p:.2g} over {len(folds[0])} folds, Nadeau and Bengio's corrected t-test)."
