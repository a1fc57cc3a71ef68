"""What a compiled pack must give: Keras's own numbers, job by job, whoever is trained beside a job."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import dataclasses
import gc
import re
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest
from fakes import Collector, Crash, Crashing, prepare_run
from keras import layers

from kerasgrid.data.arrays import Samples
from kerasgrid.data.cache import save_samples
from kerasgrid.planning import split
from kerasgrid.records import (
    EpochRecord,
    Graph,
    Job,
    NoteRecord,
    Pack,
    RungRecord,
    StopRecord,
    Trial,
)
from kerasgrid.seeds import data_order, draw_key, model_seed
from kerasgrid.training import backend, packs, wave
from kerasgrid.training.batches import Batches, Scaling, encode_labels, open_dataset
from kerasgrid.training.candidate import build_and_compile
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.hooks import make_callbacks
from kerasgrid.training.job import train_pack
from kerasgrid.training.keyed import (
    Draw,
    KeyedDropout,
    KeyedGaussianDropout,
    KeyedGaussianNoise,
    KeyedSpatialDropout2D,
    drawing,
)
from kerasgrid.training.lifting import lift
from kerasgrid.training.objective import find_objective
from kerasgrid.training.program import Program
from kerasgrid.training.routing import route
from kerasgrid.training.schedule import Schedule

pytestmark = [pytest.mark.slow, pytest.mark.backend]
on_tensorflow = pytest.mark.skipif(
    backend.NAME != "tensorflow", reason="compiles for minutes on JAX, where one stop and resume is tested"
)

N_ROWS, BATCH = 100, 16
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


def lifted(model, one_hot=False):
    images, targets = data(one_hot)
    return lift(Compiled(model, "one_hot" if one_hot else "sparse", 4, False), (images[:1], targets[:1]))


def stacked(trees):
    return keras.tree.map_structure(lambda *leaves: np.stack(leaves), *trees)


def taken(states, place):
    return keras.tree.map_structure(lambda leaf: np.array(leaf[place]), backend.to_host(states))


def fixed_of(graphs, keys, class_weight=()):
    """Returns what a program is told of jobs once; images are not scaled."""
    kind = keras.config.floatx()
    return {
        "numbers": np.stack([graph.numbers for graph in graphs]),
        "scaling": np.zeros((len(graphs), 2, 0), kind),
        "key": np.asarray(keys, np.int32),
        "class_weight": np.tile(np.asarray(class_weight, kind), (len(graphs), 1)),
    }


def inputs_of(graphs, padded):
    """Returns what a program is told of jobs in an epoch, of what `Schedule.pad` gives for each."""
    inputs = []
    for graph, (full, ragged) in zip(graphs, padded, strict=True):
        rates = np.full(20, graph.learning_rate or 0, keras.config.floatx())
        inputs.append({"full": full, "ragged": ragged, "rates": rates})
    return stacked(inputs)


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


CASES = {name: (lambda i, make=make: net(make(i))) for name, make in OPTIMIZERS.items()} | {
    "BatchNorm and L2": lambda i: net(sgd(i), conv=True, regularizer=keras.regularizers.L2(MORE[i] / 64)),
    "BatchNorm and Adam": lambda i: net(OPTIMIZERS["Adam"](i), conv=True),
    "nested BatchNorm": lambda i: net(
        sgd(i),
        keras.Sequential([layers.Dense(8), layers.BatchNormalization(momentum=0.875, epsilon=2.0**-10)]),
    ),
    "L1L2": lambda i: net(sgd(i), regularizer=keras.regularizers.L1L2(MORE[2 - i] / 256, MORE[i] / 64)),
    "label smoothing": lambda i: net(sgd(i), loss=smooth(i)),
    "class weights": lambda i: net(sgd(i)),
    "class weights, one-hot": lambda i: net(sgd(i), loss=smooth(i)),
    "LeakyReLU": lambda i: net(sgd(i), layers.LeakyReLU(MORE[i] / 2)),
    "dropout of 0": lambda i: net(sgd(i), layers.Dropout(0.0)),
    "clipping": lambda i: net(keras.optimizers.SGD(RATES[i], momentum=MORE[i], global_clipnorm=0.5)),
    "clipping each": lambda i: net(keras.optimizers.SGD(RATES[i], momentum=MORE[i], clipnorm=0.25)),
    "arithmetic between layers": lambda i: net(
        sgd(i), lambda x: keras.ops.relu(layers.Dense(16)(x) * 0.5 + x)
    ),
    "schedule": lambda i: net(
        keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([9], [0.25, 0.125]), MORE[i])
    ),
}
"""Three candidates of one graph each; the folds have 100 and 103 rows, so that this one is padded."""
ONE_HOT = {"label smoothing", "class weights, one-hot"}
CLASS_WEIGHTS = (0.5, 2.0, 0.0, 1.0)


def compare(case, width=3):
    """Returns the worst distances of weights and of logs of a pack from Keras's own fits."""
    one_hot = case in ONE_HOT
    images, targets = data(one_hot)
    keras.utils.set_random_seed(1)
    models = [CASES[case](i) for i in range(width)]
    graphs = [lifted(model, one_hot) for model in models]
    assert len({graph.key for graph in graphs}) == 1
    assert len({(*graph.numbers.tolist(), graph.learning_rate) for graph in graphs}) >= (
        1 if case == "dropout of 0" else width
    )
    program = Program(
        graphs[0],
        Schedule.of([N_ROWS, N_ROWS + 3], BATCH),
        backend.to_device(images),
        backend.to_device(targets),
    )
    assert program.schedule == Schedule(BATCH, 6, (7,))
    states = stacked(
        [
            program.state_of([np.array(v) for v in backend.to_host(model.variables)], graph.learning_rate)
            for model, graph in zip(models, graphs, strict=True)
        ]
    )
    class_weight = CLASS_WEIGHTS if "class weights" in case else ()
    fixed = fixed_of(graphs, np.arange(2 * width).reshape(width, 2), class_weight)
    worst_logs = 0.0
    for epoch in range(3):
        orders = [np.random.default_rng([epoch, i]).permutation(N_ROWS) for i in range(width)]
        inputs = inputs_of(graphs, [program.schedule.pad(order) for order in orders])
        states = {**states, "metrics": stacked([program.fresh_metrics()] * width)}
        states = program.train(states, fixed, inputs, 0, program.schedule.n_steps, epoch)
        for i, (model, order) in enumerate(zip(models, orders, strict=True)):
            history = model.fit(
                images[order],
                targets[order],
                batch_size=BATCH,
                shuffle=False,
                verbose=0,
                class_weight=dict(enumerate(class_weight)) or None,
            ).history
            logs = program.logs(taken(states["metrics"], i))
            assert set(logs) == set(history) == {"loss", "accuracy"}
            worst_logs = max([worst_logs, *(abs(logs[k] - history[k][0]) for k in logs)])
    rows = np.tile(np.arange(N_ROWS, 150, dtype=np.int32), (width, 1)).reshape(width, 2, 25)
    held = np.ones(rows.shape, keras.config.floatx())
    held[:, 1, -5:] = 0
    measured, _ = program.evaluate(states, fixed, rows, held)
    worst = 0.0
    for i, model in enumerate(models):
        wanted = backend.to_host(model.variables)
        worst = max(worst, distance(program.variables(taken(states, i)), wanted))
        own = model.evaluate(images[N_ROWS:145], targets[N_ROWS:145], verbose=0, return_dict=True)
        worst_logs = max([worst_logs, *(abs(float(measured[k][i]) - own[k]) for k in own)])
    return worst, worst_logs


