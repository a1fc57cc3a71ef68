"""Which fold models a search keeps, with a fake trainer that writes a small file for each."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fakes import CONFIG, Crash, cut, fake_probes, fake_train_pack

import kerasgrid.driver.search as driver
from kerasgrid.driver.results import Results
from kerasgrid.driver.search import search
from kerasgrid.engines import Kind, Proposal
from kerasgrid.errors import ResultsError
from kerasgrid.planning import packing
from kerasgrid.records import NoteRecord
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths

HALVING = {
    "params": {"epochs": 9},
    "search": {"engine": "halving", "folds": 3},
    "space": {"learning_rate": [0.001, 0.002, 0.01, 0.02, 0.1, 0.2], "dropout": [0.2, 0.4]},
}


@pytest.fixture(autouse=True)
def fake_trainer(monkeypatch):
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    monkeypatch.setattr(packing, "run_probes", fake_probes)


class Notes(Observer):
    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


class Watch(Observer):
    """Notes at each end of a fit which models lie there, and may end the driver at the n-th epoch."""

    def __init__(self, paths, crash_at=None):
        self.paths, self.left, self.seen = paths, crash_at, []

    def epoch(self, record):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Crash

    def ended(self, record, state):
        self.seen.append((kept(self.paths), record, state.ranking(), set(state.ended)))


def keeping(keep, **changes) -> dict:
    made = json.loads(json.dumps(CONFIG)) | changes
    return made | {"search": {"folds": 3, **made["search"], "keep_models": keep}}


def kept(paths: RunPaths) -> set[str]:
    return {path.name for path in paths.models}


def files(paths: RunPaths, trials, folds=3, repeats=1) -> set[str]:
    jobs = [(t, f, r) for t in trials for f in range(folds) for r in range(repeats)]
    return {paths.model(*job).name for job in jobs}


@pytest.fixture
def paths(tmp_path) -> RunPaths:
    return RunPaths(tmp_path, "fake")


def test_none_best_or_all_are_kept(tmp_path):
    for keep in ("none", "best", "all"):
        found = search(keeping(keep), results=tmp_path / keep)
        paths = RunPaths(tmp_path / keep, "fake")
        wanted = {"none": [], "best": [found.best["trial"]], "all": range(6)}[keep]
        assert kept(paths) == files(paths, wanted)
        assert (paths.folder / "models").exists() == (keep != "none")


def test_models_of_repeats_come_in_the_order_of_folds(tmp_path, paths):
    three = {"folds": 2, "repeats": 2, "keep_models": "best"}
    found = search(keeping("best", search=three), results=tmp_path)
    best = found.best["trial"]
    wanted = [paths.model(best, fold, repeat) for fold in (0, 1) for repeat in (0, 1)]
    assert found.model_files() == wanted == Results.load(tmp_path / "fake.json").model_files(best)
    assert kept(paths) == files(paths, [best], 2, 2)


def test_no_more_lie_there_than_those_of_the_best_and_of_what_is_under_way(tmp_path, paths):
    watch = Watch(paths)
    search(keeping("best"), results=tmp_path, observer=watch)
    assert len(watch.seen) == 18
    for found, record, ranking, ended in watch.seen:
        done = [trial for trial in range(6) if {(trial, fold, 0) for fold in range(3)} <= ended]
        under_way = {job for job in ended if job[0] not in done}
        assert found == files(paths, ranking[:1]) | {paths.model(*job).name for job in under_way}
        assert record.error is None


def test_of_equal_trials_the_first_is_kept_in_whatever_order_they_end(tmp_path, paths, monkeypatch):
    def alike(recipe, pack, context):
        class Leveller:
            should_stop = context.should_stop

            def emit(self, payload):
                if hasattr(payload, "score"):
                    payload = type(payload)(**{**vars(payload), "score": 0.5})
                context.emit(payload)

        fake_train_pack(recipe, pack, Leveller())

    class Backwards(driver.executors.Inline):
        def run(self, function, tasks):
            return super().run(function, list(tasks)[::-1])

    monkeypatch.setattr(driver, "train_pack", alike)
    monkeypatch.setattr(driver, "lent_executor", lambda *_, **__: Backwards())
    watch = Watch(paths)
    found = search(keeping("best"), results=tmp_path, observer=watch)
    assert watch.seen[0][1].job[0] == 5
    assert found.best["trial"] == 0
    assert kept(paths) == files(paths, [0])


def test_failed_trials_keep_none(tmp_path, monkeypatch):
    def failing(recipe, pack, context):
        if pack.jobs[0].id[:2] == (2, 1):
            raise RuntimeError("no network")
        fake_train_pack(recipe, pack, context)

    monkeypatch.setattr(driver, "train_pack", failing)
    for keep in ("best", "all"):
        found = search(keeping(keep), results=tmp_path / keep)
        paths = RunPaths(tmp_path / keep, "fake")
        wanted = [found.best["trial"]] if keep == "best" else [0, 1, 3, 4, 5]
        assert kept(paths) == files(paths, wanted)
    with pytest.raises(ResultsError, match="trial 2 is failed, and complete ones keep their models"):
        found.model_files(2)


@pytest.mark.parametrize("keep", ["all", "best"])
def test_a_failed_trial_that_is_tried_again_has_all_its_models(tmp_path, paths, monkeypatch, keep):
    def failing(recipe, pack, context):
        if pack.jobs[0].id[:2] == (2, 1):
            raise RuntimeError("no network")
        fake_train_pack(recipe, pack, context)

    monkeypatch.setattr(driver, "train_pack", failing)
    given = keeping(keep, space={"learning_rate": [0.001, 0.01, 0.1]})
    search(given, results=tmp_path)
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    found = search(given, results=tmp_path, retry_failed=True)
    wanted = range(3) if keep == "all" else [found.best["trial"]]
    assert kept(paths) == files(paths, wanted)
    assert len(found.model_files(2 if keep == "all" else None)) == 3
    again = search(given, results=tmp_path)
    assert [row["folds"] for row in again.trials] == [row["folds"] for row in found.trials]


def test_a_trial_with_a_failed_fit_and_others_to_come_is_tried_again(tmp_path, monkeypatch):
    """It was interrupted after the one that failed."""

    def failing(recipe, pack, context):
        if pack.jobs[0].id == (0, 0, 0):
            raise RuntimeError("no network")
        raise Crash

    monkeypatch.setattr(driver, "train_pack", failing)
    with pytest.raises(Crash):
        search(keeping("all"), results=tmp_path)
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    found = search(keeping("all"), results=tmp_path, retry_failed=True)
    assert {row["state"] for row in found.trials} == {"complete"}


def test_a_trial_that_was_given_up_with_some_fits_done_has_all_its_models_in_the_end(
    tmp_path, paths, monkeypatch
):
    one, other = {"learning_rate": 0.001}, {"learning_rate": 0.01}
    engines = {
        "first": lambda task: (yield Proposal([one, other])),
        "second": lambda task: (yield Proposal([other], dropped=[one])),
        "third": lambda task: (yield Proposal([one, other])),
    }
    for name, engine in engines.items():
        monkeypatch.setitem(driver.ENGINES, name, Kind(engine))
    changes = {"space": {"learning_rate": [0.001, 0.01]}}
    given = {name: keeping("all", **changes, search={"engine": name, "folds": 3}) for name in engines}
    with pytest.raises(Crash):
        search(given["first"], results=tmp_path, observer=Watch(paths, 7))  # two of three fits have ended
    assert kept(paths) == files(paths, [0], 2)
    search(given["second"], results=tmp_path)
    assert kept(paths) == files(paths, [1])
    search(given["third"], results=tmp_path)
    assert kept(paths) == files(paths, [0, 1])
    with np.load(paths.oof) as oof:
        assert {"trial_0", "trial_1"} <= set(oof)


def test_pruned_trials_and_those_that_wait_keep_none(tmp_path):
    for keep in ("best", "all"):
        paths = RunPaths(tmp_path / keep, "fake")
        watch = Watch(paths)
        found = search(keeping(keep, **HALVING), results=tmp_path / keep, observer=watch)
        complete = [row["id"] for row in found.trials if row["state"] == "complete"]
        assert kept(paths) == files(paths, complete if keep == "all" else [found.best["trial"]])
        assert all(name in files(paths, complete) for seen, *_ in watch.seen for name in seen)


def test_what_ends_before_a_rung_and_begins_anew_is_kept_once_it_has_ended(tmp_path, paths):
    space = {"learning_rate": [0.001, 0.01, 0.1], "epochs": [2, 30]}
    found = search(keeping("all", **{**HALVING, "params": {}, "space": space}), results=tmp_path)
    complete = [row["id"] for row in found.trials if row["state"] == "complete"]
    assert {row["params"]["epochs"] for row in found.trials if row["id"] in complete} == {2, 30}
    assert kept(paths) == files(paths, complete)


@pytest.mark.parametrize("keep", ["best", "all"])
def test_crashes_and_resumes_keep_the_same(tmp_path, keep):
    whole, paths = RunPaths(tmp_path / "whole", "fake"), RunPaths(tmp_path / "cut", "fake")
    search(keeping(keep), results=whole.results)
    for n in (1, 7, 14, 19, 16):  # of 54 epochs the 1st, 7th, 20th, 38th and 53rd
        with pytest.raises(Crash):
            search(keeping(keep), results=paths.results, observer=Watch(paths, n))
    assert search(keeping(keep), results=paths.results).model_files()
    assert kept(paths) == kept(whole)


@pytest.mark.parametrize("changes", [{}, HALVING], ids=["grid", "halving"])
@pytest.mark.parametrize("keep", ["best", "all"])
def test_a_journal_cut_anywhere_leads_to_the_same_models(tmp_path, paths, changes, keep):
    search(keeping(keep, **changes), results=tmp_path)
    wanted = kept(paths)
    header = len(paths.journal.read_bytes().split(b"\n")[0]) + 1
    for share in (0.9, 0.6, 0.3):
        cut(paths.journal, header + int(share * (paths.journal.stat().st_size - header)))
        found = search(keeping(keep, **changes), results=tmp_path)
        assert kept(paths) == wanted
        assert [json.loads(file.read_text()) for file in found.model_files()]


def test_what_a_kill_has_left_is_swept(tmp_path, paths, monkeypatch):
    best = search(keeping("best"), results=tmp_path).best["trial"]
    models = paths.model(0, 0, 0).parent
    left = [models / f".{paths.model(0, 0, 0).name}.abc.tmp.keras", models / "tmpx1", paths.model(9, 0, 0)]
    left.append(paths.model((best + 1) % 6, 0, 0))  # overtaken, and not removed yet
    mine = models / "mine.keras"
    for file in (*left, mine):
        file.write_bytes(b"x")
    monkeypatch.setattr(driver, "train_pack", partial(pytest.fail, "trained again"))
    search(keeping("best"), results=tmp_path)
    assert not any(file.exists() for file in left)
    assert mine.exists()
    assert kept(paths) == files(paths, [best])


def test_a_model_whose_fits_end_is_not_recorded_is_made_again(tmp_path, paths):
    with pytest.raises(Crash):
        search(keeping("all"), results=tmp_path, observer=Watch(paths, 5))
    paths.model(5, 2, 0).write_text("of a fit whose record was lost")
    search(keeping("all"), results=tmp_path)
    assert json.loads(paths.model(5, 2, 0).read_text())["epochs"] == 3


def test_what_is_kept_may_change_from_session_to_session(tmp_path, paths):
    best = search(keeping("all"), results=tmp_path).best["trial"]
    search(keeping("none"), results=tmp_path)  # trains and keeps nothing, and takes nothing away
    assert kept(paths) == files(paths, range(6))
    notes = Notes()
    search(keeping("best"), results=tmp_path, observer=notes)
    assert kept(paths) == files(paths, [best])
    assert not any("missing" in text for text in notes.texts)


def test_models_that_earlier_sessions_did_not_keep_are_told(tmp_path, paths):
    best = search(keeping("none"), results=tmp_path).best["trial"]
    notes = Notes()
    found = search(keeping("best"), results=tmp_path, observer=notes)
    assert (
        f"3 of the 3 fold models of the best trial, {best}, are missing: an earlier session trained those "
        "fits and did not keep them. To have all, start anew with fresh=True." in notes.texts
    )
    told = rf"trial {best}: no fold models are there, and search\.keep_models is best\. .*fresh=True\.$"
    with pytest.raises(ResultsError, match=told):
        found.model_files()


def test_a_trial_of_a_space_before_keeps_none_once_all_is_over(tmp_path, paths):
    """It is not done, and is gone on with only if the space grows again."""
    with pytest.raises(Crash):
        search(keeping("best"), results=tmp_path, observer=Watch(paths, 14))
    assert paths.model(1, 0, 0).exists()
    found = search(keeping("best", space={"learning_rate": [0.1], "dropout": [0.4]}), results=tmp_path)
    assert kept(paths) == files(paths, [found.best["trial"]])


def test_a_note_on_one_topic_is_told_once(tmp_path, monkeypatch):
    def noting(recipe, pack, context):
        context.emit(NoteRecord(f"{pack.jobs[0]}: no model.", topic="fold models"))
        context.emit(NoteRecord("Another thing."))
        fake_train_pack(recipe, pack, context)

    notes = Notes()
    monkeypatch.setattr(driver, "train_pack", noting)
    search(keeping("best"), results=tmp_path, observer=notes)
    assert [text for text in notes.texts if "no model" in text] == ["trial 0, fold 0: no model."]
    assert notes.texts.count("Another thing.") == 18


def test_messages_where_models_were_not_kept(tmp_path):
    found = search(keeping("none"), results=tmp_path)
    best = {"trial": 0, "params": {}, "mean_test_score": 1.0}
    for change, trial, told in (
        ({}, None, r"fake\.json: trial 0: no fold models are there, and search\.keep_models is none\. "),
        ({}, 17, r"fake\.json: there is no trial 17\. Known: 0, 1, 2, 3, 4, 5\.$"),
        ({"best": None}, None, r"^no trial is complete, so that there is no best one\.$"),
    ):
        with pytest.raises(ResultsError, match=told):
            Results({**found.data, "best": best, **change}, found.path).model_files(trial)


def test_models_of_another_than_the_best_are_told_apart(tmp_path, paths):
    found = search(keeping("best"), results=tmp_path)
    best = found.best["trial"]
    with pytest.raises(ResultsError, match=rf"keeps the fold models of trial {best}, and those of trial "):
        found.model_files((best + 1) % 6)
    with pytest.raises(ResultsError, match="these results: trial"):
        Results(found.data).model_files()
    paths.model(best, 1, 0).unlink()
    with pytest.raises(ResultsError, match="2 of its 3 fold models are there"):
        found.model_files()


def test_a_run_that_was_moved_aside_has_its_own(tmp_path):
    search(keeping("best"), results=tmp_path)
    search(keeping("best"), results=tmp_path, fresh=True)
    files = Results.load(tmp_path / "fake.1.json").model_files()
    assert {Path(file).parent for file in files} == {tmp_path / "fake.1" / "models"}
    assert np.all([file.exists() for file in files])
