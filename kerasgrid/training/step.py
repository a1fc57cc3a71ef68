"""One step of one job, as it is traced into a program: augment, forward, loss, slopes, optimizer, metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from kerasgrid.config.augment import Augmentation
from kerasgrid.training import backend
from kerasgrid.training.augmentation import augment, draw, normalize
from kerasgrid.training.keyed import Draw, drawing
from kerasgrid.training.states import States


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

    def __call__(self, state, fixed, step, rate, images, targets, rows, weights):
        """Returns the state after a step.

        Args:
            state: Of one job.
            fixed: As in `Program.train`, of one job.
            step: Scalar int32: steps of the whole run before this one.
            rate: The learning rate.
            images: (sample, ...) of all samples.
            targets: (sample, ...) of all samples.
            rows: (row,) int32, the batch.
            weights: (row,) 1 for samples and 0 for padding; None where there is no padding.
        """
        numbers, key = fixed["numbers"], fixed["key"]
        x, y = ops.take(images, rows, axis=0), ops.take(targets, rows, axis=0)
        if self.how.operations:
            strengths = numbers[len(self.states.lifted.slots) :]
            x = augment(self.how, x, strengths, draw(rows.shape[0], key, step))
        x = self._scaled(x, fixed["scaling"])
        state = self._with_rate(state, rate)

        def objective(trained):
            outputs, others, losses = self.forward({**state, "weights": trained}, x, True)
            loss = self.loss(y, outputs, weights, fixed["class_weight"])
            return loss + sum(losses), (outputs, others)

        with self.states.lifted.bound(numbers), drawing(Draw(key, step, weights)):
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
                    "values": self.update_metrics(metrics["values"], y, outputs, weights),
                },
            }
        if not self.halts:
            return stepped
        goes_on = ops.isfinite(metrics["loss"])
        return keras.tree.map_structure(lambda new, old: ops.where(goes_on, new, old), stepped, state)

    def _with_rate(self, state, rate):
        """Returns the state with a learning rate, where the optimizer has no schedule of its own."""
        if self.states.lifted.learning_rate is None:
            return state
        place = self.states.place_of_rate()
        optimizer = [*state["optimizer"]]
        optimizer[place] = ops.cast(rate, optimizer[place].dtype)
        return {**state, "optimizer": optimizer}

    def inputs(self, images, rows, scaling):
        """Returns the model's inputs of some rows, (row, ...), not augmented."""
        return self._scaled(ops.take(images, rows, axis=0), scaling)

    def _scaled(self, x, scaling):
        x = normalize(self.how, x)
        return (x - scaling[0]) / scaling[1] if scaling.shape[1] else x

    def forward(self, state, x, training):
        """Returns outputs (row, output), the other variables after, and the penalties."""
        model = self.states.lifted.model
        weights = self.states.unflat(state["weights"])
        return model.stateless_call(weights, state["others"], x, training=training, return_losses=True)

    def loss(self, y, outputs, weights, class_weight=None):
        """Returns the mean loss of the rows that count, each weighted by its class."""
        loss, counted = self.states.lifted.loss, weights
        if class_weight is not None and class_weight.shape[0]:
            own = ops.take(class_weight, _classes(y), axis=0)
            counted = own if weights is None else own * weights
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
        mapping = list(zip(self.states.metric_variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            for metric in self.states.lifted.metrics:
                metric.update_state(y, outputs, sample_weight=weights)
        return [_value(scope, variable) for variable in self.states.metric_variables]


def _classes(y: Any) -> Any:
    """Returns (sample,) class indices of targets in any form, as Keras reads them for its class_weight."""
    if len(y.shape) > 1 and y.shape[-1] > 1:
        return ops.argmax(y, axis=-1)
    return ops.cast(ops.round(ops.reshape(y, (-1,))), "int32")


def _value(scope: Any, variable: Any) -> Any:
    return ops.convert_to_tensor(scope.get_current_value(variable))
