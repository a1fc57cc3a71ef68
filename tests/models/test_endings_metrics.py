"""Keras's metrics of outputs that are probabilities or logits, of classes or of several labels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score, fbeta_score

from kerasgrid.errors import ModelError
from kerasgrid.keras_names import CLASS_METRICS
from kerasgrid.models.endings import make_metrics
from kerasgrid.records import Target

pytestmark = pytest.mark.slow

TWO, THREE = Target("classes", (0, 1)), Target("classes", (0, 1, 2))
LABELLED, PRICE = Target("labels", ("a", "b", "c")), Target("numbers", ("price",))
numbers = np.random.default_rng(0)
LOGITS = numbers.normal(size=(40, 3)).astype("float32")
LABELS = numbers.integers(0, 2, (40, 3)).astype("float32")


def measured(metric, labels, outputs) -> float:
    metric.update_state(labels, outputs)
    return float(metric.result())


def sigmoid(outputs):
    return 1 / (1 + np.exp(-outputs))


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("name", ["f1_score", "f_beta_score"])
def test_f1_of_several_labels_is_scikit_learns(name, from_logits):
    metric = make_metrics(name, 3, LABELLED, from_logits=from_logits)[1]
    scored = {"f1_score": f1_score, "f_beta_score": lambda *a, **k: fbeta_score(*a, beta=1.0, **k)}[name]
    wanted = scored(LABELS, LOGITS > 0, average="macro")
    outputs = LOGITS if from_logits else sigmoid(LOGITS)
    assert measured(metric, LABELS, outputs) == pytest.approx(wanted, abs=1e-6)


def test_f1_of_two_classes_with_one_output_counts_the_second():
    metric = make_metrics("f1_score", 1, TWO)[1]
    wanted = f1_score(LABELS[:, 0], LOGITS[:, 0] > 0)
    assert measured(metric, LABELS[:, :1], sigmoid(LOGITS[:, :1])) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    "name",
    ["accuracy", "auc", "binary_accuracy", "binary_crossentropy", "binary_io_u", "precision", "recall"],
)
@pytest.mark.parametrize("target", [TWO, LABELLED], ids=["two classes", "labels"])
def test_logits_are_measured_as_their_probabilities(name, target):
    n_outputs = 3 if target.is_multi_label else 1

    def value(outputs, from_logits):
        metric = make_metrics(name, n_outputs, target, from_logits=from_logits)[-1]
        return measured(metric, LABELS[:, :n_outputs], outputs[:, :n_outputs])

    assert value(LOGITS, True) == pytest.approx(value(sigmoid(LOGITS), False), abs=1e-5)


def test_accuracy_of_classes_is_left_to_keras():
    assert make_metrics(None, 3, THREE) == make_metrics("accuracy", 3, THREE) == ["accuracy"]


def test_class_indices_are_one_hot_rows_where_labels_are():
    metric = make_metrics("sparse_top_k_categorical_accuracy", 3, THREE, one_hot=True)[1]
    assert isinstance(metric, keras.metrics.TopKCategoricalAccuracy)
    assert metric.name == "sparse_top_k_categorical_accuracy"
    metric = make_metrics("sparse_categorical_accuracy", 3, THREE)[1]
    assert isinstance(metric, keras.metrics.SparseCategoricalAccuracy)


@pytest.mark.parametrize("name", sorted(CLASS_METRICS))
def test_metrics_of_classes_are_refused_where_no_output_is_one(name):
    with pytest.raises(ModelError, match=f"{name} is of one output for each class, and the model has a sing"):
        make_metrics(name, 1, TWO)
    with pytest.raises(ModelError, match="and a sample has any number of labels"):
        make_metrics(name, 3, LABELLED)


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        (None, ["mean_absolute_error", "root_mean_squared_error"]),
        ("mean_absolute_error", ["root_mean_squared_error", "mean_absolute_error"]),
        ("r2_score", ["mean_absolute_error", "root_mean_squared_error", "r2_score"]),
    ],
)
def test_numbers_are_told_by_errors_and_no_accuracy(objective, names):
    made = make_metrics(objective, 1, PRICE)
    assert [metric.name for metric in made] == names
    assert measured(made[0], np.array([[1.0], [3.0]]), np.array([[2.0], [3.0]])) == pytest.approx(
        0.5 if names[0] == "mean_absolute_error" else 0.5**0.5
    )


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("auc", "the metric auc is of classes, and numbers are predicted."),
        ("accuracy", "the metric accuracy is of classes, and numbers are predicted."),
        (
            "pearson_correlation",
            "the metric pearson_correlation compares a sample's outputs with each other, and the model has a "
            "single output.",
        ),
    ],
)
def test_metrics_that_are_none_of_numbers(objective, message):
    with pytest.raises(ModelError) as caught:
        make_metrics(objective, 1, PRICE)
    assert str(caught.value) == message
