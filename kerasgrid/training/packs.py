"""Training the jobs of a pack as one compiled program.

Jobs that share a graph are trained wave by wave, `width` runs side by side; the program is compiled
once in a worker's life. Between epochs Keras's own callbacks decide for each run by itself.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import ChangedError, StorageError
from kerasgrid.io import digest
from kerasgrid.records import Context, Dataset, Fold, Graph, Job, Pack
from kerasgrid.seeds import key
from kerasgrid.training import backend
from kerasgrid.training.batches import Scaling, encode_labels, open_dataset
from kerasgrid.training.candidate import (
    build_and_compile,
    make_callbacks,
    read_folds,
    rows_of,
    seeded,
    statistics_of,
)
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.liftable import UnliftableError
from kerasgrid.training.lifting import lift
from kerasgrid.training.member import Member
from kerasgrid.training.objective import find_objective
from kerasgrid.training.program import Program
from kerasgrid.training.recipe import Recipe
from kerasgrid.training.routing import Route
from kerasgrid.training.schedule import Schedule
from kerasgrid.training.scoring import failure, is_out_of_memory
from kerasgrid.training.wave import Wave

PROGRAMS = 4
"""Compiled programs that a worker keeps."""
_programs: dict[tuple, tuple[Program, Compiled, Dataset]] = {}
DEVICE_BYTES = 2**30
"""Images that are larger as float32 are not held on the device, and take Keras's own fit."""


class FallBackError(Exception):
    """A program that cannot be compiled after all; these jobs take Keras's own fit."""

    def __init__(self, jobs: Sequence[Job], reason: str) -> None:
        self.jobs = tuple(jobs)
        super().__init__(
            f"{jobs[0].trial.params}: no program can be compiled ({reason}); Keras's own fit trains it."
        )


def describe(recipe: Recipe, plan: Route, compiled: Compiled, data: Dataset) -> Graph:
    """Returns a candidate's graph, with the reason where no program can train it."""
    try:
        _check(plan, data)
        lifted = lift(compiled, sample_of(compiled, data, recipe.n_classes))
    except UnliftableError as error:
        return Graph(None, str(error))
    about = [lifted.key, plan.batch_size, sorted(plan.callbacks), plan.monitors_val, compiled.labels]
    return Graph(digest(about), None, tuple(float(number) for number in lifted.numbers), lifted.learning_rate)


