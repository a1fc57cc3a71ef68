"""`kerasgrid plot` and what `main` makes of errors: exit codes and words, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running import run

from kerasgrid import cli
from kerasgrid.errors import ResultsError

TRIALS = [{"dropout": 0.2, "mean_test_score": 0.9}, {"dropout": 0.4, "mean_test_score": 0.8}]
LONG = "x" * 300


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERASGRID_TRACEBACK", raising=False)
    Path("grid.json").write_text(json.dumps(TRIALS))
    Path("afile").write_text("mine")
    Path("adir").mkdir()
    Path("adir.html").mkdir()
    Path("page.html").write_text(json.dumps(TRIALS))
    Path("link.html").hardlink_to("grid.json")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "page"),
    [
        (["grid.json"], "grid.html"),
        (["grid.json", "-o", "new/a.htm"], "new/a.htm"),
        (["grid.json", "page.html", "-o", "B.HTML"], "B.HTML"),
    ],
)
def test_the_page_lies_where_it_should(folder, monkeypatch, capsys, arguments, page):
    assert run(monkeypatch, "plot", *arguments) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert (folder / page).read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")
    assert json.loads(Path("grid.json").read_text()) == TRIALS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["grid.json", "-o", "grid.json"],
            "grid.json is no name for a page, which ends in .html or .htm. Choose another, such as: "
            "-o grid.html",
        ),
        (
            ["page.html"],
            "page.html is a file of results that is read here, and would be written over. "
            "Choose another with -o FILE.html.",
        ),
        (["grid.json", "page.html", "-o", "adir/../page.html"], "adir/../page.html is a file of results"),
        (["grid.json", "-o", "link.html"], "link.html is a file of results that is read here"),
        (
            ["grid.json", "-o", "adir"],
            "adir is a folder, and a page is one file. Choose another, such as: -o adir/grid.html",
        ),
        (
            ["grid.json", "-o", "my page"],
            "my page is no name for a page, which ends in .html or .htm. Choose "
            "another, such as: -o 'my page.html'",
        ),
        (["grid.json", "-o", ".."], ".. is a folder, and a page is one file. "),
        (["grid.json", "-o", "adir.html"], "adir.html: cannot be written (Is a directory). Choose"),
        (
            ["grid.json", "-o", "afile/x.html"],
            "afile/x.html: cannot be written (afile is a file, and a folder is needed there). Choose another",
        ),
        (["grid.json", "-o", f"{LONG}.html"], f"{LONG}.html: cannot be written (File name too long). "),
        ([f"{LONG}.json"], f"{LONG}.json: cannot be read (File name too long)."),
        ([f"{LONG}/a.json"], f"{LONG}/a.json: cannot be read (File name too long)."),
        (["afile/x.json"], "afile/x.json: cannot be read (Not a directory)."),
        (["."], ". is a folder, and no project of KerasTuner. Known are:"),
        (["grid.json", "--epochs"], "grid: there is no history of epochs. Plot the trials, without"),
    ],
)
def test_what_cannot_be_plotted_is_told_in_words(folder, monkeypatch, capsys, arguments, message):
    before = {path: path.read_text() for path in folder.iterdir() if path.is_file()}
    assert run(monkeypatch, "plot", *arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(message)
    assert printed.err.count("\n") == 1
    assert {path: path.read_text() for path in folder.iterdir() if path.is_file()} == before


def test_the_environment_brings_the_traceback_back(folder, monkeypatch):
    monkeypatch.setenv("KERASGRID_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["kerasgrid", "plot", "gone.json"])
    with pytest.raises(ResultsError, match="there is no such file"):
        cli.main()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            OSError(36, "File name too long", "results/x"),
            1,
            "results/x: File name too long. KERASGRID_TRACEBACK=1 in the environment shows where.\n",
        ),
        (
            OSError(28, "No space left on device"),
            1,
            "what is printed: No space left on device. "
            "KERASGRID_TRACEBACK=1 in the environment shows where.\n",
        ),
        (BrokenPipeError(), 1, ""),
        (KeyboardInterrupt(), 130, "Interrupted. The same command goes on from here.\n"),
        (SystemExit(3), 3, ""),
    ],
)
def test_what_the_system_raises_is_told_in_words(monkeypatch, capsys, error, code, message):
    def fail():
        raise error

    monkeypatch.delenv("KERASGRID_TRACEBACK", raising=False)
    monkeypatch.setattr(cli, "_program", lambda: fail)
    assert run(monkeypatch) == code
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("plot grid.json >/dev/full", 1, "what is printed: No space left on device."),
        ("plot gone.json >/dev/full", 1, "gone.json: there is no such file."),
        ("schema | exit 0", 1, ""),
        ("plot grid.json >&-", 0, ""),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_takes_nothing_gives_no_traceback(folder, command, code, message):
    program = f'"{sys.executable}" -c "from kerasgrid.cli import main; main()"'
    done = subprocess.run(
        ["bash", "-c", f"{program} {command}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == bool(message)


def test_a_page_of_the_data_lies_beside_its_grid(folder, monkeypatch, capsys):
    Path("grid.yaml").write_text("data: {train: digits, subset: 200}\nmodel: none.py:build\n")
    assert run(monkeypatch, "plot", "--data", "grid.yaml") == 0
    assert capsys.readouterr().out == "grid.data.html\n"
    assert "subset: 200 of 1797 samples" in Path("grid.data.html").read_text()
    assert run(monkeypatch, "plot", "--data", "grid.yaml", "-o", "a.htm") == 0
    assert Path("a.htm").is_file()
    for arguments in (["grid.yaml", "grid.yaml"], ["grid.yaml", "--augment"]):
        assert run(monkeypatch, "plot", "--data", *arguments) == 2
