"""The noise of a comparison: how the difference between two candidates' mean scores varies over seeds.

    python benchmarks/noise.py                       # 20 seeds, with and without augmentation
    python benchmarks/noise.py --rows 1000 --seeds 5

Of `fc` on the first rows of Kannada-MNIST, in one search of three candidates on 3 folds, whose repeats are
the seeds. What is shown is the mean of the difference over them, its standard deviation, and that of the
first candidate's own score. To set two versions side by side, run it with the other one's tree as PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from packs import read_images

import kerasgrid as kg

FIRST = {"dropout": 0.2, "learning_rate": 0.001}
OTHERS = [{"dropout": 0.4, "learning_rate": 0.001}, {"dropout": 0.2, "learning_rate": 0.002}]
AUGMENT = {
    "rotation_range": 10,
    "width_shift_range": 0.25,
    "height_shift_range": 0.25,
    "shear_range": 0.1,
    "zoom_range": 0.4,
}


def scores(given: argparse.Namespace, augment: dict | None, folder: Path) -> dict[str, np.ndarray]:
    """Returns the mean score over the folds, (seed,), of each candidate, by its name."""
    data = read_images(given.rows)
    config = {
        "name": "noise",
        "data": {"scale": 255},
        "model": "fc",
        "params": {"batch_size": 128, "epochs": given.epochs, "optimizer": "Adam", "batch_norm": False},
        "space": [{name: [value] for name, value in params.items()} for params in (FIRST, *OTHERS)],
        "search": {"folds": 3, "repeats": given.seeds},
        "executor": {"kind": "inline"},
        **({"augment": augment} if augment else {}),
    }
    kg.search(config, data["images"], data["labels"], results=folder)
    told = json.loads((folder / "noise.json").read_text())
    # (candidate, fold, seed)
    found = [
        [[part["test_score"] for part in fold["repeats"]] for fold in trial["folds"]]
        for trial in told["trials"]
    ]
    names = [name_of(trial["params"]) for trial in told["trials"]]
    return dict(zip(names, np.mean(found, axis=1), strict=True))


def name_of(params: dict) -> str:
    """Returns what the table calls a candidate."""
    return f"dropout {params['dropout']}, lr {params['learning_rate']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    first = name_of(FIRST)
    for augment in (None, AUGMENT):
        with tempfile.TemporaryDirectory() as folder:
            found = scores(given, augment, Path(folder))
        own = np.std(found[first], ddof=1)
        print(f"{'augmented' if augment else 'plain'}: {first}, standard deviation {own:.5f}")
        for other in map(name_of, OTHERS):
            differences = found[first] - found[other]
            spread = np.std(differences, ddof=1)
            print(f"  less {other:<24} mean {np.mean(differences):+.5f}, standard deviation {spread:.5f}")


if __name__ == "__main__":
    main()
