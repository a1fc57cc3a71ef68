"""A graph as compiled programs: an epoch's steps, of equal shapes for all folds, and the measuring of some
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.config.augment import NOTHING, Augmentation
from kerasgrid.training import backend
from kerasgrid.training.graph import Lifted
from kerasgrid.training.step import States, Step


@dataclass(frozen=True)
class Schedule:
    """How the rows of folds of about equal sizes are cut into steps of equal shapes.

    Attributes:
        batch_size: Rows of a full step.
        n_full: Steps that are full in every fold.
        ragged: Rows of each later step, in which some fold has padding.
    """

    batch_size: int
    n_full: int
    ragged: tuple[int, ...]

    @property
    def n_steps(self) -> int:
        """All steps of an epoch."""
        return self.n_full + len(self.ragged)

    @classmethod
    def of(cls, sizes: Sequence[int], batch_size: int) -> Schedule:
        """Returns the schedule for folds of these numbers of training rows."""
        n_full = min(sizes) // batch_size
        longest = max(sizes) - n_full * batch_size
        ragged = []
        while longest > 0:
            ragged.append(min(batch_size, longest))
            longest -= batch_size
        return cls(batch_size, n_full, tuple(ragged))

    def pad(self, rows: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Returns the rows of the full steps, and (rows, weights) of each ragged step."""
        cut = self.n_full * self.batch_size
        ragged = []
        for size in self.ragged:
            part = rows[cut : cut + size]
            weights = np.zeros(size, dtype=keras.config.floatx())
            weights[: len(part)] = 1
            ragged.append((np.pad(part, (0, size - len(part))).astype(np.int32), weights))
            cut += size
        return rows[: self.n_full * self.batch_size].astype(np.int32), ragged


class Program(States):
    """The compiled programs of a graph on a device, for packs of any width.

    Args:
        lifted: The graph.
        schedule: The steps of an epoch.
        images: (sample, ...) float on the device, as the model takes them.
        targets: (sample, ...) on the device.
        how: Augmentation, whose numbers follow the graph's.
        jit: Whether XLA compiles it; on JAX it always does.
        halts: Whether a job takes no more steps in an epoch once its loss is NaN or infinite.
    """

    def __init__(
        self,
        lifted: Lifted,
        schedule: Schedule,
        images: Any,
        targets: Any,
        how: Augmentation = NOTHING,
        *,
        jit: bool = False,
        halts: bool = False,
    ) -> None:
        super().__init__(lifted)
        self.schedule, self.images, self.targets = schedule, images, targets
        self._step, self._jit = Step(self, how, halts), jit
        self._train = lru_cache(maxsize=8)(self._compile_train)
        self._tail = lru_cache(maxsize=16)(self._compile_tail)
        self._evaluate = lru_cache(maxsize=8)(self._compile_evaluate)

    def train(
        self,
        states: Any,
        fixed: Any,
        inputs: Any,
        first: int,
        last: int,
    ) -> Any:
        """Returns the states after steps first to last - 1 of an epoch.

        Args:
            states: Of the jobs, stacked.
            fixed: What jobs keep for all their life, stacked: `numbers`, (number,); `scaling`, (2, channel),
                subtracted of the images and divided by, no channels for neither; `class_weight`, (class,),
                no classes for equal ones; `first`, the moving statistics before the first step;
                `is_debiased`, whether they are measured without these.
            inputs: Of the epoch, stacked: `full`, rows of the full steps, and `ragged`, (rows, weights) of
                each later one, as `Schedule.pad` gives them; `rates`, (step,), the learning rates; `keys`,
                (2,) int32 each, by which layers `draw` and by which images are augmented.
            first: The first step.
            last: One after the last, at most `schedule.n_steps`.
        """
        width, n_full = len(inputs["rates"]), self.schedule.n_full
        own, data = (inputs["rates"], inputs["keys"]), (self.images, self.targets)
        if first < min(last, n_full):
            bounds = (np.int32(first), np.int32(min(last, n_full)))
            states = self._train(width)(states, fixed, inputs["full"], *own, *bounds, *data)
        for place in range(max(first, n_full), last):
            rows, weights = inputs["ragged"][place - n_full]
            tail = self._tail(width, rows.shape[1])
            states = tail(states, fixed, rows, weights, *own, np.int32(place), *data)
        return states

    def evaluate(self, states: Any, fixed: Any, chunks: Any, weights: Any) -> tuple[dict[str, Any], Any]:
        """Returns loss and metrics, (job,) each, and outputs (job, chunk, row, output), of some rows.

        Args:
            states: Of the jobs, stacked.
            fixed: As in `train`.
            chunks: (job, chunk, row) int32.
            weights: (job, chunk, row) 1, and 0 for padding.
        """
        return self._evaluate(len(chunks))(states, fixed, chunks, weights, self.images, self.targets)

    def _compile_train(self, width: int) -> Any:
        def steps(state, fixed, rows, rates, keys, first, last, images, targets):
            def body(index, state):
                size = self.schedule.batch_size
                part = backend.slice_rows(rows, index * size, size)
                data = (images, targets, part, None)
                return self._step(state, fixed, keys, index, rates[index], *data)

            return backend.repeat(first, last, body, state)

        return self._compile(steps, width, (0, 0, 0, 0, 0, 1, 1, 1, 1))

    def _compile_tail(self, width: int, size: int) -> Any:
        def tail(state, fixed, rows, weights, rates, keys, place, images, targets):
            data = (images, targets, rows, weights)
            stepped = self._step(state, fixed, keys, place, rates[place], *data)
            real = ops.sum(weights) > 0  # a step that is all padding changes nothing
            return keras.tree.map_structure(lambda new, old: ops.where(real, new, old), stepped, state)

        return self._compile(tail, width, (0, 0, 0, 0, 0, 0, 1, 1, 1))

    def _compile_evaluate(self, width: int) -> Any:
        def evaluate(state, fixed, chunks, weights, images, targets):
            scaling = fixed["scaling"]

            def outputs_of(rows):
                """Returns outputs of some rows, with their logits where Keras takes losses from those."""
                found, _, losses = self._step.forward(state, self._step.inputs(images, rows, scaling), False)
                logits = backend.logits_behind(found)
                return [found] if logits is None else [found, logits], losses

            state = self.measured(state, fixed["first"], fixed["is_debiased"])
            with self.lifted.bound(fixed["numbers"]):
                rows, counted = ops.reshape(chunks, (-1,)), ops.reshape(weights, (-1,))
                y = ops.take(targets, rows, axis=0)
                of_one, losses = outputs_of(rows[:1])
                found = backend.map_chunks(lambda chunk: outputs_of(chunk)[0], chunks, of_one)
                flat, *logits = [ops.reshape(part, (-1, *part.shape[2:])) for part in found]
                if logits:
                    flat = backend.with_logits(flat, *logits)
                loss = self._step.loss(y, flat, counted) + sum(losses)
                logs = {"loss": loss}
                fresh = [ops.convert_to_tensor(value) for value in self.fresh]
                values = self._step.update_metrics(fresh, y, flat, counted)
                logs |= self.results(values)
            return logs, ops.cast(found[0], keras.config.floatx())

        return self._compile(evaluate, width, (0, 0, 0, 0, 1, 1))

    def _compile(self, function: Any, width: int, shared: Sequence[int]) -> Any:
        mapped = backend.map_jobs(function, width, [bool(s) for s in shared])
        return backend.compile(mapped, self._jit)
