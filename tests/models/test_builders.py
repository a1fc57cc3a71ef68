"""The built-in models: parameter counts, shapes, layers and messages."""

from __future__ import annotations

import importlib
import math
from contextlib import contextmanager

import numpy as np
import pytest

from kerasgrid.errors import ModelError

keras = pytest.importorskip("keras")

from kerasgrid.models.backbone import backbone  # noqa: E402
from kerasgrid.models.convnet import convnet  # noqa: E402
from kerasgrid.models.fc import fc  # noqa: E402
from kerasgrid.models.mlp import mlp  # noqa: E402
from kerasgrid.models.references import BUILT_IN  # noqa: E402
from kerasgrid.models.vgg import bn_cnn, sopcnn, vgg, vgg_sopcnn  # noqa: E402

pytestmark = pytest.mark.slow

DIGIT = (28, 28, 1)
BUILDERS = (fc, mlp, sopcnn, vgg, vgg_sopcnn, convnet, bn_cnn, backbone)
MODELS = {function.__name__: function for function in BUILDERS}


@pytest.fixture(autouse=True)
def _no_graphs_left():
    yield
    keras.backend.clear_session(free_memory=False)


def not_trainable(model) -> int:
    """BatchNorm's moving statistics; the seed states of dropout are no weights."""
    return sum(math.prod(weight.shape) for weight in model.non_trainable_weights)


def layers_of(model, name: str) -> list:
    return [layer for layer in model.layers if type(layer).__name__ == name]


def kinds(model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize(
    ("function", "options", "total", "fixed"),
    [
        (fc, {}, 95_946, 896),
        (fc, {"batch_norm": False}, 94_154, 0),
        (mlp, {}, 134_794, 0),
        (mlp, {"batch_norm": True}, 136_330, 768),
        (sopcnn, {}, 17_324_490, 768),
        (vgg, {}, 1_926_794, 2_688),
        (vgg_sopcnn, {}, 3_054_986, 5_248),
        (convnet, {}, 871_658, 0),
        (convnet, {"batch_norm": True}, 871_978, 160),
        (bn_cnn, {}, 434_954, 608),
        (backbone, {}, 158_666, 1_408),
    ],
)
def test_parameter_counts(function, options, total, fixed):
    model = function(DIGIT, 10, **options)
    assert model.count_params() == total
    assert not_trainable(model) == fixed
    if not options:  # what `kerasgrid models` shows
        assert BUILT_IN[function.__name__].n_parameters == total


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (96, 96, 3)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_each_builds_or_says_what_it_needs(name, shape):
    smallest = {"vgg_sopcnn": 16, "convnet": 20}.get(name, 1)
    if shape[0] < smallest:
        with pytest.raises(ModelError, match=f"need images of at least {smallest} x {smallest}"):
            MODELS[name](shape, 7)
        return
    # Zeros instead of random numbers: sopcnn at 96 x 96 has 155 million weights.
    model = MODELS[name](shape, 7, kernel_initializer="zeros")
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, 7)
    assert not getattr(model, "compiled", False)
    assert model.layers[-1].activation is keras.activations.softmax
    assert model.name == name


def test_smallest_images():
    assert convnet((20, 20, 1), 10).output_shape == (None, 10)
    with pytest.raises(ModelError) as caught:
        convnet((20, 19, 1), 10)
    assert str(caught.value) == (
        "convnet: input_shape is (20, 19, 1), but its 2 max-poolings and the valid convolution after them "
        "need images of at least 20 x 20. Use larger images, or another model."
    )
    assert vgg_sopcnn((16, 16, 1), 10).output_shape == (None, 10)


def test_fc_takes_flat_features():
    model = fc((64,), 10)
    assert "Flatten" not in kinds(model)
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("fc", "mlp")])
def test_convolutions_refuse_flat_features(name):
    with pytest.raises(
        ModelError, match=rf"{name}: input_shape is \(64,\), but its convolutions need images"
    ):
        MODELS[name]((64,), 10)


def test_registry_lists_the_builders():
    found = {}
    for name, built_in in BUILT_IN.items():
        module, function = built_in.target.split(":")
        found[name] = getattr(importlib.import_module(module), function)
    assert found == MODELS


