"""What a step of a pack must give: Keras's own numbers, draws by keys, and padding that touches nothing."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import subprocess
import sys

import keras
import numpy as np
import pytest
from fakes import classes_of
from keras import layers
from keras.src.applications.convnext import LayerScale
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from kerasgrid.models.mlp import mlp
from kerasgrid.records import Job, Target, Trial
from kerasgrid.seeds import draw_key
from kerasgrid.training import backend
from kerasgrid.training.batches import Scaling
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.feeding import Schedule
from kerasgrid.training.graph import lift
from kerasgrid.training.keyed import (
    Draw,
    KeyedDropout,
    KeyedGaussianDropout,
    KeyedGaussianNoise,
    KeyedSpatialDropout2D,
    MaskedBatchNormalization,
    drawing,
)
from kerasgrid.training.moving import Counted
from kerasgrid.training.program import Program

pytestmark = pytest.mark.slow
on_both = pytest.mark.backend  # what is written once for both, over words that are the same, is held on one
on_tensorflow = pytest.mark.skipif(
    backend.NAME != "tensorflow", reason="compiles for minutes on JAX, where one stop and resume is tested"
)

N_ROWS, BATCH = 52, 16
TINY = 2.0**-23  # Keras rounds Python's floats to float32: all numbers here are exact in it


def data(one_hot=False):
    numbers = np.random.default_rng(0)
    images = numbers.normal(size=(150, 8, 8, 1)).astype("float32").astype(keras.config.floatx())
    labels = numbers.integers(0, 4, 150)
    targets = np.eye(4)[labels].astype(keras.config.floatx()) if one_hot else labels.astype("int32")
    return images, targets


def net(optimizer, *middle, conv=False, regularizer=None, loss="sparse_categorical_crossentropy"):
    x = inputs = keras.Input((8, 8, 1))
    if conv:
        x = layers.Conv2D(4, 3, padding="same", use_bias=False, kernel_regularizer=regularizer)(x)
        x = layers.BatchNormalization(momentum=0.875, epsilon=2.0**-10)(x)
        x = layers.MaxPooling2D()(layers.LeakyReLU(0.125)(x))
    x = layers.Dense(16, activation="tanh", kernel_regularizer=regularizer)(layers.Flatten()(x))
    for layer in middle:
        x = layer(x)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    fast = {"jit_compile": False} if backend.NAME == "tensorflow" else {}
    model.compile(optimizer, loss, metrics=["accuracy"], **fast)
    return model


def table():
    """Returns rows of 5 numbers and 2 codes, 2 numbers to predict, and what each row counts."""
    numbers, kind = np.random.default_rng(0), keras.config.floatx()
    codes = np.stack([numbers.integers(0, n, 150) for n in N_CODES], axis=1)
    rows = np.concatenate([numbers.normal(size=(150, 5)), codes], axis=1).astype("float32").astype(kind)
    targets = np.stack([rows[:, 0] + codes[:, 0], rows[:, 1] * codes[:, 1]], axis=1).astype(kind)
    return rows, targets, numbers.uniform(0, 2, 150).astype("float32").astype(kind)


N_CODES = (4, 6)


def row_net(optimizer, loss="mean_squared_error", **more):
    """Returns a net for rows of such a table, with embeddings unless another size is given."""
    numbers = {"n_outputs": 2, "n_categories": N_CODES, "units": 16, "depth": 2, "dropout": 0.0}
    model = mlp((7,), **{**numbers, "activation": "tanh", "embedding_size": 3, **more})
    fast = {"jit_compile": False} if backend.NAME == "tensorflow" else {}
    model.compile(optimizer, loss, metrics=["mean_absolute_error"], **fast)
    return model


def lifted(model, one_hot=False):
    images, targets = data(one_hot)
    return lift(
        Compiled(model, "one_hot" if one_hot else "sparse", 4, False, classes_of(4)),
        (images[:1], targets[:1]),
    )


def stacked(trees):
    return keras.tree.map_structure(lambda *leaves: np.stack(leaves), *trees)


def taken(states, place):
    return keras.tree.map_structure(lambda leaf: np.array(leaf[place]), backend.to_host(states))


def fixed_of(graphs, class_weight=()):
    """Returns what a program is told of jobs once."""
    kind = keras.config.floatx()
    return {
        "numbers": np.stack([graph.numbers for graph in graphs]),
        "class_weight": np.tile(np.asarray(class_weight, kind), (len(graphs), 1)),
        "first": [],
        "is_debiased": np.zeros(len(graphs), np.float32),
    }


def epoch_of(graphs, padded, keys):
    """Returns what a program is told of jobs in an epoch, of what `Schedule.pad` gives for each, or for all.

    Images are neither augmented nor scaled.
    """
    kind, keys = keras.config.floatx(), np.asarray(keys, np.int32)
    rates = np.stack([np.full(20, graph.learning_rate or 0, kind) for graph in graphs])
    how = {"scaling": np.zeros((2, 0), kind), "strengths": np.zeros(0, kind), "key": keys[0]}
    batches = [
        {"full": places(full), "ragged": [(places(rows), weights) for rows, weights in ragged], "how": how}
        for full, ragged in padded
    ]
    return {"rates": rates, "key": keys}, stacked(batches)


def held_of(rows, weights):
    """Returns (job, chunk, row) as a program is told of them; images are not scaled."""
    scaling = np.zeros((len(rows), 2, 0), keras.config.floatx())
    return {"rows": places(rows), "weights": weights, "scaling": scaling}


def places(rows):
    """Returns (..., 2): images and targets lie in the same places."""
    return np.stack([rows, rows], axis=-1)


def distance(found, wanted):
    total = sum(float(np.sum(np.square(b, dtype=float))) for b in wanted)
    return np.sqrt(
        sum(float(np.sum(np.square(a - b, dtype=float))) for a, b in zip(found, wanted, strict=True)) / total
    )


# Weights as of Keras's own fit

RATES = (2.0**-4, 2.0**-6, 2.0**-5)
MORE = (0.875, 0.5, 0.75)
OPTIMIZERS = {
    "SGD": lambda i: keras.optimizers.SGD(RATES[i], momentum=MORE[i], nesterov=True),
    "plain SGD": lambda i: keras.optimizers.SGD(RATES[i]),
    "RMSprop": lambda i: keras.optimizers.RMSprop(
        RATES[i] / 8, rho=MORE[i], momentum=MORE[2 - i] / 2, epsilon=2.0**-10, centered=True
    ),
    "Adam": lambda i: keras.optimizers.Adam(RATES[i] / 8, beta_1=MORE[i], beta_2=0.96875, epsilon=2.0**-20),
    "AdamW": lambda i: keras.optimizers.AdamW(
        RATES[i] / 8, weight_decay=MORE[i] / 4, beta_1=MORE[i], beta_2=0.96875, epsilon=2.0**-20
    ),
    "Adagrad": lambda i: keras.optimizers.Adagrad(
        RATES[i] / 4, initial_accumulator_value=0.125, epsilon=TINY
    ),
    "Adadelta": lambda i: keras.optimizers.Adadelta(RATES[i] * 8, rho=MORE[i], epsilon=2.0**-10),
    "Adamax": lambda i: keras.optimizers.Adamax(
        RATES[i] / 8, beta_1=MORE[i], beta_2=0.96875, epsilon=2.0**-20
    ),
    "Lion": lambda i: keras.optimizers.Lion(RATES[i] / 64, beta_1=MORE[i], beta_2=0.96875),
}


def sgd(i):
    return keras.optimizers.SGD(RATES[i], momentum=MORE[i])


def smooth(i):
    return keras.losses.CategoricalCrossentropy(label_smoothing=MORE[i] / 4)


CASES = {
    "SGD, BatchNorm and L2": lambda i: net(
        OPTIMIZERS["SGD"](i), conv=True, regularizer=keras.regularizers.L2(MORE[i] / 64)
    ),
    "plain SGD and arithmetic between layers": lambda i: net(
        OPTIMIZERS["plain SGD"](i), lambda x: keras.ops.relu(layers.Dense(16)(x) * 0.5 + x)
    ),
    "RMSprop and LeakyReLU": lambda i: net(OPTIMIZERS["RMSprop"](i), layers.LeakyReLU(MORE[i] / 2)),
    "Adam and BatchNorm": lambda i: net(OPTIMIZERS["Adam"](i), conv=True),
    "AdamW, L1L2 and layers of keras.applications": lambda i: net(
        OPTIMIZERS["AdamW"](i),
        layers.Normalization(mean=0.25, variance=4.0),
        LayerScale(0.5, 16),
        lambda x: CustomScaleLayer(0.125)([x, x]),
        regularizer=keras.regularizers.L1L2(MORE[2 - i] / 256, MORE[i] / 64),
    ),
    "Adagrad and label smoothing, one-hot": lambda i: net(OPTIMIZERS["Adagrad"](i), loss=smooth(i)),
    "Adadelta and dropout of 0": lambda i: net(OPTIMIZERS["Adadelta"](i), layers.Dropout(0.0)),
    "Adamax and class weights": lambda i: net(OPTIMIZERS["Adamax"](i)),
    "Lion, class weights and label smoothing, one-hot": lambda i: net(OPTIMIZERS["Lion"](i), loss=smooth(i)),
    "clipping and nested BatchNorm": lambda i: net(
        keras.optimizers.SGD(RATES[i], momentum=MORE[i], global_clipnorm=0.5),
        keras.Sequential([layers.Dense(8), layers.BatchNormalization(momentum=0.875, epsilon=2.0**-10)]),
    ),
    "clipping each and schedule": lambda i: net(
        keras.optimizers.SGD(
            keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.25, 0.125]), MORE[i], clipnorm=0.25
        )
    ),
    "numbers, embeddings and weights": lambda i: row_net(OPTIMIZERS["Adam"](i)),
    "numbers, one-hot columns, residuals, BatchNorm, Huber and weights": lambda i: row_net(
        OPTIMIZERS["SGD"](i),
        keras.losses.Huber(),
        embedding_size=0,
        residual=True,
        batch_norm=True,
        epsilon=2.0**-10,
    ),
}
"""Candidates of one graph each; the folds have 52 and 55 rows, so that this one is padded."""
CLASS_WEIGHTS = (0.5, 2.0, 0.0, 1.0)


def compare(case, width=2, measures=True, own=(0, 1)):
    """Returns the worst distances of weights and of logs of a pack from Keras's own fits of some of its jobs.

    Held-out rows are measured too, unless `measures` is false: they have programs of their own to compile.
    """
    if case.startswith("numbers"):
        images, targets, weights = table()
        form, target = "any", Target("numbers", ("first", "second"))
    else:
        (images, targets), weights = data("one-hot" in case), None
        form, target = "one_hot" if "one-hot" in case else "sparse", classes_of(4)
    keras.utils.set_random_seed(1)
    models = [CASES[case](i) for i in range(width)]
    compiled = [Compiled(model, form, target.n_outputs, False, target) for model in models]
    graphs = [lift(one, (images[:1], targets[:1])) for one in compiled]
    assert len({graph.key for graph in graphs}) == 1
    assert len({(*graph.numbers.tolist(), graph.learning_rate) for graph in graphs}) == width
    program = Program(
        graphs[0],
        Schedule.of([N_ROWS, N_ROWS + 3], BATCH),
        backend.to_device(images),
        backend.to_device(targets),
        counts=None if weights is None else backend.to_device(weights),
    )
    assert program.schedule == Schedule(BATCH, 3, (7,))
    states = stacked(
        [
            program.state_of([np.array(v) for v in backend.to_host(model.variables)], graph.learning_rate)
            for model, graph in zip(models, graphs, strict=True)
        ]
    )
    class_weight = CLASS_WEIGHTS if "class weights" in case else ()
    fixed, keys = fixed_of(graphs, class_weight), np.arange(2 * width).reshape(width, 2)
    fixed["first"] = program.statistics(states)
    counted = [Counted(model) for model in models]
    worst_logs = 0.0
    for epoch in range(2):
        orders = [np.random.default_rng([epoch, i]).permutation(N_ROWS) for i in range(width)]
        told = epoch_of(graphs, [program.schedule.pad(order) for order in orders], keys + epoch)
        states = {**states, "metrics": stacked([program.fresh_metrics()] * width)}
        states = program.train(states, fixed, *told, 0, program.schedule.n_steps)
        for i in own:
            model, order = models[i], orders[i]
            history = model.fit(
                images[order],
                targets[order],
                batch_size=BATCH,
                shuffle=False,
                verbose=0,
                class_weight=dict(enumerate(class_weight)) or None,
                sample_weight=None if weights is None else weights[order],
            ).history
            logs = program.logs(taken(states["metrics"], i))
            measured = "mean_absolute_error" if target.is_numbers else "accuracy"
            assert set(logs) == set(history) == {"loss", measured}
            worst_logs = max([worst_logs, *(abs(logs[k] - history[k][0]) for k in logs)])
    worst = 0.0
    for i in own:
        model = models[i]
        assert program.first_values(taken(states, i)) == counted[i].first_values
        wanted = backend.to_host(model.weights)
        worst = max(worst, distance(program.variables(taken(states, i)), wanted))
    if measures:
        rows = np.tile(np.arange(100, 150, dtype=np.int32), (width, 1)).reshape(width, 2, 25)
        held = np.ones(rows.shape, keras.config.floatx())
        held[:, 1, -5:] = 0
        measured, _ = program.evaluate(states, fixed, held_of(rows, held))
        for i in own:
            wanted = models[i].evaluate(images[100:145], targets[100:145], verbose=0, return_dict=True)
            worst_logs = max([worst_logs, *(abs(float(measured[k][i]) - wanted[k]) for k in wanted)])
    return worst, worst_logs


@on_both
@pytest.mark.parametrize(
    "case",
    [
        "Adam and BatchNorm",
        pytest.param(
            "numbers, one-hot columns, residuals, BatchNorm, Huber and weights", marks=on_tensorflow
        ),
    ],
)
def test_a_pack_gives_each_job_the_weights_of_keras_own_fit(case, eager):
    weights, logs = compare(case, own=(0, 1) if backend.NAME == "tensorflow" else [1])  # each compiles on JAX
    assert weights < 1e-4
    assert logs < 1e-4


@pytest.fixture
def float64():
    """Computes in float64 here and now, which TensorFlow can wherever it stands."""
    kinds = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(kinds[0])
    keras.config.set_dtype_policy(kinds[1])


@on_tensorflow
@pytest.mark.usefixtures("eager", "float64")
@pytest.mark.parametrize("case", CASES)
def test_in_float64_the_weights_agree_to_nine_digits(case):
    """Of the job whose numbers are not those that the program was traced with."""
    assert compare(case, measures=False, own=[1])[0] < 1e-9


@on_both
@pytest.mark.skipif(backend.NAME != "jax", reason="TensorFlow has float64 beside float32")
@pytest.mark.timeout(600)
def test_on_jax_too_they_agree_to_nine_digits():
    """In a process of its own, since x64 holds for all of one; of one case, since it compiles for minutes."""
    code = (
        "import keras; keras.config.set_floatx('float64')\n"
        "import test_steps\n"
        "worst, _ = test_steps.compare('numbers, embeddings and weights', measures=False, own=[1])\n"
        "print(repr(float(worst)))\n"
    )
    # With all that XLA does in earnest, which tests in this process leave out.
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "JAX_ENABLE_X64": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.splitlines()[-1]) < 1e-9


@on_tensorflow
def test_metrics_that_make_their_variables_late_are_measured():
    images, targets = data(one_hot=True)
    model = net(sgd(0), loss="categorical_crossentropy")
    model.compile(sgd(0), "categorical_crossentropy", metrics=[keras.metrics.F1Score(average="macro")])
    graph = lifted(model, one_hot=True)
    program = Program(
        graph, Schedule.of([N_ROWS], BATCH), backend.to_device(images), backend.to_device(targets)
    )
    state = program.state_of([np.array(v) for v in backend.to_host(model.variables)], graph.learning_rate)
    order = program.schedule.pad(np.arange(N_ROWS))
    after = step(graph, program, state, order, 0, program.schedule.n_steps)
    history = model.fit(images[:N_ROWS], targets[:N_ROWS], batch_size=BATCH, shuffle=False, verbose=0).history
    assert history["f1_score"][0] > 0
    assert program.logs(after["metrics"])["f1_score"] == pytest.approx(history["f1_score"][0], rel=1e-4)


CROSSENTROPY, ONE_HOT, BINARY = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
)
SATURATED = {
    "softmax": (CROSSENTROPY, lambda: [layers.Activation("softmax")]),
    "softmax, one-hot": (ONE_HOT, lambda: [layers.Activation("softmax")]),
    "layer Softmax": (CROSSENTROPY, lambda: [layers.Softmax()]),
    "softmax within a model": (CROSSENTROPY, lambda: [keras.Sequential([layers.Activation("softmax")])]),
    "softmax that another layer follows": (
        CROSSENTROPY,
        lambda: [layers.Activation("softmax"), layers.Reshape((4, 1)), layers.Flatten()],
    ),
    "softmax in bfloat16": (
        CROSSENTROPY,
        lambda: [layers.Activation("softmax", dtype="mixed_bfloat16")],
    ),
    "focal, one-hot": ("categorical_focal_crossentropy", lambda: [layers.Activation("softmax")]),
    "divergence, one-hot": ("kl_divergence", lambda: [layers.Activation("softmax")]),
    "sigmoid, one-hot": (BINARY, lambda: [layers.Activation("sigmoid")]),
    "focal of sigmoid, one-hot": ("binary_focal_crossentropy", lambda: [layers.Activation("sigmoid")]),
    "logits": (keras.losses.SparseCategoricalCrossentropy(from_logits=True), lambda: []),
}
"""A loss, and what stands behind the last Dense."""
SATURATED_ON_JAX = {"softmax", "softmax in bfloat16", "sigmoid, one-hot"}


@on_both
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[] if case in SATURATED_ON_JAX else on_tensorflow) for case in SATURATED],
)
def test_held_out_loss_and_metrics_are_keras_own_where_a_net_is_wrong_for_certain(case):
    loss, end = SATURATED[case]
    one_hot = "one-hot" in case
    images, targets = data(one_hot)
    keras.utils.set_random_seed(2)
    dense = layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=40, seed=1))
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), dense, *end()])
    metrics = [] if case == "logits" else [BINARY, ONE_HOT] if one_hot else [CROSSENTROPY]
    model.compile(sgd(0), loss, metrics=metrics)
    graph = lifted(model, one_hot)
    program = Program(
        graph, Schedule.of([N_ROWS], BATCH), backend.to_device(images), backend.to_device(targets)
    )
    weights = [np.array(v) for v in backend.to_host(model.variables)]
    state = stacked([program.state_of(weights, graph.learning_rate)])
    rows, held = np.arange(150, dtype=np.int32).reshape(1, 6, 25), np.ones((1, 6, 25), keras.config.floatx())
    found, outputs = program.evaluate(state, fixed_of([graph]), held_of(rows, held))
    wanted = model.evaluate(images, targets, batch_size=150, verbose=0, return_dict=True)
    assert wanted["loss"] > 0.1
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(float(found[name][0]), value, rtol=1e-5, err_msg=name)
    own = model.predict(images, batch_size=150, verbose=0).astype("float32")  # of bfloat16, perhaps
    np.testing.assert_allclose(np.reshape(outputs, own.shape), own, atol=1e-5)


# Randomness


def ones(shape):
    return np.ones(shape, "float32")


def drawn(layer, inputs, key=(839118, -71), step=0, place=0):
    layer.place = place
    key = keras.ops.convert_to_tensor(np.array(key, np.int32))
    with drawing(Draw(key, keras.ops.convert_to_tensor(np.int32(step)))):
        return np.asarray(layer(inputs, training=True))


def of_rate(kind, name, value):
    layer = kind(0.0)
    setattr(layer, name, value)
    return layer


@on_both
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate):
    out = drawn(of_rate(KeyedDropout, "rate", rate), ones((201, 499)))  # an odd number
    dropped = out == 0
    assert abs(dropped.mean() - rate) <= 4 * np.sqrt(rate * (1 - rate) / out.size)
    np.testing.assert_allclose(out[~dropped], 1 / (1 - rate), rtol=1e-6)
    # no row and no column drops more than chance, nor neighbours, which share a word
    assert np.abs(dropped.mean(axis=0) - rate).max() <= 6 * np.sqrt(rate * (1 - rate) / 201)
    assert np.abs(dropped.mean(axis=1) - rate).max() <= 6 * np.sqrt(rate * (1 - rate) / 499)
    both = np.mean(dropped[:, 1:] & dropped[:, :-1])
    assert abs(both - rate**2) <= 6 * np.sqrt(rate**2 * (1 - rate**2) / out.size)


@pytest.mark.parametrize(
    "rate",
    [pytest.param(rate, marks=on_both) for rate in (0.001, 0.2)] + [0.003, 0.1, 0.25, 0.4, 0.5, 0.8, 0.99],
)
def test_rates_that_no_byte_has_are_met_on_average(rate):
    """The nearest of 256ths is 8 standard errors away from 0.2, and a rate of 0.001 would be none."""
    layer = of_rate(KeyedDropout, "rate", rate)
    outs = [drawn(layer, ones((601, 1000)), step=step) for step in range(30)]
    n = sum(out.size for out in outs)
    assert np.mean([np.mean(out == 0) for out in outs]) == pytest.approx(
        rate, abs=4 * np.sqrt(rate * (1 - rate) / n)
    )
    assert np.mean([np.mean(out, dtype=float) for out in outs]) == pytest.approx(
        1, abs=4 * np.sqrt(rate / (1 - rate) / n)
    )
    # A sample's own rate is one of the two 256ths beside it, and no step has its samples alike.
    shares = np.concatenate([np.mean(out == 0, axis=1) for out in outs])
    assert np.abs(shares - rate).max() <= 1 / 256 + 6 * np.sqrt((rate * (1 - rate) + 1 / 256) / 1000)
    spread = np.sqrt((rate * (1 - rate) + 1 / 256) / outs[0].size)
    assert max(abs(np.mean(out == 0) - rate) for out in outs) <= 5 * spread


@on_both
@pytest.mark.parametrize("bytes_pay", [True, False])
def test_the_highest_rate_drops_255_of_256(bytes_pay, monkeypatch):
    monkeypatch.setattr(backend, "BYTES_PAY", bytes_pay)
    out = drawn(of_rate(KeyedDropout, "rate", 255 / 256), ones((601, 1000)))
    np.testing.assert_array_equal(np.unique(out), [0, 256])
    assert np.mean(out == 0) == pytest.approx(255 / 256, abs=4 * np.sqrt(1 / 256 / out.size))


def test_the_masks_of_a_word_have_nothing_in_common():
    dropped = drawn(of_rate(KeyedDropout, "rate", 0.5), ones((4096, 256))) == 0
    for lag in (1, 2, 3, 4, 8, 256):
        flat = dropped.ravel()
        assert abs(np.mean(flat[lag:] == flat[:-lag]) - 0.5) < 5 * 0.5 / np.sqrt(flat.size), lag


@pytest.mark.skipif(backend.NAME != "tensorflow", reason="JAX hashes on any device")
def test_on_a_gpu_masks_are_drawn_by_its_own_generator(monkeypatch):
    layer = of_rate(KeyedDropout, "rate", 0.2)
    hashed = drawn(layer, ones((601, 1000)))
    monkeypatch.setattr(backend.tf.config, "list_physical_devices", lambda kind: [kind])
    out = drawn(layer, ones((601, 1000)))
    assert (out != hashed).any()
    assert np.mean(out == 0) == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / out.size))
    np.testing.assert_array_equal(out, drawn(layer, ones((601, 1000))))


@on_both
def test_words_are_the_same_on_every_backend():
    """Beside NumPy's arithmetic."""

    def mixed(x):
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
        return x ^ (x >> np.uint32(16))

    salt = np.array([839118, -71], np.int32)
    found = backend.bits(1001, keras.ops.convert_to_tensor(salt))
    first, second = salt.view(np.uint32).reshape(2, 1)
    wanted = mixed(mixed(np.arange(1001, dtype=np.uint32) ^ mixed(first)) + mixed(first ^ second))
    np.testing.assert_array_equal(backend.to_host(found), wanted)
    for n_bits, kind in ((8, np.uint8), (16, np.uint16)):
        wanted_parts = wanted.astype("<u4").view(kind)
        np.testing.assert_array_equal(backend.to_host(backend.parts(found, n_bits)), wanted_parts)


