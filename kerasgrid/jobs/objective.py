"""The objective: what a candidate is scored by, a Keras metric, a scikit-learn scorer or a function of the
user's own. Free of Keras.
"""

from __future__ import annotations

import functools
import inspect
import json
import numbers
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer

from kerasgrid.config.callbacks import is_own
from kerasgrid.config.yaml12 import quoted
from kerasgrid.errors import ConfigError, Fault, did_you_mean
from kerasgrid.keras_names import CLASS_METRICS, METRICS, NUMBER_METRICS, find_metric, is_of_keras
from kerasgrid.models.references import text_of
from kerasgrid.records import Target
from kerasgrid.wording import is_built, joined

_OF_SAMPLES = {"y_true", "y_pred", "y_score", "y_prob", "y_proba", "sample_weight", "y1", "y2"}
_KAPPA = "cohen_kappa_score"
_EXACT = "accuracy_score"
"""Of several labels, the share of samples all of whose labels are right, where accuracy is that of labels."""
_ALIASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **dict.fromkeys(
        ("quadratic_kappa", "quadratic_weighted_kappa", "qwk"), (_KAPPA, {"weights": "quadratic"})
    ),
    "fbeta": ("fbeta_score", {}),
    **dict.fromkeys(("exact_match", "subset_accuracy"), (_EXACT, {})),
}
"""Names of competitions for scikit-learn's scores: the score, and what it is told beside."""
_TERMS = ("greater_is_better", "response_method")
"""What make_scorer takes beside a function of the user's own."""
_RESPONSES = ("predict", "predict_proba")
HALF = 0.5
"""The probability at which a sample has a label, where nothing else is said."""
Thresholds = float | np.ndarray
"""Of labels: one for all, (label,), or (row, label)."""
MOST_TRIED = 1000
"""Rows of a made-up prediction, beside one of each class."""


def scorer_names() -> set[str]:
    """Returns the names of all scorers, and of the scores of labels that are none, as cohen_kappa_score."""
    return {*get_scorer_names(), *_scores(), *_ALIASES}


def argument_names(name: str) -> set[str]:
    """Returns what a scorer can be told beside labels and predictions, such as `pos_label`."""
    return set(inspect.signature(_function(name)).parameters) - _OF_SAMPLES - set(_resolved(name)[1])


def default_objective(target: Target) -> str:
    """Returns what candidates are scored by where nothing is said: accuracy, and r2 of numbers."""
    return "r2" if target.is_numbers else "accuracy"


def _resolved(name: str) -> tuple[str, Mapping[str, Any]]:
    return _ALIASES.get(name, (name, {}))


def _function(name: str) -> Callable[..., float]:
    """Returns what a scorer of `scorer_names` calls with labels and predictions."""
    name, _ = _resolved(name)
    return _scores().get(name) or get_scorer(name)._score_func


@cache
def _scores() -> dict[str, Callable[..., float]]:
    """Returns what sklearn.metrics has of labels and predicted labels, of which more is better, by name."""
    scorers = [get_scorer(name)._score_func for name in get_scorer_names()]
    found = {name: getattr(metrics, name) for name in metrics.__all__ if name.endswith("_score")}
    return {
        name: score
        for name, score in found.items()
        if score not in scorers and {"y_true", "y_pred"} <= inspect.signature(score).parameters.keys()
    } | {
        _KAPPA: metrics.cohen_kappa_score,  # which calls them y1 and y2
        _EXACT: metrics.accuracy_score,
        "neg_hamming_loss": _neg_hamming_loss,
    }


