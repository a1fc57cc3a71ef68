"""A search that is taken up again: its model function and its data, where they are now, and if the same."""

from __future__ import annotations

import functools
import json
import os
import sys
import types
from importlib import import_module
from pathlib import Path

import pytest
from fitted import searched, train_nothing

from kerasgrid.delivery.finished import FinishedRun
from kerasgrid.errors import ChangedError, ConfigError

NETS = """
import functools, kg_blocks

def other(input_shape, n_classes): return 0

def wrapped(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)
    return call

def fc(input_shape, n_classes): return kg_blocks.X

@wrapped
def decorated(input_shape, n_classes): return kg_blocks.X

class Net:
    @staticmethod
    def build(input_shape, n_classes): return kg_blocks.X
    def method(self, input_shape, n_classes): return kg_blocks.X
    def __call__(self, input_shape, n_classes): return kg_blocks.X
"""
KINDS = {
    "kg_nets:fc": lambda nets: nets.fc,
    "kg_nets:decorated": lambda nets: nets.decorated,
    "kg_nets:partial(fc)": lambda nets: functools.partial(nets.fc),
    "kg_nets:Net.build": lambda nets: nets.Net.build,
    "kg_nets:Net.method": lambda nets: nets.Net().method,
    "kg_nets:Net()": lambda nets: nets.Net(),
    "__main__:fc": lambda nets: nets.fc,
}


