"""Golden files: what an earlier version wrote is read and gone on with, and today's writes the same.

A format that changes shows here, and in review as a diff of tests/golden. Where the change is meant, the
files are made anew by

    KERASGRID_WRITE_GOLDEN=1 .venv/bin/python -m pytest tests/test_golden.py tests/run/test_journal.py

which skips each test that has written, so that none passes by its own file. What a run under
kerasgrid.journal/1 left behind (run-1, rungs-1, journal-1.jsonl) nobody writes any more.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import Collector, fake_train_pack, prepare_run

from kerasgrid.checks.draft import read_draft
from kerasgrid.data.encoding import Encoder
from kerasgrid.data.statistics import TargetScale
from kerasgrid.delivery import fitting, inference
from kerasgrid.delivery.fitting import fit
from kerasgrid.delivery.predicting import predict
from kerasgrid.driver import search as driver
from kerasgrid.driver.preview import preview
from kerasgrid.driver.results import Results
from kerasgrid.driver.search import search
from kerasgrid.errors import JournalError
from kerasgrid.jobs.facts import ModelFacts
from kerasgrid.jobs.tasks import FinalRecord, PredictedRecord
from kerasgrid.planning import packing
from kerasgrid.planning.plan import plan
from kerasgrid.records import Column, Graph, Job, ProbeRecord, Table, Target, Trial
from kerasgrid.report.writing import Report
from kerasgrid.run.journal import check_line, read
from kerasgrid.run.paths import RunPaths
from kerasgrid.tables.reading import read_table
from kerasgrid.views.leaderboard import leaderboard, summary_lines

GOLDEN = Path(__file__).parent / "golden"
BEFORE = ["run-1", "rungs-1"]
RUNS = ["run-2", "rungs-2"]
NOW = 1_000_000_000.0
VERSIONS = {"keras": "3", "kerasgrid": "0", "tensorflow": "2"}
"""In the place of those that are installed."""


WRITES = bool(os.environ.get("KERASGRID_WRITE_GOLDEN"))


def hold(**found: str) -> None:
    """Holds texts against golden files, named by their paths; or writes these and skips the test."""
    if WRITES:
        for name, text in found.items():
            (GOLDEN / name).write_text(text, encoding="utf-8")
        pytest.skip(f"written: {', '.join(found)}")
    for name, text in found.items():
        assert text == (GOLDEN / name).read_text(encoding="utf-8"), f"{name} holds something else"


def as_text(value: Any) -> str:
    """Returns JSON over several lines, lists of numbers in one."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return re.sub(
        r"\[\n[^][{}\"]*\n *\]", lambda found: re.sub(r"\n *", "", found[0]).replace(",", ", "), text
    )


# Runs


def probes(recipe, executor, candidates):
    """Finds one graph for each dropout; a dropout of 0.9 has none."""
    for params in candidates:
        rate = params["dropout"]
        graph = Graph(None, "it is odd") if rate == 0.9 else Graph(f"dropout {rate}", None, (rate,))
        yield ProbeRecord(params, 100, None, "cpu", graph)


@pytest.fixture
def frozen(monkeypatch):
    """Trains nothing, on a machine without a clock, whose packages are of no version."""
    if find_spec("tensorflow") is None:
        pytest.skip("the golden runs were TensorFlow's")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr("kerasgrid.driver.run.time", SimpleNamespace(time=lambda: NOW, monotonic=lambda: 0.0))
    monkeypatch.setattr("kerasgrid.driver.run.os", SimpleNamespace(getpid=lambda: 1))
    for module in ("driver.run", "planning.workers"):
        monkeypatch.setattr(f"kerasgrid.{module}.versions", lambda: VERSIONS)
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    monkeypatch.setattr(packing, "run_probes", probes)


def start(name: str, folder: Path) -> tuple[Path, RunPaths]:
    """Lays out a golden run's grid.yaml and model in a folder; returns that, and where its results go."""
    shutil.copy(GOLDEN / "net.py", folder)
    return Path(shutil.copy(GOLDEN / name / "grid.yaml", folder)), RunPaths(folder / "results", "golden")


