"""Backbones: sizes against their papers, preprocessing, what they learn, folding, and trained weights."""

from __future__ import annotations

import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kerasgrid.errors import ModelError
from kerasgrid.io import file_digest

keras = pytest.importorskip("keras")

from kerasgrid.models import keras_private, repvgg, transformers, weights  # noqa: E402
from kerasgrid.models.backbone import applications, backbone  # noqa: E402
from kerasgrid.models.weights import looking_up  # noqa: E402

pytestmark = pytest.mark.slow

DIGIT = (8, 8, 1)


@pytest.fixture(autouse=True)
def _no_graphs_left():
    yield
    keras.backend.clear_session(free_memory=False)


def layer_of(model, kind):
    return next(layer for layer in model.layers if type(layer).__name__ == kind)


def count(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def arbitrary(model, seed=0):
    """Returns a model with weights of its own, its moving statistics too."""
    numbers = np.random.default_rng(seed)
    model.set_weights([numbers.uniform(0.1, 0.9, weight.shape) for weight in model.get_weights()])
    return model


# Sizes


@pytest.mark.parametrize(
    ("name", "size", "n_classes", "millions"),
    [  # as tables of the authors have them
        (
            "cct_6_3x1",
            32,
            10,
            3.17 + 0.0655,
        ),  # there without positions, here 256 numbers for each of 256 tokens
        ("vit_ti16", 224, 1000, 5.72),  # Touvron et al. 2021
        ("vit_b16", 224, 1000, 86.6),
        ("cct", 32, 10, 0.284),
        ("cct_4_3x2", 32, 10, 0.482),
        ("cct_7_3x1", 32, 10, 3.76),
        ("cct_7_3x2", 32, 10, 3.853),
        ("cct_14_7x2", 224, 1000, 22.36),
    ],
)
def test_transformers_have_the_size_of_their_papers(monkeypatch, name, size, n_classes, millions):
    zeros = keras.initializers.Zeros()
    monkeypatch.setattr(
        keras.initializers.GlorotUniform, "__call__", lambda _, *given, **more: zeros(*given, **more)
    )
    model = backbone((size, size, 3), n_classes, backbone=name)
    assert model.count_params() / 1e6 == pytest.approx(millions, rel=0.003)


def test_a_repvgg_has_the_size_of_its_paper_in_training_and_folded():
    model = backbone((32, 32, 3), 1000, backbone="repvgg_a0")
    assert round(count(model.trainable_weights) / 1e6, 2) == 9.11
    folded = repvgg.folded(model)
    assert f"{folded.count_params() / 1e6:.3f}" == "8.309"  # 8.30 in the paper, cut and not rounded


def test_every_name_is_of_a_net():
    for name, size in {**repvgg.SIZES, **transformers.SIZES}.items():
        assert size.least % size.multiple == 0, name
    assert {
        "VGG16",
        "ResNet50V2",
        "MobileNetV3Small",
        "EfficientNetB7",
        "ConvNeXtTiny",
    } < applications().keys()


# Pixels


def first_of_each_family():
    families = {}
    for name, function in applications().items():
        families.setdefault(function.__module__, name)
    return families


def without_layers(function):
    """Returns a function of keras.applications that builds nothing, and gives what it is given."""

    def build(input_shape, **given):
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.Identity()(inputs), name="nothing")

    build.__module__ = function.__module__
    return build


@pytest.mark.parametrize("name", first_of_each_family().values())
def test_pixels_are_prepared_as_keras_does_beside_the_net(monkeypatch, name):
    function = applications()[name]
    monkeypatch.setattr(keras.applications, name, without_layers(function))
    model = backbone((96, 96, 3), 2, backbone=name, pooling="flatten")
    prepared = keras.Model(model.input, model.layers[-2].output)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype("float32")
    wanted = vars(sys.modules[function.__module__])["preprocess_input"](pixels.copy())
    found = keras.ops.convert_to_numpy(prepared(pixels)).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "resize", "size"),
    [
        ("VGG16", (28, 28, 1), None, (32, 32, 3)),
        ("VGG16", (40, 28, 3), None, (40, 32, 3)),
        ("Xception", (28, 28, 1), 96, (96, 96, 3)),
        ("vit", (9, 13, 1), None, (12, 16, 3)),
        ("cct", DIGIT, [16, 8], (16, 8, 3)),
    ],
)
def test_images_are_brought_to_three_channels_and_a_size_that_the_net_takes(
    monkeypatch, name, shape, resize, size
):
    if name in applications():
        monkeypatch.setattr(keras.applications, name, without_layers(applications()[name]))
    model = backbone(shape, 2, backbone=name, resize=resize)
    assert layer_of(model, "Functional").input_shape[1:] == size
    assert model.input_shape[1:] == shape
    kinds = {type(layer).__name__ for layer in model.layers}
    assert ("Resizing" in kinds) == (size[:2] != shape[:2])


