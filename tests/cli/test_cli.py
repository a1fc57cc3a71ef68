"""The command line as its user sees it: real processes, exit codes, and what is printed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console
from running import run

from kerasgrid import cli
from kerasgrid.config import sections as config

GRID = """
data: {train: digits, scale: 16, subset: 300}
model: fc
params: {batch_size: 32, epochs: 4, units: [16], optimizer: SGD, batch_norm: false}
space: {learning_rate: [0.001, 0.01]}
search: {folds: 2}
executor: {workers: 1}
"""
INLINE = """
data: {train: digits, scale: 16, subset: 300}
model: fc
params: {batch_size: 32, epochs: 1, units: [16], optimizer: SGD}
space: {learning_rate: [0.001]}
search: {holdout: 0.5}
executor: {kind: inline}
"""
TESTS = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from kerasgrid.cli import main; main()"]


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


def test_faults_are_printed_together_without_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text("data: {train: nope.csv}\nmodel: fcc\nsearch:\n  facter: 3\n")
    assert run(monkeypatch, "search", "grid.yaml") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 3
    assert any(line.startswith("grid.yaml:4, search.facter: unknown key.") for line in lines)
    assert any(line.startswith("grid.yaml:1, data.train: is ") for line in lines)
    assert any("grid.yaml:2, model: " in line and "Did you mean 'fc'" in line for line in lines)
    assert not (tmp_path / "results").exists()
    assert run(monkeypatch, "search") == 2
    assert run(monkeypatch, "serch", "grid.yaml") == 2


@pytest.mark.parametrize("workers", ["²", "1²", "½", "", "9" * 5000])
def test_workers_that_are_no_number_are_told(tmp_path, monkeypatch, capsys, workers):
    (tmp_path / "grid.yaml").write_text(INLINE)
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "search", "grid.yaml", "--workers", workers) == 1
    shown = workers if len(workers) < 9 else "9999"
    assert f"--workers: is '{shown}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--max-gb", "--timeout"])
@pytest.mark.parametrize("value", ["inf", "nan", "²", "1e30"])
def test_bounds_that_are_no_numbers_are_told(tmp_path, monkeypatch, capsys, option, value):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "download", "-c", "digit-recognizer", option, value) == 2
    assert f"Invalid value for '{option}'" in capsys.readouterr().err


def test_what_a_flag_has_given_is_told_by_the_flag(tmp_path, monkeypatch, capsys):
    """And the rest of the file by its lines, all together."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text("data: {train: digits}\nmodel: fc\nsearch: {time: soon, fold: 3}\n")
    flags = ("--time-budget", "10", "--engine", "gird", "--executor", "threads", "--workers", "x")
    flags += ("--trials", "0", "--name", "a/b", "--set", "data.scale=0", "--set", "training={jit: 3}")
    assert run(monkeypatch, "search", "grid.yaml", *flags) == 1
    told = dict(line.split(": ", 1) for line in capsys.readouterr().err.splitlines())
    assert told.pop("--time-budget") == "is '10', which is no time; such as 2h, 45min, 1h30min or 90s holds."
    assert told.pop("--name").startswith("is 'a/b'; a file name")
    assert set(told) == {
        *("grid.yaml:3, search.fold", "--engine", "--executor", "--workers", "--trials"),
        *("--set data.scale", "--set training, training.jit"),
    }
    assert run(monkeypatch, "compare", "grid.yaml", "--blocks", "all", "--max-trials", "0") == 1
    told = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert {"--blocks", "--max-trials"} <= {*told}


def test_faults_are_told_as_json_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text("data: {train: digits}\nmodel: fc\nsearch: {fold: 3}\n")
    for command in ("search", "check", "compare"):
        assert run(monkeypatch, command, "grid.yaml", "--json", "--set", "data.scale=0") == 1
        printed = capsys.readouterr()
        told = json.loads(printed.out.splitlines()[-1])
        places = [fault["where"] for fault in told["faults"]]
        assert places == ["grid.yaml:3, search.fold", "--set data.scale"]
        assert told["faults"][0]["message"].startswith("unknown key. Did you mean 'folds'?")
        assert told["error"] == {"type": "ConfigError", "message": printed.err.rstrip("\n")}
    for command in ("fit", "report", "predict"):
        assert run(monkeypatch, command, "none.json", "--json") == 1
        printed = capsys.readouterr()
        told = json.loads(printed.out)
        assert told["faults"] == [{"where": None, "message": "none.json: there is no such file."}]
        assert told["error"]["type"] == "ResultsError"
        assert printed.err == "none.json: there is no such file.\n"


