"""A small search on the digits whose models are kept, for tests of what comes after it."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from kerasgrid.driver import search

CONFIG = {
    "name": "grid",
    "data": {"train": "digits", "scale": 16, "subset": 600},
    "model": "fc",
    "params": {"batch_size": 64, "epochs": 4, "units": [32, 16]},
    "space": {"learning_rate": [0.003, 0.01]},
    "search": {"folds": 3, "keep_models": "all"},
    "executor": {"kind": "inline"},
}
STOPPING = {
    "early_stopping": {"monitor": "val_loss", "patience": 1, "restore_best_weights": True},
    "reduce_lr_on_plateau": {"monitor": "val_loss", "patience": 0, "min_delta": 1.0, "factor": 0.5},
}


def searched(folder, **changes):
    """Runs the search, with other sections, into folder/results and returns its results.json."""
    return search({**CONFIG, **changes}, results=folder / "results").path


def digits():
    """Returns images (1797, 8, 8, 1), uint8, and labels."""
    found = load_digits()
    return found.images.astype(np.uint8)[..., None], found.target
