"""Seconds of a search by the share of a GPU that each worker has, and whether its scores are the same.

    python benchmarks/gpu_shares.py                         # on a machine with a GPU
    KERAS_BACKEND=jax python benchmarks/gpu_shares.py --epochs 60 --pack 8

Of `fc` on scikit-learn's digits, 12 candidates on 3 folds, of which as many as --pack train side by side
whatever the share, so that what differs is where they are trained.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import kerasgrid as kg
from kerasgrid import machine

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--pack", type=int, default=4)
given = parser.parse_args()
print(f"{', '.join(machine.device_kinds())}, {machine.versions()}, {machine.backend()}")
config = {
    "data": {"train": "digits", "scale": 16},
    "model": "fc",
    "params": {"epochs": given.epochs, "batch_size": 64},
    "space": {"dropout": [0.1, 0.2, 0.3], "learning_rate": [0.0005, 0.001, 0.002, 0.004]},
    "training": {"pack": given.pack},
}
scores = {}
for share in (1, 0.5):
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = kg.search({**config, "name": "a", "executor": {"gpus_per_worker": share}}, results=folder)
        seconds = time.perf_counter() - began
    scores[share] = [trial["mean_test_score"] for trial in found.data["trials"]]
    print(f"gpus_per_worker {share}: {seconds:.1f} s, best mean accuracy {max(scores[share]):.4f}")
differ = max(abs(one - other) for one, other in zip(*scores.values(), strict=True))
print("scores are the same to the bit" if differ == 0 else f"scores differ by {differ:.2g} at most")
