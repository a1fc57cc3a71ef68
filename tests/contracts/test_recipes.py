"""What a recipe asks of training: callbacks of the user's own, schedules of the model's, precision, jit."""

from __future__ import annotations

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from fakes import Collector, Crash, Crashing, classes_of
from whole_jobs import EVEN, assert_alike, finished, jobs_of, maker, on_tensorflow, result

from kerasgrid.errors import ChangedError
from kerasgrid.jobs.objective import find_objective
from kerasgrid.jobs.route import route
from kerasgrid.models.keras_private import layers_within
from kerasgrid.models.signature import Signature
from kerasgrid.records import EpochRecord, Job, Pack, Trial
from kerasgrid.training import backend, checkpoint, packs, probe
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.compiling import compile_model
from kerasgrid.training.hooks import make_callbacks
from kerasgrid.training.job import train_pack

pytestmark = pytest.mark.slow


@pytest.fixture
def make(tmp_path):
    return maker(tmp_path)


def trials_of(search, space):
    """Returns candidates and their graphs."""
    trials = [Trial(i, params) for i, params in enumerate(space)]
    return trials, search.graphs(trials)


@pytest.mark.backend
def test_steps_after_an_infinite_loss_change_nothing(make):
    search = make(callbacks={"terminate_on_nan": True})
    pack = search.pack(jobs_of([{}]))
    made = packs.make_wave(search.recipe, pack, list(pack.runs), Collector())
    made._begin()
    states, fixed = made._states(), made._fixed(made.members)
    epoch = made._inputs(), made._batches()
    broken = {**states, "metrics": {**states["metrics"], "loss": np.array([np.inf], keras.config.floatx())}}
    after = backend.to_host(made.program.train(broken, fixed, *epoch, 0, made.program.schedule.n_steps))
    for found, before in zip(keras.tree.flatten(after), keras.tree.flatten(broken), strict=True):
        np.testing.assert_array_equal(found, before)
    moved = backend.to_host(made.program.train(states, fixed, *epoch, 0, 1))
    assert not np.array_equal(moved["weights"][0], states["weights"][0])


@pytest.mark.backend
def test_mixed_precision_computes_in_it_and_keeps_its_weights_in_float32(make, eager):
    [job] = jobs_of([{}])
    of_all = {"data": EVEN, "params": {"epochs": 2, "batch_size": 25}}
    exact = make("exact", **of_all).train(Pack((job,))).records[job.id]
    assert exact.error is None
    for precision in ("mixed_bfloat16", "mixed_float16"):
        given = {**of_all, "training": {"precision": precision}}
        search = make(precision, **given)
        _, graphs = trials_of(search, [{}, {"training.precision": "float32"}])
        assert graphs[1].key is not None
        own = mixed = make(f"{precision}-plain", **given).train(Pack((job,))).records[job.id]
        if precision == "mixed_float16":
            assert graphs[0].reason == "the layer input_layer computes in float16"
        else:
            assert graphs[0].key not in (None, graphs[1].key)
            mixed = search.train(Pack((job,), (graphs[0],))).records[job.id]
            np.testing.assert_allclose(mixed.history["loss"], own.history["loss"], rtol=1e-2)
            # The other leaves steps out until its scale of the loss is found.
            np.testing.assert_allclose(own.history["loss"], exact.history["loss"], rtol=5e-2)
        assert mixed.error is own.error is None
        assert own.history["loss"][-1] < own.history["loss"][0]
        assert mixed.history["loss"] != exact.history["loss"]
        assert keras.config.dtype_policy().name == "float32"


