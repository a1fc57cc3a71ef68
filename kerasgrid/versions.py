"""What a search runs on: backend and versions, without importing Keras."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from kerasgrid.errors import Fault, did_you_mean

_TRAINING = ("jax", "tensorflow", "torch")
"""Keras's backends that can train, each in a package of its name."""


def backend() -> str:
    """Returns Keras's backend as it will choose it: $KERAS_BACKEND, else keras.json, else tensorflow."""
    return os.environ.get("KERAS_BACKEND") or _configured()


def backend_fault() -> Fault | None:
    """Returns what is wrong with the backend, and where it is chosen; None for nothing."""
    name = backend()
    place = "KERAS_BACKEND" if os.environ.get("KERAS_BACKEND") else f"{_config_path()}, backend"
    if name not in _TRAINING:
        return Fault(
            place, f"is {name!r}, which is no backend on which Keras trains.{did_you_mean(name, _TRAINING)}"
        )
    if find_spec(name) is None:
        there = " or ".join(f"export KERAS_BACKEND={one}" for one in _TRAINING if find_spec(one))
        other = f", or take one that is: {there}" if there else ""
        return Fault(place, f"is {name!r}, and the package {name} is not installed. Install it{other}.")
    return None


def versions() -> dict[str, str]:
    """Returns the versions of kerasgrid, Keras and its backend, by package."""
    packages = {"kerasgrid", "keras", *({backend()} & {*_TRAINING})}
    return {name: _version(name) for name in sorted(packages)}


@cache
def _version(name: str) -> str:
    """Returns a package's version, which stays what it is while the process runs."""
    try:
        return version(name)
    except PackageNotFoundError:  # it came under another name, as tensorflow-cpu
        return "unknown"


def _config_path() -> Path:
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")
    return Path(os.environ.get("KERAS_HOME", home / ".keras")).expanduser() / "keras.json"


def _configured() -> str:
    try:
        return str(json.loads(_config_path().read_text()).get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
