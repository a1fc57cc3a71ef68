"""Tasks in this process, one after another: the debugger's friend and the default in tests."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kerasgrid.errors import RunError
from kerasgrid.executors.base import (
    Emitted,
    Event,
    Executor,
    Finished,
    Function,
    Raised,
    Started,
    describe,
)

_PATIENCE_S = 5.0
_LOOK_S = 0.2 if sys.platform == "win32" else None
"""How long the driver waits at a time: on Windows a signal is not handled before the end of a wait."""


class Inline(Executor):
    """Runs tasks in this process, one after another.

    The function runs in a helper thread, so that what it emits reaches the driver while it goes on
    (a generator cannot yield from within a function that it calls), and so that signals find the
    main thread free. But it is a coroutine, no concurrency: while the driver handles an event the
    function waits in `emit`, so that runs are repeatable and a breakpoint stops everything.
    A thread cannot be killed: where a run is left early, the function ends at its next `emit`, and
    one that never comes there is left behind as a daemon thread after 5 seconds.
    """

    n_workers = 1
    _call: _Call | None = None

    def start(self) -> None:
        """Does nothing: this process is ready."""

    def run(self, function: Function, tasks: Iterable[Any]) -> Iterator[Event]:
        """Yields the tasks' events; see Executor.run.

        KeyboardInterrupt and SystemExit raised by the function come out of here.
        """
        if self._running:
            raise RunError("This executor has a run under way, and takes one at a time.")
        self._running = True
        tasks = iter(tasks)
        try:
            while not self._stopping:
                try:
                    task = next(tasks)
                except StopIteration:
                    return
                self._call = _Call(function, task, lambda: self._stopping)
                yield Started(task, 0)
                yield from self._call.events()
        finally:
            self._running = False
            if self._call is not None:
                self._call.abandon()

    def close(self) -> None:
        """Gives up the task that still runs, if any."""
        self.stop()
        if self._call is not None:
            self._call.abandon()


class _Abandoned(BaseException):
    """Ends a function whose run has been left, as GeneratorExit ends a generator."""


class _Call:
    """One call of the function, which takes turns with the driver; also the function's context."""

    def __init__(self, function: Function, task: Any, is_stopping: Callable[[], bool]) -> None:
        self._function = function
        self._task = task
        self._is_stopping = is_stopping
        self._events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._turn = threading.Semaphore(0)
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="kerasgrid-inline", daemon=True)

    def events(self) -> Iterator[Event]:
        if self._abandoned:
            return
        self._thread.start()
        while True:
            try:
                event = self._events.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if self._abandoned:
                return
            if isinstance(event, BaseException):
                raise event
            if not isinstance(event, Emitted):
                self._thread.join()
                yield event
                return
            yield event
            self._turn.release()

    def abandon(self) -> None:
        """Ends the call where it has not ended, and waits for that a bounded time."""
        self._abandoned = True
        self._turn.release()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_S)

    def emit(self, payload: Any) -> None:
        if not self._abandoned:
            self._events.put(Emitted(self._task, payload))
            self._turn.acquire()
        if self._abandoned:
            raise _Abandoned

    def should_stop(self) -> bool:
        return self._abandoned or self._is_stopping()

    def _run(self) -> None:
        try:
            self._function(self._task, self)
        except Exception as error:
            self._events.put(Raised(self._task, *describe(error)))
        except BaseException as error:
            self._events.put(error)
        else:
            self._events.put(Finished(self._task))
