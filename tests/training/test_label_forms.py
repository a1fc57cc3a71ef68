"""Which form of labels losses, metrics and training steps of the user's own take."""

from __future__ import annotations

import keras
import pytest
from keras import ops

from kerasgrid.training.label_forms import form_of_loss, form_of_step, trains_itself

pytestmark = pytest.mark.slow


def focal(y_true, y_pred):
    return -ops.sum(ops.cast(y_true, "float32") * (1 - y_pred) ** 2 * ops.log(y_pred), axis=-1)


class Focal(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return focal(y_true, y_pred)


def smoothed(share):
    def loss(y_true, y_pred):
        n = y_pred.shape[-1]
        rows = ops.one_hot(ops.cast(y_true, "int32"), n) * (1 - share) + share / n
        return keras.losses.categorical_crossentropy(rows, y_pred)

    return loss


def reshaped(y_true, y_pred):
    """Broadcasts class indices, and then tells nothing."""
    y_true = ops.reshape(y_true, (-1, 1)) if len(y_true.shape) == 1 else y_true
    return -ops.sum(y_true * ops.log(y_pred), axis=-1)


def either(y_true, y_pred):
    kind = "sparse_categorical" if len(y_true.shape) == 1 else "categorical"
    return getattr(keras.losses, f"{kind}_crossentropy")(y_true, y_pred)


def expected(y_true, y_pred):
    return ops.square(y_true - ops.sum(y_pred * ops.arange(y_pred.shape[-1], dtype="float32"), axis=-1))


def share_of_rows(y_true, y_pred):
    return ops.mean(ops.sum(y_true * y_pred, axis=-1))


FORMS = {
    "one-hot rows": (focal, [], "one_hot"),
    "an object": (Focal(), [], "one_hot"),
    "one for all rows": (lambda y, p: ops.mean(focal(y, p)), [], "one_hot"),
    "element by element": (lambda y, p: ops.square(y - p), [], "one_hot"),
    "broadcast": (reshaped, [], "one_hot"),
    "a closure over class indices": (smoothed(0.1), [], "sparse"),
    "a distance of classes": (expected, [], "sparse"),
    "either": (either, ["accuracy"], "sparse"),
    "either, and rows are measured": (either, [share_of_rows], "one_hot"),
    "either, and Keras's is measured": (either, [keras.metrics.CategoricalAccuracy()], "one_hot"),
    "neither": (lambda y, p: p @ y, [], None),
}


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("case", FORMS)
def test_a_loss_is_given_labels_in_the_form_that_it_takes(case, n_classes):
    loss, metrics, form = FORMS[case]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(n_classes, activation="softmax")])
    model.compile("adam", loss, metrics=metrics)
    assert form_of_loss(loss, model, n_classes, n_classes, from_logits=False) == form


class Stepping(keras.Model):
    def __init__(self, loss):
        super().__init__()
        self.dense, self.own = keras.layers.Dense(3, activation="softmax"), loss

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(self.own(y, y_pred))


@pytest.mark.parametrize("case", ["one-hot rows", "a closure over class indices", "neither"])
def test_a_training_step_is_given_labels_in_the_form_that_it_takes(case):
    loss, _, form = FORMS[case]

    def make():
        model = Stepping(loss)
        model.compile("adam")
        return model

    assert trains_itself(make())
    assert form_of_step(make, (4,), 3) == form
