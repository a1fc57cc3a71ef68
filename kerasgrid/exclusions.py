"""Candidates that are left out: `exclude`, a list of conditions of which none may hold.

A grid without the candidates for which a condition holds is the union of smaller grids, as it is with
`when`. So what is left is counted, indexed and sampled as any other space.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from kerasgrid.dimensions import Choice, Range
from kerasgrid.expressions import Expression, ExpressionError
from kerasgrid.io import canonical_json

MAX_COMBINATIONS = 100_000
"""Of the values of the parameters that one condition names."""
MAX_GRIDS = 10_000
"""That all conditions together may make of a space."""
Grid = dict[str, Choice | Range]
Part = tuple[Grid, int, float]
_Parts = tuple[tuple[tuple[str, tuple[Any, ...]], ...], ...]


def without(grids: Sequence[Part], condition: Expression, fixed: Mapping[str, Any]) -> list[Part]:
    """Returns the grids whose union is that of some grids without what is left out.

    Args:
        grids: Without conditional parameters, and what belongs to each: the place that it is of, and how
            often a candidate drawn at random is one of it.
        condition: Where it names a range without a step, grids stay as they are.
        fixed: Values of parameters that are not searched.

    Raises:
        ExpressionError: The condition cannot be worked out, names too many combinations, or parts the grids
            into too many.
    """
    made = (
        (own, place, weight * share)
        for grid, place, weight in grids
        for own, share in _split(grid, condition, fixed)
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


def _split(grid: Grid, condition: Expression, fixed: Mapping[str, Any]) -> Iterator[tuple[Grid, float]]:
    names = [name for name in condition.names if name in grid]
    if _endless(grid, condition):
        dims = [grid[name] for name in names]
        tried = (dim.ends if dim.is_endless else dim.values for dim in dims)
        for values in islice(itertools.product(*tried), MAX_COMBINATIONS):  # what fails is told now
            condition({**fixed, **dict(zip(names, values, strict=True))})
        yield grid, 1.0
        return
    n = math.prod(len(grid[name]) for name in names)
    if n > MAX_COMBINATIONS:
        raise ExpressionError(
            f"names {', '.join(names)}, which have {n:,} combinations; at most {MAX_COMBINATIONS:,} hold."
        )
    for part in _allowed(grid, names, condition, dict(fixed)):
        made, share = dict(grid), 1.0
        for name, values in part:
            if len(values) < len(grid[name]):
                made[name] = grid[name].part(values)
                share *= grid[name].share(values)
        yield made, share


def _allowed(grid: Grid, names: Sequence[str], condition: Expression, params: dict[str, Any]) -> _Parts:
    """Returns what is left as products of values; values of a name with the same rest stand together."""
    if not names:
        return () if condition(params) else ((),)
    name, *rest = names
    groups: dict[str, tuple[list[Any], _Parts]] = {}
    for value in grid[name].values:
        parts = _allowed(grid, rest, condition, {**params, name: value})
        groups.setdefault(canonical_json(parts), ([], parts))[0].append(value)
    return tuple(((name, tuple(values)), *part) for values, parts in groups.values() for part in parts)
