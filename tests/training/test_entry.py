import sys

import pytest

from kerasgrid.training.entry import _hidden


def test_a_hidden_package_looks_uninstalled_and_comes_back():
    sys.modules.pop("this", None)
    with _hidden("this"), pytest.raises(ImportError):
        import this  # noqa: F401
    assert "this" not in sys.modules


def test_what_is_imported_already_is_not_hidden():
    with _hidden("os"):
        import os

        assert os.path.sep
