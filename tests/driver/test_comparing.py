"""AutoKeras beside a search: its own process, real or with a fake trainer."""

from __future__ import annotations

import functools
import json
import re
import zipfile
from importlib import import_module

import numpy as np
import pytest
from asking import ask_in_this_process
from fakes import CONFIG, Crash, StopAfter, crash, fake_probes, fake_train_pack, without_times
from running import run

import kerasgrid as kg
import kerasgrid.driver.search as driver
from kerasgrid.checks.draft import read_draft
from kerasgrid.config.yaml12 import read_yaml
from kerasgrid.driver.comparing import compare
from kerasgrid.driver.search import search
from kerasgrid.errors import ChangedError, ConfigError, JournalError
from kerasgrid.models import references
from kerasgrid.planning import packing
from kerasgrid.report.side_by_side import Beside
from kerasgrid.run.paths import RunPaths
from kerasgrid.tables.reading import read_table

pytestmark = pytest.mark.slow(weight=4)

GRID = """
name: digits
data: {train: digits, scale: 16, subset: 300}
model: fc
params: {batch_size: 32, epochs: 1, units: [16]}
space: {learning_rate: [0.001, 0.01]}
search: {folds: 2}
autokeras: {max_trials: 2, time: 10min}
executor: {kind: inline}
"""


