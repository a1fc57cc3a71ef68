"""Calls model functions: all styles, errors with the user's line, the result checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import keras

from kerasgrid.errors import KerasgridError, MissingPackageError, ModelError, NoModelError, did_you_mean
from kerasgrid.models.foreign import Read, Shown, check_fit, noted_fits, run_own_fit
from kerasgrid.models.inputs import Form, fault_of_inputs, symbols_of
from kerasgrid.models.keras_private import own_build
from kerasgrid.models.loading import plain_names
from kerasgrid.models.references import own_fit
from kerasgrid.models.signature import ROWS, Signature, signature_of
from kerasgrid.models.source import line_in
from kerasgrid.records import Inputs, Target
from kerasgrid.wording import shown_path


def build_model(
    function: Callable[..., Any],
    signature: Signature | None,
    params: Mapping[str, Any],
    form: Form,
    target: Target,
    *,
    is_whole: bool = False,
    n_categories: Sequence[int] = (),
    shown: Shown | None = None,
) -> keras.Model:
    """Returns the model that a model function builds, compiled or not as it comes.

    Args:
        function: `build(input_shape, n_classes, **params)`, with `n_outputs` for numbers, or KerasTuner's
            `build(hp)`; or in a form of another package (`kerasgrid.models.foreign`).
        signature: The function's; None to look it up.
        params: What the function is to get, and nothing else. In the style `hp` its hyperparameters;
            their values need not be among those that the function declares.
        form: Axes of one sample, such as (height, width, channels); or its inputs, where there are several.
        target: What is predicted.
        is_whole: Whether the params are all that `build(hp)` may ask for, fixed ones apart; else it gets the
            defaults of the others.
        n_categories: How many codes each of the last columns of a table has, where samples are its rows with
            categories as codes; 0 is for what is blank or unknown.
        shown: What a function of another package's form sees; None for zeros.

    Raises:
        ModelError: The function does not take a parameter, lacks one, raises (with the line in its
            file), asks for one that it is not to, or returns what is no model for this input and target; or
            it predicts classes alone, and numbers are wanted.
    """
    signature = signature or signature_of(function)
    params = {name: _restored(value) for name, value in params.items()}
    if not isinstance(form, Inputs):
        form = tuple(int(size) for size in form)
    if signature.style == "hp":
        model = _build_by_hp(function, params, is_whole, shown)
        _check_model(name_of(function), model, form, target)
        return model
    _check_params(function, signature, params)
    if (fault := signature.fault(target)) is not None:
        raise ModelError(f"{name_of(function)}: {fault}")
    given = {
        "input_shape": form.shapes if isinstance(form, Inputs) else form,
        "input_shapes": form.shapes if isinstance(form, Inputs) else [form],
        "n_classes": target.n_outputs,
        "n_outputs": target.n_outputs,
        "multi_label": target.is_multi_label,
        "n_categories": tuple(int(n) for n in n_categories),
    }
    sees_rows = signature.style == "talos" or "X" in signature.given
    if signature.is_shown:
        shown = shown or Shown.blank(form, target)
        given |= {"X": shown.X, "compile_kwargs": dict(shown.compile_kwargs)}
        if "meta" in signature.given:
            given["meta"] = shown.meta(target)
    forms: list[Any] = [None] if shown is None else [shown.y]
    if shown is not None and sees_rows and shown.labels is not None:
        forms.append(shown.labels)  # as a function wants them that counts them
    refused: ModelError | None = None
    for y in forms:
        try:
            if signature.style == "talos":
                assert shown is not None  # it sees rows
                model = _build_and_fit(function, params, shown, y)
            else:
                called = dict(zip(ROWS, signature.rows, strict=True))
                told = {**given, "y": y}
                passed = {called.get(name, name): told[name] for name in signature.passed(target)}
                with noted_fits() if sees_rows else nullcontext():
                    model = call(function, **passed, **params)
            _check_model(name_of(function), model, form, target)
        except ModelError as error:
            refused = refused or error
        else:
            return model
    assert refused is not None  # else one were returned
    if isinstance(form, Inputs) and "input_shape" in signature.given and refused.__cause__ is not None:
        what = f"X has several inputs, and input_shape is {form.shapes}."
        raise ModelError(f"{refused} {what}") from refused.__cause__
    raise refused


def _restored(value: Any) -> Any:
    """Returns a new object of Keras's where a parameter is one as Keras stores it, such as an initializer."""
    if not isinstance(value, Mapping) or not value.keys() >= {"module", "class_name", "config"}:
        return value
    is_of_keras = str(value["module"]).partition(".")[0] == "keras"
    return keras.saving.deserialize_keras_object(dict(value)) if is_of_keras else value


