"""What Keras 3.15 calls its optimizers, losses, metrics and activations; imports no Keras.

A config is checked against these tables before any worker starts, since importing Keras takes seconds.
A test compares every entry to the installed Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kerasgrid.errors import did_you_mean

LabelForm = Literal["sparse", "one_hot", "binary", "any"]
"""What a loss or metric wants as labels.

sparse: class indices, (sample,). one_hot: one-hot rows, (sample, class), from a model with an output a
class. binary: numbers of the output's own shape, so one-hot rows, or 0 and 1 where the model has a single
output. any: Keras picks by the shapes.
"""

_EVERY_OPTIMIZER: dict[str, Any] = {
    "weight_decay": None,
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}
_ADAM: dict[str, Any] = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07}

OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    name: {**_EVERY_OPTIMIZER, **arguments}
    for name, arguments in {
        "Adadelta": {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-07},
        "Adafactor": {
            "learning_rate": 0.001,
            "beta_2_decay": -0.8,
            "epsilon_1": 1e-30,
            "epsilon_2": 0.001,
            "clip_threshold": 1.0,
            "relative_step": True,
        },
        "Adagrad": {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-07},
        "Adam": {**_ADAM, "amsgrad": False},
        "AdamW": {**_ADAM, "amsgrad": False, "weight_decay": 0.004},
        "Adamax": _ADAM,
        "Ftrl": {
            "learning_rate": 0.001,
            "learning_rate_power": -0.5,
            "initial_accumulator_value": 0.1,
            "l1_regularization_strength": 0.0,
            "l2_regularization_strength": 0.0,
            "l2_shrinkage_regularization_strength": 0.0,
            "beta": 0.0,
        },
        "Lamb": _ADAM,
        "Lion": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99},
        "Muon": {
            "learning_rate": 0.001,
            "adam_beta_1": 0.9,
            "adam_beta_2": 0.999,
            "adam_weight_decay": 0.004,
            "epsilon": 1e-07,
            "weight_decay": 0.004,
            "exclude_layers": None,
            "exclude_embeddings": True,
            "muon_a": 3.4445,
            "muon_b": -4.775,
            "muon_c": 2.0315,
            "adam_lr_ratio": 1,
            "momentum": 0.95,
            "ns_steps": 5,
            "nesterov": True,
            "rms_rate": 0.2,
        },
        "Nadam": _ADAM,
        "RMSprop": {
            "learning_rate": 0.001,
            "rho": 0.9,
            "momentum": 0.0,
            "epsilon": 1e-07,
            "centered": False,
        },
        "SGD": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False},
        "ScheduleFreeAdamW": {**_ADAM, "learning_rate": 0.0025, "epsilon": 1e-08, "warmup_steps": 0},
    }.items()
}
"""Each optimizer's constructor arguments with their defaults.