@pytest.mark.parametrize("name", RUNS)
def test_a_search_writes_the_same_journal_and_results(name, frozen, tmp_path):
    grid, paths = start(name, tmp_path)
    search(grid, results=paths.results)
    written = as_text(json.loads(paths.json.read_text()))
    hold(**{f"{name}/journal.jsonl": paths.journal.read_text(), f"{name}/results.json": written})


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("share", [0.35, 0.7])
def test_a_search_goes_on_from_a_golden_journal_to_the_golden_results(name, share, frozen, tmp_path):
    """Cut in the middle of a line."""
    grid, paths = start(name, tmp_path)
    journal = (GOLDEN / name / "journal.jsonl").read_bytes()
    paths.folder.mkdir(parents=True, exist_ok=True)
    paths.journal.write_bytes(journal[: round(share * len(journal))])
    begun = paths.journal.read_text().splitlines()[:-1]
    found = search(grid, results=paths.results)
    assert found.data == json.loads((GOLDEN / name / "results.json").read_text())
    assert paths.journal.read_text().splitlines()[: len(begun)] == begun


def rounded(value: Any) -> Any:
    """Returns a JSON value with numbers of six digits, whose last ones no machine needs to agree on."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def lay_out(name: str, folder: Path, share: float = 1.0) -> tuple[Path, RunPaths]:
    """Lays out a golden run that has been trained, or so much of its journal."""
    grid, paths = start(name, folder)
    journal = (GOLDEN / name / "journal.jsonl").read_bytes()
    paths.folder.mkdir(parents=True, exist_ok=True)
    paths.journal.write_bytes(journal[: round(share * len(journal))])
    shutil.copy(GOLDEN / name / "results.json", paths.json)
    return grid, paths


def tree(folder: Path) -> dict[str, bytes]:
    """Returns all files below a folder, but those that tell who writes there."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "lock"}


def assert_has(found: Any, wanted: Any) -> None:
    """Holds that a JSON value has all that another has, and perhaps keys beside it."""
    if isinstance(wanted, dict):
        assert wanted.keys() <= found.keys()
        for key, value in wanted.items():
            assert_has(found[key], value)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_has(one, other)
    else:
        assert found == wanted


@pytest.mark.parametrize("name", BEFORE)
def test_a_finished_run_under_journal_1_has_nothing_to_do_and_stays_as_it_is(name, frozen, tmp_path):
    grid, paths = lay_out(name, tmp_path)
    before = paths.journal.read_bytes()
    found = search(grid, results=paths.results)
    assert_has(found.data, {**json.loads((GOLDEN / name / "results.json").read_text()), "config": {}})
    assert (found.about.journal, found.status) == ("kerasgrid.journal/1", "complete")
    assert paths.journal.read_bytes() == before


WAYS_ON = (
    'Go on with the version of kerasgrid that wrote it (pip install "kerasgrid==0"), or start anew with '
    "fresh=True, which moves the old run aside. plot, report, fit and predict take what it has as before."
)


def refused(paths: RunPaths, why: str) -> str:
    return (
        f"{paths.journal}: this run was begun by an earlier version, as kerasgrid.journal/1, and {why}. "
        "Since kerasgrid.journal/2 fits have other random keys and scores, and two meanings never meet in "
        f"one leaderboard. {WAYS_ON}"
    )


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("share", [0.35, 0.7, 0.9])
def test_a_run_under_journal_1_that_is_not_finished_is_refused_before_anything_is_trained(
    name, share, frozen, tmp_path, monkeypatch
):
    grid, paths = lay_out(name, tmp_path, share)
    before = tree(paths.results)

    def stop(*_: object) -> None:
        raise AssertionError("a model was asked for")

    monkeypatch.setattr(driver, "train_pack", stop)
    monkeypatch.setattr(packing, "run_probes", stop)
    with pytest.raises(JournalError) as caught:
        search(grid, results=paths.results)
    told = re.escape(refused(paths, "<some> would be trained")).replace("<some>", r"\d trials?")
    assert re.fullmatch(told, str(caught.value))
    folds = str(paths.folds.relative_to(paths.results))
    assert tree(paths.results) == {**before, folds: paths.folds.read_bytes()}  # these were not there
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"overrides": ["space.learning_rate=[0.001,0.01,0.1]"]}, "would be trained"),
        ({"retry_failed": True}, "4 trials would be tried again"),
    ],
)
def test_a_finished_run_under_journal_1_takes_nothing_more(changes, why, frozen, tmp_path):
    grid, paths = lay_out("run-1", tmp_path)
    before = paths.journal.read_bytes(), paths.json.read_bytes()
    with pytest.raises(JournalError) as caught:
        search(grid, results=paths.results, **changes)
    assert why in str(caught.value)
    assert WAYS_ON in str(caught.value)
    assert (paths.journal.read_bytes(), paths.json.read_bytes()) == before


