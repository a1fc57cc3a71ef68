"""Workers that do not see the driver's files, over executors whose workers do."""

import json
import re
import zipfile

import numpy as np
import pytest
from fakes import (
    CONFIG,
    Crash,
    StopAfter,
    crash,
    fake_probes,
    fake_train_pack,
    see_nothing,
    without_times,
)

from kerasgrid.checks.draft import read_draft
from kerasgrid.data.in_memory import Given
from kerasgrid.delivery import fitting
from kerasgrid.driver import search as driver
from kerasgrid.executors import Inline, Processes
from kerasgrid.planning.away import Away
from kerasgrid.run.paths import RunPaths
from kerasgrid.training import away


@pytest.fixture
def fake(monkeypatch):
    """Searches train nothing."""
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    monkeypatch.setattr("kerasgrid.planning.packing.run_probes", fake_probes)


@pytest.fixture
def unseen(monkeypatch, tmp_path):
    """Workers see no file of the driver's, and have a cache of their own."""
    monkeypatch.setattr(away, "_sees", away._sees)  # as it is again at the end
    see_nothing()


def searched(config, results, executor, *given, **options):
    draft = read_draft(config)
    with driver.opened(draft, *given, results=results, executor=executor, **options) as session:
        session.run_engine()
    return session.results


def content(folder):
    """Returns what a run has on disk, without its times."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        str(name): without_times(json.loads(path.read_text()))
        if name.suffix == ".json"
        else path.read_bytes()
        for name, path in files.items()
        if name.name not in ("journal.jsonl", "lock")
    }


@pytest.mark.parametrize("engine", ["grid", "halving"])
def test_a_search_is_the_same_where_nothing_is_seen(fake, unseen, tmp_path, engine):
    config = CONFIG | {"search": CONFIG["search"] | {"engine": engine, "keep_models": "best"}}
    searched(config, tmp_path / "here", Inline())
    with Away(Inline()) as executor:
        searched(config, tmp_path / "away", executor, observer=StopAfter(5, executor.stop))
    assert RunPaths(tmp_path / "away", "fake").checkpoints
    with Away(Inline()) as executor:
        assert searched(config, tmp_path / "away", executor).status == "complete"
    assert content(tmp_path / "away") == content(tmp_path / "here")
    assert not [path for path in away._root().rglob("*.np[yz]") if path.name != "folds.npz"]


def test_the_devices_are_those_of_the_workers(monkeypatch):
    monkeypatch.setattr(Inline, "device_kinds", lambda self: ["NVIDIA H200"])
    assert Away(Inline()).device_kinds() == ["NVIDIA H200"]


NET = """
import keras
from blocks import Scaled

def known(function):
    return function

@known  # so that a worker has to tell what it takes
def build(input_shape, n_classes, units=4):
    print("built")
    layers = [keras.Input(input_shape), keras.layers.Flatten(), Scaled(), keras.layers.Dense(units)]
    return keras.Sequential([*layers, keras.layers.Dense(n_classes, activation="softmax")])
"""
BLOCKS = """
import keras

@keras.saving.register_keras_serializable("test")
class Scaled(keras.layers.Layer):
    def call(self, values):
        return values * 2.0
"""
SCORE = """
def hits(y_true, y_pred):
    return float((y_true == y_pred).mean())
"""


@pytest.mark.slow
def test_a_search_of_the_users_own_code_is_the_same_on_a_machine_that_sees_nothing(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "nets").mkdir(parents=True)
    elsewhere.mkdir()
    for path, text in {"nets/net.py": NET, "nets/blocks.py": BLOCKS, "score.py": SCORE}.items():
        (project / path).write_text(text)
    config = {
        "name": "own",
        "model": f"{project}/nets/net.py:build",
        "params": {"epochs": 4, "batch_size": 8},
        "space": {"learning_rate": [0.01, 0.1]},
        "search": {"folds": 2, "objective": f"{project}/score.py:hits", "keep_models": "best"},
    }
    given = Given(np.random.default_rng(0).random((32, 3), np.float32), np.arange(32) % 2)
    there = {"TMPDIR": str(elsewhere), "KERASGRID_CACHE": str(elsewhere / "cache"), "KERASGRID_NODE": "n1"}
    here, results = tmp_path / "here", tmp_path / "away"
    with Processes(1, environment=[there], setup=see_nothing) as executor:
        searched(config, here, executor, given)
        observer = StopAfter(5, crash)
        with pytest.raises(Crash):
            searched(config, results, Away(executor), given, observer=observer, checkpoint_interval_s=0)
        assert RunPaths(results, "own").checkpoints
        told = StopAfter(-1, crash)
        assert searched(config, results, Away(executor), given, observer=told).status == "complete"
        assert -1 - told.n < 4 * 2 * 2
        kept = _modules_of(RunPaths(here, "own"))
        assert len(kept) == 2
        assert all(kept.values())
        assert _modules_of(RunPaths(results, "own")) == kept
        ours, theirs = (content(folder)["own.json"] for folder in (here, results))
        assert ours["trials"] == theirs["trials"]
        assert "built" in (results / "own" / "workers-n1.log").read_text()
        monkeypatch.setattr(fitting, "make_executor", lambda *_, **__: Away(executor))
        fitted = fitting.fit(results / "own.json")
        assert fitted.models[0].exists()


def _modules_of(paths):
    """Returns by what names modules of the user's own are known in kept models."""
    found = {}
    for path in paths.models:
        with zipfile.ZipFile(path) as archive:
            found[path.name] = set(re.findall(rb"kerasgrid_model_[0-9a-f]{12}", archive.read("config.json")))
    return found
