"""Candidates that are left out: `exclude`, a list of conditions of which none may hold.

A condition is an expression over parameters, such as `batch_size > 1024 and optimizer == "SGD"`.
It is read by Python's own parser and worked out here: no name but a parameter's, nothing is called.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from kerasgrid.errors import KerasgridError
from kerasgrid.space.dimensions import Choice, Grid, Range, is_number, value_text

_UNKNOWN = object()
"""Of a parameter that a candidate has not: neither true nor false (Kleene's logic)."""
_WORDS = {"true": True, "false": False, "null": None}
_ORDERS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_SUMS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_QUOTED = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|`([^`]+)`""")  # a text or a name
_PLACE = "_kerasgrid_quoted_"
MAX_LENGTH = 1_000
MAX_NUMBER = 1e300
MAX_COMBINATIONS = 100_000
"""Of the values of the parameters that one condition names."""
MAX_GRIDS = 10_000
"""That all conditions together may make of a space."""
MAX_EFFORT = 5_000_000
"""Combinations that are looked at for all conditions; one that is worked out counts for more."""
_COST = 10
Part = tuple[Grid, int, float]
_Parts = tuple[tuple[tuple[str, tuple[Any, ...]], ...], ...]


class ExpressionError(KerasgridError, ValueError):
    """An expression that cannot be read, or not be worked out for a candidate; begins with a verb."""


class Expression:
    """A condition over parameters.

    It has comparisons, `in` with a list, `and`, `or`, `not`, + - * / // %, numbers, quoted texts, true,
    false and null. What `and`, `or` and a chain of comparisons end with is found from the left, and what
    comes after is not worked out. Parameters are named as in `space`; a name that is none in Python stands
    in backquotes.

    Attributes:
        names: Of the parameters, in the order of the text.

    Raises:
        ExpressionError: It cannot be read.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"has {len(text):,} characters; at most {MAX_LENGTH:,} hold.")
        self._quoted: dict[str, str] = {}

        def named(found: re.Match[str]) -> str:
            if found[2] is None:
                return found[0]
            place = f"{_PLACE}{len(self._quoted)}"
            self._quoted[place] = found[2]
            return place

        try:
            self._root = ast.parse(_QUOTED.sub(named, text).strip(), mode="eval").body
            self.names = list(dict.fromkeys(self._names(self._root)))
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise ExpressionError('cannot be read; such as a > 1 and b == "x" holds.') from error
        except ExpressionError:
            raise
        except ValueError as error:  # such as a number of more digits than Python reads
            raise ExpressionError(f"cannot be read: {error}.") from error

    def __call__(self, params: Mapping[str, Any]) -> bool:
        """Tells whether the condition holds of a candidate; not where that turns on what it has not.

        Raises:
            ExpressionError: Values that do not go together, such as a text and a number under <.
        """
        try:
            return self._truth(self._root, params) is True
        except ExpressionError:
            raise
        except (ArithmeticError, RecursionError, ValueError) as error:  # such as a number that is infinite
            raise ExpressionError(f"cannot be worked out: {error}.") from error

    def _names(self, node: ast.expr) -> list[str]:
        """Returns the names below a node, and refuses what is no part of a condition."""
        name = self._name(node)
        if name is not None:
            return [] if name in _WORDS else [name]
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, bool | int | float | str | None):
                raise ExpressionError(f"holds {node.value!r}; numbers, quoted texts and lists of them hold.")
            if is_number(node.value) and abs(node.value) > MAX_NUMBER:
                raise ExpressionError(f"holds a number above {MAX_NUMBER:g}; smaller ones hold.")
            return []
        below: list[ast.expr] = []
        if isinstance(node, ast.BoolOp):
            below = node.values
        elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Invert):
            below = [node.operand]
        elif isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
            below = [node.left, node.right]
        elif isinstance(node, ast.Compare) and not any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            below = [node.left, *node.comparators]
        elif isinstance(node, ast.List | ast.Tuple):
            below = node.elts
        else:
            raise ExpressionError(
                f"holds {ast.unparse(node)!r}; comparisons, and, or, not, in, + - * / // % hold."
            )
        return [name for part in below for name in self._names(part)]

    def _name(self, node: ast.expr) -> str | None:
        """Returns the dotted name that a node is; None where it is something else."""
        if isinstance(node, ast.Name):
            return self._quoted.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            holder = self._name(node.value)
            return None if holder is None else f"{holder}.{node.attr}"
        return None

    def _truth(self, node: ast.expr, params: Mapping[str, Any]) -> Any:
        found = self._value(node, params)
        if found is not _UNKNOWN and not isinstance(found, bool):
            raise ExpressionError(f"takes {found!r} for true or false: compare it with something.")
        return found

    def _value(self, node: ast.expr, params: Mapping[str, Any]) -> Any:
        name = self._name(node)
        if name is not None:
            return _WORDS[name] if name in _WORDS else params.get(name, _UNKNOWN)
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.BoolOp):
            found = (self._truth(part, params) for part in node.values)
            return _first(found, decisive=isinstance(node.op, ast.Or))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            found = self._truth(node.operand, params)
            return found if found is _UNKNOWN else not found
        if isinstance(node, ast.Compare):
            return _first(self._compared(node, params), decisive=False)
        if isinstance(node, ast.List | ast.Tuple):
            values = [self._value(part, params) for part in node.elts]
            return _UNKNOWN if any(value is _UNKNOWN for value in values) else values
        return self._sum(node, params)  # type: ignore[arg-type]  # `_names` refuses all else

    def _compared(self, node: ast.Compare, params: Mapping[str, Any]) -> Iterator[Any]:
        left = self._value(node.left, params)
        for op, part in zip(node.ops, node.comparators, strict=True):
            right = self._value(part, params)
            yield _compare(op, left, right)
            left = right

    def _sum(self, node: ast.UnaryOp | ast.BinOp, params: Mapping[str, Any]) -> Any:
        sides = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        values = [self._value(side, params) for side in sides]
        if any(value is _UNKNOWN or value is None for value in values):
            return _UNKNOWN
        odd = [value for value in values if not is_number(value)]
        if odd:
            raise ExpressionError(f"takes {odd[0]!r} for a number.")
        if isinstance(node, ast.UnaryOp):
            return -values[0] if isinstance(node.op, ast.USub) else values[0]
        return _SUMS[type(node.op)](*values)


def _first(found: Iterable[Any], decisive: bool) -> Any:
    """Returns the decisive one, and looks no further; else what is not known, or the other one."""
    is_known = True
    for value in found:
        if value is decisive:
            return decisive
        is_known &= value is not _UNKNOWN
    return not decisive if is_known else _UNKNOWN


def _compare(op: ast.cmpop, left: Any, right: Any) -> Any:
    if left is _UNKNOWN or right is _UNKNOWN:
        return _UNKNOWN
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, list):
            raise ExpressionError(f"has {right!r} after in; a list such as [1, 2] holds.")
        return (value_text(left) in map(value_text, right)) is isinstance(op, ast.In)
    if isinstance(op, ast.Eq | ast.NotEq):
        return (value_text(left) == value_text(right)) is isinstance(op, ast.Eq)
    if left is None or right is None:
        return _UNKNOWN
    are_texts = isinstance(left, str) and isinstance(right, str)
    if not are_texts and not (is_number(left) and is_number(right)):
        raise ExpressionError(f"compares {left!r} and {right!r} by size; two numbers or two texts hold.")
    return _ORDERS[type(op)](left, right)


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
