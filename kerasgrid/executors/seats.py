"""Seats of a Ray cluster: the driver's end of each, and the worker that has it."""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from kerasgrid import machine
from kerasgrid.errors import brief
from kerasgrid.executors.base import (
    Died,
    Emitted,
    Event,
    Finished,
    Raised,
    Started,
    describe,
    not_loaded,
    not_understood,
)
from kerasgrid.executors.cluster import Cluster, Needs, name_of, package
from kerasgrid.wording import shortened

# What a seat answers: a list of (kind, *values), where the kind is an event's class, or this.
_UNLOADABLE = "unloadable"
_ANSWER_S = 5.0
"""How long a seat with nothing to tell lets the driver wait for its answer."""
_MOST_EVENTS = 256
"""That wait in a worker: a task then waits for the driver."""
_SILENT_S = 10.0
"""How long a seat that was not there may be asked whether it is."""

Setup = Callable[[float], Any]
State = Literal["asked", "placed", "ready", "busy", "doubted", "refused", "resting", "retired", "gone"]


@dataclass(eq=False)
class Seat:
    """A worker's place, and the task at hand.

    Attributes:
        state: `asked` until it has a place, `placed` until its setup is done, then `ready` or `busy`;
            `doubted` while nobody knows whether it lives; `refused` where it does and is not to be used;
            `resting` where memory ran low and `retired` where it went again and again before a task; `gone`.
        node: Its machine, by Ray's id.
        place: Likewise, by name.
        kind: Of its device, as `machine.device_kinds` has it.
        told: What its setup returned.
        task: What it was given, where it is busy, or was when it went before it had begun.
        waits: For which answer.
        since: When it was asked for, had its place, was asked whether it is there, or began to rest.
        reason: How it ended without a task, in words to follow "a worker"; nothing where it was full.
        is_lost: Whether its machine went.
        by_memory: Whether memory ran low.
    """

    number: int
    cluster: Cluster
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
    by_memory: bool = False

    def __post_init__(self) -> None:
        self._actor = _actor(self.cluster, self.needs)
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
            self.state, self.since = "placed", time.monotonic()
            self.waits = self._actor.settle.remote(self.setup, self.is_full)
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
                self.waits = self._actor.knock.remote()
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
            self._actor.stop.remote()
            self._asked_to_stop = True

    def leave(self) -> None:
        """Kills the worker, with its task."""
        if not self.cluster.is_gone:  # with which it goes
            with contextlib.suppress(Exception):
                self.cluster.ray.kill(self._actor, no_restart=True)
        self.state, self.waits = "gone", None

    def _go(self, lost: _Lost) -> None:
        self.reason, self.is_lost, self.by_memory = lost.reason, lost.is_lost, lost.by_memory
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
        if isinstance(error, self.cluster.ray.exceptions.OutOfMemoryError) or "low on memory" in told:
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


class Worker:
    """Is a worker: the class of actors. A method runs at a time, and `stop` beside it."""

    def __init__(self, folder: str, path: Sequence[str], gpus: float) -> None:
        """Comes to where the driver is, as far as this machine has it: its folder and its modules."""
        self._gpus = gpus
        if not gpus:  # else all that the machine has would be seen
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        with contextlib.suppress(OSError):
            os.chdir(folder)
        sys.path += [one for one in path if one not in sys.path and os.path.isdir(one)]
        self._events: queue.Queue[tuple] = queue.Queue(_MOST_EVENTS)
        self._is_stopping = threading.Event()
        self._loaded: tuple[Any, Any] = (None, None)
        self._task: Any = None
        self._is_full: Callable[[], bool] = lambda: False

    def where(self) -> tuple[str, str, str]:
        """Returns its machine's id and name, and the kind of its device."""
        node = package().get_runtime_context().get_node_id()
        os.environ[machine.NODE] = name = name_of(platform.node(), node)
        return node, name, machine.device_kinds()[0]

    def knock(self) -> None:
        """Answers, whatever else it does."""

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
                self._loaded = reference, package().get(reference)
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
            self._loaded[1](package().get(task), self)
        except Exception as error:
            ending = Raised, *describe(_cause(error))
        except BaseException as error:  # as elsewhere, that is the worker's end
            os._exit(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be none, or closed
                stream.flush()
        self._events.put((*ending, self._is_full()))


def _cause(error: Exception) -> Exception:
    """Returns the error that Ray has wrapped, if it has."""
    cause = error.__cause__
    return cause if type(error).__module__.startswith("ray.") and isinstance(cause, Exception) else error


@lru_cache(maxsize=1)
def _kind(cluster: Cluster) -> Any:
    """Returns the class of a cluster's actors, which is sent there once."""
    for method in (Worker.stop, Worker.knock):
        cluster.ray.method(concurrency_group="control")(method)
    return cluster.ray.remote(concurrency_groups={"control": 2})(Worker)


def _actor(cluster: Cluster, needs: Needs) -> Any:
    """Asks for a seat, and returns its actor, which may have no place yet."""
    where = [os.path.abspath(folder) for folder in sys.path]
    with cluster.watched():
        return (
            _kind(cluster)
            .options(
                max_restarts=0,
                max_task_retries=0,
                num_cpus=needs.cpus,
                num_gpus=needs.gpus or 0,
                memory=needs.memory_bytes,
                scheduling_strategy="SPREAD",
            )
            .remote(os.getcwd(), where, needs.gpus or 0.0)
        )
