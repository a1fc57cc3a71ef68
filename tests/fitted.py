"""A small search on the digits whose models are kept, for tests of what comes after it."""

from __future__ import annotations

import shutil

import numpy as np
from fakes import fake_probes, fake_train_pack
from sklearn.datasets import load_digits

from kerasgrid.driver import search as driver
from kerasgrid.driver.search import search
from kerasgrid.jobs.tasks import FinalRecord
from kerasgrid.planning import packing
from kerasgrid.records import EpochRecord

CONFIG = {
    "name": "grid",
    "data": {"train": "digits", "scale": 16, "subset": 600},
    "model": "fc",
    "params": {
        "batch_size": 64,
        "epochs": 4,
        "units": [16],
        "batch_norm": False,
        "dropout": 0,
        "optimizer": "SGD",
        "optimizer.momentum": 0.9,
    },
    "space": {"learning_rate": [0.05, 0.15]},
    "search": {"folds": 2, "keep_models": "all"},
    "executor": {"kind": "inline"},
}
STOPPING = {
    "early_stopping": {"monitor": "val_loss", "patience": 1, "restore_best_weights": True},
    "reduce_lr_on_plateau": {"monitor": "val_loss", "patience": 0, "min_delta": 1.0, "factor": 0.5},
}


def searched(folder, **changes):
    """Runs the search, with other sections, into folder/results and returns its results.json."""
    return search({**CONFIG, **changes}, results=folder / "results").path


def train_nothing(monkeypatch, builds=False):
    """Lets searches take the fake trainer; `builds` tells whether models are built before it all the same."""
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    if not builds:
        monkeypatch.setattr(packing, "run_probes", fake_probes)


def fake_train_final(recipe, task, context, model=None):
    """Trains nothing: a model, or else one of the search's folds, is taken for what would have been."""
    for epoch in range(1, task.epochs + 1):
        context.emit(EpochRecord(task.job.id, epoch, task.epochs, {"loss": 0.5}))
    task.file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model or recipe.paths.models[0], task.file)
    context.emit(FinalRecord(task.job.id, task.epochs, {"loss": [0.5] * task.epochs}, fit_time=0.5))


def digits():
    """Returns images (1797, 8, 8, 1), uint8, and labels."""
    found = load_digits()
    return found.images.astype(np.uint8)[..., None], found.target