Made by `getattr(keras.optimizers, name)(...)`: `keras.optimizers.get` does not know Lamb.
"""

WRAPPING_OPTIMIZERS = ("LossScaleOptimizer", "MultiOptimizer", "OptimizerMap")
"""Optimizers that are made of other optimizers, and so cannot be chosen by name alone."""

_RECTIFIED_ADAM = ("rectifiedadam", "rectified_adam", "radam")


@dataclass(frozen=True)
class Loss:
    """A loss of Keras.

    Attributes:
        class_name: The class that takes the arguments.
        labels: The labels it wants.
        arguments: The class's own arguments with their defaults.
    """

    class_name: str
    labels: LabelForm
    arguments: Mapping[str, Any] = field(default_factory=dict)


_LOGITS: dict[str, Any] = {"from_logits": False, "label_smoothing": 0.0, "axis": -1}
_FOCAL: dict[str, Any] = {"alpha": 0.25, "gamma": 2.0, **_LOGITS}

LOSSES: Mapping[str, Loss] = {
    "binary_crossentropy": Loss("BinaryCrossentropy", "binary", _LOGITS),
    "binary_focal_crossentropy": Loss(
        "BinaryFocalCrossentropy", "binary", {"apply_class_balancing": False, **_FOCAL}
    ),
    "categorical_crossentropy": Loss("CategoricalCrossentropy", "one_hot", _LOGITS),
    "categorical_focal_crossentropy": Loss("CategoricalFocalCrossentropy", "one_hot", _FOCAL),
    "categorical_generalized_cross_entropy": Loss("CategoricalGeneralizedCrossEntropy", "sparse", {"q": 0.5}),
    "categorical_hinge": Loss("CategoricalHinge", "one_hot"),
    "cosine_similarity": Loss("CosineSimilarity", "one_hot", {"axis": -1}),
    "dice": Loss("Dice", "one_hot", {"axis": None}),
    "hinge": Loss("Hinge", "binary"),
    "huber": Loss("Huber", "binary", {"delta": 1.0}),
    "kl_divergence": Loss("KLDivergence", "one_hot"),
    "log_cosh": Loss("LogCosh", "binary"),
    "mean_absolute_error": Loss("MeanAbsoluteError", "binary"),
    "mean_absolute_percentage_error": Loss("MeanAbsolutePercentageError", "binary"),
    "mean_squared_error": Loss("MeanSquaredError", "binary"),
    "mean_squared_logarithmic_error": Loss("MeanSquaredLogarithmicError", "binary"),
    "poisson": Loss("Poisson", "binary"),
    "sparse_categorical_crossentropy": Loss(
        "SparseCategoricalCrossentropy", "sparse", {"from_logits": False, "ignore_class": None, "axis": -1}
    ),
    "squared_hinge": Loss("SquaredHinge", "binary"),
    "tversky": Loss("Tversky", "one_hot", {"alpha": 0.5, "beta": 0.5, "axis": None}),
}
"""Each loss for classes or numbers by its snake_case name; ctc (sequences), circle (embeddings) are none.

