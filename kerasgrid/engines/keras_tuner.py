"""KerasTuner's own oracles, by ask and tell.

A space is translated both ways. The oracle is asked afresh when a search resumes, and told what the
journal knows: its own files are not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kerasgrid.engines.base import Engine, Outline, Proposal, Task
from kerasgrid.engines.oracle_process import OracleProcess, Values
from kerasgrid.io import canonical_json, digest
from kerasgrid.space import Choice, Params, Range, Space

WHICH = "space"
"""The hyperparameter that says of which grid a candidate is, where there are several."""


def oracle(kind: str) -> Callable[[Task], Engine]:
    """Returns the engine of an oracle that proposes whole candidates, by its class in keras_tuner.oracles."""

    def run(task: Task) -> Engine:
        translated = Translation(task.space)
        most = task.search.trials or task.space.size
        arguments = {"max_trials": most, "seed": _seed(task)}
        with OracleProcess(kind, arguments, translated.declared) as asked:
            while proposals := asked.ask(task.search.proposals):
                candidates = [translated.params(values) for _, values in proposals]
                scores = yield Proposal(candidates)
                for (id_, _), score in zip(proposals, scores, strict=True):
                    asked.tell(id_, score)

    return run


def hyperband(task: Task) -> Engine:
    """Proposes the brackets of Hyperband (Li et al. 2018); promoted candidates go on from where they stand.

    Decided by the inner split's scores, as in halving.
    """
    translated = Translation(task.space)
    arguments = {"max_epochs": task.epochs({}), "factor": task.search.factor, "seed": _seed(task)}
    waiting: dict[str, Params] = {}
    with OracleProcess("HyperbandOracle", arguments, translated.declared) as asked:
        while proposals := asked.ask(task.search.proposals):
            by_rung: dict[int, list[tuple[str, Params]]] = {}
            for id_, values in proposals:
                by_rung.setdefault(values["tuner/epochs"], []).append((id_, translated.params(values)))
            for until, members in sorted(by_rung.items()):
                candidates = [params for _, params in members]
                told = yield Proposal(candidates, until)
                for (id_, params), scores in zip(members, told, strict=True):
                    if until < arguments["max_epochs"]:
                        waiting[digest(params)] = params
                    else:
                        waiting.pop(digest(params), None)
                    asked.tell(id_, None if None in scores else float(np.mean(scores)))
    if waiting:
        yield Proposal([], dropped=list(waiting.values()))


def outline(task: Task) -> Outline:
    """Tells how many candidates are asked for at once, and the epochs that are trained at most."""
    n, at_once = task.search.trials or task.space.size, task.search.proposals
    longest = max(map(task.epochs, task.space.cover()))
    told = f"Up to {n:,} candidates, {at_once:,} at a time; all but the first depend on scores."
    return Outline((told,), n, n * longest * task.n_folds * task.search.repeats)


def outline_of_hyperband(task: Task) -> Outline:
    """Tells the brackets, and the epochs that are trained at most."""
    most, factor, brackets, n_epochs = task.epochs({}), task.search.factor, [], 0
    highest, n_candidates = _log(most, factor), 0
    for bracket in range(highest, -1, -1):
        n, before, told = math.ceil((highest + 1) * factor**bracket / (bracket + 1)), 0, []
        n_candidates += n
        for turn in range(bracket + 1):
            until, size = math.ceil(most / factor ** (bracket - turn)), math.ceil(n / factor**turn)
            n_epochs += size * (until - before)
            told.append(f"{size:,} to epoch {until}")
            before = until
        brackets.append(f"Bracket: {', '.join(told)}.")
    return Outline(tuple(brackets), n_candidates, n_epochs * task.n_folds * task.search.repeats)


def _log(number: int, base: int) -> int:
    """Returns the power of a base that is the largest of those up to a number."""
    power = 0
    while base ** (power + 1) <= number:
        power += 1
    return power


def _seed(task: Task) -> int:
    return task.search.seed + 1  # KerasTuner takes 0 for none


class Translation:
    """A space in KerasTuner's terms, and back.

    What all grids of a union have alike is one hyperparameter; what they have not is one of each grid, under
    the condition that it is chosen.

    Args:
        space: The candidates.

    Attributes:
        declared: As OracleProcess takes them.
    """

    def __init__(self, space: Space) -> None:
        self.grids = [dict(sorted(grid.items())) for grid in space.grids]
        first = self.grids[0] if self.grids else {}
        self._common = {
            name for name, dim in first.items() if all(grid.get(name) == dim for grid in self.grids)
        }
        self.declared = list(self._declare())

    def params(self, values: Values) -> Params:
        """Returns the candidate that an oracle's values stand for."""
        place = int(values.get(WHICH, 0))
        found = {}
        for name, dim in self.grids[place].items():
            own = values.get(self._name(place, name))
            found[name] = dim[0] if own is None else _back(dim, own)
        return found

    def _declare(self) -> Iterator[tuple[str, dict[str, Any], tuple[str, list] | None]]:
        several = len(self.grids) > 1
        if several:
            yield "Choice", {"name": WHICH, "values": list(range(len(self.grids))), "ordered": False}, None
        for name in sorted(self._common):
            yield *_declared(name, self.grids[0][name]), None
        for place, grid in enumerate(self.grids):
            for name in sorted(set(grid) - self._common):
                if len(grid[name]) != 1:
                    yield *_declared(self._name(place, name), grid[name]), (WHICH, [place])

    def _name(self, place: int, name: str) -> str:
        return name if name in self._common else f"{place}/{name}"


def _declared(name: str, dim: Choice | Range) -> tuple[str, dict[str, Any]]:
    """Returns the method of HyperParameters that declares a dimension, and its arguments."""
    if isinstance(dim, Choice):
        values = _values(dim)
        return "Choice", {"name": name, "values": values, "ordered": isinstance(values[0], float)}
    low, high = dim.ends
    about = {"name": name, "min_value": low, "max_value": high, "sampling": "log" if dim.log else "linear"}
    if dim.whole:
        return "Int", about | ({"step": int(dim.step)} if dim.step else {"step": None if dim.log else 1})
    return "Float", about | {"step": dim.step}


def _back(dim: Choice | Range, value: Any) -> Any:
    """Returns the dimension's own value that a hyperparameter's stands for."""
    if isinstance(dim, Choice):
        return dim.values[_values(dim).index(value)]
    if dim.step is None:
        return int(value) if dim.whole else float(value)
    values = np.asarray(dim.values)
    return dim.values[int(np.argmin(np.abs(values - value)))]  # in decimal arithmetic: 0.3, not 0.1 + 2 * 0.1


def _values(dim: Choice) -> list[float] | list[str]:
    """Returns a list's values as KerasTuner wants them, of one type: numbers as floats, others as texts."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in dim.values):
        return [canonical_json(value) for value in dim.values]
    return [float(value) for value in dim.values]
