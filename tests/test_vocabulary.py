"""What others call what is here, and what is meant by names that are spelled wrongly."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import loguniform, uniform
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold

from kerasgrid import wording as vocabulary
from kerasgrid.checks.parameters import PLACES, faults_of_params
from kerasgrid.config.reading import config_from_dict
from kerasgrid.engines import ENGINES
from kerasgrid.errors import ConfigError, did_you_mean
from kerasgrid.jobs.objective import find_objective
from kerasgrid.keras_names import LOSSES, OPTIMIZERS
from kerasgrid.models.references import BUILT_IN, parse_reference
from kerasgrid.models.signature import Parameter, Signature, read_signature
from kerasgrid.wording import nearest


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        *((name, OPTIMIZERS, "Adam") for name in ("adma", "Aadm", "addam", "adm", "ADAN")),
        *((name, OPTIMIZERS, "RMSprop") for name in ("rms_prop", "RMSProp", "rmsporp")),
        ("nadma", OPTIMIZERS, "Nadam"),
        ("sdg", OPTIMIZERS, "SGD"),
        ("momentum", OPTIMIZERS, None),
        ("categorical_crosentropy", LOSSES, "categorical_crossentropy"),
        ("p9", ["p0", "label"], None),
        ("gird", ENGINES, "grid"),
        ("fcc", BUILT_IN, "fc"),
        ("x", ["a", "b"], None),
        ("", ["a", "b"], None),
    ],
)
def test_the_nearest_name_is_the_one_with_the_fewest_changes(name, known, meant):
    assert nearest(name, known) == meant
    assert (f" Did you mean {meant!r}?" if meant else "Did you") in did_you_mean(name, known) or meant is None


MEASURED = ["accuracy", "loss", "mean_squared_error", "root_mean_squared_error"]
WATCHED = [*MEASURED, *(f"val_{name}" for name in MEASURED), "learning_rate"]


@pytest.mark.parametrize(
    ("monitor", "meant"),
    [
        ("val_acc", "val_accuracy"),
        ("valAcc", "val_accuracy"),
        ("validation_accuracy", "val_accuracy"),
        ("validation_loss", "val_loss"),
        ("val_mse", "val_mean_squared_error"),
        ("val_rmse", "val_root_mean_squared_error"),
        ("acc", "accuracy"),
        ("train_acc", "accuracy"),
        ("mse", "mean_squared_error"),
        ("val_los", "val_loss"),
    ],
)
def test_a_monitor_keeps_the_rows_that_it_is_measured_on_and_an_objective_has_none(monitor, meant):
    assert did_you_mean(monitor, WATCHED).startswith(f" Did you mean {meant!r}?")
    own = meant.removeprefix("val_")
    assert did_you_mean(monitor, MEASURED, ()).startswith(f" Did you mean {own!r}?")


@given(st.text(max_size=6), st.integers(0, 5))
def test_neighbours_that_change_places_are_one_change(word, place):
    place = min(place, max(len(word) - 2, 0))
    swapped = word[:place] + word[place : place + 2][::-1] + word[place + 2 :]
    assert vocabulary._distance(word, swapped) == (word != swapped)
    assert vocabulary._distance(word, word + "x") == vocabulary._distance("x" + word, word) == 1


def told_of(**config):
    _, faults = config_from_dict({"model": "fc", "data": {"train": "digits"}, **config})
    return {fault.path: fault.message for fault in faults}


KEYS = {
    "search.folds": "cv n_splits KFold folds",
    "space": "grid param_grid param_distributions hyperparameters search_space",
    "search.objective": "scoring metrics metric",
    "search.trials": "max_trials n_trials n_iter",
    "search.seed": "random_state seed",
    "search.val": "validation_split",
    "search.engine": "tuner engine",
    "search.repeats": "executions_per_trial",
    "executor.workers": "n_jobs workers",
    "callbacks.early_stopping": "early_stopping EarlyStopping earlyStopping",
    "callbacks.learning_rate_scheduler": "decay lr_scheduler",
    "callbacks.early_stopping.patience": "patience",
    "params.learning_rate": "lr learning_rate _lr",
    "params.epochs": "epochs n_epochs nb_epoch num_epochs",
    "params.batch_size": "batch_size batchsize batchSize",
    "params.dropout": "dropout dropout_rate",
    "data.scale": "rescale scale",
    "data.label": "label y_col target",
    "data.image": "target_size image_size",
    "augment.rotation_range": "rotation_range rotation",
    "model": "build_fn hypermodel",
}


@pytest.mark.parametrize(("place", "words"), KEYS.items())
@pytest.mark.parametrize("section", ["", "search", "training", "executor"])
def test_a_key_that_others_have_or_that_stands_elsewhere_is_told_its_place(place, words, section):
    for word in words.split():
        told = told_of(**({section: {word: 3}} if section else {word: 3}))
        message = told.get(f"{section}.{word}" if section else word)
        if message is None or "unknown key" not in message:
            assert f"{section}.{word}" in (place, "search.epochs")  # where it belongs
        else:
            meant = place.removeprefix(f"{section}.")
            if (section, meant) == ("search", "params.epochs"):
                meant = "epochs"  # which search has as well
            assert message.startswith(f"unknown key. Did you mean {meant!r}? Known: ")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *((word, "learning_rate") for word in ("lr", "_lr", "LR", "learningRate", "init_lr", "learning_rat")),
        *((word, "epochs") for word in ("nb_epoch", "n_epochs", "num_epochs", "max_epochs", "fit__epochs")),
        *((word, "batch_size") for word in ("mini_batch", "batch", "fit__batch_size", "bs")),
        *((word, "dropout") for word in ("dropout_rate", "model__dropout", "droput", "estimator__dropout")),
        *((word, "units") for word in ("hidden_units", "neurons", "unit", "hidden_layer_sizes")),
        ("optimizer__momentum", "optimizer.momentum"),
        ("nesterov", "optimizer.nesterov"),
        ("weight_decay", "optimizer.weight_decay"),
        ("label_smoothing", "loss.label_smoothing"),
        ("rotation_range", "augment.rotation_range"),
        ("callbacks__patience", "callbacks.early_stopping.patience"),
        ("decay", "callbacks.learning_rate_scheduler"),
        ("early_stopping", "callbacks.early_stopping"),
        ("_optimizer", "optimizer"),
        ("cv", "search.folds"),
        ("random_state", "search.seed"),
    ],
)
def test_a_parameter_that_others_have_is_told_what_it_is_here(word, meant, tmp_path):
    signature = read_signature(parse_reference("fc", tmp_path))
    for fixed, searched in (({word: 1}, {}), ({}, {word: [1, 2]})):
        (fault,) = faults_of_params(fixed, searched, signature)
        assert fault.message.startswith(f"unknown parameter. Did you mean {meant!r}? Known: ")


def test_what_this_model_function_does_not_have_is_not_meant():
    (fault,) = faults_of_params({}, {"neurons": [4]}, Signature((Parameter("width", "3"),)))
    assert fault.message == (
        "unknown parameter. Known: batch_size, epochs, learning_rate, loss, optimizer, width."
    )


@pytest.mark.parametrize("word", ["groups", "split", "shuffle"])
def test_how_samples_are_split_is_told_by_other_keys(word):
    assert re.match(r"unknown key\. \w.*\bfolds?\b.* Known: ", told_of(search={word: 1})[f"search.{word}"])


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("optuna", " Optuna's samplers are the engines tpe and gp. Known: "),
        ("KerasTuner", " KerasTuner's oracles are the engines bayesian, hyperband, random_kt and grid_kt. "),
        ("RandomizedSearchCV", " Did you mean 'random'?"),
        ("asha", " Did you mean 'halving'?"),
        ("BayesianOptimization", " Did you mean 'bayesian'?"),
    ],
)
def test_engines_of_others_are_told_which_they_are_here(engine, said):
    assert did_you_mean(engine, ENGINES, ()).startswith(said)


def test_what_has_no_key_here_is_told_in_a_sentence():
    assert "Nothing sets how much is printed: commands have --quiet" in told_of(verbose=1)["verbose"]
    assert (
        "search.keep_models: best or all"
        in told_of(callbacks={"ModelCheckpoint": {}})["callbacks.ModelCheckpoint"]
    )
    assert told_of(executor={"kind": "multiprocessing"})["executor.kind"].endswith(
        "Did you mean 'processes'?"
    )


def test_all_places_of_the_vocabulary_are_there(tmp_path):
    own = read_signature(parse_reference("fc", tmp_path)).names
    params = {*own, "learning_rate", "epochs", "batch_size", "optimizer", "loss", "l2"}
    for place in vocabulary._CALLED:
        is_there = (
            place in PLACES
            or place in ENGINES
            or place in ("processes", "inline", "mixed_float16", "mixed_bfloat16")
        )
        if place.startswith("params."):
            is_there = place.removeprefix("params.") in params
        assert is_there or find_objective(place), place
    assert all(vocabulary._plain(word) == word for word in vocabulary._SAID)


class Adam:
    """As all objects of Keras, it has a config."""

    __module__ = "keras.src.optimizers.adam"

    def __init__(self, learning_rate=0.001):
        self.learning_rate = learning_rate

    def get_config(self):
        return {"learning_rate": self.learning_rate}


class Focal(Adam):
    pass


def own_loss(y_true, y_pred): ...


class EarlyStopping(Adam):
    pass


class Sequential(Adam):
    """A model can be called, and is no model function."""

    __module__ = "keras.src.models.sequential"

    def __call__(self, inputs):
        return inputs

    def count_params(self):
        return 0


class TensorBoard:
    __module__ = "keras.src.callbacks.tensorboard"


class SwapEMAWeights:
    __module__ = "keras.src.callbacks.swap_ema_weights"


def relu(x):
    return x


relu.__module__ = "keras.src.activations.activations"


class Watch:
    pass


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "callbacks",
            [EarlyStopping()],
            "an EarlyStopping; names and their arguments hold, callbacks: {'early_stopping': {...}}.",
        ),
        (
            "callbacks",
            {"x": Watch()},
            "a Watch; names and their arguments hold, callbacks: {'path/to/file.py:Watch': {...}}.",
        ),
        (
            "callbacks",
            "early_stopping",
            "'early_stopping'; a mapping such as {early_stopping: {patience: 3}} holds.",
        ),
        ("callbacks", ["x"], "['x']; a mapping such as {early_stopping: {patience: 3}} holds."),
        ("executor", "processes", "'processes'; a mapping such as {kind: processes} holds."),
        ("executor", 4, "4; a mapping such as {workers: 4} holds."),
        ("search", "random", "'random'; a mapping such as {engine: random} holds."),
        ("search", {"time": 60}, "60, which has no unit; 60s, 60min or 60h holds."),
        ("data", "digits", "'digits'; a mapping such as {train: digits} holds."),
        (
            "data",
            np.zeros(3),
            "a ndarray; files are named here, and arrays given beside the config: kg.search(config, X, y).",
        ),
        ("exclude", "a > 1", "'a > 1'; a list such as ['a > 1'] holds."),
        (
            "model",
            Adam(),
            "an Adam; give a function that builds and returns a model: "
            "def build(input_shape, n_classes, ...).",
        ),
        (
            "model",
            Sequential(),
            "a Sequential; give the function that builds and returns it: "
            "def build(input_shape, n_classes, ...).",
        ),
        ("augment", Sequential(), "a Sequential; a mapping such as {rotation_range: 10} holds."),
        ("augment", [Sequential()], "a Sequential; a mapping such as {rotation_range: 10} holds."),
        ("space", {"augment": [Watch()]}, "a Watch; a mapping such as {rotation_range: 10} holds."),
        (
            "augment",
            {"preprocessing_function": max},
            "the function max; its place holds, path/to/file.py:max.",
        ),
        (
            "callbacks",
            [TensorBoard()],
            "a TensorBoard. Curves are exported by kerasgrid export --to tensorboard.",
        ),
        (
            "callbacks",
            [SwapEMAWeights()],
            "a SwapEMAWeights; names and their arguments hold, callbacks: "
            "{'keras.callbacks:SwapEMAWeights': {...}}.",
        ),
        (
            "search",
            {"folds": StratifiedKFold(4)},
            "a StratifiedKFold; a whole number holds, folds: 4; or give it as kg.search(..., cv=...).",
        ),
        (
            "search",
            {"folds": RepeatedStratifiedKFold(n_splits=5)},
            "a RepeatedStratifiedKFold; a whole number holds, folds: 5; or give it as kg.search(..., "
            "cv=...).",
        ),
        (
            "params",
            {"activation": Sequential()},
            "a Sequential; the name of an activation holds, such as 'relu'.",
        ),
        (
            "search",
            {"objective": Watch()},
            "a Watch; a name holds, of scikit-learn's scorers or of Keras's metrics; or a function of y_true "
            "and y_pred.",
        ),
        ("params", {"activation": relu}, "the function relu; its name holds: 'relu'."),
        ("space", {"activation": [relu]}, "the function relu; its name holds: 'relu'."),
        (
            "space",
            {"epochs": range(1, 4)},
            "range(1, 4); a list holds, list(range(1, 4)), or {low: 1, high: 3, step: 1, type: int}.",
        ),
        ("space", {"dropout": {0.1}}, "a set, which has no order; a list holds."),
        (
            "space",
            {"dropout": iter([1])},
            "a list_iterator, which is gone through once; a list holds: list(...).",
        ),
        ("space", {"dropout": uniform(0.1, 0.4)}, "a distribution; a range holds: {low: 0.1, high: 0.5}."),
        (
            "space",
            {"learning_rate": loguniform(1e-4, 1e-1)},
            "a distribution; a range holds: {low: 0.0001, high: 0.1, log: true}.",
        ),
        ("space", {"optimizer": [Adam]}, "the class Adam; its name holds: 'Adam'."),
        (
            "params",
            {"optimizer": Adam()},
            "an Adam; its name holds, 'Adam', and its arguments beside it as optimizer.NAME.",
        ),
        (
            "params",
            {"optimizer": Adam({"class_name": "CosineDecay"})},
            "an Adam, whose learning rate is a schedule: let the model function compile its model with it, "
            "model.compile(optimizer=...). Or give callbacks.learning_rate_scheduler.",
        ),
        (
            "space",
            {"loss": [own_loss]},
            "the function own_loss, which is none of Keras's: let the model function compile its model with "
            "it, model.compile(loss=...).",
        ),
        (
            "params",
            {"loss": Focal()},
            "a Focal, which is none of Keras's: let the model function compile its model with it, "
            "model.compile(loss=...).",
        ),
        (
            "space",
            {"activation": [lambda x: x]},
            "the function <lambda>; a name holds, which the model function can look up.",
        ),
        ("search", {"folds": max}, "a builtin_function_or_method; a number, text, list or mapping holds."),
        ("augment", {"rotation_range": Sequential()}, "a Sequential; a number, text, list or mapping holds."),
        ("params", {"x": date(2020, 1, 1)}, "a date; a number, text, list or mapping holds."),
    ],
)
def test_an_object_is_told_with_what_to_give_instead(key, value, message):
    try:
        told = told_of(**{key: value})
    except ConfigError as error:
        told = {fault.path: fault.message for fault in error.faults}
    assert list(told.values()) == [f"is {message}"]


def test_paths_and_arrays_of_values_hold(tmp_path):
    config = {"model": "fc", "data": {"train": tmp_path / "a.csv"}}
    config["space"] = {"dropout": np.array([0.1, 0.2]), "units": (np.int64(4),)}
    found, faults = config_from_dict(config)
    assert not faults
    assert found.data.train == str(tmp_path / "a.csv")
    assert found.space == {"dropout": [0.1, 0.2], "units": [4]}


def test_a_name_that_is_known_twice_is_listed_once():
    """The model function may name what training would take too."""
    told = did_you_mean("widht", ["optimizer", "width", "batch_size", "epochs", "optimizer"])
    assert told == " Did you mean 'width'? Known: batch_size, epochs, optimizer, width."
