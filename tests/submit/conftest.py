"""A service on loopback for Kaggle's real client, a home of its own, and a search's results."""

from __future__ import annotations

import json

import pytest
from service import TOKEN, Service

from kerasgrid.io import RunPaths

SAMPLE = "ImageId,Label\n1,0\n2,0\n3,0\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder without credentials, and nothing of Kaggle's in the environment."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in (
        "API_V1_TOKEN",
        "KERNEL_RUN_TYPE",
        "API_TOKEN",
        "USERNAME",
        "KEY",
        "CONFIG_DIR",
        "API_ENVIRONMENT",
    ):
        monkeypatch.delenv(f"KAGGLE_{name}", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


@pytest.fixture
def service(home, monkeypatch):
    pytest.importorskip("kagglesdk", reason="this asks Kaggle's own client")
    with Service() as running:
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
        monkeypatch.setenv("http_proxy", running.address)
        for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
        yield running


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The file names of a search in the working folder that has predicted."""
    folder = tmp_path / "work"
    (folder / "data").mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / "data" / "sample_submission.csv").write_text(SAMPLE)
    config = {"data": {"train": "data/train.csv", "test": "data/test.csv", "sample_submission": None}}
    found = {
        "schema": "kerasgrid.results/1",
        "name": "grid",
        "status": "complete",
        "config": config,
        "data": {"samples": 9, "classes": 10, "class_names": list(range(10))},
        "trials": [],
        "best": None,
    }
    paths = RunPaths(folder / "results", "grid")
    paths.folder.mkdir(parents=True)
    paths.json.write_text(json.dumps(found))
    paths.submission.write_text("ImageId,Label\n1,7\n2,2\n3,9\n")
    return paths
