"""Hyperparameter search for Keras: one YAML file, one command, and nothing lost.

    >>> import kerasgrid as kg
    >>> results = kg.search("grid.yaml")                       # doctest: +SKIP
    >>> results.frame()                                        # doctest: +SKIP

Importing it imports neither Keras nor a backend.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what is imported when it is asked for, as checkers and editors have to see it
    from kerasgrid.delivery.fitting import fit as fit
    from kerasgrid.delivery.models import encode as encode
    from kerasgrid.delivery.predicting import predict as predict
    from kerasgrid.driver.comparing import compare as compare
    from kerasgrid.driver.results import Results as Results
    from kerasgrid.driver.search import search as search
    from kerasgrid.errors import KerasgridError as KerasgridError
    from kerasgrid.estimators.classifier import KerasClassifier as KerasClassifier
    from kerasgrid.estimators.regressor import KerasRegressor as KerasRegressor
    from kerasgrid.estimators.searches import GridSearchCV as GridSearchCV
    from kerasgrid.estimators.searches import HalvingGridSearchCV as HalvingGridSearchCV
    from kerasgrid.estimators.searches import HalvingRandomSearchCV as HalvingRandomSearchCV
    from kerasgrid.estimators.searches import RandomizedSearchCV as RandomizedSearchCV
    from kerasgrid.run.observer import Observer as Observer

_HOMES = {
    "GridSearchCV": "kerasgrid.estimators.searches",
    "HalvingGridSearchCV": "kerasgrid.estimators.searches",
    "HalvingRandomSearchCV": "kerasgrid.estimators.searches",
    "KerasClassifier": "kerasgrid.estimators.classifier",
    "KerasRegressor": "kerasgrid.estimators.regressor",
    "KerasgridError": "kerasgrid.errors",
    "Observer": "kerasgrid.run.observer",
    "RandomizedSearchCV": "kerasgrid.estimators.searches",
    "Results": "kerasgrid.driver.results",
    "compare": "kerasgrid.driver.comparing",
    "encode": "kerasgrid.delivery.models",
    "fit": "kerasgrid.delivery.fitting",
    "predict": "kerasgrid.delivery.predicting",
    "search": "kerasgrid.driver.search",
}
__all__ = sorted(_HOMES)


def __dir__() -> list[str]:
    return [*__all__, "__version__", *(name for name in globals() if name.startswith("__"))]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("kerasgrid.machine").versions()["kerasgrid"]
    if name not in _HOMES:
        raise AttributeError(f"module 'kerasgrid' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
