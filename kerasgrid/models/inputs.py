"""What models take of a sample: one array, or several inputs, by their places or names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerasgrid.records import Inputs
from kerasgrid.wording import count, joined

Form = tuple[int, ...] | Inputs
"""Axes of a sample; or its inputs, where there are several."""


def samples_of(form: Form, make: Callable[[tuple[int, ...]], np.ndarray]) -> Any:
    """Returns samples that are made up, as a model takes them.

    Args:
        form: What a model takes.
        make: Gives samples of some axes.
    """
    if isinstance(form, Inputs):
        return form.apart(make((form.size,)))
    return make(form)


def symbols_of(form: Form) -> Any:
    """Returns a symbol for each input of a sample."""
    if not isinstance(form, Inputs):
        return keras.Input(form)
    return form.arranged([keras.Input(one.shape, dtype=one.dtype, name=one.name) for one in form.each])


def inputs_of(model: keras.Model) -> Any:
    """Returns the symbols of a model that knows its inputs, in the form in which it is given them."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def fault_of_inputs(model: keras.Model, inputs: Inputs) -> str | None:
    """Returns why a model whose inputs are known takes others than samples have; None where it takes them."""
    given = inputs_of(model)
    has_names = isinstance(given, dict)
    if has_names and len(given) != len(model.inputs):
        return "the model takes a dict of lists or dicts: an array for each name holds."
    known = _named(model)
    told = [f"{name} {axes}" if has_names or inputs.has_names else f"{axes}" for name, axes in known.items()]
    what = f"the model has {count(len(told), 'input')}, {joined(told)}"
    what = f"{what}, and X has {len(inputs.each)}, {inputs}"
    if has_names and not inputs.has_names:
        names = ", ".join(f"{name!r}: ..." for name in known)
        return f"{what}: its inputs have names, so give X as a dict, {{{names}}}."
    if inputs.has_names and {*known} != {one.name for one in inputs.each}:
        return f"{what}: give each array by the name of its keras.Input."
    if len(told) != len(inputs.each):
        return f"{what}: give an array for each, in the order of the model's inputs."
    pairs = zip(_ordered(model, inputs), model.inputs, strict=True)
    if not all(_fits(inputs.each[place].shape, tensor.shape[1:]) for place, tensor in pairs):
        return f"{what}: bring them to the same axes, which a function is given as input_shapes."
    return None


def _named(model: keras.Model) -> dict[str, tuple[int | None, ...]]:
    """Returns the axes of each input of a model, by the name under which it is given."""
    given = inputs_of(model)
    given = given if isinstance(given, dict) else {one.name: one for one in model.inputs}
    return {name: tuple(tensor.shape[1:]) for name, tensor in given.items()}


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    if not wanted and shape == (1,):
        return True
    return len(shape) == len(wanted) and all(
        have in (None, size) for size, have in zip(shape, wanted, strict=True)
    )


def _ordered(model: keras.Model, inputs: Inputs) -> list[int]:
    """Returns which of a sample's inputs each of a model's is, which `fault_of_inputs` has let pass."""
    if not inputs.has_names:
        return [*range(len(inputs.each))]
    names = [one.name for one in inputs.each]
    if isinstance(given := inputs_of(model), dict):
        known = {id(tensor): name for name, tensor in given.items()}
        return [names.index(known[id(tensor)]) for tensor in model.inputs]
    return [names.index(tensor.name) for tensor in model.inputs]


def of_rows(model: keras.Model, inputs: Inputs) -> keras.Model:
    """Returns a model of rows of all values, with one of several inputs in its midst."""
    rows = keras.Input((inputs.size,))
    found: dict[int, Any] = {}
    for place, tensor in zip(_ordered(model, inputs), model.inputs, strict=True):
        first, last = inputs.bounds[place]
        shape = inputs.each[place].shape if tensor.shape[1:] else ()
        values = keras.layers.Reshape(shape)(rows[:, first:last])
        is_float = keras.backend.is_float_dtype(tensor.dtype)
        found[id(tensor)] = values if is_float else keras.ops.cast(values, tensor.dtype)
    given = keras.tree.map_structure(lambda tensor: found[id(tensor)], inputs_of(model))
    return keras.Model(rows, model(given))
