"""What takes seconds to import is not imported before it is needed, and new modules keep to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
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

    def tell():
        print(sorted({"tensorflow", "keras", "jax", "torch", "hiplot"} & set(sys.modules)))

    import kerasgrid.executors
    tell()
    kerasgrid.GridSearchCV
    tell()
    assert {*kerasgrid.__all__, "__version__"} <= {*dir(kerasgrid)}
    assert all(getattr(kerasgrid, name).__doc__ for name in ("search", "fit", "predict", "Results"))
    assert kerasgrid.__version__[0].isdigit()
    tell()
    from kerasgrid.data.load import load_data
    from kerasgrid.config.sections import DataConfig, Folds
    from kerasgrid.data.folds import make_folds
    for train in ("digits", "train.csv"):
        make_folds(load_data(DataConfig(train=train)), Folds(n=2), seed=0)
    tell()
    from kerasgrid.checks.prepared import prepare
    prepare("grid.yaml")
    tell()
    import importlib, pkgutil
    names = [module.name for module in pkgutil.walk_packages(kerasgrid.__path__, "kerasgrid.")]
    for name in names:
        if not name.startswith(("kerasgrid.models.", "kerasgrid.training.")):
            importlib.import_module(name)
    tell()
"""


def test_nothing_but_models_and_training_imports_a_backend_and_the_package_completes(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "grid.yaml").write_text(GRID)
    images = np.arange(80, dtype=np.uint8).reshape(20, 2, 2)
    (tmp_path / "train.csv").write_bytes(csv_bytes(images, np.arange(20) % 2))
    done = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines() == ["[]"] * 6


REFUSED = {
    "new.py": ("import keras", "kerasgrid.new -> keras (l.1)"),
    "data/new.py": ("from tensorflow.data import Dataset", "kerasgrid.data.new -> tensorflow (l.1)"),
    "views/new.py": ("def draw():\n    import jax.numpy", "kerasgrid.views.new -> jax (l.2)"),
    "newer/new.py": ("from keras import ops", "kerasgrid.newer.new -> keras (l.1)"),
    "newer/__init__.py": ("", "not listed as layers:\n\n- kerasgrid.new\n- kerasgrid.newer\n"),
}
ALLOWED = {"data/newest.py": "", "models/newest.py": "import keras"}


@pytest.mark.tree
@pytest.mark.parametrize("refused", [{}, REFUSED], ids=["none", "all"])
def test_a_new_module_may_import_no_backend_and_has_a_floor(tmp_path, refused):
    root = Path(__file__).parents[1]
    shutil.copytree(root / "kerasgrid", tmp_path / "kerasgrid", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / ".importlinter", tmp_path)
    (tmp_path / "kerasgrid" / "newer").mkdir()
    for file, text in {**ALLOWED, **{file: text for file, (text, _) in refused.items()}}.items():
        (tmp_path / "kerasgrid" / file).write_text(text)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == bool(refused), done.stdout + done.stderr
    assert [told for _, told in refused.values() if told not in done.stdout] == [], done.stdout
    assert "newest" not in done.stdout
