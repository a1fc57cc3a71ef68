"""Samples that have any number of labels: from the data to the results, on every backend."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest
from asking import ask_in_this_process
from fakes import Collector, prepare_run
from running import run
from sklearn.metrics import f1_score

from kerasgrid.checks.prepared import prepare
from kerasgrid.config.sections import DataConfig
from kerasgrid.data.in_memory import Given, dataset_from_arrays
from kerasgrid.data.load import load_data
from kerasgrid.delivery.fitting import fit
from kerasgrid.delivery.predicting import predict
from kerasgrid.delivery.submission import write_submission
from kerasgrid.driver.comparing import compare
from kerasgrid.driver.search import search
from kerasgrid.errors import ConfigError, DataError, ModelError
from kerasgrid.jobs.thresholds import PARTS, Chooser
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
    np.savez(file.with_name("test.npz"), images=arrays[0][:50])
    return {
        "name": "several",
        "data": {
            "train": str(file),
            "test": str(file.with_name("test.npz")),
            "scale": 255,
            "normalize": {"mean": [0.375], "std": [0.25]},
            "multi_label": True,
        },
        "model": "fc",
        "params": PARAMS,
        "search": {"folds": 2, "thresholds": "chosen", "scores": ["f1_macro"], "keep_models": "best"},
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
        told, folds, thresholds = oof["trial_0"], oof["fold"], oof["thresholds_0"]
    assert thresholds.shape == (2, PARTS, N_LABELS)
    cuts = np.empty_like(told, np.float64)
    for place, fold in enumerate(trial["folds"]):
        own = folds == place
        cuts[own] = np.resize(thresholds[place], (own.sum(), N_LABELS))
        assert fold["thresholds"] == pytest.approx(cuts[own].mean(axis=0))
        right = np.mean((told[own] >= cuts[own]) == arrays[1][own])
        assert fold["test_score"] == fold["metrics"]["accuracy"] == pytest.approx(right, abs=1e-6)
        f1 = f1_score(arrays[1][own], told[own] >= cuts[own], average="macro")
        assert fold["metrics"]["f1_macro"] == pytest.approx(f1)
        at_half = np.mean((told[own] >= 0.5) == arrays[1][own])  # of Keras, in the curve
        assert fold["history"]["test_accuracy"][-1] == pytest.approx(at_half, abs=1e-6)
    report = Report(found.file)
    assert report.mistakes.share_right == pytest.approx(np.mean((told >= cuts) == arrays[1]))
    assert [one.threshold for one in report.mistakes.labels] == pytest.approx(cuts.mean(axis=0))
    assert all(one.image.shape == (6, 6, 1) for one in report.mistakes.wrong)
    text = report.markdown()
    assert "| label | samples that have it | precision | recall | F1 | ROC AUC | threshold |" in text
    assert "The curves cut labels at 0.5, and scores at search.thresholds." in text
    assert "class" not in text.partition("## How this was worked out")[0]
    assert "ROC AUC" in report.html()


def test_what_was_searched_is_predicted_and_submitted_with_its_thresholds(
    found, arrays, tmp_path, monkeypatch, capsys
):
    shutil.copytree(found.file.parent, tmp_path / "results")
    results = tmp_path / "results" / "several.json"
    monkeypatch.chdir(tmp_path)
    told = predict(results)
    with np.load(RunPaths(results.parent, "several").oof) as oof:
        wanted = Chooser(None)(arrays[1], oof["trial_0"])
    assert told.thresholds == pytest.approx(wanted)
    np.testing.assert_array_equal(told.predictions, told.values >= np.asarray(told.thresholds))
    assert np.mean(told.predictions == arrays[1][:50]) > 0.9
    models = [keras.models.load_model(file) for file in RunPaths(results.parent, "several").models]
    alone = [model.predict(arrays[0][:50, ..., None], verbose=0) for model in models]  # figures are layers
    np.testing.assert_allclose(told.values, np.mean(alone, axis=0), atol=1e-6)
    assert any(line.startswith("thresholds: chosen on out-of-fold predictions, 0.") for line in told.lines())
    rows = "".join(f"{place},0,0,0\n" for place in range(50))
    (tmp_path / "sample_submission.csv").write_text(f"id,2,0,1\n{rows}")
    assert (
        run(
            monkeypatch,
            "predict",
            "results/several.json",
            "--sample",
            "sample_submission.csv",
            "-o",
            "out.csv",
        )
        == 0
    )
    said = np.loadtxt("out.csv", delimiter=",", skiprows=1, dtype=int)
    np.testing.assert_array_equal(said[:, 1:], told.predictions[:, [2, 0, 1]])
    capsys.readouterr()
    given = ("--file", "out.csv", "--sample", "sample_submission.csv", "--dry-run")
    assert run(monkeypatch, "submit", "results/several.json", "-c", "letters", "-m", "one", *given) == 0
    (tmp_path / "sample_submission.csv").write_text("image,tags\n" + "".join(f"{n},0 1\n" for n in range(50)))
    write_submission(told, tmp_path / "tags.csv", sample=tmp_path / "sample_submission.csv")
    lines = (tmp_path / "tags.csv").read_text().splitlines()
    names = [" ".join(map(str, np.flatnonzero(row))) for row in told.predictions]
    assert lines == ["image,tags", *(f"{place},{name}" for place, name in enumerate(names))]


def test_a_model_of_all_rows_tells_its_thresholds(found, tmp_path):
    shutil.copytree(found.file.parent, tmp_path / "results")
    fitted = fit(tmp_path / "results" / "several.json", epochs=1)
    told = predict(tmp_path / "results" / "several.json")
    assert fitted.cards[0]["thresholds"] == pytest.approx(told.thresholds)
    assert told.trials[0].kind == "fit"


@pytest.mark.parametrize("objective", ["f1_macro", pytest.param("f1_score", marks=pytest.mark.backend)])
def test_scorers_and_metrics_score_labels(config, arrays, tmp_path, objective):
    little = {**PARAMS, "epochs": 1, "learning_rate": 0.002}
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
    with pytest.raises(ModelError, match=f"the loss {loss} is of one class a sample, which may have several"):
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
    changes = {"model": compiled, "params": {"epochs": 2}, "search": {"folds": 2}}
    record, _ = trained(config | changes, tmp_path)
    assert record.error is None
    assert record.history["test_accuracy"][-1] == pytest.approx(record.score, abs=1e-6)


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
        assert best > 0.6  # cut at a half, and the score by thresholds
        assert len(fold["thresholds"]) == 3
    model = keras.models.load_model(found.models[0])
    assert model.output_shape == (None, 3)
    assert model.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"train": "digits", "multi_label": True}}, "data.multi_label: is for labels of an .npz"),
        ({"training": {"class_weight": "balanced"}}, "training.class_weight: is a weight of each class"),
        ({"search": {"objective": "top_k_accuracy"}}, "cannot score several labels a sample"),
        (
            {"search": {"objective": "categorical_accuracy"}},
            "is of one class a sample, and a sample may have several labels",
        ),
        ({"search": {"objective": "sparse_top_k_categorical_accuracy"}}, "take accuracy, f1_macro or binary"),
        (
            {"search": {"thresholds": 0.25, "objective": "f1_score"}},
            "search.objective: is 'f1_score', a metric of Keras's that cuts at 0.5 whatever search.thre",
        ),
        (
            {"search": {"thresholds": "chosen", "scores": ["binary_accuracy"]}},
            "search.scores.0.: is 'binary_accuracy', a metric of Keras's that cuts at 0.5",
        ),
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
    constant = np.array([[0.2, 0.9], [0.1, 0.8]])
    told = "the same labels are predicted for all 2 held-out samples"
    assert one_class(constant, labels) == told
    assert one_class(constant, labels, np.array([0.15, 0.5])) is None
    assert one_class(constant * [[0.1, 1.0], [2.0, 1.0]], labels) == told
    assert one_class(np.array([[0.01, 0.9], [0.4, 0.8]]), labels) is None  # told apart, below a half
    assert one_class(np.array([[0.2, 0.9], [0.9, 0.8]]), labels) is None
