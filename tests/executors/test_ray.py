"""Seats of a Ray cluster of two nodes with a core each: what is lost, what waits, and what comes later."""

import itertools
import os
import re
import signal
import socket
import sys
import time
from functools import partial

import numpy as np
import pytest
import worker_tasks

from kerasgrid.errors import RunError
from kerasgrid.executors import Died, Emitted, Finished, Needs, Ray, Started
from kerasgrid.executors import cluster as clusters
from kerasgrid.executors import ray as seats

pytestmark = pytest.mark.ray


@pytest.fixture
def told():
    return []


@pytest.fixture
def ray(cluster, told):
    """Begins executors whose words to the user are kept."""
    made = []

    def begin(n_workers=2, **options):
        made.append(Ray(n_workers=n_workers, **options))
        made[-1].tell = told.append
        return made[-1]

    yield begin
    for executor in made:
        executor.close()


def kill_odd(task, context):
    if task % 2:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_costs_its_task_alone(ray):
    executor = ray()
    events = [event for event in executor.run(kill_odd, range(4)) if not isinstance(event, Started)]
    died = [event for event in events if isinstance(event, Died)]
    assert sorted(event.task for event in died) == [1, 3]
    assert sorted(event.task for event in events if isinstance(event, Finished)) == [0, 2]
    for event in died:
        assert re.fullmatch(r"died on \S+: .*End of file", event.reason), event.reason
        assert not event.is_lost
        assert not event.by_memory


def node_of(task, context):
    context.emit(os.environ["KERASGRID_NODE"])
    if task == "stay":
        while not context.should_stop():
            time.sleep(0.01)


def test_what_runs_on_a_node_that_goes_is_lost_and_one_that_comes_is_used(ray, cluster, add_node):
    node, executor = add_node(), ray(None)
    assert executor.n_workers == 3
    places, lost = {}, []
    for event in executor.run(node_of, ["stay", "stay", "stay", "short"]):
        if isinstance(event, Emitted):
            places.setdefault(event.payload, []).append(event.task)
            if len(places) == 3 and not lost:
                lost = [None]
                cluster.remove_node(node, allow_graceful=False)
        if isinstance(event, Died):
            lost = [event]
            assert event.is_lost, event
            add_node()
        if isinstance(event, Finished) and event.task == "short":
            executor.stop()
    assert lost[0].reason.startswith("was lost")
    assert len(places) == 4


def test_seats_that_find_no_place_are_told_of_and_nothing_waits_for_them(ray, monkeypatch, told):
    executor, workers = ray(4), set()
    for event in executor.run(pause, itertools.count()):
        workers.add(getattr(event, "worker", None))
        if len(workers - {None}) == 2:
            monkeypatch.setattr(seats, "_TELL_S", 0.5)
        if told:
            executor.stop()
    (line,) = told
    assert "2 workers wait for a place: each needs 1 CPU" in line
    assert line.endswith("The search goes on with 2 others meanwhile.")


def pause(task, context):
    time.sleep(0.3)


def test_where_no_seat_ever_finds_a_place_it_ends_and_says_what_there_is(ray, monkeypatch, told):
    monkeypatch.setattr(seats, "_TELL_S", 0.2)
    monkeypatch.setattr(seats, "_HOPELESS_S", 1.0)
    executor = ray(2, needs=Needs(gpus=0.5))
    drawn = []
    with pytest.raises(
        RunError,
        match=r"each needs 1 CPU, 0.5 GPU and 1.5 GiB, and the cluster has 2 machines.*none with room",
    ):
        list(executor.run(pause, (drawn.append(i) for i in range(3))))
    assert not drawn
    assert told[0].endswith("The search begins when one has it.")


def test_seats_that_are_not_admitted_get_no_task(ray, told):
    refused = []

    def admit(place, setup):
        refused.append(place)
        return f"{place} is not used: {setup}." if len(refused) == 1 else None

    executor = ray(2, setup=partial(tell_share, "old"), admit=admit)
    workers = {event.worker for event in executor.run(pause, range(3)) if isinstance(event, Started)}
    assert len(workers) == 1
    assert told == [f"{refused[0]} is not used: old 0.0."]


def tell_share(text, share):
    return f"{text} {share}"


