"""What candidates are made of, and whether all of them can be trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.checks.draft import Draft
from kerasgrid.checks.parameters import faults_of_params
from kerasgrid.config.augment import (
    Augment,
    faults_of_augment,
    idle_keys,
    warning_of_hues,
    warning_of_signs,
)
from kerasgrid.config.callbacks import SCHEDULE_ARGUMENTS, is_own, merge_callbacks
from kerasgrid.config.sections import DEBIASED_LINE, Config
from kerasgrid.config.stages import spans
from kerasgrid.config.validation import is_switch, shown
from kerasgrid.data.folds import inner_rows, inner_split
from kerasgrid.data.statistics import pixel_top, share_top
from kerasgrid.engines import ENGINES
from kerasgrid.engines.autokeras import ENGINE as AUTOKERAS
from kerasgrid.errors import DataError, Fault, ModelError
from kerasgrid.io import canonical_json, digest
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import DEFAULT_VAL, Route, epochs_of, merge_augment, monitors, stages_of
from kerasgrid.keras_names import find_metric
from kerasgrid.machine import count_gpus, multiplies_bfloat16
from kerasgrid.models.references import IMAGENET, NO_WEIGHTS, parse_reference, takes_pixels
from kerasgrid.models.signature import Signature
from kerasgrid.records import FIRST_VALUES, Dataset, Fold, ProbeRecord, Target, WeightsFile
from kerasgrid.space.space import Space
from kerasgrid.wording import bytes_word, count, percent

PIXELS = 255
"""The highest value of pixels that models take which scale them themselves."""


def check_candidates(
    draft: Draft,
    space: Space,
    signature: Signature | None,
    data: Dataset | None,
    folds: Sequence[Fold] = (),
    *,
    are_all: bool,
) -> tuple[bool, tuple[str, ...]]:
    """Checks the params of candidates and what they make of the sections, beside the data.

    Args:
        draft: With the sections and fixed params; its report takes the faults.
        signature: The model function's; None where it is not known.
        data: None where they are at fault.
        folds: That an inner split is made of; none where none is.
        are_all: Whether all parameters could be read.

    Returns:
        Whether a callback, or the engine, may look at `val_*`; and warnings.
    """
    _check_params(draft, space, signature, are_all)
    looks_at_val = _check_callbacks(draft, space, signature, data, folds)
    _check_class_weights(draft, space, data)
    return looks_at_val, _check_augment(draft, space, data)


def _check_params(draft: Draft, space: Space, signature: Signature | None, are_all: bool) -> None:
    """Checks every parameter's name and values; `are_all` tells whether all of them could be read."""
    report, config = draft.report, draft.config
    several = isinstance(config.space, list) and bool(config.space)
    written = (config.space if isinstance(config.space, list) else [config.space]) or [{}]
    found: dict[str, Fault] = {}
    for name in config.params:
        if config.space and all(name in grid for grid in written):
            report.add(
                f"params.{name}", "is searched too, so that this value is never used: remove one of them."
            )
    # Conditions may have made thousands of grids of one, of which those of the same parameters are looked at
    # together.
    parts: dict[tuple[int, frozenset[str]], list[Mapping[str, Any]]] = {}
    for index, grid in zip(space.places, space.grids, strict=True):
        parts.setdefault((index, frozenset(grid)), []).append(grid)
    fixed = dict(config.params)
    if config.training.accumulate > 1:
        fixed.setdefault("training.accumulate", config.training.accumulate)
    if config.stages is not None:
        fixed.setdefault("stages", config.given_stages)
    for (index, _), grids in parts.items() or [((0, frozenset()), [{}])]:
        part = Space(grids)
        # A parameter whose values are at fault is there all the same.
        sound = {name for place, names in parts if place == index for name in names}
        at_fault = [name for name in written[index] if name not in sound]
        if "stages" not in fixed and not report.is_settled("stages"):
            at_fault.append("stages")
        values: dict[str, Iterable[Any]] = dict.fromkeys(at_fault, ())
        values |= {name: part.values(name) for name in part.names}
        prefix = f"space[{index}]" if several else "space"
        for fault in faults_of_params(fixed, values, signature, prefix, are_all=are_all):
            found.setdefault(f"{fault.path}: {fault.message}", fault)
    report.faults.extend(found.values())