def test_the_version_and_a_short_help_with_exit_codes(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"kerasgrid {version('kerasgrid')}, ")
    assert f"keras {version('keras')}" in out
    for arguments in (("-h",), *((command, "-h") for command in ("search", "check", "fit", "init"))):
        assert run(monkeypatch, *arguments) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "Exit codes: 0 done; 1 a fault of the input or the data; 2 usage; 3 done, but some" in told
        assert "-h, --help" in told


def test_models_and_schema(monkeypatch, capsys):
    assert run(monkeypatch, "models") == 0
    models = capsys.readouterr().out
    for name in ("fc", "mlp", "sopcnn", "vgg", "vgg_sopcnn", "convnet", "bn_cnn", "backbone"):
        assert f"\n{name}: " in f"\n{models}"
    assert "    dropout = 0.2" in models
    assert run(monkeypatch, "schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "grid.yaml of kerasgrid"


def test_the_cache_is_listed_and_cleared(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    widths = tmp_path / "cache" / "widths"
    widths.mkdir(parents=True)
    (widths / "abc.json").write_text("{}")
    (widths / "def.json").write_text("{}")
    assert run(monkeypatch, "cache") == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.startswith(f"{tmp_path / 'cache'}: 4 bytes of at most ")
    assert "measured widths  4 bytes" in line
    assert run(monkeypatch, "cache", "ab", "--json") == 0
    assert [part["name"] for part in json.loads(capsys.readouterr().out)["parts"]] == ["abc.json"]
    assert run(monkeypatch, "cache", "--clear", "ab") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cache'}: 2 bytes removed.\n"
    assert run(monkeypatch, "cache", "--clear", "ab") == 1
    assert "nothing there is called 'ab'" in capsys.readouterr().err
    assert run(monkeypatch, "cache", "--clear", "--json") == 0
    assert [part["name"] for part in json.loads(capsys.readouterr().out)["removed"]] == ["def.json"]


FAKED = """if True:
    from fakes import fake_probes, load_nothing, paced_train_pack
    from kerasgrid.cli import main
    from kerasgrid.driver import search
    from kerasgrid.planning import packing, workers
    search.train_pack, packing.run_probes, workers.load = paced_train_pack, fake_probes, load_nothing
    main()
"""
"""A command line whose workers train nothing and import no Keras."""


@pytest.mark.slow
def test_a_terminal_that_is_closed_interrupts_a_search(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-c", FAKED, "search", "grid.yaml", "--set", "params.epochs=400"]
    assert_interrupts(close_terminal, folder, command)


@pytest.mark.slow
def test_check_search_interrupted_again_and_plot(folder, monkeypatch, capsys):
    """Ctrl-C comes to processes; what comes before and after is asked in this one."""
    monkeypatch.chdir(folder)

    def told(*arguments, code=0):
        """Returns what the command line prints in this process, and its errors."""
        assert run(monkeypatch, *arguments) == code
        return capsys.readouterr()

    inline = ("--set", "executor={kind: inline}")
    checked = told("check", "grid.yaml", *inline).out
    planned = json.loads(told("check", "grid.yaml", *inline, "--json").out)
    assert (planned["faults"], planned["fits"], planned["epochs"]) == ([], 4, 16)
    assert (planned["data"]["samples"], planned["seconds"]) == (300, None)
    cold = told("check", "grid.yaml", *inline, "--set", "params.batch_norm=true").out
    assert "warning    BatchNormalization will not have warmed up in 2 of 2 candidates: batch_size " in cold
    assert "BatchNormalization" not in checked
    assert "fits       4 (2 trials x 2 folds), 0 done before" in checked
    assert "epochs     16 to train" in checked
    assert "time       not measured yet" in checked
    assert not (folder / "results").exists()

    assert_interrupts(press_ctrl_c, folder, [*COMMAND, "search", "grid.yaml"])
    done = told("search", "grid.yaml", *inline).out
    assert not list((folder / "results" / "grid" / "checkpoints").iterdir())
    assert "2/2 trials, 4/4 fits" in done
    assert "kerasgrid plot results/grid.json" in done
    assert "rank  trial" in done
    found = json.loads((folder / "results" / "grid.json").read_text())
    assert found["status"] == "complete"
    assert found["environment"]["device"] == "cpu"
    assert found["summary"]["fits"] == 4
    assert found["summary"]["epochs_trained"] == 16

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


def press_ctrl_c(process, terminal):
    os.write(terminal, b"\x03")  # for all processes of the terminal: the workers get it too
    return os.fsdecode(read_to_end(terminal))


def close_terminal(process, terminal):
    os.close(terminal)


def assert_interrupts(interrupt, folder, command):
    """Interrupts a search at a terminal when the first of its workers has begun to train: one epoch ends."""
    before_s = time.time()
    terminal, theirs = os.openpty()
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    found = folder / "results" / "grid.json"
    until = time.monotonic() + 120
    while not (found.exists() and json.loads(found.read_text())["status"] == "running"):
        assert time.monotonic() < until
        time.sleep(0.05)
    output = interrupt(process, terminal)
    assert process.wait(timeout=100) == 130, output
    if output is not None:
        assert "Interrupted. The same command goes on from here." in output
        assert "Traceback" not in output
    assert json.loads(found.read_text())["status"] == "interrupted"
    saved = [path.stat().st_mtime for path in (folder / "results" / "grid" / "checkpoints").iterdir()]
    assert max(saved) > before_s


def read_to_end(terminal):
    """Returns what a terminal shows until its processes have ended."""
    shown = b""
    with contextlib.suppress(OSError):  # EIO is the end
        while part := os.read(terminal, 1 << 16):
            shown += part
    os.close(terminal)
    return shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_any_command(monkeypatch, capsys, number):
    monkeypatch.setattr(config, "json_schema", lambda: os.kill(os.getpid(), number))
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert run(monkeypatch, "schema") == 130
        assert capsys.readouterr().err == "Interrupted. The same command goes on from here.\n"
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_closed_ends_nothing():
    terminal, theirs = os.openpty()
    with open(theirs, "w") as stream:
        outlived = cli._outlived(stream)
        print("seen", file=outlived, flush=True)
        assert os.read(terminal, 100) == b"seen\r\n"
        os.close(terminal)
        print("unseen", file=outlived, flush=True)
        Console(file=outlived).print("unseen")
        with pytest.raises(OSError, match="Input/output"):
            os.write(theirs, b"unseen")
    with open(os.devnull, "w") as other:
        assert cli._outlived(other) is other


@pytest.mark.slow
def test_some_failed_trials_end_with_3(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "own.py").write_text(
        "import keras\n"
        "def build(input_shape, n_classes, how):\n"
        "    if how == 'raise':\n"
        "        raise RuntimeError('not this one')\n"
        "    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),\n"
        "                             keras.layers.Dense(n_classes, activation='softmax')])\n"
    )
    grid = INLINE.replace("model: fc", "model: own.py:build").replace(", units: [16]", "")
    (folder / "grid.yaml").write_text(grid.replace("learning_rate: [0.001]", "how: [fine, raise]"))
    assert run(monkeypatch, "search", "grid.yaml") == 3
    out = capsys.readouterr().out
    line = next(i for i, text in enumerate(grid.splitlines(), 1) if "learning_rate: [0.001]" in text)
    assert (
        f"grid.yaml:{line}, space.how: is 'raise', and with it own.py:4, build: RuntimeError: not this one. "
        "how=raise will be recorded as failed."
    ) in out
    assert out.count("not this one") == 2  # and at the end
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
    (folder / "grid.yaml").write_text(INLINE + "callbacks: {'own.py:Bad': {}}\n")
    assert run(monkeypatch, "search", "grid.yaml") == 3
    out = capsys.readouterr().out
    assert "own.py:4, KeyError: 'val_los'" in out
    assert out.rstrip().endswith("kerasgrid report results/grid.json")
