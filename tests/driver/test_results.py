"""What Results does with its file: the same as the commands."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import run

import kerasgrid as kg
from kerasgrid.errors import ResultsError


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Results of four trials, in the working folder."""
    monkeypatch.chdir(tmp_path)
    trials = [
        {
            "id": place,
            "params": {"learning_rate": rate, "batch_norm": norm},
            "state": "complete",
            "mean_test_score": 0.9 + rate + 0.01 * norm,
            "mean_fit_time": 1.0,
            "folds": [{"fold": 0, "test_score": 0.9, "history": {"test_accuracy": [0.5, 0.6]}}],
        }
        for place, (rate, norm) in enumerate([(0.01, True), (0.01, False), (0.02, True), (0.02, False)])
    ]
    config = {"name": "mine", "data": {"train": "digits"}, "model": "fc"}
    config["space"] = {"learning_rate": [0.01, 0.02], "batch_norm": [True, False]}
    content = {"schema": "kerasgrid.results/1", "name": "mine", "config": config, "trials": trials}
    content["objective"] = {"name": "accuracy", "direction": "max"}
    Path("results").mkdir()
    Path("results/mine.json").write_text(json.dumps(content))
    return Path("results/mine.json")


@pytest.mark.parametrize(
    ("command", "options", "ending"),
    [("plot", {}, ".html"), ("plot", {"epochs": True}, ".html"), ("report", {}, ".report.html")],
)
def test_pages_are_those_of_the_commands(file, monkeypatch, command, options, ending):
    results = kg.Results.load(file)
    page = getattr(results, command)(**options)
    assert page == file.with_suffix(ending)
    made = page.read_bytes()
    page.unlink()
    assert run(monkeypatch, command, str(file), *(f"--{name}" for name in options)) == 0
    assert page.read_bytes() == made
    assert getattr(results, command)("other/page.html", **options) == Path("other/page.html")
    with pytest.raises(ResultsError, match=r"would be written over|ends in \.html"):
        getattr(results, command)(file, **options)


def test_a_notebook_shows_pages_in_frames_of_their_own(file, monkeypatch):
    results, shown = kg.Results.load(file), []
    shell = SimpleNamespace()
    ipython = SimpleNamespace(
        get_ipython=lambda: shell, display=lambda data, raw: shown.append(data["text/html"])
    )
    report = results.report()
    for name in ("IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, name, ipython)
    results.hiplot()  # of a terminal's IPython
    assert shown == []
    shell.kernel = None
    results.hiplot()
    plot = results.plot()
    assert shown == [plot._repr_html_()]
    for page in (report, plot):
        (frame,) = re.findall('<iframe srcdoc="([^"]*)"', page._repr_html_())
        assert html.unescape(frame) == page.read_text()
        assert page.parent._repr_html_() is None


def test_the_next_grid_is_that_of_the_command(file, monkeypatch, capsys):
    text = kg.Results.load(file).suggest("next.yaml")
    assert run(monkeypatch, "suggest", str(file)) == 0
    assert capsys.readouterr().out == text == Path("next.yaml").read_text()
    with pytest.raises(kg.KerasgridError, match="exists already"):
        kg.Results.load(file).suggest("next.yaml")


def test_fit_is_that_of_the_package_and_its_model_is_told_where_it_is_missing(file, monkeypatch):
    asked = []
    monkeypatch.setattr("kerasgrid.delivery.fitting.fit", lambda *given, **more: asked.append((given, more)))
    results = kg.Results.load(file)
    results.fit(top=2)
    assert asked == [((results,), {"top": 2})]
    with pytest.raises(ResultsError, match=r"best\.keras is not there yet: results\.fit\(\) trains it"):
        _ = results.best_model


def test_results_without_a_file_have_no_place_beside_it(file):
    results = kg.Results(json.loads(file.read_text()))
    assert "space:" in results.suggest()
    for made in (results.plot, results.report, lambda: results.best_model):
        with pytest.raises(ResultsError, match="these results have no file"):
            made()


@pytest.mark.slow
def test_the_model_that_fit_has_trained_is_loaded(file):
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    Path("results/mine").mkdir()
    model.save("results/mine/best.keras")
    loaded = kg.Results.load(file).best_model
    x = np.ones((2, 3))
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    Path("results/mine/best.keras").write_bytes(b"PK")
    with pytest.raises(ResultsError, match=r"best\.keras: Keras cannot load it"):
        _ = kg.Results.load(file).best_model
