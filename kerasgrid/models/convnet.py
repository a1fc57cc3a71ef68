"""A plain ConvNet for digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kerasgrid.models.blocks import (
    Activation,
    Dropout,
    Head,
    Normalization,
    check_whole,
    check_widths,
    convolution_blocks,
    image_input,
    normalization_of,
)


def convnet(
    input_shape: Sequence[int],
    n_classes: int | None = None,
    *,
    n_outputs: int | None = None,
    multi_label: bool = False,
    filters: Sequence[int] = (16, 64, 128),
    kernel_size: int = 3,
    last_kernel_size: int = 5,
    dense_units: Sequence[int] = (512, 128),
    activation: str = "relu",
    last_activation: str = "linear",
    negative_slope: float = 0.1,
    batch_norm: bool = False,
    normalization: str = "batch_norm",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    gamma_initializer: Any = "ones",
    block_dropout: float = 0.0,
    dropout_kind: str = "plain",
    flatten_dropout: float = 0.2,
    dense_dropout: float = 0.1,
    dropout: float = 0.0,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """Conv 16, 64 (3x3), each with max-pool, Conv 128 (5x5, valid); Dense 512, Dense 128; softmax.

    [Conv 16 3x3, ReLU, max-pool], [Conv 64 3x3, ReLU, max-pool], Conv 128 5x5 valid, ReLU; Dropout 0.2;
    Dense 512, ReLU; Dropout 0.1; Dense 128 (linear); softmax. With `batch_norm`, one after each
    convolution but the last, before its ReLU. 871,658 parameters for (28, 28, 1) and 10 classes,
    871,978 with `batch_norm`, 160 of them not trainable.

    Args:
        input_shape: (height, width, channels); after a halving by each pooling, the last kernel must
            still fit: at least 20 x 20 by default.
        n_classes: From 2; None to predict numbers, which the model gives as they come.
        n_outputs: How many numbers, from 1; as many as `n_classes`, where that is given.
        multi_label: Whether samples may have several labels: each output is a sigmoid of its own then.
        filters: A width for each convolution, from 1; a max-pooling by 2 follows each but the last.
        kernel_size: Height and width of all kernels but the last, from 1; padding is `same`.
        last_kernel_size: Of the last convolution, from 1; padding is `valid`.
        dense_units: A width for each Dense layer before the output layer; may be empty.
        activation: An activation of Keras, or prelu; of all layers but the last Dense one.
        last_activation: Of the last Dense layer before the output layer; `linear` is none.
        negative_slope: Of leaky_relu, from 0.
        batch_norm: Whether the convolutions are normalised.
        normalization: How: batch_norm, layer_norm, group_norm or none.
        momentum: Of BatchNorm's moving statistics, in [0, 1).
        epsilon: BatchNorm's, above 0.
        gamma_initializer: Of the normalisation's scale.
        block_dropout: Rate after each max-pooling, in [0, 1); 0 adds no layer.
        dropout_kind: How that one drops: plain or spatial (whole channels).
        flatten_dropout: Rate after the last convolution, in [0, 1).
        dense_dropout: Rate between Dense layers, in [0, 1).
        dropout: Rate before the output layer, in [0, 1).
        kernel_initializer: Of every convolution and Dense layer.

    Returns:
        The uncompiled model, float, (sample, n_classes) or (sample, n_outputs).

    Raises:
        ModelError: An argument is out of its range or unknown, or the images are too small.
    """
    *pooled, last = check_widths("filters", filters)
    widths = check_widths("dense_units", dense_units, empty=True)
    check_whole("kernel_size", kernel_size)
    check_whole("last_kernel_size", last_kernel_size)
    act = Activation(activation, negative_slope)
    last_act = Activation(last_activation, negative_slope, "last_activation")
    norm = Normalization(normalization_of(batch_norm, normalization), momentum, epsilon, gamma_initializer)
    block_drop = Dropout(block_dropout, dropout_kind, "block_dropout")
    flatten_drop = Dropout(flatten_dropout, argument="flatten_dropout")
    dense_drop = Dropout(dense_dropout, argument="dense_dropout")
    drop = Dropout(dropout)
    head = Head("convnet", n_classes, n_outputs, multi_label, kernel_initializer)

    inputs = image_input(
        "convnet",
        input_shape,
        smallest=last_kernel_size * 2 ** len(pooled),
        why=f"its {len(pooled)} max-poolings and the valid convolution after them",
    )
    x = convolution_blocks(
        inputs,
        [[width] for width in pooled],
        kernel_size=kernel_size,
        activation=act,
        normalization=norm,
        dropout=block_drop,
        kernel_initializer=kernel_initializer,
    )
    x = act(keras.layers.Conv2D(last, last_kernel_size, kernel_initializer=kernel_initializer)(x))
    x = flatten_drop(keras.layers.Flatten()(x))
    for place, width in enumerate(widths, start=1):
        x = keras.layers.Dense(width, kernel_initializer=kernel_initializer)(x)
        x = last_act(x) if place == len(widths) else dense_drop(act(x))
    return head(inputs, drop(x))