def test_spatial_dropout_drops_whole_channels():
    out = drawn(of_rate(KeyedSpatialDropout2D, "rate", 0.25), ones((100, 3, 3, 40)))
    channels = out[:, 0, 0, :]
    np.testing.assert_array_equal(out, np.broadcast_to(channels[:, None, None, :], out.shape))
    assert abs((channels == 0).mean() - 0.25) <= 4 * np.sqrt(0.25 * 0.75 / channels.size)


def test_gaussian_layers_have_their_moments():
    n = 200 * 500
    noise = drawn(of_rate(KeyedGaussianNoise, "stddev", 0.5), np.zeros((200, 500), "float32"))
    assert abs(noise.mean()) < 4 * 0.5 / np.sqrt(n)
    assert abs(noise.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * n)
    assert abs((noise**4).mean() / 0.5**4 - 3) < 0.2
    factor = drawn(of_rate(KeyedGaussianDropout, "rate", 0.2), ones((200, 500)))
    assert abs(factor.mean() - 1) < 4 * 0.5 / np.sqrt(n)
    assert abs(factor.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * n)


def test_jobs_steps_and_layers_draw_masks_that_have_nothing_in_common():
    wheres = [{}] + [{"key": key} for key in ((-5550417, -71), (839118, 33), (-71, 839118), (-839118, 71))]
    wheres += [{"step": step} for step in (1, 2, 1000)] + [{"place": place} for place in (1, 2, 30)]
    masks = [drawn(of_rate(KeyedDropout, "rate", 0.5), ones((100, 200)), **where) == 0 for where in wheres]
    again = drawn(of_rate(KeyedDropout, "rate", 0.5), ones((100, 200))) == 0
    np.testing.assert_array_equal(masks[0], again)
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert abs((one == other).mean() - 0.5) < 5 * 0.5 / np.sqrt(one.size), (wheres[i], "agree")


