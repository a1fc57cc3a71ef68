"""Checkpoints: all that a job needs to go on to the same bits, in one .npz without pickle.

On a drive, to whose trash goes what is replaced, two files are written over by turns: one is always whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import KerasgridError, TrialError
from kerasgrid.io import ARRAY_DAMAGE, discard, is_drive, open_input, overwrite, write_atomic
from kerasgrid.run.paths import turns_of

_KEPT = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
    keras.callbacks.TerminateOnNaN: (),
}
"""What Keras's callbacks know beside their arguments; kerasgrid's own tell it as KEPT."""


class StaleCheckpointError(KerasgridError):
    """A checkpoint that is damaged, or of another candidate or version; the job starts anew."""


@dataclass
class Progress:
    """Where a job stands, apart from its weights.

    Attributes:
        epoch: The epoch at hand, from 0.
        step: Batches of it that are done.
        fit_time: Seconds trained so far.
        history: Lists over the finished epochs.
        updates: How often moving statistics were updated, by what they were after an epoch.
        stages: Epochs of each stage that has ended.
        restored_stages: Those of them that the weights have, up to the last stage that ended with a restore.
        outputs: The key of the frozen part's outputs that the net at hand takes; None where it takes samples.
    """

    epoch: int = 0
    step: int = 0
    fit_time: float = 0.0
    history: dict[str, list] = field(default_factory=dict)
    updates: dict[str, float] = field(default_factory=dict)
    stages: list[int] = field(default_factory=list)
    restored_stages: list[int] = field(default_factory=list)
    outputs: str | None = None

    @property
    def counted_stages(self) -> list[int]:
        """Epochs of each stage that has ended which the weights have."""
        return [*self.restored_stages, *self.stages[len(self.restored_stages) :]]


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
    own, other = turns_of(path)
    is_by_turns = is_drive(path.parent)
    if is_by_turns or other.exists():
        turns = {file: _turn(file) for file in (own, other)}
        about = {**about, "turn": max(turns.values()) + 1}
    packed = _packed(about, arrays)
    if is_by_turns:
        overwrite(min(turns, key=lambda file: turns[file]), packed)
    else:
        write_atomic(own, lambda file: file.write(packed))
        discard(other)  # which a drive has left


def _packed(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> memoryview:
    text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    named: dict[str, Any] = {"about": text, **arrays}
    np.savez(buffer, **named)
    return buffer.getbuffer()


def _turn(path: Path) -> int:
    """Returns at which turn a file was written; less than 0 where it is not there, or not whole."""
    try:
        return read_about(path).get("turn", 0)
    except StaleCheckpointError:
        return -1


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
        with open_input(path) as opened, np.load(opened, allow_pickle=False) as file:
            yield file
    except ARRAY_DAMAGE as error:
        raise StaleCheckpointError(f"{path}: is damaged ({error}).") from error


def keep_callbacks(
    callbacks: Sequence[keras.callbacks.Callback], prefix: str = ""
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Returns what callbacks know as plain data, and their arrays by names that begin with a prefix.

    Of a user's own that is what is plain data or an array among its attributes.
    """
    states: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for place, callback in enumerate(callbacks):
        known = _KEPT.get(type(callback), getattr(callback, "KEPT", None))
        named = {key: getattr(callback, key) for key in known} if known is not None else _own_state(callback)
        best = getattr(callback, "best_weights", None) if known is not None else None
        plain = {}
        for key, value in named.items():
            if isinstance(value, np.ndarray) and not value.dtype.hasobject:
                arrays[f"{prefix}callback{place}_{key}"] = value
            elif key not in _OF_KERAS and _is_plain(value):
                plain[key] = value.item() if isinstance(value, np.generic) else value
        arrays |= {f"{prefix}callback{place}!best_{i}": weights for i, weights in enumerate(best or ())}
        states.append({"plain": plain, "n_best": None if best is None else len(best)})
    return states, arrays


def _own_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Returns the attributes of a callback of the user's own."""
    if not isinstance(callback, tuple(_KEPT)):
        return vars(callback)
    # Keras finds monitor_op at the first epoch of a fit, and turns min_delta's sign with it.
    return {key: value for key, value in vars(callback).items() if key not in {"monitor_op", "min_delta"}}


def restore_callbacks(
    callbacks: Sequence[keras.callbacks.Callback],
    states: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray],
    prefix: str = "",
) -> None:
    """Sets callbacks to what `keep_callbacks` has kept, with the same prefix."""
    for place, (callback, state) in enumerate(zip(callbacks, states, strict=True)):
        own = f"{prefix}callback{place}_"
        for key, value in state["plain"].items():
            setattr(callback, key, value)
        for name, value in arrays.items():
            if name.startswith(own):
                setattr(callback, name.removeprefix(own), value)
        if state["n_best"] is not None:
            best = f"{prefix}callback{place}!best_"
            callback.best_weights = [arrays[f"{best}{i}"] for i in range(state["n_best"])]


_OF_KERAS = frozenset(vars(keras.callbacks.Callback()))


def _is_plain(value: Any) -> bool:
    """Tells whether JSON gives a value back as it is."""
    if isinstance(value, np.generic | float | int | str | bool | None):
        return not isinstance(value, np.void | np.complexfloating)
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


class Checkpoint:
    """A checkpoint that has been read.

    Args:
        path: The file.
        owner: The hash of the params whose checkpoint it has to be.

    Raises:
        StaleCheckpointError: It is damaged, of other params, or of an earlier version.
    """

    def __init__(self, path: Path, owner: str) -> None:
        last, before = sorted(turns_of(path), key=_turn, reverse=True)
        try:
            self._about, self._arrays = read(last)
        except StaleCheckpointError:
            self._about, self._arrays = read(before)
        try:
            if self._about["owner"] != owner:
                raise StaleCheckpointError(f"{path}: is of another candidate.")
            if "updates" not in self._about["progress"]:
                raise StaleCheckpointError(f"{path}: is of an earlier version, which had other random keys.")
            self.progress = Progress(**self._about["progress"])
        except (KeyError, TypeError) as error:
            raise StaleCheckpointError(f"{path}: is damaged ({error}).") from error

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