Made by `getattr(keras.losses, entry.class_name)(...)`: `keras.losses.get` takes no arguments with a name,
and does not know categorical_generalized_cross_entropy.
"""

NUMBER_LOSSES = frozenset(
    {
        *("cosine_similarity", "huber", "log_cosh", "mean_absolute_error", "mean_absolute_percentage_error"),
        *("mean_squared_error", "mean_squared_logarithmic_error", "poisson"),
    }
)
"""Those by which numbers are learnt."""


@dataclass(frozen=True)
class Metric:
    """A metric of Keras that can be made without arguments.

    Attributes:
        class_name: The class in `keras.metrics`.
        direction: Whether more is better (`max`) or less (`min`).
        labels: The labels it wants.
    """

    class_name: str
    direction: Literal["max", "min"]
    labels: LabelForm


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("Accuracy", "max", "any"),
    "auc": Metric("AUC", "max", "binary"),
    "binary_accuracy": Metric("BinaryAccuracy", "max", "binary"),
    "binary_crossentropy": Metric("BinaryCrossentropy", "min", "binary"),
    "binary_io_u": Metric("BinaryIoU", "max", "binary"),
    "categorical_accuracy": Metric("CategoricalAccuracy", "max", "one_hot"),
    "categorical_crossentropy": Metric("CategoricalCrossentropy", "min", "one_hot"),
    "categorical_hinge": Metric("CategoricalHinge", "min", "one_hot"),
    "concordance_correlation": Metric("ConcordanceCorrelation", "max", "one_hot"),
    "cosine_similarity": Metric("CosineSimilarity", "max", "one_hot"),
    "f1_score": Metric("F1Score", "max", "one_hot"),
    "f_beta_score": Metric("FBetaScore", "max", "one_hot"),
    "false_negatives": Metric("FalseNegatives", "min", "binary"),
    "false_positives": Metric("FalsePositives", "min", "binary"),
    "hinge": Metric("Hinge", "min", "binary"),
    "kl_divergence": Metric("KLDivergence", "min", "one_hot"),
    "log_cosh_error": Metric("LogCoshError", "min", "binary"),
    "mean_absolute_error": Metric("MeanAbsoluteError", "min", "binary"),
    "mean_absolute_percentage_error": Metric("MeanAbsolutePercentageError", "min", "binary"),
    "mean_squared_error": Metric("MeanSquaredError", "min", "binary"),
    "mean_squared_logarithmic_error": Metric("MeanSquaredLogarithmicError", "min", "binary"),
    "pearson_correlation": Metric("PearsonCorrelation", "max", "one_hot"),
    "poisson": Metric("Poisson", "min", "binary"),
    "precision": Metric("Precision", "max", "binary"),
    "r2_score": Metric("R2Score", "max", "binary"),
    "recall": Metric("Recall", "max", "binary"),
    "root_mean_squared_error": Metric("RootMeanSquaredError", "min", "binary"),
    "sparse_categorical_accuracy": Metric("SparseCategoricalAccuracy", "max", "sparse"),
    "sparse_categorical_crossentropy": Metric("SparseCategoricalCrossentropy", "min", "sparse"),
    "sparse_top_k_categorical_accuracy": Metric("SparseTopKCategoricalAccuracy", "max", "sparse"),
    "squared_hinge": Metric("SquaredHinge", "min", "binary"),
    "top_k_categorical_accuracy": Metric("TopKCategoricalAccuracy", "max", "one_hot"),
    "true_negatives": Metric("TrueNegatives", "max", "binary"),
    "true_positives": Metric("TruePositives", "max", "binary"),
}
"""Each metric by the snake_case name that `keras.metrics.get` knows."""

CLASS_METRICS = frozenset(name for name in METRICS if "categorical" in name)
"""Those that compare one output for each class, of which a sample has one."""

CUT_METRICS = frozenset(
    {
        *("binary_accuracy", "binary_io_u", "f1_score", "f_beta_score", "precision", "recall"),
        *("false_negatives", "false_positives", "true_negatives", "true_positives"),
    }
)
"""Those that take an output for yes above a threshold of their own, of 0.5."""

NUMBER_METRICS = frozenset(
    {
        *("concordance_correlation", "cosine_similarity", "log_cosh_error", "mean_absolute_error"),
        *("mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error"),
        *("pearson_correlation", "poisson", "r2_score", "root_mean_squared_error"),
    }
)
"""Those that compare numbers with numbers that are predicted."""

_SHORT = {
    "bce": "binary_crossentropy",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
}
_SHORT_LOSSES = {**_SHORT, "kld": "kl_divergence"}
_SHORT_METRICS = {**_SHORT, "acc": "accuracy"}

ACTIVATIONS = (
    *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish"),
    *("hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu"),
    *("sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid"),
    *("sparsemax", "squareplus", "swish", "tanh", "tanh_shrink", "threshold"),
)
"""The activations that `keras.activations.get` knows."""


def is_of_keras(part: Any) -> bool:
    """Whether a class, a function or an object is one that comes with Keras."""
    return (getattr(part, "__module__", None) or "").startswith("keras.")


def find_optimizer(name: str) -> str | None:
    """Returns the optimizer's class name, whatever the case of `name`; None for what is no optimizer."""
    return {known.lower(): known for known in OPTIMIZERS}.get(name.lower())


def find_loss(name: str) -> str | None:
    """Returns the loss's snake_case name for it, its class name or short name, in any case; else None."""
    return _find(name, LOSSES, _SHORT_LOSSES)


def find_metric(name: str) -> str | None:
    """Returns the metric's snake_case name for it, its class name or short name, in any case; else None."""
    return _find(name, METRICS, _SHORT_METRICS)


def _find(name: str, table: Mapping[str, Loss | Metric], short: dict[str, str]) -> str | None:
    names = {known.lower(): known for known in table}
    names |= {entry.class_name.lower(): known for known, entry in table.items()}
    return (names | short).get(name.lower())


def optimizer_hint(name: str) -> str:
    """Returns what to say of a name that is no optimizer: what it is, and what there is instead."""
    if name.lower() in _RECTIFIED_ADAM:
        return (
            "Keras 3 has no RectifiedAdam (it was part of TensorFlow Addons, which has ended). Near to it: "
            "ScheduleFreeAdamW with optimizer.warmup_steps, since rectification is a kind of warm-up; "
            "Nadam; AdamW; Adam with a smaller learning_rate."
        )
    wrapping = {known.lower(): known for known in WRAPPING_OPTIMIZERS}.get(name.lower())
    if wrapping:
        return (
            f"{wrapping} is made of other optimizers and cannot be chosen by its name: compile the model "
            "with it in a model function of your own."
        )
    return f"Keras 3 has no optimizer of that name.{did_you_mean(name, OPTIMIZERS)}"
