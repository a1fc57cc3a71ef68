"""How long a candidate is trained once its search is over, and at which learning rates."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerasgrid.config.callbacks import is_own
from kerasgrid.jobs.route import Route
from kerasgrid.run.results import FoldRun
from kerasgrid.tables.table import read_history
from kerasgrid.wording import count


@dataclass(frozen=True)
class Course:
    """How long a candidate is trained on all of the training data, and at which learning rates.

    Attributes:
        how: How that was chosen, in words.
        dropped: Callbacks that are left out, since they look at an inner split.
        rates: The learning rate of each epoch; none for the candidate's own.
    """

    epochs: int
    how: str
    dropped: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()


def rates_of(run: FoldRun) -> tuple[float, ...]:
    """Returns the learning rate of each epoch of a run, as far as it is known."""
    found = read_history(run.history).get("learning_rate", ())
    return tuple(float(rate) for rate in found if rate is not None)


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
        rates = rates_of(run)[:epochs]
        rates = rates if len(rates) == epochs else ()
        unknown = "" if rates else "; the learning rates of its folds are not known, and its own is kept"
    shown = ", ".join(map(str, best[:10])) + (", ..." if len(best) > 10 else "")
    how = f"{count(epochs, 'epoch')}, the median over folds of the best epoch ({shown})"
    if rates:
        how += f", with the learning rates of fold {run.fold}"
    return Course(epochs, f"{how}; without {', '.join(looking)}{unknown}", tuple(looking), rates)


def _looks_at_val(arguments: Mapping[str, Any]) -> bool:
    return str(arguments.get("monitor", "")).startswith("val_")
