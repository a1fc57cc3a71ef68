"""What a column is, told by its name alone, where a file does not say."""

from __future__ import annotations

import re
from typing import Literal

from kerasgrid.keras_names import METRICS, find_metric

_LARGER_IS_BETTER = {"f1", "r2", "score"}  # beside Keras's own metrics
_TIMES = {"time", "duration", "seconds", "runtime"}
_SMALLER_IS_BETTER = {
    *("error", "rmse", "rmsle", "nll", "perplexity", "brier", "divergence", "huber", "cosh"),
    *("mislabeled", "misclassified"),
}
_LOSSES = ("loss", "entropy")
_DETAIL = re.compile(
    r"split\d+_|rank_|std_.*_time$|mean_score_time$|datetime_|(user|system)_attrs_"
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
