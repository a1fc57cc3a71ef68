"""Keras's callbacks as sections of a config: their arguments, bounds and defaults. Imports no Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kerasgrid.config.validation import Section, is_switch, shown
from kerasgrid.errors import Fault, did_you_mean


class EarlyStopping(Section):
    """keras.callbacks.EarlyStopping: a fit ends once what is monitored has not improved for some epochs."""

    monitor: str = "val_loss"
    """loss, val_loss, accuracy, val_accuracy and so on; val_* are of the inner split, never of the held-out
    fold."""
    min_delta: float = 0
    """A change by no more than this is no improvement."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without improvement after which the fit ends."""
    mode: Literal["auto", "min", "max"] = "auto"
    """Whether less or more is better; auto: by the name of what is monitored."""
    baseline: float | None = None
    """Only what is better than this is an improvement."""
    restore_best_weights: bool = False
    """Go back to the weights of the best epoch."""
    start_from_epoch: Annotated[int, Field(ge=0)] = 0
    """Epochs at the beginning that are not looked at."""


class ReduceLROnPlateau(Section):
    """keras.callbacks.ReduceLROnPlateau: the rate falls once what is monitored has not improved for some
    epochs."""

    monitor: str = "val_loss"
    """As that of early_stopping."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The rate is multiplied by this."""
    patience: Annotated[int, Field(ge=0)] = 10
    """Epochs without improvement after which the rate falls."""
    mode: Literal["auto", "min", "max"] = "auto"
    """Whether less or more is better; auto: by the name of what is monitored."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0001
    """A change by no more than this is no improvement."""
    cooldown: Annotated[int, Field(ge=0)] = 0
    """Epochs after a fall that are not counted."""
    min_lr: Annotated[float, Field(ge=0)] = 0.0
    """The rate falls no further."""


class LearningRateScheduler(Section):
    """The learning rate of every step, as keras.optimizers.schedules have it, counted in epochs.

    The candidate's learning_rate is the highest one.
    """

    schedule: Literal["constant", "step", "exponential", "cosine", "one_cycle"] = "constant"
    """exponential: ExponentialDecay; step: the same as a staircase; cosine: CosineDecay over all epochs
    (Loshchilov and Hutter 2017, arXiv 1608.03983); one_cycle: up and down again within all epochs (Smith
    and Topin 2017, arXiv 1708.07120), as PyTorch's OneCycleLR; constant: with warmup_epochs."""
    warmup_epochs: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """The rate rises from 0 for so long before the schedule begins."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    """step, exponential: the factor after each decay_epochs."""
    decay_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10
    """step, exponential: epochs for one decay_rate."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.0
    """cosine: the last rate as a share of the highest."""
    pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """one_cycle: the share of the steps in which the rate rises."""
    div_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 25
    """one_cycle: the highest rate over the first."""
    final_div_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 10_000
    """one_cycle: the first rate over the last."""


SCHEDULE_ARGUMENTS = {
    "decay_rate": {"step", "exponential"},
    "decay_epochs": {"step", "exponential"},
    "alpha": {"cosine"},
    "pct_start": {"one_cycle"},
    "div_factor": {"one_cycle"},
    "final_div_factor": {"one_cycle"},
}
"""The schedules that have an argument."""


class TerminateOnNaN(Section):
    """keras.callbacks.TerminateOnNaN: stop at the first batch whose loss is NaN or infinite."""

    raise_error: bool = False
    """Let the fit fail, instead of ending it in order."""


class Callbacks(Section):
    """Keras's callbacks, by their names in snake_case; one of your own as path/to/file.py:Class."""

    model_config = ConfigDict(extra="allow")

    early_stopping: EarlyStopping | None = None
    """Ends a fit that does not improve any more."""
    reduce_lr_on_plateau: ReduceLROnPlateau | None = None
    """Lowers the learning rate of a fit that does not improve any more."""
    learning_rate_scheduler: LearningRateScheduler | None = None
    """Sets the learning rate of every step."""
    terminate_on_nan: TerminateOnNaN | None = None
    """Ends a fit whose loss is no number."""

    def faults(self) -> Iterator[Fault]:
        """Yields what is wrong with keys that are no callback of Keras, at the key."""
        for name, given in (self.model_extra or {}).items():
            if not is_own(name):
                guess = did_you_mean(name, type(self).model_fields, ())
                yield Fault(name, f"unknown key.{guess}" + ("" if guess[1:6] != "Known" else f" {_OWN}"))
            elif not isinstance(given, Mapping):
                yield Fault(name, f"is {shown(given)}; a mapping of the callback's arguments holds.")


_OWN = "A callback of your own is given as path/to/file.py:Class or package.module:Class."


def is_own(name: str) -> bool:
    """Tells whether a callback's name is the import path of a user's own."""
    return ":" in name


def split_name(name: str) -> tuple[str, str]:
    """Returns callback and argument of a parameter's name `callbacks.NAME.ARGUMENT`; the latter may be ''."""
    rest = name.removeprefix("callbacks.")
    callback, _, argument = rest.rpartition(".") if is_own(rest) else rest.partition(".")
    if is_own(rest) and not is_own(callback):  # a dot of the path, and no argument
        return rest, ""
    return callback, argument


def switched(section: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a raw `callbacks` section without those that are off; on, or nothing, is {}."""
    return {
        name: {} if value is None or is_switch(value) is True else value
        for name, value in section.items()
        if is_switch(value) is not False
    }


def merge_callbacks(
    params: Mapping[str, Any], section: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Returns all arguments of a candidate's callbacks, by name.

    Args:
        params: `callbacks.NAME` takes a callback's place, or switches it off or on; `callbacks.NAME.ARGUMENT`
            adds to it or changes it where it is not switched off. They have been checked.
    """
    own = {split_name(name): value for name, value in params.items() if name.startswith("callbacks.")}
    merged: dict[str, Any] = {name: dict(values) for name, values in section.items()}
    off = set()
    for (callback, argument), value in own.items():
        if not argument and is_switch(value) is False:
            merged.pop(callback, None)
            off.add(callback)
        elif not argument:
            merged[callback] = dict(value) if isinstance(value, Mapping) else merged.get(callback, {})
    for (callback, argument), value in own.items():
        if argument and callback not in off:
            merged.setdefault(callback, {})[argument] = value
    checked = Callbacks.model_validate(merged).model_dump()
    return {name: args for name, args in checked.items() if args is not None}
