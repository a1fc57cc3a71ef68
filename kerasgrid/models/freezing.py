"""Which layers of a net are trained; those that are not are as in prediction, and draw nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import keras

from kerasgrid.config.stages import ALL, HEAD, last_layers
from kerasgrid.errors import ModelError
from kerasgrid.models.keras_private import layers_within
from kerasgrid.wording import nearest

_RANDOM = ("rate", "stddev", "drop_path_rate", "dropout", "recurrent_dropout")
"""What says how much a layer of Keras's draws: dropout, noise, ConvNeXt's StochasticDepth, attention and the
cells of recurrent layers. A layer whose own is 0 gives what it is given."""
_REGULARIZING = (
    *(keras.layers.Dropout, keras.layers.AlphaDropout, keras.layers.GaussianDropout),
    *(keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D),
    *(keras.layers.GaussianNoise, keras.layers.Attention, keras.layers.AdditiveAttention),
    *(keras.layers.SimpleRNNCell, keras.layers.GRUCell, keras.layers.LSTMCell),
)
_BEFORE_HEAD = ("Pooling", "Flatten")
_rates: WeakKeyDictionary[keras.Layer, dict[str, float]] = WeakKeyDictionary()
"""What frozen layers have drawn with before."""


def freeze(layers: Iterable[keras.Layer]) -> None:
    """Lets layers not be trained, and be in training as they are in prediction.

    BatchNormalization is by `trainable` alone. A call's `training=False` is overridden by that of the model
    which the layer is part of, so that what is random is frozen by its rate.

    Args:
        layers: Models among them with all that is in them.
    """
    for inner in _all_within(layers):
        inner.trainable = False
        if rates := random_rates(inner):
            _rates.setdefault(inner, {}).update(rates)
        for name in rates:
            setattr(inner, name, 0.0)


def thaw(layers: Iterable[keras.Layer]) -> None:
    """Lets layers be trained, and draw as they did before they were frozen; models with all in them."""
    for inner in _all_within(layers):
        inner.trainable = True
        _restore_rates(inner)


def _all_within(layers: Iterable[keras.Layer]) -> Iterator[keras.Layer]:
    """Yields layers and all in them: a model that is trainable passes nothing on when it is set so again."""
    for layer in layers:
        yield from (layer, *layers_within(layer))


def _restore_rates(layer: keras.Layer) -> None:
    for name, rate in _rates.pop(layer, {}).items():
        setattr(layer, name, rate)


@contextmanager
def rates_kept(model: keras.Model) -> Iterator[None]:
    """Lets layers that are frozen within have their rates again at the end, as a saved config is to."""
    try:
        yield
    finally:
        for layer in layers_within(model):
            _restore_rates(layer)


def train_only(model: keras.Model, trainable: str) -> None:
    """Lets some layers of a model be trained, and freezes all others.

    Args:
        model: Built; it has to be compiled anew.
        trainable: head, all, `last N`, or a name, as `Stage` has it.

    Raises:
        ModelError: It has no such layers.
    """
    chosen = {id(layer) for layer in chosen_layers(model, trainable)}
    thaw([model])
    freeze(layer for layer in leaves(model) if id(layer) not in chosen)
    for part in _models_within(model):
        if not any(id(leaf) in chosen for leaf in leaves(part)):
            part.trainable = False


def chosen_layers(model: keras.Model, trainable: str) -> list[keras.Layer]:
    """Returns the layers that `trainable` means, none of them a model.

    Raises:
        ModelError: The model has none, or none with weights.
    """
    found = list(leaves(model))
    if trainable == HEAD:
        chosen = _head(model, found)
    elif trainable == ALL:
        chosen = found
    elif n := last_layers(trainable):
        chosen = found[-n:]
    else:
        chosen = _from(model, found, trainable)
    if model.built and not any(layer.weights for layer in chosen):
        raise ModelError(
            f"{model.name}: of stages, {trainable!r} is {_named(chosen)}, which have no weights to train. "
            f"{_INSTEAD}"
        )
    return chosen


_INSTEAD = "Give `last N`, the name of a layer or of a model within, or all."


def leaves(model: keras.Model) -> Iterator[keras.Layer]:
    """Yields the layers of a model and of models within, in their order, each once and none a model."""
    seen: set[int] = set()
    for layer in model.layers:
        for leaf in leaves(layer) if isinstance(layer, keras.Model) else [layer]:
            if id(leaf) not in seen and not isinstance(leaf, keras.layers.InputLayer):
                seen.add(id(leaf))
                yield leaf


def _models_within(model: keras.Model) -> Iterator[keras.Model]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield layer
            yield from _models_within(layer)


def _head(model: keras.Model, found: list[keras.Layer]) -> list[keras.Layer]:
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model) and layer.weights]
    if inner:
        within = {id(leaf) for part in inner for leaf in leaves(part)}
        return [layer for layer in found if id(layer) not in within]
    ends = [place for place, layer in enumerate(found) if _ends_body(layer)]
    if not ends:
        raise ModelError(
            f"{model.name}: of stages, 'head' is what is not in a model within the net, or what comes after "
            f"the last pooling or Flatten, and there is neither. {_INSTEAD}"
        )
    return found[ends[-1] + 1 :]


def _ends_body(layer: keras.Layer) -> bool:
    return any(word in type(layer).__name__ for word in _BEFORE_HEAD)


def _from(model: keras.Model, found: list[keras.Layer], name: str) -> list[keras.Layer]:
    """Returns the layer of a name, or the layers of the model of that name, and all that come after."""
    parts = {part.name: next(leaves(part), None) for part in _models_within(model)}
    named = parts | {layer.name: layer for layer in reversed(found)}
    first = named.get(name)
    if first is None:
        near = nearest(name, [HEAD, ALL, *named])
        guess = f" Did you mean {near!r}?" if near else ""
        raise ModelError(
            f"{model.name}: of stages, {name!r} is no layer of it, nor a model within.{guess} "
            f"Known: {', '.join([HEAD, ALL, 'last N', *parts])}, and its {len(found)} layers by their names."
        )
    return found[next(place for place, layer in enumerate(found) if layer is first) :]


def _named(layers: list[keras.Layer]) -> str:
    names = [layer.name for layer in layers]
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "nothing"


def random_rates(layer: keras.Layer) -> dict[str, float]:
    """Returns what a layer draws with, by its attributes; nothing of one that draws nothing."""
    if not isinstance(layer, _REGULARIZING) and not hasattr(layer, "drop_path_rate"):
        return {}
    found = {name: getattr(layer, name, None) for name in _RANDOM}
    return {name: rate for name, rate in found.items() if isinstance(rate, int | float) and rate > 0}
