"""A search on a Ray cluster that loses workers, a node or its driver is as one on this machine."""

import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import fakes
import psutil
import pytest
from fakes import without_times

from kerasgrid import search
from kerasgrid.driver import search as driver
from kerasgrid.executors.cluster import name_of
from kerasgrid.planning import packing
from kerasgrid.run.observer import Observer

pytestmark = pytest.mark.ray
TRAINED = {
    "name": "run",
    "data": {"train": "digits", "scale": 16},
    "model": "fc",
    "params": {"units": [16], "epochs": 40, "batch_size": 64, "batch_norm": False},
    "space": {"learning_rate": [0.001, 0.01]},
    "search": {"folds": 2},
}
FAKED = TRAINED | {"params": {"epochs": 20}}
FAKE = {
    "kerasgrid.planning.workers.settle": fakes.settle_to_fake,
    "kerasgrid.planning.packing.run_probes": fakes.fake_probes,
    "kerasgrid.driver.search.train_pack": fakes.paced_train_pack,
}
DRIVER = """
import fakes, kerasgrid
from kerasgrid.driver import search
from kerasgrid.planning import packing, workers

def settle(*given):
    import fakes
    return fakes.settle_to_fake(*given)

def train_pack(*given):
    import fakes
    fakes.paced_train_pack(*given)

workers.settle, packing.run_probes, search.train_pack = settle, fakes.fake_probes, train_pack
kerasgrid.search("run.yaml", results=".")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """What the search that trains nothing gives in this process."""
    with monkeypatch.context() as patch:
        patch.setattr(packing, "run_probes", fakes.fake_probes)
        patch.setattr(driver, "train_pack", fakes.fake_train_pack)
        search(FAKED | {"executor": {"kind": "inline"}}, results=tmp_path / "here")
    return found(tmp_path / "here")


def found(folder):
    told = without_times(json.loads((folder / "run.json").read_text()))
    del told["config"]["executor"], told["base"], told["environment"]
    return told


def packs(folder):
    records = map(json.loads, (folder / "run" / "journal.jsonl").read_text().splitlines())
    return [
        {key: value for key, value in record.items() if key not in ("time", "session_s", "crc32")}
        for record in records
        if record.get("type") == "pack"
    ]


class Losses(Observer):
    """Kills the workers when so many epochs have been told."""

    def __init__(self, cluster, kill_at):
        self.cluster, self.kill_at = cluster, kill_at
        self.notes, self.n_epochs = [], 0

    def note(self, text):
        self.notes.append(text)

    def epoch(self, record):
        self.n_epochs += 1
        if self.n_epochs == self.kill_at:
            for node in self.cluster.list_all_nodes():
                kill_workers(node)


class LossesAndNode(Losses):
    """Does so, and then removes a node as soon as it trains again, for which all others wait."""

    def __init__(self, cluster, kill_at, add_node):
        super().__init__(cluster, kill_at)
        self.add_node, self.node = add_node, add_node()

    def epoch(self, record):
        if fakes.TRAINS.exists():
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.add_node()
            fakes.TRAINS.unlink()
            fakes.ONLY.unlink()
        super().epoch(record)
        if self.n_epochs == self.kill_at:
            fakes.ONLY.write_text(name_of(platform.node(), self.node.node_id))


def kill_workers(node):
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in raylet.children():
        if process.name().startswith("ray::Worker"):
            process.kill()


def test_a_search_that_trains_and_loses_a_worker_is_as_one_here(cluster, tmp_path, monkeypatch):
    """Its worker sees none of the driver's files, so that checkpoints come back and go elsewhere."""
    with monkeypatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            patch.setenv(name, "1")
        search(TRAINED | {"executor": {"kind": "processes", "workers": 1}}, results=tmp_path / "here")
    monkeypatch.setattr("kerasgrid.planning.workers.settle", fakes.settle_unseeing)
    losses = Losses(cluster, 60)
    executor = {"kind": "ray", "address": cluster.address, "workers": 1}
    folder = tmp_path / "there"
    search(TRAINED | {"executor": executor}, results=folder, observer=losses, checkpoint_interval_s=0)
    assert any("died on" in line for line in losses.notes)
    assert found(folder) == found(tmp_path / "here")
    assert packs(folder) == packs(tmp_path / "here")


def test_a_search_that_loses_workers_and_a_node_is_as_one_here(
    cluster, add_node, here, tmp_path, monkeypatch
):
    for name, function in FAKE.items():
        monkeypatch.setattr(name, function)
    monkeypatch.chdir(tmp_path)
    losses = LossesAndNode(cluster, 10, add_node)
    executor = {"kind": "ray", "address": cluster.address, "workers": 3}
    results = search(FAKED | {"executor": executor}, results=tmp_path, observer=losses)
    assert results.status == "complete"
    assert any("died on" in line for line in losses.notes)
    assert any("will go on elsewhere" in line for line in losses.notes)
    assert found(tmp_path) == here


def test_a_search_whose_driver_is_killed_and_stopped_is_as_one_here(cluster, here, tmp_path):
    journal, json_file = tmp_path / "run" / "journal.jsonl", tmp_path / "run.json"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(fakes.__file__).parent), os.environ.get("PYTHONPATH", "")]),
        "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "1",  # the next driver waits for that time
    }
    ends = [
        (cluster.address, 1, signal.SIGKILL),
        (cluster.client_address, 15, signal.SIGINT),
        (cluster.client_address, 30, signal.SIGKILL),
        (cluster.address, math.inf, None),
    ]
    for address, n_checkpoints, end in ends:
        executor = {"kind": "ray", "address": address, "workers": 2}
        (tmp_path / "run.yaml").write_text(json.dumps(FAKED | {"executor": executor}))
        command = [sys.executable, "-c", DRIVER]
        running = subprocess.Popen(command, cwd=tmp_path, env=environment)
        n_there = 0
        while running.poll() is None and n_there < n_checkpoints:
            time.sleep(0.05)
            n_there = journal.read_text().count('"type":"checkpoint"') if journal.exists() else 0
        if end is not None:
            running.send_signal(end)
        if end is signal.SIGKILL:  # results.json may not have been written since
            assert running.wait() == -end
        else:
            running.wait()
            status = json.loads(json_file.read_text())["status"]
            assert status == ("complete" if end is None else "interrupted")
    assert found(tmp_path) == here