@pytest.mark.parametrize("kind", [KeyedDropout, KeyedSpatialDropout2D, KeyedGaussianNoise])
def test_a_layer_that_stands_in_two_places_draws_anew_in_each(kind):
    layer = of_rate(kind, "stddev" if kind is KeyedGaussianNoise else "rate", 0.5)

    def both():
        with drawing(Draw(keras.ops.convert_to_tensor(np.array([1, 2], np.int32)), np.int32(3))):
            return [np.asarray(layer(ones((50, 2, 2, 60)), training=True)) for _ in range(2)]

    first, second = both()
    one, other = (part[:, 0, 0] > 1 for part in (first, second))
    assert abs((one == other).mean() - 0.5) < 5 * 0.5 / np.sqrt(one.size)
    for found, wanted in zip(both(), (first, second), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_an_epoch_of_many_steps_draws_no_mask_of_the_next_one():
    job = Job(Trial(0, {}), 0)

    def mask(epoch, step):
        return drawn(of_rate(KeyedDropout, "rate", 0.5), ones((9, 50)), draw_key(0, job, epoch), step)

    for epoch in (0, 65_534):
        assert (mask(epoch, 65_536) != mask(epoch + 1, 0)).any()
        assert (mask(epoch, 65_535) != mask(epoch, 65_536)).any()


def test_randomness_is_off_outside_of_training():
    layer = of_rate(KeyedDropout, "rate", 0.5)
    np.testing.assert_array_equal(np.asarray(layer(ones((4, 5)), training=False)), ones((4, 5)))


def noisy(rate):
    return [
        layers.Dropout(rate),
        layers.Dropout(rate),
        layers.Reshape((2, 2, 4)),
        layers.SpatialDropout2D(rate),
        layers.Flatten(),
        layers.GaussianNoise(rate),
        layers.GaussianDropout(rate),
    ]


@on_both
def test_what_a_job_draws_does_not_depend_on_its_pack():
    images, targets = data()
    keras.utils.set_random_seed(3)
    graphs = [lifted(net(sgd(i % 3), *noisy(0.1 + 0.1 * i))) for i in range(4)]
    assert len({graph.key for graph in graphs}) == 1
    program = Program(
        graphs[0], Schedule.of([64], BATCH), backend.to_device(images), backend.to_device(targets)
    )
    states = [program.initial_state(i, graph.learning_rate) for i, graph in enumerate(graphs)]
    orders = [program.schedule.pad(np.random.default_rng(i).permutation(64)) for i in range(4)]

    def trained(*jobs):
        """Returns the weights of each job after 6 steps (two of them of the second epoch) in this pack."""
        own = [graphs[job] for job in jobs]
        after = stacked([states[job] for job in jobs])
        for epoch, last in ((0, 4), (1, 2)):
            keys = [[10 + job, epoch - job] for job in jobs]
            told = epoch_of(own, [orders[job] for job in jobs], keys)
            after = program.train(after, fixed_of(own), *told, 0, last)
        return [program.variables(taken(after, place)) for place in range(len(jobs))]

    [alone] = trained(2)
    together = trained(*range(4))
    for found in (trained(2, 0)[0], trained(3, 2)[1], together[2]):
        assert distance(found, alone) < 1e-5
    assert distance(together[3], alone) > 1e-2


@on_tensorflow
def test_a_dropout_rate_and_a_key_reach_the_step():
    """The same job with another rate or key alone gives other weights, and with 0 those without the layer."""
    images, targets = data()
    device = backend.to_device(images), backend.to_device(targets)
    schedule = Schedule.of([N_ROWS], BATCH)
    first = [np.array(v) for v in backend.to_host(net(sgd(0)).variables)]

    def trained(program, graph, key=(1, 2)):
        state = stacked([program.state_of(first, graph.learning_rate)])
        told = epoch_of([graph], [schedule.pad(np.arange(N_ROWS))], [key])
        after = program.train(state, fixed_of([graph]), *told, 0, schedule.n_steps)
        return program.variables(taken(after, 0))

    bare = lifted(net(sgd(0)))
    without = trained(Program(bare, schedule, *device), bare)
    graphs = [lifted(net(sgd(0), layers.Dropout(rate))) for rate in (0.0, 0.25, 0.5)]
    program = Program(graphs[0], schedule, *device)
    none, some, more = (trained(program, graph) for graph in graphs)
    assert distance(none, without) < 1e-6
    assert distance(some, without) > 1e-2
    assert distance(some, more) > 1e-2
    assert distance(trained(program, graphs[1], key=(1, 3)), some) > 1e-2


# Bytes


@on_both
@pytest.mark.parametrize("scale", [255.0, 16.0, 3.0, 0.1, 127.5, None])
def test_bytes_are_scaled_to_the_bit_as_on_the_host(scale):
    """In a net of one Dense that passes its inputs on, in evaluation, and as a step takes them."""
    images = np.arange(256, dtype=np.uint8).reshape(64, 4)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, use_bias=False)])
    model.compile(sgd(0), "sparse_categorical_crossentropy")
    targets = np.zeros(64, "int32")
    graph = lift(
        Compiled(model, "sparse", 4, False, classes_of(4)), (images[:1].astype("float32"), targets[:1])
    )
    device = backend.to_device(images), backend.to_device(targets)
    program = Program(graph, Schedule.of([64], 16), *device, divisor=scale)
    state = stacked([program.state_of([np.eye(4, dtype="float32")], graph.learning_rate)])
    rows = np.arange(64, dtype=np.int32)[::-1].reshape(1, 2, 32)
    _, outputs = program.evaluate(state, fixed_of([graph]), held_of(rows, np.ones(rows.shape, "float32")))
    wanted = Scaling(scale)(images)[::-1]
    np.testing.assert_array_equal(np.reshape(outputs, wanted.shape), wanted)
    for jit in (False, True):
        batch = backend.compile(program._step.batch, jit)
        _, batches = epoch_of([graph], [program.schedule.pad(rows.ravel())], [[1, 2]])
        how = {name: value[0] for name, value in batches["how"].items()}
        x, *_ = batch(how, np.int32(0), program.images, program.targets, places(rows.ravel()))
        np.testing.assert_array_equal(np.asarray(x), wanted)


