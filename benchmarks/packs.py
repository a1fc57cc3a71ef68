"""The A1 slice on Kannada-MNIST by kerasgrid with and without packs, scikit-learn and KerasTuner.

    python benchmarks/packs.py                                      # all five, one after the other
    python benchmarks/packs.py --only packs plain --epochs 1 2 --rows 600

8 candidates x 3 folds: two numbers of epochs, learning_rate [0.001, 0.01], dropout [0.2, 0.4], Adam,
batch 512, the BatchNorm net `fc`. All train the same rows of the same StratifiedKFold, each in a fresh
process, timed from its start to its end, when its results are on the disk. kerasgrid's cache is new in
each run. A candidate's figure is the mean over the folds of the share of held-out images that are named
right. KerasTuner needs tensorboard, where Keras runs on TensorFlow. The data is kannada/ (IDX) in the
folder that KERASGRID_TEST_DATA names, else in ../shared/data.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

KERASGRID = {"packs": "auto", "plain": "off"}
PEERS = ("sklearn-1", "sklearn-2", "keras-tuner")
RATES, DROPOUTS, BATCH, FOLDS = [0.001, 0.01], [0.2, 0.4], 512, 3


def read_images(rows: int | None, part: str = "kannada/") -> dict[str, np.ndarray]:
    """Returns the first rows of Kannada-MNIST, or of another part of the data, such as `mnist/train-`.

    `images` are (sample, 28, 28) and `labels` (sample,), both uint8.
    """
    fallback = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = os.environ.get("KERASGRID_TEST_DATA") or fallback
    images = gzip.decompress(Path(f"{folder}/{part}images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress(Path(f"{folder}/{part}labels-idx1-ubyte.gz").read_bytes())
    X = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)[:rows]
    return {"images": X, "labels": np.frombuffer(labels, np.uint8, offset=8)[:rows]}


def name_of(**params) -> str:
    """Returns a candidate's name, the same for all contenders."""
    return f"epochs {params['epochs']:>2}, lr {params['learning_rate']:<5}, dropout {params['dropout']}"


def timed(command: list[str], folder: Path) -> float:
    """Runs a command with a new cache and returns its seconds."""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "KERASGRID_CACHE": str(folder / "cache")}
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}\nThis contender failed.")
    return time.monotonic() - began


def search(config: dict, folder: Path) -> tuple[float, dict]:
    """Runs `kerasgrid search` in a process of its own; returns its seconds and its results."""
    grid = folder / f"{config['name']}.yaml"
    grid.write_text(json.dumps(config))
    program = "from kerasgrid.cli import main; main()"
    command = [sys.executable, "-c", program, "search", str(grid), "--results", str(folder), "--quiet"]
    return timed(command, folder), json.loads((folder / f"{config['name']}.json").read_text())


def run_kerasgrid(pack: str, data: Path, epochs: list[int], folder: Path) -> tuple[float, dict[str, float]]:
    """Runs `kerasgrid search`; returns its seconds and each candidate's mean accuracy."""
    config = {
        "name": "slice",
        "data": {"train": str(data), "scale": 255},
        "model": "fc",
        "params": {"batch_size": BATCH, "optimizer": "Adam", "batch_norm": True},
        "space": {"epochs": epochs, "learning_rate": RATES, "dropout": DROPOUTS},
        "search": {"folds": FOLDS, "seed": 0},
        "training": {"pack": pack},
    }
    seconds, found = search(config, folder)
    trials = found["trials"]
    return seconds, {name_of(**trial["params"]): trial["mean_test_score"] for trial in trials}


def run_peer(name: str, data: Path, epochs: list[int], folder: Path) -> tuple[float, dict[str, float]]:
    """Runs a peer, this script's `--peer`; returns its seconds and each candidate's mean accuracy."""
    told = [name, str(data), json.dumps(epochs), str(folder)]
    seconds = timed([sys.executable, __file__, "--peer", *told], folder)
    return seconds, json.loads((folder / "scores.json").read_text())


