from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import model_selection

from kerasgrid.config.sections import Folds
from kerasgrid.data.folds import (
    fold_faults,
    folds_by,
    folds_fingerprint,
    inner_kind,
    inner_rows,
    inner_split,
    is_default,
    load_folds,
    make_folds,
    save_folds,
    settled,
)
from kerasgrid.errors import DataError, RunError
from kerasgrid.records import Dataset, Fold, Target

LABELS = np.repeat([0, 1, 2], [50, 30, 20])


def data_of(labels, **arrays):
    """Returns a dataset of labels, or of numbers, and what is known of its samples."""
    labels = np.asarray(labels)
    if labels.dtype.kind == "f":
        target = Target("numbers", tuple(f"y{place}" for place in range(labels.shape[1])))
    elif labels.ndim == 2:
        target = Target("labels", tuple(range(labels.shape[1])))
    else:
        target = Target("classes", tuple("abcdefghijklmnopqrstuvwxyz"[: labels.max() + 1]))
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    return Dataset(np.zeros((len(labels), 2)), labels, target, "", "data", **arrays)


CLASSES = data_of(LABELS)
NUMBERS = np.random.default_rng(0).normal(size=(90, 1))


def rows_of(folds):
    return [(fold.train.tolist(), fold.test.tolist()) for fold in folds]


