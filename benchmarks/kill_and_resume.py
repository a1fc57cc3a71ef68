"""Kills a search and its workers with SIGKILL at random moments, gives the same command again each
time, and compares the final JSON with that of an uninterrupted run. Each moment is drawn from the first
line that the new session journals about training, so that every kill hits a search that trains.

    python benchmarks/kill_and_resume.py --kills 20

Prints what each kill left behind and ends with 1 if the two results differ in anything but times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """
name: killed
data: {train: digits, scale: 16}
model: fc
params: {batch_size: 64, epochs: 20, batch_norm: true}
space: {learning_rate: [0.001, 0.003, 0.01], dropout: [0.2, 0.4]}
callbacks:
  reduce_lr_on_plateau: {monitor: val_loss, factor: 0.5, patience: 2}
  early_stopping: {monitor: val_loss, patience: 6, restore_best_weights: true}
executor: {workers: 2}
"""
SEARCHES = {
    "grid": "{folds: 3}",
    "random": "{folds: 3, engine: random, trials: 5}",
    "halving": "{folds: 3, engine: halving}",
    "hyperband": "{folds: 3, engine: hyperband}",
    "bayesian": "{folds: 3, engine: bayesian, trials: 6, proposals: 2}",
    "random_kt": "{folds: 3, engine: random_kt, trials: 6, proposals: 2}",
    "grid_kt": "{folds: 3, engine: grid_kt}",
    "tpe": "{folds: 3, engine: tpe, trials: 6, proposals: 2}",
    "gp": "{folds: 3, engine: gp, trials: 6, proposals: 2}",
}
PROGRAM = """
import sys
import kerasgrid as kg
kg.search(sys.argv[1], results=sys.argv[2], checkpoint_interval_s=float(sys.argv[3]))
"""
TIMES = {"fit_time", "mean_fit_time", "end_time_s", "wall_time_s"}


def without_times(value):
    """Returns a results object without its times."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def start(config: Path, results: Path, interval_s: float) -> subprocess.Popen:
    """Starts a search in a process group of its own."""
    command = [sys.executable, "-c", PROGRAM, str(config), str(results), str(interval_s)]
    return subprocess.Popen(command, start_new_session=True)


def count(results: Path) -> tuple[int, int]:
    """Returns the ends of fits and the checkpoints that are journalled."""
    journal = results / "killed" / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n") if journal.exists() else []
    return tuple(
        sum(f'"type":"{kind}"'.encode() in line for line in lines) for kind in ("fold", "checkpoint")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--most-s", type=float, default=2.5, help="seconds of training before a kill, at most"
    )
    parser.add_argument("--interval-s", type=float, default=0.5, help="seconds between checkpoints")
    parser.add_argument("--engine", choices=SEARCHES, default="grid")
    arguments = parser.parse_args()
    numbers = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "killed.yaml"
        config.write_text(f"{CONFIG}search: {SEARCHES[arguments.engine]}\n")
        began = time.monotonic()
        assert start(config, Path(folder) / "whole", arguments.interval_s).wait() == 0
        whole_s = time.monotonic() - began
        print(f"uninterrupted: {whole_s:.0f} s", flush=True)
        results = Path(folder) / "cut"
        for kill in range(1, arguments.kills + 1):
            before = count(results)
            process = start(config, results, arguments.interval_s)
            while process.poll() is None and count(results) == before:
                time.sleep(0.05)
            time.sleep(numbers.uniform(0, arguments.most_s))
            if process.poll() is not None:
                print(f"the search ended before kill {kill}: lower --most-s")
                return 1
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            folds, checkpoints = count(results)
            print(f"kill {kill}: {folds} fits, {checkpoints} checkpoints journalled", flush=True)
        assert start(config, results, arguments.interval_s).wait() == 0
        whole = json.loads((Path(folder) / "whole" / "killed.json").read_text())
        cut = json.loads((results / "killed.json").read_text())
    if without_times(whole) != without_times(cut):
        print("the results differ")
        return 1
    n_fits = whole["summary"]["fits"]
    print(
        f"{arguments.kills} kills; {n_fits} fits; the final JSON equals the uninterrupted one but for times"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
