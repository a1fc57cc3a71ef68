"""Layers whose randomness comes from a job's keys, and that leave padding out.

They take the place of Keras's own in a compiled program. What they draw depends on the job's key of an epoch,
the step and the layer's place in the model: never on the job's place in its pack.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from kerasgrid.models.keras_private import OwnMoments, noise_shape
from kerasgrid.training import backend

MOST_DROPPED = 255 / 256
"""The highest rate of dropout that a program is given."""
MOST_LAYERS = 1 << 20
"""Of a model, those that draw."""


@dataclass
class Draw:
    """What random layers draw from, and the samples that count, while one step is traced.

    Attributes:
        key: (2,) int32 of the job's epoch.
        step: Scalar int32: steps of the epoch before this one.
        weights: (sample,) 1 for samples and 0 for padding; None where there is no padding.
        times: How often each place and stream has been drawn from.
        updated: Each BatchNormalization, as often as its moving statistics are updated.
        statistics: Mean and variance of what the BatchNormalization at hand is called with, where a kernel
            finds its slopes by them; else None.
    """

    key: Any
    step: Any
    weights: Any = None
    times: Counter[int] = field(default_factory=Counter)
    updated: list[Any] = field(default_factory=list)
    statistics: Any = None


_draw: Draw | None = None


@contextmanager
def drawing(draw: Draw) -> Iterator[Draw]:
    """Lets the layers that are called within draw from a job's keys."""
    global _draw
    before, _draw = _draw, draw
    try:
        yield draw
    finally:
        _draw = before


