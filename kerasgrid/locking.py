"""The lock of a run folder: one search at a time writes to it."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from kerasgrid.errors import LockedError, StorageError
from kerasgrid.io import storage_errors, write_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # `_open_locked` asks for it

_BEAT_S = 5.0
_STALE_S = 30.0
_SETTLE_S = 1.0
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}

_log = logging.getLogger(__name__)


class RunLock:
    """Holds a run folder for this process; a context manager that may be entered again after its end.

    The system's file lock does it: it ends with the process, however that ends, and spawned
    processes do not inherit it. Where the file system has no locks, as a mounted drive may not, a
    heartbeat file does: it is written anew every 5 seconds, and one that is older than 30 seconds,
    or whose process is dead on this very host, no longer counts.
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
        self._heartbeat: _Heartbeat | None = None

    def __enter__(self) -> RunLock:
        """Takes the lock.

        Raises:
            LockedError: Another process holds it.
            StorageError: The folder cannot be written.
        """
        with storage_errors(self._lock_path):
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._file = _open_locked(self._lock_path)
            except BlockingIOError:
                raise _locked(self._lock_path.parent, _read_holder(self._lock_path)) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                _log.info("%s: no file locks here; a heartbeat file it is.", self._lock_path.parent)
                self._heartbeat = _Heartbeat(self._heartbeat_path)
        return self

    def __exit__(self, *exception: object) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.end()
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def check(self) -> None:
        """Checks that the folder is still ours: a heartbeat can be lost, in a sleep of the machine.

        Raises:
            LockedError: Another process has taken it over.
        """
        if self._heartbeat is not None:
            self._heartbeat.check()


def _open_locked(path: Path) -> int:
    """Returns the file, locked and with this process's name in it.

    Raises:
        BlockingIOError: Another process has locked it.
        OSError: The file system has no locks, or another fault.
    """
    while True:
        with contextlib.ExitStack() as undo:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            undo.callback(os.close, file)
            if fcntl is None:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Before it was locked, its folder may have been moved aside and a new one made.
            if path.exists() and os.path.samestat(os.fstat(file), os.stat(path)):
                os.ftruncate(file, 0)
                os.write(file, json.dumps(_holder()).encode())
                undo.pop_all()
                return file


class _Heartbeat:
    """A file that says every few seconds that its process is alive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = uuid.uuid4().hex
        self._ended = threading.Event()
        found = _read_holder(path)
        if found is not None:
            age_s = _age_s(path)
            if abs(age_s) < _STALE_S and not _is_dead(found):
                raise _locked(path.parent, found, f" If it is dead, that shows in {_STALE_S - age_s:.0f} s.")
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
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        write_json(self._path, _holder() | {"token": self._token})

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
        holder = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_dead(holder: dict[str, Any]) -> bool:
    pid = holder.get("pid")
    return holder.get("host") == socket.gethostname() and isinstance(pid, int) and not psutil.pid_exists(pid)


def _age_s(path: Path) -> float:
    """Returns a file's age by the clock of its file system, which may be another machine's."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".clock.") as probe:
        probe.write(b".")
        probe.flush()
        now = os.stat(probe.name).st_mtime
    return now - path.stat().st_mtime


def _locked(folder: Path, holder: dict[str, Any] | None, more: str = "") -> LockedError:
    holder = holder or {}
    pid, host = holder.get("pid"), holder.get("host")
    if pid is None:
        who, stop = "another process", "stop it"
    elif host != socket.gethostname():
        who, stop = f"process {pid} on {host}", "stop it there"
    elif pid == os.getpid():
        who, stop = f"this process itself ({pid})", "stop that search"
    else:
        who, stop = f"process {pid} on this machine ({host})", f"stop it with: kill {pid}"
    return LockedError(
        f"{folder}: {who} is searching here, and one search at a time writes to a run folder. Wait for its "
        f"end, or choose another name with --name, or {stop} (it saves its work first).{more}"
    )
