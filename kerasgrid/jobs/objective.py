"""The objective: what a candidate is scored by, a Keras metric or a scikit-learn scorer. Free of Keras."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer

from kerasgrid.config.yaml12 import quoted
from kerasgrid.errors import ConfigError, Fault, did_you_mean
from kerasgrid.keras_names import CLASS_METRICS, METRICS, find_metric
from kerasgrid.records import Target
from kerasgrid.wording import joined

_OF_SAMPLES = {"y_true", "y_pred", "y_score", "y_prob", "y_proba", "sample_weight", "y1", "y2"}


def scorer_names() -> set[str]:
    """Returns the names of all scorers, and of the scores of labels that are none, as cohen_kappa_score."""
    return {*get_scorer_names(), *_scores()}


def argument_names(name: str) -> set[str]:
    """Returns what a scorer can be told beside labels and predictions, such as `pos_label`."""
    return (
        set(inspect.signature(_scores().get(name) or get_scorer(name)._score_func).parameters) - _OF_SAMPLES
    )


@cache
def _scores() -> dict[str, Callable[..., float]]:
    """Returns what sklearn.metrics has of labels and predicted labels, of which more is better, by name."""
    scorers = [get_scorer(name)._score_func for name in get_scorer_names()]
    found = {name: getattr(metrics, name) for name in metrics.__all__ if name.endswith("_score")}
    return {
        name: score
        for name, score in found.items()
        if score not in scorers and {"y_true", "y_pred"} <= inspect.signature(score).parameters.keys()
    } | {"cohen_kappa_score": metrics.cohen_kappa_score}  # which calls them y1 and y2


def _scorer(name: str, arguments: Mapping[str, Any]) -> Callable[..., float]:
    if arguments.get("average", "binary") != "binary" and "pos_label" in argument_names(name):
        arguments = {"pos_label": None, **arguments}  # its default would have to be a class
    if name in _scores():
        return make_scorer(_scores()[name], **arguments)
    scorer = get_scorer(name)  # a copy
    scorer._kwargs = {**scorer._kwargs, **arguments}  # which there is no public way to add to
    return scorer


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


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the share of samples that are put into their class; of several labels, of labels right."""
    said = probabilities >= 0.5 if labels.ndim == 2 else probabilities.argmax(axis=1)
    return float(np.mean(said == labels))


def sklearn_score(
    name: str,
    arguments: Mapping[str, Any],
    labels: np.ndarray,
    probabilities: np.ndarray,
    target: Target,
) -> float:
    """Returns a scikit-learn scorer's value, which sees the labels as the user has them.

    Args:
        name: Of `scorer_names`.
        arguments: For it, such as `pos_label`.
        labels: (sample,), class indices; or (sample, label) of 0 and 1.
        probabilities: (sample, class), float, in the order of the target's names.
        target: What labels are; one-hot rows are indicators to scikit-learn.

    Raises:
        ValueError: The scorer cannot score such labels, as `precision` more than two classes.
        TypeError: Likewise, as an error of labels that are texts.
    """
    classes = target.names
    if target.is_multi_label:
        truth, predicted = labels, (probabilities >= 0.5).astype(int)
    else:
        known = np.eye(len(classes), dtype=int) if target.one_hot else np.asarray(classes)
        truth, predicted = known[labels], known[probabilities.argmax(axis=1)]
    columns = [np.arange(2)] * len(classes)
    said = _Predictions(probabilities, np.asarray(classes) if truth.ndim == 1 else columns, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is never predicted is no news in a search
        return float(_scorer(name, arguments)(said, np.zeros((len(labels), 1)), truth))


@dataclass(frozen=True)
class Objective:
    """A score and which way is better.

    Attributes:
        name: As the config spells it.
        kind: `loss` and `keras` come from Keras's evaluate, `sklearn` from the predictions.
        direction: max or min.
        metric: For `keras`, the name in keras.metrics.
        arguments: For `sklearn`, what the scorer is told beside labels and predictions.
    """

    name: str
    kind: Literal["loss", "sklearn", "keras"]
    direction: Literal["max", "min"]
    metric: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        told = ", ".join(f"{name}: {value}" for name, value in self.arguments.items())
        return f"{self.name} with {told}" if told else self.name


def find_objective(given: str | Mapping[str, Mapping[str, Any]]) -> Objective:
    """Returns the objective of a name; scikit-learn's scorers come before Keras's metrics.

    Args:
        given: The name; or a scorer's name to its arguments.

    Raises:
        ConfigError: Neither has it, or it has no such arguments.
    """
    if not isinstance(given, str):
        [(name, arguments)] = given.items()
        return _with_arguments(find_objective(name), arguments)
    if given == "loss":
        return Objective(given, "loss", "min")

    if given in scorer_names():
        return Objective(given, "sklearn", "max")
    metric = find_metric(given)
    if metric is not None:
        return Objective(given, "keras", METRICS[metric].direction, metric)
    known = {"accuracy", "loss", *scorer_names(), *METRICS}
    guess = did_you_mean(given, known, ()).partition(" Known:")[0]
    message = (
        f"is {given!r}, which is no metric here.{guess} Known: accuracy, loss, scikit-learn's scorers and "
        "Keras's metrics."
    )
    raise ConfigError([Fault("search.objective", message)])


def _with_arguments(objective: Objective, arguments: Mapping[str, Any]) -> Objective:
    if objective.kind != "sklearn" or objective.name == "accuracy":
        holds = "takes no arguments, which are for scikit-learn's scorers: give its name alone."
        raise ConfigError([Fault(f"search.objective.{objective.name}", holds)])

    known = argument_names(objective.name)
    faults = [
        Fault(f"search.objective.{objective.name}.{name}", f"unknown argument.{did_you_mean(name, known)}")
        for name in arguments
        if name not in known
    ]
    if faults:
        raise ConfigError(faults)
    return replace(objective, arguments=dict(arguments))


def objective_fault(
    objective: Objective,
    labels: np.ndarray,
    target: Target,
    *,
    in_python: bool = False,
) -> str | None:
    """Returns why an objective cannot score some labels, and what could; None where it can.

    A scikit-learn scorer is tried on a made-up prediction, so that no epoch is trained in vain.

    Args:
        objective: What would score.
        labels: (sample,), class indices; or (sample, label) of 0 and 1.
        target: What they are.
        in_python: Whether a line to write is one of scikit-learn's `scoring`, not of a config.
    """
    classes, one_hot = target.names, target.one_hot
    if objective.metric in CLASS_METRICS and target.is_multi_label:
        return (
            f"is {objective.name!r}, which is of one class a sample, and with data.multi_label it has any "
            "number: take accuracy, f1_macro or binary_crossentropy."
        )
    if objective.kind != "sklearn":
        return None

    numbers = np.random.default_rng(0)
    rows, n_classes = numbers.permutation(len(labels))[:1000], len(classes)
    if target.is_multi_label:
        tried = np.concatenate([labels[rows], np.eye(n_classes, dtype=labels.dtype)])
        probabilities = numbers.uniform(size=tried.shape)
    else:
        tried = np.concatenate([labels[rows], np.arange(n_classes)])
        probabilities = numbers.dirichlet(np.ones(n_classes), len(tried))

    def told(arguments: Mapping[str, Any], name: str = objective.name) -> str | None:
        try:
            sklearn_score(name, arguments, tried, probabilities, target)
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
    told = "".join(f", {key}={value!r}" for key, value in arguments.items())
    return f"make_scorer({name.removesuffix('_score')}_score{told})"