def test_it_ends_where_no_seat_is_admitted(ray, told):
    executor = ray(2, admit=lambda place, setup: "It is not used.")
    with pytest.raises(RunError, match="No worker of the cluster can be used"):
        list(executor.run(pause, range(3)))
    assert told == ["It is not used."]


def test_it_ends_where_the_setup_fails_again_and_again(ray):
    executor = ray(1, setup=fail_to_set_up)
    with pytest.raises(RunError, match=r"cannot begin on .*: no keras here"):
        list(executor.run(pause, range(3)))


def fail_to_set_up(share):
    raise ImportError("no keras here")


def test_a_worker_that_is_full_is_replaced(ray):
    executor = ray(1, is_full=partial(bool, True))
    pids = [
        event.payload for event in executor.run(worker_tasks.send_pid, range(3)) if isinstance(event, Emitted)
    ]
    assert len(set(pids)) == 3


def test_a_shared_value_is_a_view_of_the_store(ray):
    executor = ray(1)
    shared = executor.share(np.arange(1_000_000))
    assert [e.payload for e in executor.run(look_at_shared, [shared]) if isinstance(e, Emitted)] == [
        (False, 999_999)
    ]


def look_at_shared(shared, context):
    value = shared()
    context.emit((value.flags.writeable, int(value[-1])))


def test_kinds_are_those_of_the_seats(ray):
    executor = ray(2)
    assert len(executor.device_kinds()) == 2


def test_where_the_head_is_gone_it_ends_and_says_so(ray, cluster, monkeypatch):
    monkeypatch.setattr(clusters, "_HEADLESS_S", 0.0)
    monkeypatch.setattr(seats, "_LOOK_S", 0.0)
    executor = ray(1)
    events = executor.run(pause, itertools.count())
    next(events)
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = "{}:{}".format(*server.getsockname())
    monkeypatch.setattr(type(clusters.package().get_runtime_context()), "gcs_address", nobody)
    with pytest.raises(
        RunError, match=r"cluster 'auto' is gone: .* the same command goes on with the search"
    ):
        list(events)


def test_a_machine_that_is_refused_takes_no_place_of_others(ray, cluster, add_node, told):
    refused = []

    def admit(place, setup):
        refused.append(place)
        return f"{place} is not used." if place == refused[0] else None

    executor, workers, node = ray(3, admit=admit), set(), None
    for event in executor.run(pause, itertools.count()):
        workers.add(getattr(event, "worker", None))
        if len(workers - {None}) == 1 and node is None:
            node = add_node()
        if len(workers - {None}) == 2:
            executor.stop()
    assert told == [f"{refused[0]} is not used."]


def exit_with(task, context):
    sys.exit(task)


def test_a_task_that_exits_is_the_end_of_its_worker(ray):
    died = [event for event in ray(1).run(exit_with, [3]) if not isinstance(event, Started)]
    assert len(died) == 1
    assert isinstance(died[0], Died)
    assert not died[0].is_lost


def test_the_last_event_is_not_followed_by_a_wait_for_another_worker(ray, tmp_path):
    executor = ray(1, setup=partial(once, tmp_path / "was here"))
    assert isinstance(list(executor.run(kill_odd, [1]))[-1], Died)


def once(path, share):
    """Is quick the first time."""
    if path.exists():
        time.sleep(60)
    path.touch()


def test_a_worker_that_is_never_ready_holds_nobody_up(ray, monkeypatch, tmp_path):
    monkeypatch.setattr(seats, "_TELL_S", 1.0)
    executor = ray(2, setup=partial(first_forever, tmp_path / "taken"))
    assert len(executor.device_kinds()) == 1
    monkeypatch.setattr(seats, "_SETUP_S", 0.5)
    ended = [event.task for event in executor.run(pause, range(12)) if isinstance(event, Finished)]
    assert sorted(ended) == list(range(12))


def first_forever(path, share):
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return
    time.sleep(60)


def test_after_its_end_it_runs_nothing_and_another_cluster_is_refused(ray):
    executor = ray(1)
    executor.close()
    assert list(executor.run(pause, range(3))) == []
    with pytest.raises(RunError, match="'local': this process is connected with a Ray cluster already"):
        _ = Ray("local").n_workers
