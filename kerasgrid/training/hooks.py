"""The callbacks of a run: Keras's, those of its learning rate and its health, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.config.callbacks import is_own
from kerasgrid.errors import ModelError
from kerasgrid.jobs.route import Route
from kerasgrid.models.keras_private import layers_within
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import parse_reference
from kerasgrid.records import Target
from kerasgrid.training.compiling import Compiled, class_weights, loss_name
from kerasgrid.training.health import EPOCHS, Health, chance_level, chance_of_labels
from kerasgrid.training.learning_rate import check_settable, schedules_of


class TerminateOnNaN(keras.callbacks.TerminateOnNaN):
    """Keras's own with `raise_error`, which that of Keras 3.10 does not take yet.

    Args:
        raise_error: Whether a loss that is NaN or infinite lets the fit fail, instead of ending it in order.
    """

    KEPT = ()

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raises = raise_error

    def on_batch_end(self, batch, logs=None) -> None:
        """Ends the fit, or lets it fail, after a batch whose loss is no finite number."""
        loss = (logs or {}).get("loss", 0.0)
        if self.raises and not np.isfinite(loss):
            raise RuntimeError(f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}.")
        super().on_batch_end(batch, logs)


_KERAS = {
    "early_stopping": keras.callbacks.EarlyStopping,
    "reduce_lr_on_plateau": keras.callbacks.ReduceLROnPlateau,
    "terminate_on_nan": TerminateOnNaN,
}


def hooks_of(
    route: Route,
    compiled: Compiled,
    labels: np.ndarray,
    target: Target,
    base: str | Path,
    sources: Mapping[str, str] | None = None,
) -> list[keras.callbacks.Callback]:
    """Returns all that looks at a run between its epochs: its callbacks, and the watch over its health.

    Args:
        route: The candidate's.
        compiled: Its model.
        labels: (sample,), class indices of the rows that are trained on; or (sample, label).
        target: What they are.
        base: The folder that the import paths of the user's own are relative to.
        sources: The hash that the source of each had when the search began.

    Raises:
        ChangedError: One of them has another source now.
        ModelError: As `make_callbacks`; or one of Keras's sets a learning rate that it cannot.
    """
    check_settable(route, compiled.model.optimizer)
    loss = compiled.model.loss
    smoothing = route.loss_args.get("label_smoothing", getattr(loss, "label_smoothing", 0))
    chance: float | None = None  # of numbers it is not known
    if target.is_multi_label:
        chance = chance_of_labels(loss_name(loss), labels.mean(axis=0), smoothing)
    elif not target.is_numbers:
        counts = np.bincount(labels, minlength=target.n_outputs)
        weights = class_weights(route.training.class_weight, labels, target.classes)
        chance = chance_level(loss_name(loss), counts, weights, smoothing)
    if _has_penalties(compiled.model):
        chance = None
    stop = route.training.stop_dead
    stop_after = None if stop is False else EPOCHS if stop is True else stop
    return [*make_callbacks(route, len(labels), base, sources), Health(chance, stop_after)]


def _has_penalties(model: keras.Model) -> bool:
    """Tells whether the training loss holds more than the loss of the outputs."""
    return bool(model.losses) or any(
        getattr(layer, "activity_regularizer", None) for layer in layers_within(model)
    )


def make_callbacks(
    route: Route, n_rows: int, base: str | Path, sources: Mapping[str, str] | None = None
) -> list[keras.callbacks.Callback]:
    """Returns a run's callbacks: Keras's in the order of their names here, and then the user's own.

    Args:
        route: The candidate's.
        n_rows: Rows that are trained on.
        base: The folder that the import paths of the user's own are relative to.
        sources: The hash that the source of each had when the search began.

    Raises:
        ChangedError: One of them has another source now.
        ModelError: One of the user's own cannot be made, or is no keras.callbacks.Callback.
    """
    made = schedules_of(route, n_rows)
    made += [cls(**route.callbacks[name]) for name, cls in _KERAS.items() if name in route.callbacks]
    own = [name for name in route.callbacks if is_own(name)]
    return made + [_own(name, route.callbacks[name], Path(base), (sources or {}).get(name)) for name in own]


def _own(name: str, arguments: Mapping[str, Any], base: Path, source: str | None) -> keras.callbacks.Callback:
    reference = parse_reference(name, base)
    made = load_function(reference, source)
    is_callback = isinstance(made, type) and issubclass(made, keras.callbacks.Callback)
    if reference.folder is None and not is_callback:  # of a package, any function of which a config may name
        raise ModelError(
            f"callbacks.{name} is no keras.callbacks.Callback, and only those of a package hold."
        )
    try:
        made = made(**arguments)
    except Exception as error:  # whatever the user's own code raises
        raise ModelError(f"callbacks.{name} refused {dict(arguments)}: {error}") from error
    if not isinstance(made, keras.callbacks.Callback):
        raise ModelError(f"callbacks.{name} is a {type(made).__name__}; a keras.callbacks.Callback holds.")
    return made
