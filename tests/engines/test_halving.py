"""Halving: who goes on at a rung, on which folds, and who is given up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from asking import drive, run

from kerasgrid.config.sections import SearchConfig
from kerasgrid.engines import ENGINES, Task
from kerasgrid.engines.halving import far_behind, rungs
from kerasgrid.space.reading import read_space

SPACE = {"b": [1, 2, 3], "a": ["x", "y"], "c": [0.1, 0.2]}


def task(name, space=SPACE, n_folds=3, **settings):
    read, faults = read_space(space)
    assert not faults
    search = SearchConfig(engine=name, **settings)
    return Task(read, search, lambda params: params.get("epochs", 9), n_folds)


@pytest.mark.parametrize(
    ("longest", "factor", "least", "expected"),
    [
        (30, 3, None, [3, 10, 30]),
        (30, 3, 1, [1, 3, 10, 30]),
        (30, 3, 4, [10, 30]),
        (30, 3, 31, [30]),
        (27, 3, 3, [3, 9, 27]),
        (16, 2, None, [4, 8, 16]),
        (2, 3, None, [1, 2]),
        (1, 3, None, [1]),
        (1, 2, 1, [1]),
    ],
)
def test_rungs(longest, factor, least, expected):
    assert rungs(longest, factor, least) == expected


def halve(score, **settings):
    """Runs halving to its end with a function that scores a candidate's fold; returns the proposals."""

    def told(proposal):
        if (until := proposal.until) is None:
            return [0.5] * len(proposal.candidates)
        return [[score(c, fold, until) for fold in proposal.folds] for c in proposal.candidates]

    return drive(task("halving", **settings), told)


LINE = {"x": list(range(9))}


def test_the_best_go_on_and_the_others_are_dropped_once():
    made = halve(lambda c, fold, until: c["x"] + fold, space=LINE)
    assert [(p.until, p.folds) for p in made] == [(1, [0, 1]), (1, [2]), (3, [0, 1]), (3, [2]), (None, None)]
    assert [p["x"] for p in made[-1].candidates] == [8]
    dropped = [params["x"] for proposal in made for params in proposal.dropped]
    assert sorted(dropped) == list(range(8))
    for before, after in itertools.pairwise(made):
        assert all(params in before.candidates for params in after.dropped)
        assert not any(params in after.candidates for params in after.dropped)


def test_folds_are_used_early_where_a_candidate_is_clearly_behind():
    """Without noise between folds all that would be dropped are dropped after two of them."""
    made = halve(lambda c, fold, until: float(c["x"]), space=LINE)
    assert [len(p.candidates) for p in made] == [9, 3, 3, 1, 1]
    noise = np.random.default_rng(0).normal(size=(9, 3))
    made = halve(lambda c, fold, until: noise[c["x"], fold], space=LINE)
    assert len(made[1].candidates) > 5


def test_candidates_that_differ_in_epochs_alone_go_on_together():
    space = {"x": [1, 2, 3], "epochs": [4, 9]}
    made = halve(lambda c, fold, until: c["x"], space=space, factor=3)
    assert made[0].candidates == [{"epochs": e, "x": x} for x in (1, 2, 3) for e in (4, 9)]
    assert made[-1].candidates == [{"epochs": 4, "x": 3}, {"epochs": 9, "x": 3}]


def test_a_failed_candidate_is_out_and_dropped():
    made = halve(lambda c, fold, until: None if c["x"] == 8 else c["x"] + fold, space=LINE)
    assert {"x": 8} not in made[1].candidates
    assert {"x": 8} in made[1].dropped
    assert made[-1].candidates == [{"x": 7}]
    last = halve(lambda *_: None, space=LINE)[-1]
    assert (last.candidates, len(last.dropped)) == ([], 9)


def test_one_fold_is_halved_without_a_race():
    made = halve(lambda c, fold, until: c["x"], space=LINE, n_folds=1)
    assert [(p.until, len(p.candidates)) for p in made] == [(1, 9), (3, 3), (None, 1)]


def test_a_larger_space_than_trials_is_sampled():
    made = halve(lambda c, fold, until: 0.5, trials=4)
    assert len(made[0].candidates) == 4
    assert made[0].candidates == task("random").space.sample(4, 0)


def test_far_behind_takes_what_folds_have_in_common_out():
    """Folds differ by far more than candidates, and are the same for all of them."""
    folds = np.array([0.0, 10.0])
    scores = np.array([[1.0, 1.1], [1.05, 0.95], [0.97, 1.02], [0.2, 0.21]]) + folds
    assert far_behind(scores, 1) == [3]


def test_far_behind_errs_as_seldom_as_it_says():
    """Of candidates that are all alike, a given one is dropped in 5 of 100 races at most."""
    numbers = np.random.default_rng(0)
    equal = sum(0 in far_behind(numbers.normal(size=(10, 3)), 3) for _ in range(2000))
    assert equal / 2000 < 0.05


def test_the_outline_says_what_is_trained_at_most():
    outline = ENGINES["halving"].outline(task("halving", space=LINE | {"epochs": [15, 30]}))
    assert outline.lines[0].startswith("Rungs: 9 to epoch 3, 3 to epoch 10, 1 to epoch 30. Candidates that")
    assert outline.epochs == 3 * (9 * 3 + 3 * 7 + 1 * 30)  # the last leg anew, on all rows
    held = task("halving", space=LINE | {"epochs": [15, 30]}, val=0.1)
    assert ENGINES["halving"].outline(held).epochs == 3 * (9 * 3 + 3 * 7 + 1 * 20)
    assert "1,215" in outline.lines[1]


def test_one_candidate_that_is_left_waits_at_no_rung():
    few = {"dropout": [0.1, 0.2, 0.3]}
    assert ENGINES["halving"].outline(task("halving", few)).lines[0] == "Rungs: 3 to epoch 1, 1 to epoch 9."
    assert [proposal.until for proposal in run("halving", few)] == [1, 1, None]
    [only] = run("halving", {"dropout": [0.1]})
    assert only.until is None
