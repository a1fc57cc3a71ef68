"""What takes seconds to import and is not imported before it is needed: each step in the same process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from written import csv_bytes

NETS = """
import keras

def build(input_shape, n_classes, width=3):
    raise AssertionError("a check runs no model function")
"""
GRID = """
data: {train: digits}
model: nets.py:build
params: {width: 3}
space: {optimizer: [Adam]}
"""
STEPS = """if True:
    import sys
    from types import SimpleNamespace

    def tell():
        print(sorted({"tensorflow", "keras", "jax", "torch", "hiplot"} & set(sys.modules)))

    import kerasgrid.executors
    tell()
    kerasgrid.GridSearchCV
    tell()
    from kerasgrid.data import load_data, make_folds
    for train in ("digits", "train.csv"):
        given = dict(label=None, id=None, image=None, subset=None, multi_label=False)
        data = load_data(SimpleNamespace(train=train, **given))
        make_folds(data.labels, n_folds=2, seed=0)
    tell()
    from kerasgrid.checks import prepare
    prepare("grid.yaml")
    tell()
"""


def test_reading_data_and_checking_a_search_import_no_backend(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "grid.yaml").write_text(GRID)
    images = np.arange(80, dtype=np.uint8).reshape(20, 2, 2)
    (tmp_path / "train.csv").write_bytes(csv_bytes(images, np.arange(20) % 2))
    done = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines() == ["[]"] * 4