class Keyed:
    """A layer's place in its model, from 0, which makes its numbers differ from the other layers'."""

    name: str
    place = 0

    def uniform(self, shape: Any, stream: int = 0) -> Any:
        """Returns numbers in [0, 1) with 24 bits, of a shape."""
        return backend.uniform(shape, self._salt(stream))

    def keep(self, shape: Any, rate: Any) -> Any:
        """Returns booleans of a shape that are false at a rate, 0 to `MOST_DROPPED`, met to within 2^-24.

        Each is a byte that reaches a threshold, one of the two whole numbers beside 256 times the rate. Which
        one is drawn for each entry of the first axis, a sample, so that it is right on average: the sample's
        own rate is off by less than 1/256, and two of its entries have a covariance of at most 2^-18. Where
        bytes do not pay, each has 16 bits, and the rate is met to within 2^-17.

        Args:
            shape: Known, from one axis.
            rate: Scalar.
        """
        n, count = shape[0], math.prod(shape)
        if not backend.BYTES_PAY:
            threshold = ops.minimum(ops.round(ops.cast(rate, "float32") * 2**16), 2**16 - 1)
            halves = backend.parts(backend.bits(-(-count // 2), self._salt()), 16)
            return ops.reshape(halves[:count], shape) >= ops.cast(threshold, "uint16")
        words = backend.bits(n + -(-count // 4), self._salt())
        # Of 16 bits, for the sum to be exact below 256.
        shares = ops.reshape(backend.fractions(words[:n], 16), (n,) + (1,) * (len(shape) - 1))
        thresholds = ops.cast(ops.floor(ops.cast(rate, "float32") * 256 + shares), "uint8")
        return ops.reshape(backend.parts(words[n:], 8)[:count], shape) >= thresholds

    def normal(self, shape: Any) -> Any:
        """Returns standard normal numbers (Box and Muller 1958)."""
        radius = ops.sqrt(-2.0 * ops.log(1.0 - self.uniform(shape)))
        return radius * ops.cos(2.0 * math.pi * self.uniform(shape, stream=1))

    def _salt(self, stream: int = 0) -> Any:
        if _draw is None:
            raise RuntimeError(f"{self.name} is called outside of a step.")
        place = self.place * 2 + stream + 1
        _draw.times[place] += 1  # a layer that stands in several places of a model draws anew in each
        return _draw.key + backend.words(place + (_draw.times[place] - 1) * 2 * MOST_LAYERS, _draw.step)


class _Bernoulli(Keyed):
    rate: float

    def call(self, inputs, training=False):
        if not training:
            return inputs
        given = getattr(self, "noise_shape", None)
        shape = self._noise(inputs, given)
        rate = ops.convert_to_tensor(self.rate)
        scale = ops.cast(1 / (1 - rate), inputs.dtype)  # divided before it is rounded, as Keras does
        return inputs * (ops.cast(self.keep(shape, rate), inputs.dtype) * scale)

    def _noise(self, inputs: Any, given: Any) -> tuple:
        shape = ops.shape(inputs)
        return (
            shape
            if given is None
            else tuple(s if g is None else g for s, g in zip(shape, given, strict=True))
        )


class KeyedDropout(_Bernoulli, keras.layers.Dropout):
    """Dropout (Srivastava et al. 2014)."""


class _Spatial(_Bernoulli):
    def _noise(self, inputs: Any, given: Any) -> tuple:
        return noise_shape(self, inputs)


class KeyedSpatialDropout1D(_Spatial, keras.layers.SpatialDropout1D):
    """Dropout of whole channels of (sample, step, channel)."""


class KeyedSpatialDropout2D(_Spatial, keras.layers.SpatialDropout2D):
    """Dropout of whole channels of images."""


class KeyedSpatialDropout3D(_Spatial, keras.layers.SpatialDropout3D):
    """Dropout of whole channels of volumes."""


class KeyedGaussianNoise(Keyed, keras.layers.GaussianNoise):
    """Adds normal noise of a standard deviation."""

    def call(self, inputs, training=False):
        """Returns inputs of the same shape, with noise in training."""
        if not training:
            return inputs
        noise = ops.cast(self.normal(ops.shape(inputs)), inputs.dtype)
        return inputs + noise * ops.cast(self.stddev, inputs.dtype)


class KeyedGaussianDropout(Keyed, keras.layers.GaussianDropout):
    """Multiplies by normal noise of mean 1 and variance rate / (1 - rate)."""

    def call(self, inputs, training=False):
        """Returns inputs of the same shape, with noise in training."""
        if not training:
            return inputs
        rate = ops.cast(self.rate, inputs.dtype)
        noise = ops.cast(self.normal(ops.shape(inputs)), inputs.dtype)
        return inputs * (1 + noise * ops.sqrt(rate / (1 - rate)))


class KeyedLeakyReLU(keras.layers.LeakyReLU):
    """LeakyReLU whose slope is an input of the program."""

    def call(self, inputs):
        """Returns inputs where they are above 0, else their product with the slope."""
        return ops.where(inputs > 0, inputs, inputs * ops.cast(self.negative_slope, inputs.dtype))


class MaskedBatchNormalization(OwnMoments):
    """BatchNormalization whose statistics do not see padding (channels last)."""

    def call(self, inputs, training=None, mask=None):
        """Returns inputs of the same shape, normalised as Keras does."""
        outputs = super().call(inputs, training=training, mask=mask)
        if _draw is None or _draw.statistics is None:
            return outputs
        statistics, _draw.statistics = _draw.statistics, None
        inputs, scale, offset = (
            ops.cast(part, "float32")
            for part in (
                inputs,
                ops.ones_like(self.moving_mean) if self.gamma is None else self.gamma,
                ops.zeros_like(self.moving_mean) if self.beta is None else self.beta,
            )
        )
        return backend.with_slopes(outputs, inputs, scale, offset, statistics, self.epsilon)

    def moments(self, inputs):
        """Returns mean and variance of the samples that count, (channel,) each; None outside of a step.

        It is asked where the moving statistics are updated.
        """
        if _draw is None:
            return None
        _draw.updated.append(self)
        weights = _draw.weights
        axes = tuple(range(len(inputs.shape) - 1))
        if weights is None:
            found = ops.moments(inputs, axes)
            _draw.statistics = found if backend.knows_slopes(inputs) else None
            return found
        weights = ops.reshape(ops.cast(weights, inputs.dtype), (-1,) + (1,) * (len(inputs.shape) - 1))
        per_sample = math.prod(inputs.shape[axis] for axis in axes if axis != 0)
        count = ops.maximum(ops.sum(weights), 1) * per_sample
        mean = ops.sum(inputs * weights, axis=axes, keepdims=True) / count
        variance = ops.sum(ops.square(inputs - mean) * weights, axis=axes) / count
        return ops.reshape(mean, ops.shape(variance)), variance


KEYED: dict[type, type[keras.layers.Layer]] = {
    keras.layers.Dropout: KeyedDropout,
    keras.layers.SpatialDropout1D: KeyedSpatialDropout1D,
    keras.layers.SpatialDropout2D: KeyedSpatialDropout2D,
    keras.layers.SpatialDropout3D: KeyedSpatialDropout3D,
    keras.layers.GaussianNoise: KeyedGaussianNoise,
    keras.layers.GaussianDropout: KeyedGaussianDropout,
    keras.layers.LeakyReLU: KeyedLeakyReLU,
    keras.layers.BatchNormalization: MaskedBatchNormalization,
}
NUMBERS: dict[type, tuple[str, ...]] = {
    KeyedDropout: ("rate",),
    KeyedSpatialDropout1D: ("rate",),
    KeyedSpatialDropout2D: ("rate",),
    KeyedSpatialDropout3D: ("rate",),
    KeyedGaussianNoise: ("stddev",),
    KeyedGaussianDropout: ("rate",),
    KeyedLeakyReLU: ("negative_slope",),
}
"""The attributes of each that are inputs of a program."""
