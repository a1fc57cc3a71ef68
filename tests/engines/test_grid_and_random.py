"""Grid and random: all candidates of a space, or some of them."""

from __future__ import annotations

import pytest

from kerasgrid.config.sections import SearchConfig
from kerasgrid.engines import ENGINES, Task
from kerasgrid.space.reading import read_space

SPACE = {"b": [1, 2, 3], "a": ["x", "y"], "c": [0.1, 0.2]}


def proposals(name, **settings):
    task = Task(read_space(SPACE)[0], SearchConfig(engine=name, **settings), lambda params: 9, 3)
    engine = ENGINES[name].run(task)
    proposed = list(next(engine).candidates)
    with pytest.raises(StopIteration):
        engine.send([None if place % 2 else 0.5 for place in range(len(proposed))])
    return proposed


def test_grid_proposes_the_whole_space_in_its_order():
    whole = list(read_space(SPACE)[0])
    assert proposals("grid") == whole
    assert proposals("grid")[:3] == [
        {"a": "x", "b": 1, "c": 0.1},
        {"a": "x", "b": 1, "c": 0.2},
        {"a": "x", "b": 2, "c": 0.1},
    ]


@pytest.mark.parametrize(("trials", "n"), [(1, 1), (5, 5), (12, 12), (100, 12)])
def test_trials_are_a_budget_for_grid_and_a_number_for_random(trials, n):
    assert proposals("grid", trials=trials) == list(read_space(SPACE)[0])[:n]
    assert len(proposals("random", trials=trials)) == n


def test_a_larger_number_of_random_candidates_begins_alike():
    assert proposals("random", trials=12)[:10] == proposals("random", trials=10)
