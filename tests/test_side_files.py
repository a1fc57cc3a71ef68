"""What lies beside results.json and is damaged, gone, a link, or no file at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket

import numpy as np
import pytest
from fakes import CONFIG
from fitted import fake_train_final, train_nothing
from running import run

from kerasgrid.delivery import fitting
from kerasgrid.delivery.finished import FinishedRun
from kerasgrid.delivery.fitting import fit
from kerasgrid.driver.search import search
from kerasgrid.errors import ResultsError, RunError, StorageError
from kerasgrid.io import open_input
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths
from kerasgrid.tables.predictions import read_held_out
from kerasgrid.tables.table import are_epochs, read_history


class Notes(Observer):
    def __init__(self):
        self.told = []

    def note(self, text):
        self.told.append(text)


@pytest.fixture
def go_on(tmp_path, monkeypatch):
    """Runs a search that trains nothing, or goes on with it; returns its results and what was told."""
    train_nothing(monkeypatch)

    def act(config=CONFIG, **how):
        notes = Notes()
        return search(config, results=tmp_path / "results", observer=notes, **how), notes.told

    return act


@pytest.fixture
def paths(tmp_path):
    return RunPaths(tmp_path / "results", "fake")


# Predictions, folds, journals, models, histories


def truncated(path):
    path.write_bytes(path.read_bytes()[:-9])


def of_other_shape(path):
    np.save(path, np.zeros((3, 10), np.float32))


def of_other_kind(path):
    np.save(path, np.load(path).astype("U9"))


def pickled(path):
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize("damage", [truncated, of_other_shape, of_other_kind, pickled])
def test_damaged_predictions_are_left_out_as_missing_ones_are(go_on, paths, caplog, damage):
    found, _ = go_on()
    best = found.best["trial"]
    damage(paths.prediction(best, 1, 0))
    with caplog.at_level(logging.WARNING):
        again, _ = go_on()
    assert (again.status, again.trials) == ("complete", found.trials)
    assert sorted(read_held_out(paths.json).trials) == sorted({0, 1, 2, 3, 4, 5} - {best})
    assert f"{paths.prediction(best, 1, 0)}: is damaged (" in caplog.text


def test_damaged_predictions_of_what_is_tried_again_are_made_anew(go_on, paths):
    config = {**CONFIG, "space": {"learning_rate": [0.1], "dropout": [0.2, 0.9]}, "search": {"folds": 2}}
    go_on(config)
    truncated(paths.prediction(0, 0, 0))
    go_on(config, retry_failed=True)
    assert np.load(paths.prediction(0, 1, 0)).ndim == 2


def swap(path, first="test_0", second="test_1"):
    """Gives each of two folds the other's rows."""
    with np.load(path) as kept:
        arrays = dict(kept)
    for part in ("train", "test"):
        a, b = first.replace("test", part), second.replace("test", part)
        arrays[a], arrays[b] = arrays[b], arrays[a]
    np.savez(path, **arrays)


@pytest.mark.parametrize("damage", [swap, truncated, lambda path: path.write_bytes(b"")])
def test_folds_that_are_not_those_of_the_search_are_made_anew(go_on, paths, damage):
    go_on()
    whole = dict(np.load(paths.folds))
    damage(paths.folds)
    _, told = go_on()
    assert any("folds.npz" in line and "They are made anew" in line for line in told)
    for name, rows in np.load(paths.folds).items():
        np.testing.assert_array_equal(rows, whole[name])


@pytest.mark.parametrize("has_results", [True, False])
def test_folds_that_cannot_be_made_anew_are_refused(go_on, paths, has_results):
    go_on()
    swap(paths.folds)
    if has_results:  # as after a version of scikit-learn that splits otherwise
        told = json.loads(paths.json.read_text())
        told["folds"]["fingerprint"] = "sha256:other"
        paths.json.write_text(json.dumps(told))
    else:
        paths.json.unlink()
    with pytest.raises(RunError, match=r"folds\.npz: its folds are not those that the search has trained on"):
        go_on()


def test_folds_are_held_against_the_results_after_a_search_too(go_on, paths):
    go_on()
    swap(paths.folds)
    finished = FinishedRun(paths.json)
    data = finished.prepare(finished.rows()).data
    with pytest.raises(RunError, match="are not those that the search has trained on"):
        finished.folds(data)


@pytest.mark.parametrize("left", [None, b"", b'{"format": "ker'])
def test_results_without_their_journal_are_not_trained_over(go_on, paths, left):
    found, _ = go_on()
    before = paths.json.read_bytes()
    paths.journal.unlink() if left is None else paths.journal.write_bytes(left)
    with pytest.raises(RunError, match=r"fake\.json: these results are there, and not .*jsonl.*start anew"):
        go_on()
    assert paths.json.read_bytes() == before
    again, _ = go_on(fresh=True)
    assert again.best == found.best
    assert RunPaths(paths.results, "fake.1").json.read_bytes() == before


@pytest.mark.parametrize("keep", ["best", "all"])
def test_kept_models_that_are_damaged_are_told_by_name(go_on, paths, caplog, keep):
    go_on({**CONFIG, "search": {"folds": 2, "keep_models": keep}})
    caplog.clear()
    go_on({**CONFIG, "search": {"folds": 2, "keep_models": keep}})  # the fake trainer's are no archives
    [told] = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert told.startswith(f"{paths.folder}: fold models are damaged: ")
    assert told.endswith(" Restore them, or start anew with fresh=True.")
    assert all(repr(file.name) in told for file in paths.models)


