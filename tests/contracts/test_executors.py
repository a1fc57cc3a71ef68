"""What holds for every executor. The functions run in workers, which import this module."""

import itertools
import signal
import threading
import time

import numpy as np
import pytest

from kerasgrid.errors import RunError
from kerasgrid.executors import Emitted, Finished, Inline, Needs, Processes, Raised, Ray, Started


def on_ray():
    return Ray(n_workers=2, needs=Needs(cpus=0.5))


EXECUTORS = [
    pytest.param(Inline, id="inline"),
    pytest.param(lambda: Processes(2), id="processes", marks=pytest.mark.slow),
    pytest.param(on_ray, id="ray", marks=pytest.mark.ray),
]


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    """One for all tests, so that each also shows that the ones before left it usable."""
    with made(request) as executor:
        yield executor


@pytest.fixture(params=EXECUTORS)
def fresh(request):
    with made(request) as executor:
        yield executor


def made(request):
    if request.param is on_ray:
        request.getfixturevalue("cluster")
    return request.param()


def square(task, context):
    context.emit(task * task)


def count(task, context):
    for i in range(task):
        context.emit(i)


def fail(task, context):
    context.emit("before")
    raise ValueError(f"no {task} here")


def fail_on_odd(task, context):
    if task % 2:
        raise KeyError(task)


class Stubborn(Exception):
    def __init__(self, one, two):  # pickles, but does not unpickle
        super().__init__(one + two, lambda: None)

    def __str__(self):
        raise RuntimeError("no text either")


def fail_stubbornly(task, context):
    raise Stubborn("a", "b")


