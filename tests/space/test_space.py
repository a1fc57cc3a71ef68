"""The space: counted, indexed and sampled in scikit-learn's order, whatever its size."""

from __future__ import annotations

import math
import time
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import ParameterGrid

from kerasgrid.io import canonical_json, digest
from kerasgrid.space.dimensions import Choice, Range
from kerasgrid.space.reading import read_space
from kerasgrid.space.space import Space

values = st.one_of(st.integers(-5, 5), st.text("ab", max_size=2), st.booleans(), st.none(), st.just([1, 2]))
choices = st.lists(values, min_size=1, max_size=4, unique_by=canonical_json).map(lambda v: Choice(tuple(v)))
ranges = st.builds(
    lambda low, steps, step: Range(low, low + steps * step, step, whole=True),
    st.integers(-9, 9),
    st.integers(0, 3),
    st.integers(1, 4),
)
grids = st.dictionaries(st.text("xyz.", min_size=1, max_size=3), choices | ranges, max_size=4)
spaces = st.lists(grids, min_size=1, max_size=3).map(Space)


def space_of(raw):
    space, faults = read_space(raw)
    assert faults == []
    return space


def text_of(params):
    return canonical_json(params)


@given(spaces)
def test_the_order_is_that_of_scikit_learns_parameter_grid(space):
    peer = ParameterGrid([{name: list(dim.values) for name, dim in grid.items()} for grid in space.grids])
    assert [dict(sorted(params.items())) for params in peer] == list(space)
    assert len(peer) == len(space) == space.size
    assert [peer[i] for i in range(len(peer))] == [space[i] for i in range(len(space))]


@given(spaces)
def test_indexing_enumerates_every_candidate_and_from_the_end_too(space):
    listed = [space[i] for i in range(space.size)]
    assert list(map(text_of, listed)) == list(map(text_of, space))
    assert text_of(space[-1]) == text_of(listed[-1])
    for outside in (space.size, -space.size - 1):
        with pytest.raises(IndexError, match=f"the space has {space.size} candidates"):
            space[outside]


@given(grids.map(lambda grid: Space([grid])))
def test_a_grid_holds_no_candidate_twice(space):
    assert len({text_of(params) for params in space}) == space.size


@given(spaces, st.integers(0, 3), st.integers(1, 12), st.integers(0, 12))
def test_a_sample_begins_like_a_shorter_one_and_repeats_nothing(space, seed, n, more):
    short, long = space.sample(n, seed), space.sample(n + more, seed)
    assert long[: len(short)] == short
    assert len(short) == min(n, len({digest(params) for params in space}))
    places = list(map(text_of, space))
    drawn = list(map(text_of, long))
    assert all(drawn.count(text) <= places.count(text) for text in drawn)


@given(grids.map(lambda grid: Space([grid])), st.integers(0, 3))
def test_a_sample_as_large_as_the_space_is_the_whole_of_it(space, seed):
    assert sorted(map(text_of, space.sample(space.size + 3, seed))) == sorted(map(text_of, space))


@given(st.integers(0, 5), st.integers(1, 30), st.integers(0, 20))
def test_a_sample_of_an_endless_space_begins_like_a_shorter_one(seed, n, more):
    space = space_of(
        {
            "a": {"low": 1e-4, "high": 1e-2, "log": True},
            "b": {"low": 1, "high": 5, "type": "int"},
            "c": {"low": 0.1, "high": 0.5, "step": 0.2},
            "d": ["x", "y"],
        }
    )
    short, long = space.sample(n, seed), space.sample(n + more, seed)
    assert long[:n] == short
    assert len({text_of(params) for params in long}) == n + more
    for params in long:
        assert 1e-4 <= params["a"] <= 1e-2
        assert (type(params["b"]), 1 <= params["b"] <= 5) == (int, True)
        assert (params["c"] in (0.1, 0.3, 0.5), params["d"] in ("x", "y")) == (True, True)
        assert list(params) == ["a", "b", "c", "d"]


def test_zero_is_a_seed_and_seeds_differ():
    space = space_of({"a": list(range(50))})
    samples = [space.sample(20, seed) for seed in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]


def test_whole_ranges_that_hold_too_few_give_what_they_hold():
    space = space_of({"a": {"low": 1, "high": 3, "type": "int"}})
    assert sorted(params["a"] for params in space.sample(10, 0)) == [1, 2, 3]


def test_every_whole_number_of_a_range_is_about_as_likely():
    space = space_of({"a": {"low": 1, "high": 4, "type": "int"}, "b": {"low": 0.5, "high": 0.6}})
    drawn = [params["a"] for params in space.sample(2000, 0)]
    assert all(400 < drawn.count(number) < 600 for number in (1, 2, 3, 4))


