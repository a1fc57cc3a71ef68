"""Locks of folders, as of a run's: one process at a time writes to it."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import math
import os
import socket
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from kerasgrid.errors import LockedError, StorageError
from kerasgrid.io import (
    NO_LINK,
    NO_LOCKS,
    is_link,
    is_mounted_by_program,
    overwrite,
    read_json,
    remove,
    storage_errors,
)

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_BEAT_S = 5.0
_STALE_S = 30.0
_SETTLE_S = 1.0
_TRIES, _TRY_AGAIN_S = 4, 0.02
_BYTE = 1 << 30

_log = logging.getLogger(__name__)


class FolderLock:
    """Holds a folder for this process; a context manager that may be entered again after its end.

    The system's file locks do it: they end with the process, however that ends, and spawned
    processes do not inherit them. Both the lock's file and its folder are locked, since a file can be
    removed; on Windows the file alone, which cannot be while it is open. On a drive, whose locks others
    do not see, and where the file system has none, a
    heartbeat file does: it is written over every 5 seconds, and one that is older than 30 seconds
    and still does not beat, or whose process is dead on this very host, no longer counts.
    """

    def __init__(self, lock_path: Path, heartbeat_path: Path) -> None:
        """Locks nothing yet.

        Args:
            lock_path: The file that is locked; it says which process holds it, and stays.
            heartbeat_path: The file for file systems without locks; it is removed at the end.
        """
        self._lock_path = lock_path
        self._heartbeat_path = heartbeat_path
        self._file: int | None = None
        self._folder: int | None = None
        self._heartbeat: _Heartbeat | None = None

    @property
    def beats(self) -> bool:
        """Whether a heartbeat holds it, where the system's locks do not."""
        return self._heartbeat is not None

    def __enter__(self) -> FolderLock:
        """Takes the lock.

        Raises:
            LockedError: Another process holds it.
            StorageError: The folder cannot be written, or the file is a link to elsewhere.
        """
        with storage_errors(self._lock_path):
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._file, self._folder = _open_with_folder(self._lock_path)
            except BlockingIOError:
                raise _locked(self._lock_path.parent, _read_holder(self._lock_path)) from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                _log.info("%s: no file locks here; a heartbeat file it is.", self._lock_path.parent)
                self._heartbeat = _Heartbeat(self._heartbeat_path, self._lock_path)
        return self

    def __exit__(self, *exception: object) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.end()
        files, self._file, self._folder = (self._file, self._folder), None, None
        for file in files:
            if file is not None:
                _free(file)
                os.close(file)

    def let_rename(self) -> None:
        """Lets the folder be renamed by whoever holds it, which is the last that is done with it.

        Windows renames no folder in which a file is open: neither with this lock nor, once that is given
        back, with another's.
        """
        if sys.platform == "win32":
            self.__exit__()

    def check(self) -> None:
        """Checks that the folder is still ours, and locks a new file where the old one was removed.

        A heartbeat can be lost, in a sleep of the machine; and a folder can be moved by its user.

        Raises:
            LockedError: Another process has taken it over.
            StorageError: The folder is not there any more.
        """
        if self._heartbeat is not None:
            self._heartbeat.check()
        if self._file is None or self._folder is None or _is_at(self._file, self._lock_path):
            return
        folder = self._lock_path.parent
        if not _is_at(self._folder, folder):
            raise StorageError(
                f"{folder}: this folder has been moved or removed while it was written to. Put it back and "
                "give the same command again, or start anew with --fresh."
            )
        with storage_errors(self._lock_path):
            try:
                file = _open_locked(self._lock_path)
            except BlockingIOError:
                raise _locked(folder, _read_holder(self._lock_path)) from None
            _sign(file)
        os.close(self._file)
        self._file = file


