"""What candidates are scored by: scikit-learn's scorers, Keras's metrics, the loss."""

# ruff: noqa: E501 - a message on one line is easier to read

from __future__ import annotations

import re
from functools import partial

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
from kerasgrid.jobs.objective import (
    accuracy,
    as_written,
    default_objective,
    find_objective,
    is_in_hand,
    number_scores,
    objective_fault,
    own_score,
    sklearn_score,
)
from kerasgrid.records import Target


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


OF_LABELS = {
    "accuracy": None,  # the share of labels
    "exact_match": metrics.accuracy_score,
    "neg_hamming_loss": lambda y, said: -metrics.hamming_loss(y, said),
    **{
        f"{name}_{average}": partial(getattr(metrics, f"{name}_score"), average=average)
        for name in ("f1", "jaccard", "precision", "recall")
        for average in ("macro", "micro", "samples", "weighted")
    },
}


@pytest.mark.parametrize("cuts", [0.5, np.array([0.2, 0.5, 0.8])])
@pytest.mark.parametrize("name", [*OF_LABELS, "roc_auc", "average_precision", "fbeta"])
def test_scores_of_several_labels_are_scikit_learns_at_any_thresholds(name, cuts):
    chance = np.random.default_rng(0)
    labels, told = chance.integers(0, 2, (50, 3)), chance.random((50, 3))
    target, said = Target("labels", ("a", "b", "c")), (told >= cuts).astype(int)
    given = {"fbeta": {"fbeta": {"beta": 2, "average": "samples"}}}.get(name, name)
    score = find_objective(given)
    assert objective_fault(score, labels, target) is None
    if name == "accuracy":
        found, wanted = accuracy(labels, told, thresholds=cuts), 1 - metrics.hamming_loss(labels, said)
    else:
        found = sklearn_score(score.name, score.arguments, labels, told, target, thresholds=cuts)
        if name in OF_LABELS:
            wanted = OF_LABELS[name](labels, said)
        elif name == "fbeta":
            wanted = metrics.fbeta_score(labels, said, beta=2, average="samples")
        else:
            wanted = getattr(metrics, f"{name}_score")(labels, told)
    assert found == pytest.approx(wanted, abs=1e-12)


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


NUMBERS = Target("numbers", ("price",))
TWO = Target("numbers", ("width", "height"))


def numbers(n_outputs=1, low=0.5):
    chance = np.random.default_rng(0)
    labels = chance.uniform(low, 9, (60, n_outputs))
    return labels, labels + chance.normal(0, 0.1, labels.shape)


@pytest.mark.parametrize("target", [NUMBERS, TWO], ids=["one", "two"])
def test_every_scorer_of_regression_gives_scikit_learns_value_of_numbers_and_no_other_scores_them(target):
    labels, predictions = numbers(target.n_outputs)
    own = (slice(None), 0) if target.n_outputs == 1 else ()
    taken = set()
    for name in sorted(get_scorer_names()):
        fault = objective_fault(find_objective(name), labels, target)
        if fault is None:
            taken.add(name)
            found = sklearn_score(name, {}, labels, predictions, target)
            scorer = get_scorer(name)
            value = scorer._sign * scorer._score_func(labels[own], predictions[own], **scorer._kwargs)
            assert found == pytest.approx(value, abs=1e-12), name
        else:
            assert fault.startswith(f"is {name!r}, which ")
    wanted = {name for name in get_scorer_names() if "_regression" in get_scorer(name)._score_func.__module__}
    refused = {"neg_max_error", "max_error", "neg_mean_gamma_deviance", "neg_mean_poisson_deviance"}
    assert taken == wanted - (refused if target is TWO else set())


@pytest.mark.parametrize(
    ("given", "target", "message"),
    [
        *(
            (name, NUMBERS, f"is {name!r}, which is of classes, and data.target has numbers: take r2, ")
            for name in ("accuracy", "f1_macro", "roc_auc", "adjusted_rand_score", "auc", "top_k_categorical_accuracy")
        ),
        ("cosine_similarity", NUMBERS, "is 'cosine_similarity', which compares a sample's numbers with each other, and "),
        ("cohen_kappa_score", NUMBERS, "is 'cohen_kappa_score', which cannot score a number: It is of whole numbers, and "),
        ("cohen_kappa_score", TWO, "is 'cohen_kappa_score', which cannot score 2 numbers: It is of whole numbers, and "),
        ("cosine_similarity", TWO, None),
        ("loss", NUMBERS, None),
        ("mse", NUMBERS, None),
        ("a.py:gain", NUMBERS, None),
    ],
)  # fmt: skip
def test_what_is_of_classes_is_refused_for_numbers(given, target, message):
    found = objective_fault(find_objective(given), numbers(target.n_outputs)[0], target)
    assert found is None if message is None else found.startswith(message)


