"""Confusions and the most confidently wrong."""

from __future__ import annotations

import numpy as np

from kerasgrid.records import Target
from kerasgrid.report.mistakes import N_WRONG, mistakes_of
from kerasgrid.tables.predictions import Predictions

CLASSES = Target("classes", ("cat", "dog", "owl"))


def predictions(labels, said, confidence, images=None):
    probabilities = np.full((len(labels), 3), 0.0, np.float32)
    probabilities[np.arange(len(labels)), said] = confidence
    return Predictions(CLASSES, np.arange(len(labels)) + 10, np.array(labels), probabilities, images or {})


def test_confusions_are_counted_by_true_and_predicted_class():
    found = mistakes_of(predictions([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 2, 2], [0.9, 0.6, 0.8, 0.9, 0.7, 0.9]))
    assert found.confusion.tolist() == [[1, 2, 0], [0, 1, 1], [0, 0, 1]]
    assert (found.n_samples, found.n_wrong) == (6, 3)
    assert found.confused() == [("cat", "dog", 2, 2 / 3), ("dog", "owl", 1, 0.5)]


def test_the_most_confidently_wrong_come_first_with_their_images():
    image = np.zeros((2, 2, 1))
    found = mistakes_of(predictions([0, 0, 1], [1, 2, 1], [0.6, 0.8, 1.0], {11: image}))
    assert [(one.index, one.true, one.said) for one in found.wrong] == [
        (11, "cat", "owl"),
        (10, "cat", "dog"),
    ]
    assert found.wrong[0].image is image
    assert found.wrong[1].image is None
    assert [one["index"] for one in found.as_json()["wrong"]] == [11, 10]


def test_no_more_are_kept_than_can_be_shown():
    found = mistakes_of(predictions([0] * 100, [1] * 100, [0.5] * 100))
    assert [one.index for one in found.wrong] == list(range(10, 10 + N_WRONG))
    assert mistakes_of(predictions([0], [0], [1.0])).confused() == []
