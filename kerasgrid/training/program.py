"""A graph as compiled programs: an epoch's steps, of equal shapes for all folds, and the measuring of some
rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.config.augment import NOTHING, Augmentation
from kerasgrid.training import backend
from kerasgrid.training.feeding import Feed, Schedule
from kerasgrid.training.graph import Lifted
from kerasgrid.training.step import States, Step


class Program(States):
    """The compiled programs of a graph on a device, for packs of any width.

    Args:
        lifted: The graph.
        schedule: The steps of an epoch.
        images: (sample, ...) on the device: float as the model takes them, or bytes; or what feeds it with
            pieces of them.
        targets: (sample, ...) on the device.
        counts: (sample,) on the device, what each target counts in the loss; None for the same.
        how: Augmentation, whose numbers follow the graph's.
        divisor: A step divides the bytes that it takes by it; None for no division.
        jit: Whether XLA compiles it; on JAX it always does.
        halts: Whether a job takes no more steps in an epoch once its loss is NaN or infinite.

    Attributes:
        feed: What gives the pieces; None where all images are on the device.
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
        self.feed = images if isinstance(images, Feed) else None
        self.images = None if self.feed else images, None if divisor is None else np.float32(divisor)
        self._step, self._jit = Step(self, how, halts), jit
        self._once = lru_cache(maxsize=None)(backend.traced_once)
        self._train = lru_cache(maxsize=8)(self._compile_train)
        self._tail = lru_cache(maxsize=16)(self._compile_tail)
        self._outputs = lru_cache(maxsize=8)(self._compile_outputs)
        self._logs = lru_cache(maxsize=8)(self._compile_logs)

    def train(
        self,
        states: Any,
        fixed: Any,
        inputs: Any,
        batches: Any,
        first: int,
        last: int,
        piece: Any | None = None,
        start: int = 0,
    ) -> Any:
        """Returns the states after steps first to last - 1 of an epoch.

        Args:
            states: Of the jobs, stacked.
            fixed: What jobs keep for all their life, stacked: `numbers`, (number,); `class_weight`, (class,),
                no classes for equal ones; `first`, the moving statistics before the first step;
                `is_debiased`, whether they are measured without these.
            inputs: Of the epoch, stacked: `rates`, (step,), the learning rates; `key`, (2,) int32, by which
                layers draw.
            batches: Of the epoch, stacked, or of one job for all: `full`, the rows of full steps, and
                `ragged`, (rows, weights) of each later one, as `Schedule.pad` gives them: of (row, 2), the
                places of images and of targets; `how`, with `scaling`, (2, channel), subtracted of the images
                and divided by, no channels for neither; and by what images are augmented: `strengths`,
                (number,), and `key`, (2,) int32.
            first: The first step.
            last: One after the last, at most `schedule.n_steps`.
            piece: The images on the device that these steps take; None for the program's own.
            start: The step whose rows are the first of `full`.
        """
        n_full, how = self.schedule.n_full, batches["how"]
        sizes = len(inputs["rates"]), len(how["key"])
        data = self._images(piece), self.targets
        if first < min(last, n_full):
            bounds = (np.int32(first), np.int32(min(last, n_full)), np.int32(start))
            states = self._train(*sizes)(states, fixed, inputs, batches["full"], how, *bounds, *data)
        for place in range(max(first, n_full), last):
            rows, weights = batches["ragged"][place - n_full]
            tail = self._tail(*sizes, rows.shape[1])
            states = tail(states, fixed, inputs, rows, weights, how, np.int32(place), *data)
        return states

    def evaluate(
        self, states: Any, fixed: Any, held: Any, pieces: Iterable[tuple[np.ndarray, int, Any]] | None = None
    ) -> tuple[dict[str, Any], Any]:
        """Returns loss and metrics, (job,) each, and outputs (job, chunk, row, output), of some rows.

        Args:
            states: Of the jobs, stacked.
            fixed: As in `train`.
            held: Stacked, or of one job for all: `rows`, (chunk, row, 2) int32, the places of images and of
                targets; `weights`, (chunk, row) 1, and 0 for padding; `scaling`, as in `train`.
            pieces: Parts of the chunks in their order, as (rows, chunks, images on the device): of the rows,
                likewise, the first so many chunks count. None for all, of the program's own images.
        """
        own, n_chunks = (len(fixed["numbers"]), len(held["rows"])), held["rows"].shape[1]

        def outputs(rows: np.ndarray, n: int, piece: Any | None = None) -> tuple[Any, Any]:
            rows = np.pad(rows, [(0, 0), (0, 1), (0, 0), (0, 0)])  # as `Schedule.pad` has a step more
            told = states, fixed, rows, held["scaling"], np.int32(n), self._images(piece)
            return self._outputs(*own)(*told)

        if pieces is None:
            found, penalty = outputs(held["rows"], n_chunks)
        else:
            parts = []
            for rows, n, piece in pieces:
                of_piece, penalty = outputs(rows, n, piece)
                # On the host, so that the piece is done with when the next one is asked for.
                parts.append([part[:, :n] for part in backend.to_host(of_piece)])
            parts.append([np.zeros_like(part[:, :1]) for part in parts[0]])
            found = [np.concatenate(part, axis=1) for part in zip(*parts, strict=True)]
        return self._logs(*own)(fixed, held, found, penalty, self.targets)

    def _images(self, piece: Any | None = None) -> tuple[Any, Any]:
        stored, divisor = self.images
        return stored if piece is None else piece, divisor

    def _compile_train(self, _width: int, _n_batches: int) -> Any:
        batch, step = self._once(self._full), self._once(self._stepped)

        def steps(states, fixed, inputs, rows, how, first, last, start, images, targets):
            fixed, inputs, rows, how = map(backend.apart, (fixed, inputs, rows, how))

            def body(index, states):
                batches = backend.each(batch, rows, how, same=(index, start, images, targets))
                return backend.each(step, states, fixed, inputs, batches, same=(index,))

            return backend.together(backend.repeat(first, last, body, backend.apart(states)))

        return backend.compile(steps, self._jit)

    def _full(self, rows, how, index, start, images, targets):
        size = self.schedule.batch_size
        part = backend.slice_rows(rows, (index - start) * size, size)
        return self._step.batch(how, index, images, targets, part)

    def _stepped(self, state, fixed, inputs, batch, index):
        return self._step(state, fixed, inputs["key"], index, inputs["rates"][index], *batch)

    def _compile_tail(self, _width: int, _n_batches: int, _size: int) -> Any:
        batch, step = self._once(self._ragged), self._once(self._stepped_or_not)

        def tail(states, fixed, inputs, rows, weights, how, place, images, targets):
            states, fixed, inputs, *of_batch = map(backend.apart, (states, fixed, inputs, rows, weights, how))
            batches = backend.each(batch, *of_batch, same=(place, images, targets))
            return backend.together(backend.each(step, states, fixed, inputs, batches, same=(place,)))

        return backend.compile(tail, self._jit)

    def _ragged(self, rows, weights, how, place, images, targets):
        return *self._step.batch(how, place, images, targets, rows, weights), weights

    def _stepped_or_not(self, state, fixed, inputs, batch, place):
        *_, weights = batch
        stepped = self._stepped(state, fixed, inputs, batch, place)
        real = ops.sum(weights) > 0  # a step that is all padding changes nothing
        return keras.tree.map_structure(lambda new, old: ops.where(real, new, old), stepped, state)

    def _compile_outputs(self, _width: int, _n_batches: int) -> Any:
        measured, inputs, outputs = map(self._once, (self._measured, self._inputs, self._forward))

        def outputs_of(states, fixed, rows, scaling, n_chunks, images):
            states, fixed, rows, scaling = map(backend.apart, (states, fixed, rows, scaling))
            states = backend.each(measured, states, fixed)

            def of_rows(rows):
                x = backend.each(inputs, rows, scaling, same=(images,))
                return backend.each(outputs, states, fixed, x)

            of_first = of_rows(backend.each(lambda rows: rows[0], rows))
            found, penalty = (backend.entry(of_first, place) for place in range(2))
            found = backend.map_chunks(lambda rows: backend.entry(of_rows(rows), 0), rows, found, n_chunks)
            return backend.together(found), backend.together(penalty)

        return backend.compile(outputs_of, self._jit)

    def _measured(self, state, fixed):
        return self.measured(state, fixed["first"], fixed["is_debiased"])

    def _inputs(self, rows, scaling, images):
        return self._step.inputs(images, rows, scaling)

    def _forward(self, state, fixed, x):
        """Returns outputs, with their logits where Keras takes losses from those; and the penalty."""
        with self.lifted.bound(fixed["numbers"]):
            found, _, losses = self._step.forward(state, x, False)
        logits = backend.logits_behind(found)
        penalty = ops.cast(sum(losses), keras.config.floatx())
        return [found] if logits is None else [found, logits], penalty

    def _compile_logs(self, _width: int, _n_batches: int) -> Any:
        logs = self._once(self._logs_of)

        def logs_of(fixed, held, found, penalty, targets):
            parts = map(backend.apart, (fixed, held, found, penalty))
            return backend.together(backend.each(logs, *parts, same=(targets,)))

        return backend.compile(logs_of, self._jit)

    def _logs_of(self, fixed, held, found, penalty, targets):
        found = [part[: held["rows"].shape[0]] for part in found]
        rows, counted = ops.reshape(held["rows"], (-1, 2)), ops.reshape(held["weights"], (-1,))
        y = ops.take(targets[0], rows[:, 1], axis=0)
        flat, *logits = [ops.reshape(part, (-1, *part.shape[2:])) for part in found]
        if logits:
            flat = backend.with_logits(flat, *logits)
        with self.lifted.bound(fixed["numbers"]):
            logs = {"loss": self._step.loss(y, flat, counted) + penalty}
            fresh = [ops.convert_to_tensor(value) for value in self.fresh]
            values = self._step.update_metrics(fresh, y, flat, counted)
            logs |= self.results(values)
        return logs, ops.cast(found[0], keras.config.floatx())
