"""What learning curves tell, on curves whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kerasgrid.analysis.curves import Curves, curves_of, is_overfit, is_underfit, rise

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


@pytest.mark.parametrize("histories", [(), (Path("missing.json"),), ({"odd": [1]},), ({"loss": [None]},)])
def test_nothing_recorded_is_no_curve(histories):
    assert curves_of(0, histories, "accuracy") is None
