"""A number that is an input of a compiled program, where Keras keeps a Python float."""

from __future__ import annotations

import operator
from typing import Any

from keras import ops


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
