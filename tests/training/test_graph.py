"""Which candidates share a graph, and which cannot be a program's, with the reason."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import importlib
import re

import keras
import numpy as np
import pytest
from fakes import classes_of
from keras import layers

from kerasgrid.models.keras_private import call_of
from kerasgrid.models.mlp import mlp
from kerasgrid.models.references import BUILT_IN
from kerasgrid.records import Target
from kerasgrid.training import backend
from kerasgrid.training.candidate import recorded
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.fusible import (
    _ELEMENT_BY_ELEMENT,
    _OVER_AXES,
    PER_SAMPLE,
    UnfusibleError,
    keeps_samples_apart,
    mixes_samples,
)
from kerasgrid.training.graph import initial_weights, lift
from kerasgrid.training.keyed import KEYED

pytestmark = pytest.mark.slow

SAMPLE = (np.zeros((1, 8, 8, 1), "float32"), np.zeros(1, "int32"))


def net(
    units=16,
    activation="relu",
    dropout=0.2,
    l2=0.01,
    slope=0.1,
    optimizer=None,
    name=None,
    inner=(),
    activity=None,
    trainable=True,
    **compiling,
):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(l2), trainable=trainable)(inputs)
    x = layers.LeakyReLU(slope)(x)
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    x = layers.Dense(units, activity_regularizer=activity)(x)
    x = layers.Activation(activation, name=name)(x)
    for layer in inner:
        x = layer(x)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    arguments = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiling}
    model.compile(optimizer or keras.optimizers.SGD(0.1, momentum=0.9), **arguments)
    return model


def lifted(model):
    return lift(Compiled(model, "sparse", 4, False, classes_of(4)), SAMPLE)


def sgd(rate=0.1, **arguments):
    return keras.optimizers.SGD(rate, **{"momentum": 0.9, **arguments})


SAME = {
    "again": lambda: net(),
    "dropout": lambda: net(dropout=0.7),
    "no dropout": lambda: net(dropout=0.0),
    "l2": lambda: net(l2=0.3),
    "slope": lambda: net(slope=0.4),
    "learning rate": lambda: net(optimizer=sgd(0.7)),
    "momentum": lambda: net(optimizer=sgd(momentum=0.3)),
    "a layer's name": lambda: net(name="squash"),
}
OTHER = {
    "width": lambda: net(units=17),
    "activation": lambda: net(activation="tanh"),
    "no momentum": lambda: net(optimizer=sgd(momentum=0.0)),
    "nesterov": lambda: net(optimizer=sgd(nesterov=True)),
    "no l2": lambda: net(l2=0.0),
    "optimizer": lambda: net(optimizer=keras.optimizers.Adam(0.1)),
    "weight decay": lambda: net(optimizer=sgd(weight_decay=0.1)),
    "clipping": lambda: net(optimizer=sgd(clipnorm=1.0)),
    "schedule": lambda: net(optimizer=sgd(keras.optimizers.schedules.CosineDecay(0.1, 100))),
    "one more layer": lambda: net(inner=[layers.Dense(16)]),
    "frozen layer": lambda: net(trainable=False),
    "metrics": lambda: net(metrics=[]),
    "loss": lambda: net(loss="mean_squared_error"),
}


@pytest.fixture(scope="module")
def base():
    return lifted(net())


@pytest.mark.parametrize("change", SAME)
def test_numbers_and_names_are_no_part_of_the_graph(base, change):
    found = lifted(SAME[change]())
    assert found.key == base.key
    if change == "learning rate":
        assert (found.learning_rate, base.learning_rate) == pytest.approx((0.7, 0.1))
    elif change in {"again", "a layer's name"}:
        np.testing.assert_array_equal(found.numbers, base.numbers)
    else:
        assert (found.numbers != base.numbers).sum() == 1


@pytest.mark.parametrize("change", OTHER)
def test_what_changes_the_computation_changes_the_graph(base, change):
    assert lifted(OTHER[change]()).key != base.key


def test_a_layer_named_as_its_activation_does_not_hide_it():
    first, second = (lifted(net(activation=kind, name=kind)) for kind in ("relu", "tanh"))
    assert first.key != second.key


def test_label_smoothing_and_both_factors_of_l1l2_are_numbers():
    def model(smoothing, l1, l2):
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        regularizer = keras.regularizers.L1L2(l1, l2)
        inner = [layers.Dense(16, kernel_regularizer=regularizer)]
        made = net(inner=inner, loss=loss)
        return lift(
            Compiled(made, "one_hot", 4, False, classes_of(4)), (SAMPLE[0], np.eye(4, dtype="float32")[:1])
        )

    first, second = model(0.1, 0.2, 0.3), model(0.4, 0.5, 0.6)
    assert first.key == second.key
    assert {0.1, 0.2, 0.3} <= set(first.numbers.astype(float).round(6).tolist())
    assert {0.4, 0.5, 0.6} <= set(second.numbers.astype(float).round(6).tolist())
    assert model(0.0, 0.2, 0.3).key != first.key


@pytest.mark.backend
def test_weights_begin_as_their_initializers_say_and_by_the_seed(base):
    first, again, other = (initial_weights(base, seed) for seed in (3, 3, 4))
    shapes = [tuple(variable.shape) for variable in base.model.variables]
    assert [tuple(value.shape) for value in first] == shapes
    for one, two, three, variable in zip(first, again, other, base.model.variables, strict=True):
        one, two, three = (keras.ops.convert_to_numpy(value) for value in (one, two, three))
        np.testing.assert_array_equal(one, two)
        if variable.path.endswith("bias"):
            assert not one.any()
        else:
            assert (one != three).all()
            fan = np.prod(one.shape[:-1]) + np.prod(one.shape[:-2]) * one.shape[-1]
            assert np.abs(one).max() <= np.sqrt(6 / fan) * (1 + 1e-6)


class Double(layers.Layer):
    def call(self, inputs):
        return inputs * 2


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(4, activation="softmax")

    def call(self, inputs):
        return self.dense(self.flatten(inputs))


class OwnStep(keras.Model):
    def train_step(self, *arguments):
        return super().train_step(*arguments)


def subclassed(kind):
    if kind is Subclassed:
        model = Subclassed()
        model(SAMPLE[0])
    else:
        inputs = keras.Input((8, 8, 1))
        model = OwnStep(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(inputs)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def own_loss(y, outputs):
    return keras.losses.sparse_categorical_crossentropy(y, outputs)


def gelu(x):
    """Has the name of one of Keras's, and is another function."""
    return x * 0.5


