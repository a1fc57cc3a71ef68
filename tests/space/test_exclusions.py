"""Conditions over parameters, and spaces without what they exclude: counted, indexed, drawn."""

from __future__ import annotations

import itertools
import json

import pytest
from asking import candidates, run
from hypothesis import given
from hypothesis import strategies as st

from kerasgrid.engines.translation import Translation
from kerasgrid.space import exclusions
from kerasgrid.space.dimensions import Range
from kerasgrid.space.exclusions import Expression, ExpressionError
from kerasgrid.space.reading import read_space

PARAMS = {"a": 2, "b": "x", "optimizer.momentum": 0.9, "flag": True, "none": None, "units 0": [8, 16]}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a == 2", True),
        ("a == 2.0 and b == 'x'", True),
        ("1 < a < 3", True),
        ("1 < a < 2", False),
        ("a in [1, 2] or nothing", True),
        ("b not in ('y', 'z')", True),
        ("not (a % 2 == 0)", False),
        ("-a + 2 * 3 // 4 <= -1", True),
        ("optimizer.momentum > 0.8", True),
        ("flag == true and flag", True),
        ("flag == 1", False),  # a switch is no number
        ("none == null", True),
        ("none > 1 or none + 1 > 1", False),  # nothing is known of it
        ("`units 0` == [8, 16]", True),
        ("absent > 1", False),
        ("not absent > 1", False),
        ("absent > 1 or a == 2", True),
        ("absent > 1 and a == 2", False),
        ("not (absent > 1 and a == 3)", True),
        ("absent in [1]", False),
        ("a == 2 or 4 / 0 > 1", True),  # what comes after what decides is not worked out
        ("a == 1 and 4 / 0 > 1", False),
        ("3 < a < 1 / 0", False),
        ("b == '`x`'", False),  # no name within a text
        ("b != '`x`' and `units 0` != [8]", True),
    ],
)
def test_a_condition_holds_or_not(text, holds):
    assert Expression(text)(PARAMS) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a >", "cannot be read"),
        ("", "cannot be read"),
        ("a = 1", "cannot be read"),
        ("(" * 300 + "a" + ")" * 300, "cannot be read"),
        ("a == 1 " * 1000, "7,000 characters"),
        ("__import__('os').system('true')", 'holds "__import__'),
        ("a.__class__()", "comparisons"),
        ("b[0] == 'x'", "comparisons"),
        ("(lambda: 1)() == 1", "comparisons"),
        ("[x for x in (1, 2)]", "comparisons"),
        ("a ** 99999 > 1", "comparisons"),
        ("f'{a}' == '2'", "comparisons"),
        ("a is 2", "comparisons"),
        ("~a == 1", "comparisons"),
        ("a == 1j", "1j"),
        ("a == b'x'", "numbers, quoted texts"),
        ("a == 1e400", "holds a number above 1e+300"),
        ("a == 1" + "0" * 400, "holds a number above 1e+300"),
    ],
)
def test_what_is_no_condition_is_refused(text, message):
    with pytest.raises(ExpressionError) as error:
        Expression(text)
    assert message in str(error.value)


def test_what_is_nested_too_deep_is_refused_when_read_or_worked_out():
    """Python's own parser has another bound in each version."""
    with pytest.raises(ExpressionError, match=r"cannot be (read|worked out)"):
        Expression("-" * 900 + "a == 1")({"a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a < b", "compares 2 and 'x' by size"),
        ("a", "takes 2 for true or false"),
        ("b * 1000000 == 'x'", "takes 'x' for a number"),
        ("a / 0 > 1", "division by zero"),
        ("a in b", "a list such as [1, 2] holds"),
        ("flag < 2", "compares True and 2"),
        ("a * 1e300 * 1e300 == 1", "cannot be worked out"),
    ],
)
def test_what_cannot_be_worked_out_is_told(text, message):
    with pytest.raises(ExpressionError) as error:
        Expression(text)(PARAMS)
    assert message in str(error.value)


