"""Models that are kept: files that plain Keras loads, in its safe mode and without kerasgrid.

They take values as they stand in the user's file, and give what is predicted as it stands there: what a
search does to these before its nets see them, and after, is layers of the saved model. Rows of a table are
taken as vectors, and what makes these of rows is in the file as plain data. Files of earlier versions hold
the net alone. Of a model that Keras would not load so, the weights are kept, and its net is built again by
the model function.
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
from kerasgrid.data.statistics import TargetScale
from kerasgrid.errors import ChangedError, KerasgridError, ResultsError, StorageError, brief
from kerasgrid.io import discard, is_whole_archive, replacing, write_atomic
from kerasgrid.jobs.facts import ModelFacts
from kerasgrid.models.inputs import Form, inputs_of, samples_of, symbols_of
from kerasgrid.models.keras_private import compile_arguments
from kerasgrid.records import Context, Inputs, Job, NoteRecord
from kerasgrid.run.paths import RunPaths, is_weights
from kerasgrid.seeds import graph_seed
from kerasgrid.training.augmentation import normalize
from kerasgrid.training.batches import Scaling
from kerasgrid.training.candidate import Candidate, seeded
from kerasgrid.training.learnt import Learnt
from kerasgrid.training.rest import compiled_of

STORED = "stored_values"
"""The input of a saved model with layers for what is done to stored values, by which it is known that it has
them, wherever its file goes; their names begin with it."""
NUMBERS = "predicted_numbers"
"""The input of a saved model with layers that make the user's numbers of its net's outputs, and none before
it, where it has one; the names of such layers begin with it."""
_SAFE_STD = 1e-6, 1e18
"""Keras's Normalization has a variance in float32, and takes the root to be 1e-7 at least."""

_loadable: set[frozenset[tuple[str, ...]]] = set()
"""Of what files consist that this process has loaded again."""


@dataclass(frozen=True)
class Frame:
    """What stands around a net in a saved model.

    That is what a search does to stored values before its nets see them, as the first layers; how numbers to
    predict are scaled, undone by the last ones; and what the file tells beside.

    Attributes:
        form: Axes of one sample, or its inputs, to which nothing is done.
        scaling: What they are divided by, and what is subtracted and divided by at the end.
        how: What is done between to all images, augmented or not.
        scale: Of the numbers to predict.
        facts: What the file tells.
    """

    form: Form
    scaling: Scaling = field(default_factory=Scaling)
    how: Augmentation = NOTHING
    scale: TargetScale | None = None
    facts: ModelFacts | None = None

    @classmethod
    def of(cls, candidate: Candidate, learnt: Learnt) -> Frame:
        """Returns a candidate's.

        Nothing is done to images where a function of the user's stands in the midst of that, nor to the
        vectors of a table's rows, nor to several inputs.

        Args:
            candidate: Whose.
            learnt: Of the rows that its net is trained on.
        """
        given, facts = candidate.route.augment, None
        if learnt.encoder is not None or learnt.scale is not None:
            facts = ModelFacts(candidate.recipe.target, learnt.encoder, learnt.scale)
        frame = cls(candidate.form, scale=learnt.scale, facts=facts)
        has_function = given is not None and given.preprocessing_function is not None
        if has_function or learnt.encoder is not None or isinstance(frame.form, Inputs):
            return frame
        scaling, how = candidate.scaling(learnt.center), Augmentation.normalizing(given)
        return replace(frame, scaling=scaling, how=how)

    def around(self, net: keras.Model) -> keras.Model:
        """Returns a model of stored values with a net in its midst; the net itself where there are no layers.

        The layers compute in float32 whatever the net does, as NumPy does it in training.
        """
        is_known = bool(getattr(net, "inputs", None))
        if isinstance(self.form, Inputs):
            if self.scale is None:
                return net
            given = keras.tree.map_structure(_like, inputs_of(net)) if is_known else symbols_of(self.form)
            return keras.Model(given, self._unscaled(net(given)), name=net.name)
        shape = net.inputs[0].shape[1:] if is_known else self.form
        stored = keras.Input(shape, dtype="float32", name=STORED)
        values = self._prepared(stored)
        if values is stored:
            if self.scale is None:
                return net
            stored = values = keras.Input(shape, dtype="float32", name=NUMBERS)
        return keras.Model(stored, self._unscaled(net(values)), name=net.name)

    def _prepared(self, values: Any) -> Any:
        """Returns stored values as a net sees them; the same symbol where nothing is done to them."""
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
        return values

    def _unscaled(self, outputs: Any) -> Any:
        """Returns the numbers that a net's outputs stand for, as `TargetScale.undo`; without one, these."""
        if self.scale is None:
            return outputs
        shape = (len(self.scale.mean),)
        if tuple(outputs.shape[1:]) != shape:
            outputs = keras.layers.Reshape(shape, dtype="float32", name=f"{NUMBERS}_in_a_row")(outputs)
        std, mean = list(self.scale.std), list(self.scale.mean)
        numbers = keras.layers.Rescaling(std, mean, dtype="float32", name=f"{NUMBERS}_scaled")(outputs)
        return keras.ops.expm1(numbers) if self.scale.how == "log" else numbers


