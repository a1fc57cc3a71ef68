"""Tasks at the seats of a Ray cluster, on this machine or on many: what is lost with one costs no search."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pickle
import platform
import queue
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from kerasgrid import machine
from kerasgrid.errors import MissingPackageError, RunError, brief
from kerasgrid.executors.base import (
    Died,
    Emitted,
    Event,
    Executor,
    Finished,
    Function,
    Host,
    Layout,
    Raised,
    Started,
    describe,
    not_loaded,
    not_sent,
    not_understood,
    resources_word,
)
from kerasgrid.spawning import muted
from kerasgrid.wording import count, shortened

# What a seat answers: a list of (kind, *values), where the kind is an event's class, or this.
_UNLOADABLE = "unloadable"
_POLL_S = 0.2
_ANSWER_S = 5.0
"""How long a seat with nothing to tell lets the driver wait for its answer."""
_LOOK_S = 5.0
"""How often the driver looks for machines that came or went."""
_PLACE_S = 5.0
"""How long a seat may take to have a place, where there is one."""
_TELL_S = 30.0
_HOPELESS_S = 600.0
"""How long nobody may have a place before the search ends."""
_HEADLESS_S = 30.0
"""How long the head may be away."""
_SILENT_S = 10.0
"""How long a seat that was not there may be asked whether it is."""
_CONNECTING = 3
_KNOCK_S = 5.0
"""How long whatever is at a cluster's address may take to answer at all."""
_PATIENCE = {"RAY_gcs_server_port_wait_time_s": "2", "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "10"}
"""Ray's variables for how often it asks a cluster for its id, each of which may take half a minute; and for
the seconds that a driver by `ray://` may be away: when one is killed, its workers outlive it by these."""
_MEMORY_BYTES = int(1.5 * 2**30)


Setup = Callable[[float], Any]


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


class Ray(Executor):
    """Runs tasks in actors of a Ray cluster, which stay for many of them.

    Seats that find no place wait for one, so that an autoscaler sees them, and nothing is drawn for them;
    those that come later are used. A seat that dies, or whose machine goes, is asked for anew.

    See https://docs.ray.io/en/latest/ray-core/actors.html
    """

    def __init__(
        self,
        address: str = "auto",
        n_workers: int | None = None,
        *,
        most: int | None = None,
        needs: Needs = Needs(),
        setup: Setup | None = None,
        admit: Callable[[str, Any], str | None] | None = None,
        is_full: Callable[[], bool] | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            address: `auto` for the cluster that runs on this machine or that RAY_ADDRESS names, `local` for
                one that begins and ends with this process, `HOST:PORT` or `ray://HOST:PORT`.
            n_workers: Seats to ask for; None for as many as find a place, whichever machines there are.
            most: Of these, seats at most.
            needs: What each takes.
            setup: What each calls before its first task, with its share of a GPU or 0, to import what tasks
                need; what it returns is given to `admit`. It must be one that workers can be sent.
            admit: Is told a seat's machine and what its setup returned, and returns why the seat is not used;
                None where it is.
            is_full: Is called in a worker after each task, and tells whether another worker takes its place,
                since what a library keeps for later comes back by that alone.
        """
        self.address, self._wanted, self._most = address, n_workers, most
        self._needs, self._setup, self._admit, self._is_full = needs, setup, admit, is_full
        self._cluster: _Cluster | None = None
        self._seats: list[_Seat] = []
        self._n_planned = self._n_wanted = 0
        self._looked, self._has_told = float("-inf"), False
        self._again: deque[Any] = deque()  # tasks of seats that went before they had begun
        self._n_failed: Counter[int] = Counter()
        self._refused: list[str] = []
        self._kinds: set[str] = set()

    @property
    def n_workers(self) -> int:  # type: ignore[override]  # known once connected
        """Seats that are asked for at first."""
        self._connect()
        return self._n_planned

    def start(self) -> None:
        """Asks for all seats and waits for none of them."""
        self._connect()
        self._tend()

    def share(self, value: Any) -> Callable[[], Any]:
        """Returns what gives a value in a worker, which each machine fetches once."""
        return _Shared(self._connect().ray.put(value))

    def device_kinds(self) -> list[str]:
        """Returns the kind of the device of each seat that is there; the first are waited for."""
        self.start()
        began = time.monotonic()
        while not (self._running or self._stopping or self._has_settled()):
            self._tell_of_waiting(time.monotonic() - began)
            for _ in self._listen():  # of seats without a task nothing comes
                pass
            self._tend()
        found = [seat.kind for seat in self._seats if seat.is_ready]
        self._kinds.update(found)
        return found

    def layout(self) -> Layout | None:
        """Returns the machines of the cluster and how many workers are there; None for one of its own."""
        cluster = self._connect()
        if self.address == "local":
            return None
        n_there = Counter(seat.node for seat in self._seats if seat.is_placed)
        hosts = [
            Host(_name(node["NodeManagerHostname"], node["NodeID"]), n_there[node["NodeID"]], *_has(node))
            for node in cluster.nodes()
        ]
        n_waiting = sum(seat.state == "asked" for seat in self._seats)
        return Layout(cluster.name, self._needed(), tuple(hosts), n_waiting)

    def _has_settled(self) -> bool:
        """Tells whether a seat is ready, and no other is about to be."""
        now = time.monotonic()
        about = (
            seat.state == "placed" or now - seat.since < _PLACE_S for seat in self._seats if not seat.is_ready
        )
        return any(seat.is_ready for seat in self._seats) and not any(about)

    def run(self, function: Function, tasks: Iterable[Any]) -> Iterator[Event]:
        """Yields the tasks' events; see Executor.run. Leaving it early kills the busy workers."""
        cluster = self._connect()
        try:
            sent = cluster.ray.put(function)
        except Exception as error:
            raise not_sent(function, error) from error
        return self._run(sent, iter(tasks))

    def _run(self, function: Any, tasks: Iterator[Any]) -> Iterator[Event]:
        if self._running:
            raise RunError("This executor has a run under way, and takes one at a time.")
        self._running = True
        more, idle_since = True, time.monotonic()
        self._again.clear()
        try:
            while True:
                self._tend()
                for seat in self._seats:
                    while seat.state == "ready" and (more or self._again) and not self._stopping:
                        try:
                            task = self._again.popleft() if self._again else next(tasks)
                        except StopIteration:
                            more = False
                        else:
                            yield from seat.take(function, task)
                if self._stopping:
                    for seat in self._seats:
                        seat.stop()
                is_idle = not any(seat.is_taken for seat in self._seats)
                if is_idle and (self._stopping or not (more or self._again)):
                    return
                idle_since = idle_since if is_idle else time.monotonic()
                self._tell_of_waiting(time.monotonic() - idle_since)
                yield from self._listen()
        finally:
            self._running = False
            for seat in self._seats:
                if seat.is_taken:
                    seat.leave()

    def close(self) -> None:
        """Kills all seats, and ends a cluster that began here."""
        self.stop()
        for seat in self._seats:
            seat.leave()
        self._seats.clear()
        if self._cluster is not None:
            self._cluster.leave()

    def _connect(self) -> _Cluster:
        if self._cluster is None:
            self._cluster = _Cluster(self.address)
            if self._needs.gpus is None:
                has_gpus = any(node["Resources"].get("GPU") for node in self._cluster.nodes())
                self._needs = Needs(self._needs.cpus, float(has_gpus), self._needs.memory_bytes)
            self._n_planned = self._target()
        return self._cluster

    def _target(self) -> int:
        """Returns how many seats there should be: those that were asked for, or those that find a place."""
        assert self._cluster is not None
        wanted = self._wanted
        if wanted is None:  # one at least, so that an autoscaler sees what is needed
            wanted = max(1, sum(_room(node["Resources"], self._needs) for node in self._cluster.nodes()))
        return max(1, min(wanted, self._most or wanted))

    def _tend(self) -> None:
        """Asks for seats that are missing, and gives up those that wait for a machine that has gone."""
        self._seats = [seat for seat in self._seats if seat.state != "gone"]
        if self._stopping or self._cluster is None:
            return
        if time.monotonic() - self._looked > _LOOK_S or not self._seats:
            self._cluster.look_for_head()
            self._looked, self._n_wanted = time.monotonic(), self._target()
            asked = [seat for seat in self._seats if seat.state == "asked"]
            for seat in asked[: max(0, len(self._seats) - self._n_wanted)]:
                seat.leave()
                self._seats.remove(seat)
        taken = {seat.number for seat in self._seats}
        for number in range(self._n_wanted):
            if number not in taken and len(self._seats) < self._n_wanted:
                self._seats.append(_Seat(number, self._cluster, self._needs, self._setup, self._is_full))
        self._seats.sort(key=lambda seat: seat.number)

    def _listen(self) -> Iterator[Event]:
        """Yields what seats have to tell."""
        assert self._cluster is not None
        waits = {seat.waits: seat for seat in self._seats if seat.waits is not None}
        if not waits:
            time.sleep(_POLL_S)
            return
        # The second time all that are there: the first one would always be the same.
        ready = self._cluster.wait([*waits], 1, _POLL_S) and self._cluster.wait([*waits], len(waits), 0.0)
        for seat in [waits[one] for one in ready] + [seat for seat in waits.values() if seat.is_silent]:
            if seat.is_taken:
                for event in seat.listen():
                    if isinstance(event, Started):
                        self._n_failed[seat.number] = 0
                    yield event
            elif seat.waits is not None:  # whoever takes the events may have closed the executor meanwhile
                seat.settle()
                self._look_at(seat)
            if seat.state == "gone" and seat.task is not None:
                self._give_elsewhere(seat)

    def _look_at(self, seat: _Seat) -> None:
        """Gives a seat up that is not to be used.

        Raises:
            RunError: There is no other.
        """
        why = self._admit(seat.place, seat.told) if seat.state == "ready" and self._admit else None
        if seat.state == "gone" and not seat.is_lost:
            self._n_failed[seat.number] += 1
            if self._n_failed[seat.number] == 2:
                why = f"A worker {seat.reason.rstrip('.')}."
        if why is None:
            if seat.state == "ready" and self._kinds and seat.kind not in self._kinds:
                self._kinds.add(seat.kind)
                self.tell(f"{seat.place} is there with {seat.kind}: the last bits of scores differ by kind.")
            return
        if why not in self._refused:
            self._refused.append(why)
            self.tell(why)
        seat.retire()
        if all(seat.state == "retired" for seat in self._seats):
            raise RunError("No worker of the cluster can be used. " + " ".join(self._refused))

    def _give_elsewhere(self, seat: _Seat) -> None:
        """Keeps the task of a seat that went before it had begun.

        Raises:
            RunError: That happens again and again.
        """
        self._again.append(seat.task)
        seat.task = None
        self._n_failed[seat.number] += not seat.is_lost
        if self._n_failed[seat.number] == 2:
            raise RunError(
                f"Worker {seat.number} {seat.reason.rstrip('.')}, twice and before it began a task. What it "
                f"wrote before is in Ray's logs on {seat.place}."
            )

    def _tell_of_waiting(self, idle_s: float) -> None:
        """Says what seats wait for.

        Raises:
            RunError: Nobody has had a place for too long.
        """
        asked = [seat for seat in self._seats if seat.state == "asked"]
        waited = max((time.monotonic() - seat.since for seat in asked), default=0.0)
        if waited < _TELL_S or (self._has_told and idle_s < _HOPELESS_S):
            return
        wait = "waits" if len(asked) == 1 else "wait"
        told = f"{count(len(asked), 'worker')} {wait} for a place: each needs {self._needed()}, and "
        told += self._there()
        if idle_s > _HOPELESS_S:
            raise RunError(f"{told}. Nobody has come for 10 minutes. The same command goes on with it.")
        self._has_told = True
        n_others = sum(seat.is_ready for seat in self._seats)
        others = (
            f"goes on with {count(n_others, 'other')} meanwhile" if n_others else "begins when one has it"
        )
        self.tell(f"{told}. The search {others}.")

    def _needed(self) -> str:
        return resources_word(self._needs.cpus, self._needs.gpus or 0, self._needs.memory_bytes)

    def _there(self) -> str:
        """Returns in words what machines there are."""
        assert self._cluster is not None
        kinds = Counter(resources_word(*_has(node)) for node in self._cluster.nodes())
        there = "; ".join(f"{n} with {kind}" for kind, n in kinds.items())
        told = f"the cluster has {count(sum(kinds.values()), 'machine')} ({there}), "
        if any(_room(node["Resources"], self._needs) for node in self._cluster.nodes()):
            return f"{told}which others may use too"
        share = ", or set another executor.gpus_per_worker" if self._needs.gpus else ""
        return f"{told}none with room for one: add a machine that has it{share}"


@dataclass(frozen=True)
class _Shared:
    """A value in the cluster's store."""

    reference: Any

    def __call__(self) -> Any:
        return _package().get(self.reference)


def _package() -> ModuleType:
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


def _has(node: Mapping[str, Any]) -> tuple[float, float, int]:
    """Returns a machine's cores, cards and bytes of memory."""
    resources = node["Resources"]
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0), int(resources.get("memory", 0))


def _name(host: str, node: str) -> str:
    """Returns a machine's name, which is another for each node that runs on it."""
    return re.sub(r"[^\w.-]", "-", f"{host}-{node[:6]}")


def _room(resources: Mapping[str, float], needs: Needs) -> int:
    """Returns how many seats find a place on a machine that nobody else uses."""
    shares = [resources.get("CPU", 0.0) / needs.cpus, resources.get("memory", 0.0) / needs.memory_bytes]
    if needs.gpus:
        # A seat's share is of one card: what is left of each is of no use.
        shares.append(int(resources.get("GPU", 0.0)) * int(1 / needs.gpus + 1e-9))
    return int(min(shares))


class _Cluster:
    """The cluster, as this process is connected with it.

    Raises:
        RunError: It cannot be reached.
        MissingPackageError: Ray is not installed.
    """

    def __init__(self, address: str) -> None:
        self.ray = _package()
        self.address = address
        self._is_own = not self.ray.is_initialized()
        if self._is_own:
            self._begin()
        self._kind = self.ray.remote(concurrency_groups={"control": 2})(_Worker)

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
            # Ray has many: on a busy machine its parts wait for each other too long
            except Exception as error:
                failed.append(error)
                with contextlib.suppress(Exception):
                    self.ray.shutdown()
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
        named = (os.environ.get("RAY_ADDRESS") if self.address == "auto" else None) or self.address
        try:
            where = named.removeprefix("ray://")
            if where == named:  # it looks for one that runs here, and knows localhost by another name
                where = self.ray._private.services.canonicalize_bootstrap_address(named)
            host, _, port = str(where).rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()
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
        """Returns the address that was found, or where this process has none of its own, that was given."""
        if self.address != "auto" or self.ray.util.client.ray.is_connected():
            return self.address
        return str(self.ray.get_runtime_context().gcs_address)

    def nodes(self) -> list[dict[str, Any]]:
        """Returns the machines that are there."""
        with self.watched():
            return [node for node in self.ray.nodes() if node["Alive"]]

    def look_for_head(self) -> None:
        """Waits for the head, which may begin anew: where it is gone for a minute, Ray ends this process.

        Raises:
            RunError: It is gone for half of one.
        """
        if self.ray.util.client.ray.is_connected():  # whose calls tell
            return
        host, _, port = self.ray.get_runtime_context().gcs_address.rpartition(":")
        began = time.monotonic()
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=2.0).close()
                return
            except OSError as error:
                if time.monotonic() - began > _HEADLESS_S:
                    raise self._gone(error) from error
            time.sleep(1.0)

    def _gone(self, error: Exception) -> RunError:
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
        except (ConnectionError, self.ray.exceptions.RaySystemError) as error:
            raise self._gone(error) from error

    def actor(self, needs: Needs) -> Any:
        """Asks for a seat, and returns its actor, which may have no place yet."""
        where = [os.path.abspath(folder) for folder in sys.path]
        with self.watched():
            return self._kind.options(
                max_restarts=0,
                max_task_retries=0,
                num_cpus=needs.cpus,
                num_gpus=needs.gpus or 0,
                memory=needs.memory_bytes,
                scheduling_strategy="SPREAD",
            ).remote(os.getcwd(), where, needs.gpus or 0.0)

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


