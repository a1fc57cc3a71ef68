"""`kerasgrid report` and `kerasgrid suggest`: where what they write goes, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import running

TRIALS = [
    {
        "dropout": dropout,
        "norm": norm,
        "mean_test_score": 0.9 - dropout / 10 + norm / 50 + (dropout * norm) / 1000,
    }
    for dropout in (0.2, 0.3, 0.4, 0.5)
    for norm in (True, False)
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERASGRID_TRACEBACK", raising=False)
    Path("grid.json").write_text(json.dumps(TRIALS))
    Path("there.yaml").write_text("mine")
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Returns the exit code, and what was printed to either stream, of the command line in this process."""

    def ran(*arguments):
        return running.run(monkeypatch, *arguments), *capsys.readouterr()

    return ran


@pytest.mark.parametrize(("given", "page"), [([], "grid.report.html"), (["-o", "new/a.html"], "new/a.html")])
def test_a_report_prints_its_conclusions_and_where_the_page_is(run, given, page):
    code, out, _ = run("report", "grid.json", *given)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("Trial 0 is the best of 8 trials.")
    assert any("norm = true" in line and "4 of 4 matched pairs" in line for line in lines)
    assert lines[-1] == page
    assert Path(page).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(Path("grid.json").read_text()) == TRIALS


def test_failures_come_early_and_what_is_not_printed_is_counted(run):
    extra = [{f"p{n}": value for n in range(16)} for value in (0, 1)]
    rows = [{**params, "mean_test_score": 0.5 + params["p0"] / 10, "state": "complete"} for params in extra]
    rows.append({**extra[0], "mean_test_score": None, "state": "failed", "error": "out of memory"})
    Path("many.json").write_text(json.dumps(rows))
    code, out, _ = run("report", "many.json")
    lines = out.splitlines()
    assert code == 0
    assert lines[2] == "1 trial failed: out of memory. (Trial 2.)"
    assert lines[-2:] == ["7 sentences more on the page:", "many.report.html"]


def test_markdown_and_json_are_printed_or_written(run):
    code, out, _ = run("report", "grid.json", "--md")
    assert (code, out.splitlines()[0]) == (0, "# grid: what was learnt")
    code, out, _ = run("report", "grid.json", "--json")
    assert (code, len(json.loads(out)["leaderboard"])) == (0, 8)
    assert run("report", "grid.json", "--md", "-o", "a.md")[:2] == (0, "a.md\n")
    assert Path("a.md").read_text().startswith("# grid")
    assert not Path("grid.report.html").exists()


def test_the_next_grid_is_printed_or_written(run):
    code, out, _ = run("suggest", "grid.json")
    assert code == 0
    assert out.startswith("# What grid suggests to try next.")
    assert run("suggest", "grid.json", "-o", "next.yaml")[:2] == (0, "next.yaml\n")
    assert Path("next.yaml").read_text() == out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["report", "none.json"], 1, "none.json: there is no such file. That folder has: grid.json."),
        (["report", "grid.json", "-o", "a.txt"], 1, "a.txt is no name for a page"),
        (
            ["report", "grid.json", "--json", "-o", "grid.json"],
            1,
            "would be written over. Choose another with -o FILE.json.",
        ),
        (["report", "grid.json", "--json", "--md"], 2, "choose one"),
        (["report", "grid.json", "--json", "--open"], 2, "--open shows a page"),
        (
            ["suggest", "grid.json", "-o", "there.yaml"],
            1,
            "there.yaml exists already, and is never overwritten.",
        ),
        (["suggest", "none.json"], 1, "there is no such file"),
    ],
)
def test_faults_are_told_in_words(run, arguments, code, message):
    found, out, error = run(*arguments)
    assert found == code
    if "--json" in arguments and code == 1:
        assert message in json.loads(out)["faults"][0]["message"]
    else:  # usage is told before anything is known
        assert out == ""
    assert message in " ".join(error.replace("│", " ").split())
    assert "Traceback" not in error
    assert json.loads(Path("grid.json").read_text()) == TRIALS
    assert Path("there.yaml").read_text() == "mine"
