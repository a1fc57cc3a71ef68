"""A frozen part that is computed once gives what computing it in each step does, and is kept for later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from fakes import Collector, prepare_run, without_times
from sklearn.datasets import load_digits

import kerasgrid as kg
from kerasgrid.data import outputs as of_data
from kerasgrid.data.in_memory import Given
from kerasgrid.delivery.fitting import fit
from kerasgrid.errors import TrialError
from kerasgrid.run.paths import RunPaths

keras = pytest.importorskip("keras")

from kerasgrid.models.keras_private import layers_within  # noqa: E402
from kerasgrid.records import ProbeRecord  # noqa: E402
from kerasgrid.training import rest  # noqa: E402
from kerasgrid.training.candidate import Candidate  # noqa: E402
from kerasgrid.training.frozen import WholeError  # noqa: E402
from kerasgrid.training.probe import probe  # noqa: E402

pytestmark = [pytest.mark.slow(weight=5), pytest.mark.usefixtures("eager")]

X, Y = load_digits().images[:200, ..., None].astype("float32"), load_digits().target[:200]
NET = """
import keras
import numpy as np

def net(input_shape, n_classes, units=8):
    image, layers = keras.Input(input_shape), keras.layers
    parts = [layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(), layers.Flatten()]
    base = keras.Sequential([keras.Input(input_shape), *parts], name="base")
    numbers = np.random.default_rng(3)
    base.set_weights([np.abs(numbers.normal(0, 0.3, weight.shape)) for weight in base.get_weights()])
    base.trainable = False
    x = layers.BatchNormalization()(layers.Dense(units, activation="relu")(base(image)))
    return keras.Model(image, layers.Dense(n_classes, activation="softmax")(x))
"""

KILLED = """
import json, sys, time
import test_rest
from kerasgrid.training import rest
from tensorflow.config import optimizer

optimizer.set_experimental_options({"disable_meta_optimizer": True})
block = rest.Rest._block

def slowly(self, place):
    time.sleep(1)
    return block(self, place)

rest.Rest._block = slowly
test_rest.kg.search(json.loads(sys.argv[1]), test_rest.X, test_rest.Y, results=sys.argv[2])
"""


layers = keras.layers


class Own:
    """A regularizer without a config."""

    def __call__(self, weight):
        return keras.ops.sum(weight)


def conv(**given):
    return layers.Conv2D(2, 3, trainable=False, name="conv", **given)


def net_on(*parts):
    outer = [layers.Flatten(name="flat"), layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input(X.shape[1:]), *parts, *outer])


def drawn_by_numpy(input_shape, n_classes):
    model = net_on(conv(kernel_initializer="ones"), layers.Conv2D(2, 3, trainable=False, name="other"))
    numbers = np.random.default_rng(3)
    model.get_layer("conv").set_weights([numbers.normal(size=w.shape) for w in model.layers[0].get_weights()])
    other = model.get_layer("other")
    other.set_weights([np.random.normal(size=weight.shape) for weight in other.get_weights()])
    return model


LOADED = keras.Sequential([keras.Input(X.shape[1:]), conv()], name="loaded")


@pytest.mark.parametrize(
    ("build", "last", "reason"),
    [
        (drawn_by_numpy, "conv", None),
        (lambda input_shape, n_classes: net_on(LOADED), "flat", None),
        (
            lambda input_shape, n_classes: net_on(conv(kernel_initializer="ones", kernel_regularizer=Own())),
            None,
            "its config cannot be told: TypeError: Cannot serialize",
        ),
        (lambda input_shape, n_classes: net_on(conv()), None, "the weights of the layer conv are drawn anew"),
    ],
    ids=["drawn by numpy", "of the module", "without a config", "drawn"],
)
def test_what_is_told_of_a_net_before_it_is_trained(tmp_path, build, last, reason):
    _, recipe = prepare_run({"name": "told", "model": build, "params": {}}, tmp_path, given=Given(X, Y))
    context = Collector()
    probe(recipe, {}, context)
    [found] = context.of(ProbeRecord)
    assert found.error is None
    assert [part.last for part in found.frozen] == ([last] if last else [])
    assert (found.why_whole or "").startswith(reason or "")
    assert bool(found.why_whole) == bool(reason)


def test_what_each_fold_has_learnt_is_no_part_of_it_once_it_is_learnt_either(tmp_path):
    def build(input_shape, n_classes):
        return net_on(layers.Normalization(name="norm"), conv(kernel_initializer="ones"))

    _, recipe = prepare_run({"name": "learnt", "model": build, "params": {}}, tmp_path, given=Given(X, Y))
    candidate = Candidate.of(recipe, {})
    compiled = candidate.compile()
    compiled.model.get_layer("norm").adapt(X)
    with pytest.raises(WholeError, match="the weights of the layer norm are drawn anew"):
        rest.Rest.of(candidate, compiled)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Returns a function that searches over the net, with the rows that its frozen part was given."""
    folder = tmp_path_factory.mktemp("rest")
    (folder / "net.py").write_text(NET)
    passed, block = [], rest.Rest._block

    def counted(self, place):
        passed.append(place)
        return block(self, place)

    def config_of(name, **changes):
        return {
            "name": name,
            "data": {"scale": 16, "normalize": {"mean": [0.25], "std": [0.5]}},
            "model": str(folder / "net.py:net"),
            "params": {"batch_size": 50, "epochs": 3},
            "space": {"units": [4, 8]},
            "search": {"folds": 2, "keep_models": "all"},
            "executor": {"kind": "inline"},
            **changes,
        }

    def search(name, results=folder, given=(X, Y), **changes):
        passed.clear()
        kg.search(config_of(name, **changes), *given, results=results)
        path = results / f"{name}.json"
        return json.loads(path.read_text()), path, len(passed)

    search.config_of = config_of

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest.Rest, "_block", counted)
        patch.setattr(of_data, "_checked", {})  # of this file's outputs alone
        yield search


