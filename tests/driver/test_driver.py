"""The driver with a fake trainer: the order of things, resuming, failing, interrupting."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import time
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from asking import ask_in_this_process
from fakes import CONFIG, Crash, StopAfter, crash, cut, fake_probes, fake_train_pack, without_times
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kerasgrid.driver.search as driver
from kerasgrid import machine
from kerasgrid.config.callbacks import EarlyStopping
from kerasgrid.driver.results import Results
from kerasgrid.driver.search import search
from kerasgrid.engines import ENGINES, Proposal
from kerasgrid.errors import (
    ChangedError,
    ConfigError,
    LockedError,
    ModelError,
    ReplayError,
    RunError,
    StorageError,
)
from kerasgrid.executors import Died, Emitted, Inline
from kerasgrid.locks import FolderLock
from kerasgrid.planning import packing
from kerasgrid.records import FoldRecord, Graph, ProbeRecord
from kerasgrid.run.journal import Journal
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths
from kerasgrid.tables.reading import read_table
from kerasgrid.views.leaderboard import leaderboard, summary_lines


@pytest.fixture(autouse=True)
def fake_trainer(monkeypatch):
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    monkeypatch.setattr(packing, "run_probes", fake_probes)


@pytest.fixture
def in_this_process(monkeypatch):
    """A process of KerasTuner's own imports TensorFlow; tests/test_keras_tuner.py has one."""
    ask_in_this_process(monkeypatch, "keras_tuner")


def config(**changes) -> dict:
    return json.loads(json.dumps(CONFIG)) | changes


@pytest.fixture(scope="module")
def known():
    """What `finished` has made, by the changes."""
    return {}


@pytest.fixture
def finished(known, tmp_path_factory):
    """Returns the results of a finished run of the config with some changes, and copies it to a folder."""

    def found(copy=None, **changes):
        key = json.dumps(changes, sort_keys=True)
        if key not in known:
            folder = tmp_path_factory.mktemp("finished")
            known[key] = folder, search(config(**changes), results=folder)
        if copy is not None:
            shutil.copytree(known[key][0], copy, dirs_exist_ok=True)
        return known[key][1]

    return found


def lines(results, name="fake") -> list[dict]:
    return [json.loads(line) for line in RunPaths(results, name).journal.read_text().splitlines()]


class Notes(Observer):
    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


def test_grid_gives_every_candidate_its_folds_in_order(tmp_path, finished):
    found = finished(tmp_path)
    assert found.status == "complete"
    params = [trial["params"] for trial in found.trials]
    assert params == [{"dropout": d, "learning_rate": r} for d in (0.2, 0.4) for r in (0.001, 0.01, 0.1)]
    assert [trial["id"] for trial in found.trials] == list(range(6))
    assert all([fold["fold"] for fold in trial["folds"]] == [0, 1, 2] for trial in found.trials)
    assert found.data["summary"] == found.data["summary"] | {
        "trials": 6,
        "failed": 0,
        "fits": 18,
        "epochs_trained": 54,
    }
    written = json.loads((tmp_path / "fake.json").read_text())
    assert written == found.data
    assert sorted(found.frame()["rank_test_score"]) == [1, 2, 3, 4, 5, 6]
    best = max(found.trials, key=lambda trial: trial["mean_test_score"])
    assert found.best == {
        k: best[v] for k, v in (("trial", "id"), ("params", "params"), ("mean_test_score",) * 2)
    }


def test_scores_are_means_over_folds_with_population_std(finished):
    trial = finished().trials[0]
    scores = [fold["test_score"] for fold in trial["folds"]]
    assert trial["mean_test_score"] == pytest.approx(np.mean(scores), abs=0)
    assert trial["std_test_score"] == pytest.approx(np.std(scores), abs=0)


def test_repeats_are_averaged_within_a_fold_first(tmp_path):
    three = {"folds": 2, "repeats": 3}
    found = search(config(search=three), results=tmp_path)
    assert found.data["summary"]["fits"] == 6 * 2 * 3
    for trial in found.trials:
        for fold in trial["folds"]:
            scores = [repeat["test_score"] for repeat in fold["repeats"]]
            assert len(set(scores)) == 3
            assert fold["test_score"] == pytest.approx(np.mean(scores))
            assert fold["metrics"]["odd"] is None  # one repeat's is NaN
    assert without_times(search(config(search=three), results=tmp_path).data) == without_times(found.data)


def test_min_objectives_rank_the_smallest_first(tmp_path):
    found = search(config(search={"folds": 2, "objective": "loss"}), results=tmp_path)
    assert found.data["objective"] == {"name": "loss", "direction": "min"}
    assert found.best["mean_test_score"] == min(trial["mean_test_score"] for trial in found.trials)


def test_a_finished_search_is_not_trained_again(tmp_path, finished, monkeypatch):
    first = finished(tmp_path)
    monkeypatch.setattr(driver, "train_pack", partial(pytest.fail, "trained again"))
    assert without_times(search(config(), results=tmp_path).data) == without_times(first.data)


def test_a_run_that_goes_on_with_gpus_of_another_kind_says_so(tmp_path, monkeypatch):
    notes = Notes()
    monkeypatch.setattr(
        packing,
        "run_probes",
        lambda recipe, executor, found: [ProbeRecord(one, 100, None, "gpu:0", Graph(None)) for one in found],
    )
    for kind in ("NVIDIA A100", "NVIDIA A100", "NVIDIA H200"):
        monkeypatch.setattr(machine, "device_kinds", lambda kind=kind: [kind])
        found = search(config(), results=tmp_path, observer=notes)
        assert found.data["environment"]["gpus"] == "NVIDIA A100"
    told = "This run began on NVIDIA A100 and goes on with NVIDIA H200: the last bits may differ."
    assert [text for text in notes.texts if "NVIDIA" in text] == [told]


def test_a_wider_space_trains_only_what_is_new(tmp_path, finished):
    first = finished(tmp_path)
    wider = config(space={"learning_rate": [0.0001, 0.001, 0.01, 0.1], "dropout": [0.2, 0.4]})
    second = search(wider, results=tmp_path)
    assert second.trials[:6] == [
        {**row, "rank_test_score": second.trials[i]["rank_test_score"]} for i, row in enumerate(first.trials)
    ]
    assert [trial["params"]["learning_rate"] for trial in second.trials[6:]] == [0.0001, 0.0001]
    assert sum(line.get("type") == "fold" for line in lines(tmp_path)) == 8 * 3


def test_a_narrower_space_leaves_out_what_was_only_begun(tmp_path):
    with pytest.raises(Crash):
        search(config(), results=tmp_path, observer=StopAfter(11, crash))
    narrow = search(config(space={"learning_rate": [0.1], "dropout": [0.4]}), results=tmp_path)
    assert narrow.status == "complete"
    assert [trial["state"] for trial in narrow.trials] == ["complete"] * 2
    assert [trial["id"] for trial in narrow.trials] == [0, 5]
    assert [trial["id"] for trial in search(config(), results=tmp_path).trials] == list(range(6))


def test_a_trials_scores_do_not_depend_on_the_others(tmp_path, finished):
    whole = finished()
    alone = search(config(space={"learning_rate": [0.1], "dropout": [0.4]}), results=tmp_path / "alone")
    same = [trial for trial in whole.trials if trial["params"] == alone.trials[0]["params"]]
    assert [fold["test_score"] for fold in same[0]["folds"]] == [
        fold["test_score"] for fold in alone.trials[0]["folds"]
    ]


