"""How a search reaches its workers: what they are told, and how many there are."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import cloudpickle

from kerasgrid import executors, machine
from kerasgrid.checks.candidates import val_of
from kerasgrid.checks.draft import Draft
from kerasgrid.checks.prepared import Prepared, Trainable, prepare
from kerasgrid.config.sections import Config, first_path
from kerasgrid.data.folds import DEFAULT_N
from kerasgrid.data.in_memory import NOTHING, Given
from kerasgrid.engines import ENGINES
from kerasgrid.errors import ChangedError, ModelError, NoModelError, ScoreError, StorageError, brief
from kerasgrid.io import digest
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.machine import UNKNOWN, backend, versions
from kerasgrid.models.references import ModelReference, parse_reference
from kerasgrid.models.signature import Signature, read_signature, signature_of
from kerasgrid.planning.away import Away
from kerasgrid.records import Doing, ProbeRecord, not_told
from kerasgrid.run.paths import RunPaths
from kerasgrid.space.reading import read_space
from kerasgrid.training.entry import inspect_function, load, probe, settle
from kerasgrid.wording import count, joined

MAX_PROBES = 16
"""Candidates that are built before the first epoch so that every value occurs, at most."""
_ENDS = {error.__name__: error for error in (StorageError, ChangedError)}


def make_recipe(prepared: Prepared, paths: RunPaths, checkpoint_interval_s: float = 30.0) -> Recipe:
    """Returns what workers need to know of a search."""
    kind, search = ENGINES[prepared.config.search.engine], prepared.config.search
    recipe = make_fit_recipe(prepared, paths, checkpoint_interval_s)
    return replace(
        recipe,
        sources={**recipe.sources, **prepared.score_sources},
        scores=search.scores,
        scorers=prepared.scorers,
        val=(prepared.read and prepared.read.samples.n_held_out) or val_of(prepared.config),
        decides_by_val=kind.decides_by_val,
        frees_val=kind.frees_val and search.val is None,
        has_defaults=prepared.read is not None,
        draws_alike=prepared.read is not None,
        keeps_weights=prepared.read is not None and prepared.read.keeps_weights,
        keeps_trained=prepared.read is not None and prepared.read.keeps_trained,
        measures_epochs=prepared.read is None or prepared.read.measures_epochs,
    )


def make_fit_recipe(trainable: Trainable, paths: RunPaths, checkpoint_interval_s: float = 30.0) -> Recipe:
    """Returns what workers need to know of fits that wait nowhere."""
    config, data = trainable.config, trainable.data
    return Recipe(
        model=trainable.model,
        model_source=trainable.source,
        signature=trainable.signature,
        params=config.params,
        callbacks=config.given_callbacks,
        base=str(trainable.base),
        augment=config.given_augment,
        training=config.training.model_dump(exclude={"pack"}),
        stages=config.given_stages,
        data_folder=str(data.place),
        paths=RunPaths(paths.results.absolute(), paths.name),
        source=data.source,
        target=data.target,
        scale=config.data.scale,
        standardize=config.data.standardize,
        normalize=None if (given := config.data.normalize) is None else (given.mean, given.std),
        target_scale=config.data.target_scale,
        val=config.search.val,
        objective=config.search.objective or config.search.objective_name,
        thresholds=config.search.thresholds,
        weighted_scores=config.search.weighted_scores,
        seed=config.search.seed,
        how=config.search.how,
        packs=config.training.pack != "off",
        keeps_models=config.search.keep_models != "none",
        registered=_registered(),
        checkpoint_interval_s=checkpoint_interval_s,
        sources=trainable.sources,
    )


def _registered() -> dict[str, Any]:
    """Returns what a script or notebook has registered with Keras, as far as workers can be sent it."""
    if "keras" not in sys.modules:  # then it has registered nothing
        return {}
    found = sys.modules["keras"].saving.get_custom_objects()
    return {
        name: part
        for name, part in found.items()
        if getattr(part, "__module__", None) == "__main__" and why_not_sent(part) is None
    }


def make_executor(
    draft: Draft, threads: int | None = None, most: int | None = None, *, is_here: bool = False
) -> executors.Executor:
    """Returns the executor that a search asks for; a function that workers cannot be given runs inline.

    Args:
        threads: Threads a worker; a search goes on with those that it began with, for the same bits.
        most: Workers at most; None for as many as a search of this draft has fits.
        is_here: Whether its workers have to be on this machine.
    """
    if _runs_inline(draft):
        return executors.Inline()
    if draft.config.executor.kind == "ray" and not is_here:
        return _on_ray(draft, threads, most)
    return executors.Processes(**_options(draft, threads, most))


def _on_ray(draft: Draft, threads: int | None, most: int | None) -> executors.Executor:
    """Returns seats of a Ray cluster; a core each, but for what the search began with."""
    config = draft.config.executor
    gpus = None if config.gpus_per_worker == "auto" else config.gpus_per_worker
    n_workers = None if config.workers == "auto" else config.workers
    inner = executors.Ray(
        config.address,
        n_workers,
        most=most or most_fits(draft),
        needs=executors.Needs(threads or 1, gpus),
        setup=partial(settle, threads or 1, machine.passed_on()),
        admit=why_not_used,
        is_full=machine.is_beyond_share,
    )
    return inner if config.address == "local" else Away(inner)


def why_not_used(place: str, told: Mapping[str, str]) -> str | None:
    """Returns why a worker elsewhere is not used, whose numbers would be others; None where it is.

    Args:
        place: Its machine.
        told: What `settle` returned there.
    """
    if "error" in told:
        return f"{place} is not used: {told['error']}"
    # kerasgrid itself comes with the search, and may not be installed there.
    own = {**versions(), "python": machine.python_version()}
    differ = [
        f"{name} {told[name]}, here {own[name]}" for name in own if told[name] not in (own[name], UNKNOWN)
    ]
    return f"{place} is not used: it has {joined(differ)}. Install the same there." if differ else None


@contextmanager
def lent_executor(
    draft: Draft, threads: int | None = None, most: int | None = None, *, is_here: bool = False
) -> Iterator[executors.Executor]:
    """Gives the executor that a search asks for; where Python may ask for one again, its workers wait.

    They do not with GPUs, whose memory they would hold, nor on Windows, where their log could not be removed,
    nor where functions are named by their files, which they would not read again.

    Args:
        threads: As in `make_executor`.
        most: Likewise.
        is_here: Likewise.
    """
    may_wait = sys.platform != "win32" and not machine.count_gpus()
    is_kept = may_wait and draft.function is not None and not _runs_inline(draft)
    is_kept = is_kept and draft.config.executor.kind == "processes"
    with (
        executors.lent_processes(**_options(draft, threads, most))
        if is_kept
        else make_executor(draft, threads, most, is_here=is_here)
    ) as executor:
        yield executor


def _options(draft: Draft, threads: int | None, most: int | None) -> dict[str, Any]:
    """Returns with what the worker processes of a search are begun."""
    environments = _environments(draft, most)
    if threads is not None:
        environments = [env | dict.fromkeys(machine.THREADS, str(threads)) for env in environments]
    n_workers = len(environments)
    # Without a GPU TensorFlow gives no memory back; with one, CUDA alone may take more than a share.
    most_bytes = None if machine.count_gpus() else machine.worker_share_bytes(n_workers)
    return {"n_workers": n_workers, "environment": environments, "setup": load, "most_bytes": most_bytes}


def prepare_beside(
    executor: executors.Executor,
    draft: Draft,
    given: Given = NOTHING,
    *,
    doing: Doing = not_told,
    starts: bool = True,
    asks: bool = True,
) -> Prepared:
    """Checks a search, while its workers import their backend; of a form with faults only these are told.

    Args:
        executor: The workers, which tell what the parent process cannot read of the model function.
        given: As in `kerasgrid.checks.prepared.prepare`.
        doing: Is told what takes a while.
        starts: Whether the workers will be needed, so that they may start.
        asks: Whether they may be asked what they are: not where none is needed, and maybe none is there.

    Raises:
        ConfigError: All faults together.
    """
    if draft.is_sound:
        if asks:
            tell_beginning(draft, executor, doing)
        if starts:
            executor.start()
    prepared = prepare(draft, given, ask=partial(ask_worker, executor), doing=doing)
    warnings = _warnings_of_devices(draft, executor) if asks else ()
    return replace(prepared, warnings=prepared.warnings + warnings)


def _warnings_of_devices(draft: Draft, executor: executors.Executor) -> tuple[str, ...]:
    """Returns what is not as asked for, or as one may think, of the GPUs that workers have."""
    config, found = draft.config.executor, []
    if config.kind == "processes" and config.gpus_per_worker != "auto" and not _runs_inline(draft):
        asked = f"executor.gpus_per_worker is {config.gpus_per_worker:g}"
        room = machine.workers_on_gpus(config.gpus_per_worker)
        if not room:
            found.append(f"{asked}, and there is no GPU to use here: fits train on the processor")
        elif config.workers != "auto" and config.workers > room:
            n = count(machine.count_gpus(), "GPU")
            found.append(f"{asked}: of {config.workers} workers {room} have room on {n}, and only they start")
    kinds = Counter(executor.device_kinds())
    if len(kinds) > 1:
        each = joined([f"{kind} for {count(n, 'worker')}" for kind, n in kinds.items()])
        found.append(f"devices are of several kinds, {each}: the last bits of scores differ by kind")
    return tuple(found)


def gpu_share(config: Config, n_workers: int) -> float | None:
    """Returns which share of a GPU each worker has; None where there is none, or a cluster decides."""
    asked = None if config.executor.gpus_per_worker == "auto" else config.executor.gpus_per_worker
    return asked if config.executor.kind == "ray" else machine.gpu_share(n_workers, asked)


def tell_beginning(draft: Draft, executor: executors.Executor, doing: Doing) -> None:
    """Tells what is done first; where workers are on a cluster, this process connects with it."""
    if draft.config.executor.kind == "ray" and not _runs_inline(draft):
        doing(connecting(draft.config.executor.address))
    doing(reading(draft, executor.n_workers, executor.layout()))


def connecting(address: str) -> str:
    """Returns in a sentence with which Ray cluster this process connects."""
    if address == "local":
        return "Beginning a Ray cluster of this machine alone."
    named = executors.named_by(address)
    which = f"the Ray cluster at {named}" if named else "the Ray cluster that runs on this machine"
    return f"Connecting with {which}."


def reading(draft: Draft, n_workers: int, layout: executors.Layout | None = None) -> str:
    """Returns in a sentence what is done first: the data are read, while workers import their backend."""
    what = first_path(draft.config.data.train) or "the data"
    name = {"tensorflow": "TensorFlow", "jax": "JAX"}.get(backend(), backend())
    if _runs_inline(draft):
        return f"Reading {what}; then {name} is imported, which takes some seconds."
    where = ""
    if layout is not None:
        where = f" of the Ray cluster at {layout.cluster}, which has {count(len(layout.hosts), 'machine')},"
    imports = f"1 worker{where} imports" if n_workers == 1 else f"{n_workers} workers{where} import"
    return f"Reading {what}, while {imports} {name}."


def threads_of(draft: Draft) -> int | None:
    """Returns the threads that each worker of a new search has; None where kerasgrid does not set them."""
    if _runs_inline(draft):
        return None
    if draft.config.executor.kind == "ray":
        return 1
    value = _environments(draft)[0].get(machine.THREADS[0])
    return None if value is None else int(value)


def run_probes(
    recipe: Recipe, executor: executors.Executor, candidates: Iterable[Mapping[str, Any]]
) -> list[ProbeRecord]:
    """Builds candidates' models in workers and returns a record each, in their order.

    The first one is built by itself: a function that does not return a model is not called for the others.
    """
    candidates = list(candidates)
    found: dict[str, ProbeRecord] = {}
    is_known = isinstance(recipe.model, ModelReference) and recipe.model.kind == "built_in"
    n_first = len(candidates) if is_known else 1
    for some in (candidates[:n_first], candidates[n_first:]):
        found |= _probed(recipe, executor, some) if some else {}
        error = next((one.error for one in found.values()), None)
        if error is not None and error["type"] in (NoModelError.__name__, ScoreError.__name__):
            return [ProbeRecord(dict(params), None, error, None) for params in candidates]
    return [found[key] for key in map(digest, map(dict, candidates)) if key in found]


def _probed(
    recipe: Recipe, executor: executors.Executor, candidates: Sequence[Mapping[str, Any]]
) -> dict[str, ProbeRecord]:
    found: dict[str, ProbeRecord] = {}
    for event in executors.run_through(executor, partial(probe, recipe), candidates):
        error = None
        if isinstance(event, executors.Emitted):
            found[digest(event.payload.params)] = event.payload
        elif isinstance(event, executors.Raised):
            error = {"type": event.error_type, "message": f"{event.error_type}: {event.message}"}
        elif isinstance(event, executors.Died):
            error = {"type": "WorkerDied", "message": f"the worker that built it {event.reason}."}
        if error is not None:
            found[digest(dict(event.task))] = ProbeRecord(dict(event.task), None, error, None)
    return found


def ask_worker(executor: executors.Executor, reference: ModelReference) -> tuple[Signature, dict[str, Any]]:
    """Has a worker tell a model function's signature and the space that it declares.

    Raises:
        ModelError: The function cannot be loaded.
    """
    told = None
    for event in executors.run_through(executor, inspect_function, [reference]):
        if isinstance(event, executors.Emitted):
            told = event.payload
        elif isinstance(event, executors.Raised):
            raise ModelError(event.message)
        elif isinstance(event, executors.Died):
            raise ModelError(f"the worker that loaded it {event.reason}.")
    if told is None:
        raise ModelError("no worker could load it.")
    return told


def check_goes_on(event: executors.Raised) -> None:
    """Raises what is no fault of a worker's task: the session ends, and goes on when it is mended.

    Raises:
        StorageError: The disk is full or cannot be written.
        ChangedError: The model function's source changed since the search began.
    """
    if event.error_type in _ENDS:
        raise _ENDS[event.error_type](event.message)


def device_of(records: Iterable[ProbeRecord]) -> str:
    """Returns what models were built on, such as `cpu` or `gpu:0`."""
    return next((record.device for record in records if record.device is not None), "unknown")


def environment(device: str, executor: executors.Executor) -> dict[str, str]:
    """Returns versions, backend, device and the kinds of GPUs, as results.json has them."""
    gpus = {"gpus": kinds_of_devices(executor)} if device.startswith("gpu") else {}
    return {**versions(), "backend": backend(), "device": device, **gpus}


def kinds_of_devices(executor: executors.Executor) -> str:
    """Returns in words on which kinds of devices workers train, such as `NVIDIA H200`."""
    return joined(sorted(set(executor.device_kinds())))


def why_not_sent(function: Callable[..., Any]) -> str | None:
    """Returns why workers cannot be given a function; None where they can.

    They import it by its name, or, where a script or a notebook defines it, are sent it by value through
    their pipe.
    """
    name = getattr(function, "__qualname__", "<")
    if getattr(function, "__module__", "__main__") != "__main__" and "<" not in name:
        return None
    try:
        cloudpickle.dumps(function)
    except Exception as error:  # each object that cannot be has an error of its own
        return brief(error)
    return None


def _runs_inline(draft: Draft) -> bool:
    is_inline = draft.config.executor.kind == "inline"
    return is_inline or any(why_not_sent(function) is not None for function in draft.functions)


def _environments(draft: Draft, most: int | None = None) -> list[dict[str, str]]:
    """Returns the environment of each worker: fewer workers than there are cores have more of them each."""
    config = draft.config.executor
    share = None if config.gpus_per_worker == "auto" else config.gpus_per_worker
    if config.workers == "auto":
        n = machine.default_workers(share)
        n = min(n, most or most_fits(draft) or n)
    else:
        n = config.workers if most is None else min(config.workers, most)
        n = min(n, machine.workers_on_gpus(share) or n) if share else n
    return machine.worker_environments(n, share)


def most_fits(draft: Draft) -> int | None:
    """Returns how many fits a search has at most, from its form alone; None where that cannot be told.

    Fits that differ in epochs alone are counted each: not all of them are one run.
    """
    config = draft.config
    space, faults = read_space(config.space)
    if faults or not draft.is_sound or _declares_space(draft):
        return None
    has_own = config.search.engine in ENGINES and ENGINES[config.search.engine].has_own_space
    most = space.size if space.is_finite and not has_own else config.search.trials
    if most is None:
        return None
    most = min(most, config.search.trials or most)
    n_folds = _n_folds(config)
    return None if n_folds is None else max(1, most * n_folds * config.search.repeats)


def _n_folds(config: Config) -> int | None:
    """Returns how many folds a config asks for; None where the data tell."""
    search = config.search
    if search.holdout is not None or config.data.validation is not None:
        return 1
    if search.how.n is None and "given" in (search.how.kind, "given" if config.data.fold else None):
        return None
    return search.how.n or DEFAULT_N


def _declares_space(draft: Draft) -> bool:
    """Tells whether the model function may add to the space, as KerasTuner's build(hp) does."""
    try:
        if draft.function is not None:
            return signature_of(draft.function).style == "hp"
        signature = read_signature(parse_reference(draft.config.model, draft.base))
    except ModelError:  # is told by the checks
        return True
    return signature is None or signature.style == "hp"