State = Literal["asked", "placed", "ready", "busy", "doubted", "retired", "gone"]


@dataclass(eq=False)
class _Seat:
    """A worker's place, and the task at hand.

    Attributes:
        state: `asked` until it has a place, `placed` until its setup is done, then `ready` or `busy`;
            `doubted` while nobody knows whether it lives; `retired` where it is not to be used; `gone`.
        node: Its machine, by Ray's id.
        place: Likewise, by name.
        kind: Of its device, as `machine.device_kinds` has it.
        told: What its setup returned.
        task: What it was given, where it is busy, or was when it went before it had begun.
        waits: For which answer.
        since: When it was asked for, or whether it is there.
        reason: How it ended without a task, in words to follow "a worker"; nothing where it was full.
        is_lost: Whether its machine went.
    """

    number: int
    cluster: _Cluster
    needs: Needs
    setup: Setup | None
    is_full: Callable[[], bool] | None
    state: State = "asked"
    node: str = ""
    place: str = "the cluster"
    kind: str = ""
    told: Any = None
    task: Any = None
    waits: Any = None
    reason: str = ""
    is_lost: bool = False

    def __post_init__(self) -> None:
        self._actor = self.cluster.actor(self.needs)
        self._started = self._asked_to_stop = False
        self.since = time.monotonic()
        self.waits = self._actor.where.remote()

    @property
    def is_placed(self) -> bool:
        """Whether it has a place, and is or will be used."""
        return self.state in ("placed", "ready", "busy", "doubted")

    @property
    def is_ready(self) -> bool:
        """Whether its setup is done."""
        return self.state in ("ready", "busy")

    @property
    def is_taken(self) -> bool:
        """Whether it has a task."""
        return self.state in ("busy", "doubted")

    @property
    def is_silent(self) -> bool:
        """Whether it was asked whether it is there, and has not answered in time."""
        return self.state == "doubted" and time.monotonic() - self.since > _SILENT_S

    def settle(self) -> None:
        """Takes the answer of one that has no task: where it is, or that it is ready."""
        try:
            answer = self._answer()
        except _Lost as lost:
            self._go(lost)
            return
        if self.state == "asked":
            self.node, self.place, self.kind = answer
            self.state, self.waits = "placed", self._actor.settle.remote(self.setup, self.is_full)
        else:
            self.told, self.state, self.waits = answer, "ready", None

    def take(self, function: Any, task: Any) -> Iterator[Event]:
        """Gives the worker a task, or yields why that cannot be."""
        try:
            sent = self.cluster.ray.put(task)
        except Exception as error:
            kind, message, trace = describe(error)
            yield Started(task, self.number)
            yield Raised(task, kind, f"The task cannot be sent to a worker: {message}", trace)
            return
        self.task, self._started, self._asked_to_stop = task, False, False
        # In lists, so that the worker fetches them itself, and can say what is wrong with them.
        self.state, self.waits = "busy", self._actor.begin.remote([function], [sent])

    def listen(self) -> Iterator[Event]:
        """Yields the events that the worker's answer, or its death, is."""
        is_doubted = self.state == "doubted"
        try:
            if self.is_silent:
                raise _Lost(f"was lost: {self.place} does not answer", is_lost=True)
            messages = self._answer()
            if is_doubted:  # it is there, but what it told meanwhile may not be
                raise _Lost(f"was lost: {self.place} did not answer for a while", is_lost=True)
        except _Lost as lost:
            if lost.is_doubtful and not is_doubted:
                self.state, self.since = "doubted", time.monotonic()
                self.waits = self._actor.where.options(concurrency_group="control").remote()
                return
            task, has_begun = self.task, self._started
            self._go(lost)
            if has_begun:
                self.task = None
                yield Died(task, lost.reason, lost.by_memory, lost.is_lost)
            return
        self.waits = None
        for kind, *values in messages:
            if self.state != "busy":  # whoever takes the events has closed the executor
                return
            if kind == _UNLOADABLE:
                raise not_loaded(*values)
            if kind is Started:
                self._started = True
                yield Started(self.task, self.number)
            elif kind is Emitted:
                try:
                    payload = pickle.loads(*values)
                except Exception as error:
                    raise not_understood(error) from error
                yield Emitted(self.task, payload)
            else:
                task, is_full = self.task, values.pop()
                self.task, self.state = None, "gone" if is_full else "ready"
                yield kind(task, *values)
                return
        self.waits = self._actor.events.remote()

    def stop(self) -> None:
        """Asks the task to stop soon; one that has not begun is dropped."""
        if self.is_taken and not self._started:
            self.task = None
            self.leave()
        elif self.is_taken and not self._asked_to_stop:
            self._actor.stop.options(concurrency_group="control").remote()
            self._asked_to_stop = True

    def retire(self) -> None:
        """Kills the worker, whose place stays empty."""
        self.leave()
        self.state = "retired"

    def leave(self) -> None:
        """Kills the worker and drops its task."""
        with contextlib.suppress(Exception):  # of a cluster that has gone, with which it goes
            self.cluster.ray.kill(self._actor, no_restart=True)
        self.state, self.waits = "gone", None

    def _go(self, lost: _Lost) -> None:
        self.reason, self.is_lost = lost.reason, lost.is_lost
        self.leave()

    def _answer(self) -> Any:
        """Returns what it waits for.

        Raises:
            _Lost: It is not there any more, or does not answer.
        """
        errors = self.cluster.ray.exceptions
        try:
            with self.cluster.watched():
                return self.cluster.ray.get(self.waits)
        except errors.ActorUnavailableError as error:
            raise _Lost(f"was lost: {self.place} does not answer", True, is_doubtful=True) from error
        except errors.RayTaskError as error:
            raise _Lost(f"cannot begin on {self.place}: {brief(error.cause)}") from error
        except errors.RayError as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> _Lost:
        """Returns how it ended, by what Ray says of it in some lines of text."""
        told = " ".join(str(error).split())
        there = {node["NodeID"] for node in self.cluster.nodes()}
        is_gone = bool(self.node) and self.node not in there
        if is_gone or getattr(error, "preempted", False) or "node has died" in told:
            return _Lost(f"was lost with its machine, {self.place}", is_lost=True)
        if "low on memory" in told or "(OOM)" in told:
            return _Lost(f"was ended by Ray, since {self.place} ran low on memory", by_memory=True)
        end = told.partition("exit detail:")[2] or told.partition("exit type:")[2] or told
        end = end.partition(" Some common causes")[0].strip().rstrip(".")
        return _Lost(f"died on {self.place}: {shortened(end, 200)}")


