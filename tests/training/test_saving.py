"""Models that are kept: those that were scored, in files that plain Keras loads."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import dataclasses
import errno
import random
import re
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from fakes import Collector, prepare_run

from kerasgrid.config.augment import Augment, Augmentation
from kerasgrid.data.cache import map_samples
from kerasgrid.data.folds import load_folds
from kerasgrid.data.statistics import TargetScale
from kerasgrid.delivery.fitting import fit
from kerasgrid.delivery.models import read_card
from kerasgrid.driver.search import search
from kerasgrid.errors import ChangedError, ResultsError, StorageError
from kerasgrid.jobs.facts import ModelFacts
from kerasgrid.records import FoldRecord, Input, Inputs, Job, NoteRecord, Pack, RungRecord, Target, Trial
from kerasgrid.run.paths import RunPaths
from kerasgrid.training import backend, packs, saving
from kerasgrid.training.batches import Preparation, Scaling
from kerasgrid.training.candidate import Candidate, import_function
from kerasgrid.training.job import train_pack
from kerasgrid.training.learnt import Learnt
from kerasgrid.training.saving import Frame

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eager")]
TOLERANCE = 1e-6 if backend.NAME == "tensorflow" else 1e-5

OWN = """
import random

import keras
from kerasgrid.data.cache import map_samples
from keras import layers

@keras.saving.register_keras_serializable("tests")
class Doubled(layers.Layer):
    def call(self, inputs):
        return 2 * inputs

class Unnamed(layers.Layer):
    def call(self, inputs):
        return 2 * inputs

class Closed(keras.Model):
    def __init__(self, last):
        super().__init__()
        self.flatten, self.last = layers.Flatten(), last

    def call(self, inputs):
        return self.last(self.flatten(inputs))

def loss(y, outputs):
    return keras.losses.sparse_categorical_crossentropy(y, outputs)

def net(input_shape, n_classes, *middle):
    return keras.Sequential([
        keras.Input(input_shape), *middle, layers.Flatten(), layers.Dense(n_classes, activation="softmax"),
    ])

def keyed(input_shape, n_classes, dropout=0.2, slope=0.3):
    random.random()
    return net(
        input_shape, n_classes, layers.GaussianNoise(0.1), layers.Conv2D(4, 3), layers.BatchNormalization(),
        layers.LeakyReLU(slope), layers.SpatialDropout2D(dropout), layers.Dropout(dropout),
    )

def small(input_shape, n_classes, dropout=0.2):
    return net(input_shape, n_classes, layers.BatchNormalization(), layers.Dropout(dropout))

def registered(input_shape, n_classes):
    model = net(input_shape, n_classes, Doubled())
    model.compile("sgd", loss, metrics=["accuracy"])
    return model

def unnamed(input_shape, n_classes):
    return net(input_shape, n_classes, Unnamed())

def code(input_shape, n_classes):
    return net(input_shape, n_classes, layers.Lambda(lambda x: 2 * x))

def closed(input_shape, n_classes):
    return Closed(layers.Dense(n_classes, activation="softmax"))
"""


PARAMS = {"batch_size": 25, "epochs": 2, "optimizer": "SGD"}  # which divides the rows of each fold
VAL = {"search": {"folds": 2, "val": 0.5, "keep_models": "all"}}


def recipe_of(folder, name="keyed", params=PARAMS, **changes):
    """Returns the recipe of a search that keeps its models; those of one name share their programs."""
    path = folder / "own.py"
    path.write_text(OWN)
    config = {"data": {"train": "digits", "scale": 16, "subset": 100}, "model": f"{path}:{name}"}
    config |= {"name": name, "params": params, "search": {"folds": 2, "keep_models": "best"}, **changes}
    return prepare_run(config, folder)[1]


@pytest.fixture
def make(tmp_path):
    return partial(recipe_of, tmp_path)


def graph_of(recipe, job):
    candidate = Candidate.of(recipe, job.trial.params)
    return packs.graph_of(candidate, candidate.compile())


def pack_of(recipe, jobs, *, packed=True, shares=False, until=None) -> Pack:
    graphs = tuple(graph_of(recipe, job) for job in jobs) if packed else ()
    assert all(graph.key == graphs[0].key is not None for graph in graphs)
    return Pack(tuple(jobs), graphs, len(jobs), shares, until=until)


def trained(recipe, pack):
    context = Collector()
    train_pack(recipe, pack, context)
    return context


def held_out(recipe, job) -> np.ndarray:
    """Returns a job's held-out images, as they are stored."""
    dataset = map_samples(Path(recipe.data_folder), recipe.source)
    fold = load_folds(recipe.paths.folds, len(dataset), recipe.source)[0][job.fold]
    return np.asarray(dataset.images[fold.test])


