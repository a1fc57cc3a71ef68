"""Layers that learn mean and variance of what is trained on, before the first epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from kerasgrid.errors import ModelError
from kerasgrid.training.loop import Samples


def adapt(model: keras.Model, samples: Samples) -> None:
    """Adapts each `keras.layers.Normalization` that has neither values of its own nor been adapted.

    The training rows are read in batches, not augmented, and go through the layers before it as in
    inference. Models within a model are looked into. A subclassed model adapts its layers itself.

    Args:
        model: Built.
        samples: Whose `train` rows are looked at.
    """
    _adapt(model, samples, ())


def _adapt(model: keras.Model, samples: Samples, outer: Sequence[keras.Model]) -> None:
    """Adapts the layers of a model; `outer` gives, one after the other, what comes to its inputs."""
    for layer in model.layers if getattr(model, "inputs", None) else ():
        if _is_fresh(layer):
            layer.adapt(_batches(samples, [*outer, _before(model, layer)]))
        elif getattr(layer, "inputs", None) and any(map(_is_fresh, layer._flatten_layers())):
            _adapt(layer, samples, [*outer, _before(model, layer)])


def _is_fresh(layer: keras.Layer) -> bool:
    if not isinstance(layer, keras.layers.Normalization) or layer.input_mean is not None:
        return False
    mean, variance = map(keras.ops.convert_to_numpy, (layer.adapt_mean, layer.adapt_variance))
    return bool((mean == 0).all() and (variance == 1).all())


def _before(model: keras.Model, layer: keras.Layer) -> keras.Model:
    """Returns the part of a model that ends where a layer, or a model within, begins.

    A model within may stand in other models too, as one that was loaded may.
    """
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    for node in layer._inbound_nodes:
        found = node.input_tensors[0] if len(node.input_tensors) == 1 else list(node.input_tensors)
        try:
            return keras.Model(inputs, found)
        except ValueError:  # of another model's graph
            continue
    raise ModelError(f"{model.name}: {layer.name} has no place in it from which it could be adapted.")


def _batches(samples: Samples, before: Sequence[keras.Model]) -> Iterator[np.ndarray]:
    """Yields what the training rows are after models, one after the other."""
    with samples.batches(samples.train) as batches:
        for index in range(len(batches)):
            images = batches[index][0]
            for part in before:
                images = part(images, training=False)
            yield keras.ops.convert_to_numpy(images)
