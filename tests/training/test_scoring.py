"""What a trained net is worth: in the data's own numbers, weighed where that is asked, by any score."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn import metrics

from kerasgrid.data.folds import save_folds
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.thresholds import Chooser, apart
from kerasgrid.models.signature import Signature
from kerasgrid.records import Column, Dataset, Fold, Job, Table, Target, Trial
from kerasgrid.run.paths import RunPaths
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.probe import probe
from kerasgrid.training.scoring import failure, score, value_of

pytestmark = [pytest.mark.slow, pytest.mark.backend]

N = 40
JOB = Job(Trial(0, {}), 0)
SCORES = ("neg_mean_absolute_error", "mean_absolute_percentage_error", "own.py:error")
OWN = """
import numpy as np

def error(y_true, y_pred, sample_weight=None):
    return np.average(abs(y_true - y_pred), weights=sample_weight)

def broken(y_true, y_pred):
    return y_true / np.zeros(2)
"""


def build(input_shape, n_outputs=1):
    inputs = keras.Input(input_shape)
    penalty = keras.regularizers.L2(0.1)
    return keras.Model(inputs, keras.layers.Dense(n_outputs, kernel_regularizer=penalty)(inputs))


GIVEN = ("input_shape", "n_classes")


def classify(input_shape, n_classes):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(n_classes, activation="softmax")(inputs))


def of_codes(input_shape, n_classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Embedding(10, 4)])


def test_a_function_in_hand_has_the_line_of_the_layer_in_which_an_error_arose():
    recipe = Recipe(of_codes, Signature(()), "", Target("classes", (0, 1)), "accuracy", 0)
    error = ValueError("indices[0] = 14 is not in [0, 10)\n\t [[{{node net_1/embedding_1/GatherV2}}]]")
    line = of_codes.__code__.co_firstlineno + 1
    told = failure(recipe, JOB, error).error["message"]
    assert told.startswith("trial 0, fold 0: ")
    assert told.endswith(f"test_scoring.py:{line}, ValueError: indices[0] = 14 is not in [0, 10)")


def of_numbers(folder: Path, **changes) -> Candidate:
    """Returns a candidate of two folds of numbers from 2 to 9, every other one of which weighs nothing."""
    chance = np.random.default_rng(0)
    labels, rows = chance.uniform(2, 9, (N, 1)), chance.normal(size=(N, 3)).astype(np.float32)
    data = Dataset(rows, labels, Target("numbers", ("y",)), "sha256:0", "y.csv", weights=np.arange(N) % 2.0)
    halves = np.arange(0, N, 2), np.arange(1, N, 2)
    halves = [np.sort(np.concatenate([half[:10], other[10:]])) for half, other in (halves, halves[::-1])]
    paths = RunPaths(folder, "scored")
    save_folds(paths.folds, [Fold(0, halves[0], halves[1]), Fold(1, halves[1], halves[0])], N, "sha256:0")
    (folder / "own.py").write_text(OWN)
    signature = Signature((), given=("input_shape", "n_outputs"))
    recipe = Recipe(build, signature, str(folder), data.target, "r2", 0, paths=paths, scores=SCORES)
    recipe = replace(recipe, source="y.csv", **changes)
    return Candidate(recipe, recipe.route({}), data)


@pytest.mark.parametrize("scale", [None, "standardize", "log"])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_of_the_datas_own_numbers_and_weighed_where_that_is_asked(tmp_path, scale, weighted):
    candidate = of_numbers(tmp_path, target_scale=scale, weighted_scores=weighted)
    compiled, rows = candidate.compile(), candidate.folds[0].test
    outputs = np.random.default_rng(1).normal(1, 0.3, (len(rows), 1)).astype(np.float32)
    labels, weights = candidate.data.labels[rows], candidate.data.weights[rows] if weighted else None
    said = candidate.predictions(compiled, outputs, candidate.folds[0])
    measured = {"loss": metrics.mean_squared_error(labels, said) if scale is None else 77.0}
    found = score(candidate, JOB, compiled, outputs, measured, rows, 1)
    off = metrics.mean_absolute_error(labels, said, sample_weight=weights)
    percentage = metrics.mean_absolute_percentage_error(labels, said, sample_weight=weights)
    wanted = {
        "loss": metrics.mean_squared_error(labels, said, sample_weight=weights),
        "r2": metrics.r2_score(labels, said, sample_weight=weights),
        "mean_absolute_error": off,
        "root_mean_squared_error": metrics.root_mean_squared_error(labels, said, sample_weight=weights),
        "neg_mean_absolute_error": -off,
        "mean_absolute_percentage_error": 100 * percentage,
        "own.py:error": off,
    }
    assert found.metrics == pytest.approx(wanted, rel=1e-5)
    assert found.score == found.metrics["r2"]
    stored = np.load(candidate.recipe.paths.prediction(*JOB.id))
    assert stored.dtype == np.float64
    assert stored.tolist() == said.tolist()


@pytest.mark.parametrize("objective", ["loss", "root_mean_squared_error"])
def test_a_metric_of_keras_is_measured_anew_of_numbers_that_were_scaled(tmp_path, objective):
    candidate = of_numbers(tmp_path, target_scale="standardize", objective=objective, scores=())
    compiled, fold = candidate.compile(), candidate.folds[0]
    outputs = np.linspace(-1, 1, len(fold.test), dtype=np.float32)[:, None]
    said, labels = candidate.predictions(compiled, outputs, fold), candidate.data.labels[fold.test]
    measured = {"loss": 1.0, "root_mean_squared_error": 1.0}
    for _ in range(2):  # metrics keep nothing
        found = value_of(candidate, fold, compiled, outputs, measured, fold.test)
        squared = metrics.mean_squared_error(labels, said)
        assert found == pytest.approx(squared if objective == "loss" else np.sqrt(squared), rel=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_losses_and_metrics_of_classes_are_weighed(tmp_path, n_classes):
    scores = ("neg_log_loss", "binary_accuracy", "f1_macro")
    numbers = of_numbers(tmp_path, weighted_scores=True, objective="accuracy", scores=scores)
    target, labels = Target("classes", tuple(range(n_classes))), np.arange(N) // 2 % n_classes
    recipe = replace(numbers.recipe, target=target, model=classify, signature=Signature((), given=GIVEN))
    candidate = Candidate(recipe, numbers.route, replace(numbers.data, labels=labels, target=target))
    compiled, rows = candidate.compile(), candidate.folds[0].test
    chance = np.random.default_rng(0).dirichlet([1] * n_classes, len(rows)).astype(np.float32)
    found = score(candidate, JOB, compiled, chance, {"loss": 77.0, "accuracy": 77.0}, rows, 1)
    weights, truth = candidate.data.weights[rows], labels[rows]
    said, columns = chance.argmax(axis=1), np.eye(n_classes)[truth]
    wanted = {
        "loss": metrics.log_loss(truth, chance, sample_weight=weights),
        "accuracy": metrics.accuracy_score(truth, said, sample_weight=weights),
        "neg_log_loss": -metrics.log_loss(truth, chance, sample_weight=weights),
        "binary_accuracy": np.average(((chance > 0.5) == columns).mean(axis=1), weights=weights),
        "f1_macro": metrics.f1_score(truth, said, average="macro", sample_weight=weights),
    }
    assert found.metrics == pytest.approx(wanted, rel=1e-5)


def of_labels(folder: Path, labels: np.ndarray, **changes) -> Candidate:
    """Returns a candidate of two folds of samples with several labels."""
    numbers = of_numbers(folder, scores=("accuracy", "roc_auc"), **changes)
    target = Target("labels", tuple(range(labels.shape[1])))
    recipe = replace(numbers.recipe, target=target, model=classify_each, signature=Signature((), given=GIVEN))
    return Candidate(recipe, numbers.route, replace(numbers.data, labels=labels, target=target))


def classify_each(input_shape, n_classes):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(n_classes, activation="sigmoid")(inputs))


@pytest.mark.parametrize("objective", ["f1_macro", "accuracy"])
def test_thresholds_are_chosen_on_other_rows_and_those_of_rows_that_are_scored_would_be_seen(
    tmp_path, objective
):
    """Of noise nothing can be told: thresholds of its own rows are better on them, and on no others."""
    chance, gains = np.random.default_rng(0), []
    for _ in range(8):
        labels = (chance.random((N, 3)) < 0.4).astype(np.uint8)
        candidate = of_labels(tmp_path, labels, objective=objective, thresholds="chosen")
        compiled, rows = candidate.compile(), candidate.folds[0].test
        outputs, choose = chance.random((len(rows), 3), dtype=np.float32), Chooser.of(candidate.objective)
        found = score(candidate, JOB, compiled, outputs, {"loss": 1.0}, rows, 1)
        cuts = apart(choose, labels[rows], outputs)
        assert found.thresholds == pytest.approx(cuts.mean(axis=0))
        assert found.metrics["accuracy"] == pytest.approx(np.mean((outputs >= cuts) == labels[rows]))
        assert found.metrics["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels[rows], outputs))

        def value(said, truth=labels[rows]):
            if objective == "accuracy":
                return np.mean(said == truth)
            return metrics.f1_score(truth, said, average="macro", zero_division=0)

        assert found.score == pytest.approx(value(outputs >= cuts))
        gains.append(value(outputs >= choose(labels[rows], outputs)) - found.score)
    assert np.min(gains) >= 0
    assert np.mean(gains) > 0.05


def test_one_threshold_is_for_all_labels(tmp_path):
    labels = np.eye(3, dtype=np.uint8)[np.arange(N) % 3]
    candidate = of_labels(tmp_path, labels, objective="f1_macro", thresholds=0.25)
    compiled, rows = candidate.compile(), candidate.folds[0].test
    outputs = (0.2 + 0.1 * labels[rows]).astype(np.float32)
    found = score(candidate, JOB, compiled, outputs, {"loss": 1.0}, rows, 1)
    assert (found.score, found.thresholds) == (1.0, None)


def test_a_score_that_is_not_defined_fails_no_fit_but_an_objective_does(tmp_path):
    candidate = of_numbers(tmp_path, scores=("neg_mean_squared_log_error",))
    compiled, rows = candidate.compile(), candidate.folds[0].test
    outputs = np.full((len(rows), 1), -5, np.float32)
    found = score(candidate, JOB, compiled, outputs, {"loss": 1.0}, rows, 1)
    assert math.isnan(found.metrics["neg_mean_squared_log_error"])
    candidate = of_numbers(tmp_path, objective="neg_mean_squared_log_error")
    with pytest.raises(ValueError, match="Mean Squared Logarithmic Error"):
        score(candidate, JOB, compiled, outputs, {"loss": 1.0}, rows, 1)


def test_rows_that_weigh_nothing_give_no_value(tmp_path):
    candidate = of_numbers(tmp_path, weighted_scores=True)
    compiled, rows = candidate.compile(), np.arange(0, N, 2)
    outputs = np.zeros((len(rows), 1), np.float32)
    assert value_of(candidate, candidate.folds[0], compiled, outputs, {"loss": 1.0}, rows) is None


class Told:
    """Keeps what a probe has found."""

    def emit(self, record):
        self.record = record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        (
            {"scores": ("own.py:broken",)},
            "search.scores[0]: {folder}/own.py:8, own.py:broken: ValueError: operands could not be broadcast",
        ),
        (
            {"objective": "own.py:broken", "weighted_scores": True},
            "search.objective: own.py:broken takes no sample_weight, and search.weighted_scores asks for ",
        ),
        (
            {"objective": "a:given", "scorers": {"a:given": lambda y_true, y_pred: "good"}},
            "search.objective: a:given: TypeError: gives 'good'; a number holds.",
        ),
    ],
)
def test_functions_of_the_users_own_are_tried_before_the_first_epoch(tmp_path, monkeypatch, changes, message):
    candidate, told = of_numbers(tmp_path, **changes), Told()
    monkeypatch.setattr("kerasgrid.training.probe.map_samples", lambda folder, source: candidate.data)
    probe(candidate.recipe, {}, told)
    if message is None:
        assert told.record.error is None
    else:
        assert told.record.error["type"] == "ScoreError"
        assert told.record.error["message"].startswith(message.format(folder=tmp_path))


def test_metrics_are_tried_on_a_tables_row_as_the_net_takes_it(tmp_path, monkeypatch):
    columns = Column("a", "numeric", has_blanks=True), Column("b", "categorical", ("x", "y", "z"))
    candidate, told = of_numbers(tmp_path, objective="mean_absolute_error"), Told()
    values = np.stack([np.arange(N) / N, np.arange(N) % 3], axis=1)
    data = replace(candidate.data, images=values, table=Table(columns))
    monkeypatch.setattr("kerasgrid.training.probe.map_samples", lambda folder, source: data)
    probe(candidate.recipe, {}, told)
    assert told.record.error is None
