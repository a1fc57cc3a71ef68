"""A net is cut behind the largest part from its inputs on that training changes nothing of."""

from __future__ import annotations

from functools import partial, wraps

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from kerasgrid.models.backbone import backbone  # noqa: E402
from kerasgrid.models.inputs import inputs_of  # noqa: E402
from kerasgrid.training.candidate import recorded  # noqa: E402
from kerasgrid.training.frozen import WholeError, split  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.backend]
layers = keras.layers
SHAPE = (8, 8, 3)


def conv(**given):
    return layers.Conv2D(**{"filters": 2, "kernel_size": 3, "trainable": False, "name": "conv", **given})


def chain(*parts):
    return keras.Sequential([keras.Input(SHAPE), *parts, layers.Flatten(name="flat"), layers.Dense(3)])


def within(**given):
    """Returns a model within another one, of two layers of which the first is frozen."""
    image = keras.Input(SHAPE)
    x = conv(name="first")(layers.Rescaling(1 / 255, name="scaled")(image))
    inner = keras.Model(image, conv(name="second", trainable=True)(x), name="inner")
    outer = keras.Input(SHAPE)
    return keras.Model(outer, layers.Dense(3)(layers.GlobalMaxPooling2D()(inner(outer, **given))))


def over_the_cut():
    """Returns a net with a shortcut from its frozen part past a layer that is trained."""
    image = keras.Input(SHAPE)
    x = conv()(image)
    y = conv(name="trained", trainable=True, padding="same")(layers.ReLU()(x))
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x + y)))


def twice():
    """Returns a net that calls a frozen layer before and behind one that is trained."""
    image, shared = keras.Input(SHAPE), conv(filters=3, padding="same")
    x = layers.Conv2D(3, 1)(shared(image))
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(shared(x))))


def in_rows(*parts):
    """Returns a chain whose parts are given the rows of an image one after the other."""
    return chain(layers.Reshape((8, 24)), *map(frozen, parts))


def of_operations():
    ops, image = keras.ops, keras.Input(SHAPE)
    x = ops.transpose(ops.reshape(conv(padding="same")(image), (-1, 16, 8)), (0, 2, 1))
    x = ops.concatenate([x, ops.softmax(x, axis=-2) / ops.mean(x, axis=-1, keepdims=True)], axis=1)
    x = ops.max(ops.squeeze(ops.expand_dims(ops.stack([x, x * 2], axis=1), 1), 1), axis=(1, 2))
    return keras.Model(image, layers.Dense(3)(layers.Flatten(name="flat")(x)))


def of_two_inputs():
    image, facts = keras.Input(SHAPE, name="image"), keras.Input((4,), name="facts")
    x = layers.concatenate([layers.Flatten()(conv()(image)), layers.Dense(2)(facts)])
    return keras.Model({"image": image, "facts": facts}, layers.Dense(3)(x))


def in_numbers(by_name=False):
    """Returns a net with one of two inputs within, whole numbers, of which a frozen layer takes the first."""
    first, second = (keras.Input((4,), dtype="int32", name=name) for name in ("query", "context"))
    x = layers.Dense(2, trainable=False, name="fixed")(keras.ops.cast(first, "float32"))
    y = layers.Dense(2)(keras.ops.cast(second, "float32"))
    inner = keras.Model([first, second], layers.concatenate([x, y]), name="inner")
    one, other = keras.Input((4,)), keras.Input((4,))
    given = {"query": one, "context": other} if by_name else [one, other]
    return keras.Model([one, other], layers.Dense(3)(inner(given)))


def masked(is_trained):
    """Returns a net whose RNN has a mask by way of a model within, which is frozen in part or whole."""
    steps, mask = keras.Input((6, 3)), keras.Input((6,), dtype="bool")
    dense = layers.Dense(2, trainable=False, name="fixed")
    parts = [dense, layers.Dense(2)] if is_trained else [dense]
    x = keras.Sequential([keras.Input((6, 3)), *parts], name="inner")(steps, mask=mask)
    return keras.Model([steps, mask], layers.Dense(3)(layers.LSTM(2)(x)))


