"""What a trained job is worth, and what is recorded of one that failed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from kerasgrid.errors import KerasgridError, TrialError
from kerasgrid.io import write_atomic
from kerasgrid.jobs.objective import Objective, accuracy, sklearn_score
from kerasgrid.machine import peak_memory_bytes
from kerasgrid.models.source import users_line
from kerasgrid.records import Fold, FoldRecord, Job
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.health import one_class
from kerasgrid.wording import shown_path


def score(
    candidate: Candidate,
    job: Job,
    compiled: Compiled,
    outputs: np.ndarray,
    metrics: dict[str, float],
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
    objective, labels = candidate.objective, candidate.data.labels[rows]
    predictions = candidate.predictions(compiled, outputs, candidate.folds[job.fold])
    if not candidate.recipe.target.is_numbers:
        metrics["accuracy"] = accuracy(labels, predictions)
    if not (np.isfinite(outputs).all() and np.isfinite(predictions).all()):
        raise TrialError(f"{job}: predictions are nan or infinite after {epochs} epochs.")
    value = _value(candidate, metrics, predictions, labels)
    if not math.isfinite(value):
        raise TrialError(f"{job}: {objective.name} is {value} after {epochs} epochs.")
    metrics[objective.name] = value
    stored = np.ascontiguousarray(predictions)
    write_atomic(candidate.recipe.paths.prediction(*job.id), lambda file: np.save(file, stored))
    return FoldRecord(
        job.id,
        score=value,
        metrics=metrics,
        epochs=epochs,
        memory_bytes=peak_memory_bytes(),
        dead=one_class(predictions, labels) if candidate.recipe.target.classes else None,
    )


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
    predictions, labels = candidate.predictions(compiled, outputs, fold), candidate.data.labels[rows]
    measured = dict(metrics)
    if not candidate.recipe.target.is_numbers:
        measured["accuracy"] = accuracy(labels, predictions)
    if not (np.isfinite(outputs).all() and np.isfinite(predictions).all()):
        return None
    value = _value(candidate, measured, predictions, labels)
    return value if math.isfinite(value) else None


def _value(
    candidate: Candidate, metrics: Mapping[str, float], predictions: np.ndarray, labels: np.ndarray
) -> float:
    recipe, objective = candidate.recipe, candidate.objective
    if objective.name == "accuracy":  # of several labels Keras's, as in the curves
        return metrics["accuracy"]
    if objective.kind == "sklearn":
        return sklearn_score(objective.name, objective.arguments, labels, predictions, recipe.target)
    return metrics["loss"] if objective.kind == "loss" else _keras_metric(objective, metrics)


def _keras_metric(objective: Objective, metrics: Mapping[str, float]) -> float:
    for name in (objective.metric, objective.name):
        if name is not None and name in metrics:
            return metrics[name]
    raise TrialError(
        f"the model is compiled without the metric {objective.name!r}. "
        f"It measures {', '.join(sorted(metrics))}."
    )


def failure(
    job: Job,
    error: Exception,
    history: Mapping[str, list] | None = None,
    fit_time: float = 0.0,
    epochs: int = 0,
) -> FoldRecord:
    """Returns the record of a job that failed, with how far it came."""
    return FoldRecord(
        job.id,
        history=history or {},
        fit_time=fit_time,
        epochs=epochs,
        memory_bytes=peak_memory_bytes(),
        error=_describe(job, error),
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


def _describe(job: Job, error: Exception) -> dict[str, str]:
    """Returns an error's type, and its message with the job's name; long ones of the backend are cut."""
    message = " ".join(str(error).split()) or "no message"
    where = None if isinstance(error, KerasgridError) else users_line(error)
    if where is not None:  # a callback of the user's own, say
        message = f"{shown_path(where[0])}:{where[1]}, {type(error).__name__}: {message}"
    if is_out_of_memory(error):
        message = f"out of memory: {message}"
    message = message if message.startswith(str(job)) else f"{job}: {message}"
    cut = message if len(message) <= 500 else message[:497] + "..."
    return {"type": type(error).__name__, "message": cut}
