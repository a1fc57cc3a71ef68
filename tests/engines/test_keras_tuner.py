"""KerasTuner's oracles as engines: legal candidates, the same again, whatever is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from asking import SPACE, ask_in_this_process, candidates, is_legal, run
from fakes import Crash

from kerasgrid.config.sections import SearchConfig
from kerasgrid.engines import ENGINES, Task
from kerasgrid.engines.ask_and_tell import AskedProcess
from kerasgrid.engines.keras_tuner import Oracle, declare, without_jax
from kerasgrid.engines.translation import Translation
from kerasgrid.errors import KerasgridError
from kerasgrid.io import digest
from kerasgrid.space.reading import read_space

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Its own imports TensorFlow; tests that name AskedProcess, or start a script, have it."""
    ask_in_this_process(monkeypatch, "keras_tuner")


@pytest.mark.parametrize("engine", ["bayesian", "random_kt"])
def test_an_oracle_proposes_legal_candidates_and_the_same_again(engine):
    made = run(engine, trials=9, proposals=4)
    assert [len(proposal.candidates) for proposal in made] == [4, 4, 1]
    assert all(map(is_legal, candidates(made)))
    assert len({digest(params) for params in candidates(made)}) == 9
    assert run(engine, trials=9, proposals=4) == made


def test_0_is_a_seed():
    assert run("random_kt", trials=3, seed=1) != run("random_kt", trials=3, seed=0)


def test_the_grid_oracle_goes_over_the_whole_space():
    small = {name: SPACE[name] for name in ("optimizer", "momentum", "dropout")}
    found = candidates(run("grid_kt", small))
    assert {digest(params) for params in found} == {digest(params) for params in read_space(small)[0]}
    assert len(found) == 15


def test_what_an_oracle_proposes_again_is_no_trial():
    """KerasTuner's Bayesian oracle proposes candidates that it knows once it thinks well of them."""
    small = {"x": [1, 2, 3, 4, 5], "y": [1, 2, 3]}
    made = candidates(run("bayesian", small, trials=13, proposals=4, score=lambda params: params["x"]))
    assert len({digest(params) for params in made}) == len(made) == 13


def test_failures_are_told_and_end_nothing():
    assert len(candidates(run("random_kt", trials=8, score=lambda params: None))) == 8


def test_hyperband_lets_candidates_wait_and_go_on_as_its_outline_says():
    read = read_space(SPACE)[0]
    outline = ENGINES["hyperband"].outline(Task(read, SearchConfig(engine="hyperband"), lambda params: 9, 1))
    made, trained, reached = run("hyperband", proposals=50), 0, {}
    for proposal in made[:-1]:
        for params in proposal.candidates:
            before = reached.get(digest(params), 0)
            assert proposal.until > before
            trained += proposal.until - before
            reached[digest(params)] = proposal.until
    assert outline.epochs == trained
    assert outline.lines[0] == "Bracket: 9 to epoch 1, 3 to epoch 3, 1 to epoch 9."
    assert set(reached.values()) == {1, 3, 9}
    assert not made[-1].candidates
    assert {digest(p) for p in made[-1].dropped} == {key for key, epochs in reached.items() if epochs < 9}
    first = made[0].candidates
    promoted = [params["dropout"] for params in first if reached[digest(params)] > 1]
    assert made[0].until == 1
    assert sorted(promoted) == sorted(params["dropout"] for params in first)[-3:]


def test_hyperband_ends_with_a_candidate_where_the_space_is_smaller_than_its_brackets():
    """KerasTuner's oracle stops when it has no new candidate, with all of them waiting."""
    small = {"dropout": [0.1, 0.2, 0.3, 0.4, 0.5]}
    made = run("hyperband", small)
    ended = [params for proposal in made if proposal.until == 9 for params in proposal.candidates]
    assert {"dropout": 0.5} in ended
    given_up = [params for proposal in made for params in proposal.dropped]
    assert {digest(params) for params in [*ended, *given_up]} == {
        digest({"dropout": d}) for d in small["dropout"]
    }
    assert len(ended) + len(given_up) == 5
    assert run("hyperband", small) == made


def test_hyperband_of_failures_ends():
    made = run("hyperband", {"dropout": [0.1, 0.2]}, score=lambda params: None)
    given_up = [params for proposal in made for params in proposal.dropped]
    assert given_up == [params for proposal in made for params in proposal.candidates]


def test_a_translation_there_and_back():
    translated = Translation(read_space(SPACE)[0])
    conditions = {about["name"]: condition for _, about, condition in declare(translated.slots)}
    assert conditions["/"] is None
    assert {name: found for name, found in conditions.items() if found} == {"0/momentum": ("/", [0])}
    values = {
        "/": 0,
        "rate": 0.01,
        "0/momentum": 0,
        "norm": 2,
        "units": 1,
        "layers": 1,
        "size": 9,
        "dropout": 2,
    }
    found = translated.params(values)
    expected = {"rate": 0.01, "optimizer": "SGD", "momentum": 0, "norm": None, "units": [8, 16], "layers": 3}
    assert found == {**expected, "size": 9, "dropout": 0.3}
    assert type(found["momentum"]) is int
    assert translated.values(found) == values


