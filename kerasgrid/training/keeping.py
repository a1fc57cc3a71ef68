"""Fold models that are kept: files that plain Keras loads, in its safe mode and without kerasgrid."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import ChangedError, KerasgridError, StorageError, brief
from kerasgrid.io import replacing
from kerasgrid.records import Context, Job, NoteRecord
from kerasgrid.seeds import graph_seed
from kerasgrid.training.candidate import build, seeded
from kerasgrid.training.recipe import Recipe

_loadable: set[frozenset[tuple[str, ...]]] = set()
"""Of what files consist that this process has loaded again."""


class UnloadableError(KerasgridError):
    """A file of a model that Keras does not load in its safe mode; the message says why."""


def keep_model(recipe: Recipe, job: Job, make: Callable[[], keras.Model], context: Context) -> None:
    """Saves the model of a job that has ended, as if it had not been compiled, whole or not at all.

    Args:
        recipe: The search's.
        job: The job.
        make: Gives its model.
        context: Is told why, where the model cannot be saved: that is no failure.

    Raises:
        StorageError: The disk is full or cannot be written.
        ChangedError: The model function's source changed since the search began.
    """
    try:
        save_model(make(), recipe.paths.model(*job.id))
    except (StorageError, ChangedError):
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, UnloadableError) else brief(error)
        text = (
            f"{job}: its model is not kept, as Keras cannot save it or would not load it safely ({reason}). "
            "Its score counts; other models of which this holds are not told of."
        )
        context.emit(NoteRecord(text, topic="fold models"))


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a model as if it had not been compiled, whole or not at all, if Keras would load it again.

    Args:
        model: It stays as it is.
        path: The .keras file.

    Raises:
        UnloadableError: Keras would not load it in its safe mode.
        StorageError: The disk is full or cannot be written.
    """
    with replacing(path, ".keras") as file:
        with _uncompiled(model):
            model.save(file)
        _check_loads(file)


def own_model(
    recipe: Recipe, job: Job, input_shape: tuple[int, ...], weights: Sequence[np.ndarray]
) -> keras.Model:
    """Returns the model of a job that a program has trained, as the model function gives it.

    The program's own has keyed layers, and the numbers of the first candidate of its graph.

    Args:
        recipe: The search's.
        job: The job.
        input_shape: Axes of one sample.
        weights: The values of the model's weights.
    """
    with seeded(graph_seed(recipe.seed), with_backend=False):
        model = build(recipe, recipe.route(job.trial.params), input_shape)
    model.set_weights(weights)
    return model


@contextmanager
def _uncompiled(model: keras.Model) -> Iterator[None]:
    """Hides what a model was compiled with: the optimizer's state, and a loss of the user's own."""
    kept = model.compiled, getattr(model, "optimizer", None)
    model.compiled, model.optimizer = False, None
    try:
        yield
    finally:
        model.compiled, model.optimizer = kept


def _check_loads(file: Path) -> None:
    """Loads a file again, unless one that consists of the same classes and functions has been loaded.

    Raises:
        UnloadableError: Keras refuses it.
    """
    with zipfile.ZipFile(file) as archive:
        parts = frozenset(_parts(json.loads(archive.read("config.json"))))
    if parts in _loadable:
        return
    try:
        with seeded(0, with_backend=False):  # layers that are random draw a seed when they are made
            keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:
        first: BaseException = error
        while first.__context__ is not None:  # Keras wraps the reason once a level
            first = first.__context__
        raise UnloadableError(brief(first)) from error
    _loadable.add(parts)


def _parts(config: Any) -> Iterator[tuple[str, ...]]:
    """Yields module, registered name and name of each class and function in a model's config."""
    if isinstance(config, dict):
        if "class_name" in config:
            name = config["config"] if config["class_name"] == "function" else config["class_name"]
            yield str(config.get("module")), str(config.get("registered_name")), str(name)
        config = list(config.values())
    for value in config if isinstance(config, list) else ():
        yield from _parts(value)
