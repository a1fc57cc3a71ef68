import contextlib
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest
import windows

from kerasgrid import locks
from kerasgrid.errors import LockedError, StorageError
from kerasgrid.locks import is_held

HOLD = """
import errno, os, sys
from pathlib import Path
from kerasgrid import locks
folder, mode = Path(sys.argv[1]), sys.argv[2]
if mode == "windows":
    sys.path.append(sys.argv[3])
    import windows
    locks = windows.load("kerasgrid.locks")
if mode == "heartbeat":
    def flock(file, how): raise OSError(errno.ENOLCK, "no locks")
    locks.fcntl.flock = flock
    locks._BEAT_S, locks._SETTLE_S = 0.05, 0.01
with locks.FolderLock(folder / "lock", folder / "heartbeat"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results" / "grid"


def locked(folder, by=locks):
    return by.FolderLock(folder / "lock", folder / "heartbeat")


@pytest.fixture
def by(mode, request):
    """The module that locks so: by the system's locks, by a heartbeat file, or by Windows's locks."""
    if mode == "heartbeat":
        request.getfixturevalue("no_locks")
    return windows.load("kerasgrid.locks") if mode == "windows" else locks


@contextlib.contextmanager
def other_process(folder, mode="flock"):
    """Another process that holds the lock; ended by its standard input."""
    command = [sys.executable, "-c", HOLD, str(folder), mode, os.path.dirname(windows.__file__)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks, and a quicker heart."""
    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    monkeypatch.setattr(locks, "_BEAT_S", 0.02)
    monkeypatch.setattr(locks, "_SETTLE_S", 0.01)


def refuse(file, how):
    raise OSError(errno.ENOLCK, "no locks available")


def test_a_lock_names_its_holder_and_stays_as_a_file(folder):
    with locked(folder) as held:
        assert json.loads((folder / "lock").read_text()) == {"pid": os.getpid(), "host": socket.gethostname()}
        assert not (folder / "heartbeat").exists()
        held.check()
    assert (folder / "lock").exists()
    with locked(folder):
        pass


@pytest.mark.parametrize("mode", ["flock", "heartbeat", "windows"])
def test_the_second_process_is_refused_with_the_firsts_id(folder, mode, by):
    stop = "by Ctrl-C" if mode == "windows" else "with: kill {}"
    assert not by.is_held(folder / "lock", folder / "heartbeat")
    with other_process(folder, mode) as process:
        assert by.is_held(folder / "lock", folder / "heartbeat")
        with pytest.raises(LockedError) as caught, locked(folder, by):
            pass
        assert str(caught.value).startswith(
            f"{folder}: process {process.pid} on this machine ({socket.gethostname()}) is searching here, "
            "and one search at a time writes to a run folder. Wait for its end, or choose another name with "
            f'overrides=["name=..."], or stop it {stop.format(process.pid)} (it saves its work first).'
        )
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(20) == 0
        with locked(folder, by):
            pass
    assert not (folder / "heartbeat").exists()


@pytest.mark.parametrize("mode", ["flock", "heartbeat", "windows"])
def test_a_killed_process_holds_no_lock(folder, mode, by):
    with other_process(folder, mode) as process:
        process.kill()
        process.wait()
        assert not by.is_held(folder / "lock", folder / "heartbeat")
        with locked(folder, by):
            assert by.is_held(folder / "lock", folder / "heartbeat")


@pytest.mark.parametrize("mode", ["flock", "windows"])
def test_a_second_lock_in_this_process_is_refused(folder, by):
    with locked(folder, by) as held:
        held.check()
        for second in (locked(folder, by), held):
            with pytest.raises(
                LockedError, match=rf"this process itself \({os.getpid()}\) is searching here"
            ):
                second.__enter__()
    with held:
        pass


@pytest.mark.parametrize("mode", ["flock", "heartbeat", "windows"])
def test_an_exception_releases_it(folder, by):
    with pytest.raises(KeyboardInterrupt), locked(folder, by):
        raise KeyboardInterrupt
    with locked(folder, by):
        pass


def test_windows_can_rename_the_folder_that_this_process_has_locked_last(folder):
    by = windows.load("kerasgrid.locks")
    for module, is_held_still in ((by, False), (locks, True)):
        with locked(folder, module) as held:
            held.let_rename()
            assert module.is_held(folder / "lock", folder / "heartbeat") == is_held_still


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_on_windows_a_drive_without_locks_has_a_heartbeat(folder, number, monkeypatch):
    by = windows.load("kerasgrid.locks")
    monkeypatch.setattr(by, "_SETTLE_S", 0.01)
    by.msvcrt.fails_with = number
    with locked(folder, by):
        assert json.loads((folder / "heartbeat").read_text())["pid"] == os.getpid()
        assert by.is_held(folder / "lock", folder / "heartbeat")
    assert not (folder / "heartbeat").exists()


