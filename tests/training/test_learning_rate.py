"""Learning rates by schedule, against Keras's own schedules."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasgrid.config.callbacks import LearningRateScheduler
from kerasgrid.training.learning_rate import scheduled

pytestmark = pytest.mark.slow

PER_EPOCH, EPOCHS = 7, 12
STEPS = np.arange(PER_EPOCH * EPOCHS)
schedules = keras.optimizers.schedules


def found(**given):
    arguments = LearningRateScheduler.model_validate(given).model_dump()
    return scheduled(arguments, 0.25, STEPS, PER_EPOCH, EPOCHS)


@pytest.mark.parametrize(
    ("given", "keras_own"),
    [
        (
            {"schedule": "exponential", "decay_rate": 0.5, "decay_epochs": 3},
            lambda: schedules.ExponentialDecay(0.25, 21, 0.5),
        ),
        (
            {"schedule": "step", "decay_rate": 0.75, "decay_epochs": 5},
            lambda: schedules.ExponentialDecay(0.25, 35, 0.75, staircase=True),
        ),
        ({"schedule": "cosine"}, lambda: schedules.CosineDecay(0.25, 84)),
        ({"schedule": "cosine", "alpha": 0.125}, lambda: schedules.CosineDecay(0.25, 84, alpha=0.125)),
        (
            {"schedule": "cosine", "warmup_epochs": 2},
            lambda: schedules.CosineDecay(0.0, 70, warmup_target=0.25, warmup_steps=14),
        ),
    ],
)
def test_schedules_are_keras_own(given, keras_own):
    schedule = keras_own()
    wanted = [float(keras.ops.convert_to_numpy(schedule(step))) for step in STEPS]
    np.testing.assert_allclose(found(**given), wanted, rtol=2e-6, atol=1e-7)


def test_a_warm_up_rises_from_0_and_the_schedule_begins_after_it():
    whole = found(schedule="step", warmup_epochs=2, decay_rate=0.5, decay_epochs=4)
    np.testing.assert_allclose(whole[:14], 0.25 * np.arange(14) / 14)
    np.testing.assert_allclose(whole[14:42], 0.25)
    np.testing.assert_allclose(whole[42:70], 0.125)
    assert set(found(warmup_epochs=0)) == {0.25}


def test_one_cycle_rises_and_falls_along_half_cosines():
    """The values of PyTorch's OneCycleLR with 84 steps: peak at 0.3 * 84 - 1 = 24.2."""
    rate = found(schedule="one_cycle")
    assert rate[0] == pytest.approx(0.25 / 25)
    assert rate.argmax() == 24
    assert rate[-1] == pytest.approx(0.25 / 25 / 1e4)
    assert (np.diff(rate[:25]) > 0).all()
    assert (np.diff(rate[25:]) < 0).all()
    half = 0.25 + (0.01 - 0.25) / 2 * (1 + np.cos(np.pi * 12 / 24.2))
    assert rate[12] == pytest.approx(half)


@pytest.mark.parametrize("schedule", ["step", "exponential", "cosine", "one_cycle"])
def test_a_part_of_the_steps_has_the_rates_of_the_whole(schedule):
    arguments = LearningRateScheduler(schedule=schedule).model_dump()
    part = scheduled(arguments, 0.25, STEPS[30:40], PER_EPOCH, EPOCHS)
    np.testing.assert_array_equal(part, found(schedule=schedule)[30:40])


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_one_step_in_all_has_a_rate(schedule):
    arguments = LearningRateScheduler(schedule=schedule).model_dump()
    assert np.isfinite(scheduled(arguments, 0.25, np.arange(1), 1, 1)).all()
