"""What an epoch of a program costs, the steps alone, in several trees or by several settings, in turn.

    python benchmarks/epoch.py                                   # `fc`, batch 2048 and 512, this tree
    python benchmarks/epoch.py --trees ../before . --precisions float32 mixed_bfloat16

Each variant is a process of its own with one thread, which holds one run on the training rows of one of 3
folds of Kannada-MNIST (see packs.py): BatchNorm, dropout 0.2, Adam. The variants train an epoch in turn, so
that a noisy machine disturbs all of them alike. Milliseconds an epoch, by the clock and by the process's own
processor time: the least and the median. Nothing is measured on held-out rows.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from packs import read_images

from kerasgrid.machine import usable_cores, worker_environments


def serve(data: str, folder: str, model: str, batch_size: str, precision: str) -> None:
    """Is the process of a variant: trains an epoch for each line that comes, and answers with its seconds."""
    from kerasgrid.checks.prepared import prepare
    from kerasgrid.data.folds import save_folds
    from kerasgrid.executors import Inline
    from kerasgrid.planning.packing import Graphs
    from kerasgrid.planning.workers import make_recipe
    from kerasgrid.records import Job, Pack, Trial
    from kerasgrid.run.paths import RunPaths
    from kerasgrid.training.packs import make_wave

    prepared = prepare(
        {
            "name": "epoch",
            "data": {"train": data, "scale": 255},
            "model": model,
            "params": {"batch_size": int(batch_size), "optimizer": "Adam", "learning_rate": 0.001},
            "space": {"dropout": [0.2]},
            "search": {"folds": 3, "seed": 0},
            "training": {"precision": precision},
        }
    )
    paths = RunPaths(Path(folder), "epoch")
    recipe = make_recipe(prepared, paths)
    save_folds(paths.folds, prepared.folds, len(prepared.data), prepared.data.fingerprint)
    trial = Trial(0, {"dropout": 0.2})
    graph = Graphs(prepared, recipe, Inline()).of([trial])[0]
    assert graph.key is not None, graph.reason
    job = Job(trial, 0)
    with make_wave(recipe, Pack((job,), (graph,), 1), [(job,)], None).stepper(1 << 20) as step:
        for _ in range(3):
            step()
        print("ready", flush=True)
        for _ in sys.stdin:
            wall, own = time.perf_counter(), time.process_time()
            step()
            print(time.perf_counter() - wall, time.process_time() - own, flush=True)


class Variant:
    """A tree and settings, in a process that trains an epoch when it is asked to."""

    def __init__(self, tree: Path, data: Path, folder: Path, *settings: str) -> None:
        own = worker_environments(usable_cores())[0]
        own |= {"PYTHONPATH": str(tree.resolve()), "KERASGRID_CACHE": str(folder / "cache")}
        folder.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(data), str(folder), *settings],
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        while (line := self.process.stdout.readline()) != "ready\n":
            assert line, "it has ended"
        self.seconds: list[tuple[float, float]] = []

    def epoch(self) -> None:
        """Trains an epoch."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        wall, own = map(float, self.process.stdout.readline().split())
        self.seconds.append((wall, own))

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trees", nargs="+", type=Path, default=[Path(__file__).parents[1]])
    parser.add_argument("--models", nargs="+", default=["fc"])
    parser.add_argument("--batch-sizes", nargs="+", default=["2048", "512"])
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--epochs", type=int, default=60, help="of each variant")
    parser.add_argument("--rows", type=int, default=10_000, help="the first N images only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        np.savez(data, **read_images(given.rows))
        for model, batch_size in itertools.product(given.models, given.batch_sizes):
            variants = {}
            for precision, (place, tree) in itertools.product(given.precisions, enumerate(given.trees)):
                own = Path(folder) / "-".join([model, batch_size, precision, str(place)])
                variants[str(tree), precision] = Variant(tree, data, own, model, batch_size, precision)
            for _ in range(given.epochs):
                for variant in variants.values():
                    variant.epoch()
            for (tree, precision), variant in variants.items():
                variant.close()
                times = 1e3 * np.array(variant.seconds)
                shown = ", ".join(
                    f"{name} {column.min():.1f} {np.median(column):.1f}"
                    for name, column in zip(("clock", "processor"), times.T, strict=True)
                )
                print(f"{model}, batch {batch_size:>4}, {precision:<14} {tree:<24} {shown}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
