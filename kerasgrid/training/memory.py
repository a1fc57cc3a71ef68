"""Which batch size fits into memory, where a candidate's own did not: a step of half as many rows is tried,
then of a quarter, and so on.
"""

from __future__ import annotations

import gc
from dataclasses import replace

import keras

from kerasgrid.errors import ChangedError, ModelError, brief
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.models.freezing import rates_kept, train_only
from kerasgrid.records import Context, FoldRecord, Job
from kerasgrid.seeds import augment_key, model_seed
from kerasgrid.training.candidate import Candidate, seeded
from kerasgrid.training.compiling import FreshOptimizer
from kerasgrid.training.probe import device
from kerasgrid.training.rest import on_outputs
from kerasgrid.training.scoring import is_out_of_memory
from kerasgrid.training.stages import Samples

_STEPS = "gradient_accumulation_steps"


def told_what_fits(failed: FoldRecord, recipe: Recipe, job: Job, context: Context, stage: int) -> FoldRecord:
    """Returns the record of a job that did not fit into memory, which tells the batch size that does.

    The job's own model has to be gone. Nothing of what is tried is kept.

    Args:
        failed: Its record.
        recipe: The search's.
        job: The job.
        context: Tells whether to stop.
        stage: The place, from 0, of the stage that it had come to, where it has stages.

    Raises:
        ChangedError: The model function's source changed since the search began.
    """
    assert failed.error is not None
    candidate = Candidate.of(recipe, job.trial.params)
    begins = f"batch_size {candidate.route.batch_size} did not fit into the memory of {device()}"
    said = failed.error["message"].removeprefix(f"{job}: ").removeprefix("out of memory: ")
    try:
        found = _found(candidate, job, context, stage)
    except ChangedError:
        raise
    except Exception as error:
        found = f", and a smaller one could not be tried: {brief(error)}"
    if found is None:
        return failed
    message = f"{job}: out of memory: {begins}{found} The error was: {said}"
    return replace(failed, error={**failed.error, "message": message})


def _found(candidate: Candidate, job: Job, context: Context, stage: int) -> str | None:
    """Returns how few rows fit and what to do, to follow what did not; None where it was asked to stop."""
    route, can_add_up = candidate.route, True
    asked = rows = min(route.batch_size, candidate.n_rows(candidate.folds[job.fold]))
    while rows > 1:
        if context.should_stop():
            return None
        rows //= 2
        steps = round(asked / rows) * route.optimizer_args.get(_STEPS, 1)
        smaller = replace(route, batch_size=rows)
        adding_up = replace(smaller, optimizer_args={**route.optimizer_args, _STEPS: steps})
        if can_add_up:
            try:
                if _takes_a_step(replace(candidate, route=adding_up), job, context, stage):
                    return (
                        f", and a step of {rows} does: take batch_size: {rows}; with training: "
                        f"{{accumulate: {steps}}} beside it, as many rows as before change the weights "
                        "together."
                    )
                continue
            except ModelError:  # its function compiles it, and with another optimizer
                can_add_up = False
        if _takes_a_step(replace(candidate, route=smaller), job, context, stage):
            return f", and a step of {rows} does: take batch_size: {rows}."
    return (
        ", nor did a step of one row: take smaller images (resize, or data.image), a smaller net, or "
        "training: {precision: mixed_bfloat16}."
    )


def _takes_a_step(candidate: Candidate, job: Job, context: Context, stage: int) -> bool:
    """Tells whether a new model of a candidate can be trained by a step, as the first of a stage of a job."""
    recipe, fold, stages = candidate.recipe, candidate.folds[job.fold], candidate.route.stages
    size, drawn = candidate.route.batch_size, recipe.drawn(job)
    try:
        with seeded(model_seed(recipe.seed, drawn)):
            compiled = candidate.compile()
            rows, _ = candidate.rows(fold, compiled.val)
            samples = Samples((rows[:size], None, rows[:0]), fold)
            with rates_kept(compiled.model):
                if stages:
                    fresh = FreshOptimizer(compiled.model)
                    train_only(compiled.model, stages[stage].trainable)
                    fresh.compile(compiled)
                elif (found := on_outputs(candidate, compiled, context)) is not None:
                    candidate, compiled = found
                data = samples.of(candidate, compiled)
                with data.batches(data.train, size, key=augment_key(recipe.seed, drawn, 0)) as batches:
                    compiled.model.fit(data.given(batches), shuffle=False, verbose=0)
        return True
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        keras.backend.clear_session()
        gc.collect()
