"""Calls model functions: both styles, errors with the user's line, the result checked."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras

from kerasgrid.errors import KerasgridError, MissingPackageError, ModelError, did_you_mean
from kerasgrid.models.signature import Parameter, Signature, signature_of
from kerasgrid.models.source import line_in


def build_model(
    function: Callable[..., Any],
    signature: Signature | None,
    params: Mapping[str, Any],
    input_shape: Sequence[int],
    n_classes: int,
) -> keras.Model:
    """Returns the model that a model function builds, compiled or not as it comes.

    Args:
        function: `build(input_shape, n_classes, **params)` or KerasTuner's `build(hp)`.
        signature: The function's; None to look it up.
        params: What the function is to get, and nothing else. In the style `hp` its hyperparameters;
            their values need not be among those that the function declares.
        input_shape: Axes of one sample, such as (height, width, channels).
        n_classes: The number of classes.

    Raises:
        ModelError: The function does not take a parameter, lacks one, raises (with the line in its
            file), or returns what is no model for this input and these classes.
    """
    signature = signature or signature_of(function)
    shape = tuple(int(size) for size in input_shape)
    if signature.style == "hp":
        model = _build_by_hp(function, params)
    else:
        _check_params(function, signature, params)
        given = {"input_shape": shape, "n_classes": int(n_classes)}
        model = _call(function, **{name: given[name] for name in signature.given}, **params)
    _check_model(_name(function), model, shape, n_classes)
    return model


def _check_params(function: Callable[..., Any], signature: Signature, params: Mapping[str, Any]) -> None:
    name = _name(function)
    for found in params:
        if not signature.accepts(found):
            raise ModelError(f"{name} has no parameter {found!r}.{did_you_mean(found, signature.names)}")
    missing = [needed for needed in signature.required if needed not in params]
    if missing:
        raise ModelError(f"{name} needs {', '.join(missing)}: give a value in params or space.")


def _build_by_hp(function: Callable[..., Any], params: Mapping[str, Any]) -> Any:
    hp = _hyperparameters()
    own = signature_of(function).names
    preset = {name: value for name, value in params.items() if name not in own}
    # A value that is there before its hyperparameter is declared stays: KerasTuner's own way to preset one.
    hp.values.update(preset)
    model = _call(function, hp, **{name: params[name] for name in params if name in own})
    asked = {item.name for item in hp.space}
    for name in preset:
        if name not in asked:
            raise ModelError(
                f"{_name(function)} did not ask hp for {name!r} with these params."
                f"{did_you_mean(name, asked)} If it does so only beside some values, search them as a list "
                "of spaces."
            )
    return model


def hp_space(function: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """Returns the search space that a `build(hp)` declares, in the order of declaration.

    Builds a model with the default values, and one more for each conditional scope not entered so far,
    as KerasTuner does; what stands under a plain `if` is found only where these reach it.

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
        hp = _hyperparameters()
        hp.values.update(preset)
        _call(function, hp)
        for item in hp.space:
            _add(space, item, function)
        for scope in hp.inactive_scopes:
            wanted = {condition.name: condition.values[0] for condition in scope}
            if wanted not in presets:
                presets.append(wanted)
    return space


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
            f"{_name(function)} declares the hyperparameter {item.name!r} twice with different values: "
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
        ModelError: As `signature_of` and `hp_space`; or a hyperparameter holds only under a condition.
    """
    signature = signature_of(function)
    if signature.style == "build":
        return signature, {}
    dimensions = {name: _dimension(name, entry) for name, entry in hp_space(function).items()}
    searched = {name: dimension for name, dimension in dimensions.items() if dimension is not None}
    return hp_signature(function), searched


def _dimension(name: str, entry: Mapping[str, Any]) -> Any:
    """Returns a hyperparameter as grid.yaml would have it; None for a fixed one."""
    if entry["when"]:
        raise ModelError(
            f"the hyperparameter {name!r} holds only under a condition, which this version cannot search: "
            "give the model function plain parameters instead, and space a list of spaces."
        )
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


def _hyperparameters() -> Any:
    try:
        import keras_tuner
    except ImportError as error:
        raise MissingPackageError(
            "a model function build(hp) needs the package keras-tuner. Install it with: "
            "pip install keras-tuner."
        ) from error
    return keras_tuner.HyperParameters()


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except (KerasgridError, MemoryError):
        raise
    except Exception as error:
        if type(error).__name__ == "ResourceExhaustedError":
            raise  # the device's memory, which is no fault of the function
        file = _file(function)
        line = None if file is None else line_in(error, file)
        where = "" if line is None else f"{_shown(file)}:{line}, "
        reason = str(error).strip() or "no message"
        raise ModelError(f"{where}{_name(function)}: {type(error).__name__}: {reason}") from error


def _file(function: Callable[..., Any]) -> str | None:
    function = inspect.unwrap(getattr(function, "func", function))
    # A HyperModel wraps its own build and keeps it as _build.
    function = getattr(getattr(function, "__self__", None), "_build", function)
    code = getattr(function, "__code__", None)
    return None if code is None else code.co_filename


def _shown(file: str) -> str:
    relative = (
        os.path.relpath(file) if os.path.splitdrive(file)[0] == os.path.splitdrive(os.getcwd())[0] else file
    )
    return file if relative.startswith("..") else relative


def _name(function: Callable[..., Any]) -> str:
    if hasattr(function, "func"):
        return _name(function.func)
    name = getattr(function, "__name__", type(function).__name__)
    owner = getattr(function, "__self__", None)
    if owner is None:
        return name
    return f"{type(owner).__name__}.{name.replace('_build_wrapper', 'build')}"


def _check_model(name: str, model: Any, shape: tuple[int, ...], n_classes: int) -> None:
    if not isinstance(model, keras.Model):
        kind = type(model)
        hint = "."
        if model is None:
            hint = ": does it end with `return model`?"
        elif kind.__module__.startswith(("tf_keras", "tensorflow.python.keras")):
            hint = ", which is Keras 2: import keras, or tensorflow.keras, of Keras 3."
        raise ModelError(f"{name} returned {kind.__name__}, but must return a keras.Model{hint}")
    output = _output_shape(name, model, shape)
    wanted = [(None, n_classes)] + ([(None, 1)] if n_classes == 2 else [])
    if output not in wanted:
        raise ModelError(
            f"{name}: the model's output is {output}, but {n_classes} classes need "
            f"{' or '.join(str(shape) for shape in wanted)}. End it with Dense(n_classes)."
        )


def _output_shape(name: str, model: keras.Model, shape: tuple[int, ...]) -> Any:
    inputs = getattr(model, "inputs", None)
    if inputs and [tuple(item.shape[1:]) for item in inputs] != [shape]:
        found = [tuple(item.shape) for item in inputs]
        fits = len(found) == 1 and len(found[0]) == len(shape) + 1
        if not fits or any(have not in (None, size) for have, size in zip(found[0][1:], shape, strict=True)):
            raise ModelError(
                f"{name}: the model takes {' and '.join(map(str, found))}, but the data gives "
                f"{(None, *shape)}. Use input_shape in the function."
            )
    if not getattr(model, "outputs", None):
        try:
            output = model(keras.Input(shape))
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip()}"
            raise ModelError(f"{name}: the model cannot take {(None, *shape)}: {reason}") from error
    else:
        output = model.outputs[0] if len(model.outputs) == 1 else model.outputs
    if isinstance(output, (list, tuple, dict)):
        return [tuple(item.shape) for item in (output.values() if isinstance(output, dict) else output)]
    return (None, *output.shape[1:])
