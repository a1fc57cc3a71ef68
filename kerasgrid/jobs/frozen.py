"""Where a net's frozen part may be computed once, and what its outputs are of. Free of Keras."""

from __future__ import annotations

from pathlib import Path

from kerasgrid.config.augment import Augment
from kerasgrid.data.cache import sample_digests
from kerasgrid.data.outputs import Outputs
from kerasgrid.io import digest
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import Route
from kerasgrid.machine import backend, versions
from kerasgrid.records import Dataset, Frozen

OFF = "off"


def why_not_kept(recipe: Recipe, route: Route, data: Dataset) -> str | None:
    """Returns why a frozen part gives others of a sample in other epochs or folds; None where not."""
    given = route.augment
    if route.training.frozen == OFF:
        return "training.frozen is off"
    if route.own_callbacks:
        return f"the callback {route.own_callbacks[0]} may look at all of a model"
    if data.table is not None:
        return "rows of a table are encoded as each fold has learnt"
    if recipe.standardize or (given is not None and given.has_statistics):
        return "images are normalised by each fold's training rows"
    if given is not None and given.mixes:
        return "images of a batch are mixed"
    if given is not None and given.operations and given.views is None:
        return "images are augmented anew in each epoch, but for so many fixed ones as augment.views says"
    return None


def n_views(given: Augment | None) -> int:
    """Returns how many augmented views of each sample are taken, where the frozen part is computed once."""
    return 0 if given is None or not given.operations else given.views or 0


def outputs_of(frozen: Frozen, recipe: Recipe, route: Route, data: Dataset) -> Outputs:
    """Returns what a candidate's frozen part gives of all samples, as it is kept or is to be."""
    given, about = route.augment, {}
    dtype = "float32" if frozen.is_exact else route.training.frozen
    if given is not None:
        about = {
            name: value for name, value in given.model_dump(exclude_unset=True).items() if name != "views"
        }
        about = {"augment": about, "sources": dict(recipe.sources)} if about else {}
    views = n_views(given)
    key = {
        "frozen": frozen.key,
        "samples": sample_digests(Path(recipe.data_folder))[0],
        "scaling": [recipe.scale, recipe.normalize],
        "dtype": dtype,
        "by": [backend(), versions()["keras"]],
        "views": [views, recipe.seed] if views else [],
        **about,
    }
    return Outputs(digest(key), len(data), frozen.shape, dtype, views, recipe.source)
