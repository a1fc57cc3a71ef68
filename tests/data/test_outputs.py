"""Outputs of a frozen part are written block by block, and what is not whole is missing."""

from __future__ import annotations

import dataclasses
import shutil
import threading

import numpy as np
import pytest

from kerasgrid.data import outputs as module
from kerasgrid.data.keeping import kept
from kerasgrid.data.outputs import BLOCK, NoRoomError, Outputs, drawn_views
from kerasgrid.errors import StorageError

N = 2 * BLOCK + 10


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path))
    return Outputs("a" * 64, N, (2, 3), "float32", 1, "digits")


def values(outputs):
    return np.random.default_rng(0).normal(size=(outputs.n_rows, *outputs.shape)).astype(outputs.dtype)


def blocks(outputs, places):
    array = values(outputs)
    told = [outputs.block(place) for place in places]
    return [array[view * N + rows[0] : view * N + rows[-1] + 1] for view, rows in told]


def forget():
    """Lets this process look at files anew, as another one does."""
    module._checked.clear()


def test_blocks_are_of_the_samples_and_then_of_each_view(outputs):
    told = [outputs.block(place) for place in range(outputs.n_blocks)]
    assert [view for view, _ in told] == [0, 0, 0, 1, 1, 1]
    assert [len(rows) for _, rows in told] == [BLOCK, BLOCK, 10] * 2
    assert outputs.n_bytes == 2 * N * 6 * 4


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_was_written_is_there_in_any_order_of_blocks(outputs, dtype):
    outputs = dataclasses.replace(outputs, dtype=dtype)
    assert outputs.missing() == [0, 1, 2, 3, 4, 5]
    outputs.begin()
    outputs.write(4, blocks(outputs, [4, 5]))
    outputs.write(1, blocks(outputs, [1, 2, 3]))  # over the samples' end
    forget()
    assert outputs.missing() == [0]
    outputs.begin()  # as each process does
    assert outputs.missing() == [0]
    outputs.write(0, blocks(outputs, [0]))
    forget()
    assert outputs.missing() == []
    np.testing.assert_array_equal(outputs.read(), values(outputs))
    [part] = kept()
    assert (part.what, part.source, part.is_used) == ("outputs of frozen parts", "digits", True)


def test_a_damaged_block_is_missing_and_others_are_not(outputs):
    outputs.begin()
    outputs.write(0, blocks(outputs, range(6)))
    path = outputs.folder / "outputs.npy"
    bytes_ = bytearray(path.read_bytes())
    bytes_[-N * 6 * 4 + 5] ^= 1  # the first row of the view
    path.write_bytes(bytes_)
    forget()
    assert outputs.missing() == [3]


def test_blocks_of_a_folder_that_another_process_has_begun_anew_are_missing(outputs, monkeypatch):
    outputs.begin()
    outputs.write(0, blocks(outputs, range(6)))
    with monkeypatch.context() as patch:
        patch.setattr(module, "_checked", {})  # of the other process
        shutil.rmtree(outputs.folder)
        outputs.begin()
        outputs.write(2, blocks(outputs, [2]))
    assert outputs.missing() == [0, 1, 3, 4, 5]


@pytest.mark.parametrize("name", ["outputs.npy", "sums.npy"])
@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"x"), lambda path: path.write_bytes(b""), lambda path: path.unlink()],
    ids=["other bytes", "empty", "gone"],
)
def test_files_that_are_damaged_or_of_others_are_made_anew(outputs, name, damage):
    outputs.begin()
    outputs.write(0, blocks(outputs, range(6)))
    damage(outputs.folder / name)
    forget()
    assert outputs.missing() == [0, 1, 2, 3, 4, 5]
    outputs.begin()
    outputs.write(0, blocks(outputs, range(6)))
    forget()
    assert outputs.missing() == []


def test_processes_take_shares_of_what_is_missing(outputs, monkeypatch):
    monkeypatch.setattr(module, "_SHARE", 2)
    outputs.begin()
    outputs.write(0, blocks(outputs, [0]))
    assert outputs.shares() == [[1], [2, 3], [4, 5]]
    with outputs.claimed([2, 3]) as own, outputs.claimed([2, 3]) as other, outputs.claimed([4, 5]) as more:
        assert (own, other, more) == ([2, 3], [], [4, 5])
        outputs.write(2, blocks(outputs, [2, 3]))
    with outputs.claimed([2, 3]) as own:
        assert own == []
    assert outputs.shares() == [[1], [4, 5]]
    assert [part.path for part in kept()] == [outputs.folder]


def test_they_are_begun_by_one_process(outputs):
    threads = [threading.Thread(target=outputs.begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outputs.write(0, blocks(outputs, range(6)))
    forget()
    assert outputs.missing() == []


def test_where_the_cache_may_not_take_them_they_are_not_kept(outputs, monkeypatch):
    assert outputs.why_no_room() is None
    monkeypatch.setenv("KERASGRID_CACHE_LIMIT", "1KB")
    assert outputs.why_no_room() == "its outputs take 6.5 KiB, and the cache may take 1,000 bytes"


def test_what_others_take_is_counted_before_it_is_written(outputs, monkeypatch):
    outputs = dataclasses.replace(outputs, shape=(20, 300))  # no block of which is on the disk yet
    other = dataclasses.replace(outputs, key="b" * 64)
    other.begin()  # and is in use
    monkeypatch.setenv("KERASGRID_CACHE_LIMIT", "10MB")
    assert outputs.why_no_room() is None
    with pytest.raises(
        NoRoomError, match=r"take 6.3 MiB, and the cache may take 9.5 MiB beside 6.3 MiB of others"
    ):
        outputs.begin()
    module.mark_used(other.folder)
    for mark in other.folder.glob(".used*"):
        mark.unlink()  # it gives way
    outputs.begin()
    assert not other.folder.exists()


def test_a_full_disk_is_told(outputs, monkeypatch):
    outputs.begin()

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        outputs.write(0, blocks(outputs, [0]))
    forget()
    assert outputs.missing() == [0, 1, 2, 3, 4, 5]


def test_each_epoch_takes_one_of_the_views_of_each_sample():
    first, again, other = (drawn_views(np.array(key, np.int32), 3000, 3) for key in ([1, 2], [1, 2], [1, -3]))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert np.bincount(first, minlength=4)[1:].min() > 900
    assert {*first} == {1, 2, 3}
