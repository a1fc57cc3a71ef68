"""All that can be wrong with a search, found before its first epoch and told together.

A config's form is checked in `kerasgrid.config`; here it meets the data, the model function and the
space. Nothing here imports Keras.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kerasgrid.augment import Augment, faults_of_augment, flips_signs
from kerasgrid.config import Config, IdxPair
from kerasgrid.data import dataset_from_arrays, fold_fault, inner_split, load_data, make_folds
from kerasgrid.draft import Draft, read_draft
from kerasgrid.engines import ENGINES, PLANNED
from kerasgrid.errors import DataError, Fault, ModelError, did_you_mean
from kerasgrid.forms import Report, faults_of
from kerasgrid.models.signature import (
    ModelReference,
    Signature,
    function_digest,
    parse_reference,
    read_signature,
    signature_of,
    source_digest,
)
from kerasgrid.records import Dataset, Fold
from kerasgrid.space import Space, read_space
from kerasgrid.training.objective import Objective, find_objective, objective_fault
from kerasgrid.training.routing import DEFAULT_VAL, faults_of_params, merge_augment, merge_callbacks, monitors
from kerasgrid.versions import backend

MAX_GRID = 1_000_000
SOURCE = "the model function's source"
Model = ModelReference | Callable[..., Any]
Ask = Callable[[ModelReference], tuple[Signature, dict[str, Any]]]


@dataclass(frozen=True)
class Prepared:
    """A search that has passed its checks.

    Attributes:
        config: With the defaults filled in.
        data: Loaded.
        folds: As a new run would make them.
        space: The candidates.
        model: Where the model function is, or the function.
        signature: Its signature.
        objective: What candidates are scored by.
        base: The folder that paths and references of the config are relative to.
        warnings: What is allowed, and probably not meant.
    """

    config: Config
    data: Dataset
    folds: tuple[Fold, ...]
    space: Space
    model: Model
    signature: Signature
    objective: Objective
    base: Path
    warnings: tuple[str, ...] = ()

    @property
    def function(self) -> Callable[..., Any] | None:
        """The model function, where it was given in Python."""
        return None if isinstance(self.model, ModelReference) else self.model

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes a run the same run, by the key that a message names."""
        config, search = self.config, self.config.search
        is_reference = isinstance(self.model, ModelReference)
        folds = {"holdout": search.holdout} if search.holdout is not None else {"folds": search.n_folds}
        return {
            "data": self.data.fingerprint,
            "data.scale": config.data.scale,
            "data.standardize": config.data.standardize,
            "backend": backend(),
            "model": config.model,
            SOURCE: (source_digest if is_reference else function_digest)(self.model),
            "params": config.params,
            "training": config.training.model_dump(exclude={"pack"}),
            "augment": augment_of(config),
            "callbacks": config.callbacks.model_dump(),
            "search.folds": folds,
            "search.val": search.val,
            "search.repeats": search.repeats,
            "search.seed": search.seed,
            "search.objective": search.objective,
        }


def prepare(
    source: Draft | str | Path | Mapping[str, Any],
    X: Any = None,
    y: Any = None,
    *,
    overrides: Sequence[str] = (),
    ask: Ask | None = None,
) -> Prepared:
    """Checks a search, loads its data and makes its folds.

    Args:
        source: A grid.yaml, the same as a dict, or what `read_draft` made of either.
        X: Images (sample, ...), instead of `data.train`.
        y: Their labels (sample,).
        overrides: `key.path=value` texts; none for a draft, which has them.
        ask: Asks a worker for the signature of a function whose source does not show it, and the
            space that a `build(hp)` declares; without it such functions are refused.

    Raises:
        ConfigError: All faults together.
    """
    draft = source if isinstance(source, Draft) else read_draft(source, overrides)
    config, report, base, function = draft.config, draft.report, draft.base, draft.function
    are_all = report.is_settled("params", "space")  # not, where one of them could not be read
    _check_not_built(report, config)
    data = _data(report, config, base, X, y)
    folds = _folds(report, config, data)
    model, signature, declared = _model(report, config, base, function, ask)
    space = _space(report, config, declared)
    objective = _objective(report, config, data)
    _check_params(report, config, space, signature, are_all)
    _check_inner_split(report, config, space, data, folds)
    warnings = _check_augment(report, config, space, data, base)
    report.finish()
    return Prepared(config, data, tuple(folds), space, model, signature, objective, base, warnings)


def _check_not_built(report: Report, config: Config) -> None:
    """Refuses what the contract has and this version does not, so that nothing is silently ignored."""
    asked = {
        "training.precision": (config.training.precision != "float32", "mixed precision"),
        "training.stop_dead": (config.training.stop_dead, "ending dead trials early"),
        "search.keep_models": (config.search.keep_models != "none", "keeping fold models"),
        "search.time": (config.search.time is not None, "a budget of time"),
        "executor.kind": (config.executor.kind == "ray", "the executor ray"),
    }
    for path, (is_asked, what) in asked.items():
        if is_asked:
            report.add(path, f"asks for {what}, which this version does not have yet: leave it out.")


