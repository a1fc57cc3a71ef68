"""What all that spawn rely on: a child is talked with, told of when it ends, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from kerasgrid import spawning
from kerasgrid.spawning import Child, Ended

pytestmark = pytest.mark.slow


@contextmanager
def begun(function, *arguments, environment=None, **options):
    child = Child(function, *arguments, environment=environment or {}, **options)
    try:
        yield child
    finally:
        child.close(kill=True)


def gone(*pids, within_s=10):
    deadline = time.monotonic() + within_s
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(psutil.pid_exists, pids))


def answer(parent, *arguments):
    parent.send((os.getpid(), *arguments))
    for value in parent:
        parent.send(value)


def tell_environment(parent):
    parent.send([os.environ.get(name) for name in ("KG_TEST", "KG_OTHER")])


def fail(parent):
    raise ValueError("no cheese here")


def die(parent, number):
    parent.send("x" * 1_000_000)
    os.kill(os.getpid(), number)


def leave_early(parent):
    threading.Thread(target=time.sleep, args=(60,)).start()


def go_on_for_ever(parent):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    parent.send((os.getpid(), helper.pid))
    while True:
        pass


def clear_up(parent, path, pause_s):
    path.touch()
    parent.send("there")
    list(parent)
    time.sleep(pause_s)
    path.unlink()


def outlive_signals(parent):
    for number in spawning.SIGNALS:
        os.kill(os.getpid(), number)
    parent.send("alive")
    list(parent)


def print_and_fail(parent):
    print("printed", flush=True)
    fail(parent)


def tell_that_more_came(parent):
    parent.send("begun")
    while not parent.has_more:
        time.sleep(0.01)
    parent.send([*zip(range(2), parent, strict=False)])


def test_what_is_sent_is_answered():
    with begun(answer, "a", [1]) as child:
        pid, *arguments = child.receive()
        assert pid != os.getpid()
        assert arguments == ["a", [1]]
        array = np.arange(1_000_000)
        for value in ("", None, {"a": (1, 2.5)}, "x" * 1_000_000):
            child.send(value)
            assert child.receive(20) == value
        child.send(array)
        assert (child.receive(20) == array).all()


def test_it_has_its_environment_and_leaves_this_one(monkeypatch):
    monkeypatch.setenv("KG_OTHER", "mine")
    before = dict(os.environ)
    with begun(tell_environment, environment={"KG_TEST": "its"}) as child:
        assert child.receive() == ["its", "mine"]
    assert dict(os.environ) == before


def test_a_child_learns_of_more_while_it_computes():
    with begun(tell_that_more_came) as child:
        assert child.receive() == "begun"
        for value in ("one", "two"):
            child.send(value)
        assert child.receive(20) == [(0, "one"), (1, "two")]


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        (fail, (), ("exited with code 1", False)),
        (leave_early, (), ("exited with code 0", False)),  # it waits for no thread
        (die, (signal.SIGSEGV,), ("was killed by SIGSEGV", False)),
        (
            die,
            (signal.SIGKILL,),
            ("was killed by SIGKILL, probably by the kernel for want of memory", True),
        ),
    ],
)
def test_one_that_ends_is_told_and_what_it_sent_before_is_not_lost(function, arguments, told):
    with begun(function, *arguments) as child:
        if arguments:
            time.sleep(0.5)
            assert child.receive() == "x" * 1_000_000
        with pytest.raises(Ended):
            child.receive(20)
        child.send("to nobody")
        with pytest.raises(Ended):
            child.receive()
        assert child.ending() == told
        assert child.resident_bytes() == 0


@pytest.mark.parametrize("is_silent", [False, True])
def test_an_error_is_printed_with_its_words_unless_it_is_silent(is_silent, capfd):
    with begun(print_and_fail, is_silent=is_silent) as child, pytest.raises(Ended):
        child.receive(20)
    found = capfd.readouterr()
    assert ("printed" in found.out) is ("ValueError: no cheese here" in found.err) is not is_silent


def test_one_that_takes_too_long_is_killed_with_what_it_has_begun():
    with begun(go_on_for_ever) as child:
        pids = child.receive()
        assert child.resident_bytes() > 0
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            child.receive(0.2)
        assert 0.2 <= time.monotonic() - began < 2
        child.close(kill=True)
        assert gone(*pids)
        assert time.monotonic() - began < 3


def test_closing_twice_is_closing_once():
    with begun(answer) as child:
        pid, *_ = child.receive()
        began = time.monotonic()
        for kill in (False, False, True):
            child.close(kill)
            assert not psutil.pid_exists(pid)
        assert time.monotonic() - began < 2
        assert child.ending() == ("exited with code 0", False)
        with pytest.raises(Ended):
            child.receive()


@pytest.mark.parametrize(("grace_s", "pause_s", "is_cleared"), [(20, 0.2, True), (0, 1, False)])
def test_what_clears_up_has_its_grace(tmp_path, grace_s, pause_s, is_cleared):
    path = tmp_path / "kept"
    with begun(clear_up, path, pause_s, grace_s=grace_s) as child:
        assert child.receive() == "there"
        child.close()
    assert path.exists() is not is_cleared


def test_one_that_hangs_is_killed_after_a_while(monkeypatch):
    monkeypatch.setattr(spawning, "_PATIENCE_S", 0.3)
    with begun(answer) as child:
        pid, *_ = child.receive()
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)  # its threads stop one by one, the listening one perhaps last
        child.close()
        assert child.ending()[0].startswith("was killed by SIGKILL")


def test_it_leaves_ctrl_c_to_its_parent():
    with begun(outlive_signals) as child:
        assert child.receive() == "alive"


def run_script(tmp_path, script):
    """Runs a script that has no main guard; returns its code and what it wrote."""
    functions = """
        import os
        def go_on(parent):
            parent.send(os.getpid())
            while True:
                pass
    """
    (tmp_path / "functions.py").write_text(textwrap.dedent(functions))
    path = tmp_path / "script.py"
    head = "import functions, os, signal, time\nfrom kerasgrid.spawning import Child\n"
    path.write_text(head + textwrap.dedent(script))
    own = os.environ | {"PYTHONPATH": str(Path(spawning.__file__).parents[1])}
    files = [
        tmp_path / name for name in ("out", "err")
    ]  # which do not keep it from returning, as a pipe does
    with files[0].open("w") as out, files[1].open("w") as err:
        done = subprocess.run([sys.executable, str(path)], env=own, stdout=out, stderr=err, timeout=60)
    return done.returncode, *(file.read_text() for file in files)


@pytest.mark.parametrize("has_fork", [False, True])
def test_a_parent_that_is_killed_leaves_no_child(tmp_path, has_fork):
    """Not even where a fork of the parent lives on, and holds its side of the connection open."""
    code, pids, _ = run_script(
        tmp_path,
        f"""
        child = Child(functions.go_on, environment={{}})
        fork = os.fork() if {has_fork} else None
        if fork == 0:
            time.sleep(30)
        print(child.receive(), fork, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert code == -signal.SIGKILL
    pid, fork = pids.split()
    assert gone(int(pid))
    if has_fork:
        os.kill(int(fork), signal.SIGKILL)  # which fails where it has ended before


def test_one_that_nobody_closes_does_not_keep_a_script_from_ending(tmp_path):
    code, pid, err = run_script(
        tmp_path, "child = Child(functions.go_on, environment={})\nprint(child.receive())"
    )
    assert (code, err) == (0, "")
    assert gone(int(pid))


def test_a_fork_that_exits_leaves_it_alone(tmp_path):
    script = """
        child = Child(functions.go_on, environment={})
        child.receive()
        fork = os.fork()
        if fork == 0:
            raise SystemExit
        os.waitpid(fork, 0)
        print(child.ending()[0])
        """
    assert run_script(tmp_path, script)[:2] == (0, "lost its connection to the driver\n")  # it lives
