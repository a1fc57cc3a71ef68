"""What of Windows can be had elsewhere: modules that find its `sys`, its locks and its signals."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
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


_OPEN, _RENAME = os.open, os.rename


def _open(path: Any, *options: Any) -> int:
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return _OPEN(path, *options)


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


def take_over(folder: str) -> None:
    """Lets kerasgrid be in this process as on Windows, and a folder's files as there.

    What a process has open, or mapped, can be neither renamed, replaced nor removed, nor can a folder around
    it; what was tried so is a line of `in_use` beside the folder. A folder cannot be opened.
    """
    for name in ("kerasgrid.spawning", "kerasgrid.locks", "kerasgrid.executors.inline"):
        sys.modules[name] = load(name)
        parent, _, own = name.rpartition(".")
        setattr(sys.modules[parent], own, sys.modules[name])
    for name in [name for name in sys.modules if name.startswith("kerasgrid")]:
        _dress(sys.modules[name])
    sys.meta_path.insert(0, _Finder)
    for name in ("replace", "rename", "unlink", "remove"):
        setattr(os, name, _guarded(getattr(os, name), folder))
    os.open = lambda path, *options, **more: (
        _open(path, *options)
        if not more and _is_within(path, folder) and sys._getframe(1).f_code.co_filename != shutil.__file__
        else _OPEN(path, *options, **more)
    )


def _is_within(path: Any, folder: str) -> bool:
    return isinstance(path, str | Path) and os.path.abspath(path).startswith(folder)


def _dress(module: ModuleType) -> None:
    if getattr(module, "sys", None) is sys:
        module.sys = SYS


class _Finder:
    """Finds modules of kerasgrid that are imported later, to be as on Windows, too."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        spec = PathFinder.find_spec(name, path) if name.startswith("kerasgrid") else None
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (run(module), _dress(module))
        return spec


def _guarded(call: Any, folder: str) -> Any:
    def guarded(*paths: Any, **more: Any) -> Any:
        for path in paths if not more else ():
            if _is_within(path, folder) and os.path.lexists(path) and _users(os.path.realpath(path)):
                with open(f"{folder}.in_use", "a", encoding="utf-8") as file:
                    print(call.__name__, *paths, file=file)
                raise in_use(path)
        if call is _RENAME and _is_within(paths[1], folder) and os.path.lexists(paths[1]):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(paths[1]))
        return call(*paths, **more)

    return guarded


def _users(path: str) -> bool:
    """Tells whether a process of this group has a file, or one within a folder, open or mapped."""
    return any(f"{file}/".startswith(f"{path}/") for file in _files())


def _files() -> Iterator[str]:
    for process in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError):  # one that has ended, or is another user's
            if os.getpgid(int(process[len("/proc/") :])) != os.getpgid(0):
                continue
            for line in Path(process, "maps").read_text(errors="replace").splitlines():
                yield line[73:]
            for file in glob.glob(f"{process}/fd/*"):
                with contextlib.suppress(OSError):  # by which they were listed
                    yield os.readlink(file)
