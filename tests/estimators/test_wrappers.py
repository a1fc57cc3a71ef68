"""What wrappers of others call things, and what is in them: models, grids and objects as they are."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier

import kerasgrid as kg
from kerasgrid.errors import ConfigError, ModelError
from kerasgrid.estimators.wrappers import own_grid, own_params, wrapped
from kerasgrid.models.signature import signature_of


def own(input_shape, n_classes, units=8, optimizer="adam"): ...


def of_keras(X, y, units=8):
    import keras

    layers = [keras.layers.Dense(units), keras.layers.Dense(len(np.unique(y)), "softmax")]
    model = keras.Sequential([keras.Input(X.shape[1:]), *layers])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def talos(x, y, x_val, y_val, params): ...


class Callback:
    def set_model(self, model): ...


class EarlyStopping(Callback):
    __module__ = "keras.src.callbacks.early_stopping"

    def __init__(self, patience=0):
        self.monitor, self.patience, self.min_delta, self.wait = "val_loss", patience, np.float64(0.5), 3


class SGD:
    __module__ = "keras.src.optimizers.sgd"

    def __init__(self, learning_rate=0.01, momentum=0.0, clipnorm=None):
        self.config = {"learning_rate": learning_rate, "momentum": momentum, "clipnorm": clipnorm}

    def get_config(self):
        rate = self.config["learning_rate"]  # which a variable of Keras's holds
        return {
            **self.config,
            "learning_rate": rate if isinstance(rate, dict) else float(np.float32(rate)),
            "name": "SGD",
        }


class CategoricalCrossentropy:
    __module__ = "keras.src.losses.losses"

    def __init__(self, label_smoothing=0.0, reduction="sum_over_batch_size"):
        self.config = {"label_smoothing": label_smoothing, "reduction": reduction}

    def get_config(self):
        return self.config


def hinge(y_true, y_pred): ...


SUMMED = CategoricalCrossentropy(0.1, "sum")
SCHEDULED = SGD({"class_name": "ExponentialDecay"})
STOPPING = {"monitor": "val_loss", "patience": 2, "min_delta": 0.5}
OTHER = Callback()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"units": 4, "model__units": 5}, {"units": 5}),
        ({"model__units": 5, "units": 4}, {"units": 5}),
        (
            {"optimizer__learning_rate": 0.1, "optimizer__momentum": 0.9},
            {"learning_rate": 0.1, "optimizer.momentum": 0.9},
        ),
        ({"loss": "mse", "loss__from_logits": True}, {"loss": "mse", "loss.from_logits": True}),
        ({"epochs": 3, "fit__epochs": 4, "predict__batch_size": 9}, {"epochs": 4}),
        ({"epochs": 1, "fit_kwargs": {"epochs": 5, "verbose": 0}, "model_kwargs": None}, {"epochs": 5}),
        ({"model_kwargs": {"units": 3, "verbose": 1}}, {"units": 3, "verbose": 1}),
        ({"nb_epoch": 7, "verbose": 2, "metrics": ["accuracy"], "shuffle": True}, {"epochs": 7}),
        (
            {"class_weight": "balanced", "validation_split": 0.0},
            {"training.class_weight": "balanced", "validation_split": None},
        ),
        (
            {"callbacks": [EarlyStopping(2), [OTHER], None]},
            {"callbacks.early_stopping": STOPPING, "callbacks": [OTHER]},
        ),
        ({"callbacks": EarlyStopping}, {"callbacks.early_stopping": {}}),
        ({"callbacks": {"early_stopping": {}}}, {"callbacks": {"early_stopping": {}}}),
        ({"optimizer": dict, "loss": dict}, {"optimizer": dict, "loss": "dict"}),
        ({"shuffle": 1, "run_eagerly": np.False_}, {}),
        (
            {"callbacks": EarlyStopping, "callbacks__patience": 4, "callbacks__0__min_delta": 1},
            {
                "callbacks.early_stopping": {},
                "callbacks.early_stopping.patience": 4,
                "callbacks.early_stopping.min_delta": 1,
            },
        ),
        ({"callbacks__patience": 4}, {"callbacks__patience": 4}),
        (
            {"loss": CategoricalCrossentropy(0.1), "learning_rate": 0.3},
            {"loss": "CategoricalCrossentropy", "loss.label_smoothing": 0.1, "learning_rate": 0.3},
        ),
        ({"loss": SUMMED}, {"loss": SUMMED}),
        ({"loss": hinge}, {"loss": hinge}),
        (
            {"training.jit": False, "optimizer.momentum": 0.5},
            {"training.jit": False, "optimizer.momentum": 0.5},
        ),
    ],
)
def test_names_of_wrappers(given, expected):
    assert own_params(given, signature_of(own)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"optimizer": SGD(0.1, 0.9)}, {"optimizer": "SGD", "learning_rate": 0.1, "optimizer.momentum": 0.9}),
        (
            {"optimizer__learning_rate": 0.2, "optimizer": SGD(0.1, clipnorm=1.0), "learning_rate": 0.3},
            {"optimizer": "SGD", "learning_rate": 0.2, "optimizer.clipnorm": 1.0},
        ),
        ({"optimizer": SGD()}, {"optimizer": "SGD"}),
        ({"optimizer": SCHEDULED}, {"optimizer": SCHEDULED}),
    ],
)
def test_an_optimizer_in_hand_is_its_name_and_its_arguments(given, expected):
    assert own_params(given, signature_of(of_keras)) == expected


def test_what_an_optimizer_in_hand_has_is_no_other_ones_to_have():
    made = kg.KerasClassifier(of_keras, optimizer=SGD(momentum=0.9), callbacks=EarlyStopping)
    grid = {"optimizer": ["Adam", SGD(momentum=0.9)], "callbacks__patience": [1, 2]}
    assert made.faults(grid) == []


def test_a_talos_function_reads_its_own_names():
    given = {"nb_epoch": 3, "verbose": 1, "optimizer": "adam"}
    assert own_params({**given, "fit__epochs": 2}, signature_of(talos)) == {**given, "epochs": 2}


def test_a_grid_keeps_the_users_names():
    grid = {
        "model__units": [4, 8],
        "fit_kwargs": [{"epochs": 2}, {"epochs": 3, "batch_size": 8}],
        "verbose": [0],
    }
    own_values, called = own_grid(grid, signature_of(own))
    assert own_values == {"units": [4, 8], "epochs": [2, 3], "batch_size": [8]}
    assert called == {"units": "model__units", "epochs": "fit_kwargs", "batch_size": "fit_kwargs"}


@pytest.mark.parametrize(
    ("params", "grid", "faults"),
    [
        ({}, {"model__width": [4]}, ["param_grid.model__width: unknown parameter. Known: "]),
        ({}, {"fit__lr": [1]}, ["param_grid.fit__lr: unknown parameter. Did you mean 'learning_rate'?"]),
        ({}, {"fit__epochs": [0]}, ["param_grid.fit__epochs: is 0; a whole number of at least 1"]),
        ({"validation_split": 2}, {}, ["params.validation_split: is 2; a number between 0 and 1 holds."]),
        ({}, {"validation_split": [0.1, -1]}, ["param_grid.validation_split: is -1; a number between "]),
        ({"validation_data": (1, 2)}, {}, []),
        ({"shuffle": False}, {}, ["params.shuffle: is False, and samples are shuffled "]),
        ({"random_state": 1}, {}, ["params.random_state: is called seed here: "]),
        ({"callbacks": {"early_stopping": {}}}, {}, ["params.callbacks: is a section, and no parameter: "]),
        ({"callbacks": [OTHER], "validation_split": 0.2}, {"callbacks": [[OTHER], None]}, []),
    ],
)
def test_what_is_wrong_is_told_by_the_users_names(params, grid, faults):
    found = [f"{fault.path}: {fault.message}" for fault in kg.KerasClassifier(own, **params).faults(grid)]
    assert len(found) == len(faults)
    assert all(text.startswith(start) for text, start in zip(found, faults, strict=True)), found


def test_a_model_function_may_be_given_as_once():
    made = clone(kg.KerasClassifier(build_fn=own, nb_epoch=3, verbose=0))
    assert (made._function, made._python_params(), made.faults()) == (own, {"epochs": 3}, [])
    with pytest.raises(ModelError, match=r"^KerasRegressor is given no model function: give model=build"):
        kg.KerasRegressor(epochs=3).faults()


class _Wrapper(BaseEstimator):
    """The arguments that SciKeras's wrappers have, in a smaller number."""

    def __init__(
        self,
        model=None,
        build_fn=None,
        optimizer="rmsprop",
        loss=None,
        epochs=1,
        random_state=None,
        warm_start=False,
        verbose=1,
    ):
        self.model, self.build_fn, self.optimizer, self.loss = model, build_fn, optimizer, loss
        self.epochs, self.random_state, self.warm_start, self.verbose = (
            epochs,
            random_state,
            warm_start,
            verbose,
        )

    def fit(self, X, y): ...


