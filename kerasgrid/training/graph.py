"""Which part of a candidate is its graph, and which are numbers that the graph receives."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.errors import brief
from kerasgrid.io import digest
from kerasgrid.keras_names import is_of_keras
from kerasgrid.models.inputs import of_rows
from kerasgrid.models.keras_private import layers_within, loss_arguments, make_stateless
from kerasgrid.records import Graph, Inputs
from kerasgrid.training import backend
from kerasgrid.training.candidate import recorded, seeded
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.frozen import WholeError, split
from kerasgrid.training.fusible import (
    ELEMENTWISE,
    OPTIMIZER_NUMBERS,
    UnfusibleError,
    check_model,
    check_optimizer,
    loss_of,
    metrics_of,
)
from kerasgrid.training.keyed import KEYED, MOST_LAYERS, NUMBERS, Keyed

_BLOT = 0.5
_NAMING = frozenset(["name", "keras_history", "input_layers", "output_layers"])
"""Where a model's config names its layers; elsewhere `relu` is an activation, whatever a layer is called."""


class Traced:
    """Stands in for a float attribute of a layer, optimizer, regularizer or loss while it is traced.

    Arithmetic gives tensors; questions that decide the graph, such as `momentum > 0`, are answered
    by the nominal value, which is equal for all jobs of the graph in what they ask.

    Args:
        tensor: A scalar of the backend.
        nominal: What comparisons see.
    """

    __slots__ = ("nominal", "tensor")

    def __init__(self, tensor: Any, nominal: float) -> None:
        self.tensor, self.nominal = tensor, nominal

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return self.tensor if dtype is None else ops.cast(self.tensor, dtype.name)

    def __jax_array__(self) -> Any:
        return self.tensor

    def __bool__(self) -> bool:
        return bool(self.nominal)

    def __neg__(self) -> Any:
        return -self.tensor

    def __hash__(self) -> int:
        return id(self)


def _arithmetic(operation: Any, reflected: bool) -> Any:
    def apply(self: Traced, other: Any) -> Any:
        other = other.tensor if isinstance(other, Traced) else other
        return operation(other, self.tensor) if reflected else operation(self.tensor, other)

    return apply


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Traced, f"__{_name}__", _arithmetic(getattr(operator, _name), reflected=False))
    setattr(Traced, f"__r{_name}__", _arithmetic(getattr(operator, _name), reflected=True))


def _comparison(operation: Any) -> Any:
    def compare(self: Traced, other: Any) -> bool:
        return operation(self.nominal, other.nominal if isinstance(other, Traced) else other)

    return compare


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Traced, f"__{_name}__", _comparison(getattr(operator, _name)))


@dataclass
class Place:
    """A number of the graph: where Keras keeps it, and its value for this candidate."""

    owner: Any
    name: str
    value: float

    def put(self, value: Any) -> None:
        """Sets it, in an attribute or a dict."""
        if isinstance(self.owner, dict):
            self.owner[self.name] = value
        else:
            setattr(self.owner, self.name, value)


@dataclass
class Lifted:
    """A candidate as a graph and numbers.

    Attributes:
        key: The graph's: 64 hex digits.
        numbers: (number,) float, in the order of `slots`.
        learning_rate: The first; None where a schedule gives it.
        model: The clone, built, whose weights are not used.
        optimizer: Not built.
        loss: One of keras.losses, reduced over the batch.
        metrics: Of keras.metrics, without `loss`.
        counted: Gives the targets that metrics take of those that the loss does.
        slots: Where the numbers go while a program is traced.
        initializers: Of each variable of the model, in the order of `model.variables`.
        places: Of each, likewise, by which its first value is drawn: its place in what follows a frozen part,
            where there is one, so that the whole net begins as the rest by itself does.
        is_flat: Whether the optimizer's step treats each weight by itself.
        has_own_parts: Whether an initializer, regularizer, constraint or activation is the user's own, whose
            code may be another one where the key is the same.
    """

    key: str
    numbers: np.ndarray
    learning_rate: float | None
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    loss: keras.losses.Loss
    metrics: list[keras.metrics.Metric]
    counted: Callable[[Any], Any]
    slots: list[Place]
    initializers: list[Any]
    places: list[int]
    is_flat: bool
    has_own_parts: bool

    def told(self, labels: str) -> Graph:
        """Returns what the parent plans by, where its loss wants labels of this form."""
        numbers = tuple(float(number) for number in self.numbers)
        return Graph(digest([self.key, labels]), None, numbers, self.learning_rate)

    @contextmanager
    def bound(self, numbers: Any) -> Iterator[None]:
        """Puts an array's entries, (number,) of the backend, in the numbers' places."""
        for index, slot in enumerate(self.slots):
            slot.put(Traced(numbers[index], slot.value or _BLOT))
        try:
            yield
        finally:
            for slot in self.slots:
                slot.put(slot.value)