@pytest.mark.parametrize(
    ("name", "n_done", "why"), [("run-1", 16, "9 fits would be trained"), ("rungs-1", 10, "is not finished")]
)
def test_check_tells_of_a_run_under_journal_1_that_would_be_trained(name, n_done, why, frozen, tmp_path):
    grid, paths = lay_out(name, tmp_path)
    assert preview(read_draft(grid), paths.results).n_done == n_done
    lay_out(name, tmp_path, 0.7)
    with pytest.raises(JournalError) as caught:
        preview(read_draft(grid), paths.results)
    assert str(caught.value) == refused(paths, why)


def test_a_run_under_journal_1_begins_anew_by_fresh_or_where_it_has_come_to_nothing(frozen, tmp_path):
    wanted = json.loads((GOLDEN / "run-2" / "results.json").read_text())
    grid, paths = lay_out("run-1", tmp_path)
    assert search(grid, results=paths.results, fresh=True).data == wanted
    aside = paths.results / "golden.1" / "journal.jsonl"
    assert aside.read_bytes() == (GOLDEN / "run-1" / "journal.jsonl").read_bytes()
    shutil.rmtree(paths.results)
    grid, paths = lay_out("run-1", tmp_path, 0.2)  # trials and packs are planned
    paths.json.unlink()
    assert search(grid, results=paths.results).data == wanted
    assert paths.journal.read_text() == (GOLDEN / "run-2" / "journal.jsonl").read_text()
    shutil.rmtree(paths.results)
    grid, paths = lay_out("run-1", tmp_path, 0.2)
    paths.checkpoint(0, 0, 0).parent.mkdir()
    paths.checkpoint(0, 0, 0).write_bytes(b"of version 1")
    with pytest.raises(JournalError, match="would be trained"):
        search(grid, results=paths.results)
    assert paths.checkpoint(0, 0, 0).exists()


@pytest.mark.parametrize("name", BEFORE)
def test_a_run_under_journal_1_is_fitted_and_predicted_as_one_of_today_is(
    name, frozen, tmp_path, monkeypatch
):
    tasks = []

    def train(recipe, task, context):
        tasks.append(task)
        task.file.parent.mkdir(parents=True, exist_ok=True)
        task.file.write_bytes(b"a model")
        context.emit(FinalRecord(task.job.id, task.epochs, {"loss": [0.5] * task.epochs}, fit_time=0.5))

    def answer(recipe, task, context):
        n_rows = sum(len(chunk.images) for chunk in task.stream.batches(256))
        context.emit(
            PredictedRecord(task.place, np.full((n_rows, recipe.target.n_outputs), 0.1, np.float32), None)
        )

    monkeypatch.setattr(fitting, "train_final", train)
    monkeypatch.setattr(inference, "ask_model", answer)
    told = []
    for each in (name, name.replace("-1", "-2")):
        (tmp_path / each).mkdir()
        _, paths = lay_out(each, tmp_path / each)
        before = paths.journal.read_bytes(), paths.json.read_bytes()
        row = next(row for row in Results.load(paths.json).trials if row["state"] == "complete")
        fit(paths.json, trial=row["id"])
        found = predict(paths.json, np.zeros((5, 8, 8)), trial=row["id"])
        task, card = tasks.pop(), json.loads(paths.card(paths.best).read_text())
        about = {key: card[key] for key in ("how", "epochs", "data", "classes", "input")}
        assert (task.job.trial.params, card["scores"]["folds"]) == (
            row["params"],
            [fold["test_score"] for fold in row["folds"]],
        )
        told.append((task.rows.tolist(), about, found.labels.tolist()))
        assert (paths.journal.read_bytes(), paths.json.read_bytes()) == before
    assert told[0] == told[1]


