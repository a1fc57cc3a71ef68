"""A worker process as the driver sees it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping

from kerasgrid.errors import RunError
from kerasgrid.executors import worker

_PATIENCE_S = 3.0
_SPAWN = multiprocessing.get_context("spawn")
_LAUNCH = threading.Lock()


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
        with theirs, _launching(environment):
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


@contextlib.contextmanager
def _launching(environment: Mapping[str, str]) -> Iterator[None]:
    """Makes this process for a moment what a worker should inherit when it is spawned.

    - Signals are blocked until the worker ignores them: Ctrl-C must not hit it before.
    - `__main__` is an empty module, since spawn would run the user's script again in the worker:
      https://docs.python.org/3/library/multiprocessing.html#the-spawn-and-forkserver-start-methods
    - The environment holds the worker's variables, since some are read before Python begins.
    """
    with _LAUNCH:
        main = sys.modules["__main__"]
        before = {name: os.environ.get(name) for name in environment}
        mask = _block_signals()
        try:
            sys.modules["__main__"] = types.ModuleType("__main__")
            os.environ.update(environment)
            yield
        finally:
            sys.modules["__main__"] = main
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            if mask is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _block_signals() -> set[int] | None:
    if hasattr(signal, "pthread_sigmask"):
        return signal.pthread_sigmask(signal.SIG_BLOCK, worker.SIGNALS)
    return None
