"""Images a second of augmentation, beside ImageDataGenerator.flow in the same run.

    python benchmarks/augmentation.py --seconds 5

Experiment A3's terms (rotation_range 10, width_shift_range and height_shift_range 0.25, shear_range 0.1,
zoom_range 0.4), batches of 512 of 28 x 28 x 1 and of 64 of 224 x 224 x 3, one process. Ours takes new draws
for each batch and gives NumPy arrays, as the other does. Each is timed again and again; the best, the median.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from kerasgrid.config.augment import Augment, Augmentation
from kerasgrid.training.batches import Preparation

GIVEN = {
    "rotation_range": 10,
    "width_shift_range": 0.25,
    "height_shift_range": 0.25,
    "shear_range": 0.1,
    "zoom_range": 0.4,
}


def rate(batch: Callable[[], np.ndarray], seconds: float) -> tuple[float, float]:
    """Returns images a second, the best and the median over batches."""
    batch()
    rates, began = [], time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        n = len(batch())
        rates.append(n / (time.perf_counter() - start))
    return max(rates), statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="of each contender")
    given = parser.parse_args()
    for shape, size in (((28, 28, 1), 512), ((224, 224, 3), 64)):
        images = np.random.default_rng(0).random((size, *shape)).astype("float32")
        flow = ImageDataGenerator(**GIVEN).flow(images, batch_size=size)
        how = Augmentation.of(Augment(**GIVEN), images)
        prepare = Preparation(how).of_epoch(np.array([1, 2], "int32"))
        steps = iter(range(1 << 30))
        contenders = {
            "ImageDataGenerator.flow": lambda flow=flow: next(flow),
            "kerasgrid": lambda prepare=prepare, images=images, steps=steps: prepare(images, next(steps)),
        }
        found = {name: rate(batch, given.seconds) for name, batch in contenders.items()}
        for name, (best, median) in found.items():
            print(f"{' x '.join(map(str, shape)):<13} {name:<24} best {best:>9,.0f}  median {median:>9,.0f}")
        ratio = found["kerasgrid"][1] / found["ImageDataGenerator.flow"][1]
        print(f"{' x '.join(map(str, shape)):<13} {ratio:.1f} times, by the medians")


if __name__ == "__main__":
    main()
