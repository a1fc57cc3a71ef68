"""Models of a table's rows: trained on all of it, asked about other rows, and taken elsewhere alone."""

from __future__ import annotations

import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from kerasgrid.delivery.fitting import fit
from kerasgrid.delivery.predicting import predict
from kerasgrid.delivery.submission import write_submission
from kerasgrid.driver.search import search
from kerasgrid.errors import DataError, ResultsError
from kerasgrid.jobs.facts import ModelFacts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eager")]
N_TRAIN, N_TEST = 90, 12
OWN = """
import keras

def build(input_shape, n_outputs, n_units=4):
    ending = "softmax" if n_outputs > 1 else None
    layers = [keras.Input(input_shape), keras.layers.Dense(n_units, activation="tanh")]
    return keras.Sequential([*layers, keras.layers.Dense(n_outputs, activation=ending)])
"""


def houses():
    """Returns rows of a table, of which the last are to be predicted; a category is rare."""
    numbers = np.random.default_rng(0)
    n = N_TRAIN + N_TEST
    area, street = numbers.uniform(50, 200, n).round(1), numbers.choice(["Pave", "Grvl"], n).astype(object)
    price = (area * 1_000 * np.where(street == "Pave", 1.2, 1) * numbers.uniform(0.95, 1.05, n)).round()
    area[5::9], street[[3, 40]] = np.nan, "Dirt"
    sold = pd.Timestamp("2010-01-01") + pd.to_timedelta(numbers.integers(0, 900, n), "D")
    columns = {
        "Id": np.arange(1, n + 1) * 7,
        "area": area,
        "street": street,
        "sold": sold.strftime("%Y-%m-%d"),
    }
    return pd.DataFrame(
        columns | {"price": price.astype(int), "kind": np.where(price > 120_000, "dear", "cheap")}
    )


def searched(folder, **data):
    table = houses()
    (folder / "own.py").write_text(OWN)
    table[:N_TRAIN].drop(columns="price" if "label" in data else "kind").to_csv(
        folder / "train.csv", index=False
    )
    test = table[N_TRAIN:].drop(columns=["price", "kind"])[["street", "sold", "Id", "area"]].iloc[::-1].copy()
    test.iloc[2, 0] = "Gold"
    test.to_csv(folder / "test.csv", index=False)
    names = {"train": f"{folder}/train.csv", "test": f"{folder}/test.csv", "id": "Id", **data}
    config = {
        "name": "houses",
        "data": names,
        "model": f"{folder}/own.py:build",
        "params": {"batch_size": 30, "epochs": 10},
        "space": {"learning_rate": [0.08, 0.04]},
        "search": {"folds": 2, "keep_models": "all"},
        "executor": {"kind": "inline"},
    }
    return search(config, results=folder / "results").path


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """A search of a subset, which a category is not in, with models of all rows for both trials."""
    path = searched(tmp_path_factory.mktemp("prices"), target="price", target_scale="log", subset=60)
    fit(path, top=2)
    return path


def test_a_model_of_all_rows_predicts_numbers_of_others(prices):
    found = predict(prices)
    test = houses()[N_TRAIN:].iloc[::-1]
    assert found.ids == test.Id.astype(str).tolist()
    assert found.predictions.shape == (N_TEST, 1)
    assert found.predictions.dtype == np.float64
    assert r2_score(test.price, found.predictions) > 0.5
    (note,) = found.notes
    assert note.endswith(
        "cells of a category that the training data have not, which count as blank: 'street' (1)."
    )
    assert found.lines()[0].startswith("houses, trial ")
    assert "out-of-fold r2 0." in found.lines()[0]


def test_the_search_knows_fewer_categories_than_the_model_of_all_rows(prices):
    n_known = {}
    for kind in ("fit", "folds"):
        found = predict(prices, models=kind)
        facts = ModelFacts.read(found.trials[0].models[0][0])
        n_known[kind] = len(facts.encoder.table.columns[1].categories)
        card = dict(found.trials[0].cards[0]) if kind == "fit" else None
        if card is not None:
            assert (card["targets"], card["target_scale"]) == (["price"], "log")
            assert card["input"]["columns"] == ["area", "street", "sold"]
            assert tuple(card["input"]["shape"]) == facts.input_shape
    assert n_known["fit"] == 3
    assert n_known["folds"] <= 3


