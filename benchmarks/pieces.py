"""Samples that are fed in pieces: what reading costs a wave, and what memory a worker takes.

    python benchmarks/pieces.py input          # 8 runs in a wave, beside 8 fits of Keras over a PyDataset
    python benchmarks/pieces.py memory         # 3 GB of images, and a worker that may have 2 GB

`input`: colour images of 96x96, 8 learning rates of a small convolutional net, all on the same rows in the same
files. Each contender is a process of its own, which trains some epochs, and those after the first are told: the
seconds of an epoch and run, of which so many passed in reading, and of these so many in which nothing was
trained. `whole` has all images in memory, `pieces` has room for a part; the number of runs side by side is
forced to 8, or measured.

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
    """Returns seconds a run and epoch of (all, reading, waiting), without the first of each program."""
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
    feeding.Future.result = waiting.timed(feeding.Future.result)
    train = wave.Wave._train_epoch

    def watched(self):
        began, reading.seconds, waiting.seconds = time.perf_counter(), 0.0, 0.0
        try:
            return train(self)
        finally:
            if self.epoch:
                found.append((time.perf_counter() - began, reading.seconds, waiting.seconds))
                n_runs.append(len(self.members))

    wave.Wave._train_epoch = watched
    np.savez(folder / "arrays.npz", X=np.load(folder / "images.npy"), y=np.load(folder / "labels.npy"))
    config = {
        "name": how.replace(", ", "-"),
        "data": {"train": str(folder / "arrays.npz"), "scale": 255},
        "model": f"{__file__}:net",
        "params": {"batch_size": BATCH, "epochs": n_epochs, "optimizer": "Adam"},
        "space": {"learning_rate": RATES},
        "search": {"holdout": 0.02, "seed": 0},
        "executor": {"kind": "inline"},
        "training": {"pack": 8 if how.endswith("8") else "auto"},
    }
    kg.search(config, results=folder / "results", quiet=True)
    widths = f"{max(n_runs)} side by side"
    return {**told(found, sum(n_runs)), "width": widths}