@pytest.mark.parametrize("case", list(CASES)[::4])  # float64, below, has them all
def test_a_pack_gives_each_job_the_weights_of_keras_own_fit(case):
    weights, logs = compare(case)
    assert weights < 1e-4
    assert logs < 1e-4


# JAX compiles for minutes: a sample of them there.
PARTS = [list(CASES)[::2], list(CASES)[1::2]] if backend.NAME == "tensorflow" else [list(CASES)[::5]]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(len(PARTS)))
def test_in_float64_the_weights_agree_to_nine_digits(part):
    """In a process of its own: floatx and JAX's x64 hold for a whole process."""
    code = (
        "import keras; keras.config.set_floatx('float64')\n"
        "import test_packs\n"
        f"for case in {PARTS[part]!r}:\n"
        "    print(f'{case}: {float(test_packs.compare(case, 2)[0])!r}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "JAX_ENABLE_X64": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert set(found) == set(PARTS[part])
    # On JAX Keras's BatchNormalization casts to result_type("float64", "float32"), which is float32 there:
    # in its own fit and in packs alike.
    loose = {case for case in CASES if "BatchNorm" in case} if keras.backend.backend() == "jax" else set()
    too_far = {
        case: value for case, value in found.items() if float(value) >= (1e-6 if case in loose else 1e-9)
    }
    assert too_far == {}


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


def test_randomness_is_off_outside_of_training():
    layer = of_rate(KeyedDropout, "rate", 0.5)
    np.testing.assert_array_equal(np.asarray(layer(ones((4, 5)), training=False)), ones((4, 5)))


RANDOM = {
    "dropout": lambda rate: [layers.Dropout(rate), layers.Dropout(rate)],
    "others": lambda rate: [
        layers.Reshape((2, 2, 4)),
        layers.SpatialDropout2D(rate),
        layers.Flatten(),
        layers.GaussianNoise(rate),
        layers.GaussianDropout(rate),
    ],
}


@pytest.mark.parametrize("kind", RANDOM)
def test_what_a_job_draws_does_not_depend_on_its_pack(kind):
    images, targets = data()
    keras.utils.set_random_seed(3)
    graphs = [lifted(net(sgd(i % 3), *RANDOM[kind](0.1 + 0.1 * i))) for i in range(7)]
    assert len({graph.key for graph in graphs}) == 1
    program = Program(
        graphs[0], Schedule.of([64], BATCH), backend.to_device(images), backend.to_device(targets)
    )
    states = [program.initial_state(i, graph.learning_rate) for i, graph in enumerate(graphs)]
    orders = [program.schedule.pad(np.random.default_rng(i).permutation(64)) for i in range(7)]

    def trained(*jobs):
        """Returns the weights of each job after 6 steps (two of them of the second epoch) in this pack."""
        own = [graphs[job] for job in jobs]
        arguments = (
            fixed_of(own, [[10 + job, -job] for job in jobs]),
            inputs_of(own, [orders[job] for job in jobs]),
        )
        after = program.train(stacked([states[job] for job in jobs]), *arguments, 0, 4, 0)
        after = program.train(after, *arguments, 0, 2, 1)
        return [program.variables(taken(after, place)) for place in range(len(jobs))]

    [alone] = trained(2)
    together = trained(*range(7))
    for found in (trained(2, 5)[0], trained(6, 2)[1], together[2]):
        assert distance(found, alone) < 1e-5
    assert distance(together[3], alone) > 1e-2


def test_a_dropout_rate_reaches_the_step():
    """The same job with another rate alone gives other weights, and with 0 those without the layer."""
    images, targets = data()
    device = backend.to_device(images), backend.to_device(targets)
    schedule = Schedule.of([N_ROWS], BATCH)

    def trained(*middle):
        keras.utils.set_random_seed(3)
        graph = lifted(net(sgd(0), *middle))
        program = Program(graph, schedule, *device)
        keras.utils.set_random_seed(3)
        first = [np.array(v) for v in backend.to_host(net(sgd(0)).variables)]
        state = stacked([program.state_of(first, graph.learning_rate)])
        inputs = inputs_of([graph], [schedule.pad(np.arange(N_ROWS))])
        after = program.train(state, fixed_of([graph], [[1, 2]]), inputs, 0, 7, 0)
        return program.variables(taken(after, 0))

    without = trained()
    assert distance(trained(layers.Dropout(0.0)), without) < 1e-6
    assert distance(trained(layers.Dropout(0.25)), without) > 1e-2
    assert distance(trained(layers.Dropout(0.25)), trained(layers.Dropout(0.5))) > 1e-2


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
    arguments = (fixed_of([graph], [[1, 2]]), inputs_of([graph], [order]))
    return taken(program.train(stacked([state]), *arguments, first, last, 0), 0)


def same_bits(found, wanted):
    found, wanted = keras.tree.flatten(found), keras.tree.flatten(wanted)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(found, wanted, strict=True))


