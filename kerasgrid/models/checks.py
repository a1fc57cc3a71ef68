"""Checks of the built-in models' arguments; every message names the argument and what holds."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras

from kerasgrid.errors import ModelError, did_you_mean


def check_shape(model: str, input_shape: Sequence[int]) -> tuple[int, ...]:
    """Returns an input shape as a tuple; raises ModelError where it is no list of positive numbers."""
    if is_list(input_shape) and input_shape and all(is_whole(size) for size in input_shape):
        return tuple(int(size) for size in input_shape)
    raise ModelError(
        f"{model}: input_shape is {input_shape!r}, but must be positive whole numbers such as (28, 28, 1)."
    )


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


def check_whole(argument: str, value: int) -> int:
    """Returns a whole number from 1; raises ModelError naming the argument."""
    if not is_whole(value):
        raise ModelError(f"{argument} is {value!r}, but must be a whole number from 1.")
    return int(value)


def check_choice(argument: str, value: str, choices: Sequence[str]) -> str:
    """Returns one of the choices; raises ModelError naming the argument and the known ones."""
    if value not in choices:
        raise ModelError(f"{argument} is {value!r}, which is unknown.{did_you_mean(value, choices)}")
    return value


def check_initializer(argument: str, value: Any) -> Any:
    """Returns what keras.initializers.get takes; raises ModelError naming the argument."""
    try:
        known = keras.initializers.get(value)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{argument} is {value!r}, which is no initializer of Keras. "
            "Known are such as glorot_uniform, he_normal, he_uniform, lecun_normal, orthogonal."
        ) from error
    if known is None:
        raise ModelError(f"{argument} is none, but must name an initializer, such as glorot_uniform.")
    return value


def is_list(value: Any) -> bool:
    """Whether a value is a list or tuple; text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number from 1; booleans are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; booleans are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def switched(batch_norm: bool, normalization: str) -> str:
    """Returns the kind of normalisation where `batch_norm` switches it on or off.

    Raises:
        ModelError: Another kind is asked for while it is switched off.
    """
    if not isinstance(batch_norm, bool):
        raise ModelError(f"batch_norm is {batch_norm!r}, but must be true or false.")
    if batch_norm:
        return normalization
    if normalization not in ("batch_norm", "none"):
        raise ModelError(
            f"normalization is {normalization!r}, but batch_norm: false leaves normalisation out. Set "
            "batch_norm: true. To search both, make space a list of spaces, one with batch_norm: [true] and "
            "normalization, one with batch_norm: [false]."
        )
    return "none"