def test_0_and_false_are_two_things_and_a_parameter_may_be_called_space():
    space = read_space([{"space": [0, 1], "b": [1, 2]}, {"space": [False, True]}])[0]
    translated = Translation(space)
    assert [slot.name for slot in translated.slots] == ["/", "0/b", "0/space", "1/space"]
    found = translated.params({"/": 1, "1/space": 0})
    assert found == {"space": False}
    assert found["space"] is False


def test_the_largest_value_of_a_range_with_a_step_is_proposed():
    """KerasTuner's own Float from 0 to 0.3 by 0.1 ends at 0.2."""
    found = candidates(
        run("grid_kt", {"x": {"low": 0.0, "high": 0.3, "step": 0.1, "type": "float"}}, score=len)
    )
    assert sorted(params["x"] for params in found) == [0.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize(("epochs", "factor"), [(9, 3), (30, 3), (10, 3), (100, 4), (7, 2), (1, 3)])
def test_hyperbands_outline_has_the_sizes_of_kerastuners_oracle(epochs, factor):
    oracles = pytest.importorskip("keras_tuner").oracles
    own = oracles.HyperbandOracle(objective="val_loss", max_epochs=epochs, factor=factor)
    search = SearchConfig(engine="hyperband", factor=factor)
    found = ENGINES["hyperband"].outline(Task(read_space(SPACE)[0], search, lambda params: epochs, 1))
    brackets = []
    for bracket in reversed(range(own._get_num_brackets())):
        turns = range(own._get_num_rounds(bracket))
        told = [f"{own._get_size(bracket, t):,} to epoch {own._get_epochs(bracket, t)}" for t in turns]
        brackets.append(f"Bracket: {', '.join(told)}.")
    assert list(found.lines) == brackets


class NoOracle(Oracle):
    """Fails as an oracle does that is not there, without the seconds to import KerasTuner."""

    def __init__(self):
        raise AttributeError("no such oracle")


class Named:
    library = "Nobody's"

    def ask(self, n):
        return [("a", {"x": n})]


def test_an_error_of_the_oracle_is_told_in_words():
    with pytest.raises(AttributeError):
        Oracle("NoSuchOracle", {}, [])
    with pytest.raises(KerasgridError, match="KerasTuner's oracle: AttributeError"):
        AskedProcess(NoOracle)


def test_a_process_that_is_asked_ends_with_a_crash_of_who_asks():
    processes = []

    def crashing():
        with AskedProcess(Named) as asked:
            assert asked.ask(1) == [("a", {"x": 1})]
            processes.append(asked._process)
            assert processes[0]._process.is_alive()
            raise Crash

    with pytest.raises(Crash):
        crashing()
    assert not processes[0]._process.is_alive()


def test_a_script_without_a_main_guard_asks_an_oracle(tmp_path):
    """Spawn would run the script again in the oracle's process, which would ask an oracle in turn."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import fakes\n"
        "import kerasgrid as kg\n"
        "from kerasgrid.driver import search\n"
        "from kerasgrid.planning import packing\n"
        "search.train_pack, packing.run_probes = fakes.fake_train_pack, fakes.fake_probes\n"
        "config = fakes.CONFIG | {'search': {'engine': 'random_kt', 'trials': 2, 'holdout': 0.5}}\n"
        "config |= {'space': {'dropout': [0.1, 0.2]}, 'training': {'pack': 'off'}}\n"
        f"print(kg.search(config, results={str(tmp_path)!r}).status)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["complete"], done.stderr[-2000:]


@pytest.mark.parametrize("engine", ["bayesian", "random_kt"])
def test_an_oracle_that_stops_before_a_finite_space_is_gone_through_is_helped_on(engine):
    space = {"a": [1, 2], "b": {"values": [1, 2, 3, 4], "when": {"a": [1]}}, "c": [1, 2]}
    n = read_space(space)[0].size
    made = run(engine, space, score=lambda params: params["c"], trials=n)
    assert len({digest(params) for params in candidates(made)}) == len(candidates(made)) == n


def test_the_grid_oracle_leaves_nothing_out_where_grids_overlap():
    space = [{"a": [1, 2], "b": [1, 2]}, {"a": [2, 3], "b": [2, 3]}]
    made = run("grid_kt", space, score=lambda params: params["a"])
    assert {(params["a"], params["b"]) for params in candidates(made)} == {
        (1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3)
    }  # fmt: skip


def test_a_value_translated_back_is_within_its_range():
    translated = Translation(read_space({"x": {"low": 1.2345611, "high": 1.2345689}})[0])
    [slot] = translated.slots
    params = translated.params({slot.name: 1.2345688})
    assert params["x"] == 1.2345689
    assert translated.values(params)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_jax_is_hidden_where_tensorflow_is_imported_alone(monkeypatch, backend):
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    with without_jax():
        assert ("jax" in sys.modules) is (backend == "tensorflow")
    assert "jax" not in sys.modules