def test_random_draws_without_repeats_and_more_of_the_same_later(tmp_path):
    def drawn(n, results):
        settings_ = {"engine": "random", "trials": n, "folds": 2}
        return search(config(search=settings_), results=results)

    few = drawn(3, tmp_path / "a")
    many = drawn(5, tmp_path / "a")
    assert [trial["params"] for trial in many.trials[:3]] == [trial["params"] for trial in few.trials]
    assert len({json.dumps(trial["params"], sort_keys=True) for trial in many.trials}) == 5
    assert without_times(drawn(5, tmp_path / "b").trials) == without_times(many.trials)
    assert len(drawn(100, tmp_path / "c").trials) == 6


def test_a_budget_of_trials_ends_a_grid_and_says_so(tmp_path):
    found = search(config(search={"folds": 2, "trials": 4}), results=tmp_path)
    assert (found.status, len(found.trials)) == ("budget", 4)
    assert search(config(search={"folds": 2, "trials": 6}), results=tmp_path).status == "complete"


def test_failed_trials_are_recorded_and_the_search_goes_on(tmp_path):
    observer = Notes()
    found = search(config(space={"dropout": [0.2, 0.9]}), results=tmp_path, observer=observer)
    good, bad = found.trials
    assert (good["state"], bad["state"]) == ("complete", "failed")
    assert bad["error"] == {"type": "ValueError", "message": "trial 1, fold 0: too much dropout"}
    assert bad["mean_test_score"] is None
    assert bad["rank_test_score"] is None
    assert found.data["summary"]["failed"] == 1
    assert found.status == "complete"
    told = [text for text in observer.texts if "too much dropout" in text]
    assert told == [
        "trial 1, fold 0: too much dropout. Recorded as failed; the search goes on.",
        "3 fits failed alike: too much dropout.",
    ]


def test_a_value_that_is_refused_is_told_once_before_training_and_the_others_are_trained(
    tmp_path, monkeypatch
):
    def refuse(recipe, executor, candidates):
        for record in fake_probes(recipe, executor, candidates):
            error = {"type": "ModelError", "message": "dropout is 0.9, but 0.5 at most holds."}
            is_fine = record.params.get("dropout") != 0.9
            yield record if is_fine else ProbeRecord(record.params, None, error, "cpu")

    monkeypatch.setattr(packing, "run_probes", refuse)
    observer = Notes()
    space = {"dropout": [0.2, 0.9], "learning_rate": [0.01, 0.1]}
    found = search(config(space=space), results=tmp_path, observer=observer)
    assert [trial["state"] for trial in found.trials] == ["complete", "complete", "failed", "failed"]
    assert [text for text in observer.texts if "dropout" in text] == [
        "config, space.dropout: is 0.9, but 0.5 at most holds. dropout=0.9 will be recorded as failed."
    ]


def test_a_search_whose_trials_all_fail_has_failed(tmp_path):
    found = search(config(space={"dropout": [0.9]}), results=tmp_path)
    assert (found.status, found.best) == ("failed", None)


def test_a_function_that_raises_fails_its_job_only(tmp_path, monkeypatch):
    def train(recipe, pack, context):
        if pack.jobs[0].trial.id == 2:
            raise RuntimeError("a bug")
        fake_train_pack(recipe, pack, context)

    monkeypatch.setattr(driver, "train_pack", train)
    found = search(config(), results=tmp_path)
    assert [trial["state"] for trial in found.trials].count("failed") == 1
    assert found.trials[2]["error"] == {"type": "RuntimeError", "message": "trial 2, fold 0: a bug"}


def test_no_candidate_that_builds_is_an_error_before_training(tmp_path, monkeypatch):
    refuse = {"type": "ModelError", "message": "dropout is 2; a rate from 0 to 1 holds"}
    monkeypatch.setattr(
        packing,
        "run_probes",
        lambda recipe, executor, found: [ProbeRecord(params, None, refuse, "cpu") for params in found],
    )
    monkeypatch.setattr(driver, "train_pack", partial(pytest.fail, "trained"))
    for _ in range(2):
        with pytest.raises(ModelError, match=r"^config, model: dropout is 2; a rate from 0 to 1 holds$"):
            search(config(), results=tmp_path)
        assert json.loads((tmp_path / "fake.json").read_text())["status"] == "failed"