def test_a_step_of_padding_alone_changes_no_bit(padded):
    graph, program = padded
    order = program.schedule.pad(np.arange(20))
    assert [weights.sum() for _, weights in order[1]] == [4, 0]
    before = step(graph, program, program.initial_state(1, graph.learning_rate), order, 0, 2)
    after = step(graph, program, before, order, 2, 3)
    assert same_bits(after, before)
    real = program.schedule.pad(np.arange(40))
    assert not same_bits(step(graph, program, before, real, 2, 3), before)


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


# Whole jobs


def recipes_in(folder):
    """Returns a function that makes the recipe of a search over 100 digits in 2 folds."""

    def of(interval_s=1e9, name="run", **changes):
        fixed = {"units": [16], "batch_size": 16, "epochs": 4, "batch_norm": False, "dropout": 0.0}
        fixed |= {"optimizer": "SGD", "optimizer.momentum": 0.5, **changes.pop("params", {})}
        config = {"data": {"train": "digits", "scale": 16, "subset": 100}, "model": "fc", "name": name}
        config |= {"params": fixed, "search": {"folds": 2, "val": 0.2}, **changes}
        return prepare_run(config, folder, interval_s)[1]

    return of


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(packs, "_fitting", {})  # of what an earlier test pretends
    return recipes_in(tmp_path)


@pytest.fixture(scope="module")
def never_cut(tmp_path_factory):
    """Trains a pack as nothing cuts it off, once for all tests that compare with it: recipe and records."""
    known = {}

    def of(make_pack, **changes):
        key = f"{make_pack.__name__} {changes}"
        if key not in known:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(packs, "_fitting", {})
                recipe = recipes_in(tmp_path_factory.mktemp("whole"))(name="whole", **changes)
                known[key] = recipe, trained(recipe, make_pack(recipe)).records
        return known[key]

    return of


def graph_of(recipe, job) -> Graph:
    dataset = open_dataset(recipe.data_folder, recipe.source)
    plan = route({**recipe.params, **job.trial.params}, recipe.signature, recipe.callbacks)
    compiled = build_and_compile(recipe, plan, find_objective(recipe.objective), dataset.images.shape[1:])
    return packs.describe(recipe, compiled, dataset)


def pack_of(recipe, jobs, width=None, shares=False) -> Pack:
    graphs = tuple(graph_of(recipe, job) for job in jobs)
    assert len({graph.key for graph in graphs}) == 1
    assert graphs[0].key is not None, graphs[0].reason
    return Pack(tuple(jobs), graphs, width or len(jobs), shares)


def trained(recipe, pack, context=None):
    context = context or Collector()
    train_pack(recipe, pack, context)
    assert not context.of(NoteRecord)
    return context


def result(record):
    return {k: v for k, v in vars(record).items() if k not in {"fit_time", "memory_bytes"}}


def own_fit(recipe, pack, place):
    """Returns the history, callbacks and held-out metrics of one plain fit of a pack's job by Keras."""
    job = pack.jobs[place]
    made = packs.make_wave(recipe, pack, [(job,)], Collector())
    [member], program = made.members, made.program
    dataset = open_dataset(recipe.data_folder, recipe.source)
    plan = route({**recipe.params, **job.trial.params}, recipe.signature, recipe.callbacks)
    compiled = build_and_compile(recipe, plan, find_objective("accuracy"), dataset.images.shape[1:])
    state = program.initial_state(model_seed(recipe.seed, job), member.learning_rate)
    compiled.model.set_weights(program.variables(state))
    targets = encode_labels(dataset.labels, compiled.labels, 10, compiled.n_outputs)

    class Ordered(Batches):
        def set_epoch(self, epoch):
            self.rows = member.train[data_order(recipe.seed, job, epoch, len(member.train))]

    batches = Ordered(dataset.images, targets, member.train, plan.batch_size, Scaling(16))
    callbacks = make_callbacks(plan, len(member.train), recipe.base)
    ordering = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.set_epoch(epoch))
    history = compiled.model.fit(
        batches,
        validation_data=Batches(dataset.images, targets, member.val, 512, Scaling(16)),
        epochs=plan.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[ordering, *callbacks],
    ).history
    test = Batches(dataset.images, targets, member.test, 512, Scaling(16))
    return history, callbacks, compiled.model.evaluate(test, verbose=0, return_dict=True)