def train(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Trains a pack's jobs; emits epochs, checkpoints and one FoldRecord a job.

    Where it is asked to stop, the jobs under way emit a StopRecord each, and the others nothing.

    Raises:
        StorageError, ChangedError: As `train_pack` of kerasgrid.training.job.
        FallBackError: The program cannot be traced; none of the jobs it names has begun.
    """
    runs = pack.runs
    while runs and not context.should_stop():
        wave, runs = runs[: pack.width], runs[pack.width :]
        _train_wave(recipe, pack, wave, runs, context)


def _train_wave(
    recipe: Recipe, pack: Pack, runs: list[tuple[Job, ...]], later: list[tuple[Job, ...]], context: Context
) -> None:
    jobs = [job for run in runs for job in run]
    wave = None
    try:
        wave = make_wave(recipe, pack, runs, context)
        wave.run()
    except (StorageError, ChangedError):
        raise
    except Exception as error:
        left = [job for job in jobs if wave is None or job.id not in wave.ended]
        if is_out_of_memory(error) and len(runs) > 1:
            half = len(runs) // 2
            _programs.clear()
            for part in (runs[:half], runs[half:]):
                open_ = [kept for run in part if (kept := tuple(job for job in run if job in left))]
                if open_:
                    _train_wave(recipe, pack, open_, later, context)
            return
        if wave is None or not wave.has_begun:
            rest = [job for run in later for job in run]
            raise FallBackError(
                [*left, *rest], " ".join(f"{type(error).__name__}: {error}".split())[:300]
            ) from error
        for job in left:
            context.emit(failure(job, error))


def make_wave(recipe: Recipe, pack: Pack, runs: list[tuple[Job, ...]], context: Context) -> Wave:
    """Returns some runs of a pack, ready to be trained side by side."""
    first = runs[0][0]
    program, compiled, data = _program(recipe, first, pack.graph(first).key)
    members = []
    for run in runs:
        last, graph = run[-1], pack.graph(run[-1])
        plans = [recipe.route(job.trial.params) for job in run]
        fold = read_folds(recipe, len(data))[last.fold]
        train_rows, val_rows = rows_of(recipe, plans[-1], data, fold)
        members.append(
            Member(
                jobs=run,
                epochs=tuple(plan.epochs for plan in plans),
                numbers=np.asarray(graph.numbers, dtype=keras.config.floatx()),
                learning_rate=plans[-1].optimizer_args.get("learning_rate", graph.learning_rate),
                callbacks=make_callbacks(plans[-1]),
                scaling=_scaling(recipe, fold),
                key=_words(recipe.seed, last),
                train=train_rows,
                val=val_rows,
                test=fold.test,
            )
        )
    return Wave(
        recipe=recipe,
        program=program,
        compiled=compiled,
        objective=find_objective(recipe.objective),
        labels=data.labels,
        members=members,
        context=context,
        owner=digest([pack.graph(first).key, pack.width]),
    )


def _program(recipe: Recipe, job: Job, graph: str) -> tuple[Program, Compiled, Dataset]:
    """Returns the program of a graph on this search's data and folds, compiled once in this process."""
    folds = recipe.paths.folds
    where = (graph, str(folds), folds.stat().st_mtime, recipe.data_folder, recipe.scale, recipe.val)
    if where not in _programs:
        while len(_programs) >= PROGRAMS:
            del _programs[next(iter(_programs))]
            gc.collect()  # a program and its traces refer to each other
        _programs[where] = _make_program(recipe, job)
    return _programs[where]


def _make_program(recipe: Recipe, job: Job) -> tuple[Program, Compiled, Dataset]:
    data = open_dataset(recipe.data_folder, recipe.source)
    plan = recipe.route(job.trial.params)
    with seeded(key("graph", recipe.seed) % (1 << 32)):
        compiled = build_and_compile(recipe, plan, find_objective(recipe.objective), data.images.shape[1:])
        lifted = lift(compiled, sample_of(compiled, data, recipe.n_classes))
    sizes = [len(rows_of(recipe, plan, data, fold)[0]) for fold in read_folds(recipe, len(data))]
    images, targets = _on_device(
        recipe.data_folder, recipe.source, recipe.scale, recipe.n_classes, compiled.labels, compiled.n_outputs
    )
    return Program(lifted, Schedule.of(sizes, plan.batch_size), images, targets), compiled, data


@lru_cache(maxsize=2)
def _on_device(
    folder: str, source: str, scale: float | None, n_classes: int, labels: str, n_outputs: int
) -> tuple[Any, Any]:
    data = open_dataset(folder, source)
    images = Scaling(scale)(data.images).astype(keras.config.floatx(), copy=False)
    return backend.to_device(images), backend.to_device(
        encode_labels(data.labels, labels, n_classes, n_outputs)
    )


def _scaling(recipe: Recipe, fold: Fold) -> np.ndarray:
    """Returns (2, channel): what is subtracted of the scaled images, and what they are multiplied by."""
    if not recipe.standardize:
        return np.zeros((2, 0), dtype=keras.config.floatx())
    mean, std = statistics_of(recipe, fold)
    return np.stack([mean, 1 / std]).astype(keras.config.floatx())


def _check(plan: Route, data: Dataset) -> None:
    if "terminate_on_nan" in plan.callbacks:
        raise UnliftableError("terminate_on_nan looks at every batch")
    if data.images.size * 4 > DEVICE_BYTES:
        raise UnliftableError(f"the images take more than {DEVICE_BYTES / 2**30:g} GiB as float32")


def sample_of(compiled: Compiled, data: Dataset, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns one image and its target, from which metrics learn their shapes."""
    return data.images[:1], encode_labels(data.labels[:1], compiled.labels, n_classes, compiled.n_outputs)


def _words(seed: int, job: Job) -> np.ndarray:
    """Returns (2,) int32, the key of all that a job draws while it is trained."""
    bits = key("draw", seed, job.trial.key, job.fold, job.repeat)
    return np.array([bits & 0xFFFFFFFF, bits >> 32 & 0xFFFFFFFF], dtype=np.uint32).view(np.int32)