@pytest.fixture
def hangup():
    """SIGHUP as a shell leaves it, whatever these tests were started with."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield signal.SIGHUP
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGHUP] * 3, [signal.SIGTERM, signal.SIGHUP]])
def test_a_stop_saves_and_the_same_call_goes_on(tmp_path, finished, hangup, numbers):
    whole = finished()
    observer = StopAfter(10, lambda: [os.kill(os.getpid(), number) for number in numbers])
    first = search(config(), results=tmp_path, observer=observer)
    assert signal.getsignal(hangup) == signal.SIG_DFL
    assert first.status == "interrupted"
    assert 0 < first.data["summary"]["fits"] < 18
    states = [row["state"] for row in first.trials]
    assert states == ["complete", "running", "waiting", "waiting", "waiting", "waiting"]
    assert "6 trials (1 running, 4 waiting), 3 fits, 10 epochs trained" in summary_lines(first)[-1]
    written = json.loads((tmp_path / "fake.json").read_text())  # as a later session finds it in the journal
    with pytest.raises(Crash):
        search(config(), results=tmp_path, observer=StopAfter(1, crash))
    assert [row["state"] for row in json.loads((tmp_path / "fake.json").read_text())["trials"]] == states
    assert [row["state"] for row in written["trials"]] == states
    second = search(config(), results=tmp_path)
    assert without_times(second.data) == without_times(whole.data)


def test_a_second_stop_comes_at_once(tmp_path, hangup):
    observer = StopAfter(10, lambda: [os.kill(os.getpid(), one) for one in (hangup, *[signal.SIGTERM] * 2)])
    with pytest.raises(KeyboardInterrupt):
        search(config(), results=tmp_path, observer=observer)
    assert json.loads((tmp_path / "fake.json").read_text())["status"] == "interrupted"


def test_a_hangup_that_is_ignored_stops_nothing(tmp_path, hangup):
    signal.signal(hangup, signal.SIG_IGN)  # as nohup does
    observer = StopAfter(10, lambda: os.kill(os.getpid(), hangup))
    assert search(config(), results=tmp_path, observer=observer).status == "complete"


def test_a_search_that_was_cut_off_is_not_said_to_be_running(tmp_path, caplog):
    paths = RunPaths(tmp_path, "fake")
    with pytest.raises(Crash):
        search(config(), results=tmp_path, observer=StopAfter(10, crash))
    written = paths.json.read_bytes()
    assert json.loads(written)["status"] == "running"

    def read():
        return Results.load(paths.json).status, read_table(paths.json).about.status

    with FolderLock(paths.lock, paths.heartbeat):  # as a search has it
        assert read() == ("running", "running")
        assert not caplog.text
    assert read() == ("interrupted", "interrupted")
    [told] = caplog.messages
    assert (
        told == f"{paths.json}: its search was cut off, and nothing is running it; the same command goes on."
    )
    assert paths.json.read_bytes() == written
    alone = shutil.copy(paths.json, tmp_path / "alone.json")
    assert Results.load(alone).status == "running"
    found = search(config(), results=tmp_path, observer=Reading(lambda: read()))
    assert found.status == "complete"
    assert len(caplog.messages) == 1


class Reading(Observer):
    """Reads the results while the search runs."""

    def __init__(self, read):
        self.read = read

    def epoch(self, record):
        assert self.read() == ("running", "running")


def crash_again_and_again(folder, epochs, **changes):
    """Cuts a search off where so many epochs have been told; the one at hand is told anew each time."""
    for before, epoch in pairwise([1, *epochs]):
        with pytest.raises(Crash):
            search(config(**changes), results=folder, observer=StopAfter(epoch - before + 1, crash))


def test_on_a_drive_nothing_but_results_that_are_replaced_fills_the_trash(tmp_path, monkeypatch, finished):
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no locks")))
    monkeypatch.setattr("kerasgrid.locks._BEAT_S", 0.02)
    monkeypatch.setattr("kerasgrid.locks._SETTLE_S", 0.01)
    filled, unlink, replace = [], os.unlink, os.replace

    def fill(path):
        if os.path.exists(path) and Path(path).is_relative_to(tmp_path):
            filled.append((os.path.basename(path), os.path.getsize(path)))

    def removed(path, **how):
        fill(path)
        unlink(path, **how)

    def replaced(part, path):
        fill(path)
        replace(part, path)

    monkeypatch.setattr(os, "unlink", removed)
    monkeypatch.setattr(os, "replace", replaced)
    changes = {"search": {"folds": 3, "keep_models": "best"}}
    with pytest.raises(Crash):
        search(config(**changes), results=tmp_path, observer=StopAfter(30, crash))
    results = search(config(**changes), results=tmp_path)
    assert results.data["best"] == finished().data["best"]
    names = {name for name, size in filled if size}
    assert names <= {"fake.json", "heartbeat"}
    assert sum(name.endswith(".npz") for name, _ in filled) == 18


def test_crashes_of_the_driver_at_any_epoch_change_nothing(tmp_path, finished):
    whole = finished()
    crash_again_and_again(tmp_path, [1, 2, 3, 7, 20, 53])
    resumed = search(config(), results=tmp_path)
    assert without_times(resumed.data) == without_times(whole.data)
    assert not list((tmp_path / "fake" / "checkpoints").iterdir())
    ended = [tuple(line["job"]) for line in lines(tmp_path) if line.get("type") == "fold"]
    assert len(ended) == len(set(ended)) == 18


SMALL = {"search": {"folds": 2}, "space": {"learning_rate": [0.001, 0.01]}}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_a_journal_cut_at_any_byte_resumes_to_the_same_results(tmp_path_factory, finished, share):
    copy = tmp_path_factory.mktemp("cut")
    found = finished(copy, **SMALL)
    cut_journal(copy, share)
    again = search(config(**SMALL), results=copy)
    assert without_times(again.data) == without_times(found.data)


def cut_journal(results, share):
    """Leaves a share of what follows the journal's header."""
    journal = RunPaths(results, "fake").journal
    header = len(journal.read_bytes().split(b"\n")[0]) + 1
    cut(journal, header + int(share * (journal.stat().st_size - header)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"params": {"epochs": 4}}, 'params was {"epochs":3}, and is {"epochs":4}'),
        ({"search": {"folds": 3, "seed": 1}}, "search.seed was 0, and is 1"),
        ({"search": {"folds": 4}}, 'search.folds was {"folds":3}, and is {"folds":4}'),
        ({"search": {"holdout": 0.2}}, "search.folds was"),
        ({"search": {"folds": 3, "objective": "loss"}}, 'search.objective was "accuracy", and is "loss"'),
        ({"search": {"folds": 3, "repeats": 2}}, "search.repeats was 1, and is 2"),
        ({"data": {"train": "digits", "scale": 16}}, "data.scale was null, and is 16.0"),
        ({"data": {"train": "digits", "subset": 1000}}, "data changed"),
        ({"model": "bn_cnn", "space": {}}, 'model was "fc", and is "bn_cnn"'),
        ({"callbacks": {"terminate_on_nan": True}}, "callbacks was"),
        ({"training": {"class_weight": "balanced"}}, "training was"),
        ({"search": {"folds": 3, "val": "test_fold"}}, 'search.val was null, and is "test_fold"'),
        ({"search": {"folds": 3, "scores": ["loss"]}}, 'search.scores was null, and is ["loss"]'),
    ],
)
def test_what_makes_a_run_the_same_run(tmp_path, finished, changes, told):
    finished(tmp_path)
    with pytest.raises(ChangedError) as error:
        search(config(**changes), results=tmp_path)
    assert told in str(error.value)
    assert "fresh=True" in str(error.value)
    assert 'overrides=["name=..."]' in str(error.value)


def test_what_a_run_had_and_a_search_has_no_more_is_another_run(tmp_path, finished):
    finished(tmp_path, search={"folds": 3, "scores": ["loss"]})
    with pytest.raises(ChangedError, match=r'search.scores was \["loss"\], and is null'):
        search(config(), results=tmp_path)


def refuse_all(recipe, executor, candidates):
    for params in candidates:
        yield ProbeRecord(dict(params), None, {"type": "ModelError", "message": "no model"}, "cpu")