@pytest.mark.backend
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_accumulated_gradients_take_keras_own_fit_and_go_on_over_epochs_and_cuts(make, eager, precision):
    """Of 15 steps in 3 epochs, four of which make a change of the weights together."""
    given = {"data": EVEN, "params": {"optimizer": "Adam", "batch_size": 10}}
    given["training"] = {"accumulate": 4, "precision": precision}
    [job] = jobs_of([{}])
    if precision == "float32":
        search = make(**given)
        _, graphs = trials_of(search, [{}, {"training.accumulate": 1}])
        assert graphs[0].reason == "Adam accumulates gradients over steps, as training.accumulate says"
        assert graphs[1].key is not None
    whole = make("whole", **given).train(Pack((job,))).records[job.id]
    assert whole.error is None
    assert len(set(whole.history["test_loss"])) == 3
    cut = finished(make("cut", 0, **given), Pack((job,)), (1, 2, 3))
    assert result(cut[job.id]) == result(whole)


@pytest.mark.backend
def test_accumulated_steps_are_one_of_all_their_rows(eager):
    """But for rounding: each number within 1e-5 of itself, and of 1e-6."""
    numbers = np.random.default_rng(0)
    rows, labels = numbers.normal(size=(96, 8)).astype("float32"), numbers.integers(4, size=96)

    def trained(batch_size, **params):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(4)])
        params |= {"optimizer": "SGD", "optimizer.momentum": 0.9, "learning_rate": 0.5}
        compile_model(model, route(params, Signature(()), {}), find_objective("accuracy"), classes_of(4))
        model.fit(rows, labels, batch_size=batch_size, epochs=2, shuffle=False, verbose=0)
        return np.concatenate([weights.ravel() for weights in model.get_weights()])

    wanted = trained(32)
    np.testing.assert_allclose(trained(8, **{"training.accumulate": 4}), wanted, rtol=1e-5, atol=1e-6)
    assert np.abs(trained(8) - wanted).max() > 0.1


def test_a_backbone_takes_precision_and_jit(make, eager):
    search = make(model="backbone", params=None, data=EVEN, training={"precision": "mixed_bfloat16"})
    [job] = jobs_of([{"epochs": 1, "backbone": "vit"}])
    found = search.train(Pack((job,))).records[job.id]
    assert found.error is None
    model = Candidate.of(search.recipe, {"backbone": "vit", "training.jit": True}).compile().model
    assert model.jit_compile is True
    assert {layer.compute_dtype for layer in layers_within(model) if layer.weights} == {"bfloat16", "float32"}


@on_tensorflow
def test_jit_is_a_graph_of_its_own_and_gives_the_same_numbers(make):
    search = make(data=EVEN, params={"epochs": 1, "batch_size": 10})
    trials, graphs = trials_of(search, [{}, {"training.jit": True}, {"training.jit": False}])
    assert len({graphs[i].key for i in range(3)} - {None}) == 3
    job = Job(trials[1], 0)
    found = search.train(Pack((job,), (graphs[1],))).records[job.id]
    assert_alike(found, search.train(Pack((job,))).records[job.id])


def test_a_loss_that_overflows_is_told_of_at_its_batch(make):
    told = {"terminate_on_nan": {"raise_error": True}}
    search = make(callbacks=told, params={"learning_rate": 1e30})
    jobs = jobs_of([{}])
    packed, plain = (search.train(pack).records[0, 0, 0] for pack in (search.pack(jobs), Pack(tuple(jobs))))
    assert "NaN or Inf loss encountered at batch 1." in plain.error["message"]
    assert "NaN or Inf loss encountered at batch 1." in packed.error["message"]