def _like(tensor: Any) -> Any:
    """Returns an input like another model's, by the same name."""
    return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)


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
        context: Is told why, where its weights alone are kept, or nothing: that is no failure.

    Raises:
        StorageError: The disk is full or cannot be written.
        ChangedError: The model function's source changed since the search began.
    """
    try:
        candidate = candidate.net
        learnt = candidate.learnt(candidate.folds[job.fold])
        reason = save_net(make(), candidate.recipe.paths.model(*job.id), candidate, learnt)
        if reason is None:
            return
        text = f"{job}: {told_weights(candidate, reason)} Other models of which this holds are not told of."
    except (StorageError, ChangedError):
        raise
    except Exception as error:
        text = (
            f"{job}: its model is not kept ({brief(error)}). Its score counts; other models of which this "
            "holds are not told of."
        )
    context.emit(NoteRecord(text, topic="fold models"))


def keep_weights(candidate: Candidate, job: Job, weights: Sequence[np.ndarray]) -> None:
    """Saves the weights of a job that has ended, in the model's order.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    write_weights(candidate.recipe.paths.weights(*job.id), weights)


def write_weights(path: Path, weights: Sequence[np.ndarray]) -> None:
    """Writes arrays by their places, from 0, whole or not at all."""
    arrays: dict[str, Any] = {str(place): np.asarray(value) for place, value in enumerate(weights)}
    write_atomic(path, lambda file: np.savez(file, **arrays))


def told_weights(candidate: Candidate, reason: str) -> str:
    """Returns in words that of a model the weights are kept, and what that means."""
    return (
        f"Keras cannot save this model, or would not load it in its safe mode ({reason.partition('. ')[0]}), "
        f"so that its weights are kept: {_function(candidate)} builds it again for kerasgrid, and plain "
        "Keras has no file of it. With classes and functions that are registered by "
        "keras.saving.register_keras_serializable, and layers of your own for Lambda, it is saved whole."
    )


def _function(candidate: Candidate) -> str:
    model = candidate.recipe.model
    return getattr(model, "__qualname__", type(model).__name__) if callable(model) else str(model)


