"""Which layers stages train, and that frozen ones are in training as in prediction."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.errors import ModelError

keras = pytest.importorskip("keras")

from kerasgrid.models.freezing import chosen_layers, freeze, rates_kept, thaw, train_only  # noqa: E402

pytestmark = pytest.mark.slow
layers = keras.layers


@pytest.fixture(autouse=True)
def _no_graphs_left():
    yield
    keras.backend.clear_session(free_memory=False)


def on_a_base():
    """Returns a net with layers before and after a model within, in which there is another one."""
    deep = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="deep_dense")], name="deep")
    inputs = keras.Input((4,))
    x = layers.Dropout(0.5, name="base_drop")(layers.BatchNormalization(name="norm")(deep(inputs)))
    base = keras.Model(inputs, layers.Dense(4, name="base_dense")(x), name="base")
    inputs = keras.Input((4,))
    x = layers.Dropout(0.25, name="drop")(base(layers.Dense(4, name="first")(inputs)))
    return keras.Model(inputs, layers.Dense(3, name="scores")(x), name="net")


def in_a_row(*last):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(2, 3, name="conv"),
            layers.MaxPooling2D(name="pool"),
            *last,
            layers.Dense(3, name="scores"),
        ],
        name="row",
    )


def names(found) -> list[str]:
    return [layer.name for layer in found]


INSTEAD = "Give `last N`, the name of a layer or of a model within, or all."
BASE = ["deep_dense", "norm", "base_drop", "base_dense"]


@pytest.mark.parametrize(
    ("make", "trainable", "wanted"),
    [
        (on_a_base, "head", ["first", "drop", "scores"]),
        (on_a_base, "all", ["first", *BASE, "drop", "scores"]),
        (on_a_base, "last 3", ["base_dense", "drop", "scores"]),
        (on_a_base, "last 99", ["first", *BASE, "drop", "scores"]),
        (on_a_base, "base_drop", ["base_drop", "base_dense", "drop", "scores"]),
        (on_a_base, "base", [*BASE, "drop", "scores"]),
        (on_a_base, "deep", [*BASE, "drop", "scores"]),
        (lambda: in_a_row(layers.Flatten(name="flat")), "head", ["scores"]),
        (in_a_row, "head", ["scores"]),
    ],
)
def test_a_stage_trains_what_it_names(make, trainable, wanted):
    model = make()
    assert names(chosen_layers(model, trainable)) == wanted
    train_only(model, "last 1")
    train_only(model, trainable)
    trained = {id(weight) for weight in model.trainable_weights}
    own = [layer for layer in model._flatten_layers() if not getattr(layer, "layers", None)]
    assert {layer.name for layer in own if any(id(weight) in trained for weight in layer.weights)} == {
        name for name in wanted if name not in ("drop", "base_drop")
    }


@pytest.mark.parametrize(
    ("make", "trainable", "message"),
    [
        (
            on_a_base,
            "base_dence",
            "net: of stages, 'base_dence' is no layer of it, nor a model within. Did you mean 'base_dense'? "
            "Known: head, all, last N, base, deep, and its 7 layers by their names.",
        ),
        (
            in_a_row,
            "block99",
            "row: of stages, 'block99' is no layer of it, nor a model within. Known: head, all, last N, and "
            "its 3 layers by their names.",
        ),
        (
            lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="plain"),
            "head",
            "plain: of stages, 'head' is what is not in a model within the net, or what comes after the last "
            f"pooling or Flatten, and there is neither. {INSTEAD}",
        ),
        (
            lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Softmax()], name="plain"),
            "last 1",
            f"plain: of stages, 'last 1' is softmax, which have no weights to train. {INSTEAD}",
        ),
    ],
)
def test_what_no_layers_are_is_told(make, trainable, message):
    keras.backend.clear_session(free_memory=False)
    with pytest.raises(ModelError) as raised:
        chosen_layers(make(), trainable)
    assert str(raised.value) == message


RANDOM = {
    "dropout": layers.Dropout(0.5),
    "spatial": layers.SpatialDropout1D(0.5),
    "alpha": layers.AlphaDropout(0.5),
    "gaussian": layers.GaussianDropout(0.5),
    "noise": layers.GaussianNoise(1.0),
    "lstm": layers.LSTM(4, dropout=0.5, recurrent_dropout=0.5),
    "both ways": layers.Bidirectional(layers.GRU(4, dropout=0.5)),
}


@pytest.mark.parametrize("kind", [*RANDOM, "attention", "heads", "norm"])
def test_frozen_layers_are_in_training_as_in_prediction_until_they_thaw(kind):
    inputs, x = keras.Input((6, 4)), np.random.default_rng(0).normal(size=(5, 6, 4)).astype("float32")
    if kind == "attention":
        outputs = layers.Attention(dropout=0.5)([inputs, inputs])
    elif kind == "heads":
        outputs = layers.MultiHeadAttention(2, 2, dropout=0.5)(inputs, inputs)
    elif kind == "norm":
        outputs = layers.BatchNormalization()(inputs)
    else:
        config = RANDOM[kind].get_config()
        outputs = type(RANDOM[kind]).from_config(config)(inputs)
    model = keras.Model(inputs, outputs)
    wanted, config = np.asarray(model(x, training=False)), str(model.get_config())

    def in_training():
        return np.asarray(model(x, training=True))

    assert not np.allclose(in_training(), wanted)
    with rates_kept(model):
        freeze([model])
        wanted = np.asarray(model(x, training=False))  # BatchNormalization has seen a batch
        np.testing.assert_array_equal(in_training(), wanted)
    assert str(model.get_config()).replace("'trainable': False", "'trainable': True") == config
    freeze([model])
    thaw([model])
    assert str(model.get_config()) == config
    assert not np.allclose(in_training(), np.asarray(model(x, training=False)))
