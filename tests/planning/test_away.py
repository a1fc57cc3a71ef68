"""Workers that do not see the driver's files, over executors whose workers do."""

import importlib
import json
import re
import sys
import types
import zipfile
from dataclasses import replace
from functools import partial

import cloudpickle
import numpy as np
import pytest
from fakes import (
    CONFIG,
    Crash,
    StopAfter,
    crash,
    fake_probes,
    fake_train_pack,
    prepare_run,
    see_nothing,
    without_times,
)

from kerasgrid.checks.draft import read_draft
from kerasgrid.data.in_memory import Given
from kerasgrid.delivery import fitting
from kerasgrid.driver import search as driver
from kerasgrid.errors import ModelError, RunError
from kerasgrid.executors import Emitted, Finished, Inline, Processes, Started
from kerasgrid.io import file_digest, write_arrays
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import ModelReference, parse_reference
from kerasgrid.planning import away as planning
from kerasgrid.planning.away import Away
from kerasgrid.records import Job, Pack, ProbeRecord, Trial, WeightsFile
from kerasgrid.run.paths import RunPaths
from kerasgrid.training import away


@pytest.fixture
def fake(monkeypatch):
    """Searches train nothing."""
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    monkeypatch.setattr("kerasgrid.planning.packing.run_probes", fake_probes)


@pytest.fixture
def unseen(monkeypatch, tmp_path):
    """Workers see no file of the driver's, and have a cache of their own."""
    monkeypatch.setattr(away, "_sees", away._sees)  # as it is again at the end
    see_nothing()


def searched(config, results, executor, *given, **options):
    draft = read_draft(config)
    with driver.opened(draft, *given, results=results, executor=executor, **options) as session:
        session.run_engine()
    return session.results


def content(folder):
    """Returns what a run has on disk, without its times."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        str(name): without_times(json.loads(path.read_text()))
        if name.suffix == ".json"
        else path.read_bytes()
        for name, path in files.items()
        if name.name not in ("journal.jsonl", "lock")
    }


@pytest.mark.parametrize("engine", ["grid", "halving"])
def test_a_search_is_the_same_where_nothing_is_seen(fake, unseen, tmp_path, engine):
    config = CONFIG | {"search": CONFIG["search"] | {"engine": engine, "keep_models": "best"}}
    searched(config, tmp_path / "here", Inline())
    with Away(Inline()) as executor:
        searched(config, tmp_path / "away", executor, observer=StopAfter(5, executor.stop))
    assert RunPaths(tmp_path / "away", "fake").checkpoints
    with Away(Inline()) as executor:
        assert searched(config, tmp_path / "away", executor).status == "complete"
    assert content(tmp_path / "away") == content(tmp_path / "here")
    assert not [path for path in away._root().rglob("*.np[yz]") if path.name != "folds.npz"]


def test_the_devices_are_those_of_the_workers(monkeypatch):
    monkeypatch.setattr(Inline, "device_kinds", lambda self: ["NVIDIA H200"])
    assert Away(Inline()).device_kinds() == ["NVIDIA H200"]


@pytest.fixture
def recipe(tmp_path):
    """What workers are told of a fake search whose folds are on disk."""
    return prepare_run(CONFIG, tmp_path)[1]


def told(recipe, function, tasks):
    with Away(Inline()) as executor:
        return list(executor.run(partial(function, recipe), tasks))


def echo(recipe, task, context):
    context.emit(str(recipe.paths.folds))
    context.emit(recipe.data_folder)


def write(recipe, task, context):
    """Writes what runs have, half-written files and a log too, and fails at the end."""
    paths = recipe.paths
    for path, text in task:
        if path.endswith(".log"):
            with open(paths.folder / path, "a") as log:
                log.write(text)
        else:
            (paths.folder / path).parent.mkdir(exist_ok=True)
            (paths.folder / path).write_text(text)
        context.emit((path, text))
        assert (paths.folder / path).exists() == ("half" in text or path.endswith(".log"))
    raise ValueError(f"{paths.folder}: no")


def test_what_is_seen_is_used_where_it_is(recipe):
    events = told(recipe, echo, [1])
    assert [event.payload for event in events[1:-1]] == [str(recipe.paths.folds), recipe.data_folder]


def test_files_are_in_their_place_before_the_event_that_follows_them(unseen, recipe):
    folder = recipe.paths.folder
    task = [
        ("models/trial-0-fold-0-repeat-0.keras", "whole"),
        ("models/.half.tmp", "half"),
        ("models/tmp12", "half"),
        ("workers.log", "one"),
        ("workers.log", "two"),
        ("models/trial-0-fold-0-repeat-0.weights.npz", "weights"),
    ]
    (folder / "workers.log").write_text("before ")
    n_seen = 0
    with Away(Inline()) as executor:
        for event in executor.run(partial(write, recipe), [task]):
            assert event.task is task
            if isinstance(event, Emitted):
                path, text = event.payload
                is_whole = "half" not in text
                n_seen += 1
                assert (folder / path).exists() == is_whole
                assert not is_whole or (folder / path).read_text().endswith(text)
    assert n_seen == len(task)
    assert (event.error_type, event.message) == ("ValueError", f"{folder}: no")
    assert (folder / "workers.log").read_text() == "before onetwo"
    assert [path.name for path in (folder / "models").iterdir()] == ["trial-0-fold-0-repeat-0.weights.npz"]


def look(recipe, task, context):
    context.emit(sorted(path.name for path in recipe.paths.folder.rglob("*") if path.is_file()))


def test_a_pack_is_sent_the_checkpoints_of_its_runs_whatever_their_names(unseen, recipe):
    jobs = [Job(Trial(number, {"dropout": 0.1 * number}), fold=0) for number in range(3)]
    for job, runs in zip(jobs, ([], [jobs[0]], [jobs[2]]), strict=True):
        names = [f"{run.trial.key} {run.fold} {run.repeat} 3" for run in runs]
        about = np.frombuffer(json.dumps({"runs": [{"run": name} for name in names]}).encode(), np.uint8)
        write_arrays(recipe.paths.checkpoint(*job.id), {"about": about})
    recipe.paths.checkpoint(9, 0, 0).write_bytes(b"damaged")
    names = [recipe.paths.checkpoint(*job.id).name for job in jobs]
    found = [event.payload for event in told(recipe, look, [Pack((jobs[0],))]) if isinstance(event, Emitted)]
    assert found == [["folds.npz", *names[:2]]]


def begin(recipe, task, context):
    """Tells what nets find that begin with a file of weights."""
    from kerasgrid.models import weights

    context.emit([path.read_bytes() for path in weights._placed.values()])


@pytest.fixture
def no_weights(unseen, recipe, monkeypatch, tmp_path):
    """Workers see no file of weights, and have a cache and a folder of Keras's own; returns what was sent."""
    from kerasgrid.models import weights

    sent = []
    monkeypatch.setattr(weights, "_placed", {})
    monkeypatch.setattr(weights, "kept_by_keras", lambda name: tmp_path / "theirs" / name)
    monkeypatch.setattr(away, "_holds", lambda path, digest: path.parent.name == "theirs" and path.is_file())
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Inline, "share", lambda self, value: sent.append(bytes(value)) or (lambda: value))
    return sent


