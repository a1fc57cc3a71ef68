"""The leaderboard of a search, for a terminal and as plain text, and what there is to say below it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from kerasgrid.config.sections import DEBIASED_LINE
from kerasgrid.engines import ENGINES
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.reading import error_text
from kerasgrid.tables.table import DEBIASED, finite
from kerasgrid.wording import count, format_seconds, percent, score_word, shortened, value_word, visible_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_LONGEST_VALUE = 32
_LONGEST_ERROR = 200
_CUT: dict[Any, int] = {"running": 1, "pruned": 2, "waiting": 3}
"""States of trials that are not trained to their ends, in the order of their places."""


@dataclass(frozen=True)
class Leaderboard:
    """The best trials, which rich prints as wide as the terminal allows, and `str` as plain text.

    Attributes:
        headers: The columns that stand left: rank, trial, score, that by debiased statistics if they had not
            warmed up, what `search.scores` names, fit time, and state if it varies.
        params: The parameters that vary among all trials.
        rows: For each trial the cells below `headers` and those below `params`.
        n_trials: Of how many trials these are the first.
        scores: Those of `headers` that stand beside a row's parameters where the terminal is narrow.
    """

    headers: tuple[str, ...]
    params: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    n_trials: int
    scores: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join("  ".join(cells).rstrip() for cells in self._wide())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.padding import Padding
        from rich.text import Text

        def is_wide(lines: Sequence[Sequence[str]]) -> bool:
            return cell_len("  ".join(lines[0])) > options.max_width

        lines, left = self._wide(), self.headers
        below: tuple[str, ...] = ()
        if has_below := is_wide(lines):
            lines = self._narrow(left)
            if is_wide(lines):
                left, below = tuple(name for name in left if name not in self.scores), self.scores
                lines = self._narrow(left)
        for index, cells in enumerate(lines):
            styles = ["bold" if index == 0 else "green" if name == "score" else "" for name in left]
            styles += ["bold" if index == 0 else ""] * (len(cells) - len(styles))
            yield Text("  ").join(Text(cell, style) for cell, style in zip(cells, styles, strict=True))
            if index and has_below:
                fixed, params = self.rows[index - 1]
                pairs = [pair for pair in zip(self.headers, fixed, strict=True) if pair[0] in below]
                pairs += zip(self.params, params, strict=True)
                named = "  ".join(f"{name}={cell}".replace(" ", "\u00a0") for name, cell in pairs if cell)
                yield Padding(Text(named, "dim"), (0, 0, 0, 6))

    @property
    def caption(self) -> str | None:
        """Says of how many trials these are the best, where there are more."""
        if len(self.rows) == self.n_trials:
            return None
        return f"The first {len(self.rows):,} of {count(self.n_trials, 'trial')}."

    def _narrow(self, names: Sequence[str]) -> list[list[str]]:
        """Returns the cells of some headers alone, theirs first, padded to columns."""
        places = [self.headers.index(name) for name in names]
        return aligned([names, *([fixed[i] for i in places] for fixed, _ in self.rows)], range(len(names)))

    def _wide(self) -> list[list[str]]:
        """Returns the cells of all lines, the header's first, padded to columns."""
        lines = [(self.headers, self.params), *self.rows]
        return aligned([fixed + params for fixed, params in lines], range(len(self.headers)))


def aligned(lines: Sequence[Sequence[str]], right: Container[int]) -> list[list[str]]:
    """Returns cells padded to columns of a terminal; those in `right` stand at their right edge."""
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]

    def padded(place: int, cell: str) -> str:
        gap = " " * (widths[place] - cell_len(cell))
        return gap + cell if place in right else cell + gap

    return [[padded(place, cell) for place, cell in enumerate(line)] for line in lines]


def leaderboard(results: ResultsData, top: int = 10) -> Leaderboard:
    """Returns the best trials as something that rich prints.

    Where a column for each parameter is wider than the terminal, the parameters stand as
    `name=value` below their trial.

    Args:
        results: A search's.
        top: How many trials at most, the best first, then those that were given up, and those that
            have no score.
    """
    trials = results.trials
    ordered = sorted(trials, key=_place(results))
    params = varying(trials)
    shown = ordered[: max(top, 0)]
    with_state = any(_state(trial) != "complete" for trial in shown)
    with_debiased = any(trial.get(DEBIASED) is not None for trial in shown)
    rows = []
    for place, trial in enumerate(shown, start=1):
        given, time = trial["params"], format_seconds(trial["mean_fit_time"])
        fixed = [_rank(trial, place), _text(trial["id"]), trial_score(trial)]
        fixed += [_debiased_text(trial)] if with_debiased else []
        fixed += [format_score(value) for value in results.mean_scores(trial).values()]
        fixed += [time]
        fixed += [_text(_state(trial))] if with_state else []
        told = tuple(_text(value_word(given[name])) if name in given else "" for name in params)
        rows.append((tuple(fixed), told))
    return Leaderboard(
        headers=(
            *("rank", "trial", "score", *(["debiased"] if with_debiased else [])),
            *map(_name, results.scores),
            "fit time",
            *(["state"] if with_state else []),
        ),
        params=tuple(map(_name, params)),
        rows=tuple(rows),
        n_trials=len(trials),
        scores=tuple(map(_name, results.scores)),
    )


