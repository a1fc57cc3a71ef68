"""A whole search, also by another version of kerasgrid, beside GridSearchCV on a slice, in one run.

    python benchmarks/whole_grid.py --before ../before     # the 64 candidates x 3 folds of experiment A1
    python benchmarks/whole_grid.py --grid experiments/kannada_wide.yaml
    python benchmarks/whole_grid.py --rows 600 --peer 2    # small

Each search is a process of its own with a new cache, watched for memory; `--before` names the source tree
of the other version. kg.GridSearchCV (n_jobs=2) is given the peers' model function and the same grid.
GridSearchCV over Keras's wrapper (n_jobs=2, the same folds) trains some of the candidates, drawn at random
by seed 0, and its time is scaled by epochs to all of them: in whole, and with the time until its processes
have imported Keras and trained a first epoch, which all candidates need once, counted once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from halving import grid_of
from packs import build_one_hot, compiled, read_images, scaled, splits
from watch import summary, watch

HERE = Path(__file__).resolve().parents[1]


def be_peer(data: str, candidates: str, to: str) -> None:
    """Is the process of the peer: GridSearchCV for each candidate, whose epochs `fit` has to be given."""
    from keras.wrappers import SKLearnClassifier
    from sklearn.model_selection import GridSearchCV

    X, y = scaled(Path(data))

    def fit(params: dict, rows: int | None = None) -> float:
        told = {name: params.pop(name) for name in ("epochs", "batch_size")}
        tried = GridSearchCV(
            SKLearnClassifier(build_one_hot),
            {"model_kwargs": [params]},
            cv=splits(),
            refit=False,
            n_jobs=2,
            error_score="raise",
        )
        tried.fit(X[:rows], y[:rows], verbose=0, **told)
        return tried.best_score_

    drawn = json.loads(candidates)
    fit({**drawn[0], "epochs": 1}, 300)
    begun = time.time()
    scores = [fit(dict(params)) for params in drawn]
    Path(to).write_text(json.dumps({"begun": begun, "scores": scores}))


def be_drop_in(data: str, grid: str, to: str) -> None:
    """Is the process of kg.GridSearchCV, over the peer's model."""
    from kerasgrid import GridSearchCV

    def build(X, y, learning_rate, optimizer, **own):
        return compiled(X.shape[1:], 10, "sparse_categorical_crossentropy", learning_rate, optimizer, **own)

    X, y = scaled(Path(data))
    tried = GridSearchCV(build, json.loads(grid), cv=splits(), refit=False, n_jobs=2).fit(X, y)
    Path(to).write_text(json.dumps({"best": float(tried.best_score_), "n": len(tried.cv_results_["params"])}))


def drop_in(data: Path, config: dict) -> tuple[float, dict, dict]:
    """Runs kg.GridSearchCV; returns its seconds, what it found and its memory."""
    to = data.with_name("drop_in.json")
    grid = config["space"] | {name: [value] for name, value in config.get("params", {}).items()}
    os.environ |= {"KERASGRID_CACHE": str(data.with_name("cache")), "PYTHONPATH": str(HERE)}
    command = [sys.executable, __file__, "--drop-in", str(data), json.dumps(grid), str(to)]
    code, seconds, samples = watch(command, 2.0)
    if code:
        sys.exit(f"kg.GridSearchCV ended with exit code {code}")
    return seconds, json.loads(to.read_text()), summary(samples)


def search(tree: Path, config: dict) -> tuple[float, dict, dict]:
    """Searches by the kerasgrid of a source tree; returns its seconds, results and memory."""
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "grid.yaml"
        grid.write_text(json.dumps(config))
        os.environ |= {"KERASGRID_CACHE": f"{folder}/cache", "PYTHONPATH": str(tree)}
        # `-c` imports from the folder where the process begins, before all else.
        program = f"import os; os.chdir({str(tree)!r}); from kerasgrid.cli import main; main()"
        command = [sys.executable, "-c", program, "search", str(grid), "--results", folder, "--quiet"]
        code, seconds, samples = watch(command, 2.0)
        if code:
            sys.exit(f"{tree}: the search ended with exit code {code}")
        return seconds, json.loads(grid.with_suffix(".json").read_text()), summary(samples)


def peer(data: Path, drawn: list[dict]) -> tuple[float, float]:
    """Runs the peer; returns the seconds of its start and those of the candidates."""
    to, began = data.with_name("peer.json"), time.time()
    command = [sys.executable, __file__, "--slice", str(data), json.dumps(drawn), str(to)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # Keras's bars of `predict`
    ended, found = time.time(), json.loads(to.read_text())
    for params, score in zip(drawn, found["scores"], strict=True):
        print(f"  {params}: {score:.4f}", flush=True)
    return found["begun"] - began, ended - found["begun"]


def main() -> int:
    if sys.argv[1:2] == ["--slice"]:
        be_peer(*sys.argv[2:])
        return 0
    if sys.argv[1:2] == ["--drop-in"]:
        be_drop_in(*sys.argv[2:])
        return 0
    from kerasgrid.config.reading import config_from_dict
    from kerasgrid.config.yaml12 import read_yaml
    from kerasgrid.space.reading import read_space

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=Path, help="a grid.yaml on Kannada-MNIST, in place of experiment A1's")
    parser.add_argument("--before", type=Path, help="the source tree of another version")
    parser.add_argument("--runs", type=int, default=1, help="of each version, in turn")
    parser.add_argument("--rows", type=int, help="the first N images only")
    parser.add_argument("--peer", type=int, default=8, help="candidates of the slice, default 8")
    given = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        np.savez(data, **read_images(given.rows))
        config = grid_of("grid", 0, data)
        if given.grid:
            config |= read_yaml(given.grid.read_text(), str(given.grid))[0] | {"data": config["data"]}
        space, _ = read_space(config_from_dict(config)[0].space)
        asked = sum(params["epochs"] for params in space)
        trees = {"before": given.before and given.before.resolve(), "now": HERE}
        took: dict[str, list[float]] = {name: [] for name, tree in trees.items() if tree}
        for _ in range(given.runs):
            for name in took:
                seconds, results, memory = search(trees[name], config)
                took[name].append(seconds)
                best, about = results["best"]["mean_test_score"], results["summary"]
                print(f"{name}: {seconds:.1f} s, best {best:.4f}, {about}, {memory}", flush=True)
        if not given.grid:
            seconds, found, memory = drop_in(data, config)
            took["kg.GridSearchCV"] = [seconds]
            print(f"kg.GridSearchCV: {seconds:.1f} s, {found}, {memory}", flush=True)
        drawn = space.sample(given.peer, 0)
        start, rest = peer(data, drawn)
        share = sum(params["epochs"] for params in drawn) / asked
        whole = {"in whole": (start + rest) / share, "its start counted once": start + rest / share}
        print(f"GridSearchCV, n_jobs=2: {start:.1f} s to start, {rest:.1f} s for {share:.1%} of the epochs")
        for how, seconds in whole.items():
            times = ", ".join(f"{seconds / min(mine):.1f} times {name}" for name, mine in took.items())
            print(f"{how}: {seconds:.0f} s for all {len(space):,}, {times}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
