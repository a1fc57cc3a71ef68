"""The state of a job, a nest of arrays; and one step of it, as it is traced into a program.

A state holds weights, other variables of the model, the optimizer's, the running metrics, and how often each
BatchNormalization was updated. Where the optimizer treats each weight by itself, all weights are one vector.
A step augments images, finds the loss and its slopes, lets the optimizer apply them, and counts the metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.config.augment import Augmentation
from kerasgrid.training import backend
from kerasgrid.training.augmentation import augment, draw, normalize
from kerasgrid.training.graph import Lifted, initial_weights
from kerasgrid.training.keyed import Draw, drawing
from kerasgrid.training.learning_rate import RateInState
from kerasgrid.training.mixing import mix, weighed
from kerasgrid.training.moving import batch_norms, debiased_pair, share_left


class States:
    """What a graph's states are made of.

    Args:
        lifted: The graph; its optimizer is built here.

    Attributes:
        lifted: The graph.
        weights: What the optimizer applies its slopes to.
        rate: Where states have the learning rate.
        metric_variables: Of all running metrics.
        fresh: Their values before they have seen anything.
        batch_norms: The layers that have moving statistics.
    """

    def __init__(self, lifted: Lifted) -> None:
        if lifted.optimizer.built:
            raise RuntimeError("this graph has a program: lift the candidate anew for another one.")
        self.lifted = lifted
        model = lifted.model
        self._shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._cuts = [int(cut) for cut in np.cumsum(sizes)[:-1]]
        self.weights = model.trainable_variables
        if lifted.is_flat:
            dtype = self.weights[0].dtype
            self.weights = [keras.Variable("zeros", (sum(sizes),), dtype, name="weights")]
        lifted.optimizer.build(self.weights)
        self.rate = RateInState(lifted.optimizer)
        self.metric_variables = [v for metric in lifted.metrics for v in metric.variables]
        for metric in lifted.metrics:
            metric.reset_state()
        self.fresh = [np.array(ops.convert_to_numpy(v)) for v in self.metric_variables]
        self._trainable = [
            i for i, v in enumerate(model.variables) if any(v is w for w in model.trainable_variables)
        ]
        self._others = [i for i in range(len(model.variables)) if i not in set(self._trainable)]
        self.batch_norms = batch_norms(model)
        among = {id(model.variables[i]): place for place, i in enumerate(self._others)}
        self._statistics = [
            (among[id(layer.moving_mean)], among[id(layer.moving_variance)]) for layer in self.batch_norms
        ]

    def initial_state(self, seed: int, learning_rate: float | None) -> Any:
        """Returns the state of a job before its first step, NumPy arrays."""
        return self.state_of(backend.to_host(initial_weights(self.lifted, seed)), learning_rate)

    def state_of(self, variables: Sequence[np.ndarray], learning_rate: float | None) -> Any:
        """Returns the state of a job with these values of the model's variables."""
        optimizer = [np.asarray(ops.convert_to_numpy(v)) for v in self.lifted.optimizer.variables]
        updates = np.zeros(len(self.batch_norms), dtype=np.float32)
        state = {"optimizer": optimizer, "metrics": self.fresh_metrics(), "updates": updates}
        self.set_variables(state, variables)
        if learning_rate is not None:
            self.rate.write(state, learning_rate)
        return state

    def fresh_metrics(self) -> dict[str, Any]:
        """Returns running metrics that have seen nothing."""
        zero = np.zeros((), dtype=keras.config.floatx())
        return {"loss": zero, "count": zero, "values": list(self.fresh)}

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

    def statistics(self, state: Any) -> list[list[Any]]:
        """Returns the moving mean and variance of each BatchNormalization in a state."""
        return [[state["others"][place] for place in pair] for pair in self._statistics]

    def measured(self, state: Any, first: Any, is_debiased: Any) -> Any:
        """Returns a state as it is measured: its moving statistics debiased, where that is asked for.

        Args:
            state: Of one job.
            first: Its statistics before the first step, as `statistics` gives them.
            is_debiased: Scalar, 1 or 0.
        """
        others = list(state["others"])
        for index, (layer, places) in enumerate(zip(self.batch_norms, self._statistics, strict=True)):
            pair = [others[place] for place in places]
            averages = debiased_pair(pair, first[index], state["updates"][index], layer.momentum)
            for place, raw, average in zip(places, pair, averages, strict=True):
                others[place] = ops.where(is_debiased > 0, average, raw)
        return {**state, "others": others}

    def first_values(self, state: Any) -> float | None:
        """Returns the greatest share of first values in the statistics of a state on the host."""
        return share_left(state["updates"], [layer.momentum for layer in self.batch_norms])

    def unflat(self, weights: Any) -> list[Any]:
        """Returns a state's weights as the model's trainable variables have them, traced."""
        if not self.lifted.is_flat:
            return weights
        parts = ops.split(weights[0], self._cuts) if self._cuts else weights
        return [ops.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def results(self, values: Any) -> dict[str, Any]:
        """Returns the metrics of their variables' values."""
        mapping = list(zip(self.metric_variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return {metric.name: ops.convert_to_tensor(metric.result()) for metric in self.lifted.metrics}

    def logs(self, metrics: Any) -> dict[str, float]:
        """Returns an epoch's means of one job's running metrics, on the host."""
        logs = {"loss": float(metrics["loss"] / metrics["count"])}
        results = self.results([ops.convert_to_tensor(value) for value in metrics["values"]])
        return logs | {name: float(value) for name, value in backend.to_host(results).items()}


@dataclass
class Step:
    """A step of the training.

    Attributes:
        states: What the state is made of.
        how: Augmentation.
        halts: Whether a job takes no more steps in an epoch once its loss is NaN or infinite.
    """

    states: States
    how: Augmentation
    halts: bool

    def batch(self, how, step, images, targets, rows, weights=None):
        """Returns the model's inputs and the targets of a step, and what its samples count.

        Args:
            how: As in `Program.train`, of one batch.
            step: Scalar int32: steps of the epoch before this one.
            images: (sample, ...) of samples, and what bytes are divided by, or None.
            targets: (sample, ...) of samples, and what each counts in the loss, (sample,), or None.
            rows: (row, 2) int32, the places of the images and those of the targets.
            weights: (row,) 1 for samples and then 0 for padding; None where there is no padding.
        """
        x, places, uniform = _taken(images, rows[:, 0]), rows[:, 1], None
        if self.how.operations:
            uniform = draw(rows.shape[0], how["key"], step, self.how)
            x = augment(self.how, x, how["strengths"], uniform)
        y, counts = targets
        own = None if counts is None else ops.take(counts, places, axis=0)
        batch = self._scaled(x, how["scaling"]), ops.take(y, places, axis=0), own
        return mix(self.how, batch, how["strengths"], uniform, weights) if self.how.mixes else batch

    def __call__(self, state, fixed, key, step, rate, x, y, own=None, weights=None):
        """Returns the state after a step.

        Args:
            state: Of one job.
            fixed: As in `Program.train`, of one job.
            key: (2,) int32, by which layers draw.
            step: Scalar int32: steps of the epoch before this one.
            rate: The learning rate.
            x: The batch as `batch` gives it.
            y: Its targets.
            own: (row,), what each counts in the loss; None for the same, or for its class's weight alone.
            weights: (row,) 1 for samples and 0 for padding; None where there is no padding.
        """
        state = self.states.rate.put(state, rate)
        y, counts = self._weighed(y, fixed["class_weight"], own)

        def objective(trained):
            outputs, others, losses = self.forward({**state, "weights": trained}, x, True)
            loss = self.loss(y, outputs, weights, counts)
            return loss + sum(losses), (outputs, others)

        with self.states.lifted.bound(fixed["numbers"]), drawing(Draw(key, step, weights)) as drawn:
            (loss, (outputs, others)), slopes = backend.gradients(objective, state["weights"])
            trained, optimizer = self._apply(state, slopes)
            metrics = state["metrics"]
            updates = [drawn.updated.count(layer) for layer in self.states.batch_norms]
            count = ops.cast(x.shape[0], loss.dtype) if weights is None else ops.sum(weights)
            stepped = {
                "weights": trained,
                "others": others,
                "optimizer": optimizer,
                "updates": state["updates"] + np.asarray(updates, dtype=np.float32),
                "metrics": {
                    "loss": metrics["loss"] + ops.cast(loss * count, metrics["loss"].dtype),
                    "count": metrics["count"] + count,
                    "values": self.update_metrics(metrics["values"], y, outputs, weights),
                },
            }
        if not self.halts:
            return stepped
        goes_on = ops.isfinite(metrics["loss"])
        return keras.tree.map_structure(lambda new, old: ops.where(goes_on, new, old), stepped, state)

    def inputs(self, images, rows, scaling):
        """Returns the model's inputs of some rows, as `batch` is given them, not augmented."""
        return self._scaled(_taken(images, rows[:, 0]), scaling)

    def _scaled(self, x, scaling):
        x = normalize(self.how, x)
        return (x - scaling[0]) / scaling[1] if scaling.shape[1] else x

    def forward(self, state, x, training):
        """Returns outputs (row, output), the other variables after, and the penalties."""
        model = self.states.lifted.model
        weights = self.states.unflat(state["weights"])
        return model.stateless_call(weights, state["others"], x, training=training, return_losses=True)

    def _weighed(self, y, class_weight, own):
        """Returns the targets, and what each row counts by its class and by itself; None for the same."""
        if not class_weight.shape[0]:
            return y, own
        if self.how.mixes:
            y, of_class = weighed(y, class_weight)
        else:
            of_class = ops.take(class_weight, _classes(y), axis=0)
        return y, of_class if own is None else of_class * own

    def loss(self, y, outputs, weights, counts=None):
        """Returns the mean loss of the rows that are no padding, each times what it counts."""
        loss, counted = self.states.lifted.loss, counts if weights is None else weights
        if counts is not None and weights is not None:
            counted = counts * weights
        if weights is None:
            return loss(y, outputs, sample_weight=counted)
        # Keras divides by all rows, padding included.
        return loss(y, outputs, sample_weight=counted) * weights.shape[0] / ops.maximum(ops.sum(weights), 1)

    def _apply(self, state, slopes):
        optimizer = self.states.lifted.optimizer
        mapping = [
            *zip(self.states.weights, state["weights"], strict=True),
            *zip(optimizer.variables, state["optimizer"], strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            optimizer.apply(slopes)
        return (
            [_value(scope, variable) for variable in self.states.weights],
            [_value(scope, variable) for variable in optimizer.variables],
        )

    def update_metrics(self, values, y, outputs, weights):
        """Returns the metrics' variables after some rows."""
        y = self.states.lifted.counted(y)
        mapping = list(zip(self.states.metric_variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            for metric in self.states.lifted.metrics:
                metric.update_state(y, outputs, sample_weight=weights)
        return [_value(scope, variable) for variable in self.states.metric_variables]


def _taken(images: Any, rows: Any) -> Any:
    """Returns some rows, float, to the bit as `Scaling` divides them."""
    stored, divisor = images
    x = backend.take(stored, rows)
    if divisor is not None:
        x = backend.divided(ops.cast(x, "float32"), divisor)
    return ops.cast(x, keras.config.floatx())


def _classes(y: Any) -> Any:
    """Returns (sample,) class indices of targets in any form, as Keras reads them for its class_weight."""
    if len(y.shape) > 1 and y.shape[-1] > 1:
        return ops.argmax(y, axis=-1)
    return ops.cast(ops.round(ops.reshape(y, (-1,))), "int32")


def _value(scope: Any, variable: Any) -> Any:
    return ops.convert_to_tensor(scope.get_current_value(variable))
