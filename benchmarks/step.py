"""What a fit and a sample cost with packs and by Keras's own fit, for `bn_cnn` and `convnet`.

    python benchmarks/step.py                                       # 2 models x 2 ways, 10,000 images
    python benchmarks/step.py --models bn_cnn --rows 600 --epochs 2

Batch 128, 4 candidates x 3 folds, 3 epochs, one worker, TensorFlow, Kannada-MNIST (see packs.py). Each
search is a process of its own. Columns:

    wall         seconds of the whole search, from its process's start to its end
    first fit    fit_time of the first fit to end, which builds the program where there is one
    later fits   fit_time of the others, the median
    epoch        seconds from one epoch's end to the next of the same fit, the median; the held-out
                 fold is measured in it
    images/s     images trained on in such a second
    fixed        what a later fit takes beyond its epochs: building, tracing, compiling, saving; from the
                 end of the fit before to its own, less its epochs

Fits that run side by side share their seconds; all but `wall` then are a share's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from packs import read_images, timed

FOLDS = 3


def be_search(folder: Path) -> None:
    """Is the process of a search: runs search.json and writes when each epoch and fit has ended."""
    from kerasgrid.driver.search import search
    from kerasgrid.run.observer import Observer

    epochs, ends = [], []

    class Clock(Observer):
        def epoch(self, record):
            epochs.append([*record.job, record.epoch, time.monotonic()])

        def ended(self, record, state):
            ends.append([*record.job, time.monotonic(), record.fit_time])

    found = search(json.loads((folder / "search.json").read_text()), results=folder, observer=Clock())
    assert found.status == "complete", found.status
    (folder / "clock.json").write_text(json.dumps({"epochs": epochs, "ends": ends}))


def measure(model: str, pack: str, data: Path, rows: int, epochs: int, folder: Path) -> dict[str, float]:
    """Runs one search and returns the columns."""
    config = {
        "name": "step",
        "data": {"train": str(data), "scale": 255},
        "model": model,
        "params": {"batch_size": 128, "optimizer": "Adam", "epochs": epochs},
        "space": {"learning_rate": [0.001, 0.002], "dropout": [0.2, 0.4]},
        "search": {"folds": FOLDS, "seed": 0},
        "training": {"pack": pack},
        "executor": {"workers": 1},
    }
    folder.mkdir()
    (folder / "search.json").write_text(json.dumps(config))
    wall = timed([sys.executable, __file__, "--search", str(folder)], folder)
    clock = json.loads((folder / "clock.json").read_text())
    trials = json.loads((folder / "step.json").read_text())["trials"]
    fit_times = {
        (trial["id"], fold["fold"], 0): fold["fit_time"] for trial in trials for fold in trial["folds"]
    }
    ends = sorted(clock["ends"], key=lambda end: end[3])
    order = [tuple(end[:3]) for end in ends]
    told = {tuple(entry[:4]): entry[4] for entry in clock["epochs"]}
    epoch = statistics.median(
        told[key] - told[(*key[:3], key[3] - 1)] for key in told if (*key[:3], key[3] - 1) in told
    )
    between = [after[3] - before[3] for before, after in itertools.pairwise(ends)]
    return {
        "wall": wall,
        "first fit": fit_times[order[0]],
        "later fits": statistics.median(fit_times[job] for job in order[1:]),
        "epoch": epoch,
        "images/s": rows * (FOLDS - 1) / FOLDS / epoch,
        "fixed": statistics.median(between) - epochs * epoch,
    }


def main() -> int:
    if sys.argv[1:2] == ["--search"]:
        be_search(Path(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["bn_cnn", "convnet"])
    parser.add_argument("--packs", nargs="+", default=["off", "auto"], help="values of training.pack")
    parser.add_argument("--rows", type=int, default=10_000, help="the first N images only")
    parser.add_argument("--epochs", type=int, default=3, help="at least 2")
    given = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        arrays = read_images(given.rows)
        rows = len(arrays["labels"])
        np.savez(data, **arrays)
        for model in given.models:
            for pack in given.packs:
                found = measure(model, pack, data, rows, given.epochs, Path(folder) / f"{model}-{pack}")
                shown = ", ".join(f"{name} {value:,.3f}" for name, value in found.items())
                print(f"{model:<8} pack {pack:<5} {shown}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