class _Lost(Exception):
    """A worker that is not there any more, or of which nobody knows whether it is."""

    def __init__(
        self, reason: str, is_lost: bool = False, *, by_memory: bool = False, is_doubtful: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.is_lost = reason, is_lost
        self.by_memory, self.is_doubtful = by_memory, is_doubtful


class _Worker:
    """Is a worker: the class of actors. A method runs at a time, and `stop` beside it."""

    def __init__(self, folder: str, path: Sequence[str], gpus: float) -> None:
        """Comes to where the driver is, as far as this machine has it: its folder and its modules."""
        self._gpus = gpus
        if not gpus:  # else all that the machine has would be seen
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        with contextlib.suppress(OSError):
            os.chdir(folder)
        sys.path += [one for one in path if one not in sys.path and os.path.isdir(one)]
        self._events: queue.SimpleQueue[tuple] = queue.SimpleQueue()
        self._is_stopping = threading.Event()
        self._loaded: tuple[Any, Any] = (None, None)
        self._task: Any = None
        self._is_full: Callable[[], bool] = lambda: False

    def where(self) -> tuple[str, str, str]:
        """Returns its machine's id and name, and the kind of its device."""
        node = _package().get_runtime_context().get_node_id()
        os.environ[machine.NODE] = name = _name(platform.node(), node)
        return node, name, machine.device_kinds()[0]

    def settle(self, setup: Setup | None, is_full: Callable[[], bool] | None) -> Any:
        """Imports what tasks need."""
        self._is_full = is_full or self._is_full
        return None if setup is None else setup(self._gpus)

    def begin(self, functions: Sequence[Any], tasks: Sequence[Any]) -> list[tuple]:
        """Takes a task, and returns the first event.

        The function is called when the next ones are asked for: the driver knows by then that it has begun,
        even if that is the end of this process.
        """
        (reference,), (self._task,) = functions, tasks
        self._is_stopping.clear()
        if self._loaded[0] != reference:
            try:
                self._loaded = reference, _package().get(reference)
            except Exception as error:
                return [(_UNLOADABLE, *describe(_cause(error)))]
        return [(Started,)]

    def events(self) -> list[tuple]:
        """Returns what has happened, as soon as there is something; nothing after a while without."""
        if self._task is not None:
            task, self._task = self._task, None
            threading.Thread(target=self._call, args=(task,), name="kerasgrid-task", daemon=True).start()
        found: list[tuple] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._events.get(timeout=_ANSWER_S))
            while True:
                found.append(self._events.get_nowait())
        return found

    def stop(self) -> None:
        """Asks the task to stop soon."""
        self._is_stopping.set()

    def emit(self, payload: Any) -> None:
        """Sends a payload to the driver; see Context."""
        try:
            self._events.put((Emitted, pickle.dumps(payload, pickle.HIGHEST_PROTOCOL)))
        except Exception as error:
            raise TypeError(
                f"emit: {type(payload).__qualname__} cannot be sent to the driver: {error}"
            ) from error

    def should_stop(self) -> bool:
        """Returns whether the task should stop soon; see Context."""
        return self._is_stopping.is_set()

    def _call(self, task: Any) -> None:
        ending: tuple = (Finished,)
        try:
            self._loaded[1](_package().get(task), self)
        except Exception as error:
            ending = Raised, *describe(_cause(error))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._events.put((*ending, self._is_full()))


def _cause(error: Exception) -> Exception:
    """Returns the error that Ray has wrapped, if it has."""
    cause = error.__cause__
    return cause if type(error).__module__.startswith("ray.") and isinstance(cause, Exception) else error
