"""Files: whole or not at all, hashes of values, and every file name of a run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasgrid import io
from kerasgrid.data.cache import save_samples
from kerasgrid.data.samples import Samples
from kerasgrid.errors import StorageError
from kerasgrid.io import (
    cache_folder,
    canonical_json,
    digest,
    file_digest,
    replacing,
    storage_errors,
    strict,
    write_atomic,
    write_json,
    write_text,
)
from kerasgrid.locks import FolderLock
from kerasgrid.records import Target
from kerasgrid.run.paths import RunPaths, move_aside

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_equal_values_have_one_text_and_one_digest(value):
    assert canonical_json(reversed_keys(value)) == canonical_json(value)
    assert json.loads(canonical_json(value)) == value
    assert digest(reversed_keys(value)) == digest(value)
    assert len(digest(value)) == 64


def test_a_digest_is_that_of_every_version():
    """Journals name trials by it."""
    assert (
        digest({"b": 1, "a": [0.1, "é", None, True]})
        == "018b166ab29f7d3dcabaff97c73935a58c989703251763a90a1f25f16ba6b2f9"
    )


def test_lone_surrogates_have_a_digest():
    assert digest("\ud800") != digest("\ud801")


def test_not_a_number_has_no_text():
    with pytest.raises(ValueError, match="Out of range float"):
        canonical_json({"a": float("nan")})


def test_strict_json_has_null_for_what_is_no_number():
    assert strict({"a": [float("nan"), float("inf"), -float("inf"), 1.5], "b": ("x", (2,))}) == {
        "a": [None, None, None, 1.5],
        "b": ["x", [2]],
    }


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "deep" / "er" / "results.json"
    write_text(path, "é\n")
    write_json(path, {"a": [1, None, "é"]})
    assert path.read_text(encoding="utf-8") == '{"a":[1,null,"é"]}\n'
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]
    assert file_digest(path) == digest_of_bytes(path.read_bytes())


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o027, 0o077])
def test_what_is_written_may_be_read_by_whom_the_umask_says(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a" / "results.json", "{}")
        with replacing(tmp_path / "net.keras", ".keras") as part:
            part.write_bytes(b"zip")
        with FolderLock(tmp_path / "run" / "lock", tmp_path / "run" / "heartbeat"):
            pass
        samples = Samples(np.zeros((2, 1), np.float32), np.zeros(2, np.int64), Target("classes", ("0",)))
        save_samples(tmp_path / "samples", samples, "x")
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~umask, path


KILLED = """
import os, signal, sys
from pathlib import Path
from kerasgrid.records import Target
from kerasgrid.io import replacing, scratch_folder
folder = Path(sys.argv[1])
with replacing(folder / "a.json"), replacing(folder / "net.keras", ".keras"), scratch_folder() as scratch:
    (scratch / "spool.npy").touch()
    print(scratch, flush=True)
    sys.stdin.readline()
