"""scikit-learn's GridSearchCV over a model function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn import get_config, model_selection
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import ParameterGrid
from sklearn.utils._param_validation import Interval

from kerasgrid.data.in_memory import refuse_others
from kerasgrid.data.labels import is_one_hot, look_like_numbers, target_of_numbers
from kerasgrid.errors import ConfigError, Fault
from kerasgrid.estimators.base import KerasEstimator, function_of
from kerasgrid.estimators.classifier import KerasClassifier, read_labels
from kerasgrid.estimators.regressor import KerasRegressor
from kerasgrid.jobs.objective import find_objective, objective_fault, scores_numbers
from kerasgrid.records import Target
from kerasgrid.seeds import kept_random_state
from kerasgrid.training.entry import quiet
from kerasgrid.wording import is_hyper_model


class GridSearchCV(model_selection.GridSearchCV):
    """scikit-learn's GridSearchCV, whose first argument may be a model function.

    Examples:
        >>> grid = GridSearchCV("fc", {"dropout": [0.2, 0.4], "epochs": [15]}, cv=3)  # doctest: +SKIP
        >>> grid.fit(X, y).best_params_  # doctest: +SKIP

    All else is scikit-learn's: candidates and their order, splits, `cv_results_`, `best_*_`, errors. An
    estimator of scikit-learn takes its own path unchanged. A model function becomes a `KerasClassifier`, or
    a `KerasRegressor` where `fit` is given numbers to predict, whose parameters are those of the function
    and of training by their names in grid.yaml. Each fit depends on its rows, its params and the seed
    alone, whatever else is searched, and in however many processes: joblib's own, `loky`, which needs a
    model function that cloudpickle can pickle. With joblib's threads the fits take turns; its forked
    processes (`multiprocessing`) hang once TensorFlow has run.

    Args:
        estimator: A model function `build(input_shape, n_classes, **params)`, with `n_outputs` in the place
            of `n_classes` for numbers, or `build(hp)`; a built-in model's name, `path/to/file.py:function` or
            `package.module:function`; or an estimator.
        param_grid: Lists of values by parameter, or a list of such grids. A fixed parameter is a list
            of one value.
        scoring: A scorer's name, a callable, or several; None for the estimator's own score, accuracy,
            or r2 of numbers.
        n_jobs: Fits at a time; None for 1.
        refit: Whether to fit the best candidate to all rows at the end; a metric's name where there are
            several; or a callable that picks the index from `cv_results_`.
        cv: A number of folds (not shuffled; stratified for labels, plain KFold for one-hot rows), a
            splitter, or an iterable of (train, test); None for 5 folds.
        verbose: How much scikit-learn prints.
        pre_dispatch: How many fits are handed to joblib ahead.
        error_score: The score of a fit that fails, or "raise".
        return_train_score: Whether to score the training rows too.
        seed: Of a model function's initial weights, dropout and data order, from 0 to 2**32 - 1. An
            estimator brings its own.
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        **model_selection.GridSearchCV._parameter_constraints,
        "estimator": [*model_selection.GridSearchCV._parameter_constraints["estimator"], callable, str],
        "seed": [Interval(Integral, 0, (1 << 32) - 1, closed="both")],
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[[dict], int] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | str = float("nan"),
        return_train_score: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.seed = seed

    @property
    def estimator(self) -> Any:
        """The estimator that is searched: the one given, or one of the model function's.

        That is a `KerasClassifier`, or a `KerasRegressor` where `fit` was given numbers to predict.
        """
        if _is_model_function(self._given):
            kind = KerasRegressor if getattr(self, "_predicts_numbers", False) else KerasClassifier
            return kind(self._given, seed=self.seed)
        return self._given

    @estimator.setter
    def estimator(self, given: Any) -> None:
        self._given = given

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the parameters as they were given, by name."""
        if _is_model_function(self._given):
            return {**super().get_params(deep=False), "estimator": self._given}
        return super().get_params(deep)

    def fit(self, X: Any, y: Any = None, **params: Any) -> GridSearchCV:
        """Searches, and fits the best candidate to all rows unless `refit` is False.

        Args:
            X: (sample, ...): rows, images with four axes, or what the estimator takes.
            y: (sample,) labels or (sample, class) one-hot rows; or numbers to predict, (sample,) or (sample,
                number): floats that are no class numbers, and whole numbers where `scoring` is a regression's
                and the model function names `n_outputs`, or no `n_classes`.
            **params: `groups` for the splitter; `sample_weight`, (sample,), what each counts in training, and
                in scores as scikit-learn has it; for an estimator, what scikit-learn passes on.

        Raises:
            ConfigError: Parameters that the model function and training do not have, or out of bounds:
                all of them together, before anything is trained.
            ModelError: The model function cannot be found or read.
            DataError: For a model function, X or y is no array of samples or labels.
            ValueError: scikit-learn's, where all fits failed or arguments do not hold.
        """
        if _is_model_function(self._given) and y is not None:
            self._predicts_numbers = self._are_numbers(np.asarray(y))
        if isinstance(self.estimator, KerasEstimator):
            with kept_random_state(), quiet():  # a `build(hp)` is called for its parameters
                faults = [*_fit_faults(params), *self._grid_faults(), *self._scoring_faults(y)]
            if faults:
                raise ConfigError(faults, type(self).__name__)
            refuse_others(X, y)
        return super().fit(X, y, **params)

    def _are_numbers(self, y: np.ndarray) -> bool:
        """Tells whether numbers are to be predicted, and no classes."""
        if look_like_numbers(y):
            return True
        known = self._scorer_names()
        if y.dtype.kind not in "iuf" or not known:
            return False
        if not all(scores_numbers(find_objective(name)) for name in known):
            return False
        with kept_random_state(), quiet():
            return function_of(self._given)[1].shows_numbers

    def _scorer_names(self) -> list[str]:
        """Returns those of scikit-learn's scorers that are given by name."""
        scoring = self.scoring.values() if isinstance(self.scoring, Mapping) else self.scoring
        names = [scoring] if isinstance(scoring, str) else scoring if isinstance(scoring, Iterable) else []
        return [name for name in names if isinstance(name, str) and name in get_scorer_names()]

    def _scoring_faults(self, y: Any) -> list[Fault]:
        """Returns why scorers that are given by name cannot score these labels."""
        known = self._scorer_names()
        if isinstance(self.estimator, KerasRegressor):
            labels = np.asarray(y, np.float64).reshape(len(y), -1)
            target = target_of_numbers(labels)
        else:
            try:
                labels, classes = read_labels(np.asarray(y))
            except (ValueError, TypeError):  # `fit` says what is wrong with them
                return []
            target = Target("classes", tuple(classes.tolist()), is_one_hot(y, labels))
        told = (objective_fault(find_objective(name), labels, target, in_python=True) for name in known)
        return [Fault("scoring", fault) for fault in told if fault is not None]

    def _grid_faults(self) -> list[Fault]:
        grids = ParameterGrid(self.param_grid).param_grid
        several = not isinstance(self.param_grid, Mapping)
        prefixes = [f"param_grid[{place}]" if several else "param_grid" for place in range(len(grids))]
        found = [self.estimator.faults(grid, prefix) for grid, prefix in zip(grids, prefixes, strict=True)]
        return list(dict.fromkeys(fault for faults in found for fault in faults))


def _is_model_function(given: Any) -> bool:
    is_estimator = hasattr(given, "get_params") and not isinstance(given, type)
    return not is_estimator and (isinstance(given, str) or callable(given) or is_hyper_model(given))


def _fit_faults(params: Mapping[str, Any]) -> list[Fault]:
    if get_config()["enable_metadata_routing"]:
        return []
    holds = (
        "is not passed on to training: give its parameters in param_grid, a fixed one as a list of one value."
    )
    held_out = (
        "is not taken, since cv tells what is held out: add its rows to X and y, and give cv=PredefinedSplit."
    )
    return [
        Fault(f"fit.{name}", held_out if name == "validation_data" else holds)
        for name in params
        if name not in ("groups", "sample_weight")
    ]
