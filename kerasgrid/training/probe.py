"""What only a worker can tell of a model function: its signature, and whether its models build."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.config.stages import Stage
from kerasgrid.data.cache import map_samples
from kerasgrid.errors import ChangedError, KerasgridError, ModelError, ScoreError, did_you_mean
from kerasgrid.jobs.objective import made_up, own_score
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.models.endings import scales_input
from kerasgrid.models.freezing import chosen_layers
from kerasgrid.models.hyperparameters import declared
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import ModelReference
from kerasgrid.models.source import users_line
from kerasgrid.records import Context, Frozen, ProbeRecord, WeightsFile
from kerasgrid.training import packs
from kerasgrid.training.batches import Batches
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.compiling import Compiled, FreshOptimizer
from kerasgrid.training.frozen import WholeError
from kerasgrid.training.moving import momenta
from kerasgrid.training.rest import Rest
from kerasgrid.training.scoring import function_of, metric_of
from kerasgrid.wording import shown_path


def inspect_function(reference: ModelReference, context: Context) -> None:
    """Emits a model function's signature and the space that a `build(hp)` declares.

    Raises:
        ModelError: The function cannot be loaded, or a `build(hp)` fails with its own defaults.
    """
    context.emit(declared(load_function(reference)))


def probe(recipe: Recipe, params: Mapping[str, Any], context: Context) -> None:
    """Builds and compiles one candidate's model and emits a ProbeRecord; trains nothing."""
    data = map_samples(Path(recipe.data_folder), recipe.source)
    n_parameters, error, graph, scales, pieces = None, None, None, None, None
    weights: tuple[WeightsFile, ...] = ()
    frozen: tuple[Frozen, ...] = ()
    moving: tuple[tuple[float, tuple[int, ...]], ...] = ()
    why_whole = None
    try:
        candidate = Candidate.of(recipe, params, data)
        compiled = candidate.compile()
        callbacks = candidate.callbacks(compiled, np.arange(len(data)))
        _check_preprocessing(candidate)
        if candidate.route.stages:
            FreshOptimizer(compiled.model)
        _check_stages(compiled.model, candidate.route.stages)
        _check_scores(candidate, compiled)
        if candidate.route.callbacks or compiled.callbacks or candidate.objective.kind == "keras":
            _check_metrics(candidate, compiled)
            if candidate.recipe.inner_share(candidate.route, compiled.val) is None:
                _check_own_monitors(callbacks)
        weights = compiled.weights
        n_parameters = compiled.model.count_params() if compiled.model.built else None
        if recipe.packs:
            graph = packs.graph_of(candidate, compiled)
            pieces = packs.pieces_of(candidate) if graph.key is not None else None
        moving = momenta(compiled.model, candidate.route.stages)
        frozen, why_whole = _frozen(candidate, compiled)
        if not compiled.is_pretrained:  # else it has an input of its own
            scales = scales_input(compiled.model, candidate.form)
    except KerasgridError as refused:
        error = {"type": type(refused).__name__, "message": str(refused)}
    finally:
        keras.backend.clear_session()
    built = n_parameters, error, device(), graph, scales, moving, pieces, weights, frozen, why_whole
    context.emit(ProbeRecord(dict(params), *built))


def _frozen(candidate: Candidate, compiled: Compiled) -> tuple[tuple[Frozen, ...], str | None]:
    """Returns the frozen part of a candidate's net, in each of its stages, or why it begins with none."""
    found, reason = [], None
    for place in range(len(candidate.route.stages) or 1):
        try:
            found.append(Rest.at_stage(candidate, compiled, place).about(place, packs.graph_of))
        except WholeError as error:
            reason = reason or str(error)
    return tuple(found), None if found else reason or None


def _check_stages(model: keras.Model, stages: Sequence[Stage]) -> None:
    """Refuses stages that train what the model has not, all of them together."""
    faults: dict[str, None] = {}
    for stage in stages:
        try:
            chosen_layers(model, stage.trainable)
        except ModelError as error:
            faults[str(error)] = None
    if faults:
        raise ModelError(" ".join(faults))


