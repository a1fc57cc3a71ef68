"""Schedules, callbacks, class weights, precision: packs do as Keras's own fit, and resume to the bit."""

from __future__ import annotations

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from fakes import Collector, Crash, Crashing, prepare_run

from kerasgrid.callbacks import LearningRateScheduler
from kerasgrid.executors import Inline
from kerasgrid.packing import Graphs
from kerasgrid.records import EpochRecord, Job, NoteRecord, Pack, Trial
from kerasgrid.training import backend, checkpoint, probe, wave
from kerasgrid.training.hooks import make_callbacks
from kerasgrid.training.job import train_pack
from kerasgrid.training.rates import rates

pytestmark = [pytest.mark.slow, pytest.mark.backend]
on_tensorflow = pytest.mark.skipif(
    backend.NAME != "tensorflow", reason="the same on JAX, where each program compiles for seconds"
)

SCHEDULE = "callbacks.learning_rate_scheduler.schedule"
AUGMENT = {"rotation_range": 15, "zoom_range": 0.25, "samplewise_center": True}


@pytest.fixture
def make(tmp_path):
    def of(name="run", interval_s=1e9, **changes):
        fixed = {"units": [16], "batch_size": 16, "epochs": 3, "batch_norm": False, "dropout": 0.0}
        fixed |= {"optimizer": "SGD", "learning_rate": 0.0625, **changes.pop("params", {})}
        data = {"train": "digits", "scale": 16, "subset": 101}
        config = {"data": data, "model": "fc", "name": name, "params": fixed, "search": {"folds": 2}}
        return prepare_run(config | changes, tmp_path, interval_s)

    return of


def graphs_of(prepared, recipe, space):
    trials = [Trial(i, params) for i, params in enumerate(space)]
    return trials, Graphs(prepared, recipe, Inline()).of(trials)


def pack_of(prepared, recipe, space):
    """Returns candidates as one pack, side by side; fails where they have several graphs."""
    trials, graphs = graphs_of(prepared, recipe, space)
    assert len({graph.key for graph in graphs.values()}) == 1, graphs
    assert graphs[0].key is not None, graphs[0].reason
    jobs = tuple(Job(trial, trial.id % 2) for trial in trials)
    return Pack(jobs, tuple(graphs[trial.id] for trial in trials), len(jobs))


def trained(recipe, pack, context=None):
    context = context or Collector()
    train_pack(recipe, pack, context)
    assert not context.of(NoteRecord), context.of(NoteRecord)[0].text
    return context


def assert_alike(packed, own, tolerance=2e-4):
    assert packed.error == own.error
    assert set(packed.history) == set(own.history)
    for name, values in own.history.items():
        found = packed.history[name]
        np.testing.assert_allclose(found, values, rtol=tolerance, atol=tolerance, err_msg=name)


CASES = {
    "schedules": (
        {
            "callbacks": {
                "learning_rate_scheduler": {"schedule": "step", "warmup_epochs": 0.5, "decay_epochs": 1}
            }
        },
        [
            {SCHEDULE: "constant"},
            {SCHEDULE: "step"},
            {SCHEDULE: "cosine"},
            {SCHEDULE: "one_cycle", "callbacks.learning_rate_scheduler.warmup_epochs": 0},
        ],
    ),
    "class weights": (
        {},
        [{"training.class_weight": "balanced"}, {"training.class_weight": {"0": 0.0, "7": 5.0}}],
    ),
    "label smoothing": ({}, [{"loss.label_smoothing": 0.25}, {"loss.label_smoothing": 0.5}]),
    "test fold": (
        {
            "search": {"folds": 2, "val": "test_fold"},
            "callbacks": {"early_stopping": {"monitor": "val_loss", "patience": 1, "min_delta": 0.25}},
        },
        [{"learning_rate": 0.125}, {"learning_rate": 0.0078125}],
    ),
    "terminate on NaN": (
        {"callbacks": {"terminate_on_nan": True}},
        [{"learning_rate": 1e30}, {"learning_rate": 0.125}],
    ),
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=on_tensorflow if case == "label smoothing" else ()) for case in CASES]
)
def test_a_pack_trains_as_keras_own_fit_does(make, case):
    changes, space = CASES[case]
    prepared, recipe = make(**changes)
    pack = pack_of(prepared, recipe, space)
    packed = trained(recipe, pack).records
    _, plain = make(name="plain", **changes)
    own = trained(plain, Pack(pack.jobs)).records
    for job in pack.jobs:
        assert_alike(packed[job.id], own[job.id])
    if case == "terminate on NaN":
        assert "loss is nan" in packed[0, 0, 0].error["message"]
    if case == "test fold":
        assert packed[0, 0, 0].history["val_loss"] == packed[0, 0, 0].history["test_loss"]
        assert packed[1, 1, 0].epochs < 3
    if case == "schedules":
        assert len({tuple(packed[job.id].history["learning_rate"]) for job in pack.jobs}) == 4