def _check_callbacks(
    draft: Draft, space: Space, signature: Signature | None, data: Dataset | None, folds: Sequence[Fold]
) -> bool:
    """Checks the callbacks of candidates together, and that the inner split they need can be made.

    Returns:
        Whether one of them, or the engine, may look at `val_*`.
    """
    report, config = draft.report, draft.config
    at_fault = any(name in fault.path for name in ("callbacks", "stages") for fault in report.faults)
    if at_fault or not report.is_settled("stages"):
        return False
    section = config.given_callbacks
    found: dict[tuple[str, str], None] = {}
    watched: list[str] = []
    schedules = set()
    own, known = space.only("callbacks", "epochs", "stages"), signature or Signature(())
    for params in own.together():
        given = merge_callbacks({**config.params, **params}, section)
        both = {**config.params, **params}
        if signature is None:  # whose own `stages` may be
            both = {name: value for name, value in both.items() if name.partition(".")[0] != "stages"}
        about = both, known, config.given_stages
        for epochs in spans(stages_of(*about)) or [epochs_of(*about)]:
            found |= dict.fromkeys(faults_of_callbacks(given, draft.base, epochs))
        watched += monitors(given).values()
        schedules.add(given.get("learning_rate_scheduler", {}).get("schedule"))
        looks = any(map(is_own, given))
        watched += ["val_"] if looks and config.search.val is not None else []
    found |= dict.fromkeys(_unused_arguments(config, own, schedules))
    for name, message in found:
        is_there = any(name == given or name.startswith(f"{given}.") for given in section)
        report.add(f"callbacks.{name}" if is_there else f"space.callbacks.{name}", message)
    looks_at_val = decides_by_val(config) or any(monitor.startswith("val_") for monitor in watched)
    share = config.search.val or (DEFAULT_VAL if looks_at_val else None)
    if not isinstance(share, float) or data is None or not report.is_settled("search.val"):
        return looks_at_val
    for fold in folds:
        try:
            inner_split(data, fold, share, config.search.how, config.search.seed)
        except DataError as error:
            report.add("search.val", f"is {share:g}{'' if config.search.val else ' by default'}: {error}")
            break
    return looks_at_val


def decides_by_val(config: Config) -> bool:
    """Tells whether the engine decides by scores on the inner split."""
    return config.search.engine in ENGINES and ENGINES[config.search.engine].decides_by_val


def val_of(config: Config) -> float | str | None:
    """Returns the share of the inner split that all candidates have; None for those that look at it alone."""
    return config.search.val or (DEFAULT_VAL if decides_by_val(config) else None)


def _unused_arguments(config: Config, space: Space, schedules: set[str | None]) -> Iterator[tuple[str, str]]:
    """Yields arguments of the schedule that are given and that no schedule of a candidate has."""
    section = config.callbacks.learning_rate_scheduler
    prefix = "callbacks.learning_rate_scheduler."
    names = {name for grid in space.grids for name in grid} | set(config.params)
    given = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    for argument in sorted(given | (section.model_fields_set if section is not None else set())):
        users = SCHEDULE_ARGUMENTS.get(argument)
        if users is not None and not users & schedules:
            yield (
                f"learning_rate_scheduler.{argument}",
                f"is of the schedule {' and '.join(sorted(users))} alone.",
            )


def augmentations(config: Config, space: Space) -> Iterator[tuple[Mapping[str, Any], Augment | None]]:
    """Yields the searched params of each augmentation that candidates have, and what it is; None for none."""
    section = config.given_augment
    for params in space.only("augment").together("augment"):
        yield params, merge_augment({**config.params, **params}, section)