def save_net(net: keras.Model, path: Path, candidate: Candidate, learnt: Learnt) -> str | None:
    """Saves a trained net with what stands around it; or its weights, where Keras would not load it again.

    Args:
        net: It stays as it is.
        path: The .keras file; weights lie beside it (`RunPaths.forms`), and only one of the two is there.
        candidate: Whose it is.
        learnt: Of the rows that it was trained on.

    Returns:
        Why these are its weights alone; None where it is the whole model.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    whole, weights = RunPaths.forms(path)
    try:
        save_model(net, whole, Frame.of(candidate, learnt))
    except StorageError:
        raise
    except Exception as error:
        facts = ModelFacts(
            candidate.recipe.target, learnt.encoder, learnt.scale, candidate.recipe.model_source
        )
        write_weights(weights, net.get_weights())
        facts.write(weights)
        discard(whole)
        return str(error) if isinstance(error, UnloadableError) else brief(error)
    discard(weights)
    return None


def save_model(net: keras.Model, path: Path, frame: Frame) -> None:
    """Saves a net with what stands around it, if Keras would load it again.

    It is saved as if it had not been compiled, whole or not at all.

    Args:
        net: It stays as it is.
        path: The .keras file.
        frame: What stands around it.

    Raises:
        UnloadableError: Keras would not load it in its safe mode.
        StorageError: The disk is full or cannot be written.
    """
    with replacing(path, ".keras") as file:
        with _uncompiled(net):
            frame.around(net).save(file)
        if frame.facts is not None:
            frame.facts.write(file)
        _check_loads(file)


def compile_as(model: keras.Model, net: keras.Model) -> None:
    """Compiles a model as the net at its end was, by the same optimizer; the net is not compiled any more."""
    settings = {**compile_arguments(net), "optimizer": net.optimizer}
    net.compiled, net.optimizer = False, None
    model.compile(**settings)


def is_all_of_keras(model: keras.Model) -> bool:
    """Tells whether Keras has all classes and functions that a model consists of, so that it loads it."""
    try:
        parts = [*_parts(keras.saving.serialize_keras_object(model))]
    except Exception:  # whatever a class of the user's own raises that tells of no config
        return False
    return all(module.startswith("keras") for module, _, _ in parts)


def net_of(model: keras.Model) -> keras.Model:
    """Returns the net in a saved model; the model itself where no layers stand around it."""
    if not any(layer.name in (STORED, NUMBERS, f"{NUMBERS}_scaled") for layer in model.layers):
        return model
    return [layer for layer in model.layers if not layer.name.startswith((STORED, NUMBERS))][-1]


def prepares(model: keras.Model) -> bool:
    """Tells whether a saved model has layers that prepare stored values for its net."""
    return any(layer.name == STORED for layer in model.layers)


def before_numbers(model: keras.Model) -> keras.Model:
    """Returns a saved model without the layers that make the user's numbers of its net's outputs."""
    first = next((layer for layer in model.layers if layer.name.startswith(f"{NUMBERS}_")), None)
    return model if first is None else keras.Model(model.input, first.input)


def own_model(candidate: Candidate, weights: Sequence[np.ndarray]) -> keras.Model:
    """Returns the model of a job that a program has trained, as the model function gives it.

    The program's own has keyed layers, and the numbers of the first candidate of its graph.

    Args:
        candidate: The job's.
        weights: The values of the model's weights; of the rest of a net, the rest's.
    """
    with seeded(graph_seed(candidate.recipe.seed), with_backend=False):
        if candidate.whole is not None:
            compiled = compiled_of(candidate)
            compiled.model.set_weights(weights)
            return compiled.net
        model = candidate.build()
        if not model.built:
            model(samples_of(candidate.form, lambda shape: np.zeros((1, *shape), np.float32)))
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


def load_kept(file: Path, candidate: Candidate | None = None, *, compiled: bool = True) -> keras.Model:
    """Returns a model that was kept, compiled if it was and is to be; of weights, the net that they are of.

    Args:
        file: The .keras file, or that of weights.
        candidate: Whose it is, which builds the net of weights again.
        compiled: Whether it is to be compiled.

    Raises:
        ResultsError: It is damaged, or Keras cannot load it, or its weights are of another net.
        ChangedError: The model function's source changed since weights were trained.
    """
    if not is_whole_archive(file):
        raise ResultsError(
            f"{file}: Keras cannot load it (it is damaged, and no whole archive). Restore it, or remove "
            "it and train it again."
        )
    if is_weights(file):
        assert candidate is not None  # whoever has the file of a search has that
        return _rebuilt(file, candidate)
    try:
        return keras.models.load_model(file, compile=compiled, safe_mode=True)
    except Exception as error:  # whatever it is that the file holds
        raise ResultsError(f"{file}: Keras cannot load it ({brief(error)}).") from error


def rebuilt(
    file: Path, candidate: Candidate, center: tuple[Sequence[float], Sequence[float]] | None
) -> keras.Model:
    """Returns a model of which the weights are kept, with what stands around its net, as others are kept.

    Args:
        file: Of weights.
        candidate: Whose it is.
        center: As its card has it.
    """
    net, facts = load_kept(file, candidate), ModelFacts.read(file)
    assert facts is not None  # else it were not loaded
    arrays = None if center is None else (np.asarray(center[0]), np.asarray(center[1]))
    return Frame.of(candidate, Learnt(arrays, facts.encoder, facts.scale)).around(net)


def _rebuilt(file: Path, candidate: Candidate) -> keras.Model:
    """Returns the net that its model function builds, with the weights of a file."""
    facts, function = ModelFacts.read(file), _function(candidate)
    if facts is None or facts.source is None:
        raise ResultsError(f"{file}: does not tell what its net is built by. Remove it and train it again.")
    if facts.source != candidate.recipe.model_source:
        raise ChangedError(
            f"{file}: holds the weights of a net that {function} builds, whose source changed since they "
            "were trained. Restore the source, or remove the file and train it again."
        )
    try:
        with np.load(file, allow_pickle=False) as archive:
            places = sorted((name for name in archive.files if name.isdigit()), key=int)
            weights = [archive[name] for name in places]
        return own_model(candidate, weights)
    except KerasgridError:
        raise
    except Exception as error:  # whatever the file holds, or the user's own code raises
        raise ResultsError(
            f"{file}: its weights do not fit what {function} builds ({brief(error)}). It has to build the "
            "same net each time: remove the file and train it again."
        ) from error


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
