"""What the built-in models are made of: activations, normalisation, dropout, blocks; and checks of their
arguments.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import keras

from kerasgrid.errors import ModelError, did_you_mean
from kerasgrid.keras_names import ACTIVATIONS

NORMALIZATIONS = ("batch_norm", "layer_norm", "group_norm", "none")
DROPOUT_KINDS = ("plain", "spatial")


def check_shape(model: str, input_shape: Sequence[int]) -> tuple[int, ...]:
    """Returns an input shape as a tuple; raises ModelError where it is no list of positive numbers."""
    if isinstance(input_shape, dict) or (is_list(input_shape) and any(map(is_list, input_shape))):
        raise ModelError(
            f"{model}: takes one array, and X has several inputs: give a model function of your own, with a "
            "keras.Input for each."
        )
    if not is_list(input_shape) or not input_shape or not all(is_whole(size) for size in input_shape):
        raise ModelError(
            f"{model}: input_shape is {input_shape!r}, but must be positive whole numbers such as "
            "(28, 28, 1)."
        )
    return tuple(int(size) for size in input_shape)


def check_widths(argument: str, widths: Sequence[int], *, empty: bool = False) -> tuple[int, ...]:
    """Returns the widths of a row of layers; raises ModelError naming the argument where they are none.

    Args:
        argument: The argument's name.
        widths: Whole numbers from 1.
        empty: Whether no layer at all will do.
    """
    if not is_list(widths) or not all(is_whole(width) for width in widths):
        raise ModelError(
            f"{argument} is {widths!r}, but must be a list of whole numbers from 1, such as [64, 128]."
        )
    if not widths and not empty:
        raise ModelError(f"{argument} is empty, but needs at least one width, such as [64].")
    return tuple(int(width) for width in widths)


def check_blocks(argument: str, blocks: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Returns the widths of each block's layers; raises ModelError naming the argument and place."""
    if not is_list(blocks) or not blocks or not all(is_list(block) for block in blocks):
        raise ModelError(
            f"{argument} is {blocks!r}, but must be a list with a list of widths for each block, "
            "such as [[64, 64], [128, 128]]."
        )
    return tuple(check_widths(f"{argument}[{place}]", block) for place, block in enumerate(blocks))


def check_whole(argument: str, value: int, least: int = 1) -> None:
    """Raises a ModelError that names the argument, unless the value is a whole number from `least` on."""
    if not is_whole(value, least):
        raise ModelError(f"{argument} is {value!r}, but must be a whole number from {least}.")


def check_switch(argument: str, value: bool) -> None:
    """Raises a ModelError that names the argument, unless the value is true or false."""
    if not isinstance(value, bool):
        raise ModelError(f"{argument} is {value!r}, but must be true or false.")


def check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    """Raises a ModelError that names the argument and the choices, unless the value is one of them."""
    if value not in choices:
        raise ModelError(f"{argument} is {value!r}, which is unknown.{did_you_mean(value, choices)}")


def check_initializer(argument: str, value: Any) -> None:
    """Raises a ModelError that names the argument, unless keras.initializers.get takes the value."""
    try:
        known = keras.initializers.get(value)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{argument} is {value!r}, which is no initializer of Keras. "
            "Known are such as glorot_uniform, he_normal, he_uniform, lecun_normal, orthogonal."
        ) from error
    if known is None:
        raise ModelError(f"{argument} is none, but must name an initializer, such as glorot_uniform.")


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list or tuple; text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_whole(value: Any, least: int = 1) -> TypeGuard[int]:
    """Whether a value is a whole number from `least` on; booleans are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def is_finite_number(value: Any) -> bool:
    """Whether a value is a finite number; booleans are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def normalization_of(batch_norm: bool, normalization: str) -> str:
    """Returns the kind of normalisation where `batch_norm` switches it on or off.

    Raises:
        ModelError: Another kind is asked for while it is switched off.
    """
    check_switch("batch_norm", batch_norm)
    if batch_norm:
        return normalization
    if normalization not in ("batch_norm", "none"):
        raise ModelError(
            f"normalization is {normalization!r}, but batch_norm: false leaves normalisation out. Set "
            "batch_norm: true. To search both, make space a list of spaces, one with batch_norm: [true] and "
            "normalization, one with batch_norm: [false]."
        )
    return "none"


