"""Asking a model that was kept about samples, as its training prepared them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import TrialError
from kerasgrid.records import WHOLE, Context
from kerasgrid.seeds import view_key
from kerasgrid.training.batches import Prepare, Scaling, open_dataset
from kerasgrid.training.candidate import import_function, mean_and_spread
from kerasgrid.training.compiling import Compiled, read_outputs
from kerasgrid.training.job import quiet
from kerasgrid.training.loop import EVALUATION_BATCH
from kerasgrid.training.preparing import Preparation
from kerasgrid.training.recipe import Recipe
from kerasgrid.training.tasks import PredictedRecord, PredictTask

_TOLD_ROWS = 4096


@quiet()
def predict(recipe: Recipe, task: PredictTask, context: Context) -> None:
    """Asks a model about samples, batch by batch; emits probabilities in their order.

    Raises:
        DataError: The samples cannot be read, or are of another shape.
        TrialError: Probabilities are NaN or infinite.
    """
    try:
        _predict(recipe, task, context)
    finally:
        keras.backend.clear_session()
        gc.collect()


def _predict(recipe: Recipe, task: PredictTask, context: Context) -> None:
    plan = recipe.route(task.trial.params)
    data = open_dataset(recipe.data_folder, recipe.source)
    center = task.center and tuple(np.asarray(part) for part in task.center)
    if task.fold.index != WHOLE:
        center = mean_and_spread(recipe, plan, task.fold)
    scaling = Scaling(recipe.scale, *(center or (None, None)))
    preparation = Preparation.of(
        plan.augment, data.images, recipe.scale, view_key(recipe.seed), Path(recipe.base), recipe.sources
    )
    shape = data.images.shape[1:]
    import_function(recipe)
    model = keras.models.load_model(task.model, compile=False, safe_mode=True)
    outputs = read_outputs(model, plan, recipe.n_classes, shape, multi_label=recipe.multi_label)
    views = _views(preparation, task.tta)
    parts: list[np.ndarray] = []
    ids: list[str] = []
    labels: list = []
    has_ids = has_labels = True
    for place, chunk in enumerate(task.stream.batches(EVALUATION_BATCH)):
        if context.should_stop():
            return
        found = _ask(outputs, chunk.images, scaling, views, place)
        if not np.isfinite(found).all():
            row = place * EVALUATION_BATCH + int(np.argmin(np.isfinite(found).all(axis=1)))
            raise TrialError(f"{task.model.name}: probabilities of sample {row} are nan or infinite.")
        parts.append(found)
        if task.tells_ids:
            has_ids, has_labels = chunk.ids is not None, chunk.labels is not None
            ids += chunk.ids or ()
            labels += chunk.labels or ()
        if sum(map(len, parts)) >= _TOLD_ROWS:
            context.emit(_record(task, parts, ids if has_ids else None, labels if has_labels else None))
            parts, ids, labels = [], [], []
    if parts:
        context.emit(_record(task, parts, ids if has_ids else None, labels if has_labels else None))


def _record(
    task: PredictTask, parts: Sequence[np.ndarray], ids: list[str] | None, labels: list | None
) -> PredictedRecord:
    told = (ids, labels) if task.tells_ids else (None, None)
    return PredictedRecord(task.place, np.concatenate(parts).astype(np.float32), *told)


def _views(preparation: Preparation | None, tta: int) -> list[Prepare | None]:
    """Returns what is done to a batch for each view of it: none of the recipe's augmentation, then some."""
    if preparation is None:
        return [None]
    return [preparation.of_held_out, *(preparation.of_epoch(view) for view in range(tta))]


def _ask(
    outputs: Compiled,
    images: np.ndarray,
    scaling: Scaling,
    views: Sequence[Callable[[np.ndarray, int], np.ndarray] | None],
    place: int,
) -> np.ndarray:
    """Returns probabilities (sample, class) of a batch, averaged over its views."""
    divided = scaling.divide(images)
    total: Any = 0.0
    for view in views:
        prepared = divided if view is None else view(divided, place)
        asked = outputs.model.predict_on_batch(scaling.center(prepared))
        total = total + outputs.probabilities(np.asarray(asked))
    return total / len(views)
