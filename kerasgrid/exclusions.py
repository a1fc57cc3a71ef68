"""Candidates that are left out: `exclude`, a list of conditions of which none may hold.

A grid without the candidates for which a condition holds is the union of smaller grids, as it is with
`when`. So what is left is counted, indexed and sampled as any other space.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kerasgrid.expressions import Expression, ExpressionError
from kerasgrid.io import canonical_json
from kerasgrid.space import Choice, Range

MAX_COMBINATIONS = 100_000
"""Of the values of the parameters that one condition names."""
Grid = dict[str, Choice | Range]
_Parts = tuple[tuple[tuple[str, tuple[Any, ...]], ...], ...]


def without(
    grid: Grid, conditions: Sequence[Expression], fixed: Mapping[str, Any]
) -> Iterator[tuple[Grid, float]]:
    """Yields the grids whose union is a grid without what is left out, with their shares of it.

    Args:
        grid: Without conditional parameters.
        conditions: Those that name ranges without a step have no effect here.
        fixed: Values of parameters that are not searched.

    Raises:
        ExpressionError: A condition cannot be worked out, or names too many combinations.
    """
    parts = [(grid, 1.0)]
    for condition in conditions:
        parts = [(made, share * own) for part, share in parts for made, own in _split(part, condition, fixed)]
    yield from parts


def endless(grids: Iterable[Grid], condition: Expression) -> str | None:
    """Returns a range without a step that a condition names; None where there is none."""
    for grid in grids:
        for name in condition.names:
            if name in grid and grid[name].is_endless:
                return name
    return None


def _split(grid: Grid, condition: Expression, fixed: Mapping[str, Any]) -> Iterator[tuple[Grid, float]]:
    names = [name for name in condition.names if name in grid]
    if endless([grid], condition) is not None:
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