CALLBACKS = {
    "early_stopping": {
        "monitor": "val_loss",
        "patience": 2,
        "min_delta": 0.15,
        "restore_best_weights": True,
    },
    "reduce_lr_on_plateau": {"monitor": "val_loss", "factor": 0.5, "patience": 1, "min_delta": 0.25},
}


@on_tensorflow
@pytest.mark.parametrize("monitor", ["val_accuracy", "accuracy", "loss"])
def test_callbacks_know_which_way_a_metric_is_better(make, monitor):
    stopping = {"monitor": monitor, "patience": 1, "min_delta": 0.0625}
    recipe = make(callbacks={"early_stopping": stopping}, params={"epochs": 10})
    jobs = [Job(Trial(i, {"learning_rate": rate}), 0) for i, rate in enumerate([0.25, 0.00390625])]
    pack = pack_of(recipe, jobs)
    records = trained(recipe, pack).records
    for place, job in enumerate(jobs):
        history, [callback], _ = own_fit(recipe, pack, place)
        assert records[job.id].error is None
        assert records[job.id].epochs == len(history["loss"])
        assert records[job.id].best_epoch == callback.best_epoch + 1
    assert records[jobs[0].id].epochs > records[jobs[1].id].epochs


@pytest.mark.parametrize("restores", [False, True])
def test_callbacks_act_on_each_job_as_in_a_plain_fit_of_keras(make, restores):
    """Three jobs that end at different epochs and one that breaks, beside each other and alone."""
    callbacks = {
        **CALLBACKS,
        "early_stopping": {**CALLBACKS["early_stopping"], "restore_best_weights": restores},
    }
    recipe = make(callbacks=callbacks, params={"epochs": 12})
    rates = [0.5, 0.125, 1e30, 0.00390625]
    jobs = [Job(Trial(10 + i, {"learning_rate": rate}), i % 2) for i, rate in enumerate(rates)]
    pack = pack_of(recipe, jobs)
    records = trained(recipe, pack).records
    assert set(records) == {job.id for job in jobs}

    broken = records.pop(jobs[2].id)
    assert broken.error["type"] == "TrialError"
    assert broken.error["message"].startswith("trial 12, fold 0, epoch ")
    assert "loss is nan" in broken.error["message"]
    assert broken.score is None
    assert all(record.error is None for record in records.values())

    reduced = 0
    for place in (0, 1, 3):
        found = records[jobs[place].id]
        history, (stopping, _), measured = own_fit(recipe, pack, place)
        assert found.epochs == len(history["loss"])
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            np.testing.assert_allclose(found.history[name], history[name], rtol=2e-4, err_msg=name)
        assert found.best_epoch == stopping.best_epoch + 1
        assert found.metrics["loss"] == pytest.approx(measured["loss"], rel=2e-4)
        assert found.metrics["accuracy"] == pytest.approx(measured["accuracy"])
        if restores:
            best = found.history["test_loss"][found.best_epoch - 1]
            assert found.metrics["loss"] == pytest.approx(best, rel=1e-6)
            assert found.best_epoch < found.epochs
        else:
            assert found.metrics["loss"] == pytest.approx(found.history["test_loss"][-1], rel=1e-6)
        reduced += found.history["learning_rate"][-1] < found.history["learning_rate"][0]
        [alone] = trained(recipe, pack.of([jobs[place]])).records.values()
        assert (alone.epochs, alone.best_epoch) == (found.epochs, found.best_epoch)
        for name, values in alone.history.items():
            np.testing.assert_allclose(found.history[name], values, rtol=1e-4, err_msg=name)
    assert reduced >= 2
    assert len({records[job.id].epochs for job in jobs if job.id in records}) >= 2


def test_runs_read_at_several_epochs_score_as_runs_of_their_own(make):
    jobs = [
        Job(Trial(2 * i + j, {"learning_rate": rate, "epochs": epochs}), fold)
        for i, rate in enumerate([0.1, 0.02])
        for fold in (0,)
        for j, epochs in enumerate([2, 4])
    ]
    recipes = [make(name=name, params={"dropout": 0.25}) for name in ("shared", "apart")]
    shared = trained(recipes[0], pack_of(recipes[0], jobs, width=2, shares=True)).records
    apart = trained(recipes[1], pack_of(recipes[1], jobs, width=4)).records
    assert set(shared) == set(apart) == {job.id for job in jobs}
    assert [shared[job.id].epochs for job in jobs] == [2, 4, 2, 4]
    for job in jobs:
        one, two = shared[job.id], apart[job.id]
        predictions = [np.load(recipe.paths.prediction(*job.id)) for recipe in recipes]
        assert (one.epochs, one.best_epoch) == (two.epochs, two.best_epoch)
        assert one.error is two.error is None
        if backend.NAME == "tensorflow":
            assert result(one) == result(two)
            np.testing.assert_array_equal(*predictions)
        else:  # a batched operation of 2 rounds otherwise than one of 4
            np.testing.assert_allclose(one.history["loss"], two.history["loss"], rtol=1e-4)
            np.testing.assert_allclose(*predictions, atol=1e-4)


def wide(recipe):
    """A pack of 3 runs with dropout and BatchNorm, which end at different epochs."""
    rates = [0.125, 0.00390625, 0.03125]
    jobs = [Job(Trial(i, {"learning_rate": rate, "dropout": 0.25}), i % 2) for i, rate in enumerate(rates)]
    return pack_of(recipe, jobs)


