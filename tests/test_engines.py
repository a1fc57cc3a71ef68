"""Engines say which trials come next; they are deterministic, and take scores without minding them."""

from __future__ import annotations

import pytest

from kerasgrid.config import SearchConfig
from kerasgrid.engines import ENGINES, PLANNED
from kerasgrid.space import read_space

SPACE = read_space({"b": [1, 2, 3], "a": ["x", "y"], "c": [0.1, 0.2]})[0]


def proposals(name, **settings):
    engine = ENGINES[name](SPACE, SearchConfig(engine=name, **settings))
    proposed = list(next(engine))
    with pytest.raises(StopIteration):
        engine.send([None if place % 2 else 0.5 for place in range(len(proposed))])
    return proposed


def test_grid_proposes_the_whole_space_in_its_order():
    assert proposals("grid") == list(SPACE)
    assert proposals("grid")[:3] == [
        {"a": "x", "b": 1, "c": 0.1},
        {"a": "x", "b": 1, "c": 0.2},
        {"a": "x", "b": 2, "c": 0.1},
    ]


@pytest.mark.parametrize(("trials", "n"), [(1, 1), (5, 5), (12, 12), (100, 12)])
def test_trials_are_a_budget_for_grid_and_a_number_for_random(trials, n):
    assert proposals("grid", trials=trials) == list(SPACE)[:n]
    assert len(proposals("random", trials=trials)) == n


def test_random_is_seeded_repeats_nothing_and_a_larger_one_begins_alike():
    ten = proposals("random", trials=10, seed=0)
    assert proposals("random", trials=10, seed=0) == ten
    assert proposals("random", trials=10, seed=1) != ten
    assert proposals("random", trials=12, seed=0)[:10] == ten
    assert len({str(params) for params in ten}) == 10
    assert all(params in list(SPACE) for params in ten)


def test_what_is_planned_is_not_there_yet():
    assert set(PLANNED).isdisjoint(ENGINES)