def faults_of_callbacks(
    given: Mapping[str, Mapping[str, Any]], base: Path, epochs: Any
) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with callbacks beside each other and so many epochs, at a key of the section."""
    for name, monitor in monitors(given).items():
        if monitor.startswith("test_"):
            metric = find_metric(monitor.removeprefix("test_")) or monitor.removeprefix("test_")
            yield (
                f"{name}.monitor",
                f"is {monitor!r}: the held-out fold decides nothing. Monitor 'val_{metric}', which is "
                "measured on an inner split of the training folds.",
            )
    schedule = given.get("learning_rate_scheduler")
    if schedule is not None and "reduce_lr_on_plateau" in given:
        yield (
            "learning_rate_scheduler",
            "and reduce_lr_on_plateau both set the learning rate: keep one.",
        )
    if schedule is not None and schedule["schedule"] == "one_cycle" and schedule["warmup_epochs"]:
        yield "learning_rate_scheduler.warmup_epochs", "is for other schedules: one_cycle rises by itself."
    warmup = 0 if schedule is None else schedule["warmup_epochs"]
    if warmup and isinstance(epochs, int) and warmup >= epochs:
        yield (
            "learning_rate_scheduler.warmup_epochs",
            f"is {warmup:g}, and a candidate of {epochs} epochs never reaches its learning rate.",
        )
    for name in given:
        if is_own(name):
            try:
                parse_reference(name, base)
            except ModelError as error:
                yield name, str(error)


def _check_class_weights(draft: Draft, space: Space, data: Dataset | None) -> None:
    """Checks that class weights name classes of the data."""
    report, config = draft.report, draft.config
    if data is None or any("class_weight" in fault.path for fault in report.faults):
        return
    name = "training.class_weight"
    own = (value for grid in space.grids if name in grid for value in Space([grid]).values(name))
    places = [(name, config.training.class_weight), (f"params.{name}", config.params.get(name))]
    for path, value in [*places, *((f"space.{name}", value) for value in own)]:
        fault = fault_of_class_weight(value, data.target)
        if fault is not None:
            report.add(path, fault)


def fault_of_class_weight(value: Any, target: Target) -> str | None:
    """Returns that weights name what is no class, in words; None where they do not."""
    if value is None:
        return None
    if target.is_multi_label:
        return (
            "is a weight of each class, and a sample may have several labels here: leave "
            "it out, or weigh what is rare by loss: binary_focal_crossentropy with "
            "loss.apply_class_balancing: true."
        )
    if target.is_numbers:
        return "is a weight of each class, and numbers are predicted, which have none: leave it out."
    known = {str(label) for label in target.classes}
    unknown = [label for label in value if str(label) not in known] if isinstance(value, Mapping) else []
    if not unknown:
        return None
    return f"names {unknown[0]!r}, which is no class of these data. Known: {', '.join(sorted(known))}."


def _check_augment(draft: Draft, space: Space, data: Dataset | None) -> tuple[str, ...]:
    """Checks every augmentation that candidates have beside the data; returns warnings."""
    report, config, warnings = draft.report, draft.config, set()
    if any("augment" in fault.path for fault in report.faults):
        return ()
    images = None if data is None else data.images
    found: dict[Fault, None] = {}
    idle: dict[tuple[str, str], Fault] = {}
    used: set[tuple[str, str]] = set()
    functions: dict[tuple[str, str], None] = {}
    for params, given in augmentations(config, space):
        own = {**config.params, **params}
        if is_switch(own.get("augment")) and (given is None or not given.model_fields_set):
            what = f"is {shown(own['augment'])}, and there is nothing to switch on"
            hint = "give an `augment` section or `augment.NAME` beside it, or leave it out."
            where = "space.augment" if "augment" in params else "params.augment"
            found[Fault(where, f"{what}: {hint}")] = None
        if given is None:
            continue
        for fault in faults_of_augment(given, images, config.data.scale, center_of(config)):
            found[Fault(_place(fault.path, params, config)[0], fault.message)] = None
        if given.preprocessing_function is not None:
            where = _place("augment.preprocessing_function", params, config)[0]
            functions[where, given.preprocessing_function] = None
        unused = {fault.path: fault for fault in idle_keys(given)}
        for path in (f"augment.{key}" for key in given.model_fields_set):
            place = _place(path, params, config)
            if path in unused:
                idle[place] = Fault(place[0], unused[path].message)
            else:
                used.add(place)
        if data is not None:
            are_digits = config.data.train == "digits"
            warnings.add(warning_of_signs(given, data.classes, data.images, are_digits))
            warnings.add(warning_of_hues(given, data.classes))
    # What some candidate uses may be idle in others, as fill_mode beside `augment: [off, {blur_sigma: 1}]`.
    found |= {fault: None for place, fault in idle.items() if place not in used}
    for fault in found:
        report.add(fault.path, fault.message)
    for where, name in functions:
        try:
            parse_reference(name, draft.base)
        except ModelError as error:
            report.add(where, str(error))
    return tuple(sorted(filter(None, warnings)))


def center_of(config: Config) -> str | None:
    """Returns the key by which pixels are centred; None where none does."""
    if config.data.standardize:
        return "data.standardize"
    return None if config.data.normalize is None else "data.normalize"


def warnings_of_scale(
    config: Config, space: Space, data: Dataset, records: Sequence[ProbeRecord], *, is_read: bool = False
) -> tuple[str, ...]:
    """Tells that pixels reach nets as they are stored, as records of models that were built show.

    Args:
        config: The search's, and so is the space.
        space: Likewise.
        data: Its samples.
        records: Of models that were built.
        is_read: Whether an estimator has read the samples, for which there is no config to write into.
    """
    if takes_pixels(config.model):
        return _warnings_of_pixels(config, space, data)
    is_scaled = config.data.scale is not None or center_of(config) is not None
    is_scaled = is_scaled or config.search.engine == AUTOKERAS
    settings = augmentations(config, space)
    if is_scaled or all(given is not None and given.may_scale for _, given in settings):
        return ()
    bare = [record.params for record in records if record.scales_input is False]
    top = pixel_top(data.images) if bare and data.inputs is None else None
    if top is None:
        return ()
    some = any(record.scales_input for record in records)
    such = ", ".join(f"{name}: {shown(value)}" for name, value in bare[0].items())
    which = f"the nets of some candidates ({such})" if some else "the net"
    do = f"give X / {top}" if is_read else f"write `scale: {top}` into the section data"
    return (
        f"pixels of 0 to {top:,} reach {which} as they are stored, and nets learn better from small numbers: "
        f"{do}, or begin the model with a layer that scales.",
    )


def _warnings_of_pixels(config: Config, space: Space, data: Dataset) -> tuple[str, ...]:
    """Tells that a model which scales pixels of 0 to 255 itself is not given such."""
    settings = [given for _, given in augmentations(config, space) if given is not None]
    top = (pixel_top(data.images) or share_top(data.images)) if data.inputs is None else None
    if top is None or any(given.preprocessing_function is not None for given in settings):
        return ()  # a function may do anything
    does = [f"data.scale divides them by {config.data.scale:g}"] if config.data.scale is not None else []
    rescales = [given.rescale for given in settings if given.rescale is not None]
    does += [f"augment.rescale multiplies them by {rescale:g}" for rescale in rescales[:1]]
    centres = [center] if (center := center_of(config)) is not None else []
    if any(given.has_statistics or given.subtracts_own_mean for given in settings):
        centres.append("augment")
    does += [f"{center} centres them" for center in centres]
    factors = [given.rescale or 1 for given in settings] or [1]
    if not centres and {round(top / (config.data.scale or 1) * factor) for factor in factors} == {PIXELS}:
        return ()
    how = " and ".join(does) or f"they are 0 to {top:,}"
    do = "leave that out"
    if top != PIXELS:
        do = f"write `scale: {top / PIXELS:.6g}`, and nothing else that scales, into the section data"
    return (f"{config.model} takes pixels of 0 to {PIXELS} and scales them itself, and {how}: {do}.",)


def warnings_of_views(config: Config, space: Space, records: Sequence[ProbeRecord]) -> tuple[str, ...]:
    """Tells that views are asked for where none are taken; `records` are of models that were built."""
    settings = [given for _, given in augmentations(config, space) if given is not None and given.views]
    if not settings:
        return ()
    said = f"augment.views is {settings[0].views}, but "
    if not any(given.operations for given in settings):
        return (f"{said}nothing is augmented: give what samples are augmented by, or leave it out.",)
    if any(record.frozen for record in records) or not any(record.error is None for record in records):
        return ()
    return (
        f"{said}no net has a frozen part that is computed once, and images are augmented anew in each epoch: "
        "freeze layers, or leave it out.",
    )


def weights_of(config: Config, space: Space) -> tuple[str, ...]:
    """Returns the paths of files that built-in backbones of candidates begin with, as they are written."""
    if not takes_pixels(config.model):
        return ()
    found = [config.params.get("weights")]
    for grid in space.grids:
        found += Space([grid]).values("weights") if "weights" in grid else []
    named = {text for text in found if isinstance(text, str)} - {NO_WEIGHTS, IMAGENET}
    return tuple(sorted(named))


def files_of_weights(records: Iterable[ProbeRecord]) -> tuple[WeightsFile, ...]:
    """Returns the files of weights that nets begin with, each once."""
    return tuple({file.name: file for record in records for file in record.weights}.values())


def notes_of_weights(records: Iterable[ProbeRecord]) -> tuple[str, ...]:
    """Tells which files of weights nets begin with, and whether they are at hand."""
    told = []
    for file in files_of_weights(records):
        if file.digest is not None:
            told.append(f"weights: {file.name} is at hand ({bytes_word(file.n_bytes)})")
        else:
            state = "is not whole" if Path(file.path).is_file() else "is not at hand"
            told.append(
                f"weights: {file.name} {state}: a search downloads about {bytes_word(file.n_bytes)} "
                f"from {file.url} to {file.path}"
            )
    return tuple(told)


def warnings_of_first_values(
    recipe: Recipe,
    data: Dataset,
    folds: Sequence[Fold],
    records: Iterable[ProbeRecord],
    routes: Iterable[Route],
) -> tuple[str, ...]:
    """Tells of candidates whose BatchNormalization will not have warmed up when it is scored as Keras has it.

    Where a fit may stop early nothing can be told of its last epochs, and what is told here is the least.

    Args:
        recipe: The search's.
        data: Likewise.
        folds: Of which the smallest makes the fewest steps.
        records: Of models that were built.
        routes: Of all candidates, those of models that were not built among them.
    """
    built = [record for record in records if record.error is None]
    momenta = {_trained(recipe.route(record.params)): record.momenta for record in built}
    if not any(momenta.values()):
        return ()
    fewest: dict[float | None, int] = {}  # training rows of any fold, by the share of the inner split
    looked_at: list[bool] = []
    found: list[tuple[float, int, int, float, Route]] = []
    for route in routes:
        key = _trained(route)
        looked_at.append(key in momenta)
        moving = momenta.get(key)
        if not moving or route.training.batch_norm != "keras":
            continue
        share = recipe.inner_share(route)
        split = share if isinstance(share, float) and not recipe.begins_anew(route) else None
        if split not in fewest:
            fewest[split] = min(_n_trained(recipe, data, fold, split) for fold in folds)
        an_epoch = -(-fewest[split] // route.batch_size)
        each = [stage.epochs for stage in route.stages] or [route.epochs]
        of_layers = [(momentum, sum(each[place] for place in places)) for momentum, places in moving]
        left, n, momentum = max((momentum ** (n * an_epoch), n, momentum) for momentum, n in of_layers)
        if left > FIRST_VALUES:
            found.append((left, n, n * an_epoch, momentum, route))
    if not found:
        return ()
    left, n, steps, momentum, route = max(found, key=lambda one: one[0])
    epochs = count(n, "epoch") + (" in which it is trained" if n < route.epochs else "")
    candidates = f"{len(looked_at):,} candidates"
    if not all(looked_at):
        candidates = f"the {sum(looked_at):,} candidates looked at"
    least = "at least " if "early_stopping" in route.callbacks else ""
    return (
        f"BatchNormalization will not have warmed up in {len(found):,} of {candidates}: batch_size "
        f"{route.batch_size} and {epochs} make {count(steps, 'step')}, after which {least}{percent(left)} "
        f"of its moving statistics (momentum {momentum:g}) are still first values. Scores may be wrong by "
        f"points: `{DEBIASED_LINE}` makes them without first values.",
    )


def _trained(route: Route) -> str:
    """Returns what a candidate's layers depend on, and in which stages each is trained."""
    return digest([dict(route.model), [stage.trainable for stage in route.stages]])


