"""The noun of this room: trials and what is known of them, wherever they come from, and what a column's name
tells.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from kerasgrid.config.validation import kind
from kerasgrid.errors import ResultsError
from kerasgrid.io import MOST_BESIDE
from kerasgrid.keras_names import METRICS, find_metric
from kerasgrid.run.schema import About, parse_json, read_text
from kerasgrid.space.dimensions import all_known, is_number

_LARGER_IS_BETTER = {"f1", "r2", "score"}  # beside Keras's own metrics
_TIMES = {"time", "duration", "seconds", "runtime"}
_SMALLER_IS_BETTER = {
    *("error", "rmse", "rmsle", "nll", "perplexity", "brier", "divergence", "huber", "cosh"),
    *("mislabeled", "misclassified"),
}
_LOSSES = ("loss", "entropy")
DEBIASED = "mean_debiased_score"
"""The column of what trials score by debiased statistics, of those alone that have not warmed up."""
BATCH_NORM = "training.batch_norm"
"""The parameter that says by which statistics a trial is scored."""
_DETAIL = re.compile(
    r"split\d+_|rank_|first_values$|std_.*_time$|mean_score_time$|datetime_|(user|system)_attrs_"
    r"|(id|uid|index|trial|trial_id|number|state|status|n_parameters|n_params|params_count|name)$",
    re.IGNORECASE,
)
_VALUE = re.compile(r"(value|values_\d+|objective)$", re.IGNORECASE)
_STATES = {
    "complete": ("complete", "completed", "finished", "succeeded", "success"),
    "failed": ("fail", "failed", "crashed", "error"),
    "pruned": ("pruned", "killed", "stopped"),
    "running": ("running",),
    "waiting": ("waiting", "scheduled"),
}
_STATE_OF = {word: state for state, words in _STATES.items() for word in words}


def is_detail(name: str) -> bool:
    """Says whether a column is neither parameter nor score: an id, a state, the score of one fold."""
    return _DETAIL.match(name) is not None


def importance(name: str) -> int:
    """Ranks score columns: the objective first, spreads and times last."""
    if is_time(name):
        return 6
    if name.startswith(("std_", "mean_train_", "train_")):
        return 5
    starts = ("mean_test_score", "mean_test_", "test_", "val_")
    return next((rank for rank, start in enumerate(starts) if name.startswith(start)), 4)


def is_time(name: str) -> bool:
    """Says whether a numeric column is how long something took."""
    return _last_word(name) in _TIMES


def is_score(name: str) -> bool:
    """Says whether a numeric column was measured: `mean_*`, `std_*`, `val_*`, a metric or a time."""
    is_value = _VALUE.match(name) is not None  # as other libraries call it
    return (
        is_value or name.startswith(("mean_", "std_", "val_")) or is_time(name) or _better(name) is not None
    )


def state_of(word: object) -> str | None:
    """Returns the state of a trial as it is called here, of how other tools call it; None for none."""
    return _STATE_OF.get(str(word).lower())


def direction(objective: str) -> Literal["max", "min"]:
    """Guesses from a score's name; scikit-learn's own are always the larger the better."""
    if objective.startswith("mean_test_") or "neg_" in objective:
        return "max"
    return "min" if is_time(objective) else _better(objective) or "max"


def _better(name: str) -> Literal["max", "min"] | None:
    """Returns which is better of a metric: by Keras's own, else by its last words; None for no metric."""
    plain = re.sub(r"^(mean_|test_|val_|train_|best_)+", "", name.lower())
    last = _last_word(name)
    if known := find_metric(plain) or find_metric(last):
        return METRICS[known].direction
    if last in _SMALLER_IS_BETTER or last.endswith(_LOSSES) or plain.endswith("error_rate"):
        return "min"
    return "max" if last in _LARGER_IS_BETTER else None


def _last_word(name: str) -> str:
    return re.split(r"[^a-z0-9]+", name.lower())[-1]