def test_a_log_range_is_even_in_its_exponents():
    drawn = [p["a"] for p in space_of({"a": {"low": 1e-4, "high": 1.5, "log": True}}).sample(2000, 0)]
    below = sum(value < math.sqrt(1e-4 * 1.5) for value in drawn)
    assert 900 < below < 1100


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"low": 0.1, "high": 0.5, "step": 0.1}, (0.1, 0.2, 0.3, 0.4, 0.5)),
        ({"low": 0.1, "high": 0.45, "step": 0.1}, (0.1, 0.2, 0.3, 0.4)),
        ({"low": 0, "high": 1, "step": 0.25}, None),
        ({"low": 0, "high": 1, "step": 0.25, "type": "float"}, (0.0, 0.25, 0.5, 0.75, 1.0)),
        ({"low": 2, "high": 9, "step": 3, "type": "int"}, (2, 5, 8)),
        ({"low": 1e-4, "high": 1e-1, "step": 10, "log": True}, (0.0001, 0.001, 0.01, 0.1)),
        ({"low": 16, "high": 200, "step": 2, "log": True, "type": "int"}, (16, 32, 64, 128)),
        ({"low": -0.3, "high": 0.3, "step": 0.3}, (-0.3, 0.0, 0.3)),
    ],
)
def test_the_values_of_a_range_are_those_that_one_would_write(spec, values):
    space, faults = read_space({"a": spec})
    if values is None:
        assert [fault.message.partition(",")[0] for fault in faults] == ["has whole bounds"]
        return
    found = space.grids[0]["a"].values
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@given(st.decimals("-10", "10", places=2), st.integers(1, 300), st.decimals("0.01", "1", places=2))
def test_a_range_includes_both_bounds(low, n_steps, step):
    high = low + n_steps * step
    found = Range(float(low), float(high), float(step))
    assert len(found) == n_steps + 1
    assert (found[0], found[n_steps]) == (float(low), float(high))
    assert found[1] == float(Decimal(str(float(low))) + step)


def test_a_space_of_more_candidates_than_len_can_tell_is_sampled_at_once():
    wide = {"low": 0.0, "high": 0.9, "step": 1e-6}
    space = space_of(dict.fromkeys("abcdefghij", wide))
    began = time.monotonic()
    sample = space.sample(200, 0)
    assert space.size == 900_001**10
    assert len({text_of(params) for params in sample}) == 200
    assert space[space.size - 1] == dict.fromkeys("abcdefghij", 0.9)
    assert space.cover() == [dict.fromkeys("abcdefghij", end) for end in (0.0, 0.9)]
    assert time.monotonic() - began < 5


def test_a_cover_holds_every_value_in_few_candidates():
    space = space_of(
        [
            {"a": [1, 2, 3], "b": ["x", "y"], "c": {"low": 0.1, "high": 0.5}},
            {"a": [1], "d": [[64], [32]]},
            {},
        ]
    )
    cover = space.cover()
    assert cover == [
        {"a": 1, "b": "x", "c": 0.1},
        {"a": 2, "b": "y", "c": 0.5},
        {"a": 3, "b": "x", "c": 0.1},
        {"a": 1, "d": [64]},
        {"a": 1, "d": [32]},
        {},
    ]
    assert (space.names, space.endless(), space.is_finite) == (["a", "b", "c", "d"], ["c"], False)
    assert space.values("a") == [1, 2, 3]


def test_a_list_of_spaces_is_their_union_in_order():
    space = space_of([{"optimizer": ["Adam"]}, {"optimizer": ["SGD"], "optimizer.momentum": [0.0, 0.9]}])
    assert list(space) == [
        {"optimizer": "Adam"},
        {"optimizer": "SGD", "optimizer.momentum": 0.0},
        {"optimizer": "SGD", "optimizer.momentum": 0.9},
    ]


def test_a_space_of_nothing_is_the_one_candidate_without_params():
    assert list(space_of({})) == [{}]


@pytest.mark.parametrize(
    ("values", "are_distinct"),
    [
        ([1, True], True),
        ([0, False], True),
        ([1, "1"], True),
        ([None, "null"], True),
        ([1, 1.0], False),
        ([1.5, 1.5], False),
        ([[1, 2], [1, 2]], False),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], False),
    ],
)
def test_which_values_count_as_repeated(values, are_distinct):
    assert (read_space({"a": values})[1] == []) is are_distinct


def test_faults_name_the_key_path_and_leave_the_rest():
    space, faults = read_space([{"a": [1], "b": []}, {"a": {"low": 1}, "c": [2]}])
    assert [fault.path for fault in faults] == ["space[0].b", "space[1].a.high"]
    assert list(space) == [{"a": 1}, {"c": 2}]


