"""Where parameters go: to the model function, the optimizer, the loss, the callbacks or the loop.

The model function's signature wins: what it names, it gets. Free of Keras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerasgrid.config.augment import Augment
from kerasgrid.config.callbacks import is_own, merge_callbacks
from kerasgrid.config.sections import Training
from kerasgrid.config.stages import Stage, merge_stages
from kerasgrid.config.validation import is_switch
from kerasgrid.keras_names import find_loss, find_optimizer
from kerasgrid.models.signature import Signature

LOOP = ("batch_size", "epochs", "optimizer", "learning_rate", "loss")
_COMPILED = ("optimizer", "learning_rate", "loss")
"""Those of them that a function takes which compiles its model."""
GROUPS = ("optimizer", "loss", "callbacks", "augment", "training", "stages")
DEFAULT_VAL = 0.1
"""The inner split's share of a fold's training rows, where a callback needs one and none is given."""
SETTING_RATES = ("reduce_lr_on_plateau", "learning_rate_scheduler")
"""Callbacks that set the learning rate."""
TEST_FOLD = "test_fold"
"""What `search.val` is where the held-out fold itself decides, as some published work did."""
DEFAULTS: dict[str, Any] = {"batch_size": 32, "epochs": 10, "optimizer": "Adam"}


@dataclass(frozen=True)
class Route:
    """A candidate's params, each where it goes.

    Attributes:
        model: Arguments of the model function.
        batch_size: Samples a step.
        epochs: Epochs to train, in all stages.
        optimizer: A class name of keras.optimizers; None where nothing names one.
        optimizer_args: Its arguments, `learning_rate` among them.
        loss: A class or function name of keras.losses; None for the one that fits.
        loss_args: Its arguments.
        callbacks: Arguments by callback, such as {"early_stopping": {"patience": 3, ...}}.
        augment: Augmentation and normalisation; None for neither.
        training: Precision, class weights and the like.
        stages: In which it is trained one after the other; none for all at once.
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
    training: Training = field(default_factory=Training)
    stages: tuple[Stage, ...] = ()

    @property
    def monitors_val(self) -> bool:
        """Whether a callback looks at `val_*`, so that there has to be an inner split."""
        return any(monitor.startswith("val_") for monitor in monitors(self.callbacks).values())

    @property
    def own_callbacks(self) -> list[str]:
        """The import paths of callbacks that are not Keras's."""
        return [name for name in self.callbacks if is_own(name)]

    @property
    def looks_at_total(self) -> str | None:
        """Returns what of the training, but its end, depends on the number of epochs; None for nothing."""
        schedule = self.callbacks.get("learning_rate_scheduler", {}).get("schedule")
        if schedule in {"cosine", "one_cycle"}:
            return f"the learning rate's schedule {schedule} is over all epochs"
        if self.callbacks.get("early_stopping", {}).get("restore_best_weights"):
            return "early_stopping restores the best weights of the whole run"
        if self.own_callbacks:
            return f"the callback {self.own_callbacks[0]} may look at them"
        return "the model function is given epochs" if "epochs" in self.model else None


def monitors(callbacks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns what each callback monitors, by the callback's name; of those that monitor something."""
    return {name: str(args["monitor"]) for name, args in callbacks.items() if "monitor" in args}


def goes_to_model(name: str, signature: Signature) -> bool:
    """Tells whether the model function gets a parameter."""
    if name in signature.names:
        return True
    if signature.style == "talos" and name in LOOP:  # it reads them of its params
        return True
    if signature.takes_any and "X" in signature.given and name in _COMPILED:  # Keras's wrapper gives it all
        return True
    return signature.takes_any and name not in LOOP and name.partition(".")[0] not in GROUPS


def route(
    params: Mapping[str, Any],
    signature: Signature,
    callbacks: Mapping[str, Mapping[str, Any]],
    augment: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    stages: Sequence[Mapping[str, Any]] | None = None,
) -> Route:
    """Sends each parameter of a candidate to its place.

    Args:
        params: Fixed and searched parameters together; checked by `faults_of_params` before.
        signature: The model function's.
        callbacks: The `callbacks` section, by name.
        augment: What the `augment` section names; None without one.
        training: What the `training` section names; None without one.
        stages: The `stages` section; None without one.

    Returns:
        The route. `batch_size` and `epochs` go to the loop also where the model function names them; where
        nothing gives them, they are those that a fit of its own has as plain numbers. In stages a model
        function that names `epochs` is given those of all.
    """
    model = {name: value for name, value in params.items() if goes_to_model(name, signature)}
    rest = {name: value for name, value in params.items() if name not in model}
    batch_size = {**DEFAULTS, **signature.loop, **params}["batch_size"]
    arguments: dict[str, dict[str, Any]] = {"optimizer": {}, "loss": {}}
    for name, value in rest.items():
        group, _, argument = name.partition(".")
        if group in arguments and argument:
            arguments[group][argument] = value
    if "learning_rate" in rest:
        arguments["optimizer"]["learning_rate"] = rest["learning_rate"]
    own = Training.of(rest, training or {})
    if own.accumulate > 1:
        arguments["optimizer"]["gradient_accumulation_steps"] = own.accumulate
    in_turn, epochs = stages_of(params, signature, stages), epochs_of(params, signature, stages)
    if in_turn and "epochs" in signature.names:
        model["epochs"] = epochs
    return Route(
        model=model,
        batch_size=batch_size,
        epochs=epochs,
        optimizer=find_optimizer(rest["optimizer"]) if "optimizer" in rest else None,
        optimizer_args=arguments["optimizer"],
        loss=find_loss(rest["loss"]) if "loss" in rest else None,
        loss_args=arguments["loss"],
        callbacks=merge_callbacks(rest, callbacks),
        augment=merge_augment(rest, augment),
        training=own,
        stages=in_turn,
    )


def stages_of(
    params: Mapping[str, Any], signature: Signature, section: Sequence[Mapping[str, Any]] | None
) -> tuple[Stage, ...]:
    """Returns a candidate's stages, as `merge_stages`, without what the model function takes itself."""
    own = {name: value for name, value in params.items() if not goes_to_model(name, signature)}
    return merge_stages(own, section)


def epochs_of(
    params: Mapping[str, Any], signature: Signature, section: Sequence[Mapping[str, Any]] | None
) -> int:
    """Returns the epochs that a candidate asks for, in all of its stages where it has some."""
    in_turn = sum(stage.epochs for stage in stages_of(params, signature, section))
    return in_turn or {**DEFAULTS, **signature.loop, **params}["epochs"]


def merge_augment(params: Mapping[str, Any], section: Mapping[str, Any] | None) -> Augment | None:
    """Returns a candidate's augmentation.

    Args:
        params: `augment` takes the section's place, or switches it off or on; `augment.NAME` adds to it or
            changes it where it is on. Checked by `faults_of_params` before.
        section: The `augment` section.
    """
    own = {name.partition(".")[2]: value for name, value in params.items() if name.startswith("augment.")}
    switch = params.get("augment", True)
    if is_switch(switch) is False or (section is None and not own and not isinstance(switch, Mapping)):
        return None
    base = switch if isinstance(switch, Mapping) else section or {}
    return Augment.model_validate({**base, **own})