def test_a_damaged_long_history_is_written_anew(go_on, paths):
    config = {**CONFIG, "params": {"epochs": 201}, "space": {"dropout": [0.2]}, "search": {"folds": 2}}
    go_on(config)
    history = paths.history(0, 1, 0)
    whole = history.read_bytes()
    for damaged in (b"", b"{", b'{"loss": 3}', b"[" * 100_000, whole[:-50]):
        history.write_bytes(damaged)
        go_on(config)
        assert history.read_bytes() == whole


@pytest.mark.parametrize(
    "damaged", [b"", b"{}", b"[" * 100_000, b'{"schema": "kerasgrid.model/1", "sha256": 3}']
)
def test_a_model_whose_card_is_damaged_is_trained_anew(go_on, paths, monkeypatch, caplog, damaged):
    monkeypatch.setattr(fitting, "train_final", fake_train_final)
    go_on({**CONFIG, "search": {"folds": 2, "keep_models": "best"}})
    before = fit(paths.json)
    card = RunPaths.card(before.models[0])
    for file in (card, RunPaths.card(paths.best)):
        file.write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        again = fit(paths.json)
    assert again.cards[0]["identity"] == before.cards[0]["identity"]
    assert json.loads(card.read_text())["identity"] == before.cards[0]["identity"]
    assert f"{card}: " in caplog.text
    assert "It is made anew." in caplog.text


# What is no file, or a link


def made(tmp_path, kind):
    """Makes something that is no regular file; returns its name as an argument."""
    path = tmp_path / f"{kind}.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    return "/dev/zero" if kind == "device" else str(path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket"])
@pytest.mark.parametrize(
    "command",
    [
        ["search", "{}"],
        ["check", "{}"],
        ["plot", "{}"],
        ["plot", "--epochs", "{}"],
        ["report", "--md", "{}"],
        ["suggest", "{}"],
        ["export", "{}", "--to", "notebook"],
        ["export", "{}", "--to", "mlflow"],
        ["fit", "{}"],
        ["submissions", "{}"],
        ["init", "{}", "-o", "new.yaml"],
    ],
    ids=" ".join,
)
def test_an_argument_that_is_no_file_is_refused_at_once(tmp_path, monkeypatch, capsys, command, kind):
    monkeypatch.chdir(tmp_path)
    given = made(tmp_path, kind)
    assert run(monkeypatch, *(part.format(given) for part in command)) == 1
    told = capsys.readouterr().err
    assert given in told or os.path.basename(given) in told
    assert "Traceback" not in told


def test_a_model_file_that_is_a_pipe_is_refused(tmp_path, monkeypatch, capsys):
    os.mkfifo(tmp_path / "net.py")
    (tmp_path / "grid.yaml").write_text(
        "data: {train: digits}\nmodel: net.py:build\nexecutor: {kind: inline}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "search", "grid.yaml") == 1
    assert "net.py: cannot be read (is a pipe, and a regular file is needed)" in capsys.readouterr().err


def test_inputs_are_regular_files_and_bounded(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"12345")
    with open_input(path, 5) as file:
        assert file.read() == b"12345"
    with pytest.raises(OSError, match="holds 5 bytes, and at most 4 are read"):
        open_input(path, 4)
    with pytest.raises(OSError, match="is no path"):
        open_input("a\0b")


@pytest.mark.parametrize("link", ["", "journal.jsonl", "checkpoints", "lock", "predictions"])
def test_links_in_a_run_are_not_followed(go_on, paths, tmp_path, link):
    go_on()
    elsewhere = tmp_path / "elsewhere"
    shutil.move(paths.folder / link, elsewhere)
    (paths.folder / link).symlink_to(elsewhere) if link else paths.folder.symlink_to(elsewhere)
    before = sorted(path.name for path in elsewhere.rglob("*"))
    for act in (go_on, lambda: go_on(fresh=True), lambda: fit(paths.json)):
        with pytest.raises(StorageError, match="a link is not followed, since what is written and removed"):
            act()
    assert sorted(path.name for path in elsewhere.rglob("*")) == before


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["workers.log", "lock", "journal.jsonl"])
def test_pipes_in_a_run_are_not_waited_on(go_on, paths, name):
    go_on()
    (paths.folder / name).unlink(missing_ok=True)
    os.mkfifo(paths.folder / name)
    with pytest.raises(StorageError, match=rf"{name}: is neither a file nor a folder\. Remove it\."):
        go_on()


def test_results_may_lie_behind_a_link_as_a_whole(go_on, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "far")
    assert go_on()[0].status == "complete"


def test_a_history_that_is_a_link_to_elsewhere_is_not_read(tmp_path):
    folder = tmp_path / "grid" / "histories"
    folder.mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"loss": [1.0]}')
    (folder / "trial-0.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ResultsError, match=r"trial-0\.json is a link to elsewhere, and a run's files lie in"):
        read_history(folder / "trial-0.json")
    (folder / "trial-1.json").write_text('{"loss": [1.0, "x", null], "note": "no list"}')
    assert read_history(folder / "trial-1.json") == {"loss": [1.0, None, None]}


def test_steps_far_apart_take_no_memory():
    assert not are_epochs([0, 10**9])
    assert not are_epochs([0, 10**300])
    assert are_epochs([1, 2, 3])
