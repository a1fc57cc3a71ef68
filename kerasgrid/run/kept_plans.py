"""Packs that were planned, as the journal has them, so that a later session trains the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerasgrid.records import Graph, Job, Pack
from kerasgrid.run.state import RunState


def plan_record(pack: Pack) -> dict[str, Any]:
    """Returns what is journalled of a pack."""
    until = {} if pack.until is None else {"until": pack.until}
    return {
        "jobs": [list(job.id) for job in pack.jobs],
        "graph": pack.graphs[0].key,
        "width": pack.width,
        "shares": pack.shares,
        **until,
    }


class KeptPlans:
    """The packs of a run, in the order in which they were planned."""

    def __init__(self) -> None:
        self._records: list[Mapping[str, Any]] = []

    def take(self, record: Mapping[str, Any], state: RunState) -> None:
        """Takes a pack, and tells the state which of its jobs are read off which run."""
        self._records.append(record)
        if record["shares"]:
            for run in Pack(_jobs(record, state), shares=True).runs:
                owner = state.runs.get(run[0].id, run[0].id)  # of a run of which a part has ended
                for job in run:
                    state.runs.setdefault(job.id, owner)

    def packs(self, state: RunState, graphs: Mapping[int, Graph], until: int | None) -> list[Pack]:
        """Returns the packs that were to wait after an epoch and whose graphs are still these.

        Args:
            state: The run's.
            graphs: By trial, of those that are asked for.
            until: The epoch; None for packs that wait nowhere.
        """
        found = []
        for record in self._records:
            if record.get("until") != until:
                continue
            jobs = _jobs(record, state)
            known = [graphs.get(job.trial.id) for job in jobs]
            # A trial that is not asked for is done; its place in the pack is taken out by who asks.
            if any(graph is not None and graph.key != record["graph"] for graph in known):
                continue
            filled = tuple(graph or Graph(record["graph"]) for graph in known)
            found.append(Pack(jobs, filled, record["width"], record["shares"], until=until))
        return found


def _jobs(record: Mapping[str, Any], state: RunState) -> tuple[Job, ...]:
    return tuple(Job(state.trials[trial], fold, repeat) for trial, fold, repeat in record["jobs"])
