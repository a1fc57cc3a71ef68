"""A service on loopback for Kaggle's real client, a home of its own, and a search's results."""

from __future__ import annotations

import json

import pytest
from service import Server, asked_by_kaggle, skip_without_client, without_credentials

from kerasgrid.run.paths import RunPaths
from kerasgrid.submit.client import Client

SAMPLE = "ImageId,Label\n1,0\n2,0\n3,0\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder without credentials, and nothing of Kaggle's in the environment."""
    folder = tmp_path / "home"
    folder.mkdir()
    without_credentials(monkeypatch, folder)
    return folder


@pytest.fixture(scope="session")
def server():
    skip_without_client()
    with Server() as running:
        yield running


@pytest.fixture
def service(home, server, monkeypatch):
    asked_by_kaggle(monkeypatch, server)
    yield server.service
    server.service.released.set()


@pytest.fixture(scope="module")
def kept():
    """Clients that have ended and whose process lives: one at most."""
    clients = []
    yield clients
    for client in clients:
        client._end()


@pytest.fixture
def shared_process(kept, service, monkeypatch):
    """Lets a client go on with the process of the one before, where that was not killed.

    A process of its own takes Kaggle's client half a second to import.
    """
    begin = Client._begin

    def go_on(client, *arguments):
        if not kept:
            begin(client, *arguments)
        else:
            client._process = kept.pop()._process

    def leave(client, *_):
        if client._process is not None:
            kept.append(client)

    monkeypatch.setattr(Client, "_begin", go_on)
    monkeypatch.setattr(Client, "__exit__", leave)


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