def test_values_stand_together_where_all_combinations_are_few():
    raw = {"a": [1, 2], "b": {"low": 0.1, "high": 0.5}, "switch": ["on", "off"]}
    wanted = [{"a": a, "b": b, "switch": s} for a in (1, 2) for b in (0.1, 0.5) for s in ("on", "off")]
    assert list(space_of(raw).together("switch")) == list(space_of(raw).together()) == wanted
    assert list(space_of([raw, {}]).together("switch")) == [*wanted, {}]


def test_every_value_stands_beside_every_value_of_the_switch_where_they_are_many():
    raw = {"a": list(range(70)), "b": list(range(60)), "switch": ["on", "off"]}
    found = list(space_of([raw, {"a": [1]}]).together("switch"))
    assert len(found) == 2 * 70 + 1
    for name in ("a", "b"):
        pairs = {(params[name], params["switch"]) for params in found[:-1]}
        assert pairs == {(value, switch) for value in raw[name] for switch in raw["switch"]}
    assert list(space_of(raw).together("other")) == list(space_of(raw).together()) == space_of(raw).cover()


# Conditions

CONDITIONAL = {
    "optimizer": ["SGD", "Adam", "RMSprop"],
    "optimizer.momentum": {"values": [0.5, 0.9], "when": {"optimizer": ["SGD", "RMSprop"]}},
    "optimizer.nesterov": {"values": [True, False], "when": {"optimizer": "SGD", "optimizer.momentum": 0.9}},
    "dropout": [0.1, 0.2],
}


def holds(params):
    """What the conditions above say, by hand."""
    has_momentum = params["optimizer"] != "Adam"
    has_nesterov = params["optimizer"] == "SGD" and params.get("optimizer.momentum") == 0.9
    return ("optimizer.momentum" in params) is has_momentum and (
        "optimizer.nesterov" in params
    ) is has_nesterov


def test_a_conditional_space_is_counted_indexed_and_listed():
    space, faults = read_space(CONDITIONAL)
    assert not faults
    listed = list(space)
    assert len(space) == len(listed) == 2 * (1 + 2 + 1 + 2)
    assert [space[index] for index in range(len(space))] == listed
    assert all(holds(params) for params in listed)
    assert len({str(params) for params in listed}) == len(listed)
    assert {digest(params) for params in space.sample(100, 0)} == {digest(params) for params in listed}
    assert space.values("optimizer.momentum") == [0.5, 0.9]


def test_a_condition_may_name_a_range_with_a_step_and_numbers_are_equal_however_written():
    given = {
        "layers": {"low": 1, "high": 3, "step": 1, "type": "int"},
        "units": {"values": [8, 16], "when": {"layers": [2.0, 3]}},
    }
    space, faults = read_space(given)
    assert not faults
    assert list(space) == [
        {"layers": 1},
        *({"layers": n, "units": units} for n in (2, 3) for units in (8, 16)),
    ]


def test_what_others_depend_on_is_drawn_first_where_candidates_cannot_be_counted():
    """One of four has the range: it is drawn in a quarter of the candidates, not in half of them."""
    rate = {"low": 0.1, "high": 0.9, "when": {"kind": "a"}}
    space, faults = read_space(
        {"kind": ["a", "b", "c", "d"], "rate": rate, "size": {"low": 0.1, "high": 0.9}}
    )
    assert not faults
    drawn = space.sample(400, 0)
    assert len(drawn) == 400
    assert 0.15 < np.mean(["rate" in params for params in drawn]) < 0.35
    assert all(("rate" in params) is (params["kind"] == "a") for params in drawn)


def test_each_space_of_a_list_has_its_own_conditions():
    space, faults = read_space([{"x": [1]}, {"y": [1, 2], "z": {"values": [3], "when": {"y": 2}}}])
    assert not faults
    assert list(space) == [{"x": 1}, {"y": 1}, {"y": 2, "z": 3}]
    assert space.places == (0, 1, 1)


def test_faults_of_values_and_of_conditions_are_told_together_and_nothing_follows_from_them():
    _, faults = read_space(
        {
            "dropout": {"values": [0.1, 0.2], "weights": [1]},
            "optimizer": ["Adam", "SGD"],
            "optimizer.momentum": {"values": [0.9], "when": {"optimizer": "sgd"}},
        }
    )
    assert len(faults) == 2
    assert any("weights" in str(fault) for fault in faults)
    assert any("sgd" in str(fault) for fault in faults)


def test_a_space_is_true_whatever_its_size():
    assert read_space({"x": {"low": 0.5, "high": 1.5}})[0]
    assert read_space({f"p{i}": list(range(100)) for i in range(10)})[0]


def test_conditions_that_make_too_many_grids_are_refused():
    switches = {f"s{i}": [True, False] for i in range(20)}
    children = {f"c{i}": {"values": [1, 2], "when": {f"s{i}": [True]}} for i in range(20)}
    _, faults = read_space({**switches, **children})
    assert ["has conditions that make over 10,000 grids" in str(fault) for fault in faults] == [True]
