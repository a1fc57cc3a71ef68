"""What workers are asked to do. Importing this imports no Keras; calling it does, in the worker."""

from __future__ import annotations

import gc
import io
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kerasgrid.errors import brief
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import FinalTask, OutputsTask, PredictTask
from kerasgrid.machine import backend, cluster_environment, hidden, node, python_version, versions
from kerasgrid.models.references import ModelReference
from kerasgrid.records import Context, Pack
from kerasgrid.spawning import muted

_TF_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what TensorFlow and absl say below errors off a terminal that is the user's own, and no longer.

    TensorFlow's Python warns of tracing that cannot be helped where models differ; its other half tells of
    the machine, and takes its level from the environment when it is imported.
    """
    hidden = [logging.getLogger(name) for name in ("tensorflow", "absl")]

    def passes(record: logging.LogRecord) -> bool:  # each time another: threads enter and leave as they like
        return record.levelno >= logging.ERROR

    is_ours = _TF_LEVEL not in os.environ
    if is_ours:
        os.environ[_TF_LEVEL] = "3"
    for logger in hidden:
        logger.addFilter(passes)
    try:
        if backend() == "tensorflow" and "tensorflow" not in sys.modules and find_spec("tensorflow"):
            with muted(2):  # which its libraries write to before they know of a level
                import tensorflow  # noqa: F401
        yield
    finally:
        for logger in hidden:
            logger.removeFilter(passes)
        if is_ours:
            os.environ.pop(_TF_LEVEL, None)


def _out_of_sight(function: Callable[..., None]) -> Callable[..., None]:
    """Lets what a worker prints and logs go to its log; in the user's own process, TensorFlow is quiet."""

    @wraps(function)
    def called(about: Any, *rest: Any) -> None:
        if multiprocessing.parent_process() is None and not node():
            with quiet():
                function(about, *rest)
            return
        if isinstance(about, Recipe):
            _write_to(about.paths.worker_log)
        function(about, *rest)

    return called


def load() -> None:
    """Imports what training needs, silently: seconds that a worker spends while the driver reads the data.

    What is imported is out of the garbage collector's sight from then on: each fit collects at its end, and
    would look through all of it for nothing, a quarter of a second each time.
    """
    with muted(*(stream.fileno() for stream in (sys.stdout, sys.stderr) if stream is not None)):
        if backend() == "tensorflow":
            with hidden("jax"):  # which tensorflow.lite imports where it can: 0.4 s of each worker
                import tensorflow  # noqa: F401
        from kerasgrid.training import backend as own
        from kerasgrid.training import job  # noqa: F401

        own.keep_to_share()
        gc.collect()
        gc.freeze()


def settle(threads: int, variables: Mapping[str, str], share: float) -> dict[str, str]:
    """Gives a worker of a cluster its share of its machine, loads what it needs, and returns what it has.

    Args:
        threads: Of a step, where it trains on the processor.
        variables: Of the driver's environment, in the place of that machine's.
        share: Of a GPU; 0 where it trains on the processor.

    Returns:
        Versions by package, and Python's; or the `error` that it has instead.
    """
    os.environ.update(variables)
    os.environ.update(cluster_environment(threads, share))
    try:
        load()
    except ImportError as error:
        return {"error": f"{error}. Install it there as it is here."}
    except Exception as error:  # a library that does not begin there; other machines may do
        return {"error": f"{brief(error).rstrip('.')}."}
    return {**versions(), "python": python_version()}


@_out_of_sight
def train_pack(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Trains a pack's jobs; see kerasgrid.training.job."""
    from kerasgrid.training import job

    job.train_pack(recipe, pack, context)


@_out_of_sight
def compute_outputs(recipe: Recipe, task: OutputsTask, context: Context) -> None:
    """Computes some of what a frozen part gives; see kerasgrid.training.rest."""
    from kerasgrid.training import rest

    rest.compute(recipe, task, context)


@_out_of_sight
def train_final(recipe: Recipe, task: FinalTask, context: Context) -> None:
    """Trains a model after its search; see kerasgrid.training.final."""
    from kerasgrid.training import final

    final.train_final(recipe, task, context)


@_out_of_sight
def predict(recipe: Recipe, task: PredictTask, context: Context) -> None:
    """Asks a model about samples; see kerasgrid.training.predicting."""
    from kerasgrid.training import predicting

    predicting.predict(recipe, task, context)


@_out_of_sight
def measure_width(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Times a pack's step by width; see kerasgrid.training.packs."""
    from kerasgrid.training import packs

    packs.measure(recipe, pack, context)


@_out_of_sight
def probe(recipe: Recipe, params: Mapping[str, Any], context: Context) -> None:
    """Builds one candidate's model; see kerasgrid.training.probe."""
    from kerasgrid.training import probe as probing

    probing.probe(recipe, params, context)


@_out_of_sight
def inspect_function(reference: ModelReference, context: Context) -> None:
    """Tells what a model function takes; see kerasgrid.training.probe."""
    from kerasgrid.training import probe as probing

    probing.inspect_function(reference, context)


def _write_to(log: Path) -> None:
    """Sends what a worker prints, and what its libraries log, to a file: the terminal is the driver's."""
    if os.environ.get("KERASGRID_WORKER_LOG") == str(log):
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    _send_to(log)
    os.environ["KERASGRID_WORKER_LOG"] = str(log)


def _send_to(path: str | Path) -> None:
    binary = getattr(os, "O_BINARY", 0)  # Windows's C would end lines as its Python has done already
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | binary, 0o666)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as under pythonw
            stream.flush()
            os.dup2(descriptor, stream.fileno())
            if isinstance(stream, io.TextIOWrapper):  # by a code page a user's print may be an error
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    os.close(descriptor)
