"""scikit-learn's scorers, on predictions that are there. Free of Keras; imported where it is used."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer

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


def sklearn_score(
    name: str,
    arguments: Mapping[str, Any],
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[Any],
    one_hot: bool = False,
) -> float:
    """Returns a scikit-learn scorer's value, which sees the labels as the user has them.

    Args:
        name: Of `scorer_names`.
        arguments: For it, such as `pos_label`.
        labels: (sample,), class indices; or (sample, label) of 0 and 1.
        probabilities: (sample, class), float, in the order of `classes`.
        classes: The label of each class.
        one_hot: Whether the user has one-hot rows, which are indicators to scikit-learn.

    Raises:
        ValueError: The scorer cannot score such labels, as `precision` more than two classes.
        TypeError: Likewise, as an error of labels that are texts.
    """
    if labels.ndim == 2:
        truth, predicted = labels, (probabilities >= 0.5).astype(int)
    else:
        known = np.eye(len(classes), dtype=int) if one_hot else np.asarray(classes)
        truth, predicted = known[labels], known[probabilities.argmax(axis=1)]
    columns = [np.arange(2)] * len(classes)
    said = _Predictions(probabilities, np.asarray(classes) if truth.ndim == 1 else columns, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is never predicted is no news in a search
        return float(_scorer(name, arguments)(said, np.zeros((len(labels), 1)), truth))
