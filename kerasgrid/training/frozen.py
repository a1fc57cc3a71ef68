"""The frozen part of a net: the largest from its inputs on that training does not change.

Its layers are not trainable and draw nothing, and its weights are the same for every fit. What it gives of a
sample is the same in all epochs, folds and candidates then, and the rest of the net can be trained on that.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import keras

from kerasgrid.errors import brief
from kerasgrid.keras_names import is_of_keras
from kerasgrid.models.freezing import random_rates
from kerasgrid.models.keras_private import call_of, is_masked, layers_within, run_graph
from kerasgrid.training.fusible import PER_SAMPLE, is_net, keeps_samples_apart, mixes_samples

_DRAWING = frozenset(
    """
    Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout AlphaDropout
    StochasticDepth
    """.split()  # noqa: SIM905
)
"""Layers that may draw, as far as `random_rates` says how much."""
_OTHERS = frozenset(
    """
    BatchNormalization Normalization CenterCrop Attention AdditiveAttention TimeDistributed Bidirectional
    SimpleRNN GRU LSTM SimpleRNNCell GRUCell LSTMCell
    """.split()  # noqa: SIM905
)
"""Layers that no pack takes: what they give of a sample is of it alone, as far as they are frozen."""
_TAKEN = PER_SAMPLE | _DRAWING | _OTHERS
"""Layers that may be part of it."""


@dataclass(frozen=True)
class Split:
    """A net that is cut in two; both parts share its layers.

    Attributes:
        part: The frozen part, from the net's inputs to what the rest takes.
        rest: From that to the net's output.
        last: The layer, or the model within, with which the part ends.
        is_exact: Whether the rest takes inputs of the net as they are, or what is no float, of which fewer
            bits may make another one, as of a token's number.
    """

    part: keras.Model
    rest: keras.Model
    last: str
    is_exact: bool

    @property
    def layers(self) -> list[keras.Layer]:
        """The part's layers that have weights, and are not made of others that have."""
        layers = [layer for layer in layers_within(self.part) if layer.weights]
        return [layer for layer in layers if not any(inner.weights for inner in layers_within(layer))]


class WholeError(Exception):
    """A net that is not cut; the message says what is in the way, and is empty where nothing is frozen."""


def split(model: keras.Model, drawn: Collection[int] = ()) -> Split:
    """Cuts a net behind its frozen part.

    Args:
        model: Any.
        drawn: Ids of weights that are not the same for every fit.

    Raises:
        WholeError: It has none, or none that it begins with.
    """
    if not model.built or not any(map(_is_frozen, layers_within(model))):
        raise WholeError("")
    if not is_net(model):
        raise WholeError("the net is of a class of its own, which is not told in layers")
    try:
        return _Cut(frozenset(drawn)).of(model)
    except WholeError:
        raise
    except Exception as error:  # of layers of one name in several models within, or of the user's own
        raise WholeError(f"Keras cannot cut it: {brief(error)}") from error


def _is_frozen(layer: keras.Layer) -> bool:
    """Tells whether a layer has weights, of which none is trained, and no choice of that."""
    is_kept = not isinstance(layer, keras.layers.Normalization) and not layer.trainable
    return is_kept and bool(layer.weights) and not layer.trainable_weights


class _Cut:
    """Goes through a net's graph twice: to find what is frozen, and to build what is after it."""

    def __init__(self, drawn: frozenset[int]) -> None:
        self._drawn = drawn
        self._fixed: dict[int, Any] = {}  # symbols that no training changes
        self._bare: set[int] = set()  # those of them that some input comes to past all weights
        self._taken: dict[int, Any] = {}  # those of them that what is trained takes
        self._calls: list[Any] = []  # what each call gave that is fixed; `_WITHIN`, or None
        self._reasons: list[str] = []
        self._last = ""

    def of(self, model: keras.Model) -> Split:
        inputs = [keras.Input(own.shape[1:], dtype=own.dtype, name=own.name) for own in model.inputs]
        self._fixed = {id(symbol): symbol for symbol in inputs}
        self._bare = {*self._fixed}
        outputs = keras.tree.flatten(run_graph(model, inputs, self._find))
        if any(id(output) in self._fixed for output in outputs):
            raise WholeError("nothing is trained of what it gives")
        given = (
            inputs[0]
            if isinstance(model, keras.Sequential)
            else keras.tree.pack_sequence_as(model.input, inputs)
        )
        part = keras.Model(given, [*self._taken.values()])
        if not any(map(_is_frozen, layers_within(part))):
            raise WholeError(self._reasons[0])
        given = [
            keras.Input(symbol.shape[1:], dtype=symbol.dtype, name=f"frozen_{place}")
            for place, symbol in enumerate(self._taken.values())
        ]
        self._swapped = dict(zip(self._taken, given, strict=True))
        self._left = iter(self._calls)
        rest = run_graph(model, [self._of_rest(symbol) for symbol in inputs], self._call_rest)
        is_exact = any(
            id(symbol) in self._bare or "float" not in symbol.dtype for symbol in self._taken.values()
        )
        rest = keras.Model(given[0] if len(given) == 1 else given, rest, name=model.name)
        return Split(part, rest, self._last, is_exact)

    def _find(self, operation: Any, args: tuple, kwargs: dict) -> Any:
        symbols = [one for one in keras.tree.flatten((args, kwargs)) if isinstance(one, keras.KerasTensor)]
        if all(id(symbol) in self._fixed for symbol in symbols):
            reason = _why_not_fixed(operation, self._drawn)
            if reason is None:
                found = operation(*args, **kwargs)
                self._fixed.update((id(symbol), symbol) for symbol in keras.tree.flatten(found))
                if not getattr(operation, "weights", ()) and any(id(one) in self._bare for one in symbols):
                    self._bare.update(map(id, keras.tree.flatten(found)))
                self._calls.append(found)
                if _has_name(operation):
                    self._last = operation.name
                return found
            if _is_entered(operation, args):
                self._calls.append(_WITHIN)
                return run_graph(operation, _inputs(operation, args, self._find), self._find)
            self._reasons.append(reason)
        for symbol in symbols:
            if id(symbol) in self._fixed:
                self._taken.setdefault(id(symbol), symbol)
        self._calls.append(None)
        return operation(*args, **kwargs)

    def _call_rest(self, operation: Any, args: tuple, kwargs: dict) -> Any:
        found = next(self._left)
        if found is _WITHIN:
            return run_graph(operation, _inputs(operation, args, self._call_rest), self._call_rest)
        if found is not None:
            return keras.tree.map_structure(self._of_rest, found)
        return operation(*args, **kwargs)

    def _of_rest(self, symbol: Any) -> Any:
        return self._swapped.get(id(symbol), symbol)


