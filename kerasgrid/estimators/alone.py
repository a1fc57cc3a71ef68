"""A fit by itself, as an estimator's `fit` is: a model function on samples, by Keras's own fit.

Importing this imports no Keras; fitting does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kerasgrid.checks.candidates import PIXELS, fault_of_class_weight, faults_of_callbacks
from kerasgrid.config.augment import faults_of_augment
from kerasgrid.console import warn
from kerasgrid.data.statistics import pixel_top, share_top
from kerasgrid.errors import ConfigError, Fault, ModelError, TrialError
from kerasgrid.io import strict
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import in_hand, own_fit, parse_reference, takes_pixels
from kerasgrid.models.signature import Signature, signature_of
from kerasgrid.records import Dataset, Fold, Job, Trial
from kerasgrid.seeds import augment_key, data_order, kept_random_state, model_seed
from kerasgrid.training.entry import quiet
from kerasgrid.wording import instead_of, is_built

if TYPE_CHECKING:  # they import Keras
    from kerasgrid.training.batches import Preparation, Scaling
    from kerasgrid.training.candidate import Candidate
    from kerasgrid.training.compiling import Compiled
    from kerasgrid.training.learnt import Learnt

_TRAINING = threading.RLock()  # Keras's and NumPy's random state belong to the process, not to a thread


@contextmanager
def training() -> Iterator[None]:
    """Lets one thread train at a time, quietly, and gives random states back after."""
    with _TRAINING, kept_random_state(), quiet():
        yield


@dataclass
class Net:
    """A trained net.

    It is pickled as Keras pickles its model where that is all of Keras's own; else Keras would not find its
    classes again, or not what these were made with, and it is built again by the model function.

    Attributes:
        compiled: The model, of X as it is, and how outputs are read.
        inputs: How values are scaled and prepared that the model itself does not.
        learnt: Of the rows that it was trained on.
        origin: What builds it again, and the samples that this is shown; None where Keras loads it.
    """

    compiled: Compiled
    inputs: tuple[Scaling, Preparation | None]
    learnt: Learnt
    origin: tuple[Alone, Dataset] | None

    @classmethod
    def of(
        cls,
        candidate: Candidate,
        compiled: Compiled,
        learnt: Learnt,
        prepare: Preparation | None,
        origin: tuple[Alone, Dataset],
    ) -> Self:
        """Returns it with the layers around it that prepare values and undo a target's scale."""
        from kerasgrid.training.batches import Scaling
        from kerasgrid.training.saving import Frame, compile_as, prepares

        whole = Frame.of(candidate, learnt).around(compiled.model)
        if whole is not compiled.model:
            compile_as(whole, compiled.model)
            compiled = replace(compiled, model=whole)
        compiled = replace(compiled, callbacks=())  # which hold the model
        outside = (Scaling(), None) if prepares(whole) else (candidate.scaling(learnt.center), prepare)
        return cls(compiled, outside, learnt, origin)

    def __getstate__(self) -> dict[str, Any]:
        from kerasgrid.training.saving import is_all_of_keras, net_of

        model = self.compiled.model
        if self.origin is None or is_all_of_keras(model):
            return {**vars(self), "origin": None}
        return {"origin": self.origin, "learnt": self.learnt, "weights": net_of(model).get_weights()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["origin"] is not None:
            (alone, samples), learnt, weights = state["origin"], state["learnt"], state["weights"]
            with training():
                state = vars(alone.build(weights, samples, learnt))
        vars(self).update(state)


@dataclass(frozen=True)
class Fitted:
    """What came of a fit.

    Attributes:
        net: The trained net.
        history: Keras's, by name.
        first_values: What is left of BatchNormalization's first values in its statistics, as a share.
        dead: Why the net has learnt nothing; None where it has.
    """

    net: Net
    history: dict[str, list[float]]
    first_values: float | None
    dead: str | None


@dataclass(frozen=True)
class Alone:
    """A fit.

    Attributes:
        name: What messages call it.
        function: The model function, or how it is found.
        params: Of it and of training, by their names in grid.yaml.
        seed: 0 is a seed.
        target_scale: As in Recipe.
        val: Likewise.
        callbacks: Those that grid.yaml has no name for.
    """

    name: str
    function: Any
    params: Mapping[str, Any]
    seed: int
    target_scale: str | None = None
    val: float | None = None
    callbacks: Sequence[Any] = ()

    def train(self, samples: Dataset) -> Fitted:
        """Trains it.

        Args:
            samples: To train on, and behind them those that are held out, on which `val_*` is measured.

        Raises:
            ConfigError: The parameters do not go with the samples.
            TrialError: The loss is NaN, or what a backend has filled pages with.
        """
        import keras

        from kerasgrid.models.endings import scales_input
        from kerasgrid.training.backend import Reader
        from kerasgrid.training.batches import Batches
        from kerasgrid.training.candidate import seeded
        from kerasgrid.training.health import find_reason, restored_epoch
        from kerasgrid.training.job import initialize
        from kerasgrid.training.loop import adapt, check_logs
        from kerasgrid.training.moving import Counted
        from kerasgrid.training.scoring import is_long, told

        X, seed, job = samples.images, self.seed, self._job
        candidate = self._candidate(samples)
        route = candidate.route
        with seeded(model_seed(seed, job)):
            compiled = candidate.compile()
            initialize(candidate, compiled, model_seed(seed, job))
            model, none = compiled.model, np.arange(0)
            whole = Fold(0, np.arange(len(X) - samples.n_held_out), none)
            rows, val = candidate.rows(whole, compiled.val)
            is_array = samples.table is None and samples.inputs is None
            is_raw = is_array and not compiled.is_pretrained
            if is_array and takes_pixels(self.function):
                _warn_of_others(X)
            elif is_raw and not (route.augment is not None and route.augment.may_scale):
                _warn_of_pixels(X, scales_input(model, X.shape[1:]))
            learnt = candidate.learnt(Fold(0, rows, none))
            data = candidate.samples(compiled, (rows, val, none), learnt)
            adapt(model, lambda: data)
            stored = data.images, data.targets
            batches = Batches(*stored, rows, route.batch_size, data.scaling, weights=data.weights)
            validation, prepare = None if val is None else data.batches(val), data.preparation

            def shuffle(epoch: int, logs: Mapping[str, float] | None = None) -> None:
                if compiled.shuffles:
                    batches.rows = rows[data_order(seed, job, epoch, len(rows))]
                batches.prepare, batches.mix = data.preparing(augment_key(seed, job, epoch))

            def watch(epoch: int, logs: Mapping[str, float]) -> None:
                counted.note(updates)
                check_logs("fit", epoch, logs, None, callbacks)

            def settle(epoch: int, logs: Mapping[str, float] | None = None) -> None:
                counted.settle(updates)

            def measure(logs: Mapping[str, float] | None = None) -> None:
                if candidate.is_debiased:
                    measured.enter_context(counted.debiased())

            callbacks = [*candidate.callbacks(compiled, rows), *deepcopy(list(self.callbacks))]
            measured = ExitStack()
            counted = Counted(model, not compiled.sets_weights)
            updates: dict[str, float] = {}
            hooks = keras.callbacks.LambdaCallback(
                on_epoch_begin=shuffle,
                on_epoch_end=watch,
                on_test_begin=measure,
                on_test_end=lambda logs=None: measured.close(),
            )
            after = keras.callbacks.LambdaCallback(on_epoch_begin=settle, on_epoch_end=settle)
            shuffle(0)  # what is read is in the form of the first batch
            try:
                with batches, validation or nullcontext():
                    history = model.fit(
                        Reader()(batches),
                        epochs=route.epochs,
                        shuffle=False,
                        verbose=0,
                        validation_data=None if validation is None else Reader()(validation),
                        callbacks=[hooks, *callbacks, after],
                    )
            except Exception as error:
                if not is_long(error):
                    raise
                raise TrialError(told(candidate.recipe, error)) from None  # whose text fills pages
        counted.settle(updates)  # early stopping may have put back those of its best epoch
        first_values = counted.first_values
        if candidate.is_debiased:
            counted.debias()
        measures = {name: [float(value) for value in values] for name, values in history.history.items()}
        dead = find_reason(callbacks, None, len(measures["loss"]), restored_epoch(callbacks))
        net = Net.of(candidate, compiled, learnt, prepare, self._origin(candidate))
        return Fitted(net, measures, first_values, dead)

    def build(self, weights: Sequence[np.ndarray], samples: Dataset, learnt: Learnt | None = None) -> Net:
        """Returns the net that was trained elsewhere.

        Args:
            weights: The model's.
            samples: That it was trained on, with those that were held out; or what `_origin` keeps of them.
            learnt: Of the rows that it was trained on; None to learn it of these samples.
        """
        from kerasgrid.training.candidate import Candidate, seeded

        candidate = Candidate.of(self._recipe(samples), self.params, samples)
        with seeded(model_seed(self.seed, self._job)):
            compiled = candidate.compile()
            compiled.model.set_weights(weights)
            if learnt is None:
                none = np.arange(0)
                whole = Fold(0, np.arange(len(samples) - samples.n_held_out), none)
                rows, _ = candidate.rows(whole, compiled.val)
                learnt = candidate.learnt(Fold(0, rows, none))
        net = Net.of(candidate, compiled, learnt, candidate.preparation(), self._origin(candidate))
        model = net.compiled.model
        if model.optimizer is not None and not model.optimizer.built:  # as it is after a fit, for pickle
            model.optimizer.build(model.trainable_variables)
        return net

    def _origin(self, candidate: Candidate) -> tuple[Alone, Dataset]:
        """Returns what builds a candidate's net again: without callbacks, and of one sample.

        All samples are kept only where the model function is shown them.
        """
        from kerasgrid.training.candidate import import_function

        alone, data, recipe = replace(self, callbacks=()), candidate.data, candidate.recipe
        if recipe.signature.is_shown or own_fit(import_function(recipe)) is not None:
            return alone, data
        one = data.images[:1].copy(), data.labels[:1].copy()
        return alone, replace(data, images=one[0], labels=one[1], n_held_out=0, weights=None)

    def check(self, samples: Dataset) -> None:
        """Builds what would be trained on samples.

        Raises:
            ConfigError: The parameters do not go with the samples.
            ModelError: The model function does not build a model for them.
        """
        from kerasgrid.training.candidate import seeded

        with seeded(model_seed(self.seed, self._job)):
            self._candidate(samples).compile()

    def _candidate(self, samples: Dataset) -> Candidate:
        """Returns what is trained on some samples, once its parameters are found to go with them.

        Raises:
            ConfigError: They do not.
        """
        from kerasgrid.training.candidate import Candidate

        candidate = Candidate.of(self._recipe(samples), self.params, samples)
        route = candidate.route
        told = faults_of_callbacks(route.callbacks, Path(), route.epochs)
        faults = [Fault(f"callbacks.{name}", text) for name, text in told]
        if route.augment is not None and (samples.table is not None or samples.inputs is not None):
            what = "is a table" if samples.inputs is None else "has several inputs"
            faults.append(Fault("augment", f"is of images, and X {what}: leave it out."))
        elif route.augment is not None:
            faults += faults_of_augment(route.augment, samples.images, None, None)
        unknown = fault_of_class_weight(route.training.class_weight, samples.target)
        faults += [Fault("training.class_weight", unknown)] if unknown else []
        if faults:
            raise ConfigError(faults, self.name)
        return candidate

    @cached_property
    def _job(self) -> Job:
        """The job whose seeds it has."""
        return Job(Trial(0, _json_params(self.params)), fold=0)

    def _recipe(self, samples: Dataset) -> Recipe:
        """Returns what fits of a model function have in common, which are no search's."""
        function, signature = function_of(self.function)
        return Recipe(
            model=function,
            signature=signature,
            base=str(Path.cwd()),
            target=samples.target,
            objective="r2" if samples.target.is_numbers else "accuracy",
            seed=self.seed,
            target_scale=self.target_scale,
            val=samples.n_held_out or self.val,
            has_defaults=True,
        )


def _warn_of_pixels(X: np.ndarray, scales: bool | None) -> None:
    """Tells that pixels reach a net as they are, where its first layers do not scale them."""
    if scales is False and (top := pixel_top(X)) is not None:
        warn(
            f"X holds pixels of 0 to {top:,}, which reach the net as they are, and nets learn better from "
            f"small numbers: give X / {top}, or begin the model with keras.layers.Rescaling(1 / {top})."
        )


def _warn_of_others(X: np.ndarray) -> None:
    """Tells that a net which scales pixels of 0 to 255 itself is given others."""
    top = pixel_top(X) or share_top(X)
    if top not in (None, PIXELS):
        warn(
            f"X holds pixels of 0 to {top:,}, and the model takes those of 0 to {PIXELS} and scales them "
            f"itself: give X * {PIXELS / top:.6g}."
        )


def function_of(model: Any) -> tuple[Callable[..., Any], Signature]:
    """Returns a model function and its signature; that of a `build(hp)` holds the declared parameters."""
    if isinstance(model, str):
        model = load_function(parse_reference(model, Path.cwd()))
    model = in_hand(model)
    if is_built(model):
        raise ModelError(f"what is given as the model function is {instead_of(model, 'model')}")
    signature = signature_of(model)
    if signature.style == "hp":
        try:
            hash(model)
        except TypeError:  # of a HyperModel that cannot be hashed
            signature = _declared.__wrapped__(model)
        else:
            signature = _declared(model)
    if "model" in signature.names:
        raise ModelError(
            "the model function has a parameter 'model', but that names the model function itself here: "
            "give the parameter another name."
        )
    return model, signature


def loop_defaults(signature: Signature) -> dict[str, int]:
    """Returns `batch_size` and `epochs` as a HyperModel's own fit has them by default."""
    found = {one.name: one.default for one in signature.parameters if one.name in ("batch_size", "epochs")}
    return {name: int(default) for name, default in found.items() if default is not None}


@lru_cache(maxsize=8)
def _declared(function: Callable[..., Any]) -> Signature:
    """Returns the signature of a `build(hp)`, which many models are built to tell."""
    from kerasgrid.models.hyperparameters import hp_signature

    return hp_signature(function)


def _json_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parameters as the JSON from which random keys come; an object counts by its kind alone."""

    def kind(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        return getattr(value, "__qualname__", type(value).__qualname__)

    return strict(json.loads(json.dumps(params, default=kind, skipkeys=True)))
