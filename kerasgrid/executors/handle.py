"""A worker process as the driver sees it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Mapping

import psutil

from kerasgrid.errors import RunError
from kerasgrid.executors import worker
from kerasgrid.spawning import launching

_PATIENCE_S = 3.0
_SPAWN = multiprocessing.get_context("spawn")


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
