"""What first gave each weight of a model its value, seen while its layers make them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np


@dataclass
class Made:
    """The variables that were made by `Layer.add_weight`.

    Attributes:
        initializers: By the variable's id.
        values: Digests of the first values, by the variable's id; empty where nobody asked for them.
        variables: Kept, so that no id is given twice.
    """

    initializers: dict[int, Any] = field(default_factory=dict)
    values: dict[int, bytes] = field(default_factory=dict)
    variables: list[Any] = field(default_factory=list)

    def untouched(self, weights: list[Any]) -> list[bool | None]:
        """Tells of each weight whether it has the value that its initializer gave it.

        None where that is not known: of those that were made while a model was called with a symbol.
        """
        known = [(self.values.get(id(weight)), weight) for weight in weights]
        return [None if first is None else first == _digest(weight) for first, weight in known]


@contextmanager
def recorded(with_values: bool = False) -> Iterator[Made]:
    """Records the variables that layers make within.

    Args:
        with_values: Whether their values are to be known too, at the cost of a hash of each.
    """
    made = Made()
    add_weight = keras.layers.Layer.add_weight

    def recording(self, shape=None, initializer=None, *args, **kwargs):
        variable = add_weight(self, shape, initializer, *args, **kwargs)
        made.initializers[id(variable)] = "zeros" if initializer is None else initializer
        made.variables.append(variable)
        if with_values and getattr(variable, "_value", None) is not None:  # else it has none yet
            made.values[id(variable)] = _digest(variable)
        return variable

    keras.layers.Layer.add_weight = recording
    try:
        yield made
    finally:
        keras.layers.Layer.add_weight = add_weight


def _digest(variable: Any) -> bytes:
    array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
    return hashlib.blake2b(array.view(np.uint8).data, digest_size=16).digest()
