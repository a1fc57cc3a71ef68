"""How soon each engine finds a good candidate: the 64 candidates of experiment A1, and two peers beside.

    python benchmarks/engines.py --out engines.json --plot docs/engines.svg     # needs matplotlib
    python benchmarks/engines.py --only random tpe --rows 600

Each engine is a process of its own with a new cache, and may train all 64 candidates x 3 folds. A line is the
best mean accuracy on held-out folds so far against the seconds since the start, by the journal's times.
The peers are KerasTuner's own Hyperband tuner, which knows one split (its first fold) and no
cross-validation, and scikit-learn's HalvingGridSearchCV over epochs, n_jobs=2, the same folds, which trains
promoted candidates again. `its winner` is what the whole grid measured of the candidate that is named best.
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
from halving import SPACE, grid_of
from packs import compiled, read_images, scaled, search, splits

ENGINES = ["grid", "random", "halving", "hyperband", "bayesian", "tpe"]
PEERS = ["HalvingGridSearchCV", "KerasTuner Hyperband"]
EPOCHS = 30


def config_of(engine: str, data: Path) -> dict:
    """Returns the grid.yaml of an engine; hyperband sets the epochs itself."""
    config = grid_of(engine, 0, data)
    if engine in ("random", "bayesian", "tpe"):
        config["search"]["trials"] = 64
    if engine == "hyperband":
        config["params"] = {"epochs": EPOCHS}
        config["space"] = {name: values for name, values in SPACE.items() if name != "epochs"}
    return config


def steps_of(journal: Path, n_folds: int, began: float) -> list[tuple[float, float]]:
    """Returns (seconds, best so far) at each trial whose folds have all ended."""
    scores: dict[int, list[float]] = {}
    found: list[tuple[float, float]] = []
    for line in journal.read_text().splitlines():
        record = json.loads(line)
        if record.get("type") == "fold" and record["score"] is not None:
            own = scores.setdefault(record["job"][0], [])
            own.append(record["score"])
            best = max([float(np.mean(own)), *(score for _, score in found[-1:])])
            if len(own) == n_folds and (not found or best > found[-1][1]):
                found.append((record["time"] - began, best))
    return found


def net(params: dict, n_features: int):
    """Returns the peers' compiled model of a candidate."""
    own = {name: params[name] for name in ("optimizer", "learning_rate", "dropout")}
    loss, batch_norm = "sparse_categorical_crossentropy", bool(params["batch_norm"])
    return compiled((n_features,), 10, loss, batch_norm=batch_norm, **own)


def be_halving(data: Path) -> dict:
    """Runs scikit-learn's HalvingGridSearchCV; the wrapper of Keras cannot take epochs as a resource."""
    import keras
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV

    class Net(ClassifierMixin, BaseEstimator):
        def __init__(
            self,
            batch_size=1024,
            optimizer="Adam",
            learning_rate=0.001,
            batch_norm=True,
            dropout=0.2,
            epochs=1,
        ):
            self.batch_size, self.epochs = batch_size, epochs
            self.optimizer, self.learning_rate = optimizer, learning_rate
            self.batch_norm, self.dropout = batch_norm, dropout

        def fit(self, X, y):
            keras.utils.set_random_seed(0)
            self.classes_ = np.unique(y)
            self.model_ = net(self.get_params(), X.shape[1])
            self.model_.fit(X, y, batch_size=self.batch_size, epochs=self.epochs, verbose=0)
            return self

        def predict(self, X):
            return self.model_.predict(X, verbose=0, batch_size=4096).argmax(axis=1)

    X, y = scaled(data)
    grid = {name: values for name, values in SPACE.items() if name != "epochs"}
    found = HalvingGridSearchCV(
        Net(),
        grid,
        resource="epochs",
        min_resources=3,
        max_resources=EPOCHS,
        factor=3,
        cv=splits(),
        refit=False,
        n_jobs=2,
        random_state=0,
        error_score="raise",
    )
    found.fit(X, y)
    scores = found.cv_results_
    last = max(scores["iter"])
    best = max((s, i) for i, s in enumerate(scores["mean_test_score"]) if scores["iter"][i] == last)
    params = {name: scores["params"][best[1]][name] for name in grid}
    epochs = sum(3 * n for n in scores["n_resources"])
    return {
        "params": {**params, "epochs": int(scores["n_resources"][best[1]])},
        "score": best[0],
        "epochs": int(epochs),
    }


