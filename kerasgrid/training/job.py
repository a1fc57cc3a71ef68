"""Training a pack's jobs one by one, by Keras's own fit: build, compile, train, score."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from kerasgrid.errors import ChangedError, StorageError
from kerasgrid.jobs.objective import Objective, find_objective
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import Route
from kerasgrid.records import Context, Dataset, FoldRecord, Job, NoteRecord, Pack, RungRecord
from kerasgrid.seeds import draw_key, model_seed
from kerasgrid.training import packs
from kerasgrid.training.batches import Preparation, Scaling, open_dataset, targets_of
from kerasgrid.training.candidate import (
    build_and_compile,
    mean_and_spread,
    read_folds,
    rows_of,
    seeded,
)
from kerasgrid.training.checkpoint import Progress
from kerasgrid.training.compiling import Compiled, class_weights
from kerasgrid.training.fusible import UnfusibleError
from kerasgrid.training.graph import initial_weights, lift
from kerasgrid.training.health import find_reason, restored_epoch
from kerasgrid.training.hooks import hooks_of
from kerasgrid.training.keeping import keep_model
from kerasgrid.training.loop import Loop, LoopData, adapt
from kerasgrid.training.scoring import failure, score, val_score

PRESCALED_BYTES = 256 * 2**20
"""Images that are smaller as float32 are scaled once a job."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what Keras's callbacks have to say out of the terminal, which is the search's."""
    was_on = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if was_on:
            keras.config.enable_interactive_logging()


@quiet()
def train_pack(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Trains a pack's jobs; emits epochs, checkpoints and one FoldRecord or StopRecord a job.

    What a job raises is recorded as its failure.

    Raises:
        StorageError: A checkpoint or the predictions cannot be written; the search has to end.
        ChangedError: The model function's source changed since the search began; likewise.
    """
    jobs = pack.jobs
    recipe = recipe.leg(pack.until)
    if pack.graphs:
        try:
            packs.train(recipe, pack, context)
            return
        except packs.FallBackError as error:
            jobs = tuple(job for run in error.runs for job in run)
            context.emit(NoteRecord(str(error)))
    for place, job in enumerate(jobs):
        if place and context.should_stop():
            return
        progress = Progress()
        try:
            train_job(recipe, job, context, progress, pack.until)
        except (StorageError, ChangedError):
            raise
        except Exception as error:
            failed = failure(job, error, progress.history, progress.fit_time, progress.epoch)
            context.emit(replace(failed, alone=True))
        finally:
            keras.backend.clear_session()
            gc.collect()


def train_job(
    recipe: Recipe, job: Job, context: Context, progress: Progress, until: int | None = None
) -> None:
    """Trains and scores one job, from its checkpoint if there is one.

    Args:
        recipe: The search's.
        job: The job.
        context: Is told of epochs, checkpoints, and the end.
        progress: Tells where the job stands, also after an error.
        until: The epoch after which it waits; None for none.
    """
    objective = find_objective(recipe.objective)
    data = open_dataset(recipe.data_folder, recipe.source)
    fold = read_folds(recipe, len(data))[job.fold]
    plan = recipe.route(job.trial.params)
    with seeded(model_seed(recipe.seed, job)):
        compiled = build_and_compile(recipe, plan, objective, data.images.shape[1:])
        initialize(recipe, compiled, data, model_seed(recipe.seed, job))
        train, val = rows_of(recipe, plan, data, fold)
        center = mean_and_spread(recipe, plan, fold)  # of all its training rows, the inner split's too
        samples = samples_of(recipe, job, plan, compiled, data, (train, val, fold.test), center)
        adapt(compiled.model, samples)
        labels = data.labels[samples.train]
        loop = Loop(
            job=job,
            seed=recipe.seed,
            owner=recipe.owner(job.trial.identity, plan),
            model=compiled.model,
            callbacks=hooks_of(plan, compiled, labels, recipe.classes, recipe.base, recipe.sources),
            class_weight=class_weights(plan.training.class_weight, labels, recipe.classes),
            samples=samples,
            batch_size=plan.batch_size,
            epochs=plan.epochs,
            emit=context.emit,
            should_stop=context.should_stop,
            checkpoint_path=recipe.paths.checkpoint(*job.id),
            checkpoint_interval_s=recipe.checkpoint_interval_s,
            until=until,
            progress=progress,
        )
        if loop.run():
            record = _score(recipe, job, objective, compiled, loop, data)
            if recipe.keeps_model(plan, until):
                keep_model(recipe, job, lambda: compiled.model, context)
            context.emit(record)
        elif loop.waits:
            context.emit(RungRecord(_score(recipe, job, objective, compiled, loop, data)))


def initialize(recipe: Recipe, compiled: Compiled, data: Dataset, seed: int) -> None:
    """Gives a model the first weights that a pack would give it, if a program could train it."""
    try:
        sample = packs.sample_of(compiled, data, recipe.n_classes)
        weights = initial_weights(lift(compiled, sample), seed)
    except UnfusibleError:
        return
    for variable, value in zip(compiled.model.weights, weights, strict=True):
        variable.assign(value)


def samples_of(
    recipe: Recipe,
    job: Job,
    plan: Route,
    compiled: Compiled,
    data: Dataset,
    rows: tuple[np.ndarray, np.ndarray | None, np.ndarray],
    center: tuple[np.ndarray, np.ndarray] | None,
) -> LoopData:
    """Returns what a job trains and measures on.

    Args:
        recipe: The search's.
        job: Whose random keys augment.
        plan: Its candidate's.
        compiled: The form of labels that its loss wants.
        data: All samples.
        rows: To train on, of the inner split, and held out.
        center: (channel,) each, what is subtracted and what is divided by; None for neither.
    """
    mean, std = center or (None, None)
    images, scaling = data.images, Scaling(recipe.scale, mean, std)
    key = draw_key(recipe.seed, job)
    preparation = Preparation.of(plan.augment, images, recipe.scale, key, Path(recipe.base), recipe.sources)
    if images.size * 4 <= PRESCALED_BYTES:  # else batch by batch, so that memory stays level
        if preparation is None:
            images, scaling = scaling(images), Scaling()
        else:
            images, scaling = scaling.divide(images), Scaling(None, mean, std)
    targets = targets_of(data.labels, compiled.labels, recipe.n_classes, compiled.n_outputs)
    return LoopData(images, targets, *rows, scaling, preparation)


def _score(
    recipe: Recipe, job: Job, objective: Objective, compiled: Compiled, loop: Loop, data: Dataset
) -> FoldRecord:
    samples = loop.samples
    outputs, metrics = _outputs(compiled, loop, samples.test)
    labels = data.labels[samples.test]
    record = score(recipe, job, objective, compiled, outputs, metrics, labels, loop.progress.epoch)
    val = None
    if recipe.decides_by_val and samples.val is not None:
        found = _outputs(compiled, loop, samples.val)
        val = val_score(recipe, objective, compiled, *found, data.labels[samples.val])
    return replace(
        record,
        val_score=val,
        history=loop.progress.history,
        fit_time=loop.progress.fit_time,
        best_epoch=loop.best_epoch,
        n_parameters=compiled.model.count_params(),
        dead=find_reason(loop.callbacks, record.dead, loop.progress.epoch, restored_epoch(loop.callbacks)),
        alone=True,
    )


def _outputs(compiled: Compiled, loop: Loop, rows: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Returns the outputs (sample, output), and loss and metrics, of some rows."""
    with loop.samples.batches(rows) as batches:
        outputs = compiled.model.predict(batches, verbose=0)
    return outputs, loop.evaluate(rows)
