"""Pieces of samples: what programs take from them, how often rows are read, errors, threads and memory."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import threading
from contextlib import closing

import numpy as np
import pytest

from kerasgrid import machine
from kerasgrid.training import backend, feeding
from kerasgrid.training.feeding import Feed, Schedule, Stored

pytestmark = pytest.mark.slow  # imports Keras

N, SHAPE = 60, (3, 2)
IMAGES = np.random.default_rng(0).integers(0, 256, (N, *SHAPE)).astype(np.uint8)
ROW_BYTES = 6
FLOATX = np.dtype("float32")


def bytes_of(n_rows):
    return Stored(IMAGES, SHAPE, IMAGES.dtype), n_rows * ROW_BYTES


def blocks_of(n_rows):
    """Of two folds, each of which makes other numbers of a row: pairs of the first and the last value."""
    ways = [lambda rows, by=by: rows.reshape(len(rows), -1)[:, [0, -1]] / np.float32(by) for by in (2, 3)]
    return Stored(IMAGES, (2,), FLOATX, ways), n_rows * 8


def batches_of(schedule, orders):
    padded = [schedule.pad(np.stack([order, order % N], axis=1)) for order in orders]
    full = np.stack([full for full, _ in padded])
    ragged = [
        (np.stack([rows for rows, _ in step]), np.stack([weights for _, weights in step]))
        for step in zip(*(ragged for _, ragged in padded), strict=True)
    ]
    return {"full": full, "ragged": ragged, "how": "kept"}


def taken(schedule, piece, step, images):
    """Returns what a step takes, (job, row, ...), its targets and weights, as `Program.train` reads them."""
    if step < schedule.n_full:
        first = (step - piece.start) * schedule.batch_size
        rows, weights = piece.batches["full"][:, first : first + schedule.batch_size], None
    else:
        rows, weights = piece.batches["ragged"][step - schedule.n_full]
    return images[rows[..., 0]], rows[..., 1], weights


@pytest.mark.parametrize("make", [bytes_of, blocks_of])
@pytest.mark.parametrize("n_rows", [1, 8, 17, 40, 1000])
@pytest.mark.parametrize("first", [0, 2, 5])
def test_steps_take_from_pieces_what_they_take_from_all(make, n_rows, first):
    """Two runs, of folds of 45 and 42 rows; of any size, and from where an epoch goes on."""
    stored, n_bytes = make(n_rows)
    feed, whole = Feed(stored, n_bytes), np.asarray(stored.on_device())
    schedule, numbers = Schedule.of([45, 42], 8), np.random.default_rng(1)
    assert (schedule.n_full, schedule.ragged) == (5, (5,))
    orders = [numbers.permutation(N)[:45], numbers.permutation(N)[:42] + stored.n_rows - N]
    batches, step, shapes = batches_of(schedule, orders), first, set()
    with closing(feed.epoch(batches, schedule, first)) as pieces:
        for piece in pieces:
            assert piece.start == step
            images = np.asarray(piece.images)
            shapes.add((images.shape, piece.batches["full"].shape))
            assert piece.batches["how"] == "kept"
            while step < piece.last:
                found = taken(schedule, piece, step, images)
                all_of_it = feeding.Piece(batches, schedule.n_steps)
                for one, other in zip(found, taken(schedule, all_of_it, step, whole), strict=True):
                    np.testing.assert_array_equal(one, other)
                step += 1
    assert step == schedule.n_steps
    assert len(shapes) == 1  # nothing is compiled again


@pytest.mark.parametrize("n_rows", [1, 30, 1000])
def test_chunks_take_from_pieces_what_they_take_from_all(n_rows):
    stored, n_bytes = blocks_of(n_rows)
    feed, whole = Feed(stored, n_bytes), np.asarray(stored.on_device())
    places = np.random.default_rng(1).permutation(2 * N).reshape(2, 5, 12)
    rows, found, shapes = np.stack([places, places % N], axis=-1).astype(np.int32), [], set()
    targets = []
    with closing(feed.chunks(rows)) as pieces:
        for own, n_chunks, images in pieces:
            shapes.add((own.shape, images.shape))
            found.append(np.asarray(images)[own[:, :n_chunks, :, 0]])
            targets.append(own[:, :n_chunks, :, 1])
    np.testing.assert_array_equal(np.concatenate(targets, axis=1), rows[..., 1])
    np.testing.assert_array_equal(np.concatenate(found, axis=1), whole[places])
    assert len(shapes) == 1


class Watched(Stored):
    """Keeps which rows were read, and where to."""

    def __init__(self, *given):
        super().__init__(*given)
        object.__setattr__(self, "reads", [])

    def read(self, rows, into):
        self.reads.append((rows.copy(), into.ctypes.data, threading.current_thread().name))
        super().read(rows, into)


def test_runs_share_a_piece_of_which_each_row_is_read_once_in_order_into_two_places():
    stored, schedule = Watched(IMAGES, SHAPE, IMAGES.dtype), Schedule.of([48], 8)
    order = np.random.default_rng(1).permutation(N)[:48]
    feed = Feed(stored, 16 * ROW_BYTES)
    with closing(feed.epoch(batches_of(schedule, [order] * 3), schedule, 0)) as pieces:
        assert [(piece.start, piece.last) for piece in pieces] == [(0, 2), (2, 4), (4, 6)]
    assert [rows.tolist() for rows, *_ in stored.reads] == [sorted(part) for part in order.reshape(3, 16)]
    assert len({place for _, place, _ in stored.reads}) == 2
    assert all(name.startswith("kerasgrid-pieces") for *_, name in stored.reads)
    # Of runs of several folds a row of both is read once, too.
    orders = [order, np.roll(order, 8)]
    with closing(feed.epoch(batches_of(schedule, orders), schedule, 0, 1)) as pieces:
        assert [piece.last for piece in pieces] == [1, 2, 3, 4, 5, 6]
    assert sum(len(rows) for rows, *_ in stored.reads[3:]) == 2 * 48


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system is not told what will be read")
def test_rows_of_a_mapped_file_are_asked_for_at_once_where_they_are_large(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, first, n, advice: asked.append((first, n)))
    path, rows = tmp_path / "images.npy", np.array([1, 2, 5, 8, 9, 13])  # of two blocks of 8
    for shape in ((128, 128), (127, 128)):
        np.save(path, np.zeros((8, *shape), np.uint8))
        images = np.load(path, mmap_mode="r")
        for given in (images, images[1:], np.asarray(images)):
            Stored(given, shape, FLOATX, [np.float32, np.float32]).expect(rows)
    assert asked == [(128, 3 * 128**2), (128 + 5 * 128**2, 128**2)]


def feeders():
    return [thread for thread in threading.enumerate() if thread.name.startswith("kerasgrid-pieces")]


def test_an_error_of_the_thread_reaches_who_asks_and_no_thread_is_left():
    def failing(rows):
        if (rows == IMAGES[order[-1]]).all(axis=(1, 2)).any():
            raise OSError("the disk is gone")
        return rows

    schedule, order = Schedule.of([48], 8), np.arange(48)
    feed = Feed(Stored(IMAGES, SHAPE, IMAGES.dtype, [failing]), 8 * ROW_BYTES)
    batches = batches_of(schedule, [order])
    with closing(feed.epoch(batches, schedule, 0)) as pieces:
        assert [next(pieces).last for _ in range(5)] == [1, 2, 3, 4, 5]
        with pytest.raises(OSError, match="the disk is gone"):
            next(pieces)
    assert not feeders()
    with closing(feed.epoch(batches, schedule, 0)) as pieces:
        next(pieces)
        assert feeders()
    assert not feeders()


def test_room_is_a_part_of_what_a_worker_may_have(monkeypatch):
    monkeypatch.setattr(machine, "own_memory_bytes", lambda: 10 * 2**30)
    assert feeding.room_bytes() == 5 * 2**30
    monkeypatch.setattr(backend, "memory_bytes", lambda: 2**30)  # of a GPU
    assert feeding.room_bytes() == 2**29
