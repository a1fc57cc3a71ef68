"""Model functions in the forms of other packages: what they see, and what a fit within them asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import keras
import numpy as np

from kerasgrid.errors import ModelError
from kerasgrid.models.inputs import Form, samples_of
from kerasgrid.models.references import own_fit
from kerasgrid.records import Target

N_BLANK = 32
"""Samples that a model function is shown where no data are at hand, unless there are more classes."""
_ELSEWHERE = {
    "class_weight": "training.class_weight",
    "sample_weight": "sample_weight, beside X and y",
    "steps_per_epoch": "data.subset",
}
"""Arguments of Keras's fit that change what is learnt, and what does so here."""


_SHAPES = frozenset(
    {"shape", "ndim", "size", "reshape", "ravel", "squeeze", "expand_dims", "transpose", "broadcast_to"}
    | {"zeros_like", "ones_like", "empty_like", "full_like"}
)
"""Functions of NumPy that ask for no values."""


class _Hidden(np.ndarray):
    """Samples of which a model function may ask their number, shape and dtype, and not what they are like.

    What is computed of their values is refused; where NumPy asks nobody, as in np.asarray, they are NaN.

    Attributes:
        name: What messages call them.
    """

    name: str = ""

    @classmethod
    def like(cls, values: np.ndarray, n_samples: int, name: str) -> Self:
        """Returns so many samples, in no memory, of the axes and dtype of some."""
        return cls._of((n_samples, *values.shape[1:]), values.dtype, name)

    @classmethod
    def _of(cls, shape: tuple[int, ...], dtype: np.dtype, name: str) -> Self:
        found = np.broadcast_to(np.array(0 if dtype.kind in "iu" else np.nan, dtype), shape).view(cls)
        found.name = name
        return found

    def __array_finalize__(self, before: Any) -> None:
        self.name = getattr(before, "name", "")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function.__name__ not in _SHAPES:
            self._refuse(function.__name__)
        return super().__array_function__(function, types, args, kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or "out" in kwargs:
            self._refuse(
                {"add": "sum", "maximum": "max", "minimum": "min"}.get(ufunc.__name__, ufunc.__name__)
            )
        dtype = np.result_type(ufunc(*(np.asarray(one).flat[:1] for one in inputs), **kwargs))
        if dtype.kind == "b":  # by which samples are chosen or counted
            self._refuse(ufunc.__name__)
        return self._of(np.broadcast_shapes(*map(np.shape, inputs)), dtype, self.name)

    def _refuse(self, what: str) -> None:
        raise ModelError(
            f"{what} of {self.name}: what the net is given is scaled by each fold's training rows, or made "
            "batch by batch, so that the model function sees how many samples there are and their shape "
            "alone. Let a layer learn it, as keras.layers.Normalization does by adapt(X), or compute it "
            "before the search and give it as a parameter."
        )


def _refusing(what: str) -> Callable[..., None]:
    return lambda self, *args, **kwargs: self._refuse(what)


for _name in ("tolist", "argmax", "argmin", "argsort", "sort", "nonzero", "item"):
    setattr(_Hidden, _name, _refusing(_name))


@dataclass
class Asked:
    """What a fit within a model function asks for beside its candidate's parameters.

    Attributes:
        callbacks: Its own.
        split: The share of training rows that it holds back; None where it says none.
        shuffles: Whether an epoch has an order of its own.
    """

    callbacks: Sequence[keras.callbacks.Callback] = ()
    split: float | None = None
    shuffles: bool = True

    @property
    def monitors_val(self) -> bool:
        """Whether a callback looks at `val_*`."""
        return any(str(getattr(one, "monitor", "")).startswith("val_") for one in self.callbacks)


@dataclass(frozen=True)
class Shown:
    """What a model function of another package's form sees of the data and of the training.

    Attributes:
        X: (sample, ...), all samples as the net takes them, those of each fold alike and read-only; of
            several inputs a list or dict of them. Where their values are not at hand, their shape alone.
        y: (sample, class) one-hot rows, (sample, label) of 0 and 1, or (sample, number): as Keras's wrappers
            have them.
        labels: (sample,), class indices; None of other targets.
        own: Classes as the user has them; None where `y` is so.
        loop: `batch_size` and `epochs` of the candidate; empty where none is trained.
        compile_kwargs: As SciKeras gives them.
        asked: Takes what a fit within the function asks for.
    """

    X: Any
    y: np.ndarray
    labels: np.ndarray | None = None
    own: np.ndarray | None = None
    loop: Mapping[str, int] = field(default_factory=dict)
    compile_kwargs: Mapping[str, Any] = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)

    @classmethod
    def of(cls, X: Any, labels: np.ndarray, target: Target, **more: Any) -> Self:
        """Returns samples, with labels as Dataset has them."""
        if target.kind != "classes":
            return cls(X, np.asarray(labels, np.float64), **more)
        own = None if target.one_hot else np.asarray(target.classes)[labels]
        return cls(X, np.eye(target.n_outputs)[labels], np.asarray(labels), own, **more)

    @classmethod
    def blank(cls, form: Form, target: Target) -> Self:
        """Returns samples of zeros, where no data are at hand."""
        n = max(N_BLANK, target.n_outputs)
        X = samples_of(form, lambda shape: np.zeros((n, *shape), np.float32))
        if target.kind != "classes":
            return cls(X, np.zeros((n, target.n_outputs)))
        return cls.of(X, np.arange(n) % target.n_outputs, target)

    def hiding(self, n_samples: int, name: str) -> Self:
        """Returns it with so many samples as `X` or `y`, whose values are not at hand.

        Args:
            n_samples: How many there are.
            name: `X` or `y`.
        """
        few = getattr(self, name)
        return replace(
            self,
            **{name: keras.tree.map_structure(lambda values: _Hidden.like(values, n_samples, name), few)},
        )

    def meta(self, target: Target) -> dict[str, Any]:
        """Returns what SciKeras's wrappers tell of X and y, by its names.

        Raises:
            ModelError: X is of several inputs, which they do not know.
        """
        if not hasattr(self.X, "shape"):
            raise ModelError(
                "the model function names meta, which tells of one array, and X has several inputs: name "
                "input_shapes and n_classes or n_outputs instead."
            )
        n_outputs = target.n_outputs
        kind = "continuous" if n_outputs == 1 else "continuous-multioutput"
        told = {
            "n_features_in_": self.X.shape[1],
            "X_shape_": self.X.shape,
            "X_dtype_": self.X.dtype,
            "y_dtype_": self.y.dtype,
            "y_ndim_": 1 if n_outputs == 1 else 2,
            "n_outputs_": n_outputs,
            "n_outputs_expected_": 1,
        }
        if not target.is_numbers:
            is_one = target.kind == "classes" and not target.one_hot
            kind = ("binary" if n_outputs == 2 else "multiclass") if is_one else "multilabel-indicator"
            told |= {"y_ndim_": 1 if is_one else 2, "n_outputs_": 1, "n_classes_": n_outputs}
            told |= {"classes_": np.asarray(target.classes)}
        return {**told, "target_type_": kind}


