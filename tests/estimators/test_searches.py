"""Searches of scikit-learn's over a model function: packs and workers give what fits one by one give."""

import json
import pickle
from copy import deepcopy
from functools import partial

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import loguniform
from sklearn import config_context, model_selection
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import DataConversionWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

import kerasgrid as kg
from kerasgrid.data.inputs import Rows, in_rows
from kerasgrid.errors import ChangedError, DataError, ModelError, RefusedError, TrialError
from kerasgrid.estimators.ahead import FitsAhead
from kerasgrid.training.wave import Wave

pytestmark = pytest.mark.slow
SGD = {"optimizer": ["SGD"]}


def build(input_shape, n_classes, units=4, activation="relu"):
    """A small net, for pixels from 0 to 1."""
    layers = [keras.layers.Dense(units, activation), keras.layers.Dense(n_classes, "softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def build_numbers(input_shape, n_outputs, units=4):
    layers = [keras.layers.Dense(units, "tanh"), keras.layers.Dense(n_outputs)]
    return keras.Sequential([keras.Input(input_shape), *layers])


def build_of_inputs(input_shapes, n_classes, units=4):
    given = [keras.Input(shape) for shape in input_shapes]
    h = keras.layers.Dense(units, "tanh")(keras.layers.concatenate(given))
    return keras.Model(given, keras.layers.Dense(n_classes, "softmax")(h))


def of_list(estimator, X, y):
    """A score that takes X apart, where it is given as `fit` was."""
    return estimator.score(X if isinstance(X, Rows) else [X[0], X[1]], y)


def size(estimator, X, y):
    """A score that asks a fitted estimator for more than its predictions of X."""
    return estimator.model_.count_params() + float(estimator.predict_proba(X[:3]).max())


# Halves, and all, are full batches: what is left over is a step more to compile, which `grid` has.
@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:128] / 16, y[:128]


@pytest.fixture(scope="module")
def numbers():
    X, y = load_diabetes(return_X_y=True)
    return X[:96], y[:96]


@pytest.fixture(scope="module")
def inputs(digits):
    """Both halves of each digit, as what scikit-learn's own search takes for one thing."""
    X, y = digits
    return in_rows([X[:, :32], X[:, 32:]], y), y


@pytest.fixture
def trained(monkeypatch):
    """How often fits were trained ahead, by the epochs of each proposal."""
    told = []
    train = FitsAhead.train

    def counting(self, candidates, splits, longest=None):
        train(self, candidates, splits, longest)
        told.append([params.get("epochs") for params in candidates])

    monkeypatch.setattr(FitsAhead, "train", counting)
    return told


# Before the others, which compute step by step.
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="JAX reads no index beyond a table as an error"
)
def test_an_error_that_fills_pages_is_told_by_its_cause(digits):
    def build(input_shape, n_classes):
        layers = [
            keras.layers.Embedding(3, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(n_classes, "softmax"),
        ]
        return keras.Sequential([keras.Input(input_shape), *layers])

    X, y = (digits[0] * 16).astype(int), digits[1]
    told = r"^\S*test_searches\.py:\d+, InvalidArgumentError: indices\[.*\] = \d+ is not in \[0, 3\)"
    with pytest.raises(TrialError, match=f"{told}$"):
        kg.KerasClassifier(build, epochs=1).fit(X, y)
    with pytest.raises(TrialError, match=rf"{told}\. With name=, all that it said is kept\.$"):
        kg.GridSearchCV(build, {"epochs": [1]}, cv=2, error_score="raise").fit(X, y)


CASES = {
    "grid": (
        "GridSearchCV",
        build,
        "digits",
        {"param_grid": [{"units": [4], "epochs": [1, 2], **SGD}, {"units": [8], "epochs": [1], **SGD}]},
        {
            "cv": ShuffleSplit(2, test_size=0.3, random_state=0),
            "scoring": ["accuracy", "neg_log_loss"],
            "refit": "neg_log_loss",
            "return_train_score": True,
        },
    ),
    "random": (
        "RandomizedSearchCV",
        build,
        "digits",
        {"param_distributions": {"learning_rate": loguniform(1e-3, 1e-1), "epochs": [1], **SGD}},
        {"n_iter": 2, "cv": 2, "random_state": 0, "scoring": size},
    ),
    "halving_of_epochs": (
        "HalvingGridSearchCV",
        build,
        "digits",
        {"param_grid": {"learning_rate": [0.01, 0.1, 0.5], **SGD}},
        {"cv": 2, "resource": "epochs", "min_resources": 1, "max_resources": 3, "random_state": 0},
    ),
    "halving_of_samples": (
        "HalvingGridSearchCV",
        build,
        "digits",
        {"param_grid": {"learning_rate": [0.01, 0.1, 0.5], "epochs": [1], **SGD}},
        {
            "cv": 2,
            "min_resources": 64,
            "factor": 2,
            "random_state": 0,
            "return_train_score": False,
            "refit": False,
        },
    ),
    "inputs": (
        "RandomizedSearchCV",
        build_of_inputs,
        "inputs",
        {"param_distributions": {"learning_rate": [0.1, 0.01], "epochs": [2], **SGD}},
        {"n_iter": 2, "cv": 2, "random_state": 0, "scoring": of_list, "return_train_score": True},
    ),
    "numbers": (
        "GridSearchCV",
        build_numbers,
        "numbers",
        {
            "param_grid": [
                {"epochs": [2], "target_scale": ["standardize"]},
                {"epochs": [2], "target_scale": [None], "seed": [1]},
            ]
        },
        {"cv": GroupShuffleSplit(2, random_state=0), "scoring": "neg_mean_absolute_error"},
    ),
}


ON_JAX = "random"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.backend] if name == ON_JAX else []) for name in CASES]
)
def test_it_finds_what_scikit_learns_own_finds_over_an_estimator(case, trained, request):
    name, function, data, grid, options = CASES[case]
    X, y = request.getfixturevalue(data)
    kind = kg.KerasRegressor if data == "numbers" else kg.KerasClassifier
    given = {"groups": np.arange(len(y)) // 16, "sample_weight": np.linspace(0, 1, len(y))}
    given = given if data == "numbers" else {}
    fixed = {"epochs": 1} if options.get("resource") == "epochs" else {}
    theirs = getattr(model_selection, name)(kind(function, **fixed), *grid.values(), **options)
    ours = getattr(kg, name)(function, *grid.values(), **options)
    theirs.fit(X, y, **given)
    X = X.apart if data == "inputs" else X
    assert trained == []
    ours.fit(X, y, **given)
    assert len(trained) == (2 if "Halving" in name else 1)
    assert list(ours.cv_results_) == list(theirs.cv_results_)
    for key, values in theirs.cv_results_.items():
        if "time" not in key and "rank" not in key:
            found = ours.cv_results_[key]
            is_number = isinstance(values, np.ndarray) and values.dtype.kind == "f"
            np.testing.assert_allclose(found, values, rtol=1e-4) if is_number else (
                np.testing.assert_array_equal(found, values)
            )
    if options.get("refit", True):
        assert ours.best_params_ == theirs.best_params_
        predict = "predict" if data == "numbers" else "predict_proba"
        told = getattr(ours, predict)(X)
        np.testing.assert_allclose(told, getattr(theirs, predict)(X), rtol=1e-3)
        np.testing.assert_array_equal(getattr(pickle.loads(pickle.dumps(ours)), predict)(X), told)
        assert ours.best_estimator_.history_.keys() == theirs.best_estimator_.history_.keys()
        loss = theirs.best_estimator_.history_["loss"]
        assert ours.best_estimator_.history_["loss"] == pytest.approx(loss, rel=1e-5)
        assert ours.best_estimator_._ahead is ours.best_estimator_._trained is None


def test_a_function_of_a_script_trains_in_workers_and_goes_on_under_its_name(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    width = 5

    def build_here(input_shape, n_classes, units):
        return build(input_shape, n_classes, width + units)

    def fitted(**options):
        grid = {"units": [1, 3], "epochs": [1]}
        found = kg.GridSearchCV(build_here, grid, cv=2, scoring="neg_log_loss", **options).fit(*digits)
        return found.cv_results_["mean_test_score"].tolist(), found.predict_proba(digits[0])

    scores, probabilities = fitted(n_jobs=2, name="kept")
    assert [path.name for path in sorted((tmp_path / "results").iterdir())] == ["kept", "kept.json"]
    assert json.loads((tmp_path / "results" / "kept.json").read_text())["summary"]["fits"] == 4
    inline = fitted()
    assert scores == pytest.approx(inline[0], rel=1e-5)
    np.testing.assert_allclose(probabilities, inline[1], rtol=1e-4)
    packs = []
    monkeypatch.setattr(
        "kerasgrid.driver.search.train_pack", lambda recipe, pack, context: packs.append(pack)
    )
    again = fitted(name="kept")
    assert (again[0], packs) == (scores, [])
    np.testing.assert_array_equal(again[1], probabilities)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("grid", "splits", "reason"),
    [
        (
            {"activation": [keras.activations.tanh]},
            None,
            "activation=.* is an object, which no other process",
        ),
        ({}, [(range(20), range(10, 30))], "split 0 holds out samples that it trains on"),
        ({}, [([1, 1, *range(2, 60)], range(60, 80))], "split 0 trains on a sample twice"),
        ({}, [(range(1, 6), range(60, 80))], "split 0 trains on no sample of some class"),
    ],
)
def test_what_cannot_be_trained_ahead_is_trained_one_by_one(digits, trained, grid, splits, reason):
    search = kg.GridSearchCV(build, {"epochs": [1], **grid}, cv=splits, refit=False)
    with pytest.warns(UserWarning, match=f"GridSearchCV: fits are trained one by one, .*: {reason}"):
        search.fit(*digits)
    assert trained == []
    assert search.cv_results_["mean_test_score"][0] >= 0


@pytest.mark.usefixtures("eager")
def test_metadata_is_routed_to_fits_and_scores(digits):
    X, y = digits
    weights = np.where(y == 0, 0.0, 1.0)
    with config_context(enable_metadata_routing=True):
        estimator = kg.KerasClassifier(build).set_fit_request(sample_weight=True)
        estimator.set_score_request(sample_weight=True)
        find = partial(kg.GridSearchCV, param_grid={"epochs": [1], "learning_rate": [0.1]}, cv=2, refit=False)
        weighed = find(estimator).fit(X, y, sample_weight=weights).cv_results_["mean_test_score"]
        theirs = model_selection.GridSearchCV(
            estimator, {"epochs": [1], "learning_rate": [0.1]}, cv=2, refit=False
        )
        assert weighed == pytest.approx(
            theirs.fit(X, y, sample_weight=weights).cv_results_["mean_test_score"]
        )
        with pytest.raises(ValueError, match="sample_weight"):
            find(build).fit(X, y, sample_weight=weights)


@pytest.mark.usefixtures("eager")
def test_a_name_is_of_one_set_of_samples_and_other_scores_may_follow(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = digits

    def fitted(X=X, y=y, name="kept", **options):
        found = kg.GridSearchCV(
            build, {"epochs": [2], **SGD}, cv=[(range(96), range(96, 128))], name=name, **options
        )
        return found.fit(X, y)

    measure, measured = Wave._measured, []

    def measuring(wave, *told):
        measured.append(wave.epoch)
        return measure(wave, *told)

    monkeypatch.setattr(Wave, "_measured", measuring)
    first = fitted()
    assert measured == [1, 2, 2]  # the last one of the best candidate on all samples
    with pytest.raises(
        ChangedError, match=r"otherwise: data changed\. Give the search another name=, or move"
    ):
        fitted(X[::-1])
    with pytest.raises(ChangedError, match="data changed"):
        fitted(y=(y + 1) % 10)
    again = fitted(scoring=size, return_train_score=True)
    measured.clear()
    alone = fitted(name=None, scoring=size, return_train_score=True)
    assert measured == [2, 2]  # of a run that is forgotten nobody sees curves
    for key in ("mean_test_score", "mean_train_score"):
        assert again.cv_results_[key] == pytest.approx(alone.cv_results_[key], rel=1e-4)
    np.testing.assert_array_equal(again.predict_proba(X), first.predict_proba(X))


@pytest.mark.usefixtures("eager")
def test_what_a_scorer_fits_is_its_own_and_what_it_keeps_lasts(digits):
    X, y = digits
    kept = []

    def fits_a_clone(estimator, X, y):
        kept.append(clone(estimator).fit(X, y))
        kept.append(estimator)
        return estimator.score(X, y)

    options = {"cv": 2, "refit": False}
    grid = {"learning_rate": [0.1, 0.01], "epochs": [1], **SGD}
    plain = kg.GridSearchCV(build, grid, **options).fit(X, y).cv_results_["mean_test_score"]
    found = kg.GridSearchCV(build, grid, scoring=fits_a_clone, **options).fit(X, y)
    assert found.cv_results_["mean_test_score"].tolist() == plain.tolist()
    own, others = kept[0], kept[1]
    assert own.history_["loss"] != others.history_["loss"]
    assert others.predict_proba(X[:3]).shape == (3, 10)
    assert len(clone(others).fit(X[:40], y[:40]).predict(X)) == 128


class Own(keras.Model):
    """A model whose class Keras does not know, with a layer of which no config tells."""

    def __init__(self, units, n_outputs):
        super().__init__()
        self.net = keras.Sequential([Called(keras.ops.relu, units), keras.layers.Dense(n_outputs)])

    def call(self, values):
        return self.net(values)


class Called(keras.layers.Layer):
    def __init__(self, function, units):
        super().__init__()
        self.function, self.inner = function, keras.layers.Dense(units)

    def call(self, values):
        return self.function(self.inner(values))


def build_own(input_shape, n_outputs):
    return Own(4, n_outputs)


def build_own_of_table(input_shape, n_classes):
    return Own(4, n_classes)


def build_own_of_rows(X, y):
    model = Own(len(X), y.shape[1])
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("case", ["numbers", "table", "rows"])
def test_a_model_that_keras_would_not_load_is_pickled_with_what_builds_it(case, digits, numbers):
    """It says the same, on a target's own scale, of a table's rows, and built of rows that it is shown."""
    X, y = numbers if case == "numbers" else digits
    if case == "numbers":
        estimator = kg.KerasRegressor(build_own, target_scale="standardize", epochs=1)
    elif case == "table":
        X = pd.DataFrame({"number": X[:, 20], "text": np.array(["a", "b", "c"])[y % 3]})
        estimator = kg.KerasClassifier(build_own_of_table, epochs=1)
    else:
        estimator = kg.KerasClassifier(build_own_of_rows, epochs=1)
    held_out = X[:10], y[:10]
    estimator.fit(X, y, validation_data=held_out).set_params(epochs=0)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict(X), estimator.predict(X))
    weights = zip(again.model_.get_weights(), estimator.model_.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in weights)
    twice = deepcopy(again)
    np.testing.assert_array_equal(twice.predict(X), estimator.predict(X))
    assert clone(again).get_params() == estimator.get_params()


class Batches(keras.utils.PyDataset):
    """What Keras reads batches from."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, place):
        return self.batches[place]


@pytest.mark.usefixtures("eager")
def test_fit_takes_what_keras_s_own_does(digits, trained):
    held_out, given = (digits[0][90:], digits[1][90:]), (digits[0][:90], digits[1][:90])
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5)
    search = kg.GridSearchCV(build, {"units": [4], **SGD}, cv=2)
    fit = {"epochs": 2, "batch_size": 64, "verbose": 0, "callbacks": [stop]}
    with pytest.warns(DataConversionWarning) as told:
        search.fit(given[0], given[1][:, None], validation_data=held_out, **fit)
    assert len([one for one in told if one.category is DataConversionWarning]) == 1
    found = search.best_estimator_
    assert trained == [[None]]
    assert len(found.history_["loss"]) == 2
    told = log_loss(held_out[1], found.predict_proba(held_out[0]), labels=range(10))
    assert found.history_["val_loss"][-1] == pytest.approx(told, rel=1e-5)
    plain = kg.KerasClassifier(build, **found.params)
    plain.fit(Batches([given]), validation_data=Batches([held_out]))  # drawn
    assert plain.history_["val_loss"] == pytest.approx(found.history_["val_loss"], rel=1e-5)
    assert plain.history_["loss"] == pytest.approx(found.history_["loss"], rel=1e-5)
    with pytest.raises(DataError, match=r"^validation_data: has samples of \(3,\), and X and y of \(64,\)"):
        plain.fit(*given, validation_data=(held_out[0][:, :3], held_out[1]))


def test_several_outputs_are_told_before_anything_is_trained(digits, trained):
    X, y = digits
    with pytest.raises(DataError, match="y is a list of 2 arrays of 128 labels each, and several outputs"):
        kg.GridSearchCV(build, {"units": [1], "epochs": [1]}, cv=2).fit(X, [y, y / 3])
    assert trained == []


def test_a_function_that_builds_nothing_is_told_before_anything_is_trained(digits, trained):
    def build(input_shape, n_classes, units):
        return units / (units - units)

    told = r"\S*test_searches\.py:\d+, build: ZeroDivisionError: division by zero"
    with pytest.raises(RefusedError, match=f"^GridSearchCV, estimator: {told}$"):
        kg.GridSearchCV(build, {"units": [1, 2], "epochs": [1]}, cv=2).fit(*digits)
    assert trained == []


def test_faults_of_a_run_are_told_by_what_its_caller_has_given(digits):
    def compiled(input_shape, n_classes, units=4):
        model = build(input_shape, n_classes, units)
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    with pytest.raises(RefusedError, match=r"^GridSearchCV, param_grid\.loss: .*"):
        kg.GridSearchCV(compiled, {"loss": ["mse"], "epochs": [1]}, cv=2).fit(*digits)

    def number(input_shape):
        return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(1)])

    X, y = digits[0], np.arange(len(digits[0]))
    told = r"the model's output is \(None, 1\), but 128 classes need .* in Python by y\.astype\(float\)\.$"
    with pytest.warns(UserWarning, match="trained one by one"), pytest.raises(ModelError, match=told):
        kg.GridSearchCV(number, {"epochs": [1]}, cv=ShuffleSplit(1, random_state=0)).fit(X, y)
