"""Nets that learn nothing, and how that is told."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from fakes import Collector, classes_of, prepare_run
from sklearn.utils.class_weight import compute_class_weight

from kerasgrid.jobs.objective import find_objective
from kerasgrid.jobs.route import route
from kerasgrid.models.signature import Signature
from kerasgrid.records import FoldRecord, Job, Pack, Trial
from kerasgrid.training.compiling import class_weights, compile_model
from kerasgrid.training.health import Health, at_chance, chance_level, find_reason, one_class, one_number
from kerasgrid.training.hooks import hooks_of
from kerasgrid.training.job import train_pack

pytestmark = pytest.mark.slow

COUNTS = np.array([50, 30, 20])


def watched(losses, chance=1.0, stop_after=None, largest=1.0, restored=None):
    health = Health(chance, stop_after)
    model = SimpleNamespace(trainable_variables=[np.array([largest, -0.5])], stop_training=False)
    health.set_model(model)
    for epoch, loss in enumerate(losses):
        health.on_epoch_end(epoch, {"loss": loss})
        if model.stop_training:
            break
    if restored is not None:
        model.trainable_variables = [np.array([restored])]
    health.on_train_end()
    return health, epoch + 1, model.stop_training


def told(*args, epochs=10, predicted=None, last=None, **kwargs):
    return find_reason([watched(*args, **kwargs)[0]], predicted, epochs, last)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, {0: 0.5, 1: 2.0, 2: 4.0}])
def test_the_chance_level_is_the_least_loss_of_one_prediction_for_all(smoothing, weights):
    found = chance_level("categorical_crossentropy", COUNTS, weights, smoothing)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    targets = np.eye(3)[np.repeat(np.arange(3), COUNTS)]
    each = None if weights is None else np.array([weights[c] for c in targets.argmax(1)])

    def of(prediction):
        return loss(targets, keras.ops.broadcast_to(prediction, (100, 3)), sample_weight=each)

    tried = np.random.default_rng(0).dirichlet(np.ones(3), 500).astype("float32")
    values = np.asarray(keras.ops.vectorized_map(of, tried))
    assert found <= min(values) + 1e-6
    assert min(values) < found + 0.02


@pytest.mark.parametrize("loss", ["mean_squared_error", "binary_crossentropy", "mine"])
def test_no_chance_level_is_known_of_other_losses(loss):
    assert chance_level(loss, COUNTS) is None


def test_two_classes_have_a_chance_level_of_binary_crossentropy():
    assert chance_level("binary_crossentropy", np.array([50, 50])) == pytest.approx(np.log(2))


def test_a_loss_at_chance_level_for_five_epochs_is_told():
    assert told([1.0] * 4) is None
    assert told([1.0] * 4 + [0.5]) is None
    assert told([1.0] * 5) == "loss at chance level, 1 or more, for 5 epochs"
    assert told([3.0, 7.0, 3.1, 2.995, 3.2, 3.0]).endswith("for 6 epochs")
    assert told([5.0] * 9, chance=None) is None


def test_a_loss_that_falls_is_not_dead():
    assert told([1.5, 1.4, 1.3, 1.2, 1.1, 1.05]) is None
    assert told([9.0, 5.0, 3.0, 3.5, 3.0, 3.2, 2.999, 3.1]).endswith("for 5 epochs")
    assert told([3.39, 3.36, 3.47, 3.44, 3.33, 3.37], chance=2.3).endswith("for 6 epochs")
    assert at_chance([1.5, 1.495, 1.49], 1.0) == 3
    assert at_chance([1.5, 1.49, 1.48, 1.46, 1.45, 1.4], 1.0) == 0
    assert at_chance([1.5, 1.4, 1.41, 1.42], 1.0) == 2


def test_the_epoch_whose_weights_were_restored_counts():
    diverged = [0.5, 0.4, 7.0, 8.0, 9.0, 9.0, 9.0]
    assert told(diverged, largest=1e9).startswith("weights exploded")
    assert told(diverged, largest=1e9, restored=0.5, last=2) is None
    assert told(diverged, restored=0.5).startswith("loss at chance level")


def test_a_short_run_is_dead_after_all_of_its_epochs_and_three_at_least():
    assert told([1.0] * 3, epochs=3) is not None
    assert told([1.0] * 3, epochs=4) is None
    assert told([1.0] * 2, epochs=2) is None


def test_exploded_weights_are_told():
    assert told([0.5], largest=2e6) == "weights exploded: the largest is 2e+06"
    assert told([0.5], largest=float("nan")) == "weights exploded: the largest is inf"
    assert told([0.5], largest=9e5) is None


def test_training_ends_on_demand_alone():
    assert watched([1.0] * 9)[1:] == (9, False)
    assert watched([1.0] * 9, stop_after=5)[1:] == (5, True)
    assert watched([1.0] * 9, stop_after=2)[1:] == (2, True)
    assert watched([0.1] * 9, stop_after=2, largest=1e9)[1:] == (1, True)
    assert watched([0.1] * 9, stop_after=2)[1:] == (9, False)


def test_one_class_for_all_is_told():
    outputs = np.tile([0.1, 0.8, 0.1], (40, 1))
    assert one_class(outputs, np.arange(40) % 3) == "one class is predicted for all 40 held-out samples"
    assert one_class(outputs, np.ones(40)) is None
    assert one_class(np.eye(3), np.arange(3)) is None


@pytest.mark.parametrize(
    ("predicted", "told"),
    [
        ([[5.0, 1.0], [5.0, 1.0], [5.0, 1.0]], "the same numbers are predicted for all 3 held-out samples"),
        ([[5.0, 1.0], [5.0, 1.1], [5.0, 1.0]], None),
        (
            [[1e6, 1.0], [1e6 + 0.1, 1.0], [1e6, 1.0]],
            "the same numbers are predicted for all 3 held-out samples",
        ),
        ([[0.1, 1.0], [0.2, 1.0], [0.15, 1.0]], None),
    ],
)
def test_one_number_for_all_is_told(predicted, told):
    true = np.array([[0.0, 5.0], [1.0, 7.0], [2.0, 9.0]])
    assert one_number(np.array(predicted), true) == told
    assert one_number(np.array(predicted), np.ones((3, 2))) is None  # there is no more to learn


def test_of_a_target_that_does_not_vary_nothing_is_asked():
    true = np.array([[0.0, 5.0], [1.0, 5.0]])
    said = one_number(np.array([[3.0, 4.9], [3.0, 5.2]]), true)
    assert said == "the same number is predicted for all 2 held-out samples"
    assert one_number(np.array([[3.0, 5.0], [3.5, 5.0]]), true) is None
    assert told([1.0] * 5, predicted="one class").startswith("loss at chance")
    assert told([0.1], predicted="one class") == "one class"
    assert find_reason([], None, 5) is None


@pytest.mark.parametrize("penalty", ["kernel_regularizer", "activity_regularizer"])
def test_no_chance_level_is_known_beside_penalties(penalty):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="softmax", **{penalty: "l2"})]
    )
    plan = route({}, Signature(()), {})
    compiled = compile_model(model, plan, find_objective("accuracy"), classes_of(3))
    [health] = hooks_of(plan, compiled, np.repeat([0, 1, 2], COUNTS), classes_of(3), ".")
    assert health.chance is None
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    compiled = compile_model(plain, plan, find_objective("accuracy"), classes_of(3))
    [health] = hooks_of(plan, compiled, np.repeat([0, 1, 2], COUNTS), classes_of(3), ".")
    assert health.chance == pytest.approx(chance_level("sparse_categorical_crossentropy", COUNTS))


def test_balanced_weights_are_scikit_learns():
    labels = np.repeat([0, 1, 2], COUNTS)
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert list(class_weights("balanced", labels, "abc").values()) == pytest.approx(list(wanted))
    assert class_weights({"b": 2}, labels, ("a", "b", "c")) == {0: 1.0, 1: 2.0, 2: 1.0}
    assert class_weights({"7": 2}, labels, (3, 7)) == {0: 1.0, 1: 2.0}
    assert class_weights(None, labels, "abc") is None


def test_sopcnn_as_published_is_dead_in_small_and_its_cure_is_not(tmp_path):
    """Dropout 0.8 before the softmax and Adam 0.01 (Assiri 2020), on few small images; fewer units cure."""
    from kerasgrid.executors import Inline
    from kerasgrid.planning.packing import Graphs

    prepared, recipe = prepare_run(
        {
            "name": "sopcnn",
            "data": {"train": "digits", "scale": 16, "subset": 300},
            "model": "sopcnn",
            "params": {"batch_size": 10, "epochs": 4},
            "search": {"folds": 2},
            "training": {"stop_dead": 3},
        },
        tmp_path,
    )
    published = {"dropout": 0.8, "learning_rate": 0.01}
    cured = {"dropout": 0.4, "learning_rate": 0.001, "dense_units": [512, 512]}
    jobs = [Job(Trial(i, params), 0) for i, params in enumerate([published, cured])]
    graphs = Graphs(prepared, recipe, Inline()).of([job.trial for job in jobs])
    context = Collector()
    for job in jobs:
        train_pack(recipe, Pack((job,), (graphs[job.trial.id],)), context)
    dead, alive = context.of(FoldRecord)
    assert dead.error is alive.error is None
    assert dead.dead.startswith("loss at chance level, 2.30")
    assert dead.epochs == 3
    assert alive.epochs == 4
    assert alive.dead is None or alive.dead.startswith("one class")  # BatchNorm's averages are young
    assert alive.history["loss"][-1] < 0.5


def test_a_net_that_learns_nothing_is_ended_in_keras_own_fit_too(tmp_path):
    _, recipe = prepare_run(
        {
            "name": "fc",
            "data": {"train": "digits", "scale": 16, "subset": 400},
            "model": "fc",
            "params": {
                "batch_size": 20,
                "epochs": 4,
                "units": [16],
                "dropout": 0,
                "batch_norm": False,
                "optimizer": "SGD",
            },
            "search": {"folds": 2},
            "training": {"stop_dead": 3},
        },
        tmp_path,
    )
    context = Collector()
    for trial, rate in enumerate([1e-9, 0.1]):
        train_pack(recipe, Pack((Job(Trial(trial, {"learning_rate": rate}), 0),)), context)
    dead, alive = context.of(FoldRecord)
    assert dead.error is alive.error is None
    assert dead.dead.startswith("loss at chance level, 2.")
    assert (dead.epochs, alive.epochs) == (3, 4)
    assert alive.dead is None
