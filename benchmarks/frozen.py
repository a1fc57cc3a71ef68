"""Heads on a frozen VGG16, whose part is computed once, beside Keras's fit of one head on the whole net.

    python benchmarks/frozen.py                                   # 10,000 images at 48 x 48
    python benchmarks/frozen.py --samples 500 --size 32 --epochs 2 --keras-epochs 1     # small

Experiment B's VGG16 as a grid: 12 heads (dense_units, dropout, learning_rate) x 3 folds, 30 epochs of batch
128, on MNIST, whose grey images are enlarged and repeated to three channels in the net. The grid is searched
twice, each time by a process of its own: with a new cache, so that the pass of all images through VGG16 is
made, and again under another name, as a later search finds it. Then a process fits one of the heads on the
whole net by Keras's own fit, on the training rows of one of the folds, an epoch at a time with its held-out
rows, in all cores; what the 36 fits would take so is that times their epochs. Its compiling is not counted,
kerasgrid's is. The pass's time is by the images a second that kerasgrid measured, from when a worker has
built its net.

There is no network: VGG16's weights are drawn by a seed, saved and named by `weights:`. How fast it is does
not depend on their values; the accuracies mean nothing. The data is mnist/ (IDX) in the folder that
KERASGRID_TEST_DATA names, else in ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from packs import read_images, search, splits

BACKBONE, BATCH, FOLDS = "VGG16", 128, 3
SPACE = {
    "dense_units": [[], [128], [256]],
    "dropout": [0.2, 0.5],
    "learning_rate": [0.0003, 0.001],
}
HEAD = {"dense_units": [128], "dropout": 0.2}
"""That Keras's fit trains."""


def draw_weights(to: str, size: str) -> None:
    """Is the process that saves VGG16 as it is drawn by a seed."""
    import keras

    keras.utils.set_random_seed(0)
    net = getattr(keras.applications, BACKBONE)(False, None, input_shape=(int(size), int(size), 3))
    net.save_weights(to)


def be_keras(data: str, weights: str, size: str, epochs: str, to: str) -> None:
    """Is the process of Keras's fit, which writes the seconds of each epoch."""
    import keras

    from kerasgrid.models.backbone import backbone

    with np.load(data) as arrays:
        X, y = arrays["images"][..., None], arrays["labels"].astype("int32")
    given = {"backbone": BACKBONE, "weights": weights, "trainable": False, "resize": int(size)}
    model = backbone(X.shape[1:], 10, **given, **HEAD)
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    train, test = next(splits().split(X, y))
    held_out = X[test], y[test]
    few = slice(2 * BATCH)
    model.fit(X[few], y[few], BATCH, validation_data=(X[few], y[few]), verbose=0)
    seconds = []
    for _ in range(int(epochs)):
        began = time.perf_counter()
        model.fit(X[train], y[train], BATCH, validation_data=held_out, verbose=0)
        seconds.append(time.perf_counter() - began)
    Path(to).write_text(json.dumps(seconds))


def call(part: str, *told: object) -> None:
    """Runs a part of this script in a process of its own."""
    subprocess.run([sys.executable, __file__, part, *map(str, told)], check=True)


PARTS = {"--draw": draw_weights, "--keras": be_keras}


def main() -> int:
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        PARTS[sys.argv[1]](*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=48, help="pixels a side that images are enlarged to")
    parser.add_argument("--epochs", type=int, default=30, help="of a head")
    parser.add_argument("--keras-epochs", type=int, default=2, help="that Keras's fit is timed for")
    given = parser.parse_args()
    n, n_heads = given.samples, int(np.prod([len(values) for values in SPACE.values()]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, weights, to = folder / "mnist.npz", folder / "vgg16.weights.h5", folder / "seconds.json"
        np.savez(data, **read_images(n, "mnist/train-"))
        call("--draw", weights, given.size)
        config = {
            "data": {"train": str(data)},
            "model": "backbone",
            "params": {
                "backbone": BACKBONE,
                "weights": str(weights),
                "trainable": False,
                "resize": given.size,
                "batch_size": BATCH,
                "epochs": given.epochs,
            },
            "space": SPACE,
            "search": {"folds": FOLDS, "seed": 0},
        }
        whole, found = search({"name": "grid", **config}, folder)
        (told,) = (json.loads(path.read_text()) for path in folder.glob("cache/passes/*.json"))
        rate = told["rows_per_second"]
        print(f"one pass of {n:,} images: {n / rate:.1f} s, {rate:.0f} images/s", flush=True)
        again, later = search({"name": "later", **config}, folder)
        n_fits = found["summary"]["fits"]
        assert n_fits == later["summary"]["fits"] == FOLDS * n_heads
        assert [one["mean_test_score"] for one in found["trials"]] == [
            one["mean_test_score"] for one in later["trials"]
        ], "a later search found other scores"
        ratio, head_s = whole * rate / n, (whole - n / rate) / n_heads
        print(f"{n_heads} heads x {FOLDS} folds: {whole:.1f} s in all, {ratio:.2f} times the pass alone")
        print(f"a head's {FOLDS} fits: {head_s:.2f} s beside the pass")
        print(f"a later search: {again:.1f} s, {again / n_heads:.2f} s a head", flush=True)
        call("--keras", data, weights, given.size, given.keras_epochs, to)
        epoch_s = statistics.median(json.loads(to.read_text()))
    all_s = epoch_s * given.epochs * n_fits
    print(f"Keras's fit of one head on the whole net: {epoch_s:.1f} s an epoch and fold")
    print(f"{n_fits} such fits of {given.epochs} epochs: {all_s:.0f} s, {all_s / whole:.0f} times the search")
    return 0


if __name__ == "__main__":
    sys.exit(main())
