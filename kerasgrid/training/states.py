"""The state of a job: a nest of arrays, its first values, and what is read of it on the host.

It holds weights, other variables of the model, the optimizer's, and the running metrics. Where the
optimizer treats each weight by itself, all weights are one vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.models.keras_private import schedule_of
from kerasgrid.training import backend
from kerasgrid.training.graph import Lifted, initial_weights


class States:
    """What a graph's states are made of.

    Args:
        lifted: The graph; its optimizer is built here.

    Attributes:
        lifted: The graph.
        weights: What the optimizer applies its slopes to.
        metric_variables: Of all running metrics.
        fresh: Their values before they have seen anything.
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
            self.weights = [keras.Variable(np.zeros(sum(sizes)), dtype=dtype, name="weights")]
        lifted.optimizer.build(self.weights)
        self.metric_variables = [v for metric in lifted.metrics for v in metric.variables]
        for metric in lifted.metrics:
            metric.reset_state()
        self.fresh = [np.array(ops.convert_to_numpy(v)) for v in self.metric_variables]
        self._trainable = [
            i for i, v in enumerate(model.variables) if any(v is w for w in model.trainable_variables)
        ]
        self._others = [i for i in range(len(model.variables)) if i not in set(self._trainable)]

    def initial_state(self, seed: int, learning_rate: float | None) -> Any:
        """Returns the state of a job before its first step, NumPy arrays."""
        return self.state_of(backend.to_host(initial_weights(self.lifted, seed)), learning_rate)

    def state_of(self, variables: Sequence[np.ndarray], learning_rate: float | None) -> Any:
        """Returns the state of a job with these values of the model's variables."""
        optimizer = []
        for variable in self.lifted.optimizer.variables:
            value = np.asarray(keras.ops.convert_to_numpy(variable))
            if learning_rate is not None and variable is self.lifted.optimizer.learning_rate:
                value = np.asarray(learning_rate, dtype=value.dtype)
            optimizer.append(value)
        state = {"optimizer": optimizer, "metrics": self.fresh_metrics()}
        self.set_variables(state, variables)
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

    def learning_rate(self, state: Any) -> float:
        """Returns the learning rate of one job's state: that of its last step, or the one set since."""
        schedule = schedule_of(self.lifted.optimizer)
        if schedule is not None:  # of the user's own, over the steps that are done
            return float(ops.convert_to_numpy(schedule(state["optimizer"][0])))
        return float(state["optimizer"][self.place_of_rate()])

    def set_learning_rate(self, state: Any, value: Any) -> None:
        """Sets the learning rate in one job's state on the host."""
        place = self.place_of_rate()
        state["optimizer"][place] = np.asarray(value, dtype=state["optimizer"][place].dtype)

    def place_of_rate(self) -> int:
        """Returns the learning rate's place in a state's `optimizer`."""
        variables = self.lifted.optimizer.variables
        return next(i for i, v in enumerate(variables) if v is self.lifted.optimizer.learning_rate)

    def unflat(self, weights: Any) -> list[Any]:
        """Returns a state's weights as the model's trainable variables have them, traced."""
        if not self.lifted.is_flat:
            return weights
        parts = ops.split(weights[0], self._cuts)
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