def own_metric(y, outputs):
    return keras.ops.mean(outputs)


class OwnSchedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1


class OwnMetric(keras.metrics.SparseCategoricalAccuracy):
    pass


class OwnOptimizer(keras.optimizers.SGD):
    pass


def nested(apply):
    inputs = keras.Input((16,))
    return keras.Model(inputs, apply(inputs))


def excluding():
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return net(optimizer=optimizer)


def attention(**given):
    layer = layers.MultiHeadAttention(1, 2, **given)
    return lambda x: layer(x, x)


REFUSED = {
    "subclassed model": (lambda: subclassed(Subclassed), "Subclassed is a subclass of keras.Model"),
    "own train_step": (lambda: subclassed(OwnStep), "OwnStep is a subclass of keras.Model"),
    "Lambda": (lambda: net(inner=[layers.Lambda(lambda x: x, name="mine")]), r"layer mine \(Lambda\)"),
    "custom layer": (lambda: net(inner=[Double(name="twice")]), r"layer twice \(Double\)"),
    "operation": (lambda: net(inner=[keras.ops.flip]), "operation flip.* may mix samples"),
    "ignored class": (
        lambda: net(loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=1)),
        "ignores a class",
    ),
    "pairs of a batch": (lambda: net(loss=keras.losses.Circle()), "Circle is of a whole batch"),
    "use_ema": (lambda: net(optimizer=sgd(use_ema=True)), "SGD uses moving averages"),
    "accumulation": (
        lambda: net(optimizer=sgd(gradient_accumulation_steps=2)),
        "as training.accumulate says",
    ),
    "own loss": (lambda: net(loss=own_loss), "loss is a function of the user's own"),
    "summed loss": (
        lambda: net(loss=keras.losses.SparseCategoricalCrossentropy(reduction="sum")),
        "loss is reduced by sum",
    ),
    "loss weights": (lambda: net(loss_weights=[2.0]), "loss weights"),
    "own metric": (lambda: net(metrics=[OwnMetric(name="mine")]), "metric mine is the user's own"),
    "own function as metric": (lambda: net(metrics=[own_metric]), "metric own_metric is the user's own"),
    "loss of a batch": (lambda: net(loss=keras.losses.Dice()), "Dice is of a whole batch"),
    "own activation": (lambda: net(inner=[layers.Dense(4, activation=gelu)]), "activation of the user's own"),
    "own schedule": (lambda: net(optimizer=sgd(OwnSchedule())), "made again from its config"),
    "nested operation": (
        lambda: net(inner=[nested(lambda x: keras.ops.flip(layers.Dense(4)(x)))]),
        "operation flip.* may mix samples",
    ),
    "nested layer": (lambda: net(inner=[nested(Double(name="inside"))]), r"layer inside \(Double\)"),
    "own optimizer": (lambda: net(optimizer=OwnOptimizer(0.1)), "optimizer is OwnOptimizer"),
    "decay of some": (excluding, "excludes weights from weight decay"),
    "activity": (lambda: net(activity="l2"), "has an activity regularizer"),
    "nearly all": (lambda: net(inner=[layers.Dropout(0.997)]), "drops more than 255 of 256"),
    "own seed": (lambda: net(inner=[layers.Dropout(0.2, seed=1)]), "has a seed of its own"),
    "eager": (lambda: net(run_eagerly=True), "run_eagerly"),
    "some samples": (lambda: net(inner=[lambda x: x[1:, :]]), "operation get_item.* may mix samples"),
    "over samples": (lambda: net(inner=[layers.Softmax(axis=0, name="axis")]), r"layer axis \(Softmax\)"),
    "classes before samples": (
        lambda: net(inner=[lambda x: keras.ops.one_hot(keras.ops.cast(x, "int32"), 4, axis=0)]),
        "operation one_hot.* may mix samples",
    ),
    "places by sample": (
        lambda: net(inner=[lambda x: keras.ops.take(x, keras.ops.cast(x, "int32"), axis=1)]),
        "operation take.* may mix samples",
    ),
    "places of samples": (
        lambda: net(inner=[lambda x: keras.ops.take(x, np.array([0, 1]), axis=0)]),
        "operation take.* may mix samples",
    ),
    "mask": (lambda: net(inner=[layers.Embedding(9, 2, mask_zero=True, name="words")]), "words masks what"),
    "attention that drops": (
        lambda: net(inner=[layers.Reshape((2, -1)), attention(dropout=0.5), layers.Flatten()]),
        "drops some of its attention",
    ),
    "learnt of rows": (lambda: net(inner=[layers.Normalization(name="scaled")]), r"scaled \(Normalization\)"),
    "half": (lambda: net(inner=[layers.Dense(4, dtype="float16")]), "computes in float16"),
}