@pytest.mark.parametrize("name", [*BEFORE, *RUNS])
def test_golden_results_say_what_they_said(name, monkeypatch):
    monkeypatch.chdir(GOLDEN / name)
    path = Path("results.json")
    results, table = Results.load(path), read_table(path)
    said = {
        "status": results.status,
        "best": results.best,
        "frame": results.frame().to_csv(float_format="%.6g").splitlines(),
        "table": {key: value for key, value in asdict(table).items() if key not in ("about", "log_params")},
        "log_params": sorted(table.log_params),
        "leaderboard": str(leaderboard(results)).splitlines(),
        "summary": summary_lines(results),
        "report": json.loads(Report(path).json()),
    }
    hold(**{f"{name}/said.json": as_text(rounded(said))})


# Damaged journals

KEEP = re.compile(
    r"keep of it, which is text, the (\d+) lines? above this one alone, and call the same again"
)
DELETE = re.compile(r"delete line (\d+) of it, which is text, and call the same again\. (.*) Or start anew")
MEND = re.compile(r"mend byte (\d+) of the line \('(.)', which was '(.)'\)")


@pytest.mark.parametrize("name", RUNS)
def test_each_line_that_is_damaged_is_told_with_its_cost_and_what_is_told_to_do_mends_the_run(
    name, frozen, tmp_path
):
    """A digit of each line is another one; the run goes on to the same results by each of the ways told."""
    grid, paths = start(name, tmp_path)
    search(grid, results=paths.results)
    shutil.copytree(paths.results, tmp_path / "kept")
    lines = paths.journal.read_bytes().splitlines(keepends=True)
    wanted = json.loads((GOLDEN / name / "results.json").read_text())
    kinds = [json.loads(line).get("type", "header") for line in lines]
    ways: dict[str, set[str]] = {}

    def gone_on(journal: list[bytes]) -> dict[str, Any]:
        shutil.rmtree(paths.results)
        shutil.copytree(tmp_path / "kept", paths.results)
        paths.journal.write_bytes(b"".join(journal))
        return search(grid, results=paths.results).data

    for number, line in enumerate(lines[:-1], start=1):
        kind = kinds[number - 1]
        place = line.rindex(b"time" if number > 1 else b"kerasgrid") + 8
        bad = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        paths.journal.write_bytes(b"".join([*lines[: number - 1], bad, *lines[number:]]))
        with pytest.raises(JournalError) as caught:
            read(paths.journal, check_line)
        told = str(caught.value)
        assert told.startswith(
            f"{paths.journal}:{number}: this line is damaged (its checksum does not hold), "
        )
        byte = MEND.search(told)
        assert [ord(byte[2]), ord(byte[3])] == [bad[place], line[place]]
        assert int(byte[1]) == place + 1
        if number == 1:
            n_fits = len({tuple(r["job"]) for r in map(json.loads, lines[1:]) if is_fit(r)})
            assert (
                f"moves the old run aside: that trains {n_fits} fits again, about {n_fits * 0.5:.1f} s"
                in told
            )
            continue
        if found := DELETE.search(told):
            assert int(found[1]) == number
            kept = lines[: number - 1] + lines[number:]
            costs = kind in ("fold", "rung")
            assert ("To train that fit again takes about 0.50 s, as " in found[2]) == costs
        else:
            found = KEEP.search(told)
            assert int(found[1]) == number - 1
            kept = lines[: number - 1]
            assert " again, about " in told or "no fit has to be trained again" in told
        ways.setdefault(kind, set()).add(found[0].split()[0])
        if kind != "rung" and kind in kinds[: number - 1] and kind in kinds[number:-1]:
            continue  # the first and last of each kind are told of all
        after = gone_on(kept)
        if kind == "pack":  # whose shared epochs are counted fit by fit
            assert after["summary"].pop("epochs_trained") >= wanted["summary"]["epochs_trained"]
            after["summary"]["epochs_trained"] = wanted["summary"]["epochs_trained"]
        if kind == "session":  # so that it is not known when trials ended
            for one, other in zip(after["trials"], wanted["trials"], strict=True):
                one["end_time_s"] = other["end_time_s"]
        assert after == wanted, f"{kind}, line {number}"
    lone = {kind: way for kind, way in ways.items() if len(way) == 1}
    both = {"rung"} if name == "rungs-2" else set()  # what went on from one was chosen by it
    assert ways.keys() - lone.keys() == both
    assert {kind for kind, way in lone.items() if way == {"delete"}} == ways.keys() - both - {"trial", "drop"}