def noisy():
    return {"params": {"epochs": 6, "batch_norm": True}, "callbacks": CALLBACKS}


class ResourceExhaustedError(Exception):
    """Has the name of TensorFlow's."""


@pytest.mark.parametrize("since", [0, 2])
def test_runs_that_do_not_fit_into_memory_side_by_side_are_trained_half_at_a_time(
    make, never_cut, monkeypatch, since
):
    """The room ends at once, or while a third epoch is trained."""
    train, widths = Program.train, []

    def full(self, states, fixed, inputs, first, last, epoch):
        width = len(fixed["key"])
        widths.append(width)
        if width > 1 and epoch >= since:
            raise ResourceExhaustedError("OOM when allocating tensor with shape[512,784]")
        return train(self, states, fixed, inputs, first, last, epoch)

    _, wanted = never_cut(wide, **noisy())
    recipe = make(**noisy())
    pack = wide(recipe)
    monkeypatch.setattr(Program, "train", full)
    found = trained(recipe, pack).records
    assert set(widths) == {3, 2, 1} if since == 0 else {3, 1} <= set(widths)
    assert set(found) == {job.id for job in pack.jobs}
    for job in pack.jobs:
        assert found[job.id].error is None
        assert found[job.id].epochs == wanted[job.id].epochs
        np.testing.assert_allclose(found[job.id].history["loss"], wanted[job.id].history["loss"], rtol=1e-4)


def test_what_alone_does_not_fit_takes_keras_own_fit_and_the_others_their_program(make, monkeypatch):
    recipe = make()
    pack = wide(recipe)
    train = Program.train
    greedy = draw_key(recipe.seed, pack.jobs[1])

    def full(self, states, fixed, *rest):
        if any((key == greedy).all() for key in fixed["key"]):
            raise ResourceExhaustedError("OOM when allocating tensor")
        return train(self, states, fixed, *rest)

    monkeypatch.setattr(Program, "train", full)
    context = Collector()
    train_pack(recipe, pack, context)
    [note] = context.of(NoteRecord)
    assert "learning_rate': 0.00390625" in note.text
    assert "OOM when allocating tensor" in note.text
    assert set(context.records) == {job.id for job in pack.jobs}
    assert all(record.error is None for record in context.records.values())


def test_what_did_not_fit_is_given_back_and_not_tried_again(make, monkeypatch):
    """The halves would not fit either while the first program were kept."""
    train, widths, programs = Program.train, [], []

    def full(self, states, fixed, *rest):
        widths.append(len(fixed["key"]))
        programs.append(weakref.ref(self))
        gc.collect()
        assert len({id(program()) for program in programs if program() is not None}) == 1
        if widths[-1] > 1:
            raise ResourceExhaustedError("OOM when allocating tensor")
        return train(self, states, fixed, *rest)

    monkeypatch.setattr(Program, "train", full)
    recipe = make()
    jobs = [Job(Trial(i, {"learning_rate": 2.0**-i}), 0) for i in range(3, 7)]
    records = trained(recipe, pack_of(recipe, jobs, width=2)).records
    assert all(record.error is None for record in records.values())
    assert widths.count(2) == 1


@on_tensorflow
def test_after_an_error_in_the_middle_each_run_is_tried_by_itself(make, monkeypatch):
    """As of a kernel that fails for what one of the runs does."""
    recipe = make(**noisy())
    pack = wide(recipe)
    train, bad = Program.train, draw_key(recipe.seed, pack.jobs[1])

    def broken(self, states, fixed, inputs, first, last, epoch):
        if epoch >= 1 and any((key == bad).all() for key in fixed["key"]):
            raise RuntimeError("INTERNAL: kernel failed")
        return train(self, states, fixed, inputs, first, last, epoch)

    monkeypatch.setattr(Program, "train", broken)
    records = trained(recipe, pack).records
    assert set(records) == {job.id for job in pack.jobs}
    assert "INTERNAL: kernel failed" in records[pack.jobs[1].id].error["message"]
    assert records[pack.jobs[0].id].error is None
    assert records[pack.jobs[2].id].error is None


def test_the_time_of_a_fit_is_without_that_of_compiling(make, monkeypatch):
    recipe, train, calls = make(), Program.train, []

    def compiling(self, states, fixed, inputs, first, last, epoch):
        calls.append(last - first)
        if len(calls) == 1:
            time.sleep(2)
        return train(self, states, fixed, inputs, first, last, epoch)

    monkeypatch.setattr(Program, "train", compiling)
    jobs = [Job(Trial(i, {"learning_rate": rate, "epochs": 2}), 0) for i, rate in enumerate([0.1, 0.2])]
    records = trained(recipe, pack_of(recipe, jobs)).records
    assert len(calls) > 1
    assert all(0 < records[job.id].fit_time < 0.9 for job in jobs)


def test_a_job_that_cannot_be_scored_takes_no_other_of_its_run_with_it(make, monkeypatch):
    recipe = make()
    jobs = [Job(Trial(i, {"learning_rate": 0.125, "epochs": epochs}), 0) for i, epochs in enumerate([1, 3])]
    score = wave.score

    def failing(recipe, job, *rest):
        if job.id == jobs[0].id:
            raise ValueError("no such class")
        return score(recipe, job, *rest)

    monkeypatch.setattr(wave, "score", failing)
    records = trained(recipe, pack_of(recipe, jobs, shares=True)).records
    told = records[jobs[0].id].error["message"]
    assert re.fullmatch(r"trial 0, fold 0: \S*test_packs\.py:\d+, ValueError: no such class", told)
    assert records[jobs[1].id].error is None
    assert records[jobs[1].id].epochs == 3


