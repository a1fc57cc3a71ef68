from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_multilabel_classification

from kerasgrid.config.sections import Folds
from kerasgrid.data.folds import inner_rows, inner_split, make_folds
from kerasgrid.data.samples import Samples
from kerasgrid.data.strata import groups_by_labels, parts_by_labels
from kerasgrid.data.subset import take_subset
from kerasgrid.records import Dataset, Target


def letters(n_samples, low, high, n_labels=26):
    """Returns labels of which each sample has `low` to `high`, as in Dirty-MNIST."""
    chance = np.random.default_rng(0)
    order = chance.random((n_samples, n_labels)).argsort(axis=1).argsort(axis=1)
    return (order < chance.integers(low, high + 1, (n_samples, 1))).astype(np.uint8)


def few(n_samples):
    """Returns labels of which some are rare and most samples have none or one."""
    shares = np.geomspace(0.3, 0.004, 12)
    return (np.random.default_rng(1).random((n_samples, 12)) < shares).astype(np.uint8)


def together(n_samples):
    """Returns labels that go together."""
    made = make_multilabel_classification(n_samples, n_classes=10, n_labels=3, random_state=0)
    return made[1].astype(np.uint8)


def furthest(labels, parts):
    """Returns by how many percentage points a label's share differs from the whole's, at most."""
    own = [
        np.abs(labels[parts == part].mean(axis=0) - labels.mean(axis=0)).max() for part in np.unique(parts)
    ]
    return 100 * max(own)


def test_labels_of_whole_groups_keep_their_shares_better_than_by_chance():
    chance = np.random.default_rng(0)
    labels, groups = few(2000), np.sort(chance.integers(0, 150, 2000))
    labels[groups % 3 == 0, 0] = 1  # what groups have in common
    parts = groups_by_labels(labels, groups, 5, seed=0)
    assert all(len(set(parts[groups == group])) == 1 for group in np.unique(groups))
    assert np.ptp(np.bincount(parts)) < 60
    by_chance = chance.integers(0, 5, 150)[groups]
    assert furthest(labels, parts) < 0.25 * furthest(labels, by_chance)
    assert (groups_by_labels(labels, groups, 5, seed=1) != parts).any()
    assert set(groups_by_labels(labels, np.arange(2000) % 5, 5, seed=0)) == set(range(5))


@pytest.mark.parametrize(
    ("make", "sizes", "most"),
    [
        (lambda n: letters(n, 10, 14), [800] * 5, 0.4),
        (lambda n: letters(n, 10, 14), [400, 3600], 0.9),
        (few, [800] * 5, 0.2),
        (few, [400, 3600], 0.3),
        (together, [800] * 5, 0.4),
        (together, [400, 3600], 0.9),
    ],
)
def test_each_label_keeps_its_share_in_all_parts(make, sizes, most):
    labels = make(sum(sizes))
    parts = parts_by_labels(labels, sizes, seed=0)
    assert np.bincount(parts).tolist() == sizes
    assert furthest(labels, parts) < most
    by_chance = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    assert furthest(labels, by_chance) > 2 * most


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any),
    st.integers(0, 6),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_parts_have_their_sizes_whatever_the_labels(sizes, n_labels, share, seed):
    labels = np.random.default_rng(seed).random((sum(sizes), n_labels)) < share
    parts = parts_by_labels(labels, sizes, seed)
    assert np.bincount(parts, minlength=len(sizes)).tolist() == sizes
    np.testing.assert_array_equal(parts_by_labels(labels, sizes, seed), parts)


def test_a_rare_label_is_in_each_part_while_there_are_samples():
    labels = np.zeros((200, 2), np.uint8)
    labels[:100, 0], labels[50:55, 1] = 1, 1
    parts = parts_by_labels(labels, [40] * 5, 3)
    assert np.bincount(parts[50:55]).tolist() == [1] * 5
    assert (labels[parts_by_labels(labels, [4, 196], 3) == 0].sum(axis=0) > 0).all()


def test_another_seed_another_split():
    labels = letters(60, 1, 4, 6)
    assert parts_by_labels(labels, [30, 30], 0).tolist() != parts_by_labels(labels, [30, 30], 1).tolist()


def data_of(labels):
    target = Target("labels", tuple(range(labels.shape[1])))
    return Dataset(np.zeros((len(labels), 2)), labels, target, "", "data")


def test_folds_holdouts_and_inner_splits_are_by_labels():
    labels = letters(1003, 3, 5, 9)
    data, shares = data_of(labels), labels.mean(axis=0)
    folds = make_folds(data, Folds(n=5), seed=7)
    assert np.sort(np.concatenate([fold.test for fold in folds])).tolist() == list(range(1003))
    assert {len(fold.test) for fold in folds} == {200, 201}
    (held,) = make_folds(data, Folds(), holdout=0.2, seed=7)
    train, val = inner_split(data, folds[0], 0.1, Folds(), seed=7)
    assert sorted([*train, *val]) == folds[0].train.tolist()
    assert len(train) == inner_rows(data, folds[0], 0.1, Folds())
    assert len(held.test) == 201
    for rows in (*(fold.test for fold in folds), held.test, val):
        assert np.abs(labels[rows].mean(axis=0) - shares).max() < 0.03
    other = inner_split(data, folds[0], 0.1, Folds(), seed=8)[1]
    assert other.tolist() != val.tolist()


def test_a_subset_is_true_to_label_frequencies_and_tells_how_far():
    labels = letters(3000, 10, 14)
    whole = Samples(
        np.zeros((3000, 1, 1, 1), np.uint8), labels, Target("labels", tuple("abcdefghijklmnopqrstuvwxyz"))
    )
    taken = take_subset(whole, 300, 0, "data")
    assert taken.labels.shape == (300, 26)
    (line,) = taken.report
    assert line.startswith(
        "subset: 300 of 3000 samples, stratified by all labels, seed 0; label frequencies differ "
    )
    told = float(line.partition("at most ")[2].partition(" ")[0])
    assert told == pytest.approx(
        100 * np.abs(taken.labels.mean(axis=0) - labels.mean(axis=0)).max(), abs=0.01
    )
    assert told < 2
