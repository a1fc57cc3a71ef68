"""A plugin of pytest that lets scikit-learn's own tests of its searches be of kerasgrid's.

PYTHONPATH=tests/estimators pytest -p in_their_place --pyargs sklearn.model_selection.tests.test_search
"""

import sklearn.experimental.enable_halving_search_cv
import sklearn.model_selection

import kerasgrid

for _name in ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"):
    setattr(sklearn.model_selection, _name, getattr(kerasgrid, _name))