def test_a_file_that_is_taken_elsewhere_alone_gives_the_same_numbers(prices, tmp_path):
    import keras

    import kerasgrid as kg

    file, test = (
        shutil.copy(prices.parent / "houses" / "best.keras", tmp_path),
        prices.parent.parent / "test.csv",
    )
    vectors = kg.encode(file, test)
    np.testing.assert_array_equal(vectors, kg.encode(file, pd.read_csv(test).drop(columns="Id")))
    found = keras.models.load_model(file).predict(vectors, verbose=0)
    np.testing.assert_allclose(found, predict(prices).predictions, rtol=1e-5)
    with pytest.raises(DataError, match=r"^rows are a list; a \.csv file or a DataFrame holds"):
        kg.encode(file, [1])


def test_fold_models_and_trials_together(prices, tmp_path):
    folds = predict(prices, models="folds")
    finetuned = fit(prices, finetune=True, epochs=1)
    assert len(finetuned.models) == 2
    both = predict(prices, models="finetuned")
    assert not np.allclose(both.predictions, folds.predictions, rtol=1e-6)
    np.testing.assert_allclose(both.predictions, folds.predictions, rtol=0.2)
    found = predict(prices, top=2, ensemble="weighted")
    assert sum(found.weights) == pytest.approx(1)
    parts = [predict(prices, trial=one.row["id"]).predictions for one in found.trials]
    wanted = sum(weight * part for weight, part in zip(found.weights, parts, strict=True))
    np.testing.assert_allclose(found.predictions, wanted)
    assert set(found.scores) == {*(one.name for one in found.trials), "mean", "weighted"}
    target, form = write_submission(found, tmp_path / "out.csv")
    written = pd.read_csv(target)
    assert written.columns.tolist() == ["Id", "price"]
    np.testing.assert_array_equal(written.price, found.predictions[:, 0])
    assert form.summary == "price: the number"


def test_a_data_frame_is_predicted_as_a_file_is(prices):
    import kerasgrid as kg

    found = kg.predict(prices, pd.read_csv(prices.parent.parent / "test.csv"))
    wanted = predict(prices)
    assert (found.source, found.ids) == ("the DataFrame", wanted.ids)
    np.testing.assert_array_equal(found.predictions, wanted.predictions)
    assert found.notes[0].startswith("the DataFrame: cells of a category that the training data have not")
    with pytest.raises(DataError, match=r"was searched on a table\. Give a DataFrame that has its columns"):
        predict(prices, np.ones((3, 3)))


def test_a_test_set_that_tells_the_numbers_is_scored(prices, tmp_path):
    test = houses()[N_TRAIN:].drop(columns="kind")
    test.to_csv(tmp_path / "told.csv", index=False)
    found = predict(prices, tmp_path / "told.csv")
    assert found.true_score == pytest.approx(r2_score(test.price, found.predictions))
    test.drop(columns=["area", "Id"]).to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DataError, match=r"less\.csv, line 1: lacks 'area', which the training data have"):
        predict(prices, tmp_path / "less.csv")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"top": 2, "ensemble": "rank"},
            "rank orders the classes of a sample, and here numbers are predicted",
        ),
        ({"tta": 2}, "was trained without augmentation"),
    ],
)
def test_what_numbers_of_a_table_do_not_have(prices, how, message):
    with pytest.raises(ResultsError, match=message):
        predict(prices, **how)


def test_classes_of_a_table(tmp_path):
    path = searched(tmp_path, label="kind")
    fit(path)
    found = predict(path)
    truth = houses()[N_TRAIN:].iloc[::-1].kind
    assert np.mean(found.labels == truth.to_numpy()) > 0.7
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    target, _ = write_submission(found)
    assert pd.read_csv(target).columns.tolist() == ["id", "label"]
