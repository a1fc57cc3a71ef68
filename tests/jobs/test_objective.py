"""What candidates are scored by: scikit-learn's scorers, Keras's metrics, the loss."""

# ruff: noqa: E501 - a message on one line is easier to read

from __future__ import annotations

import re

import numpy as np
import pytest
from fakes import classes_of
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import average_precision_score, get_scorer, get_scorer_names, precision_score
from sklearn.naive_bayes import GaussianNB

from kerasgrid.config.yaml12 import read_yaml
from kerasgrid.data.in_memory import dataset_from_arrays
from kerasgrid.errors import ConfigError
from kerasgrid.jobs.objective import find_objective, objective_fault, sklearn_score


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
    ("name", "guess"),
    [
        ("acuracy", "accuracy"),
        ("f1_marco", "f1_macro"),
        ("los", "loss"),
        ("val_accuracy", "accuracy"),
        ("val_loss", "loss"),
        ("log_loss", "neg_log_loss"),
        ("rmse", "neg_root_mean_squared_error"),
        ("macro_f1", "f1_macro"),
    ],
)
def test_what_no_one_has_gets_a_guess(name, guess):
    with pytest.raises(ConfigError) as caught:
        find_objective(name)
    assert str(caught.value) == (
        f"config, search.objective: is {name!r}, which is no metric here. Did you mean {guess!r}? Known: accuracy, "
        "loss, scikit-learn's scorers, Keras's metrics, and a function of your own, path/to/file.py:function."
    )


def data_of(y):
    return dataset_from_arrays(np.zeros((len(y), 2)), y)


def fault_of(given, y):
    data = data_of(y)
    return objective_fault(find_objective(given), data.labels, data.target)


LABELS = {
    "0 and 1": [0, 1],
    "0 to 2": [0, 1, 2],
    "numbers, two": [10, 20],
    "numbers": [10, 20, 500],
    "texts, two": ["no", "yes"],
    "texts": ["cat", "dog", "eel"],
    "bools": [False, True],
    "one-hot, two": [[1, 0], [0, 1]],
    "one-hot": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("labels", LABELS)
def test_every_scorer_is_refused_beforehand_or_gives_scikit_learns_own_value_of_the_users_labels(labels):
    chance, places = np.random.default_rng(0), np.arange(60) % len(LABELS[labels])
    y = np.array(LABELS[labels])[places]
    data = data_of(y)
    y = y.astype(int) if y.dtype == bool else y
    rows = chance.normal(size=(60, 4)) + places[:, None] / 2
    estimator = GaussianNB().fit(rows, y) if y.ndim == 1 else OneClass().fit(rows, y)
    n_refused, form = 0, (data.labels, data.target)
    for name in sorted(get_scorer_names()):
        fault = objective_fault(find_objective(name), *form)
        if fault is not None:
            n_refused += 1
            assert fault.startswith(f"is {name!r}, which ")
            with pytest.raises((ValueError, TypeError), match=r"\w"):
                get_scorer(name)(estimator, rows, y)
            continue
        probabilities = estimator.predict_proba(rows)
        found = sklearn_score(name, {}, data.labels, probabilities, data.target)
        assert found == pytest.approx(get_scorer(name)(estimator, rows, y), abs=1e-12), name
    assert 0 < n_refused < len(get_scorer_names()) / 2


class OneClass(ClassifierMixin, BaseEstimator):
    """Takes and says one class a sample in one-hot rows."""

    def fit(self, X, y):
        self.own_ = GaussianNB().fit(X, y.argmax(axis=1))
        self.classes_ = [np.arange(2)] * y.shape[1]
        return self

    def predict_proba(self, X):
        return self.own_.predict_proba(X)

    def predict(self, X):
        return np.eye(len(self.classes_), dtype=int)[self.predict_proba(X).argmax(axis=1)]


@pytest.mark.parametrize("name", ["f1", "precision", "recall", "jaccard", "average_precision"])
@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (["no", "yes"], "pos_label: yes"),
        (["0", "yes, it is"], 'pos_label: "yes, it is"'),
        ([3, 5], "pos_label: 5"),
    ],
)
def test_a_scorer_that_is_of_one_of_two_classes_is_told_which(name, labels, line):
    y = np.array(labels)[np.arange(40) % 2]
    assert fault_of(name, y) == (
        f"is {name!r}, which is of one of the two classes {labels[0]!r} and {labels[1]!r}: say which it is, "
        f"such as {{{name}: {{{line}}}}}."
    )
    given = read_yaml(f"{{{name}: {{{line}}}}}", "grid.yaml")[0]
    assert fault_of(given, y) is None
    probabilities = np.random.default_rng(0).dirichlet([1, 1], 40)
    data, said = data_of(y), np.array(labels)[probabilities.argmax(axis=1)]
    found = find_objective(given)
    value = sklearn_score(found.name, found.arguments, data.labels, probabilities, data.target)
    if name == "average_precision":
        wanted = average_precision_score(y, probabilities[:, 1], pos_label=labels[1])
    else:
        wanted = getattr(metrics, f"{name}_score")(y, said, pos_label=labels[1])
    assert value == pytest.approx(wanted, abs=1e-12)
    other = {name: {"pos_label": labels[0]}}
    assert fault_of(other, y) is None
    assert find_objective(given) != find_objective(other)


