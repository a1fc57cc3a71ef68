"""What a trained job is worth, and what is recorded of one that failed."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import AT_LENGTH, KerasgridError, TrialError, cause
from kerasgrid.io import write_atomic
from kerasgrid.jobs.objective import (
    HALF,
    Objective,
    Thresholds,
    accuracy,
    number_scores,
    own_score,
    sklearn_score,
)
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.thresholds import Chooser, apart
from kerasgrid.keras_names import METRICS
from kerasgrid.machine import mapped_bytes, peak_memory_bytes
from kerasgrid.models.building import file_of, name_of
from kerasgrid.models.endings import make_metrics
from kerasgrid.models.keras_private import built_metrics
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import ModelReference, parse_reference
from kerasgrid.models.source import layer_line, users_line
from kerasgrid.records import Fold, FoldRecord, Job
from kerasgrid.training.backend import to_host
from kerasgrid.training.batches import targets_of
from kerasgrid.training.candidate import PRESCALED_BYTES, Candidate
from kerasgrid.training.compiling import Compiled, only_loss
from kerasgrid.training.health import one_class, one_number
from kerasgrid.wording import shown_path

_LONGEST = 500
"""Characters of an error's cause that are told."""
_ROWS = 8192
"""Rows that a metric is told of at once, since some, as AUC, take 200 numbers of each output."""


def score(
    candidate: Candidate,
    job: Job,
    compiled: Compiled,
    outputs: np.ndarray,
    metrics: Mapping[str, float],
    rows: np.ndarray,
    epochs: int,
) -> FoldRecord:
    """Scores a trained job by its outputs on the held-out rows, and keeps its predictions.

    Args:
        candidate: The job's.
        job: The job.
        compiled: How outputs are read.
        outputs: (row, output), of the held-out rows.
        metrics: Keras's on them.
        rows: These rows.
        epochs: That it was trained.

    Returns:
        The record, without its history and times.

    Raises:
        TrialError: Predictions or score are NaN or infinite.
    """
    objective, fold = candidate.objective, candidate.folds[job.fold]
    said = _Said.of(candidate, fold, compiled, outputs, metrics, rows)
    if not said.is_finite:
        raise TrialError(f"{job}: predictions are nan or infinite after {epochs} epochs.")
    value = said.value(objective)
    if not math.isfinite(value):
        raise TrialError(f"{job}: {objective.name} is {value} after {epochs} epochs.")
    stored = np.ascontiguousarray(said.predictions)
    write_atomic(candidate.recipe.paths.prediction(*job.id), lambda file: np.save(file, stored))
    return FoldRecord(
        job.id,
        score=value,
        metrics={**said.metrics, **said.scores, objective.name: value},
        epochs=epochs,
        memory_bytes=_memory_bytes(candidate),
        dead=said.dead,
        thresholds=None if isinstance(said.thresholds, float) else tuple(said.cuts.tolist()),
    )


def keep_trained(candidate: Candidate, job: Job, compiled: Compiled, outputs: np.ndarray) -> None:
    """Keeps what a trained job says of its fold's training rows."""
    said = np.ascontiguousarray(candidate.predictions(compiled, outputs, candidate.folds[job.fold]))
    write_atomic(candidate.recipe.paths.trained(*job.id), lambda file: np.save(file, said))


def _memory_bytes(candidate: Candidate) -> int:
    """Returns the most memory that the process has had, without what it maps of many samples."""
    data = candidate.data
    if data.folder is None or data.images.nbytes < PRESCALED_BYTES:
        return peak_memory_bytes()
    return peak_memory_bytes() - mapped_bytes(Path(data.folder).resolve() / "images.npy")


def value_of(
    candidate: Candidate,
    fold: Fold,
    compiled: Compiled,
    outputs: np.ndarray,
    metrics: Mapping[str, float],
    rows: np.ndarray,
) -> float | None:
    """Returns the objective on some rows; None where it is NaN or infinite.

    Args:
        candidate: Whose.
        fold: Whose training rows it has learnt.
        compiled: How outputs are read.
        outputs: (row, output), of those rows.
        metrics: Keras's on them.
        rows: These rows.
    """
    said = _Said.of(candidate, fold, compiled, outputs, metrics, rows)
    if not said.is_finite or (said.weights is not None and not said.weights.any()):
        return None
    value = said.value(candidate.objective)
    return value if math.isfinite(value) else None


def function_of(recipe: Recipe, objective: Objective) -> Callable[..., Any]:
    """Returns the function of the user's own that an objective names.

    Raises:
        ModelError: It cannot be run, or there is none.
        ChangedError: Its source changed since the search began.
    """
    if objective.name in recipe.scorers:
        return recipe.scorers[objective.name]
    reference = parse_reference(objective.name, Path(recipe.base))
    return load_function(reference, recipe.sources.get(objective.name))


