"""Worker processes that wait a while for the next who needs such, since to start them takes seconds."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from kerasgrid.executors.base import Executor
from kerasgrid.executors.processes import Processes

WAIT_S = 60.0
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@dataclass(eq=False)
class _Workers:
    """Workers, what they were begun with, and when, as files have it."""

    executor: Executor
    about: Any
    began: float
    timer: threading.Timer = field(init=False)

    def wait(self) -> None:
        """Lets them wait, in the place of others."""
        self.timer = threading.Timer(WAIT_S, self.leave)
        self.timer.daemon = True
        with _LOCK:
            others, _room[:] = _room[:], [self]
        self.timer.start()  # once they are there, for whom it may come at once
        for other in others:
            other.timer.cancel()
            other.executor.close()

    def leave(self) -> None:
        """Ends them, where nobody has come for them."""
        with _LOCK:
            is_there = self in _room
            if is_there:
                _room.remove(self)
        if is_there:
            self.executor.close()


_LOCK = threading.Lock()
_room: list[_Workers] = []
"""At most one: more would hold memory that nobody may want again."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_room.clear)  # they are children of the other process


@contextmanager
def lent_processes(n_workers: int, **options: Any) -> Iterator[Executor]:
    """Gives worker processes, where they are the same those that somebody before has left.

    They wait a minute for the next who comes, but for an error or a stop. Others are begun where a variable
    of the environment has changed since, the folder, or code that this process has imported.

    Args:
        n_workers: As in Processes.
        **options: Likewise.
    """
    about = n_workers, options, os.getcwd(), list(sys.path), dict(os.environ)
    workers = _enter(about)
    if workers is None:
        workers = _Workers(Processes(n_workers, **options), about, time.time())
    try:
        yield workers.executor
    except BaseException:
        workers.executor.close()
        raise
    if workers.executor.is_stopping:
        workers.executor.close()
    else:
        workers.wait()


def _enter(about: Any) -> _Workers | None:
    """Returns the workers that wait, if they are such; others are ended."""
    with _LOCK:
        found = _room.pop() if _room else None
    if found is None:
        return None
    found.timer.cancel()
    if found.about == about and not _has_changed_since(found.began):
        return found
    found.executor.close()
    return None


def _has_changed_since(began: float) -> bool:
    """Tells whether a file of code that this process has imported is newer; libraries are not looked at."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(_LIBRARIES):
            with suppress(OSError):
                if os.stat(file).st_mtime > began:
                    return True
    return False
