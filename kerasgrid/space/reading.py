"""The `space` section: lists, ranges and conditions as they are written, made into a Space."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kerasgrid.config.validation import faults_of, shown
from kerasgrid.errors import Fault, did_you_mean
from kerasgrid.space.conditions import expand, read_conditions
from kerasgrid.space.dimensions import MAX_STEPS, Choice, Range, is_number, value_text
from kerasgrid.space.exclusions import MAX_GRIDS, Effort, Expression, ExpressionError, Part, is_drawn, without
from kerasgrid.space.space import Params, Space


class _RangeForm(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    low: float
    high: float
    step: Annotated[float, Field(gt=0)] | None = None
    log: bool = False
    type: Literal["int", "float"] | None = None


def read_space(
    raw: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    exclude: Sequence[str] = (),
    fixed: Mapping[str, Any] | None = None,
) -> tuple[Space, list[Fault]]:
    """Makes a space of the `space` section; faults name the key path.

    A list that is no list, is empty or repeats a value, a range whose bounds do not hold, a condition that
    cannot hold, and an exclusion that cannot be worked out or leaves nothing are faults.

    Args:
        exclude: The `exclude` section: candidates for which one of these holds are none.
    """
    faults: list[Fault] = []
    several = not isinstance(raw, Mapping)
    parts: Sequence[Mapping[str, Any]] = [raw] if isinstance(raw, Mapping) else raw
    if not parts:
        faults.append(Fault("space", "is an empty list; a mapping or a list of mappings holds."))
    grids, places, weights = [], [], []
    for index, part in enumerate(parts):
        prefix = f"space[{index}]" if several else "space"
        grid, conditions = {}, {}
        for name, spec in part.items():
            if isinstance(spec, Mapping) and "when" in spec:
                conditions[name] = spec["when"]
                spec = {key: value for key, value in spec.items() if key != "when"}
            dimension = _read_dimension(f"{prefix}.{name}", spec, faults)
            if dimension is not None:
                grid[name] = dimension
        unread, before = part.keys() - grid.keys(), len(faults)
        conditions = {
            name: when
            for name, when in conditions.items()
            if name in grid and not (isinstance(when, Mapping) and unread & when.keys())
        }
        read = read_conditions(prefix, grid, conditions, faults) if conditions else {}
        if len(faults) > before:  # what they are of is left out, so that nothing follows from it
            grid, read = {name: dim for name, dim in grid.items() if name not in conditions}, {}
        expanded = list(islice(expand(grid, read), MAX_GRIDS + 1))
        if len(expanded) > MAX_GRIDS:
            faults.append(Fault(prefix, f"has conditions that make over {MAX_GRIDS:,} grids: take fewer."))
            expanded = []
        for made, weight in expanded:
            grids.append(made)
            places.append(index)
            weights.append(weight)
    space = Space(grids, places, weights)
    written = {str(name) for part in parts for name in part} | set(fixed or {})
    is_sound = not faults
    conditions = _read_exclusions(exclude, written, faults)
    if is_sound and conditions:
        space = _without(space, conditions, fixed or {}, faults)
    return space, faults


def _read_exclusions(exclude: Sequence[str], known: set[str], faults: list[Fault]) -> dict[str, Expression]:
    """Returns the conditions by their key paths."""
    conditions: dict[str, Expression] = {}
    for index, text in enumerate(exclude):
        path = f"exclude[{index}]"
        try:
            condition = Expression(text)
        except ExpressionError as error:
            faults.append(Fault(path, str(error)))
            continue
        unknown = [name for name in condition.names if name not in known]
        if unknown:
            what = f"names {unknown[0]}, which is neither in space nor in params; a text is quoted."
            faults.append(Fault(path, f"{what}{did_you_mean(unknown[0], known)}"))
        else:
            conditions[path] = condition
    return conditions


def _without(
    space: Space, conditions: Mapping[str, Expression], fixed: Mapping[str, Any], faults: list[Fault]
) -> Space:
    """Returns a space without what is excluded."""
    parts: list[Part] = list(zip(space.grids, space.places, space.weights, strict=True))
    effort = Effort()
    for path, condition in conditions.items():
        try:
            parts = without(parts, condition, fixed, effort)
        except ExpressionError as error:
            faults.append(Fault(path, str(error)))
    if faults:
        return space

    def allowing(held: Sequence[Expression]) -> Callable[[Params], bool] | None:
        return (lambda params: not any(own({**fixed, **params}) for own in held)) if held else None

    drawn = [condition for condition in conditions.values() if is_drawn(space.grids, condition)]
    whole = Space(space.grids, space.places, space.weights, allowing([*conditions.values()]))
    found = None
    if parts:
        grids, places, weights = zip(*parts, strict=True)
        found = Space(grids, places, weights, allowing(drawn), whole)
    if found is None or (drawn and not found.sample(1, seed=0)):
        how = "every one is excluded" if found is None else "of a thousand drawn at random all are excluded"
        faults.append(Fault("exclude", f"leaves no candidate: {how}."))
        return space
    return found


def _read_dimension(path: str, spec: Any, faults: list[Fault]) -> Choice | Range | None:
    if isinstance(spec, list):
        if not spec:
            faults.append(Fault(path, "is an empty list; give at least one value."))
            return None
        first: dict[str, Any] = {}
        for value in spec:
            text = value_text(value)
            if text in first:
                what = f"{shown(first[text])} more than once"
                if type(first[text]) is not type(value):
                    what = f"{shown(first[text])} and {shown(value)}, which are one number"
                faults.append(Fault(path, f"holds {what}; each value once holds."))
                return None
            first[text] = value
        return Choice(tuple(spec))
    if not isinstance(spec, Mapping):
        holds = "a list or a range such as {low: 0.1, high: 0.5} holds"
        hint = f"write [{shown(spec)}] to search this one value, or move it to params."
        faults.append(Fault(path, f"is {shown(spec)}; {holds}: {hint}"))
        return None
    if "values" in spec:
        others = sorted(map(str, set(spec) - {"values", "weights"}))
        if others or not isinstance(spec["values"], list):
            what = f"has {others[0]} beside values" if others else f"has values {shown(spec['values'])}"
            holds = "{values: [...]} with when: {...} or weights: [...] holds"
            faults.append(Fault(path, f"{what}; {holds}."))
            return None
        found = _read_dimension(path, spec["values"], faults)
        if found is None or spec.get("weights") is None:
            return found
        return _weighted(path, found.values, spec["weights"], faults)
    return _read_range(path, spec, faults)


def _weighted(path: str, values: tuple[Any, ...], weights: Any, faults: list[Fault]) -> Choice | None:
    is_list = isinstance(weights, list) and len(weights) == len(values)
    if not is_list or not all(_is_weight(weight) for weight in weights):
        holds = f"{len(values)} numbers above 0, one for each value, hold"
        faults.append(Fault(path, f"has weights {shown(weights)}; {holds}."))
        return None
    return Choice(values, tuple(float(weight) for weight in weights))


def _is_weight(value: Any) -> bool:
    return is_number(value) and 0 < value < math.inf


def _read_range(path: str, spec: Mapping[str, Any], faults: list[Fault]) -> Range | None:
    try:
        form = _RangeForm.model_validate(spec)
    except ValidationError as error:
        faults.extend(faults_of(error, _RangeForm, path))
        return None
    given = [value for value in (form.low, form.high, form.step) if value is not None]
    are_whole = all(float(value).is_integer() for value in given)
    problem = None
    if form.low >= form.high:
        problem = f"has low {form.low:g} and high {form.high:g}; low must be less than high."
    elif form.log and form.low <= 0:
        problem = f"has low {form.low:g} with log: true; a logarithmic range begins above 0."
    elif form.log and form.step is not None and form.step <= 1:
        problem = f"has step {form.step:g} with log: true, where it is the ratio of values; above 1 holds."
    elif form.type == "int" and not are_whole:
        problem = "has type: int and bounds or a step that are no whole numbers."
    elif form.type is None and form.low.is_integer() and form.high.is_integer():
        problem = "has whole bounds, so that its type must be said: type: int or type: float."
    if problem is None:
        found = Range(form.low, form.high, form.step, form.log, whole=form.type == "int")
        if len(found) <= MAX_STEPS:
            return found
        problem = f"has {len(found):,} values; at most {MAX_STEPS:,} hold: take a larger step."
    faults.append(Fault(path, problem))
    return None
