"""A model function as a scikit-learn regressor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from sklearn.base import RegressorMixin

from kerasgrid.data.labels import target_of_numbers
from kerasgrid.errors import DataError, Fault
from kerasgrid.estimators.base import KerasEstimator
from kerasgrid.records import Dataset

_SCALES = (None, "standardize", "log")


class KerasRegressor(RegressorMixin, KerasEstimator):
    """A model function with its parameters, trained and asked as any scikit-learn regressor.

    As `KerasClassifier` in all but what it predicts.

    Args:
        model: `build(input_shape, n_outputs, **params)` or `build(hp)`, compiling its model or not, which has
            an output for each number; a built-in model's name; `path/to/file.py:function` or
            `package.module:function`.
        seed: Of initial weights, dropout and data order, from 0 to 2**32 - 1.
        target_scale: What the net learns in the place of y, undone in predictions: standardize for y less its
            mean, by its std; log for the same of log(1 + y), y above -1; None for y itself. Of the rows that
            are trained on.
        **params: As in KerasClassifier.

    Attributes:
        model_: The trained keras.Model, which gives numbers as y has them.
        dead_: Why the model has learnt nothing; None where it is not known to have.
        first_values_: As in KerasClassifier.
        history_: A list over the epochs for each of `loss`, ..., and `val_*` if measured, of scaled numbers.
        n_features_in_: The length of X's second axis.
        feature_names_in_: X's column names, where it is a DataFrame.
    """

    _OWN = (*KerasEstimator._OWN, "target_scale")

    def __init__(
        self,
        model: Callable[..., Any] | str | None = None,
        *,
        seed: int = 0,
        target_scale: Literal["standardize", "log"] | None = None,
        **params: Any,
    ) -> None:
        super().__init__(model, seed=seed, **params)
        self.target_scale = target_scale

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, validation_data: Any = None
    ) -> KerasRegressor:
        """Builds a new model and trains it.

        Args:
            X: As in KerasClassifier.
            y: (sample,) or (sample, number), finite.
            sample_weight: (sample,), 0 or more, what each counts in the loss of training; None for the same.
            validation_data: (X, y) or (X, y, sample_weight), or a dataset of them, on which `val_*` is
                measured, for callbacks and `history_`; never trained on. None for none, or an inner split
                where a callback monitors it.

        Raises:
            ConfigError: Parameters that do not exist or are out of bounds, all together.
            ModelError: The model function fails, or its model does not fit the data.
            DataError: X or y is no array of samples or numbers, or y holds numbers of which there is no log.
            TrialError: The loss is NaN, or a callback monitors what is not measured.
            ValueError: scikit-learn's, where X and y are no samples and numbers.
        """
        return self._fit(X, y, sample_weight, validation_data)

    def _samples(self, X: Any, y: Any, sample_weight: Any) -> Dataset:
        X, y, of_X = self._read(X, y, y_numeric=True)
        numbers = np.asarray(y, np.float64).reshape(len(y), -1)
        if self.target_scale == "log" and numbers.min() <= -1:
            row = int(np.argmax((numbers <= -1).any(axis=1)))
            raise DataError(f"y, row {row}: is {numbers[row].min():g}; above -1 holds with target_scale log.")
        self._has_column = np.ndim(y) == 2
        return self._dataset(X, numbers, target_of_numbers(numbers), sample_weight, of_X)

    def faults(self, grid: Any = None, prefix: str = "param_grid") -> list[Fault]:
        """Returns what is wrong with the parameters; trains nothing. Arguments as in KerasClassifier."""
        searched = dict(grid or {})
        path = f"{prefix}.target_scale" if "target_scale" in searched else "target_scale"
        scales = searched.pop("target_scale", [self.target_scale])
        faults = [
            Fault(path, f"is {scale!r}; None, 'standardize' or 'log' holds.")
            for scale in scales
            if scale not in _SCALES
        ]
        return [*faults, *super().faults(searched, prefix)]

    def predict(self, X: Any) -> np.ndarray:
        """Returns the numbers of each sample in the form that `y` had, float64.

        Raises:
            DataError: X is no array of samples, or these have other axes than those of `fit`.
            TrialError: The model's outputs are NaN or infinite.
        """
        numbers = self._said(X)
        return numbers if self._has_column else numbers[:, 0]

    def _read_outputs(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.astype(np.float64).reshape(len(outputs), -1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @property
    def _target_scale(self) -> str | None:
        return self.target_scale
