"""Augmentation as one transform of a batch on the device: what ImageDataGenerator has, in its terms, a crop
and colours as torchvision has them, a blur, and a square that is cut out. `mixing` mixes samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasgrid.config.augment import LATER, LATER_NUMBERS, NOTHING, NUMBERS, Augmentation
from kerasgrid.training import backend

N_DRAWS = 13
"""Uniform numbers an image: angle, 2 for each shift, shear, 2 zooms, 2 flips, channels, brightness, blur."""
_ROUNDING = 1e-4
"""Of the highest value of pixels: so little beyond it is none."""
PLACE, LATER_PLACE = 0, 1
"""Of these and of later draws among those by the key of an epoch's augmentation."""
LATER_DRAWS = (
    *("crop_x", "crop_y", "contrast", "saturation", "hue", "cutout", "cutout_x", "cutout_y"),
    *("mixes", "pastes", "radius", "angle", "box_x", "box_y"),
)
"""More uniform numbers an image, where one of `LATER` is done; two for each try of a crop follow."""
TRIES = 10
"""Of torchvision's RandomResizedCrop to find a part that is within the image."""
_GREY = np.array([0.2989, 0.587, 0.114])
"""Of red, green and blue: ITU-R BT.601, as torchvision rounds it."""


def draw(count: int, key: Any, step: Any, how: Augmentation = NOTHING) -> Any:
    """Returns (image, draw) uniform numbers of a step; an image's depend on its place in the batch.

    Args:
        count: Images.
        key: (2,) int32 of the epoch.
        step: Scalar int32: steps of the epoch before this one.
        how: The operations.
    """
    first = backend.uniform((count, N_DRAWS), key + backend.words(PLACE, step))
    if not how.operations & LATER:
        return first
    later = (count, len(LATER_DRAWS) + 2 * TRIES)
    return ops.concatenate([first, backend.uniform(later, key + backend.words(LATER_PLACE, step))], axis=1)


