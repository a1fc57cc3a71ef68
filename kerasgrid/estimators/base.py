"""What a model function is as any estimator of scikit-learn's.

Importing this imports no Keras; fitting does.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from kerasgrid.checks.parameters import faults_of_params
from kerasgrid.config.sections import Features
from kerasgrid.console import warn
from kerasgrid.data.array_likes import as_array, indexable, is_sparse, refuse_others
from kerasgrid.data.drawn import with_labels
from kerasgrid.data.encoding import Encoder
from kerasgrid.data.frames import as_frame, is_mixed, table_of_frame
from kerasgrid.data.held_out import check_held_out, parts_of, with_held_out
from kerasgrid.data.in_memory import weights_of
from kerasgrid.data.inputs import Rows, in_rows, rows_like
from kerasgrid.data.statistics import Span
from kerasgrid.errors import ConfigError, DataError, Fault, ModelError, TrialError
from kerasgrid.estimators.alone import Alone, Net, function_of, loop_defaults, training
from kerasgrid.estimators.wrappers import (
    APART,
    CALLBACKS,
    VAL,
    VALIDATION,
    are_own,
    own_grid,
    own_params,
    take_others,
)
from kerasgrid.machine import backend_fault
from kerasgrid.models.references import in_hand, own_fit
from kerasgrid.models.signature import Signature
from kerasgrid.records import Dataset, FoldRecord, Inputs, Table, Target
from kerasgrid.training.entry import quiet

if TYPE_CHECKING:  # they import Keras
    pass


class Trained(Protocol):
    """A fit that was trained ahead of when it is asked for."""

    @property
    def record(self) -> FoldRecord:
        """How its training went."""

    def predictions(self, X: Any) -> np.ndarray | None:
        """Returns what it says of samples: probabilities, or numbers; None where that has to be asked."""

    def weights(self) -> list[np.ndarray] | None:
        """Returns its model's weights; None where they are not kept."""


class Ahead(Protocol):
    """What trains an estimator's fits together, while it is used."""

    is_used: bool

    def next(self, estimator: KerasEstimator, samples: Dataset) -> Trained | None:
        """Returns the next fit that is asked for; None where that is none of those that were trained.

        Raises:
            KerasgridError: It has failed.
        """


