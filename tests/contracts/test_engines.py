"""Engines: what holds of the proposals of each, whatever it is told, and of what its Kind says of it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import pytest
from asking import SPACE, InThisProcess, is_legal
from fakes import classes_of

from kerasgrid.checks.prepared import prepare
from kerasgrid.config.sections import SearchConfig
from kerasgrid.engines import ENGINES, Task
from kerasgrid.errors import ConfigError
from kerasgrid.io import digest
from kerasgrid.space.reading import read_space

MAKERS = {
    "grid": None,
    "random": None,
    "halving": None,
    "tpe": "optuna",
    "gp": "optuna",
    "bayesian": "keras_tuner",
    "hyperband": "keras_tuner",
    "random_kt": "keras_tuner",
    "grid_kt": "keras_tuner",
    "autokeras": "autokeras",
}
"""Each engine and the module that asks another library for it; None where none is asked."""

LISTED = SPACE | {"rate": [1e-3, 1e-2], "size": [8, 64]}
SMALL = {name: SPACE[name] for name in ("optimizer", "momentum", "norm")}
N_SMALL, N_FOLDS, N_EPOCHS, N_TRIALS = 9, 3, 9, 14


def marks(name):
    kind = ENGINES[name]
    missing = [package for package in kind.packages if find_spec(package) is None]
    found = [pytest.mark.skipif(bool(missing), reason=f"{name} needs {' and '.join(missing)}")]
    imports_tensorflow = MAKERS[name] in ("keras_tuner", "autokeras")
    return [*found, pytest.mark.slow] if imports_tensorflow else found


def engines(holds=lambda kind: True):
    """The engines whose kinds fit, to run a test by."""
    fitting = [name for name in MAKERS if holds(ENGINES[name])]
    return pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in fitting])


def has_no_own_space(kind):
    return not kind.has_own_space


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Lets engines ask in this process, and counts how often."""
    found = []

    def ask(make, *arguments):
        found.append(make)
        return InThisProcess(make, *arguments)

    for library in {*MAKERS.values()} - {None}:
        monkeypatch.setattr(import_module(f"kerasgrid.engines.{library}"), "AskedProcess", ask)
    return found


def space_for(name):
    """A space of all kinds of parameters, of which an engine that lists can list all."""
    return LISTED if ENGINES[name].lists else SPACE


def make_task(name, space=None, exclude=(), **settings):
    kind, params, shape = ENGINES[name], {}, ()
    if not kind.has_brackets:
        settings = {"trials": N_TRIALS} | settings
    if kind.has_own_space:  # each candidate is a model that is built
        settings = settings | {"trials": min(settings["trials"], 3), "proposals": 1}
        params, shape = {"blocks": "vanilla", "batch_size": 32, "n_samples": 100}, (8, 8, 1)
    read, faults = read_space(space or space_for(name), exclude)
    assert not faults
    search = SearchConfig(engine=name, **settings)
    return Task(read, search, lambda params: N_EPOCHS, N_FOLDS, params, shape, classes_of(10))


def by_digest(params):
    """A score that candidates have by chance, and always the same."""
    return int(digest(params)[:8], 16) / 16**8


def told_by(score, proposal):
    """What an engine is told of a proposal by a function that scores a candidate, or gives None."""
    found = list(map(score, proposal.candidates))
    if proposal.until is None:
        return found
    folds = range(N_FOLDS) if proposal.folds is None else proposal.folds
    return [[None if one is None else one + fold / 1000 for fold in folds] for one in found]


def play(task, score=by_digest, most=None):
    """Runs an engine to its end, or until it has been told so often; returns the proposals."""
    proposing = ENGINES[task.search.engine].run(task)
    made, proposal = [], next(proposing)
    while proposal is not None and len(made) != most:
        made.append(proposal)
        try:
            proposal = proposing.send(told_by(score, proposal))
        except StopIteration:
            proposal = None
    proposing.close()
    return made if proposal is None or most is None else [*made, proposal]


def run(name, space=None, score=by_digest, exclude=(), **settings):
    return play(make_task(name, space, exclude, **settings), score)


@cache
def known(name, seed=None):
    """What an engine proposes for its space, made once."""
    return run(name) if seed is None else run(name, seed=seed)


