"""What a model function takes, read without running it. Imports no Keras.

The parent process reads a user's file with `ast`, since running it would import Keras; a worker loads it.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kerasgrid.errors import ModelError
from kerasgrid.models.references import ModelReference, own_fit
from kerasgrid.models.source import definition, parse_source
from kerasgrid.records import Target

GIVEN = ("input_shape", "input_shapes", "n_classes", "n_outputs", "multi_label", "n_categories")
"""Arguments that kerasgrid passes by itself where a model function names them."""
ROWS = ("X", "y")
"""Likewise where both are named, as functions for Keras's own wrappers do: some samples."""
_ROWS_CALLED = (
    ("x", "x_train", "train_x", "xs", "data", "features", "inputs"),
    ("y", "y_train", "train_y", "ys", "labels", "label", "targets", "target"),
)
"""What these are called, in any case, as the first two arguments; Keras's wrappers pass them by position."""
SCIKERAS = ("meta", "compile_kwargs")
"""Likewise, as SciKeras does: what the data are, and an optimizer, loss and metrics to compile with."""
_TALOS = ("x", "y", "x", "y", "p")
"""How the names of Talos's arguments begin, which it passes by position."""
_OF_ANY = ("input_shape", "n_classes")
"""Those of them that a function is passed too which takes any name; of numbers n_outputs, for n_classes."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a model function; `default` is its Python text, None where it is required."""

    name: str
    default: str | None = None

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is None


@dataclass(frozen=True)
class Signature:
    """What a model function takes.

    Attributes:
        parameters: Those that a config may set, so without `hp` and what is given.
        takes_any: Whether it takes other names too: by `**kwargs`, or as a hyperparameter of `hp`.
        style: `build(input_shape, n_classes, ...)`; KerasTuner's `build(hp)`; or Talos's `build(x_train,
            y_train, x_val, y_val, params)`, which fits the model too.
        given: Which of GIVEN, ROWS and SCIKERAS it is passed, where classes or labels are predicted.
        needs_classes: Whether it names `n_classes` without a default, so that it predicts no numbers.
        rows: What it calls ROWS.
        loop: `epochs` and `batch_size` that a fit of its own is given as plain numbers.
    """

    parameters: tuple[Parameter, ...]
    takes_any: bool = False
    style: Literal["build", "hp", "talos"] = "build"
    given: tuple[str, ...] = ()
    needs_classes: bool = False
    rows: tuple[str, ...] = ROWS
    loop: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of those without a default."""
        return tuple(parameter.name for parameter in self.parameters if parameter.required)

    @property
    def is_shown(self) -> bool:
        """Whether it is shown some of the samples, or told of them, as functions of other packages are."""
        return self.style == "talos" or not {*ROWS, *SCIKERAS}.isdisjoint(self.given)

    @property
    def takes_codes(self) -> bool:
        """Whether it is given a table's categories as codes; else they are 0 and 1 each."""
        return "n_categories" in self.given

    def accepts(self, name: str) -> bool:
        """Whether a config may set `name` in the model function."""
        return name in self.names or (self.takes_any and name not in GIVEN)

    def shows_numbers(self, *, are_like_labels: bool) -> bool:
        """Tells whether it is meant for numbers: it names `n_outputs`, or at least no `n_classes`.

        Args:
            are_like_labels: Whether these may be labels, too; then it must not name `n_classes`.
        """
        if "n_classes" not in self.given:
            return True
        return not are_like_labels and not self.needs_classes and "n_outputs" in self.given

    def passed(self, target: Target) -> tuple[str, ...]:
        """Returns which of GIVEN the model function is passed; of numbers there is no `n_classes`."""
        if not target.is_numbers:
            return self.given
        given = {*self.given, "n_outputs"} if self.takes_any and "n_classes" in self.given else {*self.given}
        return tuple(name for name in (*GIVEN, *ROWS, *SCIKERAS) if name in given - {"n_classes"})

    def fault(self, target: Target) -> str | None:
        """Returns why the model function cannot predict a target, and what to change; None where it may."""
        if not (target.is_numbers and self.needs_classes):
            return None
        return (
            "needs n_classes, but numbers are predicted (data.target), and no classes: name n_outputs in its "
            "place, and end the model in Dense(n_outputs). The built-in ones take n_classes=None, "
            "n_outputs=None, and end in numbers where n_classes is None."
        )


