"""What planning, journal and results cost a trial, with a trainer that trains nothing.

    python benchmarks/planner.py                                    # 1,000, 10,000 and 100,000 trials
    python benchmarks/planner.py --trials 1000 4000 --folds 3

Each trial has one of 8 graphs, told by made-up probes, and by default one fit. Milliseconds a trial: of
the whole search, of its parts, and of a second session that finds all of it done. `pack.of` and
`pack.graph` are called once for each job of a pack, as a trainer may, where --touch asks for it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from kerasgrid.driver import search as driver
from kerasgrid.driver.run import Run
from kerasgrid.io import digest
from kerasgrid.planning import packing
from kerasgrid.records import FoldRecord, Graph, Pack, ProbeRecord
from kerasgrid.run.state import RunState

N_GRAPHS, N_DROPOUTS = 8, 5
PARTS = {
    "propose": (Run, "propose"),
    "graphs": (packing.Graphs, "of"),
    "plan": (packing.Planner, "plan"),
    "keep plan": (Run, "keep_plan"),
    "old packs": (RunState, "packs"),
    "go on": (driver, "go_on"),
    "end": (Run, "end"),
    "write": (Run, "write"),
    "touch": (Pack, "graph"),
}
"""What is timed apart: where it is looked up, and its name there."""

spent: Counter[str] = Counter()


def watch(part: str, owner: object, name: str) -> None:
    """Has a function add its seconds to `spent`."""
    function = getattr(owner, name)

    def timed(*args, **settings):
        began = time.perf_counter()
        try:
            return function(*args, **settings)
        finally:
            spent[part] += time.perf_counter() - began

    setattr(owner, name, timed)


def probes(recipe, executor, candidates):
    """Tells a graph for each batch size, in no time."""
    for params in candidates:
        graph = Graph(digest(params["batch_size"]), None, (params["dropout"],), 0.001)
        yield ProbeRecord(params, 100, None, "cpu", graph)


def train_nothing(recipe, pack, context) -> None:
    """Ends each job with a score of its own and a history of one epoch."""
    for place, job in enumerate(pack.jobs):
        score = (place * 7919 % 10007) / 10007
        metrics = {"accuracy": score, "loss": 1 - score}
        context.emit(
            FoldRecord(
                job.id,
                score=score,
                metrics=metrics,
                history={"loss": [1 - score]},
                fit_time=0.1,
                epochs=1,
                n_parameters=100,
            )
        )


def train_nothing_touching(recipe, pack, context) -> None:
    """Does the same, and looks up each job's graph."""
    for job in pack.jobs:
        pack.graph(job)
    train_nothing(recipe, pack, context)


def config(n_trials: int, folds: int) -> dict:
    """Returns a search of so many trials, rounded down to a multiple of 40."""
    rates = [round(0.001 * (1 + place), 6) for place in range(n_trials // (N_GRAPHS * N_DROPOUTS))]
    return {
        "name": "made-up",
        "data": {"train": "digits"},
        "model": "fc",
        "params": {"epochs": 1},
        "space": {
            "batch_size": [32 * (1 + place) for place in range(N_GRAPHS)],
            "dropout": [0.1 * place for place in range(N_DROPOUTS)],
            "learning_rate": rates,
        },
        "search": {"folds": folds} if folds else {"holdout": 0.5},
        "training": {"pack": 1},  # a width that nobody has to time
        "executor": {"kind": "inline"},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folds", type=int, default=0, help="fits a trial; 0 for one, on a holdout")
    parser.add_argument("--touch", action="store_true", help="look up each job's graph in its pack")
    given = parser.parse_args()
    packing.run_probes = probes
    driver.train_pack = train_nothing_touching if given.touch else train_nothing
    for part, (owner, name) in PARTS.items():
        watch(part, owner, name)
    print(
        f"{'trials':>9} {'session':>8} {'ms each':>8}" + "".join(f"{part:>10}" for part in (*PARTS, "rest"))
    )
    for n_trials in given.trials:
        with tempfile.TemporaryDirectory() as folder:
            for session in ("first", "again"):
                spent.clear()
                began = time.perf_counter()
                found = driver.search(config(n_trials, given.folds), results=Path(folder))
                whole = time.perf_counter() - began
                assert found.status == "complete", found.status
                n = len(found.trials)
                each = [spent[part] for part in PARTS]
                shown = "".join(f"{1000 * seconds / n:>10.4f}" for seconds in (*each, whole - sum(each)))
                print(f"{n:>9,} {session:>8} {1000 * whole / n:>8.4f}{shown}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
