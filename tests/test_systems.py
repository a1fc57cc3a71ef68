"""Windows and macOS, as far as they can be had elsewhere: each test says what is simulated."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path, PureWindowsPath

import psutil
import pytest
import windows

from kerasgrid import io, machine, wording
from kerasgrid.config import sections
from kerasgrid.config.reading import read_config
from kerasgrid.driver import search as searching
from kerasgrid.errors import ConfigError, StorageError
from kerasgrid.executors import inline
from kerasgrid.io import cache_folder, insist, is_link, kind_of, remove, windows_takes, write_text
from kerasgrid.models.references import parse_reference
from kerasgrid.run.paths import RunPaths
from kerasgrid.submit import download
from kerasgrid.views.pages import path_beside
from kerasgrid.wording import shell_word

ROOT = Path(io.__file__).parents[1]


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made until a file was no longer in use."""
    made = []
    monkeypatch.setattr(io.time, "sleep", made.append)
    return made


def is_of_code_page(call):
    """Tells whether a call reads or writes a text in the encoding that happens to be the system's."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in given:
        return False
    if name in ("read_text", "write_text") and isinstance(call.func, ast.Attribute):
        return not any(isinstance(argument, ast.Constant) for argument in call.args)  # of a distribution
    if name == "open" and isinstance(call.func, ast.Name):
        mode = given.get("mode", call.args[1] if len(call.args) > 1 else ast.Constant("r"))
        return "b" not in getattr(mode, "value", "b")
    return "text" in given and name in ("run", "Popen", "check_output")


def test_no_text_is_read_or_written_by_a_code_page():
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sorted((ROOT / "kerasgrid").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and is_of_code_page(node)
    ]
    assert found == []
    wrong = (
        "open(path)",
        "open(path, 'w')",
        "path.read_text()",
        "path.write_text(text)",
        "run(a, text=True)",
    )
    right = (
        "open(path, 'rb')",
        "open(path, encoding='utf-8')",
        "path.read_text('utf-8')",
        "insist(open, a, 'rb')",
    )
    for text in (*wrong, *right):
        assert is_of_code_page(ast.parse(text).body[0].value) == (text in wrong)


def refused(call, n_times, error=windows.in_use):
    """Returns a call of the system that is refused some times first."""
    left = [error] * n_times

    def first_refused(*arguments):
        if left:
            raise left.pop()(*arguments)
        return call(*arguments)

    return first_refused


def test_a_file_that_another_program_has_open_is_replaced_a_moment_later(tmp_path, monkeypatch, pauses):
    path = tmp_path / "grid.json"
    write_text(path, "old")
    monkeypatch.setattr(io.os, "replace", refused(os.replace, 3))
    write_text(path, "new")
    assert (path.read_text(), len(pauses)) == ("new", 3)


def test_a_file_that_stays_open_elsewhere_is_told_and_left_whole(tmp_path, monkeypatch, pauses):
    path = tmp_path / "grid.json"
    write_text(path, "old")
    monkeypatch.setattr(io.os, "replace", refused(os.replace, 99))
    with pytest.raises(StorageError, match=r"cannot be written \(The process cannot access the file"):
        write_text(path, "new")
    assert [one.name for one in tmp_path.iterdir()] == ["grid.json"]
    assert (path.read_text(), 1 <= sum(pauses) <= 2) == ("old", True)


def test_what_is_forbidden_elsewhere_is_not_tried_again(pauses):
    with pytest.raises(PermissionError):
        insist(refused(os.replace, 1, lambda *arguments: PermissionError(13, "Permission denied")))
    assert pauses == []


def test_a_file_that_is_in_use_is_removed_later_or_left(tmp_path, monkeypatch, pauses):
    unlink = os.unlink
    for n_times, is_left in ((2, False), (99, True)):
        path = tmp_path / f"{n_times}"
        path.touch()
        monkeypatch.setattr(io.os, "unlink", refused(unlink, n_times))
        remove(path)
        assert path.exists() == is_left


def test_a_junction_is_a_link(tmp_path, monkeypatch):
    assert not is_link(tmp_path)
    assert not is_link(tmp_path / "none")
    (tmp_path / "link").symlink_to("elsewhere")
    assert is_link(tmp_path / "link")
    monkeypatch.setattr(io.os, "readlink", lambda path: r"\\?\C:\elsewhere")  # as of a junction
    assert is_link(tmp_path)
    with pytest.raises(StorageError, match="a link is not followed"):
        RunPaths(tmp_path.parent, tmp_path.name).check_own()


@pytest.mark.parametrize("name", ["con", "NUL", "aux.json", "Com1", "lpt9 .x", "CONOUT$"])
def test_devices_of_windows_name_no_run(tmp_path, name):
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"name: {name}\ndata: {{train: digits}}\nmodel: fc\n")
    _, [fault], _ = read_config(grid)
    assert str(fault.message) == f"is {name!r}; Windows takes that for a device: choose another."


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *(
            ("train.csv", None),
            ("Kannada MNIST", None),
            (".hidden", None),
            ("console", None),
            ("com10", None),
        ),
        *(("a:b", "a path or pattern"), ("what?", "a path or pattern"), ("a\tb", "a path or pattern")),
        *(("nul.csv", "a device"), ("train.csv.", "a name without"), (".. ", "a name without")),
    ],
)
def test_names_of_files_on_windows(name, found):
    told = windows_takes(name)
    assert told is found if found is None else told.startswith(found)


def test_archives_hold_no_such_names_on_windows(tmp_path, monkeypatch):
    path = tmp_path / "digits.zip"
    with download.zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/nul.csv", "x")
        archive.writestr("train.csv:hidden", "x")
    target = tmp_path / "here"
    target.mkdir()
    monkeypatch.setattr(download, "sys", windows.SYS)
    with pytest.raises(download.ArchiveError, match="on Windows a device") as caught:
        download.unpack(path, target, tmp_path / "staging", 1 << 30)
    assert "'train.csv:hidden': on Windows a path or pattern." in str(caught.value)


@pytest.mark.parametrize(
    ("system", "environment", "expected"),
    [
        ("linux", {}, "home/.cache"),
        ("linux", {"LOCALAPPDATA": "local"}, "home/.cache"),  # as a shell of WSL's may have it
        ("darwin", {}, "home/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "local"}, "local"),
        ("darwin", {"XDG_CACHE_HOME": "own"}, "own"),
    ],
)
def test_caches_lie_where_the_system_has_them(tmp_path, monkeypatch, system, environment, expected):
    for name in ("KERASGRID_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(io, "sys", windows.StandIn(sys, platform=system))
    for name, folder in environment.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    assert cache_folder() == tmp_path / expected / "kerasgrid"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (r"C:\grids\kannada.yaml", r"C:\grids\kannada.yaml"),
        ("my grid.yaml", '"my grid.yaml"'),
        ("it's & that.yaml", '"it\'s & that.yaml"'),
        ("C:\\my grids\\", '"C:\\my grids\\\\"'),
        ('a "b" c', r'"a \"b\" c"'),
        ("", '""'),
    ],
)
def test_commands_are_written_as_windows_shells_take_them(monkeypatch, text, word):
    monkeypatch.setattr(wording, "sys", windows.SYS)
    assert shell_word(text) == word


def test_a_drive_is_no_end_of_a_model_function(tmp_path):
    text = r"C:\models\net.py:build"
    assert kind_of(text).name == "function"
    shutil.copy(ROOT / "kerasgrid" / "models" / "fc.py", tmp_path / r"C:\models\net.py")
    found = parse_reference(text.replace("build", "fc"), tmp_path)
    assert (found.kind, found.place, found.function) == ("file", r"C:\models\net.py", "fc")


def test_windows_waits_for_so_many_workers(tmp_path, monkeypatch):
    grid = tmp_path / "grid.yaml"
    monkeypatch.setattr(sections, "sys", windows.SYS)
    for n_workers, n_faults in ((31, 0), (32, 1)):
        grid.write_text(f"data: {{train: digits}}\nmodel: fc\nexecutor: {{workers: {n_workers}}}\n")
        _, faults, _ = read_config(grid)
        assert [fault.path for fault in faults] == ["executor.workers"] * n_faults


def test_paths_in_double_quotes_are_told_of(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text('data: {train: "data\\Kannada.csv"}\nmodel: fc\n')
    with pytest.raises(ConfigError, match=r"'K'\. In double quotes \\ begins an escape: write paths with /"):
        read_config(grid)


def test_pages_have_names_that_windows_has(tmp_path):
    (tmp_path / "studies.db").touch()
    page = path_beside(tmp_path / "studies.db#mnist: why?", ".html")
    assert page == tmp_path / "studies-mnist- why-.html"


def test_paths_in_results_have_slashes():
    paths = RunPaths(Path("results"), "grid")
    assert paths.relative(Path("results", "grid", "best.keras")) == "grid/best.keras"
    assert PureWindowsPath(r"results\grid\best.keras").as_posix() == "results/grid/best.keras"


def test_on_windows_only_torch_has_gpus(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "_DRIVER", tmp_path)
    (tmp_path / "gpu").mkdir()
    monkeypatch.setattr(machine, "sys", windows.SYS)
    for backend, n_gpus in (("tensorflow", 0), ("jax", 0), ("torch", 1)):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        assert machine.count_gpus() == n_gpus


def test_memory_is_measured_without_the_module_of_limits(monkeypatch):
    info = types.SimpleNamespace(rss=1, vms=2, peak_wset=3)
    monkeypatch.setattr(machine, "sys", windows.SYS)
    monkeypatch.setattr(machine, "_text", lambda path: "")
    monkeypatch.setattr(machine.psutil, "Process", lambda: types.SimpleNamespace(memory_info=lambda: info))
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.peak_memory_bytes() == 3
    assert machine.free_memory_bytes() > 1 << 20
    assert machine.free_addresses_bytes() is None
    monkeypatch.setattr(machine, "os", windows.OS)
    assert 1 <= machine.default_workers() <= 16


def test_an_old_run_is_moved_aside_without_an_open_lock(tmp_path, monkeypatch):
    lock = windows.load("kerasgrid.locks")
    paths = RunPaths(tmp_path, "grid")
    write_text(paths.json, "{}")
    seen = []

    def moved(paths):
        seen.append(lock.is_held(paths.lock, paths.heartbeat))
        return paths

    monkeypatch.setattr(searching, "FolderLock", lock.FolderLock)
    monkeypatch.setattr(searching, "move_aside", moved)
    searching._make_room(None, paths, True, searching.Observer())
    assert seen == [False]


@pytest.mark.slow
def test_what_workers_print_is_utf_8_whatever_the_code_page(tmp_path):
    script = (
        "import sys; from kerasgrid.training.entry import _write_to; from pathlib import Path\n"
        "_write_to(Path(sys.argv[1])); print('97 → 98 %'); sys.stdout = None; _write_to(Path(sys.argv[2]))"
    )
    logs = [tmp_path / "workers.log", tmp_path / "others.log"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    subprocess.run([sys.executable, "-c", script, *map(str, logs)], cwd=ROOT, env=environment, check=True)
    assert logs[0].read_text(encoding="utf-8") == "97 → 98 %\n"


SITE = """
import os
if os.environ.get("KG_WINDOWS"):
    import windows
    windows.take_over(os.environ["KG_WINDOWS"])