@given(st.lists(st.integers(4, 30), min_size=2, max_size=6), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_folds_partition_the_samples(counts, n_folds, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    folds = make_folds(data_of(labels), Folds(n=n_folds), seed=seed)
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


GROUPED = st.lists(st.integers(1, 12), min_size=6, max_size=20)
"""How many samples each group has."""


@given(
    GROUPED,
    st.sampled_from(["group", "stratified_group", None]),
    st.sampled_from(["classes", "labels", "numbers"]),
    st.sampled_from([0.1, 0.2, 0.35]),
    st.integers(0, 99),
)
def test_groups_cross_in_neither_outer_nor_inner_splits(sizes, kind, form, share, seed):
    numbers = np.random.default_rng(seed)
    groups = numbers.permutation(np.repeat(np.arange(len(sizes)), sizes))
    labels = numbers.permutation(np.arange(len(groups)) % 2)
    forms = {
        "classes": labels,
        "labels": np.eye(3, dtype=np.uint8)[labels],
        "numbers": labels[:, np.newaxis] / 1,
    }
    data = data_of(forms[form], groups=groups)
    how = Folds(n=3, kind=kind)
    made = [make_folds(data, how, seed=seed), make_folds(data, Folds(), holdout=share, seed=seed)]
    assert np.sort(np.concatenate([fold.test for fold in made[0]])).tolist() == list(range(len(groups)))
    for fold in itertools.chain(*made):
        assert not np.intersect1d(groups[fold.train], groups[fold.test]).size
        train, val = inner_split(data, fold, share, how, seed)
        assert np.sort(np.concatenate([train, val])).tolist() == fold.train.tolist()
        assert not np.intersect1d(groups[train], groups[val]).size
        assert inner_rows(data, fold, share, how) is None


@given(
    st.lists(st.integers(0, 40), min_size=40, max_size=90),
    st.integers(2, 4),
    st.integers(0, 4),
    st.sampled_from([0.1, 0.3]),
)
def test_time_never_runs_backwards_and_the_gap_is_kept(times, n_folds, gap, share):
    times = np.array(times, dtype=np.float64)
    data, how = data_of(np.arange(len(times)) % 2, times=times), Folds(n=n_folds, kind="time", gap=gap)
    try:
        folds = make_folds(data, how, seed=0)
        inner = [inner_split(data, fold, share, how, 0) for fold in folds]
    except DataError:  # of so many rows of one time, say
        return
    splits = [(fold.train, fold.test, np.arange(len(times))) for fold in folds]
    splits += [(*parts, fold.train) for parts, fold in zip(inner, folds, strict=True)]
    for train, test, rows in splits:
        assert times[train].max() < times[test].min()
        before = (times[rows] < times[test].min()).sum()
        assert before - len(train) == gap
    tests = [fold.test for fold in folds]
    assert all(times[one].max() < times[next].min() for one, next in itertools.pairwise(tests))


def test_folds_in_time_are_those_of_scikit_learn_where_no_time_is_there_twice():
    from sklearn.model_selection import TimeSeriesSplit

    times = np.random.default_rng(0).permutation(50)
    order = np.argsort(times)
    folds = make_folds(data_of(np.arange(50) % 2, times=times), Folds(n=4, gap=3), seed=0)
    wanted = TimeSeriesSplit(4, gap=3).split(order)
    assert rows_of(folds) == [(sorted(order[train]), sorted(order[test])) for train, test in wanted]
    (fold,) = make_folds(data_of(np.arange(50) % 2, times=times), Folds(), holdout=0.2, seed=0)
    assert fold.test.tolist() == sorted(order[40:])


def test_given_folds_are_those_of_the_numbers():
    numbers = np.array([2, 0, 5, 0, -1, 2, 5])
    folds = make_folds(data_of([0, 1, 0, 1, 0, 1, 0], given=numbers), Folds(), seed=0)
    assert [fold.test.tolist() for fold in folds] == [[1, 3], [0, 5], [2, 6]]
    assert all(4 in fold.train for fold in folds)


def test_numbers_are_stratified_by_bins():
    folds = make_folds(data_of(NUMBERS), Folds(n=3, kind="stratified"), seed=0)
    ranks = NUMBERS[:, 0].argsort().argsort()
    for fold in folds:
        assert np.bincount(ranks[fold.test] // 9).tolist() == [3] * 10
    plain = make_folds(data_of(NUMBERS), Folds(n=3), seed=0)
    assert rows_of(plain) == rows_of(make_folds(data_of(NUMBERS), Folds(n=3, kind="plain"), seed=0))
    assert rows_of(plain) != rows_of(folds)
    many = np.repeat([0.0, 7.0], [85, 5])[:, np.newaxis]  # nearly all of one value
    assert all(7.0 in many[f.test] for f in make_folds(data_of(many), Folds(kind="stratified"), seed=0))


def test_a_share_of_groups_keeps_that_of_each_class():
    groups = np.repeat(np.arange(50), 4)
    labels = (groups % 5 == 0).astype(int)
    for share in (0.1, 0.2, 0.3):
        (fold,) = make_folds(data_of(labels, groups=groups), Folds(), holdout=share, seed=1)
        assert len(fold.test) == pytest.approx(200 * share)
        assert labels[fold.test].mean() == pytest.approx(0.2, abs=0.07)


def test_folds_of_groups_keep_the_share_of_each_class_and_are_drawn():
    groups = np.repeat(np.arange(50), 4)
    labels = (groups % 5 == 0).astype(int)
    drawn = [make_folds(data_of(labels, groups=groups), Folds(n=5), seed=seed) for seed in (0, 1)]
    assert {labels[fold.test].mean() for folds in drawn for fold in folds} == {0.2}
    assert rows_of(drawn[0]) != rows_of(drawn[1])


def test_same_seed_same_folds():
    first = make_folds(CLASSES, Folds(), seed=0)
    assert folds_fingerprint(make_folds(CLASSES, Folds(), seed=0)) == folds_fingerprint(first)
    assert folds_fingerprint(make_folds(CLASSES, Folds(), seed=1)) != folds_fingerprint(first)
    assert folds_fingerprint(first[:2]) != folds_fingerprint(first)
    assert folds_fingerprint(first).startswith("sha256:")


def test_folds_are_those_of_scikit_learn():
    from sklearn.model_selection import StratifiedKFold

    splits = StratifiedKFold(3, shuffle=True, random_state=7).split(LABELS, LABELS)
    assert rows_of(make_folds(CLASSES, Folds(n=3), seed=7)) == [(a.tolist(), b.tolist()) for a, b in splits]


def test_holdout():
    (fold,) = make_folds(CLASSES, Folds(), holdout=0.2, seed=0)
    assert np.bincount(LABELS[fold.test]).tolist() == [10, 6, 4]
    assert sorted([*fold.train, *fold.test]) == list(range(100))


def test_the_data_decide_what_is_not_written():
    several = data_of(np.eye(3, dtype=np.uint8)[LABELS])
    groups, times, given = np.arange(100) // 5, np.arange(100.0), np.arange(100) % 4
    for data, kind, n in [
        (CLASSES, "stratified", 3),
        (several, "stratified", 3),
        (data_of(several.labels, groups=groups), "stratified_group", 3),
        (data_of(NUMBERS), "plain", 3),
        (data_of(LABELS, groups=groups, times=times), "stratified_group", 3),
        (data_of(NUMBERS, groups=groups[:90]), "group", 3),
        (data_of(LABELS, times=times), "time", 3),
        (data_of(LABELS, groups=groups, times=times, given=given), "given", 4),
    ]:
        found = settled(Folds(), data)
        assert (found.kind, found.n) == (kind, n)
        assert is_default(Folds(), data) == (kind in ("stratified", "plain") and data is not several)
    assert not is_default(Folds(kind="plain"), CLASSES)


FEW = data_of(np.repeat([0, 1], [5, 5]), groups=np.arange(10) // 4, times=np.arange(10) // 4)


@pytest.mark.parametrize(
    ("data", "how", "path", "message"),
    [
        ([5, 3], {"n": 3}, None, None),
        ([5, 2], {"n": 3}, None, None),
        ([1, 5], {"n": 2}, None, None),
        (
            [2, 4],
            {"n": 5},
            "search.folds",
            "class 'b' has 4 samples, the most of all, and search.folds is 5: each fold needs one to test "
            "on. Add samples, or lower search.folds to 4 or less.",
        ),
        (
            [1, 1],
            {"n": 2},
            "search.folds",
            "class 'a' has 1 sample, the most of all, and search.folds is 2: each fold needs one to test on. "
            "Add samples, or take folds: {kind: plain}.",
        ),
        (
            [2, 1],
            {"n": 4, "kind": "plain"},
            "search.folds",
            "there are 3 samples, and 4 are needed: for one to train on and to test on.",
        ),
        (
            [5, 5],
            {"kind": "group"},
            "search.folds.kind",
            "is group, and data.group is missing: name the column, or give groups beside X in Python.",
        ),
        (
            [5, 5],
            {"kind": "time"},
            "search.folds.kind",
            "is time, and data.time is missing: name the column.",
        ),
        (
            [5, 5],
            {"kind": "given"},
            "search.folds.kind",
            "is given, and data.fold is missing: name the column.",
        ),
        (
            [5, 5],
            {"gap": 2},
            "search.folds.gap",
            "is 2, which is of folds in time alone, and these are stratified: leave it out, or write kind: "
            "time and name the column in data.time.",
        ),
        (
            FEW,
            {"n": 4, "kind": "group"},
            "search.folds",
            "is 4, and there are 3 groups: each fold holds one out. Add some, or lower it to 3 or less.",
        ),
        (
            FEW,
            {"n": 3, "kind": "time"},
            "search.folds",
            "is 3, and there are 3 times: each fold holds one out, and the first one trains on one before. "
            "Add some, or lower it to 2 or less.",
        ),
        (
            data_of(np.eye(2, dtype=np.uint8)[[0, 1, 0, 1]]),
            {"kind": "stratified", "n": 2},
            None,
            None,
        ),
        (
            data_of(np.eye(2, dtype=np.uint8)[[0, 1]]),
            {"n": 3},
            "search.folds",
            "there are 2 samples, and 3 are needed: for one to train on and to test on.",
        ),
        (
            data_of(np.ones((9, 2))),
            {"kind": "stratified"},
            "search.folds.kind",
            "is stratified, and 2 numbers are predicted: take plain.",
        ),
        (
            data_of([0, 1, 0], given=[0, 1, 2]),
            {"n": 2},
            "search.folds",
            "is 2, and data.fold has 3 numbers, which say how many there are: leave it out.",
        ),
        (
            data_of([0, 1, 0], given=[0, -2, 2]),
            {},
            "data.fold",
            "has -2 in sample 1 (counted from 0): whole numbers of 0 or more hold, and -1 for samples that "
            "no fold holds out.",
        ),
        (
            data_of([0, 1, 0], given=[-1, -1, -1]),
            {},
            "data.fold",
            "is -1 in all samples, so that none is held out: number those that are from 0.",
        ),
        (
            data_of([0, 1, 0], given=[4, 4, 4]),
            {},
            "data.fold",
            "is 4 in all samples, so that none is left to train on.",
        ),
    ],
)
def test_what_cannot_be_split_is_told_with_its_key(data, how, path, message):
    data = data_of(np.repeat([0, 1], data)) if isinstance(data, list) else data
    found = list(fold_faults(data, Folds(**how)))
    assert found == ([] if message is None else [(path, message)])
    if message is None:
        assert len(make_folds(data, Folds(**how), seed=0)) == how["n"]
    else:
        with pytest.raises(DataError, match=re.escape(message)):
            make_folds(data, Folds(**how), seed=0)


@pytest.mark.parametrize(
    ("counts", "holdout", "message"),
    [
        ([5, 10], 0.2, None),
        ([5, 10], 0.8, None),
        ([10, 30], 0.1, None),
        ([4, 10], 0.2, None),
        ([2, 4], 0.1, "is 0.1, which is 1 of 6 samples, and of each class with two or more (2 of 2) one"),
        ([1, 1], 0.5, "is 0.5, which is 1 of 2 samples, and of each class with two or more (0 of 2) one"),
    ],
)
def test_a_share_needs_each_class_on_both_sides(counts, holdout, message):
    labels = np.repeat(np.arange(len(counts)), counts)
    found = list(fold_faults(data_of(labels), Folds(), holdout))
    if message is None:
        assert found == []
        (fold,) = make_folds(data_of(labels), Folds(), holdout=holdout, seed=0)
        assert set(labels[fold.train]) == set(labels[fold.test]) == {0, 1}
    else:
        assert [(path, told.startswith(message)) for path, told in found] == [("search.holdout", True)]


def test_the_only_sample_of_a_class_is_trained_on():
    labels = np.repeat([0, 1, 2], [1, 2, 30])
    data = data_of(labels)
    [fold] = make_folds(data, Folds(), holdout=0.2, seed=0)
    assert (len(fold.test), 0 in fold.train) == (7, True)
    train, val = inner_split(data, Fold(0, np.arange(33), np.arange(0)), 0.2, Folds(), 0)
    assert (len(val), 0 in train) == (7, True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FEW, None),
        (data_of([0, 1, 0, 1], groups=[3, 3, 3, 3]), "all samples are of one group"),
        (data_of([0, 1, 0, 1], times=[3, 3, 3, 3]), "all samples are of one time"),
        (data_of([0, 1, 0, 1], given=[0, 1, 0, 1]), "does not go with data.fold"),
    ],
)
def test_a_share_of_groups_and_times_needs_two(data, message):
    found = list(fold_faults(data, Folds(), 0.3))
    assert [(path, message in told) for path, told in found] == (
        [("search.holdout", True)] if message else []
    )


def test_rows_of_one_time_that_leave_a_fold_empty_are_told():
    data = data_of(np.arange(30) % 2, times=np.repeat([0, 1, 2, 3], [1, 1, 1, 27]))
    with pytest.raises(DataError, match=r"^fold 0 holds no sample out. Lower search.folds or its gap"):
        make_folds(data, Folds(n=3), seed=0)
    data = data_of(np.arange(30) % 2, times=np.arange(30))
    with pytest.raises(DataError, match=r"^fold 0 trains on no sample. Lower search.folds or its gap"):
        make_folds(data, Folds(n=5, gap=5), seed=0)


ROWS = np.arange(4)


class TestSplitters:
    @pytest.mark.parametrize(
        ("cv", "n"),
        [
            (model_selection.ShuffleSplit(4, test_size=0.3, random_state=0), 4),
            (model_selection.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0), 6),
            (model_selection.TimeSeriesSplit(3), 3),
            (model_selection.LeaveOneGroupOut(), 5),
            (model_selection.LeavePGroupsOut(2), 10),
        ],
    )
    def test_any_of_scikit_learn(self, cv, n):
        groups = np.arange(100) % 5
        folds = folds_by(cv, data_of(LABELS, groups=groups))
        wanted = cv.split(np.zeros(100), LABELS, groups)
        assert rows_of(folds) == [(sorted(train), sorted(test)) for train, test in wanted]
        assert len(folds) == n

    def test_an_iterable_of_rows_or_masks(self):
        mask = LABELS == 2
        for cv in ([(np.flatnonzero(~mask), np.flatnonzero(mask)[::-1])], iter([(~mask, mask)])):
            (fold,) = folds_by(cv, CLASSES)
            assert fold.test.tolist() == list(range(80, 100))
            assert fold.train.tolist() == list(range(80))

    def test_numbers_are_given_by_one_axis(self):
        class Looks:
            def split(self, X, y, groups):
                assert y.shape == (90,)
                yield [0], [1]

        assert rows_of(folds_by(Looks(), data_of(NUMBERS))) == [([0], [1])]

    @pytest.mark.parametrize(
        ("cv", "message"),
        [
            (
                5,
                "is 5; a splitter of scikit-learn's or an iterable of (train, test) holds. A number of ",
            ),
            ("kfold", "is 'kfold'; a splitter"),
            ([], "gives no split: at least one holds."),
            ([(ROWS, [])], "fold 0 holds no sample out."),
            ([([], ROWS)], "fold 0 trains on no sample."),
            (
                [(ROWS, ROWS + 4), (ROWS, ROWS + 2)],
                "fold 1 trains on 2 samples that it holds out, the first in ",
            ),
            (
                [(ROWS, [100])],
                "split 0 is no pair of rows, (train, test): ValueError: row 100 is none of 0 to 99",
            ),
            (
                [(ROWS, [-1])],
                "split 0 is no pair of rows, (train, test): ValueError: row -1 is none of 0 to 99",
            ),
            ([(ROWS, [7, 7])], "split 0 is no pair of rows, (train, test): ValueError: row 7 is there twice"),
            ([(ROWS, [0.5])], "split 0 is no pair of rows, (train, test): ValueError: float64 of shape (1,)"),
            ([ROWS], "split 0 is no pair of rows, (train, test): "),
            ([5], "split 0 is no pair of rows, (train, test): TypeError"),
            (
                model_selection.GroupKFold(3),
                "GroupKFold cannot split these samples: ValueError: The 'groups'",
            ),
        ],
    )
    def test_what_is_none(self, cv, message):
        with pytest.raises(DataError) as caught:
            folds_by(cv, CLASSES)
        assert str(caught.value).startswith(message)


def test_inner_split():
    folds = make_folds(CLASSES, Folds(), seed=0)
    train, val = inner_split(CLASSES, folds[1], 0.1, Folds(), seed=0)
    assert sorted([*train, *val]) == folds[1].train.tolist()
    assert len(val) == 7
    assert inner_rows(CLASSES, folds[1], 0.1, Folds()) == len(train)
    assert (np.abs(np.bincount(LABELS[val]) - np.bincount(LABELS[folds[1].train]) / 10) < 1).all()
    again = inner_split(CLASSES, folds[1], 0.1, Folds(), seed=0)
    np.testing.assert_array_equal(again[1], val)
    assert inner_split(CLASSES, folds[1], 0.1, Folds(), seed=1)[1].tolist() != val.tolist()
    other = Fold(2, folds[1].train, folds[1].test)
    assert inner_split(CLASSES, other, 0.1, Folds(), seed=0)[1].tolist() != val.tolist()


def test_inner_splits_are_those_of_the_first_versions():
    """Fits of searches that began under them go on with the same rows."""
    fold = make_folds(CLASSES, Folds(), seed=0)[1]
    assert inner_split(CLASSES, fold, 0.1, Folds(), seed=0)[1].tolist() == [15, 17, 27, 52, 77, 91, 97]
    several, plain = data_of(np.eye(3, dtype=np.uint8)[LABELS]), Folds(kind="plain")
    fold = make_folds(several, plain, seed=0)[1]
    assert inner_split(several, fold, 0.1, plain, seed=0)[1].tolist() == [14, 25, 45, 58, 78, 97, 98]
    assert (
        folds_fingerprint(make_folds(CLASSES, Folds(), seed=0))
        == "sha256:d0c72b0e20338a19f41fb360c64bc611c30abfc54cb1755a6bf3c275f34d3640"
    )
    assert (
        folds_fingerprint(make_folds(several, plain, seed=0))
        == "sha256:0d9b303c42e34f8335e203fa746f6e85be210ca7517ce8e29cbf4b60c3e11525"
    )
    for data, how, mark in (
        (CLASSES, Folds(), "sha256:bb4141bdc1c4a9335ffbb75233137eae29d2a5566fe05d92a0007e68449f2501"),
        (several, plain, "sha256:36f8b5493d041b4ee7711a73f3d178509354b98180518f109749472878132d86"),
    ):
        assert folds_fingerprint(make_folds(data, how, holdout=0.3, seed=0)) == mark


@pytest.mark.parametrize("kind", ["given", None])
def test_the_inner_split_is_by_what_the_data_have_also_beside_given_folds(kind):
    groups, given = np.arange(100) // 5, np.arange(100) // 50
    data = data_of(LABELS, groups=groups, given=given)
    train, val = inner_split(data, make_folds(data, Folds(), seed=0)[0], 0.2, Folds(kind=kind), 0)
    assert not np.intersect1d(groups[train], groups[val]).size
    assert inner_kind(data_of(LABELS, times=given, given=given), Folds(kind=kind)) == "time"
    assert inner_kind(data_of(LABELS, given=given), Folds(kind=kind)) == "stratified"
    assert inner_kind(data_of(NUMBERS), Folds(kind="stratified")) == "plain"
    assert inner_kind(data_of(LABELS, groups=groups), Folds(kind="plain")) == "plain"
    assert inner_kind(data, Folds(kind="time")) == "stratified_group"  # of data without the column


@pytest.mark.parametrize("counts", [[9, 9, 2], [1, 1, 1]])
def test_inner_split_of_too_little(counts):
    labels = np.repeat([0, 1, 2], counts)
    fold = Fold(1, np.arange(len(labels)), np.arange(0))
    with pytest.raises(
        DataError, match=r"^fold 1: its \d+ training rows of 3 classes, the smallest with \d, cann"
    ):
        inner_split(data_of(labels), fold, 0.1, Folds(), seed=0)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"groups": [5] * 9}, "none would be validated on, since they are of one group."),
        ({"times": [5] * 9}, "none would be validated on, since they are of one time, or in the gap."),
    ],
)
@pytest.mark.parametrize("labels", [np.arange(9) % 2, np.arange(9.0)[:, np.newaxis]])
def test_inner_split_of_one_group_or_time(arrays, what, labels):
    fold = Fold(2, np.arange(9), np.arange(0))
    with pytest.raises(DataError, match=f"^fold 2: of its 9 training rows {what}"):
        inner_split(data_of(labels, **arrays), fold, 0.1, Folds(), seed=0)


