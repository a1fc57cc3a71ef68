"""Optuna's samplers as engines, beside what holds of every engine."""

from __future__ import annotations

import re
from statistics import mean

import pytest
from asking import SPACE, candidates, is_legal, run

from kerasgrid.driver.search import search
from kerasgrid.engines.translation import Translation
from kerasgrid.errors import ConfigError
from kerasgrid.io import digest
from kerasgrid.space.reading import read_space

pytest.importorskip("optuna", reason="kerasgrid[optuna] is not installed")


@pytest.mark.parametrize(("name", "wanted"), [("tpe", '"kerasgrid[optuna]"'), ("gp", '"kerasgrid[gp]"')])
def test_a_missing_package_is_a_fault_that_says_what_to_install(tmp_path, monkeypatch, name, wanted):
    monkeypatch.setattr("kerasgrid.checks.space.find_spec", lambda package: None)
    config = {"data": {"train": "digits"}, "model": "fc", "space": {"dropout": [0.1, 0.2]}}
    with pytest.raises(ConfigError, match=rf"needs optuna: pip install {re.escape(wanted)}\."):
        search({**config, "search": {"engine": name, "trials": 2}}, results=tmp_path)


@pytest.fixture(params=["tpe", "gp"])
def engine(request):
    if request.param == "gp":
        pytest.importorskip("torch", reason="Optuna's GP sampler needs torch")
    return request.param


def test_it_proposes_legal_candidates_so_many_at_once(engine):
    made = run(engine, trials=18, proposals=4)
    assert [len(proposal.candidates) for proposal in made] == [4, 4, 4, 4, 2]
    assert all(map(is_legal, candidates(made)))
    assert len({digest(params) for params in candidates(made)}) == 18


def test_what_it_proposes_depends_on_the_scores(engine):
    high = run(engine, trials=16, score=lambda params: params["dropout"])
    low = run(engine, trials=16, score=lambda params: -params["dropout"])
    assert high[:2] == low[:2]  # the first ten are drawn at random
    assert high != low


def test_it_comes_nearer_to_what_is_best(engine):
    space = {
        "x": {"low": 0.5, "high": 8.0},
        "rate": {"low": 1e-5, "high": 1e-1, "log": True},
    }
    found = candidates(run(engine, space, trials=60, score=lambda params: -abs(params["x"] - 6.5)))
    first, last = ([abs(params["x"] - 6.5) for params in part] for part in (found[:10], found[-20:]))
    assert mean(last) < mean(first)


def test_a_conditional_range_without_a_step_does_not_count_as_no_candidates():
    """One of the space's grids is finite and has one candidate, the other has no end."""
    momentum = {"low": 0.1, "high": 0.9, "when": {"optimizer": "SGD"}}
    found = candidates(run("tpe", {"optimizer": ["SGD", "Adam"], "momentum": momentum}, trials=9, score=len))
    assert len({digest(params) for params in found}) == 9


def test_a_candidate_there_and_back():
    space = read_space(SPACE | {"batch": [512, 64, 128]})[0]
    translated = Translation(space)
    for params in space.sample(30, 0):
        assert translated.params(translated.values(params)) == params
    values = translated.values({**params, "batch": 512})
    assert values["batch"] == 2  # listed numbers are known by their place in order of size
