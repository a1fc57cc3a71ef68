"""BatchNormalization's moving statistics, and what they are without their first values.

They begin at 0 and 1, and after n updates hold a share f = momentum ** n of that:

    statistic = f * first + (1 - f) * average

where the average is of the batches, each by the weight that the momentum gives it. After 24 steps at Keras's
momentum of 0.99 f is 0.79, and what a net scores with such statistics says little of its weights. The average
is found again as Adam finds its own (Kingma and Ba 2015, section 3). What is trained, and what is in a
checkpoint, are the statistics as they stand, so that nothing is debiased twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.config.stages import Stage
from kerasgrid.models.freezing import train_only
from kerasgrid.models.keras_private import add_state, layers_within, renormalizes

SET = 2.0**30
"""Updates of statistics that hold no first values, since a model function or a callback has set them."""
_NEGLIGIBLE = 1e-9
_SMALLEST = 1e-30


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns a model's layers that have moving statistics, in their order."""
    return [layer for layer in layers_within(model) if isinstance(layer, keras.layers.BatchNormalization)]


def debiased(statistic: Any, first: Any, updates: Any, momentum: float) -> Any:
    """Returns a statistic without its first value; as it is where it has not been updated.

    Args:
        statistic: (channel,), a moving mean or variance.
        first: (channel,), before the first update.
        updates: Scalar, how often it was updated.
        momentum: The layer's.
    """
    decay = math.log(min(max(momentum, _SMALLEST), 1.0))
    kept = -ops.expm1(ops.cast(updates, statistic.dtype) * decay)  # 1 - f
    is_updated = kept > 0
    average = (statistic - (1 - kept) * ops.cast(first, statistic.dtype)) / ops.where(is_updated, kept, 1)
    return ops.where(is_updated, average, statistic)


def debiased_pair(pair: Sequence[Any], first: Sequence[Any], updates: Any, momentum: float) -> list[Any]:
    """Returns a layer's moving mean and variance without their first values; no variance is below 0."""
    mean, variance = (debiased(*found, updates, momentum) for found in zip(pair, first, strict=True))
    return [mean, ops.maximum(variance, 0)]


def share_left(updates: Sequence[float], momenta: Sequence[float]) -> float | None:
    """Returns the greatest share of first values that is left in a layer; None where none was updated.

    Args:
        updates: (layer,), how often each was.
        momenta: (layer,), the layers'.
    """
    found = [
        min(max(momentum, 0.0), 1.0) ** float(n)
        for n, momentum in zip(updates, momenta, strict=True)
        if 0 < n < SET and momentum < 1  # by 1 they never move
    ]
    return max(found, default=None)


def momenta(model: keras.Model, stages: Sequence[Stage] = ()) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """Returns those of the layers whose statistics will move away from their first values, as ProbeRecord.

    Args:
        model: Built, and not trained. With stages it is left as the last one trains it.
        stages: The candidate's.
    """
    first = [layer for layer in batch_norms(model) if layer.built and layer.momentum < 1]
    found: dict[Any, list[int]] = {layer: [] for layer in first if _has_first_values(layer)}
    for place in range(len(stages) or 1):
        if stages:
            train_only(model, stages[place].trainable)
        for layer, places in found.items():
            if layer.trainable:
                places.append(place)
    return tuple(
        sorted({(float(layer.momentum), tuple(places)) for layer, places in found.items() if places})
    )


def _has_first_values(layer: keras.layers.BatchNormalization, is_untouched: bool = False) -> bool:
    """Tells whether the statistics are what the layer's initializers give.

    Args:
        layer: Built.
        is_untouched: What is said of random ones and functions, which may give others at each call.
    """
    for initializer, statistic in (
        (layer.moving_mean_initializer, layer.moving_mean),
        (layer.moving_variance_initializer, layer.moving_variance),
    ):
        if not isinstance(initializer, keras.Initializer) or "seed" in initializer.get_config():
            if not is_untouched:
                return False
        elif not np.array_equal(_value(initializer(statistic.shape, statistic.dtype)), _value(statistic)):
            return False
    return True