def _build_and_fit(
    function: Callable[..., Any], params: Mapping[str, Any], shown: Shown, y: Any
) -> keras.Model:
    """Returns the model of a Talos function, `build(x_train, y_train, x_val, y_val, params)`.

    Its fit trains nothing: the model is trained as others are.
    """
    name = name_of(function)
    read = Read(name, {**shown.loop, **params})  # with their defaults where the candidate has none of its own
    with noted_fits() as fits:
        returned = run(function, shown.X, y, shown.X, y, read)
    pair = returned if isinstance(returned, tuple | list) else [returned]
    model = next((one for one in pair if isinstance(one, keras.Model)), None)
    if model is None:
        raise NoModelError(f"{name} returned {type(returned).__name__}, but must return (history, model).")
    if fits:
        check_fit(name, model, fits, shown)
    if unread := read.unread:
        raise ModelError(
            f"{name} does not read {', '.join(map(repr, sorted(unread)))} of its params, which would change "
            "nothing: read it there, or leave it out."
        )
    return model


def _check_params(function: Callable[..., Any], signature: Signature, params: Mapping[str, Any]) -> None:
    name = name_of(function)
    for found in params:
        if not signature.accepts(found):
            raise ModelError(f"{name} has no parameter {found!r}.{did_you_mean(found, signature.names)}")
    missing = [needed for needed in signature.required if needed not in params]
    if missing:
        raise ModelError(f"{name} needs {', '.join(missing)}: give a value in params or space.")


def _build_by_hp(
    function: Callable[..., Any], params: Mapping[str, Any], is_whole: bool, shown: Shown | None
) -> keras.Model:
    hp = hyperparameters()
    own = signature_of(function).names
    preset = {name: value for name, value in params.items() if name not in own}
    # A value that is there before its hyperparameter is declared stays: KerasTuner's own way to preset one.
    hp.values.update(preset)
    model = built(function, hp, shown, **{name: params[name] for name in params if name in own})
    asked = {item.name for item in hp.space}
    for name in preset:
        if name not in asked:
            raise ModelError(
                f"{name_of(function)} did not ask hp for {name!r} with these params."
                f"{did_you_mean(name, asked)} If it does so only beside some values, search them as a list "
                "of spaces."
            )
    for item in hp.space if is_whole else ():
        if item.name not in preset and hp.is_active(item) and type(item).__name__ != "Fixed":
            raise ModelError(
                f"{name_of(function)} asks hp for {item.name!r} beside these params, which was not found "
                "when values were tried one by one, and would stay at its default: ask for it always, or in "
                "hp.conditional_scope."
            )
    return model


def built(function: Callable[..., Any], hp: Any, shown: Shown | None = None, **own: Any) -> keras.Model:
    """Returns what a `build(hp)` builds; a HyperModel's own fit is asked for its hyperparameters, too.

    Args:
        function: `build(hp)`.
        hp: KerasTuner's hyperparameters.
        shown: What that fit is to train on; None for zeros.
        own: Arguments beside hp.
    """
    model = call(function, hp, **own)
    if own_fit(function) is not None:
        shapes = [getattr(model, place, None) for place in ("input_shape", "output_shape")]
        inputs, outputs = (
            tuple(size or 1 for size in shape[1:]) if isinstance(shape, tuple) else (1,) for shape in shapes
        )
        n = outputs[-1] or 1
        blank = Target("numbers", ("",)) if n == 1 else Target("classes", tuple(range(n)))
        run_own_fit(function, hp, model, shown or Shown.blank(inputs, blank), run)
    return model


