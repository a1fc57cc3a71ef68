"""What is asked in a process of its own."""

from __future__ import annotations

import os
import threading
import time

from kerasgrid.engines.ask_and_tell import AskedProcess
from kerasgrid.io import scratch_folder


class Surroundings:
    library = "Nobody's"

    def __init__(self):
        self.scratch = scratch_folder()
        self.scratch.__enter__()
        threading.Thread(target=time.sleep, args=(60,)).start()  # as libraries have them

    def ask(self, n):
        return [(name, {"value": os.environ.get(name)}) for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS")]


def test_it_leaves_gpus_to_the_workers_and_nothing_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with AskedProcess(Surroundings) as asked:
        found = {name: values["value"] for name, values in asked.ask(2)}
        assert len(list(tmp_path.iterdir())) == 1
        began = time.monotonic()
    assert time.monotonic() - began < 30  # it waits for no thread
    assert not list(tmp_path.iterdir())
    assert found == {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "JAX_PLATFORMS" not in os.environ
