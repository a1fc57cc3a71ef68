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
        images: (sample, ...) on the device: float as the model takes them, or bytes. Where folds have learnt
            other inputs, a block of all samples for each, one after the other.
        targets: (sample, ...) on the device; likewise.
        counts: (sample,) on the device, what each counts in the loss; None for the same.
        how: Augmentation, whose numbers follow the graph's.
        divisor: A step divides the bytes that it takes by it; None for no division.
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
        divisor: float | None = None,
        counts: Any | None = None,
        jit: bool = False,
        halts: bool = False,
    ) -> None:
        super().__init__(lifted)
        self.schedule, self.targets = schedule, (targets, counts)
        self.images = images, None if divisor is None else np.float32(divisor)
        self._step, self._jit = Step(self, how, halts), jit
        self._train = lru_cache(maxsize=8)(self._compile_train)
        self._tail = lru_cache(maxsize=16)(self._compile_tail)
        self._evaluate = lru_cache(maxsize=8)(self._compile_evaluate)

    def train(self, states: Any, fixed: Any, inputs: Any, batches: Any, first: int, last: int) -> Any:
        """Returns the states after steps first to last - 1 of an epoch.

        Args:
            states: Of the jobs, stacked.
            fixed: What jobs keep for all their life, stacked: `numbers`, (number,); `class_weight`, (class,),
                no classes for equal ones; `first`, the moving statistics before the first step;
                `is_debiased`, whether they are measured without these.
            inputs: Of the epoch, stacked: `rates`, (step,), the learning rates; `key`, (2,) int32, by which
                layers draw.
            batches: Of the epoch, stacked, or of one job for all: `full`, rows of the full steps, and
                `ragged`, (rows, weights) of each later one, as `Schedule.pad` gives them; `how`, with
                `scaling`, (2, channel), subtracted of the images and divided by, no channels for neither;
                `blocks`, (2,) int32, the places of the first image and of the first target that are the
                job's; and by what images are augmented: `strengths`, (number,), and `key`, (2,) int32.
            first: The first step.
            last: One after the last, at most `schedule.n_steps`.
        """
        n_full, how = self.schedule.n_full, batches["how"]
        sizes = len(inputs["rates"]), len(how["key"])
        data = self.images, self.targets
        if first < min(last, n_full):
            bounds = (np.int32(first), np.int32(min(last, n_full)))
            states = self._train(*sizes)(states, fixed, inputs, batches["full"], how, *bounds, *data)
        for place in range(max(first, n_full), last):
            rows, weights = batches["ragged"][place - n_full]
            tail = self._tail(*sizes, rows.shape[1])
            states = tail(states, fixed, inputs, rows, weights, how, np.int32(place), *data)
        return states

    def evaluate(self, states: Any, fixed: Any, held: Any) -> tuple[dict[str, Any], Any]:
        """Returns loss and metrics, (job,) each, and outputs (job, chunk, row, output), of some rows.

        Args:
            states: Of the jobs, stacked.
            fixed: As in `train`.
            held: Stacked, or of one job for all: `rows`, (chunk, row) int32; `weights`, (chunk, row) 1, and 0
                for padding; `scaling` and `blocks`, as in `train`.
        """
        evaluate = self._evaluate(len(fixed["numbers"]), len(held["rows"]))
        return evaluate(states, fixed, held, self.images, self.targets)

    def _compile_train(self, _width: int, _n_batches: int) -> Any:
        def steps(states, fixed, inputs, rows, how, first, last, images, targets):
            fixed, inputs, rows, how = map(backend.apart, (fixed, inputs, rows, how))

            def body(index, states):
                def batch(rows, how):
                    size = self.schedule.batch_size
                    part = backend.slice_rows(rows, index * size, size)
                    return self._step.batch(how, index, images, targets, part)

                def step(state, fixed, inputs, batch):
                    return self._step(state, fixed, inputs["key"], index, inputs["rates"][index], *batch)

                return backend.each(step, states, fixed, inputs, backend.each(batch, rows, how))

            return backend.together(backend.repeat(first, last, body, backend.apart(states)))

        return backend.compile(steps, self._jit)

    def _compile_tail(self, _width: int, _n_batches: int, _size: int) -> Any:
        def tail(states, fixed, inputs, rows, weights, how, place, images, targets):
            def batch(rows, weights, how):
                return *self._step.batch(how, place, images, targets, rows, weights), weights

            def step(state, fixed, inputs, batch):
                *_, weights = batch
                stepped = self._step(state, fixed, inputs["key"], place, inputs["rates"][place], *batch)
                real = ops.sum(weights) > 0  # a step that is all padding changes nothing
                return keras.tree.map_structure(lambda new, old: ops.where(real, new, old), stepped, state)

            batches = backend.each(batch, *map(backend.apart, (rows, weights, how)))
            return backend.together(backend.each(step, *map(backend.apart, (states, fixed, inputs)), batches))

        return backend.compile(tail, self._jit)

    def _compile_evaluate(self, _width: int, _n_batches: int) -> Any:
        def evaluate(states, fixed, held, images, targets):
            states, fixed, held = map(backend.apart, (states, fixed, held))
            states = backend.each(
                lambda state, fixed: self.measured(state, fixed["first"], fixed["is_debiased"]), states, fixed
            )

            def inputs(rows, held):
                return self._step.inputs(images, rows, held)

            def outputs(state, fixed, x):
                """Returns outputs, with their logits where Keras takes losses from those; and penalties."""
                with self.lifted.bound(fixed["numbers"]):
                    found, _, losses = self._step.forward(state, x, False)
                logits = backend.logits_behind(found)
                return [found] if logits is None else [found, logits], losses

            def outputs_of(rows):
                return backend.each(outputs, states, fixed, backend.each(inputs, rows, held))

            def logs(fixed, held, found, losses):
                rows, counted = (ops.reshape(held[name], (-1,)) for name in ("rows", "weights"))
                y = ops.take(targets[0], rows + held["blocks"][1], axis=0)
                flat, *logits = [ops.reshape(part, (-1, *part.shape[2:])) for part in found]
                if logits:
                    flat = backend.with_logits(flat, *logits)
                with self.lifted.bound(fixed["numbers"]):
                    logs = {"loss": self._step.loss(y, flat, counted) + sum(losses)}
                    fresh = [ops.convert_to_tensor(value) for value in self.fresh]
                    values = self._step.update_metrics(fresh, y, flat, counted)
                    logs |= self.results(values)
                return logs, ops.cast(found[0], keras.config.floatx())

            rows = backend.each(lambda held: held["rows"], held)
            of_one = outputs_of(backend.each(lambda rows: rows[0, :1], rows))
            like = backend.each(lambda found: found[0], of_one)
            losses = backend.each(lambda found: found[1], of_one)
            found = backend.map_chunks(
                lambda rows: backend.each(lambda found: found[0], outputs_of(rows)), rows, like
            )
            return backend.together(backend.each(logs, fixed, held, found, losses))

        return backend.compile(evaluate, self._jit)