def test_a_child_process_does_not_inherit_it(folder):
    with locked(folder):
        child = subprocess.Popen(["sleep", "20"], close_fds=False)
    try:
        with locked(folder):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_folder_moved_aside_before_the_lock_is_left_alone(folder, monkeypatch):
    flock, moved = locks.fcntl.flock, []

    def move_first(file, how):
        if not moved:
            moved.append(folder.rename(folder.with_name("aside")))
            folder.mkdir()
        flock(file, how)

    monkeypatch.setattr(locks.fcntl, "flock", move_first)
    with locked(folder):
        assert json.loads((folder / "lock").read_text())["pid"] == os.getpid()
        assert (folder.with_name("aside") / "lock").read_text() == ""


@pytest.mark.parametrize("by", [os.unlink, lambda path: path.rename(path.with_name("aside"))])
def test_a_lock_whose_file_is_removed_still_holds(folder, by):
    with locked(folder) as held:
        by(folder / "lock")
        assert is_held(folder / "lock", folder / "heartbeat")
        with pytest.raises(LockedError, match=r": another process is searching here"):
            locked(folder).__enter__()
        held.check()
        assert json.loads((folder / "lock").read_text())["pid"] == os.getpid()
        with pytest.raises(LockedError, match=rf"this process itself \({os.getpid()}\) is searching here"):
            locked(folder).__enter__()
    assert not is_held(folder / "lock", folder / "heartbeat")
    with locked(folder):
        pass


def test_where_folders_cannot_be_locked_a_lost_lock_is_noticed(folder, monkeypatch):
    flock = locks.fcntl.flock

    def of_files(file, how):
        if os.path.samestat(os.fstat(file), os.stat(folder)):
            raise OSError(errno.EBADF, "Bad file descriptor")  # as NFS
        flock(file, how)

    monkeypatch.setattr(locks.fcntl, "flock", of_files)
    with locked(folder) as first:
        (folder / "lock").unlink()
        with locked(folder) as second:
            with pytest.raises(LockedError, match="this process itself"):
                first.check()
            second.check()
        first.check()
        with pytest.raises(LockedError, match="this process itself"):
            locked(folder).__enter__()


@pytest.mark.parametrize("move", [shutil.rmtree, lambda path: path.rename(path.with_name("aside"))])
def test_a_folder_that_is_moved_or_removed_under_its_lock_is_told(folder, move):
    with locked(folder) as held:
        move(folder)
        with pytest.raises(StorageError, match=rf"^{folder}: this folder has been moved or removed while"):
            held.check()
        folder.mkdir()
        (folder / "lock").touch()
        with pytest.raises(StorageError, match="moved or removed"):
            held.check()


def test_a_reader_that_looks_at_the_lock_hinders_no_search(folder):
    with locked(folder):
        pass
    with open(folder / "lock") as reader:
        locks.fcntl.flock(reader, locks.fcntl.LOCK_SH)
        threading.Timer(0.01, locks.fcntl.flock, (reader, locks.fcntl.LOCK_UN)).start()
        with locked(folder):
            pass


def test_looking_writes_nothing(tmp_path):
    folder = tmp_path / "none"
    assert not is_held(folder / "lock", folder / "heartbeat")
    assert not is_held(tmp_path / "lock", tmp_path / "heartbeat")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_a_link_is_not_written_through(folder):
    mine = folder.parent / "mine.txt"
    folder.mkdir(parents=True)
    for text in ("mine", None):
        if text is not None:
            mine.write_text(text)
        else:
            mine.unlink()
        (folder / "lock").unlink(missing_ok=True)
        (folder / "lock").symlink_to(mine)
        with pytest.raises(StorageError, match="lock: is a link, which is not followed"):
            locked(folder).__enter__()
        assert (mine.read_text() if mine.exists() else None) == text


def test_the_holder_may_not_have_written_its_name_yet(folder):
    with locked(folder):
        (folder / "lock").write_text("")
        with pytest.raises(LockedError, match=r": another process is searching here.*or stop it \(it saves"):
            locked(folder).__enter__()