def check(recipe, job) -> keras.Model:
    """Checks a job's kept model against the predictions that were stored, and returns it."""
    model = keras.models.load_model(recipe.paths.model(*job.id))
    found = model.predict(held_out(recipe, job), verbose=0)
    stored = np.load(recipe.paths.prediction(*job.id))
    np.testing.assert_allclose(found, stored, rtol=0, atol=TOLERANCE)
    return model


def jobs_of(packed):
    """Two candidates of one graph, so that another one's numbers have made the program; or one of them."""
    jobs = [Job(Trial(i, {"dropout": rate}), i) for i, rate in enumerate([0.25, 0.4])]
    return jobs if packed else jobs[1:]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The recipes by which models were kept, by a program and by Keras's own fit, and what was told."""
    found = {}
    for packed in (True, False):
        recipe = recipe_of(tmp_path_factory.mktemp("kept"))
        pack, before = pack_of(recipe, jobs_of(packed), packed=packed), random.getstate()
        found[packed] = recipe, trained(recipe, pack)
        assert random.getstate() == before
    return found


@pytest.mark.backend
@pytest.mark.parametrize("packed", [True, False])
def test_a_kept_model_is_the_candidates_own_and_gives_the_predictions_that_were_scored(kept, packed):
    recipe, context = kept[packed]
    assert not context.of(NoteRecord)
    for job in jobs_of(packed):
        model = check(recipe, job)
        assert not model.compiled
        assert [layer.name for layer in model.layers[:-1]] == ["stored_values", "stored_values_divided"]
        kinds = {layer.name.rstrip("_0123456789"): layer for layer in saving.net_of(model)._flatten_layers()}
        assert all(type(layer).__module__.startswith("keras.") for layer in kinds.values())
        assert kinds["dropout"].rate == kinds["spatial_dropout2d"].rate == job.trial.params["dropout"]
        assert kinds["leaky_re_lu"].negative_slope == 0.3
        contents = zipfile.ZipFile(recipe.paths.model(*job.id)).read("config.json")
        assert b"kerasgrid" not in contents
        assert b"Keyed" not in contents
        assert {file.suffix for file in recipe.paths.model(*job.id).parent.iterdir()} == {".keras"}


def test_nothing_is_kept_and_no_number_changes_where_nobody_asks(kept, make):
    recipe = dataclasses.replace(make(), keeps_models=False)
    found = trained(recipe, pack_of(recipe, jobs_of(True))).records
    assert not recipe.paths.models
    asked, context = kept[True]
    assert asked.paths.models
    for job in jobs_of(True):
        assert found[job.id].history == context.records[job.id].history
        assert found[job.id].metrics == context.records[job.id].metrics


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, units, **given):
        super().__init__(**given)
        self.units = units
        self.flatten, self.last = keras.layers.Flatten(), keras.layers.Dense(units, activation="softmax")

    def call(self, inputs):
        return self.last(self.flatten(inputs))

    def get_config(self):
        return super().get_config() | {"units": self.units}


def net_of_kind(kind):
    shape, last = (6, 6, 3), keras.layers.Dense(4, activation="softmax")
    if kind == "subclassed":
        net = Subclassed(4)
        net(keras.Input(shape))
        return net
    layers = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.Flatten(), last]
    if kind == "of bytes":
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), last]
    if kind == "in few bits":
        layers = [keras.layers.Flatten(), keras.layers.Dense(4, dtype="mixed_bfloat16", activation="softmax")]
    return keras.Sequential([keras.Input(shape, dtype="uint8" if kind == "of bytes" else None), *layers])


