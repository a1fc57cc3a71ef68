"""What learning curves tell, on curves whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kerasgrid.report.curves import Curves, curves_of, is_overfit, is_underfit, rise, rise_of_best

EPOCHS = np.arange(1, 31)
NUMBERS = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("curve", "sign", "rises"),
    [
        (0.5 + 0.01 * EPOCHS, 1, True),
        (1 - 0.01 * EPOCHS, -1, True),
        (1 - 0.01 * EPOCHS, 1, False),
        (np.full(30, 0.9), 1, False),
        (0.9 + NUMBERS.normal(size=30) * 0.01, 1, False),
        (1 - np.exp(-EPOCHS / 2.0), 1, False),
        (0.5 + 0.01 * EPOCHS[:5], 1, False),
    ],
)
def test_a_rise_is_a_slope_that_is_clear_of_its_noise(curve, sign, rises):
    found = rise(np.round(curve, 5), sign, least=0.001)
    assert (found is not None) == rises
    assert found is None or found == pytest.approx(0.01, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("n_epochs", [6, 12, 30])
def test_of_many_flat_curves_one_is_seldom_said_to_rise_nor_are_those_that_ended_highest(n_epochs):
    numbers, any_rises, best_rise = np.random.default_rng(0), 0, 0
    for _ in range(300):
        curves = [Curves(row, test=test) for row, test in enumerate(numbers.normal(size=(24, n_epochs)))]
        any_rises += any(rise(found.test, 1, n_curves=24) is not None for found in curves)
        best = sorted(curves, key=lambda found: -found.test[-1])[:3]
        best_rise += rise_of_best(best, 1) is not None
    assert any_rises <= 0.08 * 300
    assert best_rise <= 0.08 * 300


def test_the_mean_curve_of_the_best_rises_where_no_single_one_is_clear():
    numbers = np.random.default_rng(1)
    best = [Curves(row, test=0.01 * EPOCHS + numbers.normal(size=30) * 0.04) for row in range(3)]
    assert all(rise(found.test, 1, n_curves=64) is None for found in best)
    assert rise_of_best(best, 1) == pytest.approx(0.01, rel=0.5)
    shorter = Curves(3, test=np.full(20, 0.9))
    assert rise_of_best([*best, shorter], 1) == rise_of_best(best, 1)
    assert rise_of_best([], 1) is None


def losses(train, test):
    return Curves(0, train_loss=np.asarray(train, float), test_loss=np.asarray(test, float))


@pytest.mark.parametrize(
    ("curves", "overfit"),
    [
        (losses(1 / EPOCHS, 0.3 + 0.02 * EPOCHS), True),
        (losses(1 / EPOCHS, 1 / EPOCHS + 0.1), False),
        (losses(1 + 0.02 * EPOCHS, 0.3 + 0.02 * EPOCHS), False),
        (losses(1 / EPOCHS, np.where(EPOCHS == 30, 0.4, 0.35)), False),
        (losses(1 / EPOCHS[:5], 0.3 + 0.1 * EPOCHS[:5]), False),
        (losses([], []), False),
    ],
)
def test_overfitting_is_a_held_out_loss_that_rises_while_the_training_loss_falls(curves, overfit):
    assert is_overfit(curves) is overfit


@pytest.mark.parametrize(
    ("train", "test", "underfit"),
    [(0.7, 0.69, True), (0.99, 0.8, False), (0.895, 0.89, False), (0.88, 0.7, False)],
)
def test_underfitting_is_to_fit_training_rows_worse_than_the_best_predicts_new_ones(train, test, underfit):
    curves = Curves(0, train=np.array([0.1, train]), test=np.array([0.1, test]))
    assert is_underfit(curves, best=0.9, worst_gap=0.05, sign=1) is underfit


def test_a_trials_curves_are_means_over_folds_as_far_as_all_go(tmp_path):
    long = tmp_path / "history.json"
    long.write_text(json.dumps({"accuracy": [0.3, 0.5], "test_accuracy": [0.2, 0.4]}))
    short = {"accuracy": [0.1, 0.3, 0.9], "test_accuracy": [0.4, 0.6, 0.9], "loss": [1, None, 1]}
    found = curves_of(7, (short, long), "accuracy")
    assert found.row == 7
    np.testing.assert_allclose(found.train, [0.2, 0.4])
    np.testing.assert_allclose(found.test, [0.3, 0.5])
    assert not len(found.train_loss)


@pytest.mark.parametrize(
    "histories", [(), (Path("grid/histories/missing.json"),), ({"odd": [1]},), ({"loss": [None]},)]
)
def test_nothing_recorded_is_no_curve(histories):
    assert curves_of(0, histories, "accuracy") is None