def test_other_faults_of_the_disk_are_no_missing_locks(folder, monkeypatch):
    def fail(file, how):
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(locks.fcntl, "flock", fail)
    with pytest.raises(StorageError, match="cannot be written"):
        locked(folder).__enter__()


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS]
)
def test_without_locks_a_heartbeat_file_does(folder, no_locks, monkeypatch, number):
    def fail(file, how):
        raise OSError(number, "none")

    monkeypatch.setattr(locks.fcntl, "flock", fail)
    with locked(folder):
        beat = json.loads((folder / "heartbeat").read_text())
        assert (beat["pid"], beat["host"]) == (os.getpid(), socket.gethostname())
    assert sorted(path.name for path in folder.iterdir()) == ["lock"]


def test_a_heart_beats_until_the_end(folder, no_locks):
    with locked(folder):
        first = (folder / "heartbeat").stat().st_mtime_ns
        wait_until(lambda: (folder / "heartbeat").stat().st_mtime_ns > first)
    assert not (folder / "heartbeat").exists()
    assert "kerasgrid-heartbeat" not in [thread.name for thread in threading.enumerate()]


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def put_heartbeat(folder, age_s, text=None, **holder):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "heartbeat"
    path.write_text(
        json.dumps({"pid": 1, "host": "elsewhere", "token": "x"} | holder) if text is None else text
    )
    os.utime(path, (time.time() - age_s,) * 2)


DEAD = 2**22 + 1  # above any process id of Linux


@pytest.mark.parametrize(
    ("age_s", "holder", "found"),
    [
        (
            10,
            {},
            "process 1 on elsewhere is searching here.*stop it there.*If it is dead, that shows in 20 s",
        ),
        (29, {"pid": DEAD}, "process 4194305 on elsewhere"),
        (-5, {}, "process 1 on elsewhere.*shows in 35 s"),
        (10, {"host": socket.gethostname()}, r"process 1 on this machine \("),
        (10, {"text": "torn {"}, "another process is searching here"),
    ],
)
def test_a_young_heartbeat_is_respected(folder, no_locks, age_s, holder, found):
    put_heartbeat(folder, age_s, **holder)
    before = (folder / "heartbeat").read_text()
    with pytest.raises(LockedError, match=found):
        locked(folder).__enter__()
    assert (folder / "heartbeat").read_text() == before


@pytest.mark.parametrize(
    ("age_s", "holder"),
    [
        (31, {}),
        (31, {"host": socket.gethostname()}),
        (1, {"host": socket.gethostname(), "pid": DEAD}),
        (31, {"text": "torn {"}),
        (-3600, {}),
    ],
)
def test_a_stale_heartbeat_is_taken_over(folder, no_locks, age_s, holder):
    put_heartbeat(folder, age_s, **holder)
    with locked(folder) as held:
        held.check()
        assert json.loads((folder / "heartbeat").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("age_s", [3600, -3600])
def test_a_heart_that_beats_is_respected_though_a_clock_has_jumped(folder, no_locks, monkeypatch, age_s):
    with locked(folder):
        monkeypatch.setattr(locks, "_age_s", lambda path, lock_path: age_s)
        with pytest.raises(LockedError, match="this process itself"):
            locked(folder).__enter__()


def test_of_two_that_take_over_the_last_to_write_stays(folder, no_locks, monkeypatch):
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: put_heartbeat(folder, 0))
    with pytest.raises(LockedError, match="process 1 on elsewhere"):
        locked(folder).__enter__()
    assert json.loads((folder / "heartbeat").read_text())["token"] == "x"


def test_a_heartbeat_that_was_taken_over_is_noticed_and_left_alone(folder, no_locks, caplog):
    with locked(folder) as held:
        held.check()
        put_heartbeat(folder, 0)
        with pytest.raises(LockedError, match="process 1 on elsewhere"):
            held.check()
        wait_until(lambda: "lost its run folder" in caplog.text)
    assert json.loads((folder / "heartbeat").read_text())["token"] == "x"


def test_a_heartbeat_that_cannot_be_written_is_tried_again(folder, no_locks, monkeypatch, caplog):
    write, failed = locks.overwrite, []

    def fail_once(path, data):
        if not failed:
            failed.append(time.time_ns())
            raise StorageError("the disk is full")
        write(path, data)

    with locked(folder):
        monkeypatch.setattr(locks, "overwrite", fail_once)
        wait_until(lambda: failed and (folder / "heartbeat").stat().st_mtime_ns > failed[0])
    assert "is tried again: the disk is full" in caplog.text