def test_products_that_keep_the_axis_of_samples():
    equations = ("abc,cd->abd", "...c,cd->...d", "ab,bc->cb", "ab,ac->ac")
    mixing = [mixes_samples(layers.EinsumDense(equation, 4)) for equation in equations]
    assert mixing == [False, False, True, True]


@pytest.mark.parametrize(
    ("apply", "is_apart"),
    [
        (lambda x: keras.ops.mean(x, axis=(1, 2)), True),
        (lambda x: keras.ops.mean(x), False),
        (lambda x: keras.ops.max(x, axis=-3), False),
        (lambda x: keras.ops.expand_dims(x, -1), True),
        (lambda x: keras.ops.expand_dims(x, 0), False),
        (lambda x: keras.ops.squeeze(x), False),
        (lambda x: keras.ops.concatenate([x, x], axis=0), False),
        (lambda x: keras.ops.transpose(x, (0, 2, 1)), True),
        (lambda x: keras.ops.transpose(x, (1, 0, 2)), False),
        (lambda x: keras.ops.transpose(x), False),
        (lambda x: keras.ops.reshape(x, (-1, 8, 4)), True),
        (lambda x: keras.ops.reshape(x, (-1, 16)), False),
        (lambda x: keras.ops.reshape(x, (2, -1, 16)), False),
        (lambda x: x[:, :1] * x, True),
        (lambda x: x[:, 0] * x, False),
        (lambda x: x[:, 0, 0] * np.ones((2, 1), "float32"), False),
    ],
)
def test_operations_that_keep_samples_apart(apply, is_apart):
    operation, *_ = call_of(apply(keras.Input((4, 8))))
    assert keeps_samples_apart(operation) == is_apart


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_program_can_train_is_refused_with_the_reason(what):
    make, reason = REFUSED[what]
    with pytest.raises(UnfusibleError, match=reason):
        lifted(make())


