"""Forms of what users write: sections whose keys and types are checked, and their faults in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from kerasgrid.errors import Fault, did_you_mean


class Section(BaseModel):
    """A section of a config: unknown keys are faults, types are not converted, and it is frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def faults_of(error: ValidationError, raw: Any, model: type[BaseModel], prefix: str = "") -> list[Fault]:
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


def _is_tag(part: Any) -> bool:
    """Tells names that pydantic puts into the path for members of a union."""
    return isinstance(part, str) and (
        part.startswith(("<", "dict[", "list[", "constrained-", "literal["))
        or part in {"int", "str", "float"}
    )


def _message(item: Mapping[str, Any], where: Sequence[Any], model: type[BaseModel]) -> str:
    kind, found = item["type"], item["input"]
    if kind == "extra_forbidden":
        return f"unknown key.{did_you_mean(where[-1], _fields(model, where[:-1]))}"
    if kind == "missing":
        return f"is missing. {_fields(model, where[:-1])[where[-1]].description or ''}".rstrip()
    if kind == "value_error":
        return str(item["ctx"]["error"])
    holds = re.sub(
        r"^(Input|List|String) should (be|have) |valid | or instance of \w+| after validation.*",
        "",
        item["msg"],
    )
    for term, word in _WORDS.items():
        holds = re.sub(rf"\b{term}\b", word, holds)
    quotes = ": put it in quotes" if kind == "string_type" and isinstance(found, int | float) else ""
    verb = "hold" if holds.endswith("items") else "holds"
    return f"is {shown(found)}; {holds} {verb}{quotes}."


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


def _arms(annotation: Any) -> list[Any]:
    """Returns the members of a union, or of an annotated one, flat."""
    inner = getattr(annotation, "__args__", None)
    if isinstance(annotation, type) or not inner:
        return [annotation]
    return [arm for part in inner for arm in _arms(part)]