class Subclassed(keras.Model):
    """A net around a frozen one."""

    def __init__(self):
        super().__init__()
        self.base = keras.Sequential([keras.Input(SHAPE), conv(), layers.Flatten()])
        self.head = layers.Dense(3)

    def call(self, x):
        return self.head(self.base(x))

    @classmethod
    def built(cls):
        model = cls()
        model(np.zeros((1, *SHAPE)))
        return model


def frozen(layer):
    layer.trainable = False
    return layer


@pytest.mark.parametrize(
    ("make", "last", "shapes"),
    [
        (lambda: chain(conv()), "flat", [(72,)]),
        (lambda: chain(conv(), layers.Dropout(0.5)), "conv", [(6, 6, 2)]),
        (lambda: chain(conv(), layers.Dropout(0.0)), "flat", [(72,)]),
        (lambda: chain(conv(), layers.BatchNormalization()), "conv", [(6, 6, 2)]),
        (lambda: chain(conv(), frozen(layers.BatchNormalization())), "flat", [(72,)]),
        (within, "first", [(6, 6, 2)]),
        (lambda: within(training=False), "first", [(6, 6, 2)]),
        (over_the_cut, "re_lu", [(6, 6, 2), (6, 6, 2)]),
        (twice, "conv", [(8, 8, 3)]),
        (of_two_inputs, "flatten", [(4,), (72,)]),
        (lambda: in_rows(layers.LSTM(2, return_sequences=True), layers.GRU(3)), "flat", [(3,)]),
        (lambda: in_rows(layers.Bidirectional(layers.SimpleRNN(2))), "flat", [(4,)]),
        (lambda: in_rows(layers.TimeDistributed(layers.Dense(2))), "flat", [(16,)]),
        (lambda: chain(layers.CenterCrop(6, 6), conv()), "flat", [(32,)]),
        (of_operations, "flat", [(16,)]),
        (in_numbers, "fixed", [(4,), (2,)]),
        (lambda: backbone(SHAPE, 3, backbone="repvgg", trainable=False, dropout=0.5), None, [(128,)]),
        (lambda: backbone(SHAPE, 3, backbone="vit", trainable=False), None, [(64,)]),
    ],
    ids=[
        "conv",
        "dropout",
        "dropout of 0",
        "batch norm",
        "frozen batch norm",
        "within",
        "within, called otherwise",
        "over the cut",
        "twice",
        "two inputs",
        "recurrent",
        "both ways",
        "at each time",
        "cropped",
        "operations",
        "whole numbers within",
        "repvgg",
        "vit",
    ],
)
def test_it_ends_where_something_is_trained_or_draws(make, last, shapes):
    keras.backend.clear_session()
    model = make()
    cut = split(model)
    assert [tuple(symbol.shape[1:]) for symbol in cut.rest.inputs] == shapes
    assert last is None or cut.last == last
    numbers = np.random.default_rng(0)
    given = inputs_of(model)
    x = keras.tree.map_structure(lambda one: numbers.normal(size=(4, *one.shape[1:])), given)
    found = cut.rest(cut.part(x, training=False), training=False)
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (found, model(x, training=False))))
    assert {id(weight) for weight in cut.rest.trainable_weights} == {
        id(weight) for weight in model.trainable_weights
    }
    assert not cut.part.trainable_weights


def test_a_layer_that_is_made_of_others_is_not_counted_beside_them():
    inner = layers.Bidirectional(layers.LSTM(2, return_sequences=True))
    cut = split(in_rows(inner, layers.TimeDistributed(layers.Dense(2))))
    assert [type(layer).__name__ for layer in cut.layers] == ["LSTMCell", "LSTMCell", "Dense"]


def of_tokens(are_taken):
    """Returns a net of tokens' numbers, of which an embedding that is trained takes what others come to."""
    ids = keras.Input((4,))
    own = layers.Embedding(9000, 2, name="own")(layers.Reshape((2, 2))(ids))
    known = layers.Embedding(9000, 2, trainable=False)(ids)
    x = [layers.Flatten()(known), layers.Flatten()(own)]
    return keras.Model(ids, layers.Dense(3)(layers.concatenate(x if are_taken else x[:1])))


@pytest.mark.parametrize(
    ("make", "is_exact"),
    [
        (over_the_cut, False),
        (of_two_inputs, True),
        (lambda: of_tokens(False), False),
        (lambda: of_tokens(True), True),
    ],
    ids=["over the cut", "two inputs", "embedded", "tokens beside that"],
)
def test_inputs_that_merely_pass_it_are_kept_as_they_are(make, is_exact):
    assert split(make()).is_exact == is_exact