def test_a_program_that_cannot_be_traced_leaves_all_runs_to_keras_own_fit(make, monkeypatch):
    recipe = make()
    pack = dataclasses.replace(wide(recipe), width=1)

    def broken(*_):
        raise TypeError("no such kernel")

    monkeypatch.setattr(Program, "evaluate", broken)  # after the first epoch was trained
    context = Collector()
    train_pack(recipe, pack, context)
    assert len(context.of(NoteRecord)) == 1
    assert {job_id: record.error for job_id, record in context.records.items()} == dict.fromkeys(
        job.id for job in pack.jobs
    )


def program_of(recipe, graph="graph"):
    return packs._program(recipe, Job(Trial(0, {}), 0), graph)[0]


def test_other_data_in_the_same_place_are_other_data(make):
    recipe = make()
    data, place = open_dataset(recipe.data_folder, recipe.source), recipe.paths.folder / "data"
    copy = dataclasses.replace(recipe, data_folder=str(place))
    save_samples(place, Samples(data.images, data.labels, recipe.classes), "X and y")
    before = program_of(copy)
    save_samples(place, Samples(data.images[::-1], data.labels, recipe.classes), "X and y")
    after = program_of(copy)
    np.testing.assert_array_equal(np.asarray(after.images), np.asarray(before.images)[::-1])
    assert (np.asarray(after.images) != np.asarray(before.images)).any()


def test_searches_on_the_same_data_and_folds_share_a_program_wherever_they_run(make):
    recipe = make()
    assert program_of(make(name="elsewhere")) is program_of(recipe)
    place = recipe.paths.folder / "data"
    shutil.copytree(recipe.data_folder, place)
    assert program_of(dataclasses.replace(recipe, data_folder=str(place))) is program_of(recipe)
    others = [make(name="folds", search={"folds": 4, "val": 0.2}), make(name="val", search={"folds": 2})]
    others.append(make(name="scale", data={"train": "digits", "scale": 8, "subset": 100}))
    made = [program_of(recipe), *map(program_of, others), program_of(recipe, "other graph")]
    assert len(set(map(id, made))) == 5
    assert [made[1].schedule, made[2].schedule] == [Schedule.of([60], 16), Schedule.of([50], 16)]
    assert np.asarray(made[3].images).max() == 2


def finished(recipe, pack, first):
    """Trains what a session has left of a pack; returns all records."""
    left = [job for job in pack.jobs if job.id not in first.records]
    assert left
    second = trained(recipe, pack.of(left))
    assert not set(first.records) & set(second.records)
    return {**first.records, **second.records}


@pytest.mark.parametrize("stop_after", [3])
def test_a_stop_and_a_resume_give_the_same_bits(make, never_cut, stop_after):
    recipe, whole = never_cut(wide, **noisy())
    again = make(name="stopped", **noisy())
    pack = wide(again)
    first = trained(again, pack, Collector(stop_after=stop_after))
    stops = first.of(StopRecord)
    assert {stop.job for stop in stops} == {job.id for job in pack.jobs} - set(first.records)
    assert all(0 < stop.epoch < whole[stop.job].epochs for stop in stops)
    records = finished(again, pack, first)
    assert set(records) == set(whole)
    for job_id, record in records.items():
        assert record.error is None
        assert result(record) == result(whole[job_id])
        np.testing.assert_array_equal(
            np.load(again.paths.prediction(*job_id)), np.load(recipe.paths.prediction(*job_id))
        )


@on_tensorflow
@pytest.mark.parametrize("n", [2, 6])
def test_a_crash_within_an_epoch_and_a_resume_give_the_same_bits(make, never_cut, monkeypatch, n):
    """Checkpoints come after each step: an epoch has three or four, and its end."""
    _, whole = never_cut(wide, **noisy())
    monkeypatch.setattr(wave, "CALL_S", 0)
    again = make(name="crashed", interval_s=0, **noisy())
    pack = wide(again)
    first = Crashing(n)
    with pytest.raises(Crash):
        train_pack(again, pack, first)
    records = finished(again, pack, first)
    assert set(records) == set(whole)
    for job_id, record in records.items():
        assert result(record) == result(whole[job_id])


@on_tensorflow
def test_shared_runs_resume_to_the_same_bits(make):
    jobs = [
        Job(Trial(2 * i + j, {"learning_rate": rate, "epochs": epochs}), 0)
        for i, rate in enumerate([0.1, 0.02])
        for j, epochs in enumerate([2, 4])
    ]
    recipe = make(name="whole", params={"dropout": 0.25})
    whole = trained(recipe, pack_of(recipe, jobs, width=2, shares=True)).records
    again = make(name="stopped", params={"dropout": 0.25})
    pack = pack_of(again, jobs, width=2, shares=True)
    # Each epoch emits a record for each job that has not ended: 4, 4, then 2.
    first = trained(again, pack, Collector(stop_after=9))
    assert {job_id[0] for job_id in first.records} == {0, 2}
    assert first.of(StopRecord) == [StopRecord((1, 0, 0), 3), StopRecord((3, 0, 0), 3)]
    records = finished(again, pack, first)
    for job_id, record in records.items():
        assert result(record) == result(whole[job_id])


def one_run_of_two(recipe):
    """A pack of two jobs that are read off one run."""
    jobs = [Job(Trial(i, {"learning_rate": 0.02, "epochs": epochs}), 0) for i, epochs in enumerate([2, 5])]
    return pack_of(recipe, jobs, shares=True)