def lift(compiled: Compiled, sample: tuple[Any, Any], inputs: Inputs | None = None) -> Lifted:
    """Returns a candidate as a graph and numbers.

    Args:
        compiled: Its model, compiled.
        sample: One image and its target, each with an axis of samples.
        inputs: What of an image is what, where it is a row of several inputs; None for one.

    Raises:
        UnfusibleError: Something in it cannot be an input of a program.
    """
    try:
        return _lift(compiled, sample, inputs)
    except UnfusibleError:
        raise
    except Exception as error:  # whatever a config of the user's own cannot do
        raise UnfusibleError(f"it cannot be made again from its config ({brief(error)})") from error


def _lift(compiled: Compiled, sample: tuple[Any, Any], inputs: Inputs | None) -> Lifted:
    model = compiled.model
    if not backend.SUPPORTED:
        raise UnfusibleError(f"Keras runs on {backend.NAME}, and packs on tensorflow and jax")
    check_model(model, 1 if inputs is None else len(inputs.each))
    if compiled.callbacks:
        raise UnfusibleError("a fit of the model function's own has callbacks")
    if compiled.sets_weights:  # or a model whose graph is not known makes them where this is not seen
        raise UnfusibleError("the model function gives weights values of its own")
    loss = loss_of(model)
    metrics = metrics_of(model, (sample[0], compiled.counted(sample[1])))
    optimizer, optimizer_slots, rate = _optimizer(model.optimizer)
    clone, initializers = _clone(model if inputs is None else of_rows(model, inputs))
    slots = _layer_slots(clone) + optimizer_slots + _loss_slots(loss)
    for slot in slots:
        slot.put(_BLOT)
    about = {
        "model": unnamed(clone),
        "optimizer": [
            type(optimizer).__name__,
            _without(optimizer.get_config(), "name", "learning_rate" if rate is not None else ""),
        ],
        "loss": [type(loss).__name__, _without(loss.get_config(), "name")],
        "metrics": [[type(metric).__name__, metric.get_config()] for metric in metrics],
        "floatx": keras.config.floatx(),
        "backend": backend.NAME,
        "slots": [slot.name for slot in slots],
    }
    for slot in slots:
        slot.put(slot.value)
    numbers = np.asarray([slot.value for slot in slots], dtype=keras.config.floatx())
    is_constrained = any(variable.constraint is not None for variable in clone.trainable_variables)
    kinds = {variable.dtype for variable in clone.trainable_variables}
    has_rows = backend.SLOPES_ARE_ROWS and any(
        isinstance(layer, keras.layers.Embedding) for layer in layers_within(clone)
    )
    is_flat = (
        type(optimizer).__name__ in ELEMENTWISE
        and not optimizer.clipnorm
        and not is_constrained
        and not has_rows
        and len(kinds) == 1
    )
    try:
        key = digest(about)
    except (TypeError, ValueError) as error:
        raise UnfusibleError(f"its config is not plain data: {error}") from error
    own = _has_own_parts(clone, initializers)
    return Lifted(
        key,
        numbers,
        rate,
        clone,
        optimizer,
        loss,
        metrics,
        compiled.counted,
        slots,
        initializers,
        _places(compiled),
        is_flat,
        own,
    )


def _places(compiled: Compiled) -> list[int]:
    try:
        rest = split(compiled.model, compiled.drawn).rest
    except WholeError:
        rest = compiled.model
    places = {id(weight): place for place, weight in enumerate(rest.weights)}
    return [places.get(id(weight), place) for place, weight in enumerate(compiled.model.weights)]


def _has_own_parts(clone: keras.Model, initializers: list[Any]) -> bool:
    parts = [part for variable in clone.variables for part in (variable.regularizer, variable.constraint)]
    parts += [getattr(layer, "activation", None) for layer in layers_within(clone)]
    return not all(part is None or is_of_keras(part) for part in (*initializers, *parts))


def _optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> tuple[keras.optimizers.Optimizer, list[Place], float | None]:
    check_optimizer(optimizer)
    config = optimizer.get_config()
    made = make_stateless(type(optimizer).from_config(config))
    slots = [
        Place(made, attribute, float(config[attribute]))
        for attribute in OPTIMIZER_NUMBERS[type(optimizer).__name__]
        if isinstance(config.get(attribute), int | float) and config[attribute] != 0
    ]
    rate = config["learning_rate"]
    return made, slots, float(rate) if isinstance(rate, int | float) else None


