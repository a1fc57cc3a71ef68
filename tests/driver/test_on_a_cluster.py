"""A search on a Ray cluster that loses workers, a node or its driver is as one on this machine."""

import json
import math
import signal
import subprocess
import sys
import time

import psutil
import pytest
from fakes import settle_unseeing, without_times

from kerasgrid import search
from kerasgrid.run.observer import Observer

pytestmark = pytest.mark.ray
CONFIG = {
    "name": "run",
    "data": {"train": "digits", "scale": 16},
    "model": "fc",
    "params": {"units": [16], "epochs": 400, "batch_size": 64, "batch_norm": False},
    "space": {"learning_rate": [0.001, 0.01], "activation": ["relu", "tanh"]},
    "search": {"folds": 2},
    "executor": {"kind": "processes", "workers": 2},
}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What the search gives in two processes of this machine, and how a journal began there."""
    folder = tmp_path_factory.mktemp("here")
    env = pytest.MonkeyPatch()
    with env.context() as patch:
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            patch.setenv(name, "1")
        search(CONFIG, results=folder)
    return folder


def on(executor):
    return CONFIG | {"executor": executor}


def found(folder):
    told = without_times(json.loads((folder / "run.json").read_text()))
    del told["config"]["executor"], told["base"]
    return told


def packs(folder):
    records = map(json.loads, (folder / "run" / "journal.jsonl").read_text().splitlines())
    return [
        {key: value for key, value in record.items() if key not in ("time", "session_s", "crc32")}
        for record in records
        if record.get("type") == "pack"
    ]


class Losses(Observer):
    """Kills the workers, and then a node, while fits are under way."""

    def __init__(self, cluster, add_node):
        self.cluster, self.add_node, self.node = cluster, add_node, add_node()
        self.notes, self.n_epochs = [], 0

    def note(self, text):
        self.notes.append(text)

    def epoch(self, record):
        self.n_epochs += 1
        if self.n_epochs == 200:
            for node in self.cluster.list_all_nodes():
                kill_workers(node)
        if self.n_epochs == 900:
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.add_node()


def kill_workers(node):
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in raylet.children():
        if process.name().startswith("ray::Worker"):
            process.kill()


def test_a_search_that_loses_a_worker_and_a_node_is_as_one_here(
    cluster, add_node, here, tmp_path, monkeypatch
):
    """Its workers see none of the driver's files, so that checkpoints come back and go elsewhere."""
    monkeypatch.setattr("kerasgrid.planning.workers.settle", settle_unseeing)
    losses = Losses(cluster, add_node)
    executor = {"kind": "ray", "address": cluster.address, "workers": 3}
    results = search(on(executor), results=tmp_path, observer=losses, checkpoint_interval_s=0.2)
    assert results.status == "complete"
    assert any("died on" in line for line in losses.notes)
    assert any("will go on elsewhere" in line for line in losses.notes)
    assert found(tmp_path) == found(here)


def test_a_search_whose_driver_is_killed_and_stopped_is_as_one_here(cluster, here, tmp_path):
    code = "import kerasgrid; kerasgrid.search('run.yaml', results='.', checkpoint_interval_s=0.2)"
    journal, json_file = tmp_path / "run" / "journal.jsonl", tmp_path / "run.json"
    ends = [
        (cluster.address, 1, signal.SIGKILL),
        (cluster.client_address, 4, signal.SIGINT),
        (cluster.client_address, 7, signal.SIGKILL),
        (cluster.address, math.inf, None),
    ]
    for address, n_checkpoints, end in ends:
        (tmp_path / "run.yaml").write_text(json.dumps(on({"kind": "ray", "address": address, "workers": 2})))
        running, n_there = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path), 0
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
    assert found(tmp_path) == found(here)
    assert packs(tmp_path) == packs(here)
