"""The command line as its user sees it: real processes, exit codes, and what is printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import run

GRID = """
data: {train: digits, scale: 16, subset: 300}
model: fc
params: {batch_size: 32, epochs: 2, units: [16]}
space: {learning_rate: [0.001, 0.01]}
search: {folds: 2}
executor: {workers: 2}
"""
N_EPOCHS = 600  # for a fit that is to be cut off
COMMAND = [sys.executable, "-c", "from kerasgrid.cli import main; main()"]


def kerasgrid(*arguments: str, cwd: Path, timeout: float = 200) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path):
    program = """if True:
        import sys
        from kerasgrid.cli import main
        sys.argv = ["kerasgrid", "--help"]
        try:
            main()
        finally:
            heavy = {"keras", "tensorflow", "pandas", "sklearn", "hiplot"}
            print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.rstrip().endswith("[]")
    built = ["search", "compare", "check", "plot", "report", "fit", "predict", "submit", "submissions"]
    for command in (*built, "download", "init", "models", "schema"):
        assert f"\n  {command} " in done.stdout


def test_faults_are_printed_together_without_a_traceback(tmp_path):
    (tmp_path / "grid.yaml").write_text("data: {train: nope.csv}\nmodel: fcc\nsearch:\n  facter: 3\n")
    done = kerasgrid("search", "grid.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert any(line.startswith("grid.yaml:4, search.facter: unknown key.") for line in lines)
    assert any(line.startswith("grid.yaml:1, data.train: is ") for line in lines)
    assert any("grid.yaml:2, model: " in line and "Did you mean 'fc'" in line for line in lines)
    assert not (tmp_path / "results").exists()
    assert kerasgrid("search", cwd=tmp_path).returncode == 2
    assert kerasgrid("serch", "grid.yaml", cwd=tmp_path).returncode == 2


def test_models_and_schema(tmp_path):
    models = kerasgrid("models", cwd=tmp_path).stdout
    for name in ("fc", "sopcnn", "vgg", "vgg_sopcnn", "convnet", "bn_cnn"):
        assert f"\n{name}: " in f"\n{models}"
    assert "    dropout = 0.2" in models
    assert json.loads(kerasgrid("schema", cwd=tmp_path).stdout)["title"] == "grid.yaml of kerasgrid"


@pytest.mark.slow
def test_check_search_again_and_plot(folder, monkeypatch, capsys):
    """The search is as its user has it; what comes before and after it is asked in this process."""
    monkeypatch.chdir(folder)

    def told(*arguments, code=0):
        """Returns what the command line prints in this process, and its errors."""
        assert run(monkeypatch, *arguments) == code
        return capsys.readouterr()

    inline = ("--set", "executor={kind: inline}")
    checked = told("check", "grid.yaml", *inline).out
    assert "fits       4 (2 trials x 2 folds), 0 done before" in checked
    assert "epochs     8 to train" in checked
    assert "time       not measured yet" in checked
    assert not (folder / "results").exists()

    done = kerasgrid("search", "grid.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "2/2 trials, 4/4 fits" in done.stdout
    assert "kerasgrid plot results/grid.json" in done.stdout
    assert "rank  trial" in done.stdout
    found = json.loads((folder / "results" / "grid.json").read_text())
    assert found["status"] == "complete"
    assert found["environment"]["device"] == "cpu"
    assert found["summary"]["fits"] == 4

    outcome = json.loads(told("search", "grid.yaml", *inline, "--json").out)
    assert outcome["status"] == "complete"
    assert outcome["best"] == found["best"]
    assert outcome["results"] == "results/grid.json"

    assert told("plot", "results/grid.json").out == "results/grid.html\n"
    assert (folder / "results" / "grid.html").stat().st_size > 1_000_000

    assert (
        "search.seed was 0, and is 1"
        in told("search", "grid.yaml", *inline, "--set", "search.seed=1", code=1).err
    )
    wider = told("search", "grid.yaml", *inline, "--set", "space.learning_rate=[0.001, 0.003, 0.01]").out
    assert "3 trials, 6 fits, 4 of them done before." in wider
    other = told("check", "grid.yaml", *inline, "--set", "space.learning_rate=[0.1]").out
    assert "fits measured before" in other


@pytest.mark.slow
def test_some_failed_trials_end_with_3(folder):
    (folder / "own.py").write_text(
        "import keras\n"
        "def build(input_shape, n_classes, how):\n"
        "    if how == 'raise':\n"
        "        raise RuntimeError('not this one')\n"
        "    if how == 'die':\n"
        "        import os, signal\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),\n"
        "                             keras.layers.Dense(n_classes, activation='softmax')])\n"
    )
    grid = GRID.replace("model: fc", "model: own.py:build").replace(", units: [16]", "")
    (folder / "grid.yaml").write_text(grid.replace("learning_rate: [0.001, 0.01]", "how: [fine, raise]"))
    done = kerasgrid("search", "grid.yaml", "--workers", "1", cwd=folder)
    assert done.returncode == 3, done.stderr
    assert "how=raise will be recorded as failed" in done.stdout
    assert "not this one" in done.stdout
    good, bad = json.loads((folder / "results" / "grid.json").read_text())["trials"]
    assert (good["state"], bad["state"]) == ("complete", "failed")
    assert "own.py" in bad["error"]["message"]


@pytest.mark.slow
def test_where_all_trials_fail_it_is_told_where_and_nothing_is_to_be_fitted(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "own.py").write_text(
        "import keras\n"
        "class Bad(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        logs['val_los']\n"
    )
    (folder / "grid.yaml").write_text(GRID + "callbacks: {'own.py:Bad': {}}\n")
    assert run(monkeypatch, "search", "grid.yaml", "--set", "executor={kind: inline}") == 3
    out = capsys.readouterr().out
    assert "own.py:4, KeyError: 'val_los'" in out
    assert out.rstrip().endswith("kerasgrid report results/grid.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "workers", "split", "n_fits"),
    [(signal.SIGINT, 2, "folds: 2", 2), (signal.SIGTERM, 1, "holdout: 0.5", 1)],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_saves_exits_with_130_and_the_same_command_goes_on(folder, number, workers, split, n_fits):
    (folder / "grid.yaml").write_text(GRID.replace("folds: 2", split))
    arguments = ["search", "grid.yaml", "--workers", str(workers), "--set", f"params.epochs={N_EPOCHS}"]
    arguments += ["--set", "space.learning_rate=[0.001]"]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    journal = folder / "results" / "grid" / "journal.jsonl"
    until = time.monotonic() + 120
    while not (journal.exists() and b'"type":"pack"' in journal.read_bytes()) and time.monotonic() < until:
        time.sleep(0.1)
    assert b'"type":"pack"' in journal.read_bytes()
    time.sleep(1)  # it traces its program, and N_EPOCHS take many seconds
    os.killpg(process.pid, number)  # as a terminal does: the workers get it too
    output = process.communicate(timeout=100)[0].decode()
    assert process.returncode == 130, output
    assert "Interrupted. The same command goes on from here." in output
    assert "Traceback" not in output
    assert json.loads((folder / "results" / "grid.json").read_text())["status"] == "interrupted"
    assert list((folder / "results" / "grid" / "checkpoints").iterdir())
    again = kerasgrid(*arguments, cwd=folder)
    assert again.returncode == 0, again.stderr
    found = json.loads((folder / "results" / "grid.json").read_text())
    assert found["summary"]["epochs_trained"] == N_EPOCHS * n_fits
    assert not list((folder / "results" / "grid" / "checkpoints").iterdir())
