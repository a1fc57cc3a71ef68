"""Training a candidate after its search: on all of the training data, or a fold model on what it held out."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from kerasgrid.errors import ModelError, StorageError
from kerasgrid.jobs.objective import find_objective
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import Route
from kerasgrid.jobs.tasks import FinalRecord, FinalTask
from kerasgrid.models.keras_private import schedule_of
from kerasgrid.records import Context
from kerasgrid.seeds import model_seed
from kerasgrid.training.batches import open_dataset
from kerasgrid.training.candidate import build_and_compile, mean_and_spread, seeded
from kerasgrid.training.checkpoint import Progress
from kerasgrid.training.compiling import Compiled, class_weights
from kerasgrid.training.health import find_reason, restored_epoch
from kerasgrid.training.hooks import LearningRateReplay, hooks_of
from kerasgrid.training.job import initialize, quiet, samples_of
from kerasgrid.training.keeping import Front, UnloadableError, load_kept, net_of, save_model
from kerasgrid.training.loop import Loop, adapt


@quiet()
def train_final(recipe: Recipe, task: FinalTask, context: Context) -> None:
    """Trains a model from where its checkpoint stands and saves it; emits epochs, checkpoints and its record.

    Raises:
        ModelError: The model function fails, or Keras would not load its model in its safe mode.
        TrialError: The loss is NaN.
        StorageError: The disk is full or cannot be written.
    """
    try:
        _train(recipe, task, context)
    finally:
        keras.backend.clear_session()
        gc.collect()


def _train(recipe: Recipe, task: FinalTask, context: Context) -> None:
    job, seed = task.job, model_seed(recipe.seed, task.job)
    data = open_dataset(recipe.data_folder, recipe.source)
    whole = recipe.route(job.trial.params)
    kept = {name: args for name, args in whole.callbacks.items() if name not in task.dropped}
    model = {**whole.model, **({"epochs": task.total} if "epochs" in whole.model else {})}
    plan = replace(whole, callbacks=kept, epochs=task.total, model=model)
    with seeded(seed):
        objective = find_objective(recipe.objective)
        compiled = build_and_compile(recipe, plan, objective, data.images.shape[1:])
        center = mean_and_spread(recipe, plan, task.fold)
        front = Front.of(plan, data.images.shape[1:], recipe.scale, center)
        rows = (task.rows, None, task.rows[:0])
        samples = samples_of(recipe, job, plan, compiled, data, rows, center)
        if task.start is None:
            initialize(recipe, compiled, data, seed)
            adapt(compiled.model, samples)
        else:
            _check_rate(compiled.model)
            start = net_of(load_kept(task.start, compiled=False))
            compiled.model.set_weights(start.get_weights())
        _check_saves(compiled.model, task.file, front)
        labels, progress = data.labels[task.rows], Progress()
        loop = Loop(
            job=job,
            seed=recipe.seed,
            owner=task.owner,
            model=compiled.model,
            callbacks=_callbacks(task, plan, compiled, labels, recipe),
            class_weight=class_weights(plan.training.class_weight, labels, recipe.classes),
            samples=samples,
            batch_size=plan.batch_size,
            epochs=task.epochs,
            emit=context.emit,
            should_stop=context.should_stop,
            checkpoint_path=task.checkpoint,
            checkpoint_interval_s=recipe.checkpoint_interval_s,
            progress=progress,
        )
        try:
            if not loop.run():
                return
        except KeyError as error:
            if not str(error.args[0]).startswith("val_"):
                raise
            raise ModelError(
                f"a callback looks at {error.args[0]!r}, and where all rows are trained on there is no inner "
                "split: give it an argument monitor, by whose val_* it is left out, or let it do without."
            ) from error
        save_model(compiled.model, task.file, front)
    context.emit(
        FinalRecord(
            job.id,
            progress.epoch,
            progress.history,
            progress.fit_time,
            compiled.model.count_params(),
            find_reason(loop.callbacks, None, progress.epoch, restored_epoch(loop.callbacks)),
            None if center is None else (center[0].tolist(), center[1].tolist()),
        )
    )


def _callbacks(
    task: FinalTask, plan: Route, compiled: Compiled, labels: np.ndarray, recipe: Recipe
) -> list[keras.callbacks.Callback]:
    replay = [LearningRateReplay(task.rates)] if task.rates else []
    if task.start is not None:  # its recipe is done; what goes on is training alone
        return replay
    return [*replay, *hooks_of(plan, compiled, labels, recipe.classes, recipe.base, recipe.sources)]


def _check_rate(model: keras.Model) -> None:
    """Refuses an optimizer whose schedule would begin anew, with its highest rate."""
    schedule = schedule_of(model.optimizer)
    if schedule is not None:
        raise ModelError(
            f"{model.name}: its optimizer takes the learning rate from its {type(schedule).__name__}, which "
            "would begin anew, and a model is fine-tuned at a rate that stays. Set the rate by "
            "callbacks.learning_rate_scheduler instead, and search anew."
        )


def _check_saves(model: keras.Model, file: Path, front: Front) -> None:
    """Saves the untrained model once, so that hours of training do not end in a file that cannot be."""
    trial = file.with_name(f".{file.stem}.first.tmp.keras")
    try:
        save_model(model, trial, front)
    except StorageError:
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, UnloadableError) else f"{type(error).__name__}: {error}"
        raise ModelError(
            f"{model.name}: Keras cannot save this model, or would not load it in its safe mode ({reason}). "
            "Register its classes and functions with keras.saving.register_keras_serializable, and take "
            "layers of your own for Lambda."
        ) from error
    finally:
        trial.unlink(missing_ok=True)
