"""The form of labels that a loss or training step of the user's own takes, found by trying it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.keras_names import METRICS, find_metric, is_of_keras
from kerasgrid.models.inputs import Form, samples_of
from kerasgrid.models.keras_private import compile_arguments

FORMS = "sparse", "one_hot"
"""Class indices, (sample,), and one-hot rows, (sample, class). Where both hold, it is the first."""
_SURE = 0.9


def trains_itself(model: keras.Model) -> bool:
    """Tells whether a model's class has its own training step, or its own way to a loss."""
    kind = type(model)
    return not all(is_of_keras(getattr(kind, name)) for name in ("train_step", "compute_loss"))


def form_of_loss(
    loss: Any, model: keras.Model, n_outputs: int, n_classes: int, from_logits: bool | None
) -> str | None:
    """Returns the form that a loss takes; None where it takes neither.

    It takes one if that gives finite values, one or more a row, and less for outputs that are right than for
    those that are wrong: a loss of one-hot rows may broadcast class indices, and then tells nothing. Where it
    takes both, what its model measures beside decides.

    Args:
        loss: The user's own function or object.
        model: Compiled with it.
        n_outputs: Values that the model gives a sample, 2 or more.
        n_classes: Of the labels.
        from_logits: Whether the outputs are logits; None where that is not known.
    """
    given = _Rows(n_outputs, n_classes, bool(from_logits), _shape(model, n_outputs))
    values = {form: given.losses(loss, form) for form in FORMS}
    fitting = [form for form in FORMS if values[form] is not None]
    telling = [form for form in fitting if _is_less(*(values[form] or (0.0, 0.0)))]
    fitting = telling or fitting
    measured = [form for form in fitting if all(given.measures(metric, form) for metric in _metrics(model))]
    return next(iter(measured or fitting), None)


def form_of_step(
    make: Callable[[], keras.Model], form: Form, n_classes: int, dtype: Any = np.float32
) -> str | None:
    """Returns the form that a model's own training step takes; None where it takes neither.

    Args:
        make: Gives a model like it, which is trained for a step and thrown away.
        form: Axes of one sample, or its inputs.
        n_classes: Of the labels.
        dtype: Of samples.
    """
    rows = _Rows(n_classes, n_classes, False, (n_classes,))
    n, random = len(rows.labels), np.random.default_rng(0)
    samples = samples_of(form, lambda shape: random.random((n, *shape)).astype(dtype))
    for labels in FORMS:
        try:
            model = make()
            model.run_eagerly = True  # for a single step nothing is traced
            fitted = model.fit(samples, rows.targets(labels), batch_size=n, verbose=0)
            if np.isfinite([value for values in fitted.history.values() for value in values]).all():
                return labels
        except Exception:  # whatever the user's own step raises: it is not for this form
            continue
    return None


def _is_less(one: float, other: float) -> bool:
    """Tells whether a loss is less than another by more than rounding."""
    return other - one > 1e-4 * max(abs(one), abs(other))


def _metrics(model: keras.Model) -> Iterator[Any]:
    """Yields the metrics that a model is compiled with, weighted ones too, as `compile` was given them."""
    arguments = compile_arguments(model)
    for name in ("metrics", "weighted_metrics"):
        yield from (metric for metric in keras.tree.flatten(arguments.get(name)) if metric is not None)


def _shape(model: keras.Model, n_outputs: int) -> tuple[int, ...]:
    found = tuple(model.output_shape[1:]) if getattr(model, "outputs", None) else ()
    return found if found and None not in found else (n_outputs,)


class _Rows:
    """Made-up labels of some rows, and outputs that are right and wrong: fewer or more rows than outputs."""

    def __init__(self, n_outputs: int, n_classes: int, from_logits: bool, shape: tuple[int, ...]) -> None:
        n_rows = 3 if 3 not in (n_outputs, n_classes) else 5
        if n_rows in (n_outputs, n_classes):
            n_rows = 7
        self.n_classes = n_classes
        self.labels = np.arange(1, n_rows + 1) % n_classes
        right = np.full((2, n_rows, n_outputs), (1 - _SURE) / max(n_outputs - 1, 1), np.float32)
        for place, labels in enumerate((self.labels, (self.labels + 1) % n_classes)):
            right[place, np.arange(n_rows), np.minimum(labels, n_outputs - 1)] = _SURE
        if from_logits:
            right = np.log(right)
        self.outputs = [ops.convert_to_tensor(part.reshape(n_rows, *shape)) for part in right]

    def targets(self, form: str) -> np.ndarray:
        """Returns the labels in a form, as a batch has them."""
        if form == "sparse":
            return self.labels.astype(np.int32)
        return np.eye(self.n_classes, dtype=np.float32)[self.labels]

    def losses(self, loss: Any, form: str) -> tuple[float, float] | None:
        """Returns the mean loss of right and of wrong outputs; None where the form is none of its."""
        call = loss.call if isinstance(loss, keras.losses.Loss) else loss
        targets = ops.convert_to_tensor(self.targets(form).astype(np.float32))  # as Keras hands them over
        found = []
        for outputs in self.outputs:
            try:
                values = np.asarray(ops.convert_to_numpy(call(targets, outputs)), np.float64)
            except Exception:  # whatever the user's own function raises
                return None
            if not np.isfinite(values).all() or (values.ndim and len(values) != len(self.labels)):
                return None
            found.append(float(values.mean()))
        return found[0], found[1]

    def measures(self, metric: Any, form: str) -> bool:
        """Tells whether a metric takes a form."""
        named = metric if isinstance(metric, str) else type(metric).__name__
        if isinstance(metric, str) or is_of_keras(type(metric)):
            name = find_metric(named)
            wanted = "any" if name is None else METRICS[name].labels
            return wanted in ("any", form) or (wanted == "binary" and form == "one_hot")
        targets = ops.convert_to_tensor(self.targets(form))
        try:
            if isinstance(metric, keras.metrics.Metric):
                metric.update_state(targets, self.outputs[0])
                value = metric.result()
                metric.reset_state()
            else:
                value = metric(targets, self.outputs[0])
            return bool(np.isfinite(np.asarray(ops.convert_to_numpy(value), np.float64)).all())
        except Exception:  # whatever the user's own metric raises
            return False
