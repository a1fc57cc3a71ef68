"""Runs a command and samples the resident memory of it and of its workers.

    python benchmarks/watch.py --every-s 10 kerasgrid search experiments/kannada_fc.yaml

Prints a table at the end: the first, median and last quarter's mean of the parent and of the largest
worker, in MiB, and the wall time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import psutil


def sample(process: psutil.Process) -> tuple[float, float]:
    """Returns the resident MiB of a process and of its largest child; 0 where there is none."""

    def mib(of: psutil.Process) -> float:
        try:
            return of.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            return 0.0

    return mib(process), max((mib(child) for child in process.children(recursive=True)), default=0.0)


def watch(command: list[str], every_s: float) -> tuple[int, float, np.ndarray]:
    """Runs a command; returns its exit code, seconds, and samples (time, parent or worker)."""
    began = time.monotonic()
    process = subprocess.Popen(command)
    watched = psutil.Process(process.pid)
    samples = []
    while True:
        try:
            code = process.wait(every_s)
            return code, time.monotonic() - began, np.array(samples)
        except subprocess.TimeoutExpired:
            samples.append(sample(watched))


def summary(samples: np.ndarray) -> dict[str, dict[str, int]]:
    """Returns mean MiB over the second, third and last quarter of the run, and the peak."""
    quarters = np.array_split(samples, 4)
    return {
        name: {
            **{f"quarter_{i + 1}": round(float(part[:, column].mean())) for i, part in enumerate(quarters)},
            "peak": round(float(samples[:, column].max())),
        }
        for column, name in enumerate(("parent_mib", "worker_mib"))
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every-s", type=float, default=5.0)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    code, seconds, samples = watch(arguments.command, arguments.every_s)
    print(json.dumps({"exit_code": code, "seconds": round(seconds, 1), **summary(samples)}, indent=2))
    return code


if __name__ == "__main__":
    sys.exit(main())