def metric_of(objective: Objective, compiled: Compiled) -> keras.metrics.Metric:
    """Returns the metric of Keras's that an objective names, which has seen nothing.

    Raises:
        ModelError: It does not fit the model's outputs.
    """
    made = make_metrics(
        objective.metric, compiled.n_outputs, compiled.target, from_logits=compiled.from_logits
    )[-1]
    assert isinstance(made, keras.metrics.Metric)  # accuracy alone is a name, and no metric of Keras's here
    return made


@dataclass(frozen=True)
class _Said:
    """What a model says of some rows, and what they are.

    Attributes:
        candidate: The model's.
        compiled: The model.
        outputs: (row, output), as the loss takes them; numbers as the user has them.
        predictions: As `Candidate.predictions` gives them.
        labels: Of the rows.
        weights: (row,), what each row counts; None for the same.
        measured: Keras's metrics as the model has measured them.
        is_finite: Whether none of it is NaN or infinite.
        thresholds: At which a sample has each of several labels: one for all, or (row, label).
    """

    candidate: Candidate
    compiled: Compiled
    outputs: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None
    measured: Mapping[str, float]
    is_finite: bool
    thresholds: Thresholds

    @classmethod
    def of(
        cls,
        candidate: Candidate,
        fold: Fold,
        compiled: Compiled,
        outputs: np.ndarray,
        metrics: Mapping[str, float],
        rows: np.ndarray,
    ) -> _Said:
        """Returns what a model says of some rows; the arguments are those of `value_of`."""
        data, recipe = candidate.data, candidate.recipe
        predictions = candidate.predictions(compiled, outputs, fold)
        is_finite = bool(np.isfinite(outputs).all() and np.isfinite(predictions).all())
        told = predictions if recipe.target.is_numbers else outputs
        weights = data.weights[rows] if recipe.weighted_scores and data.weights is not None else None
        thresholds: Thresholds = HALF
        if is_finite and recipe.target.is_multi_label:
            thresholds = _thresholds(candidate, predictions, rows, weights)
        parts = predictions, data.labels[rows], weights, metrics, is_finite, thresholds
        return cls(candidate, compiled, told, *parts)

    @property
    def dead(self) -> str | None:
        """Why the model has learnt nothing, by what it predicts; None where it is not known to have."""
        if self.is_numbers:
            return one_number(self.predictions, self.labels)
        return one_class(self.predictions, self.labels, self.cuts)

    @property
    def cuts(self) -> np.ndarray:
        """The thresholds, of chosen ones the mean over rows: (label,), or (1,) for all."""
        return np.atleast_2d(self.thresholds).mean(axis=0)

    @property
    def is_numbers(self) -> bool:
        """Whether numbers are predicted."""
        return self.candidate.recipe.target.is_numbers

    @cached_property
    def metrics(self) -> dict[str, float]:
        """What is recorded of every fit: Keras's loss and metrics; accuracy, or what is told of numbers."""
        found = self._keras_metrics()
        given = self.labels, self.predictions, self.weights
        if self.is_numbers:
            return found | number_scores(*given)
        return found | {"accuracy": accuracy(*given, self.thresholds)}

    @property
    def scores(self) -> dict[str, float]:
        """What is recorded beside the objective; NaN where a score is not defined on these rows."""
        found = {}
        for score in self.candidate.scores:
            try:
                found[score.name] = self.value(score)
            except ValueError:  # of scikit-learn, as of rows that are all of one class
                found[score.name] = math.nan
        return found

    def value(self, objective: Objective) -> float:
        """Returns a score, which may be NaN.

        Raises:
            TrialError: The model does not measure it.
            Exception: Whatever a function of the user's own raises.
        """
        candidate, target = self.candidate, self.candidate.recipe.target
        given = objective.arguments, self.labels, self.predictions, target
        beside: dict[str, Any] = {"weights": self.weights, "thresholds": self.thresholds}
        if objective.name in ("accuracy", "loss"):  # accuracy of several labels is Keras's, as in the curves
            return self.metrics[objective.name]
        if objective.kind == "sklearn":
            return sklearn_score(objective.name, *given, **beside, among=candidate.data.labels)
        if objective.kind == "own":
            return own_score(function_of(candidate.recipe, objective), *given, **beside)
        for name in (objective.metric, objective.name):
            if name is not None and name in self.metrics:
                return self.metrics[name]
        if objective == candidate.objective:
            raise TrialError(
                f"the model is compiled without the metric {objective.name!r}. "
                f"It measures {', '.join(sorted(self.metrics))}."
            )
        form = METRICS[str(objective.metric)].labels
        targets = targets_of(self.labels, form, target, self.compiled.n_outputs)
        return self._updated(metric_of(objective, self.compiled), targets)

    def _keras_metrics(self) -> dict[str, float]:
        """Returns Keras's loss and metrics, of numbers as the user has them, and weighed where that is asked.

        What the model has measured itself holds otherwise, with its penalties, which belong to no row.
        """
        recipe, model = self.candidate.recipe, self.compiled.model
        if not self.compiled.is_measured or (self.weights is None and recipe.target_scale is None):
            return dict(self.measured)
        targets = self.candidate.targets(self.compiled, self.labels)
        outputs, weights = self.outputs.astype(keras.config.floatx()), self.weights
        loss = keras.losses.get(only_loss(model.loss))
        if isinstance(loss, keras.losses.Loss):
            even = None if weights is None else (weights / weights.mean()).astype(outputs.dtype)
            value = to_host(loss(targets, outputs, sample_weight=even))
        else:
            value = np.average(to_host(loss(targets, outputs)), weights=weights)
        counted = np.asarray(self.compiled.counted(targets))
        metrics = built_metrics(model, counted[:1], outputs[:1])
        return {"loss": float(value)} | {m.name: self._updated(m, counted) for m in metrics}

    def _updated(self, metric: keras.metrics.Metric, targets: np.ndarray) -> float:
        """Returns a metric of all rows; it has seen nothing before and after."""
        metric.reset_state()
        outputs = self.outputs.astype(keras.config.floatx())
        for start in range(0, len(outputs), _ROWS):
            part = slice(start, start + _ROWS)
            weights = None if self.weights is None else self.weights[part].astype(outputs.dtype)
            metric.update_state(targets[part], outputs[part], sample_weight=weights)
        value = float(to_host(metric.result()))
        metric.reset_state()
        return value