def is_fit(record: dict[str, Any]) -> bool:
    return record["type"] in ("fold", "rung") and record.get("error") is None


# The plan


def jobs_and_graphs() -> tuple[list[Job], dict[int, Graph]]:
    """Twelve trials of three graphs in two folds; of one model no program can train it."""
    trials = [
        Trial(place, {"units": units, "rate": rate, "epochs": epochs})
        for place, (units, rate, epochs) in enumerate(
            (units, rate, epochs) for units in (8, 16, 32) for rate in (0.1, 0.2) for epochs in (2, 5)
        )
    ]
    graphs = {
        trial.id: Graph(None, "the layer mine (Mine) may keep state or mix samples")
        if trial.params["units"] == 32
        else Graph(f"units {trial.params['units']}", None, (trial.params["rate"],), 0.01)
        for trial in trials
    }
    return [Job(trial, fold) for trial in trials for fold in range(2)], graphs


def given_epochs(job: Job) -> str | None:
    return "the model function is given epochs" if job.trial.params["units"] == 8 else None


PLANS: dict[str, dict[str, Any]] = {
    "one worker": {},
    "two workers, side by side": {"n_workers": 2, "widths": {"units 8": 4, "units 16": 2}},
    "not shared": {"widths": {"units 8": 3}, "not_shared": given_epochs},
    "to a rung": {"until": 2, "widths": {"units 8": 2, "units 16": 8}},
}


def test_the_plan_of_the_same_jobs_is_the_same():
    jobs, graphs = jobs_and_graphs()
    made = {"no graphs": plan(jobs)}
    for name, given in PLANS.items():
        made[name] = plan(jobs, graphs, epochs=lambda job: job.trial.params["epochs"], **given)
    told = {
        name: {
            "packs": [
                {
                    "jobs": " ".join("{}/{}/{}".format(*job.id) for job in pack.jobs),
                    "graphs": sorted({graph.key for graph in pack.graphs}),
                    "numbers": [list(graph.numbers) for graph in pack.graphs],
                    "width": pack.width,
                    "shares": pack.shares,
                    "cuts": list(pack.cuts),
                    "until": pack.until,
                }
                for pack in own.packs
            ],
            "notes": list(own.notes),
            "epochs": own.epochs,
        }
        for name, own in made.items()
    }
    hold(**{"plan-1.json": as_text(told)})


# Checkpoints, of TensorFlow: JAX has other dtypes of random states and counters

OWNER = "golden"
HISTORY = {"loss": [0.5, 0.25], "val_loss": [0.75, 0.5], "learning_rate": [0.125, 0.0625]}


def filled(arrays: list[np.ndarray], first: int) -> list[np.ndarray]:
    """Returns arrays of the same shapes and dtypes with a number of its own in each place."""
    found = []
    for array in arrays:
        numbers = np.arange(first, first + array.size).reshape(array.shape)
        found.append((numbers if array.dtype.kind in "iu" else numbers / 64).astype(array.dtype))
        first += array.size
    return found


def set_callbacks(callbacks, weights: list[np.ndarray]) -> None:
    """Sets Keras's own callbacks to what they know after some epochs."""
    stopping, plateau = callbacks[:2]
    stopping.wait, stopping.best, stopping.best_epoch, stopping.best_weights = 1, 0.5, 1, weights
    plateau.wait, plateau.best, plateau.cooldown_counter = 2, 0.5, 3