@on_tensorflow
@pytest.mark.parametrize("until", [None, 3])
def test_a_run_whose_checkpoint_is_past_a_lost_end_is_trained_anew(make, never_cut, until):
    """Power may be lost between a checkpoint, which is synced at once, and what was journalled before."""
    _, whole = never_cut(one_run_of_two, params={"dropout": 0.25})
    again = make(name="lost", interval_s=0, params={"dropout": 0.25})
    pack = one_run_of_two(again)
    trained(again, dataclasses.replace(pack, until=until), None if until else Collector(stop_after=7))
    records = trained(again, pack).records
    assert [record.epochs for record in records.values()] == [2, 5]
    assert {k: result(v) for k, v in records.items()} == {k: result(v) for k, v in whole.items()}


@on_tensorflow
def test_a_damaged_checkpoint_starts_the_pack_anew(make, never_cut):
    _, whole = never_cut(wide, **noisy())
    again = make(name="damaged", **noisy())
    pack = wide(again)
    trained(again, pack, Collector(stop_after=3))
    [path] = {
        again.paths.checkpoint(*job.id) for job in pack.jobs if again.paths.checkpoint(*job.id).exists()
    }
    path.write_bytes(path.read_bytes()[:1000])
    records = trained(again, pack).records
    assert {k: result(v) for k, v in records.items()} == {k: result(v) for k, v in whole.items()}


def four(recipe):
    """A pack of two waves; the second run of the first one ends first, after which the file is named."""
    rates = [0.03125, 0.00390625, 0.0625, 0.125]
    jobs = [Job(Trial(i, {"learning_rate": rate, "dropout": 0.25}), 0) for i, rate in enumerate(rates)]
    return pack_of(recipe, jobs, width=2)


@on_tensorflow
@pytest.mark.parametrize("n", [7, 12, 19])
def test_a_pack_of_several_waves_goes_on_where_each_run_stood(make, never_cut, monkeypatch, n):
    """Files go with their jobs, as the driver sees to it."""
    monkeypatch.setattr(wave, "CALL_S", 0)
    _, whole = never_cut(four, **noisy())
    first_wave = [whole[0, 0, 0].epochs, whole[1, 0, 0].epochs]
    assert first_wave[1] < first_wave[0]
    again = make(name="crashed", interval_s=0, **noisy())
    pack = four(again)
    first = Crashing(n)
    with pytest.raises(Crash):
        train_pack(again, pack, first)
    for job_id in first.records:
        again.paths.checkpoint(*job_id).unlink(missing_ok=True)
    left = pack.of(job for job in pack.jobs if job.id not in first.records)
    assert left.waves == [
        kept for wave in pack.waves if (kept := [run for run in wave if run[0].id not in first.records])
    ]
    second = trained(again, left)
    reached = {record.job: record.epoch for record in first.of(EpochRecord)}
    begun = {}
    for record in second.of(EpochRecord):
        begun.setdefault(record.job, record.epoch)
    for job_id, epoch in begun.items():
        assert epoch >= reached.get(job_id, 0), f"{job_id} was at {reached.get(job_id)} and began at {epoch}"
    records = {**first.records, **second.records}
    assert {k: result(v) for k, v in records.items()} == {k: result(v) for k, v in whole.items()}


@on_tensorflow
def test_runs_of_a_pack_whose_worker_died_go_on_one_by_one(make, monkeypatch):
    monkeypatch.setattr(wave, "CALL_S", 0)
    recipe = make(interval_s=0, **noisy())
    pack = wide(recipe)
    first = Crashing(5)
    with pytest.raises(Crash):
        train_pack(recipe, pack, first)
    assert not first.records
    for part in split(pack):
        second = trained(recipe, part)
        assert second.of(EpochRecord)[0].epoch > 1
        for job_id in second.records:
            recipe.paths.checkpoint(*job_id).unlink(missing_ok=True)


def test_a_later_fit_of_a_graph_makes_the_backend_forget_nothing(make, monkeypatch):
    """Seeding TensorFlow and clearing Keras's session both drop compiled kernels: half a second a program."""
    recipe = dataclasses.replace(make(params={"dropout": 0.25}), keeps_models=True)
    first, second = (Job(Trial(i, {"learning_rate": 0.1}), i) for i in range(2))
    trained(recipe, pack_of(recipe, [first]))
    later = pack_of(recipe, [second])

    def refused(*_, **__):
        raise AssertionError("the backend was reset")

    monkeypatch.setattr(keras.utils, "set_random_seed", refused)
    monkeypatch.setattr(keras.backend, "clear_session", refused)
    assert trained(recipe, later).records[second.id].error is None


# Waiting at a rung


def until(pack, epoch):
    return dataclasses.replace(pack, until=epoch)


@pytest.mark.parametrize("width", [1, 2])
def test_runs_that_wait_and_go_on_in_other_company_are_runs_that_never_waited(make, width):
    """All wait after 2 epochs, and the first and the last go on together."""
    whole, recipe = make(name="whole", **noisy()), make(name="halved", **noisy())
    jobs = wide(recipe).jobs
    wanted = trained(whole, pack_of(whole, [jobs[0], jobs[-1]], width)).records
    waiting = trained(recipe, until(pack_of(recipe, jobs, width), 2))
    assert not waiting.records
    reached = {rung.reached.job: rung.reached for rung in waiting.of(RungRecord)}
    assert set(reached) == {job.id for job in jobs}
    assert {record.epochs for record in reached.values()} == {2}
    assert all(recipe.paths.checkpoint(*job.id).exists() for job in jobs)
    found = trained(recipe, pack_of(recipe, [jobs[0], jobs[-1]], width)).records
    assert found.keys() == wanted.keys()
    for id_, record in found.items():
        assert record.epochs == wanted[id_].epochs
        np.testing.assert_allclose(record.history["loss"], wanted[id_].history["loss"], rtol=1e-6)
        assert record.history["loss"][:2] == reached[id_].history["loss"]
        assert record.score == pytest.approx(wanted[id_].score)