def test_fc_layers():
    block = ["Dense", "Activation", "BatchNormalization", "Dropout"]
    first = ["Dense", "BatchNormalization", "Dropout"]
    assert kinds(fc(DIGIT, 10)) == ["InputLayer", "Flatten", *first, *block, *block, "Dense"]
    bare = fc(DIGIT, 10, batch_norm=False, dropout=0)
    assert kinds(bare) == ["InputLayer", "Flatten", *["Dense"], *["Dense", "Activation"] * 2, "Dense"]
    assert [layer.rate for layer in layers_of(fc(DIGIT, 10, dropout=0.4), "Dropout")] == [0.4] * 3


def test_sopcnn_layers():
    conv = ["Conv2D", "BatchNormalization", "LeakyReLU"]
    dense = ["Dense", "LeakyReLU"]
    model = sopcnn(DIGIT, 10, filters=[[4, 4], [8, 8]], dense_units=[16, 16])
    block = [*conv, *conv, "MaxPooling2D"]
    assert kinds(model) == ["InputLayer", *block, *block, "Flatten", *dense, *dense, "Dropout", "Dense"]
    assert layers_of(model, "Dropout")[0].rate == 0.8
    norm = layers_of(model, "BatchNormalization")[0]
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)
    assert type(norm.gamma_initializer).__name__ == "RandomUniform"
    assert {layer.negative_slope for layer in layers_of(model, "LeakyReLU")} == {0.1}


def test_vgg_layers():
    conv = ["Conv2D", "BatchNormalization", "LeakyReLU"]
    model = vgg(DIGIT, 10)
    ends = ["MaxPooling2D", "Dropout"]
    assert kinds(model) == [
        *["InputLayer", *conv * 3, *ends, *conv * 3, *ends, *conv * 2, *ends],
        *["Flatten", "Dense", "LeakyReLU", "BatchNormalization", "Dense"],
    ]
    assert [layer.filters for layer in layers_of(model, "Conv2D")] == [64] * 3 + [128] * 3 + [256] * 2
    dense_norm = layers_of(model, "BatchNormalization")[-1]
    assert (dense_norm.momentum, dense_norm.epsilon) == (0.99, 1e-3)


def test_vgg_sopcnn_has_one_dropout_before_the_softmax():
    model = vgg_sopcnn(DIGIT, 10, filters=[[4], [4]], dense_units=[8])
    assert kinds(model)[-5:] == ["Dense", "LeakyReLU", "BatchNormalization", "Dropout", "Dense"]
    assert [layer.rate for layer in layers_of(model, "Dropout")] == [0.25]


def test_convnet_layers():
    plain = ["Conv2D", "Activation", "MaxPooling2D"]
    end = ["Flatten", "Dropout", "Dense", "Activation", "Dropout", "Dense", "Dense"]
    assert kinds(convnet(DIGIT, 10)) == ["InputLayer", *plain * 2, "Conv2D", "Activation", *end]
    model = convnet(DIGIT, 10, batch_norm=True)
    normed = ["Conv2D", "BatchNormalization", "Activation", "MaxPooling2D"]
    assert kinds(model) == ["InputLayer", *normed * 2, "Conv2D", "Activation", *end]
    assert [layer.rate for layer in layers_of(model, "Dropout")] == [0.2, 0.1]
    assert [layer.padding for layer in layers_of(model, "Conv2D")] == ["same", "same", "valid"]


def test_bn_cnn_layers():
    conv = ["Conv2D", "BatchNormalization", "Activation"]
    dense = ["Dense", "BatchNormalization", "Activation"]
    assert kinds(bn_cnn(DIGIT, 10)) == [
        *["InputLayer", *conv * 2, "MaxPooling2D", *conv, "MaxPooling2D", "Flatten", *dense * 2, "Dense"],
    ]


@pytest.mark.parametrize(
    ("activation", "layer"),
    [("leaky_relu", "LeakyReLU"), ("prelu", "PReLU"), ("gelu", "Activation"), ("swish", "Activation")],
)
def test_activations(activation, layer):
    for model in (
        fc(DIGIT, 10, activation=activation),
        bn_cnn(DIGIT, 10, activation=activation, filters=[[4]], dense_units=[8]),
    ):
        assert len(layers_of(model, layer)) == 2


def test_prelu_has_a_slope_a_channel_and_a_slope_a_unit():
    model = bn_cnn(DIGIT, 10, activation="prelu", filters=[[4]], dense_units=[8])
    assert [layer.alpha.shape for layer in layers_of(model, "PReLU")] == [(1, 1, 4), (8,)]


def test_negative_slope():
    model = fc(DIGIT, 10, activation="leaky_relu", negative_slope=0.25)
    assert {layer.negative_slope for layer in layers_of(model, "LeakyReLU")} == {0.25}


