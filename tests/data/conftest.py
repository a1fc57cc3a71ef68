"""Small files of each format, and a cache of each test's own."""

from __future__ import annotations

import numpy as np
import pytest
from written import data_section, idx_file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache's folder, and tmp_path as the working folder, so that messages name bare files."""
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "data"


@pytest.fixture
def config():
    """Makes the data section of a config."""
    return data_section


@pytest.fixture
def write_idx(tmp_path):
    """Writes an array as an IDX file, gzipped where the name ends in .gz."""

    return lambda name, array: idx_file(tmp_path / name, array)


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
