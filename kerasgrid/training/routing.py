"""Where parameters go: to the model function, the optimizer, the loss, the callbacks or the loop.

The model function's signature wins: what it names, it gets. Free of Keras, so that a config is
checked without importing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from kerasgrid.augment import Augment
from kerasgrid.callbacks import Callbacks
from kerasgrid.errors import Fault, did_you_mean
from kerasgrid.forms import faults_of, shown
from kerasgrid.keras_names import LOSSES, OPTIMIZERS, find_loss, find_optimizer, optimizer_hint
from kerasgrid.models.signature import Signature

LOOP = ("batch_size", "epochs", "optimizer", "learning_rate", "loss")
GROUPS = ("optimizer", "loss", "callbacks", "augment", "training")
DEFAULT_VAL = 0.1
"""The inner split's share of a fold's training rows, where a callback needs one and none is given."""
DEFAULTS = {"batch_size": 32, "epochs": 10, "optimizer": "Adam"}
NOT_YET = {
    "training": "a setting of training that this version cannot search yet",
}


@dataclass(frozen=True)
class Route:
    """A candidate's params, each where it goes.

    Attributes:
        model: Arguments of the model function.
        batch_size: Samples a step.
        epochs: Epochs to train.
        optimizer: A class name of keras.optimizers; None where nothing names one.
        optimizer_args: Its arguments, `learning_rate` among them.
        loss: A class or function name of keras.losses; None for the one that fits.
        loss_args: Its arguments.
        callbacks: Arguments by callback, such as {"early_stopping": {"patience": 3, ...}}.
        augment: Augmentation and normalisation; None for neither.
    """

    model: Mapping[str, Any]
    batch_size: int
    epochs: int
    optimizer: str | None = None
    optimizer_args: Mapping[str, Any] = field(default_factory=dict)
    loss: str | None = None
    loss_args: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    augment: Augment | None = None

    @property
    def monitors_val(self) -> bool:
        """Whether a callback looks at `val_*`, so that there has to be an inner split."""
        return any(monitor.startswith("val_") for monitor in monitors(self.callbacks).values())


def monitors(callbacks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns what each callback monitors, by the callback's name; of those that monitor something."""
    return {name: str(args["monitor"]) for name, args in callbacks.items() if "monitor" in args}


def goes_to_model(name: str, signature: Signature) -> bool:
    """Tells whether the model function gets a parameter."""
    if name in signature.names:
        return True
    return signature.takes_any and name not in LOOP and name.partition(".")[0] not in GROUPS


def route(
    params: Mapping[str, Any],
    signature: Signature,
    callbacks: Mapping[str, Mapping[str, Any]],
    augment: Mapping[str, Any] | None = None,
) -> Route:
    """Sends each parameter of a candidate to its place.

    Args:
        params: Fixed and searched parameters together; checked by `faults_of_params` before.
        signature: The model function's.
        callbacks: The `callbacks` section, by name.
        augment: What the `augment` section names; None without one.

    Returns:
        The route. `batch_size` and `epochs` go to the loop also where the model function names them.
    """
    model = {name: value for name, value in params.items() if goes_to_model(name, signature)}
    rest = {name: value for name, value in params.items() if name not in model}
    loop = {name: params[name] for name in ("batch_size", "epochs") if name in params}
    arguments: dict[str, dict[str, Any]] = {"optimizer": {}, "loss": {}}
    for name, value in rest.items():
        group, _, argument = name.partition(".")
        if group in arguments and argument:
            arguments[group][argument] = value
    if "learning_rate" in rest:
        arguments["optimizer"]["learning_rate"] = rest["learning_rate"]
    return Route(
        model=model,
        batch_size=loop.get("batch_size", DEFAULTS["batch_size"]),
        epochs=loop.get("epochs", DEFAULTS["epochs"]),
        optimizer=find_optimizer(rest["optimizer"]) if "optimizer" in rest else None,
        optimizer_args=arguments["optimizer"],
        loss=find_loss(rest["loss"]) if "loss" in rest else None,
        loss_args=arguments["loss"],
        callbacks=merge_callbacks(rest, callbacks),
        augment=merge_augment(rest, augment),
    )