RANKS = {"1D": (16, 4), "2D": (8, 8, 1), "3D": (4, 4, 4, 1)}
HALVES = ("Dropout", "SpatialDropout", "GaussianNoise", "GaussianDropout", "Rescaling")
ARGUMENTS = {
    **dict.fromkeys(("Conv", "ConvTranspose", "SeparableConv"), (2, 3)),
    **dict.fromkeys(("Dense", "DepthwiseConv"), (3,)),
    **dict.fromkeys(("AveragePooling", "RepeatVector", "GroupNormalization"), (2,)),
    **dict.fromkeys(HALVES, (0.5,)),
    **{
        "Embedding": (4, 2),
        "Activation": ("relu",),
        "Reshape": ((64,),),
        "Permute": ((2, 1, 3),),
        "Dot": (-1,),
        "EinsumDense": ("abcd,de->abce", (8, 8, 3)),
        "MultiHeadAttention": (2, 3),
        "Resizing": (4, 6),
    },
}
OF_TWO = {"Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"}
"""Layers."""


def every_layer(inputs):
    """Yields what each layer that a program knows makes of pixels, of those that the installed Keras has."""
    known = PER_SAMPLE | {kind.__name__ for kind in KEYED}
    for name in sorted(known - {"InputLayer", "Functional", "Sequential"}):
        stem, rank = re.sub(r"\dD", "", name), (re.findall(r"\dD", name) or ["2D"])[0]
        shape = {"RepeatVector": (64,), "GroupNormalization": (8, 4, 2)}.get(name, RANKS[rank])
        pixels = layers.Reshape(shape)(inputs)
        if hasattr(layers, name):
            layer = getattr(layers, name)(*ARGUMENTS.get(stem, ()))
            given = ([pixels, pixels],) if name in OF_TWO else (pixels,)
            yield layer(*given, *given) if name == "MultiHeadAttention" else layer(*given)
    yield keras.Sequential([layers.Dense(2)])(inputs)


def every_operation(inputs):
    """Yields what each operation that a program knows makes of pixels."""
    two = {"Add", "Divide", "Equal", "Maximum", "Minimum", "Multiply", "Power", "Subtract", "TrueDivide"}
    others = {"Cast": ["bfloat16"], "Clip": [0.0, 1.0], **{name: [inputs] for name in two}}
    for name in sorted(_ELEMENT_BY_ELEMENT):
        yield keras.ops.cast(operation_of(name)(inputs, *others.get(name, ())), "float32")
    for name in sorted(_OVER_AXES):
        given = [inputs, inputs] if name in {"Concatenate", "Stack"} else inputs
        yield operation_of(name)(given, axis=3 if name == "Squeeze" else 1)
    yield keras.ops.transpose(keras.ops.reshape(inputs, (-1, 16, 4)), (0, 2, 1))


def operation_of(name):
    return getattr(keras.ops, re.sub("(?<!^)(?=[A-Z])", "_", name).lower())


