"""Views: what holds of each page, text and folder that is made of results, whatever the results are."""

from __future__ import annotations

import io
import json
import os
import pkgutil
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from running import run

from kerasgrid import views
from kerasgrid.cli import showing
from kerasgrid.cli.options import app
from kerasgrid.errors import KerasgridError
from kerasgrid.exports.tensorboard import write_tensorboard
from kerasgrid.report.findings import analyse
from kerasgrid.report.side_by_side import Beside
from kerasgrid.report.suggestion import suggest
from kerasgrid.report.writing import Report
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.reading import read_table
from kerasgrid.views.hiplot import write_page
from kerasgrid.views.leaderboard import leaderboard, summary_lines

# What is shown


def trial(id, params, score, state="complete", **more):
    curves = {
        "loss": [1 - 0.1 * epoch for epoch in range(4)],
        "test_loss": [1 - 0.09 * epoch for epoch in range(4)],
        "test_accuracy": [0.5 + 0.03 * epoch for epoch in range(4)],
    }
    folds = [
        {"fold": fold, "test_score": score + fold / 1000, "epochs": 4, "fit_time": 2.0, "history": curves}
        for fold in range(3 if score is not None else 0)
    ]
    return {
        "id": id,
        "params": params,
        "state": state,
        "mean_test_score": score,
        "std_test_score": None if score is None else 0.001,
        "rank_test_score": None,
        "mean_fit_time": None if score is None else 1 + id / 10,
        "end_time_s": None if score is None else 10.0 + id,
        "n_parameters": 1000 + id,
        "error": None,
        "folds": folds,
        **more,
    }


def results(trials, name="mine", **more):
    return {
        "schema": "kerasgrid.results/1",
        "name": name,
        "status": "complete",
        "objective": {"name": "accuracy", "direction": "max"},
        "config": {"name": name, "data": {"train": "digits"}, "model": "fc"},
        "data": {"fingerprint": "sha256:1"},
        "folds": {"n": 3, "fingerprint": "sha256:2"},
        "environment": {},
        "trials": trials,
        "best": None,
        "summary": {
            "trials": len(trials),
            "fits": 3 * len(trials),
            "epochs_trained": 96,
            "wall_time_s": 61.0,
        },
        **more,
    }


def grid(texts=("act", "relu", "tanh"), **more):
    """Twelve trials over a number and a text, whose name and values are given; one failed, one is dead."""
    name, *values = texts
    trials = [
        trial(id, {"rate": rate, name: value}, 0.9 + rate + 0.02 * (value == values[0]) + id % 3 / 1000)
        for id, (rate, value) in enumerate(product([0.001, 0.003, 0.01], values * 2))
    ]
    failed = {"state": "failed", "error": {"type": values[1], "message": f"{values[0]} in {name}"}}
    trials[3] |= failed | {"mean_test_score": None, "folds": [], "mean_fit_time": None, "end_time_s": None}
    trials[4]["dead"] = values[0]
    return results(trials, **more)


def numbers():
    """A grid whose scores are errors of prices, the smaller the better."""
    names = ("mean_absolute_error", "r2")
    trials = [
        trial(id, {"rate": rate, "units": units}, 18_234.5 + 1e5 * rate + units + id % 3)
        for id, (rate, units) in enumerate(product([0.001, 0.003, 0.01], [16, 32]))
    ]
    for one in trials:
        for fold in one["folds"]:
            fold["metrics"] = dict(zip(names, (fold["test_score"], 0.8), strict=True)) | {"loss": 4.1e8}
            fold["history"] = {"loss": [9e9, 5e8, 4.5e8, 4e8], "test_loss": [9e9, 6e8, 5e8, 4.1e8]}
    objective = {"name": "mean_absolute_error", "direction": "min"}
    return results(trials, objective=objective, data={"targets": ["price", "tax"], "fingerprint": "sha256:1"})


