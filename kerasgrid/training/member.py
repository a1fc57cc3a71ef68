"""A run of a wave: what is trained, what Keras's callbacks see of it, and its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.records import Graph, Job
from kerasgrid.training import checkpoint
from kerasgrid.training.batches import in_views
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.learning_rate import SeenOptimizer
from kerasgrid.training.program import Program


class Stand:
    """What Keras's callbacks see of a run in place of its model.

    Attributes:
        stop_training: A callback sets it.
        optimizer: It has a learning_rate.
        metrics: Of a compiled model, by which callbacks tell which way is better.
    """

    def __init__(self, member: Member, program: Program, metrics: Sequence[Any]) -> None:
        self.member, self.program = member, program
        self.stop_training = False
        self.optimizer = SeenOptimizer(member, program.rate)
        self.metrics = list(metrics)

    @property
    def trainable_variables(self) -> list[np.ndarray]:
        """The values of what is trained, in one vector or several."""
        return self.member.state["weights"]

    def get_weights(self) -> list[np.ndarray]:
        """Returns the values of the model's variables, and how often its statistics were updated."""
        state = self.member.state
        return [*(value.copy() for value in self.program.variables(state)), state["updates"].copy()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Sets what `get_weights` has given."""
        *variables, self.member.state["updates"] = weights
        self.program.set_variables(self.member.state, variables)


@dataclass
class Member:
    """A run of a wave.

    Attributes:
        jobs: Read off this run, by rising epochs; those that have ended are taken out.
        candidates: The jobs'.
        graph: With the numbers that it receives, and the first learning rate.
        callbacks: Keras's.
        scaling: (2, channel), or (2, 0) for none.
        blocks: (2,), where its fold's images and targets begin among those of the program.
        class_weight: (class,), or (0,) for equal ones.
        train: Rows to train on.
        val: Rows of the inner split; None for none.
        test: Held-out rows.
        views: How many samples there are, and how many views of each, in which it is trained on; 0 of the
            last for none.
        state: Between epochs, on the host.
        first: BatchNormalization's moving statistics before the first step.
        fit_time: Seconds of training.
        history: Lists over the finished epochs.
    """

    jobs: tuple[Job, ...]
    candidates: tuple[Candidate, ...]
    graph: Graph
    callbacks: list[keras.callbacks.Callback]
    scaling: np.ndarray
    blocks: np.ndarray
    class_weight: np.ndarray
    train: np.ndarray
    val: np.ndarray | None
    test: np.ndarray
    views: tuple[int, int] = (0, 0)
    state: Any = None
    first: Any = None
    fit_time: float = 0.0
    history: dict[str, list] = field(default_factory=dict)
    stand: Stand = field(init=False, repr=False)

    @property
    def epochs(self) -> tuple[int, ...]:
        """At which each job is read."""
        return tuple(candidate.route.epochs for candidate in self.candidates)

    def begin(self, seed: int, program: Program, metrics: Sequence[Any]) -> None:
        """Sets the run to where it stands before its first step."""
        self.state = program.initial_state(seed, self.graph.learning_rate)
        self.first = program.statistics(self.state)
        self.stand = Stand(self, program, metrics)
        for callback in self.callbacks:
            callback.set_model(self.stand)
            callback.on_train_begin()

    def places(self, rows: np.ndarray, key: np.ndarray | None = None) -> np.ndarray:
        """Returns (row, 2) int32, where a program has the images and the targets of some rows.

        Args:
            rows: Which.
            key: Of an epoch that is trained on, (2,) int32, by which views of samples are drawn.
        """
        images = rows if key is None or not self.views[1] else in_views(rows, key, *self.views)
        return (np.stack([images, rows], axis=1) + self.blocks).astype(np.int32)

    @property
    def fixed(self) -> dict[str, Any]:
        """What a program is told of it for all its life."""
        return {
            "numbers": self._numbers[: self._n_own],
            "class_weight": self.class_weight,
            "first": self.first,
            "is_debiased": np.float32(self.is_debiased),
        }

    @property
    def strengths(self) -> np.ndarray:
        """(number,), of its augmentation."""
        return self._numbers[self._n_own :]

    @property
    def takes(self) -> tuple:
        """What its batches depend on, but the epoch: runs for which it is the same take the same ones."""
        job = self.jobs[-1]
        return job.fold, job.repeat, self.strengths.tobytes(), self.scaling.tobytes()

    @property
    def _numbers(self) -> np.ndarray:
        return np.asarray(self.graph.numbers, dtype=keras.config.floatx())

    @property
    def _n_own(self) -> int:
        return len(self.stand.program.lifted.slots)

    @property
    def is_debiased(self) -> bool:
        """Whether it is measured by debiased statistics."""
        return self.candidates[-1].is_debiased

    @property
    def name(self) -> str:
        """What checkpoints call the run; runs that differ in epochs alone are not always one."""
        job = self.jobs[-1]
        return f"{job.trial.key} {job.fold} {job.repeat} {self.epochs[-1]}"


def save(path: Path, owner: str, members: Sequence[Member], epoch: int, step: int, width: int = 1) -> None:
    """Writes the checkpoint of runs that stand at the same step, whole or not at all.

    Args:
        path: The file, .npz without pickle.
        owner: The hash of what has to be the same for the runs to go on from it.
        members: The runs.
        epoch: The epoch at hand, from 0.
        step: Steps of it that are done.
        width: Places of the program that trains them, empty ones too.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    runs = []
    for place, member in enumerate(members):
        arrays |= {f"{place}_{index}": leaf for index, leaf in enumerate(keras.tree.flatten(member.state))}
        states, best = checkpoint.keep_callbacks(member.callbacks, f"{place}_")
        arrays |= best
        about = {"run": member.name, "fit_time": member.fit_time, "history": member.history}
        runs.append({**about, "callbacks": states})
    checkpoint.write(
        path, {"owner": owner, "epoch": epoch, "step": step, "width": width, "runs": runs}, arrays
    )


def restore(folder: Path, owner: str, members: Sequence[Member]) -> tuple[set[Path], int, int, int] | None:
    """Sets runs to where all of them stand the furthest.

    Args:
        folder: Of checkpoints; that of a run may bear the name of a job that is trained elsewhere now, and
            those of runs that waited at a rung are files of their own.
        owner: As in `save`; one of Keras's own fit has another.
        members: The runs. Where files stand at an epoch at which a job is to be read, or beyond, that is
            too far: its end was not recorded, as when power was lost, and what it has reached is not known.

    Returns:
        The files, the epoch at hand, its steps that are done, and the width of the program; None where no
        files hold all of these runs at the same step, or they are damaged: then nothing is set.
    """
    stands: dict[tuple[int, int], dict[str, Path]] = {}
    for path, contents in _contents(folder).items():
        if contents.owner == owner:
            stands.setdefault((contents.epoch, contents.step), {}).update(dict.fromkeys(contents.runs, path))
    names = {member.name for member in members}
    next_read = min(member.epochs[0] for member in members)
    for stand in sorted(stands, reverse=True):
        if stand[0] < next_read and stands[stand].keys() >= names:
            with suppress(checkpoint.StaleCheckpointError):
                found = {path: checkpoint.read(path) for path in {stands[stand][name] for name in names}}
                for member in members:
                    _set(member, *found[stands[stand][member.name]])
                return {*found}, *stand, max(about.get("width", 1) for about, _ in found.values())
    return None


def _set(member: Member, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    place = next(place for place, run in enumerate(about["runs"]) if run["run"] == member.name)
    run = about["runs"][place]
    leaves = [arrays[f"{place}_{index}"] for index in range(len(keras.tree.flatten(member.state)))]
    member.state = keras.tree.pack_sequence_as(member.state, leaves)
    member.fit_time, member.history = run["fit_time"], run["history"]
    checkpoint.restore_callbacks(member.callbacks, run["callbacks"], arrays, f"{place}_")


@dataclass(frozen=True)
class _Contents:
    """What a file of checkpoints holds, without the arrays."""

    written_at: int
    owner: str | None
    epoch: int
    step: int
    runs: tuple[str, ...]


_known: dict[Path, _Contents] = {}
"""Of the files that this process has looked into: at a rung there are thousands."""


def _contents(folder: Path) -> dict[Path, _Contents]:
    """Returns what each file of a folder holds, in the order of their names; damaged ones are left out."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        with suppress(checkpoint.StaleCheckpointError, FileNotFoundError):
            written_at = path.stat().st_mtime_ns
            known = _known.get(path)
            if known is None or known.written_at != written_at:
                about = checkpoint.read_about(path)
                runs = tuple(run["run"] for run in about.get("runs", ()))
                known = _Contents(
                    written_at, about.get("owner"), about.get("epoch", 0), about.get("step", 0), runs
                )
            found[path] = known
    _known.clear()
    _known.update(found)
    return found