def begun(recipe, tasks):
    events = told(recipe, begin, tasks)
    assert [type(event) for event in events] == [Started, Emitted, Finished] * len(tasks)
    return [event.payload for event in events if isinstance(event, Emitted)]


@pytest.mark.slow
def test_files_of_weights_go_to_workers_once(no_weights, recipe, tmp_path):
    recipe = replace(recipe, base=str(tmp_path))
    file = tmp_path / "trained" / "net.keras"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    packs = [Pack((Job(Trial(i, {"weights": "trained/net.keras"}), 0),)) for i in range(3)]
    assert begun(recipe, packs) == [[b"weights"]] * 3
    assert no_weights.count(b"weights") == 1
    [kept] = (tmp_path / "cache" / "weights").glob("*/net.keras")
    assert kept.parent.name == file_digest(file)
    no_weights.clear()
    assert begun(recipe, packs[:1]) == [[b"weights"]]  # by others there later
    assert b"weights" not in no_weights


def tell_of_weights(recipe, params, context):
    """Tells of a probe whose file of weights is not at hand where it is downloaded from."""
    digest = "downloaded" if recipe.downloads else None
    file = WeightsFile("imagenet of Net", "/theirs/models/net.h5", 8, digest, "https://keras.io/net.h5")
    context.emit(ProbeRecord(params, 1, None, "cpu", weights=(file,)))


@pytest.mark.slow
@pytest.mark.parametrize("is_here", [True, False])
def test_weights_of_keras_are_sent_where_they_are_at_hand_and_else_downloaded_there(
    no_weights, recipe, tmp_path, is_here
):
    params, home = {"weights": "imagenet", "backbone": "Net"}, tmp_path / "home" / "models"
    if is_here:
        home.mkdir(parents=True)
        (home / "net.h5").write_bytes(b"of Keras")
    with Away(Inline()) as executor:
        probed = [*executor.run(partial(tell_of_weights, recipe), [params])]
        assert [type(event) for event in probed] == [Started, Emitted, Finished]
        [file] = probed[1].payload.weights
        assert file.digest == (file_digest(home / "net.h5") if is_here else "downloaded")
        assert b"of Keras" not in no_weights
        [_, found, _] = executor.run(partial(begin, recipe), [Pack((Job(Trial(0, params), 0),))])
    assert found.payload == ([b"of Keras"] if is_here else [])
    assert (tmp_path / "theirs" / "net.h5").exists() == is_here


def refuse(recipe, task, context):
    raise AssertionError


