"""A fully connected net for tables, whose categories may be embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.errors import ModelError
from kerasgrid.models.blocks import (
    Activation,
    Dropout,
    Head,
    Normalization,
    check_shape,
    check_switch,
    check_whole,
    check_widths,
    is_list,
    is_whole,
    normalization_of,
)

_DEPTH = 3


def mlp(
    input_shape: Sequence[int],
    n_classes: int | None = None,
    *,
    n_outputs: int | None = None,
    multi_label: bool = False,
    n_categories: Sequence[int] = (),
    units: int | Sequence[int] = 128,
    depth: int | None = None,
    activation: str = "relu",
    negative_slope: float = 0.1,
    batch_norm: bool = False,
    normalization: str = "batch_norm",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    gamma_initializer: Any = "ones",
    dropout: float = 0.1,
    residual: bool = False,
    embedding_size: int = 0,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """For tables: Dense 128, three times, with dropout; categories as one-hot columns or embeddings.

    For each width: Dense, normalisation, activation, dropout. 134,794 parameters for (28, 28, 1) and 10
    classes.

    Args:
        input_shape: (features,): numbers first, then a code for each column of categories. Any other shape
            is flattened.
        n_classes: From 2; None to predict numbers, which the model gives as they come.
        n_outputs: How many numbers, from 1; as many as `n_classes`, where that is given.
        multi_label: Whether samples may have several labels: each output is a sigmoid of its own then.
        n_categories: For each column of categories the number of its codes, from 1: 0 for what is blank or
            unknown, then one for each category.
        units: The width of all Dense layers, from 1; or a list with that of each.
        depth: How many layers there are, from 1; 3 where it is not given. A list of `units` has its own.
        activation: An activation of Keras, or prelu; after the normalisation.
        negative_slope: Of leaky_relu, from 0.
        batch_norm: Whether the layers are normalised at all.
        normalization: How: batch_norm, layer_norm, group_norm or none.
        momentum: Of BatchNorm's moving statistics, in [0, 1).
        epsilon: BatchNorm's, above 0.
        gamma_initializer: Of the normalisation's scale.
        dropout: Rate after each activation, in [0, 1); 0 adds no layer.
        residual: Whether what a Dense layer gives is added to what that before it gave, where both are
            equally wide (He et al. 2016, arXiv 1603.05027; for tables Gorishniy et al. 2021, arXiv
            2106.11959, with two layers a block in the place of one).
        embedding_size: How many numbers are learnt for each category (Guo & Berkhahn 2016, arXiv
            1604.06737), the same for all columns; 0 for one-hot columns, all 0 where blank or unknown.
        kernel_initializer: Of every Dense layer.

    Returns:
        The uncompiled model, float, (sample, n_classes) or (sample, n_outputs).

    Raises:
        ModelError: An argument is out of its range or unknown, or they do not go together.
    """
    shape = check_shape("mlp", input_shape)
    widths = _widths(units, depth)
    _check_categories(shape, n_categories)
    act = Activation(activation, negative_slope)
    norm = Normalization(normalization_of(batch_norm, normalization), momentum, epsilon, gamma_initializer)
    drop = Dropout(dropout)
    check_switch("residual", residual)
    check_whole("embedding_size", embedding_size, least=0)
    head = Head("mlp", n_classes, n_outputs, multi_label, kernel_initializer)

    inputs = keras.Input(shape)
    x = _with_categories(inputs, n_categories, embedding_size) if n_categories else inputs
    x = keras.layers.Flatten()(x) if len(shape) > 1 else x
    before = None
    for width in widths:
        y = keras.layers.Dense(width, kernel_initializer=kernel_initializer)(x)
        is_added = residual and before is not None and before.shape[-1] == width
        before = keras.layers.Add()([before, y]) if is_added else y
        x = drop(act(norm(before)))
    return head(inputs, x)


def _widths(units: int | Sequence[int], depth: int | None) -> tuple[int, ...]:
    """Returns the width of each layer."""
    if depth is not None:
        check_whole("depth", depth)
    if is_whole(units):
        return (int(units),) * (depth or _DEPTH)
    if not is_list(units):
        raise ModelError(
            f"units is {units!r}, but must be a whole number from 1 or a list of them, such as [128, 64]."
        )
    widths = check_widths("units", units)
    if depth not in (None, len(widths)):
        raise ModelError(
            f"units is {units!r}, a width for each of {len(widths)} layers, and depth is {depth}: leave "
            "depth out, or make units one width for all."
        )
    return widths


def _check_categories(shape: tuple[int, ...], n_categories: Sequence[int]) -> None:
    if not is_list(n_categories) or not all(is_whole(n) for n in n_categories):
        raise ModelError(
            f"n_categories is {n_categories!r}, but must be a list of whole numbers from 1, the codes of "
            "each column of categories."
        )
    if n_categories and (len(shape) > 1 or len(n_categories) > shape[0]):
        raise ModelError(
            f"mlp: n_categories has {len(n_categories)} columns, but input_shape is {shape}: a row of a "
            "table has them behind its numbers."
        )


def _with_categories(
    inputs: keras.KerasTensor, n_categories: Sequence[int], embedding_size: int
) -> keras.KerasTensor:
    """Returns numbers and, in the place of codes, embeddings or one-hot columns, (sample, feature)."""
    n_numbers = inputs.shape[-1] - len(n_categories)
    # Before any layer is given them: under mixed precision it would round codes above 256.
    codes = ops.cast(inputs[:, n_numbers:], "int32")
    parts = [inputs[:, :n_numbers]] if n_numbers else []
    if embedding_size:  # one table, in which each column's codes follow those of the column before it
        first = np.cumsum([0, *n_categories[:-1]]).astype("int32")
        embedded = keras.layers.Embedding(sum(n_categories), embedding_size)(codes + first)
        parts.append(keras.layers.Flatten()(embedded))
    else:
        columns = np.repeat(np.arange(len(n_categories)), np.asarray(n_categories) - 1).astype("int32")
        categories = np.concatenate([np.arange(1, n) for n in n_categories]).astype("int32")
        is_of_category = ops.equal(ops.take(codes, columns, axis=1), categories)
        parts.append(ops.cast(is_of_category, inputs.dtype))
    return keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
