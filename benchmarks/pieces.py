"""Samples that are fed in pieces: what reading costs a wave, and what memory a worker takes.

    python benchmarks/pieces.py input          # 8 runs in a wave, beside 8 fits of Keras over a PyDataset
    python benchmarks/pieces.py memory         # 3 GB of images, and a worker that may have 2 GB

`input`: colour images of 96x96, 8 learning rates of a small convolutional net, all on the same rows in the
same files. Each contender is a process of its own, which trains some epochs, and those after the first are
told: the seconds of an epoch and run, of which so many passed in reading, and of these so many in which
nothing was trained. `whole` has all images in memory, `pieces` has room for a part of them; the number of
runs side by side is forced to 8, or measured.

`memory`: `kerasgrid search` over two learning rates of a small net on images of 256x256, by one worker, whose
private memory (resident, without mapped files) is sampled ten times a second; once with 2 GB and once with as
much as there is. The scores have to be the same to the bit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import psutil

RATES = [0.001 * 2**i for i in range(8)]
BATCH, CLASSES = 128, 10
CONTENDERS = ("keras", "whole, 8", "pieces, 8", "pieces, measured")


def make_images(path: Path, n: int, shape: tuple[int, int, int]) -> None:
    """Writes images.npy and labels.npy: noise, and a brighter stripe that tells the class."""
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, CLASSES, n)
    images = np.lib.format.open_memmap(path / "images.npy", "w+", np.uint8, (n, *shape))
    noise = numbers.integers(0, 200, (257, *shape), dtype=np.uint8)
    for row, label in enumerate(labels):
        images[row] = noise[row % 257]
        images[row, label * shape[0] // CLASSES : (label + 1) * shape[0] // CLASSES] += 50
    images.flush()
    np.save(path / "labels.npy", labels)


def net(input_shape, n_classes):
    """Returns a net for which input is no small part of the work."""
    import keras
    from keras import layers

    stack = [
        layers.Conv2D(8, 5, strides=4, activation="relu"),
        layers.Conv2D(16, 3, strides=2, activation="relu"),
    ]
    ends = [layers.Flatten(), layers.Dense(n_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), *stack, *ends])


class Clock:
    """Adds up the seconds of some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function):
        """Returns a function whose calls are counted."""

        def called(*given, **named):
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.seconds += time.perf_counter() - began

        return called


def told(epochs: list[tuple[float, float, float]], n_runs: int) -> dict[str, float]:
    """Returns seconds a run and epoch: of all, of reading, and of waiting for what is read."""
    found = np.sum(epochs, axis=0) / n_runs
    return dict(zip(("seconds", "reading", "waiting"), found.tolist(), strict=True))


def be_keras(folder: Path, n_epochs: int) -> dict[str, float]:
    """Trains 8 models one after the other, by Keras's fit over a PyDataset."""
    import keras

    images, labels = np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "labels.npy")
    reading, found = Clock(), []

    class Batches(keras.utils.PyDataset):
        order = np.arange(len(images))

        def __len__(self):
            return -(-len(images) // BATCH)

        def __getitem__(self, index):
            return self.read(self.order[index * BATCH : (index + 1) * BATCH])

        @reading.timed
        def read(self, rows):
            return images[rows].astype("float32") / np.float32(255), labels[rows]

    for rate in RATES:
        model = net(images.shape[1:], CLASSES)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        for epoch in range(n_epochs):
            Batches.order = np.random.default_rng(epoch).permutation(len(images))
            began, reading.seconds = time.perf_counter(), 0.0
            model.fit(Batches(), epochs=1, shuffle=False, verbose=0)
            if epoch:
                found.append((time.perf_counter() - began, reading.seconds, float("nan")))
        keras.backend.clear_session()
    return told(found, len(found))


def be_kerasgrid(folder: Path, n_epochs: int, how: str) -> dict[str, float]:
    """Trains 8 runs in waves, fed in pieces or not."""
    import kerasgrid as kg
    from kerasgrid.training import feeding, packs, wave

    n_bytes = (folder / "images.npy").stat().st_size
    packs.room_bytes = lambda: n_bytes // 4 if how.startswith("pieces") else 2 * n_bytes
    reading, waiting, found, n_runs = Clock(), Clock(), [], []
    feeding.Stored.read = reading.timed(feeding.Stored.read)
    Future.result = waiting.timed(Future.result)
    train = wave.Wave._train_epoch

    def watched(self):
        began, reading.seconds, waiting.seconds = time.perf_counter(), 0.0, 0.0
        states = train(self)
        if self.epoch:
            found.append((time.perf_counter() - began, reading.seconds, waiting.seconds))
            n_runs.append(len(self.members))
        return states

    wave.Wave._train_epoch = watched
    config = {
        "name": how.replace(", ", "-"),
        "data": {"scale": 255},
        "model": net,
        "params": {"batch_size": BATCH, "epochs": n_epochs, "optimizer": "Adam"},
        "space": {"learning_rate": RATES},
        "search": {"holdout": 0.02, "seed": 0},
        "executor": {"kind": "inline"},
        "training": {"pack": 8 if how.endswith("8") else "auto"},
    }
    images, labels = np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "labels.npy")
    kg.search(config, images, labels, results=folder / "results")
    return {**told(found, sum(n_runs)), "side by side": max(n_runs)}


