"""A candidate in a worker: its compiled model, callbacks and rows, and what gave each weight its value."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.data.folds import inner_rows, inner_split, load_folds
from kerasgrid.data.statistics import standardize_statistics
from kerasgrid.jobs.objective import Objective
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import DEFAULT_VAL, Route
from kerasgrid.models.building import build_model
from kerasgrid.models.keras_private import has_value
from kerasgrid.models.signature import ModelReference, load_function
from kerasgrid.records import WHOLE, Dataset, Fold
from kerasgrid.training.batches import open_dataset
from kerasgrid.training.compiling import Compiled, compile_model


@dataclass
class Made:
    """The variables that were made by `Layer.add_weight`.

    Attributes:
        initializers: By the variable's id.
        values: Digests of the first values, by the variable's id; empty where nobody asked for them.
        variables: Kept, so that no id is given twice.
    """

    initializers: dict[int, Any] = field(default_factory=dict)
    values: dict[int, bytes] = field(default_factory=dict)
    variables: list[Any] = field(default_factory=list)

    def untouched(self, weights: list[Any]) -> list[bool | None]:
        """Tells of each weight whether it has the value that its initializer gave it.

        None where that is not known: of those that were made while a model was called with a symbol.
        """
        known = [(self.values.get(id(weight)), weight) for weight in weights]
        return [None if first is None else first == _digest(weight) for first, weight in known]


@contextmanager
def recorded(with_values: bool = False) -> Iterator[Made]:
    """Records the variables that layers make within.

    Args:
        with_values: Whether their values are to be known too, at the cost of a hash of each.
    """
    made = Made()
    add_weight = keras.layers.Layer.add_weight

    def recording(self, shape=None, initializer=None, *args, **kwargs):
        variable = add_weight(self, shape, initializer, *args, **kwargs)
        made.initializers[id(variable)] = "zeros" if initializer is None else initializer
        made.variables.append(variable)
        if with_values and has_value(variable):
            made.values[id(variable)] = _digest(variable)
        return variable

    keras.layers.Layer.add_weight = recording
    try:
        yield made
    finally:
        keras.layers.Layer.add_weight = add_weight


def _digest(variable: Any) -> bytes:
    array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
    return hashlib.blake2b(array.view(np.uint8).data, digest_size=16).digest()


def build_and_compile(
    recipe: Recipe, plan: Route, objective: Objective, input_shape: tuple[int, ...]
) -> Compiled:
    """Returns a candidate's compiled model.

    Raises:
        ModelError: The model function or Keras refuses the params.
    """
    with recorded(with_values=True) as made:
        model = build(recipe, plan, input_shape)
    untouched = made.untouched(model.weights)
    compiled = compile_model(
        model, plan, objective, recipe.n_classes, input_shape, multi_label=recipe.multi_label
    )
    return replace(compiled, sets_weights=not all(untouched), is_pretrained=False in untouched)


def build(recipe: Recipe, plan: Route, input_shape: tuple[int, ...]) -> keras.Model:
    """Returns a candidate's model, as its function gives it.

    Raises:
        ModelError: The model function or Keras refuses the params.
    """
    function = import_function(recipe)
    with precision(plan):
        return build_model(
            function,
            recipe.signature,
            plan.model,
            input_shape,
            recipe.n_classes,
            is_whole=True,
            multi_label=recipe.multi_label,
        )


def import_function(recipe: Recipe) -> Callable:
    """Returns the model function; its module registers what its models consist of with Keras.

    Raises:
        ChangedError: Its source changed since the search began.
    """
    if isinstance(recipe.model, ModelReference):
        return load_function(recipe.model, recipe.model_source)
    return recipe.model


@contextmanager
def precision(plan: Route) -> Iterator[None]:
    """Lets layers that are made within have a candidate's dtype policy."""
    before = keras.config.dtype_policy()
    if plan.training.precision != "float32":  # else floatx's, as the user has it
        keras.config.set_dtype_policy(plan.training.precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def rows_of(recipe: Recipe, plan: Route, data: Dataset, fold: Fold) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the rows to train on, and those of the inner split; None where nothing looks at it."""
    share = _inner_share(recipe, plan)
    if share is None:
        return fold.train, None
    if isinstance(share, str):  # the held-out rows themselves
        return fold.train, fold.test
    return inner_split(data.labels, fold, share, recipe.seed)


def trained_rows(recipe: Recipe, plan: Route, fold: Fold) -> int:
    """Returns how many rows there are to train on, without splitting them."""
    share = _inner_share(recipe, plan)
    left_out = inner_rows(fold, share) if isinstance(share, float) else 0
    return len(fold.train) - left_out


def _inner_share(recipe: Recipe, plan: Route) -> float | str | None:
    return recipe.val or (DEFAULT_VAL if plan.monitors_val else None)


@lru_cache(maxsize=4)
def _folds(path: str, changed_at: float, n_samples: int, source: str) -> tuple[Fold, ...]:
    return tuple(load_folds(Path(path), n_samples, source)[0])


def read_folds(recipe: Recipe, n_samples: int) -> tuple[Fold, ...]:
    """Returns the search's folds, read once in this process."""
    path = recipe.paths.folds
    return _folds(str(path), path.stat().st_mtime, n_samples, recipe.source)


@lru_cache(maxsize=64)
def _statistics(
    folds: str, changed_at: float, fold: int, folder: str, source: str, scale: float | None
) -> tuple[np.ndarray, np.ndarray]:
    images = open_dataset(folder, source).images
    return standardize_statistics(images, _folds(folds, changed_at, len(images), source)[fold].train, scale)


def statistics_of(recipe: Recipe, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation of a fold's training rows, computed once in this process."""
    if fold.index == WHOLE:
        changed_at = Path(recipe.data_folder, "images.npy").stat().st_mtime
        return _statistics_of_all(
            recipe.data_folder, changed_at, len(fold.train), recipe.source, recipe.scale
        )
    path = recipe.paths.folds
    return _statistics(
        str(path), path.stat().st_mtime, fold.index, recipe.data_folder, recipe.source, recipe.scale
    )


@lru_cache(maxsize=2)
def _statistics_of_all(
    folder: str, changed_at: float, n_rows: int, source: str, scale: float | None
) -> tuple[np.ndarray, np.ndarray]:
    return standardize_statistics(open_dataset(folder, source).images, np.arange(n_rows), scale)


def mean_and_spread(recipe: Recipe, plan: Route, fold: Fold) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns what is subtracted of a fold's images and what they are divided by, (channel,) each.

    That is `standardize`, or ImageDataGenerator's featurewise normalisation of the rescaled images.
    """
    if recipe.standardize:
        return statistics_of(recipe, fold)
    given = plan.augment
    if given is None or not given.has_statistics:
        return None
    return given.center_and_spread(*statistics_of(recipe, fold))


@contextmanager
def seeded(seed: int, *, with_backend: bool = True) -> Iterator[None]:
    """Seeds Python, NumPy and the backend, and gives Python and NumPy their own numbers back after.

    Args:
        seed: 0 to 2**32 - 1.
        with_backend: Whether to seed the backend too: TensorFlow forgets its kernels then.
    """
    python, numpy = random.getstate(), np.random.get_state()
    if with_backend:
        keras.utils.set_random_seed(seed)
    else:
        random.seed(seed)
        np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