def _neg_hamming_loss(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    return 0.0 - metrics.hamming_loss(y_true, y_pred, sample_weight=sample_weight)


def _scorer(name: str, arguments: Mapping[str, Any]) -> Callable[..., float]:
    name, told = _resolved(name)
    arguments = {**told, **arguments}
    if arguments.get("average", "binary") != "binary" and "pos_label" in argument_names(name):
        arguments = {"pos_label": None, **arguments}  # its default would have to be a class
    if name in _scores():
        return make_scorer(_scores()[name], **arguments)
    scorer = get_scorer(name)  # a copy
    scorer._kwargs = {**scorer._kwargs, **arguments}  # which there is no public way to add to
    return scorer


def _own_scorer(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[..., float]:
    """Returns the scorer of a function of the user's own, whose value is as the function gives it."""

    @functools.wraps(function)  # so that scikit-learn sees its arguments
    def checked(*given: Any, **told: Any) -> float:
        value = function(*given, **told)
        is_array = hasattr(value, "__array__") and np.ndim(value) == 0  # a tensor too
        plain = np.asarray(value).item() if is_array else value
        if not isinstance(plain, numbers.Real):
            raise TypeError(f"gives {_brief(value)}; a number holds.")
        return float(plain)

    told = {name: value for name, value in arguments.items() if name not in _TERMS}
    return make_scorer(checked, response_method=arguments.get("response_method", "predict"), **told)


def _brief(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{value!r}" if shape is None else f"an array of shape {tuple(shape)}"


class _Predictions(ClassifierMixin, BaseEstimator):
    """What a scikit-learn scorer needs of an estimator, answered from predictions that are there.

    Args:
        probabilities: (sample, class).
        classes: The labels in that order; a list of [0, 1] each where y has a column a class.
        predicted: What is likeliest, in the form of y.
    """

    def __init__(self, probabilities: np.ndarray, classes: Any, predicted: np.ndarray) -> None:
        self.probabilities, self.classes_, self.predicted = probabilities, classes, predicted

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.predicted

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.probabilities


class _Numbers(RegressorMixin, BaseEstimator):
    """What a scikit-learn scorer needs of an estimator of numbers that are predicted already."""

    def __init__(self, predicted: np.ndarray) -> None:
        self.predicted = predicted

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.predicted


def accuracy(
    labels: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
    thresholds: Thresholds = HALF,
) -> float:
    """Returns the share of samples that are put into their class; of several labels, of labels right."""
    said = probabilities >= thresholds if labels.ndim == 2 else probabilities.argmax(axis=1)
    right = said == labels
    return float(np.average(right.mean(axis=1) if right.ndim == 2 else right, weights=weights))


def number_scores(
    labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Returns what is told of every prediction of numbers; of several numbers the mean of each.

    Args:
        labels: (row, number).
        predictions: (row, number).
        weights: (row,); None for the same.
    """
    found = {
        "r2": metrics.r2_score,
        "mean_absolute_error": metrics.mean_absolute_error,
        "root_mean_squared_error": metrics.root_mean_squared_error,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # r2 of a single row is NaN
        return {
            name: float(score(labels, predictions, sample_weight=weights)) for name, score in found.items()
        }


def sklearn_score(
    name: str,
    arguments: Mapping[str, Any],
    labels: np.ndarray,
    predictions: np.ndarray,
    target: Target,
    *,
    weights: np.ndarray | None = None,
    among: np.ndarray | None = None,
    thresholds: Thresholds = HALF,
) -> float:
    """Returns a scikit-learn scorer's value, which sees the labels as the user has them.

    Cohen's kappa is of whole numbers: where numbers are predicted, they are rounded within the range of
    what was there to learn.

    Args:
        name: Of `scorer_names`.
        arguments: For it, such as `pos_label`.
        labels: (sample,), class indices; (sample, label) of 0 and 1; or (sample, number).
        predictions: Probabilities (sample, class), float, in the order of the target's names; or numbers,
            (sample, number).
        target: What labels are; one-hot rows are indicators to scikit-learn.
        weights: (sample,), what each counts; None for the same.
        among: All labels of the data, in whose range whole numbers are; None for `labels`.
        thresholds: At which a sample has each of several labels.

    Raises:
        ValueError: The scorer cannot score such labels, as `precision` more than two classes.
        TypeError: Likewise, as an error of labels that are texts.
    """
    if target.is_numbers and _resolved(name)[0] == _KAPPA:
        labels, predictions = _whole(labels, predictions, labels if among is None else among)
    return _score(_scorer(name, arguments), labels, predictions, target, weights, thresholds)


def own_score(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    labels: np.ndarray,
    predictions: np.ndarray,
    target: Target,
    *,
    weights: np.ndarray | None = None,
    thresholds: Thresholds = HALF,
) -> float:
    """Returns what a function of the user's own makes of labels as the user has them.

    Args:
        function: f(y_true, y_pred, **arguments), with `sample_weight` where there are weights.
        arguments: For it, and make_scorer's `response_method`.
        labels: As in `sklearn_score`.
        predictions: Likewise.
        target: What labels are.
        weights: (sample,), what each counts; None for the same.
        thresholds: As in `sklearn_score`.

    Raises:
        TypeError: It gives no number.
        Exception: Whatever it raises itself.
    """
    return _score(_own_scorer(function, arguments), labels, predictions, target, weights, thresholds)


def _whole(labels: np.ndarray, predictions: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if (labels != np.round(labels)).any():
        found = labels[labels != np.round(labels)][0]
        raise ValueError(f"It is of whole numbers, and {found:g} is among those to predict.")
    within = np.clip(np.round(predictions), among.min(), among.max())
    return labels.astype(np.int64), within.astype(np.int64)


def _score(
    scorer: Callable[..., float],
    labels: np.ndarray,
    predictions: np.ndarray,
    target: Target,
    weights: np.ndarray | None,
    thresholds: Thresholds,
) -> float:
    said, truth = _as_given(labels, predictions, target, thresholds)
    weighed = {} if weights is None else {"sample_weight": weights}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is never predicted is no news in a search
        return float(scorer(said, np.zeros((len(labels), 1)), truth, **weighed))


def _as_given(
    labels: np.ndarray, predictions: np.ndarray, target: Target, thresholds: Thresholds
) -> tuple[Any, np.ndarray]:
    """Returns an estimator that has predicted, and the labels, both in the form that the user has them in."""
    if target.is_numbers:
        one = (slice(None), 0) if target.n_outputs == 1 else ()
        return _Numbers(predictions[one]), labels[one]
    classes = target.names
    if target.is_multi_label:
        truth, predicted = labels, (predictions >= thresholds).astype(int)
    else:
        known = np.eye(len(classes), dtype=int) if target.one_hot else np.asarray(classes)
        truth, predicted = known[labels], known[predictions.argmax(axis=1)]
    columns = [np.arange(2)] * len(classes)
    return _Predictions(predictions, np.asarray(classes) if truth.ndim == 1 else columns, predicted), truth


@dataclass(frozen=True)
class Objective:
    """A score and which way is better.

    Attributes:
        name: As the config spells it.
        kind: `loss` and `keras` come from Keras's evaluate, `sklearn` and `own` from the predictions.
        direction: max or min.
        metric: For `keras`, the name in keras.metrics.
        arguments: For `sklearn` and `own`, what it is told beside labels and predictions; for `own` also
            make_scorer's terms.
    """

    name: str
    kind: Literal["loss", "sklearn", "keras", "own"]
    direction: Literal["max", "min"]
    metric: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        told = ", ".join(f"{name}: {value}" for name, value in self.arguments.items())
        return f"{self.name} with {told}" if told else self.name


Spelling = str | Mapping[str, Mapping[str, Any]]
"""How a config spells an objective: by its name, or by a scorer's name to its arguments."""


def find_objective(given: Spelling, place: str = "search.objective") -> Objective:
    """Returns the objective of a name; scikit-learn's scorers come before Keras's metrics.

    Args:
        given: The name, or the reference of a function of the user's own; or either to its arguments.
        place: The key path where it stands, for messages.

    Raises:
        ConfigError: Nothing has such a name, or it has no such arguments.
    """
    if not isinstance(given, str):
        [(name, arguments)] = given.items()
        return _with_arguments(find_objective(name, place), arguments, place)
    if given == "loss":
        return Objective(given, "loss", "min")
    if is_own(given):
        return Objective(given, "own", "max")
    if given in scorer_names():
        return Objective(given, "sklearn", "max")
    metric = find_metric(given)
    if metric is not None:
        return Objective(given, "keras", METRICS[metric].direction, metric)
    known = {"accuracy", "loss", *scorer_names(), *METRICS}
    guess = did_you_mean(given, known, ()).partition(" Known:")[0]
    message = (
        f"is {given!r}, which is no metric here.{guess} Known: accuracy, loss, scikit-learn's scorers, "
        "Keras's metrics, and a function of your own, path/to/file.py:function."
    )
    raise ConfigError([Fault(place, message)])


def _with_arguments(objective: Objective, arguments: Mapping[str, Any], place: str) -> Objective:
    place = f"{place}.{objective.name}"
    if objective.kind == "own":
        better, response = (
            arguments.get("greater_is_better", True),
            arguments.get("response_method", "predict"),
        )
        faults = []
        if not isinstance(better, bool):
            faults.append(Fault(f"{place}.greater_is_better", f"is {better!r}; true or false holds."))
        if response not in _RESPONSES:
            holds = "predict holds, or predict_proba; nets have no decision function"
            faults.append(Fault(f"{place}.response_method", f"is {response!r}; {holds}."))
        if faults:
            raise ConfigError(faults)
        return replace(objective, arguments=dict(arguments), direction="max" if better else "min")
    if objective.kind != "sklearn" or objective.name == "accuracy":
        holds = "takes no arguments, which are for scikit-learn's scorers: give its name alone."
        raise ConfigError([Fault(place, holds)])

    known = argument_names(objective.name)
    faults = [
        Fault(f"{place}.{name}", f"unknown argument.{did_you_mean(name, known)}")
        for name in arguments
        if name not in known
    ]
    if faults:
        raise ConfigError(faults)
    return replace(objective, arguments=dict(arguments))


def is_in_hand(value: Any) -> bool:
    """Tells whether a value is a function f(y_true, y_pred), or a scorer of scikit-learn's make_scorer."""
    if isinstance(value, type) or is_built(value) or is_of_keras(value):
        return False
    return callable(value)


def as_written(value: Callable[..., Any]) -> tuple[Spelling, Callable[..., Any] | None]:
    """Returns how a config writes a function or scorer in hand, and the function that its name stands for.

    A scorer of scikit-learn's own is its name, and stands for itself.

    Raises:
        ConfigError: The function takes other arguments.
    """
    if not hasattr(value, "_score_func"):
        _check_takes_two(value)
        return _name_of(value), value
    scorer: Any = value
    for name in get_scorer_names():
        if _parts_of(get_scorer(name)) == _parts_of(scorer):
            return name, None
    function, sign, response, arguments = _parts_of(scorer)
    response = response if isinstance(response, str) else next((r for r in response if r in _RESPONSES), "")
    told: dict[str, Any] = {} if sign > 0 else {"greater_is_better": False}
    told |= {} if response == "predict" else {"response_method": response}
    told |= arguments
    return {_name_of(function): told} if told else _name_of(function), function


def _parts_of(scorer: Any) -> tuple[Any, ...]:
    return scorer._score_func, scorer._sign, scorer._response_method, scorer._kwargs


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "")
    return f"sklearn.metrics:{name}" if getattr(metrics, name, None) is function else text_of(function)


def _check_takes_two(function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        what = f"is {_name_of(function)}, which takes other arguments"
        holds = f"{what}: a function of y_true and y_pred holds, or scikit-learn's make_scorer of one."
        raise ConfigError([Fault("", holds)]) from None
    except ValueError:  # a function of C tells none
        return


def made_up(labels: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels of which some are the data's, all classes among them, and a prediction of them.

    Both as in `sklearn_score`. Numbers are predicted from among those that there are.
    """
    chance = np.random.default_rng(0)
    rows, n_outputs = chance.permutation(len(labels))[:MOST_TRIED], target.n_outputs
    if target.is_numbers:
        others = labels[chance.permutation(rows)]
        return labels[rows], (labels[rows] + others) / 2
    if target.is_multi_label:
        tried = np.concatenate([labels[rows], np.eye(n_outputs, dtype=labels.dtype)])
        return tried, chance.uniform(size=tried.shape)
    tried = np.concatenate([labels[rows], np.arange(n_outputs)])
    return tried, chance.dirichlet(np.ones(n_outputs), len(tried))


def objective_fault(
    objective: Objective,
    labels: np.ndarray,
    target: Target,
    *,
    in_python: bool = False,
    is_weighted: bool = False,
) -> str | None:
    """Returns why an objective cannot score some labels, and what could; None where it can.

    A scikit-learn scorer is tried on a made-up prediction, so that no epoch is trained in vain. A function of
    the user's own is not: that is run in workers alone.

    Args:
        objective: What would score.
        labels: (sample,), class indices; (sample, label) of 0 and 1; or (sample, number).
        target: What they are.
        in_python: Whether a line to write is one of scikit-learn's `scoring`, not of a config.
        is_weighted: Whether samples are to count by their weights.
    """
    if objective.metric in CLASS_METRICS and target.is_multi_label:
        return (
            f"is {objective.name!r}, which is of one class a sample, and a sample may have several labels "
            "here: take accuracy, f1_macro or binary_crossentropy."
        )
    is_of_one = target.is_numbers and target.n_outputs == 1
    if is_of_one and objective.metric in NUMBER_METRICS and METRICS[objective.metric].labels == "one_hot":
        return (
            f"is {objective.name!r}, which compares a sample's numbers with each other, and data.target is a "
            "single one: take r2, or a function of your own, path/to/file.py:function."
        )
    if target.is_numbers and not _can_score_numbers(objective):
        return (
            f"is {objective.name!r}, which is of classes, and data.target has numbers: take r2, "
            "neg_root_mean_squared_error, neg_mean_absolute_error or another of scikit-learn's scorers of "
            "regression; or one of Keras's metrics of numbers, such as mean_absolute_error."
        )
    if objective.kind != "sklearn":
        return None
    if is_weighted and "sample_weight" not in inspect.signature(_function(objective.name)).parameters:
        return (
            f"is {objective.name!r}, which takes no weights, and search.weighted_scores asks for them: leave "
            "that out, or take another score."
        )
    return _fault_of_scorer(objective, labels, target, in_python)


def scores_numbers(objective: Objective) -> bool:
    """Tells whether a score is one of regression, by scikit-learn or Keras."""
    if objective.kind == "keras":
        return objective.metric in NUMBER_METRICS
    is_known = objective.kind == "sklearn"
    return is_known and _function(objective.name).__module__ == metrics.r2_score.__module__


def _can_score_numbers(objective: Objective) -> bool:
    if objective.kind not in ("keras", "sklearn") or scores_numbers(objective):
        return True
    return objective.kind == "sklearn" and _function(objective.name) is metrics.cohen_kappa_score


def _fault_of_scorer(objective: Objective, labels: np.ndarray, target: Target, in_python: bool) -> str | None:
    tried, predictions = made_up(labels, target)

    def told(arguments: Mapping[str, Any], name: str = objective.name) -> str | None:
        try:
            sklearn_score(name, arguments, tried, predictions, target, among=labels)
        except (ValueError, TypeError, AttributeError) as error:
            return " ".join(str(error).split())
        return None

    def line(more: Sequence[dict[str, Any]]) -> str | None:
        """Returns the objective with the first of some further arguments by which it can score."""
        for arguments in more:
            given = {**objective.arguments, **arguments}
            if arguments.keys() <= argument_names(objective.name) and told(given) is None:
                return (_in_python if in_python else _in_yaml)(objective.name, given)
        return None

    reason = told(objective.arguments)
    if reason is None:
        return None
    if target.is_numbers:
        what = "a number" if target.n_outputs == 1 else f"{target.n_outputs} numbers"
        return f"is {objective.name!r}, which cannot score {what}: {reason}"
    classes, n_classes, one_hot = target.names, target.n_outputs, target.one_hot
    beta, mean = {"beta": 1}, {"average": "macro"}
    of_one = n_classes == 2 and labels.ndim == 1 and "average" not in objective.arguments and not one_hot
    positive = [{"pos_label": classes[1]}, {**beta, "pos_label": classes[1]}]
    if of_one and line([beta]) is None and (written := line(positive)) is not None:
        return (
            f"is {objective.name!r}, which is of one of the two classes {classes[0]!r} and {classes[1]!r}: "
            f"say which it is, such as {written}."
        )
    what = "several labels a sample" if labels.ndim == 2 else f"{n_classes} classes"
    if one_hot:
        what, reason = f"{what} as one-hot rows", f"{reason} Labels of one a sample hold: y.argmax(axis=1)."
    kin = sorted(name for name in scorer_names() if name.startswith(f"{objective.name}_"))
    fit = [name for name in kin if told({}, name) is None]
    if fit and not objective.arguments:
        reason += f" Take {joined(fit, 'or')}."
    elif (written := line([beta, mean, {**beta, **mean}])) is not None:
        reason = f"{reason.rstrip('.')}. Such as {written} can."
    return f"is {objective.name!r}, which cannot score {what}: {reason}"


def _in_yaml(name: str, arguments: Mapping[str, Any]) -> str:
    told = (f"{key}: {quoted(v) if isinstance(v, str) else json.dumps(v)}" for key, v in arguments.items())
    return f"{{{name}: {{{', '.join(told)}}}}}"


def _in_python(name: str, arguments: Mapping[str, Any]) -> str:
    name, beside = _resolved(name)
    told = "".join(f", {key}={value!r}" for key, value in {**beside, **arguments}.items())
    return f"make_scorer({name.removesuffix('_score')}_score{told})"