MEAN, STD = np.array([0.4, 0.5, 0.6]), np.array([0.1, 0.2, 0.3])


@pytest.mark.backend
@pytest.mark.parametrize(
    ("kind", "scaling", "normalized"),
    [
        ("sequential", Scaling(255.0), {}),
        ("sequential", Scaling(255.0, MEAN, STD), {}),
        ("subclassed", Scaling(255.0, MEAN, STD), {}),
        ("subclassed", Scaling(0.3), {}),
        ("of bytes", Scaling(2.0), {}),
        ("in few bits", Scaling(255.0, MEAN, STD), {}),
        ("sequential", Scaling(), {"rescale": 1 / 255, "samplewise_std_normalization": True}),
        ("sequential", Scaling(None, MEAN, STD), {"rescale": 1 / 255, "samplewise_center": True}),
        # Variances that float32 does not hold, or that Keras takes for others.
        ("sequential", Scaling(1e30), {}),
        ("sequential", Scaling(None, np.array([1e-9, 100, 100]), np.array([1e-9, 1e22, 75])), {}),
    ],
)
def test_a_file_takes_values_as_they_are_stored(tmp_path, kind, scaling, normalized):
    """It gives what its net gives of what training makes of them, and has no weights but the net's."""
    stored = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
    given = Augment(**normalized)
    net = net_of_kind(kind)
    net.compile("adam", "categorical_crossentropy")
    optimizer = net.optimizer
    prepared = Preparation.of(given, stored, scaling.divisor, np.zeros(2, np.int32), tmp_path)
    images = scaling.divide(stored)
    images = scaling.center(images if prepared is None else prepared.of_held_out(images, 0))
    saving.save_model(net, tmp_path / "a.keras", Frame((6, 6, 3), scaling, Augmentation.normalizing(given)))
    assert (net.compiled, net.optimizer) == (True, optimizer)
    model = keras.models.load_model(tmp_path / "a.keras")
    wanted = net.predict(images, verbose=0)
    found = model.predict(stored, verbose=0)
    # Of bfloat16 and Python's numbers NumPy 1.26 makes none.
    np.testing.assert_allclose(found.astype("float32"), wanted.astype("float32"), rtol=0, atol=TOLERANCE)
    assert not model.compiled
    own = saving.net_of(model)
    assert type(own) is type(net)
    assert saving.net_of(own) is own
    for one, other in zip(model.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_function_of_the_users_is_no_layer_and_what_stands_around_it_neither(tmp_path):
    (tmp_path / "pre.py").write_text("def f(image):\n    return image\n")
    function = {"preprocessing_function": f"{tmp_path}/pre.py:f", "rescale": 0.5}
    recipe, net = recipe_of(tmp_path, augment=function, data={"train": "digits"}), net_of_kind("sequential")
    frame = Frame.of(Candidate.of(recipe, {}), Learnt((MEAN, STD)))
    assert frame.around(net) is net


def net_of_numbers(n_outputs, *last):
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(n_outputs), *last], name="numbers")


