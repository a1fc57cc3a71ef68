"""A search in small, as one begins: a worker starts, a model is built, a pack is set against plain fits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid import executors
from kerasgrid.checks.draft import read_draft
from kerasgrid.data.folds import save_folds
from kerasgrid.errors import RunError
from kerasgrid.planning.packing import Graphs
from kerasgrid.planning.workers import make_executor, make_recipe, prepare_beside
from kerasgrid.records import FoldRecord, Job, Pack, Trial
from kerasgrid.run.paths import RunPaths
from kerasgrid.training.entry import train_pack

_CONFIG = {
    "data": {"train": "digits", "scale": 16, "subset": 200},
    "model": "fc",
    "params": {
        "units": [8],
        "dropout": 0,
        "batch_norm": False,
        "optimizer": "SGD",
        "batch_size": 25,
        "epochs": 1,
    },
    "space": {"learning_rate": [0.01, 0.1]},
    "search": {"holdout": 0.5},
    "executor": {"workers": 1},
}


def small_search(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yields what has worked, step by step.

    The `device` that is trained on; that a plain `fit` was trained; and either by how much the losses of a
    `pack` differ from it, relative, or why what needs none is not one, `refused`.

    Args:
        folder: For its files.

    Raises:
        KerasgridError: A step does not work.
    """
    paths, draft = RunPaths(folder, "doctor"), read_draft(_CONFIG)
    with make_executor(draft) as executor:
        prepared = prepare_beside(executor, draft)
        paths.folder.mkdir(parents=True)
        save_folds(paths.folds, prepared.folds, len(prepared.data), prepared.data.fingerprint)
        recipe = make_recipe(prepared, paths)
        graphs = Graphs(prepared, recipe, executor)
        trials = [Trial(index, params) for index, params in enumerate(prepared.space)]
        found = tuple(graphs.of(trials)[trial.id] for trial in trials)
        for record in graphs.records:
            if record.error is not None:
                raise RunError(record.error["message"])
            yield "device", record.device
        jobs = tuple(Job(trial, fold=0) for trial in trials)
        train = partial(executor.run, partial(train_pack, recipe))
        plain = _losses(train([Pack(jobs)]))
        yield "fit", True
        if found[0].key is None:
            yield "refused", found[0].reason
        else:
            packed = _losses(train([Pack(jobs, found, width=len(jobs))]))
            yield "pack", float(np.max(np.abs(packed / plain - 1)))


def _losses(events: Iterator[executors.Event]) -> np.ndarray:
    """Returns the loss of each fit that events tell of, in the order of the trials."""
    losses = {}
    for event in events:
        if isinstance(event, executors.Raised):
            raise RunError(f"{event.error_type}: {event.message}")
        if isinstance(event, executors.Died):
            raise RunError(f"the worker {event.reason}")
        if isinstance(event, executors.Emitted) and isinstance(event.payload, FoldRecord):
            if event.payload.error is not None:
                raise RunError(event.payload.error["message"])
            losses[event.payload.job] = event.payload.history["loss"][-1]
    return np.array([losses[job] for job in sorted(losses)])
