"""Digit Recognizer from the command line: init, search, fit, predict, submit --dry-run; true test accuracy.

MNIST's 70,000 images are cut as the competition cuts them, in CSV files of 42,000 rows with labels and 28,000
without. The labels of the latter are kept out of the folder and score what was written. A number of images
after the folder takes so many of them only, cut in the same shares.

    KERASGRID_TEST_DATA=FOLDER python benchmarks/digit_recognizer.py WORK_FOLDER [N_IMAGES]
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from kerasgrid.data.idx import read_idx_array

TRAIN_SHARE, SEED = 0.6, 0
RESULTS = "results/digit_recognizer.json"
WAYS = {
    "one model of all training data": "--models fit",
    "average of its 3 fold models": "--models folds",
    "the same, fine-tuned": "--models finetuned",
    "top 3, a model each, mean": "--models fit --top 3",
    "top 3, 9 fold models, mean": "--models folds --top 3",
    "top 3, 9 fold models, rank": "--models folds --top 3 --ensemble rank",
    "one model, 4 views": "--models fit --tta 4",
    "3 fold models, 4 views": "--models folds --tta 4",
    "top 3, a model each, 4 views": "--models fit --top 3 --tta 4",
}


def main() -> None:
    folder = Path(sys.argv[1])
    n_images = int(sys.argv[2]) if len(sys.argv) > 2 else 70_000
    hidden = write_competition(Path(os.environ["KERASGRID_TEST_DATA"]) / "mnist", folder / "data", n_images)
    shutil.copy(Path(__file__).with_suffix(".yaml"), folder / "digit_recognizer.yaml")
    run(folder, "init data/train.csv -o first.yaml")
    run(folder, "search digit_recognizer.yaml")
    run(folder, f"fit {RESULTS} --top 3")
    run(folder, f"fit {RESULTS} --finetune")
    rows = []
    for name, flags in WAYS.items():
        took_s = run(folder, f"predict {RESULTS} {flags}")
        written = pd.read_csv(folder / "results/digit_recognizer/submission.csv")
        assert written["ImageId"].tolist() == list(range(1, len(hidden) + 1))
        right = np.mean(written["Label"].to_numpy() == hidden)
        rows.append(f"| {name.strip()} | {right:.4%} | {took_s:.0f} |")
        print(rows[-1], flush=True)
    run(folder, f"submit {RESULTS} -c digit-recognizer -m benchmark --dry-run")
    print("\n".join([f"| predictions | right of {len(hidden):,} | seconds |", "| --- | --- | --- |", *rows]))


def write_competition(mnist: Path, folder: Path, n_images: int) -> np.ndarray:
    """Writes train.csv, test.csv and sample_submission.csv, and returns the labels of test.csv."""
    parts = [
        [read_idx_array(mnist / f"{part}-{what}-ubyte.gz") for part in ("train", "t10k")]
        for what in ("images-idx3", "labels-idx1")
    ]
    images, labels = map(np.concatenate, parts)
    order = np.random.default_rng(SEED).permutation(len(labels))[:n_images]
    n_train = round(TRAIN_SHARE * n_images)
    names = [f"pixel{place}" for place in range(28 * 28)]
    table = pd.DataFrame(images[order].reshape(n_images, -1), columns=names)
    folder.mkdir(parents=True)
    train = table[:n_train].copy()
    train.insert(0, "label", labels[order][:n_train])
    train.to_csv(folder / "train.csv", index=False)
    table[n_train:].to_csv(folder / "test.csv", index=False)
    n_test = n_images - n_train
    sample = pd.DataFrame({"ImageId": range(1, n_test + 1), "Label": 0})
    sample.to_csv(folder / "sample_submission.csv", index=False)
    return labels[order][n_train:]


def run(folder: Path, command: str) -> float:
    """Runs a command of kerasgrid as a user would, and returns its seconds."""
    print(f"$ kerasgrid {command}", flush=True)
    began = time.perf_counter()
    program = "from kerasgrid.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *shlex.split(command)], cwd=folder, check=False)
    took_s = time.perf_counter() - began
    print(f"exit {done.returncode}, {took_s:.1f} s", flush=True)
    if done.returncode:
        raise SystemExit(f"{command} failed")
    return took_s


if __name__ == "__main__":
    main()
