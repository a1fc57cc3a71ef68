"""The scores of experiments/batch_norm.yaml, as Keras has them and debiased.

python benchmarks/batch_norm.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from packs import read_images, search

from kerasgrid.config.yaml12 import read_yaml

GRID = Path(__file__).resolve().parents[1] / "experiments" / "batch_norm.yaml"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        np.savez(data, **read_images(None))
        config, _ = read_yaml(GRID.read_text(), str(GRID))
        config |= {"name": "batch_norm", "data": {"train": str(data), "scale": 255}}
        seconds, found = search(config, Path(folder))
    cells: dict[tuple, dict[int, str]] = {}
    for trial in found["trials"]:
        params, (fold,) = dict(trial["params"]), trial["folds"]
        scores = (fold["test_score"], fold.get("debiased_score"))
        told = ", ".join("-" if score is None else f"{score:.3f}".lstrip("0") for score in scores)
        row = cells.setdefault((params["batch_size"], params["learning_rate"]), {})
        row[params["epochs"]] = f"{told} ({fold['first_values']:.0%})"
    epochs = sorted(next(iter(cells.values())))
    print(f"{seconds:.1f} s; Keras's, debiased (the share of first values)")
    print("| " + " | ".join(["`fc` with BatchNorm", *(f"epoch {number}" for number in epochs)]) + " |")
    print("| --- " * (1 + len(epochs)) + "|")
    for (batch_size, rate), row in cells.items():
        print("| " + " | ".join([f"batch {batch_size}, Adam {rate}", *(row[n] for n in epochs)]) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
