"""Real training on small data: what a job gives, resumes to, and fails with."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from fakes import Collector, classes_of, prepare_run

from kerasgrid.data.folds import inner_split, load_folds
from kerasgrid.errors import ChangedError, TrialError
from kerasgrid.models import loading
from kerasgrid.records import EpochRecord, FoldRecord, Job, Pack, StopRecord, Trial
from kerasgrid.seeds import data_order, model_seed
from kerasgrid.training import checkpoint, probe
from kerasgrid.training import job as job_module
from kerasgrid.training.batches import Batches, Scaling, targets_of
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.hooks import make_callbacks
from kerasgrid.training.job import train_job, train_pack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eager")]

CONFIG = {
    "data": {"train": "digits", "scale": 16, "subset": 300},
    "model": "fc",
    "params": {"batch_size": 100, "epochs": 3},
    "search": {"folds": 3},
}


SGD = {"optimizer": "SGD"}
"""Whose steps take half the time."""
LEARNS = {"learning_rate": 0.03, "batch_size": 50}
"""By which a net learns within three epochs."""


@pytest.fixture
def make(tmp_path):
    """Returns a function that makes the recipe of a config, as the driver would."""

    def of(interval_s=1e9, name="run", **changes):
        config = {**CONFIG, **changes, "name": name}
        units = {"units": [16]} if config["model"] == "fc" else {}
        config["params"] = {**units, **CONFIG["params"], **changes.get("params", {})}
        return prepare_run(config, tmp_path, interval_s)[1]

    return of


def train(recipe, params=None, fold=0, repeat=0, context=None, trial_id=0):
    context = context or Collector()
    train_job(recipe, Job(Trial(trial_id, params or {}), fold, repeat), context, checkpoint.Progress())
    return context


def record(recipe, params=None, **where) -> FoldRecord:
    return train(recipe, params, **where).of(FoldRecord)[0]


def without_time(found: FoldRecord) -> dict:
    return {k: v for k, v in vars(found).items() if k not in {"fit_time", "memory_bytes"}}


def test_a_job_learns_and_tells_its_epochs(make):
    context = train(make(), LEARNS)
    [found] = context.of(FoldRecord)
    assert (
        found.score > 0.3
    )  # by chance 0.1; how far three epochs come depends on the backend's first weights
    assert found.score == found.metrics["accuracy"] == pytest.approx(found.history["test_accuracy"][-1])
    assert found.metrics["loss"] == pytest.approx(found.history["test_loss"][-1])
    assert set(found.history) == {"loss", "accuracy", "test_loss", "test_accuracy", "learning_rate"}
    assert all(len(values) == 3 for values in found.history.values())
    assert [(e.epoch, e.epochs) for e in context.of(EpochRecord)] == [(1, 3), (2, 3), (3, 3)]
    assert (found.epochs, found.best_epoch) == (3, 3)
    assert found.history["learning_rate"] == pytest.approx([0.03] * 3)
    assert found.n_parameters == 64 * 16 + 16 + 16 * 4 + 16 * 10 + 10


def test_the_numbers_are_those_of_seed_fold_repeat_and_params_alone(make):
    recipe, short = make(params={**SGD, "epochs": 2}), {"dropout": 0.3, "epochs": 1}
    base = record(recipe, {"dropout": 0.3})
    assert record(recipe, short).history["loss"] == base.history["loss"][:1]
    others = [
        record(recipe, short, fold=1),
        record(recipe, short, repeat=1),
        record(recipe, {**short, "dropout": 0.31}),
        record(make(name="seed", params=SGD, search={"folds": 3, "seed": 1}), short),
    ]
    assert all(other.history["loss"] != base.history["loss"][:1] for other in others)
    again = record(
        recipe, {"dropout": 0.3}, trial_id=7
    )  # after others in this process, and elsewhere in a search
    assert {**without_time(again), "job": base.job} == without_time(base)


CALLBACKS = {
    "early_stopping": {
        "monitor": "val_loss",
        "patience": 2,
        "min_delta": 0.1,
        "restore_best_weights": True,
    },
    "reduce_lr_on_plateau": {"monitor": "val_loss", "factor": 0.5, "patience": 1, "min_delta": 0.05},
}


@pytest.mark.backend
def test_callbacks_act_as_in_a_single_fit_of_keras(make):
    """Our epochs of one fit each against one plain fit with the same weights, order and callbacks."""
    averages = {"optimizer.use_ema": True, "optimizer.ema_momentum": 0.9}
    average = averages if keras.backend.backend() == "tensorflow" else {}
    recipe = make(params={"epochs": 15, "learning_rate": 0.05, **average}, callbacks=CALLBACKS)
    job = Job(Trial(0, {}), 0)
    found = record(recipe)
    candidate = Candidate.of(recipe, {})
    data = candidate.data
    keras.utils.set_random_seed(model_seed(recipe.seed, job))
    compiled = candidate.compile()
    job_module.initialize(candidate, compiled, model_seed(recipe.seed, job))
    fold = load_folds(recipe.paths.folds, len(data), "digits")[0][0]
    rows, val = inner_split(data, fold, 0.1, recipe.how, recipe.seed)
    targets = targets_of(data.labels, compiled.labels, classes_of(10), compiled.n_outputs)

    class Ordered(Batches):
        def set_epoch(self, epoch):
            self.rows = rows[data_order(recipe.seed, job, epoch, len(rows))]

    batches = Ordered(data.images, targets, rows, 100, Scaling(16))
    callbacks = make_callbacks(candidate.route, len(rows), recipe.base)
    ordering = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.set_epoch(epoch))
    history = compiled.model.fit(
        batches,
        validation_data=Batches(data.images, targets, val, 512, Scaling(16)),
        epochs=15,
        shuffle=False,
        verbose=0,
        callbacks=[ordering, *callbacks],
    ).history
    assert found.epochs == len(history["loss"]) < 15
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        np.testing.assert_allclose(found.history[name], history[name], rtol=1e-5)
    assert found.best_epoch == callbacks[0].best_epoch + 1
    measured = compiled.model.evaluate(
        Batches(data.images, targets, fold.test, 512, Scaling(16)), verbose=0, return_dict=True
    )
    assert found.metrics["loss"] == pytest.approx(measured["loss"], rel=1e-5)


@pytest.mark.backend
def test_a_stop_saves_after_the_epoch_at_hand_and_a_damaged_or_foreign_checkpoint_starts_anew(make):
    whole = without_time(record(make(params=SGD)))
    recipe = make(name="stopped", params=SGD)
    context = train(recipe, context=Collector(stop_after=2))
    assert context.of(StopRecord) == [StopRecord((0, 0, 0), 2)]
    assert not context.of(FoldRecord)
    assert without_time(record(recipe)) == whole

    recipe = make(name="damaged", params=SGD)
    train(recipe, context=Collector(stop_after=1))
    path = recipe.paths.checkpoint(0, 0, 0)
    path.write_bytes(path.read_bytes()[:1000])
    assert without_time(record(recipe)) == whole
    train(recipe, {"dropout": 0.4}, context=Collector(stop_after=1))
    assert without_time(record(recipe)) == whole
    with pytest.raises(checkpoint.StaleCheckpointError, match="another candidate"):
        checkpoint.Checkpoint(path, Trial(0, {}).identity)


def test_nan_is_recorded_with_epoch_and_learning_rate(make):
    context = Collector()
    job = Job(Trial(12, {"learning_rate": 1e30, "optimizer": "SGD"}), 2)
    train_pack(make(), Pack((job,)), context)
    [found] = context.of(FoldRecord)
    assert found.error["type"] == "TrialError"
    assert found.error["message"].startswith("trial 12, fold 2, epoch ")
    assert "loss is nan (learning_rate=1e+30)." in found.error["message"]
    assert found.epochs == len(found.history["loss"]) > 0
    assert np.isnan(found.history["loss"][-1])


def test_terminate_on_nan_stops_within_the_epoch(make, capfd):
    recipe = make(callbacks={"terminate_on_nan": True})
    context = Collector()
    train_pack(recipe, Pack((Job(Trial(0, {"learning_rate": 1e30, "optimizer": "SGD"}), 0),)), context)
    [found] = context.of(FoldRecord)
    assert found.error["type"] == "TrialError"
    assert "Invalid loss" not in "".join(capfd.readouterr())


def test_a_monitor_that_is_not_measured_fails_the_job(make):
    recipe = make(callbacks={"early_stopping": {"monitor": "val_f2", "mode": "max"}})
    with pytest.raises(
        TrialError, match=r"EarlyStopping monitors 'val_f2', which is not measured\. Known: accuracy"
    ):
        train(recipe)


def test_standardize_takes_its_statistics_from_the_training_folds(make):
    recipe = make(data={"train": "digits", "subset": 300, "standardize": True})
    candidate = Candidate.of(recipe, {})
    fold, compiled = candidate.folds[1], candidate.compile()
    samples = candidate.samples(compiled, (fold.train, None, fold.test), candidate.learnt(fold))
    train_rows = samples.scaling(samples.images[fold.train])
    assert float(train_rows.mean()) == pytest.approx(0, abs=1e-5)
    assert float(train_rows.std()) == pytest.approx(1, abs=1e-4)
    assert record(recipe, LEARNS).score > 0.5


@pytest.mark.parametrize(
    "objective",
    [
        *("loss", "f1_macro", "roc_auc_ovr", "f1_score"),
        pytest.param("top_k_categorical_accuracy", marks=pytest.mark.backend),
    ],
)
def test_objectives(make, objective):
    recipe = make(params={"epochs": 1}, search={"folds": 3, "objective": objective})
    found = record(recipe)
    assert found.score == found.metrics[objective]
    assert found.score > 0
    if objective == "loss":
        assert found.score == pytest.approx(found.history["test_loss"][-1])
    if objective == "top_k_categorical_accuracy":
        assert found.score > found.metrics["accuracy"]
        assert found.score == pytest.approx(found.history["test_top_k_categorical_accuracy"][-1])


@pytest.mark.parametrize(
    "loss", ["categorical_crossentropy", "mean_squared_error", "sparse_categorical_crossentropy"]
)
def test_labels_take_the_form_that_the_loss_wants(make, loss):
    assert record(make(), {"loss": loss, **LEARNS}).score > 0.3


OWN = """
import keras

