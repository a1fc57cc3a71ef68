"""Confusions and the most confidently wrong."""

from __future__ import annotations

import numpy as np

from kerasgrid.records import Target
from kerasgrid.report.mistakes import N_EACH, N_WRONG, mistakes_of
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
    told = [(one.true, one.said, one.n, one.share) for one in found.confused]
    assert told == [("cat", "dog", 2, 2 / 3), ("dog", "owl", 1, 0.5)]
    assert [[one.index for one in confusion.samples] for confusion in found.confused] == [[12, 11], [14]]


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
    assert len(found.confused[0].samples) == N_EACH
    assert mistakes_of(predictions([0], [0], [1.0])).confused == ()


def test_samples_of_confusions_are_kept_beside_the_most_confident_ones():
    labels, said = [0] * 40 + [1] * 3, [1] * 40 + [2] * 3
    found = mistakes_of(predictions(labels, said, [0.9] * 40 + [0.5] * 3))
    assert found.worst_samples == [*range(10, 10 + N_WRONG), 50, 51, 52]
