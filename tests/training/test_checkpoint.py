"""Checkpoints on a drive: two files by turns: nothing goes to its trash, and one is always whole."""

from __future__ import annotations

import errno
import fcntl
import os

import numpy as np
import pytest

from kerasgrid.io import discard
from kerasgrid.run.paths import turns_of
from kerasgrid.training import checkpoint

pytestmark = pytest.mark.slow
ARRAYS = {"0_0": np.arange(5000.0)}


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """The file of a checkpoint on a file system without locks."""

    def refuse(file, how):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    return tmp_path / "checkpoints" / "trial-0-fold-0-repeat-0.npz"


def put(path, epoch, is_old=False):
    progress = {"epoch": epoch, "step": 0, "fit_time": 0.0, "history": {}}
    progress |= {} if is_old else {"updates": {}}
    checkpoint.write(path, {"owner": "me", "progress": progress, "callbacks": []}, ARRAYS)


def stands(path):
    return checkpoint.Checkpoint(path, "me").progress.epoch


def test_what_is_replaced_goes_to_no_trash(drive, monkeypatch):
    gone = []
    for name in ("unlink", "replace", "rename"):
        of_the_system = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *paths, do=of_the_system: (gone.append(os.path.getsize(paths[0])), do(*paths))
        )
    for epoch in range(1, 6):
        put(drive, epoch)
        assert stands(drive) == epoch
    assert gone == []
    assert sorted(file.name for file in drive.parent.iterdir()) == [
        "trial-0-fold-0-repeat-0.2.npz",
        "trial-0-fold-0-repeat-0.npz",
    ]
    discard(*turns_of(drive))
    assert gone == [0, 0]
    assert list(drive.parent.iterdir()) == []


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_one_that_was_cut_while_it_was_written_leaves_the_one_before(drive, size):
    for epoch in (1, 2, 3):
        put(drive, epoch)
    os.truncate(drive, size)
    assert stands(drive) == 2
    for _ in range(2):  # the whole one is not written over
        put(drive, 4)
        os.truncate(drive, size)
        assert stands(drive) == 2
    put(drive, 5)
    assert stands(drive) == 5
    for file in turns_of(drive):
        os.truncate(file, size)
    with pytest.raises(checkpoint.StaleCheckpointError, match="is damaged"):
        stands(drive)


def test_a_run_that_moves_from_a_drive_or_to_one_goes_on(drive, monkeypatch):
    with monkeypatch.context() as patch:
        patch.undo()
        put(drive, 1)
    for epoch in (2, 3, 4):
        put(drive, epoch)
        assert stands(drive) == epoch
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "discard", lambda *files: None)  # as where it is killed before
        put(drive, 5)
        assert stands(drive) == 5
    put(drive, 6)
    assert stands(drive) == 6
    assert list(drive.parent.iterdir()) == [drive]


def test_nothing_goes_on_from_a_checkpoint_of_other_random_keys(tmp_path):
    """A fit on all data that an earlier version began has the same owner."""
    path = tmp_path / "digits.checkpoint.npz"
    put(path, 3, is_old=True)
    with pytest.raises(checkpoint.StaleCheckpointError, match="of an earlier version"):
        checkpoint.Checkpoint(path, "me")
    put(path, 3)
    assert stands(path) == 3
