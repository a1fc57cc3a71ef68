"""VGG style nets: blocks of convolutions, each of which ends in a max-pooling, and Dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kerasgrid.models.blocks import (
    Activation,
    Dropout,
    Head,
    Normalization,
    check_blocks,
    check_whole,
    check_widths,
    convolution_blocks,
    image_input,
)


def vgg(
    input_shape: Sequence[int],
    n_classes: int | None = None,
    *,
    n_outputs: int | None = None,
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
        n_classes: From 2; None to predict numbers, which the model gives as they come.
        n_outputs: How many numbers, from 1; as many as `n_classes`, where that is given.
        multi_label: Whether samples may have several labels: each output is a sigmoid of its own then.
        filters: For each block a list with the width of each of its convolutions, from 1; a max-pooling
            by 2 ends the block.
        kernel_size: Height and width of the convolutions, from 1; padding is `same`.
        dense_units: A width for each Dense layer before the output layer; may be empty.
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
        dropout: Rate before the output layer, in [0, 1).
        kernel_initializer: Of every convolution and Dense layer.

    Returns:
        The uncompiled model, float, (sample, n_classes) or (sample, n_outputs).

    Raises:
        ModelError: An argument is out of its range or unknown, or the images are too small.
    """
    return _convolutions_then_dense("vgg", **locals())


def vgg_sopcnn(
    input_shape: Sequence[int],
    n_classes: int | None = None,
    *,
    n_outputs: int | None = None,
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

    Arguments, result and errors are those of `vgg`; it has other defaults.
    """
    return _convolutions_then_dense("vgg_sopcnn", **locals())


def sopcnn(
    input_shape: Sequence[int],
    n_classes: int | None = None,
    *,
    n_outputs: int | None = None,
    multi_label: bool = False,
    filters: Sequence[Sequence[int]] = ((64, 64), (128, 128)),
    kernel_size: int = 3,
    dense_units: Sequence[int] = (2048, 2048),
    activation: str = "leaky_relu",
    negative_slope: float = 0.1,
    normalization: str = "batch_norm",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    gamma_initializer: Any = "uniform",
    dense_normalization: str = "none",
    block_dropout: float = 0.0,
    dropout_kind: str = "plain",
    dropout: float = 0.8,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """SOPCNN (Assiri 2020, arXiv 2001.08856): a VGG style net with one dropout of 0.8 at its end.

    [Conv 64, BatchNorm, LeakyReLU 0.1] x 2, max-pool; the same with 128; Dense 2048, LeakyReLU, twice;
    Dropout 0.8; softmax. 17,324,490 parameters for (28, 28, 1) and 10 classes, 768 of them not
    trainable. As published, with Adam at 0.01, it may not train: `dense_units=(1024, 1024)` with
    dropout 0.4 or 0.6 does.

    Arguments, result and errors are those of `vgg`; it has other defaults.
    """
    return _convolutions_then_dense("sopcnn", **locals())


def bn_cnn(
    input_shape: Sequence[int],
    n_classes: int | None = None,
    *,
    n_outputs: int | None = None,
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

    Arguments, result and errors are those of `vgg`; it has other defaults, and one normalisation for all.
    """
    return _convolutions_then_dense("bn_cnn", **locals(), is_alike=True)


def _convolutions_then_dense(
    name: str,
    *,
    input_shape: Sequence[int],
    n_classes: int | None,
    n_outputs: int | None,
    multi_label: bool,
    filters: Sequence[Sequence[int]],
    kernel_size: int,
    dense_units: Sequence[int],
    activation: str,
    negative_slope: float,
    normalization: str,
    momentum: float,
    epsilon: float,
    gamma_initializer: Any,
    dense_normalization: str = "none",
    block_dropout: float,
    dropout_kind: str,
    dropout: float,
    kernel_initializer: Any,
    is_alike: bool = False,
) -> keras.Model:
    """Returns the net of a name; its arguments, `locals()` of its function, are as in `vgg`.

    `is_alike`: Dense layers are normalised as the convolutions are, before their activation; else after it.
    """
    blocks = check_blocks("filters", filters)
    widths = check_widths("dense_units", dense_units, empty=True)
    check_whole("kernel_size", kernel_size)
    act = Activation(activation, negative_slope)
    norm = Normalization(normalization, momentum, epsilon, gamma_initializer)
    dense_norm = Normalization(dense_normalization, argument="dense_normalization")
    block_drop, drop = Dropout(block_dropout, dropout_kind, "block_dropout"), Dropout(dropout)
    head = Head(name, n_classes, n_outputs, multi_label, kernel_initializer)

    why = f"its {len(blocks)} max-poolings"
    inputs = image_input(name, input_shape, smallest=2 ** len(blocks), why=why)
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
        x = act(norm(x)) if is_alike else dense_norm(act(x))
    return head(inputs, drop(x))
