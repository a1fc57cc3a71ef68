"""Conditions: a parameter that is there only where others have certain values.

A grid with conditions is the union of grids without: the values of a parameter that conditions name are
parted by which of them hold. So a conditional space is counted, indexed and sampled as any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kerasgrid.config.validation import shown
from kerasgrid.errors import Fault, did_you_mean
from kerasgrid.space.dimensions import Grid, value_text

MAX_VALUES = 1_000
"""Of a parameter that others depend on."""
Conditions = dict[str, dict[str, frozenset[str]]]
"""By parameter and by the one that it depends on: its values, as canonical JSON, that let it be there."""


def read_conditions(prefix: str, grid: Grid, written: Mapping[str, Any], faults: list[Fault]) -> Conditions:
    """Returns the conditions of a space; faults name the key path.

    Args:
        prefix: The key path of the space.
        grid: The space's parameters, conditional ones too.
        written: What `when` says of each, such as {"optimizer": "SGD"} or {"optimizer": ["SGD", "Adam"]}.
        faults: Takes them.
    """
    found: Conditions = {}
    for name, when in written.items():
        path = f"{prefix}.{name}.when"
        if not isinstance(when, Mapping) or not when:
            holds = "a mapping such as {batch_norm: true} holds"
            faults.append(Fault(path, f"is {shown(when)}; {holds}."))
            continue
        own: dict[str, frozenset[str]] = {}
        for parent, wanted in when.items():
            fault = _fault(grid, name, parent, wanted)
            if fault is not None:
                faults.append(Fault(path, fault))
            else:
                own[parent] = frozenset(map(value_text, wanted if isinstance(wanted, list) else [wanted]))
        found[name] = own
    if not faults:
        circular = next((name for name in found if _is_circular(name, found)), None)
        if circular is not None:
            message = "depends on itself, by way of the parameters that it names."
            faults.append(Fault(f"{prefix}.{circular}.when", message))
    return found


def expand(grid: Grid, conditions: Conditions) -> Iterator[tuple[Grid, float]]:
    """Yields the grids without conditions whose union a grid with conditions is, with their shares.

    The shares are of candidates whose parameters are drawn one by one, those first that others depend on.
    """
    if not conditions:
        yield grid, 1.0
        return
    parents = (parent for own in conditions.values() for parent in own)
    parent = next(parent for parent in parents if parent not in conditions)
    children = [name for name, own in conditions.items() if parent in own]
    groups: dict[tuple[bool, ...], list[Any]] = {}
    values = grid[parent].values if parent in grid else (None,)
    for value in values:  # one that is not there itself lets nothing be there
        holds = tuple(parent in grid and value_text(value) in conditions[name][parent] for name in children)
        groups.setdefault(holds, []).append(value)
    for holds, members in groups.items():
        part, left = dict(grid), dict(conditions)
        if parent in grid:
            part[parent] = grid[parent].part(members)
        for name, is_there in zip(children, holds, strict=True):
            own = {other: wanted for other, wanted in left.pop(name).items() if other != parent}
            if not is_there:
                part.pop(name)
            elif own:
                left[name] = own
        for made, share in expand(part, left):
            yield made, share * (grid[parent].share(members) if parent in grid else 1.0)


def _fault(grid: Grid, name: str, parent: str, wanted: Any) -> str | None:
    if parent == name or parent not in grid:
        known = [other for other in grid if other != name]
        return f"names {parent!r}, which is not searched beside it.{did_you_mean(str(parent), known)}"
    if not 0 < len(grid[parent]) <= MAX_VALUES:
        return f"names {parent}, which has no list of values: give it one, or a step."
    known = [value_text(value) for value in grid[parent].values]
    for value in wanted if isinstance(wanted, list) else [wanted]:
        if value_text(value) not in known:
            values = ", ".join(map(shown, grid[parent].values))
            return f"names {parent}: {shown(value)}, which is none of its values. Known: {values}."
    return None if wanted != [] else f"names no value of {parent}; at least one holds."


def _is_circular(name: str, conditions: Conditions) -> bool:
    seen, todo = set(), list(conditions[name])
    while todo:
        parent = todo.pop()
        if parent == name:
            return True
        if parent not in seen:
            seen.add(parent)
            todo += conditions.get(parent, ())
    return False