def read_signature(reference: ModelReference) -> Signature | None:
    """Returns what a model function takes, from its source alone.

    Returns:
        The signature; None where only running the file can tell: a decorated function, a class, a name
        that is assigned or imported.

    Raises:
        ModelError: The file cannot be read, or the function takes what cannot be passed by name.
    """
    if reference.file is None:
        return None
    function = definition(parse_source(reference.file, reference.place), reference.function)
    if function is None:
        return None
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [
        *zip(positional, [*defaults, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    parameters = [Parameter(found.arg, None if value is None else _literal(value)) for found, value in pairs]
    only_by_position = [found.arg for found in arguments.posonlyargs]
    found = _signature(reference.text, parameters, arguments.kwarg is not None, only_by_position)
    return replace(found, loop=_loop_of(function)) if found.style == "talos" else found


def signature_of(function: Callable[..., Any]) -> Signature:
    """Returns what a model function in hand takes.

    Raises:
        ModelError: It takes what cannot be passed by name, or Python cannot tell what it takes.
    """
    name = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{name}: Python cannot tell what it takes ({error}). Wrap it in a function."
        ) from error
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [
        Parameter(item.name, None if item.default is inspect.Parameter.empty else repr(item.default))
        for item in found
        if item.kind not in stars
    ]
    only_by_position = [item.name for item in found if item.kind is inspect.Parameter.POSITIONAL_ONLY]
    takes_any = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in found)
    signature = _signature(name, parameters, takes_any, only_by_position)
    fits = function if signature.style == "talos" else own_fit(function)
    return signature if fits is None else replace(signature, loop=_loop_of(_parsed(fits)))


def _parsed(function: Callable[..., Any]) -> ast.AST | None:
    """Returns the source of a function in hand; None where Python does not know it."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None


def _loop_of(source: ast.AST | None) -> dict[str, int]:
    """Returns `epochs` and `batch_size` that the one call of `fit` in a source has as plain numbers."""
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)] if source is not None else []
    fits = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "fit"]
    found = {}
    for given in fits[0].keywords if len(fits) == 1 else ():
        value = given.value.value if isinstance(given.value, ast.Constant) else None
        if given.arg in ("epochs", "batch_size") and type(value) is int and value > 0:
            found[given.arg] = value
    return found


def _signature(
    name: str, parameters: Sequence[Parameter], takes_any: bool, only_by_position: Sequence[str]
) -> Signature:
    required = [parameter.name for parameter in parameters if parameter.required]
    if parameters and parameters[0].name == "hp" and required == ["hp"]:
        return Signature(tuple(parameters[1:]), takes_any=True, style="hp")
    if len(required) == len(parameters) == len(_TALOS) and all(
        parameter.name.lower().startswith(start) for parameter, start in zip(parameters, _TALOS, strict=True)
    ):
        return Signature((), takes_any=True, style="talos")
    if only_by_position:
        raise ModelError(
            f"{name}: {', '.join(only_by_position)} can only be passed by position, but kerasgrid passes "
            "arguments by name. Remove the / from its parameters."
        )
    names = {parameter.name: parameter.default for parameter in parameters}
    rows = ROWS if names.keys() >= {*ROWS} else _first_two(parameters)
    others: tuple[str, ...] = ROWS if rows else ()
    others += tuple(name for name in SCIKERAS if names.get(name, "") in (None, "None"))
    given = tuple(name for name in GIVEN if name in names or (takes_any and not others and name in _OF_ANY))
    return Signature(
        tuple(parameter for parameter in parameters if parameter.name not in given + others + rows),
        takes_any,
        given=given + others,
        needs_classes="n_classes" in required,
        rows=rows or ROWS,
    )


def _first_two(parameters: Sequence[Parameter]) -> tuple[str, ...]:
    """Returns the names of the first two where they are called as samples and their labels are; else none."""
    first = [parameter.name for parameter in parameters[:2] if parameter.required]
    are_rows = [name.lower() in called for name, called in zip(first, _ROWS_CALLED, strict=False)]
    return tuple(first) if are_rows == [True, True] else ()


def _literal(value: ast.expr) -> str:
    try:
        return repr(ast.literal_eval(value))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ast.unparse(value)
