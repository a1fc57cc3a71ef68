"""Effects, interactions and importances of synthetic grids whose truth is known."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from kerasgrid.report.comparison import p_value
from kerasgrid.report.design import design_of
from kerasgrid.report.edges import edges_of
from kerasgrid.report.effects import effects_of, interactions_of, noise_of
from kerasgrid.report.findings import analyse
from kerasgrid.report.importance import importance_of
from kerasgrid.report.sentences import effect_sentences
from kerasgrid.tables.flat import records_table

GRID = {"a": [0, 1], "b": [0, 1], "c": [0, 1, 2], "d": [0, 1], "e": [0, 1]}


def table(score, grid=GRID, keep=lambda params: True):
    rows = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    rows = [{**params, "mean_test_score": score(params)} for params in rows if keep(params)]
    return records_table(rows, Path("grid.json"))


def truth(params):
    """Main effects of a (0.02) and c (0.01 a level), an interaction of a and b (0.03), none of d and e."""
    return 0.9 + 0.02 * params["a"] + 0.01 * params["c"] + 0.03 * params["a"] * params["b"]


def test_matched_pairs_count_wins_and_say_so():
    found = analyse(table(lambda params: truth(params) + 0.001 * ((params["d"] + params["e"]) % 2)))
    [effect] = found.effects["a"]
    assert (effect.better, effect.n_pairs, effect.wins, effect.ties) == (1, 24, 24, 0)
    assert effect.mean == pytest.approx(0.035)
    assert effect_sentences(found)["a"].startswith("a = 1 beats 0 in 24 of 24 matched pairs, by 0.035")
    assert "cannot be told" in effect_sentences(found)["d"]


def test_where_candidates_are_too_few_folds_tell_or_it_is_said_that_nothing_was_tested():
    def found(with_folds):
        numbers, rows = np.random.default_rng(0), []
        for a, b, c in itertools.product([0, 1], repeat=3):
            folds = 0.5 + 0.1 * a + numbers.normal(size=5) * 0.005
            columns = {f"split{fold}_test_score": own for fold, own in enumerate(folds)}
            given = {"param_a": a, "param_b": b, "param_c": c, "mean_test_score": folds.mean()}
            rows.append(given | (columns if with_folds else {}))
        return analyse(records_table(rows, Path("small.json")))

    said = effect_sentences(found(with_folds=True))
    assert said["a"].startswith("a = 1 beats 0 in 4 of 4 matched pairs, by 0.10")
    assert "b = 1 cannot be told from 0 (ahead in" in said["b"] or "b = 0 cannot be told from 1" in said["b"]
    said = effect_sentences(found(with_folds=False))
    assert said["a"].startswith("a = 1 is ahead of 0 in 4 of 4 matched pairs, by 0.")
    assert said["a"].endswith(" on average; too few candidates for an interval: not tested.")


def test_a_difference_that_is_a_rounding_error_is_none():
    folds = {0: (0.1, 0.7, 0.3), 1: (0.7, 0.3, 0.1)}  # whose sums differ in the last bit
    rows = [
        {"param_a": a, "mean_test_score": float(np.mean(own))}
        | {f"split{fold}_test_score": value for fold, value in enumerate(own)}
        for a, own in folds.items()
    ]
    said = effect_sentences(analyse(records_table(rows, Path("small.json"))))["a"]
    assert " 0.0 on average (-" in said


def test_an_interaction_that_overturns_an_effect_is_found_and_no_other():
    numbers = np.random.default_rng(1)

    def score(params):
        turned = 0.05 if params["b"] and params["a"] else 0.0
        return 0.9 - 0.01 * params["a"] + turned + numbers.normal() * 0.002

    design = design_of(table(score))
    noise = noise_of(design)
    effects = [effect for place in range(5) for effect in effects_of(design, place, noise)]
    found = interactions_of(design, effects, noise)
    assert {(one.effect.name, one.given) for one in found} == {("a", "b"), ("b", "a")}
    assert [one.overturns for one in found if one.effect.name == "a"] == [True]


def test_importances_of_a_full_grid_are_exact_and_those_of_trees_are_near():
    exact = importance_of(design_of(table(truth)))
    assert exact.is_exact
    parts = {"a": 0.035**2 / 4, "b": 0.015**2 / 4, "c": 0.01**2 * 2 / 3}
    total = sum(parts.values()) + 0.03**2 / 16
    for name, part in parts.items():
        assert exact.mains[name] == pytest.approx(part / total)
    assert exact.pairs["a", "b"] == pytest.approx(0.03**2 / 16 / total)
    assert exact.mains["d"] == pytest.approx(0, abs=1e-12)
    near = importance_of(design_of(table(truth, keep=lambda p: (p["a"], p["c"], p["e"]) != (1, 2, 1))))
    assert not near.is_exact
    assert near.mains["a"] == pytest.approx(exact.mains["a"], abs=0.1)
    assert near.mains["d"] < 0.02


def test_the_best_value_at_an_edge_names_what_to_try():
    grid = {"learning_rate": [0.001, 0.01], "dropout": [0.2, 0.4], "batch_size": [1024, 2048], "a": [0, 1]}
    grid |= {"b": [0, 1]}
    numbers = np.random.default_rng(2)

    def score(params):
        rising = 0.02 * (params["learning_rate"] == 0.01) + 0.02 * (params["dropout"] == 0.2)
        return 0.9 + rising + 0.02 * (params["batch_size"] == 1024) + numbers.normal() * 0.001

    design = design_of(table(score, grid))
    noise = noise_of(design)
    effects = [effect for place in range(5) for effect in effects_of(design, place, noise)]
    found = {edge.name: (edge.is_largest, edge.next) for edge in edges_of(design, effects)}
    assert {name: found[name] for name in ("learning_rate", "dropout", "batch_size")} == {
        "learning_rate": (True, 0.032),
        "dropout": (False, 0.1),
        "batch_size": (False, 512),
    }


def test_the_corrected_test_of_folds_is_wider_than_students():
    first, second = [0.90, 0.91, 0.92], [0.88, 0.90, 0.89]
    from scipy import stats

    assert p_value(first, second) > stats.ttest_rel(first, second).pvalue
    assert p_value(first, first) == 1.0


def test_an_empty_table_and_a_single_trial_tell_nothing():
    one = analyse(records_table([{"a": 1, "mean_test_score": 0.9}], Path("one.json")))
    assert (one.effects, one.interactions, one.importance, one.edges) == ({}, (), None, ())
    assert one.best.mean == 0.9


def test_a_value_that_is_mostly_ahead_is_said_to_be_though_wild_candidates_hide_by_how_much():
    def score(params):
        is_wild = params["c"] == 2 and params["d"] == 1
        return 0.9 + 0.004 * params["a"] + 0.03 * is_wild * (-1) ** (params["a"] + params["b"])

    found = analyse(table(score))
    [effect] = found.effects["a"]
    assert (effect.better, effect.wins, effect.n_pairs) == (1, 22, 24)
    assert effect.is_often
    assert not effect.is_clear
    said = effect_sentences(found)["a"]
    assert said.startswith("a = 1 is ahead of 0 in 22 of 24 matched pairs, by 0.004 on average (-0.00")
    assert said.endswith("): more often than by chance (sign test), but by how much cannot be told.")


def test_more_often_than_by_chance_is_seldom_said_of_nothing():
    numbers, said = np.random.default_rng(0), 0
    for _ in range(300):
        design = design_of(table(lambda params: 0.9 + numbers.normal() * 0.005))
        said += effects_of(design, design.place("a"), noise_of(design))[0].is_often
    assert said <= 0.05 * 300
