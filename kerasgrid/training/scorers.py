"""scikit-learn's scorers, on predictions that are there. Free of Keras; imported where it is used."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, get_scorer_names


def scorer_names() -> set[str]:
    """Returns the names of all scorers."""
    return set(get_scorer_names())


class _Predictions(ClassifierMixin, BaseEstimator):
    """What a scikit-learn scorer needs of an estimator, answered from predictions that are there."""

    def __init__(self, probabilities: np.ndarray, multi_label: bool = False) -> None:
        self.probabilities, self.multi_label = probabilities, multi_label
        n_classes = probabilities.shape[1]
        self.classes_ = [np.arange(2)] * n_classes if multi_label else np.arange(n_classes)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: np.ndarray) -> np.ndarray:
        if self.multi_label:
            return (self.probabilities >= 0.5).astype(int)
        return self.probabilities.argmax(axis=1)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.probabilities


def sklearn_score(name: str, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns a scikit-learn scorer's value.

    Args:
        name: Of scikit-learn's scorers.
        labels: (sample,), class indices; or (sample, label) of 0 and 1.
        probabilities: (sample, class), float.

    Raises:
        ValueError: The scorer cannot score such labels, as `precision` more than two classes.
    """
    rows = np.zeros((len(labels), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is never predicted is no news in a search
        return float(get_scorer(name)(_Predictions(probabilities, labels.ndim == 2), rows, labels))
