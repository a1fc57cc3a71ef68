"""scikit-learn's searches over a model function: of a grid, of what is drawn at random, and by halving."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn import get_config, model_selection
from sklearn.base import clone, is_classifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import indexable as check_indexable
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import _check_method_params, column_or_1d

from kerasgrid.console import Console, warn
from kerasgrid.data.array_likes import indexable, refuse_others, sparse_note
from kerasgrid.data.drawn import with_labels
from kerasgrid.data.inputs import Rows, in_rows
from kerasgrid.data.labels import is_one_hot, like_labels, look_like_numbers, target_of_numbers
from kerasgrid.driver.search import OnlyWarnings
from kerasgrid.errors import ConfigError, Fault
from kerasgrid.estimators.ahead import FitsAhead
from kerasgrid.estimators.alone import function_of
from kerasgrid.estimators.base import KerasEstimator
from kerasgrid.estimators.classifier import KerasClassifier, read_labels
from kerasgrid.estimators.regressor import KerasRegressor
from kerasgrid.estimators.wrappers import VAL, wrapped
from kerasgrid.jobs.objective import find_objective, objective_fault, scores_numbers
from kerasgrid.jobs.route import DEFAULTS
from kerasgrid.records import Target
from kerasgrid.run.observer import Observer
from kerasgrid.seeds import kept_random_state
from kerasgrid.training.entry import quiet
from kerasgrid.views.progress import PlainProgress, in_notebook
from kerasgrid.wording import is_hyper_model

_OWN_CONSTRAINTS = {
    "estimator": [HasMethods(["fit"]), callable, str],
    "seed": [Interval(Integral, 0, (1 << 32) - 1, closed="both")],
    "name": [str, None],
}
_OF_FIT = {"_own", "_ahead", "_split"}
"""What is there while a search is fitted, and no longer."""
_OF_GRID = re.compile(r"^(space(\[\d+\])?|params)\.")
"""Where a run has what is searched."""
_CLASSIFIERS = "accuracy"
_REGRESSORS = "neg_root_mean_squared_error"
"""What a run's own table scores by, whatever scikit-learn does."""


