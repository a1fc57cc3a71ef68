from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kerasgrid.data import cache as caching
from kerasgrid.data import load as loading
from kerasgrid.data.cache import copied, fingerprint, map_samples, open_samples, pieces_of, save_samples
from kerasgrid.data.load import load_data
from kerasgrid.data.samples import Joined, Samples
from kerasgrid.data.sources import Source
from kerasgrid.errors import DataError, StorageError
from kerasgrid.io import half_written_name
from kerasgrid.records import Column, Table, Target

TEXT = "label,p0,p1,p2,p3\n" + "".join(f"{row % 2},{row},1,2,3\n" for row in range(40))


@pytest.fixture
def train(config, write_csv):
    return config(write_csv(TEXT))


@pytest.fixture
def reads(monkeypatch):
    """Counts how often a source is read and not taken from the cache."""
    calls = []
    original = loading.find_source

    def counted(*given):
        source = original(*given)

        def read():
            calls.append(source.name)
            return source.read()

        return Source(source.name, source.files, source.options, read)

    monkeypatch.setattr(loading, "find_source", counted)
    return calls


@pytest.mark.parametrize(
    "options", [{"image": (1, 4, 1)}, {"id": "p0", "image": (1, 3, 1)}, {"label": "p0"}, {"subset": 10}]
)
def test_other_options_are_other_data(train, config, options):
    first = load_data(train)
    second = load_data(config(train.train, **options))
    assert second.folder != first.folder
    assert second.fingerprint != first.fingerprint
    assert load_data(config(train.train, **options)).fingerprint == second.fingerprint


def test_a_file_that_changes_while_it_is_read(train, monkeypatch, write_csv, cache):
    original = loading.find_source

    def racing(*given):
        source = original(*given)

        def read():
            samples = source.read()
            write_csv(TEXT + "1,1,1,1,1\n")
            return samples

        return Source(source.name, source.files, source.options, read)

    monkeypatch.setattr(loading, "find_source", racing)
    with pytest.raises(
        DataError, match=r"^train\.csv changed while it was read\. Give the same command again\.$"
    ):
        load_data(train)
    assert not cache.exists()


def test_large_arrays_are_read_again_only_where_they_may_have_changed(train, monkeypatch, cache):
    monkeypatch.setattr(caching, "_LARGE_BYTES", 0)
    monkeypatch.setattr("kerasgrid.data.digests._TICK_NS", -(10**10))
    load_data(train)
    first = load_data(train)
    read, digest = [], caching.array_digest

    def counted(array):
        read.append(array.shape)
        return digest(array)

    monkeypatch.setattr(caching, "array_digest", counted)
    assert load_data(train).fingerprint == first.fingerprint
    assert not read
    path = first.place / "images.npy"
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_data(train).fingerprint == first.fingerprint
    assert first.images.shape in read
    (first.place / "seen.json").write_text("[3]")
    assert load_data(train).fingerprint == first.fingerprint


def test_what_is_joined_is_not_held_in_memory(cache, tmp_path):
    images = [np.arange(n * 6, dtype=np.uint8).reshape(n, 3, 2, 1) for n in (3, 5)]
    samples = Samples(Joined(tuple(images)), np.arange(8) % 2, Target("classes", (0, 1)))
    data = save_samples(tmp_path / "joined", samples, "both")
    np.testing.assert_array_equal(data.images, np.concatenate(images))
    plain = Samples(np.concatenate(images), samples.labels, samples.target)
    assert data.fingerprint == fingerprint(plain)


def tear(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def grow(path):
    path.write_bytes(path.read_bytes() + b"x")


def empty(path):
    path.write_bytes(b"")


def into_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [tear, flip, grow, empty, Path.unlink, into_a_folder])
@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "meta.json"])
def test_a_damaged_entry_is_built_again(train, reads, cache, name, damage):
    first = load_data(train)
    wanted = (np.array(first.images), np.array(first.labels), first.classes, first.fingerprint)
    del first
    (entry,) = cache.iterdir()
    damage(entry / name)
    second = load_data(train)
    assert len(reads) == 2
    np.testing.assert_array_equal(second.images, wanted[0])
    np.testing.assert_array_equal(second.labels, wanted[1])
    assert (second.classes, second.fingerprint) == wanted[2:]
    load_data(train)
    assert len(reads) == 2
    assert list(cache.iterdir()) == [entry]


def test_a_class_name_changed_in_the_cache(train, reads, cache):
    wanted = load_data(train).classes
    (meta,) = cache.glob("*/meta.json")
    content = json.loads(meta.read_text())
    content["classes"] = [0, 9]
    meta.write_text(json.dumps(content))
    assert load_data(train).classes == wanted
    assert len(reads) == 2


def test_a_file_where_the_entry_belongs(train, reads, cache):
    load_data(train)
    (entry,) = cache.iterdir()
    for path in entry.iterdir():
        path.unlink()
    entry.rmdir()
    entry.write_text("?")
    assert len(load_data(train)) == 40


def test_leftovers_are_removed_after_a_day(train, cache):
    mine = half_written_name(cache / "building-mine").name.removeprefix(".building-")
    for name, age_s in (("old", 90_000), ("new", 80_000), (mine, 90_000)):
        folder = cache / f".building-{name}"
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"torn")
        os.utime(folder, (time.time() - age_s,) * 2)
    load_data(train)
    assert sorted(path.name for path in cache.glob(".*")) == sorted([".building-new", f".building-{mine}"])


