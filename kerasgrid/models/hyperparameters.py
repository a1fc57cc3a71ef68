"""The space that KerasTuner's `build(hp)` declares, as grid.yaml would have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from kerasgrid.errors import ModelError
from kerasgrid.io import digest
from kerasgrid.models.building import call, hyperparameters, name_of
from kerasgrid.models.signature import Parameter, Signature, signature_of
from kerasgrid.space.conditions import MAX_VALUES
from kerasgrid.space.dimensions import MAX_STEPS
from kerasgrid.wording import named

FEW_VALUES = 8
"""Of an hp.Int with more values than this, five are tried, and where they differ those between."""
MAX_BUILDS = 500
"""Models that are built to see what is asked for beside which value."""
N_DRAWN = 16
"""Models that are built with values drawn at random, to find what two values together ask for."""


def hp_space(function: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """Returns the search space that a `build(hp)` declares, in the order of declaration.

    Builds a model with the default values, and one more for each conditional scope not entered so far, as
    KerasTuner does. Then values of each hyperparameter are tried by themselves, beside the values with which
    it was first asked for, and some are tried together: what is asked for beside some of them only, under a
    plain `if` or in a loop, holds under that condition. Of a long range a few values are tried, and those
    between two that ask for other things.

    Returns:
        By name: `kind` (choice, int, float, boolean, fixed) and `default`; `values` of a choice; `low`,
        `high`, `step`, `sampling` of a range; `value` of a fixed one; `when`, the alternative conditions,
        each {parent: [values]}, of which one must hold; empty for a parameter that always counts.

    Raises:
        ModelError: The function raises, returns no model, declares a name twice with different values, or
            asks for one under conditions that are more than values of each of some others.
    """
    builds = _Builds(function)
    builds.build({})
    builds.explore()
    numbers = np.random.RandomState(0)
    for _ in range(N_DRAWN):
        listed = {name: _values(entry) for name, entry in builds.space.items()}
        drawn = {name: v[numbers.randint(len(v))] for name, v in listed.items() if 1 < len(v) <= MAX_VALUES}
        builds.ask(drawn)
        builds.explore()
    found = {name: builds.condition(name) for name in builds.space}
    for name, entry in builds.space.items():
        if len(entry["when"]) < 2:
            scope = entry["when"][0] if entry["when"] else {}
            condition = {**found[name], **scope}
            builds.check(name, condition)
            entry["when"] = [condition] if condition else []
    return builds.space


class _Builds:
    """What a function asks for beside which values.

    Args:
        function: `build(hp)`.

    Attributes:
        space: As `hp_space` returns it, with the conditions of scopes alone.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.space: dict[str, dict[str, Any]] = {}
        self._function = function
        self._first: dict[str, dict[str, Any]] = {}  # the values of the build that first asked for a name
        self._asked: dict[str, frozenset[str] | None] = {}
        self._built: list[tuple[dict[str, Any], frozenset[str]]] = []
        self._explored: set[str] = set()

    def build(self, preset: Mapping[str, Any]) -> None:
        """Builds with some values, the others by default, and enters each scope that is left out."""
        hp = hyperparameters()
        hp.values.update(preset)
        call(self._function, hp)
        for wanted in self._take(preset, hp):
            if digest(wanted) not in self._asked:
                self.build(wanted)

    def _take(self, preset: Mapping[str, Any], hp: Any) -> list[dict[str, Any]]:
        """Takes in what a build has asked for; returns the values that enter the scopes it has left out."""
        asked = frozenset(item.name for item in hp.space if hp.is_active(item))
        for item in hp.space:
            _add(self.space, item, self._function)
            if item.name in asked:
                self._first.setdefault(item.name, dict(hp.values))
        self._asked[digest(preset)] = asked
        self._built.append((dict(hp.values), asked))
        return [
            {**preset, **{condition.name: condition.values[0] for condition in scope}}
            for scope in hp.inactive_scopes
        ]

    def ask(self, preset: Mapping[str, Any]) -> frozenset[str] | None:
        """Returns what is asked for beside some values; None where they do not build, or enough are built."""
        key = digest(preset)
        if key not in self._asked:
            if len(self._asked) >= MAX_BUILDS:
                return None
            self._asked[key] = None
            hp = hyperparameters()
            hp.values.update(preset)
            try:
                call(self._function, hp)
            except ModelError:  # a value that does not build is a failed candidate, and tells nothing
                return None
            for wanted in self._take(preset, hp):
                self.ask(wanted)
        return self._asked[key]

    def explore(self) -> None:
        """Tries values of what has not been tried yet."""
        while names := [name for name in self._first if name not in self._explored]:
            for name in names:
                self._explored.add(name)
                self._tried(name, self._first[name])

    def _tried(self, name: str, beside: Mapping[str, Any]) -> list[tuple[Any, frozenset[str]]]:
        """Returns what the values of a hyperparameter ask for that have been tried, in their order.

        Those of a long range that are between two which ask for the same are taken to do so, too.
        """
        values = _values(self.space[name])
        places: Iterable[int] = range(len(values))
        if isinstance(values, range) and len(values) > FEW_VALUES:
            places = {(len(values) - 1) * part // 4 for part in range(5)}
        found = {place: self.ask({**beside, name: values[place]}) for place in places}
        open_ = list(pairwise(sorted(found)))
        while open_:
            first, last = open_.pop()
            if last - first > 1 and found[first] != found[last]:
                middle = (first + last) // 2
                found[middle] = self.ask({**beside, name: values[middle]})
                open_ += [(first, middle), (middle, last)]
        return [(values[place], asked) for place, asked in sorted(found.items()) if asked is not None]

    def condition(self, name: str) -> dict[str, list[Any]]:
        """Returns the values of others beside which alone a hyperparameter is asked for."""
        found, beside = {}, self._first.get(name, {})  # none, where its scope builds with no value tried
        for parent in beside:
            if parent in self.space and parent != name:
                tried = self._tried(parent, beside)
                values = [value for value, asked in tried if name in asked]
                if 0 < len(values) < len(tried):
                    found[parent] = self._filled(name, parent, tried)
        return found

    def _filled(self, name: str, parent: str, tried: list[tuple[Any, frozenset[str]]]) -> list[Any]:
        """Returns the values of a parent beside which a name is asked for, tried or not."""
        values = _values(self.space[parent])
        if not isinstance(values, range):
            return [value for value, asked in tried if name in asked]
        if len(values) > MAX_VALUES:
            raise ModelError(
                f"{name_of(self._function)} asks hp for {name!r} beside some values of {parent!r} only, and "
                f"there are {len(values):,}: give it a larger step."
            )
        known = dict(tried)
        found, holds = [], False
        for value in values:
            holds = name in known[value] if value in known else holds
            found += [value] if holds else []
        return found

    def check(self, name: str, condition: Mapping[str, Sequence[Any]]) -> None:
        """Raises a ModelError where a name was asked for otherwise than a condition says."""
        for values, asked in self._built:
            # A value that was preset, and not asked for, lets nothing be there.
            holds = all(parent in asked and values[parent] in held for parent, held in condition.items())
            if holds != (name in asked) and all(parent in self.space for parent in condition):
                others = sorted(other for other in values if other != name and other in self.space)
                beside = named({other: values[other] for other in others})
                what = f"only where {_shown(condition)}" if condition else "always"
                raise ModelError(
                    f"{name_of(self._function)} asks hp for {name!r}, it seemed, {what}; beside {beside} it "
                    f"{'does' if name in asked else 'does not'}. A condition is values of one other, or of "
                    "several together: ask for it always, or in hp.conditional_scope, or give the model "
                    "function plain parameters and space a list of spaces."
                )


def _shown(condition: Mapping[str, Sequence[Any]]) -> str:
    return " and ".join(f"{name} is one of {list(values)}" for name, values in condition.items())


def _values(entry: Mapping[str, Any]) -> Sequence[Any]:
    """Returns the values of a hyperparameter that can be listed."""
    if entry["kind"] == "choice":
        return list(entry["values"])
    if entry["kind"] == "boolean":
        return [False, True]
    if entry["kind"] == "int" and entry["step"] and entry["sampling"] in (None, "linear"):
        return range(entry["low"], entry["high"] + 1, entry["step"])
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
    if entry.get("sampling") == "reverse_log":
        raise ModelError(
            f"{name_of(function)}: the hyperparameter {item.name!r} has sampling='reverse_log', which is not "
            "known here: take hp.Float with sampling='log', and the distance of its value from the upper end."
        )
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
    if entry["low"] == entry["high"]:
        return [entry["low"]]
    dimension = {"low": entry["low"], "high": entry["high"], "type": kind}
    # The step of 1 that KerasTuner gives each hp.Int says nothing where there is no listing it.
    if entry.get("step") is not None and not (kind == "int" and len(_values(entry)) > MAX_STEPS):
        dimension["step"] = entry["step"]
    if entry.get("sampling") == "log":
        dimension["log"] = True
    return dimension
