"""Several models' predictions as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import mean_squared_error, r2_score

from kerasgrid.delivery.ensembles import combine, combine_ranks, find_weights, loss, score_of_weighted


def accuracy(labels, probabilities):
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def model(labels, share_right, seed, n_classes=4):
    """Probabilities that are right for a share of the samples."""
    numbers = np.random.default_rng(seed)
    said = np.where(
        numbers.random(len(labels)) < share_right, labels, numbers.integers(0, n_classes, len(labels))
    )
    found = numbers.dirichlet(np.ones(n_classes), len(labels)) * 0.5
    found[np.arange(len(labels)), said] += 0.5
    return found


LABELS = np.random.default_rng(0).integers(0, 4, 3000)


def test_a_mean_is_a_mean():
    first, second = model(LABELS, 0.9, 1), model(LABELS, 0.8, 2)
    np.testing.assert_allclose(combine([first, second]), (first + second) / 2)
    np.testing.assert_allclose(combine([first, second], [0.75, 0.25]), 0.75 * first + 0.25 * second)


@given(st.integers(0, 1000), st.integers(1, 5))
def test_ranks_sum_to_one_and_do_not_change_with_sharpness(seed, n_models):
    labels = LABELS[:50]
    parts = [model(labels, 0.7, seed + n) for n in range(n_models)]
    found = combine_ranks(parts)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    sharper = [part**2 / (part**2).sum(axis=1, keepdims=True) for part in parts]
    order = [combine_ranks(several).argsort(axis=1)[:, -1] for several in (parts, sharper)]
    best = np.sort(sum(np.argsort(np.argsort(part, axis=1), axis=1) for part in parts), axis=1)
    is_clear = best[:, -1] > best[:, -2]
    np.testing.assert_array_equal(order[0][is_clear], order[1][is_clear])


def test_where_ranks_are_equal_the_larger_probability_wins():
    parts = [np.array([[0.6, 0.4, 0.0]]), np.array([[0.1, 0.9, 0.0]])]
    assert combine_ranks(parts).argmax(axis=1).tolist() == [1]


def test_a_majority_outvotes_one_that_is_sure():
    sure, others = np.array([[0.98, 0.01, 0.01]]), np.array([[0.3, 0.36, 0.34]])
    assert combine([sure, others, others]).argmax() == 0
    assert combine_ranks([sure, others, others]).argmax() == 1


def test_weights_sum_to_one_and_score_no_worse_than_the_best_model():
    parts = [model(LABELS, share, seed) for seed, share in enumerate((0.85, 0.8, 0.5))]
    weights = find_weights(parts, LABELS, accuracy)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    found = accuracy(LABELS, combine(parts, weights))
    assert found > max(accuracy(LABELS, part) for part in parts)


def test_a_model_of_noise_gets_little_weight():
    parts = [model(LABELS, 0.9, 1), model(LABELS, 0.9, 2), model(LABELS, 0.0, 3)]
    weights = find_weights(parts, LABELS, accuracy)
    assert weights[2] < 0.15


def test_of_models_that_score_the_same_the_better_log_loss_is_taken():
    sharp = np.eye(4)[LABELS] * 0.9 + 0.025
    blunt = np.eye(4)[LABELS] * 0.2 + 0.2
    assert find_weights([blunt, sharp], LABELS, accuracy).tolist() == [0, 1]


def test_a_score_of_weights_is_of_samples_that_they_were_not_found_on():
    """Ten models of noise: on the samples that weights are found on they look better than chance."""
    labels = LABELS[:200]
    parts = [model(labels, 0.0, seed) for seed in range(10)]
    seen = accuracy(labels, combine(parts, find_weights(parts, labels, accuracy)))
    unseen = score_of_weighted(parts, labels, np.arange(len(labels)) % 4, accuracy)
    assert seen > 0.33
    assert abs(unseen - 0.25) < 0.08
    assert score_of_weighted(parts, labels, np.zeros(len(labels)), accuracy) < seen  # one fold: in parts


def test_log_loss_is_scikit_learns():
    part = model(LABELS, 0.6, 5)
    assert loss(LABELS, part) == pytest.approx(sklearn_log_loss(LABELS, part))
    several = (np.random.default_rng(1).random((50, 3)) > 0.5).astype(int)
    said = np.random.default_rng(2).random((50, 3))
    wanted = np.mean([sklearn_log_loss(several[:, n], said[:, n]) for n in range(3)])
    assert loss(several, said) == pytest.approx(wanted)


def of_numbers(noise, seed, bias=0.0):
    """Two numbers a sample of very different sizes, told with noise."""
    noises = np.random.default_rng(seed).normal(size=NUMBERS.shape)
    return NUMBERS + np.array([1.0, 1e5]) * (noise * noises + bias)


NUMBERS = np.random.default_rng(5).normal(size=(400, 2)) * np.array([1.0, 1e5])


def test_weights_of_numbers_sum_to_one_and_score_no_worse_than_the_best_model():
    parts = [of_numbers(0.5, 1), of_numbers(0.5, 2), of_numbers(3.0, 3)]
    weights = find_weights(parts, NUMBERS, r2_score)
    assert weights.sum() == pytest.approx(1)
    assert weights[2] < 0.1
    assert r2_score(NUMBERS, combine(parts, weights)) > max(r2_score(NUMBERS, part) for part in parts)
    alone = score_of_weighted(parts, NUMBERS, np.zeros(len(NUMBERS)), r2_score)  # one fold: in parts
    folds = score_of_weighted(parts, NUMBERS, np.arange(len(NUMBERS)) % 4, r2_score)
    assert folds == pytest.approx(alone, abs=0.02)


def test_of_models_of_numbers_that_score_the_same_the_closer_one_is_taken():
    def correlation(numbers, said):
        return round(float(np.corrcoef(numbers.T[0], said.T[0])[0, 1]), 6)

    parts = [of_numbers(0.0, 1, bias=2.0), of_numbers(0.0, 1, bias=0.1)]
    assert find_weights(parts, NUMBERS, correlation).tolist() == [0, 1]


def test_the_loss_of_numbers_is_their_squared_error_whatever_their_size():
    said, spread = of_numbers(0.5, 1), NUMBERS.std(axis=0)
    assert loss(NUMBERS, said) == pytest.approx(mean_squared_error(NUMBERS / spread, said / spread))
    constant = np.full((3, 1), 2.0)
    assert loss(constant, constant + 0.5) == 0.25