def hyperparameters() -> Any:
    """Returns an empty keras_tuner.HyperParameters."""
    try:
        import keras_tuner
    except ImportError as error:
        raise MissingPackageError(
            "a model function build(hp) needs the package keras-tuner. Install it with: "
            "pip install keras-tuner."
        ) from error
    return keras_tuner.HyperParameters()


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function of the user's; what it raises becomes a ModelError that says where."""
    try:
        return function(*args, **kwargs)
    except (KerasgridError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # a script's sys.exit() would end the worker without a word
        if type(error).__name__ == "ResourceExhaustedError":
            raise  # the device's memory, which is no fault of the function
        file = file_of(function)
        line = None if file is None else line_in(error, file)
        where = "" if file is None or line is None else f"{shown_path(file)}:{line}, "
        reason = plain_names(str(error).strip()) or "no message"
        raise ModelError(f"{where}{name_of(function)}: {type(error).__name__}: {reason}") from error


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> keras.Model:
    """Calls a model function, as `run`, and returns its model.

    Raises:
        NoModelError: It returns something else.
    """
    model = run(function, *args, **kwargs)
    if not isinstance(model, keras.Model):
        kind, hint = type(model), "."
        if model is None:
            hint = ": does it end with `return model`?"
        elif kind.__module__.startswith(("tf_keras", "tensorflow.python.keras")):
            hint = ", which is Keras 2: import keras, or tensorflow.keras, of Keras 3."
        raise NoModelError(
            f"{name_of(function)} returned {kind.__name__}, but must return a keras.Model{hint}"
        )
    return model


def file_of(function: Callable[..., Any]) -> str | None:
    """Returns the file in which a model function is written; None where Python does not know it."""
    function = own_build(inspect.unwrap(getattr(function, "func", function)))
    code = getattr(function, "__code__", None)
    return None if code is None else code.co_filename


def name_of(function: Callable[..., Any]) -> str:
    """Returns what messages call a model function."""
    if hasattr(function, "func"):
        return name_of(function.func)
    name = getattr(own_build(function), "__name__", type(function).__name__)
    owner = getattr(function, "__self__", None)
    return name if owner is None else f"{type(owner).__name__}.{name}"


def _check_model(name: str, model: keras.Model, form: Form, target: Target) -> None:
    output, n = _output_shape(name, model, form), target.n_outputs
    wanted = [(None, n)] + ([(None, 1)] if n == 2 and target.kind == "classes" else [])
    if output in wanted:
        return
    need, end = f"{n} classes need", "n_classes"
    if target.is_numbers:
        need, end = "one number needs" if n == 1 else f"{n} numbers need", "n_outputs"
    may_be_numbers = target.kind == "classes" and all(isinstance(value, int) for value in target.classes)
    are_numbers = (
        " Or, where these are numbers to predict and no classes, say so: by data.target, or in Python by "
        "y.astype(float)."
        if output == (None, 1) and may_be_numbers
        else ""
    )
    raise ModelError(
        f"{name}: the model's output is {output}, but {need} {' or '.join(map(str, wanted))}. End it with "
        f"Dense({end}).{are_numbers}"
    )


def _output_shape(name: str, model: keras.Model, form: Form) -> Any:
    if getattr(model, "inputs", None):
        _check_inputs(name, model, form)
    if not getattr(model, "outputs", None):
        try:
            output = model(symbols_of(form))
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip()}"
            taken = form if isinstance(form, Inputs) else (None, *form)
            raise ModelError(f"{name}: the model cannot take {taken}: {reason}") from error
    else:
        output = model.outputs[0] if len(model.outputs) == 1 else model.outputs
    if isinstance(output, (list, tuple, dict)):
        return [tuple(item.shape) for item in (output.values() if isinstance(output, dict) else output)]
    return (None, *output.shape[1:])


def _check_inputs(name: str, model: keras.Model, form: Form) -> None:
    """Raises a ModelError where a model that knows its inputs takes other samples than there are."""
    if isinstance(form, Inputs):
        if (fault := fault_of_inputs(model, form)) is not None:
            raise ModelError(f"{name}: {fault}")
        return
    found = [tuple(item.shape) for item in model.inputs]
    fits = len(found) == 1 and len(found[0]) == len(form) + 1
    if not fits or any(have not in (None, size) for have, size in zip(found[0][1:], form, strict=True)):
        cure = "Use input_shape in the function."
        if len(found) > 1:
            cure = "Give X as a list of arrays, one for each input, or as a dict of them by name."
        raise ModelError(
            f"{name}: the model takes {' and '.join(map(str, found))}, but the data gives {(None, *form)}. "
            f"{cure}"
        )
