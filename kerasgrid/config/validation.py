"""Forms of what users write: sections whose keys and types are checked, and their faults in plain words."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from kerasgrid.errors import ConfigError, Fault, KerasgridError, did_you_mean
from kerasgrid.wording import called, nearest, place_of

Count = Annotated[int, Field(ge=0, lt=1 << 53)]
"""A whole number that every reader of JSON can hold."""
Number = float | None
"""A measured number; null where it was not finite."""
Curve = Annotated[list[Number], Field(fail_fast=True)]
"""A number an epoch."""


class Section(BaseModel):
    """A section of a config: unknown keys are faults, types are not converted, and it is frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def faults_of(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[Fault]:
    """Returns pydantic's errors as faults with key paths, guesses and the values found."""
    messages: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=True):
        # The last part of an unknown or missing key is that key, whatever it looks like.
        ends_in_key = item["type"] in {"extra_forbidden", "missing"}
        *parts, last = [*item["loc"]] or [""]
        where = [part for part in parts if not _is_tag(part)]
        where += [last] if ends_in_key or not _is_tag(last) else []
        path = prefix
        for part in where:
            path = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}" if path else str(part)
        message = _message(item, where, model)
        if path in messages and " holds." in message:  # another member of a union
            message = messages[path].replace(" holds.", f" or {message.partition('; ')[2]}")
        messages[path] = message
    lists = {path.rpartition("[")[0] for path in messages if "[" in path}  # their items' faults say more
    return [Fault(path, message) for path, message in messages.items() if path not in lists]


_MOST_PARTS = 1000


def few(value: Any) -> Any:
    """Holds that an object or list has few parts, before each of them is a fault of its own."""
    if isinstance(value, dict | list) and len(value) > _MOST_PARTS:
        raise ValueError(f"has {len(value):,} parts; at most {_MOST_PARTS:,} are expected there")
    return value


_EXPECTED = {
    "dict_type": "an object",
    "model_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number or null",
    "finite_number": "a number or null",
    "bool_type": "true or false",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "less_than": "below {lt}",
    "string_pattern_mismatch": "a file of the run's own folder, such as histories/trial-0.json,",
}
_OF_KINDS = {"dict_type", "model_type", "list_type", "tuple_type", "string_type", "bool_type"}
"""Faults of which it is enough to say what kind of value was found."""


