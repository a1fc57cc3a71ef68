"""What Keras's and SciKeras's wrappers call their parameters, and what is in them, as estimators have it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from kerasgrid.config.callbacks import EarlyStopping, ReduceLROnPlateau, TerminateOnNaN
from kerasgrid.config.validation import shown
from kerasgrid.errors import Fault
from kerasgrid.keras_names import LOSSES, OPTIMIZERS, find_loss, is_of_keras
from kerasgrid.models.signature import Signature
from kerasgrid.wording import is_built

VAL = "validation_split"
"""The share of the inner split, which is no parameter of training here but of a run."""
CALLBACKS = "callbacks"
"""Callback objects that a config has no name for."""
VALIDATION = "validation_data"
"""Samples on which `val_*` is measured in the place of that share."""
APART = (VAL, VALIDATION, CALLBACKS)
"""What is no parameter of training in grid.yaml."""
_CALLED = {
    "nb_epoch": "epochs",
    "class_weight": "training.class_weight",
}
_IDLE = {
    "verbose": "any",
    "metrics": "any",
    "validation_batch_size": "any",
    "validation_freq": "any",
    "workers": "any",
    "use_multiprocessing": "any",
    "max_queue_size": "any",
    "shuffle": True,
    "run_eagerly": False,
    "warm_start": False,
}
"""What changes no numbers here: whatever its value, or where that is the one that holds."""
_REFUSED = {
    "shuffle": "is False, and samples are shuffled in each epoch, by seed: leave it out.",
    "warm_start": "is True, and each fit begins with new weights: leave it out.",
    "run_eagerly": "is True, and steps are compiled: leave it out.",
    "random_state": "is called seed here: a whole number from 0 to 2**32 - 1.",
}
"""What estimators here do not have, and what to do."""
_STAGES = "are of kg.search and grid.yaml; an estimator trains all at once."
_NAMED: dict[str, tuple[str, tuple[str, ...]]] = {
    "EarlyStopping": ("callbacks.early_stopping", tuple(EarlyStopping.model_fields)),
    "ReduceLROnPlateau": ("callbacks.reduce_lr_on_plateau", tuple(ReduceLROnPlateau.model_fields)),
    "TerminateOnNaN": ("callbacks.terminate_on_nan", tuple(TerminateOnNaN.model_fields)),
}
_IN_HAND = ("optimizer", "loss")
"""What may be given as an object of Keras's, and is then its name and arguments here."""
_WRAPPERS = {
    "SKLearnClassifier": "keras",
    "SKLearnRegressor": "keras",
    "KerasClassifier": "scikeras",
    "KerasRegressor": "scikeras",
}
"""Wrappers of others, and the packages that they are of."""


def are_own(params: Mapping[str, Any]) -> bool:
    """Tells whether all parameters have the names that they have here, and none is an object of Keras's."""
    others = {*_CALLED, *_IDLE, *APART, "model_kwargs", "fit_kwargs", "optimizer", "loss"}
    return not any("__" in name or name in others or _has_config(value) for name, value in params.items())