def hold_callbacks(callbacks, weights: list[np.ndarray]) -> None:
    stopping, plateau = callbacks[:2]
    assert (stopping.wait, stopping.stopped_epoch, stopping.best, stopping.best_epoch) == (1, 0, 0.5, 1)
    assert (plateau.wait, plateau.best, plateau.cooldown_counter) == (2, 0.5, 3)
    for found, wanted in zip(stopping.best_weights, weights, strict=True):
        np.testing.assert_array_equal(found, wanted)


def hold_checkpoint(name: str, written: Path) -> None:
    """Holds what a checkpoint consists of against a golden one's; or writes that and skips the test."""
    assert written.stat().st_size < 20_000
    if WRITES:
        shutil.copyfile(written, GOLDEN / name)
        pytest.skip(f"written: {name}")
    with np.load(written) as found, np.load(GOLDEN / name) as wanted:
        assert found["about"].tobytes().decode() == wanted["about"].tobytes().decode()
        assert found.files == wanted.files
        for key in set(wanted.files) - {"about"}:
            assert (key, found[key].dtype, found[key].shape) == (key, wanted[key].dtype, wanted[key].shape)
            np.testing.assert_array_equal(found[key], wanted[key])


@pytest.fixture
def on_tensorflow():
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("golden checkpoints are TensorFlow's")
    return keras


