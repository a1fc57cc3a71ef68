"""A dimension of the space: a list of values or a range of numbers, and how values are told apart."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal, TypeGuard, TypeVar

import numpy as np

from kerasgrid.io import canonical_json

T = TypeVar("T")
MAX_STEPS = 1_000_000
"""Values of a range with a step, at most."""


@dataclass(frozen=True)
class Choice:
    """A list of values.

    Attributes:
        values: At least one.
        weights: How often each is drawn at random, in shares of any sum; None for all alike.
    """

    values: tuple[Any, ...]
    weights: tuple[float, ...] | None = None

    log = False
    is_endless: ClassVar[Literal[False]] = False

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        return self.values[index]

    def part(self, values: Sequence[Any]) -> Choice:
        """Returns the list of some of its values."""
        if self.weights is None:
            return Choice(tuple(values))
        return Choice(tuple(values), tuple(self.weights[self._place(value)] for value in values))

    def share(self, values: Sequence[Any]) -> float:
        """Returns how often one of these values is drawn at random."""
        if self.weights is None:
            return len(values) / len(self)
        return sum(self.weights[self._place(value)] for value in values) / sum(self.weights)

    def rvs(self, random_state: np.random.RandomState) -> Any:
        """Draws one value, as scikit-learn's ParameterSampler asks a distribution to."""
        shares = None if self.weights is None else np.asarray(self.weights) / sum(self.weights)
        return self.values[random_state.choice(len(self), p=shares)]

    def _place(self, value: Any) -> int:
        return list(map(value_text, self.values)).index(value_text(value))


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        step: The distance of values, or with `log` their ratio; None for all numbers between.
        log: Whether values are spread evenly on a logarithmic scale.
        whole: Whether values are int.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def is_endless(self) -> bool:
        """Whether it has no step, so that its values cannot be listed."""
        return self.step is None

    def __len__(self) -> int:
        """The number of values; 0 where there is no step."""
        if self.step is None:
            return 0
        steps = math.log(self.high / self.low, self.step) if self.log else (self.high - self.low) / self.step
        return math.floor(min(steps, 1e18) + 1e-9) + 1

    def __getitem__(self, index: int) -> float:
        """The value at a place of a range that has a step, in decimal arithmetic: 0.1, 0.2, 0.3."""
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        exact = low * step**index if self.log else low + index * step
        return int(exact) if self.whole else float(exact)

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    @property
    def values(self) -> tuple[float, ...]:
        """The values of a range that has a step."""
        return tuple(self[index] for index in range(len(self)))

    def part(self, values: Sequence[float]) -> Choice:
        """Returns the list of some of its values."""
        return Choice(tuple(values))

    def share(self, values: Sequence[float]) -> float:
        """Returns how often one of these values is drawn at random."""
        return len(values) / len(self)

    def rvs(self, random_state: np.random.RandomState) -> float:
        """Draws one value, as scikit-learn's ParameterSampler asks a distribution to."""
        if not self.is_endless:
            return self[random_state.randint(len(self))]
        margin = 0.5 if self.whole else 0.0
        low, high = self.low - margin, self.high + margin
        if self.log:
            low = max(low, 0.5) if self.whole else low
            drawn = math.exp(random_state.uniform(math.log(low), math.log(high)))
        else:
            drawn = random_state.uniform(low, high)
        if self.whole:
            return int(min(max(round(drawn), self.low), self.high))
        return min(max(float(f"{drawn:.6g}"), self.low), self.high)


Grid = dict[str, Choice | Range]
"""The parameters of a space, each with its values."""


def value_text(value: Any) -> str:
    """Returns the text by which values are told apart: 1 and 1.0 are one number, true is another thing."""
    if is_number(value):
        with contextlib.suppress(OverflowError):  # a whole number beyond any float is told apart as it is
            value = float(value)
    return canonical_json(value)


def is_number(value: Any) -> TypeGuard[float]:
    """Tells whether a value is an int or float; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def all_known(values: Sequence[T | None]) -> TypeGuard[Sequence[T]]:
    """Tells whether none of some values is None."""
    return None not in values