def in_words(fault: Mapping[str, Any]) -> str:
    """Returns one of pydantic's errors of what a program wrote: the place, what was found, what holds."""
    path = ""
    for part in fault["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    found, expected = fault["input"], _EXPECTED.get(fault["type"])
    if fault["type"] == "missing":
        return f"{path} is null or missing."
    if expected is None:
        return f"{path} {fault['msg'].removeprefix('Value error, ')}."
    expected = expected if found is not None else expected.removesuffix(" or null")
    is_plain = isinstance(found, bool | int | float)
    told = shown(found) if is_plain and fault["type"] not in _OF_KINDS else kind(found)
    return f"{path} is {told}; {expected.format(**fault.get('ctx', {}))} is expected there."


def kind(value: Any) -> str:
    """Names what a JSON value is, for a message."""
    if value is None:
        return "null or missing"
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")


def without_faults(raw: Mapping[str, Any], error: ValidationError) -> dict[str, Any]:
    """Returns a mapping without the keys that pydantic's errors are about.

    Of a list with a faulty item that is the list's key, and of a missing key that of what lacks it.
    """
    places = {_place(raw, item["loc"]) for item in error.errors(include_url=False)}
    sound = copy.deepcopy(dict(raw))
    for *parents, key in filter(None, places):
        holder: Any = sound
        for parent in parents:
            holder = holder.get(parent, {})
        holder.pop(key, None)
    return sound


def _place(raw: Mapping[str, Any], location: Sequence[Any]) -> tuple[str, ...]:
    """Returns the keys that lead to an error, as far as they are there; not pydantic's tags."""
    keys, holder = [], raw
    for part in location:
        if isinstance(holder, Mapping) and part in holder:
            keys.append(part)
            holder = holder[part]
    return tuple(keys)


def _is_tag(part: Any) -> bool:
    """Tells names that pydantic puts into the path for members of a union."""
    return isinstance(part, str) and (
        part.startswith(("<", "dict[", "list[", "constrained-", "literal["))
        or part in {"bool", "int", "str", "float"}
    )


def _message(item: Mapping[str, Any], where: Sequence[Any], model: type[BaseModel]) -> str:
    kind, found = item["type"], item["input"]
    if kind == "extra_forbidden":
        return f"unknown key.{did_you_mean(where[-1], _fields(model, where[:-1]), places_of(model))}"
    if kind == "missing":
        return f"is missing. {_fields(model, where[:-1])[where[-1]].description or ''}".rstrip()
    if kind == "value_error":
        return str(item["ctx"]["error"])
    holds = re.sub(
        r"^(Input|List|String|Dictionary) should (be|have) |valid | or instance of \w+| after validation.*",
        "",
        item["msg"],
    )
    for term, word in _WORDS.items():
        holds = re.sub(rf"\b{term}\b", word, holds)
    quotes = ": put it in quotes" if kind == "string_type" and isinstance(found, int | float) else ""
    verb = "hold" if holds.endswith("items") else "holds"
    holds += _such_as(".".join(map(str, where)), kind, found)
    guess = ""
    if kind == "literal_error" and isinstance(found, str):
        guess = did_you_mean(found, re.findall(r"'([^']*)'", item["ctx"]["expected"])).partition(" Known:")[0]
    return f"is {shown(found)}; {holds} {verb}{quotes}.{guess}"


_SHORT_FORMS = {
    ("executor", str): "{{kind: {}}}",
    ("executor", int): "{{workers: {}}}",
    ("search", str): "{{engine: {}}}",
    ("search", int): "{{folds: {}}}",
    ("data", str): "{{train: {}}}",
    ("training", str): "{{pack: {}}}",
    ("training", int): "{{pack: {}}}",
    ("augment", bool): "{{rotation_range: 10}}",
    ("callbacks", str): "{{early_stopping: {{patience: 3}}}}",
    ("callbacks", list): "{{early_stopping: {{patience: 3}}}}",
    ("exclude", str): "[{!r}]",
}
"""What may be meant by a value in the place of a section, by its key and type."""


def _such_as(path: str, kind: str, found: Any) -> str:
    """Returns ` such as {kind: inline}` for a value that stands for a section or a list of one."""
    form = _SHORT_FORMS.get((path, type(found)))
    wants = kind in ("model_type", "dict_type", "list_type", "model_attributes_type")
    return f" such as {form.format(found)}" if form is not None and wants else ""


_WORDS = {
    "an? integer": "a whole number",
    "an? string": "text",
    "an? dictionary": "a mapping",
    "an? boolean": "true or false",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
}


def shown(value: Any) -> str:
    """Returns a value as messages show it: as YAML has it, and cut where it is long."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_switch(value: Any) -> bool | None:
    """Returns what a value says that switches something on or off; None for another value."""
    if value is True or value == "on":
        return True
    return False if value is False or value == "off" else None


def _fields(model: type[BaseModel], where: Sequence[Any]) -> dict[str, FieldInfo]:
    """Returns the known keys of the section that a path leads to."""
    for part in where:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        annotation = None if field is None else field.annotation
        models = [a for a in _arms(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not models:
            break
        model = models[0]
    return model.model_fields


@cache
def places_of(model: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """Returns the key paths of a section and of those in it, the outer ones first."""
    found: list[str] = []
    inner: list[str] = []
    for name, field in model.model_fields.items():
        found.append(f"{prefix}{name}")
        for arm in _arms(field.annotation):
            if isinstance(arm, type) and issubclass(arm, BaseModel):
                inner += places_of(arm, f"{prefix}{name}.")
    return (*found, *inner)


def _arms(annotation: Any) -> list[Any]:
    """Returns the members of a union, or of an annotated one, flat."""
    inner = getattr(annotation, "__args__", None)
    if isinstance(annotation, type) or not inner:
        return [annotation]
    return [arm for part in inner for arm in _arms(part)]


class FaultReport:
    """Gathers a config's faults, so that one check does not hide another.

    Args:
        source: What messages call the config.
        config: As it was read, faulty keys at their defaults.
        faults: Of its form.
        lines: The line of each key path.
        flags: By key path, what has set it, where that is not the config.
    """

    def __init__(
        self,
        source: str,
        config: Section,
        faults: Sequence[Fault],
        lines: Mapping[str, int],
        flags: Mapping[str, str],
    ) -> None:
        self.source, self.config, self.lines, self.flags = source, config, lines, flags
        self.faults = list(faults)
        self._meant = {key for fault in faults for key in _meant(fault.path, config)}

    def add(self, path: str, message: str) -> None:
        """Adds a fault at a key path."""
        self.faults.append(Fault(path, message))

    @contextmanager
    def catch(self, path: str) -> Iterator[None]:
        """Turns an error into a fault at a key path."""
        try:
            yield
        except ConfigError as error:
            self.faults.extend(error.faults)
        except KerasgridError as error:
            self.add(path, str(error))

    def is_settled(self, *paths: str) -> bool:
        """Tells whether keys are what the user wants, so that what follows from them can be checked.

        They are not where they have had a fault, above or below them too, and where they are at their
        default while an unknown key stands beside them that may have been meant for them.
        """
        faulty = any(_is_within(p, f.path) or _is_within(f.path, p) for p in paths for f in self.faults)
        return not faulty and not any(_is_within(path, key) for path in paths for key in self._meant)

    def finish(self) -> None:
        """Raises what has been gathered, in the order of the file.

        Raises:
            ConfigError: There are faults.
        """
        if self.faults:
            raise self.error(self.faults)

    def error(self, faults: Iterable[Fault], kind: type[ConfigError] = ConfigError) -> ConfigError:
        """Returns the error that tells faults, each with its line, in the order of the file."""
        placed = [self._placed(fault) for fault in faults]
        return kind(sorted(placed, key=lambda fault: fault.line or math.inf), self.source)

    def _placed(self, fault: Fault) -> Fault:
        """Returns a fault with the flag that gave its key, or else with its line."""
        key = max((key for key in self.flags if _is_within(fault.path, key)), key=len, default=None)
        if key is None:
            return replace(fault, line=fault.line or self._line(fault.path))
        below = "" if fault.path == key else f", {fault.path}"
        return replace(fault, given=f"{self.flags[key]}{below}")

    def _line(self, path: str) -> int | None:
        """Returns the line of a key path; of what holds it, where the key itself is not in the file."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines[path] if path else None


def _meant(path: str, config: Section) -> list[str]:
    """Returns the paths of keys at their default that an unknown key may have been meant for."""
    *parents, key = path.split(".")
    section: Any = config
    for parent in parents:
        section = getattr(section, parent, None)
    if not isinstance(section, Section) or key.partition("[")[0] in type(section).model_fields:
        return []
    known = list(type(section).model_fields)
    near = called(key, known)
    place = None if near else place_of(key, places_of(type(config)))
    if place is not None:
        return [place]
    near = near or nearest(key, known)
    names = [near] if near else known
    return [".".join([*parents, name]) for name in names if name not in section.model_fields_set]


def _is_within(path: str, holder: str) -> bool:
    """Tells whether a key path is another one, or below it."""
    return path == holder or path.startswith((f"{holder}.", f"{holder}["))