"""


def test_what_killed_processes_left_is_swept_and_never_what_is_another_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(io.tempfile, "tempdir", None)
    with contextlib.ExitStack() as stack:
        writing = stack.enter_context(replacing(tmp_path / "a.json"))  # by this process
        command, pipe = [sys.executable, "-c", KILLED, str(tmp_path)], subprocess.PIPE
        killed, lives = (
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            for _ in range(2)
        )
        assert all(process.stdout.readline() for process in (killed, lives))
        killed.kill()
        killed.wait()
        left = sorted(tmp_path.glob("*.tmp*"))
        assert len(left) == 7
        others = [tmp_path / name for name in (".a.json.abc12345.tmp", ".swp.tmp", "a.tmp")]
        elsewhere = tmp_path / f".a.json.0123abcd-{killed.pid}-01234567-0.tmp"  # on another machine
        same_id = tmp_path / writing.name.replace(io._SESSION, "01234567")  # of a container that began anew
        for path in (*others, elsewhere, same_id):
            path.touch()
        io.sweep(tmp_path)
        gone = [path for path in (*left, *others, elsewhere, same_id) if not path.exists()]
        assert gone == [*(path for path in left if f"-{killed.pid}-" in path.name), same_id]
        lives.communicate("\n")
        assert lives.returncode == 0
        for path in (*others, elsewhere):
            path.unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "net.keras"]


def test_what_a_fit_that_was_killed_left_is_told_from_what_others_write(tmp_path):
    paths, writer = RunPaths(tmp_path, "x"), "01234567-1-01234567-0.tmp"
    (paths.folder / "fit" / "tmpread").mkdir(parents=True)  # where Keras unpacks a model that is read
    left = [f"fit/.trial-0.keras.{writer}.keras", "fit/tmpweights"]
    left += [f".best.keras.{writer}.keras", f".best.json.{writer}"]
    for name in (*left, f".submission.csv.{writer}", f".oof.npz.{writer}", "fit/trial-0.keras"):
        (paths.folder / name).touch()
    assert sorted(paths.half_fitted) == sorted(paths.folder / name for name in left)


def test_a_process_sweeps_a_folder_when_it_first_writes_there(tmp_path):
    left = tmp_path / f".b.json.{io._host()}-{2**22 + 1}-01234567-0.tmp"
    for is_swept in (True, False):
        left.touch()
        write_text(tmp_path / "a.json", "{}")
        assert left.exists() != is_swept


def digest_of_bytes(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ValueError("no"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.EIO, "broken"), StorageError),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, error, raised):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail(file):
        file.write(b"half")
        raise error

    with pytest.raises(raised):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_is_read_to_be_copied_has_its_own_errors(tmp_path):
    with (
        pytest.raises(StorageError) as caught,
        replacing(tmp_path / "best.keras", ".keras") as part,
    ):
        shutil.copyfile(tmp_path / "fit" / "gone.keras", part)
    assert str(caught.value).startswith(
        f"{tmp_path}/fit/gone.keras: cannot be read (No such file or directory). Mend that"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["fuse.drive", "fuse", "ext4", "fuseblk", ""])
def test_a_drive_is_told_by_what_the_system_has_mounted(tmp_path, monkeypatch, kind):
    device = os.stat(tmp_path).st_dev
    own = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    other = "22 27 9999:1 / /proc rw,relatime - fuse.drive proc rw\n"
    mounts.write_text(other + f"30 1 {own} / /a\\040b rw shared:1 - {kind} drive rw\n" if kind else other)
    monkeypatch.setattr(io, "_MOUNTS", mounts)
    is_own = kind.startswith("fuse") and kind != "fuseblk"
    assert io.is_drive(tmp_path / "not" / "there" / "yet") is is_own
    results = tmp_path / "results" / "grid"
    monkeypatch.setattr("kerasgrid.locks._SETTLE_S", 0.01)
    with FolderLock(results / "lock", results / "heartbeat"):
        assert (results / "heartbeat").exists() is is_own
    mounts.unlink()
    assert not io.is_drive(tmp_path)


def test_what_is_discarded_on_a_drive_is_empty_in_its_trash_but_what_has_another_name(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "is_drive", lambda folder: True)
    sizes, unlink = [], os.unlink
    monkeypatch.setattr(
        os, "unlink", lambda path, **how: (sizes.append(os.stat(path).st_size), unlink(path, **how))
    )
    file, kept = tmp_path / "a", tmp_path / "b"
    file.write_text("1234")
    io.discard(file, tmp_path / "none")
    file.write_text("1234")
    os.link(file, kept)
    io.discard(file)
    assert (sizes, kept.read_text()) == ([0, 4], "1234")
    file.symlink_to(kept)
    io.discard(file)
    assert kept.read_text() == "1234"
    assert not os.path.lexists(file)


def test_a_file_is_written_over_where_it_stands_and_never_through_a_link(tmp_path):
    file = tmp_path / "new" / "file"
    io.overwrite(file, b"long before")
    number = file.stat().st_ino
    io.overwrite(file, b"short")
    assert (file.read_bytes(), file.stat().st_ino) == (b"short", number)
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(StorageError, match="cannot be written"):
        io.overwrite(link, b"other")
    assert file.read_bytes() == b"short"


def test_json_that_is_not_strict_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "a.json: the disk is full. What was written before is intact: free some space"),
        (errno.EDQUOT, "a.json: the disk is full. "),
        (errno.EROFS, "a.json: cannot be written (Read-only file system). Allow it, or choose"),
        (errno.EACCES, "a.json: cannot be written (Permission denied). Allow it, or choose another place."),
        (errno.EIO, "a.json: cannot be written (Input/output error). Choose another place."),
        (errno.ENOTDIR, "a.json: cannot be written (Not a directory). Choose another place."),
        (errno.EEXIST, "a.json: cannot be written (File exists). Choose another place."),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_told_in_words(code, message):
    with pytest.raises(StorageError) as caught, storage_errors(Path("a.json")):
        raise OSError(code, os.strerror(code))
    assert str(caught.value).startswith(message)


def test_an_error_without_words_is_named():
    with (
        pytest.raises(StorageError, match=r"a: cannot be written \(TimeoutError\)"),
        storage_errors(Path("a")),
    ):
        raise TimeoutError


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("file/x.html", "file/x.html: cannot be written (file is a file, and a folder is needed there)."),
        ("file/a/x", "file/a/x: cannot be written (file is a file, and a folder is needed there)."),
        ("folder", "folder: cannot be written (Is a directory)."),
        ("x" * 300, f"{'x' * 300}: cannot be written (File name too long)."),
        ("x" * 300 + "/y", f"{'x' * 300}/y: cannot be written (File name too long)."),
    ],
)
def test_a_place_where_no_file_can_be_is_told_in_words(tmp_path, monkeypatch, target, message):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("folder").mkdir()
    with pytest.raises(StorageError) as caught:
        write_text(Path(target), "new")
    assert str(caught.value) == f"{message} Choose another place."
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]
    assert Path("file").read_text() == "mine"


def test_a_full_disk_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(io.os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        write_text(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("KERASGRID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "kerasgrid"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "kerasgrid"


def test_every_file_of_a_run_lies_in_its_folder_but_the_results():
    paths = RunPaths(Path("results"), "a.b")
    assert paths.json == Path("results/a.b.json")
    job = (3, 1, 0)
    inside = [
        paths.journal,
        paths.lock,
        paths.heartbeat,
        paths.folds,
        paths.oof,
        paths.mistakes,
        paths.worker_log,
        paths.data,
    ]
    inside += [paths.history(*job), paths.checkpoint(*job), paths.prediction(*job)]
    assert all(path.is_relative_to("results/a.b") for path in inside)
    assert len(set(inside)) == len(inside)
    assert paths.history(*job) == paths.folder / paths.history_name(*job)


@given(st.tuples(*[st.integers(0, 200)] * 3), st.tuples(*[st.integers(0, 200)] * 3))
def test_two_jobs_never_share_a_file(left, right):
    paths = RunPaths(Path("results"), "x")
    for name in ("history", "checkpoint", "prediction"):
        assert (getattr(paths, name)(*left) == getattr(paths, name)(*right)) is (left == right)


def test_a_run_is_moved_aside_and_never_deleted(tmp_path):
    paths = RunPaths(tmp_path, "x")
    assert move_aside(paths) is None
    asides = []
    for content in ("first", "second"):
        write_text(paths.journal, content)
        write_text(paths.json, content)
        asides.append(move_aside(paths))
        assert not paths.folder.exists()
        assert not paths.json.exists()
    assert [aside.name for aside in asides] == ["x.1", "x.2"]
    assert [aside.journal.read_text() for aside in asides] == ["first", "second"]
    assert [aside.json.read_text() for aside in asides] == ["first", "second"]


def test_a_run_with_results_alone_is_moved_past_a_name_that_is_taken(tmp_path):
    paths = RunPaths(tmp_path, "x")
    write_text(paths.json, "{}")
    (tmp_path / "x.1").mkdir()
    assert move_aside(paths).json == tmp_path / "x.2.json"
    assert not (tmp_path / "x.2").exists()


def test_a_run_whose_results_folder_is_a_file_is_told_so(tmp_path):
    (tmp_path / "results").write_text("mine")
    paths = RunPaths(tmp_path / "results", "x")
    with pytest.raises(StorageError, match="results is a file, and a folder is needed there"):
        FolderLock(paths.lock, paths.heartbeat).__enter__()
