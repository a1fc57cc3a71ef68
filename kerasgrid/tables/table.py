"""The noun of this room: trials and what is known of them, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kerasgrid.tables.naming import is_time
from kerasgrid.tables.parsing import finite


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
        about: What else the file says of the search, such as `config`, `summary` and `status`; empty
            for files that are not ours.
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
    about: Mapping[str, Any] = field(default_factory=dict)

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