def own_params(params: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """Returns parameters by the names that they have here; where two are the same, that of the prefix holds.

    What an optimizer or a loss in hand has for an argument gives way to one that is given by name.

    Args:
        params: By names of Keras's wrapper, SciKeras's or kerasgrid's.
        signature: The model function's. What it names it gets, and a Talos function all but prefixes.
    """
    stopping = [name for name in params if name.startswith(f"{CALLBACKS}__")]
    found = [
        (name, own_name(name, value, signature)) for name, value in params.items() if name not in stopping
    ]
    found.sort(key=lambda one: (one[0] not in one[1], one[0] not in _IN_HAND))
    own = {key: value for _, told in found for key, value in told.items()}
    for name in stopping:
        own |= _of_callbacks(name, params[name], own)
    return own


def _of_callbacks(name: str, value: Any, own: Iterable[str]) -> dict[str, Any]:
    """Returns an argument of callbacks as SciKeras has it, `callbacks__patience` or `callbacks__0__patience`.

    Args:
        name: Its name.
        value: Its value.
        own: Names of parameters, callbacks among them.
    """
    argument = name.rpartition("__")[2]
    having = [place for place, fields in _NAMED.values() if place in own and argument in fields]
    return {f"{place}.{argument}": value for place in having} or {name: value}


def own_name(name: str, value: Any, signature: Signature) -> dict[str, Any]:
    """Returns what a parameter of a wrapper is here, by name: none where it changes nothing."""
    start, _, rest = name.partition("__")
    if name in signature.names:
        return {name: stored(value)}
    if name in ("model_kwargs", "fit_kwargs") and isinstance(value, Mapping | None):
        if name == "model_kwargs":
            return {key: stored(one) for key, one in (value or {}).items()}
        return own_params(value or {}, Signature(()))
    if rest and start == "model":
        return {rest: stored(value)}
    if rest and start in ("fit", "compile"):
        return own_name(rest, value, Signature(()))
    if rest and start in ("optimizer", "loss"):
        is_rate = rest == "learning_rate" and "learning_rate" not in signature.names
        return {rest if is_rate else f"{start}.{rest}": value}
    if rest and start == "predict":
        return {}
    if signature.style == "talos":
        return {name: stored(value)}
    if name in _IDLE:
        holds = _IDLE[name]
        return {} if holds == "any" or value is None or bool(value) is holds else {name: value}
    if name == VAL:
        return {VAL: value or None}
    if name == CALLBACKS:
        return _callbacks(value)
    if name == "optimizer":
        return _told(name, value, OPTIMIZERS.get(_class_of(value)), "learning_rate" in signature.names)
    if name == "loss":
        known = find_loss(_class_of(value))
        return _told(name, value, None if known is None else LOSSES[known].arguments, False)
    return {_CALLED.get(name, name): value}


def _class_of(value: Any) -> str:
    return str(getattr(value, "__name__", type(value).__name__))


def _told(name: str, value: Any, arguments: Mapping[str, Any] | None, names_rate: bool) -> dict[str, Any]:
    """Returns an optimizer or a loss in hand by its name and what it has other than by default.

    Args:
        name: `optimizer` or `loss`.
        value: It, its class, or a function; what is none of Keras's stays, and so does what no names tell.
        arguments: Those that it takes, with their defaults; None where Keras has none of its name.
        names_rate: Whether the model function has a parameter `learning_rate`.
    """
    if isinstance(value, type) or (arguments is not None and is_of_keras(value) and inspect.isroutine(value)):
        return {name: _class_of(value)}
    if arguments is None or not _has_config(value):
        return {name: value}
    config = {key: _plain(one) for key, one in value.get_config().items()}
    made = {key: _plain(one) for key, one in type(value)().get_config().items()}
    changed = {key: one for key, one in config.items() if key != "name" and one != made[key]}
    if not changed.keys() <= arguments.keys() or any(isinstance(one, Mapping) for one in changed.values()):
        return {name: value}
    rate = {"learning_rate"} if name == "optimizer" and not names_rate else set()
    return {name: _class_of(value)} | {
        key if key in rate else f"{name}.{key}": one for key, one in changed.items()
    }


def stored(value: Any) -> Any:
    """Returns an object of Keras's without weights, such as an initializer, as Keras stores it."""
    if not _has_config(value) or getattr(value, "weights", None):
        return value
    return sys.modules["keras"].saving.serialize_keras_object(value)


def _has_config(value: Any) -> bool:
    """Tells whether something is an object of Keras's that its config tells."""
    return not isinstance(value, type) and is_of_keras(type(value)) and hasattr(value, "get_config")


def own_grid(
    grid: Mapping[str, Iterable[Any]], signature: Signature, fixed: Iterable[str] = ()
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Returns searched values by the names that they have here, and by these what the user calls them.

    What an optimizer or a loss in hand has for arguments, which are its own, is left out.

    Args:
        grid: By names of Keras's wrapper, SciKeras's or kerasgrid's.
        signature: The model function's.
        fixed: Names, as they are here, of parameters that are not searched.
    """
    found, called = dict[str, list[Any]](), dict[str, str]()
    for name, values in sorted(grid.items(), key=lambda one: one[0].startswith(f"{CALLBACKS}__")):
        for value in values:
            told = own_name(name, value, signature)
            if name.startswith(f"{CALLBACKS}__"):
                told = _of_callbacks(name, value, [*fixed, *found])
            for own, one in told.items():
                if name not in _IN_HAND or own == name:
                    found.setdefault(own, []).append(one)
                    called[own] = name
    return found, called


def take_others(values: dict[str, list[Any]], signature: Signature, where: str) -> list[Fault]:
    """Takes what is no parameter of training out of values by name, and returns what is wrong with it.

    Args:
        values: As `own_grid` gives them; those are taken out.
        signature: The model function's, which gets what it names.
        where: What messages call them.
    """
    faults = []
    for name in values.keys() - {*signature.names}:
        if name.partition(".")[0] == "stages":
            faults.append(Fault(f"{where}.{name}", _STAGES))
            del values[name]
        elif name in _REFUSED and signature.style != "talos":  # which reads what it is given
            faults.append(Fault(f"{where}.{name}", _REFUSED[name]))
            del values[name]
        elif name == VAL:
            wrong = [share for share in values.pop(VAL) if not _is_share(share)]
            faults += [
                Fault(f"{where}.{VAL}", f"is {shown(share)}; a number between 0 and 1 holds.")
                for share in wrong
            ]
        elif name == VALIDATION or (name == CALLBACKS and all(isinstance(one, list) for one in values[name])):
            del values[name]
    return faults


def _is_share(value: Any) -> bool:
    return value is None or (isinstance(value, float) and 0 < value < 1)


def _callbacks(value: Any) -> dict[str, Any]:
    """Returns callbacks of Keras's by their names here, and the others as they are."""
    given = list(value.values()) if isinstance(value, Mapping) else value
    flat = [one for part in (given if isinstance(given, list | tuple) else [given]) for one in _each(part)]
    if not all(isinstance(one, type) or hasattr(one, "set_model") for one in flat):
        return {CALLBACKS: value}
    own, others = dict[str, Any](), []
    for one in flat:
        kind = one if isinstance(one, type) else type(one)
        if kind.__name__ in _NAMED and kind.__module__.partition(".")[0] == "keras":
            name, fields = _NAMED[kind.__name__]
            own[name] = {key: _plain(getattr(one, key)) for key in fields if key in vars(one)}
        else:
            others.append(one)
    return own | ({CALLBACKS: others} if others else {})


def _each(part: Any) -> list[Any]:
    if part is None:
        return []
    return list(part) if isinstance(part, list | tuple) else [part]


def _plain(value: Any) -> Any:
    """Returns a setting of a callback, optimizer or loss as a config has it."""
    if isinstance(value, float) and (short := float(str(np.float32(value)))) and np.float32(value) == value:
        return short  # as it was given, and not as a variable has it
    return value.item() if hasattr(value, "item") else value


def wrapped(given: Any) -> tuple[bool, Callable[..., Any], dict[str, Any]] | str | None:
    """Returns what is in a wrapper of Keras's or SciKeras's; why it is trained by itself; None of others.

    Returns:
        Whether it predicts numbers, its model function, and its parameters by its own names, those apart that
        have their defaults. Its epochs are 1 unless it has others, as in Keras's fit.
    """
    kind = type(given)
    package = kind.__module__.partition(".")[0]
    if _WRAPPERS.get(kind.__name__) != package:
        return None
    name = f"{package}'s {kind.__name__}"
    params = given.get_params(deep=False)
    models = [params.pop(key, None) for key in ("model", "build_fn")]
    model = next(filter(None, models), None)
    if not callable(model) or is_built(model):
        return f"{name} holds a model that is built: give it the function that builds and compiles it"
    if params.get("warm_start"):
        return f"{name} has warm_start, and goes on with the weights of the fit before"
    if package == "scikeras":
        default = kind().get_params(deep=False)
        params = {key: value for key, value in params.items() if key not in default or value != default[key]}
        params = {"optimizer": "rmsprop", **params} if _compiles_by(model, params) else params
    params = {key: value for key, value in params.items() if value is not None}
    return kind.__name__.endswith("Regressor"), model, {"epochs": 1, **params}


def _compiles_by(model: Callable[..., Any], params: Mapping[str, Any]) -> bool:
    """Tells whether SciKeras's optimizer is that of the model: its function is given it, or compiles none."""
    code = getattr(model, "__code__", None)
    return "loss" in params or (code is not None and "compile_kwargs" in code.co_varnames)
