"""Where a model function is: a built-in name, a file or a module. Imports no Keras."""

from __future__ import annotations

import ast
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kerasgrid.errors import ModelError, did_you_mean
from kerasgrid.io import file_digest
from kerasgrid.models.registry import BUILT_IN
from kerasgrid.models.source import definitions, locate_module, parse_source, source_file, sources_digest

_FORMS = "A function of your own is given as path/to/file.py:function or package.module:function."


@dataclass(frozen=True)
class ModelReference:
    """Where a model function is.

    Attributes:
        text: As the user wrote it.
        kind: A built-in name, a file or a module.
        file: Its source, absolute; None for a module without one.
        module: Its dotted name; None for a file.
        function: The function's name in it, or a KerasTuner HyperModel's.
        base: The folder that paths are relative to and that modules are looked for in first.
    """

    text: str
    kind: Literal["built_in", "file", "module"]
    file: Path | None
    module: str | None
    function: str
    base: Path

    def __str__(self) -> str:
        return self.text

    @property
    def place(self) -> str:
        """The file or module as the user wrote it, for messages."""
        return self.text if self.kind == "built_in" else self.text.rpartition(":")[0]


def parse_reference(text: str, base: Path) -> ModelReference:
    """Returns where a model function is.

    Args:
        text: A built-in name, `path/to/file.py:function` or `package.module:function`.
        base: The folder that paths are relative to and that modules are looked for in first.

    Raises:
        ModelError: There is no such model, file, module or function, or the file is no Python.
    """
    base = base.absolute()
    if text in BUILT_IN:
        module, _, function = BUILT_IN[text].target.partition(":")
        file = Path(__file__).with_name(f"{module.rpartition('.')[2]}.py")
        return ModelReference(text, "built_in", file, module, function, base)
    if text.endswith(".py"):
        names = did_you_mean("", _functions(parse_source(base / os.path.expanduser(text), text)))
        raise ModelError(f"{text!r} names a file, but no function in it: give {text}:function.{names}")
    place, colon, function = text.rpartition(":")
    if not colon:
        raise ModelError(f"{text!r} is no built-in model.{did_you_mean(text, BUILT_IN)} {_FORMS}")
    if not place or not function.isidentifier():
        raise ModelError(f"{text!r} names no model function. {_FORMS} Built in: {', '.join(BUILT_IN)}.")
    if place.endswith(".py") or "/" in place or "\\" in place:
        file = base / os.path.expanduser(place)
        reference = ModelReference(text, "file", file, None, function, base)
    else:
        spec = locate_module(place, base)
        if spec is None:
            raise ModelError(
                f"{text}: no module named {place!r} in {base} or on Python's path. Install it, or give the "
                "function's file: path/to/file.py:function."
            )
        reference = ModelReference(text, "module", source_file(spec), place, function, base)
    _check_defined(reference)
    return reference


def _check_defined(reference: ModelReference) -> None:
    if reference.file is None:
        return
    tree = parse_source(reference.file, reference.place)
    found = definitions(tree)
    if reference.function in found or "*" in found or "__getattr__" in found:
        return
    names = _functions(tree)
    known = did_you_mean(reference.function, names) if names else " It defines no function."
    raise ModelError(f"{reference.place}: there is no {reference.function!r} in it.{known}")


def _functions(tree: ast.Module) -> list[str]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [name for name, nodes in definitions(tree).items() if isinstance(nodes[-1], kinds)]


def source_digest(reference: ModelReference) -> str:
    """Returns a hash that tells whether a model's source changed, 64 hex digits.

    It covers the file and those beside it that it imports, without comments, formatting and docstrings;
    for a module without a source, its bytes.

    Raises:
        ModelError: A file cannot be read or is no Python.
    """
    if reference.file is not None:
        return sources_digest(reference.file, reference.place, reference.base, reference.module)
    spec = locate_module(str(reference.module), reference.base)
    if spec is not None and spec.has_location:
        return file_digest(Path(str(spec.origin)))
    return hashlib.sha256(reference.text.encode()).hexdigest()
