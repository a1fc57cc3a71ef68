"""A small fully connected net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kerasgrid.models.blocks import (
    Activation,
    Dropout,
    Head,
    Normalization,
    check_shape,
    check_widths,
    normalization_of,
)


def fc(
    input_shape: Sequence[int],
    n_classes: int | None = None,
    *,
    n_outputs: int | None = None,
    multi_label: bool = False,
    units: Sequence[int] = (64, 128, 256),
    activation: str = "relu",
    first_activation: str = "linear",
    negative_slope: float = 0.1,
    batch_norm: bool = True,
    normalization: str = "batch_norm",
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    gamma_initializer: Any = "ones",
    dropout: float = 0.2,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """Dense 64 (linear), Dense 128 and Dense 256 (ReLU), each with BatchNorm and dropout; softmax.

    For each width: Dense, activation, normalisation, dropout. 95,946 parameters for (28, 28, 1) and 10
    classes, 94,154 with `batch_norm=False`.

    Args:
        input_shape: Any shape without the samples; flattened, so (height, width, channels) or (features,).
        n_classes: From 2; None to predict numbers, which the model gives as they come.
        n_outputs: How many numbers, from 1; as many as `n_classes`, where that is given.
        multi_label: Whether samples may have several labels: each output is a sigmoid of its own then.
        units: A width for each Dense layer, each from 1.
        activation: Of all Dense layers but the first: an activation of Keras, or prelu.
        first_activation: Of the first Dense layer; `linear` is none.
        negative_slope: Of leaky_relu, from 0.
        batch_norm: Whether the layers are normalised at all.
        normalization: How: batch_norm, layer_norm, group_norm or none.
        momentum: Of BatchNorm's moving statistics, in [0, 1).
        epsilon: BatchNorm's, above 0.
        gamma_initializer: Of the normalisation's scale.
        dropout: Rate after each Dense layer, in [0, 1); 0 adds no layer.
        kernel_initializer: Of every Dense layer.

    Returns:
        The uncompiled model, float, (sample, n_classes) or (sample, n_outputs).

    Raises:
        ModelError: An argument is out of its range or unknown.
    """
    shape = check_shape("fc", input_shape)
    widths = check_widths("units", units)
    first = Activation(first_activation, negative_slope, "first_activation")
    rest = Activation(activation, negative_slope)
    norm = Normalization(normalization_of(batch_norm, normalization), momentum, epsilon, gamma_initializer)
    drop = Dropout(dropout)
    head = Head("fc", n_classes, n_outputs, multi_label, kernel_initializer)

    inputs = keras.Input(shape)
    x = keras.layers.Flatten()(inputs) if len(shape) > 1 else inputs
    for place, width in enumerate(widths):
        x = keras.layers.Dense(width, kernel_initializer=kernel_initializer)(x)
        x = drop(norm((rest if place else first)(x)))
    return head(inputs, x)