@pytest.mark.slow
def test_a_checkpoint_of_keras_own_fit_is_restored_and_written_again(on_tensorflow, tmp_path):
    keras = on_tensorflow
    from golden.net import build

    from kerasgrid.training import checkpoint

    def fresh():
        keras.backend.clear_session()
        model = build((2, 2, 1), 3)
        model.compile("Adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
        model.train_on_batch(np.zeros((2, 2, 2, 1)), np.zeros(2))
        callbacks = [
            keras.callbacks.EarlyStopping("val_loss", restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("val_loss"),
        ]
        for callback in callbacks:
            callback.set_model(model)
            callback.on_train_begin()
        return model, callbacks

    def values(model):
        groups = (model.variables, model.optimizer.variables, model.metrics_variables)
        return [variable.numpy() for group in groups for variable in group]

    model, callbacks = fresh()
    wanted = filled(values(model), 1)
    best = filled(model.get_weights(), 1000)
    progress = checkpoint.Progress(2, 3, 1.5, HISTORY, updates={"0123456789abcdef": 24.0})
    name, written = "checkpoint-2-fit.npz", tmp_path / "written.npz"
    if not WRITES:
        found = checkpoint.Checkpoint(GOLDEN / name, OWNER)
        assert found.progress == progress
        found.restore(model, callbacks)
        for value, own in zip(values(model), wanted, strict=True):
            np.testing.assert_array_equal(value, own)
        hold_callbacks(callbacks, best)
        model, callbacks = fresh()
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    for variable, value in zip(variables, wanted, strict=True):
        variable.assign(value)
    set_callbacks(callbacks, best)
    checkpoint.save(written, OWNER, model, callbacks, progress)
    hold_checkpoint(name, written)


@pytest.mark.slow
def test_a_checkpoint_of_a_wave_is_restored_and_written_again(on_tensorflow, tmp_path):
    keras = on_tensorflow
    from whole_jobs import Small

    from kerasgrid.training import member
    from kerasgrid.training.packs import make_wave

    images = np.arange(80, dtype=np.uint8).reshape(20, 2, 2)
    np.savez(tmp_path / "train.npz", images=images, labels=np.arange(20) % 2)
    monitored = {"monitor": "val_loss", "min_delta": 0.0}
    config = {
        "name": "golden",
        "data": {"train": str(tmp_path / "train.npz")},
        "model": f"{GOLDEN / 'net.py'}:build",
        "params": {"optimizer": "SGD", "optimizer.momentum": 0.5, "epochs": 4, "batch_size": 4},
        "search": {"folds": 2, "val": 0.2},
        "callbacks": {
            "early_stopping": {**monitored, "restore_best_weights": True},
            "reduce_lr_on_plateau": monitored,
        },
    }
    small = Small(*prepare_run(config, tmp_path))
    jobs = [Job(Trial(place, {"learning_rate": rate}), place) for place, rate in enumerate((0.125, 0.25))]
    pack = small.pack(jobs)

    def fresh():
        wave = make_wave(small.recipe, pack, pack.runs, Collector())
        for run in wave.members:
            run.begin(0, wave.program, wave.compiled.model.metrics)
        return wave.members

    def wanted(place, run):
        leaves = filled(keras.tree.flatten(run.state), 1 + 1000 * place)
        return leaves, filled(run.stand.get_weights(), 5000 + 1000 * place)

    name, written = "checkpoint-2-pack.npz", tmp_path / "written.npz"
    if not WRITES:
        (tmp_path / "kept").mkdir()
        kept = Path(shutil.copy(GOLDEN / name, tmp_path / "kept" / "trial-1-fold-1-repeat-0.npz"))
        members = fresh()
        expected = [wanted(place, run) for place, run in enumerate(members)]
        assert member.restore(kept.parent, OWNER, members) == ({kept}, 2, 3, 4)
        for place, (run, (leaves, best)) in enumerate(zip(members, expected, strict=True)):
            for value, own in zip(keras.tree.flatten(run.state), leaves, strict=True):
                np.testing.assert_array_equal(value, own)
            assert (run.fit_time, run.history) == (1.5 + place, HISTORY)
            hold_callbacks(run.callbacks, best)
            assert run.callbacks[-1].losses == [0.5, 0.25]
    members = fresh()
    for place, run in enumerate(members):
        leaves, best = wanted(place, run)
        run.state = keras.tree.pack_sequence_as(run.state, leaves)
        run.fit_time, run.history = 1.5 + place, HISTORY
        set_callbacks(run.callbacks, best)
        run.callbacks[-1].losses = [0.5, 0.25]
    member.save(written, OWNER, members, 2, 3, 4)
    hold_checkpoint(name, written)


# Kept models

HOUSES = Table(
    (
        Column("area", "numeric", has_blanks=True),
        Column("street", "categorical", ("Grvl", "Pave")),
        Column("sold", "date", has_times=True),
    )
)
ROWS = np.array([[100.0, 0.0], [np.nan, 1.0], [250.0, np.nan], [50.0, 1.0]])
SOLD = 14_000.25
"""The same date of all, so that the scale of its parts is exact."""


def model_file(path: Path, metadata: str) -> Path:
    """Writes an archive as Keras has it, but for its net."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", metadata)
    return path


def test_a_model_file_tells_the_same(tmp_path):
    file = model_file(tmp_path / "best.keras", '{"keras_version": "3.8.0"}')
    rows = np.column_stack([ROWS, np.full(len(ROWS), SOLD)])
    encoder = Encoder.fit(HOUSES, rows, np.arange(len(rows)), codes=False)
    scale = TargetScale("log", (12.0,), (0.25,))
    ModelFacts(Target("numbers", ("price",)), encoder, scale).write(file)
    with zipfile.ZipFile(file) as archive:
        hold(**{"net-1.json": as_text(json.loads(archive.read("metadata.json")))})


def test_what_a_model_file_has_told_makes_the_same_vectors(tmp_path):
    file = model_file(tmp_path / "best.keras", (GOLDEN / "net-1.json").read_text(encoding="utf-8"))
    facts = ModelFacts.read(file)
    assert facts.target == Target("numbers", ("price",))
    assert facts.scale == TargetScale("log", (12.0,), (0.25,))
    rows = [[200.0, 1.0, SOLD], [np.nan, np.nan, SOLD + 2]]
    wanted = [
        [1, *[0] * 6, 0, 0, 1],
        [-1 / 3, 2, 0, 0, 2, 2, 0, 1, 0, 0],
    ]  # area, the date's parts, blank, street
    np.testing.assert_allclose(facts.encoder(np.array(rows)), wanted, rtol=1e-6)
