"""How a model ends: what gives its outputs, what stands after the layer that should, and the metrics that
suit it; and how it begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import ModelError
from kerasgrid.keras_names import CLASS_METRICS, METRICS, NUMBER_METRICS, is_of_keras
from kerasgrid.models.inputs import Form, samples_of, symbols_of
from kerasgrid.models.keras_private import call_of, layers_within
from kerasgrid.records import Target

_ACTIVATION_LAYERS = {
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ReLU": "relu",
    "Softmax": "softmax",
}
_SHAPING = {
    "Flatten",
    "Reshape",
    "Identity",
    "Permute",
    "Transpose",
    "Squeeze",
    "ExpandDims",
    "Ravel",
    "Cast",
}
_MERGES = {"Add", "Average", "Subtract", "Maximum", "Minimum", "Concatenate"}
# Operations of keras.ops that may hold an output layer's kernel, as where it is tied to an embedding.
_PRODUCTS = {"Matmul", "Dot", "Einsum", "Tensordot", "Inner", "Conv", "DepthwiseConv", "SeparableConv"}
_PRODUCTS |= {"ConvTranspose"}
_PROBABILITIES = {"softmax", "sigmoid", "hard_sigmoid", "sparsemax"}
_LOGARITHMS = {"log_softmax", "log_sigmoid"}


_SCALING = {"Rescaling", "Lambda", "Divide", "TrueDivide", "Multiply"}
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


@dataclass(frozen=True)
class Ending:
    """The last layers of a model, from the outputs back to the layer whose kernel gives them.

    Attributes:
        layer: That layer's name; None where branches meet before it, or for a subclassed model.
        activations: (layer's name, activation) that are not linear and that nothing but dropouts and new
            shapes stands between, the outermost first.
        dropouts: Names of layers that drop or disturb outputs in training, with no kernel after them.
    """

    layer: str | None = None
    activations: tuple[tuple[str, str], ...] = ()
    dropouts: tuple[str, ...] = ()

    @property
    def fault(self) -> str | None:
        """What is wrong with it whatever the loss, and what to change; None for nothing."""
        return " And ".join(filter(None, (self._of_dropouts, self._of_activations))) or None

    @property
    def _of_dropouts(self) -> str | None:
        if not self.dropouts:
            return None
        after = "the last layer that has a kernel" if self.layer is None else f"the output layer {self.layer}"
        return (
            f"{self.dropouts[0]} stands after {after}, which disturbs outputs in training: remove it, or "
            "move it before that layer."
        )

    @property
    def _of_activations(self) -> str | None:
        if len(self.activations) < 2:
            return None
        (last, outer), (name, activation) = self.activations[:2]
        if self.layer is None:
            return (
                f"{activation} ({name}) is followed by {outer} ({last}): remove {activation}, so that "
                f"{outer} is given the numbers before it."
            )
        where = "" if name == self.layer else f" ({name})"
        return (
            f"the output layer {self.layer} is followed by {activation}{where}, and that by {outer} "
            f"({last}): remove {activation}, so that {outer} is given the layer's own numbers."
        )


def ending_of(model: keras.Model) -> Ending:
    """Returns how a model ends; an empty one where its layers do not tell."""
    outputs = getattr(model, "outputs", None)
    # Without a kernel anywhere, the output layer hides where Keras does not see it.
    return _ending_at(outputs[0]) if outputs and _has_kernel(model) else Ending()


def _ending_at(tensor: Any, outside: tuple[Any, ...] = ()) -> Ending:
    activations: list[tuple[str, Any]] = []
    dropouts: list[str] = []
    is_direct = True  # nothing but activations, dropouts and new shapes so far
    for step in _steps(tensor, outside):
        operation, name, kind = step.operation, step.operation.name, type(step.operation).__name__
        activation, has_kernel = _activation(operation), _has_kernel(operation)
        if is_direct and activation not in (None, "linear"):
            activations.append((name, activation))
        if has_kernel:
            return Ending(name, tuple(activations), tuple(dropouts))
        if activation is not None or kind in _SHAPING:
            continue
        if hasattr(operation, "rate") or hasattr(operation, "stddev"):
            if getattr(operation, "rate", 0) or getattr(operation, "stddev", 0):
                dropouts.append(name)
            continue
        if is_direct:  # a slope that is learned cuts nothing: no fault where more than the layer is before it
            activations[1:] = [found for found in activations[1:] if found[1] != "prelu"]
        is_direct = False
        if len(step.inputs) > 1 and kind in _MERGES:
            # A dropout in one branch alone may be meant; in all of them, outputs are disturbed for sure.
            found = [_ending_at(branch, step.outside).dropouts for branch in step.inputs]
            if all(found):
                dropouts.extend(found[0])
        elif "Pool" not in kind and not step.keeps_width:
            break  # this may be what gives the classes: dropouts before it are sound
    return Ending(None, tuple(activations), tuple(dropouts))


def output_activation(model: keras.Model) -> str | None:
    """Returns the name of the activation that gives a model's outputs, such as `softmax` or `linear`.

    None where its layers do not tell: a subclassed model, several branches, a function of the user's own.
    """
    outputs = getattr(model, "outputs", None)
    for step in _steps(outputs[0]) if outputs else ():
        if type(step.operation).__name__ in _SHAPING:
            continue
        activation = _activation(step.operation)
        is_cast = activation == "linear" and not _has_kernel(step.operation)
        if not is_cast:
            return activation
    return None


def ends_in_logits(model: keras.Model, form: Form | None = None) -> bool | None:
    """Tells whether a model's outputs are logits; logarithms of probabilities are, for a softmax.

    Where its layers do not tell, it is asked for its outputs on noise.

    Args:
        model: Any.
        form: Axes of one sample, or its inputs; None not to ask.

    Returns:
        None where neither tells.
    """
    activation = output_activation(model)
    if activation in _PROBABILITIES:
        return False
    if activation in _LOGARITHMS or activation == "linear":
        return True
    return None if form is None else _gives_logits(model, form)


def _gives_logits(model: keras.Model, form: Form) -> bool | None:
    random = np.random.default_rng(0)
    noise = samples_of(form, lambda shape: random.random((16, *shape), dtype="float32"))
    outputs = _outputs_on(model, noise)
    if outputs is None:
        return None
    if _leaves_unit_interval(outputs):
        return True
    if outputs.shape[1] > 1:
        return not np.allclose(outputs.sum(axis=1), 1, atol=0.02)
    # One output from 0 to 1 may be either: pixels, all positive, often give logits of one sign. Numbers of
    # both signs tell more, and a model that is undefined on them (a root, a logarithm) tells nothing more.
    noise = samples_of(form, lambda shape: random.normal(0, 3, (16, *shape)).astype("float32"))
    outputs = _outputs_on(model, noise)
    return True if outputs is not None and _leaves_unit_interval(outputs) else None


def _outputs_on(model: keras.Model, samples: Any) -> np.ndarray | None:
    """Returns (sample, output) float32; None where the model raises or gives numbers that are not finite."""
    try:
        given = model(samples, training=False)
    except Exception:  # whatever it raises: noise need not suit it, and training tells what is wrong with it
        return None
    outputs = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(given, "float32")))
    outputs = outputs.reshape(len(outputs), -1)
    return outputs if np.isfinite(outputs).all() else None


def _leaves_unit_interval(outputs: np.ndarray) -> bool:
    return bool(outputs.min() < 0 or outputs.max() > 1.02)


def _activation(operation: Any) -> str | None:
    """Returns the name of Keras's activation that an operation applies; None for another or none."""
    kind = type(operation).__name__
    if kind in _ACTIVATION_LAYERS:
        return _ACTIVATION_LAYERS[kind]
    if not isinstance(operation, keras.layers.Layer):  # one of keras.ops, such as LogSoftmax
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
        return name if callable(getattr(keras.activations, name, None)) else None
    # An LSTM's or a block's activation need not be what gives its outputs.
    is_last = any(hasattr(operation, kernel) for kernel in ("kernel", "pointwise_kernel"))
    if not is_last and not isinstance(operation, keras.layers.Activation):
        return None
    found = getattr(operation, "activation", None)
    if isinstance(found, keras.layers.Layer):
        return _activation(found)
    name = getattr(found, "__name__", "")
    return name if found is not None and getattr(keras.activations, name, None) is found else None


def _has_kernel(operation: Any) -> bool:
    """Tells whether an operation mixes its inputs by weights; scales, shifts and slopes do not mix."""
    kind = type(operation).__name__
    is_wrapper = hasattr(operation, "layer")  # SpectralNormalization, around the layer with the kernel
    if kind in _ACTIVATION_LAYERS or (kind.endswith("Normalization") and not is_wrapper):
        return False
    weights = getattr(operation, "weights", ())
    return kind in _PRODUCTS or hasattr(operation, "kernel") or any(len(w.shape) > 1 for w in weights)


@dataclass(frozen=True)
class _Operation:
    """One operation on the way from a model's output back.

    Attributes:
        operation: A layer or one of keras.ops.
        inputs: The tensors that it is given.
        output: The tensor that it gives.
        outside: What feeds the nested models that it is in, the innermost first; None where several do.
    """

    operation: Any
    inputs: list[Any]
    output: Any
    outside: tuple[Any, ...]

    @property
    def keeps_width(self) -> bool:
        """Whether its one input has as many numbers in its last axis as its output."""
        return len(self.inputs) == 1 and self.inputs[0].shape[-1:] == self.output.shape[-1:]


def _steps(tensor: Any, outside: tuple[Any, ...] = ()) -> Iterator[_Operation]:
    """Yields the operations from a tensor back, while each has one input; in nested models and out again."""
    while tensor is not None and (call := call_of(tensor)) is not None:
        operation, inputs, tensor_index = call
        if isinstance(operation, keras.layers.InputLayer):
            tensor, outside = (outside[0], outside[1:]) if outside else (None, ())
        elif isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            is_one = len(inputs) == 1 and len(operation.inputs) == 1
            outside = (inputs[0] if is_one else None, *outside)
            tensor = operation.outputs[tensor_index]
        else:
            yield _Operation(operation, inputs, tensor, outside)
            tensor = inputs[0] if len(inputs) == 1 else None


def scales_input(model: keras.Model, form: Form) -> bool | None:
    """Tells whether a model scales what it is given before its first layer with a kernel.

    Keras's Rescaling and normalisations do, and a division or product. A layer of the user's own without a
    kernel may, and an embedding is of numbers that are to stay as they are.

    Args:
        form: Axes of one sample, or its inputs.

    Returns:
        None where its layers do not tell.
    """
    if getattr(model, "outputs", None):
        return _scales(getattr(model, "operations", model.layers))
    stored = symbols_of(form)
    try:  # what a subclassed model calls, and in which order, is seen where it is called with a symbol
        return _scales(keras.Model(stored, model.call(stored)).operations)
    except Exception:  # whatever it raises, as it may want numbers: its layers alone do not tell their order
        return _scales(model.layers) or None


def _scales(operations: Sequence[Any]) -> bool | None:
    for operation in operations:
        found, inner = None, getattr(operation, "layer", operation)
        is_own = isinstance(inner, keras.layers.Layer) and not is_of_keras(type(inner))
        if isinstance(inner, keras.Model) or is_own:
            found = _scales(getattr(inner, "operations", layers_within(inner, nested=False)))
        elif type(inner).__name__ in _SCALING or type(inner).__name__.endswith("Normalization"):
            found = True
        if found is None and _has_kernel(inner) and not isinstance(inner, keras.layers.Embedding):
            found = False
        if found is None and (is_own or isinstance(inner, keras.layers.Embedding)):
            return None
        if found is not None:
            return found
    return None


def make_metrics(
    objective: str | None,
    n_outputs: int,
    target: Target,
    *,
    from_logits: bool | None = False,
    one_hot: bool = False,
) -> list[str | keras.metrics.Metric]:
    """Returns what a model is compiled with, the objective's metric last.

    Classes and labels are told by accuracy, and numbers by the mean absolute and root mean squared error.

    Args:
        objective: One of METRICS; None for none.
        n_outputs: Values that the model gives a sample.
        target: What is predicted.
        from_logits: Whether the outputs are logits; None where that is not known.
        one_hot: Whether labels of more than two classes are one-hot rows, which metrics of class indices
            then take too, under their own names.

    Raises:
        ModelError: The metric compares a sample's outputs with each other, and there is a single one; or it
            is of classes, and a sample may have several labels, or numbers are predicted.
    """
    if target.is_numbers:
        return list(_metrics_of_numbers(objective, n_outputs))
    multi_label = target.is_multi_label
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


def _metrics_of_numbers(objective: str | None, n_outputs: int) -> Iterator[keras.metrics.Metric]:
    if objective is not None and objective not in NUMBER_METRICS:
        raise ModelError(f"the metric {objective} is of classes, and numbers are predicted.")
    if objective is not None and METRICS[objective].labels == "one_hot" and n_outputs == 1:
        raise ModelError(
            f"the metric {objective} compares a sample's outputs with each other, and the model has a single "
            "output."
        )
    always = ("mean_absolute_error", "root_mean_squared_error")
    for name in [*(name for name in always if name != objective), *([objective] if objective else [])]:
        yield getattr(keras.metrics, METRICS[name].class_name)(name=name)


def binary_accuracy(from_logits: bool | None) -> keras.metrics.Metric:
    """Returns the accuracy of outputs that each say yes or no."""
    return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if from_logits else 0.5)
