"""What a search runs on: backend and versions, without importing Keras."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.metadata import version
from pathlib import Path


def backend() -> str:
    """Returns Keras's backend as it will choose it: $KERAS_BACKEND, else keras.json, else tensorflow."""
    return os.environ.get("KERAS_BACKEND") or _configured()


def versions() -> dict[str, str]:
    """Returns the versions of kerasgrid, Keras and its backend, by package."""
    packages = {"kerasgrid", "keras", *({backend()} & {"tensorflow", "jax", "torch"})}
    return {name: _version(name) for name in sorted(packages)}


_version = cache(version)  # reads a package's metadata, which stays what it is while the process runs


def _configured() -> str:
    path = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    try:
        return str(json.loads(path.read_text()).get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
