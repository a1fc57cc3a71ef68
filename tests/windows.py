"""What of Windows can be had elsewhere: modules that find its `sys`, its locks and its signals."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import signal
import sys
from types import ModuleType
from typing import Any
from unittest import mock


class StandIn:
    """A module in the place of another: without some of its names, and with others instead."""

    def __init__(self, module: ModuleType, without: tuple[str, ...] = (), **instead: Any) -> None:
        self._module, self._without = module, without
        vars(self).update(instead)

    def __getattr__(self, name: str) -> Any:
        if name in self._without:
            raise AttributeError(name)
        return getattr(self._module, name)


class Msvcrt(ModuleType):
    """Windows's locks: of a range of bytes from where a file stands, each held by one handle alone."""

    LK_UNLCK, LK_NBLCK = 0, 2
    fails_with: int | None = None

    def locking(self, file: int, how: int, n_bytes: int) -> None:
        if self.fails_with is not None:
            raise OSError(self.fails_with, os.strerror(self.fails_with))
        # Nobody else can read what is locked, and what is written there says who holds it.
        assert os.lseek(file, 0, os.SEEK_CUR) > 1 << 26
        assert n_bytes == 1
        try:
            fcntl.flock(file, fcntl.LOCK_UN if how == self.LK_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(13, "Permission denied") from None


def _open(path: Any, *options: Any) -> int:
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return os.open(path, *options)


SYS: Any = StandIn(sys, platform="win32")
OS: Any = StandIn(os, ("fork", "getppid", "sched_getaffinity", "O_NONBLOCK", "O_NOFOLLOW"), open=_open)
SIGNAL: Any = StandIn(
    signal, ("SIGHUP", "SIGKILL", "pthread_sigmask", "SIG_BLOCK", "SIG_UNBLOCK"), SIGBREAK=signal.SIGUSR1
)


def load(name: str) -> Any:
    """Returns a module of kerasgrid anew, as it is on Windows; others go on with what they have."""
    importlib.import_module(name)  # and what it imports, of this system
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(sys.modules, msvcrt=Msvcrt("msvcrt"), os=OS, signal=SIGNAL))
        stack.enter_context(mock.patch.object(sys, "platform", "win32"))
        spec.loader.exec_module(module)
    module.sys = SYS
    return module


def in_use(*arguments: Any) -> PermissionError:
    """Returns Windows's error of a file that another program has open."""
    error = PermissionError(13, "The process cannot access the file", *arguments)
    error.winerror = 32
    return error
