"""The backend that Keras will choose is known, and judged, before anything is imported or begun."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from fakes import CONFIG

from kerasgrid import GridSearchCV, machine
from kerasgrid.driver.search import search
from kerasgrid.errors import ConfigError
from kerasgrid.executors import Inline
from kerasgrid.machine import backend, backend_fault, distribution, hidden, versions

NONE = "which is no backend on which Keras trains."
KNOWN = "Known: jax, tensorflow, torch."


@pytest.fixture
def installed(monkeypatch):
    """TensorFlow and JAX, and no torch, whatever is installed here."""
    monkeypatch.setattr(machine, "_is_there", lambda name: name != "torch")


@pytest.mark.parametrize(
    ("named", "configured", "told"),
    [
        (
            "torch",
            None,
            "KERAS_BACKEND: is 'torch', and the package torch is not installed. Install it with: pip install "
            "torch, or take one that is: KERAS_BACKEND=jax or KERAS_BACKEND=tensorflow.",
        ),
        ("tensorfow", None, f"KERAS_BACKEND: is 'tensorfow', {NONE} Did you mean 'tensorflow'? {KNOWN}"),
        ("numpy", None, f"KERAS_BACKEND: is 'numpy', {NONE} {KNOWN}"),
        ("", {"backend": "theano"}, f"{{home}}/keras.json, backend: is 'theano', {NONE} {KNOWN}"),
        (None, {"backend": None}, f"{{home}}/keras.json, backend: is 'None', {NONE} {KNOWN}"),
        (None, {"backend": "torch"}, "{home}/keras.json, backend: is 'torch', and the package torch is not"),
        ("jax", {"backend": "theano"}, None),
        (None, {"backend": "jax"}, None),
        (None, [], None),
        (None, None, None),
    ],
)
def test_a_backend_that_cannot_train_is_told_before_anything_begins(
    tmp_path, monkeypatch, installed, named, configured, told
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if named is None:
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
    else:
        monkeypatch.setenv("KERAS_BACKEND", named)
    if configured is not None:
        (tmp_path / "keras.json").write_text(json.dumps(configured))
    if told is None:
        assert backend_fault() is None
        assert backend() in {"jax", "tensorflow"}
        return
    monkeypatch.setattr(Inline, "start", lambda executor: pytest.fail("begun"))
    with pytest.raises(ConfigError) as caught:
        search(CONFIG | {"model": "fcc"}, results=tmp_path / "results")
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"config, {told.format(home=tmp_path)}") for line in lines)
    assert any(line.startswith("config, model: ") for line in lines)
    assert not (tmp_path / "results").exists()
    with pytest.raises(
        ConfigError, match=r"^GridSearchCV, .*, backend: is |^GridSearchCV, KERAS_BACKEND: is "
    ):
        GridSearchCV("fc", {"dropout": [0.1]}).fit(np.zeros((10, 3)), np.arange(10) % 2)


@pytest.mark.parametrize("is_left", [False, True])
def test_a_backend_that_is_missing_is_told_with_the_line_to_type(tmp_path, monkeypatch, is_left):
    for name in ("tensorflow", "jax", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        if is_left:  # of what was uninstalled
            (tmp_path / name / "__pycache__").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert (backend_fault().path, backend_fault().message) == (
        "Keras's backend",
        "is 'tensorflow', and the package tensorflow is not installed. Install it with: "
        'pip install "kerasgrid[tensorflow]".',
    )
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert backend_fault().message.endswith(
        ' is not installed. Install it with: pip install "kerasgrid[jax]".'
    )


def test_a_backend_may_have_come_under_another_name(tmp_path, monkeypatch):
    for name, package, made in (("tensorflow_cpu", "tensorflow", "2.18.0"), ("other", "other", "1")):
        folder = tmp_path / f"{name}-{made}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: {made}\n")
        (folder / "top_level.txt").write_text(f"{package}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    distribution.cache_clear()
    try:
        assert distribution("tensorflow") == ("tensorflow-cpu", "2.18.0")
        assert versions() == {"kerasgrid": "unknown", "keras": "unknown", "tensorflow": "2.18.0"}
    finally:
        distribution.cache_clear()


def test_a_hidden_package_looks_uninstalled_and_comes_back():
    sys.modules.pop("this", None)
    with hidden("this"), pytest.raises(ImportError):
        import this  # noqa: F401
    assert "this" not in sys.modules


def test_what_is_imported_already_is_nothidden():
    with hidden("os"):
        import os

        assert os.path.sep
