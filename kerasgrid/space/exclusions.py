"""Candidates that are left out: `exclude`, a list of conditions of which none may hold.

A grid without the candidates for which a condition holds is the union of smaller grids, as it is with
`when`. So what is left is counted, indexed and sampled as any other space.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from kerasgrid.space.dimensions import Choice, Range
from kerasgrid.space.expressions import Expression, ExpressionError

MAX_COMBINATIONS = 100_000
"""Of the values of the parameters that one condition names."""
MAX_GRIDS = 10_000
"""That all conditions together may make of a space."""
MAX_EFFORT = 5_000_000
"""Combinations that are looked at for all conditions; one that is worked out counts for more."""
_COST = 10
Grid = dict[str, Choice | Range]
Part = tuple[Grid, int, float]
_Parts = tuple[tuple[tuple[str, tuple[Any, ...]], ...], ...]


class Effort:
    """What may be spent on working out the conditions of a space, all together."""

    def __init__(self) -> None:
        self.left = MAX_EFFORT

    def spend(self, cost: int) -> None:
        """Spends some of it.

        Raises:
            ExpressionError: There is not so much left.
        """
        self.left -= cost
        if self.left < 0:
            raise ExpressionError(
                "takes more combinations of values than can be tried, in the grids that conditions before it "
                "have made of the space: name parameters of fewer values, or search a list of spaces."
            )


def without(
    grids: Sequence[Part], condition: Expression, fixed: Mapping[str, Any], effort: Effort | None = None
) -> list[Part]:
    """Returns the grids whose union is that of some grids without what is left out.

    Args:
        grids: Without conditional parameters, and what belongs to each: the place that it is of, and how
            often a candidate drawn at random is one of it.
        condition: Where it names a range without a step, grids stay as they are.
        fixed: Values of parameters that are not searched.
        effort: What may still be spent; None for all of it.

    Raises:
        ExpressionError: The condition cannot be worked out, names too many combinations, or parts the grids
            into too many.
    """
    splitter = _Splitter(condition, fixed, effort or Effort())
    made = (
        ({**grid, **own}, place, weight * share)
        for grid, place, weight in grids
        for own, share in splitter.split(grid)
    )
    found = list(islice(made, MAX_GRIDS + 1))
    if len(found) > MAX_GRIDS:
        raise ExpressionError(
            f"parts the space into more than {MAX_GRIDS:,} grids: name parameters of fewer values, or "
            "search a list of spaces."
        )
    return found


def is_drawn(grids: Iterable[Grid], condition: Expression) -> bool:
    """Tells whether a condition names a range without a step, so that candidates have to be drawn."""
    return any(_endless(grid, condition) for grid in grids)


def _endless(grid: Grid, condition: Expression) -> list[str]:
    return [name for name in condition.names if name in grid and grid[name].is_endless]


class _Splitter:
    """Parts grids by a condition; those that have the same values of what it names are looked at once."""

    def __init__(self, condition: Expression, fixed: Mapping[str, Any], effort: Effort) -> None:
        self._condition, self._fixed, self._effort = condition, dict(fixed), effort
        self._known: dict[tuple, list[tuple[Grid, float]]] = {}
        self._held: dict[tuple, bool] = {}
        self._of_ranges: dict[Range, tuple[Any, ...]] = {}

    def split(self, grid: Grid) -> list[tuple[Grid, float]]:
        """Returns the parts of a grid for which the condition does not hold, and their shares.

        A part is told by the dimensions that are others in it.
        """
        names = [name for name in self._condition.names if name in grid]
        key = tuple((name, _identity(grid[name])) for name in names)
        if key not in self._known:
            self._known[key] = self._split(grid, names)
        return self._known[key]

    def _split(self, grid: Grid, names: Sequence[str]) -> list[tuple[Grid, float]]:
        if _endless(grid, self._condition):
            dims = [grid[name] for name in names]
            tried = (dim.ends if dim.is_endless else dim.values for dim in dims)
            for values in islice(itertools.product(*tried), MAX_COMBINATIONS):  # what fails is told now
                self._work_out(dict(zip(names, values, strict=True)))
            return [({}, 1.0)]
        n = math.prod(len(grid[name]) for name in names)
        if n > MAX_COMBINATIONS:
            raise ExpressionError(
                f"names {', '.join(names)}, which have {n:,} combinations; at most {MAX_COMBINATIONS:,} hold."
            )
        found = []
        for part in self._allowed([(name, self._values(grid[name])) for name in names], ()):
            made: Grid = {}
            share = 1.0
            for name, values in part:
                if len(values) < len(grid[name]):
                    made[name] = grid[name].part(values)
                    share *= grid[name].share(values)
            found.append((made, share))
        return found

    def _holds(self, names: Sequence[str], values: Sequence[Any]) -> bool:
        """Tells whether the condition holds of values, each of which is the same object every time."""
        self._effort.spend(1)
        key = (*names, *map(id, values))
        if key not in self._held:
            self._held[key] = self._work_out(dict(zip(names, values, strict=True)))
        return self._held[key]

    def _work_out(self, params: Mapping[str, Any]) -> bool:
        self._effort.spend(_COST)
        return self._condition({**self._fixed, **params})

    def _values(self, dimension: Choice | Range) -> tuple[Any, ...]:
        """Returns a dimension's values; a range makes them anew when it is asked."""
        if not isinstance(dimension, Range):
            return dimension.values
        if dimension not in self._of_ranges:
            self._of_ranges[dimension] = dimension.values
        return self._of_ranges[dimension]

    def _allowed(
        self, left: Sequence[tuple[str, Sequence[Any]]], given: tuple[tuple[str, Any], ...]
    ) -> _Parts:
        """Returns what is left as products of values; values of a name with the same rest stand together."""
        if not left:
            names, values = zip(*given, strict=True) if given else ((), ())
            return () if self._holds(names, values) else ((),)
        (name, own), *rest = left
        groups: dict[tuple, tuple[list[Any], _Parts]] = {}
        for value in own:
            parts = self._allowed(rest, (*given, (name, value)))
            key = tuple(tuple((name, *map(id, values)) for name, values in part) for part in parts)
            groups.setdefault(key, ([], parts))[0].append(value)
        return tuple(((name, tuple(values)), *part) for values, parts in groups.values() for part in parts)


def _identity(dimension: Choice | Range) -> Any:
    """Returns what tells dimensions apart that may be parts of one another; values may be lists."""
    if isinstance(dimension, Range):
        return dimension
    return tuple(map(id, dimension.values)), dimension.weights
