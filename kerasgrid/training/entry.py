"""What workers are asked to do. Importing this imports no Keras; calling it does, in the worker."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerasgrid.models.signature import ModelReference
from kerasgrid.records import Context, Pack
from kerasgrid.training.recipe import Recipe
from kerasgrid.training.tasks import FinalTask, PredictTask
from kerasgrid.versions import backend


def load() -> None:
    """Imports what training needs, silently: seconds that a worker spends while the driver reads the data.

    What is imported is out of the garbage collector's sight from then on: each fit collects at its end, and
    would look through all of it for nothing, a quarter of a second each time.
    """
    kept = [os.dup(stream.fileno()) for stream in (sys.stdout, sys.stderr)]
    _send_to(os.devnull)
    try:
        if backend() == "tensorflow":
            with _hidden("jax"):  # which tensorflow.lite imports where it can: 0.4 s of each worker
                import tensorflow  # noqa: F401
        from kerasgrid.training import job  # noqa: F401

        gc.collect()
        gc.freeze()
    finally:
        for descriptor, stream in zip(kept, (sys.stdout, sys.stderr), strict=True):
            os.dup2(descriptor, stream.fileno())
            os.close(descriptor)


def train_pack(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Trains a pack's jobs; see kerasgrid.training.job."""
    _write_to(recipe.paths.worker_log)
    from kerasgrid.training import job

    job.train_pack(recipe, pack, context)


def train_final(recipe: Recipe, task: FinalTask, context: Context) -> None:
    """Trains a model after its search; see kerasgrid.training.final."""
    _write_to(recipe.paths.worker_log)
    from kerasgrid.training import final

    final.train_final(recipe, task, context)


def predict(recipe: Recipe, task: PredictTask, context: Context) -> None:
    """Asks a model about samples; see kerasgrid.training.predicting."""
    _write_to(recipe.paths.worker_log)
    from kerasgrid.training import predicting

    predicting.predict(recipe, task, context)


def measure_width(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Times a pack's step by width; see kerasgrid.training.widths."""
    _write_to(recipe.paths.worker_log)
    from kerasgrid.training import widths

    widths.measure(recipe, pack, context)


def probe(recipe: Recipe, params: Mapping[str, Any], context: Context) -> None:
    """Builds one candidate's model; see kerasgrid.training.probe."""
    _write_to(recipe.paths.worker_log)
    from kerasgrid.training import probe as probing

    probing.probe(recipe, params, context)


def inspect_function(reference: ModelReference, context: Context) -> None:
    """Tells what a model function takes; see kerasgrid.training.probe."""
    from kerasgrid.training import probe as probing

    probing.inspect_function(reference, context)


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Lets a package that is not imported yet look as if it were not installed."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # as importlib documents it
    try:
        yield
    finally:
        del sys.modules[package]


def _write_to(log: Path) -> None:
    """Sends what a worker prints, and what its libraries log, to a file: the terminal is the driver's."""
    if multiprocessing.parent_process() is None or os.environ.get("KERASGRID_WORKER_LOG") == str(log):
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    _send_to(log)
    os.environ["KERASGRID_WORKER_LOG"] = str(log)


def _send_to(path: str | Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