def none_built(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(packing, "run_probes", refuse_all)
        with pytest.raises(ModelError):
            search(config(), results=folder)


def all_failed(folder, monkeypatch):
    search(config(space={"dropout": [0.9]}), results=folder)


def ended_before_it_trained(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(driver, "stop_on_signals", lambda *_: crash())
        with pytest.raises(Crash):
            search(config(), results=folder)


def ended_in_its_first_epochs(folder, monkeypatch):
    with pytest.raises(Crash):
        search(config(), results=folder, observer=StopAfter(2, crash))


NOTHING_FINISHED = [none_built, all_failed, ended_before_it_trained, ended_in_its_first_epochs]


@pytest.mark.parametrize("come_to_nothing", NOTHING_FINISHED)
def test_what_has_no_finished_fit_binds_nothing_but_its_name(tmp_path, monkeypatch, come_to_nothing):
    """Other folds, params, model, data: all is as it were begun anew, and goes on so."""
    (tmp_path / "a").mkdir()
    come_to_nothing(tmp_path / "a", monkeypatch)
    other = config(
        model="bn_cnn",
        params={"epochs": 4},
        space={"dropout": [0.2, 0.9]},
        search={"folds": 4, "seed": 1},
        data={"train": "digits", "scale": 16, "subset": 500},
    )
    notes = Notes()
    found = search(other, results=tmp_path / "a", observer=notes)
    fresh = search(other, results=tmp_path / "b")
    assert without_times(found.data) == without_times(fresh.data)
    told = f"The old run, of which no fit had finished and which began otherwise, is now {tmp_path}/a/fake.1."
    assert (told in notes.texts) is (tmp_path / "a/fake.1").exists()
    assert (tmp_path / "a/fake.1").exists() is (come_to_nothing is ended_in_its_first_epochs)
    kinds = [[line.get("type") for line in lines(tmp_path / name)] for name in "ab"]
    assert kinds[0] == kinds[1]
    assert search(other, results=tmp_path / "a").data["trials"] == found.data["trials"]
    with pytest.raises(ChangedError, match="this search began otherwise"):
        search(config(), results=tmp_path / "a")


def test_a_search_that_nobody_has_named_moves_one_that_began_otherwise_aside(tmp_path):
    def found(**changes):
        notes = Notes()
        told = config(**changes)
        del told["name"]
        results = search(told, results=tmp_path, observer=notes)
        return results, [text for text in notes.texts if "began otherwise" in text]

    first, told = found()
    assert told == []
    assert found(space={"dropout": [0.2, 0.4, 0.6]})[1] == []  # goes on
    other, told = found(search={"folds": 4})
    assert told == [f"The old run, which began otherwise, is now {tmp_path}/search.1."]
    assert len(other.trials[0]["folds"]) == 4
    assert Results.load(tmp_path / "search.1.json").trials[0]["folds"] == first.trials[0]["folds"]
    with pytest.raises(ChangedError, match="this search began otherwise"):
        search(config(name="search"), results=tmp_path)


@pytest.mark.parametrize("is_mended", [True, False])
def test_a_kill_while_another_search_takes_a_name_leaves_one_of_them(tmp_path, monkeypatch, is_mended):
    none_built(tmp_path, monkeypatch)
    mended = config(search={"folds": 4})
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "begin", lambda *_: crash())
        with pytest.raises(Crash):
            search(mended, results=tmp_path)
    wanted = mended if is_mended else config()
    assert len(search(wanted, results=tmp_path).data["trials"][0]["folds"]) == (4 if is_mended else 3)


def test_a_fit_that_has_waited_at_a_rung_binds(tmp_path):
    halving = {"folds": 2, "engine": "halving", "factor": 3}
    changes = {"params": {"epochs": 9}, "search": halving}

    class AtARung(Observer):
        def waits(self, record):
            raise Crash

    with pytest.raises(Crash):
        search(config(**changes), results=tmp_path, observer=AtARung())
    with pytest.raises(ChangedError, match="params was"):
        search(config(search=halving, params={"epochs": 27}), results=tmp_path)


OWN = "import keras\n\nclass Watch(keras.callbacks.Callback):\n    limit = 1\n"


def test_a_callback_whose_source_changes_is_another_run(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    given = config(space={f"callbacks.{path}:Watch": ["off", "on"]})
    search(given, results=tmp_path)
    path.write_text(f"# said anew\n{OWN}")
    search(given, results=tmp_path)
    path.write_text(OWN.replace("1", "2"))
    with pytest.raises(ChangedError, match="the source of callbacks and preprocessing_function was"):
        search(given, results=tmp_path)


def test_sources_of_a_wider_or_narrower_space_are_known_from_then_on(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    name = f"callbacks.{path}:Watch"
    narrow, wide = config(space={"dropout": [0.2]}), config(space={"dropout": [0.2], name: ["off", "on"]})
    search(narrow, results=tmp_path)
    search(wide, results=tmp_path)
    search(narrow, results=tmp_path)
    path.write_text(OWN.replace("1", "2"))
    search(narrow, results=tmp_path)
    with pytest.raises(ChangedError, match="the source of callbacks and preprocessing_function was"):
        search(wide, results=tmp_path)


def test_what_decided_on_the_test_fold_stays_marked(tmp_path):
    """Its trials stay in the results of a narrower space."""
    switch = "callbacks.early_stopping"
    leaky = {"folds": 2, "val": "test_fold"}
    search(config(space={switch: ["off", "on"]}, search=leaky), results=tmp_path)
    found = search(config(space={switch: ["off"]}, search=leaky), results=tmp_path).data
    assert found["objective"]["decided_on"] == "test_fold"


def test_dead_nets_and_what_decided_are_in_the_results(tmp_path):
    space = {"dropout": [0.2, 0.8]}
    leaky = {"folds": 2, "val": "test_fold"}
    unused = search(config(space=space, search=leaky, name="unused"), results=tmp_path).data
    assert "decided_on" not in unused["objective"]
    given = {"early_stopping": EarlyStopping().model_dump()}
    found = search(config(space=space, search=leaky, callbacks=given), results=tmp_path).data
    assert [row["dead"] for row in found["trials"]] == [None, "loss at chance level"]
    assert found["trials"][1]["folds"][0]["dead"] == "loss at chance level"
    assert "dead" not in found["trials"][0]["folds"][0]
    assert found["summary"]["dead"] == 1
    assert found["objective"] == {"name": "accuracy", "direction": "max", "decided_on": "test_fold"}
    assert found["config"]["callbacks"] == {"early_stopping": given["early_stopping"]}


def test_executor_and_budget_may_change(tmp_path, finished):
    finished(tmp_path)
    changed = config(executor={"kind": "inline", "workers": 1}, search={"folds": 3, "trials": 6})
    assert search(changed, results=tmp_path).status == "complete"


def test_fresh_moves_the_old_run_aside(tmp_path, finished):
    first = finished(tmp_path)
    notes = Notes()
    second = search(config(search={"folds": 2}), results=tmp_path, fresh=True, observer=notes)
    assert len(second.trials[0]["folds"]) == 2
    assert json.loads((tmp_path / "fake.1.json").read_text()) == first.data
    assert RunPaths(tmp_path, "fake.1").journal.exists()
    assert notes.texts[0] == f"The old run is now {tmp_path / 'fake.1'}."
    search(config(), results=tmp_path, fresh=True)
    assert (tmp_path / "fake.2.json").exists()
    alone = Notes()
    search(config(), results=tmp_path / "other", fresh=True, observer=alone)
    assert alone.texts == []
    assert not (tmp_path / "other" / "fake.1").exists()


def test_a_second_search_on_the_same_folder_is_refused(tmp_path):
    paths = RunPaths(tmp_path, "fake")
    with FolderLock(paths.lock, paths.heartbeat), pytest.raises(LockedError, match="process"):
        search(config(), results=tmp_path)
    assert search(config(), results=tmp_path).status == "complete"


def test_a_full_disk_ends_the_search_and_leaves_the_journal_intact(tmp_path, finished, monkeypatch):
    whole = finished()
    n_writes = 0

    def full(recipe, pack, context):
        nonlocal n_writes
        n_writes += 1
        if n_writes == 5:
            raise StorageError("predictions: the disk is full.")
        fake_train_pack(recipe, pack, context)

    monkeypatch.setattr(driver, "train_pack", full)
    with pytest.raises(StorageError, match="the disk is full"):
        search(config(), results=tmp_path)
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    assert without_times(search(config(), results=tmp_path).data) == without_times(whole.data)


def test_a_changed_model_source_ends_the_search_and_is_no_failed_trial(tmp_path, monkeypatch):
    def changed(recipe, pack, context):
        if pack.jobs[0].trial.id == 1:
            raise ChangedError("nets.py:build: the model function's source changed")
        fake_train_pack(recipe, pack, context)

    monkeypatch.setattr(driver, "train_pack", changed)
    with pytest.raises(ChangedError, match="source changed"):
        search(config(), results=tmp_path)
    found = json.loads((tmp_path / "fake.json").read_text())
    assert found["status"] == "interrupted"
    assert found["summary"]["failed"] == 0


class Dying(Inline):
    """An executor whose worker dies in its first packs, once a job has ended where there are several."""

    def __init__(self, deaths):
        super().__init__()
        self.deaths, self.packs = deaths, []

    def run(self, function, tasks):
        for pack in tasks:
            self.packs.append(pack)
            if len(self.packs) > self.deaths:
                yield from super().run(function, [pack])
                continue
            first = pack.of(pack.jobs[:1]) if len(pack.jobs) > 1 else None
            if first is not None:
                yield from (event for event in super().run(function, [first]) if isinstance(event, Emitted))
            yield Died(pack, "was killed by SIGKILL", True)


def probes_of_one_graph(recipe, executor, candidates):
    return [ProbeRecord(params, 100, None, "cpu", Graph("one")) for params in candidates]


def test_the_jobs_of_a_worker_that_died_are_tried_once_more_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "run_probes", probes_of_one_graph)
    whole = search(config(), results=tmp_path / "whole")
    executor, notes = Dying(1), Notes()
    monkeypatch.setattr(driver, "lent_executor", lambda *_, **__: executor)
    found = search(config(), results=tmp_path / "died", observer=notes)
    left = executor.packs[0].jobs[1:]
    assert len(left) > 1
    ids = {job.id for job in left}
    again = [pack.jobs for pack in executor.packs[1:] if any(job.id in ids for job in pack.jobs)]
    assert again == [(job,) for job in left]
    told = "the worker was killed by SIGKILL. It will be tried once more."
    assert [text for text in notes.texts if "tried once more" in text] == [f"{job}: {told}" for job in left]
    retried = [line["job"] for line in lines(tmp_path / "died") if line.get("type") == "retry"]
    assert retried == [list(job.id) for job in left]
    assert without_times(found.data) == without_times(whole.data)


def test_a_job_whose_worker_died_twice_is_recorded_as_failed(tmp_path, monkeypatch):
    executor = Dying(2)
    monkeypatch.setattr(driver, "lent_executor", lambda *_, **__: executor)
    one = config(space={"dropout": [0.2]}, search={"holdout": 0.2})
    [trial] = search(one, results=tmp_path).trials
    assert trial["state"] == "failed"
    assert trial["error"] == {
        "type": "OutOfMemory",
        "message": "trial 0, fold 0: the worker was killed by SIGKILL. Take fewer workers, or a smaller "
        "batch_size with training.accumulate, by which as many rows as before change the weights together.",
    }


class Losing(Inline):
    """An executor whose machine goes so many times with a trial's pack, when it has drawn all of them."""

    def __init__(self, n_losses, trial=0):
        super().__init__()
        self.n_losses, self.trial, self.lost, self.n_runs, self.order = n_losses, trial, 0, 0, []

    def run(self, function, tasks):
        if function.func is not driver.train_pack:
            yield from super().run(function, tasks)
            return
        self.n_runs += 1
        tasks = iter(tasks)
        while drawn := list(tasks):
            for pack in drawn:
                trial = pack.jobs[0].trial.id
                self.order.append(trial)
                if trial == self.trial and self.lost < self.n_losses:
                    self.lost += 1
                    yield Died(pack, "was lost with its machine", False, is_lost=True)
                else:
                    yield from super().run(function, [pack])


@pytest.mark.parametrize("n_losses", [2, 3])
def test_a_fit_whose_machine_goes_is_tried_again_at_once_and_then_behind_the_others(
    tmp_path, monkeypatch, n_losses
):
    """Of the executor's one run, which had drawn all of them."""
    executor = Losing(n_losses)
    monkeypatch.setattr(driver, "lent_executor", lambda *_, **__: executor)
    found = search(config(space={"dropout": [0.2, 0.4]}, search={"holdout": 0.2}), results=tmp_path)
    assert executor.n_runs == 1
    assert executor.order == [0, 1, 0, 0]
    retried = [line["job"] for line in lines(tmp_path) if line.get("type") == "retry"]
    assert retried == [[0, 0, 0]] * 2
    lost, other = found.trials
    assert other["state"] == "complete"
    if n_losses == 2:
        assert lost["state"] == "complete"
        return
    assert lost["error"] == {
        "type": "WorkerLost",
        "message": "trial 0, fold 0: the worker was lost with its machine. So it was 3 times, and it got no "
        "further in between.",
    }


class Gone(Inline):
    """An executor whose cluster is not there."""

    def gone(self, *_):
        raise RunError("no Ray cluster can be reached")

    n_workers = property(gone)
    device_kinds = layout = start = run = gone


def test_a_search_that_is_over_needs_no_cluster(tmp_path, finished, monkeypatch):
    finished(tmp_path)
    monkeypatch.setattr(driver, "lent_executor", lambda *_, **__: Gone())
    on_ray = {"executor": {"kind": "ray"}}
    assert search(config(**on_ray), results=tmp_path).status == "complete"
    with pytest.raises(RunError, match="no Ray cluster"):
        search(config(**on_ray), results=tmp_path / "other")


def test_what_a_sudden_end_left_is_removed(tmp_path, finished):
    finished(tmp_path)
    paths = RunPaths(tmp_path, "fake")
    writer = "01234567-1-01234567-0.tmp"  # on another machine, so that the lock alone says that it has ended
    left = [paths.checkpoint(0, 0, 0), paths.folder / "checkpoints" / ".trial-0.npz.abc.tmp"]
    left += [tmp_path / f".fake.json.{writer}", paths.folder / f".oof.npz.{writer}"]
    left += [tmp_path / ".fake.json.k3_x9aqz.tmp"]  # of an earlier version
    others = [tmp_path / f".fake.json.b.json.{writer}", paths.folder / f".submission.csv.{writer}"]
    others += [paths.folder / "fit" / f".trial-0.keras.{writer}.keras"]
    others[-1].parent.mkdir()
    for path in (*left, *others):
        path.write_bytes(b"x")
    search(config(), results=tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)  # of another search, of `predict`, of `fit`


@pytest.mark.skipif(
    None in (find_spec("jax"), find_spec("tensorflow")), reason="one of two backends is not installed"
)
def test_another_backend_is_another_run(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    search(config(), results=tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ChangedError, match='backend was "tensorflow", and is "jax"'):
        search(config(), results=tmp_path)


def test_faults_are_told_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError):
        search(config(model="nope"), results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_out_of_fold_predictions_of_the_leading_trials(tmp_path):
    wide = {"learning_rate": [round(0.001 * i, 3) for i in range(1, 15)]}
    found = search(config(space=wide), results=tmp_path)
    ranked = sorted(found.trials, key=lambda trial: trial["rank_test_score"])
    with np.load(RunPaths(tmp_path, "fake").oof) as oof:
        assert {name for name in oof if name.startswith("trial_")} == {
            f"trial_{trial['id']}" for trial in ranked[:10]
        }
        assert oof[f"trial_{ranked[0]['id']}"].shape == (1797, 10)
        assert sorted(np.unique(oof["fold"])) == [0, 1, 2]
        assert not np.isnan(oof[f"trial_{ranked[0]['id']}"]).any()
    assert len(list((tmp_path / "fake" / "predictions").iterdir())) == 10 * 3


def test_long_histories_lie_beside_the_results(tmp_path):
    found = search(
        config(params={"epochs": 201}, space={"dropout": [0.2]}, search={"folds": 2}), results=tmp_path
    )
    fold = found.trials[0]["folds"][1]
    assert fold["history"] == {}
    beside = json.loads((tmp_path / "fake" / fold["history_file"]).read_text())
    assert len(beside["loss"]) == 201


def test_arrays_in_python(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 8, 8)), np.repeat(["a", "b", "c"], 20)
    given = config()
    del given["data"]
    found = search(given, X, y, results=tmp_path)
    assert found.data["data"]["class_names"] == ["a", "b", "c"]
    assert np.load(tmp_path / "fake" / "data" / "images.npy").shape == (60, 8, 8)
    with pytest.raises(ChangedError, match="data changed"):
        search(given, X + 1, y, results=tmp_path)


# Halving

HALVING = {
    "params": {},
    "space": {"learning_rate": [0.001, 0.01, 0.1], "dropout": [0.2, 0.4], "epochs": [4, 9]},
    "search": {"engine": "halving", "folds": 3},
}


def test_halving_keeps_what_was_pruned_and_trains_nothing_twice(tmp_path, finished):
    found = finished(tmp_path, **HALVING)
    assert found.status == "complete"
    states = [row["state"] for row in found.trials]
    assert states.count("complete") == found.data["summary"]["trials"] - found.data["summary"]["pruned"] == 2
    assert found.trials[found.best["trial"]]["state"] == "complete"
    pruned = [row for row in found.trials if row["state"] == "pruned"]
    assert all(row["rank_test_score"] is None and row["folds"] for row in pruned)
    assert {fold["epochs"] for row in pruned for fold in row["folds"]} <= {1, 3}
    for row in pruned:
        assert row["mean_test_score"] == pytest.approx(np.mean([f["test_score"] for f in row["folds"]]))
    rungs = [(tuple(line["job"]), line["epochs"]) for line in lines(tmp_path) if line.get("type") == "rung"]
    assert len(rungs) == len(set(rungs))
    paths = RunPaths(tmp_path, "fake")
    assert not list(paths.folder.glob("checkpoints/*"))
    complete = [row["id"] for row in found.trials if row["state"] == "complete"]
    kept = {path.name for path in paths.folder.glob("predictions/*")}
    assert kept == {paths.prediction(trial, fold, 0).name for trial in complete for fold in range(3)}


def test_crashes_of_the_driver_in_halving_change_nothing(tmp_path, finished):
    whole = finished(**HALVING)
    crash_again_and_again(tmp_path, [1, 5, 17, 29, 40, 50], **HALVING)
    resumed = search(config(**HALVING), results=tmp_path)
    assert without_times(resumed.data) == without_times(whole.data)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
def test_a_journal_of_halving_cut_anywhere_resumes_to_the_same_results(tmp_path, finished, share):
    """Rungs whose checkpoints are gone are trained again."""
    found = finished(tmp_path, **HALVING)
    cut_journal(tmp_path, share)
    again = search(config(**HALVING), results=tmp_path)
    assert without_times(again.data) == without_times(found.data)


def test_a_failed_candidate_of_halving_is_failed_and_the_others_go_on(tmp_path):
    space = {"learning_rate": [0.001, 0.01], "dropout": [0.2, 0.9]}
    changes = {**HALVING, "space": space, "params": {"epochs": 9}}
    found = search(config(**changes), results=tmp_path)
    states = {(r["params"]["dropout"], r["state"]) for r in found.trials}
    assert (0.9, "failed") in states
    assert (0.2, "complete") in states


def test_halving_is_another_run_than_a_grid(tmp_path, finished):
    finished(tmp_path)
    with pytest.raises(ChangedError, match=r"search.val was null, and is 0\.1"):
        search(config(search={"engine": "halving", "folds": 3}), results=tmp_path)


def test_halvings_finalists_have_the_scores_of_a_grid(tmp_path, finished):
    found = finished(**HALVING)
    whole = search(config(**{**HALVING, "search": {"folds": 3}}), results=tmp_path / "grid")
    of_grid = {json.dumps(row["params"]): row for row in whole.trials}
    rows = [row for row in found.trials if row["state"] == "complete"]
    assert rows
    for row in rows:
        assert row["folds"] == of_grid[json.dumps(row["params"])]["folds"]
    to_1, to_3, anew = 12 * 3 * 1, 4 * 3 * 2, 3 * (4 + 9)
    assert found.data["summary"]["epochs_trained"] == to_1 + to_3 + anew


def test_a_candidate_that_ends_before_the_last_rung_is_trained_on_all_rows_too(tmp_path):
    changes = {**HALVING, "space": {"learning_rate": [0.001, 0.01, 0.1], "epochs": [2, 30]}}
    found = search(config(**changes), results=tmp_path)
    rows = [row for row in found.trials if row["state"] == "complete"]
    assert {row["params"]["epochs"] for row in rows} == {2, 30}
    assert all("val_score" not in fold for row in rows for fold in row["folds"])


def test_a_wider_halving_is_what_a_new_one_would_be(tmp_path):
    """Some that were dropped among few go on among many."""
    space = HALVING["space"] | {"learning_rate": [0.001, 0.002, 0.01, 0.02, 0.1]}
    n = 0
    for seed in (0, 2, 5):
        folder, engine = tmp_path / str(seed), {"engine": "halving", "folds": 3, "seed": seed}
        first = search(config(**{**HALVING, "search": engine}), results=folder)
        found = search(config(**{**HALVING, "space": space, "search": engine}), results=folder)
        fresh = search(config(**{**HALVING, "space": space, "search": engine}), results=folder / "new")
        assert _ended(fresh).items() <= _ended(found).items()  # those that ended before stay ended
        assert len(found.trials) == len(fresh.trials)
        pruned = {json.dumps(row["params"]) for row in first.trials if row["state"] == "pruned"}
        n += len(pruned & set(_ended(found)))
        assert not list(RunPaths(folder, "fake").folder.glob("checkpoints/*"))
    assert n > 0


def _ended(found):
    rows = [row for row in without_times(found.data)["trials"] if row["state"] == "complete"]
    return {json.dumps(row["params"]): row["folds"] for row in rows}


def test_rungs_that_are_the_same_are_the_same_run(tmp_path, finished):
    first = finished(tmp_path, **HALVING)
    same = {**HALVING, "search": HALVING["search"] | {"min_epochs": 1}}
    assert search(config(**same), results=tmp_path).data["trials"] == first.data["trials"]


def test_no_rung_is_told(tmp_path):
    notes = Notes()
    changes = {**HALVING, "search": HALVING["search"] | {"min_epochs": 50}}
    search(config(**changes), results=tmp_path, observer=notes)
    assert any("No rung lies between search.min_epochs, 50, and the last epoch, 9" in t for t in notes.texts)


def test_what_waits_at_a_rung_when_a_budget_ends_shows_what_it_has_reached(tmp_path):
    changes = {**HALVING, "search": HALVING["search"] | {"epochs": 12 * 3 + 2}}
    found = search(config(**changes), results=tmp_path)
    assert found.status == "budget"
    rows = {state: [r for r in found.trials if r["state"] == state] for state in ("running", "pruned")}
    assert rows["running"]
    assert rows["pruned"]
    assert all(row["mean_test_score"] is not None for row in rows["running"])
    assert all(row["rank_test_score"] is None for row in found.trials)
    assert found.best is None
    best = max(rows["running"], key=lambda row: row["mean_test_score"])
    assert f"None is trained to its end; ahead so far: trial {best['id']}," in summary_lines(found)[0]
    shown = [row[0][1] for row in leaderboard(found, top=100).rows]
    assert set(shown[: len(rows["running"])]) == {str(row["id"]) for row in rows["running"]}


def test_long_histories_of_what_was_pruned_lie_beside_the_results(tmp_path, monkeypatch):
    for module in ("run.state", "driver.outputs"):
        monkeypatch.setattr(f"kerasgrid.{module}.LONG_HISTORY", 20)
    changes = {**HALVING, "params": {"epochs": 100}, "space": {"dropout": [0.1, 0.2, 0.3, 0.4]}}
    found = search(config(**changes), results=tmp_path)
    folds = [fold for row in found.trials for fold in row["folds"] if row["state"] == "pruned"]
    long = [fold for fold in folds if fold["epochs"] > 20]
    assert long
    for fold in (*long, *(fold for row in found.trials for fold in row["folds"] if fold["epochs"] == 100)):
        history = json.loads((tmp_path / "fake" / fold["history_file"]).read_text())
        assert len(history["loss"]) == fold["epochs"]


@pytest.mark.slow
def test_a_candidate_of_hyperband_that_fails_on_a_fold_is_failed(tmp_path, monkeypatch, in_this_process):
    monkeypatch.setattr(driver, "train_pack", failing_on_fold_1)
    changes = {"search": TUNED["hyperband"], "space": {"dropout": [0.1, 0.2, 0.3]}, "params": {"epochs": 9}}
    found = search(config(**changes), results=tmp_path)
    states = {row["params"]["dropout"]: row["state"] for row in found.trials}
    assert states[0.2] == "failed"
    assert "running" not in states.values()
    assert found.data["summary"]["failed"] == 1
    assert not list(RunPaths(tmp_path, "fake").folder.glob("checkpoints/*"))


def failing_on_fold_1(recipe, pack, context):
    [job] = pack.jobs
    if job.fold == 1 and job.trial.params["dropout"] == 0.2:
        context.emit(FoldRecord(job.id, error={"type": "ValueError", "message": f"{job}: no"}))
    else:
        fake_train_pack(recipe, pack, context)


@pytest.mark.parametrize("changes", [{"factor": 2}, {"min_epochs": 4}])
def test_other_rungs_are_another_run(tmp_path, finished, changes):
    finished(tmp_path, **HALVING)
    with pytest.raises(ChangedError, match="rungs was"):
        search(config(**{**HALVING, "search": HALVING["search"] | changes}), results=tmp_path)


def test_trials_are_none_of_hyperbands_settings(tmp_path):
    with pytest.raises(ConfigError, match="is what hyperband chooses"):
        search(config(search={"engine": "hyperband", "trials": 9, "folds": 3}), results=tmp_path)


def test_few_candidates_that_exclusions_leave_are_told(tmp_path):
    notes = Notes()
    space = {"batch_size": {"low": 1, "high": 500, "type": "int"}, "dropout": [0.2, 0.4]}
    changes = {"space": space, "exclude": ["batch_size > 3"]}
    found = search(
        config(**changes, search={"engine": "random", "trials": 9, "folds": 3}),
        results=tmp_path,
        observer=notes,
    )
    n = len(found.trials)
    assert n < 9
    assert any(f"Of 9 trials there are {n}" in text for text in notes.texts)


@pytest.mark.slow
def test_one_file_serves_all_engines(tmp_path, in_this_process):
    """What only another engine takes is told, not refused."""
    space = {"epochs": [3, 9], "dropout": [0.1, 0.2]}
    own = {"folds": 3, "proposals": 2, "factor": 3, "seed": 0}
    for engine in ("grid", "halving", "hyperband"):
        notes = Notes()
        changes = {"name": engine, "params": {}, "space": space, "search": {**own, "engine": engine}}
        found = search(config(**changes), results=tmp_path, observer=notes)
        assert found.status == "complete"
        told = [text for text in notes.texts if "takes no notice" in text]
        assert any("search.proposals is of" in text for text in told) == (engine != "hyperband")
        assert any("search.factor is of halving and hyperband" in t for t in told) == (engine == "grid")
        if engine == "hyperband":
            assert {row["params"]["epochs"] for row in found.trials} == {9}
            assert any("chooses the epochs of each candidate: of those in space, 9" in t for t in notes.texts)


@pytest.mark.slow
@pytest.mark.parametrize("space", [[{"epochs": [3, 9]}, {"dropout": [0.1]}], {"epochs": [9]}])
def test_hyperband_takes_a_union_and_no_notice_of_min_epochs(tmp_path, space, in_this_process):
    notes = Notes()
    own = {"engine": "hyperband", "folds": 3}
    changes = {"params": {}, "space": space}
    first = search(config(**changes, search=own), results=tmp_path)
    idle = config(**changes, search={**own, "min_epochs": 50})
    found = search(idle, results=tmp_path, observer=notes)
    assert found.data["trials"] == first.data["trials"]
    assert any("search.min_epochs is of halving: hyperband takes no notice" in text for text in notes.texts)
    assert not any("No rung lies" in text for text in notes.texts)


def test_faulty_epochs_under_hyperband_are_told(tmp_path):
    changes = {"params": {}, "space": {"epochs": [1.5, 2]}, "search": {"engine": "hyperband", "folds": 3}}
    with pytest.raises(ConfigError, match=r"space.epochs: .*1\.5"):
        search(config(**changes), results=tmp_path)


# Replay


def test_an_engine_that_proposes_otherwise_than_before_is_told(tmp_path, monkeypatch):
    """As after an upgrade of a package whose draws have changed."""
    with pytest.raises(Crash):
        search(config(), results=tmp_path, observer=StopAfter(5, crash))

    def backwards(task):
        yield Proposal(list(task.space)[::-1])

    monkeypatch.setitem(ENGINES, "grid", dataclasses.replace(ENGINES["grid"], run=backwards))
    n_lines = len(lines(tmp_path))
    with pytest.raises(ReplayError) as error:
        search(config(), results=tmp_path)
    assert 'proposes {"dropout":0.4,"learning_rate":0.1} where it proposed' in str(error.value)
    assert '{"dropout":0.2,"learning_rate":0.001} (trial 0) before' in str(error.value)
    assert len(lines(tmp_path)) <= n_lines + 3  # that a session began and ended
    monkeypatch.undo()


@pytest.mark.parametrize("search_", [{"engine": "random", "trials": 4}, {"engine": "random", "trials": 6}])
def test_another_engine_or_more_trials_may_propose_otherwise(tmp_path, search_):
    search(config(search={"folds": 3, "engine": "random", "trials": 3, "seed": 0}), results=tmp_path)
    found = search(config(search={"folds": 3, "seed": 0, **search_}), results=tmp_path)
    assert found.status == "complete"
    assert search(config(search={"folds": 3, "seed": 0}), results=tmp_path).status == "complete"


def test_a_candidate_that_is_proposed_twice_is_trained_once_and_told_twice(tmp_path, monkeypatch):
    """As KerasTuner's Bayesian oracle does where little is left."""
    told = []

    def twice(task):
        first = next(iter(task.space))
        told.extend((yield Proposal([first, first])))

    monkeypatch.setitem(ENGINES, "grid", dataclasses.replace(ENGINES["grid"], run=twice))
    found = search(config(), results=tmp_path)
    assert found.data["summary"]["fits"] == 3
    assert len(told) == 2
    assert told[0] == told[1] is not None


# Budgets, and trying again


def budget(**limits):
    return config(search={"folds": 3, **limits})


@pytest.mark.parametrize("limits", [{"epochs": 20}, {"epochs": 1}])
def test_a_budget_of_epochs_ends_in_order_and_a_larger_one_goes_on(tmp_path, finished, limits):
    whole = finished()
    notes = Notes()
    first = search(budget(**limits), results=tmp_path, observer=notes)
    assert first.status == "budget"
    assert limits["epochs"] <= first.data["summary"]["epochs_trained"] <= limits["epochs"] + 1
    assert any("epochs is used up: a larger search.epochs goes on" in text for text in notes.texts)
    again = search(budget(**limits), results=tmp_path)
    assert again.data["summary"]["epochs_trained"] == first.data["summary"]["epochs_trained"]
    assert again.status == "budget"
    resumed = search(budget(epochs=1000), results=tmp_path)
    assert resumed.status == "complete"
    left = without_times(resumed.data), without_times(whole.data)
    for data in left:
        del data["config"]
    assert left[0] == left[1]


@pytest.mark.parametrize("limits", [{"epochs": 54, "time": "1h"}, {"epochs": 54, "time": "0.0001s"}])
def test_a_budget_that_suffices_leaves_a_search_complete(tmp_path, limits):
    assert search(budget(epochs=54, time="1h"), results=tmp_path).status == "complete"
    notes = Notes()
    assert search(budget(**limits), results=tmp_path, observer=notes).status == "complete"
    assert not any("used up" in text for text in notes.texts)


def test_a_grid_all_of_whose_candidates_are_done_is_complete(tmp_path, finished):
    finished(tmp_path)
    assert search(budget(trials=4), results=tmp_path).status == "complete"


def test_a_budget_of_time_counts_all_sessions(tmp_path):
    first = search(budget(time="0.0001s"), results=tmp_path)
    assert first.status == "budget"
    assert first.data["trials"] == [] or first.data["summary"]["fits"] < 18
    assert search(budget(time="1h"), results=tmp_path).status == "complete"


def of_version_1(journal):
    """Makes a journal one of version 1, of the first ones, that had the wall clock alone."""
    old = journal.read_text().replace("kerasgrid.journal/2", "kerasgrid.journal/1", 1)
    journal.write_text(re.sub(r',"(session_s":[\d.]+|crc32":"\w+")', "", old))


@pytest.mark.parametrize("jump_s", [-1e6, 1e6])
def test_a_wall_clock_that_jumps_changes_no_duration(tmp_path, monkeypatch, jump_s):
    now, jumps = time.time, []
    monkeypatch.setattr(time, "time", lambda: now() + sum(jumps))
    jump = StopAfter(9, lambda: jumps.append(jump_s))
    first = search(budget(epochs=20, time="1h"), results=tmp_path, observer=jump)
    stamps = [line["time"] for line in lines(tmp_path)[1:]]
    assert max(abs(after - before) for before, after in pairwise(stamps)) > 1e5
    found = search(budget(epochs=1000, time="1h"), results=tmp_path)
    assert [first.status, found.status] == ["budget", "complete"]
    ends = [row["end_time_s"] for row in found.trials]
    assert 0 <= min(ends) <= max(ends) <= found.data["summary"]["wall_time_s"] < 60
    assert found.data["summary"]["wall_time_s"] > first.data["summary"]["wall_time_s"] > 0
    of_version_1(RunPaths(tmp_path, "fake").journal)
    found = search(budget(epochs=1000, time="1h"), results=tmp_path)
    ends = [row["end_time_s"] for row in found.trials]
    assert 0 <= min(ends) <= max(ends) <= found.data["summary"]["wall_time_s"]
    assert found.data["summary"]["wall_time_s"] < 60 or jump_s > 0  # which is all that it tells of time


def test_a_pause_between_sessions_is_none_of_a_search(tmp_path, monkeypatch):
    now = time.time
    search(config(space={"dropout": [0.2, 0.9]}), results=tmp_path)
    monkeypatch.setattr(time, "time", lambda: now() + 1e6)
    for again in (True, False):
        found = search(config(space={"dropout": [0.2, 0.9]}), results=tmp_path, retry_failed=again)
        assert 0 < found.data["summary"]["wall_time_s"] < 60


def test_failed_trials_are_tried_again_where_that_is_asked(tmp_path, finished, monkeypatch):
    def broken(recipe, pack, context):
        if pack.jobs[0].trial.id == 2:
            raise RuntimeError("no network")
        fake_train_pack(recipe, pack, context)

    whole = finished()
    monkeypatch.setattr(driver, "train_pack", broken)
    first = search(config(), results=tmp_path)
    assert first.trials[2]["state"] == "failed"
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    assert search(config(), results=tmp_path).trials[2]["state"] == "failed"
    notes = Notes()
    found = search(config(), results=tmp_path, retry_failed=True, observer=notes)
    assert "1 trial that failed will be tried again." in notes.texts
    assert without_times(found.data) == without_times(whole.data)
    assert without_times(search(config(), results=tmp_path).data) == without_times(whole.data)


def test_predictions_of_what_was_tried_again_are_kept(tmp_path, monkeypatch):
    space = {"dropout": [0.1, 0.2]}
    monkeypatch.setattr(driver, "train_pack", failing_on_fold_1)
    search(config(space=space), results=tmp_path)
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    for again in (True, False):
        search(config(space=space), results=tmp_path, retry_failed=again)
        with np.load(RunPaths(tmp_path, "fake").oof) as kept:
            assert {"trial_0", "trial_1"} <= set(kept)


def test_an_engine_that_chooses_by_score_tries_nothing_again(tmp_path, finished):
    with pytest.raises(ReplayError, match="retry_failed=True"):
        search(config(**HALVING), results=tmp_path / "new", retry_failed=True)
    assert not (tmp_path / "new").exists()
    finished(tmp_path, **HALVING)
    with pytest.raises(ReplayError, match="retry_failed=True: the engine halving has chosen by the scores"):
        search(config(**HALVING), results=tmp_path, retry_failed=True)


# KerasTuner's oracles

TUNED = {
    "bayesian": {"engine": "bayesian", "trials": 6, "proposals": 2, "folds": 3},
    "hyperband": {"engine": "hyperband", "folds": 3, "proposals": 20},
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", TUNED)
def test_a_crash_under_an_oracle_changes_nothing(tmp_path, in_this_process, engine):
    space = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "dropout": [0.2, 0.4]}
    changes = {"search": TUNED[engine], "space": space, "params": {"epochs": 9}}
    with pytest.raises(Crash):
        search(config(**changes), results=tmp_path / "cut", observer=StopAfter(70, crash))
    resumed = search(config(**changes), results=tmp_path / "cut")
    whole = search(config(**changes), results=tmp_path / "whole")
    assert whole.status == "complete"
    states = {row["state"] for row in whole.trials}
    assert states == ({"complete", "pruned"} if engine == "hyperband" else {"complete"})
    assert without_times(resumed.data) == without_times(whole.data)


def test_batch_normalization_that_will_not_warm_up_is_told_before_the_first_epoch_and_once(
    tmp_path, monkeypatch
):
    def cold(recipe, executor, candidates):
        return [
            dataclasses.replace(one, momenta=((0.99, (0,)),))
            for one in fake_probes(recipe, executor, candidates)
        ]

    monkeypatch.setattr(packing, "run_probes", cold)
    told = []

    class Notes(StopAfter):
        def note(self, text):
            told.append(text)

        def epoch(self, record):
            told.append("an epoch")
            super().epoch(record)

    short = config(params={}, space={"batch_size": [600, 1198], "epochs": [1, 3]})
    with pytest.raises(Crash):
        search(short, results=tmp_path, observer=Notes(2, crash))
    lines = [line for line in told if "warmed up" in line or line == "an epoch"]
    assert lines[1:] == ["an epoch", "an epoch"]
    assert lines[0].startswith(
        "BatchNormalization will not have warmed up in 4 of 4 candidates: batch_size 1198 and 1 epoch make 1 "
        "step, after which 99% of its moving statistics (momentum 0.99) are still first values."
    )
    told.clear()
    found = search(short, results=tmp_path, observer=Notes(100, crash))
    assert found.status == "complete"
    assert not [line for line in told if "warmed up" in line]


def test_what_is_probably_not_meant_is_told_as_python_tells_it_where_nobody_listens(tmp_path, monkeypatch):
    def bare(recipe, executor, candidates):
        return [
            dataclasses.replace(record, scales_input=False)
            for record in fake_probes(recipe, executor, candidates)
        ]

    monkeypatch.setattr(packing, "run_probes", bare)
    flips = config(augment={"horizontal_flip": True}, space={})
    with pytest.warns(UserWarning, match="pixels of 0 to 16") as caught:
        search(flips, results=tmp_path)
    told = [str(one.message) for one in caught if one.category is UserWarning]
    assert told[0].startswith("augment flips images of digits")
    assert told[1].startswith("pixels of 0 to 16 reach the net as they are stored")
    notes = []

    class Notes(Observer):
        def note(self, text):
            notes.append(text)

    search(flips, results=tmp_path, fresh=True, observer=Notes())
    assert [line for line in notes if line in told] == told


def test_what_samples_show_is_told_as_check_tells_it(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4)).astype(np.uint8)
    images[39] = images[0]
    np.savez(tmp_path / "train.npz", images=images, labels=np.arange(40) % 2)
    notes = []

    class Notes(Observer):
        def warn(self, text):
            notes.append(text)

    given = config(data={"train": str(tmp_path / "train.npz")}, space={})
    search(given, results=tmp_path, observer=Notes())
    assert any(
        line.startswith("2 of 40 samples hold the same values as one of another class") for line in notes
    )