def candidates(made):
    return [params for proposal in made for params in proposal.candidates]


def distinct(made):
    return {digest(params): params for params in candidates(made)}


def test_every_engine_of_the_package_is_among_the_makers():
    assert set(MAKERS) == set(ENGINES)


@engines()
def test_the_same_seed_gives_the_same_proposals_and_0_is_a_seed(name):
    assert run(name, seed=0) == known(name)


@engines(lambda kind: not kind.lists or kind.draws)
def test_another_seed_draws_others(name):
    assert known(name, seed=1) != known(name)


@engines(lambda kind: kind.lists and not kind.draws)
def test_what_goes_over_a_space_in_its_order_needs_no_seed(name):
    assert known(name, seed=1) == known(name)


@engines(has_no_own_space)
def test_candidates_are_legal(name):
    found = candidates(known(name))
    assert found
    assert all(map(is_legal, found))


@engines(has_no_own_space)
def test_what_is_excluded_is_not_proposed(name):
    exclude = ["optimizer == 'SGD' and (dropout > 0.3 or layers == 1)", "norm == null"]
    task = make_task(name, LISTED, exclude)
    left = {digest(params) for params in task.space}
    assert 0 < len(left) < len(read_space(LISTED)[0])
    assert set(distinct(play(task))) <= left


@engines(lambda kind: kind.rejects)
def test_what_is_excluded_of_a_range_without_a_step_is_not_proposed(name):
    task = make_task(name, SPACE, ["rate > 0.01 and dropout > 0.2"])
    assert task.space.is_drawn
    found = candidates(play(task))
    assert len({digest(params) for params in found}) == N_TRIALS
    assert all(is_legal(params) and task.space.allows(params) for params in found)


@engines()
def test_no_candidate_is_proposed_twice_for_the_same(name):
    """One that waits is proposed again, to go on to a later epoch or on other folds."""
    asked_for = Counter(
        (digest(params), proposal.until, fold)
        for proposal in known(name)
        for params in proposal.candidates
        for fold in (range(N_FOLDS) if proposal.folds is None else proposal.folds)
    )
    assert set(asked_for.values()) == {1}


FAILURES = {
    "all fail": lambda params: None,
    "all are alike": lambda params: 0.5,
    "some fail": lambda params: by_digest(params) if by_digest(params) > 0.4 else None,
}


@engines()
@pytest.mark.parametrize("what", FAILURES)
def test_failures_and_ties_are_taken(name, what):
    n = 2 if ENGINES[name].has_own_space else N_TRIALS
    made = run(name, score=FAILURES[what], **({} if ENGINES[name].has_brackets else {"trials": n}))
    assert made[0] == known(name)[0]
    assert len(distinct(made)) > 1
    if not ENGINES[name].has_brackets:
        assert len(distinct(made)) == n