@on_tensorflow
@pytest.mark.parametrize("schedule", ["step", "cosine", "one_cycle"])
def test_the_recorded_rate_is_that_of_the_epochs_last_step(make, schedule):
    given = {"schedule": schedule, **({"decay_epochs": 1} if schedule == "step" else {})}
    prepared, recipe = make(callbacks={"learning_rate_scheduler": given})
    pack = pack_of(prepared, recipe, [{}])
    found = trained(recipe, pack).records[0, 0, 0].history["learning_rate"]
    per_epoch = -(-len(prepared.folds[0].train) // 16)
    arguments = LearningRateScheduler.model_validate(given).model_dump()
    wanted = rates(arguments, 0.0625, np.arange(3 * per_epoch), per_epoch, 3)[per_epoch - 1 :: per_epoch]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_steps_after_an_infinite_loss_change_nothing(make):
    prepared, recipe = make(callbacks={"terminate_on_nan": True})
    pack = pack_of(prepared, recipe, [{}])
    from kerasgrid.training import packs

    made = packs.make_wave(recipe, pack, list(pack.runs), Collector())
    made._begin()
    states, inputs = made._inputs()
    fixed = made._fixed(made.members)
    broken = {**states, "metrics": {**states["metrics"], "loss": np.array([np.inf], keras.config.floatx())}}
    after = backend.to_host(made.program.train(broken, fixed, inputs, 0, made.program.schedule.n_steps, 0))
    for found, before in zip(keras.tree.flatten(after), keras.tree.flatten(broken), strict=True):
        np.testing.assert_array_equal(found, before)
    moved = backend.to_host(made.program.train(states, fixed, inputs, 0, 1, 0))
    assert not np.array_equal(moved["weights"][0], states["weights"][0])


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


@on_tensorflow
def test_a_callback_of_the_users_own_takes_keras_own_fit_and_its_arguments_are_searched(make, own):
    prepared, recipe = make(callbacks={f"{own}:Watch": {"limit": 0}})
    space = [{}, {f"callbacks.{own}:Watch.limit": 1}, {f"callbacks.{own}:Watch": "off"}]
    trials, graphs = graphs_of(prepared, recipe, space)
    assert [graphs[i].key is None for i in range(3)] == [True, True, False]
    assert graphs[0].reason == f"the callback {own}:Watch may look at all of a model"
    found = trained(recipe, Pack(tuple(Job(trial, 0) for trial in trials))).records
    assert [found[i, 0, 0].epochs for i in range(3)] == [1, 2, 3]
    assert recipe.route({}).looks_at_total == f"the callback {own}:Watch may look at them"


def test_a_callback_of_the_users_own_goes_on_with_its_plain_data(make, own):
    _, recipe = make(interval_s=0, callbacks={f"{own}:Watch": {"limit": 1}})
    pack = Pack((Job(Trial(0, {}), 0),))
    with pytest.raises(Crash):
        train_pack(recipe, pack, Crashing(6))
    context = trained(recipe, pack)
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


def test_a_subclass_of_early_stopping_decides_after_a_resume_as_without_one(make, tmp_path):
    """Keras turns the sign of min_delta at the first epoch of each fit."""
    (tmp_path / "stop.py").write_text(SUBCLASS)
    arguments = {"monitor": "loss", "min_delta": 0.75, "patience": 2}
    changes = {"callbacks": {f"{tmp_path}/stop.py:Stop": arguments}, "params": {"epochs": 9}}
    pack = Pack((Job(Trial(0, {}), 0),))
    whole = trained(make(name="whole", **changes)[1], pack).records[0, 0, 0]
    assert whole.epochs < 9
    _, recipe = make(interval_s=0, **changes)
    with pytest.raises(Crash):
        train_pack(recipe, pack, Crashing(2))
    assert trained(recipe, pack).records[0, 0, 0].epochs == whole.epochs


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
    _, recipe = make(callbacks={f"{own}:{name}": arguments})
    context = Collector()
    probe.probe(recipe, {}, context)
    assert message in context.payloads[0].error["message"]


def test_two_callbacks_of_one_name_keep_their_own_state(make, own, tmp_path):
    (tmp_path / "other.py").write_text(OWN.replace("np.zeros(2)", "np.ones(2)"))
    callbacks = {f"{own}:Watch": {"limit": 9}, f"{tmp_path}/other.py:Watch": {"limit": 8}}
    _, recipe = make(callbacks=callbacks)
    first, again = (make_callbacks(recipe.route({}), 50, recipe.base) for _ in range(2))
    first[0].seen, first[1].seen = [0, 1], [0]
    states, arrays = checkpoint.keep_callbacks(first, "0_")
    checkpoint.restore_callbacks(again, json.loads(json.dumps(states)), arrays, "0_")
    assert [callback.seen for callback in again] == [[0, 1], [0]]
    assert [callback.sums.tolist() for callback in again] == [[0, 0], [1, 1]]


def test_an_own_callback_that_monitors_what_is_not_measured_is_refused_by_the_probe(make):
    for search, is_refused in (({"folds": 2}, True), ({"folds": 2, "val": 0.25}, False)):
        _, recipe = make(callbacks={"keras.callbacks:EarlyStopping": {}}, search=search)
        context = Collector()
        probe.probe(recipe, {}, context)
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


def test_a_schedule_of_the_models_own_is_recorded_and_not_set_by_callbacks(make, tmp_path):
    (tmp_path / "scheduled.py").write_text(SCHEDULED)
    fixed = {"batch_size": 16, "epochs": 3}
    data = {"train": "digits", "scale": 16, "subset": 101}
    config = {"data": data, "model": f"{tmp_path}/scheduled.py:net", "params": fixed, "search": {"folds": 2}}
    prepared, recipe = prepare_run({**config, "name": "a"}, tmp_path)
    pack = pack_of(prepared, recipe, [{}])
    packed = trained(recipe, pack).records[0, 0, 0]
    _, plain = prepare_run({**config, "name": "b"}, tmp_path)
    assert_alike(packed, trained(plain, Pack(pack.jobs)).records[0, 0, 0])
    assert packed.history["learning_rate"][0] < 0.25

    name = "callbacks.learning_rate_scheduler"
    given = {"space": {name: ["off", {"schedule": "cosine"}]}, "name": "c"}
    prepared, recipe = prepare_run(config | given, tmp_path)
    trials, graphs = graphs_of(prepared, recipe, [{name: {"schedule": "cosine"}}, {name: "off"}])
    assert graphs[0].reason == "a callback sets the learning rate that the model's own schedule gives"
    assert graphs[1].key is not None
    context = Collector()
    train_pack(recipe, Pack((Job(trials[0], 0),)), context)
    probe.probe(recipe, trials[0].params, context)
    told = context.records[0, 0, 0].error["message"], context.payloads[-1].error["message"]
    assert told[0] == f"trial 0, fold 0: {told[1]}"
    assert told[1] == (
        "callbacks.learning_rate_scheduler sets the learning rate, which the model's own optimizer takes "
        "from its ExponentialDecay: leave one of them out."
    )


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_in_it_and_keeps_its_weights_in_float32(make, precision):
    prepared, recipe = make(training={"precision": precision})
    trials, graphs = graphs_of(prepared, recipe, [{}, {"training.precision": "float32"}])
    assert graphs[1].key is not None
    if precision == "mixed_float16":
        assert graphs[0].reason == "the layer input_layer computes in float16"
    else:
        assert graphs[0].key not in (None, graphs[1].key)
    job = Job(trials[0], 0)
    mixed = trained(recipe, Pack((job,), (graphs[0],) if graphs[0].key else ())).records[job.id]
    _, plain = make(name="plain", training={"precision": precision})
    own = trained(plain, Pack((job,))).records[job.id]
    _, exact = make(name="exact")
    exact = trained(exact, Pack((job,))).records[job.id]
    assert mixed.error is exact.error is own.error is None
    np.testing.assert_allclose(mixed.history["loss"], own.history["loss"], rtol=1e-2)
    if precision == "mixed_bfloat16":  # the other leaves steps out until its scale of the loss is found
        np.testing.assert_allclose(own.history["loss"], exact.history["loss"], rtol=5e-2)
    assert own.history["loss"][-1] < own.history["loss"][0]
    assert mixed.history["loss"] != exact.history["loss"]
    assert keras.config.dtype_policy().name == "float32"


@on_tensorflow
def test_jit_is_a_graph_of_its_own_and_gives_the_same_numbers(make):
    prepared, recipe = make()
    trials, graphs = graphs_of(prepared, recipe, [{}, {"training.jit": True}, {"training.jit": False}])
    assert len({graphs[i].key for i in range(3)} - {None}) == 3
    for trial in trials[1:]:
        job = Job(trial, 0)
        found = trained(recipe, Pack((job,), (graphs[trial.id],))).records[job.id]
        assert_alike(found, trained(recipe, Pack((job,))).records[job.id])


@on_tensorflow
def test_what_xla_cannot_compile_takes_keras_own_fit(make):
    prepared, recipe = make(augment=AUGMENT, training={"jit": True})
    _, graphs = graphs_of(prepared, recipe, [{}, {"augment": "off"}])
    assert graphs[0].reason == "XLA cannot compile the geometry of augmentation on TensorFlow"
    assert graphs[1].key is not None


EVERYTHING = {
    "search": {"folds": 2, "val": 0.25},
    "augment": AUGMENT,
    "callbacks": {
        "learning_rate_scheduler": {"schedule": "one_cycle"},
        "early_stopping": {"monitor": "val_loss", "patience": 2, "restore_best_weights": True},
        "terminate_on_nan": True,
    },
    "training": {"class_weight": "balanced", "stop_dead": True},
    "params": {"dropout": 0.25, "batch_norm": True, "epochs": 4, "loss.label_smoothing": 0.125},
}


@pytest.mark.parametrize("packed", [True, False])
def test_all_of_it_cut_off_resumes_to_the_same_bits(make, monkeypatch, packed):
    monkeypatch.setattr(wave, "CALL_S", 0)

    def begun(name, interval_s):
        prepared, recipe = make(name=name, interval_s=interval_s, **EVERYTHING)
        pack = pack_of(prepared, recipe, [{}, {"augment.rotation_range": 0}])
        return recipe, pack if packed else Pack(pack.jobs[:1])

    whole = trained(*begun("whole", 1e9)).records
    for n in (3, 9) if backend.NAME == "tensorflow" else (9,):
        recipe, pack = begun(f"cut-{n}", 0)
        first = Crashing(n)
        with pytest.raises(Crash):
            train_pack(recipe, pack, first)
        assert not first.records
        found = trained(recipe, pack).records
        assert found.keys() == whole.keys()
        for job, other in whole.items():
            assert other.error is None
            assert found[job].history == other.history
            assert found[job].metrics == other.metrics
            assert (found[job].dead, found[job].best_epoch) == (other.dead, other.best_epoch)
            assert found[job].score == other.score
