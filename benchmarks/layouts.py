"""Processes x threads: the same search by one worker a core, and by one worker of all cores.

    python benchmarks/layouts.py                        # fc, bn_cnn and convnet on 4,000 images
    python benchmarks/layouts.py --models fc --rows 600

4 candidates x 3 folds in packs, each search a process of its own. The figure is the seconds from the first
epoch's end to the last fit's, so that imports and the first compilation are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from packs import read_images, timed

EPOCHS = {"fc": 30, "bn_cnn": 3, "convnet": 3}
STEP = Path(__file__).with_name("step.py")


def measure(model: str, workers: int, data: Path, folder: Path) -> float:
    """Runs one search and returns its seconds of training."""
    config = {
        "name": "step",
        "data": {"train": str(data), "scale": 255},
        "model": model,
        "params": {"batch_size": 128, "optimizer": "Adam", "epochs": EPOCHS[model]},
        "space": {"learning_rate": [0.001, 0.002], "dropout": [0.2, 0.4]},
        "search": {"folds": 3, "seed": 0},
        "executor": {"workers": workers},
    }
    folder.mkdir()
    (folder / "search.json").write_text(json.dumps(config))
    timed([sys.executable, str(STEP), "--search", str(folder)], folder)
    clock = json.loads((folder / "clock.json").read_text())
    return max(end[3] for end in clock["ends"]) - min(epoch[4] for epoch in clock["epochs"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--rows", type=int, default=4_000, help="the first N images only")
    given = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        np.savez(data, **read_images(given.rows))
        for model in given.models:
            for workers in (cores, 1):
                seconds = measure(model, workers, data, Path(folder) / f"{model}-{workers}")
                layout = f"{workers} x {cores // workers}"
                print(f"{model:<8} {layout} (workers x threads): {seconds:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
