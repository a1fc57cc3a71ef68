"""How a model ends: what gives its outputs, and what stands after the layer that should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

_ACTIVATION_LAYERS = {
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ReLU": "relu",
    "Softmax": "softmax",
}
_SHAPING = {"Flatten", "Reshape", "Identity", "Permute"}


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
    dropouts: tuple[str, ...] = field(default=())

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


def output_activation(model: keras.Model) -> str | None:
    """Returns the name of the activation that gives a model's outputs, such as `softmax` or `linear`.

    None for a subclassed model, whose layers do not tell, and for a layer that has none.
    """
    operation = next(_operations(model), None)
    return None if operation is None else _activation(operation)


def ending_of(model: keras.Model) -> Ending:
    """Returns how a model ends; an empty one where its layers do not tell."""
    activations, dropouts = [], []
    for operation in _operations(model):
        name = getattr(operation, "name", "")
        if hasattr(operation, "rate") or hasattr(operation, "stddev"):
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


def _activation(operation: Any) -> str | None:
    known = _ACTIVATION_LAYERS.get(type(operation).__name__)
    return known or getattr(getattr(operation, "activation", None), "__name__", None)


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
