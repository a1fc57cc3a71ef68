import signal
import sys
import threading

import pytest

from kerasgrid.executors import Emitted, Finished, Inline, inline


def test_the_function_waits_while_the_driver_handles_what_it_emitted():
    log = []

    def function(task, context):
        for i in range(3):
            log.append(f"emit {i}")
            context.emit(i)

    for event in Inline().run(function, [1]):
        if isinstance(event, Emitted):
            log.append(f"handle {event.payload}")
    assert log == ["emit 0", "handle 0", "emit 1", "handle 1", "emit 2", "handle 2"]


def test_what_is_emitted_is_the_very_object():
    payload = object()
    events = list(Inline().run(lambda task, context: context.emit(payload), [1]))
    assert events[1].payload is payload


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_the_process_is_no_fault_of_the_task(error):
    def function(task, context):
        raise error

    with pytest.raises(type(error)) as caught:
        list(Inline().run(function, [1]))
    assert caught.value is error


def test_a_run_left_early_ends_the_function_at_its_next_emit():
    cleaned = []

    def function(task, context):
        try:
            while True:
                context.emit("again")
        except Exception:  # as a training loop may
            cleaned.append("caught")
        finally:
            cleaned.append(context.should_stop())

    events = Inline().run(function, [1])
    next(events), next(events)
    events.close()
    assert cleaned == [True]
    assert "kerasgrid-inline" not in [thread.name for thread in threading.enumerate()]


def test_a_function_that_never_emits_is_left_behind(monkeypatch):
    monkeypatch.setattr(inline, "_PATIENCE_S", 0.05)
    release, ended = threading.Event(), threading.Event()

    def function(task, context):
        main = threading.main_thread().ident
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
        release.wait(20)
        ended.set()

    with Inline() as executor, pytest.raises(KeyboardInterrupt):
        list(executor.run(function, [1]))
    assert not ended.is_set()
    release.set()
    assert ended.wait(20)


def test_a_function_does_not_begin_once_the_executor_is_closed():
    began = []
    executor = Inline()
    events = executor.run(lambda task, context: began.append(task), [1])
    next(events)
    executor.close()
    assert list(events) == []
    assert began == []


def test_signals_find_the_main_thread_free():
    def function(task, context):
        context.emit(threading.current_thread() is threading.main_thread())

    assert next(e.payload for e in Inline().run(function, [1]) if isinstance(e, Emitted)) is False


def test_a_long_run_keeps_no_threads_and_no_tasks():
    before = threading.active_count()
    tasks = (["task"] for _ in range(1000))
    executor = Inline()
    for event in executor.run(lambda task, context: context.emit(1), tasks):
        if isinstance(event, Finished):
            references = sys.getrefcount(event.task)
    assert threading.active_count() == before
    assert references < 10