class KerasEstimator(BaseEstimator):
    """A model function with its parameters, trained and asked as scikit-learn has it.

    Threads take turns in `fit`; to train in parallel, use joblib's processes.

    Args:
        model: As in KerasClassifier and KerasRegressor, and so are the others.
    """

    _OWN: tuple[str, ...] = ("model", "seed")
    """Parameters that are not the model function's or of training."""
    _ahead: Ahead | None = None
    """What trains its fits together with others, ahead of when they are asked for."""
    _net: Net | None
    _trained: tuple[Trained, Dataset, Any] | None
    """A fit that was trained ahead, on what, and on what `val_*` was measured."""
    __metadata_request__score = {"sample_weight": False}  # noqa: RUF012 (scikit-learn's: unless it is asked for)

    def __init__(
        self, model: Callable[..., Any] | str | None = None, *, seed: int = 0, **params: Any
    ) -> None:
        self.model = model
        self.seed = seed
        self.params = params

    def __sklearn_clone__(self) -> Self:
        made = super().__sklearn_clone__()
        made.model = self.model  # a HyperModel is copied else, and would be another one
        if self._ahead is not None and self._ahead.is_used:
            made._ahead = self._ahead
        return made

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns `model`, `seed` and the other parameters, by name."""
        return {**{name: getattr(self, name) for name in self._OWN}, **self.params}

    def set_params(self, **params: Any) -> Self:
        """Sets parameters by name, new ones too; `fit` tells which the model function does not have."""
        for name in self._OWN:
            setattr(self, name, params.pop(name, getattr(self, name)))
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
        searched = {name: list(values) for name, values in (grid or {}).items()}
        path = f"{prefix}.seed" if "seed" in searched else "seed"
        faults = [
            Fault(path, f"is {seed!r}; a whole number from 0 to 2**32 - 1 holds.")
            for seed in map(_python, searched.pop("seed", [self.seed]))
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 32
        ]
        named = [name for name in ("model", "build_fn") if name in searched]
        models = [model for name in named for model in searched.pop(name)] or [self._function]
        for model in models:
            faults += self._faults_of(function_of(model)[1], searched, prefix)
        return list(dict.fromkeys(faults))

    def _faults_of(
        self, signature: Signature, searched: Mapping[str, Iterable[Any]], prefix: str
    ) -> list[Fault]:
        """Returns what is wrong with the parameters of a model function."""
        others = {name: value for name, value in self.params.items() if name not in searched}
        fixed = {name: [value] for name, value in self._own_params(signature, others).items()}
        grid, called = own_grid(searched, signature, fixed)
        grid = {name: list(map(_python, values)) for name, values in grid.items()}
        found = [*take_others(fixed, signature, "params"), *take_others(grid, signature, prefix)]
        params = {name: value for name, [value] in fixed.items()}
        found += faults_of_params(params, grid, signature, prefix)
        paths = {f"{prefix}.{name}": f"{prefix}.{user}" for name, user in called.items()}
        return [replace(fault, path=paths.get(fault.path, fault.path)) for fault in found]

    def _check(self, X: Any, y: Any) -> None:
        """Raises what is wrong with the parameters, all together, or with X and y as arrays of samples."""
        faults = self.faults()
        if faults:
            raise ConfigError(faults, type(self).__name__)
        refuse_others(X, y)

    def _read(self, X: Any, y: Any, **checks: Any) -> tuple[np.ndarray, np.ndarray, Table | Inputs | None]:
        """Returns X and y as arrays, checked by scikit-learn, and what the columns are of a table.

        A sparse matrix is made dense. A table is a DataFrame whose columns are not all numbers, or have
        blanks. Of several inputs X is rows, and what of them is what is returned in the place of columns.
        """
        inputs, X = X.inputs if isinstance(X, Rows) else None, indexable(X)
        if not is_mixed(X):
            X = as_array(X, "X") if is_sparse(X) else X
            return *validate_data(self, X, y, allow_nd=True, multi_output=True, **checks), inputs
        validate_data(self, X, y, skip_check_array=True)
        check_consistent_length(X, y)
        numeric = np.float64 if checks else None
        y = check_array(y, ensure_2d=False, dtype=numeric, input_name="y")
        values, table, _ = table_of_frame(as_frame(X), Features(), "X")
        return values, y, table

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation_data: Any = None) -> Self:
        """Builds a new model and trains it, or takes what was trained ahead with others.

        Args:
            X: As the class's `fit` has it, and so are the others.
            y: Likewise.
            sample_weight: Likewise.
            validation_data: Likewise.
        """
        held_out = self._validation_data if validation_data is None else validation_data
        ahead = self._ahead if self._ahead is not None and self._ahead.is_used else None
        X, y, sample_weight = with_labels(X, y, sample_weight)
        with training() if ahead is None else nullcontext():
            if ahead is None:  # else all candidates' were checked together
                X = in_rows(X, y)
                self._check(X, y)
            samples = self._samples(X, y, sample_weight)
            self._input_shape, self._inputs = samples.images.shape[1:], samples.inputs
            is_array = samples.table is None and samples.inputs is None
            self._span = Span.of(samples.images) if is_array else None
            self._net = self._trained = None
            trained = None if ahead is None else ahead.next(self, samples)
            if trained is not None:
                self._take(trained, samples, held_out)
            else:
                gc.collect()  # a model lies in reference cycles: that of the fit before goes first
                with nullcontext() if ahead is None else training():
                    self._net = self._train(self._with_held_out(samples, held_out))
        return self

    def _with_held_out(self, samples: Dataset, held_out: Any) -> Dataset:
        """Returns samples and behind them others, on which `val_*` is measured.

        Args:
            samples: To train on.
            held_out: (X, y) or (X, y, sample_weight), or a dataset of them; None for none.

        Raises:
            DataError: It is something else, or of other axes or classes.
        """
        if held_out is None:
            return samples
        (X, y, weights), where = parts_of(held_out), "validation_data"
        if samples.inputs is not None:
            X = rows_like(X, samples.inputs, f"{where}[0]")
        refuse_others(X, y)
        values = None
        if samples.table is not None:
            values, _, _ = table_of_frame(as_frame(X), Features(), where, samples.table)
            X = np.zeros((len(values), 1))
        found = clone(self)._samples(X, y, weights)
        found = found if values is None else replace(found, images=values)
        check_held_out(samples, found, "X and y", where)
        joined = with_held_out(samples, found, where)
        known = {field.name: getattr(joined, field.name) for field in fields(joined)}
        return Dataset(**known, fingerprint="", source=samples.source, n_held_out=len(found))

    def _samples(self, X: Any, y: Any, sample_weight: Any) -> Dataset:
        """Returns X and y as samples, and keeps what is known of them.

        Args:
            X: As the class's `fit` has it, and so are the others.
            y: Likewise.
            sample_weight: Likewise.
        """
        raise NotImplementedError

    def _dataset(
        self, X: np.ndarray, labels: np.ndarray, target: Target, weights: Any, of_X: Table | Inputs | None
    ) -> Dataset:
        """Returns what `_read` has given as samples.

        Args:
            X: (sample, ...).
            labels: As in Dataset.
            target: What they are.
            weights: (sample,) numbers of 0 or more; None for the same.
            of_X: What X's columns are, or its inputs.
        """
        weights = None if weights is None else weights_of(weights, len(X))
        samples = Dataset(X, labels, target, "", "X", weights=weights)
        if isinstance(of_X, Inputs):
            return replace(samples, inputs=of_X)
        return replace(samples, table=of_X)

    def _take(self, trained: Trained, samples: Dataset, held_out: Any) -> None:
        """Takes a fit that was trained ahead.

        Args:
            trained: The fit.
            samples: That it was trained on.
            held_out: On what `val_*` was measured.
        """
        record = trained.record
        self.history_ = {name: list(values) for name, values in record.history.items()}
        self.first_values_, self.dead_ = record.first_values, record.dead
        self._trained = trained, samples, held_out

    @property
    def _alone(self) -> Alone:
        """This estimator's fit by itself."""
        return Alone(
            type(self).__name__,
            self._function,
            self._python_params(),
            int(self.seed),
            target_scale=self._target_scale,
            val=self._val,
            callbacks=self._objects,
        )

    def _train(self, samples: Dataset) -> Net:
        """Returns the net that is trained on samples; tells of its training."""
        fitted = self._alone.train(samples)
        self.history_, self.first_values_, self.dead_ = fitted.history, fitted.first_values, fitted.dead
        return fitted.net

    def _built(self, trained: Trained, samples: Dataset, held_out: Any) -> Net:
        """Returns the net of a fit that was trained ahead; it is trained again where no weights are kept."""
        with training():
            samples = self._with_held_out(samples, held_out)
            weights = trained.weights()
            return self._train(samples) if weights is None else self._alone.build(weights, samples)

    def stand_alone(self) -> None:
        """Builds the net that was trained ahead, and forgets with what it was."""
        if self._trained is not None:
            self._net = self._fitted
        self._ahead = self._trained = None

    @property
    def _fitted(self) -> Net:
        """The net, built once somebody asks for it."""
        check_is_fitted(self)
        if self._trained is not None and self._net is None:
            self._net = self._built(*self._trained)
        assert self._net is not None  # else nothing was fitted
        return self._net

    def _said(self, X: Any) -> np.ndarray:
        """Returns what the model says of samples: probabilities (sample, class), or numbers as it was taught.

        Raises:
            DataError: X is no array of samples, or these have other axes than those of `fit`.
            TrialError: The outputs are NaN or infinite.
        """
        check_is_fitted(self)
        if self._inputs is not None:
            X = rows_like(X, self._inputs)
        if self._trained is not None and (found := self._trained[0].predictions(X)) is not None:
            return found
        return self._read_outputs(self._outputs(X))

    def _read_outputs(self, outputs: np.ndarray) -> np.ndarray:
        """Returns what outputs say."""
        raise NotImplementedError

    def _outputs(self, X: Any) -> np.ndarray:
        """Returns what the model gives of samples, (sample, output).

        Raises:
            DataError: X is no array of samples, or these have other axes than those of `fit`.
            TrialError: The outputs are NaN or infinite.
        """
        net = self._fitted
        refuse_others(X)
        encoder = net.learnt.encoder
        X = self._array(X) if encoder is None else self._vectors(X, encoder)
        from kerasgrid.training.batches import EVALUATION_BATCH, Batches
        from kerasgrid.training.scoring import outputs_of_batch

        rows, (scaling, prepare) = np.arange(len(X)), net.inputs
        held_out = None if prepare is None else prepare.of_held_out
        with quiet(), Batches(X, rows, rows, EVALUATION_BATCH, scaling, prepare=held_out) as batches:
            # Keras's predict would trace anew how batches are read.
            parts = [outputs_of_batch(self.model_, batches[place][0]) for place in range(len(batches))]
        outputs = np.concatenate([part for [part] in parts])
        if not np.isfinite(outputs).all():
            raise TrialError(
                "the model's outputs are nan or infinite: its weights overflowed in training, or X is far "
                "from what it was fitted to."
            )
        return outputs

    def _vectors(self, X: Any, encoder: Encoder) -> np.ndarray:
        """Returns a table's rows as the model takes them."""
        if (frame := as_frame(X)) is None:
            raise DataError(
                f"X is {type(X).__name__}, but this model was fitted to a DataFrame: give it one with the "
                "same columns."
            )
        validate_data(self, X, reset=False, skip_check_array=True)
        values, _, lines = table_of_frame(frame, Features(), "X", encoder.table)
        for line in lines:
            warn(line)
        return encoder(values)

    def _array(self, X: Any) -> np.ndarray:
        """Returns samples of the axes that the model was fitted to."""
        X = as_array(X, "X") if is_sparse(X) else indexable(X)
        X = validate_data(self, X, reset=False, allow_nd=True)
        if X.shape[1:] != self._input_shape:
            raise DataError(
                f"X is {X.shape}, but this model was fitted to samples of {self._input_shape}: give it X of "
                f"shape {('sample', *self._input_shape)}."
            )
        if self._span is not None and (odd := self._span.odd(float(X.min()), float(X.max()))) is not None:
            warn(f"X: {odd}")
        return X

    @property
    def model_(self) -> Any:
        """The trained keras.Model, of X as it is; `model_.save(file)` writes it for Keras to load."""
        return self._fitted.compiled.model

    @property
    def _target_scale(self) -> str | None:
        """What the net learns in the place of numbers."""
        return None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_net")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True  # made dense
        return tags

    @property
    def _function(self) -> Any:
        """What is given as the model function; by `build_fn` as once in Keras's wrapper."""
        given = self.params.get("build_fn") if self.model is None else self.model
        if given is None:
            raise ModelError(f"{type(self).__name__} is given no model function: give model=build.")
        return given

    def _own_params(
        self, signature: Signature | None = None, given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Returns the parameters by the names that they have in grid.yaml, and what is apart of these.

        Args:
            signature: The model function's; None to look it up.
            given: Those of the parameters that count; None for all.
        """
        given = self.params if given is None else given
        params = {name: value for name, value in given.items() if name != "build_fn"}
        fits = own_fit(in_hand(self._function)) is not None
        if fits or not are_own(params):
            signature = signature or function_of(self._function)[1]
            params = own_params(params, signature)
            if fits:  # trains by them unless others are given
                params = {**loop_defaults(signature), **params}
        return {name: _python(value) for name, value in params.items()}

    def _python_params(self) -> dict[str, Any]:
        """Returns the parameters of the model function and of training, by their names in grid.yaml."""
        return {name: value for name, value in self._own_params().items() if name not in APART}

    @property
    def _val(self) -> float | None:
        """The share of rows that are held back, on which `val_*` is measured."""
        return self._own_params().get(VAL)

    @property
    def _validation_data(self) -> Any:
        """Samples on which `val_*` is measured, by the parameter of that name."""
        return self._own_params().get(VALIDATION)

    @property
    def _objects(self) -> list[Any]:
        """Callbacks that grid.yaml has no name for."""
        return self._own_params().get(CALLBACKS, [])


def _python(value: Any) -> Any:
    """Returns a NumPy scalar as Python's own, as ParameterGrid takes them out of arrays; keys as text."""
    if isinstance(value, Mapping):  # Keras's class_weight has labels for keys
        return {str(key): item for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value