class Own(layers.Layer):
    """A layer of the user's own, of which is not known what it does."""

    def call(self, x):
        return x


@wraps(keras.activations.relu)
def relu(x):
    """Goes by the name of one of Keras's, and is another function."""
    return keras.ops.relu(x - keras.ops.mean(x, axis=0))


OWN = "has an activation of your own, which may draw something or mix samples"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: chain(conv(trainable=True)), ""),
        (lambda: chain(layers.Rescaling(1 / 255), conv(trainable=True)), ""),
        (lambda: chain(layers.Conv2D(3, 1, name="first"), conv()), "the layer first is trained"),
        (
            lambda: chain(layers.GaussianNoise(0.1, name="noise"), conv()),
            "the layer noise (GaussianNoise) draws",
        ),
        (
            lambda: chain(layers.RandomFlip(name="flip"), conv()),
            "the layer flip (RandomFlip) may draw something",
        ),
        (lambda: chain(Own(name="own"), conv()), "the layer own (Own) may draw something or mix samples"),
        (
            lambda: chain(layers.Normalization(name="norm"), conv()),
            "the layer norm learns mean and variance of each fold's training rows",
        ),
        (lambda: frozen(chain(conv())), "nothing is trained"),
        (lambda: Subclassed.built(), "the net is of a class of its own"),
        (lambda: chain(conv(activation=lambda x: x * x)), f"the layer conv {OWN}"),
        (lambda: chain(conv(activation=relu)), f"the layer conv {OWN}"),
        (
            lambda: chain(conv(activation=partial(keras.activations.leaky_relu, negative_slope=0.3))),
            f"the layer conv {OWN}",
        ),
        (lambda: chain(conv(activation=Own(name="own"))), "the layer own (Own) may draw"),
        (lambda: chain(layers.Softmax(axis=0, name="axis"), conv()), "the layer axis (Softmax) may draw"),
        (
            lambda: chain(layers.UnitNormalization(axis=-4, name="axis"), conv()),
            "the layer axis (UnitNormalization) may draw",
        ),
        (lambda: in_rows(layers.LSTM(2, dropout=0.5)), "the layer lstm_cell (LSTMCell) draws in training"),
        (
            lambda: in_rows(layers.GRU(2, recurrent_activation=lambda x: x)),
            f"the layer gru_cell {OWN}",
        ),
        (
            lambda: in_rows(layers.TimeDistributed(layers.Dense(2, activation=lambda x: x, name="own"))),
            f"the layer own {OWN}",
        ),
        (
            lambda: in_rows(layers.TimeDistributed(layers.Softmax(axis=-2, name="axis")), layers.Dense(2)),
            "the layer axis (Softmax) may draw",
        ),
        (lambda: masked(is_trained=False), "the model inner within is called with a mask"),
        (lambda: masked(is_trained=True), "the layer inner is trained"),
        (lambda: in_numbers(by_name=True), "the layer inner is trained"),
    ],
    ids=[
        "trained",
        "trained after a scale",
        "trained first",
        "noise",
        "random",
        "own",
        "learnt",
        "nothing trained",
        "of a class of its own",
        "own activation",
        "own activation by Keras's name",
        "own activation, in part of Keras's",
        "own layer as activation",
        "over samples",
        "over samples, from the end",
        "recurrent, dropping",
        "recurrent, own activation",
        "own activation at each time",
        "over samples at each time",
        "masked",
        "masked and trained in part",
        "inputs by name",
    ],
)
def test_a_net_that_does_not_begin_with_one_is_whole_and_says_why(make, message):
    with pytest.raises(WholeError) as error:
        split(make())
    assert str(error.value).startswith(message)
    assert bool(str(error.value)) == bool(message)


def test_weights_that_are_drawn_for_each_fit_are_no_part_of_it():
    with recorded() as made:
        model = chain(conv(), conv(name="drawn"))
    drawn = {id(weight) for weight in model.get_layer("drawn").weights}
    assert made.initializers.keys() >= drawn
    assert split(model, drawn).last == "conv"
    with pytest.raises(WholeError, match="the weights of the layer conv are drawn anew for each fit"):
        split(model, made.initializers.keys())
