"""Tasks in local worker processes: a crash costs one task, not the search."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import cloudpickle

from kerasgrid.errors import RunError
from kerasgrid.executors.base import (
    Died,
    Emitted,
    Event,
    Executor,
    Finished,
    Function,
    Raised,
    Started,
    describe,
    not_loaded,
    not_sent,
    not_understood,
)
from kerasgrid.spawning import Child, Ended, Parent

# To a worker: (function, task), both pickled, the function None where it is that of before; or _STOP.
# From it: (kind, *values); the kind of an event is its class, and the values are those beside the task.
_STOP, _UNLOADABLE = "stop", "unloadable"
_POLL_S = 0.2


class Processes(Executor):
    """Runs tasks in local processes that stay for many of them.

    Workers are spawned, never forked, each when a task first needs it, or by `start`. They do not import the
    user's main module, so a script that starts a search needs no `if __name__ == "__main__":`. What the
    function holds of a script or notebook is sent by value; tasks must come from modules that can be
    imported. Workers leave Ctrl-C and SIGTERM to the driver, and end with it however it ends.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        environment: Sequence[Mapping[str, str]] = (),
        setup: Callable[[], None] | None = None,
        most_bytes: int | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            n_workers: Processes at the same time, at least 1.
            environment: For each worker the environment variables that it has beside the
                driver's from its very start; or nothing.
            setup: What each process calls before its first task, to import what tasks need: a function
                from the top level of a module.
            most_bytes: Resident memory with which a worker's process may begin another task; from beyond it
                a new one takes its place, since what a library keeps for later comes back by that alone.
                None for any.
        """
        if n_workers < 1:
            raise ValueError(f"n_workers is {n_workers}; at least 1 is needed.")
        if environment and len(environment) != n_workers:
            raise ValueError(f"environment is for {len(environment)} workers, but n_workers is {n_workers}.")
        self.n_workers = n_workers
        environments = environment or [{}] * n_workers
        self._seats = [_Seat(i, dict(extra), setup, most_bytes) for i, extra in enumerate(environments)]

    def start(self) -> None:
        """Starts all processes and waits for none of them."""
        for seat in self._seats:
            seat.open()

    def run(self, function: Function, tasks: Iterable[Any]) -> Iterator[Event]:
        """Yields the tasks' events; see Executor.run. Leaving it early kills the busy workers."""
        try:
            pickled = cloudpickle.dumps(function)  # what it holds of a script or notebook by value
        except Exception as error:
            raise not_sent(function, error) from error
        return self._run(pickled, iter(tasks))

    def _run(self, function: bytes, tasks: Iterator[Any]) -> Iterator[Event]:
        if self._running:
            raise RunError("This executor has a run under way, and takes one at a time.")
        self._running = True
        try:
            more = True
            while True:
                # Those with a process come first, so that none is started without need.
                for seat in sorted(self._seats, key=lambda seat: seat.vacant):
                    while more and not seat.taken and not self._stopping:
                        try:
                            task = next(tasks)
                        except StopIteration:
                            more = False
                        else:
                            yield from seat.take(function, task)
                if self._stopping:
                    for seat in self._seats:
                        seat.stop()
                if not any(seat.taken for seat in self._seats):
                    return
                for event in self._listen():
                    yield event
                    more = more or isinstance(event, Died)  # whoever takes it may let its task wait again
        finally:
            self._running = False
            _end([seat for seat in self._seats if seat.taken])

    def _listen(self) -> Iterator[Event]:
        taken = [seat for seat in self._seats if seat.taken]
        # Not for long, since a signal handler that calls stop does not end the wait.
        ready = set(wait([channel for seat in taken for channel in seat.process.channels], timeout=_POLL_S))
        for seat in taken:
            # Whoever takes the events may have closed the executor meanwhile.
            if not seat.vacant and not ready.isdisjoint(seat.process.channels):
                yield from seat.listen()

    def close(self) -> None:
        """Ends all workers at once, and what they run; kills those that have not ended after 3 s."""
        self.stop()
        _end(self._seats)


