"""Every candidate of the space."""

from __future__ import annotations

from itertools import islice

from kerasgrid.config import SearchConfig
from kerasgrid.space import Space


def grid(space: Space, search: SearchConfig):
    """Proposes all candidates in the order of scikit-learn's ParameterGrid, at most `search.trials`."""
    yield list(islice(space, search.trials))
