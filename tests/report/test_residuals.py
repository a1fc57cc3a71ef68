"""Predicted numbers against true ones: how good, whether biased, where errors are large, and what is said."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, median_absolute_error, r2_score, root_mean_squared_error

from kerasgrid.records import Target
from kerasgrid.report.residuals import N_WORST, residuals_of
from kerasgrid.report.sentences import curve_sentences, residual_sentences
from kerasgrid.report.writing import Report
from kerasgrid.tables.predictions import Predictions

N = 400
RNG = np.random.default_rng(0)
PRICES = np.exp(RNG.normal(12, 0.4, N))
NOISE = RNG.normal(0, 20_000, N)


def residuals(true, predicted, *names, images=None):
    true, predicted = (np.reshape(np.asarray(own, float), (len(own), -1)) for own in (true, predicted))
    target = Target("numbers", names or ("price",))
    return residuals_of(Predictions(target, np.arange(len(true)) + 10, true, predicted, images or {}))


def sentences(true, predicted, may_be_log=True):
    return residual_sentences(residuals(true, predicted).targets[0], 3, may_be_log)


def test_measures_are_scikit_learns():
    said = PRICES + NOISE
    (one,) = residuals(PRICES, said).targets
    assert one.r2 == pytest.approx(r2_score(PRICES, said))
    assert one.mean_absolute_error == pytest.approx(mean_absolute_error(PRICES, said))
    assert one.median_absolute_error == pytest.approx(median_absolute_error(PRICES, said))
    assert one.root_mean_squared_error == pytest.approx(root_mean_squared_error(PRICES, said))
    assert one.bias == pytest.approx(-NOISE.mean())
    assert sum(part.n_samples for part in one.tenths()) == N


def test_the_furthest_off_come_first_and_no_more_than_can_be_shown():
    (one,) = residuals([1, 2, 3], [1.5, 0, 3.25]).targets
    assert [(miss.index, miss.residual) for miss in one.worst] == [(11, 2.0), (10, -0.5), (12, -0.25)]
    assert len(residuals(PRICES, PRICES + NOISE).targets[0].worst) == N_WORST


def test_of_several_targets_each_counts_by_its_own_spread():
    true = np.stack([1e6 * np.arange(5), np.arange(5)], axis=1)
    said = true.copy()
    said[1, 0] += 1e5  # less of its spread than the other's is
    said[2, 1] += 1
    found = residuals(true, said, "price", "rooms")
    assert [one.name for one in found.targets] == ["price", "rooms"]
    assert found.worst_samples[:2] == (12, 11)
    assert [one["target"] for one in found.as_json()["targets"]] == ["price", "rooms"]


def test_a_bias_is_told_where_it_is_clear():
    assert any("No bias is clear: the mean residual is" in said for said in sentences(PRICES, PRICES + NOISE))
    low = sentences(PRICES, PRICES + NOISE - 10_000)
    assert any("Predictions are too low by" in said and "of the root mean squared" in said for said in low)
    assert any("too high by" in said for said in sentences(PRICES, PRICES + NOISE + 10_000))


def test_errors_that_grow_with_the_value_are_told_with_what_helps():
    said = PRICES * np.exp(np.random.default_rng(1).normal(0, 0.1, N))
    (told,) = [one for one in sentences(PRICES, said) if "Errors grow" in one]
    assert "data.target_scale: log" in told
    assert not any("target_scale" in one for one in sentences(PRICES, said, may_be_log=False))
    assert not any("Errors grow" in one for one in sentences(PRICES, PRICES + NOISE))
    assert not any("Errors grow" in one for one in sentences(PRICES[:40], said[:40]))  # too few to tell


def test_a_few_samples_that_make_most_of_the_error_are_told():
    said = PRICES + NOISE
    said[[3, 5]] += 400_000
    assert any(
        one.startswith("2 samples of 400 make half of the squared error") for one in sentences(PRICES, said)
    )
    assert not any("half of the squared" in one for one in sentences(PRICES, PRICES + NOISE))


@pytest.mark.parametrize(
    ("true", "said", "told"),
    [
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], "R2 -3.0000"),
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], "no better than to predict the mean of price for all"),
        ([5.0, 5.0], [5.0, 5.5], "predicts price of 2 held-out samples with a mean absolute error of 0.25"),
        ([5.0], [4.0], "predicts price of 1 held-out sample with a mean"),
        ([1.0, 2.0], [1.0, 2.0], "R2 1.0000"),
        ([0.0, 1.0], [1e200, 0.0], "mean absolute error of 5e+199"),
    ],
)
def test_whatever_the_numbers_are_there_are_sentences(true, said, told):
    with np.errstate(over="ignore"):
        assert told in " ".join(sentences(true, said))


# In a report

NAMES = ("price in $", "<script>alert(1)</script>")


def results(score=-18_234.5):
    trials = []
    for place, (rate, units) in enumerate(product([0.001, 0.01], [8, 16, 32])):
        scores = [
            score * (1 + 0.1 * (rate == 0.01) + 0.001 * (place % 2)) + 500.0 * fold for fold in range(3)
        ]
        trials.append(
            {
                "id": place,
                "params": {"learning_rate": rate, "units": units},
                "state": "complete",
                "mean_test_score": float(np.mean(scores)),
                "std_test_score": float(np.std(scores)),
                "mean_fit_time": 1.0,
                "n_parameters": 100,
                "error": None,
                "folds": [
                    {"fold": fold, "test_score": value, "metrics": {"loss": 4e8}}
                    for fold, value in enumerate(scores)
                ],
            }
        )
    return {
        "schema": "kerasgrid.results/1",
        "name": "houses",
        "status": "complete",
        "objective": {"name": "neg_mean_absolute_error", "direction": "max"},
        "config": {"name": "houses", "model": "mlp", "data": {"train": "train.csv", "target": "SalePrice"}},
        "data": {"samples": N, "targets": list(NAMES)},
        "folds": {"n": 3},
        "environment": {},
        "trials": trials,
        "best": None,
        "summary": {},
    }


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "houses.json"
    path.write_text(json.dumps(results()))
    return path


@pytest.fixture
def predicted(file):
    """Writes what a search keeps of trial 0, the best."""
    folder = file.with_suffix("")
    folder.mkdir()
    true = np.stack([PRICES, np.linspace(-1, 1, N)], axis=1)
    said = np.stack([PRICES + NOISE, np.zeros(N)], axis=1)
    said[-50:] = np.nan
    folds = np.arange(N) % 3
    np.savez(folder / "oof.npz", trial_0=said, labels=true, targets=np.array(NAMES), fold=folds)
    return file


def test_a_report_of_numbers_shows_them_and_speaks_of_no_class(predicted):
    report = Report(predicted)
    page, text = report.html(), report.markdown()
    for words in (page, text):
        assert "Residuals of the best" in words
        assert "no better than to predict the mean" in words
        assert "sample 0 is the first row of train.csv" in words
        assert "-17,734.5 ± " in words
        assert "class " not in words.replace('class="', "")
        assert "Mistakes" not in words
    assert page.count("<figcaption>A dot a held-out sample:") == 2
    assert "<script" not in page
    assert len(set(ids := [part.split('"')[0] for part in page.split(' id="')[1:]])) == len(ids)
    told = json.loads(report.json())
    assert told["mistakes"] is told["mistakes_missing"] is None
    assert [one["target"] for one in told["residuals"]["targets"]] == list(NAMES)
    assert told["residuals"]["targets"][0]["samples"] == N - 50
    assert any("predicts price in $ of 350 held-out samples" in sentence for sentence in report.sentences())


def test_effects_of_large_scores_are_told_in_their_size(file):
    (told,) = [one for one in Report(file).sentences() if one.startswith("learning_rate")]
    assert "0.001 beats 0.01 in 3 of 3 matched pairs, by 1," in told


def test_curves_of_a_loss_of_scaled_numbers_are_told_as_such(file):
    found = results()
    for one in (fold for trial in found["trials"] for fold in trial["folds"]):
        one["history"] = {"test_loss": [0.3] * 8}
    found["config"]["data"]["target_scale"] = "log"
    file.write_text(json.dumps(found))
    assert (
        "No held-out neg_mean_absolute_error is recorded by epoch: the curves are of the loss, of numbers as "
        "data.target_scale has them." in Report(file).sentences()
    )


@pytest.mark.parametrize(
    ("data", "search", "told"),
    [
        ({}, {}, ["Underfitting in 6 of 6 trials"]),
        ({"target_scale": "log"}, {}, ["numbers as data.target_scale has them"]),
        ({}, {"weighted_scores": True}, ["count all samples the same, and scores are weighted"]),
    ],
)
def test_curves_are_compared_with_scores_of_their_own_kind_alone(file, data, search, told):
    of_numbers = results(score=0.002)
    of_numbers["objective"] = {"name": "mean_absolute_error", "direction": "min"}
    of_numbers["config"]["data"].update(data)
    of_numbers["config"]["search"] = search
    for trial in of_numbers["trials"]:
        for fold in trial["folds"]:
            fold["history"] = {"mean_absolute_error": [5e5] * 8, "test_mean_absolute_error": [5e5] * 8}
    file.write_text(json.dumps(of_numbers))
    found = " ".join(curve_sentences(Report(file).findings))
    assert all(part in found for part in told)
    assert ("Underfitting" in found) is (not data and not search)


def test_without_predictions_the_chapter_says_why(file):
    text = Report(file).markdown()
    assert "Residuals of the best" in text
    assert "oof.npz is missing" in text
