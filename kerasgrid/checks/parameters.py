"""Names and values of parameters, each checked where it goes; Keras is not asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from pydantic import ValidationError

from kerasgrid.config.augment import Augment
from kerasgrid.config.callbacks import Callbacks, is_own, split_name
from kerasgrid.config.sections import SEARCHED, Config, Training
from kerasgrid.config.stages import Stage, Stages
from kerasgrid.config.validation import Section, faults_of, is_switch, places_of, shown
from kerasgrid.errors import Fault, did_you_mean
from kerasgrid.jobs.route import DEFAULTS, LOOP, goes_to_model
from kerasgrid.keras_names import LOSSES, OPTIMIZERS, find_loss, find_optimizer, optimizer_hint
from kerasgrid.models.signature import Signature
from kerasgrid.wording import instead_of

PLACES = (
    *places_of(Config),
    *dict.fromkeys(f"optimizer.{name}" for arguments in OPTIMIZERS.values() for name in arguments),
    *dict.fromkeys(f"loss.{name}" for loss in LOSSES.values() for name in loss.arguments),
)
"""Key paths that an unknown parameter may have been meant for."""


class _Staged(Section):
    stages: Stages


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
    stages = None if goes_to_model("stages", own) else given.get("stages")
    optimizers = given.get("optimizer", [DEFAULTS["optimizer"]] if are_all else [])
    for path, (name, found) in values.items():
        if name == "epochs" and stages is not None:
            messages = ["does not go with stages, which say how many epochs each takes: leave it out."]
        elif goes_to_model(name, own):
            loop_too = name in {"batch_size", "epochs"}
            messages = _loop_faults(name, found) if loop_too else []
            if name == "trainable" and stages is not None and False in found:
                messages = ["is false, and stages say what is trained and when: leave it out."]
        elif name in LOOP:
            messages = _loop_faults(name, found)
        elif name.startswith("optimizer."):
            messages = _optimizer_argument_faults(name.partition(".")[2], optimizers)
            if name == "optimizer.learning_rate":
                messages += _loop_faults("learning_rate", found)
                if "learning_rate" in given and not goes_to_model("learning_rate", own):
                    messages.append("is the same as learning_rate, which is given too: keep one of them.")
            if name == "optimizer.gradient_accumulation_steps" and "training.accumulate" in given:
                messages.append("is the same as training.accumulate, which is given too: keep one of them.")
        elif name.startswith("loss.") and "loss" in given:
            messages = _loss_argument_faults(name.partition(".")[2], given["loss"])
        elif name == "loss.label_smoothing":  # the crossentropy that has it is taken
            messages = []
        elif name.startswith("loss."):
            messages = ["needs `loss` to be given too, in params or space."] if are_all else []
        elif name.startswith("callbacks."):
            faults.extend(_callback_faults(path, name, found))
            continue
        elif name == "augment" or name.startswith("augment."):
            faults.extend(_augment_faults(path, name.partition(".")[2], found))
            continue
        elif name == "stages" or name.startswith("stages."):
            faults.extend(_stages_faults(path, name, found, stages))
            continue
        elif name.startswith("training."):
            faults.extend(_training_faults(path, name.partition(".")[2], found))
            continue
        elif name in ("callbacks", "training") and signature is not None:
            messages = [f"is a section, and no parameter: give {name}.NAME, or that of a grid.yaml."]
        elif name in PLACES and signature is not None:
            messages = ["is a key of its own, and no parameter: write it beside params and space."]
        else:
            known = did_you_mean(name, [*own.names, *LOOP], PLACES)
            if "'params." in known:  # what model functions often have, and this one has not
                known = did_you_mean(name, [*own.names, *LOOP])
            messages = [] if signature is None else [f"unknown parameter.{known}"]
        faults.extend(Fault(path, message) for message in messages)
    by_name = (
        ""
        if own.given or own.style == "hp"
        else " It is given input_shape and n_outputs, or some samples as X and y, by name."
    )
    where, giver = ("params", "space") if prefix == "space" else (prefix, "this space")
    faults.extend(
        Fault(
            where,
            f"{name!r} is missing: the model function needs it, and neither params nor {giver} gives "
            f"it.{by_name}",
        )
        for name in own.required
        if are_all and name not in given and not (name == "epochs" and stages is not None)
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
        elif not isinstance(value, str | int | float | list | dict | None):
            faults.append(f"is {instead_of(value, name)}")
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
                "it only where the optimizer has it, give it `when: {optimizer: ...}`, or make space a list "
                "of spaces, one an optimizer."
            )
    return faults


def _loss_argument_faults(argument: str, losses: Iterable[Any]) -> list[str]:
    names = [find_loss(loss) for loss in losses if isinstance(loss, str)]
    return [
        f"{name} has no argument {argument!r}.{did_you_mean(argument, LOSSES[name].arguments)}"
        for name in names
        if name is not None and argument not in LOSSES[name].arguments
    ]


def _augment_faults(path: str, argument: str, values: Iterable[Any]) -> list[Fault]:
    if argument and argument not in Augment.model_fields:
        known = did_you_mean(argument, Augment.model_fields, PLACES)
        return [Fault(path, f"{argument!r} is no argument of augmentation.{known}")]
    return _section_faults(path, Augment, argument, values)


def _callback_faults(path: str, name: str, values: Iterable[Any]) -> list[Fault]:
    callback, argument = split_name(name)
    if is_own(callback):
        values = [{argument: value} if argument else value for value in values]
        return [
            Fault(path, f"is {shown(value)}; off, on or a mapping holds.")
            for value in values
            if is_switch(value) is None and not isinstance(value, Mapping)
        ]
    if callback not in Callbacks.model_fields:
        known = did_you_mean(callback, Callbacks.model_fields, PLACES)
        return [Fault(path, f"{callback!r} is no callback here.{known}")]
    section = get_args(Callbacks.model_fields[callback].annotation)[0]
    if argument and argument not in section.model_fields:
        return [Fault(path, f"unknown key.{did_you_mean(argument, section.model_fields)}")]
    return _section_faults(path, section, argument, values)


def _training_faults(path: str, argument: str, values: Iterable[Any]) -> list[Fault]:
    if argument == "pack":
        return [Fault(path, "does not change what is trained, and is not searched: give training.pack.")]
    if argument not in SEARCHED:
        return [Fault(path, f"{argument!r} is no setting of training.{did_you_mean(argument, SEARCHED)}")]
    return _section_faults(path, Training, argument, values)


def _stages_faults(path: str, name: str, values: Iterable[Any], stages: Sequence[Any] | None) -> list[Fault]:
    """Returns what is wrong with values of all stages, or of a key of one of them.

    Args:
        stages: All values of `stages` beside it, those at fault left out; None where it is not given.
    """
    if name == "stages":
        faults = []
        for value in values:
            if not isinstance(value, list):
                faults.append(Fault(path, f"is {shown(value)}; a list of stages holds, in its own brackets."))
                continue
            try:
                _Staged.model_validate({"stages": value})
            except ValidationError as error:
                for fault in faults_of(error, _Staged, "stages"):
                    inner = fault.path.removeprefix("stages.stages")
                    told = f"of {shown(value)} {inner}: {fault.message}" if inner else fault.message
                    faults.append(Fault(path, told))
        return faults
    _, place, key = (*name.split(".", 2), "")[:3]
    if not place.isdecimal() or int(place) < 1 or not key:
        return [Fault(path, "names no stage; such as stages.2.learning_rate holds, the second one's.")]
    if key not in Stage.model_fields:
        return [Fault(path, f"{key!r} is no key of a stage.{did_you_mean(key, Stage.model_fields)}")]
    numbers = [0] if stages is None else [len(value) for value in stages if isinstance(value, list)]
    if numbers and int(place) > (least := min(numbers)):
        there = f"there are {least}" if least else "there are none"
        return [Fault(path, f"is of stage {int(place)}, and {there}: give `stages` as many.")]
    if place == "1" and key == "callbacks" and "continue" in values:
        return [Fault(path, "is 'continue', and no stage is before the first.")]
    return _section_faults(path, Stage, key, values, {"trainable": "all", "epochs": 1})


def _section_faults(
    path: str,
    section: type[Section],
    argument: str,
    values: Iterable[Any],
    beside: Mapping[str, Any] = MappingProxyType({}),
) -> list[Fault]:
    """Returns what is wrong with values of an argument of a section, or of the whole section."""
    faults = []
    for value in values:
        if not argument and is_switch(value) is not None:
            continue
        if not argument and not isinstance(value, Mapping):
            faults.append(Fault(path, f"is {shown(value)}; off, on or a mapping holds."))
            continue
        raw = {**beside, argument: value} if argument else dict(value)
        try:
            section.model_validate(raw)
        except ValidationError as error:
            faults.extend(Fault(path, fault.message) for fault in faults_of(error, section))
    return faults