@dataclass(frozen=True)
class Activation:
    """Applies an activation by name; `linear` adds no layer.

    PReLU (He et al. 2015, arXiv 1502.01852) learns one slope a channel after convolutions, as in the
    paper, and one a unit after Dense layers; it starts at 0, as a ReLU.

    Attributes:
        name: `prelu` or an activation of Keras.
        negative_slope: The slope of leaky_relu below zero, from 0.

    Raises:
        ModelError: The name is unknown or the slope negative.
    """

    name: str
    negative_slope: float = 0.1
    argument: str = "activation"

    def __post_init__(self) -> None:
        check_choice(self.argument, self.name, ("prelu", *ACTIVATIONS))
        if not is_finite_number(self.negative_slope) or self.negative_slope < 0:
            raise ModelError(f"negative_slope is {self.negative_slope!r}, but must be a number from 0.")

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns `x` activated, of the same shape."""
        match self.name:
            case "linear":
                return x
            case "leaky_relu":
                return keras.layers.LeakyReLU(negative_slope=self.negative_slope)(x)
            case "prelu":
                return keras.layers.PReLU(shared_axes=[1, 2] if len(x.shape) == 4 else None)(x)
            case name:
                return keras.layers.Activation(name)(x)


@dataclass(frozen=True)
class Normalization:
    """Applies a normalisation by name; `none` adds no layer.

    layer_norm normalises over the channels at each pixel; group_norm (Wu & He 2018, arXiv 1803.08494)
    in the paper's 32 groups, or as many as divide both 32 and the channels.

    Attributes:
        kind: One of NORMALIZATIONS.
        momentum: batch_norm's, of its moving mean and variance, in [0, 1).
        epsilon: Added to the variance, above 0; batch_norm's.
        gamma_initializer: Of the scale; every kind's.

    Raises:
        ModelError: A value is out of its range or unknown.
    """

    kind: str
    momentum: float = 0.99
    epsilon: float = 1e-3
    gamma_initializer: Any = "ones"
    argument: str = "normalization"

    def __post_init__(self) -> None:
        check_choice(self.argument, self.kind, NORMALIZATIONS)
        if not is_finite_number(self.momentum) or not 0 <= self.momentum < 1:
            raise ModelError(f"momentum is {self.momentum!r}, but must be a number from 0 to below 1.")
        if not is_finite_number(self.epsilon) or self.epsilon <= 0:
            raise ModelError(f"epsilon is {self.epsilon!r}, but must be a number above 0.")
        check_initializer("gamma_initializer", self.gamma_initializer)

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns `x` normalised, of the same shape."""
        match self.kind:
            case "batch_norm":
                return keras.layers.BatchNormalization(
                    momentum=self.momentum, epsilon=self.epsilon, gamma_initializer=self.gamma_initializer
                )(x)
            case "layer_norm":
                return keras.layers.LayerNormalization(gamma_initializer=self.gamma_initializer)(x)
            case "group_norm":
                return keras.layers.GroupNormalization(
                    groups=math.gcd(32, x.shape[-1]), gamma_initializer=self.gamma_initializer
                )(x)
            case _:
                return x


