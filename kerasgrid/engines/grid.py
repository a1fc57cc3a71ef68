"""Every candidate of the space, or some drawn at random."""

from __future__ import annotations

from itertools import islice

from kerasgrid.engines.base import Engine, Proposal, Task


def grid(task: Task) -> Engine:
    """Proposes all candidates in the order of scikit-learn's ParameterGrid, at most `search.trials`."""
    yield Proposal(list(islice(task.space, task.search.trials)))


def random(task: Task) -> Engine:
    """Proposes `search.trials` candidates without repeats, with ParameterSampler's semantics."""
    yield Proposal(task.space.sample(task.n_trials, task.search.seed))
