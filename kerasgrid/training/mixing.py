"""Samples that are mixed with the next one of their batch, and their targets and weights with them."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from kerasgrid.config.augment import Augmentation
from kerasgrid.training.augmentation import later, within


def mix(
    how: Augmentation,
    batch: tuple[Any, Any, Any],
    numbers: Any,
    uniform: Any,
    padding: Any | None = None,
) -> tuple[Any, Any, Any]:
    """Returns a batch whose samples are mixed, the targets and what each counts as the samples are.

    Of samples that count u and v, by shares s and 1 - s, the mixture counts s u + (1 - s) v, of which
    s u is the first target's. So a loss that is linear in targets, as crossentropies are, is s u times that
    of the first and (1 - s) v times that of the second; and so are the slopes of squared errors.

    Args:
        how: The operations.
        batch: Images, (image, height, width, channel), as the model takes them; targets, (image, ...) float;
            and what each counts in the loss, (image,), or None.
        numbers: (number,), as in `how.numbers`.
        uniform: (image, draw), what `draw` of `augmentation` gives.
        padding: (image,) 1 for samples and then 0 for padding, which no sample is mixed with; None for none.
    """
    images, targets, counts = batch
    images, kept = mixed(how, images, numbers, uniform, padding)
    partner = _next(targets.shape[0], padding)
    kept = ops.cast(kept, targets.dtype)
    if counts is not None:
        own = counts * kept
        counts = own + ops.take(counts, partner, axis=0) * (1 - kept)
        kept = ops.where(counts > 0, own / ops.where(counts > 0, counts, 1), kept)
    return images, _blend(targets, ops.take(targets, partner, axis=0), kept), counts


def mixed(
    how: Augmentation, images: Any, numbers: Any, uniform: Any, padding: Any | None = None
) -> tuple[Any, Any]:
    """Returns images that are mixed, and the share of each that is left of it, (image,).

    The arguments are those of `mix`.
    """
    n, u = later(how, ops.cast(numbers, images.dtype), ops.cast(uniform, images.dtype))
    others = ops.take(images, _next(images.shape[0], padding), axis=0)
    pastes, is_mixed = u["pastes"] < n["cutmix_share"], u["mixes"] < n["mix_probability"]
    alpha = ops.where(pastes, n["cutmix_alpha"], n["mixup_alpha"])
    share = ops.where(is_mixed, symmetric_beta(alpha, u["radius"], u["angle"]), ops.ones_like(alpha))
    if how.operations >= {"mixup", "cutmix"}:
        boxed, left = _pasted(images, others, share, u)
        blended = _blend(images, others, share)
        chosen = ops.reshape(pastes, (-1, 1, 1, 1))
        return ops.where(chosen, boxed, blended), ops.where(pastes, left, share)
    if "cutmix" in how.operations:
        return _pasted(images, others, share, u)
    return _blend(images, others, share), share


def symmetric_beta(alpha: Any, radius: Any, angle: Any) -> Any:
    """Returns numbers of the beta distribution of (alpha, alpha), and 1 where alpha is 0.

    Student's t with 2 alpha degrees of freedom is made of two uniform numbers without rejection (Bailey 1994,
    Polar generation of random variates with the t-distribution); t / sqrt(2 alpha + t^2) is twice such a
    number, less 1 (Devroye 1996, Random variate generation in one line of code).

    Args:
        alpha: (image,), not below 0.
        radius: (image,), uniform in [0, 1).
        angle: Likewise.
    """
    is_drawn = alpha > 0
    power = ops.exp(ops.log(1 - radius) / ops.where(is_drawn, alpha, ops.ones_like(alpha)))
    cosine = ops.cos(2 * math.pi * angle)
    along = (1 - power) * ops.square(cosine)
    size = ops.sqrt(along / ops.maximum(power + along, 1e-30))
    return ops.where(is_drawn, 0.5 + 0.5 * ops.sign(cosine) * size, ops.ones_like(alpha))


def dominant(targets: Any, is_one_of: bool) -> Any:
    """Returns the targets of that sample of each mixture which counts for more of it, as metrics take them.

    Args:
        targets: (sample, output), mixed or not.
        is_one_of: Whether they are one-hot rows, each of one class; else each entry is 0 or 1.
    """
    if is_one_of:
        return ops.one_hot(ops.argmax(targets, axis=-1), targets.shape[-1], dtype=targets.dtype)
    return ops.cast(targets >= 0.5, targets.dtype)


def weighed(targets: Any, class_weight: Any) -> tuple[Any, Any]:
    """Returns targets of which each class has as much as it counts, and what each sample counts, (sample,).

    As in `mix`, so that each part of a mixture is weighed by its own class.

    Args:
        targets: (sample, class), or (sample, 1), the share of the second of two; mixed or not.
        class_weight: (class,).
    """
    is_one = targets.shape[-1] == 1
    shares = ops.concatenate([1 - targets, targets], axis=-1) if is_one else targets
    parts = shares * class_weight
    counts = ops.sum(parts, axis=-1, keepdims=True)
    shares = ops.where(counts > 0, parts / ops.where(counts > 0, counts, 1), shares)
    return shares[:, 1:] if is_one else shares, counts[:, 0]


def _next(count: int, padding: Any | None) -> Any:
    """Returns the place of the sample that each is mixed with, (image,) int32.

    Batches are in a new order in each epoch, so that the next sample is any other one.
    """
    places = ops.arange(1, count + 1, dtype="int32")
    end = count if padding is None else ops.cast(ops.sum(padding), "int32")
    return ops.where(places < end, places, ops.zeros_like(places))


def _blend(values: Any, others: Any, share: Any) -> Any:
    """Returns `share`, (image,), of values and the rest of others; of a share of 1 exactly the values."""
    share = ops.reshape(share, (-1,) + (1,) * (len(values.shape) - 1))
    return values * share + others * (1 - share)


def _pasted(images: Any, others: Any, share: Any, u: dict[str, Any]) -> tuple[Any, Any]:
    """Returns images into each of which a rectangle of another is pasted, and the share that is left.

    It has the image's proportions and is around a random pixel; what is beyond the border is left out, and
    the share is that of its pixels (Yun et al. 2019, 3.1, and `rand_bbox` of the authors' code).
    """
    across, ends = ops.sqrt(1 - share), []
    for name, length in (("box_y", images.shape[1]), ("box_x", images.shape[2])):
        middle, half = ops.floor(u[name] * length), ops.floor(ops.floor(length * across) / 2)
        ends.append((ops.maximum(middle - half, 0), ops.minimum(middle + half, length)))
    (top, bottom), (left, right) = ends
    inside = ops.logical_and(within(top, bottom, images.shape[1], 1), within(left, right, images.shape[2], 2))
    area = (bottom - top) * (right - left) / (images.shape[1] * images.shape[2])
    return ops.where(inside, others, images), 1 - area
