"""Augmentation as one transform of a batch on the device, in ImageDataGenerator's terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasgrid.config.augment import NUMBERS, Augment, Augmentation
from kerasgrid.training import backend

N_DRAWS = 13
"""Uniform numbers an image: angle, 2 for each shift, shear, 2 zooms, 2 flips, channels, brightness, blur."""
_ROUNDING = 1e-4
"""Of the highest value of pixels: so little beyond it is none."""
PLACE = 0
"""Of the draws among those by a key; layers have the places from 1."""
GAP = 2
"""Pixels between images."""


def draw(count: int, key: Any, step: Any) -> Any:
    """Returns (image, draw) uniform numbers of a step; an image's depend on its place in the batch.

    Args:
        count: Images.
        key: (2,) int32 of the epoch.
        step: Scalar int32: steps of the epoch before this one.
    """
    return backend.uniform((count, N_DRAWS), key + backend.words(PLACE, step))


def augment(how: Augmentation, images: Any, numbers: Any, uniform: Any) -> Any:
    """Returns augmented images of the same shape.

    The order is ImageDataGenerator's: affine transform, channel shift, flips, brightness; then blur.

    Args:
        how: The operations.
        images: (image, height, width, channel), float.
        numbers: (number,), as in `how.numbers`.
        uniform: (image, draw), what `draw` gives.
    """
    drawn = parameters(how, ops.cast(numbers, images.dtype), ops.cast(uniform, images.dtype))
    if "affine" in how.operations:
        geometry = {name: drawn[name] for name in ("theta", "tx", "ty", "shear", "zx", "zy")}
        matrix = affine_matrix(**geometry, size=images.shape[1:3])
        images = backend.affine(images, matrix, how.fill_mode, how.cval)
    if "channels" in how.operations:
        axes = (1, 2, 3)
        low, high = ops.min(images, axes, keepdims=True), ops.max(images, axes, keepdims=True)
        images = ops.clip(images + _per_image(drawn["channel_shift_intensity"]), low, high)
    if "flips" in how.operations:
        images = ops.where(_per_image(drawn["flip_horizontal"]), ops.flip(images, 2), images)
        images = ops.where(_per_image(drawn["flip_vertical"]), ops.flip(images, 1), images)
    if "brightness" in how.operations:
        images = _brighten(images, _per_image(drawn["brightness"]), how.top)
    if "blur" in how.operations:
        for size, axis in zip(how.kernel, (2, 1), strict=True):
            images = _blur(images, drawn["sigma"], size, axis)
    return images


def parameters(how: Augmentation, numbers: Any, uniform: Any) -> dict[str, Any]:
    """Returns what is drawn for each image, (image,) each, by ImageDataGenerator's names.

    Args:
        how: The operations.
        numbers: (number,), as in `how.numbers`.
        uniform: (image, draw).
    """
    n = {name: numbers[index] for index, name in enumerate(NUMBERS)}
    u = [uniform[:, index] for index in range(N_DRAWS)]
    return {
        "theta": n["rotation"] * (2 * u[0] - 1),
        "tx": _drawn_shift(how.choices[0], n["height"], n["height_whole"], u[1], u[2]),
        "ty": _drawn_shift(how.choices[1], n["width"], n["width_whole"], u[3], u[4]),
        "shear": n["shear"] * (2 * u[5] - 1),
        "zx": n["zoom_from"] + (n["zoom_to"] - n["zoom_from"]) * u[6],
        "zy": n["zoom_from"] + (n["zoom_to"] - n["zoom_from"]) * u[7],
        "flip_horizontal": u[8] < 0.5 * n["flip_x"],
        "flip_vertical": u[9] < 0.5 * n["flip_y"],
        "channel_shift_intensity": n["channel"] * (2 * u[10] - 1),
        "brightness": n["bright_from"] + (n["bright_to"] - n["bright_from"]) * u[11],
        "sigma": n["blur_from"] + (n["blur_to"] - n["blur_from"]) * u[12],
    }


def _drawn_shift(choices: Sequence[float], span: Any, whole: Any, draw: Any, sign: Any) -> Any:
    """Returns (image,) pixels."""
    sign = ops.cast(ops.where(sign < 0.5, -1.0, 1.0), draw.dtype)
    if choices:
        place = ops.minimum(ops.cast(draw * len(choices), "int32"), len(choices) - 1)
        return ops.take(ops.convert_to_tensor(np.asarray(choices), draw.dtype), place) * sign
    return span * (2 * draw - 1) + ops.floor(whole * draw) * sign


def affine_matrix(theta: Any, tx: Any, ty: Any, shear: Any, zx: Any, zy: Any, size: Sequence[int]) -> Any:
    """Returns (image, 6): rows of the matrix that takes a pixel (x, y) of the result to where it comes from.

    The geometry is that of `apply_affine_transform` of Keras's ImageDataGenerator: rotation, shift, shear and
    zoom are multiplied in this order, about the point whose x is half the *height* and whose y half the
    width, less 0.5; and x runs along the columns of the array, so that tx, which ImageDataGenerator draws
    from `height_shift_range`, moves an image left where it is above 0, as there.

    Args:
        theta: (image,) degrees.
        tx: (image,) pixels along x.
        ty: (image,) pixels along y.
        shear: (image,) degrees.
        zx: (image,) factor of x, above 0; above 1 shows more of the image.
        zy: (image,) factor of y.
        size: Height and width.
    """
    angle, slant = theta * (math.pi / 180), shear * (math.pi / 180)
    cos, sin, lean, rise = ops.cos(angle), ops.sin(angle), -ops.sin(slant), ops.cos(slant)
    a, b = cos * zx, (cos * lean - sin * rise) * zy
    d, e = sin * zx, (sin * lean + cos * rise) * zy
    shift_x, shift_y = cos * tx - sin * ty, sin * tx + cos * ty
    x, y = size[0] / 2 - 0.5, size[1] / 2 - 0.5
    c = shift_x + x - (a * x + b * y)
    f = shift_y + y - (d * x + e * y)
    return ops.stack([a, b, c, d, e, f], axis=-1)


def normalize(how: Augmentation, images: Any) -> Any:
    """Returns images as ImageDataGenerator's `standardize` leaves them, but for what needs a training set.

    Args:
        how: Its `rescale` and `samplewise`.
        images: (image, height, width, channel), float.
    """
    if how.rescale is not None:
        images = images * how.rescale
    if how.samplewise[0]:
        images = images - ops.mean(images, axis=(1, 2, 3), keepdims=True)
    if how.samplewise[1]:
        images = images / (ops.std(images, axis=(1, 2, 3), keepdims=True) + 1e-6)
    return images


def _per_image(values: Any) -> Any:
    return ops.reshape(values, (-1, 1, 1, 1))


def _brighten(images: Any, factor: Any, top: float) -> Any:
    """Returns images times a factor, between 0 and `top`; 1 is exactly no change.

    An image with a pixel below 0 or above `top` is changed between its own lowest and highest pixel, as
    `apply_brightness_shift` of Keras's ImageDataGenerator does (its `local_scale`).
    """
    axes = (1, 2, 3)
    lowest, highest = ops.min(images, axes, keepdims=True), ops.max(images, axes, keepdims=True)
    # Division by a scale and interpolation may go beyond by a rounding error.
    is_local = ops.logical_or(lowest < -_ROUNDING * top, highest > (1 + _ROUNDING) * top)
    base = ops.where(is_local, lowest, ops.zeros_like(lowest))
    limit = ops.where(is_local, highest, ops.maximum(highest, ops.full_like(highest, top)))
    return ops.clip(images * factor + base * (1 - factor), ops.minimum(base, lowest), limit)


def _blur(images: Any, sigma: Any, size: int, axis: int) -> Any:
    """Returns images blurred along an axis, each by its own sigma; borders are mirrored."""
    radius = size // 2
    if not radius:
        return images
    sigma = ops.reshape(sigma, (-1, 1))
    offsets = ops.convert_to_tensor(np.arange(-radius, radius + 1), images.dtype)
    blurred = ops.exp(-0.5 * ops.square(offsets / ops.where(sigma > 0, sigma, 1.0)))
    kernel = ops.where(sigma > 0, blurred, ops.cast(offsets == 0, images.dtype))
    kernel = kernel / ops.sum(kernel, axis=1, keepdims=True)
    padding = [[0, 0]] * 4
    padding[axis] = [radius, radius]
    padded = ops.pad(images, padding, mode="reflect")
    length = images.shape[axis]
    parts = [
        ops.take(padded, np.arange(k, k + length), axis=axis) * _per_image(kernel[:, k]) for k in range(size)
    ]
    return sum(parts[1:], parts[0])


def augmented_rows(images: np.ndarray, given: Augment, n_draws: int, seed: int = 0) -> np.ndarray:
    """Returns rows of images: each as it is stored, and then as epochs would see it.

    Args:
        images: (sample, height, width, channel), as they are stored; all of them are shown.
        given: The augmentation; its normalisation is left out, since it has no picture.
        n_draws: Augmented images a row.
        seed: Another one draws others.

    Returns:
        (height, width, 3) uint8, on white; the darkest pixel stored is black and the brightest white.
    """
    how = Augmentation.of(given, images)
    numbers = np.asarray(how.numbers, dtype=np.float32)
    stored = np.asarray(images, dtype=np.float32)
    columns = [stored]
    for epoch in range(n_draws if how.operations else 0):
        uniform = draw(len(images), np.array([seed, epoch], dtype=np.int32), np.int32(0))
        drawn = augment(how, backend.to_device(stored), numbers, uniform)
        columns.append(backend.to_host(drawn))
    low, high = stored.min(), stored.max()
    cells = np.stack(columns, axis=1)  # row, column, height, width, channel
    cells = np.clip((cells - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
    cells = np.repeat(cells, 3, axis=-1) if cells.shape[-1] == 1 else cells[..., :3]
    cells = np.pad(cells, [(0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)], constant_values=255)
    rows = [np.concatenate(list(row), axis=1) for row in cells]
    return np.concatenate(rows, axis=0)
