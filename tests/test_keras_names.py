"""The tables of Keras's names, compared to the installed Keras."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from kerasgrid import keras_names as names

BASES = {
    "optimizers": {"Optimizer", *names.WRAPPING_OPTIMIZERS},
    "losses": {"Loss", "LossFunctionWrapper"},
    "metrics": {"Metric", "MeanMetricWrapper", "Mean", "Sum"},
}


ADDED = {
    "CategoricalGeneralizedCrossEntropy": (3, 9),
    "categorical_generalized_cross_entropy": (3, 9),
    "sparse_sigmoid": (3, 9),
    "Muon": (3, 12),
    "ScheduleFreeAdamW": (3, 14),
    "sparse_categorical_crossentropy": (3, 9),
}
"""In which Keras a name came, or the last of its arguments, at the latest; all others are in 3.8."""


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def is_later(keras, name: str) -> bool:
    return tuple(map(int, keras.__version__.split(".")[:2])) < ADDED.get(name, (3, 8))


def those_of(keras, names) -> set[str]:
    return {name for name in names if not is_later(keras, name)}


def defaults(callable_, without: set[str]) -> dict:
    parameters = inspect.signature(callable_).parameters.values()
    return {
        item.name: item.default
        for item in parameters
        if item.kind is not inspect.Parameter.VAR_KEYWORD and item.name not in without
    }


def classes_of(module, base) -> dict[str, type]:
    return {
        name: item for name, item in vars(module).items() if inspect.isclass(item) and issubclass(item, base)
    }


@pytest.mark.slow
def test_optimizers_are_those_of_keras(keras):
    found = classes_of(keras.optimizers, keras.optimizers.Optimizer)
    found = set(found) - BASES["optimizers"]
    assert those_of(keras, names.OPTIMIZERS) <= found <= set(names.OPTIMIZERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_optimizer(keras, name):
    if is_later(keras, name):
        pytest.skip(f"of a newer Keras: {name}")
    assert isinstance(getattr(keras.optimizers, name)(), keras.optimizers.Optimizer)
    if name not in {"Lamb", "Muon"}:  # this one some versions do not know, which have it
        assert type(keras.optimizers.get(name)).__name__ == name
    assert defaults(getattr(keras.optimizers, name), {"name"}) == dict(names.OPTIMIZERS[name])


@pytest.mark.slow
def test_losses_are_those_of_keras(keras):
    found = {item.__name__ for item in classes_of(keras.losses, keras.losses.Loss).values()}
    functions = {
        item.__name__
        for item in vars(keras.losses).values()
        if inspect.isfunction(item) and item.__module__.endswith("losses.losses")
    }
    classes = {entry.class_name for entry in names.LOSSES.values()}
    assert those_of(keras, classes) == found - BASES["losses"] - {"CTC", "Circle"}
    later = {name for name in names.LOSSES if is_later(keras, names.LOSSES[name].class_name)}
    assert set(names.LOSSES) - later == functions - {"ctc", "circle"}


@pytest.mark.slow
@pytest.mark.parametrize("name", names.LOSSES)
def test_loss(keras, name):
    if is_later(keras, name):
        pytest.skip(f"of a newer Keras: {name}, or an argument of it")
    entry = names.LOSSES[name]
    if name != "categorical_generalized_cross_entropy":
        assert keras.losses.get(name).__name__ == name
    made = getattr(keras.losses, entry.class_name)(**entry.arguments)
    assert defaults(type(made), {"name", "reduction", "dtype"}) == dict(entry.arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", names.LOSSES)
def test_loss_takes_the_labels_it_is_said_to(keras, name):
    if is_later(keras, names.LOSSES[name].class_name):
        pytest.skip(f"of a newer Keras: {name}")
    predicted = keras.ops.convert_to_tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    labels = {"sparse": [0, 1]}.get(names.LOSSES[name].labels, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    loss = getattr(keras.losses, names.LOSSES[name].class_name)()
    value = float(loss(keras.ops.convert_to_tensor(labels), predicted))
    wrong = [2, 2] if names.LOSSES[name].labels == "sparse" else [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    assert value < float(loss(keras.ops.convert_to_tensor(wrong), predicted))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(names.NUMBER_LOSSES))
def test_losses_of_numbers_are_least_where_they_are_met(keras, name):
    loss = getattr(keras.losses, names.LOSSES[name].class_name)()
    numbers = keras.ops.convert_to_tensor([[3.5, 1.0], [250.0, 2.0]])
    others = keras.ops.convert_to_tensor([[3.0, 2.0], [240.0, 9.0]])
    assert float(loss(numbers, numbers)) < float(loss(numbers, others))


@pytest.mark.slow
def test_metrics_are_those_of_keras_that_need_no_arguments(keras):
    found = set()
    for item in classes_of(keras.metrics, keras.metrics.Metric).values():
        required = [value for value in defaults(item, set()).values() if value is inspect.Parameter.empty]
        if not required:
            found.add(item.__name__)
    assert {entry.class_name for entry in names.METRICS.values()} == found - BASES["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("name", names.METRICS)
def test_metric(keras, name):
    assert type(keras.metrics.get(name)).__name__ == names.METRICS[name].class_name


PREDICTED = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]]
ONE_HOT = {True: [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], False: [[0, 1.0, 0], [0, 0, 1.0], [1.0, 0, 0]]}
# Wrong in every case of these, or right in every case, by its way of counting: no order to be seen.
BY_COUNTING = {"accuracy", "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(names.METRICS) - BY_COUNTING))
def test_direction_of_metric(keras, name):
    entry = names.METRICS[name]
    values = {}
    for right, labels in ONE_HOT.items():
        metric = keras.metrics.get(name)
        if entry.labels == "sparse":
            labels = [row.index(1.0) for row in labels]
        metric.update_state(keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(PREDICTED))
        values[right] = float(keras.ops.mean(metric.result()))
    assert values[True] > values[False] if entry.direction == "max" else values[True] < values[False]


@pytest.mark.slow
def test_short_names_are_keras_own(keras):
    for short, name in names._SHORT_LOSSES.items():
        assert keras.losses.get(short).__name__ == name
    for short, name in names._SHORT_METRICS.items():
        if short != "acc":  # `compile` knows this one, keras.metrics.get does not.
            assert type(keras.metrics.get(short)).__name__ == names.METRICS[name].class_name


@pytest.mark.slow
def test_activations_are_those_of_keras(keras):
    found = {
        name
        for name, item in vars(keras.activations).items()
        if inspect.isfunction(item) and name not in {"get", "serialize", "deserialize"}
    }
    assert found <= set(names.ACTIVATIONS)
    for name in those_of(keras, names.ACTIVATIONS):
        assert callable(keras.activations.get(name))


@pytest.mark.parametrize(
    ("find", "name", "expected"),
    [
        (names.find_optimizer, "adam", "Adam"),
        (names.find_optimizer, "RMSPROP", "RMSprop"),
        (names.find_optimizer, "adamm", None),
        (names.find_optimizer, "MultiOptimizer", None),
        (names.find_loss, "mse", "mean_squared_error"),
        (names.find_loss, "MSE", "mean_squared_error"),
        (names.find_loss, "CategoricalCrossentropy", "categorical_crossentropy"),
        (names.find_loss, "Sparse_Categorical_Crossentropy", "sparse_categorical_crossentropy"),
        (names.find_loss, "accuracy", None),
        (names.find_metric, "acc", "accuracy"),
        (names.find_metric, "AUC", "auc"),
        (names.find_metric, "F1Score", "f1_score"),
        (names.find_metric, "roc_auc", None),
    ],
)
def test_find(find, name, expected):
    assert find(name) == expected


@pytest.mark.parametrize("name", ["RectifiedAdam", "radam", "RAdam", "rectified_adam"])
def test_rectified_adam_is_said_to_be_absent(name):
    message = names.optimizer_hint(name)
    assert message.startswith(
        "Keras 3 has no RectifiedAdam (it was part of TensorFlow Addons, which has ended)."
    )
    for near in ("ScheduleFreeAdamW", "Nadam", "AdamW", "Adam "):
        assert near in message


@pytest.mark.slow
def test_rectified_adam_is_absent(keras):
    assert not [name for name in vars(keras.optimizers) if "rectified" in name.lower()]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Adamm", "Keras 3 has no optimizer of that name. Did you mean 'Adam'? Known: Adadelta, "),
        ("multioptimizer", "MultiOptimizer is made of other optimizers and cannot be chosen by its name: "),
    ],
)
def test_optimizer_hint(name, message):
    assert names.optimizer_hint(name).startswith(message)


def test_import_brings_no_keras():
    code = (
        "import sys, kerasgrid.keras_names; sys.exit(any(m in sys.modules for m in ('keras', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
