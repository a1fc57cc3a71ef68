"""Asking a model that was kept about samples, as they are stored or as its training prepared them."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from kerasgrid.data.features import unknown_categories
from kerasgrid.errors import TrialError
from kerasgrid.jobs.facts import ModelFacts
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import PredictedRecord, PredictTask
from kerasgrid.models import repvgg
from kerasgrid.models.references import ModelReference
from kerasgrid.records import WHOLE, Context
from kerasgrid.seeds import view_key
from kerasgrid.training.batches import EVALUATION_BATCH, Preparation, Prepare, Scaling
from kerasgrid.training.candidate import Candidate, import_function
from kerasgrid.training.compiling import Compiled, read_outputs
from kerasgrid.training.job import without_messages
from kerasgrid.training.learnt import Learnt
from kerasgrid.training.saving import before_numbers, load_kept, net_of, prepares
from kerasgrid.training.scoring import outputs_of_batch

_TOLD_ROWS = 4096


@without_messages()
def predict(recipe: Recipe, task: PredictTask, context: Context) -> None:
    """Asks a model about samples, batch by batch; emits what it predicts in their order.

    Raises:
        DataError: The samples cannot be read, or are of another shape.
        ResultsError: The model is damaged.
        TrialError: Predictions are NaN or infinite.
    """
    try:
        _predict(recipe, task, context)
    finally:
        keras.backend.clear_session()
        gc.collect()


def _predict(recipe: Recipe, task: PredictTask, context: Context) -> None:
    import_function(recipe)
    candidate = Candidate.of(recipe, task.trial.params)
    model = load_kept(task.model, candidate, compiled=False)
    if _is_built_in(recipe.model) and repvgg.is_within(model):
        model = repvgg.folded(model)
    net, facts = net_of(model), ModelFacts.read(task.model) or ModelFacts(recipe.target)
    shape = facts.input_shape or candidate.form
    outputs = read_outputs(net, candidate.route, recipe.target, shape)
    asked = _Asked(replace(outputs, model=before_numbers(model)), facts)
    scaling, preparation = _outside(candidate, task, has_layers=prepares(model))
    keys = [view_key(recipe.seed, view) for view in range(task.tta)]
    views = _views(preparation, keys)
    parts: list[np.ndarray] = []
    ids: list[str] = []
    labels: list = []
    has_ids = has_labels = True
    low, high = np.inf, -np.inf
    unknown: Counter[str] = Counter()

    def record() -> PredictedRecord:
        found = np.concatenate(parts)
        if not task.tells_ids:
            return PredictedRecord(task.place, found)
        told = ids if has_ids else None, labels if has_labels else None
        if facts.encoder is not None:
            return PredictedRecord(task.place, found, *told, unknown=dict(unknown))
        return PredictedRecord(task.place, found, *told, (low, high))

    for place, chunk in enumerate(task.stream.batches(EVALUATION_BATCH)):
        if context.should_stop():
            return
        images = chunk.images if facts.encoder is None else facts.encoder(chunk.images)
        found = asked.predictions(images, scaling, views, place)
        if not np.isfinite(found).all():
            row = place * EVALUATION_BATCH + int(np.argmin(np.isfinite(found).all(axis=1)))
            raise TrialError(f"{task.model.name}: predictions of sample {row} are nan or infinite.")
        parts.append(found)
        if task.tells_ids:
            has_ids, has_labels = chunk.ids is not None, chunk.labels is not None
            ids += chunk.ids or ()
            labels += chunk.labels or ()
            if facts.encoder is not None:
                unknown.update(unknown_categories(facts.encoder.table, chunk.images))
            else:
                low, high = min(low, float(chunk.images.min())), max(high, float(chunk.images.max()))
        if sum(map(len, parts)) >= _TOLD_ROWS:
            context.emit(record())
            parts, ids, labels = [], [], []
    if parts:
        context.emit(record())


def _is_built_in(model: Any) -> bool:
    return isinstance(model, ModelReference) and model.kind == "built_in"


def _outside(candidate: Candidate, task: PredictTask, has_layers: bool) -> tuple[Scaling, Preparation | None]:
    """Returns what is done to samples before a model is asked.

    Where it has layers that scale them, only views are drawn, of stored values: their strengths are in units
    of these. Files of earlier versions have none, nor have nets that are built again.
    """
    if has_layers:
        candidate = replace(candidate, recipe=replace(candidate.recipe, scale=None))
        preparation = candidate.preparation()
        return Scaling(), preparation and replace(preparation, how=preparation.how.drawn)
    if task.fold.index != WHOLE:
        center = candidate.learnt(task.fold).center
    else:
        center = task.center and (np.asarray(task.center[0]), np.asarray(task.center[1]))
    return candidate.scaling(center), candidate.preparation()


def _views(preparation: Preparation | None, keys: Sequence[np.ndarray]) -> list[Prepare | None]:
    """Returns what is done to a batch for each view of it: none of the recipe's augmentation, then some."""
    if preparation is None:
        return [None]
    drawn = replace(preparation, how=preparation.how.of_views)
    return [preparation.of_held_out, *(drawn.of_epoch(key) for key in keys)]


@dataclass(frozen=True)
class _Asked:
    """A model that is asked, without layers that make numbers of its net's outputs, as these are float32."""

    outputs: Compiled
    facts: ModelFacts

    def predictions(
        self,
        images: np.ndarray,
        scaling: Scaling,
        views: Sequence[Callable[[np.ndarray, int], np.ndarray] | None],
        place: int,
    ) -> np.ndarray:
        """Returns what it predicts of a batch, averaged over its views.

        Returns:
            Probabilities (sample, class) float32; or (sample, number) float64.
        """
        divided = scaling.divide(images)
        total: Any = 0.0
        for view in views:
            prepared = divided if view is None else view(divided, place)
            [asked] = outputs_of_batch(self.outputs.model, scaling.center(prepared))
            total = total + self._read(asked)
        found = total / len(views)
        return found if self.facts.target.is_numbers else found.astype(np.float32)

    def _read(self, outputs: np.ndarray) -> np.ndarray:
        if self.facts.target.is_numbers:
            return Learnt(scale=self.facts.scale).numbers(outputs)
        return self.outputs.probabilities(outputs)