LOSS = "sparse_categorical_crossentropy"

def net(input_shape, n_classes, width=16, last="softmax", outputs=None):
    return keras.Sequential([
        keras.Input(input_shape), keras.layers.Flatten(),
        keras.layers.Dense(width, activation="relu"),
        keras.layers.Dense(outputs or n_classes, activation=last),
    ])

def compiled(input_shape, n_classes, learning_rate=0.01):
    model = net(input_shape, n_classes)
    model.compile(keras.optimizers.Adam(learning_rate), LOSS, metrics=["accuracy"])
    return model

def unbuilt(n_classes):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(n_classes, activation="softmax")])

def pretrained(input_shape, n_classes):
    model = net(input_shape, n_classes)
    model.layers[1].bias.assign(model.layers[1].bias + 0.5)
    return model
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return lambda name: f"{path}:{name}"


@pytest.mark.parametrize("name", ["net", pytest.param("compiled", marks=pytest.mark.backend), "unbuilt"])
def test_own_functions_compiled_or_not(make, own, name):
    found = record(make(model=own(name), params={"epochs": 5, "learning_rate": 0.02}))
    assert found.history["loss"][-1] < 0.9 * found.history["loss"][0]


def test_a_model_file_that_changes_during_the_search_is_refused(make, own, tmp_path):
    recipe = make(model=own("net"), params={"epochs": 1})
    before = record(recipe)
    (tmp_path / "own.py").write_text(OWN.replace("width=16", "width=32"))
    assert record(recipe, fold=1).n_parameters == before.n_parameters  # as it was loaded
    loading._loaded.clear()
    with pytest.raises(ChangedError, match=r"own\.py:net: the source changed while"):
        train(recipe)


