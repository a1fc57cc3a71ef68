"""What candidates are scored by: scikit-learn's scorers, Keras's metrics, the loss."""

# ruff: noqa: E501 - a message on one line is easier to read

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.naive_bayes import GaussianNB

from kerasgrid.errors import ConfigError
from kerasgrid.training.objective import find_objective, objective_fault
from kerasgrid.training.scorers import sklearn_score


@pytest.mark.parametrize(
    ("name", "kind", "direction", "metric"),
    [
        ("accuracy", "sklearn", "max", None),
        ("balanced_accuracy", "sklearn", "max", None),
        ("neg_log_loss", "sklearn", "max", None),
        ("loss", "loss", "min", None),
        ("auc", "keras", "max", "auc"),
        ("AUC", "keras", "max", "auc"),
        ("F1Score", "keras", "max", "f1_score"),
        ("mse", "keras", "min", "mean_squared_error"),
    ],
)
def test_names(name, kind, direction, metric):
    found = find_objective(name)
    assert (found.name, found.kind, found.direction, found.metric) == (name, kind, direction, metric)


@pytest.mark.parametrize(
    ("name", "guess"), [("acuracy", "accuracy"), ("f1_marco", "f1_macro"), ("los", "loss")]
)
def test_what_no_one_has_gets_a_guess(name, guess):
    with pytest.raises(ConfigError) as caught:
        find_objective(name)
    assert str(caught.value) == (
        f"config, search.objective: is {name!r}, which is no metric here. Did you mean {guess!r}? Known: accuracy, "
        "loss, scikit-learn's scorers and Keras's metrics."
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", get_scorer_names())
def test_every_scorer_is_refused_beforehand_or_gives_scikit_learns_own_value(name, n_classes):
    chance = np.random.default_rng(0)
    labels = np.arange(60) % n_classes
    rows = chance.normal(size=(60, 4)) + labels[:, None] / 2
    estimator = GaussianNB().fit(rows, labels)
    fault = objective_fault(find_objective(name), labels, n_classes)
    if fault is not None:
        assert fault.startswith(f"is {name!r}, which cannot score {n_classes} classes: ")
        with pytest.raises(ValueError, match=r"\w"):
            get_scorer(name)(estimator, rows, labels)
        return
    assert sklearn_score(name, labels, estimator.predict_proba(rows)) == pytest.approx(
        get_scorer(name)(estimator, rows, labels), abs=1e-12
    )


@pytest.mark.parametrize(
    ("name", "n_classes", "is_refused"),
    [
        ("precision", 2, False),
        ("precision", 3, True),
        ("f1", 10, True),
        ("f1_macro", 10, False),
        ("roc_auc", 2, False),
        ("roc_auc", 3, True),
        ("roc_auc_ovr", 3, False),
        ("neg_log_loss", 10, False),
        ("top_k_accuracy", 10, False),
        ("loss", 10, False),
        ("auc", 10, False),
    ],
)
def test_what_cannot_score_so_many_classes_is_refused_before_training(name, n_classes, is_refused):
    fault = objective_fault(find_objective(name), np.arange(40) % n_classes, n_classes)
    assert (fault is not None) is is_refused


def test_a_trial_of_the_scorer_needs_no_more_than_one_row_a_class():
    labels = np.zeros(5000, dtype=np.int64)
    labels[0] = 1
    assert objective_fault(find_objective("roc_auc"), labels, 2) is None


def test_a_class_that_is_never_predicted_is_no_warning(recwarn):
    probabilities = np.tile([0.9, 0.1], (4, 1))
    assert sklearn_score("precision", np.array([0, 0, 1, 1]), probabilities) == 0.0
    assert list(recwarn) == []