def _value(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


class Counted:
    """A model that Keras's own fit trains, with how often each BatchNormalization was updated.

    The counts are variables of the model, though no weights: its steps write them, whatever these are and
    however often they call a layer, and checkpoints hold them.

    Args:
        model: Built, and not trained yet.
        is_untouched: Whether all of its weights are known to be by their initializers.
    """

    def __init__(self, model: keras.Model, is_untouched: bool = False) -> None:
        self._layers = [layer for layer in batch_norms(model) if layer.built]
        self._first = [[value.copy() for value in self._pair(layer)] for layer in self._layers]
        self._counts = []
        for layer in self._layers:
            begins = 0.0 if _has_first_values(layer, is_untouched) else SET
            count = keras.Variable(np.float32(begins), trainable=False, dtype="float32", name="updates")
            add_state(layer, count)
            _count_updates(layer, count)
            self._counts.append(count)
        self._marks = self._digests()
        self._is_debiased = False

    @property
    def first_values(self) -> float | None:
        """The greatest share of first values that is left; None where no layer was updated."""
        return share_left(self._updates, [layer.momentum for layer in self._layers])

    @contextmanager
    def debiased(self) -> Iterator[None]:
        """Lets the model have its statistics without their first values within, and once at most."""
        if self._is_debiased:
            yield
            return
        before = [self._pair(layer) for layer in self._layers]
        self.debias()
        try:
            yield
        finally:
            self._is_debiased = False
            for layer, pair in zip(self._layers, before, strict=True):
                _assign(layer, pair)

    def debias(self) -> None:
        """Gives the model its statistics without their first values, once: it is not trained any more."""
        for layer, first, n in zip(self._layers, self._first, self._updates, strict=True):
            pair = debiased_pair(self._pair(layer), first, n, layer.momentum)
            if renormalizes(layer) and 0 < n < SET:  # its variance is the square of an average of deviations
                begins = np.sqrt(first[1])
                deviation = debiased(_value(layer.moving_stddev), begins, n, layer.momentum)
                pair[1] = ops.maximum(ops.square(deviation) - layer.epsilon, 0)
            _assign(layer, pair)
        self._is_debiased = True

    def note(self, known: MutableMapping[str, float]) -> None:
        """Takes down how often the statistics that the layers have now were updated.

        Args:
            known: Updates by what the statistics are.
        """
        self._marks = self._digests()
        for mark, layer, n in zip(self._marks, self._layers, self._updates, strict=True):
            if n == 0 or (share_left([n], [layer.momentum]) or 0.0) > _NEGLIGIBLE:
                known[mark] = n

    def settle(self, known: MutableMapping[str, float]) -> None:
        """Looks whether statistics are others than those noted last, which callbacks may have put back.

        Those of an earlier epoch have the updates of that one. Others are somebody's own, and left alone.
        """
        marks = self._digests()
        for mark, before, count in zip(marks, self._marks, self._counts, strict=True):
            if mark != before:
                count.assign(known.get(mark, SET))
        self._marks = marks

    @property
    def _updates(self) -> list[float]:
        return [float(_value(count)) for count in self._counts]

    def _digests(self) -> list[str]:
        pairs = [b"".join(part.tobytes() for part in self._pair(layer)) for layer in self._layers]
        return [
            hashlib.blake2b(pair, digest_size=8, salt=b"%d" % place).hexdigest()
            for place, pair in enumerate(pairs)
        ]

    @staticmethod
    def _pair(layer: keras.layers.BatchNormalization) -> list[np.ndarray]:
        return [_value(layer.moving_mean), _value(layer.moving_variance)]


def _assign(layer: keras.layers.BatchNormalization, pair: Sequence[Any]) -> None:
    layer.moving_mean.assign(pair[0])
    layer.moving_variance.assign(pair[1])


def _count_updates(layer: keras.layers.BatchNormalization, count: keras.Variable) -> None:
    """Lets a layer's calls count how often they assign to its moving mean."""
    call: Callable[..., Any] = layer.call

    def counting(*args: Any, **kwargs: Any) -> Any:
        mean: Any = layer.moving_mean
        assign = mean.assign

        def counted(value: Any) -> Any:
            count.assign(count + 1)
            return assign(value)

        mean.assign = counted
        try:
            return call(*args, **kwargs)
        finally:
            del mean.assign

    layer.call = counting