@pytest.mark.backend
@pytest.mark.parametrize("every", [every_layer, every_operation])
def test_what_is_known_to_treat_each_sample_by_itself_packs_in_every_keras(every):
    inputs = keras.Input((8, 8, 1))
    parts = [layers.Flatten(dtype="float32")(part) for part in every(inputs)]
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Concatenate()(parts)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert len(parts) > 25
    assert lifted(model).key


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.backend] if name == "bn_cnn" else []) for name in BUILT_IN]
)
def test_built_in_models_pack_in_every_keras(name):
    module, _, function = BUILT_IN[name].target.partition(":")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")  # which lets Keras 3.8 cast between layers
    try:
        model = getattr(importlib.import_module(module), function)((20, 20, 1), 4)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        assert lift(
            Compiled(model, "sparse", 4, False, classes_of(4)),
            (np.zeros((1, 20, 20, 1), "float32"), SAMPLE[1]),
        ).key
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.backend
@pytest.mark.parametrize(
    "options", [{}, {"embedding_size": 3, "batch_norm": True, "residual": True}], ids=str
)
def test_an_mlp_of_a_table_packs(options):
    def model(dropout):
        made = mlp((5,), n_outputs=2, n_categories=(4, 3), units=8, dropout=dropout, **options)
        made.compile("adam", "mean_squared_error", metrics=["mean_absolute_error"])
        return lift(
            Compiled(made, "any", 2, None, Target("numbers", ("a", "b"))),
            (np.zeros((1, 5)), np.zeros((1, 2))),
        )

    first, second = model(0.1), model(0.2)
    assert first.key == second.key
    assert not first.has_own_parts
    # Keras's Adam would give an Embedding other weights by slopes that are summed.
    assert first.is_flat == (not options or not backend.SLOPES_ARE_ROWS)


def test_a_subclassed_model_is_refused_as_such_though_its_weights_were_made_unseen():
    compiled = Compiled(subclassed(Subclassed), "sparse", 4, False, classes_of(4), sets_weights=True)
    with pytest.raises(UnfusibleError, match=r"Subclassed is a subclass of keras\.Model"):
        lift(compiled, SAMPLE)


def test_a_function_of_keras_as_loss_is_the_loss_of_its_name():
    by_name, by_function = (
        lifted(net(loss=loss))
        for loss in ("sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy)
    )
    assert by_function.key == by_name.key


def test_numbers_that_stand_between_layers_are_part_of_the_graph():
    one, two, again = (lifted(net(inner=[lambda x, n=n: x * n + x])) for n in (0.5, 2.0, 0.5))
    assert one.key == again.key != two.key
    size = net().layers[-2].output.shape[-1]
    rows = [np.zeros(size, "float32") for _ in range(3)]
    rows[1][size // 2] = 1.0
    one, two, again = (lifted(net(inner=[lambda x, row=row: x + row])) for row in rows)
    assert one.key == again.key != two.key


def test_nested_models_are_lifted_too():
    def model(rate, momentum):
        inner = keras.Sequential(
            [layers.Dense(8), layers.BatchNormalization(momentum=momentum), layers.Dropout(rate)]
        )
        return lifted(net(inner=[inner]))

    first, second = model(0.25, 0.5), model(0.75, 0.5)
    assert first.key == second.key != model(0.25, 0.75).key
    kinds = {type(layer).__name__ for layer in first.model._flatten_layers(include_self=False)}
    assert {"KeyedDropout", "MaskedBatchNormalization"} <= kinds
    assert not {"Dropout", "BatchNormalization"} & kinds
    places = [layer.place for layer in first.model._flatten_layers() if hasattr(layer, "place")]
    assert len(set(places)) == len(places) == 2  # net's own dropout and the nested one


def test_weights_that_a_model_function_sets_are_noticed():
    with recorded(with_values=True) as made:
        model = net(inner=[layers.BatchNormalization()])
    assert all(made.untouched(model.weights))
    model.layers[1].bias.assign(np.full(4, 1e-6, "float32"))
    assert made.untouched(model.weights).count(False) == 1
    with pytest.raises(UnfusibleError, match="gives weights values of its own"):
        lift(Compiled(model, "sparse", 4, False, classes_of(4), sets_weights=True), SAMPLE)


def test_weights_from_elsewhere_are_noticed():
    backbone = nested(layers.Dense(4))
    with recorded(with_values=True) as made:
        model = net(units=16, inner=[backbone])
    assert None in made.untouched(model.weights)
