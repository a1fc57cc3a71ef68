"""Small files of each format, and a cache of each test's own."""

from __future__ import annotations

import gzip
import struct
from types import SimpleNamespace

import numpy as np
import pytest

_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache's folder, and tmp_path as the working folder, so that messages name bare files."""
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "data"


@pytest.fixture
def config():
    """Makes the data section of a config."""

    def make(train, **options):
        defaults = {"label": None, "id": None, "image": None, "subset": None, "multi_label": False}
        return SimpleNamespace(train=train, **(defaults | options))

    return make


def idx_bytes(array: np.ndarray) -> bytes:
    """An array as an IDX file holds it."""
    code = _CODES[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def write_idx(tmp_path):
    """Writes an array as an IDX file, gzipped where the name ends in .gz."""

    def write(name, array):
        content = idx_bytes(np.asarray(array))
        path = tmp_path / name
        path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
        return path

    return write


@pytest.fixture
def write_csv(tmp_path):
    """Writes text as train.csv."""

    def write(text, name="train.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def images():
    """Twenty images of 2 x 2 pixels."""
    return np.arange(80, dtype=np.uint8).reshape(20, 2, 2)


@pytest.fixture
def labels():
    """Twenty labels of two classes."""
    return np.arange(20, dtype=np.uint8) % 2
