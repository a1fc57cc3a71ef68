"""How a model ends: what gives its outputs, and what stands after the layer that should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

_ACTIVATION_LAYERS = {
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ReLU": "relu",
    "Softmax": "softmax",
}
_SHAPING = {"Flatten", "Reshape", "Identity", "Permute"}
_PROBABILITIES = {"softmax", "sigmoid", "hard_sigmoid", "sparsemax"}
_LOGARITHMS = {"log_softmax", "log_sigmoid"}


@dataclass(frozen=True)
class Ending:
    """The last layers of a model, from the outputs back to the layer whose kernel gives them.

    Attributes:
        layer: That layer's name; None where something else stands before it, or for a subclassed model.
        activations: (layer's name, activation) that are not linear, the outermost first.
        dropouts: Names of layers that drop or disturb outputs in training.
    """

    layer: str | None = None
    activations: tuple[tuple[str, str], ...] = ()
    dropouts: tuple[str, ...] = ()

    @property
    def fault(self) -> str | None:
        """What is wrong with it whatever the loss, and what to change; None for nothing."""
        if self.layer is None:
            return None
        if self.dropouts:
            return (
                f"{self.dropouts[0]} stands after the output layer {self.layer}, which disturbs outputs in "
                "training: remove it, or move it before that layer."
            )
        inner = self.activations[1:]
        if inner:
            (last, outer), (name, activation) = self.activations[0], inner[0]
            where = "" if name == self.layer else f" ({name})"
            return (
                f"the output layer {self.layer} is followed by {activation}{where}, and that by {outer} "
                f"({last}): remove {activation}, so that {outer} is given the layer's own numbers."
            )
        return None


def ending_of(model: keras.Model) -> Ending:
    """Returns how a model ends; an empty one where its layers do not tell."""
    activations, dropouts = [], []
    for operation in _operations(model):
        name = getattr(operation, "name", "")
        if hasattr(operation, "rate") or hasattr(operation, "stddev"):
            if getattr(operation, "rate", 0) or getattr(operation, "stddev", 0):
                dropouts.append(name)
        elif type(operation).__name__ not in _SHAPING:
            activation = _activation(operation)
            if activation not in (None, "linear"):
                activations.append((name, activation))
            if hasattr(operation, "kernel"):
                return Ending(name, tuple(activations), tuple(dropouts))
            if activation is None:
                break
    return Ending()


def output_activation(model: keras.Model) -> str | None:
    """Returns the name of the activation that gives a model's outputs, such as `softmax` or `linear`.

    None where its layers do not tell: a subclassed model, several branches, a function of the user's own.
    """
    for operation in _operations(model):
        if type(operation).__name__ in _SHAPING:
            continue
        activation = _activation(operation)
        is_cast = activation == "linear" and not hasattr(operation, "kernel")
        if not is_cast:
            return activation
    return None


def ends_in_logits(model: keras.Model, input_shape: tuple[int, ...] | None = None) -> bool | None:
    """Tells whether a model's outputs are logits; logarithms of probabilities are, for a softmax.

    Where its layers do not tell, it is asked for its outputs on some noise.

    Args:
        model: Any.
        input_shape: Axes of one sample; None not to ask.

    Returns:
        None where neither tells.
    """
    activation = output_activation(model)
    if activation in _PROBABILITIES:
        return False
    if activation in _LOGARITHMS or activation == "linear":
        return True
    return None if input_shape is None else _gives_logits(model, input_shape)


def _gives_logits(model: keras.Model, input_shape: tuple[int, ...]) -> bool | None:
    noise = np.random.default_rng(0).normal(0, 3, (16, *input_shape)).astype("float32")
    outputs = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(model(noise, training=False), "float32")))
    outputs = outputs.reshape(len(outputs), -1)
    if outputs.min() < 0 or outputs.max() > 1.02:
        return True
    if outputs.shape[1] == 1:
        return None  # numbers from 0 to 1 may be either
    return not np.allclose(outputs.sum(axis=1), 1, atol=0.02)


def _activation(operation: Any) -> str | None:
    """Returns the name of Keras's activation that an operation applies; None for another or none."""
    found = getattr(operation, "activation", None)
    if isinstance(found, keras.layers.Layer):
        return _activation(found)
    known = _ACTIVATION_LAYERS.get(type(operation).__name__)
    name = getattr(found, "__name__", "")
    return known or (name if found is not None and getattr(keras.activations, name, None) is found else None)


def _operations(model: keras.Model) -> Iterator[Any]:
    """Yields the operations from a model's output back, while each has one input; enters nested models."""
    outputs = getattr(model, "outputs", None)
    tensor = outputs[0] if outputs else None
    while tensor is not None and hasattr(tensor, "_keras_history"):
        history = tensor._keras_history
        if isinstance(history.operation, keras.Model):
            yield from _operations(history.operation)
            return
        yield history.operation
        inputs = history.operation._inbound_nodes[history.node_index].input_tensors
        tensor = inputs[0] if len(inputs) == 1 else None