def _thresholds(
    candidate: Candidate, predictions: np.ndarray, rows: np.ndarray, weights: np.ndarray | None
) -> Thresholds:
    """Returns at which probabilities rows have each of several labels, chosen by other rows or given."""
    if isinstance(given := candidate.recipe.thresholds, float):
        return given
    choose = Chooser.of(candidate.objective)
    return apart(choose, candidate.data.labels[rows], predictions, weights=weights)


def failure(
    recipe: Recipe,
    job: Job,
    error: Exception,
    history: Mapping[str, list] | None = None,
    fit_time: float = 0.0,
    epochs: int = 0,
) -> FoldRecord:
    """Returns the record of a job that failed, with how far it came; keeps what its error said at length."""
    return FoldRecord(
        job.id,
        history=history or {},
        fit_time=fit_time,
        epochs=epochs,
        memory_bytes=peak_memory_bytes(),
        error=_describe(recipe, job, error),
    )


_OUT_OF_MEMORY = (
    "ResourceExhausted",
    "RESOURCE_EXHAUSTED",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: Exception) -> bool:
    """Tells whether something did not fit into memory: Python's own error, TensorFlow's or JAX's."""
    text = f"{type(error).__name__} {error}"
    return isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)


def outputs_of_batch(model: keras.Model, inputs: Any) -> list[np.ndarray]:
    """Returns what a model gives of a batch, (row, ...) each; of its halves where memory is short."""
    n = len(keras.tree.flatten(inputs)[0])
    try:
        return [np.asarray(part) for part in keras.tree.flatten(model.predict_on_batch(inputs))]
    except Exception as error:
        if n == 1 or not is_out_of_memory(error):
            raise
    halves = slice(n // 2), slice(n // 2, n)
    parts = [keras.tree.map_structure(lambda array, own=own: array[own], inputs) for own in halves]
    both = [outputs_of_batch(model, part) for part in parts]
    return [np.concatenate(pair) for pair in zip(*both, strict=True)]


def _describe(recipe: Recipe, job: Job, error: Exception) -> dict[str, str]:
    """Returns an error's type, and its cause with the job's name and the user's own line.

    What it said at length is written to a file of the run's, and the message says to which.
    """
    message = told(recipe, error)
    message = message if message.startswith(str(job)) else f"{job}: {message}"
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - 3]}..."
    if is_long(error):
        text = "".join(traceback.format_exception(error))
        kept = recipe.paths.error(*job.id)
        write_atomic(kept, lambda file: file.write(text.encode("utf-8", "backslashreplace")))
        message = f"{message.rstrip('.')}{AT_LENGTH}{shown_path(kept)}"
    return {"type": type(error).__name__, "message": message}


def is_long(error: Exception) -> bool:
    """Tells whether an error that is not kerasgrid's says more than a message has room for."""
    return len(str(error)) > _LONGEST and not isinstance(error, KerasgridError)


def told(recipe: Recipe, error: Exception) -> str:
    """Returns an error's cause with the user's own line."""
    message = cause(error) or "no message"
    where = None if isinstance(error, KerasgridError) else users_line(error) or _layers_line(recipe, error)
    if where is not None:  # a callback of the user's own, say
        message = f"{shown_path(where[0])}:{where[1]}, {type(error).__name__}: {message}"
    return f"out of memory: {message}" if is_out_of_memory(error) else message


def _layers_line(recipe: Recipe, error: Exception) -> tuple[str, int] | None:
    """Returns the line of the model function's file that makes the layer in which an error arose."""
    model = recipe.model
    if isinstance(model, ModelReference):
        file, name = None if model.kind == "built_in" else model.file, model.function
    else:
        file, name = None if (found := file_of(model)) is None else Path(found), name_of(model)
    line = None if file is None or not file.is_file() else layer_line(error, file, name)
    return None if line is None else (str(file), line)