def _data(report: Report, config: Config, base: Path, X: Any, y: Any) -> Dataset | None:
    if X is not None:
        if config.data.train is not None:
            report.add("data.train", "is given, and so are arrays: keep one of them.")
        for key in ("image", "subset"):
            if getattr(config.data, key) is not None:
                report.add(f"data.{key}", "does not go with arrays: shape or choose them before.")
        if report.is_settled("data.train", "data.image", "data.subset"):
            with report.catch("data"):
                return dataset_from_arrays(X, y)
        return None
    train = config.data.train
    has_columns = isinstance(train, str) and train.lower().endswith(".csv")
    needed = ["train", "image", "subset", *(["label", "id"] if has_columns else [])]
    is_settled = report.is_settled(*(f"data.{key}" for key in needed))
    if train is None and report.is_settled("data.train"):
        report.add("data.train", "is missing: a .csv or .npz file, {images: ..., labels: ...}, or digits.")
    if train is not None and not has_columns:
        for key in ("label", "id"):
            if key in config.data.model_fields_set:
                report.add(
                    f"data.{key}", "names a column of a .csv file, which data.train is not: leave it out."
                )
    resolved = {}
    for key in ("train", "test", "sample_submission"):
        value = getattr(config.data, key)
        parts = value.model_dump() if isinstance(value, IdxPair) else {"": value}
        found = {part: _resolve(base, text) for part, text in parts.items()}
        for part, path in found.items():
            if isinstance(path, Path) and not _exists(path):
                where = f"data.{key}.{part}" if part else f"data.{key}"
                report.add(where, f"is {str(path)!r}, and there is no such file.")
        texts = {part: None if path is None else str(path) for part, path in found.items()}
        resolved[key] = IdxPair(**texts) if isinstance(value, IdxPair) else texts[""]
    if train is not None and is_settled and report.is_settled("data.train"):
        with report.catch("data.train"):
            return load_data(config.data.model_copy(update=resolved), seed=config.search.seed)
    return None