def test_a_run_that_waited_when_its_record_was_lost_is_not_trained_again(make):
    recipe = dataclasses.replace(make(), decides_by_val=True)
    pack = until(pack_of(recipe, [Job(Trial(0, {"learning_rate": 0.125}), 0)]), 2)
    first, second = trained(recipe, pack), trained(recipe, pack)
    assert len(first.of(EpochRecord)) == 2
    assert not second.of(EpochRecord)
    [one], [two] = first.of(RungRecord), second.of(RungRecord)
    assert result(one.reached) == result(two.reached)
    assert one.reached.val_score is not None


def test_keras_own_fit_waits_and_goes_on_as_a_pack_does(make):
    recipe = dataclasses.replace(make(), decides_by_val=True)
    other = dataclasses.replace(make(name="other"), decides_by_val=True)
    job = Job(Trial(0, {"learning_rate": 0.125}), 0)
    plain = Pack((job,), until=2)
    waiting = trained(recipe, plain)
    again = trained(recipe, plain)
    [rung], [same] = waiting.of(RungRecord), again.of(RungRecord)
    assert not waiting.records
    assert not again.of(EpochRecord)
    assert result(rung.reached) == result(same.reached)
    packed = trained(other, until(pack_of(other, [job]), 2)).of(RungRecord)[0].reached
    assert rung.reached.val_score == pytest.approx(packed.val_score)
    assert rung.reached.score == pytest.approx(packed.score)
    whole = trained(make(name="whole"), Pack((job,))).records[job.id]
    found = trained(recipe, Pack((job,))).records[job.id]
    assert found.history["loss"] == whole.history["loss"]
    assert found.score == whole.score


def test_after_the_last_rung_a_candidate_is_trained_as_a_grid_would_train_it(make):
    """In packs and by Keras's own fit alike; the inner split is there for rungs alone."""
    job = Job(Trial(0, {"learning_rate": 0.125}), 0)

    def halved(name, in_pack, frees):
        recipe = dataclasses.replace(make(name=name), val=0.25, decides_by_val=True, frees_val=frees)
        pack = pack_of(recipe, [job]) if in_pack else Pack((job,))
        assert trained(recipe, until(pack, 2)).of(RungRecord)[0].reached.val_score is not None
        return trained(recipe, pack).records[job.id]

    for in_pack in (True, False):
        recipe = dataclasses.replace(make(name=f"grid {in_pack}"), val=None)
        grid = trained(recipe, pack_of(recipe, [job]) if in_pack else Pack((job,))).records[job.id]
        found = halved(f"anew {in_pack}", in_pack, frees=True)
        assert result(found) == result(grid)
        assert found.val_score is None
        held = halved(f"held {in_pack}", in_pack, frees=False)
        assert len(held.history["val_loss"]) == held.epochs == grid.epochs


@pytest.mark.parametrize("in_pack", [True, False])
def test_a_training_anew_goes_on_from_its_own_checkpoint_and_no_rungs(make, in_pack):
    job = Job(Trial(0, {"learning_rate": 0.125, "epochs": 5}), 0)
    recipe = dataclasses.replace(
        make(), val=0.25, decides_by_val=True, frees_val=True, checkpoint_interval_s=0
    )
    pack = pack_of(recipe, [job]) if in_pack else Pack((job,))
    trained(recipe, until(pack, 3))
    stopped = Collector(stop_after=2)
    train_pack(recipe, pack, stopped)
    assert [record.epoch for record in stopped.of(EpochRecord)] == [1, 2]
    rest = trained(recipe, pack)
    assert [record.epoch for record in rest.of(EpochRecord)] == [3, 4, 5]


def test_a_place_is_given_up_when_half_of_them_are_empty(make, monkeypatch):
    """Each width is a program to compile, and what fills an empty place touches nobody."""
    train, widths = Program.train, []

    def watched(self, states, fixed, inputs, first, last, epoch):
        widths.append((epoch, len(fixed["key"])))
        return train(self, states, fixed, inputs, first, last, epoch)

    recipe, alone = make(), make(name="alone")
    lengths = [1, 2, 3, 5, 5]
    jobs = [Job(Trial(i, {"learning_rate": 0.125, "epochs": n}), 0) for i, n in enumerate(lengths)]
    jobs = [
        Job(Trial(i, {**job.trial.params, "learning_rate": 2.0 ** -(3 + i)}), 0) for i, job in enumerate(jobs)
    ]
    wanted = trained(alone, pack_of(alone, jobs, width=1)).records
    monkeypatch.setattr(Program, "train", watched)
    found = trained(recipe, pack_of(recipe, jobs)).records
    assert [max(w for e, w in widths if e == epoch) for epoch in range(5)] == [5, 5, 3, 2, 2]
    for job, epochs in zip(jobs, lengths, strict=True):
        assert found[job.id].epochs == epochs
        np.testing.assert_allclose(found[job.id].history["loss"], wanted[job.id].history["loss"], rtol=1e-4)
