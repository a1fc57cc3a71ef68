"""What is asked in a process of its own."""

from __future__ import annotations

import os

from kerasgrid.engines.asked import AskedProcess


class Surroundings:
    library = "Nobody's"

    def ask(self, n):
        return [(name, {"value": os.environ.get(name)}) for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS")]


def test_it_leaves_gpus_to_the_workers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with AskedProcess(Surroundings) as asked:
        found = {name: values["value"] for name, values in asked.ask(2)}
    assert found == {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "JAX_PLATFORMS" not in os.environ