def _clone(model: keras.Model) -> tuple[keras.Model, list[Any]]:
    """Returns the model with keyed layers, and the initializer of each of its variables."""

    def keyed(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = KEYED.get(type(layer), type(layer))
        config = layer.get_config()
        own = {name: config[name] for name in NUMBERS.get(kind, ())}
        made = kind.from_config(config | dict.fromkeys(own, 0.0))  # of 0 they make no generator of seeds
        for name, value in own.items():
            setattr(made, name, value)
        return made

    try:
        with recorded() as made:
            clone = keras.models.clone_model(model, clone_function=keyed, recursive=True)
    except (TypeError, ValueError) as error:
        raise UnfusibleError(f"the model cannot be made again from its config: {error}") from error
    places = iter(range(MOST_LAYERS))
    for layer in layers_within(clone):
        if isinstance(layer, Keyed):
            layer.place = next(places)
    parts = ((part, *layers_within(part)) for part in (clone, model))
    for mine, theirs in zip(*parts, strict=True):
        mine.trainable = theirs.trainable
        _check_activation(mine, theirs)
    missing = [variable.path for variable in clone.variables if id(variable) not in made.initializers]
    if missing:
        raise UnfusibleError(f"the variable {missing[0]} was not made by add_weight")
    unseeded = {id(layer.kernel) for layer in layers_within(clone) if _is_einsum_without_seed(layer)}
    return clone, [
        _without_seed(initializer) if id(variable) in unseeded else initializer
        for variable in clone.variables
        for initializer in [keras.initializers.get(made.initializers[id(variable)])]
    ]


def _is_einsum_without_seed(layer: keras.layers.Layer) -> bool:
    """Tells whether an EinsumDense has drawn a seed for its kernel, which no config tells."""
    if type(layer) is not keras.layers.EinsumDense:
        return False
    config = layer.kernel_initializer.get_config() if hasattr(layer.kernel_initializer, "get_config") else {}
    return "seed" in config and config["seed"] is None


def _without_seed(initializer: Any) -> Any:
    return type(initializer).from_config({**initializer.get_config(), "seed": None})


def _check_activation(mine: keras.layers.Layer, theirs: keras.layers.Layer) -> None:
    """Refuses a function of the user's own that goes by the name of one of Keras's in a config."""
    found, wanted = getattr(mine, "activation", None), getattr(theirs, "activation", None)
    if found is not wanted and not (
        isinstance(wanted, keras.layers.Layer) and type(found) is type(wanted) and is_of_keras(type(wanted))
    ):
        raise UnfusibleError(f"the layer {theirs.name} has an activation of the user's own")


def _layer_slots(clone: keras.Model) -> list[Place]:
    slots = []
    for layer in layers_within(clone):
        slots += [Place(layer, name, float(getattr(layer, name))) for name in NUMBERS.get(type(layer), ())]
        for name in sorted(vars(layer)):
            regularizer = vars(layer)[name]
            if name.endswith("_regularizer") and type(regularizer) in {
                keras.regularizers.L1,
                keras.regularizers.L2,
                keras.regularizers.L1L2,
            }:
                slots += [
                    Place(regularizer, factor, float(getattr(regularizer, factor)))
                    for factor in ("l1", "l2")
                    if getattr(regularizer, factor, 0)
                ]
    return slots


def _loss_slots(loss: keras.losses.Loss) -> list[Place]:
    arguments = loss_arguments(loss)
    smoothing = arguments.get("label_smoothing", 0)
    if hasattr(loss, "label_smoothing") and smoothing:
        return [
            Place(arguments, "label_smoothing", float(smoothing)),
            Place(loss, "label_smoothing", float(smoothing)),
        ]
    return []


def _without(config: dict, *names: str) -> dict:
    return {name: value for name, value in config.items() if name not in names}


def unnamed(model: keras.Model) -> Any:
    """Returns a model's config with its layers' names, which count up in a process, by their places."""
    names = {model.name: "model"}
    for place, layer in enumerate(layers_within(model)):
        names.setdefault(layer.name, f"layer {place}")
        for number, operation in enumerate(getattr(layer, "operations", ())):
            names.setdefault(operation.name, f"operation {place}.{number}")
    for number, operation in enumerate(getattr(model, "operations", ())):
        names.setdefault(operation.name, f"operation {number}")

    def renamed(value: Any, is_name: bool = False) -> Any:
        if isinstance(value, dict):
            return {key: renamed(item, key in _NAMING) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [renamed(item, is_name) for item in value]
        if isinstance(value, str):
            return names.get(value, value) if is_name else value
        if isinstance(value, np.ndarray | np.generic):  # a constant between layers; as text it may be cut
            return [str(value.dtype), value.tolist()]
        return value if value is None or isinstance(value, int | float) else str(value)

    return renamed(model.get_config())


def initial_weights(lifted: Lifted, seed: int) -> list[Any]:
    """Returns first values of all the model's variables, by their layers' initializers.

    An initializer without a seed of its own gets one from the job's seed and the variable's place.

    Args:
        lifted: The graph.
        seed: Of the job's weights, 0 to 2**32 - 1.
    """
    return [
        _first_value(initializer, (seed * 1_000_003 + place * 7919) % (2**31 - 1), variable)
        for place, initializer, variable in zip(
            lifted.places, lifted.initializers, lifted.model.variables, strict=True
        )
    ]


def _first_value(initializer: Any, seed: int, variable: Any) -> Any:
    config = initializer.get_config() if hasattr(initializer, "get_config") else {}
    if "seed" in config and config["seed"] is None:
        initializer = type(initializer).from_config({**config, "seed": seed})
    # Seeding TensorFlow makes it forget its kernels: half a second for each program at its next call.
    own = is_of_keras(type(initializer))
    with nullcontext() if own else seeded(seed):
        return initializer(variable.shape, dtype=variable.dtype)
