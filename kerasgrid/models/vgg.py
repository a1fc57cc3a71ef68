"""VGG style nets with LeakyReLU: one with dropout after each block, one crossed with SOPCNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kerasgrid.models.blocks import Activation, Dropout, Normalization, convolutions_then_dense


def vgg(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    multi_label: bool = False,
    filters: Sequence[Sequence[int]] = ((64, 64, 64), (128, 128, 128), (256, 256)),
    kernel_size: int = 3,
    dense_units: Sequence[int] = (256,),
    activation: str = "leaky_relu",
    negative_slope: float = 0.1,
    normalization: str = "batch_norm",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    gamma_initializer: Any = "uniform",
    dense_normalization: str = "batch_norm",
    block_dropout: float = 0.25,
    dropout_kind: str = "plain",
    dropout: float = 0.0,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """VGG style (Simonyan & Zisserman 2015, arXiv 1409.1556) with BatchNorm, LeakyReLU and dropout.

    [Conv 64, BatchNorm, LeakyReLU 0.1] x 3, max-pool, Dropout 0.25; the same with 128 x 3 and 256 x 2;
    Dense 256, LeakyReLU, BatchNorm; softmax. 1,926,794 parameters for (28, 28, 1) and 10 classes, 2,688
    of them not trainable.

    Args:
        input_shape: (height, width, channels); at least 2 pixels to the power of the number of blocks.
        n_classes: From 2.
        multi_label: Whether samples may have several labels: each output is a sigmoid of its own then.
        filters: For each block a list with the width of each of its convolutions, from 1; a max-pooling
            by 2 ends the block.
        kernel_size: Height and width of the convolutions, from 1; padding is `same`.
        dense_units: A width for each Dense layer before the softmax; may be empty.
        activation: An activation of Keras, or prelu; after the normalisation in convolutions, before it
            in Dense layers.
        negative_slope: Of leaky_relu, from 0.
        normalization: After convolutions: batch_norm, layer_norm, group_norm or none.
        momentum: Of that BatchNorm's moving statistics, in [0, 1).
        epsilon: That BatchNorm's, above 0.
        gamma_initializer: Of that normalisation's scale; `uniform` draws from -0.05 to 0.05.
        dense_normalization: After Dense layers, with Keras's own values.
        block_dropout: Rate after each max-pooling, in [0, 1); 0 adds no layer.
        dropout_kind: How that one drops: plain or spatial (whole channels).
        dropout: Rate before the softmax, in [0, 1).
        kernel_initializer: Of every convolution and Dense layer.

    Returns:
        The uncompiled model, float, (sample, n_classes).

    Raises:
        ModelError: An argument is out of its range or unknown, or the images are too small.
    """
    return convolutions_then_dense(
        "vgg",
        input_shape,
        n_classes,
        multi_label=multi_label,
        filters=filters,
        kernel_size=kernel_size,
        dense_units=dense_units,
        activation=Activation(activation, negative_slope),
        normalization=Normalization(normalization, momentum, epsilon, gamma_initializer),
        dense_normalization=Normalization(dense_normalization, argument="dense_normalization"),
        block_dropout=Dropout(block_dropout, dropout_kind, "block_dropout"),
        dropout=Dropout(dropout),
        kernel_initializer=kernel_initializer,
    )


def vgg_sopcnn(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    multi_label: bool = False,
    filters: Sequence[Sequence[int]] = ((64, 64, 64), (128, 128, 128), (256, 256), (512,)),
    kernel_size: int = 3,
    dense_units: Sequence[int] = (1024,),
    activation: str = "leaky_relu",
    negative_slope: float = 0.1,
    normalization: str = "batch_norm",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    gamma_initializer: Any = "uniform",
    dense_normalization: str = "batch_norm",
    block_dropout: float = 0.0,
    dropout_kind: str = "plain",
    dropout: float = 0.25,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """`vgg` crossed with `sopcnn`: no dropout between blocks, a single one before the softmax.

    `vgg` with one more block [Conv 512, BatchNorm, LeakyReLU 0.1, max-pool], Dense 1024, LeakyReLU,
    BatchNorm, Dropout 0.25, softmax. 3,054,986 parameters for (28, 28, 1) and 10 classes, 5,248 of them
    not trainable. The images need 16 x 16 pixels.

    Args:
        input_shape: (height, width, channels); at least 2 pixels to the power of the number of blocks.
        n_classes: From 2.
        multi_label: Whether samples may have several labels: each output is a sigmoid of its own then.
        filters: As in `vgg`.
        kernel_size: As in `vgg`.
        dense_units: As in `vgg`.
        activation: As in `vgg`.
        negative_slope: As in `vgg`.
        normalization: As in `vgg`.
        momentum: As in `vgg`.
        epsilon: As in `vgg`.
        gamma_initializer: As in `vgg`.
        dense_normalization: As in `vgg`.
        block_dropout: As in `vgg`.
        dropout_kind: As in `vgg`.
        dropout: As in `vgg`.
        kernel_initializer: As in `vgg`.

    Returns:
        The uncompiled model, float, (sample, n_classes).

    Raises:
        ModelError: An argument is out of its range or unknown, or the images are too small.
    """
    return convolutions_then_dense(
        "vgg_sopcnn",
        input_shape,
        n_classes,
        multi_label=multi_label,
        filters=filters,
        kernel_size=kernel_size,
        dense_units=dense_units,
        activation=Activation(activation, negative_slope),
        normalization=Normalization(normalization, momentum, epsilon, gamma_initializer),
        dense_normalization=Normalization(dense_normalization, argument="dense_normalization"),
        block_dropout=Dropout(block_dropout, dropout_kind, "block_dropout"),
        dropout=Dropout(dropout),
        kernel_initializer=kernel_initializer,
    )