def later(how: Augmentation, numbers: Any, uniform: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the numbers of the operations in `LATER`, scalars, and what is drawn for them, (image,) each.

    The arguments are those of `augment`; of the tries of a crop there are (image, try, 2).
    """
    n = {name: numbers[len(NUMBERS) + place] for place, name in enumerate(LATER_NUMBERS)}
    u = {name: uniform[:, N_DRAWS + place] for place, name in enumerate(LATER_DRAWS)}
    tries = uniform[:, N_DRAWS + len(LATER_DRAWS) :]
    return n, u | {"tries": ops.reshape(tries, (-1, TRIES, 2))}


def augment(how: Augmentation, images: Any, numbers: Any, uniform: Any) -> Any:
    """Returns augmented images of the same shape.

    The order is ImageDataGenerator's, affine transform, channel shift, flips, brightness; then contrast,
    saturation, hue, blur and a square that is cut out.

    Args:
        how: The operations.
        images: (image, height, width, channel), float.
        numbers: (number,), as in `how.numbers`.
        uniform: (image, draw), what `draw` gives.
    """
    numbers, uniform = ops.cast(numbers, images.dtype), ops.cast(uniform, images.dtype)
    drawn = parameters(how, numbers, uniform)
    n, u = later(how, numbers, uniform) if how.operations & LATER else ({}, {})
    if "affine" in how.operations:
        geometry = {name: drawn[name] for name in ("theta", "tx", "ty", "shear", "zx", "zy")}
        matrix = affine_matrix(**geometry, size=images.shape[1:3])
        if "crop" in how.operations:
            matrix = _of_part(matrix, *cropped(n, u, images.shape[1:3]))
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
    for name, change in (("contrast", _contrast), ("saturation", _saturate)):
        if name in how.operations:
            factor = _between(n[f"{name}_from"], n[f"{name}_to"], u[name])
            images = change(images, _per_image(factor), how.top)
    if "hue" in how.operations:
        images = _turn(images, _per_image(_between(n["hue_from"], n["hue_to"], u["hue"])))
    if "blur" in how.operations:
        for size, axis in zip(how.kernel, (2, 1), strict=True):
            images = _blur(images, drawn["sigma"], size, axis)
    if "cutout" in how.operations:
        images = _cut_out(images, n, u, how.hole)
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


def cropped(n: dict[str, Any], u: dict[str, Any], size: Sequence[int]) -> tuple[Any, Any, Any, Any]:
    """Returns what a crop shows of each image: left and top in pixels, and its shares of width and height.

    It is drawn as `RandomResizedCrop.get_params` of torchvision does, but for whole pixels: of tries with an
    area and a ratio each, the first that is within the image; else the largest such part in its middle. Each
    of the four is (image,).

    Args:
        n: As in `later`.
        u: Likewise.
        size: Height and width.
    """
    height, width = size
    area = _between(n["crop_from"], n["crop_to"], u["tries"][..., 0])
    ratio = ops.exp(_between(n["ratio_from"], n["ratio_to"], u["tries"][..., 1]))
    across, down = ops.sqrt(area * ratio * (height / width)), ops.sqrt(area / ratio * (width / height))
    fits = ops.logical_and(across <= 1, down <= 1)
    first, some = ops.argmax(fits, axis=1)[:, None], ops.any(fits, axis=1)
    across, down = (ops.take_along_axis(part, first, axis=1)[:, 0] for part in (across, down))
    widest, highest = ops.exp(n["ratio_to"]) * (height / width), ops.exp(-n["ratio_from"]) * (width / height)
    across = ops.where(some, across, ops.minimum(widest, ops.ones_like(widest)))
    down = ops.where(some, down, ops.minimum(highest, ops.ones_like(highest)))
    x, y = (ops.where(some, u[name], ops.full_like(u[name], 0.5)) for name in ("crop_x", "crop_y"))
    return x * (1 - across) * width, y * (1 - down) * height, across, down


def _of_part(matrix: Any, left: Any, top: Any, across: Any, down: Any) -> Any:
    """Returns a matrix like that of `affine_matrix`, of a part of the image that is stretched to its size."""
    a, b, c, d, e, f = (matrix[:, place] for place in range(6))
    c = across * c + (left + 0.5 * across - 0.5)
    f = down * f + (top + 0.5 * down - 0.5)
    return ops.stack([across * a, across * b, c, down * d, down * e, f], axis=-1)


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


def _between(low: Any, high: Any, share: Any) -> Any:
    return low + (high - low) * share


def _brighten(images: Any, factor: Any, top: float) -> Any:
    """Returns images times a factor, between 0 and `top`; 1 is exactly no change.

    An image with a pixel below 0 or above `top` is changed between its own lowest and highest pixel, as
    `apply_brightness_shift` of Keras's ImageDataGenerator does (its `local_scale`).
    """
    base, lowest, limit = _bounds(images, top)
    return ops.clip(images * factor + base * (1 - factor), lowest, limit)


def _bounds(images: Any, top: float) -> tuple[Any, Any, Any]:
    """Returns what is black in each image, and the lowest and the highest value that its pixels may get."""
    axes = (1, 2, 3)
    lowest, highest = ops.min(images, axes, keepdims=True), ops.max(images, axes, keepdims=True)
    # Division by a scale and interpolation may go beyond by a rounding error.
    is_local = ops.logical_or(lowest < -_ROUNDING * top, highest > (1 + _ROUNDING) * top)
    base = ops.where(is_local, lowest, ops.zeros_like(lowest))
    limit = ops.where(is_local, highest, ops.maximum(highest, ops.full_like(highest, top)))
    return base, ops.minimum(base, lowest), limit


def _contrast(images: Any, factor: Any, top: float) -> Any:
    """Returns images with other contrasts, as `adjust_contrast` of torchvision; 1 is exactly no change."""
    return _blended(images, ops.mean(_grey(images), axis=(1, 2, 3), keepdims=True), factor, top)


def _saturate(images: Any, factor: Any, top: float) -> Any:
    """Returns images with other colours, as `adjust_saturation` of torchvision; 1 is exactly no change."""
    return _blended(images, _grey(images), factor, top)


def _blended(images: Any, other: Any, factor: Any, top: float) -> Any:
    _, lowest, limit = _bounds(images, top)
    return ops.clip(images * factor + other * (1 - factor), lowest, limit)


def _grey(images: Any) -> Any:
    """Returns (image, height, width, 1): of other channels than red, green and blue their mean."""
    if images.shape[-1] == 3:
        return ops.sum(images * ops.convert_to_tensor(_GREY, images.dtype), axis=-1, keepdims=True)
    return ops.mean(images, axis=-1, keepdims=True)


def _turn(images: Any, turns: Any) -> Any:
    """Returns images of red, green and blue with other hues, as `adjust_hue` of torchvision.

    In HSV only the hue changes, so that each pixel keeps its lowest and its highest channel's value; 0 is
    exactly no change.

    Args:
        images: (image, height, width, 3).
        turns: (image, 1, 1, 1), of the circle of hues.
    """
    red, green, blue = (images[..., channel : channel + 1] for channel in range(3))
    high, low = ops.max(images, -1, keepdims=True), ops.min(images, -1, keepdims=True)
    span = high - low
    unit = ops.where(span > 0, span, ops.ones_like(span))
    of_others = ops.where(high == green, 2 + (blue - red) / unit, 4 + (red - green) / unit)
    sixths = ops.where(high == red, (green - blue) / unit, of_others) + 6 * turns
    places = [ops.mod(start + sixths, 6) for start in (5, 3, 1)]
    parts = [high - span * ops.clip(ops.minimum(place, 4 - place), 0, 1) for place in places]
    return ops.where(turns == 0, images, ops.concatenate(parts, axis=-1))


def _cut_out(images: Any, n: dict[str, Any], u: dict[str, Any], value: float | None) -> Any:
    """Returns images out of some of which a square is cut around a pixel (DeVries and Taylor 2017, 3.2)."""
    height, width = images.shape[1:3]
    y, x = (ops.floor(u[name] * size) for name, size in (("cutout_y", height), ("cutout_x", width)))
    before = ops.floor(n["cutout_size"] / 2)
    ends = [(start - before, start - before + n["cutout_size"]) for start in (y, x)]
    inside = ops.logical_and(within(*ends[0], height, 1), within(*ends[1], width, 2))
    inside = ops.logical_and(inside, _per_image(u["cutout"] < n["cutout_probability"]))
    if value is None:
        return ops.where(inside, ops.mean(images, axis=(1, 2), keepdims=True), images)
    return ops.where(inside, ops.full_like(images, value), images)


def within(first: Any, end: Any, length: int, axis: int) -> Any:
    """Returns whether pixels along an axis are from `first` on and before `end`, (image,) each.

    Args:
        first: Pixels.
        end: Likewise.
        length: Pixels along the axis.
        axis: Of images, 1 or 2; the others are of length 1.
    """
    shape = [1, 1, 1, 1]
    shape[axis] = length
    places = ops.reshape(ops.arange(length, dtype=first.dtype), shape)
    return ops.logical_and(places >= _per_image(first), places < _per_image(end))


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
