"""What a command says of a file of another kind: what is needed, what this is, and what takes it."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import run

from kerasgrid.io import kind_of

GRID = "data: {train: digits}\nmodel: fc\n"
RESULTS = {"schema": "kerasgrid.results/1", "name": "grid", "trials": []}
TEXTS = {
    "grid.yaml": GRID,
    "old.yml": "# no keys that are known\n",
    "grid.txt": GRID,
    "results/a.json": json.dumps(RESULTS),
    "pretty.json": json.dumps(RESULTS, indent=2),
    "best.json": json.dumps({"schema": "kerasgrid.model/1", "file": "best.keras"}),
    "run/journal.jsonl": '{"format":"kerasgrid.journal/1"}\n',
    "run.json": json.dumps(RESULTS),
    "train.csv": "label,p0\n0,1\n",
    "notes.ipynb": json.dumps({"cells": [], "nbformat": 4}),
    "bare": json.dumps({"cells": [], "nbformat": 4}),
    "net.py": "def build(input_shape, n_classes):\n    pass\n",
    "page.html": "<!DOCTYPE html><html></html>",
    "picture": b"\x89PNG\r\n\x1a\n",
    "photo.csv": b"\xff\xd8\xff\xe0",
    "model.h5": b"\x89HDF\r\n\x1a\n",
    "paper.pdf": b"%PDF-1.7",
    "study.db": b"SQLite format 3\0",
    "images-idx3-ubyte": b"\0\0\x08\x03",
    "empty": "",
    "list.json": "[1]",
    "words": "some words",
}
KINDS = {
    "grid": "grid.yaml old.yml grid.txt",
    "results": "results/a.json pretty.json run.json",
    "card": "best.json",
    "journal": "run/journal.jsonl",
    "run": "run",
    "folder": "folder",
    "table": "train.csv",
    "arrays": "train.npz a.npy images-idx3-ubyte",
    "model": "best.keras",
    "archive": "other.zip",
    "notebook": "notes.ipynb bare",
    "code": "net.py",
    "page": "page.html",
    "picture": "picture photo.csv",
    "weights": "model.h5",
    "document": "paper.pdf",
    "database": "study.db",
    "function": "net.py:build nets/net.py:build package.module:build",
    "dataset": "digits",
    None: "empty list.json words gone.csv gone.csv:3 sqlite:///gone.db",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a file of each kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERASGRID_TRACEBACK", raising=False)
    for name, content in TEXTS.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    Path("folder").mkdir()
    np.savez("train.npz", images=np.zeros((4, 2)))
    np.save("a.npy", np.zeros(3))
    for name, member in (("best.keras", "metadata.json"), ("other.zip", "a.txt")):
        with zipfile.ZipFile(name, "w") as archive:
            archive.writestr(member, "{}")
    return tmp_path


@pytest.mark.parametrize(("kind", "files"), KINDS.items())
def test_a_file_is_told_by_its_content(here, kind, files):
    for file in files.split():
        found = kind_of(file)
        assert (found and found.name) == kind, file
        assert kind_of(file, takes=(kind,)) is None


@given(st.binary(max_size=200))
def test_whatever_the_bytes_it_is_told_or_not_known(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    found = kind_of(path)
    assert found is None or found.told("grid").startswith("is ")


FIT = [("fit", "{}"), ("predict", "{}"), ("submit", "{}", "-c", "x", "-m", "y"), ("submissions", "{}")]
VIEW = [("plot", "{}"), ("report", "{}"), ("suggest", "{}"), ("export", "{}", "--to", "tensorboard")]
SEARCH = [("search", "{}"), ("check", "{}"), ("compare", "{}")]
INIT = [("init", "{}", "-o", "new.yaml")]
WRONG = [
    (SEARCH, "a grid.yaml", "results/a.json", "a results file", "kerasgrid plot results/a.json, and report"),
    (SEARCH, "a grid.yaml", "train.csv", "a table", "kerasgrid init train.csv"),
    (SEARCH, "a grid.yaml", "train.npz", "a file of arrays", "kerasgrid init train.npz"),
    (SEARCH, "a grid.yaml", "best.keras", "a model of Keras", "kerasgrid predict results/NAME.json"),
    (SEARCH, "a grid.yaml", "notes.ipynb", "a notebook", ""),
    (SEARCH, "a grid.yaml", "net.py", "a file of Python", "model: net.py:FUNCTION"),
    (SEARCH, "a grid.yaml", "net.py:build", "a model function", "names it: model: net.py:build"),
    (SEARCH, "a grid.yaml", "pkg.nets:build", "a model function", "names it: model: pkg.nets:build"),
    (SEARCH, "a grid.yaml", "fc", "a model function", "names it: model: fc"),
    (SEARCH, "a grid.yaml", "digits", "a built-in data set", "data: {train: digits}"),
    (SEARCH, "a grid.yaml", "run", "the folder of a search", "found is in run.json"),
    (SEARCH, "a grid.yaml", "folder", "a folder", ""),
    *(
        (commands, needed, *rest)
        for commands, needed in ((FIT, "a results file"), (VIEW, "results"))
        for rest in (
            ("grid.yaml", "a grid.yaml", "kerasgrid check grid.yaml, kerasgrid search grid.yaml"),
            ("best.keras", "a model of Keras", "kerasgrid predict results/NAME.json --data FILE"),
            ("notes.ipynb", "a notebook", ""),
            ("net.py", "a file of Python", ""),
            ("picture", "a picture", ""),
            ("run", "the folder of a search", "found is in run.json"),
            ("run/journal.jsonl", "the journal of a search", "found is in run.json"),
            ("train.npz", "a file of arrays", "kerasgrid predict by --data FILE"),
        )
    ),
    (FIT, "a results file", "digits", "a built-in data set", "kerasgrid init digits"),
    (INIT, "data", "net.py:build", "a model function", "model: net.py:build"),
    (FIT, "a results file", "train.csv", "a table", "kerasgrid predict by --data FILE"),
    (INIT, "data", "grid.yaml", "a grid.yaml", "kerasgrid check grid.yaml"),
    (INIT, "data", "results/a.json", "a results file", "kerasgrid plot results/a.json"),
    (INIT, "data", "notes.ipynb", "a notebook", ""),
    (INIT, "data", "net.py", "a file of Python", ""),
    (INIT, "data", "best.keras", "a model of Keras", ""),
]


@pytest.mark.parametrize(("commands", "needed", "file", "this", "way"), WRONG)
def test_each_command_says_what_it_needs_what_this_is_and_what_takes_it(
    here, monkeypatch, capsys, commands, needed, file, this, way
):
    for command in commands:
        assert run(monkeypatch, *(part.format(file) for part in command)) == 1
        told = capsys.readouterr().err
        assert told.startswith((f"{file} is {this}", f"{file}: is {this}"))
        assert f"and {needed} " in told.partition(this)[2]
        assert way in told
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "this", "way"),
    [
        ("grid.yaml", "a grid.yaml", "kerasgrid check grid.yaml"),
        ("results/a.json", "a results file", "kerasgrid plot results/a.json"),
        ("train.npz", "a file of arrays", "Samples are given to kerasgrid predict by --data FILE."),
        ("best.keras", "a model of Keras", "kerasgrid predict results/NAME.json --data FILE"),
        ("page.html", "a page", ""),
        ("photo.csv", "a picture", ""),
        ("folder", "a folder", "a file is needed here"),
        ("pipe", "a pipe", "a file is needed here"),
    ],
)
@pytest.mark.parametrize("option", ["-f", "--sample"])
def test_a_submission_or_a_sample_of_another_kind_is_told(here, monkeypatch, capsys, option, file, this, way):
    os.mkfifo("pipe")
    files = {"-f": "train.csv", option: file}
    given = [part for pair in files.items() for part in pair]
    assert run(monkeypatch, "submit", "results/a.json", "-c", "x", "-m", "y", "--dry-run", *given) == 1
    told = capsys.readouterr().err
    assert f"{file} is {this}" in told
    assert "needed here" in told
    assert way in told


def test_a_grid_that_was_searched_names_its_results(here, monkeypatch, capsys):
    Path("results/grid.json").write_text(json.dumps(RESULTS))
    assert run(monkeypatch, "fit", "grid.yaml") == 1
    assert "What a search of it has found is in results/grid.json." in capsys.readouterr().err
