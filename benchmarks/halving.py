"""Halving beside the whole grid: how far behind its pick is, and for how many epochs.

    python benchmarks/halving.py --to halving.jsonl                     # 4 sets of data x 3 seeds
    python benchmarks/halving.py --to halving.jsonl --data digits --seeds 0 1
    python benchmarks/halving.py --to halving.jsonl --search '{"factor": 2}'    # beside the same grids

The 64 candidates x 3 folds of experiment A1. Each search is a process of its own with a new cache, and a line
of the file: its epochs, and each candidate's score by fold, with BatchNormalization's statistics as Keras has
them and debiased. What the file has is not searched again, so that a run can be cut and goes on.

One search serves both kinds: with `training.batch_norm: keras` a fold is scored both ways, and training and
rungs are those of `debiased`. A pick is what the search names best by scores of a kind. `behind` is how far
it is below the best of the grid, by the grid's own scores of that kind, in standard deviations (over folds)
of that best.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from packs import read_images, search

SPACE = {
    "batch_size": [1024, 2048],
    "epochs": [15, 30],
    "optimizer": ["RMSprop", "Adam"],
    "learning_rate": [0.001, 0.01],
    "batch_norm": [True, False],
    "dropout": [0.2, 0.4],
}
ASKED = 3 * 32 * sum(SPACE["epochs"])
"""Epochs that the 64 candidates ask for in three folds; the grid trains two thirds of them, once for two."""
DATA = {
    "kannada-6000": ("kannada/", 6_000),
    "kannada-10000": ("kannada/", 10_000),
    "mnist-6000": ("mnist/train-", 6_000),
    "digits": None,
}
KINDS = ("keras", "debiased")


def grid_of(engine: str, seed: int, data: Path | str, scale: int = 255) -> dict:
    """Returns the grid.yaml of a search of the 64 candidates."""
    return {
        "name": engine,
        "data": {"train": str(data), "scale": scale},
        "model": "fc",
        "space": SPACE,
        "search": {"engine": engine, "folds": 3, "seed": seed},
    }


def run(engine: str, data: str, seed: int, settings: dict, folder: Path) -> dict:
    """Runs one search and returns its line of the file."""
    if (part := DATA[data]) is None:
        config = grid_of(engine, seed, "digits", 16)
    else:
        np.savez(folder / "data.npz", **read_images(part[1], part[0]))
        config = grid_of(engine, seed, folder / "data.npz")
    config["search"] |= settings
    seconds, found = search(config, folder)
    scores = {
        json.dumps(trial["params"]): {
            "keras": [fold["test_score"] for fold in trial["folds"]],
            # Left out where few first values are left.
            "debiased": [fold.get("debiased_score", fold["test_score"]) for fold in trial["folds"]],
        }
        for trial in found["trials"]
        if trial["state"] == "complete"
    }
    return {
        "data": data,
        "seed": seed,
        "engine": engine,
        "search": settings,
        "seconds": round(seconds, 1),
        "epochs": found["summary"]["epochs_trained"],
        "scores": scores,
    }


def best_of(line: dict, kind: str) -> str:
    """Returns the candidate that a search names best by scores of a kind."""
    return max(line["scores"], key=lambda params: np.mean(line["scores"][params][kind]))


def behind(grid: dict, halving: dict, kind: str) -> tuple[float, float, float, float]:
    """Returns the grid's best score, its deviation, the pick's score there, and how far it is behind."""
    folds = grid["scores"][best_of(grid, kind)][kind]
    best, std = float(np.mean(folds)), float(np.std(folds))
    pick = float(np.mean(grid["scores"][best_of(halving, kind)][kind]))
    return best, std, pick, (best - pick) / std if best > pick else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, required=True, help="the file of searches, which grows")
    parser.add_argument("--data", nargs="+", choices=DATA, default=[*DATA])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--search", type=json.loads, default={}, help="halving's settings, as JSON")
    given = parser.parse_args()
    lines = [json.loads(line) for line in given.to.read_text().splitlines()] if given.to.exists() else []

    def line_of(engine: str, data: str, seed: int, settings: dict) -> dict:
        asked = {"data": data, "seed": seed, "engine": engine, "search": settings}
        for line in lines:
            if asked.items() <= line.items():
                return line
        with tempfile.TemporaryDirectory() as folder:
            line = run(engine, data, seed, settings, Path(folder))
        with given.to.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return line

    places: dict[str, list[float]] = {kind: [] for kind in KINDS}
    shares: list[float] = []
    print(
        "| data, seed | "
        + " | ".join(f"{k}: best | pick | behind" for k in KINDS)
        + " | epochs | of asked | of the grid's |"
    )
    for data in given.data:
        for seed in given.seeds:
            grid = line_of("grid", data, seed, {})
            halving = line_of("halving", data, seed, given.search)
            cells = [f"{data}, {seed}"]
            for kind in KINDS:
                best, std, pick, place = behind(grid, halving, kind)
                places[kind].append(place)
                cells += [f"{best:.4f} ± {std:.4f}", f"{pick:.4f}", f"{place:.2f}"]
            shares.append(halving["epochs"] / ASKED)
            cells += [
                f"{halving['epochs']:,}",
                f"{shares[-1]:.0%}",
                f"{halving['epochs'] / grid['epochs']:.0%}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
    for kind, found in places.items():
        within = sum(place <= 1 for place in found)
        print(f"{kind}: within one standard deviation in {within} of {len(found)}", end="; ")
    print(f"epochs {np.mean(shares):.0%} of those asked for")
    return 0


if __name__ == "__main__":
    sys.exit(main())