def merge_augment(params: Mapping[str, Any], section: Mapping[str, Any] | None) -> Augment | None:
    """Returns a candidate's augmentation.

    Args:
        params: `augment` takes the section's place, or switches it off or on; `augment.NAME` adds to it or
            changes it where it is on. Checked by `faults_of_params` before.
        section: The `augment` section.
    """
    own = {name.partition(".")[2]: value for name, value in params.items() if name.startswith("augment.")}
    switch = params.get("augment", True)
    if _is_switch(switch, "off", False) or (section is None and not own and not isinstance(switch, Mapping)):
        return None
    base = switch if isinstance(switch, Mapping) else section or {}
    return Augment.model_validate({**base, **own})


def merge_callbacks(
    params: Mapping[str, Any], callbacks: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Returns all arguments of a candidate's callbacks, by name.

    Args:
        params: Those named `callbacks.NAME.ARGUMENT` count; checked by `faults_of_params` before.
        callbacks: The `callbacks` section, which they add to or change.
    """
    merged = {name: dict(values) for name, values in callbacks.items()}
    for name, value in params.items():
        if name.startswith("callbacks."):
            _, callback, argument = name.split(".", 2)
            merged.setdefault(callback, {})[argument] = value
    checked = Callbacks.model_validate(merged)
    return {name: args for name, args in checked.model_dump().items() if args is not None}


def faults_of_params(
    fixed: Mapping[str, Any],
    searched: Mapping[str, Iterable[Any]],
    signature: Signature | None,
    prefix: str = "space",
    *,
    are_all: bool = True,
) -> list[Fault]:
    """Returns what is wrong with names and values of parameters.

    Args:
        fixed: The `params` section.
        searched: The values of each parameter of one grid of the space.
        signature: The model function's; None where it is not known, so that any name may be its own.
        prefix: The key path of that grid.
        are_all: Whether these are all parameters; if not, nothing is said of what others may give.
    """
    own = signature or Signature(())
    faults = []
    values = {f"params.{name}": (name, [value]) for name, value in fixed.items() if name not in searched}
    values |= {f"{prefix}.{name}": (name, list(found)) for name, found in searched.items()}
    given = dict(values.values())
    optimizers = given.get("optimizer", [DEFAULTS["optimizer"]] if are_all else [])
    for path, (name, found) in values.items():
        if goes_to_model(name, own):
            loop_too = name in {"batch_size", "epochs"}
            messages = _loop_faults(name, found) if loop_too else []
        elif name in LOOP:
            messages = _loop_faults(name, found)
        elif name.startswith("optimizer."):
            messages = _optimizer_argument_faults(name.partition(".")[2], optimizers)
            if name == "optimizer.learning_rate":
                messages += _loop_faults("learning_rate", found)
                if "learning_rate" in given and not goes_to_model("learning_rate", own):
                    messages.append("is the same as learning_rate, which is given too: keep one of them.")
        elif name.startswith("loss.") and "loss" in given:
            messages = _loss_argument_faults(name.partition(".")[2], given["loss"])
        elif name.startswith("loss."):
            messages = ["needs `loss` to be given too, in params or space."] if are_all else []
        elif name.startswith("callbacks."):
            faults.extend(_callback_faults(path, name, found))
            continue
        elif name == "augment" or name.startswith("augment."):
            faults.extend(_augment_faults(path, name.partition(".")[2], found))
            continue
        elif (group := name.partition(".")[0]) in NOT_YET and name != group:
            messages = [f"is {NOT_YET[group]}."]
        else:
            known = did_you_mean(name, [*own.names, *LOOP])
            messages = [] if signature is None else [f"unknown parameter.{known}"]
        faults.extend(Fault(path, message) for message in messages)
    where, giver = ("params", "space") if prefix == "space" else (prefix, "this space")
    faults.extend(
        Fault(
            where,
            f"{name!r} is missing: the model function needs it, and neither params nor {giver} gives it.",
        )
        for name in own.required
        if are_all and name not in fixed and name not in searched
    )
    return faults


def _loop_faults(name: str, values: Iterable[Any]) -> list[str]:
    faults = []
    for value in values:
        if name in {"batch_size", "epochs"}:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                faults.append(f"is {shown(value)}; a whole number of at least 1 holds.")
        elif name == "learning_rate":
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                faults.append(f"is {shown(value)}; a number above 0 holds.")
        elif not isinstance(value, str):
            names = "keras.optimizers" if name == "optimizer" else "keras.losses"
            faults.append(f"is {shown(value)}; a name of {names} holds.")
        elif name == "optimizer" and find_optimizer(value) is None:
            faults.append(f"is {shown(value)}; {optimizer_hint(value)}")
        elif name == "loss" and find_loss(value) is None:
            faults.append(f"is {shown(value)}, which Keras does not have.{did_you_mean(value, LOSSES)}")
    return faults


def _optimizer_argument_faults(argument: str, optimizers: Iterable[Any]) -> list[str]:
    faults = []
    for optimizer in optimizers:
        name = find_optimizer(optimizer) if isinstance(optimizer, str) else None
        if name is not None and argument not in OPTIMIZERS[name]:
            faults.append(
                f"{name} has no argument {argument!r}.{did_you_mean(argument, OPTIMIZERS[name])} To search "
                "it only where the optimizer has it, make space a list of spaces, one an optimizer "
                "(`when` will do the same, but this version does not have it yet)."
            )
    return faults


def _loss_argument_faults(argument: str, losses: Iterable[Any]) -> list[str]:
    names = [find_loss(loss) for loss in losses if isinstance(loss, str)]
    return [
        f"{name} has no argument {argument!r}.{did_you_mean(argument, LOSSES[name].arguments)}"
        for name in names
        if name is not None and argument not in LOSSES[name].arguments
    ]


def _is_switch(value: Any, word: str, truth: bool) -> bool:
    return value is truth or value == word


def _augment_faults(path: str, argument: str, values: Iterable[Any]) -> list[Fault]:
    if argument and argument not in Augment.model_fields:
        known = did_you_mean(argument, Augment.model_fields)
        return [Fault(path, f"{argument!r} is no argument of augmentation.{known}")]
    faults = []
    for value in values:
        if not argument and (_is_switch(value, "off", False) or _is_switch(value, "on", True)):
            continue
        if not argument and not isinstance(value, Mapping):
            faults.append(Fault(path, f"is {shown(value)}; off, on or a mapping holds."))
            continue
        raw = {argument: value} if argument else dict(value)
        try:
            Augment.model_validate(raw)
        except ValidationError as error:
            faults.extend(Fault(path, fault.message) for fault in faults_of(error, raw, Augment))
    return faults


def _callback_faults(path: str, name: str, values: Iterable[Any]) -> list[Fault]:
    _, callback, argument = [*name.split(".", 2), "", ""][:3]
    if callback not in Callbacks.model_fields:
        return [
            Fault(path, f"{callback!r} is no callback here.{did_you_mean(callback, Callbacks.model_fields)}")
        ]
    if not argument:
        known = ", ".join(Callbacks.model_fields[callback].annotation.__args__[0].model_fields)
        return [Fault(path, f"names a callback and none of its arguments. Known: {known}.")]
    faults = []
    for value in values:
        raw = {callback: {argument: value}}
        try:
            Callbacks.model_validate(raw)
        except ValidationError as error:
            model: type[BaseModel] = Callbacks
            faults.extend(Fault(path, fault.message) for fault in faults_of(error, raw, model))
    return faults
