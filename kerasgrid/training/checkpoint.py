"""Checkpoints: all that a job needs to go on to the same bits, in one .npz without pickle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import KerasgridError, TrialError
from kerasgrid.io import write_atomic

CALLBACK_STATE = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch"),
    "ReduceLROnPlateau": ("best", "wait", "cooldown_counter"),
    "TerminateOnNaN": (),
    "LearningRateSchedule": ("epoch",),
    "Health": ("wait", "exploded"),
}
"""What each callback knows beside its arguments."""


class StaleCheckpointError(KerasgridError):
    """A checkpoint that is damaged, or of another candidate; the job starts anew."""


@dataclass
class Progress:
    """Where a job stands, apart from its weights.

    Attributes:
        epoch: The epoch at hand, from 0.
        step: Batches of it that are done.
        fit_time: Seconds trained so far.
        history: Lists over the finished epochs.
    """

    epoch: int = 0
    step: int = 0
    fit_time: float = 0.0
    history: dict[str, list] = field(default_factory=dict)


def save(
    path: Path,
    owner: str,
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    progress: Progress,
) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: The file.
        owner: The hash of the candidate's params.
        model: Its weights, optimizer, random states and running metrics are kept.
        callbacks: Keras's; their counters and best weights are kept.
        progress: Kept as it is.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    arrays = {
        f"{group}_{index}": keras.ops.convert_to_numpy(variable)
        for group, variables in _variables(model).items()
        for index, variable in enumerate(variables)
    }
    states, best = keep_callbacks(callbacks)
    write(path, {"owner": owner, "progress": vars(progress), "callbacks": states}, arrays | best)


def write(path: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes plain data and arrays, none of which is called `about`, whole or not at all.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, about=text, **arrays)
    write_atomic(path, lambda file: file.write(buffer.getbuffer()))


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns the plain data and the arrays that `write` has written.

    Raises:
        StaleCheckpointError: The file is not there or is damaged.
    """
    with _opened(path) as file:
        arrays = dict(file)
        return json.loads(arrays.pop("about").tobytes()), arrays


def read_about(path: Path) -> dict[str, Any]:
    """Returns the plain data alone.

    Raises:
        StaleCheckpointError: The file is not there or is damaged.
    """
    with _opened(path) as file:
        return json.loads(file["about"].tobytes())


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StaleCheckpointError(f"{path}: is damaged ({error}).") from error


def keep_callbacks(
    callbacks: Sequence[keras.callbacks.Callback], prefix: str = ""
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns callbacks' counters as plain data, and their best weights by names that begin with a prefix."""
    states, arrays = {}, {}
    for callback in callbacks:
        name = type(callback).__name__
        states[name] = {key: _number(getattr(callback, key)) for key in CALLBACK_STATE.get(name, ())}
        if name not in CALLBACK_STATE:
            states[name] = _plain(callback)
        best = getattr(callback, "best_weights", None)
        states[name]["n_best_weights"] = None if best is None else len(best)
        arrays |= {f"{prefix}{name}_{index}": weights for index, weights in enumerate(best or ())}
    return states, arrays


def restore_callbacks(
    callbacks: Sequence[keras.callbacks.Callback],
    states: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray],
    prefix: str = "",
) -> None:
    """Sets callbacks to what `keep_callbacks` has kept, with the same prefix."""
    for callback in callbacks:
        name = type(callback).__name__
        state = states[name]
        for key in state.keys() - {"n_best_weights"}:
            setattr(callback, key, state[key])
        if state["n_best_weights"] is not None:
            callback.best_weights = [arrays[f"{prefix}{name}_{i}"] for i in range(state["n_best_weights"])]


class Checkpoint:
    """A checkpoint that has been read.

    Args:
        path: The file.
        owner: The hash of the params whose checkpoint it has to be.

    Raises:
        StaleCheckpointError: It is damaged or of other params.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self._about, self._arrays = read(path)
        if self._about.get("owner") != owner:
            raise StaleCheckpointError(f"{path}: is of another candidate.")
        self.progress = Progress(**self._about["progress"])

    def restore(self, model: keras.Model, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Sets weights, optimizer, random states, running metrics and callbacks to what was saved.

        Args:
            model: Compiled and built, its optimizer and metrics too.
            callbacks: Those of the run that was saved, after their `on_train_begin`.

        Raises:
            TrialError: The model has other variables than the one that was saved.
        """
        for group, variables in _variables(model).items():
            if group == "metric" and self.progress.step == 0:
                continue  # an epoch begins with fresh ones
            saved = [array for name, array in self._arrays.items() if name.startswith(f"{group}_")]
            if [array.shape for array in saved] != [tuple(variable.shape) for variable in variables]:
                raise TrialError(f"the {group} has other variables than its checkpoint holds.")
            for variable, array in zip(variables, saved, strict=True):
                variable.assign(array)
        restore_callbacks(callbacks, self._about["callbacks"], self._arrays)


def _variables(model: keras.Model) -> dict[str, list]:
    return {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metric": model.metrics_variables,
    }


def _plain(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Returns a user's callback's own attributes that are plain data; nothing is known of the others."""
    found = {}
    for key, value in vars(callback).items():
        with suppress(TypeError, ValueError):
            if key not in vars(keras.callbacks.Callback()) and json.loads(json.dumps(value)) == value:
                found[key] = value
    return found


def _number(value: Any) -> Any:
    return None if value is None else value if isinstance(value, int) else float(value)
