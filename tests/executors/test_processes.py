"""What only worker processes can suffer."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from worker_tasks import (
    OnLoad,
    announce,
    close_connection,
    die_in_a_message,
    die_on_zero,
    exit_at_once_with,
    exit_with,
    fail,
    forever,
    forget_to_end,
    hold_and_send_pid,
    kill_self,
    outlive_signals,
    pid_sender_at_second_load,
    send_environment,
    send_heavy_modules,
    send_lambda,
    send_on_load,
    send_pid,
    send_setup,
)

import kerasgrid.errors
from kerasgrid import spawning
from kerasgrid.errors import RunError
from kerasgrid.executors import Died, Drawn, Emitted, Finished, Processes, Raised, Started, lent_processes

pytestmark = pytest.mark.slow

ROOT = Path(kerasgrid.errors.__file__).parents[1]


@pytest.fixture(scope="module")
def executor():
    with Processes(2) as executor:
        yield executor


def payloads(events):
    return [event.payload for event in events if isinstance(event, Emitted)]


def gone(pid, within_s=10):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("function", "task", "reason", "by_memory"),
    [
        (
            kill_self,
            signal.SIGKILL,
            "was killed by SIGKILL, probably by the kernel for want of memory",
            True,
        ),
        (kill_self, signal.SIGSEGV, "was killed by SIGSEGV", False),
        (kill_self, signal.SIGABRT, "was killed by SIGABRT", False),
        (kill_self, signal.SIGRTMIN + 5, f"was killed by signal {signal.SIGRTMIN + 5}", False),
        (exit_with, 3, "exited with code 3", False),
        (exit_with, None, "exited with code 0", False),
        (exit_at_once_with, 4, "exited with code 4", False),
        (close_connection, None, "lost its connection to the driver", False),
    ],
)
def test_a_death_is_told_in_words(executor, function, task, reason, by_memory):
    events = list(executor.run(function, [task]))
    assert events == [Started(task, events[0].worker), Died(task, reason, by_memory)]


def test_after_a_death_the_others_run(executor):
    endings = {}
    for event in executor.run(die_on_zero, [1, 0, 2, 0, 3, 4, 5]):
        if not isinstance(event, Started | Emitted):
            endings.setdefault(event.task, []).append(type(event))
    assert endings == {0: [Died, Died]} | {i: [Finished] for i in range(1, 6)}


def test_tasks_are_asked_for_again_after_a_death(executor):
    """The second worker has found none before."""
    waiting = [0]

    def draw():
        if not waiting:
            raise StopIteration
        return waiting.pop(0)

    endings = []
    for event in executor.run(die_on_zero, Drawn(draw)):
        if isinstance(event, Died):
            waiting += [1, 2]
        if not isinstance(event, Started | Emitted):
            endings.append((event.task, type(event)))
    assert sorted(endings, key=lambda ending: ending[0]) == [(0, Died), (1, Finished), (2, Finished)]


def test_a_message_torn_by_a_death_is_dropped(executor):
    for _ in range(3):
        started, emitted, died = executor.run(die_in_a_message, [1])
        assert (started.task, emitted.payload) == (1, "whole")
        assert died.by_memory
    assert payloads(executor.run(outlive_signals, [1])) == ["alive"]


def test_workers_stay_and_are_started_only_for_tasks():
    with Processes(4) as executor:
        pids = {pid for _ in range(3) for pid in payloads(executor.run(send_pid, [1]))}
    assert len(pids) == 1
    assert all(gone(pid) for pid in pids)


def lent_pid(**options):
    with lent_processes(1, **options) as executor:
        return payloads(executor.run(send_pid, [1]))[0]


def change_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASGRID_TEST", "other")


def go_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def change_imported_code(monkeypatch, tmp_path):
    own = ModuleType("own")
    own.__file__ = str(tmp_path / "own.py")
    (tmp_path / "own.py").write_text("width = 1")
    later = time.time() + 5
    os.utime(own.__file__, (later, later))
    monkeypatch.setitem(sys.modules, "own", own)


def end_by_an_error(monkeypatch, tmp_path):
    with pytest.raises(ZeroDivisionError), lent_processes(1):
        raise ZeroDivisionError


def stop(monkeypatch, tmp_path):
    with lent_processes(1) as executor:
        executor.stop()


def let_nobody_come(monkeypatch, tmp_path):
    monkeypatch.setattr("kerasgrid.executors.waiting.WAIT_S", 0.01)
    assert gone(lent_pid())


@pytest.mark.parametrize(
    "happens",
    [
        change_the_environment,
        go_elsewhere,
        change_imported_code,
        end_by_an_error,
        stop,
        let_nobody_come,
    ],
)
def test_workers_wait_for_the_next_who_needs_the_same(monkeypatch, tmp_path, happens):
    pid = lent_pid()
    assert lent_pid() == pid
    happens(monkeypatch, tmp_path)
    assert lent_pid() != pid
    assert gone(pid)


def test_of_workers_that_were_lent_at_once_those_of_the_last_wait():
    with lent_processes(1) as outer:
        [pid] = payloads(outer.run(send_pid, [1]))
        inner = lent_pid()
        assert inner != pid
    assert gone(inner)
    assert lent_pid() == pid


@pytest.mark.parametrize("is_early", [True, False])
def test_a_process_sets_itself_up_before_its_first_task(is_early):
    with Processes(2, setup=announce) as executor:
        if is_early:
            executor.start()
        told = payloads(executor.run(send_setup, range(6)))
    assert len(told) == 6
    assert all(found == str(pid) for found, pid in told)


def test_an_error_of_the_setup_is_left_to_the_tasks():
    with Processes(1, setup=fail) as executor:
        executor.start()
        assert [pid > 0 for pid in payloads(executor.run(send_pid, range(2)))] == [True, True]


def test_workers_that_start_early_are_those_that_work():
    with Processes(2) as executor:
        executor.start()
        pids = {seat.process._process.pid for seat in executor._seats}
        executor.start()  # they are there already
        time.sleep(0.5)  # both have said that they are ready, and nobody has listened
        told = payloads(executor.run(send_pid, range(7)))
        assert len(told) == 7
        assert set(told) <= pids == {seat.process._process.pid for seat in executor._seats}


def test_closing_kills_workers_that_had_no_task():
    with Processes(2, setup=forget_to_end) as executor:
        executor.start()
        pids = [seat.process._process.pid for seat in executor._seats]
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert all(gone(pid) for pid in pids)


def test_a_worker_that_holds_too_much_memory_is_replaced():
    with Processes(1, most_bytes=200 * 2**20) as executor:
        pids = payloads(executor.run(hold_and_send_pid, [0, 0, 300, 0, 0]))
        pids += payloads(executor.run(hold_and_send_pid, [0]))
    assert pids[0] == pids[1] == pids[2] != pids[3] == pids[4] == pids[5]
    assert all(gone(pid) for pid in pids)


def test_workers_ignore_ctrl_c_and_sigterm(executor):
    assert payloads(executor.run(outlive_signals, [1])) == ["alive"]


def test_workers_import_nothing_heavy(executor):
    loaded = payloads(executor.run(send_heavy_modules, [1]))[0]
    assert not {"keras", "tensorflow", "jax"} & set(loaded)


def test_each_worker_has_its_environment_from_the_start(monkeypatch):
    monkeypatch.setenv("KG_OTHER", "mine")
    before, main = dict(os.environ), sorted(vars(sys.modules["__main__"]))
    environment = [
        {"KG_TEST": "zero", "PYTHONHASHSEED": "7"},
        {"KG_TEST": "one", "PYTHONHASHSEED": "7", "KG_OTHER": "yours"},
    ]
    with Processes(2, environment=environment) as executor:
        workers = {}
        for event in executor.run(send_environment, range(4)):
            if isinstance(event, Started):
                workers[event.task] = event.worker
            elif isinstance(event, Emitted):
                seen = event.payload
                expected = [("zero", "mine"), ("one", "yours")][workers[event.task]]
                assert (seen["KG_TEST"], seen["KG_OTHER"]) == expected
    assert set(workers.values()) == {0, 1}
    command = [sys.executable, "-c", "print(hash('text'))"]
    hashed = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True)
    assert seen["hash"] == int(hashed.stdout)
    assert dict(os.environ) == before
    assert sorted(vars(sys.modules["__main__"])) == main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_workers": 0}, "n_workers is 0; at least 1 is needed"),
        ({"n_workers": 2, "environment": [{}]}, "environment is for 1 workers, but n_workers is 2"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Processes(**arguments)


def test_a_payload_that_cannot_be_pickled_is_an_error_of_the_task(executor):
    raised = list(executor.run(send_lambda, [1]))[-1]
    assert raised.error_type == "TypeError"
    assert raised.message.startswith("emit: function cannot be sent to the driver: ")


def test_a_task_that_cannot_be_pickled_is_an_error_of_the_task(executor):
    task = lambda: None  # noqa: E731
    events = list(executor.run(send_pid, [task, 1, task]))
    raised = [event for event in events if isinstance(event, Raised)]
    assert [event.task for event in raised] == [task, task]
    assert raised[0].message.startswith("The task cannot be sent to a worker process: ")
    assert [event.task for event in events if isinstance(event, Finished)] == [1]


def test_a_task_that_cannot_be_loaded_is_an_error_of_the_task(executor):
    raised = list(executor.run(send_pid, [OnLoad(int, "x")]))[-1]
    assert (raised.error_type, raised.message.split(":")[0]) == (
        "ValueError",
        "invalid literal for int() with base 10",
    )


def test_a_function_that_cannot_be_pickled(executor):
    lock = threading.Lock()
    with pytest.raises(RunError, match=r"cannot be sent to workers: .*lock.*what can be pickled"):
        executor.run(lambda task, context: lock.acquire(), [1])


def test_a_function_of_a_script_goes_by_value(executor):
    factor = 3
    assert payloads(executor.run(lambda task, context: context.emit(factor * task), [1, 2])) == [3, 6]


def test_a_function_that_workers_cannot_load(executor):
    with pytest.raises(RunError, match="cannot load the function that it is to run: ValueError"):
        list(executor.run(OnLoad(int, "x"), [1, 2, 3]))
    assert payloads(executor.run(outlive_signals, [1])) == ["alive"]


def test_a_payload_that_the_driver_cannot_load(executor):
    with pytest.raises(RunError, match="cannot load what a worker has sent: ValueError"):
        list(executor.run(send_on_load, [1]))
    assert payloads(executor.run(outlive_signals, [1])) == ["alive"]


def test_workers_that_die_before_they_begin_end_the_run(executor, capfd):
    with pytest.raises(RunError, match="exited with code 5, twice in a row and before it began a task"):
        list(executor.run(OnLoad(os._exit, 5), [1, 2, 3]))
    assert payloads(executor.run(outlive_signals, [1])) == ["alive"]


def test_workers_that_cannot_start_end_the_run(capfd):
    environment = [{"PYTHONHOME": "/nowhere", "A": "1"}]
    with (
        Processes(1, environment=environment) as executor,
        pytest.raises(RunError, match=r"twice in a row.*set for it: A, PYTHONHOME"),
    ):
        list(executor.run(send_pid, [1]))
    assert "PYTHONHOME" in capfd.readouterr().err


def test_a_system_that_has_no_room_for_processes(monkeypatch):
    def refuse(self):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with Processes(1) as executor:
        monkeypatch.setattr(spawning._SPAWN.Process, "start", refuse)
        with pytest.raises(RunError, match=r"Worker process 0 cannot be started: .*Ask for fewer workers"):
            list(executor.run(send_pid, [1]))
        monkeypatch.undo()
        assert len(payloads(executor.run(send_pid, [1]))) == 1


def test_a_worker_that_starts_at_the_second_try_is_forgiven(executor, tmp_path):
    function = OnLoad(pid_sender_at_second_load, str(tmp_path / "first"))
    assert [type(event) for event in executor.run(function, [1])] == [Started, Emitted, Finished]


def test_stop_drops_tasks_that_have_not_begun():
    with Processes(2) as executor:

        def tasks():
            yield 1
            executor.stop()
            yield 2

        assert list(executor.run(send_pid, tasks())) == []


@pytest.mark.parametrize("frozen", [False, True])
def test_close_ends_workers_that_compute_or_hang(frozen, monkeypatch):
    monkeypatch.setattr(spawning, "_PATIENCE_S", 0.3)
    executor = Processes(2)
    pids = []
    for event in executor.run(forever, range(2)):
        if isinstance(event, Emitted):
            pids.append(event.payload)
            if frozen:
                os.kill(event.payload, signal.SIGSTOP)
        if len(pids) == 2:
            began = time.monotonic()
            executor.close()
            break
    assert time.monotonic() - began < 3
    assert not any(psutil.pid_exists(pid) for pid in pids)


def run_script(tmp_path, script, **options):
    """Runs a script that has no main guard, beside a module `functions` for its workers."""
    (tmp_path / "functions.py").write_text(
        textwrap.dedent("""
        import os, time
        def send_pid(task, context):
            context.emit(os.getpid())
        def forever(task, context):
            context.emit(os.getpid())
            while True:
                pass
        """)
    )
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_a_script_needs_no_main_guard(tmp_path):
    result = run_script(
        tmp_path,
        """
        import functions
        from kerasgrid.executors import Processes
        print("once")
        with Processes(2) as executor:
            print([type(event).__name__ for event in executor.run(functions.send_pid, [1])])
        """,
    )
    assert (result.stdout, result.stderr) == ("once\n['Started', 'Emitted', 'Finished']\n", "")


def test_a_function_of_the_script_itself_runs_with_what_it_uses(tmp_path):
    result = run_script(
        tmp_path,
        """
        from kerasgrid.executors import Processes
        class Kept:
            value = 7
        def mine(task, context): context.emit(Kept.value + task)
        with Processes(1) as executor:
            print([event.payload for event in executor.run(mine, [1]) if hasattr(event, "payload")])
        """,
    )
    assert (result.stdout, result.stderr) == ("[8]\n", "")


def test_an_executor_that_nobody_closes_does_not_keep_the_script_from_ending(tmp_path):
    result = run_script(
        tmp_path,
        """
        import functions
        from kerasgrid.executors import Processes
        executor = Processes(1)
        events = executor.run(functions.forever, [1])
        next(events), print(next(events).payload)
        """,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert gone(int(result.stdout))


def test_workers_end_with_a_killed_driver_even_while_they_compute(tmp_path):
    result = run_script(
        tmp_path,
        """
        import functions, os, signal
        from kerasgrid.executors import Emitted, Processes
        pids = []
        for event in Processes(2).run(functions.forever, [1, 2]):
            if isinstance(event, Emitted):
                print(event.payload, flush=True)
                pids.append(event.payload)
            if len(pids) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert result.returncode == -signal.SIGKILL
    assert all(gone(int(pid)) for pid in result.stdout.split())


def test_ctrl_c_for_the_whole_group_reaches_the_driver_alone(tmp_path):
    result = run_script(
        tmp_path,
        """
        import functions, os, signal
        from kerasgrid.executors import Emitted, Processes
        pids = []
        with Processes(2) as executor:
            for event in executor.run(functions.forever, [1, 2]):
                if isinstance(event, Emitted):
                    print(event.payload, flush=True)
                    pids.append(event.payload)
                if len(pids) == 2:
                    os.killpg(os.getpgrp(), signal.SIGINT)
        """,
        start_new_session=True,
    )
    assert result.stderr.count("Traceback") == 1
    assert result.stderr.endswith("KeyboardInterrupt\n")
    assert [gone(int(pid)) for pid in result.stdout.split()] == [True, True]
