"""A small CNN with BatchNorm in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kerasgrid.models.blocks import (
    Activation,
    Dropout,
    Normalization,
    check_blocks,
    check_initializer,
    check_whole,
    check_widths,
    classifier,
    convolution_blocks,
    image_input,
)


def bn_cnn(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    multi_label: bool = False,
    filters: Sequence[Sequence[int]] = ((16, 32), (64,)),
    kernel_size: int = 3,
    dense_units: Sequence[int] = (128, 64),
    activation: str = "relu",
    negative_slope: float = 0.1,
    normalization: str = "batch_norm",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    gamma_initializer: Any = "ones",
    block_dropout: float = 0.0,
    dropout_kind: str = "plain",
    dropout: float = 0.0,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """Conv 16, Conv 32, max-pool, Conv 64, max-pool (3x3); Dense 128, Dense 64; softmax.

    BatchNorm (Ioffe & Szegedy 2015, arXiv 1502.03167) and then ReLU follow every convolution and every
    Dense layer. 434,954 parameters for (28, 28, 1) and 10 classes, 608 of them not trainable.

    Args:
        input_shape: (height, width, channels); at least 2 pixels to the power of the number of blocks.
        n_classes: From 2.
        multi_label: Whether samples may have several labels: each output is a sigmoid of its own then.
        filters: For each block a list with the width of each of its convolutions, from 1; a max-pooling
            by 2 ends the block.
        kernel_size: Height and width of the convolutions, from 1; padding is `same`.
        dense_units: A width for each Dense layer before the softmax; may be empty.
        activation: An activation of Keras, or prelu; after each normalisation.
        negative_slope: Of leaky_relu, from 0.
        normalization: After every layer: batch_norm, layer_norm, group_norm or none.
        momentum: Of BatchNorm's moving statistics, in [0, 1).
        epsilon: BatchNorm's, above 0.
        gamma_initializer: Of the normalisation's scale.
        block_dropout: Rate after each max-pooling, in [0, 1); 0 adds no layer.
        dropout_kind: How that one drops: plain or spatial (whole channels).
        dropout: Rate before the softmax, in [0, 1).
        kernel_initializer: Of every convolution and Dense layer.

    Returns:
        The uncompiled model, float, (sample, n_classes).

    Raises:
        ModelError: An argument is out of its range or unknown, or the images are too small.
    """
    blocks = check_blocks("filters", filters)
    widths = check_widths("dense_units", dense_units, empty=True)
    check_whole("kernel_size", kernel_size)
    check_initializer("kernel_initializer", kernel_initializer)
    act = Activation(activation, negative_slope)
    norm = Normalization(normalization, momentum, epsilon, gamma_initializer)
    block_drop = Dropout(block_dropout, dropout_kind, "block_dropout")
    drop = Dropout(dropout)

    inputs = image_input(
        "bn_cnn", input_shape, smallest=2 ** len(blocks), why=f"its {len(blocks)} max-poolings"
    )
    x = convolution_blocks(
        inputs,
        blocks,
        kernel_size=kernel_size,
        activation=act,
        normalization=norm,
        dropout=block_drop,
        kernel_initializer=kernel_initializer,
    )
    x = keras.layers.Flatten()(x)
    for width in widths:
        x = keras.layers.Dense(width, kernel_initializer=kernel_initializer)(x)
        x = act(norm(x))
    return classifier("bn_cnn", inputs, drop(x), n_classes, multi_label, kernel_initializer)
