"""Normalization layers learn from the training rows of the fold."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from fakes import Collector, prepare_run

from kerasgrid.records import Job, Pack, Trial
from kerasgrid.training import job
from kerasgrid.training.batches import LoopData, Scaling
from kerasgrid.training.loop import adapt

pytestmark = [pytest.mark.slow, pytest.mark.backend]

numbers = np.random.default_rng(0)
IMAGES = numbers.normal(5, 3, (40, 4, 4, 2)).astype("float32")
TRAIN = np.arange(0, 30)
IMAGES[30:] = 1000  # rows that are not trained on


def samples(scale: float | None = None) -> LoopData:
    return LoopData(IMAGES, np.zeros((40, 1), "float32"), TRAIN, None, np.arange(30, 40), Scaling(scale))


def build(*layers) -> keras.Model:
    return keras.Sequential([keras.Input((4, 4, 2)), *layers, keras.layers.Flatten(), keras.layers.Dense(1)])


def learnt(layer) -> tuple[np.ndarray, np.ndarray]:
    return tuple(keras.ops.convert_to_numpy(part) for part in (layer.adapt_mean, layer.adapt_variance))


def test_a_layer_learns_mean_and_variance_of_the_training_rows_scaled():
    layer = keras.layers.Normalization()
    adapt(build(layer), lambda: samples(scale=2))
    trained = IMAGES[TRAIN] / 2
    np.testing.assert_allclose(learnt(layer)[0], trained.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(learnt(layer)[1], trained.var((0, 1, 2)), rtol=1e-3)
    out = keras.ops.convert_to_numpy(layer(trained))
    assert out.mean() == pytest.approx(0, abs=1e-3)
    assert out.std() == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("axis", [-1, None, (1, 2), (1, -1), (3, 1)])
def test_it_learns_what_keras_learns_of_the_same_rows(axis):
    layer, wanted = keras.layers.Normalization(axis=axis), keras.layers.Normalization(axis=axis)
    model = build(layer)
    adapt(model, samples)
    wanted.adapt(IMAGES[TRAIN])
    for found, value in zip(learnt(layer), learnt(wanted), strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5)
    np.testing.assert_allclose(layer(IMAGES), wanted(IMAGES), rtol=1e-4, atol=1e-4)


def test_it_sees_what_the_layers_before_it_give():
    layer = keras.layers.Normalization()
    adapt(build(keras.layers.Rescaling(10), keras.layers.Dropout(0.5), layer), samples)
    np.testing.assert_allclose(learnt(layer)[0], 10 * IMAGES[TRAIN].mean((0, 1, 2)), rtol=1e-4)


def test_it_is_found_in_models_within_models_and_sees_what_comes_before_all_of_them():
    layer, other = keras.layers.Normalization(), keras.layers.Normalization()
    inner = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Rescaling(2.0), layer])
    elsewhere = keras.Input((4, 4, 2))
    keras.Model(elsewhere, inner(elsewhere))  # as a part of another model
    pixels = keras.Input((4, 4, 2))
    middle = keras.Model(pixels, inner(keras.layers.Rescaling(3.0)(pixels)))
    adapt(build(keras.layers.Rescaling(5.0), middle, other), samples)
    trained = IMAGES[TRAIN] * 30
    np.testing.assert_allclose(learnt(layer)[0], trained.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(learnt(layer)[1], trained.var((0, 1, 2)), rtol=1e-3)
    assert np.abs(learnt(other)[0]).max() < 1e-3  # what is normalised already


def test_values_that_were_given_or_adapted_before_stay():
    given = keras.layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 4.0])
    adapted = keras.layers.Normalization()
    adapted.adapt(np.full((2, 4, 4, 2), 7.0))
    adapt(build(given, adapted), samples)
    assert given.input_mean == [1.0, 2.0]
    np.testing.assert_array_equal(learnt(adapted)[0], [7.0, 7.0])


def test_a_subclassed_model_is_left_alone():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = keras.layers.Normalization()

        def call(self, x):
            return self.norm(x)

    adapt(Own(), samples)


def normalized(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Normalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )


def test_a_fit_adapts_its_model_to_its_fold(tmp_path):
    config = {
        "data": {"train": "digits"},
        "model": normalized,
        "params": {"epochs": 3, "learning_rate": 0.01},
        "search": {"folds": 2},
        "executor": {"kind": "inline"},
    }
    _, recipe = prepare_run(config, tmp_path)
    collector = Collector()
    job.train_pack(recipe, Pack((Job(Trial(0, {}), 0),)), collector)
    (record,) = collector.records.values()
    assert record.error is None
    assert record.score > 0.8


def test_a_fit_reads_batches_as_they_are_and_no_thread_that_sleeps_tunes_how():
    data = samples()
    batches = data.batches(data.train, 8)
    given = data.given(batches)
    for found, wanted in zip(given, [batches[place] for place in range(4)], strict=True):
        keras.tree.map_structure(np.testing.assert_array_equal, tuple(found), wanted)
    if keras.backend.backend() == "tensorflow":
        assert given.options().autotune.enabled is False