@pytest.fixture
def scikeras(monkeypatch):
    """A module that stands in for SciKeras's."""
    module = ModuleType("scikeras.wrappers")
    for name in ("KerasClassifier", "KerasRegressor"):
        setattr(module, name, type(name, (_Wrapper,), {"__module__": "scikeras.wrappers"}))
    monkeypatch.setitem(sys.modules, "scikeras.wrappers", module)
    return module


def test_what_is_in_a_wrapper_of_scikeras(scikeras):
    def compiled(meta, compile_kwargs): ...

    make = scikeras.KerasClassifier
    assert wrapped(make(own, epochs=3, verbose=0)) == (False, own, {"epochs": 3, "verbose": 0})
    assert wrapped(make(build_fn=own)) == (False, own, {"epochs": 1})
    assert wrapped(scikeras.KerasRegressor(compiled))[::2] == (True, {"epochs": 1, "optimizer": "rmsprop"})
    assert wrapped(make(own, warm_start=True)).startswith("scikeras's KerasClassifier has warm_start")
    assert wrapped(make()).startswith("scikeras's KerasClassifier holds a model that is built")
    assert wrapped(kg.KerasClassifier(own)) is wrapped(DummyClassifier()) is wrapped(own) is None
    search = kg.GridSearchCV(make(own, random_state=5), {"model__units": [4]})
    assert isinstance(search.estimator, kg.KerasClassifier)
    assert (search.estimator.seed, search.estimator.model) == (5, own)
    assert clone(search).get_params()["estimator"].random_state == 5
    with pytest.raises(ConfigError, match=r"param_grid\.model__width: unknown parameter"):
        search.set_params(param_grid={"model__width": [4]}).fit(np.eye(4), [0, 1, 0, 1])


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_wrapper_of_keras_is_searched_as_its_function_is():
    from keras.wrappers import SKLearnClassifier

    X, y = load_iris(return_X_y=True)
    X, y = X[::3], y[::3]
    wrapper = SKLearnClassifier(of_keras, model_kwargs={"units": 4}, fit_kwargs={"epochs": 2, "verbose": 0})
    names = {"model_kwargs": [{"units": 4}, {"units": 6}], "fit_kwargs": [{"epochs": 2}]}
    options = {"cv": 2, "scoring": "neg_log_loss"}
    theirs = kg.GridSearchCV(wrapper, names, **options).fit(X, y)
    ours = kg.GridSearchCV(of_keras, {"units": [4, 6], "epochs": [2]}, **options).fit(X, y)
    scores = [found.cv_results_["mean_test_score"].tolist() for found in (theirs, ours)]
    assert scores[0] == scores[1]
    assert theirs.cv_results_["param_model_kwargs"].tolist() == names["model_kwargs"]
    assert len(theirs.best_estimator_.history_["loss"]) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_callbacks_in_hand_look_at_a_fit_of_their_own():
    import keras

    X, y = load_iris(return_X_y=True)
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(sorted(logs)))
    seen = []
    made = kg.KerasClassifier(of_keras, epochs=2, validation_split=0.2, callbacks=[count]).fit(X, y)
    assert seen == [["loss", "val_loss"]] * 2
    assert sorted(made.history_) == ["loss", "val_loss"]