def figures(told):
    """Returns scores, losses and curves of all fits."""
    folds = [fold for trial in told["trials"] for fold in trial["folds"]]
    return [[fold["test_score"], fold["metrics"]["loss"], *fold["history"]["loss"]] for fold in folds]


@pytest.fixture(scope="module")
def once(searched):
    return searched("once")


@pytest.fixture(scope="module")
def stepwise(searched):
    return searched("stepwise", training={"frozen": "off"})


def test_scores_are_those_of_the_whole_net(once, stepwise):
    assert (once[2], stepwise[2]) == (4, 0)  # 200 samples, for four fits of three epochs
    np.testing.assert_allclose(figures(once[0]), figures(stepwise[0]), rtol=2e-4)  # a pack, and Keras's fit
    told = [[trial["n_parameters"] for trial in one[0]["trials"]] for one in (once, stepwise)]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("training", "n_blocks", "tolerance"),
    [({"pack": "off"}, 0, 1e-6), ({"frozen": "float16"}, 4, 1e-2)],
    ids=["by Keras's own fit", "in half of the bytes"],
)
def test_they_are_so_in_other_ways_and_kept_outputs_are_taken(
    searched, stepwise, training, n_blocks, tolerance
):
    told, _, n = searched("-".join(["other", *training]), training=training)
    assert n == n_blocks
    np.testing.assert_allclose(figures(told), figures(stepwise[0]), rtol=tolerance)


def test_what_is_damaged_meanwhile_is_computed_again(searched, once, monkeypatch):
    [path] = {one for one in of_data._checked if np.load(one, mmap_mode="r").dtype == "float32"}
    with open(path, "r+b") as file:
        file.seek(-5, 2)  # in the last block
        file.write(b"x")
    monkeypatch.setattr(of_data, "_checked", {})
    told, _, n = searched("again", space={"units": [4]})
    assert n == 1
    np.testing.assert_allclose(figures(told), figures(once[0])[:2], rtol=1e-5)


def test_a_pass_that_is_killed_goes_on_and_ends_as_one_that_is_not(searched, once, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))

    def n_written():
        return sum(np.count_nonzero(np.load(path)) for path in tmp_path.glob("cache/outputs/*/sums.npy"))

    told = [json.dumps(searched.config_of("once")), str(tmp_path)]
    running = subprocess.Popen([sys.executable, "-c", KILLED, *told])
    while running.poll() is None and not n_written():
        time.sleep(0.05)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    n_before = n_written()
    assert 0 < n_before < 4
    told, _, n_after = searched("once", tmp_path)
    assert n_before + n_after == 4
    assert without_times(told) == without_times(once[0])


def test_kept_and_fitted_models_are_whole_and_take_stored_values(once):
    told, path, _ = once
    paths = RunPaths(path.parent, "once")
    with np.load(paths.folds) as folds:
        rows = folds["test_0"]
    model = keras.models.load_model(paths.model(0, 0, 0))
    stored = np.load(paths.prediction(0, 0, 0))
    np.testing.assert_allclose(model.predict(X[rows], verbose=0), stored, atol=1e-5)
    assert model.count_params() >= told["trials"][0]["n_parameters"]
    assert fit(path, epochs=2).cards[0]["epochs"] == 2
    whole = keras.models.load_model(paths.best)
    assert not np.allclose(*(kernel(one, "dense") for one in (model, whole)))
    np.testing.assert_array_equal(*(kernel(one, "base") for one in (model, whole)))


def test_all_rows_are_fitted_after_a_search_on_some(searched):
    """And what frozen parts give is of their config and weights, whichever layers are trained besides."""
    data = {"train": "digits", "scale": 16, "subset": 128}
    stages = [{"trainable": "head", "epochs": 1}, {"trainable": "last 3", "epochs": 1}]
    told, path, n = searched(
        "some", stages=stages, given=(), data=data, params={"batch_size": 128}, space={"units": [4]}
    )
    assert n == 2  # of both stages, since its base is frozen in both
    assert told["trials"][0]["error"] is None
    assert fit(path).cards[0]["data"]["samples"] == 1797


def test_numbers_that_float16_has_not_are_told():
    values = np.array([[1.0, -70_000.0]], np.float32)
    np.testing.assert_array_equal(rest.kept_as(values, "float32"), values)
    assert np.isinf(rest.kept_as(values * np.inf, "float16")).all()  # the net's own
    with pytest.raises(TrialError, match=r"gives 70000, which float16 has no place for: write training: "):
        rest.kept_as(values, "float16")


def kernel(model, name):
    """Returns the first weights of a layer of that name, or whose name begins so, in a model or within."""
    return next(one for one in layers_within(model) if one.name.startswith(name)).get_weights()[0]