def test_a_cache_that_cannot_be_written(train, monkeypatch, write_csv):
    monkeypatch.setenv("KERASGRID_CACHE", str(write_csv("", "file")))
    with pytest.raises(StorageError) as caught:
        load_data(train)
    assert str(caught.value).endswith(
        "file/data: the data's cache cannot be written (Not a directory). Set the environment variable "
        "KERASGRID_CACHE to a folder that can be."
    )


def test_a_full_disk_leaves_nothing_behind(train, monkeypatch, cache):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kerasgrid.data.cache.os.fsync", refuse)
    with pytest.raises(StorageError) as caught:
        load_data(train)
    assert str(caught.value) == (
        f"{cache}: no room for the data's cache (No space left on device). Free some space, or set the "
        "environment variable KERASGRID_CACHE to a folder on another disk."
    )
    assert list(cache.iterdir()) == []
    monkeypatch.undo()


LOADER = """
import sys
from kerasgrid.config.sections import DataConfig
from kerasgrid.data.load import load_data
print("ready", flush=True)
sys.stdin.readline()
data = load_data(DataConfig(train=sys.argv[1], subset=int(sys.argv[2])))
assert data.images.sum() >= 0
print(data.fingerprint, data.folder)
"""


@pytest.mark.slow
def test_two_processes_at_once(cache, write_csv):
    text = "label," + ",".join(f"p{index}" for index in range(400)) + "\n"
    row = ",".join(str(index % 256) for index in range(400))
    path = write_csv(text + "".join(f"{label % 5},{row}\n" for label in range(500)))
    root = str(Path(loading.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOADER, str(path), "100"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert len({out for out, _ in results}) == 1
    assert len(list(cache.iterdir())) == 2  # the whole and the subset, and nothing half done


def elsewhere(folder):
    """Saves samples in a folder; returns what is known of them, and what gives their pieces."""
    images = np.arange(400, dtype=np.float32).reshape(40, 10)
    save_samples(folder / "there", Samples(images, np.arange(40) % 2, Target("classes", (0, 1))), "X")
    found = pieces_of(folder / "there")
    pieces = {name: [lambda part=part: part for part in own] for name, own in found.items()}
    return (folder / "there" / "meta.json").read_bytes(), pieces


def test_samples_of_another_machine_are_written_once_and_whole(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "_PIECE_BYTES", 100)
    meta, pieces = elsewhere(tmp_path)
    assert len(pieces["images.npy"]) > 10
    assert copied(meta, "X", None) is None
    folder = copied(meta, "X", pieces)
    assert (open_samples(folder, "X").images == open_samples(tmp_path / "there", "X").images).all()
    assert [path.parent for path in cache.glob("*/meta.json")] == [folder]
    assert copied(meta, "X", None) == folder


def test_samples_that_come_damaged_are_not_kept(cache, tmp_path):
    meta, pieces = elsewhere(tmp_path)
    pieces["images.npy"] = [lambda: bytes(len(pieces["labels.npy"][0]()))]
    with pytest.raises(StorageError, match="what came from another machine is damaged"):
        copied(meta, "X", pieces)
    assert not list(cache.iterdir())


def test_samples_that_another_process_is_writing_are_waited_for(cache, tmp_path, monkeypatch):
    meta, pieces = elsewhere(tmp_path)
    folder = copied(meta, "X", pieces)
    aside = folder.rename(tmp_path / "aside")
    part = caching._building(folder)
    part.mkdir()

    def end(seconds):
        part.rmdir()
        aside.rename(folder)

    monkeypatch.setattr(time, "sleep", end)
    assert copied(meta, "X", None) == folder
    assert not aside.exists()


def test_what_cannot_be_mapped_is_told(train, monkeypatch):
    load_data(train)
    monkeypatch.setattr("kerasgrid.machine.free_addresses_bytes", lambda: 100)
    with pytest.raises(
        DataError, match=r"train\.csv: [\d,]+ bytes to map, and ulimit -v leaves 100 to this process"
    ):
        load_data(train)


def test_memory_that_runs_out_while_samples_are_built_is_told(train, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("kerasgrid.data.sources.read_csv", fail)
    with pytest.raises(DataError, match=r"train\.csv: does not fit into the memory that is free\."):
        load_data(train)


def test_all_that_is_known_of_samples_is_kept(tmp_path):
    table = Table((Column("a", "numeric", has_blanks=True), Column("b", "categorical", ("x", "y"))))
    bare = Samples(
        np.array([[1, 0], [np.nan, 1], [3, np.nan]]),
        np.array([[0.5], [1], [2]]),
        Target("numbers", ("price",)),
    )
    whole = replace(
        bare,
        table=table,
        weights=np.array([1, 0, 2.5]),
        groups=np.array([0, 0, 1]),
        times=np.array([3.0, 2, 1]),
        given=np.array([0, -1, 1]),
        report=("told",),
    )
    kept = save_samples(tmp_path / "kept", whole, "here")
    for found in (kept, map_samples(tmp_path / "kept", "here"), open_samples(tmp_path / "kept", "here")):
        assert (found.table, found.target, found.report) == (table, whole.target, ("told",))
        assert found.fingerprint == fingerprint(whole)
        for name in ("images", "labels", "weights", "groups", "times", "given"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    marks = {fingerprint(whole), fingerprint(bare)} | {
        fingerprint(replace(whole, **{name: None}))
        for name in ("table", "weights", "groups", "times", "given")
    }
    assert len(marks) == 7
    content = bytearray((tmp_path / "kept" / "weights.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "kept" / "weights.npy").write_bytes(content)
    assert open_samples(tmp_path / "kept", "here") is None