def _resolve(base: Path, text: str | None) -> Path | str | None:
    return text if text is None or text == "digits" else base / os.path.expanduser(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _folds(report: Report, config: Config, data: Dataset | None) -> list[Fold]:
    search, written = config.search, config.search.model_fields_set
    ways = {"folds", "holdout"}
    if data is None or not report.is_settled(*(f"search.{key}" for key in ways & written or ways)):
        return []
    fault = fold_fault(data.labels, data.classes, search.n_folds, search.holdout)
    if fault is not None:
        report.add("search.holdout" if search.holdout is not None else "search.folds", fault)
        return []
    return make_folds(data.labels, n_folds=search.n_folds, holdout=search.holdout, seed=search.seed)


def _model(
    report: Report, config: Config, base: Path, function: Callable[..., Any] | None, ask: Ask | None
) -> tuple[Model | None, Signature | None, dict[str, Any]]:
    """Returns the model function or where it is, its signature, and the space that it declares."""
    if not report.is_settled("model"):
        return None, None, {}
    with report.catch("model"):
        if function is not None:
            return (function, *_declared(function))
        reference = parse_reference(config.model, base)
        signature = read_signature(reference)
        if signature is not None and signature.style == "build":
            return reference, signature, {}
        if ask is not None:
            return (reference, *ask(reference))
        report.add("model", "has to be asked for its parameters in a worker, which is not possible here.")
    return None, None, {}


def _declared(function: Callable[..., Any]) -> tuple[Signature, dict[str, Any]]:
    """Returns the signature of a function in hand and the space that it declares."""
    signature = signature_of(function)
    if signature.style == "build":
        return signature, {}
    from kerasgrid.models.building import declared  # builds a model, to ask for its hyperparameters

    return declared(function)


def _space(report: Report, config: Config, declared: Mapping[str, Any]) -> Space:
    search = config.search
    grids = config.space if isinstance(config.space, list) else [config.space]
    own = [
        {name: spec for name, spec in declared.items() if name not in config.params} | grid for grid in grids
    ]
    space, faults = read_space(own if isinstance(config.space, list) else own[0])
    report.faults.extend(faults)
    if not report.is_settled("search.engine"):
        return space
    if search.engine in PLANNED:
        known = ", ".join(ENGINES)
        report.add(
            "search.engine", f"is {search.engine!r}, which this version does not have yet. Known: {known}."
        )
    elif search.engine not in ENGINES:
        report.add(
            "search.engine",
            f"is {search.engine!r}, which is no engine.{did_you_mean(search.engine, ENGINES)}",
        )
    if search.engine == "grid":
        for path in _endless(space, config):
            report.add(path, "is a range without a step, which a grid cannot list: give a step or a list.")
        n_listed = min(space.size, search.trials or space.size)
        if n_listed > MAX_GRID and report.is_settled("space", "search.trials"):
            report.add(
                "space",
                f"has {n_listed:,} candidates, and a grid lists at most {MAX_GRID:,}: search fewer values, "
                "give search.trials, or take engine: random.",
            )
    if search.engine == "random" and search.trials is None and report.is_settled("search.trials"):
        report.add(
            "search.trials", "is missing: the engine random needs to know how many candidates to draw."
        )
    return space


def _endless(space: Space, config: Config) -> list[str]:
    """Returns the key paths of ranges without a step."""
    several = isinstance(config.space, list)
    parts = {f"space[{index}]" if several else "space": Space([g]) for index, g in enumerate(space.grids)}
    return [f"{prefix}.{name}" for prefix, part in parts.items() for name in part.endless()]


def _objective(report: Report, config: Config, data: Dataset | None) -> Objective | None:
    with report.catch("search.objective"):
        objective = find_objective(config.search.objective)
        if data is not None:
            fault = objective_fault(objective, data.labels, len(data.classes))
            if fault is not None:
                report.add("search.objective", fault)
        return objective
    return None


def _check_params(
    report: Report, config: Config, space: Space, signature: Signature | None, are_all: bool
) -> None:
    several = isinstance(config.space, list) and bool(config.space)
    written = config.space if several else [config.space or {}]
    found: dict[str, Fault] = {}
    for name in config.params:
        if config.space and all(name in grid for grid in written):
            report.add(
                f"params.{name}", "is searched too, so that this value is never used: remove one of them."
            )
    for index, grid in enumerate(space.grids or ({},)):
        part = Space([grid])
        # A parameter whose values are at fault is there all the same.
        values = {name: [] for name in written[index]} | {name: part.values(name) for name in part.names}
        prefix = f"space[{index}]" if several else "space"
        for fault in faults_of_params(config.params, values, signature, prefix, are_all=are_all):
            found.setdefault(f"{fault.path}: {fault.message}", fault)
    report.faults.extend(found.values())


def _check_inner_split(
    report: Report, config: Config, space: Space, data: Dataset | None, folds: Sequence[Fold]
) -> None:
    """Checks the monitors of callbacks, and that the inner split they need can be made."""
    if any("callbacks" in fault.path for fault in report.faults):
        return
    own = [
        {name: dimension for name, dimension in grid.items() if name.startswith("callbacks.")}
        for grid in space.grids
    ]
    watched = [
        (name, monitor)
        for params in Space(own or [{}]).cover()
        for name, monitor in monitors(
            merge_callbacks({**config.params, **params}, callbacks_of(config))
        ).items()
    ]
    for name, monitor in dict(watched).items():
        if monitor.startswith("test_"):
            report.add(
                f"callbacks.{name}.monitor",
                f"is {monitor!r}: the held-out fold decides nothing. Monitor 'val_{monitor[5:]}', which is "
                "measured on an inner split of the training folds.",
            )
    by_default = DEFAULT_VAL if any(monitor.startswith("val_") for _, monitor in watched) else None
    share = config.search.val or by_default
    if share is None or data is None or not report.is_settled("search.val"):
        return
    for fold in folds:
        try:
            inner_split(data.labels, fold, share, config.search.seed)
        except DataError as error:
            report.add("search.val", f"is {share:g}{'' if config.search.val else ' by default'}: {error}")
            break


def _check_augment(
    report: Report, config: Config, space: Space, data: Dataset | None, base: Path
) -> tuple[str, ...]:
    """Checks every augmentation that candidates have beside the data; returns warnings."""
    if any("augment" in fault.path for fault in report.faults):
        return ()
    own = [
        {name: dimension for name, dimension in grid.items() if name.partition(".")[0] == "augment"}
        for grid in space.grids
    ]
    section, warnings = augment_of(config), set()
    for params in Space(own or [{}]).cover():
        try:
            given = merge_augment({**config.params, **params}, section)
        except ValidationError as error:  # of two keys together
            raw = {name.partition(".")[2]: value for name, value in params.items()}
            report.faults.extend(faults_of(error, raw, Augment, "augment"))
            continue
        if given is None:
            continue
        images = None if data is None else data.images
        found = list(faults_of_augment(given, images, config.data.scale, config.data.standardize))
        if given.preprocessing_function is not None:
            try:
                parse_reference(given.preprocessing_function, base)
            except ModelError as error:
                found.append(("preprocessing_function", str(error)))
        for key, message in found:
            path = f"augment.{key}" if key else "augment"
            where = path if section is not None and (not key or key in section) else f"space.{path}"
            if Fault(where, message) not in report.faults:
                report.add(where, message)
        if data is not None and flips_signs(given, data.classes):
            warnings.add("augment flips images of digits or letters, which are other signs then.")
    return tuple(sorted(warnings))


def augment_of(config: Config) -> dict[str, Any] | None:
    """Returns what the `augment` section names; None without one."""
    return None if config.augment is None else config.augment.model_dump(exclude_unset=True)


def callbacks_of(config: Config) -> dict[str, dict[str, Any]]:
    """Returns the arguments of the callbacks that the config has, by name."""
    return {name: args for name, args in config.callbacks.model_dump().items() if args is not None}