_WITHIN = object()
"""Stands for a model that is gone into."""


def _is_entered(operation: Any, args: tuple) -> bool:
    """Tells whether a cut may be in a model within: it is given its inputs in its own order, and no mask."""
    if not is_net(operation) or not operation.built or is_masked(operation):
        return False
    given, own = (
        [len(one.shape) for one in keras.tree.flatten(inputs)] for inputs in (args[0], operation.inputs)
    )
    return given == own and isinstance(args[0], dict) == isinstance(operation.input, dict)


def _inputs(net: keras.Model, args: tuple, call: Any) -> list[Any]:
    """Returns what comes to the inputs of a model within, which Keras casts to their dtypes."""
    found = []
    for symbol, own in zip(keras.tree.flatten(args[0]), net.inputs, strict=True):
        cast = None if symbol.dtype == own.dtype else call_of(keras.ops.cast(symbol, own.dtype))
        found.append(symbol if cast is None else call(cast[0], (symbol,), {}))
    return found


def _has_name(operation: Any) -> bool:
    return isinstance(operation, keras.Layer) and not isinstance(operation, keras.layers.InputLayer)


def _why_not_fixed(operation: Any, drawn: frozenset[int]) -> str | None:
    """Returns why training may change what an operation gives; None where it does not."""
    if not isinstance(operation, keras.Layer):
        is_known = keeps_samples_apart(operation)
        return None if is_known else f"the operation {operation.name} between layers may mix samples"
    parts: Iterable[keras.Layer] = (operation, *layers_within(operation))
    for layer in parts:
        if (reason := _why_layer_not_fixed(layer, drawn)) is not None:
            return reason
        if is_net(layer) and is_masked(layer):
            return f"the model {layer.name} within is called with a mask"
        for inner in getattr(layer, "operations", ()):
            if not isinstance(inner, keras.Layer) and not keeps_samples_apart(inner):
                return f"the operation {inner.name} between layers may mix samples"
    return None


def _why_layer_not_fixed(layer: keras.Layer, drawn: frozenset[int]) -> str | None:
    kind, name = type(layer), layer.name
    if layer.trainable_weights:
        return f"the layer {name} is trained"
    if not is_of_keras(kind) or kind.__name__ not in _TAKEN or mixes_samples(layer):
        return f"the layer {name} ({kind.__name__}) may draw something or mix samples"
    if not all(_is_known(own) for given, own in vars(layer).items() if given.endswith("activation")):
        return f"the layer {name} has an activation of your own, which may draw something or mix samples"
    if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
        return f"the layer {name} keeps statistics of what is trained on"
    if getattr(layer, "stateful", False):
        return f"the layer {name} keeps its state from batch to batch"
    if is_fresh(layer):
        return f"the layer {name} learns mean and variance of each fold's training rows"
    if random_rates(layer):
        return f"the layer {name} ({kind.__name__}) draws in training"
    if getattr(layer, "mask_zero", False) or layer.activity_regularizer is not None:
        return f"the layer {name} masks what follows it, or has an activity regularizer"
    if any(id(weight) in drawn for weight in layer.weights):
        return f"the weights of the layer {name} are drawn anew for each fit: give it trained ones"
    return None


def _is_known(activation: Any) -> bool:
    """Tells whether an activation is none, a layer, which is looked at by itself, or a function of Keras's.

    One of the user's own may say that it is of Keras's module, as `functools.wraps` lets it.
    """
    if activation is None or isinstance(activation, keras.Layer):
        return True
    name = getattr(activation, "__name__", "")
    is_there = getattr(sys.modules.get(activation.__module__), name, None) is activation
    return is_of_keras(activation) and is_there


def is_fresh(layer: keras.Layer) -> bool:
    """Tells whether a layer is a Normalization that has neither values of its own nor been adapted."""
    if not isinstance(layer, keras.layers.Normalization) or layer.input_mean is not None:
        return False
    mean, variance = map(keras.ops.convert_to_numpy, (layer.adapt_mean, layer.adapt_variance))
    return bool((mean == 0).all() and (variance == 1).all())
