import gc
import sys

import pytest

from kerasgrid.training.entry import _hidden, load


def test_a_hidden_package_looks_uninstalled_and_comes_back():
    sys.modules.pop("this", None)
    with _hidden("this"), pytest.raises(ImportError):
        import this  # noqa: F401
    assert "this" not in sys.modules


def test_what_is_imported_already_is_not_hidden():
    with _hidden("os"):
        import os

        assert os.path.sep


@pytest.mark.slow
def test_what_a_worker_imports_is_not_looked_through_for_garbage():
    gc.unfreeze()
    try:
        load()
        n_tracked, n_frozen = len(gc.get_objects()), gc.get_freeze_count()
    finally:
        gc.freeze()
    assert "keras" in sys.modules
    assert n_frozen > 100 * n_tracked
