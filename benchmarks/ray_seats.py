"""What a Ray cluster costs: the same grid by `processes` with two workers, and by two seats of Ray as each
address reaches it; and by eight seats on the same cores.

    python benchmarks/ray_seats.py
    python benchmarks/ray_seats.py --epochs 5 --only processes seats

Of `fc` on MNIST, 8 candidates on 3 folds, packs of the same widths wherever they run. Each search is a
process of its own. `starts` is when it tells of its first epoch; `busy` the share of samples, from that on
until the last fit has ended, in which a seat has a task; `driver` its processor time without its workers; MiB
are resident peaks, of actors the largest.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from packs import read_images
from ray_losses import Machines, Search
from ray_losses import workers as planning

WAYS = ("processes", "local", "host:port", "ray://", "seats")


def sampled(search: Search, machines: Machines | None, n_seats: int, n_fits: int) -> dict[str, float]:
    """Runs a search, and returns what it takes."""
    began, own = time.time(), 0.0
    search.start()
    driver = psutil.Process(search.process.pid)
    peak, most, busy = 0, 0, []
    while search.process.poll() is None:
        try:
            own, peak = sum(driver.cpu_times()[:2]), max(peak, driver.memory_info().rss)
            there = driver.children(recursive=True) if machines is None else machines.workers()
        except psutil.Error:
            there = []
        for one in there:
            try:
                most = max(most, one.memory_info().rss)
            except psutil.Error:
                continue
        lines = search.lines()
        if machines is not None and search.n_epochs(0):
            n_ended = sum(line[1] == "ended" for line in lines)
            if n_ended < n_fits:
                busy.append(len(machines.busy()) / n_seats)
        time.sleep(0.2)
    assert search.process.returncode == 0
    wall, epochs = time.time() - began, [line[0] for line in search.lines() if line[1] == "epoch"]
    return {
        "wall": wall,
        "starts": epochs[0] - began,
        "trains": epochs[-1] - epochs[0],
        "driver": own,
        "peak": peak / 2**20,
        "actor": most / 2**20,
        "busy": float(np.mean(busy)) if busy else float("nan"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=WAYS)
    asked = parser.parse_args()
    os.environ.update(dict.fromkeys(planning.machine.THREADS, "1"), TF_CPP_MIN_LOG_LEVEL="2")
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "mnist.npz", **read_images(asked.rows, "mnist/train-"))
        config = {
            "name": "grid",
            "data": {"train": str(folder / "mnist.npz"), "scale": 255},
            "model": "fc",
            "params": {"batch_size": 128, "epochs": asked.epochs},
            "space": {"learning_rate": [0.0005, 0.001, 0.002, 0.004], "dropout": [0.2, 0.4]},
            "search": {"folds": 3},
            "training": {"pack": 1},
        }
        print(
            "| way | wall, s | starts, s | trains, s | driver, s | driver, MiB | actor, MiB | busy | equal |"
        )
        for way in asked.only:
            n_seats = 8 if way == "seats" else 2
            machines, executor = None, {"kind": "ray", "workers": n_seats}
            if way == "processes":
                executor["kind"] = "processes"
            elif way == "local":
                executor["address"] = "local"
            else:
                machines = Machines(n_seats // 2, is_client=way == "ray://")
                executor["address"] = machines.address
            search = Search(folder / way.partition(":")[0], config | {"executor": executor})
            told = sampled(search, machines, n_seats, 24)
            if machines is not None:
                machines.cluster.shutdown()
            found[way] = [trial["mean_test_score"] for trial in search.found()["trials"]], search.found()
            is_equal = found[way] == found[asked.only[0]]
            same = "yes" if is_equal else "scores" if found[way][0] == found[asked.only[0]][0] else "NO"
            figures = " | ".join(f"{told[key]:.1f}" for key in ("wall", "starts", "trains", "driver"))
            sizes = " | ".join(f"{told[key]:.0f}" for key in ("peak", "actor"))
            print(f"| {way} | {figures} | {sizes} | {told['busy']:.1%} | {same} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
