"""What all tests share: a cache of their own, and the folder of real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A test of speed is a benchmark: beside other workers any example may wait.
settings.register_profile("kerasgrid", deadline=None)
settings.load_profile("kerasgrid")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keeps tests out of the user's cache; one folder a test session, so that digits are read once."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("KERASGRID_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that KERASGRID_TEST_DATA names, with kannada/ and mnist/ in IDX format."""
    folder = os.environ.get("KERASGRID_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("KERASGRID_TEST_DATA names no folder with real data")
    return Path(folder)
