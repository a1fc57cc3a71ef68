"""Times what is made of the results of many trials: the report, the next grid, HiPlot's page and the exports.

    python benchmarks/views.py --trials 10000

The trials are made up: seven parameters drawn at random, three folds, histories of 30 epochs. Each command
runs in a process of its own, as a user runs it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "report": ["report", "big.json"],
    "report --json": ["report", "big.json", "--json", "-o", "findings.json"],
    "suggest": ["suggest", "big.json", "-o", "next.yaml"],
    "plot": ["plot", "big.json"],
    "export --to tensorboard": ["export", "big.json", "--to", "tensorboard"],
    "export --to mlflow": ["export", "big.json", "--to", "mlflow"],
}
WRITTEN = {"report": "big.report.html", "report --json": "findings.json", "plot": "big.html"}


def made_up(n_trials: int) -> dict:
    """Returns the object of a results.json."""
    numbers, trials = random.Random(0), []
    for id in range(n_trials):
        params = {
            "learning_rate": 10 ** numbers.uniform(-4, -1),
            "units": numbers.randint(16, 512),
            "dropout": round(numbers.uniform(0, 0.6), 3),
            "layers": numbers.randint(1, 3),
            "kernel": numbers.choice([3, 5, 7]),
            "optimizer": numbers.choice(["Adam", "RMSprop"]),
            "batch_norm": numbers.choice([True, False]),
        }
        mean = 0.9 - 0.02 * abs(math.log10(params["learning_rate"]) + 2.5) + 0.01 * params["batch_norm"]
        folds = []
        for fold in range(3):
            score = mean + numbers.gauss(0, 0.005)
            curve = [score - 0.5 * math.exp(-epoch / 5) for epoch in range(30)]
            history = {
                "accuracy": curve,
                "test_accuracy": curve,
                "loss": curve[::-1],
                "test_loss": curve[::-1],
            }
            folds.append(
                {"fold": fold, "test_score": score, "fit_time": 1.0, "epochs": 30, "history": history}
            )
        scores = [fold["test_score"] for fold in folds]
        mean = sum(scores) / 3
        std = math.sqrt(sum((score - mean) ** 2 for score in scores) / 3)
        measured = {"mean_test_score": mean, "std_test_score": std, "mean_fit_time": numbers.uniform(1, 5)}
        trials.append({"id": id, "params": params, "state": "complete", **measured, "folds": folds})
    objective = {"name": "accuracy", "direction": "max"}
    about = {"schema": "kerasgrid.results/1", "name": "big", "status": "complete", "objective": objective}
    return {**about, "config": {"name": "big"}, "trials": trials, "summary": {"wall_time_s": 100.0}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--only", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    asked = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "big.json").write_text(json.dumps(made_up(asked.trials)))
        size = (Path(folder) / "big.json").stat().st_size
        print(f"{asked.trials:,} trials, results.json of {size / 1e6:.1f} MB")
        for name in asked.only:
            command = [sys.executable, "-c", "from kerasgrid.cli import main; main()", *COMMANDS[name]]
            began = time.perf_counter()
            subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            seconds, page = time.perf_counter() - began, WRITTEN.get(name)
            written = f", {(Path(folder) / page).stat().st_size / 1e6:.1f} MB" if page else ""
            print(f"{name:<26}{seconds:6.1f} s{written}", flush=True)


if __name__ == "__main__":
    main()