class _ModelSearch(BaseSearchCV):
    """What a search of scikit-learn's does otherwise where it is over a model function.

    Its fits are trained ahead of when scikit-learn asks for them (`kerasgrid.estimators.ahead`); all else is
    scikit-learn's own.
    """

    _ahead: FitsAhead | None = None
    _own: KerasEstimator | None = None
    _split: Callable[[Any], list[Any]]

    @property
    def estimator(self) -> Any:
        """The estimator that is searched: the one given, or one of the model function's.

        That is a `KerasClassifier`, or a `KerasRegressor` where `fit` was given numbers to predict.
        """
        if self._own is not None:  # while it is fitted
            return self._own
        if isinstance(found := wrapped(self._given), tuple):
            numbers, model, params = found
            seed = params.pop("random_state", self.seed)
            return (KerasRegressor if numbers else KerasClassifier)(model, seed=seed, **params)
        if not _is_model_function(self._given):
            return self._given
        kind = KerasRegressor if getattr(self, "_predicts_numbers", False) else KerasClassifier
        resource = getattr(self, "resource", "n_samples")  # which an estimator has to have as a parameter
        return kind(
            self._given,
            seed=self.seed,
            **({} if resource == "n_samples" else {resource: DEFAULTS.get(resource)}),
        )

    @estimator.setter
    def estimator(self, given: Any) -> None:
        self._given = given

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the parameters as they were given, by name."""
        if _is_model_function(self._given) or isinstance(wrapped(self._given), tuple):
            return {**super().get_params(deep=False), "estimator": self._given}
        return super().get_params(deep)

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Searches, and fits the best candidate to all rows unless `refit` is False.

        Args:
            X: (sample, ...): rows, images with four axes, or what the estimator takes; a list or dict of
                such, one for each input of the model; a finite tf.data.Dataset, PyDataset or DataLoader gives
                y too, and is drawn once.
            y: (sample,) labels or (sample, class) one-hot rows; or numbers to predict, (sample,) or (sample,
                number): floats that are no class numbers, and whole numbers where `scoring` is a regression's
                and the model function names no `n_classes`, or `n_outputs` too and they are no few labels.
            **params: `groups` for the splitter; `sample_weight`, (sample,), what each counts in training, and
                in scores as scikit-learn has it; `validation_data`, as an estimator's `fit` has it, the same
                in each fit; arguments of Keras's fit, such as `epochs`, as its wrappers take them; for an
                estimator of scikit-learn's, what that passes on.

        Raises:
            ConfigError: Parameters that the model function and training do not have, or out of bounds:
                all of them together, before anything is trained.
            ModelError: The model function cannot be found or read.
            DataError: For a model function, X or y is no array of samples or labels.
            ValueError: scikit-learn's, where all fits failed or arguments do not hold.
        """
        X, y, weights = with_labels(X, y, params.get("sample_weight"))
        params = params if weights is None else {**params, "sample_weight": weights}
        if type(self.estimator) not in (KerasClassifier, KerasRegressor):
            if isinstance(reason := wrapped(self._given), str):
                warn(
                    f"{type(self).__name__}: fits are trained one by one, by the wrapper's own fit: {reason}."
                )
            return super().fit(X, y, **params)
        X = in_rows(X, y)
        refuse_others(X, y)
        if _is_model_function(self._given) and y is not None:
            self._predicts_numbers = self._are_numbers(np.asarray(y))
        if isinstance(self.estimator, KerasClassifier) and np.ndim(y) == 2 and np.shape(y)[1] == 1:
            y = column_or_1d(y, warn=True)  # which each fit would warn of else
        asked: dict[str, Any] = {}
        if not get_config()["enable_metadata_routing"]:  # as Keras's wrapper takes them
            own = {"groups", "sample_weight", "validation_data"}
            asked = {name: params.pop(name) for name in params.keys() - own}
        with kept_random_state():
            with quiet():  # a `build(hp)` is called for its parameters
                faults = [*self._grid_faults(asked), *self._scoring_faults(y)]
            if faults:
                raise ConfigError(faults, type(self).__name__)
            for line in sparse_note(X):
                warn(line)
            X, y = check_indexable(X if isinstance(X, Rows) else indexable(X), indexable(y))
            return self._fit_ahead(X, y, params, asked)

    def _fit_ahead(self, X: Any, y: Any, params: dict[str, Any], asked: Mapping[str, Any]) -> Self:
        """Searches as scikit-learn does, in a copy of itself whose fits are trained ahead.

        Args:
            X: As `fit` has it, and so is y.
            y: Likewise.
            params: What `fit` passes on to scikit-learn.
            asked: Arguments of Keras's fit.
        """
        inner = copy(self)
        inner._own = own = clone(self.estimator)
        if asked:
            own.set_params(fit_kwargs={**(own.params.get("fit_kwargs") or {}), **asked})
        inner._given = self._given
        if isinstance(X, Rows):
            inner.scoring = _of_inputs(self.scoring)
        objective = _REGRESSORS if isinstance(own, KerasRegressor) else _CLASSIFIERS
        told = inner._get_routed_params_for_fit(_check_method_params(X, params))
        inner._ahead = own._ahead = FitsAhead(
            own,
            X,
            y,
            told.estimator.fit.get("sample_weight"),
            told.estimator.fit.get("validation_data"),
            objective=objective,
            n_workers=effective_n_jobs(self.n_jobs),
            keeps_weights=not self._scores_predictions(),
            keeps_trained=bool(self.return_train_score),
            name=self.name,
            observer=_observer(self.verbose, objective),
        )
        inner._split = partial(_split_of, X, y, told.splitter.split)
        inner.cv = check_cv(self.cv, y, classifier=is_classifier(own))
        inner.n_jobs, inner.verbose = 1, 0
        with inner._ahead:
            super(_ModelSearch, inner).fit(X, y, **params)
            if hasattr(inner, "best_estimator_"):
                inner.best_estimator_.stand_alone()
        own._ahead = None  # a scorer may keep what was searched
        found = {name: value for name, value in vars(inner).items() if name not in vars(self)}
        for name in found.keys() - _OF_FIT:
            setattr(self, name, found[name])
        return self

    def _run_search(self, evaluate_candidates: Callable[..., dict], *, callback_ctx: Any = None) -> None:
        """Trains what is proposed before scikit-learn evaluates it."""
        ahead = self._ahead
        context = {} if callback_ctx is None else {"callback_ctx": callback_ctx}  # scikit-learn 1.9's
        if ahead is None:
            super()._run_search(evaluate_candidates, **context)
            return
        by_epochs = getattr(self, "resource", None) == "epochs"
        times = np.empty((0, 0))

        def evaluate(candidates: Any, cv: Any = None, more_results: Any = None, **context: Any) -> dict:
            nonlocal times
            candidates, splits = list(candidates), self._split(cv or self.cv)
            told = candidates, _Splits(splits)
            if not candidates or not splits:  # of which scikit-learn says what is wrong
                return evaluate_candidates(*told, more_results, **context)
            if (reason := ahead.reason_not(candidates, splits)) is not None:
                lost = "" if self.name is None else f" Nothing is kept as {self.name!r}."
                warn(
                    f"{type(self).__name__}: fits are trained one by one, by Keras's own fit: {reason}.{lost}"
                )
                ahead.is_used = False
                ahead.check_some_build(candidates)
                return evaluate_candidates(*told, more_results, **context)
            try:
                ahead.train(candidates, splits, self.max_resources_ if by_epochs else None)
            except ConfigError as error:
                raise self._as_called(error) from None
            results = evaluate_candidates(*told, more_results, **context)
            times = ahead.fit_times if not len(times) else np.concatenate([times, ahead.fit_times])
            results["mean_fit_time"], results["std_fit_time"] = times.mean(axis=1), times.std(axis=1)
            return results

        super()._run_search(evaluate, **context)

    def _as_called(self, error: ConfigError) -> ConfigError:
        """Returns faults of a run, which is as a grid.yaml, by what the caller of `fit` has given."""
        grid = "param_distributions" if self._is_drawn else "param_grid"
        paths = {"model": "estimator", "search.val": VAL}
        faults = [
            replace(
                fault,
                path=paths.get(fault.path, _OF_GRID.sub(f"{grid}.", fault.path)),
                message=fault.message.replace("search.val", VAL),
            )
            for fault in error.faults
        ]
        return type(error)(faults, type(self).__name__)

    def _scores_predictions(self) -> bool:
        """Tells whether all scores are of what is said of held-out samples, and of nothing else of a fit."""
        scorers = self._get_scorers()
        found = scorers[0] if isinstance(scorers, tuple) else scorers
        named = getattr(found, "_scorers", None)
        return all(
            type(scorer).__module__ == "sklearn.metrics._scorer"
            for scorer in (named.values() if named is not None else [found])
        )

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
            signature = function_of(self._given)[1]
        note = like_labels(y)
        is_shown = signature.shows_numbers(are_like_labels=note is not None)
        if note is not None and not is_shown and signature.shows_numbers(are_like_labels=False):
            warn(f"{type(self).__name__}: {note}")
        return is_shown

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

    def _grid_faults(self, asked: Mapping[str, Any]) -> list[Fault]:
        """Returns what is wrong with the values that are searched, and with arguments of Keras's fit."""
        fixed = {f"fit__{name}": [value] for name, value in asked.items()}
        found = [self.estimator.faults({**fixed, **grid}, prefix) for grid, prefix in self._grids()]
        return list(dict.fromkeys(fault for faults in found for fault in faults))

    def _grids(self) -> list[tuple[Mapping[str, Iterable[Any]], str]]:
        """Returns each grid of values, and what messages call it."""
        searched, several = self._searched, not isinstance(self._searched, Mapping)
        name, check = "param_grid", ParameterGrid
        if self._is_drawn:
            name, check = "param_distributions", partial(ParameterSampler, n_iter=1)
        check(searched)  # which raises where it is none
        return [
            (
                {key: _some_of(values) for key, values in grid.items()},
                f"{name}[{place}]" if several else name,
            )
            for place, grid in enumerate(searched if several else [searched])
        ]

    @property
    def _is_drawn(self) -> bool:
        """Whether candidates are drawn at random."""
        return hasattr(self, "param_distributions")

    @property
    def _searched(self) -> Any:
        """The grid or grids of what is searched."""
        return self.param_distributions if self._is_drawn else self.param_grid


