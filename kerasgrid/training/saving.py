"""Models that are kept: files that plain Keras loads, in its safe mode and without kerasgrid.

They take values as they stand in the user's file: what a search does to these before its nets see them is
layers of the saved model. Files of earlier versions hold the net alone.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.config.augment import NOTHING, Augmentation
from kerasgrid.errors import ChangedError, KerasgridError, ResultsError, StorageError, brief
from kerasgrid.io import is_whole_archive, replacing
from kerasgrid.models.keras_private import compile_arguments
from kerasgrid.records import Context, Job, NoteRecord
from kerasgrid.seeds import graph_seed
from kerasgrid.training.augmentation import normalize
from kerasgrid.training.batches import Scaling
from kerasgrid.training.candidate import Candidate, seeded

STORED = "stored_values"
"""The input of a saved model with layers for what is done to stored values, by which it is known that it has
them, wherever its file goes; their names begin with it."""
_SAFE_STD = 1e-6, 1e18
"""Keras's Normalization has a variance in float32, and takes the root to be 1e-7 at least."""

_loadable: set[frozenset[tuple[str, ...]]] = set()
"""Of what files consist that this process has loaded again."""


@dataclass(frozen=True)
class Front:
    """What a search does to stored values before its nets see them: the first layers of a saved model.

    Attributes:
        shape: Axes of one sample.
        scaling: What they are divided by, and what is subtracted and divided by at the end.
        how: What is done between to all images, augmented or not.
    """

    shape: tuple[int, ...]
    scaling: Scaling = field(default_factory=Scaling)
    how: Augmentation = NOTHING

    @classmethod
    def of(cls, candidate: Candidate, center: tuple[np.ndarray, np.ndarray] | None) -> Front:
        """Returns a candidate's; without layers where a function of the user's stands in the midst of them.

        Args:
            candidate: Whose.
            center: (channel,) each, what is subtracted and what is divided by; None for neither.
        """
        given = candidate.route.augment
        if given is not None and given.preprocessing_function is not None:
            return cls(candidate.input_shape)
        return cls(candidate.input_shape, candidate.scaling(center), Augmentation.normalizing(given))

    def before(self, net: keras.Model) -> keras.Model:
        """Returns a model of stored values with a net at its end; the net itself where there are no layers.

        The layers compute in float32 whatever the net does, as NumPy does it in training.
        """
        shape = net.inputs[0].shape[1:] if getattr(net, "inputs", None) else self.shape
        stored = values = keras.Input(shape, dtype="float32", name=STORED)
        scaling, how = self.scaling, self.how
        if scaling.divisor is not None:
            values = _standardized(values, np.float32(0), np.float32(scaling.divisor), "divided")
        if how.rescale is not None:
            rescaling = keras.layers.Rescaling(how.rescale, dtype="float32", name=f"{STORED}_rescaled")
            values = rescaling(values)
        values = normalize(replace(how, rescale=None), values)
        if scaling.mean is not None and scaling.std is not None:
            mean, std = scaling.mean.astype(np.float32), scaling.std.astype(np.float32)
            values = _standardized(values, mean, std, "standardized")
        return net if values is stored else keras.Model(stored, net(values), name=net.name)


def _standardized(values: Any, mean: Any, std: Any, name: str) -> Any:
    """Returns values less `mean` divided by `std`: float32, numbers or (channel,)."""
    if not (_SAFE_STD[0] < std.min() and std.max() < _SAFE_STD[1]):
        unit = np.exp2(-np.floor(np.log2(std)))  # by which multiplying rounds nothing
        layer = keras.layers.Rescaling(unit.tolist(), dtype="float32", name=f"{STORED}_in_units_{name}")
        values, mean, std = layer(values), mean * unit, std * unit
    return keras.layers.Normalization(
        mean=mean.tolist(),
        variance=np.square(std, dtype=np.float64).tolist(),
        dtype="float32",
        name=f"{STORED}_{name}",
    )(values)


class UnloadableError(KerasgridError):
    """A file of a model that Keras does not load in its safe mode; the message says why."""


def keep_model(candidate: Candidate, job: Job, make: Callable[[], keras.Model], context: Context) -> None:
    """Saves the model of a job that has ended, as if it had not been compiled, whole or not at all.

    Args:
        candidate: The job's.
        job: The job.
        make: Gives its model.
        context: Is told why, where the model cannot be saved: that is no failure.

    Raises:
        StorageError: The disk is full or cannot be written.
        ChangedError: The model function's source changed since the search began.
    """
    try:
        front = Front.of(candidate, candidate.learnt(candidate.folds[job.fold]).center)
        save_model(make(), candidate.recipe.paths.model(*job.id), front)
    except (StorageError, ChangedError):
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, UnloadableError) else brief(error)
        text = (
            f"{job}: its model is not kept, as Keras cannot save it or would not load it safely ({reason}). "
            "Its score counts; other models of which this holds are not told of."
        )
        context.emit(NoteRecord(text, topic="fold models"))


def save_model(net: keras.Model, path: Path, front: Front) -> None:
    """Saves a net behind the layers that make its input of stored values, if Keras would load it again.

    It is saved as if it had not been compiled, whole or not at all.

    Args:
        net: It stays as it is.
        path: The .keras file.
        front: These layers.

    Raises:
        UnloadableError: Keras would not load it in its safe mode.
        StorageError: The disk is full or cannot be written.
    """
    with replacing(path, ".keras") as file:
        with _uncompiled(net):
            front.before(net).save(file)
        _check_loads(file)


def compile_as(model: keras.Model, net: keras.Model) -> None:
    """Compiles a model as the net at its end was, by the same optimizer; the net is not compiled any more."""
    settings = {**compile_arguments(net), "optimizer": net.optimizer}
    net.compiled, net.optimizer = False, None
    model.compile(**settings)


def net_of(model: keras.Model) -> keras.Model:
    """Returns the net at the end of a saved model; the model itself where it has no layers before it."""
    has_layers = any(layer.name == STORED for layer in model.layers)
    return model.layers[-1] if has_layers else model


def own_model(candidate: Candidate, weights: Sequence[np.ndarray]) -> keras.Model:
    """Returns the model of a job that a program has trained, as the model function gives it.

    The program's own has keyed layers, and the numbers of the first candidate of its graph.

    Args:
        candidate: The job's.
        weights: The values of the model's weights.
    """
    with seeded(graph_seed(candidate.recipe.seed), with_backend=False):
        model = candidate.build()
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


def load_kept(file: Path, *, compiled: bool = True) -> keras.Model:
    """Returns a model that was kept, compiled if it was and is to be.

    Raises:
        ResultsError: It is damaged, or Keras cannot load it.
    """
    if not is_whole_archive(file):
        raise ResultsError(
            f"{file}: Keras cannot load it (it is damaged, and no whole archive). Restore it, or remove "
            "it and train it again."
        )
    try:
        return keras.models.load_model(file, compile=compiled, safe_mode=True)
    except Exception as error:  # whatever it is that the file holds
        raise ResultsError(f"{file}: Keras cannot load it ({brief(error)}).") from error


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
