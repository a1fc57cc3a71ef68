"""Fits in stages: against Keras's own with a compile between, cut off anywhere, waiting, and at the end."""

from __future__ import annotations

import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from fakes import Collector, Crash, Crashing, StopAfter, classes_of, crash, prepare_run, without_times
from whole_jobs import Small, assert_alike, finished, result

import kerasgrid as kg
from kerasgrid.data.in_memory import NOTHING
from kerasgrid.data.keeping import OUTPUTS
from kerasgrid.errors import ModelError
from kerasgrid.executors import Inline
from kerasgrid.io import cache_folder
from kerasgrid.models import keras_private
from kerasgrid.planning.packing import Graphs
from kerasgrid.records import EpochRecord, FoldRecord, Job, Pack, ProbeRecord, RungRecord, StopRecord, Trial
from kerasgrid.seeds import data_order, model_seed
from kerasgrid.training import job as job_module
from kerasgrid.training.batches import Batches, Scaling, targets_of
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.compiling import Compiled, FreshOptimizer
from kerasgrid.training.learning_rate import rate_of
from kerasgrid.training.probe import probe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eager")]

JOB = Job(Trial(0, {}), 0)
TWO = [{"trainable": "head", "epochs": 2}, {"trainable": "all", "epochs": 3, "learning_rate": 0.001}]
STOPPING = {"early_stopping": {"monitor": "loss", "min_delta": 10.0, "restore_best_weights": True}}
"""By which each stage ends after its second epoch, and goes back to its first."""


