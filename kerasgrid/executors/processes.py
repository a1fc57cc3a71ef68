"""Tasks in local worker processes: a crash costs one task, not the search."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import psutil

from kerasgrid.errors import RunError
from kerasgrid.executors import worker
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
)
from kerasgrid.spawning import launching

_PATIENCE_S = 3.0
_SPAWN = multiprocessing.get_context("spawn")
_POLL_S = 0.2


class Handle:
    """Starts a worker process and talks with it.

    Attributes:
        connection: Ready for `multiprocessing.connection.wait` when a message has come.
        ready: Whether it has said that it takes tasks.
        sentinel: Ready when the process has ended.
        function: The pickled function that it has been sent.
        n_tasks: The number of tasks that it has been sent.
    """

    def __init__(
        self, number: int, environment: Mapping[str, str], setup: Callable[[], None] | None = None
    ) -> None:
        self.ready = False
        self.function: bytes | None = None
        self.n_tasks = 0
        self.connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=worker.work, args=(theirs, os.getpid(), setup), name=f"kerasgrid-worker-{number}"
        )
        with theirs, launching(environment):
            try:
                self._process.start()
            except OSError as error:
                self.hang_up()
                raise RunError(
                    f"Worker process {number} cannot be started: {error}. Ask for fewer workers, or use the "
                    "executor inline."
                ) from error
        self.sentinel = self._process.sentinel

    def send_task(self, function: bytes, task: bytes) -> None:
        """Sends a pickled task, and its pickled function where that is another than before."""
        if function != self.function:
            self._send(worker.FUNCTION, function)
            self.function = function
        self._send(worker.TASK, task)
        self.n_tasks += 1

    def resident_bytes(self) -> int:
        """Returns how much memory the process has; 0 where it has ended."""
        try:
            return psutil.Process(self._process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def send_stop(self) -> None:
        """Lets the context's `should_stop` be true."""
        self._send(worker.STOP, b"")

    def _send(self, kind: str, data: bytes) -> None:
        # To a worker that has just died; whoever waits for its messages learns of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((kind, data))

    def receive(self) -> tuple | None:
        """Returns the next message, or None where the worker died before or while it sent one."""
        try:
            data = self.connection.recv_bytes()
        except (EOFError, OSError):
            return None
        try:
            return pickle.loads(data)
        except Exception as error:
            raise RunError(
                f"The driver cannot load what a worker process has sent: {type(error).__name__}: {error}. "
                "Emit only objects of modules that both can import."
            ) from error

    def ending(self) -> tuple[str, bool]:
        """Returns how the worker ended, in words to follow "it", and whether for want of memory."""
        self._process.join(1.0)
        code = self._process.exitcode
        if code is None:
            return "lost its connection to the driver", False
        if code >= 0:
            return f"exited with code {code}", False
        if code == -signal.SIGKILL:
            return "was killed by SIGKILL, probably by the kernel for want of memory", True
        try:
            name = signal.Signals(-code).name
        except ValueError:  # a real-time signal
            name = f"signal {-code}"
        return f"was killed by {name}", False

    def hang_up(self) -> None:
        """Lets the worker end at once, whatever it does."""
        self.connection.close()

    def kill(self) -> None:
        """Kills the worker."""
        self._process.kill()

    def bury(self) -> None:
        """Hangs up, waits for the process to end and frees it; kills it after 3 seconds."""
        self.hang_up()
        self._process.join(_PATIENCE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join(_PATIENCE_S)
        if self._process.exitcode is not None:
            self._process.close()


class Processes(Executor):
    """Runs tasks in local processes that stay for many of them.

    Workers are spawned, never forked, each when a task first needs it, or by `start`. They do not import the
    user's main module, so a script that starts a search needs no `if __name__ == "__main__":`;
    but functions and tasks must come from modules that can be imported. Workers leave Ctrl-C and
    SIGTERM to the driver, and end with it however it ends.
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
        self._seats = [_Seat(i, extra, setup, most_bytes) for i, extra in enumerate(environments)]
        self._stopping = False
        self._running = False
        # Where nobody closes it, multiprocessing would wait for the workers at exit, for ever.
        atexit.register(self.close)

    def start(self) -> None:
        """Starts all processes and waits for none of them."""
        for seat in self._seats:
            seat.open()

    def run(self, function: Function, tasks: Iterable[Any]) -> Iterator[Event]:
        """Yields the tasks' events; see Executor.run. Leaving it early kills the busy workers."""
        try:
            pickled = bytes(ForkingPickler.dumps(function))
        except Exception as error:
            raise RunError(
                f"{function!r} cannot be sent to worker processes: {error}. Use a function from the top "
                "level of a module, or the executor inline."
            ) from error
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
                yield from self._listen()
        finally:
            self._running = False
            busy = [seat for seat in self._seats if seat.taken]
            for seat in busy:
                seat.hang_up()
            for seat in busy:
                seat.vacate(kill=True)

    def _listen(self) -> Iterator[Event]:
        taken = [seat for seat in self._seats if seat.taken]
        # Not for long, since a signal handler that calls stop does not end the wait.
        ready = set(wait([channel for seat in taken for channel in seat.channels()], timeout=_POLL_S))
        for seat in taken:
            # Whoever takes the events may have closed the executor meanwhile.
            if not seat.vacant and not ready.isdisjoint(seat.channels()):
                yield from seat.listen(ready)

    def stop(self) -> None:
        """Asks the running tasks to stop soon and starts no more."""
        # A signal handler may interrupt `run` in the middle of a message, so nothing is sent here.
        self._stopping = True

    def close(self) -> None:
        """Ends all workers at once, and what they run; kills those that have not ended after 3 s."""
        self.stop()
        atexit.unregister(self.close)
        for seat in self._seats:
            seat.hang_up()
        for seat in self._seats:
            seat.vacate(kill=seat.is_unused)


class _Seat:
    """A worker's place, whose process may be replaced; and the task at hand.

    Attributes:
        taken: Whether it has a task.
    """

    def __init__(
        self,
        number: int,
        environment: Mapping[str, str],
        setup: Callable[[], None] | None,
        most_bytes: int | None,
    ) -> None:
        self._number = number
        self._environment = dict(environment)
        self._setup = setup
        self._most_bytes = most_bytes
        self._handle: Handle | None = None
        self._failed_starts = 0
        self._task: Any = None
        self._release()

    def _release(self) -> Any:
        """Forgets the task and returns it."""
        task, self._task = self._task, None
        self.taken = self._started = self._asked_to_stop = False
        self._function = self._pickled = b""
        return task

    @property
    def _process(self) -> Handle:
        assert self._handle is not None
        return self._handle

    @property
    def vacant(self) -> bool:
        """Whether no process is there."""
        return self._handle is None

    @property
    def is_unused(self) -> bool:
        """Whether the process has had no task."""
        return self._handle is not None and self._handle.n_tasks == 0

    def open(self) -> None:
        """Starts the process, where none is there."""
        if self._handle is None:
            self._handle = Handle(self._number, self._environment, self._setup)

    def channels(self) -> tuple:
        """Returns what to wait for."""
        return self._process.connection, self._process.sentinel

    def take(self, function: bytes, task: Any) -> Iterator[Event]:
        """Gives the worker a task, or yields why that cannot be."""
        try:
            pickled = bytes(ForkingPickler.dumps(task))
        except Exception as error:
            kind, message, trace = describe(error)
            yield Started(task, self._number)
            yield Raised(task, kind, f"The task cannot be sent to a worker process: {message}", trace)
            return
        self.taken = True
        self._task, self._function, self._pickled = task, function, pickled
        self.open()
        if self._process.ready:
            self._process.send_task(function, pickled)

    def listen(self, ready: set) -> Iterator[Event]:
        """Yields the event that the worker's next message or its death is."""
        message = self._process.receive() if self._process.connection in ready else None
        match message:
            case None:
                yield from self._died()
            case (worker.READY,):
                self._process.ready = True
                self._process.send_task(self._function, self._pickled)
            case (worker.STARTED,):
                self._started = True
                self._failed_starts = 0
                yield Started(self._task, self._number)
            case (worker.EMITTED, payload):
                yield Emitted(self._task, payload)
            case (worker.FINISHED,):
                yield Finished(self._end())
            case (worker.RAISED, kind, text, trace):
                yield Raised(self._end(), kind, text, trace)
            case (worker.UNLOADABLE, kind, text, trace):
                raise RunError(
                    f"A worker process cannot load the function that it is to run: {kind}: {text}. What a "
                    "script or notebook defines itself is unknown there: move it to a module, or use the "
                    f"executor inline.\n{trace}"
                )

    def _end(self) -> Any:
        if self._most_bytes is not None and self._process.resident_bytes() > self._most_bytes:
            self.vacate()
        return self._release()

    def _died(self) -> Iterator[Event]:
        reason, by_memory = self._process.ending()
        started, task, function = self._started, self._task, self._function
        self.vacate(kill=True)
        if started:
            yield Died(task, reason, by_memory)
            return
        self._failed_starts += 1
        if self._failed_starts == 2:
            self._failed_starts = 0
            names = ", ".join(sorted(self._environment)) or "none"
            raise RunError(
                f"Worker process {self._number} {reason}, twice in a row and before it began a task. What it "
                "wrote before is in the error output above. Check free memory and the environment "
                f"variables that were set for it: {names}."
            )
        yield from self.take(function, task)

    def stop(self) -> None:
        """Asks the task to stop soon; one that has not begun is dropped."""
        if self.taken and not self._started:
            self.vacate(kill=True)
        elif self.taken and not self._asked_to_stop:
            self._process.send_stop()
            self._asked_to_stop = True

    def hang_up(self) -> None:
        """Lets the process end at once."""
        if self._handle is not None:
            self._handle.hang_up()

    def vacate(self, kill: bool = False) -> None:
        """Ends the process and drops the task."""
        handle, self._handle = self._handle, None
        self._release()
        if handle is not None:
            if kill:
                handle.kill()
            handle.bury()
