"""A space as libraries want it that know no unions of grids: one list of parameters, some conditional."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerasgrid.space.dimensions import Choice, Range, is_number, value_text
from kerasgrid.space.space import Params, Space

WHICH = "/"
"""The parameter that says of which grid a candidate is, where there are several."""


@dataclass(frozen=True)
class Slot:
    """A parameter of the list.

    Listed values are known by their places in `dimension`, from 0, numbers in the order of their size: a
    library that takes a place for a number then knows how near two values are.

    Attributes:
        name: No two are alike.
        dimension: Its values or range; WHICH's are the places of the grids.
        place: The grid that it is of, so that it is there only where WHICH names that one; None for all.
    """

    name: str
    dimension: Choice | Range
    place: int | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether its values are more or less of something."""
        return self.name != WHICH and _is_ordered(self.dimension)


class Translation:
    """A union of grids as one list of parameters, and back.

    What all grids have alike is one parameter; what they have not is one of each grid, under the condition
    that it is chosen.

    Attributes:
        slots: The parameters, WHICH first.
    """

    def __init__(self, space: Space) -> None:
        self.grids = [dict(sorted(grid.items())) for grid in space.grids]
        first = self.grids[0] if self.grids else {}
        alike = {name: repr(dim) for name, dim in first.items()}  # in which 1 and True are two things
        self._common = {
            name for name, text in alike.items() if all(repr(grid.get(name)) == text for grid in self.grids)
        }
        self.slots: list[Slot] = []
        if len(self.grids) > 1:
            self.slots.append(Slot(WHICH, Choice(tuple(range(len(self.grids))))))
        self.slots += [Slot(name, first[name]) for name in sorted(self._common)]
        for place, grid in enumerate(self.grids):
            own = sorted(set(grid) - self._common)
            self.slots += [Slot(f"{place}/{name}", grid[name], place) for name in own if len(grid[name]) != 1]

    def params(self, values: Mapping[str, Any]) -> Params:
        """Returns the candidate that a library's values stand for.

        Args:
            values: By the names of slots: places of listed values, and numbers of ranges without a step.
        """
        place = int(values.get(WHICH, 0))
        names = {name: self._name(place, name) for name in self.grids[place]}
        return {
            name: _value(dim, values[names[name]]) if names[name] in values else dim[0]
            for name, dim in self.grids[place].items()
        }

    def values(self, params: Params) -> dict[str, Any]:
        """Returns a library's values for a candidate; of several grids that have it, the first is named."""
        place = next(place for place, grid in enumerate(self.grids) if _has(grid, params))
        known = {slot.name: slot.dimension for slot in self.slots}
        names = {self._name(place, name): value for name, value in params.items()}
        found = {name: _place(known[name], value) for name, value in names.items() if name in known}
        return {WHICH: place, **found} if WHICH in known else found

    def _name(self, place: int, name: str) -> str:
        return name if name in self._common else f"{place}/{name}"


def _has(grid: Mapping[str, Choice | Range], params: Params) -> bool:
    return grid.keys() == params.keys() and all(_holds(grid[name], value) for name, value in params.items())


def _holds(dim: Choice | Range, value: Any) -> bool:
    if dim.is_endless:
        return dim.low <= value <= dim.high
    return value_text(value) in map(value_text, dim.values)


def _value(dim: Choice | Range, found: Any) -> Any:
    """Returns the value at a place; of a range without a step the number itself."""
    if dim.is_endless:
        number = int(found) if dim.whole else float(f"{found:.6g}")
        return min(max(number, dim.low), dim.high)
    return _in_order(dim)[int(found)]


def _place(dim: Choice | Range, value: Any) -> Any:
    """Returns the place of a value; of a range without a step the number itself."""
    if dim.is_endless:
        return value
    if isinstance(dim, Range):
        return bisect_left(range(len(dim)), value, key=dim.__getitem__)
    return [value_text(other) for other in _in_order(dim)].index(value_text(value))


def _in_order(dim: Choice | Range) -> Any:
    return sorted(dim.values) if isinstance(dim, Choice) and _is_ordered(dim) else dim


def _is_ordered(dim: Choice | Range) -> bool:
    """Tells whether a dimension's values are numbers."""
    return isinstance(dim, Range) or all(map(is_number, dim.values))
