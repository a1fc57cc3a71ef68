"""Epochs over JPEG files, beside Keras's image_dataset_from_directory and a PyDataset that decodes by Pillow.

    python benchmarks/images.py                          # 4,000 files of about 500 x 375: minutes
    python benchmarks/images.py --files 400 --epochs 3   # small

Files are drawn (coloured shapes in clutter, two classes, a folder each) and become 128 x 128 x 3. Each
reads them in a process of its own, which trains a small net for some epochs: kerasgrid, whose first pass
decodes into its cache, which is new; image_dataset_from_directory as it is, and with `.cache()` in memory;
and a PyDataset with as many threads as there are cores. Peers prefetch. Told are the seconds of the first
epoch (of kerasgrid the decoding and an epoch), the median of the later ones, how long processors have
worked for them (which other programs on the machine change little; of kerasgrid's epochs with scoring the
tenth that is held out), and the highest resident memory, beside what the process had before it opened the
data. Compiling is not in it: peers have trained two steps before their first epoch, and kerasgrid's time of
training leaves it out. The files were just written, and lie in memory for all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

SIZE, BATCH = 128, 64
WHO = ["kerasgrid", "image_dataset_from_directory", "with .cache()", "PyDataset, Pillow"]


def draw(folder: Path, place: int) -> None:
    """Writes a file: discs or squares among stripes, on a background of soft colours, with some noise."""
    from PIL import Image, ImageDraw

    random = np.random.default_rng(place)
    width, height = int(random.integers(420, 580)), int(random.integers(315, 435))
    soft = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(soft).resize((width, height), Image.Resampling.BICUBIC)
    pen, kind = ImageDraw.Draw(image), place % 2
    for part in range(24):
        x, y, r = (int(random.integers(0, most)) for most in (width, height, 60))
        colour = tuple(int(shade) for shade in random.integers(0, 256, 3))
        if part % 2:
            pen.line([x, y, x + 2 * r, y - r], colour, 6)
        else:
            (pen.ellipse if kind else pen.rectangle)([x - r, y - r, x + r, y + r], colour)
    noisy = np.asarray(image) + random.normal(0, 6, (height, width, 1))
    path = folder / ("squares", "discs")[kind] / f"{place}.jpg"
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def build(input_shape, n_classes):
    """Returns a small net, which is not what an epoch waits for."""
    import keras

    layers = [
        keras.Input(input_shape),
        keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(n_classes, activation="softmax"),
    ]
    return keras.Sequential(layers)


class Clock:
    """Takes the time of each epoch."""

    def __init__(self) -> None:
        import keras

        class Callback(keras.callbacks.Callback):
            def on_epoch_begin(callback, epoch, logs=None):
                self.began, self.began_cpu = time.perf_counter(), cpu()

            def on_epoch_end(callback, epoch, logs=None):
                self.seconds.append(time.perf_counter() - self.began)
                self.cpu.append(cpu() - self.began_cpu)

        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.callback = Callback()


def be_keras(who: str, folder: Path, epochs: int) -> dict:
    """Trains on a pipeline of Keras's, in this process."""
    import keras

    model = keras.Sequential([keras.layers.Rescaling(1 / 255), build((SIZE, SIZE, 3), 2)])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        np.zeros((2 * BATCH, SIZE, SIZE, 3), np.float32), np.zeros(2 * BATCH, np.int32), BATCH, verbose=0
    )
    before, clock = peak(), Clock()
    began, began_cpu = time.perf_counter(), cpu()
    if who == WHO[3]:
        data = pydataset(folder)
    else:
        import tensorflow as tf

        data = keras.utils.image_dataset_from_directory(
            folder, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
        )
        data = (data.cache() if who == WHO[2] else data).prefetch(tf.data.AUTOTUNE)
    opening, opening_cpu = time.perf_counter() - began, cpu() - began_cpu
    history = model.fit(data, epochs=epochs, verbose=0, callbacks=[clock.callback]).history
    first, *later = clock.seconds
    cpus = [opening_cpu + clock.cpu[0], statistics.median(clock.cpu[1:])]
    accuracy = history["accuracy"][-1]
    return {
        "first": opening + first,
        "later": later,
        "cpu": cpus,
        "accuracy": accuracy,
        "before": before,
        "n": n_files(folder),
    }


