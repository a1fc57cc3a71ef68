"""What only a worker can tell of a model function: its signature, and whether its models build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kerasgrid.errors import KerasgridError, ModelError
from kerasgrid.models.building import hp_signature, hp_space
from kerasgrid.models.signature import ModelReference, load_function, signature_of
from kerasgrid.records import Context, ProbeRecord
from kerasgrid.training.batches import open_dataset
from kerasgrid.training.job import build_and_compile, make_callbacks
from kerasgrid.training.objective import find_objective
from kerasgrid.training.recipe import Recipe
from kerasgrid.training.routing import route


def inspect_function(reference: ModelReference, context: Context) -> None:
    """Emits a model function's signature and the space that a `build(hp)` declares.

    Raises:
        ModelError: The function cannot be loaded, or a `build(hp)` fails with its own defaults.
    """
    function = load_function(reference)
    signature = signature_of(function)
    space: dict[str, Any] = {}
    if signature.style == "hp":
        signature = hp_signature(function)
        dimensions = {name: _dimension(name, spec) for name, spec in hp_space(function).items()}
        space = {name: dimension for name, dimension in dimensions.items() if dimension is not None}
    context.emit((signature, space))


def _dimension(name: str, spec: Mapping[str, Any]) -> Any:
    """Returns a hyperparameter of KerasTuner as grid.yaml would have it; None for a fixed one."""
    if spec["when"]:
        raise ModelError(
            f"the hyperparameter {name!r} holds only under a condition, which this version cannot search: "
            "give the model function plain parameters instead, and space a list of spaces."
        )
    kind = spec["kind"]
    if kind == "fixed":
        return None
    if kind == "boolean":
        return [False, True]
    if kind == "choice":
        return list(spec["values"])
    dimension = {"low": spec["low"], "high": spec["high"], "type": kind}
    if spec.get("step") is not None:
        dimension["step"] = spec["step"]
    if spec.get("sampling") in {"log", "reverse_log"}:
        dimension["log"] = True
    return dimension


def probe(recipe: Recipe, params: Mapping[str, Any], context: Context) -> None:
    """Builds and compiles one candidate's model and emits a ProbeRecord; trains nothing."""
    data = open_dataset(recipe.data_folder, recipe.source)
    n_parameters, error = None, None
    try:
        plan = route({**recipe.params, **params}, recipe.signature, recipe.callbacks)
        compiled = build_and_compile(recipe, plan, find_objective(recipe.objective), data.images.shape[1:])
        make_callbacks(plan)
        _check_monitors(plan.callbacks, compiled.model, recipe)
        n_parameters = compiled.model.count_params() if compiled.model.built else None
    except KerasgridError as refused:
        error = {"type": type(refused).__name__, "message": str(refused)}
    finally:
        keras.backend.clear_session()
    context.emit(ProbeRecord(dict(params), n_parameters, error, device()))


def _check_monitors(callbacks: Mapping[str, Mapping[str, Any]], model: keras.Model, recipe: Recipe) -> None:
    """Refuses a monitor that will not be measured, where kerasgrid knows what will be."""
    known = {"loss", "accuracy"}
    objective = find_objective(recipe.objective)
    if objective.metric is not None:
        known.add(objective.metric)
    metrics = {metric.name for metric in model.metrics}
    if not metrics <= {"loss", "compile_metrics"} | known:  # metrics of the user's own
        return
    for name, args in callbacks.items():
        monitor = args.get("monitor")
        if monitor is not None and monitor.removeprefix("val_") not in known | metrics:
            names = sorted(known | {f"val_{metric}" for metric in known})
            raise ModelError(
                f"callbacks.{name}.monitor is {monitor!r}, which is not measured. Known: {', '.join(names)}."
            )


def device() -> str:
    """Returns the device that Keras trains on here: `cpu`, or such as `gpu:0`."""
    return (keras.distribution.list_devices("gpu") or ["cpu"])[0]
