"""What is told of each of several labels, and which samples' labels are told worst."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from kerasgrid.records import Target
from kerasgrid.report.figures import labels_cells
from kerasgrid.report.label_scores import N_WRONG, labels_of
from kerasgrid.report.sentences import label_sentence
from kerasgrid.tables.predictions import Predictions

NAMES = Target("labels", ("cat", "dog", "owl"))


def drawn(n_rows=200):
    chance = np.random.default_rng(0)
    labels = (chance.random((n_rows, 3)) < [0.5, 0.2, 0.05]).astype(np.uint8)
    told = np.clip(chance.normal(0.3 + 0.3 * labels, 0.2), 0, 1).astype(np.float32)
    return labels, told


@pytest.mark.parametrize("cuts", [None, (0.45, 0.5, 0.3)])
def test_scores_of_a_label_are_scikit_learns(cuts):
    labels, told = drawn()
    rows = None if cuts is None else np.tile(cuts, (len(labels), 1))
    found = labels_of(Predictions(NAMES, np.arange(200), labels, told, {}, rows), 0.4)
    said = told >= (0.4 if cuts is None else cuts)
    for place, one in enumerate(found.labels):
        true, own = labels[:, place], said[:, place]
        assert one.name == NAMES.names[place]
        assert one.frequency == pytest.approx(true.mean())
        assert one.precision == pytest.approx(metrics.precision_score(true, own))
        assert one.recall == pytest.approx(metrics.recall_score(true, own))
        assert one.f1 == pytest.approx(metrics.f1_score(true, own))
        assert one.auc == pytest.approx(metrics.roc_auc_score(true, told[:, place]))
        assert one.threshold == pytest.approx(0.4 if cuts is None else cuts[place])
    assert found.share_right == pytest.approx(np.mean(said == labels))
    assert found.n_right == (said == labels).all(axis=1).sum()
    assert (found.n_true, found.n_said) == pytest.approx((labels.sum() / 200, said.sum() / 200))
    assert found.hardest == sorted(found.labels, key=lambda one: one.f1)
    assert len(found.wrong) == N_WRONG
    losses = [metrics.log_loss(labels[i], told[i], labels=[0, 1]) for i in found.worst_samples]
    assert losses == sorted(losses, reverse=True)


def test_a_sample_tells_what_it_misses_and_what_it_invents():
    labels = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 1]], np.uint8)
    told = np.array([[0.9, 0.1, 0.8], [0.1, 0.2, 0.3], [0.9, 0.1, 0.25]], np.float32)
    image = np.zeros((2, 2, 3))
    found = labels_of(Predictions(NAMES, np.array([7, 8, 9]), labels, told, {7: image}))
    assert [one.told for one in found.wrong] == [
        "misses dog (10.0%), invents owl (80.0%)",
        "misses owl (25.0%)",
    ]
    assert found.worst_samples == [7, 9]
    assert found.wrong[0].image is image
    assert found.wrong[1].image is None
    assert found.n_right == 1
    assert found.as_json()["wrong"][1] == {
        "index": 9,
        "name": "sample 9",
        "missed": {"owl": 0.25},
        "invented": {},
    }
    assert label_sentence(found, 3) == (
        "Trial 3 tells 66.67% of all labels rightly, and all labels of 1 of 3 held-out samples (33.33%); a "
        "sample has 1.3 labels on average, and is said to have 1.0. Hardest to tell: dog (F1 0.0000) and owl "
        "(F1 0.0000)."
    )


def test_what_cannot_be_told_of_a_label_is_a_dash():
    labels, told = np.array([[1, 0, 1], [0, 0, 1]], np.uint8), np.full((2, 3), 0.1, np.float32)
    found = labels_of(Predictions(NAMES, np.arange(2), labels, told))
    assert [(one.precision, one.recall, one.f1, one.auc) for one in found.labels] == [
        (None, 0.0, 0.0, 0.5),
        (None, None, None, None),
        (None, 0.0, 0.0, None),
    ]
    assert labels_cells(found.labels).rows[1] == ("dog", "0.0%", "-", "-", "-", "-", "0.5")
