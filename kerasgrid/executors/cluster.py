"""A Ray cluster, as this process is connected with it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from kerasgrid import machine
from kerasgrid.errors import MissingPackageError, RunError, brief
from kerasgrid.spawning import muted

_HEADLESS_S = 30.0
"""How long the head may be away."""
_CONNECTING = 3
_KNOCK_S = 5.0
"""How long whatever is at a cluster's address may take to answer at all."""
_PATIENCE = {"RAY_gcs_server_port_wait_time_s": "2", "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "10"}
"""Ray's variables for how often it asks a cluster for its id, each of which may take half a minute; and for
the seconds that a driver by `ray://` may be away: when one is killed, its workers outlive it by these."""
_MEMORY_BYTES = int(1.5 * 2**30)


@dataclass(frozen=True)
class Needs:
    """What a seat takes of its machine.

    Attributes:
        cpus: Cores.
        gpus: Cards, or a share of one; None for a whole one where the cluster has any.
        memory_bytes: Memory.
    """

    cpus: float = 1.0
    gpus: float | None = None
    memory_bytes: int = _MEMORY_BYTES


def package() -> ModuleType:
    """Returns Ray.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            'The executor ray needs the package ray. Install it with: pip install "kerasgrid[ray]"'
        ) from error


def named_by(address: str) -> str | None:
    """Returns the place that an address names, or RAY_ADDRESS for `auto`; None for whatever runs here."""
    return os.environ.get("RAY_ADDRESS") if address == "auto" else address


def name_of(host: str, node: str) -> str:
    """Returns a machine's name, which is another for each node that runs on it."""
    return re.sub(r"[^\w.-]", "-", f"{host}-{node[:6]}")


def _reach(where: str, timeout_s: float) -> None:
    """Sees that something answers at HOST:PORT.

    Raises:
        OSError: Nothing does.
        ValueError: It is no such place.
    """
    host, _, port = where.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()


class Cluster:
    """The cluster, as this process is connected with it.

    Raises:
        RunError: It cannot be reached.
        MissingPackageError: Ray is not installed.
    """

    def __init__(self, address: str) -> None:
        """Connects, where this process is not connected yet."""
        self.ray = package()
        self.address = address
        self.is_gone, self._is_own = False, not self.ray.is_initialized()
        if self._is_own:
            self._begin()
        elif address not in ("auto", self._found()):
            raise RunError(
                f"executor.address {address!r}: this process is connected with a Ray cluster already, "
                f"{self._found()}. Leave the address out, so that it is used, or call ray.shutdown() before."
            )

    def _begin(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address == "local":
            options |= {"num_cpus": machine.usable_cores(), "include_dashboard": False}
        else:
            options |= {"runtime_env": {"py_modules": [str(Path(__file__).parents[1])]}}
            self._knock()
        failed: list[Exception] = []
        while True:
            try:
                with _own_signals(), _less_patient(), muted(2):  # below Python it writes to it as it likes
                    self.ray.init(self.address, **options)
                # Else it prints the logs of machines that go; what that means for a search is told by it.
                self.ray._private.worker._worker_logs_enabled = False
                return
            except BaseException as error:
                with contextlib.suppress(Exception):
                    self.ray.shutdown()
                if not isinstance(error, Exception):
                    raise
                failed.append(error)  # Ray has many: on a busy machine its parts wait for each other too long
            # That none is there does not change; that one could not begin a server for this process may.
            is_there = isinstance(failed[-1], ConnectionAbortedError)
            is_final = isinstance(failed[-1], ConnectionError) and not is_there
            if is_final or len(failed) == _CONNECTING:
                raise self._not_reached(failed[-1]) from failed[-1]

    def _knock(self) -> None:
        """Sees that something answers where the cluster should be, for which Ray itself may wait for minutes.

        Raises:
            RunError: Nothing does.
        """
        named = named_by(self.address) or self.address
        try:
            where = named.removeprefix("ray://")
            if where == named:  # it looks for one that runs here, and knows localhost by another name
                where = self.ray._private.services.canonicalize_bootstrap_address(named)
            _reach(str(where), _KNOCK_S)
        except (OSError, ValueError) as error:
            raise self._not_reached(error, where) from error

    def _not_reached(self, error: Exception, where: str = "") -> RunError:
        """Returns what says why the cluster cannot be reached, and what to do."""
        told = f"executor.address {self.address!r}: no Ray cluster can be reached"
        causes = "".join(traceback.format_exception(error))
        if "AuthenticationToken" in causes or "AuthenticationError" in causes:
            return RunError(
                f"{told}, since it asks for a token that this process does not have. Set RAY_AUTH_MODE="
                "token, and let ~/.ray/auth_token here hold what `ray get-auth-token` prints on its head."
            )
        told += f" at {where}" if where and where != self.address else ""
        why = getattr(error, "strerror", None) or brief(error)
        if isinstance(error, ConnectionAbortedError):  # with the traceback of the server's
            why = str(error).strip().rpartition("\n")[2]
        told = f"{told}: {why.rstrip('.')}."
        if self.address == "auto":
            return RunError(
                f"{told} Begin one by `ray start --head`, name one by RAY_ADDRESS or executor.address, or "
                "take executor.address local."
            )
        return RunError(
            f"{told} See that it runs and that its port can be reached from here; its Ray and Python have to "
            "be those of this process."
        )

    @property
    def name(self) -> str:
        """Returns the address that was given, or found."""
        return self._found() if self.address == "auto" else self.address

    def _found(self) -> str:
        """Returns the address that this process is connected with; of a client of Ray nobody tells."""
        if self.ray.util.client.ray.is_connected():
            return self.address if self.address.startswith("ray://") else "ray://"
        return str(self.ray.get_runtime_context().gcs_address)

    def nodes(self) -> list[dict[str, Any]]:
        """Returns the machines that are there."""
        with self.watched():
            return [node for node in self.ray.nodes() if node["Alive"]]

    def look_for_head(self, is_stopping: Callable[[], bool]) -> None:
        """Waits for the head, which may begin anew: where it is gone for a minute, Ray ends this process.

        Args:
            is_stopping: Whether nobody waits any more.

        Raises:
            RunError: It is gone for half of one.
        """
        if self.ray.util.client.ray.is_connected():  # whose calls tell
            return
        where, began = self.ray.get_runtime_context().gcs_address, time.monotonic()
        while not is_stopping():
            try:
                _reach(where, 2.0)
                return
            except OSError as error:
                if time.monotonic() - began > _HEADLESS_S:
                    raise self._gone(error) from error
            time.sleep(1.0)

    def _gone(self, error: Exception) -> RunError:
        self.is_gone = True
        return RunError(
            f"The Ray cluster {self.address!r} is gone: {brief(error).rstrip('.')}. When it is there again, "
            "the same command goes on with the search."
        )

    def wait(self, references: Sequence[Any], n: int, timeout_s: float) -> list[Any]:
        """Returns which of some answers are there, n of them at most."""
        with self.watched():
            ready, _ = self.ray.wait(references, num_returns=n, timeout=timeout_s, fetch_local=False)
            return list(ready)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Tells where the cluster itself is gone.

        Raises:
            RunError: It is.
        """
        try:
            yield
        except self.ray.exceptions.RayTaskError:  # which is of the class of the worker's own error, too
            raise
        except (ConnectionError, self.ray.exceptions.RaySystemError) as error:
            raise self._gone(error) from error

    def leave(self) -> None:
        """Disconnects, where this process has connected for it; a cluster of its own ends."""
        if self._is_own:
            self._is_own = False
            with _own_signals():
                self.ray.shutdown()
            self.ray._private.worker._worker_logs_enabled = True


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps this process's way with SIGTERM, for which Ray has another."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _less_patient() -> Iterator[None]:
    """Lets Ray be as patient with a cluster, and its head with this process, as a search has use for."""
    ours = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
