"""From jobs to packs: candidates' graphs are asked of workers, and the planner is told what holds here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kerasgrid import executors
from kerasgrid.checks import Prepared, callbacks_of
from kerasgrid.io import digest
from kerasgrid.planning import Plan, plan
from kerasgrid.records import Graph, Job, ProbeRecord, Trial
from kerasgrid.training.recipe import Recipe
from kerasgrid.training.routing import goes_to_model, route
from kerasgrid.workers import run_probes


class Graphs:
    """The graphs of candidates, each distinct one asked of a worker once.

    Args:
        prepared: The search.
        recipe: What workers are told.
        executor: The workers.
    """

    def __init__(self, prepared: Prepared, recipe: Recipe, executor: executors.Executor) -> None:
        self._recipe, self._executor = recipe, executor
        signature = prepared.signature
        # What no graph depends on, where the model function is not given it.
        self._left_out = {name for name in ("epochs", "learning_rate") if not goes_to_model(name, signature)}
        self._known: dict[str, Graph] = {}

    def take(self, records: Iterable[ProbeRecord]) -> None:
        """Takes what earlier probes have shown."""
        for record in records:
            self._known[self._identity(record.params)] = record.graph or Graph(None)

    def of(self, trials: Iterable[Trial]) -> dict[int, Graph]:
        """Returns the graph of each trial, by its id; empty where packs are off."""
        trials = list(trials)
        if not self._recipe.packs:
            return {}
        wanted = {self._identity(trial.params): trial.params for trial in trials}
        unknown = [params for identity, params in wanted.items() if identity not in self._known]
        self.take(run_probes(self._recipe, self._executor, unknown))
        return {trial.id: self._known.get(self._identity(trial.params), Graph(None)) for trial in trials}

    def _identity(self, params: Mapping[str, Any]) -> str:
        return digest({name: value for name, value in params.items() if name not in self._left_out})


def make_plan(prepared: Prepared, jobs: Sequence[Job], graphs: Mapping[int, Graph], n_workers: int) -> Plan:
    """Returns the plan for some jobs of a search."""
    config = prepared.config
    written = callbacks_of(config)

    def epochs(job: Job) -> int:
        return route({**config.params, **job.trial.params}, prepared.signature, written).epochs

    width = config.training.pack
    return plan(
        jobs,
        graphs,
        epochs=epochs,
        n_workers=n_workers,
        width=width if isinstance(width, int) else 1,
        not_shared=_not_shared(prepared, jobs) if any(graph.key for graph in graphs.values()) else None,
    )


def _not_shared(prepared: Prepared, jobs: Sequence[Job]) -> str | None:
    """Returns why a run must not be read at several epochs; None where it may, or none would be."""
    if len({job.trial.key for job in jobs}) == len({job.trial.id for job in jobs}):
        return None
    if goes_to_model("epochs", prepared.signature):
        return "the model function is given epochs"
    config = prepared.config
    name = "callbacks.early_stopping.restore_best_weights"
    given = [callbacks_of(config).get("early_stopping", {}).get("restore_best_weights", False)]
    given += [
        params[name] for params in (config.params, *(job.trial.params for job in jobs)) if name in params
    ]
    return "early_stopping restores the best weights of the whole run" if any(given) else None