@dataclass(frozen=True)
class Dropout:
    """Applies dropout; rate 0 adds no layer.

    Attributes:
        rate: The share that is dropped, in [0, 1).
        kind: `plain` drops single values, `spatial` (Tompson et al. 2015, arXiv 1411.4280) whole
            channels of feature maps.
        argument: What the rate is called, for messages.

    Raises:
        ModelError: The rate is out of its range or the kind unknown.
    """

    rate: float
    kind: str = "plain"
    argument: str = "dropout"

    def __post_init__(self) -> None:
        if not is_finite_number(self.rate) or not 0 <= self.rate < 1:
            raise ModelError(
                f"{self.argument} is {self.rate!r}, but must be a number from 0 (none) to below 1."
            )
        check_choice("dropout_kind", self.kind, DROPOUT_KINDS)

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns `x` with the dropout on it, of the same shape."""
        if self.rate == 0:
            return x
        if self.kind == "spatial":
            return keras.layers.SpatialDropout2D(self.rate)(x)
        return keras.layers.Dropout(self.rate)(x)


def image_input(model: str, input_shape: Sequence[int], *, smallest: int, why: str) -> keras.KerasTensor:
    """Returns the input of a convolutional model, float, (sample, height, width, channel).

    Args:
        model: The model's name, for messages.
        input_shape: (height, width, channels).
        smallest: The fewest pixels that height and width may have.
        why: What needs that many.

    Raises:
        ModelError: The shape is no image's, or too small.
    """
    shape = check_shape(model, input_shape)
    if len(shape) != 3:
        raise ModelError(
            f"{model}: input_shape is {shape}, but its convolutions need images: (height, width, channels). "
            "Give the image's shape (data.image; of an array without channels X[..., np.newaxis]), or use fc."
        )
    if min(shape[:2]) < smallest:
        raise ModelError(
            f"{model}: input_shape is {shape}, but {why} need images of at least {smallest} x {smallest}. "
            "Use larger images, or another model."
        )
    return keras.Input(shape)


def convolution_blocks(
    x: keras.KerasTensor,
    blocks: Sequence[Sequence[int]],
    *,
    kernel_size: int,
    activation: Activation,
    normalization: Normalization,
    dropout: Dropout,
    kernel_initializer: Any,
) -> keras.KerasTensor:
    """Adds blocks of convolutions (same padding), each normalised, then activated; each block pooled.

    Args:
        x: (sample, height, width, channel), height and width at least 2 ** len(blocks).
        blocks: For each block a list with the width of each convolution; max-pooling by 2 ends it.
        kernel_size: Height and width of the kernels.
        activation: After each normalisation.
        normalization: After each convolution.
        dropout: After each pooling.
        kernel_initializer: What keras.initializers.get takes.

    Returns:
        (sample, height // 2 ** len(blocks), width // 2 ** len(blocks), blocks[-1][-1]).
    """
    for block in blocks:
        for width in block:
            x = keras.layers.Conv2D(
                width, kernel_size, padding="same", kernel_initializer=kernel_initializer
            )(x)
            x = activation(normalization(x))
        x = dropout(keras.layers.MaxPooling2D(2)(x))
    return x


@dataclass(frozen=True)
class Head:
    """Ends a model: a softmax over classes, a sigmoid for each label, or numbers as they come.

    Attributes:
        model: The model's name.
        n_classes: From 2; None where numbers are predicted.
        n_outputs: Numbers that are predicted, from 1; beside `n_classes` as many, or None.
        multi_label: Whether samples may have several of the classes, or none.
        kernel_initializer: What keras.initializers.get takes.

    Raises:
        ModelError: A value is out of its range, or they do not go together.
    """

    model: str
    n_classes: int | None
    n_outputs: int | None
    multi_label: bool
    kernel_initializer: Any

    def __post_init__(self) -> None:
        n_classes, n_outputs = self.n_classes, self.n_outputs
        if n_classes is None and n_outputs is None:
            raise ModelError(
                f"{self.model}: n_classes and n_outputs are missing: give n_classes to tell classes apart, "
                "or n_outputs to predict so many numbers."
            )
        if n_classes is not None and (not is_whole(n_classes) or n_classes < 2):
            raise ModelError(f"{self.model}: n_classes is {n_classes!r}, but must be a whole number from 2.")
        if n_outputs is not None and not is_whole(n_outputs):
            raise ModelError(f"{self.model}: n_outputs is {n_outputs!r}, but must be a whole number from 1.")
        if None not in (n_classes, n_outputs) and n_classes != n_outputs:
            raise ModelError(
                f"{self.model}: n_classes is {n_classes} and n_outputs {n_outputs}, but a class has one "
                "output: give one of the two."
            )
        if n_classes is None and self.multi_label:
            raise ModelError(
                f"{self.model}: multi_label is true, but n_classes is missing: it is the number of labels."
            )
        check_initializer("kernel_initializer", self.kernel_initializer)

    def __call__(self, inputs: keras.KerasTensor, x: keras.KerasTensor) -> keras.Model:
        """Returns the uncompiled model from its inputs to what follows `x`.

        Outputs are computed in the precision of the weights, so in float32 under mixed precision.
        """
        n, activation = self.n_classes, "sigmoid" if self.multi_label else "softmax"
        if n is None:
            n, activation = self.n_outputs, "linear"
        assert n is not None
        outputs = keras.layers.Dense(
            int(n),
            activation=activation,
            kernel_initializer=self.kernel_initializer,
            dtype=keras.config.dtype_policy().variable_dtype,
        )(x)
        return keras.Model(inputs, outputs, name=self.model)