@dataclass(frozen=True)
class Table:
    """Trials of one file.

    Attributes:
        source: What the page calls the file: the search's name, else the file's stem.
        params: Columns of parameters, in their order.
        scores: Columns of what was measured, the objective first. Their values are finite
            numbers or None.
        details: Columns that are neither: trial, state, error, rank, scores of single folds.
        rows: A mapping a trial. A key is absent where the trial does not have the parameter.
        direction: Whether a larger (`max`) or a smaller (`min`) objective is better.
        log_params: Parameters to be drawn on a logarithmic scale: those whose range in the config
            has `log: true`; where there is no config, those that spread over two decades.
        metric: The metric behind the objective as histories call it, such as `accuracy`.
        histories: For each row the histories of its folds and repeats, {metric: one value an
            epoch}, or the file that holds one; empty where there are none.
        fold_scores: For each row its objective by fold, None where a fold has none; empty where the
            file does not say.
        about: What else the file says of the search, such as `config`, `summary` and `status`; None
            for files that are not ours.
        debiased: The same by debiased statistics of BatchNormalization, where some trials were scored by
            Keras's and have not warmed up; else None.
    """

    source: str
    params: tuple[str, ...]
    scores: tuple[str, ...]
    details: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    direction: Literal["max", "min"] = "max"
    log_params: frozenset[str] = frozenset()
    metric: str = ""
    histories: tuple[tuple[Mapping[str, Sequence[Any]] | Path, ...], ...] = ()
    fold_scores: tuple[tuple[float | None, ...], ...] = ()
    about: About | None = None
    debiased: Table | None = None

    @property
    def sign(self) -> int:
        """1 where a larger score is better, -1 where a smaller one is."""
        return -1 if self.direction == "min" else 1

    @cached_property
    def scored(self) -> list[int]:
        """Places of the trials that were trained to their ends and have a score."""
        return [
            place
            for place, row in enumerate(self.rows)
            if row.get("state", "complete") == "complete" and finite(row.get(self.scores[0])) is not None
        ]

    def section(self, name: str) -> Mapping[str, Any]:
        """Returns a section of the search's config, such as `data`; empty where the file has none."""
        config = None if self.about is None else self.about.config
        found = config.get(name) if isinstance(config, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    @property
    def has_scaled_curves(self) -> bool:
        """Whether histories are of numbers as nets see them, and scores of the user's own."""
        return self.section("data").get("target_scale") is not None

    @property
    def has_weighted_scores(self) -> bool:
        """Whether scores weigh samples, which histories do not."""
        return bool(self.section("search").get("weighted_scores"))

    @property
    def has_own_thresholds(self) -> bool:
        """Whether scores cut several labels elsewhere than at 0.5, as histories do."""
        return self.section("search").get("thresholds") not in (None, 0.5)

    def trial(self, place: int) -> Any:
        """Returns what a trial is called: its id, or its place where it has none."""
        return self.rows[place].get("trial", place)

    def mean_history(self, place: int) -> dict[str, list[float | None]]:
        """Returns each metric's mean over a trial's folds, as far as all folds that have it go; then None.

        Raises:
            ResultsError: A file is not there, or holds no history.
        """
        folds = [read_history(history) for history in self.histories[place]] if self.histories else []
        means: dict[str, list[float | None]] = {}
        for name in columns_of(folds):
            epochs = zip(*(fold[name] for fold in folds if fold.get(name)), strict=False)
            means[name] = [sum(values) / len(values) if all_known(values) else None for values in epochs]
        means = {name: values for name, values in means.items() if values}
        length = max(map(len, means.values()), default=0)
        return {name: [*values, *[None] * (length - len(values))] for name, values in means.items()}

    @property
    def time(self) -> str | None:
        """The column of the seconds that a trial took, a fold or in all; None where there is none."""
        return next((name for name in self.scores if is_time(name)), None)

    def seconds(self, row: Mapping[str, Any]) -> float | None:
        """Returns what a row has in the column of time; None where it has no number there."""
        return None if self.time is None else finite(row.get(self.time))


def param_columns(names: Iterable[str], is_taken: Callable[[str], bool]) -> dict[str, str]:
    """Returns the column of each parameter; one that is called like another column gets a suffix."""
    return {name: f"{name} (param)" if is_taken(name) else name for name in names}


def columns_of(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns all keys of all records, in the order in which they first appear."""
    return list(dict.fromkeys(name for record in records for name in record))


def are_epochs(steps: Sequence[int]) -> bool:
    """Says whether steps, in order, are epochs one after the other from the first, counted from 0 or 1."""
    pairs = itertools.pairwise(steps)
    return len(steps) > 1 and steps[0] in (0, 1) and all(after == before + 1 for before, after in pairs)


def read_history(history: Mapping[str, Sequence[Any]] | Path) -> dict[str, list[float | None]]:
    """Returns a history, read from its file if it has one of its own; None stands for what is no number.

    What is no list over the epochs is left out.

    Raises:
        ResultsError: The file is not there, or holds no history.
    """
    value: Any = history
    if isinstance(history, Path):
        run = history.parents[1]
        if history.resolve().parents[1] != run.resolve():
            raise ResultsError(f"{history} is a link to elsewhere, and a run's files lie in its own folder.")
        value = parse_json(read_text(history, MOST_BESIDE), history)
        if not isinstance(value, dict):
            raise ResultsError(
                f"{history} is {kind(value)}; an object with a list for each metric was expected."
            )
    return {name: list(map(finite, values)) for name, values in value.items() if isinstance(values, list)}


def finite(value: Any) -> float | None:
    """Returns a number that a float can hold, and None for all else."""
    if not is_number(value):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond any float
        return None
