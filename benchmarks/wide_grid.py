"""The 1,296 candidates of experiments/kannada_wide.yaml by halving, beside GridSearchCV on a slice.

    python benchmarks/wide_grid.py                      # both
    python benchmarks/wide_grid.py --rows 600 --peer 2  # small

The search is watched for memory. GridSearchCV over Keras's wrapper (n_jobs=2, the same folds) trains some of
the candidates, drawn at random by seed 0; its time is scaled by epochs to all of them.
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
from packs import build_one_hot, read_images, scaled, splits
from watch import summary, watch

WIDE = Path(__file__).resolve().parents[1] / "experiments" / "kannada_wide.yaml"


def be_peer(data: str, candidates: str) -> None:
    """Is the process of the peer: GridSearchCV for each candidate, whose epochs `fit` has to be given."""
    from keras.wrappers import SKLearnClassifier
    from sklearn.model_selection import GridSearchCV

    X, y = scaled(Path(data))
    for params in json.loads(candidates):
        told = {name: params.pop(name) for name in ("epochs", "batch_size")}
        tried = GridSearchCV(
            SKLearnClassifier(build_one_hot),
            {"model_kwargs": [params]},
            cv=splits(),
            refit=False,
            n_jobs=2,
            error_score="raise",
        )
        tried.fit(X, y, verbose=0, **told)
        print(f"{params} {told}: {tried.best_score_:.4f}", flush=True)


def main() -> int:
    if sys.argv[1:2] == ["--slice"]:
        be_peer(*sys.argv[2:])
        return 0
    from kerasgrid.config.reading import read_config
    from kerasgrid.space.reading import read_space

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="the first N images only")
    parser.add_argument("--peer", type=int, default=8, help="candidates of the slice, default 8")
    given = parser.parse_args()
    config, _, _ = read_config(WIDE)
    space, _ = read_space(config.space)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kannada.npz"
        np.savez(data, **read_images(given.rows))
        command = [sys.executable, "-c", "from kerasgrid.cli import main; main()", "search", str(WIDE)]
        command += ["--set", f"data={{train: {data}, scale: 255}}", "--results", folder, "--quiet"]
        os.environ |= {"KERASGRID_CACHE": str(Path(folder) / "cache"), "TF_CPP_MIN_LOG_LEVEL": "2"}
        code, seconds, samples = watch(command, 2.0)
        results = json.loads((Path(folder) / "kannada_wide.json").read_text())
        about = results["summary"]
        print(f"kerasgrid: exit {code}, {seconds:.1f} s, {len(space):,} candidates, {about}", flush=True)
        print(f"best {results['best']}", flush=True)
        print(summary(samples), flush=True)
        drawn = space.sample(given.peer, 0)
        asked = sum(params["epochs"] for params in drawn)
        began = time.monotonic()
        subprocess.run([sys.executable, __file__, "--slice", str(data), json.dumps(drawn)], check=True)
        took = time.monotonic() - began
        whole = sum(params["epochs"] for params in space)
        print(
            f"GridSearchCV, n_jobs=2: {took:.1f} s for {len(drawn)} candidates of {asked} epochs a fold; all "
            f"{len(space):,} ask for {whole:,}: {took * whole / asked / 3600:.1f} hours"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