OWN = """
import keras
import numpy as np

class Watch(keras.callbacks.Callback):
    def __init__(self, limit=0.0):
        super().__init__()
        self.limit, self.seen, self.other, self.sums = limit, [], object(), np.zeros(2)

    def on_train_end(self, logs=None):
        assert logs["loss"] > 0
        assert self.params == {"epochs": 3, "steps": 4, "verbose": 0}
        assert self.sums.tolist() == [len(self.seen)] * 2

    def on_epoch_end(self, epoch, logs=None):
        self.sums += 1
        self.seen.append(epoch)
        if len(self.seen) > self.limit:
            self.model.stop_training = True

def no_callback():
    return 3
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    return f"{tmp_path}/mine.py"


def test_a_callback_of_the_users_own_takes_keras_own_fit_and_its_arguments_are_searched(make, own, eager):
    search = make(callbacks={f"{own}:Watch": {"limit": 0}})
    space = [{}, {f"callbacks.{own}:Watch.limit": 1}, {f"callbacks.{own}:Watch": "off"}]
    trials, graphs = trials_of(search, space)
    assert [graphs[i].key is None for i in range(3)] == [True, True, False]
    assert graphs[0].reason == f"the callback {own}:Watch may look at all of a model"
    found = search.train(Pack(tuple(Job(trial, 0) for trial in trials))).records
    assert [found[i, 0, 0].epochs for i in range(3)] == [1, 2, 3]
    assert search.recipe.route({}).looks_at_total == f"the callback {own}:Watch may look at them"


@pytest.mark.backend
def test_a_callback_of_the_users_own_goes_on_with_its_plain_data(make, own, eager):
    search = make(interval_s=0, callbacks={f"{own}:Watch": {"limit": 1}})
    pack = Pack(tuple(jobs_of([{}])))
    with pytest.raises(Crash):
        train_pack(search.recipe, pack, Crashing(6))
    context = search.train(pack)
    assert context.of(EpochRecord)[0].epoch == 2
    assert context.records[0, 0, 0].epochs == 2


SUBCLASS = """
import keras, numpy as np

class Stop(keras.callbacks.EarlyStopping):
    best_row = np.zeros(3)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.best_row = self.best_row + 1
"""


def test_a_subclass_of_early_stopping_decides_after_a_resume_as_without_one(make, tmp_path, eager):
    """Keras turns the sign of min_delta at the first epoch of each fit."""
    (tmp_path / "stop.py").write_text(SUBCLASS)
    arguments = {"monitor": "loss", "min_delta": 0.75, "patience": 2}
    changes = {"callbacks": {f"{tmp_path}/stop.py:Stop": arguments}, "params": {"epochs": 9}}
    pack = Pack(tuple(jobs_of([{}])))
    whole = make("whole", **changes).train(pack).records[0, 0, 0]
    assert whole.epochs < 9
    again = finished(make(interval_s=0, **changes), pack, [2])
    assert again[0, 0, 0].epochs == whole.epochs


def test_arrays_of_an_own_callback_come_back_by_whatever_name():
    callback = keras.callbacks.Callback()
    callback.best_row, callback.row = np.ones(3), np.ones(2)
    states, arrays = checkpoint.keep_callbacks([callback], "0_")
    again = keras.callbacks.Callback()
    again.best_row, again.row = np.zeros(3), np.zeros(2)
    checkpoint.restore_callbacks([again], states, arrays, "0_")
    assert again.best_row.tolist() == [1, 1, 1]
    assert again.row.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Watch", {"limt": 3}, "Watch refused {'limt': 3}: "),
        ("no_callback", {}, "no_callback is a int; a keras.callbacks.Callback holds."),
    ],
)
def test_callbacks_that_cannot_be_made_are_refused_by_the_probe(make, own, name, arguments, message):
    context = Collector()
    probe.probe(make(callbacks={f"{own}:{name}": arguments}).recipe, {}, context)
    assert message in context.payloads[0].error["message"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fine", None),
        ("deep", ", {own}:deep: IndexError: index 5 is out of bounds"),
        ("flat", "augment.preprocessing_function gives images of {{(8, 8)}}; (8, 8, 1) holds."),
    ],
)
def test_a_preprocessing_function_that_fails_is_refused_by_the_probe(make, own, tmp_path, name, message):
    with open(tmp_path / "mine.py", "a") as file:
        file.write("def fine(image):\n    return image\n")
        file.write("def flat(image):\n    return image[:, :, 0]\n")
        file.write("def deep(image):\n    return image[:, :, 5]\n")
    context = Collector()
    recipe = make(augment={"preprocessing_function": f"{own}:{name}"}).recipe
    probe.probe(recipe, {}, context)
    error = context.payloads[0].error
    assert error is None if message is None else message.format(own=own) in error["message"]


def test_two_callbacks_of_one_name_keep_their_own_state(make, own, tmp_path):
    (tmp_path / "other.py").write_text(OWN.replace("np.zeros(2)", "np.ones(2)"))
    callbacks = {f"{own}:Watch": {"limit": 9}, f"{tmp_path}/other.py:Watch": {"limit": 8}}
    recipe = make(callbacks=callbacks).recipe
    first, again = (make_callbacks(recipe.route({}), 50, recipe.base) for _ in range(2))
    first[0].seen, first[1].seen = [0, 1], [0]
    states, arrays = checkpoint.keep_callbacks(first, "0_")
    checkpoint.restore_callbacks(again, json.loads(json.dumps(states)), arrays, "0_")
    assert [callback.seen for callback in again] == [[0, 1], [0]]
    assert [callback.sums.tolist() for callback in again] == [[0, 0], [1, 1]]


def test_a_callback_that_changes_during_the_search_is_refused(make, own, tmp_path):
    recipe = make(callbacks={f"{own}:Watch": {"limit": 9}}).recipe
    (tmp_path / "mine.py").write_text(OWN.replace("np.zeros(2)", "np.ones(2)"))
    with pytest.raises(ChangedError, match="Watch: the source changed while the search was running"):
        make_callbacks(recipe.route({}), 50, recipe.base, recipe.sources)


def test_an_own_callback_that_monitors_what_is_not_measured_is_refused_by_the_probe(make):
    for search, is_refused in (({"folds": 2}, True), ({"folds": 2, "val": 0.25}, False)):
        context = Collector()
        probe.probe(make(callbacks={"keras.callbacks:EarlyStopping": {}}, search=search).recipe, {}, context)
        error = context.payloads[0].error
        assert (error is not None) is is_refused
        if is_refused:
            assert error["message"] == (
                "the callback EarlyStopping monitors 'val_loss', which is not measured: give search.val, "
                "such as 0.1, or another monitor."
            )


SCHEDULED = """
import keras

