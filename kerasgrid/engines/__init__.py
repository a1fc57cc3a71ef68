"""Engines say which trials come next.

An engine is a generator: it yields a sequence of params, is sent their scores in the same order (a
float each, higher is better, None for a failed trial), and ends. It is deterministic given space,
settings and scores, so that a search resumes by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from kerasgrid.config import SearchConfig
from kerasgrid.engines.grid import grid
from kerasgrid.engines.random import random
from kerasgrid.space import Params, Space

Engine = Generator[Sequence[Params], list[float | None], None]

ENGINES: dict[str, Callable[[Space, SearchConfig], Engine]] = {"grid": grid, "random": random}
PLANNED = ("halving", "bayesian", "hyperband")