C = {"low": 0, "high": 4, "step": 1, "type": "int"}
SPACE = {"a": [1, 2, 3], "b": ["x", "y", None], "c": C, "d": [True, "on"], "e": [1, "1"]}
CONDITIONS = [
    "a > 1 and b == 'x'",
    "c % 2 == 0 or c == a",
    "b == null",
    "not (c < 4 or a != 1)",
    "d == true",
    "a == 2 and c in [0, 1] and d == 'on' and e == 1",
]


@given(st.lists(st.sampled_from(CONDITIONS), unique=True))
def test_what_is_left_is_what_no_condition_excludes(conditions):
    whole = list(read_space(SPACE)[0])
    left = [params for params in whole if not any(Expression(text)(params) for text in conditions)]
    space, faults = read_space(SPACE, conditions)
    assert not faults
    found = [json.dumps(params) for params in space]
    assert sorted(found) == sorted(json.dumps(params) for params in left)
    assert len(space) == len(left)
    assert [json.dumps(space[i]) for i in range(len(space))] == found
    assert sorted(json.dumps(params) for params in space.sample(999, 0)) == sorted(found)


def test_a_conditional_parameter_is_excluded_where_it_is_there():
    raw = {"a": [1, 2], "m": {"values": [0, 1], "when": {"a": 1}}}
    assert list(read_space(raw, ["m == 0"])[0]) == [{"a": 1, "m": 1}, {"a": 2}]


def test_what_is_fixed_can_be_named():
    assert list(read_space({"a": [1, 2]}, ["a > limit"], {"limit": 1})[0]) == [{"a": 1}]


def test_a_huge_space_is_counted_and_indexed_without_being_listed():
    raw = {f"p{i}": list(range(100)) for i in range(6)}
    space, faults = read_space(raw, ["p0 + p1 > 100"])
    assert not faults
    allowed = sum(i + j <= 100 for i, j in itertools.product(range(100), repeat=2))
    assert space.size == allowed * 100**4
    assert all(params["p0"] + params["p1"] <= 100 for params in space.sample(50, 0))
    assert space[space.size - 1]["p5"] == 99


def test_all_faults_at_once():
    _, faults = read_space(SPACE, ["q == 1", "a >", "b == 1 and Adam", "a < b", "a + c > 1"])
    assert [fault.path for fault in faults] == ["exclude[0]", "exclude[1]", "exclude[2]", "exclude[3]"]
    assert "Known: a, b, c, d, e." in faults[0].message
    _, faults = read_space({name: list(range(100)) for name in "abc"}, ["a + b == c"])
    assert "1,000,000 combinations; at most 100,000 hold" in faults[0].message
    _, faults = read_space({"a": [1, 2]}, ["a < 9"])
    assert faults[0].message == "leaves no candidate: every one is excluded."


def test_faults_of_exclude_are_told_beside_those_of_space():
    _, faults = read_space({"a": [], "b": [1, 2]}, ["q == 1", "a >", "a == 1"])
    assert [fault.path for fault in faults] == ["space.a", "exclude[0]", "exclude[1]"]


def test_conditions_that_part_a_space_into_too_many_grids_are_refused():
    names = "abcdefghij"
    conditions = [f"{a} > {b}" for a, b in zip(names[::2], names[1::2], strict=True)]
    _, faults = read_space({name: list(range(7)) for name in names}, conditions)
    assert [fault.path for fault in faults] == ["exclude[4]"]
    assert "more than 10,000 grids" in faults[0].message


def test_conditions_that_are_tried_of_too_many_combinations_are_refused(monkeypatch):
    monkeypatch.setattr(exclusions, "MAX_EFFORT", 50_000)
    space = {name: list(range(40)) for name in "abcd"}
    _, faults = read_space(space, ["a + b > 90", "b + c > 90", "c + d > 90", "a + d > 90"])
    assert [fault.path for fault in faults] == ["exclude[2]", "exclude[3]"]
    assert "takes more combinations of values than can be tried" in faults[0].message