"""
TALK = """
import os, sys, time
from kerasgrid import spawning
spawning = sys.modules["kerasgrid.spawning"]
assert spawning.sys.platform == "win32" and spawning.HANGUP is None and len(spawning.SIGNALS) == 3
import echo
child = spawning.Child(echo.answer, environment={"KG_TEST": "one"})
assert child.receive(60)[1] == "one"
child.send("x" * 5_000_000)
assert child.receive(60) == 5_000_000
failing = spawning.Child(echo.fault, environment={})
try:
    failing.receive(60)
except spawning.Ended:
    print(failing.ending())
child.send(None)
print(child.receive(60), flush=True)
os.kill(os.getpid(), 9)
"""
ECHO = """
import os, time
def answer(parent):
    parent.send((os.getpid(), os.environ["KG_TEST"]))
    for value in parent:
        if value is None:
            parent.send(os.getpid())
            time.sleep(60)
        parent.send(len(value))
def fault(parent):
    os._exit(7)
"""


SEARCH = """
import sys
import numpy as np
import kerasgrid as kg
from fakes import CONFIG, fake_probes, fake_train_pack
from kerasgrid.driver import search as driver
from kerasgrid.planning import packing, workers
workers.load, driver.train_pack, packing.run_probes = None, fake_train_pack, fake_probes
assert driver.FolderLock.__init__.__globals__["msvcrt"] and workers.machine.sys.platform == "win32"
config = {**CONFIG, "space": {"dropout": [0.2, 0.4]}, "search": {"folds": 2}, "executor": {"workers": 1}}
del config["data"]
X, y = np.random.default_rng(0).random((60, 8, 8, 1), np.float32), np.arange(60) % 3
kept = [kg.search(config, X, y, results="here")]
kept.append(kg.search(config, X, y, results="here"))
kept.append(kg.search(config, X, y, results="here", fresh=True))
print(len({found.best_params["dropout"] for found in kept}))
"""


def run_as_on_windows(script, folder):
    """Returns a process that has run a script, in which, and in whose workers, kerasgrid is as on Windows."""
    (folder / "sitecustomize.py").write_text(SITE)
    here = os.pathsep.join(map(str, (folder, ROOT / "tests", ROOT)))
    environment = {**os.environ, "PYTHONPATH": here, "KG_WINDOWS": str(folder / "here")}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, process_group=0, timeout=200
    )


@pytest.mark.slow
def test_a_search_opens_no_file_that_it_moves_or_removes(tmp_path):
    """A search, the same again and a fresh one, of arrays in hand, by a worker that trains nothing."""
    done = run_as_on_windows(SEARCH, tmp_path)
    assert done.stdout == "1\n", done.stderr
    assert not (tmp_path / "here.in_use").exists(), (tmp_path / "here.in_use").read_text()
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert names == {"fake", "fake.json", "fake.1", "fake.1.json"}


@pytest.mark.slow
def test_processes_are_spawned_without_the_signals_of_posix(tmp_path):
    """By spawning.py as it is on Windows, in the driver and in workers; the processes are this system's."""
    (tmp_path / "echo.py").write_text(ECHO)
    done = run_as_on_windows(TALK, tmp_path)
    ended, pid = done.stdout.splitlines() or pytest.fail(done.stderr)
    assert ended == "('exited with code 7', False)"
    psutil.wait_procs([psutil.Process(int(pid))] if psutil.pid_exists(int(pid)) else [], timeout=10)
    assert not psutil.pid_exists(int(pid))


def test_the_driver_waits_on_where_no_signal_has_come(monkeypatch):
    monkeypatch.setattr(inline, "_LOOK_S", 0.01)
    events = list(inline.Inline().run(lambda task, context: time.sleep(0.1), [1]))
    assert [type(event).__name__ for event in events] == ["Started", "Finished"]


def test_ends_of_windows_are_told_by_their_numbers():
    spawning = windows.load("kerasgrid.spawning")
    child = spawning.Child.__new__(spawning.Child)
    for code, told in (
        (3, ("exited with code 3", False)),
        (0xC0000005, ("exited with code 0xC0000005", False)),
        (0xC0000017, ("exited with code 0xC0000017", True)),
        (-15, ("was killed by SIGTERM", False)),
    ):
        child._process = types.SimpleNamespace(exitcode=code, join=lambda timeout_s: None)
        assert child.ending() == told