def send_array(task, context):
    context.emit(np.full(10_000_000 // 8, task, dtype=np.float64))


def until_stopped(task, context):
    context.emit("running")
    while not context.should_stop():
        time.sleep(0.01)
    context.emit("saved")


def by_task(events, tasks):
    events = list(events)
    return {task: [event for event in events if event.task == task] for task in tasks}


def test_a_task_starts_emits_and_finishes(executor):
    started, *others = executor.run(square, [3])
    assert started in [Started(3, worker) for worker in range(executor.n_workers)]
    assert others == [Emitted(3, 9), Finished(3)]


def add_shared(task, context):
    number, array = task
    context.emit(number + array().sum())


def test_what_is_shared_is_there_in_workers(executor):
    array = executor.share(np.arange(4))
    events = list(executor.run(add_shared, [(1, array), (2, array)]))
    assert sorted(event.payload for event in events if isinstance(event, Emitted)) == [7, 8]


def test_no_tasks_no_events(executor):
    assert list(executor.run(square, [])) == []


def test_events_carry_the_very_task(executor):
    task = [1, 2]
    assert all(event.task is task for event in executor.run(count_length, [task]))


def count_length(task, context):
    context.emit(len(task))


def test_each_of_300_tasks_runs_once(executor):
    events = by_task(executor.run(square, range(300)), range(300))
    for task, own in events.items():
        assert [type(event) for event in own] == [Started, Emitted, Finished]
        assert own[1].payload == task * task
        assert own[0].worker in range(executor.n_workers)


def test_what_is_emitted_keeps_its_order(executor):
    events = by_task(executor.run(count, [500, 501]), [500, 501])
    for task, own in events.items():
        assert [event.payload for event in own[1:-1]] == list(range(task))


def test_large_arrays_arrive_whole(executor):
    arrays = {e.task: e.payload for e in executor.run(send_array, [1, 2, 3]) if isinstance(e, Emitted)}
    assert sorted(arrays) == [1, 2, 3]
    for task, array in arrays.items():
        assert array.shape == (1_250_000,)
        assert (array == task).all()


def test_what_is_emitted_arrives_while_the_function_runs(executor, tmp_path):
    events = executor.run(wait_for_file, [tmp_path / "seen"])
    for event in events:
        if isinstance(event, Emitted):
            event.task.touch()
    assert isinstance(event, Finished)


def wait_for_file(task, context):
    context.emit("here")
    deadline = time.monotonic() + 20
    while not task.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the driver has not seen what was emitted")
        time.sleep(0.005)


def test_an_exception_is_told_with_its_traceback(executor):
    started, emitted, raised = executor.run(fail, ["cheese"])
    assert (started.task, emitted) == ("cheese", Emitted("cheese", "before"))
    assert (raised.task, raised.error_type, raised.message) == ("cheese", "ValueError", "no cheese here")
    lines = raised.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in fail")
    assert lines[-1] == "ValueError: no cheese here"


def test_after_an_exception_the_others_run(executor):
    events = by_task(executor.run(fail_on_odd, range(10)), range(10))
    assert [type(events[i][-1]) for i in range(10)] == [Finished, Raised] * 5


def test_an_exception_that_cannot_be_pickled_or_printed_is_told(executor):
    raised = list(executor.run(fail_stubbornly, [1]))[-1]
    assert raised.error_type == "Stubborn"
    assert isinstance(raised.message, str)


def test_tasks_are_drawn_when_a_worker_is_free(executor):
    drawn = []
    tasks = (drawn.append(i) or i for i in itertools.count())
    ended = 0
    for event in executor.run(square, tasks):
        ended += isinstance(event, Finished)
        assert len(drawn) <= ended + executor.n_workers
        if ended == 20:
            break


def test_an_error_of_the_tasks_comes_out(executor):
    def tasks():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(executor.run(square, tasks()))


def test_a_run_that_is_left_early_does_not_hinder_the_next(executor):
    for event in executor.run(until_stopped, [1, 2, 3]):
        if isinstance(event, Emitted):
            break
    assert [type(event) for event in executor.run(square, [4])] == [Started, Emitted, Finished]


def test_keyboard_interrupt_during_the_wait_comes_out_and_leaves_it_usable(executor):
    main = threading.main_thread().ident
    threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in executor.run(sleep_in_steps, range(2)):
            pass
    assert [type(event) for event in executor.run(square, [4])] == [Started, Emitted, Finished]


def sleep_in_steps(task, context):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not context.should_stop():
        time.sleep(0.01)


def test_stop_lets_running_tasks_save_and_starts_no_more(fresh):
    events, running = [], 0
    for event in fresh.run(until_stopped, range(10)):
        events.append(event)
        running += event == Emitted(event.task, "running")
        if running == fresh.n_workers:
            fresh.stop()
    begun = {event.task for event in events}
    assert len(begun) == fresh.n_workers
    for own in by_task(events, begun).values():
        assert [type(event) for event in own] == [Started, Emitted, Emitted, Finished]
        assert own[2].payload == "saved"
    assert list(fresh.run(square, [1])) == []


def test_stop_from_another_thread_is_noticed(fresh):
    events = fresh.run(until_stopped, [1])
    next(events)
    threading.Timer(0.2, fresh.stop).start()
    assert [type(event) for event in events] == [Emitted, Emitted, Finished]


def test_stop_before_a_run_is_not_lost(fresh):
    fresh.stop()
    fresh.stop()
    assert list(fresh.run(square, [1, 2])) == []


def test_close_in_the_middle_of_a_run_is_quick(fresh):
    events = fresh.run(until_stopped, [1, 2])
    while not isinstance(next(events), Emitted):
        pass
    began = time.monotonic()
    fresh.close()
    fresh.close()
    assert time.monotonic() - began < 5
    assert list(events) == []


def test_a_consumer_that_fails_leaves_nothing_running(fresh):
    def consume():
        with fresh:
            for event in fresh.run(until_stopped, range(4)):
                if isinstance(event, Emitted):
                    raise OSError("the disk is full")

    began = time.monotonic()
    with pytest.raises(OSError, match="the disk is full"):
        consume()
    assert time.monotonic() - began < 10
    assert "kerasgrid-inline" not in [thread.name for thread in threading.enumerate()]


def test_one_run_at_a_time(executor):
    first = executor.run(count, [3, 3])
    next(first)
    with pytest.raises(RunError, match="one at a time"):
        next(executor.run(square, [1]))
    assert len(list(first)) >= 4
