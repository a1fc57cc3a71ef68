"""What is told of predicted numbers, without a model."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.delivery.predicting import Predicted, odd_numbers
from kerasgrid.errors import ResultsError
from kerasgrid.records import Target

PRICES = np.array([[100_000.0], [755_000.0], [34_900.0]])


def told(target, values):
    return Predicted("test.csv", values, None, target, (), "mean", None, 0, "r2", {}, 0.8125)


def test_numbers_are_predictions_and_neither_labels_nor_probabilities():
    found = told(Target("numbers", ("price", "rent")), np.array([[1.5, 2.0]]))
    assert found.predictions.tolist() == [[1.5, 2.0]]
    for name in ("labels", "probabilities"):
        with pytest.raises(ResultsError, match=rf"^there are no {name}: numbers are predicted"):
            getattr(found, name)
    assert found.lines() == ["test.csv: r2 0.8125"]


def test_predictions_of_classes_are_their_labels():
    values = np.array([[0.75, 0.25], [0.25, 0.75]], np.float32)
    found = told(Target("classes", ("cat", "dog")), values)
    assert found.predictions.tolist() == found.labels.tolist() == ["cat", "dog"]
    assert told(Target("labels", ("cat", "dog")), values).predictions.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([120_000.0, 90_000.0], None),
        ([900_000.0, 20_000.0], None),
        (
            [-2_000.5, 90_000.0],
            "price lies far outside what was trained on (34,900 to 755,000) for 1 sample of 2: it is "
            "-2,000 to 90,000.",
        ),
        (
            [5e9, 3e6],
            "price lies far outside what was trained on (34,900 to 755,000) for 2 samples of 2: it is "
            "3,000,000 to 5,000,000,000.",
        ),
        ([5.5, 5.5], "price is 5.5 for all 2 samples, which are not told apart."),
        ([5.5], None),
    ],
)
def test_what_is_odd_is_told(said, message):
    found = list(odd_numbers(PRICES, np.array(said)[:, np.newaxis], ["price"]))
    assert found == ([] if message is None else [message])