def is_held(lock_path: Path, heartbeat_path: Path) -> bool:
    """Tells whether a process holds a FolderLock, for readers of what it writes: nothing is taken or written.

    Where that cannot be told, it is held.
    """
    holder = _read_holder(heartbeat_path)
    if holder is not None and not _is_dead(holder) and abs(_age_s(heartbeat_path, lock_path)) < _STALE_S:
        return True
    return _is_locked(lock_path) or (sys.platform != "win32" and _is_locked(lock_path.parent))


def held_by(lock_path: Path, heartbeat_path: Path) -> str:
    """Returns in words which process holds a FolderLock, as far as that can be told."""
    return _told(_read_holder(heartbeat_path) or _read_holder(lock_path))


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    try:
        _take(file, is_shared=True)
        _free(file)
    except OSError as error:
        return error.errno not in NO_LOCKS
    finally:
        os.close(file)
    return False


def _open_with_folder(path: Path) -> tuple[int, int | None]:
    """Returns the lock's file and its folder, both locked; the folder where the system has that.

    Raises:
        BlockingIOError: Another process has locked one of them.
        OSError: The file system has no locks, or another fault.
    """
    while True:
        with contextlib.ExitStack() as undo:
            file = _open_locked(path)
            undo.callback(os.close, file)
            if sys.platform == "win32":
                _sign(file)
                undo.pop_all()
                return file, None
            folder = os.open(path.parent, os.O_RDONLY)
            undo.callback(os.close, folder)
            try:
                _lock(folder)
            except OSError as error:
                if error.errno not in NO_LOCKS | {errno.EBADF}:  # NFS locks what can be written
                    raise
            if _is_at(folder, path.parent):
                _sign(file)
                undo.pop_all()
                return file, folder


def _open_locked(path: Path) -> int:
    """Returns the file, locked.

    Raises:
        BlockingIOError: Another process has locked it.
        StorageError: It is a link to elsewhere.
        OSError: The file system has no locks, or another fault.
    """
    while True:
        with contextlib.ExitStack() as undo:
            if is_link(path):
                raise StorageError(f"{path}: is a link, which is not followed. Remove it.")
            file = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
            undo.callback(os.close, file)
            if is_mounted_by_program(path.parent):
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
            _lock(file)
            # Before it was locked, its folder may have been moved aside and a new one made.
            if sys.platform == "win32" or _is_at(file, path):
                undo.pop_all()
                return file


def _sign(file: int) -> None:
    """Writes this process's name into a file that it has locked."""
    os.ftruncate(file, 0)
    os.write(file, json.dumps(_holder()).encode())


def _lock(file: int) -> None:
    """Locks a file; one that a reader has just now, to see whether it is locked, is tried again.

    Raises:
        BlockingIOError: Another process has it.
    """
    for _ in range(_TRIES):
        try:
            return _take(file)
        except BlockingIOError:
            time.sleep(_TRY_AGAIN_S)
    return _take(file)


if sys.platform == "win32":

    def _take(file: int, *, is_shared: bool = False) -> None:
        """Locks a byte far behind the file's end, since what is locked cannot be read; or fails at once.

        Raises:
            BlockingIOError: Another process has it, or looks whether one has.
        """
        try:
            _locking(file, msvcrt.LK_NBLCK)
        except PermissionError as error:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK)) from error

    def _free(file: int) -> None:
        """Unlocks a file that is about to be closed: what is only closed is unlocked at some time."""
        with contextlib.suppress(OSError):
            _locking(file, msvcrt.LK_UNLCK)

    def _locking(file: int, how: int) -> None:
        os.lseek(file, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, how, 1)
        finally:
            os.lseek(file, 0, os.SEEK_SET)

else:

    def _take(file: int, *, is_shared: bool = False) -> None:
        """Locks a file, or fails at once.

        Raises:
            BlockingIOError: Another process has it.
        """
        fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def _free(file: int) -> None:
        """Does nothing: what is closed is unlocked."""


