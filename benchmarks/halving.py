"""Halving beside the whole grid of experiment A1, over seeds: the winner, the epochs and the time.

    python benchmarks/halving.py                        # 5 seeds, 64 candidates x 3 folds each way
    python benchmarks/halving.py --seeds 0 --rows 600

Each search is a process of its own with a new cache. Of halving's winner the score that the whole grid
measured is shown, which all training rows have made; `behind` is how far that is below the grid's best, in
standard deviations (over folds) of that best.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from packs import read_images, search

SPACE = {
    "batch_size": [1024, 2048],
    "epochs": [15, 30],
    "optimizer": ["RMSprop", "Adam"],
    "learning_rate": [0.001, 0.01],
    "batch_norm": [True, False],
    "dropout": [0.2, 0.4],
}


def grid_of(engine: str, seed: int, data: Path) -> dict:
    """Returns the grid.yaml of a search of the 64 candidates."""
    return {
        "name": engine,
        "data": {"train": str(data), "scale": 255},
        "model": "fc",
        "space": SPACE,
        "search": {"engine": engine, "folds": 3, "seed": seed},
    }


def run(engine: str, seed: int, data: Path, folder: Path) -> tuple[float, dict]:
    """Runs one search; returns its seconds and its results."""
    folder.mkdir(exist_ok=True)
    return search(grid_of(engine, seed, data), folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--rows", type=int, help="the first N images only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        np.savez(data, **read_images(given.rows))
        for seed in given.seeds:
            own = Path(folder) / str(seed)
            grid_s, grid = run("grid", seed, data, own)
            halving_s, halving = run("halving", seed, data, own)
            by_params = {json.dumps(trial["params"]): trial for trial in grid["trials"]}
            best = grid["trials"][grid["best"]["trial"]]
            found = by_params[json.dumps(halving["best"]["params"])]
            behind = (best["mean_test_score"] - found["mean_test_score"]) / best["std_test_score"]
            print(
                f"seed {seed}: grid {grid_s:.1f} s, {grid['summary']['epochs_trained']:,} epochs, best "
                f"{best['mean_test_score']:.4f} ± {best['std_test_score']:.4f}; halving {halving_s:.1f} s, "
                f"{halving['summary']['epochs_trained']:,} epochs, its winner {found['mean_test_score']:.4f} "
                f"(rank {found['rank_test_score']}, {behind:.2f} behind)",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
