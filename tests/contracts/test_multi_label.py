"""Samples that have any number of labels: from the data to the results, on every backend."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest
from asking import ask_in_this_process
from fakes import Collector, prepare_run
from sklearn.metrics import f1_score

from kerasgrid.checks.prepared import prepare
from kerasgrid.config.sections import DataConfig
from kerasgrid.data.in_memory import Given, dataset_from_arrays
from kerasgrid.data.load import load_data
from kerasgrid.driver.comparing import compare
from kerasgrid.driver.search import search
from kerasgrid.errors import ConfigError, DataError, ModelError
from kerasgrid.records import Job, Pack, Trial
from kerasgrid.report.writing import Report
from kerasgrid.run.paths import RunPaths
from kerasgrid.training import job, packs
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.health import chance_of_labels, one_class

pytestmark = pytest.mark.slow

N, N_LABELS = 240, 3


@pytest.fixture(scope="module")
def arrays():
    """Images in which each label is a bright third, and any number of them is."""
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 2, (N, N_LABELS))
    images = numbers.integers(0, 60, (N, 6, 6))
    for place in range(N_LABELS):
        images[:, 2 * place : 2 * place + 2] += 150 * labels[:, place, None, None]
    return images.astype(np.uint8), labels


PARAMS = {"units": [16], "batch_norm": False, "dropout": 0.0, "batch_size": 8, "epochs": 3}
PARAMS |= {"optimizer": "SGD", "optimizer.momentum": 0.9, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def config(arrays, tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(file, images=arrays[0], labels=arrays[1])
    return {
        "name": "several",
        "data": {"train": str(file), "scale": 255, "multi_label": True},
        "model": "fc",
        "params": PARAMS,
        "search": {"folds": 2},
        "executor": {"kind": "inline"},
    }


@pytest.fixture(scope="module")
def found(config, tmp_path_factory):
    return search(config, results=tmp_path_factory.mktemp("found"))


def trained(config, folder):
    """Trains a job of a search; returns its record and the recipe."""
    recipe, collector = prepare_run(config, folder)[1], Collector()
    job.train_pack(recipe, Pack((Job(Trial(0, {}), 0),)), collector)
    (record,) = collector.records.values()
    return record, recipe


def test_data_are_read_and_split_by_all_labels(arrays, tmp_path):
    np.savez(tmp_path / "data.npz", images=arrays[0], labels=arrays[1])
    data = load_data(DataConfig(train=str(tmp_path / "data.npz"), multi_label=True, subset=100))
    assert (data.labels.shape, data.labels.dtype, data.classes) == ((100, 3), np.uint8, (0, 1, 2))
    assert data.target.is_multi_label
    assert "100 of 240 samples, stratified by all labels" in data.report[0]
    prepared = prepare({"data": {"multi_label": True}, "model": "fc", "search": {"folds": 4}}, Given(*arrays))
    assert sorted(np.concatenate([fold.test for fold in prepared.folds])) == list(range(N))
    shares = [arrays[1][fold.test].mean(axis=0) for fold in prepared.folds]
    assert np.abs(shares - arrays[1].mean(axis=0)).max() < 0.03


@pytest.mark.backend
def test_a_search_scores_labels_one_by_one(found, arrays):
    (trial,) = found.trials
    assert trial["state"] == "complete"
    assert trial["mean_test_score"] > 0.95
    with np.load(RunPaths(found.file.parent, "several").oof) as oof:
        said = oof["trial_0"] >= 0.5
    assert trial["mean_test_score"] == pytest.approx(np.mean(said == arrays[1]), abs=1e-6)
    assert trial["folds"][0]["history"]["test_accuracy"][-1] == pytest.approx(
        trial["folds"][0]["test_score"], abs=1e-6
    )
    assert "several labels each" in Report(found.file).html()


@pytest.mark.parametrize("objective", ["f1_macro", pytest.param("f1_score", marks=pytest.mark.backend)])
def test_scorers_and_metrics_score_labels(config, arrays, tmp_path, objective):
    little = {**PARAMS, "epochs": 1, "learning_rate": 0.03}
    changes = {"search": {"folds": 2, "objective": objective}, "params": little}
    record, recipe = trained(config | changes, tmp_path)
    said, rows = np.load(recipe.paths.prediction(*record.job)) >= 0.5, np.load(recipe.paths.folds)["test_0"]
    wanted = f1_score(arrays[1][rows], said, average="macro")
    assert 0.1 < wanted < 1
    assert record.score == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, None),
        ({"loss": "binary_focal_crossentropy", "loss.apply_class_balancing": True}, None),
        ({"loss": "dice"}, "the loss Dice is of a whole batch, padding included"),
    ],
)
def test_a_program_trains_them_by_any_loss_that_is_a_mean_over_samples(config, tmp_path, params, reason):
    candidate = Candidate.of(prepare_run(config, tmp_path)[1], params)
    compiled = candidate.compile()
    assert compiled.model.layers[-1].activation is keras.activations.sigmoid
    graph = packs.graph_of(candidate, compiled)
    assert (graph.key is None, graph.reason) == (reason is not None, reason)


@pytest.mark.parametrize(
    "loss", ["categorical_crossentropy", "categorical_focal_crossentropy", "kl_divergence"]
)
def test_losses_of_one_class_are_refused(config, tmp_path, loss):
    candidate = Candidate.of(prepare_run(config, tmp_path)[1], {"loss": loss})
    with pytest.raises(
        ModelError, match=f"the loss {loss} is of one class a sample, and with data.multi_label"
    ):
        candidate.compile()


def softmax(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )


def logits(input_shape, n_classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(n_classes)])


def test_logits_are_read_as_such_and_softmax_is_refused(config, tmp_path):
    own = {name: value for name, value in PARAMS.items() if name not in ("units", "batch_norm", "dropout")}
    for model, message in ((softmax, "ends in softmax, which chooses one of 3 classes"), (logits, None)):
        record, _ = trained(config | {"model": model, "params": own}, tmp_path)
        if message is None:
            assert record.error is None
            assert record.score > 0.9
        else:
            assert message in record.error["message"]


def compiled(input_shape, n_classes):
    model = keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(n_classes, activation="sigmoid"),
        ]
    )
    model.compile("sgd", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def test_the_curve_of_a_compiled_model_is_of_labels_too(config, tmp_path):
    record, _ = trained(config | {"model": compiled, "params": {"epochs": 2}}, tmp_path)
    assert record.error is None
    assert record.history["test_accuracy"][-1] == pytest.approx(record.score, abs=1e-6)


@pytest.mark.backend
def test_autokeras_takes_them(config, found, tmp_path, monkeypatch):
    ask_in_this_process(monkeypatch)
    shutil.copytree(found.file.parent, tmp_path, dirs_exist_ok=True)
    autokeras = {"max_trials": 1, "epochs": 4, "time": "10min"}
    found = compare(config | {"autokeras": autokeras}, results=tmp_path)
    (trial,) = found.autokeras.trials
    assert trial["state"] == "complete"
    assert trial["mean_test_score"] > 0.6
    for fold in trial["folds"]:
        best = fold["history"]["test_accuracy"][fold["best_epoch"] - 1]
        assert best == pytest.approx(fold["test_score"], abs=1e-6)
    model = keras.models.load_model(found.models[0])
    assert model.output_shape == (None, 3)
    assert model.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"train": "digits", "multi_label": True}}, "data.multi_label: is for labels of an .npz"),
        ({"training": {"class_weight": "balanced"}}, "training.class_weight: is a weight of each class"),
        ({"search": {"objective": "top_k_accuracy"}}, "cannot score several labels a sample"),
        ({"search": {"objective": "categorical_accuracy"}}, "is of one class a sample, and with data.multi"),
        ({"search": {"objective": "sparse_top_k_categorical_accuracy"}}, "take accuracy, f1_macro or binary"),
    ],
)
def test_what_does_not_go_with_them_is_told(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        prepare(config | changes)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 1], [2, 1]], "row 1 .counted from 0. holds other numbers than 0 and 1"),
        ([0, 1], "labels of shape .2,."),
        ([[0, 1], [1, 1]], "label 1 is 1 for all 2 samples"),
    ],
)
def test_labels_that_are_none_are_told(labels, message):
    with pytest.raises(DataError, match=message):
        dataset_from_arrays(np.zeros((2, 4, 4)), labels, config=DataConfig(multi_label=True))


def test_one_hot_rows_are_one_class_a_sample_unless_told():
    rows = np.eye(3)[[0, 1, 2, 0]]
    assert dataset_from_arrays(np.zeros((4, 4, 4)), rows).labels.tolist() == [0, 1, 2, 0]
    with pytest.raises(DataError, match=r"data\.multi_label: true is for several"):
        dataset_from_arrays(np.zeros((2, 4, 4)), [[1, 1], [0, 1]])


def test_nets_that_learn_nothing_are_known():
    shares = np.array([0.5, 0.25])
    wanted = -np.mean(shares * np.log(shares) + (1 - shares) * np.log(1 - shares))
    assert chance_of_labels("binary_crossentropy", shares) == pytest.approx(wanted)
    assert chance_of_labels("mean_squared_error", shares) is None
    labels = np.array([[0, 1], [1, 1]])
    assert one_class(np.array([[0.2, 0.9], [0.1, 0.8]]), labels) == (
        "the same labels are predicted for all 2 held-out samples"
    )
    assert one_class(np.array([[0.2, 0.9], [0.9, 0.8]]), labels) is None
