"""The space that KerasTuner's `build(hp)` declares, as grid.yaml would have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import Any

import numpy as np

from kerasgrid.errors import ModelError
from kerasgrid.io import digest
from kerasgrid.models.building import built, hyperparameters, name_of
from kerasgrid.models.signature import Parameter, Signature, signature_of
from kerasgrid.space.conditions import MAX_VALUES
from kerasgrid.space.dimensions import MAX_STEPS
from kerasgrid.wording import named

FEW_VALUES = 8
"""Of an hp.Int with more values than this, five are tried, and where they differ those between."""
MAX_BUILDS = 500
"""Models that are built at most to see what is asked for beside which value."""
N_DRAWN = 16
"""Models that are built at least with values drawn at random, to find what two values together ask for."""


def hp_space(function: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """Returns the search space that a `build(hp)` declares, in the order of declaration.

    Builds a model with the default values, and one more for each conditional scope not entered so far, as
    KerasTuner does. Then values of each hyperparameter are tried by themselves, beside the values with which
    it was first asked for: what is asked for beside some of them only, under a plain `if` or in a loop, holds
    under that condition. Of a long range a few values are tried, and those between two that ask for other
    things. Last, values are drawn together: of all, and for each one under a condition twice those of the
    others. Only what these contradict is looked at again, with values tried beside those of the build that
    first asked for it: so builds are as many as values, and not as their pairs.

    Returns:
        By name: `kind` (choice, int, float, boolean, fixed) and `default`; `values` of a choice; `low`,
        `high`, `step`, `sampling` of a range; `value` of a fixed one; `when`, the alternative conditions,
        each {parent: [values]}, of which one must hold; empty for a parameter that always counts.

    Raises:
        ModelError: The function raises, returns no model, declares a name twice with different values, or
            asks for one under conditions that are more than values of each of some others.
    """
    builds = _Builds(function)
    builds.ask({}, must=True)
    builds.explore()
    numbers = np.random.RandomState(0)
    for _ in range(N_DRAWN):
        builds.draw(numbers)
    when: dict[str, list[dict[str, list[Any]]]] = {}
    while names := [name for name in builds.space if name not in when]:
        for name in filter(builds.condition, names):  # those that hold under one
            builds.draw(numbers, name)
            builds.draw(numbers, name, others=True)
        when |= {name: builds.alternatives(name) for name in names}
    return {name: entry | {"when": when[name]} for name, entry in builds.space.items()}


_Tried = list[tuple[Any, frozenset[str]]]
"""Values of a hyperparameter, in their order, and what is asked for beside each."""


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
        self._explored: dict[str, _Tried] = {}

    def ask(self, preset: Mapping[str, Any], *, must: bool = False) -> frozenset[str] | None:
        """Builds with some values, the others by default, and enters each scope that is left out.

        Args:
            preset: The values.
            must: Whether it is an error where they do not build; else it is a failed candidate.

        Returns:
            What is asked for; None where the values do not build, or enough are built.
        """
        key = digest(preset)
        if key not in self._asked and len(self._asked) < MAX_BUILDS:
            self._asked[key] = None
            hp = hyperparameters()
            hp.values.update(preset)
            try:
                built(self._function, hp)
            except ModelError:
                if must:
                    raise
                return None
            self._asked[key] = asked = frozenset(item.name for item in hp.space if hp.is_active(item))
            self._built.append((dict(hp.values), asked))
            for item in hp.space:
                _add(self.space, item, self._function)
                if item.name in asked:
                    self._first.setdefault(item.name, dict(hp.values))
            for scope in hp.inactive_scopes:
                self.ask({**preset, **{parent.name: parent.values[0] for parent in scope}}, must=must)
        return self._asked.get(key)

    def explore(self) -> None:
        """Tries values of what has not been tried yet."""
        while names := [name for name in self._first if name not in self._explored]:
            for name in names:
                self._explored[name] = self._try(name, self._first[name])

    def draw(self, numbers: np.random.RandomState, name: str = "", *, others: bool = False) -> None:
        """Builds with values drawn together.

        Args:
            numbers: To draw from.
            name: A hyperparameter that is to be asked for; none for any values.
            others: Whether to draw others than the values with which it was first asked for, where it is not
                known to need them.
        """
        held, first = self.condition(name), self._first.get(name, {}) if others else {}
        drawn: dict[str, Any] = {}
        for other, entry in self.space.items():
            values = held.get(other) or _values(entry)
            if len(values) <= MAX_VALUES:
                listed = [value for value in values if other in held or value != first.get(other)]
                drawn |= {other: listed[numbers.randint(len(listed))]} if listed else {}
        self.ask(drawn)
        self.explore()

    def _try(self, name: str, beside: Mapping[str, Any]) -> _Tried:
        """Returns what the values of a hyperparameter ask for that have been tried.

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

    def alternatives(self, name: str) -> list[dict[str, list[Any]]]:
        """Returns the conditions of which one must hold, as `hp_space` has them.

        Raises:
            ModelError: They are more than values of each of some others.
        """
        when = self.space[name]["when"]
        if len(when) > 1:
            return when
        scope = when[0] if when else {}
        condition = {**self.condition(name), **scope}
        if self._contradiction(name, condition) is not None:
            first = self._first.get(name, {})  # none, where its scope builds with no value tried
            tried = {parent: self._try(parent, first) for parent in first if parent in self._explored}
            condition = {**self.condition(name, tried), **scope}
        if (found := self._contradiction(name, condition)) is not None:
            values, asked = found
            others = sorted(other for other in values if other != name and other in self.space)
            beside = named({other: values[other] for other in others})
            what = f"only where {_shown(condition)}" if condition else "always"
            raise ModelError(
                f"{name_of(self._function)} asks hp for {name!r}, it seemed, {what}; beside {beside} it "
                f"{'does' if name in asked else 'does not'}. A condition is values of one other, or of "
                "several together: ask for it always, or in hp.conditional_scope, or give the model "
                "function plain parameters and space a list of spaces."
            )
        return [condition] if condition else []

    def condition(self, name: str, tried: Mapping[str, _Tried] | None = None) -> dict[str, list[Any]]:
        """Returns the values of others beside which alone a hyperparameter is asked for, as far as is known.

        Args:
            name: The hyperparameter's.
            tried: What values of others ask for; None for those with which each of them was explored.
        """
        found: dict[str, list[Any]] = {}
        first, known = self._first.get(name, {}), self._explored if tried is None else tried
        for parent in takewhile(lambda other: other != name, self.space):  # what is asked for before
            here = known.get(parent, [])
            holds = [value for value, asked in here if name in asked]
            # Beside other values than those with which it was first asked for, it may be missing for others.
            if parent in first and first[parent] in holds and len(holds) < len(here):
                found |= self.condition(parent) | {parent: self._filled(name, parent, here)}
        return found

    def _filled(self, name: str, parent: str, tried: _Tried) -> list[Any]:
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

    def _contradiction(
        self, name: str, condition: Mapping[str, Sequence[Any]]
    ) -> tuple[dict[str, Any], frozenset[str]] | None:
        """Returns the values and asked names of a build that a condition does not tell; None for none."""
        for values, asked in self._built:
            # A value that was preset, and not asked for, lets nothing be there.
            holds = all(parent in asked and values[parent] in held for parent, held in condition.items())
            if holds != (name in asked) and all(parent in self.space for parent in condition):
                return values, asked
        return None


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
    return _with_parameters(signature_of(function), hp_space(function))


def _with_parameters(signature: Signature, space: Mapping[str, Mapping[str, Any]]) -> Signature:
    declared = [Parameter(name, repr(entry["default"])) for name, entry in space.items()]
    own = [item for item in signature.parameters if item.name not in space]
    return replace(signature, parameters=(*own, *declared), takes_any=False)


def declared(function: Callable[..., Any]) -> tuple[Signature, dict[str, Any]]:
    """Returns a model function's signature, and the space that a `build(hp)` declares.

    Returns:
        The signature, with the hyperparameters among its parameters; and the values or range of each
        hyperparameter as grid.yaml would have it. In other styles that space is empty.

    Raises:
        ModelError: As `signature_of` and `hp_space`; or a hyperparameter's alternative conditions name
            several others.
    """
    signature = signature_of(function)
    if signature.style != "hp":
        return signature, {}
    space = hp_space(function)
    dimensions = {name: _dimension(name, entry) for name, entry in space.items()}
    searched = {name: dimension for name, dimension in dimensions.items() if dimension is not None}
    return _with_parameters(signature, space), searched


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
