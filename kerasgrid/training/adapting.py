"""Layers that learn mean and variance of what is trained on, before the first epoch."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from kerasgrid.training.loop import Samples


def adapt(model: keras.Model, samples: Samples) -> None:
    """Adapts each `keras.layers.Normalization` that has neither values of its own nor been adapted.

    The training rows are read in batches, not augmented, and go through the layers before it as in
    inference. A subclassed model adapts its layers itself.

    Args:
        model: Built.
        samples: Whose `train` rows are looked at.
    """
    for layer in model.layers if getattr(model, "inputs", None) else ():
        if isinstance(layer, keras.layers.Normalization) and _is_fresh(layer):
            layer.adapt(_batches_before(layer, model, samples))


def _is_fresh(layer: keras.layers.Normalization) -> bool:
    if layer.input_mean is not None:
        return False
    mean, variance = map(keras.ops.convert_to_numpy, (layer.adapt_mean, layer.adapt_variance))
    return bool((mean == 0).all() and (variance == 1).all())


def _batches_before(
    layer: keras.layers.Normalization, model: keras.Model, samples: Samples
) -> Iterator[np.ndarray]:
    """Yields what the training rows are where they come to a layer."""
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    before = keras.Model(inputs, layer.input)
    with samples.batches(samples.train) as batches:
        for index in range(len(batches)):
            yield keras.ops.convert_to_numpy(before(batches[index][0], training=False))
