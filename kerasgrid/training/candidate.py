"""A candidate where it is trained: its compiled model, callbacks, rows and images; and what gave each weight
its value.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.config.sections import Folds
from kerasgrid.data.cache import map_samples
from kerasgrid.data.encoding import n_categories, width
from kerasgrid.data.folds import inner_rows, inner_split
from kerasgrid.jobs.objective import Objective, find_objective
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import DEFAULT_VAL, Route
from kerasgrid.models.building import build_model
from kerasgrid.models.foreign import Shown
from kerasgrid.models.inputs import Form
from kerasgrid.models.keras_private import has_value, layers_within
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import ModelReference, own_fit
from kerasgrid.models.weights import looking_up
from kerasgrid.records import FIRST_VALUES, WHOLE, Dataset, Fold
from kerasgrid.seeds import forget_draws
from kerasgrid.training.batches import LoopData, Preparation, Scaling, targets_of
from kerasgrid.training.compiling import (
    Compiled,
    arguments_of_compile,
    as_taken,
    check_range,
    class_weights,
    compile_model,
    mixing_labels,
)
from kerasgrid.training.frozen import is_fresh
from kerasgrid.training.hooks import hooks_of
from kerasgrid.training.learnt import Learnt, kept_folds

PRESCALED_BYTES = 256 * 2**20
"""Samples that are smaller as float32 are scaled once a job, and others batch by batch."""
_SAME_FOR_ALL = (
    keras.initializers.Constant,
    keras.initializers.Identity,
    keras.initializers.Ones,
    keras.initializers.Zeros,
)


@dataclass
class Made:
    """The variables that were made by `Layer.add_weight`.

    Attributes:
        initializers: By the variable's id.
        values: Digests of the first values, by the variable's id; empty where nobody asked for them.
        variables: Kept, so that no id is given twice.
    """

    initializers: dict[int, Any] = field(default_factory=dict)
    values: dict[int, bytes] = field(default_factory=dict)
    variables: list[Any] = field(default_factory=list)

    def untouched(self, weights: list[Any]) -> list[bool | None]:
        """Tells of each weight whether it has the value that its initializer gave it.

        None where that is not known: of those that were made while a model was called with a symbol.
        """
        known = [(self.values.get(id(weight)), weight) for weight in weights]
        return [None if first is None else first == _digest(weight) for first, weight in known]


@contextmanager
def recorded(with_values: bool = False) -> Iterator[Made]:
    """Records the variables that layers make within.

    Args:
        with_values: Whether their values are to be known too, at the cost of a hash of each.
    """
    made = Made()
    add_weight = keras.layers.Layer.add_weight

    def recording(self, shape=None, initializer=None, *args, **kwargs):
        variable = add_weight(self, shape, initializer, *args, **kwargs)
        made.initializers[id(variable)] = "zeros" if initializer is None else initializer
        made.variables.append(variable)
        if with_values and has_value(variable):
            made.values[id(variable)] = _digest(variable)
        return variable

    keras.layers.Layer.add_weight = recording
    try:
        yield made
    finally:
        keras.layers.Layer.add_weight = add_weight


def _digest(variable: Any) -> bytes:
    array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
    return hashlib.blake2b(array.view(np.uint8).data, digest_size=16).digest()


@dataclass(frozen=True)
class Candidate:
    """A candidate and its data: what a pack, Keras's own fit and an estimator train it with.

    Attributes:
        recipe: The search's, or an estimator's.
        route: Its parameters, each where it goes.
        data: All samples.
        whole: The candidate that this is the rest of; None where it is the whole.
        outputs: The key of what the frozen part of that gives, which are its samples; None for others.
    """

    recipe: Recipe
    route: Route
    data: Dataset
    whole: Candidate | None = None
    outputs: str | None = None

    @classmethod
    def of(cls, recipe: Recipe, params: Mapping[str, Any], data: Dataset | None = None) -> Candidate:
        """Returns the candidate of a trial's params; `data` is the recipe's, where it is open already."""
        if data is None:
            data = map_samples(Path(recipe.data_folder), recipe.source)
        return cls(recipe, recipe.route(params), data)

    def on_outputs(self, data: Dataset, key: str | None = None) -> Candidate:
        """Returns the rest of this candidate, on what its frozen part gives of its samples, and their views.

        Args:
            data: These samples, with the part's outputs in the place of images.
            key: Of these.
        """
        recipe = replace(self.recipe, scale=None, standardize=False, normalize=None)
        return Candidate(recipe, replace(self.route, augment=None), data, self, key)

    @property
    def net(self) -> Candidate:
        """The whole candidate, of what is kept and asked."""
        return self.whole or self

    @property
    def n_views(self) -> int:
        """How many views of each sample there are beside it, in which it is trained on."""
        return len(self.data.images) // len(self.data) - 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Axes of one sample, as the net takes it."""
        if self.data.table is not None:
            return (width(self.data.table, self.recipe.takes_codes),)
        return self.data.images.shape[1:]

    @property
    def form(self) -> Form:
        """What the net takes of one sample: its axes, or its inputs."""
        return self.data.inputs or self.input_shape

    @property
    def is_debiased(self) -> bool:
        """Whether it is measured by BatchNormalization's debiased statistics, and saved with them."""
        return self.route.training.batch_norm == "debiased"

    @property
    def mixes(self) -> bool:
        """Whether it is trained on mixed samples, with mixed labels."""
        return self.route.augment is not None and self.route.augment.mixes

    def scores_both_ways(self, first_values: float | None) -> bool:
        """Tells whether a fit with such a share of first values is scored by debiased statistics too."""
        return first_values is not None and first_values > FIRST_VALUES and not self.is_debiased

    @cached_property
    def objective(self) -> Objective:
        """What scores."""
        return find_objective(self.recipe.objective)

    @cached_property
    def scores(self) -> tuple[Objective, ...]:
        """What is recorded beside it."""
        return tuple(map(find_objective, self.recipe.scores))

    @property
    def n_categories(self) -> tuple[int, ...]:
        """How many codes each column of categories has, where the model function is given codes."""
        table = self.data.table
        return () if table is None or not self.recipe.takes_codes else tuple(n_categories(table))

    # Its model

    def compile(self) -> Compiled:
        """Returns its compiled model.

        Raises:
            ModelError: The model function or Keras refuses the params.
        """
        shown = self.shown()
        with looking_up(Path(self.recipe.base)) as found, recorded(with_values=True) as made:
            model = self.build(shown)
        own = made.untouched(model.weights)
        is_promised = [id(weight) in found.promised for weight in model.weights]
        untouched = [False if is_given else one for one, is_given in zip(own, is_promised, strict=True)]
        drawn = [
            weight
            for weight, is_own in zip(model.weights, untouched, strict=True)
            if is_own is not False and id(weight) in made.initializers  # else it was there before
            if _draws(made.initializers[id(weight)])
        ]
        for layer in layers_within(model):
            if layer.built and is_fresh(layer):  # each fold's rows give them values
                drawn += layer.weights
        route = self.route if shown is None else as_taken(self.route, model, shown.compile_kwargs)
        about = route, self.objective, self.recipe.target, self.form
        compiled = compile_model(model, *about, again=self.build)
        if shown is not None:
            asked = shown.asked
            share = asked.split or (DEFAULT_VAL if asked.monitors_val else None)
            compiled = replace(compiled, callbacks=tuple(asked.callbacks), val=share, shuffles=asked.shuffles)
        check_range(model, self.recipe.target_scale)
        if self.mixes:
            compiled = mixing_labels(compiled)
        return replace(
            compiled,
            sets_weights=bool(found.files) or not all(untouched),
            is_pretrained=bool(found.files) or False in untouched,
            weights=tuple(found.files),
            untouched={id(weight): is_own for weight, is_own in zip(model.weights, untouched, strict=True)},
            drawn=frozenset(map(id, drawn)),
        )

    def shown(self) -> Shown | None:
        """Returns what a model function of another package's form sees; None for one that sees nothing."""
        recipe = self.recipe
        signature, target, route = recipe.signature, recipe.target, self.route
        if not signature.is_shown and own_fit(import_function(recipe)) is None:
            return None
        n = len(self.data) - self.data.n_held_out
        images, labels = self.data.images[:n], self.data.labels[:n]
        is_learnt = self.data.table is not None or recipe.standardize or recipe.normalize is not None
        is_learnt = is_learnt or (route.augment is not None and route.augment.has_statistics)
        is_as_stored = images.dtype == np.float32 and recipe.scale is None and self.data.inputs is None
        is_hidden = is_learnt or not (is_as_stored or 4 * images.size <= PRESCALED_BYTES)
        images = np.asarray(images[:1] if is_hidden else images)
        if self.data.table is not None:
            images = np.zeros((1, *self.input_shape), np.float32)
        shown = Shown.of(
            keras.tree.map_structure(_read_only, self.scaling(None)(images)),
            labels,
            target,
            loop={"batch_size": route.batch_size, "epochs": route.epochs},
            compile_kwargs=arguments_of_compile(route) if "compile_kwargs" in signature.given else {},
        )
        if is_hidden:
            shown = shown.hiding(n, "X")
        return shown if recipe.target_scale is None else shown.hiding(n, "y")

    def build(self, shown: Shown | None = None) -> keras.Model:
        """Returns its model, as its function gives it.

        Args:
            shown: As `shown` gives it, where it is known already.

        Raises:
            ModelError: The model function or Keras refuses the params.
        """
        function, target = import_function(self.recipe), self.recipe.target
        base, downloads = Path(self.recipe.base), self.recipe.downloads
        with looking_up(base, downloads=downloads), _precision(self.route):
            return build_model(
                function,
                self.recipe.signature,
                self.route.model,
                self.form,
                target,
                is_whole=not self.recipe.has_defaults,
                n_categories=self.n_categories,
                shown=shown or self.shown(),
            )

    def targets(self, compiled: Compiled, labels: np.ndarray, learnt: Learnt | None = None) -> np.ndarray:
        """Returns labels in the form that its loss wants; numbers scaled as was learnt, if it is given."""
        if learnt is not None and learnt.scale is not None:
            labels = learnt.scale(labels)
        return targets_of(labels, compiled.labels, self.recipe.target, compiled.n_outputs)

    def sample(self, compiled: Compiled) -> tuple[np.ndarray, np.ndarray]:
        """Returns one image and its target, from which metrics learn their shapes."""
        images = self.data.images[:1]
        if self.data.table is not None:
            images = np.zeros((1, *self.input_shape), np.float32)
        return images, self.targets(compiled, self.data.labels[:1])

    def callbacks(self, compiled: Compiled, rows: np.ndarray) -> list[keras.callbacks.Callback]:
        """Returns all that looks at a run on some rows between its epochs, as `hooks_of`."""
        recipe = self.recipe
        hooks = hooks_of(
            self.route, compiled, self.data.labels[rows], recipe.target, recipe.base, recipe.sources
        )
        return [*compiled.callbacks, *hooks]

    def class_weight(self, rows: np.ndarray) -> dict[int, float] | None:
        """Returns what a sample of each class counts in training on some rows."""
        given, classes = self.route.training.class_weight, self.recipe.target.classes
        return class_weights(given, self.data.labels[rows], classes)

    # Its rows

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The search's folds, read once in this process."""
        path = self.recipe.paths.folds
        return kept_folds(path, path.stat().st_mtime_ns, len(self.data), self.recipe.source)

    def rows(self, fold: Fold, own: float | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the rows to train on, and those of the inner split; None where nothing looks at it.

        Args:
            fold: Whose.
            own: The share that a fit of the model function's own asks for.
        """
        share = self.recipe.inner_share(self.route, own)
        if share is None:
            return fold.train, None
        if isinstance(share, str):  # the held-out rows themselves
            return fold.train, fold.test
        if isinstance(share, int):
            return fold.train, np.arange(len(self.data) - share, len(self.data))
        recipe = self.recipe
        if self.data.folder is None or fold.index == WHOLE:
            return inner_split(self.data, fold, share, recipe.how, recipe.seed)
        where = recipe.data_folder, recipe.source
        path = recipe.paths.folds
        changed_at = path.stat().st_mtime_ns
        return _inner_split(path, changed_at, fold.index, *where, share, recipe.how, recipe.seed)

    def n_rows(self, fold: Fold) -> int:
        """Returns how many rows there are to train on, without splitting them where that can be told."""
        share = self.recipe.inner_share(self.route)
        if not isinstance(share, float):
            return len(fold.train)
        told = inner_rows(self.data, fold, share, self.recipe.how)
        return len(self.rows(fold)[0]) if told is None else told

    # Its images

    def learnt(self, fold: Fold) -> Learnt:
        """Returns what is learnt of a fold's training rows before the net is."""
        return Learnt.of(self.recipe, self.data, fold, self.route.augment)

    def predictions(self, compiled: Compiled, outputs: np.ndarray, fold: Fold) -> np.ndarray:
        """Returns what a net's outputs, (row, ...), say.

        Args:
            compiled: How outputs are read.
            fold: Whose training rows the net has learnt.

        Returns:
            Probabilities (row, class), float32; or numbers as the user has them, (row, number), float64.
        """
        if not self.recipe.target.is_numbers:
            return compiled.probabilities(outputs)
        return self.learnt(fold).numbers(outputs)

    def scaling(self, center: tuple[np.ndarray, np.ndarray] | None) -> Scaling:
        """Returns how stored pixels become input; `center` as `Learnt.center`."""
        mean, std = center or (None, None)
        return Scaling(self.recipe.scale, mean, std, inputs=self.data.inputs)

    def preparation(self) -> Preparation | None:
        """Returns what is done to images between their division and their centring; None for nothing."""
        recipe = self.recipe
        return Preparation.of(
            self.route.augment, self.data.images, recipe.scale, Path(recipe.base), recipe.sources
        )

    def samples(
        self,
        compiled: Compiled,
        rows: tuple[np.ndarray, np.ndarray | None, np.ndarray],
        learnt: Learnt,
    ) -> LoopData:
        """Returns what Keras's own fit trains and measures on.

        Args:
            compiled: The form of labels that its loss wants.
            rows: To train on, of the inner split, and held out.
            learnt: Of the rows to train on.
        """
        images, preparation = self.data.images, self.preparation()
        scaling = self.scaling(learnt.center)
        if learnt.encoder is not None:
            scaling = Scaling(encoder=learnt.encoder)
        if 4 * len(images) * math.prod(self.input_shape) <= PRESCALED_BYTES:
            images = scaling.divide(images)
            scaling = replace(scaling, divisor=None, encoder=None)
            if preparation is None and scaling.inputs is None:
                images, scaling = scaling.center(images), Scaling()
        targets = self.targets(compiled, self.data.labels, learnt)
        weights = self._weights(rows[0])
        return LoopData(images, targets, *rows, scaling, preparation, *weights, self.n_views)

    def _weights(self, rows: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Returns what each sample counts in training on some rows, (sample,), and what each class does.

        Where samples are not mixed, their classes' weights are among their own.
        """
        weights, of_classes, kind = self.data.weights, self.class_weight(rows), keras.config.floatx()
        by_class = None if of_classes is None else np.asarray(list(of_classes.values()))
        if self.mixes:
            weights, by_class = (None if it is None else it.astype(kind) for it in (weights, by_class))
            return weights, by_class
        if by_class is not None:
            each = by_class[self.data.labels]
            weights = each if weights is None else weights * each
        return None if weights is None else weights.astype(kind), None


def import_function(recipe: Recipe) -> Callable:
    """Returns the model function; its module registers what its models consist of with Keras.

    What a script or notebook has registered is registered here, too.

    Raises:
        ChangedError: Its source changed since the search began.
    """
    for known, part in recipe.registered.items():
        package, is_of_package, name = known.partition(">")
        if is_of_package:
            keras.saving.register_keras_serializable(package, name)(part)
        else:
            keras.saving.get_custom_objects()[known] = part
    if isinstance(recipe.model, ModelReference):
        return load_function(recipe.model, recipe.model_source)
    return recipe.model


def _read_only(values: np.ndarray) -> np.ndarray:
    """Returns values that cannot be changed, where what is changed would be the user's own."""
    found = values.view()
    found.flags.writeable = False
    return found


@contextmanager
def _precision(route: Route) -> Iterator[None]:
    """Lets layers that are made within have a candidate's dtype policy."""
    before = keras.config.dtype_policy()
    if route.training.precision != "float32":  # else floatx's, as the user has it
        keras.config.set_dtype_policy(route.training.precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _draws(initializer: Any) -> bool:
    """Tells whether an initializer may give each fit another value; so may one that is not known."""
    found = keras.initializers.get(initializer)
    if isinstance(found, _SAME_FOR_ALL):
        return False
    return not isinstance(found, keras.initializers.Initializer) or found.get_config().get("seed") is None


@lru_cache(maxsize=64)
def _inner_split(
    folds: Path, changed_at: int, fold: int, folder: str, source: str, share: float, how: Folds, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    data = map_samples(Path(folder), source)
    return inner_split(data, kept_folds(folds, changed_at, len(data), source)[fold], share, how, seed)


@contextmanager
def seeded(seed: int, *, with_backend: bool = True) -> Iterator[None]:
    """Seeds Python, NumPy and the backend, and gives Python and NumPy their own numbers back after.

    Args:
        seed: 0 to 2**32 - 1.
        with_backend: Whether to seed the backend too: TensorFlow forgets its kernels then.
    """
    python, numpy = random.getstate(), np.random.get_state()
    if with_backend:
        keras.utils.set_random_seed(seed)
        forget_draws()
    else:
        random.seed(seed)
        np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
