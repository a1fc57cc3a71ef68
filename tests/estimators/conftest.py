"""What tests of the estimators share."""

import pytest


@pytest.fixture(autouse=True)
def unimported(request, monkeypatch):
    """Lets quick tests not import TensorFlow, which a fit does first of all so that it is quiet."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr("kerasgrid.training.entry.find_spec", lambda name: None)