@pytest.fixture(scope="module", autouse=True)
def sources_are_read_once():
    """AutoKeras's models have all of kerasgrid as their source, which stays as it is here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(references, "read_sources", functools.cache(references.read_sources))
        yield


@pytest.fixture
def fake_trainer(monkeypatch):
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    monkeypatch.setattr(packing, "run_probes", fake_probes)


def config(**own) -> dict:
    autokeras = {"max_trials": 2, "time": "10min", **own}
    return json.loads(json.dumps(CONFIG)) | {"autokeras": autokeras}


def of_version_1(paths):
    """Makes a run one of version 1."""
    old = paths.journal.read_text().replace("kerasgrid.journal/2", "kerasgrid.journal/1", 1)
    paths.journal.write_text(re.sub(r',"crc32":"\w+"', "", old))


def test_both_are_of_one_version_of_the_journal(fake_trainer, tmp_path, monkeypatch):
    ask_in_this_process(monkeypatch)
    own, rival = RunPaths(tmp_path, "fake"), RunPaths(tmp_path, "fake-autokeras")
    search(config(max_trials=1), results=tmp_path)
    of_version_1(own)
    told = "In compare fresh=True is of AutoKeras's half alone: give it to kerasgrid search."
    for fresh in (False, True):
        with pytest.raises(JournalError, match="fake-autokeras is set beside it, which is not") as caught:
            compare(config(max_trials=1), results=tmp_path, fresh=fresh)
        assert str(caught.value).endswith(told)
    assert not rival.folder.exists()
    search(config(max_trials=1), results=tmp_path, fresh=True)
    compare(config(max_trials=1), results=tmp_path)
    of_version_1(rival)
    with pytest.raises(
        JournalError, match=f"{rival.journal}: this run .* fake is set beside it, which is not"
    ):
        compare(config(max_trials=1), results=tmp_path)
    of_version_1(own)
    before = own.journal.read_bytes(), rival.journal.read_bytes()
    found = compare(config(max_trials=1), results=tmp_path)
    assert {found.own.about.journal, found.autokeras.about.journal} == {"kerasgrid.journal/1"}
    assert (own.journal.read_bytes(), rival.journal.read_bytes()) == before


def test_both_are_scored_on_the_same_folds(fake_trainer, tmp_path, monkeypatch):
    ask_in_this_process(monkeypatch)
    found = compare(config(), results=tmp_path)
    own, theirs = found.own.data, found.autokeras.data
    assert (own["name"], theirs["name"]) == ("fake", "fake-autokeras")
    assert own["folds"] == theirs["folds"]
    assert own["data"]["fingerprint"] == theirs["data"]["fingerprint"]
    assert [len(trial["folds"]) for trial in theirs["trials"]] == [3] * 2
    assert theirs["trials"][0]["params"]["image_block_1/conv_block_1/filters_0_1"] == 64
    assert (found.autokeras.status, found.is_interrupted) == ("complete", False)
    assert Beside([found.own, found.autokeras], found.notes).html()
    again = compare(config(), results=tmp_path)
    assert without_times(again.autokeras.data) == without_times(theirs)


def test_it_goes_on_after_a_sudden_end(fake_trainer, tmp_path, monkeypatch):
    """Models after the first are chosen by what was told of those before."""
    ask_in_this_process(monkeypatch)
    given = {"config": config(max_trials=3), "overrides": ["search.engine=autokeras", "search.proposals=1"]}
    whole = search(**given, results=tmp_path / "whole")
    for cut_after in (1, 20):
        with pytest.raises(Crash):
            search(**given, results=tmp_path / "cut", observer=StopAfter(cut_after, crash))
    found = search(**given, results=tmp_path / "cut")
    assert without_times(found.data) == without_times(whole.data)


def test_it_has_as_long_as_the_search_took(fake_trainer, tmp_path, monkeypatch):
    ask_in_this_process(monkeypatch)
    found = compare(config(time=None), results=tmp_path)
    took = found.own.data["summary"]["wall_time_s"]
    header = RunPaths(tmp_path, "fake-autokeras").journal
    assert header.exists()
    budget = found.autokeras.data["config"]["search"]["time"]
    assert took <= float(budget.removesuffix("s")) <= took + 1


def test_budgets_of_the_search_are_its_own(fake_trainer, tmp_path, monkeypatch):
    ask_in_this_process(monkeypatch)
    given = config(max_trials=3) | {
        "search": {"folds": 3, "engine": "random", "trials": 2, "epochs": 18, "time": "1s"}
    }
    found = compare(given, results=tmp_path)
    assert len(found.own.trials) == 2
    assert (found.autokeras.status, len(found.autokeras.trials)) == ("complete", 3)
    settings = found.autokeras.data["config"]["search"]
    assert [settings[name] for name in ("trials", "time", "epochs")] == [3, "10min", None]


def test_a_comparison_that_has_ended_takes_no_more_time(fake_trainer, tmp_path, monkeypatch):
    """Its budget is used up, so that AutoKeras is not asked again; nor does reading what is there count."""
    ask_in_this_process(monkeypatch)
    given = config(time="0.2s", max_trials=1000)
    first = compare(given, results=tmp_path)
    monkeypatch.setattr(import_module("kerasgrid.engines.autokeras"), "AskedProcess", None)
    again = compare(given, results=tmp_path)
    for before, now in ((first.own, again.own), (first.autokeras, again.autokeras)):
        took_s, more = before.data["summary"]["wall_time_s"], now.data["summary"]
        assert more == before.data["summary"] | {"wall_time_s": more["wall_time_s"]}
        assert more["wall_time_s"] <= took_s
        assert (now.status, now.trials) == (before.status, before.trials)
    assert again.autokeras.status == "budget"
    third = compare(given, results=tmp_path)
    assert third.autokeras.data["summary"] == again.autokeras.data["summary"]


def test_a_name_that_ends_in_autokeras_is_no_name_of_its_half(fake_trainer, tmp_path, monkeypatch):
    ask_in_this_process(monkeypatch)
    found = compare(config(max_trials=1) | {"name": "my-autokeras"}, results=tmp_path)
    assert [one.data["name"] for one in (found.own, found.autokeras)] == [
        "my-autokeras",
        "my-autokeras-autokeras",
    ]


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({}, (64,), r"a sample here has the shape \(64,\)"),
        (
            {"data": {"target": "age"}},
            (8, 8),
            "config, data.target: names numbers to predict, and AutoKeras's",
        ),
        ({"search": {"objective": "loss"}, "space": {"loss": ["hinge"], "loss.x": [1]}}, (8, 8), "neg_log"),
        ({"search": {"objective": "loss"}, "params": {"loss.label_smoothing": 0.1}}, (8, 8), "neg_log_loss"),
        ({"search": {"objective": "sparse_categorical_accuracy"}}, (8, 8), "of two classes have a single"),
    ],
)
def test_faults_of_its_half_come_before_the_search(tmp_path, changes, shape, message):
    images = np.random.default_rng(0).random((60, *shape))
    with pytest.raises(ConfigError, match=message):
        compare(config() | {"data": {}} | changes, images, np.arange(60) % 2, results=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_autokeras_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("kerasgrid.checks.space.find_spec", lambda package: None)
    with pytest.raises(ConfigError, match="which needs autokeras: pip install autokeras"):
        compare(config(), results=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_search_that_grows_is_followed_by_the_same_autokeras(fake_trainer, tmp_path, monkeypatch):
    ask_in_this_process(monkeypatch)
    given = config(max_trials=1) | {"params": {}, "space": {"epochs": [1, 2]}}
    first = compare(given, results=tmp_path)
    wider = given | {"space": {"epochs": [1, 2, 3]}, "search": {"folds": 3, "factor": 5}}
    found = compare(wider, results=tmp_path)
    assert len(found.own.trials) == 3
    assert without_times(found.autokeras.trials) == without_times(first.autokeras.trials)
    assert "AutoKeras's trials have 2 epochs, as its run began, and the grid trains 3 now" in found.notes[1]
    assert len(list(tmp_path.glob("fake*.json"))) == 2
    found = compare(wider, results=tmp_path, fresh=True)
    assert found.autokeras.data["config"]["params"]["epochs"] == 3
    assert sorted(path.name for path in tmp_path.glob("fake*.json")) == [
        "fake-autokeras.1.json",
        "fake-autokeras.json",
        "fake.json",
    ]


def test_the_command_begins_its_half_anew(fake_trainer, tmp_path, monkeypatch, capsys):
    ask_in_this_process(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(GRID)
    for flags in ([], ["--epochs", "3", "--fresh"]):
        assert run(monkeypatch, "compare", "grid.yaml", "--max-trials", "1", *flags) == 0
    assert "The old run is now results/digits-autokeras.1" in capsys.readouterr().out
    assert not (tmp_path / "results/digits.1").exists()


def test_a_change_of_its_half_is_told_before_the_search(fake_trainer, tmp_path, monkeypatch):
    ask_in_this_process(monkeypatch)
    compare(config(max_trials=1), results=tmp_path)
    before = (tmp_path / "fake.json").read_text()
    wider = config(max_trials=1, epochs=7) | {"space": {"learning_rate": [0.5]}}
    told = r"fake-autokeras: this search began otherwise: params was .*fresh=True"
    with pytest.raises(ChangedError, match=told):
        compare(wider, results=tmp_path)
    assert (tmp_path / "fake.json").read_text() == before
    with pytest.raises(ChangedError, match=r"In compare fresh=True is of AutoKeras's half alone"):
        compare(config(max_trials=1) | {"model": "bn_cnn"}, results=tmp_path)


def test_an_interrupted_search_is_not_followed_by_another(fake_trainer, tmp_path):
    observers = []

    def observe(name):
        observers.append(name)
        return StopAfter(1, lambda: __import__("signal").raise_signal(2))

    found = compare(config(), results=tmp_path, observe=observe)
    assert found.is_interrupted
    assert (found.autokeras, observers) == (None, ["fake"])


def test_autokeras_is_not_compared_with_itself(tmp_path):
    with pytest.raises(ConfigError, match="name the engine that it is compared with"):
        kg.compare(config() | {"search": {"engine": "autokeras"}}, results=tmp_path)


def test_the_command_ends_with_a_table_and_a_page(tmp_path, monkeypatch, capsys):
    """AutoKeras is asked in a process of its own; its models are trained, and others read them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(GRID)
    assert run(monkeypatch, "search", "grid.yaml") == 0
    assert run(monkeypatch, "compare", "grid.yaml") == 0
    said = capsys.readouterr().out
    ask_in_this_process(monkeypatch)
    assert "AutoKeras searches models of its own, by its vanilla blocks" in said
    assert "results/digits.compare.html" in said
    assert "digits-autokeras" in said
    trials = json.loads((tmp_path / "results/digits-autokeras.json").read_text())["trials"]
    assert [trial["state"] for trial in trials] == ["complete", "complete"]
    assert trials[0]["n_parameters"] == 21_389  # 8 x 8 digits: the net of experiment A5 with a smaller Dense
    assert set(trials[0]["folds"][0]["history"]) >= {"loss", "val_loss", "test_accuracy"}
    models = kg.Results.load("results/digits-autokeras.json").model_files()
    assert [path.name[7:] for path in models] == ["-fold-0-repeat-0.keras", "-fold-1-repeat-0.keras"]
    assert str(models[0]) in said
    assert "autokeras" not in zipfile.ZipFile(models[0]).read("config.json").decode()
    table = read_table("results/digits-autokeras.json")
    assert "image_block_1/normalize" in table.params
    for command in (["plot"], ["report"], ["report", "--md"], ["suggest"]):
        capsys.readouterr()
        assert run(monkeypatch, command[0], "results/digits-autokeras.json", *command[1:]) == 0
    suggested = read_yaml(capsys.readouterr().out, "next.yaml")[0]
    assert suggested.keys() == {"name", "data", "search", "autokeras", "executor"}
    assert read_draft(suggested).is_sound
    assert run(monkeypatch, "compare", "grid.yaml", "--json") == 0
    own, theirs = json.loads(capsys.readouterr().out)
    assert (own["name"], theirs["name"]) == ("digits", "digits-autokeras")
