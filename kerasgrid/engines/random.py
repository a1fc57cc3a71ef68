"""Candidates drawn at random."""

from __future__ import annotations

from kerasgrid.engines.base import Engine, Proposal, Task


def random(task: Task) -> Engine:
    """Proposes `search.trials` candidates without repeats, with ParameterSampler's semantics."""
    yield Proposal(task.space.sample(task.n_trials, task.search.seed))