def test_a_logarithm_of_negative_numbers_is_refused_beforehand():
    fault = objective_fault(find_objective("neg_mean_squared_log_error"), numbers(low=-5)[0], NUMBERS)
    assert fault.startswith("is 'neg_mean_squared_log_error', which cannot score a number: ")


@pytest.mark.parametrize("name", ["quadratic_kappa", "quadratic_weighted_kappa", "qwk"])
def test_quadratic_kappa_is_cohens_with_quadratic_weights(name):
    y = np.arange(60) % 4
    data, probabilities = data_of(y), np.random.default_rng(0).dirichlet([1] * 4, 60)
    assert fault_of(name, y) is None
    found = sklearn_score(name, {}, data.labels, probabilities, data.target)
    said = probabilities.argmax(axis=1)
    assert found == pytest.approx(metrics.cohen_kappa_score(y, said, weights="quadratic"), abs=1e-12)


def test_kappa_rounds_numbers_within_the_range_of_the_data():
    labels, predictions = np.array([[0.0], [1], [2], [3]]), np.array([[-0.7], [1.4], [1.6], [5.2]])
    among = np.arange(5.0)[:, None]
    found = sklearn_score("qwk", {}, labels, predictions, NUMBERS, among=among)
    assert found == metrics.cohen_kappa_score([0, 1, 2, 3], [0, 1, 2, 4], weights="quadratic")
    assert sklearn_score("qwk", {}, labels, predictions, NUMBERS) == 1.0


def test_fbeta_is_scikit_learns_by_its_short_name():
    y = np.arange(40) % 2
    assert "{fbeta: {beta: 1}}" in fault_of("fbeta", y)
    assert fault_of({"fbeta": {"beta": 2}}, y) is None


def gain(y_true, y_pred, factor=1.0):
    return factor * float(np.mean(y_true == y_pred))


def weighed(y_true, y_pred, sample_weight=None):
    return np.average(y_true == y_pred, weights=sample_weight)


def log_likelihood(y_true, y_prob):
    return np.log(y_prob[np.arange(len(y_true)), y_true]).mean()


@pytest.mark.parametrize("labels", ["texts", "numbers", "one-hot"])
def test_a_function_of_the_users_own_is_given_labels_as_the_user_has_them(labels):
    y = np.array(LABELS[labels])[np.arange(30) % 3]
    data, probabilities = data_of(y), np.random.default_rng(0).dirichlet([1] * 3, 30)
    given = []

    def looks(y_true, y_pred):
        given.extend((y_true, y_pred))
        return np.float32(0.5)

    assert own_score(looks, {}, data.labels, probabilities, data.target) == 0.5
    assert given[0].tolist() == y.tolist()
    assert given[1].tolist() == np.array(LABELS[labels])[probabilities.argmax(axis=1)].tolist()


class Tensor:
    """A number as a function of keras.ops gives it."""

    def __array__(self, dtype=None, copy=None):
        return np.array(0.25, dtype)


def test_a_function_of_the_users_own_has_make_scorers_terms_and_arguments():
    y, probabilities = np.arange(30) % 3, np.random.default_rng(0).dirichlet([1] * 3, 30)
    data = data_of(y)
    found = find_objective({"a.py:gain": {"greater_is_better": False, "factor": 2}})
    assert (found.name, found.kind, found.direction) == ("a.py:gain", "own", "min")
    hits = np.mean(probabilities.argmax(axis=1) == y)
    value = own_score(lambda *_: Tensor(), {}, data.labels, probabilities, data.target)
    assert (value, type(value)) == (0.25, float)
    value = own_score(gain, found.arguments, data.labels, probabilities, data.target)
    assert value == pytest.approx(2 * hits)
    terms = {"response_method": "predict_proba"}
    value = own_score(log_likelihood, terms, data.labels, probabilities, data.target)
    assert value == pytest.approx(-metrics.log_loss(y, probabilities))
    weights = (np.arange(30) % 2).astype(float)
    value = own_score(weighed, {}, data.labels, probabilities, data.target, weights=weights)
    assert value == pytest.approx(np.mean((probabilities.argmax(axis=1) == y)[1::2]))


