"""A model function as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from kerasgrid.data.labels import is_one_hot
from kerasgrid.errors import DataError
from kerasgrid.estimators.base import KerasEstimator
from kerasgrid.records import Dataset, Target


class KerasClassifier(ClassifierMixin, KerasEstimator):
    """A model function with its parameters, trained and asked as any scikit-learn classifier.

    `fit` trains on all rows that it is given; only where a callback monitors `val_*` are 10% of them
    held back, stratified. Its numbers depend on the rows, the parameters and the seed alone. Threads
    take turns in it; to train in parallel, use joblib's processes.

    scikit-learn's `check_estimator` holds but for `check_no_attributes_set_in_init`, since parameters that
    each model function names for itself cannot be named by `__init__`; and for the check that a sample of
    weight 2 is the same as two samples, which are two places in the batches of a net.

    Args:
        model: `build(input_shape, n_classes, **params)` or `build(hp)`, compiling its model or not; one as
            Keras's wrapper, SciKeras, Talos or KerasTuner has it; a built-in model's name;
            `path/to/file.py:function` or `package.module:function`. None where it is given as `build_fn`.
        seed: Of initial weights, dropout and data order, from 0 to 2**32 - 1.
        **params: Parameters of the model function and of training, by their names in grid.yaml, such as
            `dropout`, `epochs` or `optimizer.momentum`, or by those that Keras's wrappers and SciKeras have
            for them (`optimizer__momentum`, `fit_kwargs`, `validation_split`, `callbacks`). They are this
            estimator's own parameters, so that they can be searched.

    Attributes:
        classes_: (class,), the labels as `y` has them, sorted; column numbers for one-hot rows.
        model_: The trained keras.Model.
        dead_: Why the model has learnt nothing; None where it is not known to have.
        first_values_: The greatest share of first values that training has left in a BatchNormalization's
            moving statistics, which the model has unless `training.batch_norm` is debiased; None for none.
        history_: A list over the epochs for each of `loss`, `accuracy`, ..., and `val_*` if measured.
        n_features_in_: The length of X's second axis.
        feature_names_in_: X's column names, where it is a DataFrame.
    """

    def __init__(
        self, model: Callable[..., Any] | str | None = None, *, seed: int = 0, **params: Any
    ) -> None:
        super().__init__(model, seed=seed, **params)

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, validation_data: Any = None
    ) -> KerasClassifier:
        """Builds a new model and trains it.

        Args:
            X: (sample, feature), (sample, height, width, channel) or any other axes that the model
                function takes; numbers, finite, unscaled as they are; a sparse matrix is made dense. Or a
                DataFrame: one that holds texts, dates or blanks is a table, whose columns become numbers
                as `kg.search` makes them. Or a list or dict of arrays, one for each input of the model. Or a
                finite tf.data.Dataset, PyDataset or DataLoader, which gives y too and is drawn once.
            y: (sample,) labels: whole numbers, texts or truth values; or (sample, class) one-hot rows.
            sample_weight: (sample,), 0 or more, what each counts in the loss of training; None for the same.
            validation_data: (X, y) or (X, y, sample_weight), or a dataset of them, on which `val_*` is
                measured, for callbacks and `history_`; never trained on. None for none, or an inner split
                where a callback monitors it.

        Raises:
            ConfigError: Parameters that do not exist or are out of bounds, all together.
            ModelError: The model function fails, or its model does not fit the data.
            DataError: X or y is no array of samples or labels, or `y` holds no classes.
            TrialError: The loss is NaN, or a callback monitors what is not measured.
            ValueError: scikit-learn's, where X and y are no samples and labels.
        """
        return self._fit(X, y, sample_weight, validation_data)

    def _samples(self, X: Any, y: Any, sample_weight: Any) -> Dataset:
        X, y, of_X = self._read(X, y)
        labels, classes = read_labels(y)
        self.classes_ = classes
        self._one_hot = y.dtype if is_one_hot(y, labels) else None
        return self._dataset(X, labels, Target("classes", tuple(classes.tolist())), sample_weight, of_X)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns the probability of each class: (sample, class), float32, in the order of `classes_`.

        Raises:
            DataError: X is no array of samples, or these have other axes than those of `fit`.
            TrialError: The model's outputs are NaN or infinite.
        """
        return self._said(X)

    def _read_outputs(self, outputs: np.ndarray) -> np.ndarray:
        return self._fitted.compiled.probabilities(outputs)

    def predict(self, X: Any) -> np.ndarray:
        """Returns the likeliest class of each sample in the form that `y` had: labels, or one-hot rows."""
        best = self.predict_proba(X).argmax(axis=1)
        if self._one_hot is not None:
            return np.eye(len(self.classes_), dtype=self._one_hot)[best]
        return self.classes_[best]


def read_labels(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns class indices, int64 (sample,), and the classes.

    Raises:
        DataError: `y` holds no classes, more than one a sample, or the same one throughout.
    """
    kind = type_of_target(y, input_name="y")
    if kind in {"binary", "multiclass"}:
        classes, labels = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(classes) < 2:
            raise DataError(f"y holds one class only, {classes[0]}: a classifier needs two or more.")
        return labels, classes
    if kind != "multilabel-indicator":
        raise DataError(
            f"Unknown label type: y is what scikit-learn calls {kind!r}; whole numbers, texts or truth "
            "values (sample,), or one-hot rows (sample, class) hold."
        )
    ones = np.asarray(y != 0).sum(axis=1)
    if (ones != 1).any():
        row = int(np.argmax(ones != 1))
        raise DataError(f"y, row {row}: {ones[row]} classes are set; one-hot rows set exactly one.")
    return np.argmax(y != 0, axis=1), np.arange(y.shape[1])
