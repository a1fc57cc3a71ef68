"""Keras's callbacks as sections of a config: their arguments, bounds and defaults. Imports no Keras."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kerasgrid.forms import Section


class EarlyStopping(Section):
    """keras.callbacks.EarlyStopping."""

    monitor: str = "val_loss"
    min_delta: float = 0
    patience: Annotated[int, Field(ge=0)] = 0
    mode: Literal["auto", "min", "max"] = "auto"
    baseline: float | None = None
    restore_best_weights: bool = False
    start_from_epoch: Annotated[int, Field(ge=0)] = 0


class ReduceLROnPlateau(Section):
    """keras.callbacks.ReduceLROnPlateau."""

    monitor: str = "val_loss"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 10
    mode: Literal["auto", "min", "max"] = "auto"
    min_delta: Annotated[float, Field(ge=0)] = 0.0001
    cooldown: Annotated[int, Field(ge=0)] = 0
    min_lr: Annotated[float, Field(ge=0)] = 0.0


class TerminateOnNaN(Section):
    """keras.callbacks.TerminateOnNaN: stop at the first batch whose loss is NaN or infinite."""


class Callbacks(Section):
    """Keras's callbacks, by their names in snake_case."""

    early_stopping: EarlyStopping | None = None
    reduce_lr_on_plateau: ReduceLROnPlateau | None = None
    terminate_on_nan: TerminateOnNaN | None = None