def scaled(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns what peers train on: rows of pixels, since scikit-learn takes no images."""
    with np.load(data) as arrays:
        images = arrays["images"].astype("float32") / 255
        return images.reshape(len(images), -1), arrays["labels"].astype("int64")


def splits():
    """Returns the folds, the same as kerasgrid's."""
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(FOLDS, shuffle=True, random_state=0)


def compiled(input_shape, n_classes: int, loss: str, learning_rate: float, optimizer: str = "Adam", **own):
    """Returns the peers' model; `own` are arguments of `fc`."""
    import keras

    from kerasgrid.models.fc import fc

    model = fc(input_shape, n_classes, **own)
    model.compile(getattr(keras.optimizers, optimizer)(learning_rate), loss, metrics=["accuracy"])
    return model


def build_one_hot(X, y, **params):
    """Builds SKLearnClassifier's model, which is given one-hot labels."""
    return compiled(X.shape[1:], y.shape[1], "categorical_crossentropy", **params)


def sklearn_scores(data: Path, all_epochs: list[int], n_jobs: int) -> dict[str, float]:
    """Runs scikit-learn's GridSearchCV once for each number of epochs, which must be given to `fit`.

    Those given to the wrapper's constructor are lost when scikit-learn clones it.
    """
    from keras.wrappers import SKLearnClassifier
    from sklearn.model_selection import GridSearchCV

    X, y = scaled(data)
    grid = [{"learning_rate": rate, "dropout": drop} for rate in RATES for drop in DROPOUTS]
    scores = {}
    for epochs in all_epochs:
        search = GridSearchCV(
            SKLearnClassifier(build_one_hot),
            {"model_kwargs": grid},
            cv=splits(),
            refit=False,
            n_jobs=n_jobs,
            error_score="raise",
        )
        search.fit(X, y, epochs=epochs, batch_size=BATCH, verbose=0)
        found = search.cv_results_
        for params, score in zip(found["params"], found["mean_test_score"], strict=True):
            scores[name_of(epochs=epochs, **params["model_kwargs"])] = float(score)
    return scores


def tuner_scores(data: Path, all_epochs: list[int], folder: Path) -> dict[str, float]:
    """Runs KerasTuner's GridSearch, each of whose trials trains the folds and tells their mean."""
    import keras_tuner

    X, y = scaled(data)

    def build(hp):
        hp.Choice("epochs", all_epochs)
        rate, drop = hp.Choice("learning_rate", RATES), hp.Choice("dropout", DROPOUTS)
        loss = "sparse_categorical_crossentropy"
        return compiled(X.shape[1:], int(y.max()) + 1, loss, learning_rate=rate, dropout=drop)

    class CrossValidated(keras_tuner.GridSearch):
        def run_trial(self, trial, **settings):
            right = []
            for train, test in splits().split(X, y):
                model = self.hypermodel.build(trial.hyperparameters)
                epochs = trial.hyperparameters.get("epochs")
                model.fit(X[train], y[train], epochs=epochs, batch_size=BATCH, verbose=0)
                right.append(np.mean(model.predict(X[test], verbose=0).argmax(axis=1) == y[test]))
            return {"mean_accuracy": float(np.mean(right))}

    objective = keras_tuner.Objective("mean_accuracy", "max")
    tuner = CrossValidated(build, objective=objective, seed=0, directory=folder, project_name="tuner")
    tuner.search(verbose=0)
    return {name_of(**t.hyperparameters.values): float(t.score) for t in tuner.oracle.trials.values()}


def be_peer(name: str, data: str, epochs: str, folder: str) -> None:
    """Is the process of a peer, which writes scores.json."""
    if name == "keras-tuner":
        scores = tuner_scores(Path(data), json.loads(epochs), Path(folder))
    else:
        scores = sklearn_scores(Path(data), json.loads(epochs), int(name.removeprefix("sklearn-")))
    (Path(folder) / "scores.json").write_text(json.dumps(scores))


def show(found: dict[str, tuple[float, dict[str, float]]], candidates: list[str]) -> None:
    """Prints the table of contenders and that of candidates."""
    peers = [seconds for name, (seconds, _) in found.items() if name in PEERS]
    plain = found.get("plain", (0.0, None))[1]
    print(f"\n{'':<12} {'seconds':>8} {'of fastest peer':>16} {'best':>7} {'apart from plain':>17}")
    for name, (seconds, scores) in found.items():
        ratio = f"{seconds / min(peers):.2f}" if peers else "-"
        apart = f"{max(abs(scores[c] - plain[c]) for c in candidates):.4f}" if plain else "-"
        print(f"{name:<12} {seconds:>8.1f} {ratio:>16} {max(scores.values()):>7.4f} {apart:>17}")
    print(f"\n{'mean accuracy':<34}" + "".join(f"{name:>12}" for name in found))
    for candidate in candidates:
        print(f"{candidate:<34}" + "".join(f"{scores[candidate]:>12.4f}" for _, scores in found.values()))


def main() -> int:
    if sys.argv[1:2] == ["--peer"]:
        be_peer(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*KERASGRID, *PEERS], help="these contenders")
    parser.add_argument("--epochs", type=int, nargs="+", default=[15, 30])
    parser.add_argument("--rows", type=int, help="the first N images only")
    given = parser.parse_args()
    grid = itertools.product(given.epochs, RATES, DROPOUTS)
    candidates = [name_of(epochs=e, learning_rate=rate, dropout=drop) for e, rate, drop in grid]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        np.savez(data, **read_images(given.rows))
        for name in given.only or [*KERASGRID, *PEERS]:
            own = Path(folder) / name
            own.mkdir()
            if name in KERASGRID:
                found[name] = run_kerasgrid(KERASGRID[name], data, given.epochs, own)
            else:
                found[name] = run_peer(name, data, given.epochs, own)
            assert found[name][1].keys() == set(candidates), f"{name} trained other candidates"
            print(f"{name}: {found[name][0]:.1f} s", flush=True)
    show(found, candidates)
    return 0


if __name__ == "__main__":
    sys.exit(main())
