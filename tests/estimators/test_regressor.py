"""KerasRegressor: numbers, weights and tables, as scikit-learn's own searches and pipelines ask for them."""

from __future__ import annotations

import os
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone, is_regressor
from sklearn.utils.estimator_checks import estimator_checks_generator

import kerasgrid as kg
from kerasgrid.errors import ConfigError, DataError

numbers = np.random.default_rng(0)
X = numbers.normal(size=(96, 3))
Y = 5_000 + 100 * (X @ [1.0, -2.0, 0.5])
HALVES = np.arange(0, 96, 2), np.arange(1, 96, 2)
QUICK = {"units": 8, "depth": 1, "dropout": 0.0, "epochs": 8, "batch_size": 16, "learning_rate": 0.05}


def linear(input_shape, n_outputs, rate=0.3):
    """A net whose fit takes milliseconds."""
    import keras

    model = keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(n_outputs)]
    )
    model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    return model


def scaled(**params):
    return kg.KerasRegressor(linear, target_scale="standardize", epochs=8, batch_size=96, **params)


def test_it_is_a_regressor_with_parameters_of_its_own():
    model = kg.KerasRegressor("mlp", seed=3, target_scale="log", dropout=0.5)
    assert is_regressor(model)
    assert model.get_params() == {"model": "mlp", "seed": 3, "target_scale": "log", "dropout": 0.5}
    assert clone(model).set_params(target_scale=None, units=4).get_params()["target_scale"] is None
    assert model.__class__ is kg.KerasRegressor


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"target_scale": "logarithm"}, "target_scale: is 'logarithm'; None, 'standardize' or 'log' holds."),
        ({"unit": 4}, "unit"),
        ({"training.class_weight": "balanced"}, "class_weight: is a weight of each class, and numbers are"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ConfigError) as told:
        kg.KerasRegressor("mlp", **params).fit(X, Y)
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("y", "weights", "message"),
    [
        (-Y, None, "above -1 holds with target_scale log"),
        (Y, np.zeros(96), "sample_weight is zero for all samples"),
        (Y, np.r_[np.ones(95), -1], "sample_weight: sample 95 (counted from 0) has -1.0. 0 or more holds."),
        (Y, np.ones(5), "sample_weight has shape (5,) and dtype float64, and there are 96 samples"),
    ],
)
def test_wrong_numbers_and_weights(y, weights, message):
    with pytest.raises(DataError) as told:
        kg.KerasRegressor(linear, target_scale="log").fit(X, y, sample_weight=weights)
    assert message in str(told.value)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
class TestFits:
    def test_predictions_are_numbers_as_y_has_them(self):
        model = scaled().fit(X, Y)
        assert model.score(X, Y) > 0.99
        assert model.predict(X).shape == (96,)
        np.testing.assert_allclose(model.model_.predict(X, verbose=0)[:, 0], model.predict(X), rtol=1e-5)
        several = scaled().fit(X, np.stack([Y, -Y], axis=1)).predict(X)
        np.testing.assert_allclose(several[:, 0], -several[:, 1], rtol=0.05)

    def test_a_sample_that_counts_nothing_teaches_nothing(self):
        wrong = np.where(np.arange(96) % 2, Y, 9e6)
        weights = np.arange(96) % 2
        model = kg.KerasRegressor(linear, epochs=4, batch_size=96)
        told = [model.fit(X, y / 1000, sample_weight=weights).predict(X) for y in (Y, wrong)]
        np.testing.assert_array_equal(*told)

    def test_weights_reach_it_by_routing(self):
        with sklearn.config_context(enable_metadata_routing=True):
            model = scaled().set_fit_request(sample_weight=True)
            grid = kg.GridSearchCV(model, {"rate": [0.3]}, cv=2).fit(X, Y, sample_weight=np.ones(96))
        assert grid.best_score_ > 0.9

    def test_a_frame_of_texts_dates_and_blanks_is_a_table(self):
        city = np.array(["Rome", "Oslo", "Bern"])[np.arange(96) % 3]
        frame = pd.DataFrame({"a": X[:, 0], "city": city, "day": pd.date_range("2020-01-01", periods=96)})
        frame.loc[4, "a"] = np.nan
        y = X[:, 0] + (city == "Oslo")
        grid = kg.GridSearchCV("mlp", {name: [value] for name, value in QUICK.items()}, cv=[HALVES])
        grid.fit(frame, y)
        assert grid.best_score_ > 0.5
        found = grid.best_estimator_
        assert list(found.feature_names_in_) == ["a", "city", "day"]
        other = frame.head(3).assign(city="Paris")
        with pytest.warns(UserWarning, match="Paris|city"):
            assert np.isfinite(found.predict(other)).all()
        with pytest.raises(DataError, match="fitted to a DataFrame"):
            found.predict(X)


def blank(image):
    """A preprocessing_function by which all images are the same."""
    return 0 * image


@pytest.mark.slow
def test_a_function_of_the_users_prepares_what_is_predicted_too():
    """It is no layer, beside those that undo the scale of y."""
    images = numbers.normal(size=(32, 4, 4, 1)).astype("float32")
    model = scaled(**{"augment.preprocessing_function": f"{__file__}:blank"}).fit(images, Y[:32])
    found = model.predict(images)
    np.testing.assert_allclose(found, found[0])
    np.testing.assert_allclose(found, Y[:32].mean(), rtol=0.01)


def line(input_shape, n_outputs):
    """A net whose fit takes milliseconds."""
    import keras

    model = keras.Sequential([keras.Input(input_shape), keras.layers.Dense(n_outputs)])
    model.compile(keras.optimizers.SGD(0.3), "mean_squared_error", run_eagerly=True)
    return model


OWN_CHECKS = {  # what KerasClassifier does not do as well, whose checks are beside its tests
    "check_regressor_data_not_an_array",
    "check_regressor_multioutput",
    "check_supervised_y_2d",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks_of_regressors_hold(monkeypatch):
    monkeypatch.setattr("gc.collect", lambda *generation: 0)
    model = kg.KerasRegressor(line, epochs=2, batch_size=1024, target_scale="standardize")
    checks = {check.func.__name__: partial(check, own) for own, check in estimator_checks_generator(model)}
    for name in OWN_CHECKS:
        checks[name]()