def be_hyperband(data: Path, folder: Path) -> dict:
    """Runs KerasTuner's Hyperband tuner on the first fold's split."""
    import keras_tuner

    X, y = scaled(data)
    train, test = next(iter(splits().split(X, y)))

    class Model(keras_tuner.HyperModel):
        def build(self, hp):
            params = {name: hp.Choice(name, values) for name, values in SPACE.items() if name != "epochs"}
            return net(params, X.shape[1])

        def fit(self, hp, model, *args, **settings):
            return model.fit(*args, batch_size=hp.get("batch_size"), **settings)

    tuner = keras_tuner.Hyperband(
        Model(),
        "val_accuracy",
        max_epochs=EPOCHS,
        factor=3,
        seed=1,
        directory=folder,
        project_name="hyperband",
    )
    tuner.search(X[train], y[train], validation_data=(X[test], y[test]), verbose=0)
    best = tuner.oracle.get_best_trials(1)[0]
    params = {name: best.hyperparameters.get(name) for name in SPACE if name != "epochs"}
    params["batch_norm"] = bool(params["batch_norm"])  # KerasTuner makes 0 and 1 of switches
    trials = tuner.oracle.trials.values()
    epochs = sum(
        t.hyperparameters.values["tuner/epochs"] - t.hyperparameters.values["tuner/initial_epoch"]
        for t in trials
    )
    return {"params": {**params, "epochs": EPOCHS}, "score": best.score, "epochs": int(epochs)}


def run(name: str, data: Path, folder: Path) -> dict:
    """Runs one engine or peer; returns its seconds, epochs, steps and winner."""
    own = folder / name.replace(" ", "-")
    own.mkdir()
    began = time.time()
    if name in ENGINES:
        seconds, results = search(config_of(name, data), own)
        best = results["best"]
        steps = steps_of(own / name / "journal.jsonl", 3, began)
        params = {**({"epochs": EPOCHS} if name == "hyperband" else {}), **best["params"]}
        return {
            "seconds": seconds,
            "epochs": results["summary"]["epochs_trained"],
            "steps": steps,
            "params": params,
            "score": best["mean_test_score"],
        }
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run([sys.executable, __file__, "--peer", name, str(data), str(own)], check=True, env=env)
    found = json.loads((own / "found.json").read_text())
    seconds = time.time() - began
    return {"seconds": seconds, "steps": [(seconds, found["score"])], **found}


def plot(found: dict, target: Path) -> None:
    """Draws the best so far against the time."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.2))
    longest = max(run["seconds"] for run in found.values())
    for name, result in found.items():
        if name in ENGINES:
            times, scores = zip(*result["steps"], strict=True)
            axes.step([*times, longest], [*scores, scores[-1]], where="post", label=f"engine: {name}")
        else:
            axes.plot(result["seconds"], result["winner"], "x", label=f"{name} (its winner)")
    axes.set_xscale("log")
    axes.set_xlabel("seconds since the start, 2 cores")
    axes.set_ylabel("best mean test accuracy so far")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(target)


def main() -> int:
    if sys.argv[1:2] == ["--peer"]:
        name, data, folder = sys.argv[2:]
        found = be_halving(Path(data)) if name == PEERS[0] else be_hyperband(Path(data), Path(folder))
        (Path(folder) / "found.json").write_text(json.dumps(found))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*ENGINES, *PEERS], default=[*ENGINES, *PEERS])
    parser.add_argument("--rows", type=int, help="the first N images only")
    parser.add_argument("--out", type=Path, help="a JSON file of all figures")
    parser.add_argument("--plot", type=Path, help="a picture")
    given = parser.parse_args()
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        np.savez(data, **read_images(given.rows))
        measured: dict[str, float] = {}
        for name in given.only:
            found[name] = run(name, data, Path(folder))
            if name == "grid":
                trials = json.loads((Path(folder) / "grid" / "grid.json").read_text())["trials"]
                measured = {json.dumps(t["params"], sort_keys=True): t["mean_test_score"] for t in trials}
            winner = measured.get(json.dumps(found[name]["params"], sort_keys=True))
            found[name]["winner"] = found[name]["score"] if winner is None else winner
            best = max(measured.values(), default=None)
            reached = [t for t, s in found[name]["steps"] if best is not None and s >= best - 1e-9]
            print(
                f"{name:<22} {found[name]['seconds']:>7.1f} s {found[name]['epochs']:>6,} epochs, its winner "
                f"{found[name]['winner']:.4f}, the grid's best after "
                f"{f'{reached[0]:.1f} s' if reached else '-'}",
                flush=True,
            )
            if given.out:
                given.out.write_text(json.dumps(found, indent=1))
    if given.plot:
        plot(found, given.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