@pytest.mark.parametrize(("name", "least"), [("Xception", 71), ("InceptionV3", 75), ("VGG16", 32)])
def test_the_least_size_is_the_one_of_keras(name, least):
    with pytest.raises(
        ModelError, match=f"resize is {least - 1}, but {name} needs images of at least {least} x"
    ):
        backbone(DIGIT, 2, backbone=name, resize=least - 1)
    with pytest.raises(ValueError, match=f"at least {least}x{least}"):
        applications()[name](include_top=False, weights=None, input_shape=(least - 1, least - 1, 3))


# Heads


def test_the_head():
    model = backbone(
        DIGIT, 3, dense_units=[16, 8], batch_norm=True, dense_dropout=0.2, dropout=0.5, multi_label=True
    )
    dense = ["Dense", "BatchNormalization", "Activation", "Dropout"]
    kinds = [type(layer).__name__ for layer in model.layers]
    before = ["InputLayer", "Concatenate", "Rescaling", "Functional", "GlobalAveragePooling2D"]
    assert kinds == [*before, *dense, *dense, "Dropout", "Dense"]
    assert model.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.parametrize(
    ("name", "pooling", "width"),
    [
        *(("repvgg", pooling, width) for pooling, width in {"own": 128, "max": 128, "flatten": 128}.items()),
        *(("vit", pooling, width) for pooling, width in {"own": 64, "avg": 64, "flatten": 256}.items()),
        *(("cct", pooling, width) for pooling, width in {"own": 128, "max": 128, "flatten": 512}.items()),
    ],
)
def test_poolings(name, pooling, width):
    model = backbone(DIGIT, n_outputs=2, backbone=name, pooling=pooling)
    assert model.layers[-1].kernel.shape == (width, 2)


def test_a_backbone_that_is_not_trained_is_as_in_prediction():
    model = arbitrary(backbone(DIGIT, 3, trainable=False))
    assert count(model.trainable_weights) == 3 * 129
    before = [np.array(weight) for weight in layer_of(model, "Functional").get_weights()]
    samples = np.full((4, *DIGIT), 100, "float32")
    training, prediction = (keras.ops.convert_to_numpy(model(samples, training=t)) for t in (True, False))
    np.testing.assert_array_equal(training, prediction)
    for now, then in zip(layer_of(model, "Functional").get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("name", ["EfficientNetB0", "ConvNeXtTiny", "vit"])
def test_what_is_random_in_a_backbone_is_not_where_it_is_not_trained(name):
    model = backbone((32, 32, 3), 3, backbone=name, trainable=False)
    samples = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    training, prediction = (keras.ops.convert_to_numpy(model(samples, training=t)) for t in (True, False))
    np.testing.assert_array_equal(training, prediction)


@pytest.mark.parametrize("pooling", ["own", "max"])
def test_a_convnext_normalises_what_is_pooled_as_keras_has_it(pooling):
    model = backbone((64, 64, 3), 3, backbone="ConvNeXtTiny", pooling=pooling)
    body = layer_of(model, "Functional")
    wanted = keras.applications.ConvNeXtTiny(
        include_top=False, weights=None, input_shape=(64, 64, 3), pooling={"own": "avg"}.get(pooling, pooling)
    )
    wanted.set_weights(body.get_weights())
    samples = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    outputs = keras.Model(wanted.input, model.layers[-1](wanted.output))
    found, wanted = (keras.ops.convert_to_numpy(one(samples)) for one in (model, outputs))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


# Learning and folding


@pytest.mark.parametrize(
    ("name", "epochs", "size", "high"),
    [("repvgg", 2, 64, 0.005), ("vit", 4, 32, 0.002), ("cct", 4, 32, 0.0015)],
)
def test_each_learns_the_digits_and_predicts_alike_where_it_is_folded(name, epochs, size, high):
    digits = load_digits()
    pixels = (digits.images[..., None] * (255 / 16)).astype("float32")
    places = np.random.default_rng(0).permutation(len(pixels))
    train, test = places[:1500], places[1500:]
    keras.utils.set_random_seed(0)
    model = backbone(DIGIT, 10, backbone=name)
    rate = keras.optimizers.schedules.CosineDecay(high, epochs * -(-len(train) // size))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(pixels[train], digits.target[train], batch_size=size, epochs=epochs, verbose=0)
    assert model.evaluate(pixels[test], digits.target[test], verbose=0)[1] > 0.95
    if name == "repvgg":
        folded = repvgg.folded(model)
        assert "BatchNormalization" not in {type(one).__name__ for one in keras_private.layers_within(folded)}
        logits = [keras.Model(one.input, one.layers[-2].output) for one in (model, folded)]
        found, wanted = (
            one.predict(pixels[test], verbose=0) @ model.layers[-1].kernel.numpy() for one in logits
        )
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
        outer = keras.Input(DIGIT)  # as it is saved, with layers around it
        around = keras.Model(outer, model(keras.layers.Rescaling(0.5)(outer)))
        again = repvgg.folded(around)
        assert again.count_params() == folded.count_params()
        found, wanted = (one.predict(pixels[test], verbose=0) for one in (again, around))
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["VGG16", "repvgg", "vit", "cct"])
def test_a_model_is_of_keras_own_layers_and_loads_in_safe_mode(monkeypatch, tmp_path, name):
    if name in applications():
        monkeypatch.setattr(keras.applications, name, without_layers(applications()[name]))
    model = arbitrary(backbone((7, 9, 1), 3, backbone=name))
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras", safe_mode=True)
    parts = keras_private.layers_within(loaded)
    assert {type(part).__module__.partition(".")[0] for part in parts} == {"keras"}
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 7, 9, 1)).astype("float32")
    found, wanted = (one.predict(pixels, verbose=0) for one in (loaded, model))
    np.testing.assert_array_equal(found, wanted)
    assert np.isfinite(wanted).all()


