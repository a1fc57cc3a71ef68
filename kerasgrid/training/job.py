"""One job, from its params to its record: build, compile, train, score."""

from __future__ import annotations

import gc
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np
import psutil

from kerasgrid.data.folds import inner_split, load_folds
from kerasgrid.data.statistics import standardize_statistics
from kerasgrid.errors import ChangedError, StorageError, TrialError
from kerasgrid.io import write_atomic
from kerasgrid.models.building import build_model
from kerasgrid.models.signature import ModelReference, load_function, source_digest
from kerasgrid.records import Context, Dataset, Fold, FoldRecord, Job, Pack
from kerasgrid.seeds import model_seed
from kerasgrid.training.batches import Scaling, encode_labels, open_dataset
from kerasgrid.training.checkpoint import Progress
from kerasgrid.training.compiling import Compiled, compile_model
from kerasgrid.training.loop import Loop, Samples
from kerasgrid.training.objective import Objective, find_objective, sklearn_score
from kerasgrid.training.recipe import Recipe
from kerasgrid.training.routing import DEFAULT_VAL, Route, route

PRESCALED_BYTES = 256 * 2**20
"""Images that are smaller as float32 are scaled once a job."""


def train_pack(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Trains a pack's jobs; emits epochs, checkpoints and one FoldRecord or StopRecord a job.

    What a job raises is recorded as its failure.

    Raises:
        StorageError: A checkpoint or the predictions cannot be written; the search has to end.
        ChangedError: The model function's source changed since the search began; likewise.
    """
    for job in pack.jobs:
        progress = Progress()
        try:
            train_job(recipe, job, context, progress)
        except (StorageError, ChangedError):
            raise
        except Exception as error:
            context.emit(
                FoldRecord(
                    job.id,
                    history=progress.history,
                    fit_time=progress.fit_time,
                    epochs=progress.epoch,
                    memory_bytes=peak_memory(),
                    error=_describe_error(job, error),
                )
            )
        finally:
            keras.backend.clear_session()
            gc.collect()


def train_job(recipe: Recipe, job: Job, context: Context, progress: Progress) -> None:
    """Trains and scores one job, from its checkpoint if there is one; `progress` tells where it stands."""
    began = time.perf_counter()
    objective = find_objective(recipe.objective)
    data = open_dataset(recipe.data_folder, recipe.source)
    fold = _fold(recipe, len(data), job.fold)
    plan = route({**recipe.params, **job.trial.params}, recipe.signature, recipe.callbacks)
    with seeded(model_seed(recipe.seed, job)):
        compiled = build_and_compile(recipe, plan, objective, data.images.shape[1:])
        samples = _samples(recipe, plan, compiled, data, fold)
        loop = Loop(
            job=job,
            seed=recipe.seed,
            owner=job.trial.identity,
            model=compiled.model,
            callbacks=make_callbacks(plan),
            samples=samples,
            batch_size=plan.batch_size,
            epochs=plan.epochs,
            emit=context.emit,
            should_stop=context.should_stop,
            checkpoint_path=recipe.paths.checkpoint(*job.id),
            checkpoint_interval_s=recipe.checkpoint_interval_s,
            progress=progress,
        )
        progress.fit_time = time.perf_counter() - began
        if loop.run():
            context.emit(_score(recipe, job, objective, compiled, loop, data, fold))


def build_and_compile(
    recipe: Recipe, plan: Route, objective: Objective, input_shape: tuple[int, ...]
) -> Compiled:
    """Returns a candidate's compiled model.

    Raises:
        ModelError: The model function or Keras refuses the params.
    """
    function: Callable = recipe.model
    if isinstance(recipe.model, ModelReference):
        function = _load(recipe.model, recipe.model_source)
    model = build_model(function, recipe.signature, plan.model, tuple(input_shape), recipe.n_classes)
    return compile_model(model, plan, objective, recipe.n_classes)


@lru_cache(maxsize=4)
def _load(reference: ModelReference, source: str) -> Callable:
    """Loads a model function once a process, if it is still the one that the search began with."""
    if source_digest(reference) != source:
        raise ChangedError(
            f"{reference}: the model function's source changed while the search was running. Restore it and "
            "give the same command again, or start anew with --fresh."
        )
    return load_function(reference)


def make_callbacks(plan: Route) -> list[keras.callbacks.Callback]:
    """Returns Keras's callbacks of a candidate, in the order of their names here."""
    classes = {
        "early_stopping": keras.callbacks.EarlyStopping,
        "reduce_lr_on_plateau": keras.callbacks.ReduceLROnPlateau,
        "terminate_on_nan": keras.callbacks.TerminateOnNaN,
    }
    return [cls(**plan.callbacks[name]) for name, cls in classes.items() if name in plan.callbacks]


def _samples(recipe: Recipe, plan: Route, compiled: Compiled, data: Dataset, fold: Fold) -> Samples:
    train, val = fold.train, None
    share = recipe.val or (DEFAULT_VAL if plan.monitors_val else None)
    if share is not None:
        train, val = inner_split(data.labels, fold, share, recipe.seed)
    mean = std = None
    if recipe.standardize:  # of all training rows of the fold, those of the inner split too
        mean, std = standardize_statistics(data.images, fold.train, recipe.scale)
    images, scaling = data.images, Scaling(recipe.scale, mean, std)
    if images.size * 4 <= PRESCALED_BYTES:  # else batch by batch, so that memory stays level
        images, scaling = scaling(images), Scaling()
    targets = encode_labels(data.labels, compiled.labels, recipe.n_classes, compiled.n_outputs)
    return Samples(images, targets, train, val, fold.test, scaling)


@lru_cache(maxsize=4)
def _folds(path: str, changed_at: float, n_samples: int, source: str) -> tuple[Fold, ...]:
    return tuple(load_folds(Path(path), n_samples, source)[0])


def _fold(recipe: Recipe, n_samples: int, index: int) -> Fold:
    path = recipe.paths.folds
    return _folds(str(path), path.stat().st_mtime, n_samples, recipe.source)[index]


def _score(
    recipe: Recipe, job: Job, objective: Objective, compiled: Compiled, loop: Loop, data: Dataset, fold: Fold
) -> FoldRecord:
    model, history = compiled.model, loop.progress.history
    with loop.samples.batches(fold.test) as batches:
        outputs = model.predict(batches, verbose=0)
    probabilities = compiled.probabilities(outputs)
    labels = np.asarray(data.labels[fold.test])
    metrics = loop.evaluate(fold.test)
    metrics["accuracy"] = float(np.mean(probabilities.argmax(axis=1) == labels))
    if not np.isfinite(outputs).all():
        raise TrialError(f"{job}: predictions are nan or infinite after {loop.progress.epoch} epochs.")
    if objective.kind == "sklearn":
        score = sklearn_score(objective.name, labels, probabilities)
    else:
        score = metrics["loss"] if objective.kind == "loss" else _keras_metric(objective, metrics)
    if not math.isfinite(score):
        raise TrialError(f"{job}: {objective.name} is {score} after {loop.progress.epoch} epochs.")
    metrics[objective.name] = score
    stored = np.ascontiguousarray(probabilities, dtype=np.float32)
    write_atomic(recipe.paths.prediction(*job.id), lambda file: np.save(file, stored))
    return FoldRecord(
        job.id,
        score=score,
        metrics=metrics,
        history=history,
        fit_time=loop.progress.fit_time,
        epochs=loop.progress.epoch,
        best_epoch=loop.best_epoch,
        n_parameters=model.count_params(),
        memory_bytes=peak_memory(),
    )


def _keras_metric(objective: Objective, metrics: dict[str, float]) -> float:
    if objective.metric in metrics:
        return metrics[objective.metric]
    if objective.name in metrics:
        return metrics[objective.name]
    raise TrialError(
        f"the model is compiled without the metric {objective.name!r}. "
        f"It measures {', '.join(sorted(metrics))}."
    )


def peak_memory() -> int:
    """Returns this process's largest resident memory so far, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds Python, NumPy and the backend, and gives Python and NumPy their own numbers back after."""
    python, numpy = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _describe_error(job: Job, error: Exception) -> dict[str, str]:
    """Returns an error's type, and its message with the job's name; long ones of the backend are cut."""
    message = " ".join(str(error).split()) or "no message"
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        message = f"out of memory: {message}"
    message = message if message.startswith(str(job)) else f"{job}: {message}"
    cut = message if len(message) <= 500 else message[:497] + "..."
    return {"type": type(error).__name__, "message": cut}