@pytest.fixture
def nets(request, tmp_path, monkeypatch):
    """A module with model functions, imported by the user from beside the notebook or elsewhere."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / getattr(request, "param", ".")
    folder.mkdir(exist_ok=True)
    (folder / "kg_nets.py").write_text(NETS)
    (folder / "kg_blocks.py").write_text("X = 1")
    monkeypatch.syspath_prepend(folder)
    yield import_module("kg_nets")
    for name in ("kg_nets", "kg_blocks"):
        sys.modules.pop(name, None)


def take_up(path, model=None, overrides=()):
    finished = FinishedRun(path, model, overrides)
    return finished.prepare_whole(finished.rows())


@pytest.mark.parametrize(
    ("text", "nets"), [("kg_nets:fc", "."), *((text, "elsewhere") for text in KINDS)], indirect=["nets"]
)
def test_a_function_given_in_python_is_found_again_or_asked_for(text, nets, tmp_path, monkeypatch):
    train_nothing(monkeypatch)
    function = KINDS[text](nets)
    if text.startswith("__main__"):
        monkeypatch.setattr(function, "__module__", "__main__")
    section = {"params": {"epochs": 1}, "space": {"learning_rate": [0.1]}, "search": {"folds": 2}}
    path = searched(tmp_path, model=function, **section)
    take_up(path, function)
    assert FinishedRun(path).config.model == text
    if text in ("kg_nets:fc", "kg_nets:decorated"):
        if text == "kg_nets:fc":  # else a worker is to say what it takes
            take_up(path)
            take_up(path, overrides=["model=kg_nets:fc"])
        Path(nets.__file__).with_name("kg_blocks.py").write_text("X = 2")
        with pytest.raises(ChangedError, match=f"{text}: the source changed since the search"):
            take_up(path, function)
    else:
        with pytest.raises(ConfigError) as caught:
            take_up(path)
        assert str(caught.value) == (
            f"{path}, model: is {text!r}, a function that was given in Python and that no import finds: "
            "give it again, as in kerasgrid.fit(results, model=build) and predict(results, model=build), "
            'or name its file with overrides=["model=path/to/file.py:build"].'
        )


def test_a_function_that_the_script_or_notebook_defines_is_found_there(nets, tmp_path, monkeypatch):
    train_nothing(monkeypatch)
    monkeypatch.setattr(nets.fc, "__module__", "__main__")
    path = searched(tmp_path, model=nets.fc, params={"epochs": 1}, space={"learning_rate": [0.1]})
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "fc", nets.other, raising=False)  # imported there, and not its own
    with pytest.raises(ConfigError, match="that no import finds"):
        take_up(path)
    monkeypatch.setattr(nets.other, "__module__", "__main__")
    with pytest.raises(ChangedError):
        take_up(path)
    monkeypatch.setattr(main, "fc", nets.fc)
    take_up(path)


def test_a_file_that_nets_begin_with_is_the_one_of_the_search(tmp_path, monkeypatch):
    train_nothing(monkeypatch)
    (file := tmp_path / "net.keras").write_bytes(b"some")
    section = {
        "model": "backbone",
        "params": {"epochs": 1, "weights": str(file)},
        "space": {"dropout": [0.1]},
    }
    path = searched(tmp_path, **section)
    searched(tmp_path, **section)
    take_up(path)
    file.write_bytes(b"others")
    with pytest.raises(ChangedError, match=f"weights {file}: the file changed since the search: another "):
        take_up(path)
    with pytest.raises(ChangedError) as caught:
        searched(tmp_path, **section)
    told = f"this search began otherwise: the file {file}, with which nets begin, changed. Restore what"
    assert told in str(caught.value)


@pytest.mark.parametrize("place", ["subprocess:getoutput", f"{os.__file__}:system"])
def test_a_results_file_alone_runs_no_command(place, tmp_path, monkeypatch):
    train_nothing(monkeypatch)
    path = searched(tmp_path, params={"epochs": 1}, space={"learning_rate": [0.1]})
    data = json.loads(path.read_text())
    data["config"] |= {"model": place, "params": {"cmd": "touch pwned"}}
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=r"model: .* is of Python's own library, of which a config runs"):
        take_up(path)


def test_a_script_s_function_may_be_named_by_its_file(nets, tmp_path, monkeypatch):
    train_nothing(monkeypatch)
    script = types.ModuleType("__main__")
    exec(compile(NETS, nets.__file__, "exec"), vars(script))
    path = searched(tmp_path, model=script.fc, params={"epochs": 1}, space={"learning_rate": [0.1]})
    text = f"model={nets.__file__}:"
    take_up(path, overrides=[f"{text}fc"])
    with pytest.raises(ChangedError):
        take_up(path, overrides=[f"{text}other"])


PIXELS = [f"p{place}" for place in range(16)]


def write_rows(path, *first):
    rows = [[*("ab"[row % 2] if name == "label" else row for name in first), *range(16)] for row in range(40)]
    lines = [",".join(map(str, row)) for row in ([*first, *PIXELS], *rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("of_train", "of_test"), [([], ["id"]), (["id"], ["id"]), (["id"], [])])
def test_models_are_made_without_the_test_set_whichever_file_has_the_id(
    tmp_path, monkeypatch, of_train, of_test
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    train_nothing(monkeypatch)
    write_rows(tmp_path / "train.csv", *of_train, "label")
    write_rows(tmp_path / "test.csv", *of_test)
    path = searched(tmp_path, data={"train": "train.csv", "test": "test.csv", "id": "id"})
    (tmp_path / "test.csv").unlink()
    finished = FinishedRun(path)
    prepared = finished.prepare(finished.rows())
    assert prepared.data.images.shape == (40, 4, 4, 1)
    assert finished.data_config.id == "id"


def test_models_of_other_files_are_made_without_the_test_set_that_has_the_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    train_nothing(monkeypatch)
    names = ["id", *(f"p{place}" for place in range(64))]
    (tmp_path / "test.csv").write_text(",".join(names) + "\n")
    path = searched(tmp_path, data={"train": "digits", "scale": 16, "test": "test.csv", "id": "id"})
    (tmp_path / "test.csv").unlink()
    finished = FinishedRun(path)
    assert len(finished.prepare(finished.rows()).data) == 1797


def test_the_files_of_held_out_rows_and_of_folds_may_be_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    train_nothing(monkeypatch)
    write_rows(tmp_path / "train.csv", "id", "label")
    write_rows(tmp_path / "held.csv", "id", "label")
    (tmp_path / "folds.csv").write_text("id,fold\n" + "".join(f"{row},{row // 20}\n" for row in range(40)))
    one = {"train": "train.csv", "id": "id"}
    for key, file in (("validation", "held.csv"), ("fold", "folds.csv")):
        path = searched(tmp_path, name=key, data={**one, key: file}, search={})
        (tmp_path / file).rename(tmp_path / f"moved-{file}")
        with pytest.raises(ConfigError, match=f"data.{key}: is .* no such file"):
            take_up(path)
        take_up(path, overrides=[f"data.{key}=moved-{file}"])
