"""A space as libraries want it that know no unions of grids: one list of parameters, some conditional."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kerasgrid.space import Choice, Params, Range, Space, is_number, value_text

WHICH = "space"
"""The parameter that says of which grid a candidate is, where there are several."""


@dataclass(frozen=True)
class Slot:
    """A parameter of the list.

    Attributes:
        name: No two are alike.
        dimension: Its values or range.
        place: The grid that it is of, so that it is there only where WHICH names that one; None for all.
    """

    name: str
    dimension: Choice | Range
    place: int | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether its values are more or less of something."""
        return self.name != WHICH and is_ordered(self.dimension)


class Translation:
    """A union of grids as one list of parameters, and back.

    What all grids have alike is one parameter; what they have not is one of each grid, under the condition
    that it is chosen. Values are the library's own: what it is given for a dimension's it gives back.

    Args:
        space: The candidates.

    Attributes:
        slots: The parameters, WHICH first.
    """

    def __init__(self, space: Space) -> None:
        self.grids = [dict(sorted(grid.items())) for grid in space.grids]
        first = self.grids[0] if self.grids else {}
        self._common = {
            name for name, dim in first.items() if all(grid.get(name) == dim for grid in self.grids)
        }
        self.slots: list[Slot] = []
        if len(self.grids) > 1:
            self.slots.append(Slot(WHICH, Choice(tuple(range(len(self.grids))))))
        self.slots += [Slot(name, first[name]) for name in sorted(self._common)]
        for place, grid in enumerate(self.grids):
            own = sorted(set(grid) - self._common)
            self.slots += [Slot(f"{place}/{name}", grid[name], place) for name in own if len(grid[name]) != 1]

    def params(self, values: Mapping[str, Any], back: Callable[[Choice | Range, Any], Any]) -> Params:
        """Returns the candidate that a library's values stand for.

        Args:
            values: By the names of slots; WHICH is the place itself.
            back: Makes a dimension's own value of the library's.
        """
        place = int(values.get(WHICH, 0))
        found = {}
        for name, dim in self.grids[place].items():
            own = values.get(self._name(place, name))
            found[name] = dim[0] if own is None else back(dim, own)
        return found

    def values(self, params: Params, forth: Callable[[Choice | Range, Any], Any]) -> dict[str, Any]:
        """Returns a library's values for a candidate; of several grids that have it, the first is named."""
        place = next(place for place, grid in enumerate(self.grids) if _has(grid, params))
        known = {slot.name: slot.dimension for slot in self.slots}
        names = {self._name(place, name): value for name, value in params.items()}
        found = {name: forth(known[name], value) for name, value in names.items() if name in known}
        return {WHICH: place, **found} if WHICH in known else found

    def _name(self, place: int, name: str) -> str:
        return name if name in self._common else f"{place}/{name}"


def _has(grid: Mapping[str, Choice | Range], params: Params) -> bool:
    return grid.keys() == params.keys() and all(_holds(grid[name], value) for name, value in params.items())


def _holds(dim: Choice | Range, value: Any) -> bool:
    if dim.is_endless:
        return dim.low <= value <= dim.high
    return value_text(value) in map(value_text, dim.values)


def is_ordered(dim: Choice | Range) -> bool:
    """Tells whether a dimension's values are numbers."""
    return isinstance(dim, Range) or all(map(is_number, dim.values))
