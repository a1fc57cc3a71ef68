"""Training a candidate after its search: on all of the training data, or a fold model on what it held out."""

from __future__ import annotations

import gc
from dataclasses import replace
from functools import partial

import keras

from kerasgrid.errors import ModelError
from kerasgrid.io import discard
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import FinalRecord, FinalTask
from kerasgrid.records import Context, NoteRecord
from kerasgrid.run.paths import RunPaths
from kerasgrid.seeds import model_seed
from kerasgrid.training.candidate import Candidate, seeded
from kerasgrid.training.checkpoint import Progress
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.health import find_reason, restored_epoch
from kerasgrid.training.job import initialize, without_messages
from kerasgrid.training.learning_rate import LearningRateReplay, check_stays
from kerasgrid.training.learnt import Learnt
from kerasgrid.training.loop import Stretch, adapt
from kerasgrid.training.saving import load_kept, net_of, save_net, told_weights
from kerasgrid.training.stages import Fit, Samples


@without_messages()
def train_final(recipe: Recipe, task: FinalTask, context: Context) -> None:
    """Trains a model from where its checkpoint stands and saves it; emits epochs, checkpoints and its record.

    Raises:
        ModelError: The model function fails.
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
    candidate = _as_asked(Candidate.of(recipe, job.trial.params), task)
    with seeded(seed):
        compiled = candidate.compile()
        learnt = candidate.learnt(task.fold)
        center = learnt.center
        samples = Samples((task.rows, None, task.rows[:0]), task.fold)
        if task.start is None:
            initialize(candidate, compiled, seed)
            adapt(compiled.model, lambda: samples.of(candidate, compiled))
        else:
            check_stays(compiled.model)
            start = net_of(load_kept(task.start, candidate, compiled=False))
            compiled.model.set_weights(start.get_weights())
            changed = frozenset(map(id, compiled.model.weights))
            compiled = replace(compiled, sets_weights=True, drawn=changed)
        _try_saving(compiled.model, task, candidate, learnt, context)
        progress = Progress()
        fit = Fit(
            job=job,
            owner=task.owner,
            candidate=candidate,
            compiled=compiled,
            samples=samples,
            callbacks=partial(_callbacks, task),
            epochs=task.stages or [task.epochs],
            context=context,
            checkpoint_path=task.checkpoint,
            progress=progress,
        )
        try:
            loop, is_done = fit.run()
            if loop is None or not is_done:
                return
        except KeyError as error:
            if not str(error.args[0]).startswith("val_"):
                raise
            raise ModelError(
                f"a callback looks at {error.args[0]!r}, and where all rows are trained on there is no inner "
                "split: give it an argument monitor, by whose val_* it is left out, or let it do without."
            ) from error
        with loop.statistics():
            save_net(compiled.model, task.file, candidate, learnt)
    context.emit(
        FinalRecord(
            job.id,
            progress.epoch,
            progress.history,
            progress.fit_time,
            compiled.model.count_params(),
            find_reason(
                loop.callbacks, None, progress.epoch - loop.stretch.first, restored_epoch(loop.callbacks)
            ),
            None if center is None else (center[0].tolist(), center[1].tolist()),
            loop.counted.first_values,
            tuple(progress.stages) if task.stages else (),
        )
    )


def _as_asked(candidate: Candidate, task: FinalTask) -> Candidate:
    """Returns a candidate that is trained for a task's epochs, without the callbacks that it drops.

    A kept model goes on in its last stage alone.
    """
    route, stages = candidate.route, candidate.route.stages
    if task.start is not None and stages:
        last = {"epochs": task.total, "learning_rate": None, "callbacks": "anew"}
        stages = (stages[-1].model_copy(update=last),)
    elif sum(task.stages) == task.total:  # as asked for, and so are schedules
        stages = tuple(
            stage.model_copy(update={"epochs": n}) for stage, n in zip(stages, task.stages, strict=False)
        )
    kept = {name: args for name, args in route.callbacks.items() if name not in task.dropped}
    model = {**route.model, **({"epochs": task.total} if "epochs" in route.model else {})}
    return replace(
        candidate, route=replace(route, callbacks=kept, epochs=task.total, model=model, stages=stages)
    )


def _callbacks(
    task: FinalTask, candidate: Candidate, compiled: Compiled, stretch: Stretch
) -> list[keras.callbacks.Callback]:
    rates = task.rates[sum(task.stages[: stretch.start]) :]
    replay = [LearningRateReplay(rates)] if rates else []
    if task.start is not None:  # its recipe is done; what goes on is training alone
        return replay
    # Those of a function's own fit that look at an inner split are left out, as those of a config are.
    own = [one for one in compiled.callbacks if not str(getattr(one, "monitor", "")).startswith("val_")]
    return [*replay, *candidate.callbacks(replace(compiled, callbacks=tuple(own)), task.rows)]


def _try_saving(
    model: keras.Model, task: FinalTask, candidate: Candidate, learnt: Learnt, context: Context
) -> None:
    """Saves the untrained model once, so that before hours of training is told in which form it is kept."""
    trial = task.file.with_name(f".{task.file.stem}.first.tmp.keras")
    try:
        reason = save_net(model, trial, candidate, learnt)
        if reason is not None:
            context.emit(NoteRecord(f"{task.job}: {told_weights(candidate, reason)}"))
    finally:
        discard(*RunPaths.forms(trial))