@pytest.mark.parametrize(
    ("given", "labels", "line"),
    [
        ("fbeta_score", ["no", "yes"], {"fbeta_score": {"beta": 1, "pos_label": "yes"}}),
        ("fbeta_score", [0, 1], {"fbeta_score": {"beta": 1}}),
        ("fbeta_score", [1, 2, 3], {"fbeta_score": {"beta": 1, "average": "macro"}}),
        ({"fbeta_score": {"beta": 2}}, [1, 2, 3], {"fbeta_score": {"beta": 2, "average": "macro"}}),
    ],
)
def test_a_scorer_that_lacks_something_is_told_what(given, labels, line):
    y = np.array(labels)[np.arange(40) % len(labels)]
    found = fault_of(given, y)
    written = re.search(r"[Ss]uch as (\{.*\})", found)[1]
    assert read_yaml(written, "grid.yaml")[0] == line
    assert fault_of(line, y) is None


@pytest.mark.parametrize("labels", [["no", "yes"], ["no", "perhaps", "yes"], [10, 20]])
def test_a_mean_of_all_classes_takes_none_of_them_for_the_positive_one(labels):
    y = np.array(labels)[np.arange(40) % len(labels)]
    given = {"precision": {"average": "macro"}}
    assert fault_of(given, y) is None
    data, probabilities = data_of(y), np.random.default_rng(0).dirichlet([1] * len(labels), 40)
    found = sklearn_score("precision", given["precision"], data.labels, probabilities, data.target)
    said = np.array(labels)[probabilities.argmax(axis=1)]
    assert found == pytest.approx(precision_score(y, said, average="macro"), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cohen_kappa_score", {"weights": "quadratic"}),
        ("cohen_kappa_score", {}),
        ("fbeta_score", {"beta": 2, "average": "macro"}),
    ],
)
def test_scores_of_labels_that_have_no_scorer_are_scored_by(name, arguments):
    y = np.array([10, 20, 500])[np.arange(60) % 3]
    data, probabilities = data_of(y), np.random.default_rng(0).dirichlet([1, 1, 1], 60)
    objective = find_objective({name: arguments} if arguments else name)
    assert objective_fault(objective, data.labels, data.target) is None
    found = sklearn_score(name, arguments, data.labels, probabilities, data.target)
    said = np.array([10, 20, 500])[probabilities.argmax(axis=1)]
    assert found == pytest.approx(getattr(metrics, name)(y, said, **arguments), abs=1e-12)


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        (
            {"f1": {"pos_lable": "yes"}},
            "f1.pos_lable",
            "unknown argument. Did you mean 'pos_label'? Known: average, labels, pos_label, zero_division.",
        ),
        (
            {"loss": {"a": 1}},
            "loss",
            "takes no arguments, which are for scikit-learn's scorers: give its name alone.",
        ),
        (
            {"accuracy": {"normalize": False}},
            "accuracy",
            "takes no arguments, which are for scikit-learn's scorers: give its name alone.",
        ),
        (
            {"auc": {"curve": "PR"}},
            "auc",
            "takes no arguments, which are for scikit-learn's scorers: give its name alone.",
        ),
    ],
)
def test_arguments_that_an_objective_has_not_are_told(given, path, message):
    with pytest.raises(ConfigError) as caught:
        find_objective(given)
    assert str(caught.value) == f"config, search.objective.{path}: {message}"


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
    fault = fault_of(name, np.arange(40) % n_classes)
    assert (fault is not None) is is_refused


def test_scorers_of_two_classes_have_kin_for_more():
    labels = np.arange(40) % 10
    fault = fault_of("f1", labels)
    assert fault.endswith(" Take f1_macro, f1_micro or f1_weighted.")
    fault = fault_of("roc_auc", labels)
    assert fault.endswith(" Take roc_auc_ovo, roc_auc_ovo_weighted, roc_auc_ovr or roc_auc_ovr_weighted.")


def test_a_trial_of_the_scorer_needs_no_more_than_one_row_a_class():
    labels = np.zeros(5000, dtype=np.int64)
    labels[0] = 1
    assert fault_of("roc_auc", labels) is None


def test_a_class_that_is_never_predicted_is_no_warning(recwarn):
    probabilities = np.tile([0.9, 0.1], (4, 1))
    assert sklearn_score("precision", {}, np.array([0, 0, 1, 1]), probabilities, classes_of(2)) == 0.0
    assert list(recwarn) == []
