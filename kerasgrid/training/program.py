"""A graph as compiled programs: an epoch's steps, and the measuring of some rows.

The state of a job is a nest of arrays: weights, other variables of the model, the optimizer's, and
the running metrics. A program takes the states of the jobs of a pack, stacked along a first axis,
and gives them back some steps later; between, nothing crosses into Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.augment import NOTHING, Augmentation
from kerasgrid.seeds import first_step
from kerasgrid.training import backend
from kerasgrid.training.augmentation import augment, draw, normalize
from kerasgrid.training.keyed import Draw, drawing
from kerasgrid.training.lifting import Lifted, initial_weights
from kerasgrid.training.schedule import Schedule


class Program:
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
        if lifted.optimizer.built:
            raise RuntimeError("this graph has a program: lift the candidate anew for another one.")
        self.lifted, self.schedule = lifted, schedule
        self.images, self.targets, self.how = images, targets, how
        self._jit, self._halts = jit, halts
        model = lifted.model
        self._shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._cuts = [int(cut) for cut in np.cumsum(sizes)[:-1]]
        weights = model.trainable_variables
        if lifted.is_flat:
            self._flat = keras.Variable(np.zeros(sum(sizes)), dtype=weights[0].dtype, name="weights")
            weights = [self._flat]
        lifted.optimizer.build(weights)
        self._weights = weights
        self._metric_variables = [v for metric in lifted.metrics for v in metric.variables]
        for metric in lifted.metrics:
            metric.reset_state()
        self._fresh = [np.array(ops.convert_to_numpy(v)) for v in self._metric_variables]
        self._trainable = [
            i for i, v in enumerate(model.variables) if any(v is w for w in model.trainable_variables)
        ]
        self._others = [i for i in range(len(model.variables)) if i not in set(self._trainable)]
        self._train = lru_cache(maxsize=8)(self._compile_train)
        self._tail = lru_cache(maxsize=16)(self._compile_tail)
        self._evaluate = lru_cache(maxsize=8)(self._compile_evaluate)

    # States

    def initial_state(self, seed: int, learning_rate: float | None) -> Any:
        """Returns the state of a job before its first step, NumPy arrays."""
        return self.state_of(backend.to_host(initial_weights(self.lifted, seed)), learning_rate)

    def state_of(self, variables: Sequence[np.ndarray], learning_rate: float | None) -> Any:
        """Returns the state of a job with these values of the model's variables."""
        optimizer = []
        for variable in self.lifted.optimizer.variables:
            value = np.asarray(keras.ops.convert_to_numpy(variable))
            if learning_rate is not None and variable is self.lifted.optimizer._learning_rate:
                value = np.asarray(learning_rate, dtype=value.dtype)
            optimizer.append(value)
        state = {"optimizer": optimizer, "metrics": self.fresh_metrics()}
        self.set_variables(state, variables)
        return state

    def fresh_metrics(self) -> dict[str, Any]:
        """Returns running metrics that have seen nothing."""
        zero = np.zeros((), dtype=keras.config.floatx())
        return {"loss": zero, "count": zero, "values": list(self._fresh)}

    def variables(self, state: Any) -> list[np.ndarray]:
        """Returns the values of the model's variables, in their order, of one job's state on the host."""
        values: list[Any] = [None] * len(self.lifted.model.variables)
        weights = state["weights"]
        if self.lifted.is_flat:
            parts = np.split(np.asarray(weights[0]), self._cuts)
            weights = [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
        for place, value in zip([*self._trainable, *self._others], [*weights, *state["others"]], strict=True):
            values[place] = np.asarray(value)
        return values

    def set_variables(self, state: Any, variables: Sequence[np.ndarray]) -> None:
        """Sets the values of the model's variables in one job's state on the host."""
        weights = [variables[place] for place in self._trainable]
        if self.lifted.is_flat:
            weights = [np.concatenate([np.ravel(weight) for weight in weights])]
        state["weights"] = weights
        state["others"] = [variables[place] for place in self._others]

    def learning_rate(self, state: Any) -> float:
        """Returns the learning rate of one job's state: that of its last step, or the one set since."""
        optimizer = self.lifted.optimizer
        if self.lifted.learning_rate is None:  # a schedule of the user's own, over the steps that are done
            return float(ops.convert_to_numpy(optimizer._learning_rate(state["optimizer"][0])))
        return float(state["optimizer"][self._place_of_rate()])

    def set_learning_rate(self, state: Any, value: Any) -> None:
        """Sets the learning rate in one job's state on the host."""
        place = self._place_of_rate()
        state["optimizer"][place] = np.asarray(value, dtype=state["optimizer"][place].dtype)

    def _place_of_rate(self) -> int:
        variables = self.lifted.optimizer.variables
        return next(i for i, v in enumerate(variables) if v is self.lifted.optimizer._learning_rate)

    # What is compiled

    def train(
        self,
        states: Any,
        fixed: Any,
        inputs: Any,
        first: int,
        last: int,
        epoch: int,
    ) -> Any:
        """Returns the states after steps first to last - 1 of an epoch.

        Args:
            states: Of the jobs, stacked.
            fixed: What jobs keep for all their life, stacked: `numbers`, (number,); `scaling`, (2, channel),
                subtracted of the images and multiplied by, no channels for neither; `key`, (2,) int32;
                `class_weight`, (class,), no classes for equal ones.
            inputs: Of the epoch, stacked: `full`, rows of the full steps, and `ragged`, (rows, weights) of
                each later one, as `Schedule.pad` gives them; `rates`, (step,), the learning rates.
            first: The first step.
            last: One after the last, at most `schedule.n_steps`.
            epoch: From 0.
        """
        width, n_full = len(inputs["rates"]), self.schedule.n_full
        before = first_step(epoch)
        data = (before, self.images, self.targets)
        if first < min(last, n_full):
            bounds = (np.int32(first), np.int32(min(last, n_full)))
            states = self._train(width)(states, fixed, inputs["full"], inputs["rates"], *bounds, *data)
        for place in range(max(first, n_full), last):
            rows, weights = inputs["ragged"][place - n_full]
            tail = self._tail(width, rows.shape[1])
            states = tail(states, fixed, rows, weights, inputs["rates"], np.int32(place), *data)
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
        def steps(state, fixed, rows, rates, first, last, before, images, targets):
            def body(index, state):
                size = self.schedule.batch_size
                part = backend.slice_rows(rows, index * size, size)
                data = (images, targets, part, None)
                return self._step(state, fixed, before + index, rates[index], *data)

            return backend.repeat(first, last, body, state)

        return self._compile(steps, width, (0, 0, 0, 0, 1, 1, 1, 1, 1))

    def _compile_tail(self, width: int, size: int) -> Any:
        def tail(state, fixed, rows, weights, rates, place, before, images, targets):
            data = (images, targets, rows, weights)
            stepped = self._step(state, fixed, before + place, rates[place], *data)
            real = ops.sum(weights) > 0  # a step that is all padding changes nothing
            return keras.tree.map_structure(lambda new, old: ops.where(real, new, old), stepped, state)

        return self._compile(tail, width, (0, 0, 0, 0, 0, 1, 1, 1, 1))

    def _compile_evaluate(self, width: int) -> Any:
        def evaluate(state, fixed, chunks, weights, images, targets):
            scaling = fixed["scaling"]
            with self.lifted.bound(fixed["numbers"]):
                outputs = backend.map_chunks(
                    lambda rows: ops.cast(
                        self._forward(state, self._inputs(images, rows, scaling), False)[0],
                        keras.config.floatx(),
                    ),
                    chunks,
                )
                flat = ops.reshape(outputs, (-1, *outputs.shape[2:]))
                rows, counted = ops.reshape(chunks, (-1,)), ops.reshape(weights, (-1,))
                y = ops.take(targets, rows, axis=0)
                _, _, losses = self._forward(state, self._inputs(images, rows[:1], scaling), False)
                loss = self._loss(y, flat, counted) + sum(losses)
                logs = {"loss": loss}
                fresh = [ops.convert_to_tensor(value) for value in self._fresh]
                values = self._update_metrics(fresh, y, flat, counted)
                logs |= self._results(values)
            return logs, outputs

        return self._compile(evaluate, width, (0, 0, 0, 0, 1, 1))

    def _compile(self, function: Any, width: int, shared: Sequence[int]) -> Any:
        mapped = backend.map_jobs(function, width, [bool(s) for s in shared])
        return backend.compile(mapped, self._jit)

    # One job, one step

    def _step(self, state, fixed, step, rate, images, targets, rows, weights):
        numbers, key = fixed["numbers"], fixed["key"]
        x, y = ops.take(images, rows, axis=0), ops.take(targets, rows, axis=0)
        if self.how.operations:
            strengths = numbers[len(self.lifted.slots) :]
            x = augment(self.how, x, strengths, draw(rows.shape[0], key, step))
        x = self._scaled(x, fixed["scaling"])
        state = self._with_rate(state, rate)

        def objective(trained):
            outputs, others, losses = self._forward({**state, "weights": trained}, x, True)
            loss = self._loss(y, outputs, weights, fixed["class_weight"])
            return loss + sum(losses), (outputs, others)

        with self.lifted.bound(numbers), drawing(Draw(key, step, weights)):
            (loss, (outputs, others)), slopes = backend.gradients(objective, state["weights"])
            trained, optimizer = self._apply(state, slopes)
            metrics = state["metrics"]
            count = ops.cast(rows.shape[0], loss.dtype) if weights is None else ops.sum(weights)
            stepped = {
                "weights": trained,
                "others": others,
                "optimizer": optimizer,
                "metrics": {
                    "loss": metrics["loss"] + ops.cast(loss * count, metrics["loss"].dtype),
                    "count": metrics["count"] + count,
                    "values": self._update_metrics(metrics["values"], y, outputs, weights),
                },
            }
        if not self._halts:
            return stepped
        goes_on = ops.isfinite(metrics["loss"])
        return keras.tree.map_structure(lambda new, old: ops.where(goes_on, new, old), stepped, state)

    def _with_rate(self, state, rate):
        """Returns the state with a learning rate, where the optimizer has no schedule of its own."""
        if self.lifted.learning_rate is None:
            return state
        place = self._place_of_rate()
        optimizer = [*state["optimizer"]]
        optimizer[place] = ops.cast(rate, optimizer[place].dtype)
        return {**state, "optimizer": optimizer}

    def _inputs(self, images, rows, scaling):
        return self._scaled(ops.take(images, rows, axis=0), scaling)

    def _scaled(self, x, scaling):
        x = normalize(self.how, x)
        return (x - scaling[0]) * scaling[1] if scaling.shape[1] else x

    def _forward(self, state, x, training):
        model = self.lifted.model
        weights = state["weights"]
        if self.lifted.is_flat:
            parts = ops.split(weights[0], self._cuts)
            weights = [ops.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]
        return model.stateless_call(weights, state["others"], x, training=training, return_losses=True)

    def _loss(self, y, outputs, weights, class_weight=None):
        loss, counted = self.lifted.loss, weights
        if class_weight is not None and class_weight.shape[0]:
            own = ops.take(class_weight, _classes(y), axis=0)
            counted = own if weights is None else own * weights
        if weights is None:
            return loss(y, outputs, sample_weight=counted)
        # Keras divides by all rows, padding included.
        return loss(y, outputs, sample_weight=counted) * weights.shape[0] / ops.maximum(ops.sum(weights), 1)

    def _apply(self, state, slopes):
        optimizer = self.lifted.optimizer
        mapping = [
            *zip(self._weights, state["weights"], strict=True),
            *zip(optimizer.variables, state["optimizer"], strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            optimizer.apply(slopes)
        return (
            [_value(scope, variable) for variable in self._weights],
            [_value(scope, variable) for variable in optimizer.variables],
        )

    def _update_metrics(self, values, y, outputs, weights):
        mapping = list(zip(self._metric_variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            for metric in self.lifted.metrics:
                metric.update_state(y, outputs, sample_weight=weights)
        return [_value(scope, variable) for variable in self._metric_variables]

    def _results(self, values):
        mapping = list(zip(self._metric_variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return {metric.name: ops.convert_to_tensor(metric.result()) for metric in self.lifted.metrics}

    def logs(self, metrics: Any) -> dict[str, float]:
        """Returns an epoch's means of one job's running metrics, on the host."""
        logs = {"loss": float(metrics["loss"] / metrics["count"])}
        results = self._results([ops.convert_to_tensor(value) for value in metrics["values"]])
        return logs | {name: float(value) for name, value in backend.to_host(results).items()}


def _classes(y: Any) -> Any:
    """Returns (sample,) class indices of targets in any form, as Keras reads them for its class_weight."""
    if len(y.shape) > 1 and y.shape[-1] > 1:
        return ops.argmax(y, axis=-1)
    return ops.cast(ops.round(ops.reshape(y, (-1,))), "int32")


def _value(scope: Any, variable: Any) -> Any:
    return ops.convert_to_tensor(scope.get_current_value(variable))
