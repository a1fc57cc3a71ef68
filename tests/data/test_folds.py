from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasgrid.data.folds import (
    fold_fault,
    folds_fingerprint,
    inner_split,
    load_folds,
    make_folds,
    save_folds,
)
from kerasgrid.errors import DataError, RunError
from kerasgrid.records import Fold

LABELS = np.repeat([0, 1, 2], [50, 30, 20])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(4, 30), min_size=2, max_size=6), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_folds_partition_the_samples(counts, n_folds, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    folds = make_folds(labels, n_folds=n_folds, seed=seed)
    assert [fold.index for fold in folds] == list(range(n_folds))
    assert np.sort(np.concatenate([fold.test for fold in folds])).tolist() == list(range(len(labels)))
    for fold in folds:
        assert fold.train.dtype == fold.test.dtype == np.int64
        assert (np.diff(fold.train) > 0).all()
        assert (np.diff(fold.test) > 0).all()
        assert np.union1d(fold.train, fold.test).tolist() == list(range(len(labels)))
        assert len(fold.train) + len(fold.test) == len(labels)
        share = np.bincount(labels[fold.test], minlength=len(counts))
        assert (np.abs(share - np.array(counts) / n_folds) < 1).all()


def test_same_seed_same_folds():
    first = make_folds(LABELS, n_folds=3, seed=0)
    assert folds_fingerprint(make_folds(LABELS, n_folds=3, seed=0)) == folds_fingerprint(first)
    assert folds_fingerprint(make_folds(LABELS, n_folds=3, seed=1)) != folds_fingerprint(first)
    assert folds_fingerprint(first[:2]) != folds_fingerprint(first)
    assert folds_fingerprint(first).startswith("sha256:")


def test_folds_are_those_of_scikit_learn():
    from sklearn.model_selection import StratifiedKFold

    splits = StratifiedKFold(3, shuffle=True, random_state=7).split(LABELS, LABELS)
    for fold, (train, test) in zip(make_folds(LABELS, n_folds=3, seed=7), splits, strict=True):
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == test.tolist()


def test_holdout():
    (fold,) = make_folds(LABELS, n_folds=None, holdout=0.2, seed=0)
    assert np.bincount(LABELS[fold.test]).tolist() == [10, 6, 4]
    assert sorted([*fold.train, *fold.test]) == list(range(100))


@pytest.mark.parametrize(
    ("counts", "n_folds", "holdout", "message"),
    [
        ([5, 3], 3, None, None),
        (
            [5, 2],
            3,
            None,
            "class 'b' has 2 samples, search.folds is 3: each fold needs one to test on. Add samples, or "
            "lower search.folds to 2 or less.",
        ),
        (
            [1, 5],
            2,
            None,
            "class 'a' has 1 sample, search.folds is 2: each fold needs one to test on. Add samples, or drop "
            "the class.",
        ),
        ([5, 0], 2, None, "class 'b' has 0 samples, search.folds is 2"),
        ([5, 10], None, 0.2, None),
        ([5, 10], None, 0.8, None),
        ([10, 30], None, 0.1, None),
        (
            [4, 10],
            None,
            0.2,
            "class 'a' has 4 samples, search.holdout is 0.2: for one to train on and one to test on, each "
            "class needs 5. Add samples, or bring holdout nearer to 0.5.",
        ),
        ([4, 10], None, 0.8, "class 'a' has 4 samples, search.holdout is 0.8"),
    ],
)
def test_fold_fault(counts, n_folds, holdout, message):
    labels = np.repeat(np.arange(len(counts)), counts)
    fault = fold_fault(labels, ("a", "b"), n_folds, holdout)
    assert fault == message if message is None else fault.startswith(message)
    if fault is None:
        for fold in make_folds(labels, n_folds=n_folds, holdout=holdout, seed=0):
            assert set(labels[fold.train]) == set(labels[fold.test]) == {0, 1}
    elif min(counts):
        with pytest.raises(DataError):
            make_folds(labels, n_folds=n_folds, holdout=holdout, seed=0)


def test_inner_split():
    folds = make_folds(LABELS, n_folds=3, seed=0)
    train, val = inner_split(LABELS, folds[1], 0.1, seed=0)
    assert sorted([*train, *val]) == folds[1].train.tolist()
    assert len(val) == 7
    assert (np.abs(np.bincount(LABELS[val]) - np.bincount(LABELS[folds[1].train]) / 10) < 1).all()
    again = inner_split(LABELS, folds[1], 0.1, seed=0)
    np.testing.assert_array_equal(again[1], val)
    assert inner_split(LABELS, folds[1], 0.1, seed=1)[1].tolist() != val.tolist()
    other = Fold(2, folds[1].train, folds[1].test)
    assert inner_split(LABELS, other, 0.1, seed=0)[1].tolist() != val.tolist()


@pytest.mark.parametrize("counts", [[9, 9, 2], [30, 30, 1]])
def test_inner_split_of_too_little(counts):
    labels = np.repeat([0, 1, 2], counts)
    fold = Fold(1, np.arange(len(labels)), np.arange(0))
    with pytest.raises(
        DataError, match=r"^fold 1: its \d+ training rows of 3 classes, the smallest with \d, cann"
    ):
        inner_split(labels, fold, 0.1, seed=0)


def test_round_trip(tmp_path):
    folds = make_folds(LABELS, n_folds=3, seed=0)
    path = tmp_path / "run" / "folds.npz"
    save_folds(path, folds, 100, "sha256:ab")
    loaded, fingerprint = load_folds(path, 100, "data/train.csv")
    assert fingerprint == "sha256:ab"
    assert folds_fingerprint(loaded) == folds_fingerprint(folds)
    assert [file.name for file in path.parent.iterdir()] == ["folds.npz"]


def test_other_data(tmp_path):
    save_folds(tmp_path / "folds.npz", make_folds(LABELS, n_folds=3, seed=0), 100, "sha256:ab")
    with pytest.raises(DataError) as caught:
        load_folds(tmp_path / "folds.npz", 99, "data/train.csv")
    assert str(caught.value) == (
        "folds.npz was made for 100 samples, but data/train.csv has 99. The data changed since this search "
        "began: restore it, or start anew with fresh=True."
    )


ROWS = np.arange(4)
GOOD = {"n_samples": 4, "fingerprint": "x", "train_0": ROWS[:2], "test_0": ROWS[2:]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_0": ROWS[1:]}, "folds.npz, fold 0: damaged: it trains on rows it tests on."),
        ({"test_0": ROWS[2:] + 1}, "folds.npz, fold 0: damaged: its rows are not rows of the data."),
        ({"test_0": ROWS[2:] - 3}, "folds.npz, fold 0: damaged: its rows are not rows of the data."),
        ({"test_0": ROWS[[3, 2]]}, "folds.npz, fold 0: damaged: its rows are not rows of the data."),
        ({"test_0": ROWS[[3, 3]]}, "folds.npz, fold 0: damaged: its rows are not rows of the data."),
        ({"test_0": ROWS[2:] / 1}, "folds.npz, fold 0: damaged: its rows are not rows of the data."),
        ({"test_0": ROWS[2:, None]}, "folds.npz, fold 0: damaged: its rows are not rows of the data."),
        ({"test_0": None}, "folds.npz: damaged: it holds train_0."),
        ({"test_0": None, "train_0": None}, "folds.npz: damaged: it holds no folds."),
        ({"n_samples": None}, "folds.npz: no file of folds."),
        ({"n_samples": "four"}, "folds.npz: no file of folds."),
        ({"n_samples": ROWS}, "folds.npz: no file of folds."),
        ({"fingerprint": 3}, "folds.npz: no file of folds."),
        (
            {"test_0": np.array([None])},
            "folds.npz: the folds cannot be read: folds.npz, test_0: an array of P",
        ),
    ],
)
def test_damaged_contents(change, message):
    np.savez("folds.npz", **{name: value for name, value in (GOOD | change).items() if value is not None})
    with pytest.raises(RunError) as caught:
        load_folds(Path("folds.npz"), 4, "data")
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("Restore the file, or start anew with fresh=True.")


def test_damaged_bytes(tmp_path):
    path = tmp_path / "folds.npz"
    with pytest.raises(RunError, match="the folds cannot be read"):
        load_folds(path, 100, "data")
    folds = make_folds(LABELS, n_folds=3, seed=0)
    save_folds(path, folds, 100, "x")
    good = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        content = bytearray(good)
        content[random.integers(len(good))] ^= 1 << random.integers(8)
        path.write_bytes(content[: random.integers(len(good))] if random.random() < 0.3 else content)
        try:
            loaded, _ = load_folds(path, 100, "data")
        except RunError:
            refused += 1
        else:
            # Zip holds fields, such as a time, that nobody reads.
            assert folds_fingerprint(loaded) == folds_fingerprint(folds)
    assert refused > 200
