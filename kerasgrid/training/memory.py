"""Which batch size fits into memory, where a candidate's own did not: a step of half as many rows is tried,
then of a quarter, and so on.
"""

from __future__ import annotations

import gc
from dataclasses import replace

import keras

from kerasgrid.errors import ChangedError, ModelError, brief
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.records import Context, FoldRecord, Job
from kerasgrid.seeds import augment_key, model_seed
from kerasgrid.training.candidate import Candidate, seeded
from kerasgrid.training.probe import device
from kerasgrid.training.scoring import is_out_of_memory

_STEPS = "gradient_accumulation_steps"


def told_what_fits(failed: FoldRecord, recipe: Recipe, job: Job, context: Context) -> FoldRecord:
    """Returns the record of a job that did not fit into memory, which tells the batch size that does.

    The job's own model has to be gone. Nothing of what is tried is kept.

    Raises:
        ChangedError: The model function's source changed since the search began.
    """
    assert failed.error is not None
    candidate = Candidate.of(recipe, job.trial.params)
    begins = f"batch_size {candidate.route.batch_size} did not fit into the memory of {device()}"
    said = failed.error["message"].removeprefix(f"{job}: ").removeprefix("out of memory: ")
    try:
        found = _found(candidate, job, context)
    except ChangedError:
        raise
    except Exception as error:
        found = f", and a smaller one could not be tried: {brief(error)}"
    if found is None:
        return failed
    message = f"{job}: out of memory: {begins}{found} The error was: {said}"
    return replace(failed, error={**failed.error, "message": message})


def _found(candidate: Candidate, job: Job, context: Context) -> str | None:
    """Returns how few rows fit and what to do, to follow what did not; None where it was asked to stop."""
    route, can_add_up = candidate.route, True
    rows = min(route.batch_size, candidate.n_rows(candidate.folds[job.fold]))
    while rows > 1:
        if context.should_stop():
            return None
        rows //= 2
        steps = round(route.batch_size / rows) * route.optimizer_args.get(_STEPS, 1)
        smaller = replace(route, batch_size=rows)
        adding_up = replace(smaller, optimizer_args={**route.optimizer_args, _STEPS: steps})
        if can_add_up:
            try:
                if _takes_a_step(replace(candidate, route=adding_up), job):
                    return (
                        f", and a step of {rows} does: take batch_size: {rows}; with training: "
                        f"{{accumulate: {steps}}} beside it, as many rows as before change the weights "
                        "together."
                    )
                continue
            except ModelError:  # its function compiles it, and with another optimizer
                can_add_up = False
        if _takes_a_step(replace(candidate, route=smaller), job):
            return f", and a step of {rows} does: take batch_size: {rows}."
    return (
        ", nor did a step of one row: take smaller images (resize, or data.image), a smaller net, or "
        "training: {precision: mixed_bfloat16}."
    )


def _takes_a_step(candidate: Candidate, job: Job) -> bool:
    """Tells whether a new model of a candidate can be trained by a step, as the first of a job."""
    recipe, fold = candidate.recipe, candidate.folds[job.fold]
    size, drawn = candidate.route.batch_size, recipe.drawn(job)
    try:
        with seeded(model_seed(recipe.seed, drawn)):
            compiled = candidate.compile()
            rows, _ = candidate.rows(fold, compiled.val)
            samples = candidate.samples(compiled, (rows, None, rows[:0]), candidate.learnt(fold))
            with samples.batches(rows[:size], size, key=augment_key(recipe.seed, drawn, 0)) as batches:
                compiled.model.fit(samples.given(batches), shuffle=False, verbose=0)
        return True
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        keras.backend.clear_session()
        gc.collect()
