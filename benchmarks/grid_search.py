"""An 8-candidate x 3-fold slice of experiment A1, by kerasgrid's command, kg.GridSearchCV and scikit-learn's
GridSearchCV over keras.wrappers.SKLearnClassifier, one after the other in one run.

    python benchmarks/grid_search.py --data ../data/kannada/train.csv

All train the same fits on the same folds: epochs [15, 30], learning_rate [0.001, 0.01], dropout [0.2, 0.4],
Adam, batch 512, BatchNorm. The peer's epochs are given to `fit`, since those given to the wrapper's
constructor are lost when scikit-learn clones it, so that it searches twice; the number of epochs that it
really trains is counted and printed. kg.GridSearchCV is given the peer's own program with one import changed,
and, as `one search`, the same model function with `epochs` in its grid, in one line. Each side is a process
of its own, timed from its start to its end.
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

CONFIG = """
name: slice
data: {{train: {data}, scale: 255}}
model: fc
params: {{batch_size: 512, optimizer: Adam, batch_norm: true}}
space: {{epochs: [15, 30], learning_rate: [0.001, 0.01], dropout: [0.2, 0.4]}}
search: {{folds: 3, seed: 0}}
"""

PEER = """
import json, sys, time
import keras, numpy as np, pandas as pd
from keras.wrappers import SKLearnClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from kerasgrid.models.fc import fc

frame = pd.read_csv(sys.argv[1])
y = frame.pop("label").to_numpy()
X = frame.to_numpy(dtype="float32") / 255
trained = []

def build(X, y, learning_rate, dropout):
    n_classes = y.shape[1] if y.ndim > 1 else len(np.unique(y))
    model = fc(X.shape[1:], n_classes, dropout=dropout)
    loss = "categorical_crossentropy" if y.ndim > 1 else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
    return model

class Counting(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        trained.append(epoch)

results = {}
for epochs in (15, 30):
    grid = [dict(learning_rate=r, dropout=d) for r in (0.001, 0.01) for d in (0.2, 0.4)]
    search = GridSearchCV(
        SKLearnClassifier(build),
        {"model_kwargs": grid},
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
        refit=False, n_jobs=int(sys.argv[2]), error_score="raise",
    )
    is_plain = sys.argv[2] == "1" and GridSearchCV.__module__.startswith("sklearn")
    counting = {"callbacks": [Counting()]} if is_plain else {}  # other processes cannot count here
    search.fit(X, y, epochs=epochs, batch_size=512, verbose=0, **counting)
    for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"]):
        results[json.dumps({"epochs": epochs, **params["model_kwargs"]}, sort_keys=True)] = float(score)
print(json.dumps({"epochs_trained": len(trained) or None, "scores": results}))
"""


DROP_IN = PEER.replace(
    "from sklearn.model_selection import GridSearchCV, StratifiedKFold",
    "from kerasgrid import GridSearchCV\nfrom sklearn.model_selection import StratifiedKFold",
)
"""The same program, but for where GridSearchCV comes from."""


ONE_SEARCH = (
    DROP_IN[: DROP_IN.index("results = {}")]
    + """
search = GridSearchCV(
    build,
    {"epochs": [15, 30], "learning_rate": [0.001, 0.01], "dropout": [0.2, 0.4], "batch_size": [512]},
    cv=StratifiedKFold(3, shuffle=True, random_state=0), refit=False, n_jobs=int(sys.argv[2]),
).fit(X, y)
results = {}
for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"]):
    params.pop("batch_size")
    results[json.dumps(params, sort_keys=True)] = float(score)
print(json.dumps({"epochs_trained": None, "scores": results}))
"""
)
"""The same function in one search, whose grid has the epochs too."""
SEARCHES = {
    "kg.GridSearchCV, one search": ONE_SEARCH,
    "kg.GridSearchCV, import changed": DROP_IN,
    "scikit-learn": PEER,
}


def timed(command: list[str]) -> tuple[float, str]:
    """Runs a command and returns its seconds and output."""
    began = time.monotonic()
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet)
    return time.monotonic() - began, done.stdout


def ours(data: Path) -> tuple[float, dict]:
    """Runs kerasgrid on the slice in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "slice.yaml"
        grid.write_text(CONFIG.format(data=json.dumps(str(data.absolute()))))
        program = "import sys; from kerasgrid.cli import main; main()"
        command = [sys.executable, "-c", program, "search", str(grid), "--results", folder, "--quiet"]
        seconds, _ = timed(command)
        found = json.loads((Path(folder) / "slice.json").read_text())
    scores = {json.dumps(t["params"], sort_keys=True): t["mean_test_score"] for t in found["trials"]}
    return seconds, {"epochs_trained": found["summary"]["epochs_trained"], "scores": scores}


def searched(program: str, data: Path, n_jobs: int) -> tuple[float, dict]:
    """Runs a GridSearchCV on the slice."""
    seconds, output = timed([sys.executable, "-c", program, str(data), str(n_jobs)])
    return seconds, json.loads(output.strip().splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="a CSV with a label column and 784 pixel columns"
    )
    data = parser.parse_args().data
    rows: dict[str, tuple[float, dict]] = {}

    def ran(name: str, found: tuple[float, dict]) -> None:
        rows[name] = found
        seconds, told = found
        best = max(told["scores"], key=told["scores"].get)
        shown = f"best {told['scores'][best]:.4f} with {best}"
        print(f"{name:<41} {seconds:7.1f} s, {told['epochs_trained']} epochs, {shown}", flush=True)

    ran("kerasgrid search", ours(data))
    for name, program in SEARCHES.items():
        for n_jobs in (1, 2):
            ran(f"{name}, n_jobs={n_jobs}", searched(program, data, n_jobs))
    theirs = rows["scikit-learn, n_jobs=1"][1]["scores"]
    print("largest difference of a candidate's mean score from those of scikit-learn, n_jobs=1:")
    for name, (_, found) in rows.items():
        assert found["scores"].keys() == theirs.keys()
        print(f"{name:<41} {max(abs(found['scores'][key] - theirs[key]) for key in theirs):.4f}")
    trained = {name: found["epochs_trained"] for name, (_, found) in rows.items()}
    assert trained["scikit-learn, n_jobs=1"] == 3 * 4 * (15 + 30), "epochs were lost"
    return 0


if __name__ == "__main__":
    sys.exit(main())
