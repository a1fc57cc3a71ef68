"""Two searches over the same folds, side by side: what each found, how soon, and which one is ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerasgrid.errors import ResultsError
from kerasgrid.report.comparison import LEVEL, p_value


@dataclass(frozen=True)
class Rival:
    """A search, as it is set beside another.

    Attributes:
        name: Of its run.
        sign: 1 where a larger score is better, -1 where a smaller one is.
        trials: Complete trials, as in results.json, the best first.
        summary: As in results.json.
        status: As in results.json.
    """

    name: str
    sign: int
    trials: tuple[Mapping[str, Any], ...]
    summary: Mapping[str, Any]
    status: str

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The best trial; None where none is complete."""
        return self.trials[0] if self.trials else None

    @property
    def wall_time_s(self) -> float:
        """Seconds that the search took, over all its sessions."""
        return float(self.summary["wall_time_s"])

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


def rivals_of(results: Sequence[Mapping[str, Any]]) -> list[Rival]:
    """Returns searches that can be set side by side.

    Args:
        results: The contents of results.json files.

    Raises:
        ResultsError: They are of other data, folds or objectives.
    """
    first = results[0]
    for other in results[1:]:
        for key in ("data", "folds", "objective"):
            mine, theirs = (_mark(one[key]) for one in (first, other))
            if mine != theirs:
                raise ResultsError(f"{first['name']} and {other['name']} are of different {key}.")
    sign = -1 if first["objective"]["direction"] == "min" else 1
    return [
        Rival(
            one["name"],
            sign,
            tuple(
                sorted(
                    (t for t in one["trials"] if t["state"] == "complete"),
                    key=lambda trial: (-sign * trial["mean_test_score"], trial["id"]),
                )
            ),
            one["summary"],
            one["status"],
        )
        for one in results
    ]


def _mark(about: Mapping[str, Any]) -> Any:
    """Returns what has to be equal of data, folds or an objective, whatever else is told of them."""
    return about["fingerprint"] if "fingerprint" in about else (about.get("name"), about.get("direction"))


def reservations(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns in sentences what speaks against setting searches side by side as they are.

    Args:
        results: The contents of results.json files.
    """
    told = [
        f"{one['name']} decided on the held-out rows themselves (search.val: "
        f"{one['objective']['decided_on']}), so that its scores are too good."
        for one in results
        if "decided_on" in one["objective"]
    ]
    if results[0]["objective"]["name"] == "loss":
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
        more = ": a larger budget goes on" if all(one.status == "budget" for one in without) else ""
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
    scores = f"{mine['mean_test_score']:.4f} and {theirs['mean_test_score']:.4f}"
    folds = [[fold["test_score"] for fold in trial["folds"]] for trial in (mine, theirs)]
    if gain == 0:
        return f"{first.name} and {second.name} are level: {metric} {scores}."
    told = f"{ahead.name} is ahead of {behind.name} by {abs(gain):.4f} ({metric} {scores})"
    if len(folds[0]) < 2 or len(folds[0]) != len(folds[1]):
        return f"{told}; a single split does not say how much of that is chance."
    p = p_value(folds[0], folds[1])
    sure = "more than chance explains" if p <= LEVEL else "which may be chance"
    return f"{told}, {sure} (p = {p:.2g} over {len(folds[0])} folds, Nadeau and Bengio's corrected t-test)."
