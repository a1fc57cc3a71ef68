"""Several models' probabilities as one: their mean, their ranks, or a mean with weights that were found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import rankdata

WAYS = ("mean", "rank", "weighted")
_ROUNDS = 50
_SPLITS = 5
Score = Callable[[np.ndarray, np.ndarray], float]
"""Of labels and probabilities (sample, class); higher is better."""


def combine(parts: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray | None = None) -> np.ndarray:
    """Returns the mean of probabilities.

    Args:
        parts: Each model's, (sample, class).
        weights: Of the models, which sum to 1; None for equal ones.
    """
    shares = [1 / len(parts)] * len(parts) if weights is None else weights
    weighted = (share * np.asarray(part, np.float64) for share, part in zip(shares, parts, strict=True))
    return sum(weighted, np.zeros(()))


def combine_ranks(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the mean rank of each class within a sample, as a share of 1: Borda's count.

    Where models tie, the class of the larger mean probability comes first. How sure a model is counts for
    nothing in it, so that models whose probabilities are of different sharpness count the same.

    Args:
        parts: Each model's, (sample, class).

    Returns:
        (sample, class) float64; rows sum to 1.
    """
    n_classes = parts[0].shape[1]
    # Sums of ranks differ by a half at least, so that less than that only decides between equal ones.
    points = sum(rankdata(part, axis=1) - 1 for part in parts) + 0.49 * combine(parts)
    return points / (len(parts) * n_classes * (n_classes - 1) / 2 + 0.49)


def find_weights(parts: Sequence[np.ndarray], labels: np.ndarray, score: Score) -> np.ndarray:
    """Returns weights of models by which their mean scores best on samples that none was trained on.

    Ensemble selection (Caruana et al. 2004): the model that helps most is added to the mean, again and
    again, and may be added more than once; the best of all rounds is kept. Of models that help the same, the
    one with the better log loss is added.

    Args:
        parts: Each model's, (sample, class).
        labels: (sample,), class indices; or (sample, label) of 0 and 1.
        score: Higher is better.

    Returns:
        (model,) float64, 0 or more, which sum to 1.
    """
    counts = np.zeros(len(parts))
    total = np.zeros(np.shape(parts[0]))
    best, best_value = np.eye(len(parts))[0], (-np.inf, -np.inf)
    for n in range(_ROUNDS):
        values = []
        for part in parts:
            mean = (total + part) / (n + 1)
            values.append((score(labels, mean), -log_loss(labels, mean)))
        chosen = max(range(len(parts)), key=lambda place: values[place])
        counts[chosen] += 1
        total += parts[chosen]
        if values[chosen] > best_value:
            best, best_value = counts / (n + 1), values[chosen]
    return best


def score_of_weighted(
    parts: Sequence[np.ndarray], labels: np.ndarray, folds: np.ndarray, score: Score
) -> float:
    """Returns what a mean with weights scores, each fold by weights that were found without it.

    On the samples that they were found on, weights score too well.

    Args:
        parts: Each model's, (sample, class).
        labels: Of the samples.
        folds: (sample,), the fold of each; where there is one only, five parts, each class's samples in turn.
        score: Higher is better.
    """
    if len(np.unique(folds)) < 2:
        order = np.arange(len(labels)) if labels.ndim == 2 else np.argsort(labels, kind="stable")
        folds = np.empty(len(labels), np.int64)
        folds[order] = np.arange(len(labels)) % _SPLITS
    whole = np.zeros(np.shape(parts[0]))
    for fold in np.unique(folds):
        others, own = folds != fold, folds == fold
        weights = find_weights([part[others] for part in parts], labels[others], score)
        whole[own] = combine([part[own] for part in parts], weights)
    return score(labels, whole)


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean cross-entropy.

    Args:
        labels: (sample,), class indices; or (sample, label) of 0 and 1.
        probabilities: (sample, class).
    """
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    if labels.ndim == 2:
        return float(-np.mean(labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped)))
    return float(-np.mean(np.log(clipped[np.arange(len(labels)), labels])))
