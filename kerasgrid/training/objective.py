"""The objective: what a candidate is scored by. Free of Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kerasgrid.errors import ConfigError, Fault, did_you_mean
from kerasgrid.keras_names import CLASS_METRICS, METRICS, find_metric


@dataclass(frozen=True)
class Objective:
    """A score and which way is better.

    Attributes:
        name: As the config spells it.
        kind: `loss` and `keras` come from Keras's evaluate, `sklearn` from the predictions.
        direction: max or min.
        metric: For `keras`, the name in keras.metrics.
    """

    name: str
    kind: Literal["loss", "sklearn", "keras"]
    direction: Literal["max", "min"]
    metric: str | None = None


def find_objective(name: str) -> Objective:
    """Returns the objective of a name; scikit-learn's scorers come before Keras's metrics.

    Raises:
        ConfigError: Neither has it.
    """
    if name == "loss":
        return Objective(name, "loss", "min")
    from kerasgrid.training.scorers import scorer_names  # scikit-learn, while workers import Keras

    if name in scorer_names():
        return Objective(name, "sklearn", "max")
    metric = find_metric(name)
    if metric is not None:
        return Objective(name, "keras", METRICS[metric].direction, metric)
    known = {"accuracy", "loss", *scorer_names(), *METRICS}
    guess = did_you_mean(name, known).partition(" Known:")[0]
    message = (
        f"is {name!r}, which is no metric here.{guess} Known: accuracy, loss, scikit-learn's scorers and "
        "Keras's metrics."
    )
    raise ConfigError([Fault("search.objective", message)])


def objective_fault(objective: Objective, labels: np.ndarray, n_classes: int) -> str | None:
    """Returns why an objective cannot score these labels; None where it can.

    A scikit-learn scorer is tried on a made-up prediction, so that no epoch is trained in vain.
    """
    if objective.metric in CLASS_METRICS and labels.ndim == 2:
        return (
            f"is {objective.name!r}, which is of one class a sample, and with data.multi_label it has any "
            "number: take accuracy, f1_macro or binary_crossentropy."
        )
    if objective.kind != "sklearn":
        return None
    from kerasgrid.training.scorers import sklearn_score

    numbers = np.random.default_rng(0)
    rows = numbers.permutation(len(labels))[:1000]
    if labels.ndim == 2:
        tried = np.concatenate([labels[rows], np.eye(n_classes, dtype=labels.dtype)])
        probabilities = numbers.uniform(size=tried.shape)
    else:
        tried = np.concatenate([labels[rows], np.arange(n_classes)])
        probabilities = numbers.dirichlet(np.ones(n_classes), len(tried))
    try:
        sklearn_score(objective.name, tried, probabilities)
    except (ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        what = "several labels a sample" if labels.ndim == 2 else f"{n_classes} classes"
        return f"is {objective.name!r}, which cannot score {what}: {reason}"
    return None