class Read(dict[str, Any]):
    """Parameters of a Talos function, which knows those that were asked for.

    Args:
        name: The function's.
        params: By name.
    """

    def __init__(self, name: str, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        self._name, self._asked = name, set[str]()

    @property
    def unread(self) -> list[str]:
        """Names that nobody asked for, `batch_size` and `epochs` apart."""
        return [name for name in dict.keys(self) - self._asked if name not in ("batch_size", "epochs")]

    def __getitem__(self, name: str) -> Any:
        self._asked.add(name)
        return super().__getitem__(name)

    def __missing__(self, name: str) -> Any:
        raise ModelError(
            f"{self._name} reads {name!r} of its params, which neither params nor space gives: give it there."
        )

    def __iter__(self) -> Iterator[str]:
        self._asked.update(dict.keys(self))
        return super().__iter__()

    def get(self, name: str, default: Any = None) -> Any:
        """Returns a value; the default where there is none."""
        self._asked.add(name)
        return super().get(name, default)

    def items(self) -> Any:
        """Returns names and values."""
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        """Returns the values."""
        return [self[name] for name in self]


@dataclass(frozen=True)
class Fit:
    """A call of Keras's fit.

    Attributes:
        model: Whose.
        arguments: Those that were given, by name.
        history: What it returned.
    """

    model: keras.Model
    arguments: Mapping[str, Any]
    history: keras.callbacks.History


@contextmanager
def noted_fits() -> Iterator[list[Fit]]:
    """Lets Keras's fit note what it is asked for within, and train nothing.

    `Normalization.adapt` only builds its layer, which is adapted to each fold's training rows once these are
    known; what else is adapted to samples is refused.
    """
    fits: list[Fit] = []
    signature = inspect.signature(keras.Model.fit)

    def fit(model: keras.Model, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        history = keras.callbacks.History()
        history.set_model(model)
        history.history = _Unknown()
        given = dict(signature.bind(model, *args, **kwargs).arguments)
        fits.append(Fit(given.pop("self"), given, history))
        return history

    def build(layer: keras.Layer, data: Any, *args: Any, **kwargs: Any) -> None:
        if not layer.built:
            layer.build(np.shape(data))

    def refuse(layer: keras.Layer, *args: Any, **kwargs: Any) -> None:
        raise ModelError(
            f"{type(layer).__name__}.adapt: the layer would learn of held-out samples, too, as the model "
            "function sees those of all folds: give it its vocabulary or boundaries, or prepare the data."
        )

    kinds: list[Any] = [cls for cls in vars(keras.layers).values() if "adapt" in getattr(cls, "__dict__", ())]
    adapts = [(cls, cls.adapt) for cls in kinds]
    for cls in kinds:
        cls.adapt = build if cls is keras.layers.Normalization else refuse
    patched = vars(keras.Model).get("fit")  # by another package; else it is inherited
    keras.Model.fit = fit
    try:
        yield fits
    finally:
        if patched is None:
            del keras.Model.fit
        else:
            keras.Model.fit = patched
        for cls, adapt in adapts:
            cls.adapt = adapt


class _Unknown(dict[str, list[float]]):
    """The history of a fit that trained nothing: of any metric a single NaN."""

    def __missing__(self, name: str) -> list[float]:
        return [float("nan")]


def check_fit(name: str, model: keras.Model, fits: list[Fit], shown: Shown) -> None:
    """Takes what a fit within a model function asks for, which its candidate is then trained by.

    Args:
        name: What messages call the fit.
        model: The one that is trained.
        fits: That were called.
        shown: What the function was shown; takes what is asked for.

    Raises:
        ModelError: It asks for what its candidate does not do.
    """
    asked = [fit for fit in fits if fit.model is model]
    if len(asked) != 1 or len(fits) != 1:
        calls = f"calls model.fit {len(fits)} times" if asked else "does not call model.fit"
        raise ModelError(
            f"{name} {calls} on the model that is built, and a candidate is trained by one such call: let "
            "the function return its compiled model before it trains, def build(input_shape, n_classes, ...)."
        )
    given = {key: value for key, value in asked[0].arguments.items() if value is not None}
    if given.get("x") is not shown.X:
        raise ModelError(
            f"{name} gives model.fit other samples than it is given: let layers of the model change them, or "
            "change them before the search."
        )
    callbacks = _callbacks_of(given.pop("callbacks", []))
    for key, value in shown.loop.items():
        if (found := given.pop(key, value)) != value:
            raise ModelError(
                f"{name} trains with {key}={found!r}, and the candidate with {value!r}: call what it reads "
                f"{key!r}, leave {key} out there, or give {key}: {found!r} in params, of GridSearchCV "
                f"{key!r}: [{found!r}] in param_grid."
            )
    for key, value in given.items():
        if key in _ELSEWHERE:
            raise ModelError(f"{name} gives model.fit {key}: leave it out, and give {_ELSEWHERE[key]}.")
        if key == "initial_epoch" and value:
            raise ModelError(f"{name} gives model.fit {key}={value!r}, which no search does: leave it out.")
    shown.asked.callbacks, shown.asked.split = callbacks, given.get("validation_split") or None
    shown.asked.shuffles = bool(given.get("shuffle", True))


def _callbacks_of(given: Any) -> list[keras.callbacks.Callback]:
    """Returns callbacks that a fit is given, without the history that each has."""
    found = given if isinstance(given, list | tuple) else [given]
    return [one for one in found if isinstance(one, keras.callbacks.Callback)]


def run_own_fit(
    function: Any,
    hp: Any,
    model: keras.Model,
    shown: Shown,
    run: Callable[..., Any],
) -> None:
    """Asks a HyperModel's own fit what a model is trained by, and declares its hyperparameters.

    Args:
        function: Its `build`.
        hp: KerasTuner's hyperparameters.
        model: That was built.
        shown: What it is to be trained on; takes what is asked for.
        run: Calls a function of the user's.

    Raises:
        ModelError: It fails, or asks for what its candidate does not do.
    """
    fit = own_fit(function)
    if fit is None:
        return
    name = f"{type(function.__self__).__name__}.fit"
    parameters = inspect.signature(fit).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    refused: ModelError | None = None
    for y in [shown.y] if shown.own is None else [shown.own, shown.y]:
        beside: dict[str, Any] = {"callbacks": [], "validation_data": (shown.X, y)}
        taken = {key for key in beside if key in parameters or (takes_any and key == "callbacks")}
        try:
            with noted_fits() as fits:
                returned = run(fit, hp, model, shown.X, y, **{key: beside[key] for key in taken})
            check_fit(name, model, fits, shown)
        except ModelError as error:
            refused = refused or error
            continue
        if returned is not None and returned is not fits[0].history:
            raise ModelError(
                f"{name} returns {type(returned).__name__}, a score of its own: return what model.fit "
                "returns, and give the score as search.objective, or as scoring of GridSearchCV."
            )
        return
    assert refused is not None  # else one were taken
    raise refused