def test_a_condition_is_worked_out_once_for_all_the_grids_that_others_have_made(monkeypatch):
    asked = []
    work_out = Expression.__call__
    monkeypatch.setattr(Expression, "__call__", lambda self, given: asked.append(1) or work_out(self, given))
    space, faults = read_space(
        {name: list(range(30)) for name in "abcd"}, ["a + b > 30", "b + c > 30", "c > d"]
    )
    assert not faults
    assert len(asked) == 3 * 900
    assert space.size == sum(
        a + b <= 30 and b + c <= 30 and c <= d for a, b, c, d in itertools.product(range(30), repeat=4)
    )
    assert len(space.grids) > 256
    assert all(p["a"] + p["b"] <= 30 and p["c"] <= p["d"] for p in space.cover(16))


def test_ranges_are_left_out_of_as_lists_are():
    """Their values are other objects each time that they are asked for."""
    steps = {"low": 0.1, "high": 2.0, "step": 0.1}
    conditions = ["a + b > 2", "b * c > 3", "a * c > 2"]
    space, faults = read_space({"a": steps, "b": steps, "c": [1, 2, 3]}, conditions)
    assert not faults
    values = [round(0.1 * place, 1) for place in range(1, 21)]
    wanted = {
        (a, b, c)
        for a, b, c in itertools.product(values, values, (1, 2, 3))
        if not (a + b > 2 or b * c > 3 or a * c > 2)
    }
    assert {(p["a"], p["b"], p["c"]) for p in space} == wanted
    assert space.size == len(wanted)


@pytest.mark.parametrize("exclude", ["rate > 0", "rate < 1 or optimizer == 'SGD'"])
def test_nothing_left_of_a_range_without_a_step_is_told(exclude):
    _, faults = read_space(RATE, [exclude])
    assert [(fault.path, fault.message[:20]) for fault in faults] == [("exclude", "leaves no candidate:")]


def test_a_cover_without_what_is_excluded_is_drawn():
    """Both ends of the range are excluded, which are all that it would have had of it."""
    space, faults = read_space(RATE, ["rate < 0.001 or rate > 0.01"])
    assert not faults
    assert len(space.cover()) == 2
    assert all(0.001 <= params["rate"] <= 0.01 for params in space.cover())


def test_values_that_do_not_go_together_are_told_beside_a_range_without_a_step():
    _, faults = read_space({**RATE, "m": [0.1, "x"]}, ["m < rate"])
    assert "compares 'x'" in faults[0].message


def test_grids_that_overlap_are_drawn_from_without_repeats():
    space = read_space([{"a": [1, 2, 3]}, {"a": [2, 3, 4]}])[0]
    assert sorted(params["a"] for params in space.sample(99, 0)) == [1, 2, 3, 4]
    assert space.sample(2, 0) == space.sample(4, 0)[:2]


RATE = {"rate": {"low": 1e-4, "high": 1e-1, "log": True}, "optimizer": ["SGD", "Adam"]}


def test_a_range_without_a_step_is_drawn_without_what_is_excluded():
    space, faults = read_space(RATE, ["rate > 0.01 and optimizer == 'SGD'"])
    assert not faults
    drawn = space.sample(60, 0)
    assert len(drawn) == 60
    assert drawn[:9] == space.sample(9, 0)
    of_sgd = [params["rate"] for params in drawn if params["optimizer"] == "SGD"]
    assert of_sgd
    assert max(of_sgd) <= 0.01
    assert max(params["rate"] for params in drawn) > 0.01
    assert all(map(space.allows, space.cover()))