# Weights


@pytest.fixture
def trained(tmp_path):
    """A model, and files of it and of its backbone."""
    model = arbitrary(backbone(DIGIT, 3))
    model.save(tmp_path / "whole.keras")
    net = layer_of(model, "Functional")
    net.save(tmp_path / "net.keras")
    net.save_weights(tmp_path / "net.weights.h5")
    more = keras.layers.Dense(2)(keras.layers.Flatten()(net.output))
    keras.Model(net.input, more).save(tmp_path / "layers.keras")
    return net


@pytest.mark.parametrize("file", ["whole.keras", "net.keras", "net.weights.h5", "layers.keras"])
def test_weights_of_a_file(trained, tmp_path, file):
    with looking_up(tmp_path) as found:
        model = backbone(DIGIT, 10, weights=file)
    for mine, theirs in zip(layer_of(model, "Functional").get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    [told] = found.files
    assert (told.name, told.digest, told.url) == (file, file_digest(tmp_path / file), None)


def test_weights_of_keras_and_what_is_told_of_them(tmp_path, monkeypatch):
    from keras.src.utils import file_utils

    keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(
        tmp_path / "kept.weights.h5"
    )
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    model = {"backbone": "MobileNet", "weights": "imagenet"}
    with looking_up(tmp_path, downloads=False) as found:
        backbone(DIGIT, 3, **model)
    [told] = found.files
    assert told.digest is None
    assert told.path.startswith(str(tmp_path / "models" / "mobilenet_"))
    assert told.url.startswith("https://storage.googleapis.com/")
    assert 12e6 < told.n_bytes < 14e6

    def fails(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(file_utils, "urlretrieve", fails)
    with looking_up(tmp_path), pytest.raises(ModelError) as caught:
        backbone(DIGIT, 3, **model)
    assert f"Download {told.url} elsewhere and put it there as {told.path}" in str(caught.value)

    def downloads(file, *_, **__):
        kept = tmp_path / "models" / file
        kept.write_bytes((tmp_path / "kept.weights.h5").read_bytes())
        return str(tmp_path / "kept.weights.h5")

    monkeypatch.setattr(file_utils, "get_file", downloads)
    with looking_up(tmp_path) as found:
        backbone(DIGIT, 3, **model)
    assert found.files[0].digest == file_digest(tmp_path / "kept.weights.h5")


def test_of_several_that_want_a_file_one_downloads_it_and_the_others_take_it(tmp_path):
    path, downloads = tmp_path / "models" / "net.h5", []

    def download():  # as Keras does: the file is in its place before it is whole
        if not path.is_file():
            downloads.append(path)
            path.write_bytes(b"half")
            time.sleep(0.3)
            path.write_bytes(b"whole")
        return path.read_bytes()

    with ThreadPoolExecutor() as pool:
        assert [*pool.map(lambda _: weights._fetched(path, download), range(3))] == [b"whole"] * 3
    assert len(downloads) == 1
    assert weights._is_at_hand(path)


# Messages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"backbone": "ResNet50v2"},
            "backbone is 'ResNet50v2', which is unknown. Did you mean 'ResNet50V2'?",
        ),
        ({"backbone": "repvg"}, "backbone is 'repvg', which is unknown. Did you mean 'repvgg'?"),
        ({"trainable": "no"}, "trainable is 'no', but must be true or false."),
        ({"pooling": "mean"}, "pooling is 'mean', which is unknown."),
        ({"resize": 4}, "resize is 4, but repvgg needs images of at least 8 x 8."),
        ({"resize": [8, 8, 3]}, "resize is [8, 8, 3], but must be a whole number of pixels, or a list of"),
        (
            {"resize": 10, "backbone": "vit"},
            "resize is 10, but vit cuts images into patches of 4 x 4: give a multiple of 4.",
        ),
        ({"weights": "imagenet"}, "weights is imagenet, which Keras has of keras.applications alone"),
        ({"weights": "imagnet"}, "weights is 'imagnet', but must be none, imagenet, or the path of a file"),
        ({"weights": "gone.keras"}, "weights is 'gone.keras', but there is no file "),
        ({"weights": "broken.keras"}, "weights is 'broken.keras', which Keras cannot load ("),
        (
            {"weights": "broken.weights.h5"},
            "weights is 'broken.weights.h5', which Keras cannot load (OSError",
        ),
        (
            {"weights": "net.keras", "backbone": "cct"},
            "weights is 'net.keras', which has no cct that fits: of its 14 layers with weights conv0 is not "
            "in it; conv1 is not in it; positions is not in it and 11 more. Give a file with the same ",
        ),
    ],
)
def test_messages(tmp_path, options, message):
    for name in ("broken.keras", "broken.weights.h5"):
        (tmp_path / name).write_bytes(b"nothing")
    if options.get("weights") == "net.keras":
        layer_of(backbone(DIGIT, 3), "Functional").save(tmp_path / "net.keras")
    with looking_up(tmp_path), pytest.raises(ModelError) as caught:
        backbone(DIGIT, 3, **options)
    assert str(caught.value).startswith(message)


