"""Hyperparameter search for Keras: one YAML file, one command, and nothing lost.

    >>> import kerasgrid as kg
    >>> results = kg.search("grid.yaml")                       # doctest: +SKIP
    >>> results.frame()                                        # doctest: +SKIP

Importing it imports neither Keras nor a backend.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "GridSearchCV": "kerasgrid.grid_search",
    "KerasClassifier": "kerasgrid.estimator",
    "KerasgridError": "kerasgrid.errors",
    "Observer": "kerasgrid.observer",
    "Results": "kerasgrid.results",
    "compare": "kerasgrid.comparing",
    "fit": "kerasgrid.delivery.fitting",
    "predict": "kerasgrid.delivery.predicting",
    "search": "kerasgrid.driver",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kerasgrid' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
