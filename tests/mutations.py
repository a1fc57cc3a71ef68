"""How many mutations tests of damaged input try, each by its seed, from 0 on: fewer are a part of more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

N_MUTATIONS = int(os.environ.get("KERASGRID_TEST_MUTATIONS", "300"))


@contextmanager
def of_seed(seed: int) -> Iterator[None]:
    """Lets a failure name the seed of its mutation."""
    try:
        yield
    except Exception as error:
        error.add_note(f"of the mutation with seed {seed}")
        raise
