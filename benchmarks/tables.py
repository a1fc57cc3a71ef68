"""A search over a table, numbers to predict, beside scikit-learn's GridSearchCV over Keras's own wrapper.

    python benchmarks/tables.py                          # 20,000 rows, 10 epochs: minutes on two cores
    python benchmarks/tables.py --rows 2000 --epochs 2   # small

8 candidates x 3 folds of `mlp` on a made-up table: 12 columns of numbers, three of them with blanks, and 4 of
3 to 40 categories. The peer is a Pipeline of the ColumnTransformer that kerasgrid makes of such columns and a
TransformedTargetRegressor over keras.wrappers.SKLearnRegressor, once with one process and once with two. Both
train the same net for the same epochs on the same folds; what is learnt of columns and of the target, the
peer learns anew for each fit, and kerasgrid once for each fold. Each is a process of its own, timed from its
start to its end; kerasgrid's cache is new.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from packs import search, timed

RATES, DROPOUTS, FOLDS, BATCH = [0.0005, 0.001, 0.002, 0.004], [0.05, 0.2], 3, 256
N_NUMBERS, WITH_BLANKS, N_CATEGORIES = 12, 3, [3, 8, 20, 40]


def made_up(n_rows: int) -> pd.DataFrame:
    """Returns a table whose `price` depends on some numbers and on an effect of each category."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(n_rows, N_NUMBERS))
    price = np.sin(2 * numbers[:, 0]) + numbers[:, 1] * numbers[:, 2] + np.abs(numbers[:, 3]) + numbers[:, 4]
    numbers[:, :WITH_BLANKS] = np.where(
        random.random((n_rows, WITH_BLANKS)) < 0.1, np.nan, numbers[:, :WITH_BLANKS]
    )
    frame = pd.DataFrame(100 * numbers.round(4), columns=[f"size_{letter}" for letter in "abcdefghijkl"])
    for place, n in enumerate(N_CATEGORIES):
        codes = random.integers(0, n, n_rows)
        frame[f"kind_{place}"] = [f"kind {code}" for code in codes]
        price += random.normal(size=n)[codes]
    price += random.normal(scale=0.5, size=n_rows)
    return frame.assign(price=(20_000 * price + 150_000).round(2))


def build(X, y, **params):
    """Returns the net that kerasgrid trains, as the wrapper wants it."""
    import keras

    from kerasgrid.models.mlp import mlp

    rate = params.pop("learning_rate")
    model = mlp(X.shape[1:], n_outputs=1, **params)
    model.compile(keras.optimizers.Adam(rate), "mean_squared_error")
    return model


def be_peer(data: str, n_jobs: str, epochs: str, to: str) -> None:
    """Is the process of the peer; epochs are given to `fit`, as the wrapper's clones lose its own."""
    from keras.wrappers import SKLearnRegressor
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.read_csv(data)
    price = frame.pop("price")
    sizes = [name for name in frame if name.startswith("size")]
    kinds = [name for name in frame if name.startswith("kind")]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), sizes),
            ("blanks", MissingIndicator(features="all"), sizes[:WITH_BLANKS]),
            ("kinds", OneHotEncoder(handle_unknown="ignore", sparse_output=False), kinds),
        ]
    )
    net = TransformedTargetRegressor(SKLearnRegressor(build), transformer=StandardScaler())
    grid = GridSearchCV(
        make_pipeline(columns, net),
        {"transformedtargetregressor__regressor__model_kwargs": candidates()},
        cv=KFold(FOLDS, shuffle=True, random_state=0),
        scoring="r2",
        refit=False,
        n_jobs=int(n_jobs),
        error_score="raise",
    )
    told = {"epochs": int(epochs), "batch_size": BATCH, "verbose": 0}
    grid.fit(frame, price, **{f"transformedtargetregressor__{name}": value for name, value in told.items()})
    Path(to).write_text(json.dumps(grid.cv_results_["mean_test_score"].tolist()))


def candidates() -> list[dict[str, float]]:
    """Returns the arguments of each candidate's net and optimizer."""
    return [
        {"learning_rate": rate, "dropout": dropout} for rate, dropout in itertools.product(RATES, DROPOUTS)
    ]


def run_kerasgrid(data: Path, epochs: int, folder: Path) -> tuple[float, list[float], dict[str, str]]:
    """Runs `kerasgrid search`; returns its seconds, each candidate's mean score, and what it ran on."""
    config = {
        "name": "table",
        "data": {"train": str(data), "target": "price", "target_scale": "standardize"},
        "model": "mlp",
        "params": {"batch_size": BATCH, "epochs": epochs},
        "space": {"learning_rate": RATES, "dropout": DROPOUTS},
        "search": {"folds": FOLDS, "seed": 0},
    }
    seconds, results = search(config, folder)
    scores = {json.dumps(one["params"], sort_keys=True): one["mean_test_score"] for one in results["trials"]}
    found = [scores[json.dumps(params, sort_keys=True)] for params in candidates()]
    return seconds, found, results["environment"]


def run_peer(data: Path, epochs: int, n_jobs: int, folder: Path) -> tuple[float, list[float]]:
    """Runs GridSearchCV in a process of its own; returns its seconds and each candidate's mean score."""
    to = folder / f"peer_{n_jobs}.json"
    command = [sys.executable, __file__, "--peer", str(data), str(n_jobs), str(epochs), str(to)]
    return timed(command, folder), json.loads(to.read_text())


def main() -> int:
    if sys.argv[1:2] == ["--peer"]:
        be_peer(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="of the table, default 20,000")
    parser.add_argument("--epochs", type=int, default=10, help="of each fit, default 10")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "table.csv"
        made_up(given.rows).to_csv(data, index=False)
        seconds, scores, environment = run_kerasgrid(data, given.epochs, folder)
        found = {"kerasgrid": (seconds, scores)}
        for n_jobs in (1, 2):
            found[f"n_jobs={n_jobs}"] = run_peer(data, given.epochs, n_jobs, folder)
    versions = ", ".join(f"{what} {version}" for what, version in environment.items())
    print(f"{given.rows:,} rows, {given.epochs} epochs, {os.cpu_count()} cores; {versions}")
    print(f"{'':<34}" + "".join(f"{who:>12}" for who in found))
    for place, params in enumerate(candidates()):
        told = f"learning_rate {params['learning_rate']:<6}, dropout {params['dropout']}"
        print(f"{told:<34}" + "".join(f"{own[place]:12.4f}" for _, own in found.values()))
    print(f"{'seconds':<34}" + "".join(f"{took:12.1f}" for took, _ in found.values()))
    print(f"{'times kerasgrid':<34}" + "".join(f"{took / seconds:12.2f}" for took, _ in found.values()))
    apart = np.ptp([own for _, own in found.values()], axis=0).max()
    better = min(took for who, (took, _) in found.items() if who != "kerasgrid")
    print(f"the better of the peers takes {better / seconds:.2f} times as long as kerasgrid")
    print(f"largest difference of a candidate's mean r2 between two of them: {apart:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
