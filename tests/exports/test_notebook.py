"""A notebook that trains and predicts offline, run where there is nothing but it and its wheel."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fitted import digits, train_nothing
from running import run

from kerasgrid.driver.search import search
from kerasgrid.errors import ResultsError
from kerasgrid.exports.notebook import write_notebook, write_wheel

pytestmark = pytest.mark.slow
NET = """
import keras
from sizes import LAST

def build(input_shape, n_classes, width=16):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),
                             keras.layers.Dense(width, activation="relu"),
                             keras.layers.Dense(n_classes, activation=LAST)])
"""
GRID = """
data: {train: train.csv, test: test.csv, scale: 16}
model: ../nets/own.py:build
params: {epochs: 6, batch_size: 16, optimizer: SGD, learning_rate: 0.1}
space: {width: [16, 32]}
callbacks: {early_stopping: {monitor: val_loss, patience: 2}}
search: {folds: 2}
executor: {kind: inline}
"""


@pytest.fixture(scope="module")
def searched_competition(tmp_path_factory):
    images, labels = digits()
    here = tmp_path_factory.mktemp("competition") / "here"
    for folder in (here / "data", here / "nets"):
        folder.mkdir(parents=True)
    names = [f"pixel{n}" for n in range(64)]
    train = pd.DataFrame(images[:300].reshape(300, 64), columns=names)
    train.insert(0, "label", labels[:300])
    train.to_csv(here / "data" / "train.csv", index=False)
    test = pd.DataFrame(images[300:400].reshape(100, 64), columns=names)
    test.to_csv(here / "data" / "test.csv", index=False)
    sample = pd.DataFrame({"ImageId": range(1, 101), "Label": 0})
    sample.to_csv(here / "data" / "sample_submission.csv", index=False)
    (here / "nets" / "own.py").write_text(NET)
    (here / "nets" / "sizes.py").write_text("LAST = 'softmax'\n")
    (here / "data" / "grid.yaml").write_text(GRID)
    with pytest.MonkeyPatch.context() as patch:
        train_nothing(patch)
        search(here / "data" / "grid.yaml", results=here / "results")
    return here


@pytest.fixture
def competition(searched_competition, tmp_path):
    return Path(shutil.copytree(searched_competition, tmp_path / "here"))


def test_it_trains_and_predicts_where_there_is_no_network(competition, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(competition)
    assert run(monkeypatch, "export", "results/grid.json", "--to", "notebook") == 0
    assert "results/grid.notebook/notebook.ipynb" in capsys.readouterr().out
    notebook = json.loads(Path("results/grid.notebook/notebook.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    there, given = tmp_path / "there", tmp_path / "input"
    there.mkdir()
    given.mkdir()
    (competition / "results" / "grid.notebook").rename(given / "wheels")
    (competition / "data").rename(given / "competition")
    program = "\n".join(code).replace("/kaggle/input", str(given))
    site = there / "site"
    site.mkdir()
    own = {"PIP_TARGET": str(site), "PYTHONPATH": str(site), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=there, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (site / "kerasgrid" / "delivery" / "fitting.py").exists()
    assert "the median over folds of the best epoch" in done.stdout
    assert "submission.csv Label: the label of the most probable class, 100 rows" in done.stdout
    written = pd.read_csv(there / "submission.csv")
    assert written["ImageId"].tolist() == list(range(1, 101))
    assert np.mean(written["Label"] == digits()[1][300:400]) > 0.5
    card = json.loads((there / "results" / "grid" / "best.json").read_text())
    assert card["model"] == "own.py:build"


def test_what_it_says_of_the_trial(competition):
    target, wheel = write_notebook(competition / "results" / "grid.json", competition / "out", trial=0)
    cells = json.loads(target.read_text())["cells"]
    told = "".join(cells[0]["source"])
    assert told.startswith("# grid, trial 0\n\naccuracy 0.")
    assert "- width: 16" in told
    assert wheel.parent == target.parent
    assert str(competition) not in target.read_text()


def test_names_are_data_in_code_and_in_sentences(competition):
    name, train = "a\"); print('mine'); (\"", 't"+{1 % 0}+".csv'
    results = competition / "results"
    data = json.loads((results / "grid.json").read_text())
    data["config"]["data"]["train"] = train
    data["trials"][0]["params"]["<b>\u202e\n# x"] = "`y`"
    (results / f"{name}.json").write_text(json.dumps(data))
    (results / "grid").rename(results / name)
    target, _ = write_notebook(results / f"{name}.json", competition / "out", trial=0)
    cells = json.loads(target.read_text())["cells"]
    told, *code = ["".join(cell["source"]) for cell in cells]
    assert r"- \<b\>\\u202e \# x: " in told
    assert told.startswith("# a\"); print('mine'); (\", trial 0\n")
    constants = set()
    for text in code:
        tree = ast.parse(text)
        constants |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {train, f"results/{name}.json"} <= constants


def test_learning_rates_come_along_whatever_the_length_of_a_run(competition, monkeypatch):
    path = competition / "results" / "grid.json"
    data = json.loads(path.read_text())
    part = data["trials"][0]["folds"][0]
    long = competition / "results" / "grid" / "histories" / "long.json"
    long.parent.mkdir(exist_ok=True)
    long.write_text(json.dumps({"learning_rate": [0.3, 0.2]}))
    part["history"], part["history_file"] = {}, "histories/long.json"
    path.write_text(json.dumps(data))
    target, _ = write_notebook(path, competition / "out", trial=0)
    assert '"learning_rate\\": [0.3, 0.2]' in target.read_text()


def test_files_that_params_name_come_along(competition):
    path = competition / "results" / "grid.json"
    data = json.loads(path.read_text())
    (competition / "nets" / "watch.py").write_text("def pre(x):\n    return x\n\nclass Watch:\n    pass\n")
    far = "../nets/watch.py:"
    data["config"]["params"][f"callbacks.{far}Watch.every"] = 2
    data["trials"][0]["params"]["augment.preprocessing_function"] = f"{far}pre"
    data["trials"][0]["params"]["augment"] = {"preprocessing_function": f"{far}pre", "zoom_range": 0.1}
    path.write_text(json.dumps(data))
    target, _ = write_notebook(path, competition / "out", trial=0)
    cells = ["".join(cell["source"]) for cell in json.loads(target.read_text())["cells"]]
    assert any(cell.startswith("from pathlib import Path\n\npath = Path('watch.py')") for cell in cells)
    (kept,) = [cell for cell in cells if "path = Path('results/grid.json')" in cell]
    assert '"callbacks.watch.py:Watch.every": 2' in kept
    assert '"augment.preprocessing_function": "watch.py:pre"' in kept
    assert '"augment": {"preprocessing_function": "watch.py:pre", "zoom_range": 0.1}' in kept
    assert "../nets" not in kept


@pytest.mark.parametrize(
    ("weights", "path", "told"),
    [
        ("../far/pre.keras", "pre.keras", "pre.keras, in which its weights are"),
        ("own/pre.weights.h5", "own/pre.weights.h5", "pre.weights.h5, in which its weights are"),
        ("imagenet", None, "ImageNet's, the .h5 file that Keras keeps in ~/.keras/models once it"),
        ("none", None, None),
    ],
)
@pytest.mark.parametrize("is_searched", [False, True], ids=["given", "searched"])
def test_trained_weights_are_put_where_the_net_looks_for_them(
    competition, tmp_path, monkeypatch, is_searched, weights, path, told
):
    results = competition / "results" / "grid.json"
    data = json.loads(results.read_text())
    data["config"]["model"] = "backbone"
    (data["trials"][0] if is_searched else data["config"])["params"]["weights"] = weights
    results.write_text(json.dumps(data))
    target, _ = write_notebook(results, competition / "out", trial=0)
    about, *cells = ["".join(cell["source"]) for cell in json.loads(target.read_text())["cells"]]
    assert ("trained weights" in about) == (told is not None)
    assert (told or "") in about.replace("\\", "")
    (kept,) = [cell for cell in cells if "path = Path('results/grid.json')" in cell]
    assert f'"weights": "{path or weights}"' in kept
    getting = [cell for cell in cells if cell.startswith("import shutil\n")]
    assert len(getting) == (told is not None)
    if not getting:
        return
    (tmp_path / "input" / "some").mkdir(parents=True)
    (tmp_path / "here2").mkdir()
    monkeypatch.chdir(tmp_path / "here2")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "input" / "some" / (Path(path).name if path else "vgg16.h5")).write_bytes(b"numbers")
    begin = f"import glob, os\nINPUT = {str(tmp_path / 'input')!r}\n"
    find = cells[1][: cells[1].index("overrides = ")]
    exec(begin + find + getting[0], {})
    found = tmp_path / "here2" / path if path else tmp_path / "keras" / "models" / "vgg16.h5"
    assert found.read_bytes() == b"numbers"


def test_files_of_scores_folds_and_validation_come_along_or_are_found_there(competition):
    path = competition / "results" / "grid.json"
    data = json.loads(path.read_text())
    (competition / "nets" / "mine.py").write_text("def cost(y_true, y_pred):\n    return 0.0\n")
    own = "../nets/mine.py:cost"
    data["objective"]["name"] = own
    data["config"]["search"] |= {
        "objective": {own: {"greater_is_better": False}},
        "scores": ["f1_macro", own],
    }
    data["config"]["data"] |= {"validation": "more/held.csv", "fold": "more/folds.csv"}
    path.write_text(json.dumps(data))
    target, _ = write_notebook(path, competition / "out", trial=0)
    cells = ["".join(cell["source"]) for cell in json.loads(target.read_text())["cells"]]
    assert any(cell.startswith("from pathlib import Path\n\npath = Path('mine.py')") for cell in cells)
    (kept,) = [cell for cell in cells if "path = Path('results/grid.json')" in cell]
    assert '"objective": {"mine.py:cost": {"greater_is_better": false}}' in kept
    assert '"scores": ["f1_macro", "mine.py:cost"]' in kept
    assert "../nets" not in kept
    (found,) = [line for cell in cells for line in cell.splitlines() if line.startswith("overrides = ")]
    assert "\"data.validation=\" + json.dumps(find('held.csv'))" in found
    assert "\"data.fold=\" + json.dumps(find('folds.csv'))" in found


def test_a_search_of_arrays_has_no_notebook(tmp_path, monkeypatch):
    train_nothing(monkeypatch)
    images, labels = digits()
    config = {"model": "fc", "params": {"epochs": 1}, "executor": {"kind": "inline"}, "search": {"folds": 2}}
    path = search(config, images[:100], labels[:100], results=tmp_path).path
    with pytest.raises(ResultsError, match="was given arrays, which a notebook elsewhere does not have"):
        write_notebook(path, tmp_path / "out")


def test_the_same_kerasgrid_gives_the_same_wheel(tmp_path):
    first, second = write_wheel(tmp_path / "a"), write_wheel(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_options_of_another_tool_are_refused(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "export", "x.json", "--to", "tensorboard", "--trial", "1") == 2
    assert "--trial belongs to --to notebook" in capsys.readouterr().err
    assert run(monkeypatch, "export", "x.json", "--to", "tensorboard", "--experiment", "x") == 2