@engines()
def test_told_the_same_again_it_proposes_the_same_wherever_it_was_cut(name):
    """So that a search goes on by running its engine afresh."""
    whole, task = known(name, seed=1), make_task(name, seed=1)
    n = len(whole)
    for cut in sorted({n // 2, n - 1}) if "slow" in str(marks(name)) else range(n):
        assert play(task, most=cut) == whole[: cut + 1]


@engines(lambda kind: not kind.has_brackets)
def test_trials_are_a_bound(name):
    assert len(distinct(run(name, trials=1))) == 1
    assert len(distinct(known(name))) == make_task(name).search.trials


@engines(lambda kind: not kind.has_brackets and not kind.has_own_space)
def test_a_finite_space_is_gone_over_once_and_no_more(name):
    found = distinct(run(name, SMALL, trials=100))
    assert set(found) == {digest(params) for params in read_space(SMALL)[0]}
    assert len(found) == N_SMALL


# What a Kind says


@engines()
def test_kind_chooses_by_score(name):
    """What comes before anything is told is the same whatever is told."""
    kind = ENGINES[name]
    if kind.has_own_space:
        one, other = known(name), run(name, score=lambda params: -by_digest(params))
    else:
        space = {"dropout": SPACE["dropout"] if kind.lists else {"low": 0.1, "high": 0.5}}
        about = {} if kind.has_brackets else {"trials": 16 if MAKERS[name] == "optuna" else 5}
        one, other = (
            run(name, space, lambda params, s=sign: s * params["dropout"], **about) for sign in (1, -1)
        )
    assert one[0] == other[0]
    assert (one != other) is kind.chooses_by_score


@engines()
def test_kind_lists(name):
    """What lists needs no number of trials, and then goes over all of a finite space."""
    kind = ENGINES[name]
    if kind.lists:
        found = run(name, SMALL, trials=None)
        assert set(distinct(found)) == {digest(params) for params in read_space(SMALL)[0]}
    else:
        assert kind.needs_trials or kind.has_brackets or kind.has_own_space


@engines(lambda kind: kind.draws)
def test_kind_draws(name):
    first = run(name, LISTED, trials=4)[0]
    assert first.candidates == make_task(name, LISTED).space.sample(4, 0)


@engines(has_no_own_space)
def test_kind_needs_trials_and_has_brackets_and_rejects_are_what_the_checks_say(name):
    kind, base = ENGINES[name], {"name": "x", "data": {"train": "digits"}, "model": "fc"}

    def faults(space, exclude=(), **search):
        try:
            prepare(base | {"space": space, "exclude": list(exclude), "search": {"engine": name, **search}})
        except ConfigError as error:
            return {fault.path: fault.message for fault in error.faults}
        return {}

    drawn, listed = {"dropout": {"low": 0.1, "high": 0.5}}, {"dropout": [0.1, 0.2]}
    assert ("search.trials" in faults(listed)) is kind.needs_trials
    assert ("search.trials" in faults(listed, trials=2)) is kind.has_brackets
    assert ("space.dropout" in faults(drawn, trials=2)) is (kind.lists and not kind.draws)
    excluded = faults(drawn, ["dropout > 0.4"], **({} if kind.has_brackets else {"trials": 2}))
    assert ("exclude" in excluded) is not kind.rejects


@engines()
def test_kind_decides_by_val(name):
    """Candidates wait for what the engine says, and then go on to their ends or are given up, each once."""
    kind, made = ENGINES[name], known(name)
    assert any(proposal.until is not None for proposal in made) is kind.decides_by_val
    assert (made[-1].until is None and bool(made[-1].candidates) and kind.decides_by_val) is kind.frees_val
    at_end = [
        params for proposal in made for params in proposal.candidates if proposal.until in (None, N_EPOCHS)
    ]
    given_up = [params for proposal in made for params in proposal.dropped]
    assert sorted(map(digest, [*at_end, *given_up])) == sorted(distinct(made))
    for place, proposal in enumerate(made):
        assert all(params in candidates(made[:place]) for params in proposal.dropped)


@engines(lambda kind: kind.has_brackets)
def test_kind_has_brackets(name):
    untils = {proposal.until for proposal in known(name) if proposal.candidates}
    assert len(untils) > 1
    assert max(untils) == N_EPOCHS


@engines()
def test_kind_asks(name, asked):
    run(name, **({} if ENGINES[name].has_brackets else {"trials": 1}))
    assert bool(asked) is ENGINES[name].asks is (MAKERS[name] is not None)


@engines(has_no_own_space)
def test_kind_has_settings(name):
    """A setting that is an engine's own changes what it proposes, or how; others do not."""
    changes = {"proposals": 1, "factor": 2, "min_epochs": 3}
    assert {setting for kind in ENGINES.values() for setting in kind.settings} == set(changes)
    for setting, value in changes.items():
        assert (run(name, **{setting: value}) != known(name)) is (setting in ENGINES[name].settings)


@engines(lambda kind: kind.outline is not None)
def test_an_outline_tells_what_is_trained_at_most(name):
    task = make_task(name)
    outline, made = ENGINES[name].outline(task), known(name)
    reached, trained = Counter(), 0
    for proposal in made:
        until = proposal.until or N_EPOCHS
        is_anew = proposal.until is None
        for params in proposal.candidates:
            for fold in range(N_FOLDS) if proposal.folds is None else proposal.folds:
                trained += until - (0 if is_anew else reached[digest(params), fold])
                reached[digest(params), fold] = until
    assert outline.lines
    assert len(distinct(made)) <= outline.candidates
    assert trained <= outline.epochs