def row_of(*names, width=4):
    """Returns a net of layers that are alike."""
    inputs = x = keras.Input((width,))
    for name in names:
        x = keras.layers.Dense(width, name=name)(keras.layers.Dropout(0.5)(x))
    return keras.Model(inputs, x, name="net")


UNFIT = (
    "weights is 'other.weights.h5', which does not fit net: that has 6 weights with 60 numbers, and the file "
)
IN_ORDER = (
    "Such a file tells layers by their order: give one that save_weights of the same net has written, at the "
    "same size where it has positions, or a .keras file."
)


@pytest.mark.parametrize(
    ("make", "suffix", "message"),
    [
        (lambda: row_of("a", "b", "z"), ".weights.h5", None),
        (lambda: row_of("a", "b", "c", "z"), ".weights.h5", f"{UNFIT}8 with 80 numbers. {IN_ORDER}"),
        (lambda: row_of("a", "z"), ".weights.h5", f"{UNFIT}4 with 40 numbers. {IN_ORDER}"),
        (
            lambda: keras.Sequential([keras.Input((4,)), row_of("a", "b", "z"), keras.layers.Dense(2)]),
            ".weights.h5",
            f"{UNFIT}8 with 70 numbers. It is one of the whole model: save those of its backbone, "
            "model.get_layer('net').save_weights(...), or give a .keras file.",
        ),
        (
            lambda: keras.Sequential([keras.Input((1,)), *(keras.layers.Dense(n) for n in (5, 6, 2))]),
            ".weights.h5",
            f"{UNFIT}as many of other shapes. {IN_ORDER}",
        ),
        (lambda: row_of("first", "a", "b", "z", "scores"), ".keras", None),
        (
            lambda: row_of("a", "b", "c", "z", "scores"),
            ".keras",
            "weights is 'other.keras', which has no net that fits: between layers of the same names it has "
            "c, as a deeper net has. Give a file with the same backbone.",
        ),
    ],
)
def test_weights_of_another_net_are_refused_and_warn_of_nothing(tmp_path, recwarn, make, suffix, message):
    other, net = make(), row_of("a", "b", "z")
    other.compile("sgd", "mse")
    other.fit(np.zeros((2, *other.input_shape[1:])), np.zeros((2, *other.output_shape[1:])), verbose=0)
    (other.save if suffix == ".keras" else other.save_weights)(tmp_path / f"other{suffix}")
    with looking_up(tmp_path):
        if message is None:
            weights.load_weights(net, f"other{suffix}")
            np.testing.assert_array_equal(net.get_weights()[0], other.get_layer("a").get_weights()[0])
        else:
            with pytest.raises(ModelError) as caught:
                weights.load_weights(net, f"other{suffix}")
            assert str(caught.value) == message
    assert not [one for one in recwarn if "Skipping" in str(one.message)]