def on_a_base(input_shape, n_classes):
    """Builds a net whose head is on a model within, that normalises and drops."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(inputs))
    x = keras.layers.Dropout(0.5, name="base_drop")(keras.layers.BatchNormalization(momentum=0.5)(x))
    base = keras.Model(inputs, x, name="base")
    inputs = keras.Input(input_shape)
    x = keras.layers.Dropout(0.25, name="drop")(base(inputs))
    return keras.Model(inputs, keras.layers.Dense(n_classes, activation="softmax", name="scores")(x))


@pytest.fixture
def make(tmp_path):
    def of(name="run", interval_s=1e9, stages=TWO, **changes):
        config = {
            "name": name,
            "data": {"train": "digits", "scale": 16, "subset": 100},
            "model": on_a_base,
            "params": {"batch_size": 30, "learning_rate": 0.01},
            "stages": stages,
            "search": {"folds": 2},
        }
        return Small(*prepare_run(config | changes, tmp_path, interval_s, NOTHING))

    return of


def trained(small, job=JOB, **changes) -> FoldRecord:
    return small.train(Pack((job,), **changes)).records[job.id]


@pytest.mark.backend
@pytest.mark.parametrize("callbacks", [{}, STOPPING])
def test_stages_are_fits_of_keras_with_a_compile_between(make, callbacks):
    small = make(callbacks=callbacks)
    found = trained(small)
    recipe, fold = small.recipe, small.prepared.folds[0]
    candidate = Candidate.of(recipe, {})
    seed = model_seed(recipe.seed, JOB)
    keras.utils.set_random_seed(seed)
    compiled = candidate.compile()
    job_module.initialize(candidate, compiled, seed)
    model, data = compiled.model, candidate.data
    targets = targets_of(data.labels, compiled.labels, recipe.target, compiled.n_outputs)

    class Ordered(Batches):
        def begin(self, epoch, logs):
            self.rows = fold.train[data_order(recipe.seed, JOB, epoch + before, len(fold.train))]

    base, history, before = model.get_layer("base"), [], 0
    drop = base.get_layer("base_drop")
    for is_frozen, epochs, rate in ((True, 2, 0.01), (False, 3, 0.001)):
        for layer in (base, *base.layers):
            layer.trainable = not is_frozen
        drop.rate = 0.0 if is_frozen else 0.5
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        statistics = [np.array(value) for value in base.non_trainable_weights[-2:]]
        batches = Ordered(data.images, targets, fold.train, 30, Scaling(16))
        callback = keras.callbacks.LambdaCallback(on_epoch_begin=batches.begin)
        own = [keras.callbacks.EarlyStopping(**callbacks["early_stopping"])] if callbacks else []
        told = model.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=[callback, *own])
        history += told.history["loss"]
        before += len(told.epoch)
        if is_frozen:
            np.testing.assert_array_equal(statistics, base.non_trainable_weights[-2:])
    wanted = [2, 2] if callbacks else [2, 3]
    assert list(found.stages) == wanted
    assert found.restored_stages == ((1, 1) if callbacks else None)
    assert (found.epochs, found.best_epoch) == (sum(wanted), 3 if callbacks else 5)
    np.testing.assert_allclose(found.history["loss"], history, rtol=1e-6)
    np.testing.assert_allclose(found.history["learning_rate"], [0.01] * 2 + [0.001] * wanted[1])
    measured = model.evaluate(
        Batches(data.images, targets, fold.test, 50, Scaling(16)), verbose=0, return_dict=True
    )
    assert found.metrics["loss"] == pytest.approx(measured["loss"], rel=1e-6)


CUTS = (1, 3, 1, 2)
"""Checkpoints after which sessions end: in the first stage, between the two, and twice in the second."""
PLATEAU = {"reduce_lr_on_plateau": {"monitor": "loss", "min_delta": 10.0, "factor": 0.5, "patience": 1}}


@pytest.mark.parametrize(("callbacks", "first_waits"), [("anew", True), ("continue", False)])
def test_a_fit_that_is_cut_off_or_waits_in_any_stage_ends_in_the_same_bits(make, callbacks, first_waits):
    stages = [TWO[0], {"trainable": "all", "epochs": 3, "callbacks": callbacks}]
    given = {"stages": stages, "callbacks": PLATEAU}
    whole = trained(make(**given))
    rates = [0.01, 0.01] + ([0.01, 0.01, 0.005] if callbacks == "anew" else [0.005, 0.0025, 0.00125])
    assert whole.history["learning_rate"] == pytest.approx(rates)

    small = make("cut", 0.0, **given)  # a checkpoint after each of two steps an epoch, but the last one
    found = finished(small, Pack((JOB,)), CUTS)
    assert result(found[JOB.id]) == result(whole)

    small = make("pauses", **given)
    for epoch, stages in ((1, []), (2, [2]), (3, [2]), (4, [2])):  # it waits and is stopped in turn
        if first_waits == epoch % 2:
            [reached] = small.train(Pack((JOB,), until=epoch)).of(RungRecord)
            assert (reached.reached.epochs, list(reached.reached.stages)) == (epoch, stages)
        else:
            [stopped] = small.train(Pack((JOB,)), Collector(stop_after=1)).of(StopRecord)
            assert stopped.epoch == epoch
    context = small.train(Pack((JOB,)))
    assert [(one.epoch, one.epochs) for one in context.of(EpochRecord)] == [(5, 5)]
    assert result(context.records[JOB.id]) == result(whole)


def recurrent(input_shape, n_classes):
    rows = keras.layers.Reshape((8, 8))
    scores = keras.layers.Dense(n_classes, activation="softmax", name="scores")
    return keras.Sequential([keras.Input(input_shape), rows, keras.layers.LSTM(3, dropout=0.3), scores])


def test_a_checkpoint_before_a_stage_lets_no_rnn_drop_otherwise(make):
    given = {"model": recurrent, "stages": [{"trainable": "all", "epochs": 1}] * 2}
    assert result(trained(make("often", 0.0, **given))) == result(trained(make(**given)))


class Boosted(keras.optimizers.SGD):
    """Takes what its config does not tell."""

    def __init__(self, learning_rate=0.01, boost=1.0, **given):
        super().__init__(learning_rate, **given)


class Unmade(keras.optimizers.SGD):
    """Tells more than it takes."""

    def get_config(self):
        return {**super().get_config(), "boost": 2}


def compiled_with(optimizer):
    model = on_a_base((8, 8, 1), 10)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Boosted, "made of its get_config, which lacks boost: add it there"),
        (Unmade, "made of its get_config, of which none can be made"),
    ],
)
def test_an_optimizer_that_cannot_be_made_anew_is_refused(kind, message):
    with pytest.raises(ModelError, match=message):
        FreshOptimizer(compiled_with(kind(0.1)))


def test_an_optimizer_within_has_the_rate_of_the_stage_and_decays_what_it_did():
    own = keras.optimizers.AdamW(0.1, beta_1=0.8)
    own.exclude_from_weight_decay(var_names=["bias"])
    model = compiled_with(keras.optimizers.LossScaleOptimizer(own))
    fresh = FreshOptimizer(model)
    fresh.compile(Compiled(model, "sparse", 10, False, classes_of(10)), 0.01)
    inner = model.optimizer.inner_optimizer
    assert (rate_of(model.optimizer), rate_of(inner), inner.beta_1) == (pytest.approx(0.01),) * 2 + (0.8,)
    assert keras_private.excludes_from_decay(inner)


def on_a_given_base(input_shape, n_classes):
    """Builds the same net with weights that are given to the model within."""
    model, numbers = on_a_base(input_shape, n_classes), np.random.default_rng(0)
    base = model.get_layer("base")
    base.set_weights([np.abs(numbers.normal(0, 0.3, weight.shape)) for weight in base.get_weights()])
    return model


def test_each_stage_takes_the_outputs_of_what_is_frozen_in_it_and_is_cut_off_likewise(
    make, tmp_path, monkeypatch
):
    """The first those of the model within, the second those of its Dense layer."""
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    stages = [TWO[0], {"trainable": "last 4", "epochs": 3, "learning_rate": 0.001}]
    given = {"model": on_a_given_base, "stages": stages}
    stepwise, once = trained(make("stepwise", **given, training={"frozen": "off"})), trained(make(**given))
    assert_alike(once, stepwise, 1e-6)
    assert (once.n_parameters, once.stages) == (stepwise.n_parameters, (2, 3))
    assert len([*(cache_folder() / OUTPUTS).glob("[!.]*")]) == 2
    small = make("cut", 0.0, **given)
    found = finished(small, Pack((JOB,)), CUTS)
    assert result(found[JOB.id]) == result(once)
    small = make("waits", **given)
    for until in (1, 2, 4):
        small.train(Pack((JOB,), until=until))
    assert result(trained(small)) == result(once)


def test_a_fit_begins_anew_where_the_cache_has_no_room_for_outputs_any_more(make, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    wanted = trained(make(model=on_a_given_base, training={"frozen": "off"}))
    small = make("cut", 0.0, model=on_a_given_base)
    with pytest.raises(Crash):
        small.train(Pack((JOB,)), Crashing(2))
    monkeypatch.setenv("KERASGRID_CACHE_LIMIT", "1KB")
    found = trained(small)
    assert found.error is None
    assert_alike(found, wanted, 1e-6)


def test_stages_with_what_no_pack_trains(make):
    found = trained(make(model=on_a_given_base, training={"accumulate": 2}))
    assert (found.error, found.stages) == (None, (2, 3))


@pytest.mark.parametrize(
    ("second", "wanted"),
    [  # a half cosine over 2 epochs of 2 steps, and over 1; or over all 3 from the rate of the second
        ({"callbacks": "anew", "learning_rate": 0.002}, (0.01, 4, 0.002, 2)),
        ({"callbacks": "continue", "learning_rate": 0.002}, (0.01, 6, 0.002, 6)),
        ({"callbacks": "continue"}, (0.01, 6, 0.01, 6)),
    ],
)
def test_schedules_begin_anew_or_go_on(make, second, wanted):
    stages = [TWO[0], {"trainable": "last 1", "epochs": 1, **second}]
    given = {"callbacks": {"learning_rate_scheduler": {"schedule": "cosine"}}, "stages": stages}
    found = trained(make(**given)).history["learning_rate"]
    high, total, other, left = wanted
    steps = [(1, total, high), (3, total, high), (5 if total == 6 else 1, left, other)]
    assert found == pytest.approx([h * (1 + np.cos(np.pi * step / n)) / 2 for step, n, h in steps])


def test_what_no_stage_can_train_is_told_before(make):
    names = ["head", "scorse", "drpo", "scorse", "last 1"]
    small, context = make(stages=[{"trainable": name, "epochs": 1} for name in names]), Collector()
    probe(small.recipe, {}, context)
    [found] = context.of(ProbeRecord)
    known = "Known: head, all, last N, base, and its 6 layers by their names."
    assert re.sub(r"functional\w*: ", "", found.error["message"]) == " ".join(
        f"of stages, '{name}' is no layer of it, nor a model within. Did you mean '{meant}'? {known}"
        for name, meant in (("scorse", "scores"), ("drpo", "drop"))
    )
    graphs = Graphs(make().prepared, make().recipe, Inline()).of([JOB.trial])
    assert graphs[0].reason == "it is trained in stages, each of them another graph"


def test_a_search_over_stages_that_is_killed_in_each_and_the_model_of_all_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {
        "name": "stages",
        "data": {"train": "digits", "scale": 16, "subset": 100},
        "model": on_a_base,
        "params": {"batch_size": 40},
        "stages": [TWO[0], {"trainable": "last 1", "epochs": 1, "callbacks": "continue"}, TWO[1]],
        "callbacks": {"early_stopping": {**STOPPING["early_stopping"], "monitor": "val_loss", "patience": 1}},
        "space": {"stages.3.epochs": [1, 3]},
        "search": {"folds": 2, "val": 0.2},
        "training": {"batch_norm": "debiased"},
        "executor": {"kind": "inline"},
    }
    results, cut = kg.search(config), tmp_path / "cut"
    for n in (1, 4):  # within the first stage of the first fit, and within its third one
        with pytest.raises(Crash):
            kg.search(config, results=cut, observer=StopAfter(n, crash), checkpoint_interval_s=0.0)
    assert without_times(kg.search(config, results=cut).data) == without_times(results.data)
    one, three = sorted(results.trials, key=lambda row: row["params"]["stages.3.epochs"])
    assert [fold["stages"] for fold in one["folds"]] == [[2, 1, 1]] * 2
    assert [fold["stages"] for fold in three["folds"]] == [[2, 1, 2]] * 2
    assert [fold["restored_stages"] for fold in three["folds"]] == [[1, 0, 1]] * 2
    fitted = kg.fit(results, trial=three["id"], model=on_a_base)
    [card] = fitted.cards
    assert card["how"] == (
        "2 epochs in stages of 1, 0 and 1, of each the median over folds; without early_stopping"
    )
    assert (card["epochs"], card["stages"]) == (2, [1, 0, 1])
    model = keras.models.load_model(fitted.models[0])
    rates = {layer.name: layer.rate for layer in model._flatten_layers() if hasattr(layer, "rate")}
    assert rates == {"base_drop": 0.5, "drop": 0.25}
