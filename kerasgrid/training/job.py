"""Training a pack's jobs one by one, by Keras's own fit: build, compile, train, score."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import keras
import numpy as np

from kerasgrid.errors import ChangedError, StorageError
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.records import Context, FoldRecord, Job, NoteRecord, Pack, RungRecord
from kerasgrid.seeds import model_seed
from kerasgrid.training import packs
from kerasgrid.training.candidate import Candidate, seeded
from kerasgrid.training.checkpoint import Progress
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.frozen import WholeError
from kerasgrid.training.fusible import UnfusibleError
from kerasgrid.training.graph import initial_weights, lift
from kerasgrid.training.health import find_reason, restored_epoch
from kerasgrid.training.loop import Loop, adapt
from kerasgrid.training.memory import told_what_fits
from kerasgrid.training.rest import Rest
from kerasgrid.training.saving import keep_model, keep_weights
from kerasgrid.training.scoring import failure, is_out_of_memory, keep_trained, score, value_of
from kerasgrid.training.stages import Fit, Samples


@contextmanager
def without_messages() -> Iterator[None]:
    """Keeps what Keras's callbacks have to say out of the terminal, which is the search's."""
    was_on = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if was_on:
            keras.config.enable_interactive_logging()


@without_messages()
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
        failed, short = _try_job(recipe, job, context, pack.until)
        if short is not None and packs.forget():  # which may have been in its way
            failed, short = _try_job(recipe, job, context, pack.until)
        if failed is not None:
            failed = failed if short is None else told_what_fits(failed, recipe, job, context, short)
            context.emit(replace(failed, alone=True))


def _try_job(
    recipe: Recipe, job: Job, context: Context, until: int | None
) -> tuple[FoldRecord | None, int | None]:
    """Trains one job; returns its failure, if it is one, and the stage, from 0, that memory was short in."""
    progress = Progress()
    try:
        train_job(recipe, job, context, progress, until)
        return None, None
    except (StorageError, ChangedError):
        raise
    except Exception as error:
        failed = failure(recipe, job, error, progress.history, progress.fit_time, progress.epoch)
        return failed, len(progress.stages) if is_out_of_memory(error) else None
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
    candidate = Candidate.of(recipe, job.trial.params)
    fold, seed = candidate.folds[job.fold], model_seed(recipe.seed, recipe.drawn(job))
    with seeded(seed):
        compiled = candidate.compile()
        initialize(candidate, compiled, seed)
        rows = (*candidate.rows(fold, compiled.val), fold.test)
        samples = Samples(rows, fold)
        adapt(compiled.model, lambda: samples.of(candidate, compiled))
        route = candidate.route
        fit = Fit(
            job=job,
            owner=recipe.owner(job.trial.identity, route),
            candidate=candidate,
            compiled=compiled,
            samples=samples,
            callbacks=lambda own, part, stretch: own.callbacks(part, rows[0]),
            epochs=[stage.epochs for stage in route.stages] or [route.epochs],
            context=context,
            checkpoint_path=recipe.paths.checkpoint(*job.id),
            progress=progress,
            until=until,
        )
        loop, is_done = fit.run()
        if loop is None:
            return
        if is_done:
            record = _score(loop)
            if recipe.keeps_weights:
                with loop.statistics():
                    keep_weights(candidate, job, compiled.net.get_weights())
            if recipe.keeps_model(route, until):
                with loop.statistics():
                    keep_model(candidate, job, lambda: compiled.net, context)
            context.emit(record)
        elif loop.waits:
            context.emit(RungRecord(_score(loop)))


def initialize(candidate: Candidate, compiled: Compiled, seed: int) -> None:
    """Gives a model the first weights that a pack would give it, if a program could train it.

    Where it could train the rest of a net alone, that has its first weights, in the whole too.
    """
    try:
        weights = initial_weights(lift(compiled, candidate.sample(compiled), candidate.data.inputs), seed)
    except UnfusibleError:
        if candidate.whole is not None:  # nor the rest
            return
        with suppress(WholeError):
            rest = Rest.at_stage(candidate, compiled, builds_again=False)
            initialize(*rest.blank, seed)
        return
    for variable, value in zip(compiled.model.weights, weights, strict=True):
        variable.assign(value)


def _score(loop: Loop) -> FoldRecord:
    candidate, samples, counted = loop.candidate, loop.samples, loop.counted
    found = loop.outputs(samples.test), loop.evaluate(samples.test)
    progress, fold = loop.progress, candidate.folds[loop.job.fold]
    epochs, counted_stages = progress.epoch, progress.counted_stages
    if candidate.recipe.keeps_trained:
        keep_trained(candidate, loop.job, loop.compiled, loop.outputs(fold.train))
    record = score(candidate, loop.job, loop.compiled, *found, samples.test, epochs)
    share, val, other = counted.first_values, None, None
    with counted.debiased():
        if candidate.scores_both_ways(share):
            other = _value(loop, samples.test)
        if candidate.recipe.decides_by_val and samples.val is not None:
            val = _value(loop, samples.val)
    return replace(
        record,
        val_score=val,
        first_values=share,
        debiased_score=other,
        history=progress.history,
        fit_time=progress.fit_time,
        best_epoch=loop.best_epoch,
        n_parameters=loop.compiled.net.count_params(),
        stages=tuple(progress.stages) if candidate.route.stages else None,
        restored_stages=tuple(counted_stages) if counted_stages != progress.stages else None,
        dead=find_reason(
            loop.callbacks, record.dead, epochs - loop.stretch.first, restored_epoch(loop.callbacks)
        ),
        alone=True,
    )


def _value(loop: Loop, rows: np.ndarray) -> float | None:
    fold = loop.candidate.folds[loop.job.fold]
    found = loop.outputs(rows), loop.evaluate(rows)
    return value_of(loop.candidate, fold, loop.compiled, *found, rows)
