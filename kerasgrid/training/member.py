"""A run of a wave: what is trained, what Keras's callbacks see of it, and its checkpoints."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.io import write_atomic
from kerasgrid.records import Job
from kerasgrid.training.checkpoint import CALLBACK_STATE
from kerasgrid.training.program import Program


class Stand:
    """What Keras's callbacks see of a run in place of its model.

    Attributes:
        stop_training: A callback sets it.
        optimizer: Itself; it has a learning_rate.
    """

    def __init__(self, member: Member, program: Program) -> None:
        self.member, self.program = member, program
        self.stop_training = False
        self.optimizer = self
        self.metrics = [keras.metrics.Mean(name="loss"), *program.lifted.metrics]

    @property
    def learning_rate(self) -> float:
        """The one that the next step takes."""
        return float(self.member.state["optimizer"][self.program.position_of_learning_rate()])

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        place = self.program.position_of_learning_rate()
        before = self.member.state["optimizer"][place]
        self.member.state["optimizer"][place] = np.asarray(value, dtype=before.dtype)

    def get_weights(self) -> list[np.ndarray]:
        """Returns the values of the model's variables."""
        return [value.copy() for value in self.program.variables(self.member.state)]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Sets the values of the model's variables."""
        self.program.set_variables(self.member.state, weights)


@dataclass
class Member:
    """A run of a wave.

    Attributes:
        jobs: Read off this run, by rising epochs; those that have ended are taken out.
        epochs: At which each job is read.
        numbers: (number,) that the graph receives.
        learning_rate: The first one; None for a schedule's.
        callbacks: Keras's.
        scaling: (2, channel), or (2, 0) for none.
        key: (2,) int32 of what is drawn.
        train: Rows to train on.
        val: Rows of the inner split; None for none.
        test: Held-out rows.
        state: Between epochs, on the host.
        fit_time: Seconds of training.
        history: Lists over the finished epochs.
    """

    jobs: tuple[Job, ...]
    epochs: tuple[int, ...]
    numbers: np.ndarray
    learning_rate: float | None
    callbacks: list[keras.callbacks.Callback]
    scaling: np.ndarray
    key: np.ndarray
    train: np.ndarray
    val: np.ndarray | None
    test: np.ndarray
    state: Any = None
    fit_time: float = 0.0
    history: dict[str, list] = field(default_factory=dict)
    stand: Stand | None = None

    @property
    def name(self) -> str:
        """What checkpoints call the run."""
        job = self.jobs[-1]
        return f"{job.trial.key} {job.fold} {job.repeat}"


def save(path: Path, owner: str, members: Sequence[Member], epoch: int, step: int) -> None:
    """Writes the checkpoint of runs that stand at the same step, whole or not at all.

    Args:
        path: The file, .npz without pickle.
        owner: The hash of what has to be the same for the runs to go on from it.
        members: The runs.
        epoch: The epoch at hand, from 0.
        step: Steps of it that are done.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    arrays, runs = {}, []
    for place, member in enumerate(members):
        arrays |= {f"{place}_{index}": leaf for index, leaf in enumerate(keras.tree.flatten(member.state))}
        callbacks = {}
        for callback in member.callbacks:
            name = type(callback).__name__
            best = getattr(callback, "best_weights", None) or []
            arrays |= {f"{place}_{name}_{index}": value for index, value in enumerate(best)}
            state = {key: _number(getattr(callback, key)) for key in CALLBACK_STATE[name]}
            callbacks[name] = {"state": state, "n_best_weights": len(best)}
        run = {"run": member.name, "fit_time": member.fit_time, "history": member.history}
        runs.append({**run, "callbacks": callbacks})
    about = {"owner": owner, "epoch": epoch, "step": step, "runs": runs}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, lambda file: file.write(buffer.getbuffer()))


def restore(path: Path, owner: str, members: Sequence[Member]) -> tuple[int, int] | None:
    """Sets runs to what a checkpoint holds of them.

    Returns:
        The epoch at hand and its steps that are done; None where there is no checkpoint, or it is
        damaged, of another owner, or without one of the runs: then nothing is set.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(arrays.pop("about").tobytes())
        places = {run["run"]: place for place, run in enumerate(about["runs"])}
        if about["owner"] != owner or any(member.name not in places for member in members):
            return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    for member in members:
        place = places[member.name]
        run = about["runs"][place]
        leaves = [arrays[f"{place}_{index}"] for index in range(len(keras.tree.flatten(member.state)))]
        member.state = keras.tree.pack_sequence_as(member.state, leaves)
        member.fit_time, member.history = run["fit_time"], run["history"]
        for callback in member.callbacks:
            kept = run["callbacks"][type(callback).__name__]
            for name, value in kept["state"].items():
                setattr(callback, name, value)
            if kept["n_best_weights"]:
                names = [f"{place}_{type(callback).__name__}_{i}" for i in range(kept["n_best_weights"])]
                callback.best_weights = [arrays[name] for name in names]
    return about["epoch"], about["step"]


def _number(value: Any) -> Any:
    return None if value is None else value if isinstance(value, int) else float(value)