def normalized_net(*behind, activation="relu"):
    """Returns a net that normalises by ImageNet's statistics in its weights, as an EfficientNetB0 does."""
    norm = keras.layers.Normalization(name="norm")
    layers = norm, *behind, keras.layers.Conv2D(2, 3, activation=activation, name="conv")
    net = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), *layers], name="net")
    norm.set_weights([*map(np.array, weights._OF_IMAGENET), np.array(0)])
    norm.finalize_state()
    return net


@pytest.mark.parametrize("form", ["net.keras", "layers.keras", "net.weights.h5"])
def test_weights_that_were_learnt_behind_a_layer_without_any_give_what_they_gave(tmp_path, form):
    spread = weights._OF_IMAGENET[1]
    trained = normalized_net(keras.layers.Rescaling([1 / np.sqrt(part) for part in spread]))
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")
    net = trained
    for place in range(2):  # and once more, as a candidate that began with them is saved
        file = f"{place}.{form}"
        if (
            form == "layers.keras"
        ):  # with a head behind them, as in `keras.Model(net.input, head(net.output))`
            head = keras.layers.Dense(2, name="head")
            net = keras.Model(net.inputs, head(keras.layers.Flatten()(net.outputs[0])))
        (net.save_weights if form == "net.weights.h5" else net.save)(tmp_path / file)
        net = normalized_net()
        with looking_up(tmp_path):
            weights.load_weights(net, file)
        np.testing.assert_allclose(net.predict(images), trained.predict(images), rtol=1e-4, atol=1e-5)


def test_a_net_whose_layers_do_something_else_with_such_weights_is_refused(tmp_path):
    normalized_net(activation="gelu").save(tmp_path / "gelu.keras")
    normalized_net(keras.layers.ReLU()).save(tmp_path / "relu.keras")
    for file, said in (
        ("gelu.keras", "its Conv2D has other arguments: {'activation': 'gelu'"),
        ("relu.keras", "where net has Conv2D it has ReLU"),
    ):
        with looking_up(tmp_path), pytest.raises(ModelError) as caught:
            weights.load_weights(normalized_net(), file)
        assert str(caught.value).startswith(
            f"weights is {file!r}, which has weights like those of net, but other layers: {said}"
        )


def test_files_of_keras_that_are_damaged(tmp_path, monkeypatch):
    from keras.src.utils import file_utils

    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(file_utils, "urlretrieve", lambda *_, **__: pytest.fail("is downloaded"))

    def build(given, **hashes):
        net = row_of("a")
        if given:
            net.load_weights(
                file_utils.get_file("n.weights.h5", "https://x", cache_subdir="models", **hashes)
            )
        return net

    path = tmp_path / "models" / "n.weights.h5"
    path.parent.mkdir()
    path.write_bytes(b"half of it")
    with (
        looking_up(tmp_path),
        pytest.raises(ModelError, match=r"n\.weights\.h5: Keras cannot load it \(OSErr"),
    ):
        weights.with_imagenet("Net", build)
    hashed = partial(build, file_hash="0" * 32)
    with looking_up(tmp_path, downloads=False) as found:
        weights.with_imagenet("Net", hashed)
    assert found.files[0].digest is None
    assert path.is_file()

    def fails(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(file_utils, "urlretrieve", fails)
    with looking_up(tmp_path), pytest.raises(ModelError, match=r"is the file n\.weights\.h5: it was damaged"):
        weights.with_imagenet("Net", hashed)


def test_channels_are_those_of_pictures():
    with pytest.raises(
        ModelError, match=r"backbone: input_shape is \(8, 8, 4\), but its nets take 3 channels, or 1"
    ):
        backbone((8, 8, 4), 3)