def test_round_trip(tmp_path):
    folds = make_folds(CLASSES, Folds(), seed=0)
    path = tmp_path / "run" / "folds.npz"
    save_folds(path, folds, 100, "sha256:ab")
    loaded, fingerprint = load_folds(path, 100, "data/train.csv")
    assert fingerprint == "sha256:ab"
    assert folds_fingerprint(loaded) == folds_fingerprint(folds)
    assert [file.name for file in path.parent.iterdir()] == ["folds.npz"]


def test_other_data(tmp_path):
    save_folds(tmp_path / "folds.npz", make_folds(CLASSES, Folds(), seed=0), 100, "sha256:ab")
    with pytest.raises(DataError) as caught:
        load_folds(tmp_path / "folds.npz", 99, "data/train.csv")
    assert str(caught.value) == (
        "folds.npz was made for 100 samples, but data/train.csv has 99. The data changed since this search "
        "began: restore it, or start anew with fresh=True."
    )


GOOD = {"n_samples": 4, "fingerprint": "x", "train_0": ROWS[:2], "test_0": ROWS[2:]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_0": ROWS[1:]}, "folds.npz, fold 0: damaged: it trains on rows it tests on."),
        ({"test_0": ROWS[2:] + 1}, "folds.npz, fold 0: damaged: its rows are not rows of the data."),
        ({"test_0": ROWS[2:] - 3}, "folds.npz, fold 0: damaged: its rows are not rows of the data."),
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
    folds = make_folds(CLASSES, Folds(), seed=0)
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