@dataclass
class _Seat:
    """A worker's place, whose process may be replaced; and the task at hand.

    Attributes:
        vacant: Whether no process is there.
        taken: Whether it has a task.
    """

    number: int
    environment: Mapping[str, str]
    setup: Callable[[], None] | None
    most_bytes: int | None
    vacant: bool = True
    process: Child = field(init=False)
    n_failed_starts: int = 0

    def __post_init__(self) -> None:
        self._release()

    def _release(self) -> None:
        self.taken = self._started = self._asked_to_stop = False
        self._task: Any = None
        self._function = b""

    def open(self) -> None:
        """Starts the process, where none is there."""
        if not self.vacant:
            return
        name = f"kerasgrid-worker-{self.number}"
        try:
            self.process = Child(_work, self.setup, environment=self.environment, name=name)
        except OSError as error:
            raise RunError(
                f"Worker process {self.number} cannot be started: {error}. Ask for fewer workers, or use "
                "the executor inline."
            ) from error
        self.vacant = False
        self._unused = True
        self._known = b""

    def take(self, function: bytes, task: Any) -> Iterator[Event]:
        """Gives the worker a task, or yields why that cannot be."""
        try:
            pickled = bytes(ForkingPickler.dumps(task))
        except Exception as error:
            kind, message, trace = describe(error)
            yield Started(task, self.number)
            yield Raised(task, kind, f"The task cannot be sent to a worker process: {message}", trace)
            return
        self.taken = True
        self._task, self._function = task, function
        self.open()
        self.process.send((None if function == self._known else function, pickled))
        self._known = function
        self._unused = False

    def listen(self) -> Iterator[Event]:
        """Yields the event that the worker's next message or its death is."""
        try:
            message = self.process.receive()
        except Ended:
            yield from self._died()
            return
        except Exception as error:
            raise not_understood(error) from error
        kind, *values = message
        if kind == _UNLOADABLE:
            raise not_loaded(*values)
        elif kind is Started:
            self._started = True
            self.n_failed_starts = 0
            yield Started(self._task, self.number)
        else:
            event = kind(self._task, *values)
            if kind is not Emitted:
                self._release()
                if self.most_bytes is not None and self.process.resident_bytes() > self.most_bytes:
                    self.vacate()
            yield event

    def _died(self) -> Iterator[Event]:
        reason, by_memory = self.process.ending()
        started, task, function = self._started, self._task, self._function
        self.vacate(kill=True)
        if started:
            yield Died(task, reason, by_memory)
            return
        self.n_failed_starts += 1
        if self.n_failed_starts == 2:
            self.n_failed_starts = 0
            names = ", ".join(sorted(self.environment)) or "none"
            raise RunError(
                f"Worker process {self.number} {reason}, twice in a row and before it began a task. What it "
                "wrote before is in the error output above. Check free memory and the environment "
                f"variables that were set for it: {names}."
            )
        yield from self.take(function, task)

    def stop(self) -> None:
        """Asks the task to stop soon; one that has not begun is dropped."""
        if self.taken and not self._started:
            self.vacate(kill=True)
        elif self.taken and not self._asked_to_stop:
            self.process.send(_STOP)
            self._asked_to_stop = True

    def vacate(self, kill: bool = False) -> None:
        """Ends the process, and drops the task; kills it where asked, or where it has had no task."""
        self._release()
        if not self.vacant:
            self.vacant = True
            self.process.close(kill or self._unused)


def _end(seats: Sequence[_Seat]) -> None:
    """Ends processes side by side; kills those that are busy."""
    for seat in seats:
        if not seat.vacant:
            seat.process.hang_up()
    for seat in seats:
        seat.vacate(kill=seat.taken)


def _work(driver: Parent, setup: Callable[[], None] | None) -> None:
    """Is a worker: runs what the driver sends. It imports nothing heavy before it has its function.

    Args:
        driver: Who sends tasks.
        setup: Called before the first task, to import what tasks need; an error is left to the tasks, which
            meet it again.
    """
    if setup is not None:
        with contextlib.suppress(Exception):
            setup()
    function: Function
    context = _WorkerContext(driver)
    for message in driver:
        if message == _STOP:  # the task that it was said of has ended
            continue
        pickled, task = message
        if pickled is not None:
            try:
                function = pickle.loads(pickled)
            except Exception as error:
                driver.send((_UNLOADABLE, *describe(error)))
                continue
        driver.send((Started,))
        ending = _call(function, task, context)
        # A worker ends by os._exit, which leaves buffers unwritten.
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        driver.send(ending)


def _call(function: Function, task: bytes, context: _WorkerContext) -> tuple:
    try:
        function(pickle.loads(task), context)
    except Exception as error:
        return Raised, *describe(error)
    return (Finished,)


class _WorkerContext:
    """The function's context, which sends to the driver."""

    def __init__(self, driver: Parent) -> None:
        self.driver = driver

    def emit(self, payload: Any) -> None:
        try:
            self.driver.send((Emitted, payload))
        except Exception as error:
            raise TypeError(
                f"emit: {type(payload).__qualname__} cannot be sent to the driver: {error}"
            ) from error

    def should_stop(self) -> bool:
        return self.driver.has_more  # while a task runs, all that the driver sends is to stop