def lacking():
    params = [{"rate": 0.1 * (1 + id % 3), **({"momentum": id // 3} if id % 2 else {})} for id in range(12)]
    return results([trial(id, own, 0.8 + id / 100) for id, own in enumerate(params)])


def many():
    numbers = np.random.default_rng(0)
    params = [
        {
            "rate": float(numbers.uniform(0.001, 1)),
            "units": int(2 ** numbers.integers(3, 7)),
            "norm": bool(id % 2),
        }
        for id in range(200)
    ]
    scores = [0.5 + own["rate"] / 10 + own["norm"] / 20 + float(numbers.normal()) / 100 for own in params]
    return results([trial(id, *both) for id, both in enumerate(zip(params, scores, strict=True))])


def failed():
    error = {"type": "ValueError", "message": "too wide"}
    return results(
        [trial(id, {"units": 2**id}, None, "failed", error=error) for id in range(3)], status="failed"
    )


MARK = "document.body.dataset.ran=1"
MARKUP = (
    f"</script><script>{MARK}</script>",
    f"<img src=x onerror={MARK}>",
    f"'\"><svg onload={MARK}>&lt;b&gt;",
)
ESCAPES = (
    "\x1b]0;title\x07na\x08me\nseed: 1",
    "\x1b[31mred\x1b[0m\x9b2J\n$^$\r",
    "\x7f\u202egnp\u2066.\u0085x\ry\u200f\u061c\ufeff\U000e0041",
)
UNICODE = ("ಕನ್ನಡ", "漢字 😀", "e\u0301 ± ∞")
TABLES: dict[str, Callable[[], dict[str, Any]]] = {
    "normal": grid,
    "one trial": lambda: results([trial(0, {"units": 8}, 0.5)]),
    "all failed": failed,
    "unicode": lambda: grid(UNICODE, name=" ".join(UNICODE)),
    "markup": lambda: grid(MARKUP, name=MARKUP[0]),
    "escapes": lambda: grid(ESCAPES, name=ESCAPES[1], objective={"name": ESCAPES[1], "direction": "max"}),
    "a parameter that some lack": lacking,
    "numbers": numbers,
    "200 trials": many,
    "no trial yet": lambda: results([], status="running"),
    "one under way": lambda: results([trial(0, {"units": 8}, None, "running")], status="running"),
}


# What shows it


@dataclass(frozen=True)
class View:
    """A view of a file of results.

    Attributes:
        module: Of kerasgrid.views that makes it; None where it is made elsewhere.
        form: html, terminal, markdown, json, yaml or folder.
        make: Returns it, of a file of results; a folder's files where it is a folder.
        command: Of the command line that writes it, without the file; None where none does.
        ending: Of the file that it writes.
        has_scripts: Whether a page has scripts of its own.
        shows_time: Whether the same results may give other bytes, since the time is in it.
    """

    module: str | None
    form: str
    make: Callable[[Path], str]
    command: tuple[str, ...] | None = None
    ending: str = ".html"
    has_scripts: bool = False
    shows_time: bool = False


def page_of(path, **options):
    target = path.with_name("made.html")
    try:
        return write_page([read_table(path)], target, **options).read_text(encoding="utf-8")
    finally:
        target.unlink(missing_ok=True)


def printed_leaderboard(path):
    content = ResultsData.load(path)
    board = leaderboard(content, 5)
    texts = [str(board), *summary_lines(content)]
    for width in (40, 200):
        console = Console(file=io.StringIO(), width=width, color_system=None)
        console.print(board)
        texts.append(console.file.getvalue())
    return "\n".join(texts)


def beside(path):
    first = ResultsData.load(path)
    other = grid(("act", "a", "b"), name="other", objective=first.data["objective"])
    return Beside([first, ResultsData(other)], ["How it was run."])


def tensorboard(path):
    folder = write_tensorboard(read_table(path), path.with_name("made"))
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return "\n".join(str(file.relative_to(folder)) for file in found)


report_of = cache(Report)
"""A file's report, analysed once for all its forms."""
VIEWS = {
    "plot": View("hiplot", "html", page_of, ("plot",), has_scripts=True),
    "plot --epochs": View(
        "hiplot", "html", lambda path: page_of(path, epochs=True), ("plot", "--epochs"), has_scripts=True
    ),
    "report": View(None, "html", lambda path: report_of(path).html(), ("report",), ".report.html"),
    "report --md": View(None, "markdown", lambda path: report_of(path).markdown(), ("report", "--md"), ".md"),
    "report --json": View(None, "json", lambda path: report_of(path).json(), ("report", "--json"), ".json"),
    "what report prints": View(None, "terminal", lambda path: "\n".join(report_of(path).sentences())),
    "leaderboard": View("leaderboard", "terminal", printed_leaderboard),
    "comparison": View(None, "html", lambda path: beside(path).html()),
    "what compare prints": View(None, "terminal", lambda path: "\n".join(beside(path).lines())),
    "suggest": View(None, "yaml", lambda path: suggest(analyse(read_table(path))), ("suggest",), ".yaml"),
    "export --to tensorboard": View(None, "folder", tensorboard, shows_time=True),
}
NO_VIEWS = {"drawing", "pages", "progress"}
"""Modules of kerasgrid.views that help the others, or show something else than results."""


def marks(view):
    is_missing = VIEWS[view].form == "folder" and find_spec("tensorboard") is None
    return pytest.mark.skipif(is_missing, reason="the export to TensorBoard needs tensorboard")


def views_that(holds=lambda view: True):
    """The views that fit, to run a test by."""
    fitting = [pytest.param(name, marks=marks(name)) for name, view in VIEWS.items() if holds(view)]
    return pytest.mark.parametrize("view", fitting)


def write_predictions(folder, classes=("cat", "dog", "owl")):
    """Writes what a search keeps of trial 8, the best of a grid: two of thirty samples are mistaken."""
    labels, found = np.arange(30) % 3, np.full((30, 3), 0.01, np.float32)
    found[np.arange(30), labels] = 0.9
    found[[4, 7]] = [0.02, 0.03, 0.95]
    folder.mkdir()
    np.savez(folder / "oof.npz", trial_8=found, labels=labels, classes=np.array(classes), fold=labels)
    images = np.full((2, 6, 6, 3), 200, np.uint8)
    np.savez(folder / "mistakes.npz", trial=np.array(8), index=np.array([4, 7]), images=images)


def write_numbers(folder):
    """Writes what a search keeps of trial 0, the best of a grid of numbers."""
    labels = np.stack([np.linspace(1e5, 7e5, 60), np.arange(60) / 7], axis=1)
    folder.mkdir()
    targets, fold = np.array(["price", "tax"]), np.arange(60) % 3
    np.savez(folder / "oof.npz", trial_0=1.02 * labels, labels=labels, targets=targets, fold=fold)


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Writes a table once, in a folder of its own."""

    @cache
    def written(table):
        path = tmp_path_factory.mktemp("results") / "mine.json"
        path.write_text(json.dumps(TABLES[table]()))
        if table in ("normal", "markup"):
            write_predictions(path.with_suffix(""), *([MARKUP] if table == "markup" else []))
        if table == "numbers":
            write_numbers(path.with_suffix(""))
        return path

    return written


@pytest.fixture(scope="module")
def shown(write):
    """Makes a view of a table once, which leaves its file as it is; None where it is refused."""

    @cache
    def made(view, table):
        path = write(table)
        before = path.read_bytes(), path.stat().st_mtime_ns
        try:
            return VIEWS[view].make(path)
        except KerasgridError:
            return None
        finally:
            assert (path.read_bytes(), path.stat().st_mtime_ns) == before

    return made


class Page(HTMLParser):
    """A page's tags with their attributes' names, what it would load, and its texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loads, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.loads += [
            value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")
        ]

    def handle_data(self, data):
        self.texts.append(data)


def test_every_view_of_the_package_is_among_them():
    modules = {module.name for module in pkgutil.iter_modules(views.__path__)}
    assert modules == {view.module for view in VIEWS.values()} - {None} | NO_VIEWS
    commands = {
        c.callback.__name__ for c in app.registered_commands if c.callback.__module__ == showing.__name__
    }
    assert commands == {view.command[0] for view in VIEWS.values() if view.command} | {"export"}


REFUSED = {
    "no trial yet": set(VIEWS) - {"leaderboard", "comparison", "what compare prints"},
    "one under way": {"suggest", "plot --epochs"},
    "all failed": {"suggest", "plot --epochs"},
    "one trial": {"suggest"},
}


@views_that()
@pytest.mark.parametrize("table", TABLES)
def test_a_view_is_made_or_refused_in_words_and_changes_nothing(shown, view, table):
    made = shown(view, table)
    assert (made is None) is (view in REFUSED.get(table, set()))
    assert made is None or made.strip()


@views_that(lambda view: view.form == "html")
@pytest.mark.parametrize("table", ["markup", "escapes", "unicode"])
def test_nothing_of_the_data_runs_in_a_page_and_nothing_is_loaded(shown, view, table):
    """But for HiPlot's own scripts, which are those of the page of harmless texts."""
    page, harmless = Page(shown(view, table)), Page(shown(view, "normal"))
    assert all(link.startswith(("data:", "#")) for link in page.loads)
    assert not [name for _, *names in page.tags for name in names if name.startswith("on")]
    if VIEWS[view].has_scripts:
        assert page.tags == harmless.tags
    else:
        assert not {"script", "iframe", "object", "embed", "link", "base"} & {tag for tag, *_ in page.tags}
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.loads)


@views_that(lambda view: view.form == "html")
def test_texts_of_the_data_are_to_be_read_on_a_page(shown, view):
    assert all(text in shown(view, "unicode") for text in UNICODE)
    if not VIEWS[view].has_scripts:  # HiPlot's have look-alikes
        assert all(any(text in said for said in Page(shown(view, "markup")).texts) for text in MARKUP)


@views_that(lambda view: view.form in ("terminal", "markdown", "json", "yaml"))
@pytest.mark.parametrize("table", TABLES)
def test_nothing_of_the_data_reaches_a_terminal_that_it_would_obey(shown, view, table):
    text = (shown(view, table) or "").replace("\n", "")
    assert not [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@views_that(lambda view: view.form == "json")
@pytest.mark.parametrize("table", TABLES)
def test_json_is_strict(shown, view, table):
    def refuse(constant):
        raise AssertionError(constant)

    made = shown(view, table)
    assert made is None or isinstance(json.loads(made, parse_constant=refuse), dict)


@views_that(lambda view: not view.shows_time)
def test_the_same_results_give_the_same_bytes(shown, write, view):
    before = shown(view, "markup")
    report_of.cache_clear()
    assert VIEWS[view].make(write("markup")) == before


@views_that(lambda view: view.form != "folder")
def test_of_numbers_no_view_speaks_of_classes(shown, view):
    made = shown(view, "numbers")
    text = " ".join(Page(made).texts) if VIEWS[view].form == "html" and not VIEWS[view].has_scripts else made
    if not VIEWS[view].has_scripts:  # HiPlot's own say anything
        assert not re.search(r"\b(class|classes|accuracy|confus\w+)\b", text)


@pytest.mark.parametrize("view", ["leaderboard", "report --md", "what compare prints"])
def test_large_scores_are_told_in_their_size(shown, view):
    assert "18,350.5 ± 0.001" in shown(view, "numbers")


# Where it goes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with the results of the normal table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERASGRID_TRACEBACK", raising=False)
    (tmp_path / "mine.json").write_text(json.dumps(grid()))
    write_predictions(tmp_path / "mine")
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@views_that(lambda view: view.command is not None)
def test_it_is_written_where_it_is_asked_for_and_nowhere_else(folder, shown, view, monkeypatch):
    before, target = contents(folder), f"made{VIEWS[view].ending}"
    assert run(monkeypatch, *VIEWS[view].command, "mine.json", "-o", target) == 0
    after = contents(folder)
    made = after.pop(target).decode()
    assert after == before
    assert made.rstrip("\n") == shown(view, "normal").rstrip("\n")


@views_that(lambda view: view.command is not None)
def test_it_is_written_whole_or_not_at_all(folder, view, monkeypatch, capsys):
    target = f"made{VIEWS[view].ending}"

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kerasgrid.io.os.fsync", refuse)
    before = contents(folder)
    assert run(monkeypatch, *VIEWS[view].command, "mine.json", "-o", target) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert contents(folder) == before


@views_that(lambda view: view.command is not None)
@pytest.mark.parametrize("way", ["itself", "hard link", "symbolic link"])
def test_it_is_never_written_over_its_source(folder, view, way, monkeypatch, capsys):
    source = f"source{VIEWS[view].ending}"
    target = source if way == "itself" else f"link{VIEWS[view].ending}"
    os.rename("mine.json", source)
    if way == "hard link":
        os.link(source, target)
    elif way == "symbolic link":
        os.symlink(source, target)
    before = contents(folder)
    assert run(monkeypatch, *VIEWS[view].command, source, "-o", target) == 1
    assert target in capsys.readouterr().err
    assert contents(folder) == before
    assert os.path.islink(target) is (way == "symbolic link")
