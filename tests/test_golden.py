"""Golden files: what an earlier version wrote is read and gone on with, and today's writes the same.

A format that changes shows here, and in review as a diff of tests/golden. Where the change is meant, the
files are made anew by

    KERASGRID_WRITE_GOLDEN=1 .venv/bin/python -m pytest tests/test_golden.py

which skips each test that has written, so that none passes by its own file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import Collector, fake_train_pack, prepare_run

from kerasgrid.driver import search as driver
from kerasgrid.driver.results import Results
from kerasgrid.driver.search import search
from kerasgrid.planning import packing
from kerasgrid.planning.plan import plan
from kerasgrid.records import Graph, Job, ProbeRecord, Trial
from kerasgrid.report.writing import Report
from kerasgrid.run.paths import RunPaths
from kerasgrid.tables.reading import read_table
from kerasgrid.views.leaderboard import leaderboard, summary_lines

GOLDEN = Path(__file__).parent / "golden"
RUNS = ["run-1", "rungs-1"]
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
    paths.folder.mkdir(parents=True)
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


@pytest.mark.parametrize("name", RUNS)
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
    progress = checkpoint.Progress(epoch=2, step=3, fit_time=1.5, history=HISTORY)
    name, written = "checkpoint-1-fit.npz", tmp_path / "written.npz"
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

    name, written = "checkpoint-1-pack.npz", tmp_path / "written.npz"
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
