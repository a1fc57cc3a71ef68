"""How long a candidate is trained once its search is over, and at which learning rates."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kerasgrid.config.callbacks import is_own
from kerasgrid.jobs.route import Route
from kerasgrid.tables.parsing import read_history
from kerasgrid.wording import count


@dataclass(frozen=True)
class Course:
    """How long a candidate is trained on all of the training data, and at which learning rates.

    Attributes:
        epochs: To train.
        how: How that was chosen, in words.
        dropped: Callbacks that are left out, since they look at an inner split.
        rates: The learning rate of each epoch; none for the candidate's own.
    """

    epochs: int
    how: str
    dropped: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()


@dataclass(frozen=True)
class FoldRun:
    """What one fold and repeat of a trial came to.

    Attributes:
        fold: The fold's index.
        repeat: The repeat.
        best_epoch: The best epoch by what an early stopping or checkpoint looked at, from 1; None where none
            did. Where its weights were restored, they made the score.
        history: Lists over the epochs, or the file that holds them.
    """

    fold: int
    repeat: int
    best_epoch: int | None
    history: Mapping[str, Sequence[float]] | Path

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """The learning rate of each epoch, as far as it is known."""
        found = read_history(self.history).get("learning_rate", ())
        return tuple(float(rate) for rate in found if rate is not None)


def runs_of(row: Mapping[str, Any], folder: Path) -> list[FoldRun]:
    """Returns a trial's folds and repeats.

    Args:
        row: As results.json has it.
        folder: The run's, where long histories lie.
    """
    runs = []
    for fold in row["folds"]:
        for part in fold.get("repeats", [fold]):
            file = part.get("history_file")
            history = part["history"] if file is None else folder / file
            runs.append(FoldRun(fold["fold"], part.get("repeat", 0), part["best_epoch"], history))
    return runs


def course_of(route: Route, runs: Sequence[FoldRun]) -> Course:
    """Returns how a candidate is trained on all rows: by its recipe, for the epochs that its folds took.

    Where no callback looks at an inner split, that is the recipe itself. Where one does, there is no such
    split any more: it is trained for the median over the folds of the best epoch, with the learning rates
    of that fold's run.

    Args:
        route: The candidate's params in their places.
        runs: Its folds and repeats.
    """
    looking = [name for name, args in route.callbacks.items() if _looks_at_val(args)]
    best = sorted(run.best_epoch for run in runs if run.best_epoch is not None)
    if not looking or not best:
        return Course(route.epochs, f"{count(route.epochs, 'epoch')}, as in the search")
    epochs = statistics.median_low(best)
    run = next(run for run in runs if run.best_epoch == epochs)
    rates: tuple[float, ...] = ()
    is_set = any(name == "reduce_lr_on_plateau" or is_own(name) for name in route.callbacks)
    unknown = ""
    if is_set and "learning_rate_scheduler" not in route.callbacks:
        looking = sorted({*looking, *({"reduce_lr_on_plateau"} & route.callbacks.keys())})
        rates = run.rates[:epochs] if len(run.rates) >= epochs else ()
        unknown = "" if rates else "; the learning rates of its folds are not known, and its own is kept"
    shown = ", ".join(map(str, best[:10])) + (", ..." if len(best) > 10 else "")
    how = f"{count(epochs, 'epoch')}, the median over folds of the best epoch ({shown})"
    if rates:
        how += f", with the learning rates of fold {run.fold}"
    return Course(epochs, f"{how}; without {', '.join(looking)}{unknown}", tuple(looking), rates)


def _looks_at_val(arguments: Mapping[str, Any]) -> bool:
    return str(arguments.get("monitor", "")).startswith("val_")
