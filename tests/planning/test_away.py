"""Workers that do not see the driver's files, over executors whose workers do."""

import json

import pytest
from fakes import CONFIG, StopAfter, fake_probes, fake_train_pack, without_times

from kerasgrid.checks.draft import read_draft
from kerasgrid.driver import search as driver
from kerasgrid.executors import Inline
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
    monkeypatch.setattr(away, "_sees", lambda path, content: False)


def searched(config, results, executor, **options):
    with (
        executor,
        driver.opened(read_draft(config), results=results, executor=executor, **options) as session,
    ):
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
    stopper = StopAfter(5, lambda: executor.stop())
    executor = Away(Inline())
    searched(config, tmp_path / "away", executor, observer=stopper)
    stopped = RunPaths(tmp_path / "away", "fake")
    assert stopped.checkpoints
    assert searched(config, tmp_path / "away", Away(Inline())).status == "complete"
    assert content(tmp_path / "away") == content(tmp_path / "here")
    assert not [path for path in away._root().rglob("*.np[yz]") if path.name != "folds.npz"]


def test_the_devices_are_those_of_the_workers(monkeypatch):
    monkeypatch.setattr(Inline, "device_kinds", lambda self: ["NVIDIA H200"])
    assert Away(Inline()).device_kinds() == ["NVIDIA H200"]