def _place(results: ResultsData) -> Any:
    """Returns the key that sorts trials: by score, then by id.

    After all others come those that wait for more epochs, those that were given up, and those without a
    score.
    """
    sign = 1 if results.about.objective.direction == "min" else -1

    def key(trial: Mapping[str, Any]) -> tuple[bool, int, float, float]:
        score = trial["mean_test_score"]
        return score is None, _CUT.get(trial["state"], 0), sign * (score or 0.0), finite(trial["id"]) or 0

    return key


def _rank(trial: Mapping[str, Any], place: int) -> str:
    """Returns the rank, which trials of equal score share, or the place where no rank is recorded."""
    if trial["mean_test_score"] is None or trial["state"] in _CUT:
        return "-"
    rank = trial["rank_test_score"]
    return str(place if rank is None else rank)


def _state(trial: Mapping[str, Any]) -> Any:
    """Returns a trial's state, and that it is dead where it is."""
    return f"{trial['state']}, dead" if trial.get("dead") else trial["state"]


def varying(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the parameters that are not the same in all trials, in their order."""
    given = [trial["params"] for trial in trials]
    names = dict.fromkeys(name for params in given for name in params)
    return [name for name in names if len({repr(params.get(name, ...)) for params in given}) > 1]


def summary_lines(results: ResultsData) -> list[str]:
    """Returns what a search found and what it took, in a few lines of plain text.

    The best trial and its params; the counts of trials, fits and epochs and the wall time; then the
    failures, grouped by the type of their error, each with an example; the nets that look dead; what
    BatchNormalization's first values cost; and whether scores are too good.
    """
    trials, objective = results.trials, results.about.objective
    best = min(trials, key=_place(results), default=None)
    if best is None or best["mean_test_score"] is None:
        lines = ["No trial has a score yet."]
    else:
        first = "Best" if best["state"] not in _CUT else "None is trained to its end; ahead so far"
        name = _text(objective.name or "score")
        params = [f"{_name(key)}={_text(value_word(value))}" for key, value in best["params"].items()]
        lines = [f"{first}: trial {_text(best['id'])}, {name} {trial_score(best)}"]
        lines += [f"  {', '.join(params)}"] if params else []
    lines += [_counts(results), *_failures(trials), *_dead(trials)]
    lines += [" ".join(told)] if (told := first_values_sentences(trials, objective.direction)) else []
    lines += _rungs(results)
    if objective.decided_on:
        lines.append(
            "Scores are too good: callbacks decided on the test fold itself (search.val: test_fold)."
        )
    return lines


def _counts(results: ResultsData) -> str:
    states, summary = [trial["state"] for trial in results.trials], results.about.summary
    apart = [f"{states.count(state)} {state}" for state in ("failed", *_CUT) if state in states]
    parts = [count(len(states), "trial") + (f" ({', '.join(apart)})" if apart else "")]
    if summary.fits is not None:
        parts.append(count(summary.fits, "fit"))
    if summary.epochs_trained is not None:
        parts.append(f"{count(summary.epochs_trained, 'epoch')} trained")
    took = "" if summary.wall_time_s is None else f" in {format_seconds(summary.wall_time_s)}"
    return f"{', '.join(parts)}{took}."


def _failures(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a line for each type of error, the most frequent first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for trial in trials:
        if trial["state"] == "failed":
            error = trial["error"]
            kind = error.get("type") if isinstance(error, dict) else error
            groups.setdefault(_text(kind or "no reason recorded"), []).append(trial)
    lines = []
    for kind, failed in sorted(groups.items(), key=lambda item: -len(item[1])):
        example = failed[0]
        lines.append(
            f"{count(len(failed), 'trial')} failed with {kind}, such as trial {_text(example['id'])}: "
            f"{_text(_message(example['error']), _LONGEST_ERROR)}"
        )
    return lines


def _message(error: Any) -> str:
    if isinstance(error, dict):
        return str(error.get("message") or "no message")
    return error_text(error) or "no message"


def _dead(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a line about the nets that look dead, where there are any."""
    dead = [trial for trial in trials if trial.get("dead")]
    if not dead:
        return []
    reason = _text(dead[0]["dead"], _LONGEST_ERROR)
    return [
        f"{count(len(dead), 'trial')} {'looks' if len(dead) == 1 else 'look'} dead, such as trial "
        f"{_text(dead[0]['id'])}: {reason}."
    ]


def first_values_sentences(trials: Sequence[Mapping[str, Any]], direction: str) -> list[str]:
    """Returns what first values in BatchNormalization's statistics cost complete trials, and what mends it.

    Args:
        trials: Those of results.json, or the rows of a table of it.
        direction: max or min.

    Returns:
        Nothing where all have warmed up, or are scored by debiased statistics.
    """
    scored = [
        trial for trial in trials if trial["state"] == "complete" and trial["mean_test_score"] is not None
    ]
    biased = [trial for trial in scored if trial.get(DEBIASED) is not None]
    if not biased:
        return []
    sign = -1 if direction == "min" else 1

    def debiased(trial: Mapping[str, Any]) -> float:
        return trial["mean_test_score"] if trial.get(DEBIASED) is None else trial[DEBIASED]

    def gain(trial: Mapping[str, Any]) -> float:
        return sign * (debiased(trial) - trial["mean_test_score"])

    def shows(trial: Mapping[str, Any]) -> bool:
        return score_word(debiased(trial)) != score_word(trial["mean_test_score"])

    def told(trial: Mapping[str, Any], word: str) -> str:
        scores = f"{score_word(trial['mean_test_score'])} -> {score_word(debiased(trial))}"
        return (
            f"up to {score_word(abs(gain(trial)), debiased(trial))} {word} (trial {_called(trial)}: {scores})"
        )

    share = max(trial.get("first_values") or 0.0 for trial in biased)
    first = (
        f"BatchNormalization had not warmed up in {len(biased):,} of {count(len(scored), 'trial')}: up to "
        f"{percent(share)} of its moving statistics are still first values."
    )
    most, least = max(biased, key=gain), min(biased, key=gain)
    costs = [told(most, "better")] if gain(most) > 0 and shows(most) else []
    costs += [told(least, "worse")] if gain(least) < 0 and shows(least) else []
    if not costs:
        return [first, "With debiased statistics the scores are the same."]
    best = max(scored, key=lambda trial: sign * trial["mean_test_score"])
    other = max(scored, key=lambda trial: sign * debiased(trial))
    verdict = f", and trial {_called(best)} stays the best" if len(scored) > 1 else ""
    if debiased(other) != debiased(best):
        verdict = f", and trial {_called(other)} would be the best, not trial {_called(best)}"
    return [
        first,
        f"With debiased statistics scores are {', others '.join(costs)}{verdict}.",
        f"`{DEBIASED_LINE}` scores trials, and saves models, by those.",
    ]


def _called(trial: Mapping[str, Any]) -> str:
    return _text(trial.get("trial", trial.get("id")))


def _rungs(results: ResultsData) -> list[str]:
    """Returns that rungs and final scores differ in kind, where they do."""
    search = (results.about.config or {}).get("search")
    engine = ENGINES.get(str(search.get("engine"))) if isinstance(search, Mapping) else None
    is_biased = any(trial.get(DEBIASED) is not None for trial in results.trials)
    if engine is None or not engine.decides_by_val or not is_biased:
        return []
    return [
        "Which candidates went on was decided by debiased statistics of BatchNormalization, and these scores "
        f"are by Keras's: they differ in kind, which they do not by `{DEBIASED_LINE}`."
    ]


def trial_score(trial: Mapping[str, Any]) -> str:
    """Returns a trial's mean score and its spread over folds, which a single one has not."""
    single = len(trial["folds"]) == 1
    return format_score(trial["mean_test_score"], None if single else trial["std_test_score"])


def _debiased_text(trial: Mapping[str, Any]) -> str:
    return "" if trial.get(DEBIASED) is None else format_score(trial[DEBIASED])


def format_score(mean: float | None, std: float | None = None) -> str:
    """Returns `0.9812 ± 0.0020`; no spread where `std` is None, and `-` where there is no mean."""
    mean, std = finite(mean), finite(std)
    if mean is None:
        return "-"
    if std is None:
        return score_word(mean)
    spread = 0.0 if std < 1e-9 * max(1.0, abs(mean)) else std  # equal scores, but for rounding
    return f"{score_word(mean)} ± {score_word(spread, mean)}"


def _text(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """Returns a value on one line, visible and of bounded length."""
    return shortened(visible_line(value if isinstance(value, str) else value_word(value)), longest)


def _name(name: str) -> str:
    """Returns a parameter's name on one line; of a long one its end, which tells it from its neighbours."""
    text = visible_line(name)
    return text if len(text) <= _LONGEST_VALUE else f"…{text[1 - _LONGEST_VALUE :]}"
