"""KerasTuner's own oracles, by ask and tell.

A space is translated both ways. The oracle is asked afresh when a search resumes, and told what the
journal knows: its own files are not used.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerasgrid.engines.ask_and_tell import AskedProcess, Values
from kerasgrid.engines.base import Engine, Outline, Proposal, Task
from kerasgrid.engines.translation import WHICH, Slot, Translation
from kerasgrid.io import digest, scratch_folder
from kerasgrid.machine import backend, hidden
from kerasgrid.space.dimensions import all_known
from kerasgrid.space.space import Params

Declared = tuple[str, Values, tuple[str, list[int]] | None]
MANY = 10**9


def oracle(kind: str) -> Callable[[Task], Engine]:
    """Returns the engine of an oracle that proposes whole candidates, by its class in keras_tuner.oracles.

    What an oracle proposes again is answered with its score, and is no new trial; where it proposes nothing
    else, or nothing at all, candidates are drawn at random in their place; but for the oracle that goes
    through a grid, which then goes on, or has come to its end.
    """
    goes_through = kind == "GridSearchOracle"

    def run(task: Task) -> Engine:
        translated = Translation(task.space)
        most = task.search.trials or task.space.size
        known: dict[str, float | None] = {}
        with AskedProcess(
            Oracle, kind, {"max_trials": MANY, "seed": _seed(task)}, declare(translated.slots)
        ) as asked:
            while len(known) < most:
                n = min(task.search.proposals, most - len(known))
                proposals = asked.ask(n)
                named = {id_: translated.params(values) for id_, values in proposals}
                new = {key: params for params in named.values() if (key := digest(params)) not in known}
                if goes_through and proposals and not new:  # a candidate of two grids of a union
                    for id_, params in named.items():
                        asked.tell(id_, known[digest(params)])
                    continue
                if not new and not goes_through:
                    drawn = task.untried(known, len(named) or n)
                    new = {digest(params): params for params in drawn}
                    for id_, other in zip([*named], drawn, strict=False):
                        asked.redirect(id_, translated.values(other))
                        named[id_] = other
                if not new:
                    break
                scores = yield Proposal([*new.values()])
                known |= zip(new, scores, strict=True)
                for id_, params in named.items():
                    asked.tell(id_, known[digest(params)])

    return run


def hyperband(task: Task) -> Engine:
    """Proposes the brackets of Hyperband (Li et al. 2018); promoted candidates go on from where they stand.

    Decided by the inner split's scores, as in halving. The oracle ends where it finds no new candidate, and
    may then have brought none to its end: the best that wait go on by successive halving until one has.
    """
    translated = Translation(task.space)
    most, is_done = task.longest, False
    arguments = {"max_epochs": most, "factor": task.search.factor, "seed": _seed(task)}
    waiting: dict[str, _Waiting] = {}
    lost: list[Params] = []
    with AskedProcess(Oracle, "HyperbandOracle", arguments, declare(translated.slots)) as asked:
        while proposals := asked.ask(task.search.proposals):
            by_rung: dict[int, list[tuple[str, Params]]] = {}
            for id_, values in proposals:
                by_rung.setdefault(values["tuner/epochs"], []).append((id_, translated.params(values)))
            for until, members in sorted(by_rung.items()):
                told = yield Proposal([params for _, params in members], until, dropped=lost)
                found = list(map(mean, told))
                lost = [params for (_, params), score in zip(members, found, strict=True) if score is None]
                is_done |= _wait(waiting, [params for _, params in members], until, found, most)
                for (id_, _), score in zip(members, found, strict=True):
                    asked.tell(id_, score)
    dropped = lost
    while waiting and not is_done:
        lowest = min(waited.until for waited in waiting.values())
        ranked = sorted((w for w in waiting.values() if w.until == lowest), key=lambda waited: -waited.score)
        n_kept = -(-len(ranked) // task.search.factor)
        dropped += [waiting.pop(digest(waited.params)).params for waited in ranked[n_kept:]]
        until = min(most, lowest * task.search.factor)
        kept = [waited.params for waited in ranked[:n_kept]]
        told = yield Proposal(kept, until, dropped=dropped)
        found = list(map(mean, told))
        dropped = [params for params, score in zip(kept, found, strict=True) if score is None]
        is_done = _wait(waiting, kept, until, found, most)
    dropped += [waited.params for waited in waiting.values()]
    if dropped:
        yield Proposal([], dropped=dropped)


@dataclass(frozen=True)
class _Waiting:
    """A candidate that waits after an epoch, with its score there."""

    params: Params
    until: int
    score: float


def _wait(
    waiting: dict[str, _Waiting],
    candidates: Sequence[Params],
    until: int,
    scores: Sequence[float | None],
    most: int,
) -> bool:
    """Takes in where candidates have come to; returns whether one has come to its end."""
    is_done = False
    for params, score in zip(candidates, scores, strict=True):
        waiting.pop(digest(params), None)
        if score is not None and until < most:
            waiting[digest(params)] = _Waiting(params, until, score)
        is_done |= score is not None and until >= most
    return is_done


def mean(scores: Sequence[float | None]) -> float | None:
    """Returns the mean over folds; None where one has failed."""
    return float(np.mean(scores)) if all_known(scores) else None


def outline(task: Task) -> Outline:
    """Tells how many candidates are asked for at once, and the epochs that are trained at most."""
    n, at_once = task.search.trials or task.space.size, task.search.proposals
    told = f"Up to {n:,} candidates, {at_once:,} at a time; all but the first depend on scores."
    return Outline((told,), n, n * task.longest * task.n_folds * task.search.repeats)


def outline_without_scores(task: Task) -> Outline:
    """Tells the same of an oracle that proposes whatever it is told."""
    found = outline(task)
    told = f"Up to {found.candidates:,} candidates, {task.search.proposals:,} at a time."
    return replace(found, lines=(told,))


def outline_of_hyperband(task: Task) -> Outline:
    """Tells the brackets, and the epochs that are trained at most."""
    most, factor, brackets, n_epochs = task.longest, task.search.factor, [], 0
    n_brackets, n_candidates = _n_brackets(most, factor), 0
    for bracket in range(n_brackets - 1, -1, -1):
        before, told = 0, []
        n_candidates += _size(most, factor, bracket, 0)
        for turn in range(bracket + 1):
            until, size = math.ceil(most / factor ** (bracket - turn)), _size(most, factor, bracket, turn)
            n_epochs += size * (until - before)
            told.append(f"{size:,} to epoch {until}")
            before = until
        brackets.append(f"Bracket: {', '.join(told)}.")
    if task.space.is_finite and task.space.size < n_candidates:
        brackets.append(
            f"The space has {task.space.size:,} candidates, fewer than brackets begin with: they end early."
        )
    return Outline(tuple(brackets), n_candidates, n_epochs * task.n_folds * task.search.repeats)


def _size(most: int, factor: int, bracket: int, turn: int) -> int:
    """Returns how many candidates KerasTuner's oracle trains in a turn of a bracket."""
    last = math.ceil(1 + math.log(most, factor)) / (bracket + 1)
    return math.ceil(last * factor ** (bracket - turn))


