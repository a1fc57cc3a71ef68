"""Candidates drawn at random."""

from __future__ import annotations

from kerasgrid.config import SearchConfig
from kerasgrid.space import Space


def random(space: Space, search: SearchConfig):
    """Proposes `search.trials` candidates without repeats, with ParameterSampler's semantics."""
    yield space.sample(search.trials, search.seed)
