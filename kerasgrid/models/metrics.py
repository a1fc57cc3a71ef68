"""Keras's metrics as candidates are measured by them: what they need to know of a model's outputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerasgrid.errors import ModelError
from kerasgrid.keras_names import CLASS_METRICS, METRICS

_COUNTED = ("FalseNegatives", "FalsePositives", "Precision", "Recall", "TrueNegatives", "TruePositives")
_OF_LOGITS: dict[str, dict[str, Any]] = {
    "AUC": {"from_logits": True},
    "BinaryAccuracy": {"threshold": 0.0},
    "BinaryCrossentropy": {"from_logits": True},
    "BinaryIoU": {"threshold": 0.0},
    "CategoricalCrossentropy": {"from_logits": True},
    "SparseCategoricalCrossentropy": {"from_logits": True},
    **{name: {"thresholds": 0.0} for name in _COUNTED},
}
_AVERAGED = ("F1Score", "FBetaScore")
_SMALLEST = float(np.finfo(np.float32).tiny)
"""A threshold for logits where 0 is refused: what is above it is above 0."""


def make_metrics(
    objective: str | None,
    n_outputs: int,
    *,
    from_logits: bool | None = False,
    multi_label: bool = False,
    one_hot: bool = False,
) -> list[str | keras.metrics.Metric]:
    """Returns what a model is compiled with: accuracy, and the objective's metric where that is another.

    Args:
        objective: One of METRICS; None for none.
        n_outputs: Values that the model gives a sample.
        from_logits: Whether these are logits; None where that is not known.
        multi_label: Whether each output says of itself whether a sample has its label.
        one_hot: Whether labels of more than two classes are one-hot rows, which metrics of class indices
            then take too, under their own names.

    Raises:
        ModelError: The metric compares one output for each class, and there is a single one; or it takes
            one class a sample, which may have several labels.
    """
    is_binary = n_outputs == 1 or multi_label
    accuracy: str | keras.metrics.Metric = "accuracy"
    if is_binary:  # Keras's "accuracy" would cut logits at 0.5, and take one of several labels
        accuracy = binary_accuracy(from_logits)
    if objective in (None, "accuracy"):
        return [accuracy]
    if objective in CLASS_METRICS and is_binary:
        why = "a sample has any number of labels" if multi_label else "the model has a single output"
        raise ModelError(f"the metric {objective} is of one output for each class, and {why}.")
    name = METRICS[objective].class_name
    arguments = dict(_OF_LOGITS.get(name, {})) if from_logits else {}
    if name in _AVERAGED:
        arguments["average"] = "macro"  # a number, not one for each class
        if is_binary:  # else the largest output counts, however small
            arguments["threshold"] = _SMALLEST if from_logits else 0.5
    if one_hot and METRICS[objective].labels == "sparse":
        name = METRICS[objective.removeprefix("sparse_")].class_name
    return [accuracy, getattr(keras.metrics, name)(name=objective, **arguments)]


def binary_accuracy(from_logits: bool | None) -> keras.metrics.Metric:
    """Returns the accuracy of outputs that each say yes or no."""
    return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if from_logits else 0.5)