def pydataset(folder: Path):
    """Returns a PyDataset that decodes its batches by Pillow, in as many threads as there are cores."""
    import keras
    from PIL import Image

    paths = np.array(sorted(folder.glob("*/*.jpg")))
    labels = np.array([path.parent.name == "discs" for path in paths], np.int32)

    class Files(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__(workers=os.cpu_count(), use_multiprocessing=False, max_queue_size=20)
            self.order = np.random.default_rng(0).permutation(len(paths))

        def __len__(self) -> int:
            return math.ceil(len(paths) / BATCH)

        def __getitem__(self, place):
            rows = self.order[place * BATCH : (place + 1) * BATCH]
            return np.stack([self.decoded(path) for path in paths[rows]]), labels[rows]

        def decoded(self, path):
            with Image.open(path) as image:
                small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
                return np.asarray(small, np.float32)

        def on_epoch_end(self) -> None:
            self.order = np.random.default_rng().permutation(len(paths))

    return Files()


def be_kerasgrid(folder: Path, epochs: int) -> dict:
    """Searches one candidate, in this process."""
    import keras  # noqa: F401  # as the others have

    import kerasgrid as kg
    from kerasgrid.config.sections import DataConfig
    from kerasgrid.data.load import load_data
    from kerasgrid.run.observer import Observer

    config = {
        "name": "images",
        "data": {"train": str(folder), "image": [SIZE, SIZE, 3], "scale": 255},
        "model": f"{__file__}:build",
        "params": {"batch_size": BATCH, "epochs": epochs},
        "space": {"learning_rate": [0.001]},
        "search": {"holdout": 0.1, "seed": 0},
        "executor": {"kind": "inline"},
    }

    class Told(Observer):
        """Notes the work that was done when each epoch ends."""

        def __init__(self) -> None:
            self.cpu: list[float] = []

        def epoch(self, record) -> None:
            self.cpu.append(cpu())

    section = DataConfig.model_validate(config["data"])
    before, began, began_cpu = peak(), time.perf_counter(), cpu()
    data = load_data(section)
    decoding, decoding_cpu = time.perf_counter() - began, cpu() - began_cpu
    began = time.perf_counter()
    load_data(section)
    again = time.perf_counter() - began
    told = Told()
    results = kg.search(config, observer=told)
    (fold,) = results.trials[0]["folds"]
    n = len(data) - len(data) // 10
    epoch_cpu = statistics.median(np.diff(told.cpu)) * len(data) / n
    epoch = fold["fit_time"] / fold["epochs"] * len(data) / n
    return {
        "first": decoding + epoch,
        "later": [epoch],
        "cpu": [decoding_cpu + epoch_cpu, epoch_cpu],
        "accuracy": fold["history"]["accuracy"][-1],
        "before": before,
        "n": len(data),
        "decoding": decoding,
        "again": again,
    }


def cpu() -> float:
    """Returns the seconds that processors have worked for this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> int:
    """Returns the highest resident memory of this process so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def n_files(folder: Path) -> int:
    return len(list(folder.glob("*/*.jpg")))


def asked(who: str, folder: Path, epochs: int, scratch: Path) -> dict:
    """Returns what a process of its own has measured."""
    own = {
        "KERASGRID_CACHE": str(scratch / "cache"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    command = [sys.executable, __file__, "--be", who, str(folder), str(epochs)]
    done = subprocess.run(command, cwd=scratch, env=os.environ | own, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    if sys.argv[1:2] == ["--be"]:
        who, folder, epochs = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
        found = be_kerasgrid(folder, epochs) if who == WHO[0] else be_keras(who, folder, epochs)
        print(json.dumps(found | {"peak": peak()}))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=4000, help="that are drawn, default 4,000")
    parser.add_argument("--epochs", type=int, default=4, help="of each, default 4")
    parser.add_argument("--rounds", type=int, default=2, help="all of them so many times, default 2")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "files")
        for kind in ("squares", "discs"):
            (folder / kind).mkdir(parents=True)
        with ProcessPoolExecutor() as pool:
            list(pool.map(partial(draw, folder), range(given.files), chunksize=50))
        n_bytes = sum(path.stat().st_size for path in folder.glob("*/*.jpg"))
        print(
            f"{given.files:,} files, {n_bytes / 2**20:.0f} MiB; {given.epochs} epochs; {os.cpu_count()} cores"
        )
        heads = ("first, s", "images/s", "CPU, s", "later, s", "images/s", "CPU, s", "MiB", "before")
        print(f"{'':<30}" + "".join(f"{head:>10}" for head in heads))
        for number in range(given.rounds):
            for who in WHO:
                scratch = Path(name, f"{number}-{WHO.index(who)}")
                scratch.mkdir()
                one = asked(who, folder, given.epochs, scratch)
                later, n = statistics.median(one["later"]), one["n"]
                times = zip((one["first"], later), one["cpu"], strict=True)
                cells = [
                    f"{cell:.{1 if cell > 99 else 2}f}" for s, work in times for cell in (s, n / s, work)
                ]
                cells += [f"{one[which] / 2**20:.0f}" for which in ("peak", "before")]
                print(f"{who:<30}" + "".join(f"{cell:>10}" for cell in cells), flush=True)
                if "again" in one:
                    told = f"{one['decoding']:.2f} of these decode; opened again in {one['again']:.2f}"
                    print(f"  {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
