"""AutoKeras beside a search with as much time, on Kannada-MNIST: 7,000 images to train on, 3,000 held out.

    python benchmarks/compare.py --page compare.html
    python benchmarks/compare.py --only compare --epochs 1 --rows 600

AutoKeras tries the net of experiment A5 (110,989 parameters) and three more of its ConvBlock, 10 epochs each;
`bn_cnn` and `convnet` are searched for as long as that took, in the other process of the same run, with the
same workers. `raw` is AutoKeras by itself: ImageClassifier.fit with one trial, the same net, on the same
rows, of which it holds out a fifth as in its search; its exported model is scored on the 3,000. Each is a
process of its own with a new cache. AutoKeras's search comes first, so that the other can have its time.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
from packs import read_images, search, timed

from kerasgrid.report.side_by_side import Beside
from kerasgrid.run.results import ResultsData

HOLDOUT, SEED = 0.3, 0
NETS = Path(__file__).resolve().parents[1] / "experiments" / "convnets.py"


def config_of(data: Path, epochs: int, trials: int) -> dict:
    """Returns the grid.yaml that both searches read."""
    return {
        "name": "kerasgrid",
        "data": {"train": str(data), "scale": 255},
        "model": f"{NETS}:build",
        "params": {"epochs": epochs},
        "space": {
            "net": ["bn_cnn", "convnet"],
            "batch_size": [64, 128],
            "learning_rate": [0.001, 0.002],
        },
        "search": {"holdout": HOLDOUT, "seed": SEED},
        "autokeras": {"max_trials": trials, "epochs": epochs, "blocks": "vanilla"},
    }


def raw(data: Path, epochs: int) -> None:
    """Runs AutoKeras by itself, in this process, and prints what came of it as JSON."""
    import autokeras
    import keras
    from autokeras.utils import data_utils

    from kerasgrid.config.sections import Folds
    from kerasgrid.data.folds import make_folds
    from kerasgrid.data.in_memory import dataset_from_arrays

    with np.load(data) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype("int64")
    samples = dataset_from_arrays(images, labels)
    (fold,) = make_folds(samples, Folds(), holdout=HOLDOUT, seed=SEED)
    keras.utils.set_random_seed(SEED)
    shape_of = data_utils.dataset_shape  # gives NumPy's numbers, which Keras's Dense refuses since 3.13

    def shapes(dataset):
        return [np.array([int(size) for size in shape], dtype=object) for shape in shape_of(dataset)]

    data_utils.dataset_shape = shapes
    order = np.random.default_rng(SEED).permutation(fold.train)  # it holds out the last rows
    with tempfile.TemporaryDirectory() as folder:
        clf = autokeras.ImageClassifier(max_trials=1, directory=folder, seed=SEED + 1)
        clf.fit(images[order].astype("float32"), labels[order], epochs=epochs, verbose=0)
        model = clf.export_model()
        outputs = model.predict(images[fold.test].astype("float32"), verbose=0)
    accuracy = float(np.mean(outputs.argmax(axis=1) == labels[fold.test]))
    print(json.dumps({"accuracy": accuracy, "parameters": model.count_params()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--trials", type=int, default=4, help="AutoKeras's")
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--only", nargs="+", choices=("compare", "raw"), default=["compare", "raw"])
    parser.add_argument("--page", type=Path, help="where to write the page of both searches")
    parser.add_argument("--raw", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.raw is not None:
        raw(asked.raw, asked.epochs)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "kannada.npz"
        np.savez(data, **read_images(asked.rows))
        if "compare" in asked.only:
            theirs = config_of(data, asked.epochs, asked.trials)
            theirs["name"] = theirs["search"]["engine"] = "autokeras"
            seconds, found = search(theirs, folder)
            print(f"AutoKeras's search: {seconds:.1f} s as a process", flush=True)
            mine = config_of(data, asked.epochs, asked.trials)
            mine["search"]["time"] = f"{math.ceil(found['summary']['wall_time_s'])}s"
            seconds, own = search(mine, folder)
            print(f"the search of bn_cnn and convnet: {seconds:.1f} s as a process", flush=True)
            beside = Beside([ResultsData(own), ResultsData(found)])
            print("\n".join(beside.lines()), flush=True)
            for one in (own, found):
                for trial in one["trials"]:
                    print(one["name"], trial["id"], trial["state"], trial["mean_test_score"], trial["params"])
            if asked.page is not None:
                asked.page.write_text(beside.html(), encoding="utf-8")
        if "raw" in asked.only:
            command = [sys.executable, __file__, "--raw", str(data), "--epochs", str(asked.epochs)]
            log = folder / "raw.json"
            shell = ["sh", "-c", f'"$@" > "{log}"', "sh", *command]
            seconds = timed(shell, folder)
            print(f"AutoKeras by itself, one trial: {seconds:.1f} s, {log.read_text().splitlines()[-1]}")


if __name__ == "__main__":
    main()
