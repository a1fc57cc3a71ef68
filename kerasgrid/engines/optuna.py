"""Optuna's TPE and Gaussian process samplers, by ask and tell.

They may propose a candidate again: it is answered with its score, and is no new trial.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import count
from typing import Any

from kerasgrid.engines.ask_and_tell import AskedProcess, Values
from kerasgrid.engines.base import Engine, Proposal, Task
from kerasgrid.engines.translation import WHICH, Slot, Translation
from kerasgrid.io import digest
from kerasgrid.space.space import Params

MAX_REPEATS = 5
"""Proposals in a row that are known already, after which a candidate is drawn at random."""


def sampler(kind: str) -> Callable[[Task], Engine]:
    """Returns the engine of a sampler, by its class in optuna.samplers.

    TPE is multivariate and groups conditional parameters (Bergstra et al. 2011; Falkner et al. 2018).
    """

    def run(task: Task) -> Engine:
        whole = task.space.whole  # undivided by what is left out, so that a parameter is one and not several
        translated = Translation(whole)
        most = min(task.n_trials, task.space.size) if task.space.is_finite else task.n_trials
        known: dict[str, float | None] = {}
        with AskedProcess(Study, kind, task.search.seed, translated.slots) as asked:
            while len(known) < most:
                new: dict[str, tuple[str, Params]] = {}
                n_wanted, n_repeats = min(task.search.proposals, most - len(known)), 0
                while len(new) < n_wanted:
                    if n_repeats > MAX_REPEATS:
                        other = task.untried({*known, *new}, 1)
                        if not other:
                            break
                        asked.enqueue(translated.values(other[0]))
                    [(id_, values)] = asked.ask(1)
                    params = translated.params(values)
                    key = digest(params)
                    if key in known or key in new or not whole.allows(params):
                        asked.tell(id_, known.get(key))
                        n_repeats += 1
                    else:
                        new[key] = id_, params
                        n_repeats = 0
                if not new:
                    break
                scores = yield Proposal([params for _, params in new.values()])
                for (key, (id_, _)), score in zip(new.items(), scores, strict=True):
                    known[key] = score
                    asked.tell(id_, score)

    return run


class Study:
    """An Optuna study that is asked and told.

    Args:
        kind: The name of the sampler's class.
        seed: 0 is a seed.
        slots: The parameters; listed ones are known by the places of their values.
    """

    library = "Optuna"

    def __init__(self, kind: str, seed: int, slots: list[Slot]) -> None:
        import optuna

        if kind == "GPSampler":
            import torch  # noqa: F401  Optuna would tell only after the first ten trials

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        own = {"group": True, "multivariate": True} if kind == "TPESampler" else {}
        made = getattr(optuna.samplers, kind)(seed=seed, **own)
        self.study = optuna.create_study(direction="maximize", sampler=made)
        self.slots = slots
        self.running: dict[str, Any] = {}
        self._ids = map(str, count())

    def ask(self, n: int) -> list[tuple[str, Values]]:
        """Returns `n` proposals, an id and values each."""
        return [self._ask() for _ in range(n)]

    def _ask(self) -> tuple[str, Values]:
        trial, id_ = self.study.ask(), next(self._ids)
        values: Values = {}
        for slot in self.slots:
            if slot.place in (None, values.get(WHICH)):
                values[slot.name] = _suggest(trial, slot)
        self.running[id_] = trial
        return id_, values

    def enqueue(self, values: Values) -> None:
        """Makes these values the next proposal."""
        self.study.enqueue_trial(values)

    def tell(self, id_: str, score: float | None) -> None:
        """Takes the score of a proposal, higher is better; None for a failure."""
        from optuna.trial import TrialState

        state = TrialState.FAIL if score is None else TrialState.COMPLETE
        self.study.tell(self.running.pop(id_), score, state=state)


def _suggest(trial: Any, slot: Slot) -> Any:
    dim = slot.dimension
    if not dim.is_endless:
        if slot.is_ordered:
            return trial.suggest_int(slot.name, 0, len(dim) - 1)
        return trial.suggest_categorical(slot.name, range(len(dim)))
    suggest = trial.suggest_int if dim.whole else trial.suggest_float
    return suggest(slot.name, *dim.ends, log=dim.log)