class _Splits:
    """Splits that were made once, as a splitter."""

    def __init__(self, splits: Sequence[Any]) -> None:
        self._splits = splits

    def split(self, *_: Any, **__: Any) -> Iterator[Any]:
        return iter(self._splits)

    def get_n_splits(self, *_: Any, **__: Any) -> int:
        return len(self._splits)


@dataclass(frozen=True)
class _OfInputs:
    """A scorer of the user's own, which is given samples of several inputs as `fit` was."""

    scorer: Callable[..., Any]

    def __call__(self, estimator: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        return self.scorer(estimator, X.apart if isinstance(X, Rows) else X, *args, **kwargs)


def _of_inputs(scoring: Any) -> Any:
    """Returns scorers of which the user's own are given samples of several inputs as `fit` was."""
    if isinstance(scoring, Mapping):
        return {name: _of_inputs(scorer) for name, scorer in scoring.items()}
    is_own = callable(scoring) and not type(scoring).__module__.startswith("sklearn.")
    return _OfInputs(scoring) if is_own else scoring


def _some_of(values: Any) -> Any:
    """Returns values to check: those of a list, or one that a distribution gives."""
    return [values.rvs(random_state=0)] if hasattr(values, "rvs") else values


def _observer(verbose: int, objective: str) -> Observer:
    """Returns who is told how far fits are."""
    return (in_notebook() or PlainProgress(objective, Console())) if verbose else OnlyWarnings()


def _split_of(X: Any, y: Any, params: Mapping[str, Any], cv: Any) -> list[Any]:
    return list(cv.split(X, y, **params))


class GridSearchCV(_ModelSearch, model_selection.GridSearchCV):
    """scikit-learn's GridSearchCV, whose first argument may be a model function.

    Examples:
        >>> grid = GridSearchCV("fc", {"dropout": [0.2, 0.4], "epochs": [15]}, cv=3)  # doctest: +SKIP
        >>> grid.fit(X, y).best_params_  # doctest: +SKIP

    Candidates and their order, splits, scores, `cv_results_`, `best_*_` and errors are scikit-learn's. An
    estimator of scikit-learn takes its own path unchanged. A model function becomes a `KerasClassifier`, or
    a `KerasRegressor` where `fit` is given numbers to predict, whose parameters are those of the function
    and of training by their names in grid.yaml. Its fits, and those of such an estimator, are trained as
    `kg.search` trains them: planned, packed, side by side. Each depends on its rows, its params and the seed
    alone, whatever else is searched, and in however many processes; its times are those of its training.
    What cannot be trained so is trained one by one, and a warning says why.

    Args:
        estimator: A model function `build(input_shape, n_classes, **params)`, with `n_outputs` in the place
            of `n_classes` for numbers, or `build(hp)`; a HyperModel; a function in the form of Keras's
            wrappers, SciKeras or Talos, or such a wrapper; a built-in model's name, `file.py:function` or
            `package.module:function`; or an estimator.
        param_grid: Lists of values by parameter, or a list of such grids. A fixed parameter is a list
            of one value.
        scoring: A scorer's name, a callable, or several; None for the estimator's own score, accuracy,
            or r2 of numbers. A callable of your own, `scorer(estimator, X, y)`, is given a fitted estimator.
        n_jobs: Worker processes; None for 1, which is this process itself; -1 for one a core.
        refit: Whether to fit the best candidate to all rows at the end; a metric's name where there are
            several; or a callable that picks the index from `cv_results_`.
        cv: A number of folds (not shuffled; stratified for labels, plain KFold for one-hot rows), a
            splitter, or an iterable of (train, test); None for 5 folds.
        verbose: 0 for nothing; 1 and more for how far the fits are, now and then.
        pre_dispatch: How many fits of an estimator of scikit-learn's are handed to joblib ahead.
        error_score: The score of a fit that fails, or "raise".
        return_train_score: Whether to score the training rows too.
        seed: Of a model function's initial weights, dropout and data order, from 0 to 2**32 - 1. An
            estimator brings its own.
        name: Of the run, kept in results/NAME.json and results/NAME/, so that the same call goes on after a
            kill; None to keep nothing.
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        **model_selection.GridSearchCV._parameter_constraints,
        **_OWN_CONSTRAINTS,
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
        name: str | None = None,
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
        self.seed, self.name = seed, name


class RandomizedSearchCV(_ModelSearch, model_selection.RandomizedSearchCV):
    """scikit-learn's RandomizedSearchCV, whose first argument may be a model function, as in `GridSearchCV`.

    Args:
        estimator: As in `GridSearchCV`.
        param_distributions: Lists of values or distributions of scipy.stats by parameter, or a list of such.
        n_iter: Candidates that are drawn.
        random_state: What they are drawn by.
        scoring: As in `GridSearchCV`, and so are the others.
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        **model_selection.RandomizedSearchCV._parameter_constraints,
        **_OWN_CONSTRAINTS,
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[[dict], int] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: float | str = float("nan"),
        return_train_score: bool = False,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.seed, self.name = seed, name


class HalvingGridSearchCV(_ModelSearch, model_selection.HalvingGridSearchCV):
    """scikit-learn's HalvingGridSearchCV, whose first argument may be a model function, as in `GridSearchCV`.

    It decides by held-out scores, as scikit-learn's does; the search engine `halving` decides by an inner
    split (Jamieson and Talwalkar 2016). With the resource `epochs` fits go on from where they stand, where
    nothing in their training depends on how many there are in all and scores are scikit-learn's own; with
    `n_samples` they are trained anew.

    Args:
        estimator: As in `GridSearchCV`.
        param_grid: Likewise.
        factor: Of candidates from round to round, and of the resource.
        resource: `n_samples`, or a whole number that is a parameter, such as `epochs`.
        max_resources: Of the resource that a candidate has at most; a number where it is no `n_samples`.
        min_resources: Of it in the first round; `smallest` and `exhaust` as scikit-learn has them.
        aggressive_elimination: Whether the first round is played again where there are too many candidates.
        random_state: Of the samples that are drawn.
        cv: As in `GridSearchCV`, and so are the others.
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        **model_selection.HalvingGridSearchCV._parameter_constraints,
        **_OWN_CONSTRAINTS,
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: int | str = "auto",
        min_resources: int | str = "exhaust",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: bool | Callable[[dict], int] = True,
        error_score: float | str = float("nan"),
        return_train_score: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            factor=factor,
            resource=resource,
            max_resources=max_resources,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            cv=cv,
            scoring=scoring,
            refit=refit,
            error_score=error_score,
            return_train_score=return_train_score,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.seed, self.name = seed, name


class HalvingRandomSearchCV(_ModelSearch, model_selection.HalvingRandomSearchCV):
    """scikit-learn's HalvingRandomSearchCV, whose first argument may be a model function.

    Args:
        estimator: As in `GridSearchCV`.
        param_distributions: As in `RandomizedSearchCV`.
        n_candidates: That are drawn; `exhaust` for as many as the last round can have all of the resource.
        factor: As in `HalvingGridSearchCV`, and so are the others.
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        **model_selection.HalvingRandomSearchCV._parameter_constraints,
        **_OWN_CONSTRAINTS,
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_candidates: int | str = "exhaust",
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: int | str = "auto",
        min_resources: int | str = "smallest",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: bool | Callable[[dict], int] = True,
        error_score: float | str = float("nan"),
        return_train_score: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_candidates=n_candidates,
            factor=factor,
            resource=resource,
            max_resources=max_resources,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            cv=cv,
            scoring=scoring,
            refit=refit,
            error_score=error_score,
            return_train_score=return_train_score,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.seed, self.name = seed, name


def _is_model_function(given: Any) -> bool:
    is_estimator = hasattr(given, "get_params") and not isinstance(given, type)
    return not is_estimator and (isinstance(given, str) or callable(given) or is_hyper_model(given))