def test_what_a_worker_cannot_load_ends_the_run_and_names_its_machine(unseen, recipe, monkeypatch):
    monkeypatch.setenv("KERASGRID_NODE", "n1")
    gone = types.ModuleType("gone")
    exec("def score(y_true, y_pred): ...", vars(gone))
    monkeypatch.setitem(sys.modules, "gone", gone)
    with Away(Inline()) as executor:
        events = executor.run(partial(refuse, replace(recipe, scorers={"score": gone.score})), [1])
        monkeypatch.delitem(sys.modules, "gone")
        with pytest.raises(RunError, match="No module named 'gone' on the node n1"):
            list(events)


def test_what_is_not_installed_there_is_told_with_its_machine(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGRID_NODE", "n1")
    installed = ModelReference("no_such.nets:build", "module", None, "no_such.nets", "build", tmp_path)
    raised = told(replace(recipe, model=installed), refuse, [1])[-1]
    assert raised.message.startswith("no_such.nets:build: no module named 'no_such.nets' in ")
    assert " on Python's path on the node n1. Install it" in raised.message
    (tmp_path / "net.py").write_text("import no_such\ndef build(): ...")
    with pytest.raises(ModelError, match=r"^net\.py:1: loading it failed on the node n1: "):
        load_function(parse_reference("net.py:build", tmp_path))


def test_modules_of_functions_in_hand_go_along(recipe, tmp_path, monkeypatch):
    (tmp_path / "own_scores" / "deep").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "deep/__init__": "",
        "deep/score": "from own_scores import shared",
    }.items():
        (tmp_path / "own_scores" / f"{name}.py").write_text(text + "\ndef score(y_true, y_pred): ...")
    (tmp_path / "own_scores" / "shared.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("own_scores.deep.score")
    scorers = {"score": module.score}
    code = planning._code(recipe, cloudpickle.dumps(replace(recipe, scorers=scorers)))
    own = {str(path.relative_to(tmp_path)) for path in code.files if path.is_relative_to(tmp_path)}
    assert own == {f"own_scores/{name}.py" for name in ("__init__", "deep/__init__", "deep/score", "shared")}
    assert tmp_path in code.folders


NET = """
import keras
from blocks import Scaled

def known(function):
    return function

@known  # so that a worker has to tell what it takes
def build(input_shape, n_classes, units=4):
    print("built")
    layers = [keras.Input(input_shape), keras.layers.Flatten(), Scaled(), keras.layers.Dense(units)]
    model = keras.Sequential([*layers, keras.layers.Dense(n_classes, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return model
"""
BLOCKS = """
import keras

@keras.saving.register_keras_serializable("test")
class Scaled(keras.layers.Layer):
    def call(self, values):
        return values * 2.0
"""
SCORE = """
def hits(y_true, y_pred):
    return float((y_true == y_pred).mean())
"""


@pytest.mark.slow
def test_a_search_of_the_users_own_code_is_the_same_on_a_machine_that_sees_nothing(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "nets").mkdir(parents=True)
    elsewhere.mkdir()
    for path, text in {"nets/net.py": NET, "nets/blocks.py": BLOCKS, "score.py": SCORE}.items():
        (project / path).write_text(text)
    config = {
        "name": "own",
        "model": f"{project}/nets/net.py:build",
        "params": {"epochs": 4, "batch_size": 8},
        "space": {"units": [3, 4]},
        "search": {"holdout": 0.5, "objective": f"{project}/score.py:hits", "keep_models": "best"},
    }
    given = Given(np.random.default_rng(0).random((32, 3), np.float32), np.arange(32) % 2)
    there = {"TMPDIR": str(elsewhere), "KERASGRID_CACHE": str(elsewhere / "cache"), "KERASGRID_NODE": "n1"}
    here, results = tmp_path / "here", tmp_path / "away"
    with Processes(1, environment=[there], setup=see_nothing) as executor:
        searched(config, here, executor, given)
        observer = StopAfter(6, crash)
        with pytest.raises(Crash):
            searched(config, results, Away(executor), given, observer=observer, checkpoint_interval_s=0)
        assert RunPaths(results, "own").checkpoints
        told = StopAfter(-1, crash)
        assert searched(config, results, Away(executor), given, observer=told).status == "complete"
        assert -1 - told.n < 4
        kept = _modules_of(RunPaths(here, "own"))
        assert len(kept) == 1
        assert all(kept.values())
        assert _modules_of(RunPaths(results, "own")) == kept
        ours, theirs = (content(folder)["own.json"] for folder in (here, results))
        assert ours["trials"] == theirs["trials"]
        assert "built" in (results / "own" / "workers-n1.log").read_text()
        monkeypatch.setattr(fitting, "lent_executor", lambda *_, **__: Away(executor))
        fitted = fitting.fit(results / "own.json")
        assert fitted.models[0].exists()


def _modules_of(paths):
    """Returns by what names modules of the user's own are known in kept models."""
    found = {}
    for path in paths.models:
        with zipfile.ZipFile(path) as archive:
            found[path.name] = set(re.findall(rb"kerasgrid_model_[0-9a-f]{12}", archive.read("config.json")))
    return found
