"""How processes are spawned, whatever script, notebook or terminal this one was started from, and how Ctrl-C,
SIGTERM and a terminal that closes end them in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""What reaches all processes of a terminal that closes; Windows has none."""
SIGNALS = tuple(one for one in (signal.SIGINT, signal.SIGTERM, HANGUP) if one is not None)
"""What the driver alone decides on."""
_LAUNCH = threading.Lock()


@contextlib.contextmanager
def launching(environment: Mapping[str, str]) -> Iterator[None]:
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


def leave_signals_to_the_driver() -> None:
    """Makes a spawned process ignore what reaches the whole process group: Ctrl-C, a kill, a hangup."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # blocked by the driver until here
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def silence() -> None:
    """Keeps what this process and its libraries print out of the terminal."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(descriptor, number)


def _block_signals() -> set[int] | None:
    if hasattr(signal, "pthread_sigmask"):
        return signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    return None


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