@pytest.mark.parametrize(
    ("normalization", "layer"),
    [("layer_norm", "LayerNormalization"), ("group_norm", "GroupNormalization")],
)
def test_normalizations(normalization, layer):
    model = vgg(
        DIGIT,
        10,
        filters=[[24], [48]],
        dense_units=[6],
        normalization=normalization,
        dense_normalization=normalization,
    )
    assert len(layers_of(model, layer)) == 3
    assert "BatchNormalization" not in kinds(model)
    if normalization == "group_norm":
        assert [norm.groups for norm in layers_of(model, layer)] == [8, 16, 2]


def test_spatial_dropout():
    model = vgg(DIGIT, 10, filters=[[4], [4]], dropout_kind="spatial")
    assert [layer.rate for layer in layers_of(model, "SpatialDropout2D")] == [0.25, 0.25]
    assert not layers_of(model, "Dropout")


def test_initializer_reaches_every_layer():
    model = convnet(DIGIT, 10, kernel_initializer={"class_name": "HeNormal", "config": {}})
    layers = layers_of(model, "Conv2D") + layers_of(model, "Dense")
    assert {type(layer.kernel_initializer).__name__ for layer in layers} == {"HeNormal"}
    assert len(layers) == 6


@contextmanager
def precision(policy: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("end", [{"n_classes": 3}, {"n_outputs": 2}])
def test_outputs_stay_in_full_precision(end):
    with precision("mixed_bfloat16"):
        model = fc((8,), units=[4], **end)
    assert model.layers[1].compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"


@pytest.mark.parametrize("name", MODELS)
def test_each_predicts_numbers(name):
    model = MODELS[name]((20, 20, 1), n_outputs=2, kernel_initializer="zeros")
    assert model.output_shape == (None, 2)
    assert model.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize(
    ("end", "activation"),
    [
        ({"n_classes": 3, "n_outputs": 3}, "softmax"),
        ({"n_classes": 3, "n_outputs": 3, "multi_label": True}, "sigmoid"),
        ({"n_classes": None, "n_outputs": 3, "multi_label": False}, "linear"),
    ],
)
def test_ends_for_what_is_predicted(end, activation):
    model = fc((8,), units=[4], **end)
    assert model.output_shape == (None, 3)
    assert model.layers[-1].activation is getattr(keras.activations, activation)


def test_mlp_layers():
    block = ["Dense", "Activation", "Dropout"]
    assert kinds(mlp((4,), 3)) == ["InputLayer", *block * 3, "Dense"]
    assert [layer.units for layer in layers_of(mlp((4,), 3, units=8, depth=2), "Dense")] == [8, 8, 3]
    normed = ["Dense", "BatchNormalization", "Activation"]
    bare = mlp((4,), 3, units=[8, 6], batch_norm=True, dropout=0)
    assert kinds(bare) == ["InputLayer", *normed * 2, "Dense"]
    assert [layer.units for layer in layers_of(bare, "Dense")] == [8, 6, 3]


def test_residuals_join_layers_of_one_width():
    model = mlp((8,), n_outputs=1, units=[8, 8, 4, 4, 4], dropout=0, residual=True)
    block = ["Dense", "Activation"]
    added = ["Dense", "Add", "Activation"]
    assert kinds(model) == ["InputLayer", *block, *added, *block, *added * 2, "Dense"]


ROWS = np.array([[0.5, 0, 0], [0.5, 3, 2999], [0.5, 2, 3000]], "float32")
CATEGORIES = {"n_outputs": 1, "n_categories": (4, 3001), "units": 8}


@pytest.mark.parametrize("embedding_size", [0, 2])
def test_a_category_is_told_by_its_code_alone_in_any_precision(embedding_size):
    with precision("mixed_float16"):  # which has no whole numbers above 2048
        model = mlp((3,), **CATEGORIES, embedding_size=embedding_size, kernel_initializer="ones")
    embedded = keras.Model(model.inputs[0], layers_of(model, "Concatenate")[0].output)
    found = keras.ops.convert_to_numpy(embedded(ROWS)).astype("float32")
    assert (found[:, 0] == 0.5).all()
    if embedding_size:
        (layer,) = layers_of(model, "Embedding")
        table = keras.ops.convert_to_numpy(layer.embeddings).astype("float16")
        wanted = table[ROWS[:, 1:].astype(int) + np.array([0, 4])]
        np.testing.assert_array_equal(found[:, 1:], wanted.reshape(3, 4))
    else:
        wanted = [np.eye(n)[ROWS[:, place].astype(int)][:, 1:] for place, n in enumerate((4, 3001), start=1)]
        np.testing.assert_array_equal(found[:, 1:], np.hstack(wanted))
        assert not found[0, 1:].any()


def test_a_table_of_categories_alone():
    assert mlp((2,), n_outputs=1, n_categories=(4, 5)).output_shape == (None, 1)
    assert mlp((1,), n_outputs=1, n_categories=[4], embedding_size=3).output_shape == (None, 1)


@pytest.mark.backend
@pytest.mark.parametrize("options", [{}, {"embedding_size": 2, "batch_norm": True, "residual": True}])
def test_a_saved_mlp_is_loaded_by_keras_alone(options, tmp_path):
    model = mlp((3,), **CATEGORIES, **options)
    model.save(tmp_path / "mlp.keras")
    loaded = keras.models.load_model(tmp_path / "mlp.keras", safe_mode=True)
    assert {type(layer).__module__.partition(".")[0] for layer in loaded.operations} == {"keras"}
    np.testing.assert_array_equal(loaded.predict(ROWS, verbose=0), model.predict(ROWS, verbose=0))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (fc, {"dropout": -0.1}, "dropout is -0.1, but must be a number from 0 (none) to below 1."),
        (fc, {"dropout": 1}, "dropout is 1, but must be a number from 0 (none) to below 1."),
        (fc, {"dropout": float("nan")}, "dropout is nan, but must be a number from 0 (none) to below 1."),
        (fc, {"dropout": True}, "dropout is True, but must be a number from 0 (none) to below 1."),
        (fc, {"dropout": "0.2"}, "dropout is '0.2', but must be a number from 0 (none) to below 1."),
        (fc, {"units": []}, "units is empty, but needs at least one width, such as [64]."),
        (
            fc,
            {"units": 64},
            "units is 64, but must be a list of whole numbers from 1, such as [64, 128].",
        ),
        (
            fc,
            {"units": [64, 0]},
            "units is [64, 0], but must be a list of whole numbers from 1, such as [64, 128].",
        ),
        (
            fc,
            {"activation": "rellu"},
            "activation is 'rellu', which is unknown. Did you mean 'relu'? Known: ",
        ),
        (fc, {"first_activation": "linea"}, "first_activation is 'linea', which is unknown. Did you mean "),
        (fc, {"activation": "leaky_relu", "negative_slope": -1}, "negative_slope is -1, but must be "),
        (
            fc,
            {"normalization": "batchnorm"},
            "normalization is 'batchnorm', which is unknown. Did you mean 'batch_norm'? "
            "Known: batch_norm, group_norm, layer_norm, none.",
        ),
        (fc, {"batch_norm": "yes"}, "batch_norm is 'yes', but must be true or false."),
        (
            convnet,
            {"normalization": "layer_norm"},
            "normalization is 'layer_norm', but batch_norm: false leaves normalisation out. Set "
            "batch_norm: true. To search both, make space a list of spaces, one with batch_norm: [true] and "
            "normalization, one with batch_norm: [false].",
        ),
        (fc, {"momentum": 1.0}, "momentum is 1.0, but must be a number from 0 to below 1."),
        (fc, {"epsilon": 0}, "epsilon is 0, but must be a number above 0."),
        (
            fc,
            {"kernel_initializer": "he"},
            "kernel_initializer is 'he', which is no initializer of Keras. Known are such as ",
        ),
        (fc, {"kernel_initializer": None}, "kernel_initializer is none, but must name an initializer"),
        (fc, {"gamma_initializer": "gama"}, "gamma_initializer is 'gama', which is no initializer of Keras."),
        (
            vgg,
            {"filters": [64, 128]},
            "filters is [64, 128], but must be a list with a list of widths for each block, "
            "such as [[64, 64], [128, 128]].",
        ),
        (vgg, {"filters": []}, "filters is [], but must be a list with a list of widths for each block"),
        (vgg, {"filters": [[64], []]}, "filters[1] is empty, but needs at least one width, such as [64]."),
        (vgg, {"filters": [[64], [1.5]]}, "filters[1] is [1.5], but must be a list of whole numbers from 1"),
        (vgg, {"block_dropout": 1.5}, "block_dropout is 1.5, but must be a number from 0 (none) to below 1."),
        (
            vgg,
            {"dropout_kind": "spacial"},
            "dropout_kind is 'spacial', which is unknown. Did you mean 'spatial'? Known: plain, spatial.",
        ),
        (vgg, {"dense_normalization": "bn"}, "dense_normalization is 'bn', which is unknown."),
        (vgg, {"kernel_size": 0}, "kernel_size is 0, but must be a whole number from 1."),
        (convnet, {"last_kernel_size": 2.5}, "last_kernel_size is 2.5, but must be a whole number from 1."),
        (convnet, {"filters": []}, "filters is empty, but needs at least one width, such as [64]."),
        (convnet, {"dense_dropout": 2}, "dense_dropout is 2, but must be a number from 0 (none) to below 1."),
        (convnet, {"last_activation": "x"}, "last_activation is 'x', which is unknown."),
        (
            mlp,
            {"units": 1.5},
            "units is 1.5, but must be a whole number from 1 or a list of them, such as [128, 64].",
        ),
        (mlp, {"units": 0}, "units is 0, but must be a whole number from 1 or a list of them"),
        (mlp, {"units": [0]}, "units is [0], but must be a list of whole numbers from 1"),
        (mlp, {"depth": 0}, "depth is 0, but must be a whole number from 1."),
        (
            mlp,
            {"units": [8, 8], "depth": 3},
            "units is [8, 8], a width for each of 2 layers, and depth is 3: leave depth out, or make units "
            "one width for all.",
        ),
        (mlp, {"residual": "yes"}, "residual is 'yes', but must be true or false."),
        (mlp, {"embedding_size": -1}, "embedding_size is -1, but must be a whole number from 0."),
        (mlp, {"embedding_size": True}, "embedding_size is True, but must be a whole number from 0."),
        (
            mlp,
            {"n_categories": [0]},
            "n_categories is [0], but must be a list of whole numbers from 1, the codes of each column of "
            "categories.",
        ),
        (
            mlp,
            {"n_categories": (4, 5)},
            "mlp: n_categories has 2 columns, but input_shape is (28, 28, 1): a row of a table has them "
            "behind its numbers.",
        ),
        (bn_cnn, {"dense_units": [0]}, "dense_units is [0], but must be a list of whole numbers from 1"),
    ],
)
def test_messages_name_the_argument(function, options, message):
    with pytest.raises(ModelError) as caught:
        function(DIGIT, 10, **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (
            {},
            "fc: n_classes and n_outputs are missing: give n_classes to tell classes apart, or n_outputs to "
            "predict so many numbers.",
        ),
        ({"n_outputs": 0}, "fc: n_outputs is 0, but must be a whole number from 1."),
        (
            {"n_classes": 3, "n_outputs": 2},
            "fc: n_classes is 3 and n_outputs 2, but a class has one output: give one of the two.",
        ),
        (
            {"n_outputs": 2, "multi_label": True},
            "fc: multi_label is true, but n_classes is missing: it is the number of labels.",
        ),
    ],
)
def test_messages_of_what_is_predicted(end, message):
    with pytest.raises(ModelError) as caught:
        fc(DIGIT, **end)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("shape", "n_classes", "message"),
    [
        ((28, None, 1), 10, "input_shape is (28, None, 1), but must be positive whole numbers"),
        ((), 10, "input_shape is (), but must be positive whole numbers"),
        (784, 10, "input_shape is 784, but must be positive whole numbers"),
        (DIGIT, 1, "n_classes is 1, but must be a whole number from 2."),
    ],
)
def test_shapes_and_classes_are_checked(name, shape, n_classes, message):
    small = {"kernel_initializer": "zeros"}
    with pytest.raises(ModelError) as caught:
        MODELS[name](shape, n_classes, **small)
    assert str(caught.value).startswith(f"{name}: {message}")


@pytest.mark.parametrize("name", MODELS)
def test_classes_are_checked_before_a_layer_is_made(name, monkeypatch):
    monkeypatch.setattr(keras.layers.Layer, "__init__", lambda self, **_: pytest.fail("a layer is made"))
    with pytest.raises(ModelError, match="n_classes is 0, but must be a whole number from 2"):
        MODELS[name](DIGIT, 0)


def test_dense_layers_may_be_left_out():
    assert kinds(vgg(DIGIT, 10, filters=[[4]], dense_units=[], dropout=0.5))[-3:] == [
        "Flatten",
        "Dropout",
        "Dense",
    ]