def _n_brackets(most: int, factor: int) -> int:
    """Returns how many brackets KerasTuner's oracle has."""
    number, epochs = 0, float(most)
    while epochs >= 1:
        epochs, number = epochs / factor, number + 1
    return number


def _seed(task: Task) -> int:
    return task.search.seed + 1  # KerasTuner takes 0 for none


def without_jax() -> contextlib.AbstractContextManager[None]:
    """Hides JAX, where TensorFlow is the backend, from libraries that would take a second to import it."""
    return hidden("jax") if backend() == "tensorflow" else contextlib.nullcontext()


class AskedOracle:
    """An oracle by ask and tell, without a Tuner.

    Args:
        make: An oracle's class.
        arguments: Of that class, beside its objective.
    """

    library = "KerasTuner's oracle"

    def __init__(self, make: Callable[..., Any], arguments: Values) -> None:
        import keras_tuner

        objective = keras_tuner.Objective("score", "max")
        self.oracle = make(objective=objective, max_consecutive_failed_trials=MANY, **arguments)
        self.oracle.verbose = 0
        self._scratch = scratch_folder()  # which goes with this object
        self.oracle._set_project_dir(self._scratch.__enter__(), "oracle")  # without it, it keeps no trial
        self.running: dict[str, Any] = {}

    def ask(self, n: int) -> list[tuple[str, Values]]:
        """Returns fewer than `n` proposals where others have to be told before; none at all is the end."""
        found = []
        for _ in range(n):
            # One id for each proposal under way: an oracle gives a tuner that has a trial the same again.
            trial = self.oracle.create_trial(f"tuner {len(self.running)}")
            if trial.status in ("STOPPED", "IDLE"):
                break
            self.running[trial.trial_id] = trial
            found.append((trial.trial_id, self.values(trial)))
        return found

    def values(self, trial: Any) -> Values:
        """Returns the values that a trial of the oracle's proposes."""
        return dict(trial.hyperparameters.values)

    def redirect(self, id_: str, values: Values) -> None:
        """Lets a proposal be of other values."""
        self.running[id_].hyperparameters.values = dict(values)

    def tell(self, id_: str, score: float | None) -> None:
        """Takes the score of a proposal, higher is better; None for a failure."""
        trial = self.running.pop(id_)
        if score is None:
            trial.status, trial.message = "FAILED", "it failed"
        else:
            self.oracle.update_trial(id_, {"score": score}, step=0)
            trial.status = "COMPLETED"
        self.oracle.end_trial(trial)


class Oracle(AskedOracle):
    """One of KerasTuner's own.

    Args:
        kind: The name of its class in keras_tuner.oracles.
        arguments: Of that class, beside its objective and hyperparameters.
        declared: The hyperparameters: (method of HyperParameters, arguments, condition) each, where the
            condition is (name, values) or None.
    """

    def __init__(self, kind: str, arguments: Values, declared: Sequence[Declared]) -> None:
        with without_jax():
            import keras_tuner
            from keras_tuner import oracles

        hp = keras_tuner.HyperParameters()
        for method, own, condition in declared:
            scope = contextlib.nullcontext() if condition is None else hp.conditional_scope(*condition)
            with scope:
                getattr(hp, method)(**own)
        super().__init__(getattr(oracles, kind), {"hyperparameters": hp, **arguments})


def declare(slots: Sequence[Slot]) -> list[Declared]:
    """Returns a space's parameters as hyperparameters."""
    return [
        (*_declared(slot), None if slot.place is None else (WHICH, [slot.place]))  # the chosen grid's own
        for slot in slots
    ]


def _declared(slot: Slot) -> tuple[str, Values]:
    """Returns the method of HyperParameters that declares a parameter, and its arguments."""
    name, dim = slot.name, slot.dimension
    if not dim.is_endless:
        if slot.is_ordered and len(dim) > 1:
            return "Int", {"name": name, "min_value": 0, "max_value": len(dim) - 1}
        return "Choice", {"name": name, "values": list(range(len(dim))), "ordered": False}
    low, high = dim.ends
    about = {"name": name, "min_value": low, "max_value": high, "sampling": "log" if dim.log else "linear"}
    return "Int" if dim.whole else "Float", about