def compare_input(n: int, size: int, n_epochs: int, only: list[str]) -> None:
    """Prints a line for each contender."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder, n, (size, size, 3))
        print(f"{'':<18} {'seconds':>8} {'reading':>8} {'waiting':>8}   a run and epoch of {n:,} images")
        for contender in only:
            environment = {
                **os.environ,
                "TF_CPP_MIN_LOG_LEVEL": "2",
                "KERASGRID_CACHE": str(folder / "cache"),
            }
            command = [sys.executable, __file__, "--be", contender, name, str(n_epochs)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{done.stdout}\n{done.stderr}\n{contender} failed.")
            found = json.loads(done.stdout.splitlines()[-1])
            numbers = " ".join(f"{found[key]:>8.3f}" for key in ("seconds", "reading", "waiting"))
            width = f"   {found['side by side']} side by side" if "side by side" in found else ""
            print(f"{contender:<18} {numbers}{width}", flush=True)


def small_net(input_shape, n_classes, units=32):
    """Returns a net of few weights, whatever the size of its images."""
    import keras
    from keras import layers

    stack = [layers.AveragePooling2D(16), layers.Flatten(), layers.Dense(units, activation="relu")]
    ends = [layers.Dense(n_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), *stack, *ends])


def private_mib(process: psutil.Process) -> float:
    """Returns the resident memory of a process without the files that it maps."""
    try:
        found = process.memory_info()
    except psutil.NoSuchProcess:
        return 0.0
    return (found.rss - getattr(found, "shared", 0)) / 2**20


def search_watched(grid: Path, folder: Path, limit_mb: int | None) -> tuple[list[float], dict]:
    """Runs a search; returns its workers' largest private MiB, ten times a second, and its results."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "KERASGRID_CACHE": str(folder.parent / "cache")}
    if limit_mb is not None:
        environment["KERASGRID_MEMORY_MB"] = str(limit_mb)
    program = "from kerasgrid.cli import main; main()"
    command = [sys.executable, "-c", program, "search", str(grid), "--results", str(folder), "--quiet"]
    with subprocess.Popen(command, env=environment) as process:
        watched, samples = psutil.Process(process.pid), []
        while process.poll() is None:
            samples.append(max(map(private_mib, watched.children(recursive=True)), default=0.0))
            time.sleep(0.1)
    if process.returncode:
        sys.exit("The search failed.")
    return samples, json.loads((folder / f"{grid.stem}.json").read_text())


def compare_memory(gigabytes: float, limit_mb: int) -> None:
    """Prints what a worker took, and whether scores are the same."""
    shape, found = (256, 256, 1), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder, int(gigabytes * 1e9 / np.prod(shape)), shape)
        arrays = {key: np.load(folder / f"{key}.npy", mmap_mode="r") for key in ("images", "labels")}
        np.savez(folder / "large.npz", **arrays)
        (folder / "images.npy").unlink()
        config = {
            "name": "large",
            "data": {"train": str(folder / "large.npz"), "scale": 255},
            "model": f"{Path(__file__).resolve()}:small_net",
            "params": {"batch_size": 256, "epochs": 2, "optimizer": "Adam"},
            "space": {"learning_rate": RATES[:2]},
            "search": {"folds": 2, "seed": 0},
            "executor": {"workers": 1},
            "training": {"pack": 2},
        }
        grid = folder / "large.yaml"
        grid.write_text(json.dumps(config))
        for limit in (limit_mb, None):
            began = time.monotonic()
            samples, results = search_watched(grid, folder / f"results-{limit}", limit)
            seconds, parts = time.monotonic() - began, np.array_split(samples, 4)
            means = ", ".join(f"{part.mean():.0f}" for part in parts)
            print(
                f"{'all there is' if limit is None else f'{limit} MB'}: {seconds:.0f} s, private MiB "
                f"{max(samples):.0f} at most, {means} on average in each quarter",
                flush=True,
            )
            found.append([(trial["params"], trial["folds"]) for trial in results["trials"]])
        for trials in found:
            for _, folds in trials:
                for fold in folds:
                    fold.pop("fit_time")
                    fold.pop("memory_bytes", None)
        print(f"the same to the bit: {found[0] == found[1]}")


def main() -> int:
    if sys.argv[1:2] == ["--be"]:
        how, folder, n_epochs = sys.argv[2:]
        own = [Path(folder), int(n_epochs)]
        print(json.dumps(be_keras(*own) if how == "keras" else be_kerasgrid(*own, how)))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["input", "memory"])
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    parser.add_argument("--limit-mb", type=int, default=2048)
    given = parser.parse_args()
    if given.what == "input":
        compare_input(given.images, given.size, given.epochs, given.only)
    else:
        compare_memory(given.gigabytes, given.limit_mb)
    return 0


if __name__ == "__main__":
    sys.exit(main())