def warnings_of_accumulation(
    recipe: Recipe, data: Dataset, folds: Sequence[Fold], routes: Iterable[Route]
) -> tuple[str, ...]:
    """Tells of a candidate whose fit, or a stage of it, ends before the weights are changed once."""
    fewest: dict[float | None, int] = {}
    for route in routes:
        n, share = route.training.accumulate, recipe.inner_share(route)
        if n == 1:
            continue
        split = share if isinstance(share, float) and not recipe.begins_anew(route) else None
        if split not in fewest:
            fewest[split] = min(_n_trained(recipe, data, fold, split) for fold in folds)
        epochs = min((stage.epochs for stage in route.stages), default=route.epochs)
        steps = epochs * -(-fewest[split] // route.batch_size)
        if steps < n:
            return (
                f"training.accumulate is {n}, and a fit has {count(steps, 'step')} "
                f"({count(epochs, 'epoch')} of batch_size {route.batch_size}): no weight is ever changed. "
                "Take fewer, or more epochs.",
            )
    return ()


def _n_trained(recipe: Recipe, data: Dataset, fold: Fold, share: float | None) -> int:
    """Returns how many rows of a fold are trained on beside an inner split of a share, or none."""
    if share is None:
        return len(fold.train)
    told = inner_rows(data, fold, share, recipe.how)
    return len(inner_split(data, fold, share, recipe.how, recipe.seed)[0]) if told is None else told


def notes_of_precision(config: Config, space: Space) -> tuple[str, ...]:
    """Tells that what is trained in bfloat16 is multiplied in it here."""
    if not _is_in_bfloat16(config, space) or not multiplies_bfloat16():
        return ()
    return (f"mixed_bfloat16: the {'GPU' if count_gpus() else 'processor'} multiplies it itself",)


def warnings_of_precision(config: Config, space: Space) -> tuple[str, ...]:
    """Tells that bfloat16 is asked for where nothing multiplies it."""
    if not _is_in_bfloat16(config, space) or multiplies_bfloat16() is not False:
        return ()
    what = "GPU does" if count_gpus() else "processor, which has neither AVX512_BF16 nor AMX_BF16, does"
    return (
        f"training.precision is mixed_bfloat16, and this {what} not multiply it itself: it is slower than "
        "float32 here. Leave it out, or train on a machine that does.",
    )


def _is_in_bfloat16(config: Config, space: Space) -> bool:
    name = "training.precision"
    return "mixed_bfloat16" in [config.training.precision, config.params.get(name), *space.values(name)]


def warnings_of_repeats(draft: Draft, space: Space) -> tuple[str, ...]:
    """Tells of candidates that differ only in what another of their parameters switches off."""
    config, faults = draft.config, draft.report.faults
    if any(name in fault.path for name in ("augment", "callbacks", "space") for fault in faults):
        return ()
    merges: dict[str, tuple[Callable[..., Any], Any]] = {
        "augment": (merge_augment, config.given_augment),
        "callbacks": (merge_callbacks, config.given_callbacks),
    }
    warned: dict[str, bool] = {}
    for name, (merge, section) in merges.items():
        for grid in space.grids:
            part, seen = Space([grid]).only(name), set()
            for params in part.together(name) if part.names else ():
                given = repr(merge({**config.params, **params}, section))
                warned[name] = warned.get(name, False) or given in seen
                seen.add(given)
    return tuple(
        f"some candidates differ only in {name}.* of what is switched off beside it, and each of them is "
        "trained: write space as a list of spaces, one for each case."
        for name, is_repeated in warned.items()
        if is_repeated
    )


def _place(path: str, params: Mapping[str, Any], config: Config) -> tuple[str, str]:
    """Returns where a candidate's setting of augmentation is written.

    Args:
        path: `augment.KEY`, or `augment` for all of it.
        params: The candidate's searched parameters.

    Returns:
        The key path; and of a value that takes the section's place which one, as text.
    """
    places = (("space", params), ("params", config.params))
    for prefix, given in places:
        if path in given and path != "augment":
            return f"{prefix}.{path}", ""
    for prefix, given in places:
        if isinstance(given.get("augment"), Mapping):
            return f"{prefix}.{path}", canonical_json(given["augment"])
        if "augment" in given:
            break
    if config.augment is not None:
        return path, ""
    return f"{'space' if any(name.startswith('augment.') for name in params) else 'params'}.{path}", ""