@pytest.mark.skipif(backend.NAME != "tensorflow", reason="JAX gathers bytes on any device")
@pytest.mark.parametrize("shape", [(64, 4, 2), (64, 8), (3, 16, 1)])
def test_on_a_gpu_bytes_are_gathered_as_words(shape, monkeypatch):
    """Which TensorFlow has a kernel for there, and of bytes none."""
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    rows = np.array([2, 0, 1, 1, 2], np.int32)
    monkeypatch.setattr(backend.tf.config, "list_physical_devices", lambda kind: [kind])
    take = backend.compile(backend.take)
    given = backend.to_device(images), backend.to_device(rows)
    found = take(*given)
    assert found.dtype == backend.tf.uint8
    np.testing.assert_array_equal(np.asarray(found), images[rows])
    operations = take.get_concrete_function(*given).graph.get_operations()
    assert [op.inputs[0].dtype for op in operations if op.type == "GatherV2"] == [backend.tf.int64]
    assert (backend.takes_bytes(784), backend.takes_bytes(25)) == (True, False)
    monkeypatch.undo()
    assert backend.takes_bytes(25)


# BatchNormalization's slopes


def slopes_of(layer, inputs, factors, n_calls):
    """Returns outputs, and slopes of inputs and weights, of a sum of a layer's outputs by factors."""

    def objective(arguments):
        x, weights = arguments
        mapping = list(zip(layer.trainable_variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            for _ in range(n_calls):
                outputs = layer(x, training=True)
                x = outputs * 1.5 + keras.ops.cast(x, outputs.dtype)
        return keras.ops.sum(keras.ops.cast(x, "float32") * factors), x

    def run(arguments):
        with drawing(Draw(np.zeros(2, np.int32), np.int32(0))):
            (_, outputs), slopes = backend.gradients(objective, arguments)
        return outputs, slopes

    run = backend.compile(run)
    weights = [
        keras.ops.cast(np.linspace(0.5, 2, v.shape[0], dtype="float32"), v.dtype)
        for v in layer.trainable_variables
    ]
    arguments = keras.ops.convert_to_tensor(inputs), weights
    if backend.NAME == "tensorflow":
        kernels = [op.type for op in run.get_concrete_function(arguments).graph.get_operations()]
        is_ours = isinstance(layer, MaskedBatchNormalization)
        assert kernels.count("FusedBatchNormGradV3") == (n_calls if is_ours else 0)
    outputs, (of_inputs, of_weights) = run(arguments)
    return [np.asarray(backend.to_host(part), float) for part in (outputs, of_inputs, *of_weights)]


@pytest.mark.parametrize(
    ("shape", "given", "n_calls"),
    [
        pytest.param((64, 10), {}, 1, marks=on_both),
        ((64, 16), {}, 2),
        ((1, 5), {}, 1),
        ((8, 6, 5, 4), {"epsilon": 1e-5}, 1),
        ((8, 7, 16), {"center": False}, 1),
        ((4, 3, 2, 2, 3), {"scale": False}, 1),
        ((32, 8), {"center": False, "scale": False}, 1),
        pytest.param((64, 16), {"dtype": "mixed_bfloat16"}, 2, marks=on_both),
        ((64, 16), {"dtype": "bfloat16"}, 1),
    ],
)
def test_batch_normalization_has_the_slopes_of_keras_own(shape, given, n_calls):
    numbers = np.random.default_rng(7)
    inputs = numbers.normal(3, 2, size=shape).astype("float32")
    factors = numbers.normal(size=shape).astype("float32")
    found = []
    for kind in (MaskedBatchNormalization, layers.BatchNormalization):
        layer = kind(**given)
        layer.build(shape)
        found.append(slopes_of(layer, inputs, factors, n_calls))
    ours, own = found
    np.testing.assert_array_equal(ours[0], own[0])
    is_mixed = "dtype" in given
    for mine, theirs in zip(ours[1:], own[1:], strict=True):
        size = np.abs(theirs).max()
        np.testing.assert_allclose(mine, theirs, atol=size * (2**-7 if is_mixed else 2e-6))


# Padding


@pytest.fixture(scope="module")
def padded():
    """A job of a net with BatchNorm and Adam whose fold has 20 rows beside one of 40: steps of 16, 16, 8."""
    images, targets = data()
    keras.utils.set_random_seed(5)
    model = net(
        OPTIMIZERS["AdamW"](0), layers.Dropout(0.5), conv=True, regularizer=keras.regularizers.L2(0.25)
    )
    graph = lifted(model)
    program = Program(
        graph, Schedule.of([20, 40], BATCH), backend.to_device(images), backend.to_device(targets)
    )
    assert program.schedule == Schedule(16, 1, (16, 8))
    return graph, program


def step(graph, program, state, order, first, last):
    told = epoch_of([graph], [order], [[1, 2]])
    return taken(program.train(stacked([state]), fixed_of([graph]), *told, first, last), 0)


def same_bits(found, wanted):
    found, wanted = keras.tree.flatten(found), keras.tree.flatten(wanted)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(found, wanted, strict=True))


@on_both
def test_a_step_of_padding_alone_changes_no_bit(padded):
    graph, program = padded
    order = program.schedule.pad(np.arange(20))
    assert [weights.sum() for _, weights in order[1]] == [4, 0]
    before = step(graph, program, program.initial_state(1, graph.learning_rate), order, 0, 2)
    after = step(graph, program, before, order, 2, 3)
    assert same_bits(after, before)
    real = program.schedule.pad(np.arange(40))
    assert not same_bits(step(graph, program, before, real, 2, 3), before)


@on_both
def test_what_stands_in_the_padding_changes_no_bit(padded):
    graph, program = padded
    full, ((rows, weights), last) = program.schedule.pad(np.arange(20))
    other = rows.copy()
    other[4:] = np.arange(100, 112)
    before = step(
        graph, program, program.initial_state(1, graph.learning_rate), (full, [(rows, weights), last]), 0, 1
    )
    one = step(graph, program, before, (full, [(rows, weights), last]), 1, 2)
    two = step(graph, program, before, (full, [(other, weights), last]), 1, 2)
    assert same_bits(one, two)
    assert not same_bits(one, before)


@on_tensorflow
def test_padding_gives_the_moving_statistics_and_loss_of_the_real_rows():
    images, targets = data()
    keras.utils.set_random_seed(6)
    model = net(sgd(0), conv=True)
    device = backend.to_device(images), backend.to_device(targets)
    results = []
    for sizes in ([20], [20, 40]):
        graph = lifted(model)  # its optimizer is built by one program alone
        program = Program(graph, Schedule.of(sizes, BATCH), *device)
        state = program.state_of([np.array(v) for v in backend.to_host(model.variables)], graph.learning_rate)
        order = program.schedule.pad(np.arange(20))
        after = step(graph, program, state, order, 0, program.schedule.n_steps)
        results.append((program.variables(after), program.logs(after["metrics"]), after["metrics"]["count"]))
    model.fit(images[:20], targets[:20], batch_size=BATCH, shuffle=False, verbose=0)
    own = backend.to_host(model.variables)
    for variables, logs, count in results:
        assert count == 20
        for found, wanted, variable in zip(variables, own, model.variables, strict=True):
            if "moving" in variable.path:
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        assert logs == pytest.approx(results[0][1], rel=1e-5)