def net(input_shape, n_classes):
    model = keras.Sequential([
        keras.Input(input_shape), keras.layers.Flatten(),
        keras.layers.Dense(n_classes, activation="softmax"),
    ])
    rate = keras.optimizers.schedules.ExponentialDecay(0.25, 3, 0.5)
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


@pytest.mark.backend
def test_a_schedule_of_the_models_own_is_recorded_and_not_set_by_callbacks(make, tmp_path):
    (tmp_path / "scheduled.py").write_text(SCHEDULED)
    of_its_own = {"model": f"{tmp_path}/scheduled.py:net", "params": None}
    search = make("packed", **of_its_own)
    pack = search.pack(jobs_of([{}]))
    packed = search.train(pack).records[0, 0, 0]
    assert_alike(packed, make("plain", **of_its_own).train(Pack(pack.jobs)).records[0, 0, 0])
    assert packed.history["learning_rate"][0] < 0.25

    name = "callbacks.learning_rate_scheduler"
    search = make("set", **of_its_own, space={name: ["off", {"schedule": "cosine"}]})
    trials, graphs = trials_of(search, [{name: {"schedule": "cosine"}}, {name: "off"}])
    assert graphs[0].reason == "a callback sets the learning rate that the model's own schedule gives"
    assert graphs[1].key is not None
    context = Collector()
    train_pack(search.recipe, Pack((Job(trials[0], 0),)), context)
    probe.probe(search.recipe, trials[0].params, context)
    told = context.records[0, 0, 0].error["message"], context.payloads[-1].error["message"]
    assert told[0] == f"trial 0, fold 0: {told[1]}"
    assert told[1] == (
        "callbacks.learning_rate_scheduler sets the learning rate, which the model's own optimizer takes "
        "from its ExponentialDecay: leave one of them out."
    )


@on_tensorflow
def test_what_xla_cannot_compile_takes_keras_own_fit(make):
    search = make(augment={"rotation_range": 15}, training={"jit": True})
    _, graphs = trials_of(search, [{}, {"augment": "off"}])
    assert graphs[0].reason == "XLA cannot compile the geometry of augmentation on TensorFlow"
    assert graphs[1].key is not None