def _check_metrics(candidate: Candidate, compiled: Compiled) -> None:
    """Measures one sample, and refuses a monitor or an objective that the model does not measure."""
    objective, row, measured = candidate.objective, np.zeros(1, dtype=np.int64), {"loss": 0.0}
    if compiled.is_measured:
        with Batches(*candidate.sample(compiled), row, 1, candidate.scaling(None)) as batches:
            measured = compiled.model.evaluate(batches, verbose=0, return_dict=True)
    if objective.kind == "keras" and objective.metric not in measured and objective.name not in measured:
        known = ", ".join(sorted(measured))
        raise ModelError(
            f"search.objective is {objective.name!r}, which the compiled model does not measure: "
            f"it measures {known}. Compile it with that metric, or do not compile it."
        )
    watched = sorted({*measured, *(f"val_{name}" for name in measured), "learning_rate"})
    for name, args in candidate.route.callbacks.items():
        if "monitor" in args and args["monitor"] not in watched:
            raise ModelError(
                f"callbacks.{name}.monitor is {args['monitor']!r}, which is not measured."
                f"{did_you_mean(args['monitor'], watched)}"
            )


def _check_preprocessing(candidate: Candidate) -> None:
    """Refuses a preprocessing_function that cannot be loaded, or that the first image is not for."""
    given = candidate.route.augment
    if given is None or given.preprocessing_function is None:
        return
    prepare = candidate.preparation()
    assert prepare is not None  # there is a function
    images, first, scaling = candidate.data.images, np.zeros(1, dtype=np.int64), candidate.scaling(None)
    try:
        with Batches(images, first, first, 1, scaling, prepare=prepare.of_held_out) as batches:
            batches[0]
    except KerasgridError:
        raise
    except Exception as error:  # whatever the user's own code raises
        raise ModelError(_in_users_words(given.preprocessing_function, error)) from error


def _in_users_words(name: str, error: Exception) -> str:
    """Returns what to say of an error of the user's own code, with its line where that is known."""
    where = users_line(error)
    place = "" if where is None else f"{shown_path(where[0])}:{where[1]}, "
    return f"{place}{name}: {type(error).__name__}: {error}"


def _check_scores(candidate: Candidate, compiled: Compiled) -> None:
    """Refuses an objective, or a score beside it, that this model or a made-up prediction is not for."""
    recipe, labels = candidate.recipe, candidate.data.labels
    places = {"search.objective": candidate.objective}
    places |= {f"search.scores[{index}]": score for index, score in enumerate(candidate.scores)}
    for place, score in places.items():
        if score.kind == "keras" and score != candidate.objective:
            metric_of(score, compiled)
        if score.kind != "own":
            continue
        try:
            function = function_of(recipe, score)
        except ChangedError:
            raise
        except ModelError as error:
            raise ScoreError(f"{place}: {error}") from error
        if recipe.weighted_scores and not _takes(function, "sample_weight"):
            raise ScoreError(
                f"{place}: {score.name} takes no sample_weight, and search.weighted_scores asks for it: name "
                "it in the signature, def function(y_true, y_pred, sample_weight), or leave that out."
            )
        tried, predictions = made_up(labels, recipe.target)
        weights = np.ones(len(tried)) if recipe.weighted_scores else None
        try:
            own_score(function, score.arguments, tried, predictions, recipe.target, weights=weights)
        except Exception as error:  # whatever the user's own code raises
            raise ScoreError(f"{place}: {_in_users_words(score.name, error)}") from error


def _takes(function: Callable[..., Any], argument: str) -> bool:
    """Tells whether a function takes an argument by name; where that cannot be told it may."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # a function of C tells none
        return True
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _check_own_monitors(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuses a callback of the user's own that looks at `val_*` by default, which nothing measures."""
    for callback in callbacks:
        monitor = str(getattr(callback, "monitor", ""))
        if monitor.startswith("val_"):
            raise ModelError(
                f"the callback {type(callback).__name__} monitors {monitor!r}, which is not measured: give "
                "search.val, such as 0.1, or another monitor."
            )


def device() -> str:
    """Returns the device that Keras trains on here: `cpu`, or such as `gpu:0`."""
    others = [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]
    return others[0] if others else "cpu"
