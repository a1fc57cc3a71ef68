"""How processes are spawned, whatever script, notebook or terminal this one was started from."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Mapping

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
