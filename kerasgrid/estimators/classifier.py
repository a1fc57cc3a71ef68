"""A model function as a scikit-learn classifier.

Importing this imports no Keras; fitting does.
"""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from kerasgrid.checks.candidates import fault_of_class_weight, faults_of_callbacks
from kerasgrid.checks.parameters import faults_of_params
from kerasgrid.config.augment import faults_of_augment
from kerasgrid.console import warn
from kerasgrid.data.in_memory import refuse_others
from kerasgrid.data.labels import is_one_hot
from kerasgrid.data.statistics import Span, pixel_top
from kerasgrid.errors import ConfigError, DataError, Fault, ModelError, TrialError
from kerasgrid.io import strict
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.machine import backend_fault
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import parse_reference
from kerasgrid.models.signature import Signature, signature_of
from kerasgrid.records import Dataset, Fold, Job, Target, Trial
from kerasgrid.seeds import augment_key, data_order, kept_random_state, model_seed
from kerasgrid.training.entry import quiet
from kerasgrid.wording import instead_of, is_built, is_hyper_model

_TRAINING = threading.RLock()  # Keras's and NumPy's random state belong to the process, not to a thread


class KerasClassifier(ClassifierMixin, BaseEstimator):
    """A model function with its parameters, trained and asked as any scikit-learn classifier.

    `fit` trains on all rows that it is given; only where a callback monitors `val_*` are 10% of them
    held back, stratified. Its numbers depend on the rows, the parameters and the seed alone. Threads
    take turns in it; to train in parallel, use joblib's processes.

    scikit-learn's `check_estimator` holds but for `check_no_attributes_set_in_init`: parameters that each
    model function names for itself cannot be named by `__init__`.

    Args:
        model: `build(input_shape, n_classes, **params)` or `build(hp)`, compiling its model or not; a
            built-in model's name; `path/to/file.py:function` or `package.module:function`.
        seed: Of initial weights, dropout and data order, from 0 to 2**32 - 1.
        **params: Parameters of the model function and of training, by their names in grid.yaml, such as
            `dropout`, `epochs` or `optimizer.momentum`. They are this estimator's own parameters, so that
            they can be searched.

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

    def __init__(self, model: Callable[..., Any] | str, *, seed: int = 0, **params: Any) -> None:
        self.model = model
        self.seed = seed
        self.params = params

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns `model`, `seed` and the other parameters, by name."""
        return {"model": self.model, "seed": self.seed, **self.params}

    def set_params(self, **params: Any) -> KerasClassifier:
        """Sets parameters by name, new ones too; `fit` tells which the model function does not have."""
        self.model = params.pop("model", self.model)
        self.seed = params.pop("seed", self.seed)
        self.params = {**self.params, **params}
        return self

    def faults(
        self, grid: Mapping[str, Iterable[Any]] | None = None, prefix: str = "param_grid"
    ) -> list[Fault]:
        """Returns what is wrong with the parameters; trains nothing.

        Args:
            grid: Values to search by name, in the place of this estimator's own.
            prefix: What messages call the grid.

        Raises:
            ModelError: The model function cannot be found or read.
        """
        if (fault := backend_fault()) is not None:  # nothing of Keras can be imported
            return [fault]
        searched = {name: [_python(value) for value in values] for name, values in (grid or {}).items()}
        path = f"{prefix}.seed" if "seed" in searched else "seed"
        faults = [
            Fault(path, f"is {seed!r}; a whole number from 0 to 2**32 - 1 holds.")
            for seed in searched.pop("seed", [_python(self.seed)])
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 32
        ]
        for model in searched.pop("model", [self.model]):
            faults += faults_of_params(self._python_params(), searched, _function_of(model)[1], prefix)
        return list(dict.fromkeys(faults))

    def fit(self, X: Any, y: Any) -> KerasClassifier:
        """Builds a new model and trains it.

        Args:
            X: (sample, feature), (sample, height, width, channel) or any other axes that the model
                function takes; numbers, finite, unscaled as they are.
            y: (sample,) labels: whole numbers, texts or truth values; or (sample, class) one-hot rows.

        Raises:
            ConfigError: Parameters that do not exist or are out of bounds, all together.
            ModelError: The model function fails, or its model does not fit the data.
            DataError: X or y is no array of samples or labels, or `y` holds no classes.
            TrialError: The loss is NaN, or a callback monitors what is not measured.
            ValueError: scikit-learn's, where X and y are no samples and labels.
        """
        with _TRAINING, kept_random_state(), quiet():
            faults = self.faults()
            if faults:
                raise ConfigError(faults, type(self).__name__)
            refuse_others(X, y)
            X, y = validate_data(self, X, y, allow_nd=True, multi_output=True)
            labels, classes = read_labels(y)
            gc.collect()  # a model lies in reference cycles: the one of the fit before goes before this comes
            self._compiled, self._inputs, self.history_, self.dead_ = self._train(X, labels, classes)
        self.classes_ = classes
        self._input_shape, self._span = X.shape[1:], Span.of(X)
        self._one_hot = y.dtype if is_one_hot(y, labels) else None
        return self

    def _train(
        self, X: np.ndarray, labels: np.ndarray, names: np.ndarray
    ) -> tuple[Any, tuple[Any, Any], dict[str, list], str | None]:
        """Returns the trained `Compiled`, how inputs are scaled and prepared, its history, why it is dead."""
        import keras

        from kerasgrid.models.endings import scales_input
        from kerasgrid.training.batches import Batches, Scaling
        from kerasgrid.training.candidate import Candidate, seeded
        from kerasgrid.training.health import find_reason, restored_epoch
        from kerasgrid.training.loop import check_logs
        from kerasgrid.training.moving import Counted
        from kerasgrid.training.saving import Frame, compile_as

        params, seed, classes = self._python_params(), int(self.seed), names.tolist()
        job = Job(Trial(0, _json_params(params)), fold=0)
        samples = Dataset(X, labels, Target("classes", tuple(classes)), "", "X")
        candidate = Candidate.of(_recipe_of(self.model, seed, samples.target), params, samples)
        route = candidate.route
        told = faults_of_callbacks(route.callbacks, Path(), route.epochs)
        faults = [Fault(f"callbacks.{name}", text) for name, text in told]
        if route.augment is not None:
            faults += faults_of_augment(route.augment, X, None, False)
        unknown = fault_of_class_weight(route.training.class_weight, classes)
        faults += [Fault("training.class_weight", unknown)] if unknown else []
        if faults:
            raise ConfigError(faults, type(self).__name__)
        with seeded(model_seed(seed, job)):
            compiled = candidate.compile()
            model, none = compiled.model, np.arange(0)
            rows, val = candidate.rows(Fold(0, np.arange(len(X)), none))
            if not compiled.is_pretrained and not (route.augment is not None and route.augment.may_scale):
                _warn_of_pixels(X, scales_input(model, X.shape[1:]))
            learnt = candidate.learnt(Fold(0, rows, none))
            center = learnt.center
            data = candidate.samples(compiled, (rows, val, none), learnt)
            batches = Batches(data.images, data.targets, rows, route.batch_size, data.scaling)
            validation, prepare = None if val is None else data.batches(val), data.preparation

            def shuffle(epoch: int, logs: Mapping[str, float] | None = None) -> None:
                batches.rows = rows[data_order(seed, job, epoch, len(rows))]
                key = augment_key(seed, job, epoch)
                batches.prepare = None if prepare is None else prepare.of_epoch(key)

            def watch(epoch: int, logs: Mapping[str, float]) -> None:
                counted.note(updates)
                check_logs("fit", epoch, logs, None, callbacks)

            def settle(epoch: int, logs: Mapping[str, float] | None = None) -> None:
                counted.settle(updates)

            def measure(logs: Mapping[str, float] | None = None) -> None:
                if candidate.is_debiased:
                    measured.enter_context(counted.debiased())

            callbacks, measured = candidate.callbacks(compiled, rows), ExitStack()
            counted = Counted(model, not compiled.sets_weights)
            updates: dict[str, float] = {}
            hooks = keras.callbacks.LambdaCallback(
                on_epoch_begin=shuffle,
                on_epoch_end=watch,
                on_test_begin=measure,
                on_test_end=lambda logs=None: measured.close(),
            )
            after = keras.callbacks.LambdaCallback(on_epoch_begin=settle, on_epoch_end=settle)
            with batches, validation or nullcontext():
                history = model.fit(
                    batches,
                    epochs=route.epochs,
                    shuffle=False,
                    verbose=0,
                    validation_data=validation,
                    callbacks=[hooks, *callbacks, after],
                    class_weight=candidate.class_weight(rows),
                )
        counted.settle(updates)  # early stopping may have put back those of its best epoch
        self.first_values_ = counted.first_values
        if candidate.is_debiased:
            counted.debias()
        curves = {name: [float(value) for value in values] for name, values in history.history.items()}
        dead = find_reason(callbacks, None, len(curves["loss"]), restored_epoch(callbacks))
        whole = Frame.of(candidate, learnt).around(model)
        if whole is not model:
            compile_as(whole, model)
            return replace(compiled, model=whole), (Scaling(), None), curves, dead
        return compiled, (candidate.scaling(center), prepare), curves, dead

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns the probability of each class: (sample, class), float32, in the order of `classes_`.

        Raises:
            DataError: X is no array of samples, or these have other axes than those of `fit`.
            TrialError: The model's outputs are NaN or infinite.
        """
        check_is_fitted(self)
        refuse_others(X)
        X = validate_data(self, X, reset=False, allow_nd=True)
        if X.shape[1:] != self._input_shape:
            raise DataError(
                f"X is {X.shape}, but this model was fitted to samples of {self._input_shape}: give it X of "
                f"shape {('sample', *self._input_shape)}."
            )
        if (odd := self._span.odd(float(X.min()), float(X.max()))) is not None:
            warn(f"X: {odd}")
        from kerasgrid.training.batches import EVALUATION_BATCH, Batches

        rows, (scaling, prepare) = np.arange(len(X)), self._inputs
        held_out = None if prepare is None else prepare.of_held_out
        with quiet(), Batches(X, rows, rows, EVALUATION_BATCH, scaling, prepare=held_out) as batches:
            outputs = self.model_.predict(batches, verbose=0)
        if not np.isfinite(outputs).all():
            raise TrialError("the model's outputs are nan or infinite: its weights overflowed in training.")
        return self._compiled.probabilities(outputs)

    def predict(self, X: Any) -> np.ndarray:
        """Returns the likeliest class of each sample in the form that `y` had: labels, or one-hot rows."""
        best = self.predict_proba(X).argmax(axis=1)
        if self._one_hot is not None:
            return np.eye(len(self.classes_), dtype=self._one_hot)[best]
        return self.classes_[best]

    @property
    def model_(self) -> Any:
        """The trained keras.Model, of X as it is; `model_.save(file)` writes it for Keras to load."""
        check_is_fitted(self)
        return self._compiled.model

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_compiled")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _python_params(self) -> dict[str, Any]:
        return {name: _python(value) for name, value in self.params.items()}


def _warn_of_pixels(X: np.ndarray, scales: bool | None) -> None:
    """Tells that pixels reach a net as they are, where its first layers do not scale them."""
    if scales is False and (top := pixel_top(X)) is not None:
        warn(
            f"X holds pixels of 0 to {top:,}, which reach the net as they are, and nets learn better from "
            f"small numbers: give X / {top}, or begin the model with keras.layers.Rescaling(1 / {top})."
        )


def _recipe_of(model: Any, seed: int, target: Target) -> Recipe:
    """Returns what fits of a model function have in common, which are no search's."""
    function, signature = _function_of(model)
    return Recipe(
        model=function,
        signature=signature,
        base=str(Path.cwd()),
        target=target,
        objective="accuracy",
        seed=seed,
        has_defaults=True,
    )


def _function_of(model: Any) -> tuple[Callable[..., Any], Signature]:
    """Returns a model function and its signature; that of a `build(hp)` holds the declared parameters."""
    if isinstance(model, str):
        model = load_function(parse_reference(model, Path.cwd()))
    elif is_hyper_model(model):
        model = model.build
    if is_built(model):
        raise ModelError(f"what is given as the model function is {instead_of(model, 'model')}")
    signature = signature_of(model)
    if signature.style == "hp":
        from kerasgrid.models.hyperparameters import hp_signature

        signature = hp_signature(model)
    if "model" in signature.names:
        raise ModelError(
            "the model function has a parameter 'model', but that names the model function itself here: "
            "give the parameter another name."
        )
    return model, signature


def _python(value: Any) -> Any:
    """Returns a NumPy scalar as Python's own, as ParameterGrid takes them out of arrays; keys as text."""
    if isinstance(value, Mapping):  # Keras's class_weight has labels for keys
        return {str(key): item for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _json_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parameters as the JSON from which random keys come; an object counts by its kind alone."""

    def kind(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        return getattr(value, "__qualname__", type(value).__qualname__)

    return strict(json.loads(json.dumps(params, default=kind, skipkeys=True)))


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