@pytest.mark.parametrize(
    ("how", "mean", "std", "last"),
    [
        ("log", (12.0,), (0.4,), ()),
        ("log", (1e-3,), (1e-3,), ()),
        ("standardize", (3.0, -1e5), (2.0, 1e4), (keras.layers.Reshape((2, 1)),)),
        ("standardize", (3.0,), (2.0,), (keras.layers.Reshape(()),)),
    ],
)
def test_a_file_gives_numbers_as_the_user_has_them(tmp_path, how, mean, std, last):
    """In float32; its net is asked, and its numbers made in float64, where it is loaded to be asked."""
    scale, net = TargetScale(how, mean, std), net_of_numbers(len(mean), *last)
    facts = ModelFacts(Target("numbers", tuple("ab"[: len(mean)])), scale=scale)
    saving.save_model(net, tmp_path / "a.keras", Frame((6,), scale=scale, facts=facts))
    model = keras.models.load_model(tmp_path / "a.keras")
    samples = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    outputs = net.predict(samples, verbose=0)
    wanted = Learnt(scale=scale).numbers(outputs)
    assert wanted.dtype == np.float64
    found = model.predict(samples, verbose=0)
    assert found.shape == (40, len(mean))
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6 * max(map(abs, std)))
    assert not saving.prepares(model)
    np.testing.assert_array_equal(
        saving.before_numbers(model).predict(samples, verbose=0).ravel(), outputs.ravel()
    )
    own = saving.net_of(model)
    for one, other in zip(own.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert saving.before_numbers(own) is own


def test_images_of_numbers_have_layers_on_both_sides(tmp_path):
    scale, net = TargetScale("standardize", (5.0,), (2.0,)), net_of_numbers(1)
    frame = Frame((6,), Scaling(255.0), scale=scale)
    saving.save_model(net, tmp_path / "a.keras", frame)
    model = keras.models.load_model(tmp_path / "a.keras")
    stored = np.full((3, 6), 255.0, np.float32)
    wanted = net.predict(stored / 255, verbose=0)
    np.testing.assert_allclose(model.predict(stored, verbose=0), wanted * 2 + 5, rtol=1e-6)
    assert saving.prepares(model)
    np.testing.assert_allclose(saving.before_numbers(model).predict(stored, verbose=0), wanted, rtol=1e-6)
    assert saving.net_of(model).name == "numbers"


@pytest.mark.parametrize("by_name", [False, True])
def test_numbers_of_several_inputs_are_made_behind_the_nets_own(tmp_path, by_name):
    given = [keras.Input((2,), name="size"), keras.Input((1,), dtype="int32", name="place")]
    h = keras.layers.concatenate([given[0], keras.layers.Flatten()(keras.layers.Embedding(5, 3)(given[1]))])
    inputs = {one.name: one for one in given} if by_name else given
    net, scale = keras.Model(inputs, keras.layers.Dense(1)(h)), TargetScale("log", (2.0,), (0.5,))
    each = (Input((2,), name="size" if by_name else None), Input((1,), "int64", "place" if by_name else None))
    saving.save_model(net, tmp_path / "a.keras", Frame(Inputs(each), scale=scale))
    model = keras.models.load_model(tmp_path / "a.keras")
    assert [one.name for one in model.inputs] == [one.name for one in net.inputs]
    samples = Inputs(each).apart(np.random.default_rng(0).integers(0, 5, (40, 3)).astype("float32"))
    outputs = net.predict(samples, verbose=0)
    wanted = Learnt(scale=scale).numbers(outputs)
    np.testing.assert_allclose(model.predict(samples, verbose=0), wanted, rtol=2e-5)
    np.testing.assert_array_equal(saving.before_numbers(model).predict(samples, verbose=0), outputs)
    np.testing.assert_array_equal(saving.net_of(model).predict(samples, verbose=0), outputs)
    assert not saving.prepares(model)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search that keeps the models of its best, with its config."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "own.py").write_text(OWN)
    config = {"name": "kept", "data": {"train": "digits", "scale": 16, "subset": 100}}
    config |= {"model": f"{folder}/own.py:small", "space": {"dropout": [0.1, 0.9]}}
    config |= {"params": PARAMS, "search": {"folds": 2, "keep_models": "best"}}
    config["executor"] = {"kind": "inline"}
    return search(config, results=folder), config


def test_models_load_without_kerasgrid(kept, searched, tmp_path):
    """Those that a program and Keras's own fit have trained, and one of all data."""
    code = "import sys; sys.modules['kerasgrid'] = None\nimport keras, numpy as np\n"
    for packed, (recipe, _) in kept.items():
        job = jobs_of(packed)[0]
        np.save(tmp_path / f"images{packed}.npy", held_out(recipe, job))
        code += f"model = keras.models.load_model({str(recipe.paths.model(*job.id))!r})\n"
        code += f"found = model.predict(np.load('images{packed}.npy'), verbose=0)\n"
        code += f"np.save('found{packed}.npy', found)\n"
    path = searched[0].file
    fit(path, epochs=1, overrides=["data.subset=100"])
    best = RunPaths(path.parent, "kept").best
    code += f"print(keras.models.load_model({str(best)!r}, safe_mode=True).count_params())\n"
    code += "assert not any(name.startswith('kerasgrid.') for name in sys.modules)\n"
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert int(told) == read_card(best)["n_parameters"]
    for packed, (recipe, _) in kept.items():
        stored = np.load(recipe.paths.prediction(*jobs_of(packed)[0].id))
        np.testing.assert_allclose(np.load(tmp_path / f"found{packed}.npy"), stored, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("restores", [True, False])
def test_a_kept_model_has_the_weights_that_early_stopping_restored(make, packed, restores):
    stopping = {"monitor": "val_loss", "patience": 2, "restore_best_weights": restores}
    recipe = make(
        "small",
        params={**PARAMS, "epochs": 40, "learning_rate": 1.0},
        callbacks={"early_stopping": stopping},
        data={"train": "digits", "scale": 16, "standardize": True, "subset": 100},
        **VAL,
    )
    job = Job(Trial(0, {}), 0)
    [record] = trained(recipe, pack_of(recipe, [job], packed=packed)).of(FoldRecord)
    assert record.best_epoch + 2 == record.epochs < 40
    check(recipe, job)


def test_jobs_read_off_one_run_keep_the_model_of_their_own_epoch(make):
    augment = {"rescale": 0.06, "featurewise_std_normalization": True, "width_shift_range": [0, 1]}
    recipe = make("small", augment=augment, data={"train": "digits", "subset": 100}, **VAL)
    jobs = [Job(Trial(i, {"epochs": epochs}), 0) for i, epochs in enumerate([1, 2, 3])]
    trained(recipe, pack_of(recipe, jobs, shares=True))
    first, *_, last = [check(recipe, job).get_weights() for job in jobs]
    assert not np.allclose(first[0], last[0])


@pytest.mark.parametrize("packed", [True, False])
def test_a_fit_that_waits_keeps_none_until_it_ends(make, packed):
    recipe = make("small", **VAL)
    ends, waits = Job(Trial(0, {"epochs": 1}), 0), Job(Trial(1, {"epochs": 2}), 0)
    context = trained(recipe, pack_of(recipe, [ends, waits], packed=packed, until=1))
    assert [rung.reached.job for rung in context.of(RungRecord)] == [waits.id]
    assert recipe.paths.models == [recipe.paths.model(*ends.id)]
    trained(recipe, pack_of(recipe, [waits], packed=packed))
    check(recipe, waits)


@pytest.mark.parametrize("packed", [True, False])
def test_an_end_before_a_training_anew_keeps_none(make, packed):
    recipe = dataclasses.replace(make("small"), val=0.5, decides_by_val=True, frees_val=True)
    job = Job(Trial(0, {"epochs": 1}), 0)
    assert trained(recipe, pack_of(recipe, [job], packed=packed, until=2)).of(FoldRecord)
    assert not recipe.paths.models
    trained(recipe, pack_of(recipe, [job], packed=packed))
    check(recipe, job)


def test_a_models_own_layers_and_loss(make):
    """A registered layer loads where its module is imported; of the loss, nothing is saved."""
    recipe, job = make("registered", params={"batch_size": 16, "epochs": 1}), Job(Trial(0, {}), 0)
    context = trained(recipe, pack_of(recipe, [job], packed=False))
    assert not context.of(NoteRecord)
    check(recipe, job)


def test_what_a_script_has_registered_is_known_where_its_models_are_trained(make):
    part = type("Scripted", (keras.layers.Layer,), {"__module__": "__main__"})
    known, named = keras.saving.get_custom_objects(), "tests>Scripted"
    keras.saving.register_keras_serializable("tests")(part)
    try:
        recipe = make("small")
        assert recipe.registered == {named: part}
        del known[named]  # as in a worker, which does not run the script
        import_function(recipe)
        assert keras.saving.get_registered_object(named) is part
    finally:
        known.pop(named, None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("code", "ValueError: .*`Lambda` layer"),
        ("unnamed", "TypeError: Could not locate class 'Unnamed'"),
        (
            "closed",
            "(NotImplementedError|TypeError): .*Closed",
        ),
    ],
)
def test_of_a_model_that_keras_would_not_load_the_weights_are_kept_and_told_of(make, name, reason):
    recipe, job = make(name, params={**PARAMS, "epochs": 1}), Job(Trial(0, {}), 1)
    context = trained(recipe, pack_of(recipe, [job], packed=False))
    if name == "unnamed" and not context.of(NoteRecord):  # Keras 3.8 finds every class by its module
        return check(recipe, job)
    [note], [record] = context.of(NoteRecord), context.of(FoldRecord)
    told = "trial 0, fold 1: Keras cannot save this model, or would not load it in its safe mode ("
    assert note.text.startswith(told)
    assert re.match(reason, note.text.removeprefix(told))
    assert note.topic == "fold models"
    assert record.error is None
    assert record.score is not None
    [file] = recipe.paths.models
    assert file == recipe.paths.kept(recipe.paths.model(*job.id))
    assert file.name == "trial-0-fold-1-repeat-0.weights.npz"
    candidate = Candidate.of(recipe, {})
    rows = candidate.folds[1].test
    samples = candidate.data.images[rows].astype("float32")
    said = np.load(recipe.paths.prediction(*job.id))
    net = saving.load_kept(file, candidate)
    np.testing.assert_allclose(net.predict(samples / 16, verbose=0), said, atol=TOLERANCE)
    whole = saving.rebuilt(file, candidate, None)
    np.testing.assert_allclose(whole.predict(samples, verbose=0), said, atol=TOLERANCE)
    other = dataclasses.replace(candidate, recipe=dataclasses.replace(recipe, model_source="another"))
    with pytest.raises(ChangedError, match=r"whose source changed since they were trained\. Restore"):
        saving.load_kept(file, other)


def test_weights_that_fit_no_more_are_told(make):
    recipe, job = make("code", params={**PARAMS, "epochs": 1}), Job(Trial(0, {}), 1)
    trained(recipe, pack_of(recipe, [job], packed=False))
    [file] = recipe.paths.models
    saving.write_weights(file, [np.zeros((2, 2))])
    candidate = Candidate.of(recipe, {})
    with pytest.raises(ResultsError, match="what it tells beside its net cannot be read"):
        saving.load_kept(file, candidate)
    ModelFacts(recipe.target, source=recipe.model_source).write(file)
    with pytest.raises(ResultsError, match=r"its weights do not fit what .*own\.py:code builds"):
        saving.load_kept(file, candidate)


def test_a_program_whose_model_cannot_be_built_again_ends_its_fit(make, monkeypatch):
    recipe, job = make("small", **VAL), Job(Trial(0, {}), 0)
    pack = pack_of(recipe, [job])

    def refused(*_):
        raise MemoryError("no room for another model")

    monkeypatch.setattr("kerasgrid.training.wave.own_model", refused)
    context = trained(recipe, pack)
    assert "no room for another model" in context.of(NoteRecord)[0].text
    assert context.records[job.id].error is None


@pytest.mark.parametrize("packed", [True, False])
def test_a_full_disk_ends_the_search(make, monkeypatch, packed):
    recipe, job = make("small", params={**PARAMS, "epochs": 1}, **VAL), Job(Trial(0, {}), 0)

    def full(self, file):
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras.Model, "save", full)
    pack, context = pack_of(recipe, [job], packed=packed), Collector()
    with pytest.raises(StorageError, match=r"trial-0-fold-0-repeat-0\.keras: the disk is full"):
        train_pack(recipe, pack, context)
    assert not context.of(FoldRecord)
    assert not list(recipe.paths.model(*job.id).parent.iterdir())


def test_a_search_keeps_the_fold_models_of_its_best(searched, tmp_path):
    found, config = searched
    paths = RunPaths(found.file.parent, "kept")
    assert found.model_files() == paths.models
    with np.load(paths.oof) as oof:
        stored, fold = oof[f"trial_{found.best['trial']}"], oof["fold"]
    images = map_samples(Path(prepare_run(config, tmp_path / "again")[1].data_folder), "digits").images
    for place, file in enumerate(found.model_files()):
        predicted = keras.models.load_model(file).predict(images[fold == place], verbose=0)
        np.testing.assert_allclose(predicted, stored[fold == place], rtol=0, atol=TOLERANCE)
