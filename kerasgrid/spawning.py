"""A process that is spawned and talked with, whatever script, notebook or terminal this one was started from;
and how Ctrl-C, SIGTERM and a terminal that closes end them in order.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import psutil

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""What reaches all processes of a terminal that closes; Windows has none."""
_BREAK: int | None = getattr(signal, "SIGBREAK", None)  # Windows's, by Ctrl-Break or another program
SIGNALS = tuple(one for one in (signal.SIGINT, signal.SIGTERM, HANGUP, _BREAK) if one is not None)
"""What the driver alone decides on."""
_NO_MEMORY = {0xC0000017, 0xC000012D}
"""With what Windows ends a process that has none: STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT."""
_SPAWN = multiprocessing.get_context("spawn")
_LAUNCH = threading.Lock()
_PATIENCE_S = 3.0
_LOOK_S = 1.0
_END = object()


class Ended(Exception):
    """A child has ended, before or while it sent a value."""


class Child:
    """A process that calls a function, and the way to talk with it.

    It is spawned, never forked, and does not import the user's main module. It leaves Ctrl-C and SIGTERM to
    this process, and ends with it however that ends.

    Attributes:
        channels: Of them `multiprocessing.connection.wait` finds one ready when it has sent a value or ended.
    """

    def __init__(
        self,
        function: Callable[..., None],
        *arguments: Any,
        environment: Mapping[str, str],
        is_silent: bool = False,
        grace_s: float = 0.0,
        name: str | None = None,
    ) -> None:
        """Starts it.

        Args:
            function: From the top level of a module; called with its Parent and the arguments. When it
                returns the process ends at once, and waits for none of the threads there.
            *arguments: Of the function.
            environment: The variables that it has beside this process's, from its very start.
            is_silent: Whether what it and its libraries print goes nowhere.
            grace_s: How long it may clear up when this process hangs up or has died.
            name: The process's, for debuggers.

        Raises:
            OSError: The system has no room for it.
        """
        self._connection, theirs = _SPAWN.Pipe()
        self._parent = os.getpid()
        self._process = _SPAWN.Process(
            target=_run, args=(theirs, self._parent, is_silent, grace_s, function, arguments), name=name
        )
        with theirs, _launching(environment):
            try:
                self._process.start()
            except BaseException:
                self.hang_up()
                raise
        self.channels = self._connection, self._process.sentinel
        # Where nobody closes it, multiprocessing would wait for it at exit, for ever.
        atexit.register(self.kill)

    def send(self, value: Any) -> None:
        """Sends it a value; where it has just died, whoever waits for its values learns of it."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(value)

    def receive(self, timeout_s: float | None = None) -> Any:
        """Returns the next value that it sends.

        Raises:
            Ended: It has ended; `ending` tells how.
            TimeoutError: It sent none in time.
        """
        try:
            is_told = wait(self.channels, timeout_s)
            data = self._connection.recv_bytes() if self._connection.poll() else None
        except (EOFError, OSError) as error:
            raise Ended from error
        if data is not None:
            return pickle.loads(data)
        raise Ended if is_told else TimeoutError

    def ending(self) -> tuple[str, bool]:
        """Returns how it ended, in words to follow "it", and whether for want of memory."""
        self._process.join(1.0)
        code = self._process.exitcode
        if code is None:
            return "lost its connection to the driver", False
        if code >= 0:  # on Windows a fault's number, too, such as 0xC0000005
            return f"exited with code {code if code < 1 << 16 else f'0x{code:X}'}", code in _NO_MEMORY
        if code == -getattr(signal, "SIGKILL", 0):
            return "was killed by SIGKILL, probably by the kernel for want of memory", True
        try:
            name = signal.Signals(-code).name
        except ValueError:  # a real-time signal
            name = f"signal {-code}"
        return f"was killed by {name}", False

    def resident_bytes(self) -> int:
        """Returns how much memory it has, without what it maps of files; 0 where it has ended."""
        try:
            found = psutil.Process(self._process.pid).memory_info()
            return found.rss - getattr(found, "shared", 0)
        except psutil.Error:
            return 0

    def hang_up(self) -> None:
        """Lets it end, whatever it does, once its grace is over."""
        self._connection.close()

    def kill(self) -> None:
        """Kills it, and the processes that it has begun."""
        is_fork = os.getpid() != self._parent  # whose exit is not the end of its parent's children
        if is_fork or self._process.exitcode is not None:
            return
        begun: list[psutil.Process] = []
        with suppress(psutil.Error):
            begun = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for process in begun:
            with suppress(psutil.Error):
                process.kill()

    def close(self, kill: bool = False) -> None:
        """Hangs up and waits for it to end; kills it after 3 seconds, or at once. It may be called again."""
        self.hang_up()
        if not kill:
            self._process.join(_PATIENCE_S)
        self.kill()
        self._process.join(_PATIENCE_S)
        atexit.unregister(self.kill)


class Parent:
    """The process that began this one, as the function sees it that it wants called here.

    Iterating over it yields the values that it sends, until it hangs up or has died.

    Attributes:
        connection: Both ways to it.
    """

    def __init__(self, connection: Connection, pid: int, grace_s: float) -> None:
        self.connection = connection
        self._values: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, args=(pid, grace_s), daemon=True).start()

    def __iter__(self) -> Iterator[Any]:
        while (value := self._values.get()) is not _END:
            yield value

    @property
    def has_more(self) -> bool:
        """Whether it has sent what was not taken yet."""
        return not self._values.empty()

    def send(self, value: Any) -> None:
        """Sends it a value, from any thread; one that has hung up wants none."""
        data = ForkingPickler.dumps(value)
        with suppress(BrokenPipeError, ConnectionResetError), self._lock:
            self.connection.send_bytes(data)

    def _listen(self, pid: int, grace_s: float) -> None:
        """Takes what it sends, also while the function computes, and ends this process with it."""
        try:
            # An error here means that it has hung up or is dead: the end either way.
            with suppress(EOFError, OSError):
                while True:
                    if self.connection.poll(_LOOK_S):
                        self._values.put(self.connection.recv())
                    elif _has_died(pid):  # the end of file does not come while a fork of it lives
                        break
        finally:
            self._values.put(_END)
            time.sleep(grace_s)
            os._exit(0)


def _has_died(pid: int) -> bool:
    """Tells whether the process that began this one is dead; on Windows its id stays the parent's."""
    parent = multiprocessing.parent_process()
    if sys.platform == "win32" and parent is not None:
        return not parent.is_alive()
    return os.getppid() != pid


