from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from kerasgrid.jobs.objective import find_objective
from kerasgrid.jobs.thresholds import Chooser, apart


def drawn(seed, n_rows=60, n_labels=3, places=2):
    """Returns labels, and probabilities that tell something of them, with many that are the same."""
    chance = np.random.default_rng(seed)
    labels = (chance.random((n_rows, n_labels)) < chance.uniform(0.05, 0.9, n_labels)).astype(np.uint8)
    told = np.clip(chance.normal(0.3 + 0.2 * labels, 0.2), 0, 1).round(places)
    return labels, told.astype(np.float32)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@example(2971065, 0.5, True)  # where no row that has the label counts
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 0.5, 1.0, 2.0]), st.booleans())
def test_no_other_threshold_is_better_and_none_as_good_is_nearer_to_a_half(seed, beta, is_weighted):
    labels, told = drawn(seed)
    weights = np.random.default_rng(seed).integers(0, 4, len(labels)) if is_weighted else None
    found = Chooser(beta)(labels, told, weights)

    def scores(place, cuts):
        """Returns what each cut scores, (cut,): scikit-learn takes what they say for as many labels."""
        said = told[:, place, None] >= cuts
        true = np.broadcast_to(labels[:, place, None], said.shape)
        if beta is None:
            return np.average(said == true, axis=0, weights=weights)
        given = {"beta": beta, "average": None, "zero_division": 0, "sample_weight": weights}
        return fbeta_score(true, said, **given)

    between = np.arange(0.005, 1, 0.01)  # the probabilities, which are hundredths
    for place, cut in enumerate(found):
        if np.ptp(labels[slice(None) if weights is None else weights > 0, place]) == 0:
            assert cut == 0.5
            continue
        best, *others = scores(place, np.array([cut, *between]))
        assert max(others) <= best + 1e-9


def test_a_threshold_lies_between_probabilities_and_nearest_to_a_half_of_those_as_good():
    labels = np.array([[0], [0], [1], [1]])
    assert Chooser()(labels, np.array([[0.1], [0.2], [0.4], [0.8]])).tolist() == pytest.approx([0.3])
    assert Chooser()(labels, np.array([[0.1], [0.1], [0.1], [0.1]])).tolist() == pytest.approx([0.05])
    assert Chooser(None)(1 - labels, np.array([[0.6], [0.7], [0.8], [0.9]])).tolist() == pytest.approx([0.3])


@pytest.mark.parametrize(
    ("objective", "beta"),
    [
        ("accuracy", None),
        ("f1_macro", 1.0),
        ("roc_auc", 1.0),
        ("loss", 1.0),
        ({"fbeta": {"beta": 2, "average": "samples"}}, 2.0),
    ],
)
def test_what_is_best_is_by_the_objective(objective, beta):
    assert Chooser.of(find_objective(objective)) == Chooser(beta)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_rows_have_thresholds_that_know_nothing_of_their_fold(seed, n_folds):
    labels, told = drawn(seed)
    folds = np.random.default_rng(seed).integers(0, n_folds, len(labels))
    found = apart(Chooser(), labels, told, folds)
    own = folds == folds[0] if len(np.unique(folds)) > 1 else np.arange(len(labels)) % 5 == 0
    others = np.where(own[:, None], 1 - labels, labels)
    again = apart(Chooser(), others, np.where(own[:, None], 1 - told, told), folds)
    np.testing.assert_array_equal(found[own], again[own])
    np.testing.assert_array_equal(found[own], np.tile(Chooser()(labels[~own], told[~own]), (own.sum(), 1)))
