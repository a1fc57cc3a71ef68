"""Intervals and sentences over 1,000 synthetic grids whose truth is known: as often right as they say."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from kerasgrid.report.design import design_of
from kerasgrid.report.effects import effects_of, interactions_of, noise_of
from kerasgrid.report.findings import analyse
from kerasgrid.report.sentences import effect_sentences, interaction_sentence
from kerasgrid.tables.flat import records_table

pytestmark = pytest.mark.slow

GRID = {"a": [0, 1], "b": [0, 1], "c": [0, 1, 2], "d": [0, 1], "e": [0, 1]}
N = 1000


def truth(params):
    """Main effects of a (0.02) and c (0.01 a level), an interaction of a and b (0.03), none of d and e."""
    return 0.9 + 0.02 * params["a"] + 0.01 * params["c"] + 0.03 * params["a"] * params["b"]


def candidates(grid):
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def table_of(grid):
    """Returns the table of all candidates, each with its true score."""
    rows = [{**params, "mean_test_score": truth(params)} for params in candidates(grid)]
    return records_table(rows, Path("grid.json"))


@cache
def gain(name, better, worse, given="", value=0):
    """Returns by how much a value is better than another in truth, over the grid or a part of it."""
    part = [params for params in candidates(GRID) if not given or params[given] == value]
    return np.mean([truth({**params, name: better}) - truth({**params, name: worse}) for params in part])


def beaten(sentence):
    """Yields (name, better, worse, given, value) of what a sentence says beats something."""
    for part in sentence.removeprefix("Overturned: ").split("; "):
        if found := re.match(r"(\w) = (\d) beats (\d) where (\w) = (\d)", part):
            name, better, worse, given, value = found.groups()
            yield name, int(better), int(worse), given, int(value)
        elif found := re.match(r"(\w) = (\d) beats (.*)", part):
            for worse in re.findall(r"(?:^|, and )(\d) in \d+ of", found[3]):
                yield found[1], int(found[2]), int(worse), "", 0


@pytest.fixture(scope="module")
def repeated():
    """Counts what holds of grids in which each candidate has noise of its own."""
    numbers, counts = np.random.default_rng(0), Counter()
    found = analyse(table_of(GRID))
    for _ in range(N):
        scores = found.design.scores + 0.005 * numbers.normal(size=len(found.design))
        design = replace(found.design, scores=scores)
        noise = noise_of(design)
        effects = {name: effects_of(design, design.place(name), noise) for name in GRID}
        for name, own in effects.items():
            counts["covered", name] += all(
                one.low <= gain(name, one.better, one.worse) <= one.high for one in own
            )
        shown = interactions_of(design, [*itertools.chain(*effects.values())], noise)
        for one in shown:
            pair = (one.effect.better, one.effect.worse)
            for at in one.conditionals:
                is_covered = at.low <= gain(one.effect.name, *pair, one.given, at.value) <= at.high
                counts["covered", one.effect.name, one.given, at.value] += is_covered
        counts["false interaction"] += any({one.effect.name, one.given} != {"a", "b"} for one in shown)
        told = replace(found, design=design, noise=noise, effects=effects, importance=None)
        said = [*effect_sentences(told).values(), *map(interaction_sentence, shown)]
        for name, better, worse, given, value in itertools.chain(*map(beaten, said)):
            kind = "right" if gain(name, better, worse, given, value) > 1e-9 else "wrong"
            counts[(kind, name, given, value) if given else (kind, name)] += 1
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a", "b", "d", "e"])
def test_intervals_cover_what_is_true_as_often_as_they_say(repeated, name):
    assert 930 <= repeated["covered", name] <= 970


def test_intervals_of_several_values_cover_all_at_once(repeated):
    assert 940 <= repeated["covered", "c"] <= 995  # both to the best; the third pair is not shown


@pytest.mark.parametrize("at", [("a", "b", 0), ("a", "b", 1), ("b", "a", 0), ("b", "a", 1)])
def test_intervals_at_each_value_of_an_interaction_cover_as_often(repeated, at):
    assert 930 <= repeated["covered", *at] <= 970


def test_what_is_said_to_beat_another_does(repeated):
    """Effects that are there are named, all the right way round; of those that are not, one in twenty."""
    assert (repeated["right", "a"], repeated["right", "b"]) == (N, N)
    assert repeated["right", "c"] > 1.9 * N
    assert not any(repeated["wrong", name] for name in "abc")
    assert repeated["wrong", "d"] + repeated["wrong", "e"] <= 0.07 * 2 * N
    for at in (("a", "b", 0), ("a", "b", 1), ("b", "a", 1)):
        assert repeated["right", *at] == N
        assert not repeated["wrong", *at]
    assert repeated["wrong", "b", "a", 0] <= 0.07 * N  # where a = 0, b does nothing
    assert repeated["false interaction"] <= 0.05 * N


def test_where_an_interaction_is_taken_for_noise_intervals_are_wider_than_need_be():
    """Of twelve candidates, which are too few for interactions."""
    numbers, covered = np.random.default_rng(0), 0
    design = design_of(table_of({"a": [0, 1], "b": [0, 1], "c": [0, 1, 2], "d": [0], "e": [0]}))
    for _ in range(300):
        noisy = replace(design, scores=design.scores + 0.005 * numbers.normal(size=len(design)))
        noise = noise_of(noisy)
        assert not noise.pairs
        [effect] = effects_of(noisy, noisy.place("a"), noise)
        covered += effect.low <= gain("a", effect.better, effect.worse) <= effect.high
    assert covered >= 0.99 * 300


def test_intervals_over_folds_cover_at_least_as_often_as_they_say():
    """Of eight candidates; folds that share no noise, for which the corrected test is too careful."""
    numbers, covered = np.random.default_rng(0), 0
    design = design_of(table_of({"a": [0, 1], "b": [0, 1], "c": [0], "d": [0, 1], "e": [0]}))
    for _ in range(300):
        folds = design.scores[:, None] + 0.005 * numbers.normal(size=(len(design), 5))
        noisy = replace(design, scores=folds.mean(axis=1), fold_scores=folds)
        assert noise_of(noisy) is None
        [effect] = effects_of(noisy, noisy.place("a"), None)
        covered += effect.low <= gain("a", effect.better, effect.worse) <= effect.high
    assert covered >= 0.95 * 300