def _run(
    connection: Connection,
    pid: int,
    is_silent: bool,
    grace_s: float,
    function: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """Is the child."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":  # blocked by the parent until here
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if is_silent:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nowhere, number)
    function(Parent(connection, pid, grace_s), *arguments)
    os._exit(0)


@contextmanager
def muted(*descriptors: int) -> Iterator[None]:
    """Lets what is written to some of the process's descriptors go nowhere; a closed one stays closed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    kept: dict[int, int] = {}
    for descriptor in descriptors:
        with suppress(OSError):
            kept[descriptor] = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in kept:
            os.dup2(nowhere, descriptor)
        yield
    finally:
        os.close(nowhere)
        for descriptor, own in kept.items():
            os.dup2(own, descriptor)
            os.close(own)


@contextmanager
def _launching(environment: Mapping[str, str]) -> Iterator[None]:
    """Makes this process for a moment what a child should inherit when it is spawned.

    - Signals are blocked until the child ignores them: Ctrl-C must not hit it before. Windows cannot: there
      it ends a child that begins, which the driver then drops as it stops.
    - `__main__` is an empty module, since spawn would run the user's script again in the child:
      https://docs.python.org/3/library/multiprocessing.html#the-spawn-and-forkserver-start-methods
    - The environment holds the child's variables, since some are read before Python begins.
    """
    with _LAUNCH:
        main = sys.modules["__main__"]
        before = {name: os.environ.get(name) for name in environment}
        if sys.platform != "win32":
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
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
            if sys.platform != "win32":
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` at the first of SIGNALS, and raises KeyboardInterrupt at the next.

    Where a terminal closes, the kernel, the shell and systemd may send a SIGHUP each, so that one more of
    them insists on nothing.
    """
    asked = False

    def handle(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number != HANGUP:
            raise KeyboardInterrupt
        asked = asked or number != HANGUP
        stop()

    with _handled(SIGNALS, handle):
        yield


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raises KeyboardInterrupt at SIGTERM and where the terminal closes, as Python does at Ctrl-C."""
    is_closed = False

    def handle(number: int, frame: object) -> None:
        nonlocal is_closed
        if number == HANGUP and is_closed:  # while what is under way is cleared up
            return
        is_closed = number == HANGUP
        raise KeyboardInterrupt

    with _handled([one for one in SIGNALS if one != signal.SIGINT], handle):
        yield


@contextmanager
def _handled(numbers: Iterable[int], handle: Callable[[int, object], None]) -> Iterator[None]:
    """Has signals handled; a hangup that is ignored, as under nohup, stays ignored.

    Outside the main thread, where Python takes no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [one for one in numbers if one != HANGUP or signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