def test_logits_get_a_loss_from_logits_and_probabilities(make, own):
    recipe = make(model=own("net"))
    found = record(recipe, {"last": "linear", **LEARNS})
    assert found.score > 0.4
    stored = np.load(recipe.paths.prediction(0, 0, 0))
    np.testing.assert_allclose(stored.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.backend
def test_the_device_is_told():
    assert probe.device() == "cpu" or probe.device().startswith("gpu")


def test_a_probe_tells_whether_a_model_scales_its_input(make, own):
    """Of one that was built by a symbol too; weights that it was given make it one of another input."""
    context = Collector()
    for name in ("net", "unbuilt", "pretrained"):
        probe.probe(make(model=own(name), name=name), {}, context)
    assert [found.scales_input for found in context.payloads] == [False, False, None]


def test_a_probe_tells_sizes_and_what_is_not_measured(make):
    context = Collector()
    probe.probe(make(), {"dropout": 0.3}, context)
    probe.probe(make(callbacks={"early_stopping": {"monitor": "val_f2"}}), {}, context)
    good, bad = context.payloads
    assert (good.n_parameters, good.error, good.device) == (1274, None, probe.device())
    assert bad.error["message"].startswith(
        "callbacks.early_stopping.monitor is 'val_f2', which is not measured."
    )