def _is_at(file: int, path: Path) -> bool:
    """Tells whether an open file is still what lies at its path."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


class _Heartbeat:
    """A file that says every few seconds that its process is alive."""

    def __init__(self, path: Path, lock_path: Path) -> None:
        self._path = path
        self._token = uuid.uuid4().hex
        self._ended = threading.Event()
        found = _read_holder(path)
        if found is not None and not _is_dead(found):
            age_s = _age_s(path, lock_path)
            if abs(age_s) < _STALE_S:
                raise _locked(path.parent, found, f" If it is dead, that shows in {_STALE_S - age_s:.0f} s.")
            if _beats(path):  # and the clock has jumped
                raise _locked(path.parent, found)
        self._beat()
        # Of two that come at the same time, the one that wrote last stays.
        time.sleep(_SETTLE_S)
        self.check()
        self._thread = threading.Thread(target=self._go_on, name="kerasgrid-heartbeat", daemon=True)
        self._thread.start()

    def check(self) -> None:
        found = _read_holder(self._path)
        if found and found.get("token") != self._token:
            raise _locked(self._path.parent, found)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(LockedError):  # another's file stays
            self.check()
            remove(self._path)

    def _beat(self) -> None:
        overwrite(self._path, json.dumps(_holder() | {"token": self._token}).encode())

    def _go_on(self) -> None:
        while not self._ended.wait(_BEAT_S):
            try:
                self.check()
                self._beat()
            except LockedError as error:
                _log.error("This search has lost its run folder. %s", error)
                return
            except (StorageError, OSError) as error:
                _log.warning("The heartbeat could not be written, and is tried again: %s", error)


def _holder() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


def _read_holder(path: Path) -> dict[str, Any] | None:
    """Returns what a lock or heartbeat file says: {} where that cannot be read, None without a file."""
    try:
        holder = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_dead(holder: dict[str, Any]) -> bool:
    pid = holder.get("pid")
    return holder.get("host") == socket.gethostname() and isinstance(pid, int) and not psutil.pid_exists(pid)


def _age_s(path: Path, lock_path: Path) -> float:
    """Returns a file's age by the clock of its file system, which may be another machine's.

    The lock's file, which lies beside it, is touched to tell the time. By this machine's clock where that
    cannot be; an infinite age where the file has gone.
    """
    try:
        os.utime(lock_path, follow_symlinks=False)
        now = lock_path.lstat().st_mtime
    except (OSError, NotImplementedError):
        now = time.time()
    changed_at = _changed_at_ns(path)
    return math.inf if changed_at is None else now - changed_at / 1e9


def _beats(path: Path) -> bool:
    """Waits for a beat and tells whether one came."""
    before = _changed_at_ns(path)
    until = time.monotonic() + 2 * _BEAT_S
    while time.monotonic() < until:
        time.sleep(_BEAT_S / 5)
        if _changed_at_ns(path) not in (None, before):
            return True
    return False


def _changed_at_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _locked(folder: Path, holder: dict[str, Any] | None, more: str = "") -> LockedError:
    holder = holder or {}
    pid, host = holder.get("pid"), holder.get("host")
    if pid is None:
        stop = "stop it"
    elif host != socket.gethostname():
        stop = "stop it there"
    elif pid == os.getpid():
        stop = "stop that search"
    else:
        stop = "stop it by Ctrl-C" if sys.platform == "win32" else f"stop it with: kill {pid}"
    return LockedError(
        f"{folder}: {_told(holder)} is searching here, and one search at a time writes to a run folder. Wait "
        f"for its end, or choose another name with --name, or {stop} (it saves its work first).{more}"
    )


def _told(holder: dict[str, Any] | None) -> str:
    holder = holder or {}
    pid, host = holder.get("pid"), holder.get("host")
    if pid is None:
        return "another process"
    if host != socket.gethostname():
        return f"process {pid} on {host}"
    return f"this process itself ({pid})" if pid == os.getpid() else f"process {pid} on this machine ({host})"
