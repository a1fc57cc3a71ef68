"""What is told where no Ray cluster can be reached, or none has room."""

import os
import re
import socket
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from kerasgrid.errors import MissingPackageError, RunError
from kerasgrid.executors import Needs, Ray
from kerasgrid.executors.cluster import Cluster


def test_ray_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r'Install it with: pip install "kerasgrid\[ray\]"'):
        Ray().start()


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (0.0, "the cluster has 2 machines (2 with 1 CPU and 2.0 GiB), which others may use too"),
        (
            0.5,
            "the cluster has 2 machines (2 with 1 CPU and 2.0 GiB), none with room for one: add a machine "
            "that has it, or set another executor.gpus_per_worker",
        ),
    ],
)
def test_what_there_is_no_room_for_is_told(gpus, expected):
    executor = Ray(needs=Needs(gpus=gpus))
    node = {"Alive": True, "Resources": {"CPU": 1.0, "memory": 2.0**31}}
    executor._cluster = object.__new__(Cluster)
    executor._cluster.nodes = lambda: [node, node]
    assert executor._there() == expected


@pytest.mark.parametrize(
    ("error", "n_tries", "told"),
    [
        (ConnectionError("nobody is there"), 1, "ConnectionError: nobody is there."),
        (OSError("a part of it waits too long"), 3, "OSError: a part of it waits too long."),
        (
            ConnectionAbortedError("Failed:\nTraceback:\n  File\nRuntimeError: no server.\n"),
            3,
            "RuntimeError: no server.",
        ),
    ],
)
def test_a_cluster_that_cannot_be_entered_is_tried_again_but_where_none_is(monkeypatch, error, n_tries, told):
    tries = []

    def init(address, **options):
        tries.append(os.environ["RAY_CLIENT_RECONNECT_GRACE_PERIOD"])
        raise error

    ray = SimpleNamespace(init=init, shutdown=lambda: None, is_initialized=lambda: False)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(RunError, match=re.escape(f"no Ray cluster can be reached: {told} See that")):
        Ray("local").start()
    assert tries == ["10"] * n_tries
    assert "RAY_CLIENT_RECONNECT_GRACE_PERIOD" not in os.environ


@pytest.mark.ray
@pytest.mark.parametrize(
    ("scheme", "address", "variable", "expected"),
    [
        ("", "{}", "", "See that it runs and that its port can be reached from here"),
        ("ray://", "{}", "", "See that it runs and that its port can be reached from here"),
        ("", "auto", "{}", "Begin one by `ray start --head`, name one by RAY_ADDRESS or executor.address"),
    ],
)
def test_where_nothing_answers_nobody_waits_for_ray(monkeypatch, scheme, address, variable, expected):
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        named = f"{scheme}127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", variable.format(named))
    sought = object.__new__(Cluster)  # another test may have connected this process with one
    sought.ray, sought.address = pytest.importorskip("ray"), address.format(named)
    with pytest.raises(RunError, match="Connection refused") as caught:
        sought._knock()
    assert f"executor.address {address.format(named)!r}: no Ray cluster can be reached" in str(caught.value)
    assert expected in str(caught.value)


def test_a_token_that_is_missing_is_told():
    """Ray says so in the text of an error's cause alone."""
    reached = object.__new__(Cluster)
    reached.address = "head:6379"
    cause = RuntimeError(
        "connection error: ray.exceptions.AuthenticationError: RPC error: InvalidAuthToken: ..."
    )
    error = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
    error.__cause__ = cause
    told = str(reached._not_reached(error))
    assert told.startswith(
        "executor.address 'head:6379': no Ray cluster can be reached, since it asks for a token"
    )
    assert "Set RAY_AUTH_MODE=token" in told


@pytest.mark.ray
def test_ray_has_what_keeps_it_quiet():
    """A name of its own, which may be another in a later version."""
    ray = pytest.importorskip("ray")
    assert ray._private.worker._worker_logs_enabled is True


def test_a_worker_that_goes_for_want_of_memory_is_asked_for_after_a_while():
    executor, told = Ray(n_workers=1), []
    executor.tell = told.append
    seat = SimpleNamespace(number=0, state="gone", by_memory=True, since=0.0)
    for _ in range(3):
        executor._fail(seat, "was ended by Ray, since vm ran low on memory")
        assert seat.state == "resting"
    line = "A worker was ended by Ray, since vm ran low on memory. Another is asked for in 60 seconds."
    assert told == [line] * 3
