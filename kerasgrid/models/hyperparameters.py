"""The space that KerasTuner's `build(hp)` declares, as grid.yaml would have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerasgrid.errors import ModelError
from kerasgrid.models.building import call, hyperparameters, name_of
from kerasgrid.models.signature import Parameter, Signature, signature_of

MAX_VALUES = 16
"""Values of a hyperparameter that are each tried by themselves."""
MAX_BUILDS = 64
"""Models that are built to see what is asked for beside which value."""


def hp_space(function: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """Returns the search space that a `build(hp)` declares, in the order of declaration.

    Builds a model with the default values, and one more for each conditional scope not entered so far, as
    KerasTuner does. Then each value of a hyperparameter that has few is tried by itself: what is asked for
    beside some of them only, under a plain `if` or in a loop, holds under that condition.

    Returns:
        By name: `kind` (choice, int, float, boolean, fixed) and `default`; `values` of a choice; `low`,
        `high`, `step`, `sampling` of a range; `value` of a fixed one; `when`, the alternative conditions,
        each {parent: [values]}, of which one must hold; empty for a parameter that always counts.

    Raises:
        ModelError: The function raises, or declares a name twice with different values.
    """
    space: dict[str, dict[str, Any]] = {}
    presets: list[dict[str, Any]] = [{}]
    for preset in presets:
        hp = hyperparameters()
        hp.values.update(preset)
        call(function, hp)
        for item in hp.space:
            _add(space, item, function)
        for scope in hp.inactive_scopes:
            wanted = {condition.name: condition.values[0] for condition in scope}
            if wanted not in presets:
                presets.append(wanted)
    _try_values(function, space)
    return space


def _try_values(function: Callable[..., Any], space: dict[str, dict[str, Any]]) -> None:
    """Adds what is asked for beside some values only, and gives it that condition."""
    asked: dict[str, list[tuple[Any, set[str]]]] = {}
    n_builds = 0
    names = list(space)
    for name in names:
        entry = space[name]
        values = _values(entry)
        if not 1 < len(values) <= MAX_VALUES or n_builds + len(values) > MAX_BUILDS:
            continue
        n_builds += len(values)
        parents = {parent: held[0] for parent, held in entry["when"][0].items()} if entry["when"] else {}
        for value in values:
            hp = hyperparameters()
            hp.values.update({**parents, name: value})
            try:
                call(function, hp)
            except ModelError:  # a value that does not build is a failed candidate, and tells nothing here
                continue
            for item in hp.space:
                _add(space, item, function)
            asked.setdefault(name, []).append((value, {item.name for item in hp.space}))
        names += [found for found in space if found not in names]
    for name, entry in space.items():
        if not entry["when"]:
            condition = {}
            for parent, builds in asked.items():
                beside = [value for value, found in builds if name in found]
                if parent != name and 0 < len(beside) < len(builds):
                    condition[parent] = beside
            entry["when"] = [condition] if condition else []


def _values(entry: Mapping[str, Any]) -> list[Any]:
    """Returns the values of a hyperparameter that can be listed."""
    if entry["kind"] == "choice":
        return list(entry["values"])
    if entry["kind"] == "boolean":
        return [False, True]
    if entry["kind"] == "int" and entry["step"] and entry["sampling"] in (None, "linear"):
        return list(range(entry["low"], entry["high"] + 1, entry["step"]))
    return []


def _add(space: dict[str, dict[str, Any]], item: Any, function: Callable[..., Any]) -> None:
    kind = type(item).__name__.lower()
    entry: dict[str, Any] = {"kind": kind, "default": item.default}
    if kind == "choice":
        entry["values"] = list(item.values)
    elif kind == "fixed":
        entry["value"] = item.value
    elif kind in {"int", "float"}:
        entry |= {"low": item.min_value, "high": item.max_value, "step": item.step, "sampling": item.sampling}
    condition = {parent.name: list(parent.values) for parent in item.conditions}
    known = space.setdefault(item.name, {**entry, "when": [condition] if condition else []})
    if {**known, "when": []} != {**entry, "when": []}:
        raise ModelError(
            f"{name_of(function)} declares the hyperparameter {item.name!r} twice with different values: "
            "give the two different names."
        )
    if not condition:
        known["when"] = []
    elif known["when"] and condition not in known["when"]:
        known["when"].append(condition)


def hp_signature(function: Callable[..., Any]) -> Signature:
    """Returns a `build(hp)` function's signature with its hyperparameters as the parameters.

    Raises:
        ModelError: As `hp_space`.
    """
    signature = signature_of(function)
    declared = [Parameter(name, repr(entry["default"])) for name, entry in hp_space(function).items()]
    own = [item for item in signature.parameters if item.name not in {found.name for found in declared}]
    return replace(signature, parameters=(*own, *declared), takes_any=False)


def declared(function: Callable[..., Any]) -> tuple[Signature, dict[str, Any]]:
    """Returns a model function's signature, and the space that a `build(hp)` declares.

    Returns:
        The signature, with the hyperparameters among its parameters; and the values or range of each
        hyperparameter as grid.yaml would have it. In the style `build` that space is empty.

    Raises:
        ModelError: As `signature_of` and `hp_space`; or a hyperparameter's alternative conditions name
            several others.
    """
    signature = signature_of(function)
    if signature.style == "build":
        return signature, {}
    dimensions = {name: _dimension(name, entry) for name, entry in hp_space(function).items()}
    searched = {name: dimension for name, dimension in dimensions.items() if dimension is not None}
    return hp_signature(function), searched


def _dimension(name: str, entry: Mapping[str, Any]) -> Any:
    """Returns a hyperparameter as grid.yaml would have it; None for a fixed one."""
    dimension = _unconditional(entry)
    if dimension is None or not entry["when"]:
        return dimension
    when = _one_condition(name, entry["when"])
    return {"values": dimension, "when": when} if isinstance(dimension, list) else {**dimension, "when": when}


def _one_condition(name: str, alternatives: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Returns conditions of which one must hold as one; they may differ in one parameter's values only."""
    if len({tuple(condition) for condition in alternatives}) == 1:
        parents = list(alternatives[0])
        held = {parent: [condition[parent] for condition in alternatives] for parent in parents}
        differ = [parent for parent in parents if any(values != held[parent][0] for values in held[parent])]
        if len(differ) <= 1:
            flat = {parent: [value for values in held[parent] for value in values] for parent in parents}
            return {parent: list(dict.fromkeys(values)) for parent, values in flat.items()}
    raise ModelError(
        f"the hyperparameter {name!r} holds under conditions of several others, one of which must hold: give "
        "the model function plain parameters instead, and space a list of spaces."
    )


def _unconditional(entry: Mapping[str, Any]) -> Any:
    kind = entry["kind"]
    if kind == "fixed":
        return None
    if kind == "boolean":
        return [False, True]
    if kind == "choice":
        return list(entry["values"])
    dimension = {"low": entry["low"], "high": entry["high"], "type": kind}
    if entry.get("step") is not None:
        dimension["step"] = entry["step"]
    if entry.get("sampling") in {"log", "reverse_log"}:
        dimension["log"] = True
    return dimension
