"""What TensorBoard itself shows of an export, read through its own HTTP interface."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from kerasgrid.errors import MissingPackageError, ResultsError
from kerasgrid.exports.tensorboard import write_tensorboard
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.flat import records_table
from kerasgrid.tables.reading import results_table

pytest.importorskip("tensorboard", reason="the export to TensorBoard needs tensorboard")


def trial(id, params, score, **more):
    history = {"accuracy": [0.5, 0.7], "test_accuracy": [0.4, 0.6]}
    folds = [{"fold": fold, "test_score": score, "history": history} for fold in range(2)]
    return {
        "id": id,
        "params": params,
        "state": "complete",
        "mean_test_score": score,
        "std_test_score": None if score is None else 0.01,
        "mean_fit_time": None if score is None else 2.0,
        "folds": folds if score is not None else [],
        **more,
    }


TRIALS = [
    trial(0, {"rate": 0.1, "norm": True, "name": "a<b> $", "nested": [1, None]}, 0.75),
    trial(1, {"rate": 1, "norm": False, "name": "relu", "nested": {"x": 1}}, 0.5),
    trial(2, {"rate": 10**30, "norm": True}, None, state="failed", error={"type": "E", "message": "x"}),
    trial(3, {"rate": 0.5, "norm": None}, None, state="running"),
]


@pytest.fixture(scope="module")
def table():
    objective = {"name": "accuracy", "direction": "max"}
    return results_table(
        ResultsData(
            {"schema": "kerasgrid.results/1", "name": "mine", "objective": objective, "trials": TRIALS}
        )
    )


def ask(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/data/plugin/{path}", data)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


WITHOUT_TENSORFLOW = """if True:
    import sys
    sys.modules["tensorflow"] = None  # whose import takes seconds, and of which these pages need nothing
    from tensorboard.main import run_main
    run_main()
"""


@pytest.fixture(scope="module")
def port(table, tmp_path_factory):
    """TensorBoard, serving an export."""
    folder = write_tensorboard(table, tmp_path_factory.mktemp("export") / "mine.tensorboard")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        WITHOUT_TENSORFLOW,
        "--logdir",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(number),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            try:
                if len(ask(number, "hparams/session_groups", GROUPS)["sessionGroups"]) == len(TRIALS):
                    break
            except (OSError, KeyError):
                pass
            time.sleep(0.1)
        yield number
    finally:
        server.kill()
        server.wait(20)


GROUPS = {
    "experimentName": "",
    "startIndex": 0,
    "sliceSize": 100,
    "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"],
    "colParams": [],
}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_tensorboard_shows_a_group_a_trial(port):
    experiment = ask(port, "hparams/experiment", {"experimentName": ""})
    kinds = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert kinds == {
        "rate": "DATA_TYPE_FLOAT64",
        "norm": "DATA_TYPE_BOOL",
        "name": "DATA_TYPE_STRING",
        "nested": "DATA_TYPE_STRING",
    }
    names = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert names == ["mean_test_score", "std_test_score", "mean_fit_time"]
    groups = {group["name"]: group for group in ask(port, "hparams/session_groups", GROUPS)["sessionGroups"]}
    assert sorted(groups) == ["trial-0", "trial-1", "trial-2", "trial-3"]
    assert groups["trial-0"]["hparams"] == {"rate": 0.1, "norm": True, "name": "a<b> $", "nested": "[1,null]"}
    assert groups["trial-2"]["hparams"] == {"rate": 1e30, "norm": True}
    statuses = {name: group["sessions"][0]["status"] for name, group in groups.items()}
    assert statuses == {
        "trial-0": "STATUS_SUCCESS",
        "trial-1": "STATUS_SUCCESS",
        "trial-2": "STATUS_FAILURE",
        "trial-3": "STATUS_RUNNING",
    }
    scores = {value["name"]["tag"]: value["value"] for value in groups["trial-1"]["metricValues"]}
    assert scores == {"mean_test_score": 0.5, "std_test_score": pytest.approx(0.01), "mean_fit_time": 2.0}
    assert not groups["trial-3"].get("metricValues")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_tensorboard_shows_the_curves(port):
    curve = ask(port, "scalars/scalars?tag=epoch%2Ftest_accuracy&run=trial-0")
    assert [(step, pytest.approx(value)) for _, step, value in curve] == [(1, 0.4), (2, 0.6)]


def test_an_export_takes_the_place_of_an_earlier_one_only(table, tmp_path):
    folder = write_tensorboard(table, tmp_path / "new" / "mine.tensorboard")
    (folder / "trial-99").mkdir()
    write_tensorboard(table, folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert names == ["trial-0", "trial-1", "trial-2", "trial-3"]
    assert [path.name for path in folder.parent.iterdir()] == ["mine.tensorboard"]
    for path in (tmp_path / "mine", tmp_path / "file"):
        path.mkdir() if path.name == "mine" else path.write_text("mine")
        with pytest.raises(ResultsError, match="exists, and is no export that may be replaced"):
            write_tensorboard(table, path)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_export_that_fails_leaves_what_was_there(table, tmp_path, monkeypatch):
    folder = write_tensorboard(table, tmp_path / "mine.tensorboard")
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr("kerasgrid.tables.table.Table.mean_history", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_tensorboard(table, folder)
    assert sorted(folder.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tensorboard"]


def test_trials_are_named_so_that_they_sort(tmp_path):
    rows = [{"a": place, "accuracy": 0.5} for place in range(11)]
    folder = write_tensorboard(records_table(rows, Path("x.json")), tmp_path / "x")
    assert (folder / "trial-00").is_dir()
    assert (folder / "trial-10").is_dir()


def test_faults_are_told(table, tmp_path, monkeypatch):
    empty = results_table(ResultsData({"schema": "kerasgrid.results/1", "name": "mine", "trials": []}))
    with pytest.raises(ResultsError, match="mine: no trial has begun yet, so there is nothing to export"):
        write_tensorboard(empty, tmp_path / "x")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(MissingPackageError, match=r'pip install "kerasgrid\[tensorboard\]"'):
        write_tensorboard(table, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_tensorflow_is_not_imported(tmp_path):
    """Its import takes seconds, and the export needs nothing of it."""
    Path(tmp_path / "grid.json").write_text('[{"a": 1, "accuracy": 0.5}, {"a": 2, "accuracy": 0.6}]')
    program = (
        "import sys; from kerasgrid.cli import app\n"
        "sys.argv[1:] = ['export', 'grid.json', '--to', 'tensorboard']\n"
        "try: app()\nexcept SystemExit: print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr
    assert "tensorboard --logdir grid.tensorboard" in done.stdout
    assert (tmp_path / "grid.tensorboard" / "trial-1").is_dir()
    shutil.rmtree(tmp_path / "grid.tensorboard")
