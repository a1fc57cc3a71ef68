"""The objective: what a candidate is scored by. Free of Keras."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from kerasgrid.errors import ConfigError, Fault, did_you_mean
from kerasgrid.keras_names import CLASS_METRICS, METRICS, find_metric
from kerasgrid.records import Dataset
from kerasgrid.yaml12 import quoted


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
    from kerasgrid.training.scorers import scorer_names  # scikit-learn, while workers import Keras

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
    from kerasgrid.training.scorers import argument_names

    known = argument_names(objective.name)
    faults = [
        Fault(f"search.objective.{objective.name}.{name}", f"unknown argument.{did_you_mean(name, known)}")
        for name in arguments
        if name not in known
    ]
    if faults:
        raise ConfigError(faults)
    return replace(objective, arguments=dict(arguments))


def objective_fault(objective: Objective, data: Dataset) -> str | None:
    """Returns why an objective cannot score the labels of some samples; None where it can.

    A scikit-learn scorer is tried on a made-up prediction, so that no epoch is trained in vain.
    """
    labels, classes = np.asarray(data.labels), data.classes
    if objective.metric in CLASS_METRICS and labels.ndim == 2:
        return (
            f"is {objective.name!r}, which is of one class a sample, and with data.multi_label it has any "
            "number: take accuracy, f1_macro or binary_crossentropy."
        )
    if objective.kind != "sklearn":
        return None
    from kerasgrid.training.scorers import argument_names, scorer_names, sklearn_score

    numbers = np.random.default_rng(0)
    rows, n_classes = numbers.permutation(len(labels))[:1000], len(classes)
    if labels.ndim == 2:
        tried = np.concatenate([labels[rows], np.eye(n_classes, dtype=labels.dtype)])
        probabilities = numbers.uniform(size=tried.shape)
    else:
        tried = np.concatenate([labels[rows], np.arange(n_classes)])
        probabilities = numbers.dirichlet(np.ones(n_classes), len(tried))

    def told(arguments: Mapping[str, Any], name: str = objective.name) -> str | None:
        try:
            sklearn_score(name, arguments, tried, probabilities, classes, data.one_hot)
        except (ValueError, TypeError, AttributeError) as error:
            return " ".join(str(error).split())
        return None

    reason = told(objective.arguments)
    if reason is None:
        return None
    if n_classes == 2 and labels.ndim == 1 and "pos_label" in argument_names(objective.name):
        given = {**objective.arguments, "pos_label": classes[1]}
        if told(given) is None:
            line = ", ".join(f"{name}: {_written(value)}" for name, value in given.items())
            return (
                f"is {objective.name!r}, which is of one of the two classes {classes[0]!r} and "
                f"{classes[1]!r}: say which it is, such as {{{objective.name}: {{{line}}}}}."
            )
    what = "several labels a sample" if labels.ndim == 2 else f"{n_classes} classes"
    if data.one_hot:
        what, reason = f"{what} as one-hot rows", f"{reason} Labels of one a sample hold: y.argmax(axis=1)."
    kin = sorted(name for name in scorer_names() if name.startswith(f"{objective.name}_"))
    fit = [name for name in kin if told({}, name) is None]
    instead = f" Take {' or '.join(filter(None, [', '.join(fit[:-1]), fit[-1]]))}." if fit else ""
    return f"is {objective.name!r}, which cannot score {what}: {reason}{instead}"


def _written(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else json.dumps(value)