def test_a_function_of_the_users_own_is_given_numbers_in_their_own_unit():
    labels, predictions = numbers()
    value = own_score(metrics.mean_absolute_error, {}, labels, predictions, NUMBERS)
    assert value == metrics.mean_absolute_error(labels[:, 0], predictions[:, 0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("good", "gives 'good'; a number holds."),
        (None, "gives None; a number holds."),
        (np.zeros(3), "gives an array of shape (3,); a number holds."),
    ],
)
def test_what_is_no_number_is_no_score(value, message):
    labels, predictions = numbers()
    with pytest.raises(TypeError) as caught:
        own_score(lambda y_true, y_pred: value, {}, labels, predictions, NUMBERS)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"greater_is_better": "no"}, "greater_is_better: is 'no'; true or false holds."),
        (
            {"response_method": "decision_function"},
            "response_method: is 'decision_function'; predict holds, or predict_proba; nets have no decision function.",
        ),
    ],
)
def test_terms_of_a_function_that_do_not_hold(arguments, message):
    with pytest.raises(ConfigError) as caught:
        find_objective({"a.py:gain": arguments}, "search.scores[1]")
    assert str(caught.value) == f"config, search.scores[1].a.py:gain.{message}"


@pytest.mark.parametrize(
    ("value", "written", "function"),
    [
        (gain, f"{__name__}:gain", gain),
        (metrics.max_error, "sklearn.metrics:max_error", metrics.max_error),
        (get_scorer("f1_macro"), "f1_macro", None),
        (
            metrics.make_scorer(metrics.mean_absolute_error, greater_is_better=False),
            "neg_mean_absolute_error",
            None,
        ),
        (metrics.make_scorer(gain), f"{__name__}:gain", gain),
        (
            metrics.make_scorer(gain, greater_is_better=False, response_method="predict_proba", factor=2),
            {
                f"{__name__}:gain": {
                    "greater_is_better": False,
                    "response_method": "predict_proba",
                    "factor": 2,
                }
            },
            gain,
        ),
        (
            metrics.make_scorer(metrics.fbeta_score, beta=2),
            {"sklearn.metrics:fbeta_score": {"beta": 2}},
            metrics.fbeta_score,
        ),
    ],
)
def test_a_function_or_scorer_in_hand_is_written_by_its_name(value, written, function):
    assert is_in_hand(value)
    assert as_written(value) == (written, function)


def test_a_function_of_other_arguments_is_refused():
    with pytest.raises(
        ConfigError, match=r"takes other arguments: a function of y_true and y_pred holds, or"
    ):
        as_written(lambda estimator, X, y: 0)


def test_a_score_that_takes_no_weights_is_refused_where_they_are_asked_for():
    data = data_of(np.arange(40) % 4)
    for name in ("f1_macro", "qwk", "loss", "auc", "a.py:gain"):
        assert objective_fault(find_objective(name), data.labels, data.target, is_weighted=True) is None
    fault = objective_fault(find_objective("neg_max_error"), numbers()[0], NUMBERS, is_weighted=True)
    assert fault.startswith(
        "is 'neg_max_error', which takes no weights, and search.weighted_scores asks for them"
    )


def test_numbers_are_told_by_three_scores():
    labels, predictions = numbers()
    weights = np.arange(60.0)
    found = number_scores(labels, predictions, weights)
    off = (labels - predictions)[:, 0]
    assert found["mean_absolute_error"] == pytest.approx(np.average(abs(off), weights=weights))
    assert found["root_mean_squared_error"] == pytest.approx(np.sqrt(np.average(off**2, weights=weights)))
    assert found["r2"] == pytest.approx(metrics.r2_score(labels, predictions, sample_weight=weights))
    assert (default_objective(NUMBERS), default_objective(classes_of(2))) == ("r2", "accuracy")


def test_accuracy_weighs_samples():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1]])
    assert accuracy(np.array([0, 1]), probabilities) == 0.5
    assert accuracy(np.array([0, 1]), probabilities, np.array([3.0, 1.0])) == 0.75