def test_optuna_leaves_out_what_is_excluded():
    pytest.importorskip("optuna", reason="kerasgrid[optuna] is not installed")
    exclude = ["rate > 0.001 and optimizer == 'SGD'"]
    made = run("tpe", RATE, exclude=exclude, score=lambda params: params["rate"], trials=15)
    assert len(candidates(made)) == 15
    assert all(map(read_space(RATE, exclude)[0].allows, candidates(made)))


@pytest.mark.parametrize(
    "more", [{"x": {"low": 0.5, "high": 1.5}}, {f"p{i}": list(range(100)) for i in range(10)}]
)
def test_the_whole_of_a_space_without_a_length_is_undivided_too(more):
    """A Space is a sequence: one that cannot be counted is empty, and one of 10^20 has no len()."""
    space, faults = read_space({"a": list(range(6)), "b": list(range(6)), **more}, ["a + b > 6"])
    assert not faults
    assert len(space.grids) > 1
    assert len(space.whole.grids) == 1
    assert not space.whole.allows({"a": 5, "b": 5})


def test_optuna_knows_a_parameter_as_one_whatever_is_excluded():
    """Each part of what is left would be a parameter of its own, of which it would learn by itself."""
    space = read_space({"a": list(range(6)), "b": list(range(6))}, ["a + b > 6"])[0]
    assert len(space.grids) > 1
    assert [slot.name for slot in Translation(space.whole).slots] == ["a", "b"]
    pytest.importorskip("optuna", reason="kerasgrid[optuna] is not installed")
    raw, left = {"a": list(range(6)), "b": list(range(6))}, len(space)
    found = candidates(run("tpe", raw, exclude=["a + b > 6"], score=lambda params: params["a"], trials=99))
    assert len({json.dumps(params) for params in found}) == len(found) == left


# Weights


def test_weights_are_how_often_a_value_is_drawn():
    raw = {"o": {"values": ["SGD", "Adam"], "weights": [1, 9]}, "x": {"low": 0.5, "high": 1.5}}
    drawn = read_space(raw)[0].sample(500, 0)
    assert 420 <= sum(params["o"] == "Adam" for params in drawn) <= 480


def test_weights_of_a_finite_space_repeat_nothing_and_leave_nothing_out():
    raw = {"o": {"values": ["SGD", "Adam"], "weights": [1, 1e6]}, "x": [1, 2, 3, 4]}
    space = read_space(raw)[0]
    drawn = space.sample(99, 0)
    assert [params["o"] for params in drawn] == ["Adam"] * 4 + ["SGD"] * 4
    assert sorted(params["x"] for params in drawn) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert space.sample(3, 0) == drawn[:3]
    assert space.sample(6, 0) == drawn[:6]


def test_weights_hold_where_others_depend_on_their_parameter():
    raw = {
        "o": {"values": ["SGD", "Adam", "RMSprop"], "weights": [1, 1, 8]},
        "m": {"low": 0.1, "high": 0.9, "when": {"o": ["SGD", "RMSprop"]}},
        "x": {"low": 0.5, "high": 1.5},
    }
    space, faults = read_space(raw, ["o == 'Adam' and x > 2"])
    assert not faults
    drawn = [params["o"] for params in space.sample(400, 0)]
    assert 290 <= drawn.count("RMSprop") <= 350
    assert 20 <= drawn.count("SGD") <= 60


@pytest.mark.parametrize("weights", [[1], [1, 0], [1, -1], [1, "x"], [1, True], [1, float("inf")], 3, {}])
def test_weights_that_do_not_hold(weights):
    _, faults = read_space({"o": {"values": ["SGD", "Adam"], "weights": weights}})
    assert [fault.path for fault in faults] == ["space.o"]
    assert "2 numbers above 0, one for each value, hold" in faults[0].message


def test_ranges_have_shares_too():
    dim = Range(1, 4, 1, whole=True)
    assert dim.share([1, 2]) == 0.5
    assert dim.part([1, 2]).values == (1, 2)
