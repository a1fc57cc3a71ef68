"""The `space` section: lists, ranges and conditions as they are written, made into a Space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kerasgrid.conditions import expand, read_conditions
from kerasgrid.errors import Fault
from kerasgrid.forms import faults_of, shown
from kerasgrid.space import Choice, Range, Space, value_text

MAX_VALUES = 1_000_000


class _RangeForm(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    low: float
    high: float
    step: Annotated[float, Field(gt=0)] | None = None
    log: bool = False
    type: Literal["int", "float"] | None = None


def read_space(raw: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> tuple[Space, list[Fault]]:
    """Makes a space of the `space` section; faults name the key path.

    A list that is no list, is empty or repeats a value, a range whose bounds do not hold, and a condition
    that cannot hold are faults.
    """
    faults: list[Fault] = []
    several = not isinstance(raw, Mapping)
    if several and not raw:
        faults.append(Fault("space", "is an empty list; a mapping or a list of mappings holds."))
    grids, places, weights = [], [], []
    for index, part in enumerate(raw if several else [raw]):
        prefix = f"space[{index}]" if several else "space"
        grid, conditions, n_before = {}, {}, len(faults)
        for name, spec in part.items():
            if isinstance(spec, Mapping) and "when" in spec:
                conditions[name] = spec["when"]
                spec = {key: value for key, value in spec.items() if key != "when"}
            dimension = _read_dimension(f"{prefix}.{name}", spec, faults)
            if dimension is not None:
                grid[name] = dimension
        if conditions and len(faults) == n_before:
            conditions = read_conditions(prefix, grid, conditions, faults)
        is_sound = len(faults) == n_before
        for made, weight in expand(grid, conditions) if is_sound else [(grid, 1.0)]:
            grids.append(made)
            places.append(index)
            weights.append(weight)
    return Space(grids, places, weights), faults


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
        others = sorted(map(str, set(spec) - {"values"}))
        if others or not isinstance(spec["values"], list):
            what = f"has {others[0]} beside values" if others else f"has values {shown(spec['values'])}"
            faults.append(Fault(path, f"{what}; {{values: [...], when: {{...}}}} holds."))
            return None
        return _read_dimension(path, spec["values"], faults)
    return _read_range(path, spec, faults)


def _read_range(path: str, spec: Mapping[str, Any], faults: list[Fault]) -> Range | None:
    try:
        form = _RangeForm.model_validate(spec)
    except ValidationError as error:
        faults.extend(faults_of(error, spec, _RangeForm, path))
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
        if len(found) <= MAX_VALUES:
            return found
        problem = f"has {len(found):,} values; at most {MAX_VALUES:,} hold: take a larger step."
    faults.append(Fault(path, problem))
    return None
