"""A candidate's compiled model: its optimizer, loss and metrics, and the labels that they want."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid.errors import ModelError, brief
from kerasgrid.jobs.objective import Objective
from kerasgrid.jobs.route import DEFAULTS, Route
from kerasgrid.keras_names import LOSSES, METRICS, NUMBER_LOSSES, find_loss, is_of_keras
from kerasgrid.models.endings import (
    Ending,
    binary_accuracy,
    ending_of,
    ends_in_logits,
    make_metrics,
    output_activation,
)
from kerasgrid.models.inputs import Form
from kerasgrid.models.keras_private import (
    change_metrics,
    compile_arguments,
    keep_exclusions,
    loss_arguments,
    spare_replica_sums,
)
from kerasgrid.records import Target, WeightsFile
from kerasgrid.training.label_forms import form_of_loss, form_of_step, trains_itself
from kerasgrid.training.mixing import dominant


@dataclass(frozen=True)
class Compiled:
    """A model that can be trained.

    Attributes:
        model: Compiled.
        labels: The form of labels that its loss wants: sparse, one_hot, binary or any.
        n_outputs: Values that it gives a sample.
        from_logits: Whether these are logits; None where that cannot be told from its layers.
        sets_weights: Whether the model function may have given weights values of its own.
        is_pretrained: Whether it did for sure.
        target: What the outputs are of.
        metric_labels: The form of labels that its metrics want, where its loss is given mixed ones; or None.
        callbacks: That a fit of the model function's own asks for.
        val: The share of training rows that such a fit holds back; None for none.
        shuffles: Whether an epoch has an order of its own; else it is that of the rows.
        weights: Files that its weights begin with.
        untouched: Of each weight by its id, whether it has the value that its initializer gave it; None where
            that is not known.
        drawn: Ids of weights whose first values are not the same for every fit.
        whole: The model that this is the rest of; None where it is the whole.
    """

    model: keras.Model
    labels: str
    n_outputs: int
    from_logits: bool | None
    target: Target
    sets_weights: bool = False
    is_pretrained: bool = False
    metric_labels: str | None = None
    callbacks: tuple[keras.callbacks.Callback, ...] = ()
    val: float | None = None
    shuffles: bool = True
    weights: tuple[WeightsFile, ...] = ()
    untouched: Mapping[int, bool | None] = field(default_factory=dict)
    drawn: frozenset[int] = frozenset()
    whole: keras.Model | None = None

    @property
    def net(self) -> keras.Model:
        """The whole model, which is kept and asked."""
        return self.model if self.whole is None else self.whole

    @property
    def is_measured(self) -> bool:
        """Whether Keras's evaluate measures it: without a loss it does not, unless its class says how."""
        own = (getattr(type(self.model), name) for name in ("test_step", "compute_loss"))
        return self.model.loss is not None or not all(map(is_of_keras, own))

    def counted(self, targets: Any) -> Any:
        """Returns the targets that metrics take of those that the loss does: of mixed ones the greater part.

        Targets that are not mixed, as of held-out rows, say the same in both forms.
        """
        if self.metric_labels is None or self.target.is_numbers:
            return targets
        if self.metric_labels == "sparse":
            return ops.argmax(targets, axis=-1)
        return dominant(targets, self.n_outputs > 1 and not self.target.is_multi_label)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Returns (sample, class) float32 of the model's outputs (sample, output).

        Rows sum to 1, but where samples may have several labels.
        """
        outputs = np.asarray(outputs, dtype=np.float32).reshape(len(outputs), -1)
        from_logits = self.from_logits
        if self.target.is_multi_label:
            if from_logits is None:
                from_logits = bool(outputs.min(initial=0.0) < 0 or outputs.max(initial=0.0) > 1 + 1e-3)
            return 1 / (1 + np.exp(-outputs)) if from_logits else outputs
        if from_logits is None:  # a subclassed model: its numbers have to tell
            low, high = float(outputs.min(initial=0.0)), float(outputs.max(initial=0.0))
            sums = outputs.sum(axis=1) if outputs.shape[1] > 1 else np.ones(1)
            from_logits = low < 0 or high > 1 + 1e-3 or not np.allclose(sums, 1, atol=1e-3)
        if outputs.shape[1] == 1:
            positive = 1 / (1 + np.exp(-outputs)) if from_logits else outputs
            return np.concatenate([1 - positive, positive], axis=1)
        if not from_logits:
            sums = outputs.sum(axis=1, keepdims=True)
            is_rounded = np.abs(sums - 1).max(initial=0.0) > 1e-4  # computed in few bits
            return outputs / sums if is_rounded and sums.min(initial=1.0) > 0 else outputs
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def arguments_of_compile(route: Route) -> dict[str, Any]:
    """Returns what SciKeras gives a model function that compiles its model itself.

    Raises:
        ModelError: Keras refuses an argument.
    """
    return {"optimizer": _optimizer_of(route), "loss": _loss_of(route), "metrics": None}


def as_taken(route: Route, model: keras.Model, given: Mapping[str, Any]) -> Route:
    """Returns a candidate's route without what its function has compiled its model with.

    Args:
        route: The candidate's.
        model: From its function. One that is compiled without a loss, and has no step of its own, is not
            any more.
        given: As `arguments_of_compile`; empty where the function was given none.
    """
    if not given or not model.compiled:
        return route
    if model.loss is None and not trains_itself(model):
        model.compiled = False
        return route
    if model.optimizer is given["optimizer"]:
        route = replace(route, optimizer=None, optimizer_args={})
    if given["loss"] is not None and only_loss(model.loss) is given["loss"]:
        route = replace(route, loss=None, loss_args={})
    return route


def _optimizer_of(route: Route) -> keras.optimizers.Optimizer:
    name = route.optimizer or DEFAULTS["optimizer"]
    return _make("optimizer", keras.optimizers, name, route.optimizer_args)


def _loss_of(route: Route) -> keras.losses.Loss | None:
    """Returns the loss that is asked for; None for the one that fits."""
    if route.loss is None:
        return None
    return _make("loss", keras.losses, LOSSES[route.loss].class_name, route.loss_args)


def compile_model(
    model: keras.Model,
    route: Route,
    objective: Objective,
    target: Target,
    form: Form | None = None,
    again: Callable[[], keras.Model] | None = None,
) -> Compiled:
    """Compiles a model for a candidate; one that its function has compiled keeps optimizer and loss.

    Args:
        model: From the model function.
        route: The candidate's params.
        objective: A Keras metric is measured each epoch.
        target: What is predicted.
        form: Axes of one sample, or its inputs, to ask the model for outputs where its layers do not tell
            what they are; None not to.
        again: Gives a model like it, by which is found what labels a training step of its own takes; None
            not to.

    Raises:
        ModelError: The params ask for what the compiled model would ignore; the last layer's
            activation fits no loss; or Keras refuses an argument.
    """
    n_outputs = int(np.prod(model.output_shape[1:])) if _has_shape(model) else target.n_outputs
    from_logits = ends_in_logits(model, form)
    multi_label = target.is_multi_label
    if multi_label:
        _check_several(model, route, target.n_outputs)
    if model.compiled:
        _check_asked(model, route)
        labels = _compiled_labels(model, route, n_outputs, from_logits, target, form, again)
        if route.training.jit != "auto":
            model.jit_compile = route.training.jit
        _check_ending(model, only_loss(model.loss), n_outputs, from_logits, target)
        if multi_label:
            _count_labels_one_by_one(model, from_logits)
        spare_replica_sums(model.optimizer)
        return Compiled(model, labels, n_outputs, from_logits, target)
    fitting = {"labels": "binary_crossentropy", "numbers": "mean_squared_error"}.get(target.kind)
    loss_name = route.loss or fitting or _fitting_loss(model, route, objective, n_outputs)
    arguments = dict(route.loss_args)
    if "from_logits" in LOSSES[loss_name].arguments and from_logits is not None:
        arguments.setdefault("from_logits", from_logits)
    metric = None if objective.metric is None else METRICS[objective.metric]
    labels = LOSSES[loss_name].labels
    if target.kind == "classes" and n_outputs > 1:
        _check_form(loss_name, labels, route.training.labels)
    if (
        metric is not None
        and "any" not in (metric.labels, labels)
        and metric.labels != labels
        and n_outputs > 1
    ):
        wanted = {labels, metric.labels} - {"binary"}
        if len(wanted) > 1:
            raise ModelError(
                f"the loss {loss_name} wants {labels} labels and the objective {objective.name} "
                f"{metric.labels} ones: choose a pair that agrees, as categorical_crossentropy for one_hot."
            )
    metrics = make_metrics(objective.metric, n_outputs, target, from_logits=from_logits)
    model.compile(
        optimizer=_optimizer_of(route),
        loss=_make("loss", keras.losses, LOSSES[loss_name].class_name, arguments),
        metrics=metrics,
        jit_compile=route.training.jit,
    )
    _check_ending(model, model.loss, n_outputs, from_logits, target)
    spare_replica_sums(model.optimizer)
    return Compiled(model, labels, n_outputs, arguments.get("from_logits", from_logits), target)


class FreshOptimizer:
    """A model's optimizer as it was compiled with, made anew as often as it is to begin anew.

    Args:
        model: Compiled, and not trained yet.

    Raises:
        ModelError: The model has a compile of its own, which takes what only its function knows, or an
            optimizer of which no other can be made.
    """

    def __init__(self, model: keras.Model) -> None:
        if not is_of_keras(type(model).compile):
            raise ModelError(
                f"{model.name}: has a compile of its own, and for each of stages a model is compiled anew: "
                "leave stages out, or that."
            )
        self._optimizer = compile_arguments(model)["optimizer"]
        self._config = self._optimizer.get_config()
        if not is_of_keras(type(self._optimizer)):
            self._check_config()

    def compile(self, compiled: Compiled, learning_rate: float | None = None) -> None:
        """Compiles the model as it was, with an optimizer without state, and another rate if one is given."""
        model = compiled.model
        made = type(self._optimizer).from_config(_with_rate(self._config, learning_rate))
        keep_exclusions(self._optimizer, made)
        settings = {**compile_arguments(model), "jit_compile": model.jit_compile, "optimizer": made}
        model.compile(**settings)
        if compiled.target.is_multi_label:
            _count_labels_one_by_one(model, compiled.from_logits)
        spare_replica_sums(model.optimizer)

    def _check_config(self) -> None:
        """Refuses an optimizer of the user's own whose config does not tell how it was made."""
        kind = type(self._optimizer)
        taken = inspect.signature(kind).parameters.values()
        named = {one.name for one in taken if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
        begin = f"{kind.__name__}: each of stages begins with a new optimizer, made of its get_config, "
        if lost := ", ".join(sorted(named - {*self._config})):
            raise ModelError(f"{begin}which lacks {lost}: add it there.")
        try:
            kind.from_config(dict(self._config))
        except Exception as error:
            raise ModelError(f"{begin}of which none can be made: {brief(error)}") from error


def _with_rate(config: Mapping[str, Any], learning_rate: float | None) -> dict[str, Any]:
    """Returns an optimizer's config with another learning rate, which may be that of one within."""
    if learning_rate is None:
        return {**config}
    if (inner := config.get("inner_optimizer")) is None:
        return {**config, "learning_rate": learning_rate}
    return {**config, "inner_optimizer": {**inner, "config": _with_rate(inner["config"], learning_rate)}}


def mixing_labels(compiled: Compiled) -> Compiled:
    """Returns a model that is trained on mixed samples, whose targets are shares of classes.

    A loss of class indices is changed for the one of one-hot rows, which gives the same numbers; metrics
    take the label that counts most, as `Compiled.counted` has it.

    Raises:
        ModelError: The loss takes class indices alone.
    """
    model, labels = compiled.model, compiled.labels
    if compiled.target.is_numbers:
        return compiled
    if labels in {"sparse", "any"} and compiled.n_outputs > 1:
        mixed = "that augment.mixup_alpha or augment.cutmix_alpha has mixed are shares of classes"
        if model.loss is None:
            raise ModelError(
                f"{model.name}: its train_step takes class indices, and labels {mixed}: let it take one-hot "
                "rows, as training: {labels: one_hot} says then."
            )
        loss = keras.losses.get(only_loss(model.loss))
        name = loss_name(loss)
        if name != "sparse_categorical_crossentropy" or _ignores(loss):
            raise ModelError(
                f"{model.name}: the loss {name} takes class indices, and labels {mixed}: take "
                "categorical_crossentropy."
            )
        settings = {**compile_arguments(model), "jit_compile": model.jit_compile}
        model.compile(**{**settings, "optimizer": model.optimizer, "loss": _one_hot_loss(loss)})
        compiled = replace(compiled, labels="one_hot")
    mixing, measure = replace(compiled, metric_labels=labels), model.compute_metrics

    def compute_metrics(x, y, y_pred, sample_weight=None):
        return measure(x, mixing.counted(y), y_pred, sample_weight=sample_weight)

    model.compute_metrics = compute_metrics
    return mixing


def _ignores(loss: Any) -> bool:
    return isinstance(loss, keras.losses.Loss) and loss.get_config().get("ignore_class") is not None


def _one_hot_loss(loss: Any) -> keras.losses.Loss:
    """Returns the loss of one-hot rows for one of class indices, an object or a function of Keras's."""
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    kept = {name: config[name] for name in ("from_logits", "axis", "reduction", "dtype") if name in config}
    return keras.losses.CategoricalCrossentropy(**kept)


def read_outputs(model: keras.Model, route: Route, target: Target, form: Form) -> Compiled:
    """Returns a model that was loaded from its file, compiled or not, and how its outputs are read.

    Args:
        model: Loaded.
        route: The candidate's params.
        target: What is predicted.
        form: Axes of one sample, or its inputs.
    """
    n_outputs = int(np.prod(model.output_shape[1:])) if _has_shape(model) else target.n_outputs
    from_logits = route.loss_args.get("from_logits", ends_in_logits(model, form))
    return Compiled(model, "any", n_outputs, from_logits, target)


def _check_several(model: keras.Model, route: Route, n_labels: int) -> None:
    """Refuses a model or loss of which a sample has one class alone, where it may have several labels.

    Raises:
        ModelError: It ends in softmax, or the loss wants one class a sample.
    """
    if output_activation(model) == "softmax":
        raise ModelError(
            f"{model.name}: ends in softmax, which chooses one of {n_labels} classes, and a sample may have "
            "several labels here: end it in sigmoid. A model function that names multi_label is told so."
        )
    name = route.loss or (loss_name(only_loss(model.loss)) if model.compiled else None)
    if name in _OF_ONE_CLASS:
        raise ModelError(
            f"{model.name}: the loss {name} is of one class a sample, which may have several labels here: "
            "take binary_crossentropy, or binary_focal_crossentropy."
        )


def _count_labels_one_by_one(model: keras.Model, from_logits: bool | None) -> None:
    """Lets the `accuracy` of a model that its function has compiled be that of labels.

    Keras takes the name for the share of samples whose largest output is their label, as of classes, and
    does so at the first batch: `get_metric` in keras/src/trainers/compile_utils.py.
    """

    def counted(given: Any) -> Any:
        if isinstance(given, Mapping):
            return {name: counted(part) for name, part in given.items()}
        if isinstance(given, list | tuple):
            return [counted(part) for part in given]
        return binary_accuracy(from_logits) if given in ("accuracy", "acc") else given

    change_metrics(model, counted)


def _check_ending(
    model: keras.Model, loss: Any, n_outputs: int, from_logits: bool | None, target: Target
) -> None:
    """Refuses what learns nothing or the wrong thing, before the first epoch.

    Raises:
        ModelError: An activation or dropout stands after the output layer; the loss takes logits for
            probabilities or the other way round, or classes from one output; or it is of classes where
            numbers are predicted.
    """
    ending, name = ending_of(model), loss_name(loss)
    last = output_activation(model)
    if target.is_numbers:
        if (fault := _fault_of_numbers(name, ending, last)) is not None:
            raise ModelError(f"{model.name}: {fault}")
        return
    fault = ending.fault
    if fault is None and n_outputs == 1 and last == "softmax":
        fault = "ends in softmax over a single output, which is always 1: take sigmoid."
    if fault is None and n_outputs == 1 and name in _OF_SEVERAL_OUTPUTS:
        fault = f"has one output, and the loss {name} is of one for each class: take binary_crossentropy."
    if fault is None and name in _OF_PROBABILITIES:
        fault = _mismatch(name, loss, ending, last, n_outputs, from_logits)
    if fault is not None:
        raise ModelError(f"{model.name}: {fault}")


def _fault_of_numbers(name: str, ending: Ending, last: str | None) -> str | None:
    """Returns why a net cannot learn to predict numbers by a loss, and what to change."""
    if name in LOSSES and name not in NUMBER_LOSSES:
        return (
            f"the loss {name} is of classes, and numbers are predicted: take mean_squared_error, "
            "mean_absolute_error or huber."
        )
    if last in ("softmax", "log_softmax"):
        return f"ends in {last}, which gives shares of classes, and numbers are predicted: leave it out."
    return ending.fault if ending.dropouts else None


def check_range(model: keras.Model, scale: str | None) -> None:
    """Refuses a net that cannot give all of the numbers that it is to learn.

    Args:
        scale: What it learns in their place, as `data.target_scale`.

    Raises:
        ModelError: It gives none below 0, or above 1, and those that are learnt are around 0.
    """
    last = output_activation(model)
    if scale is not None and last in _BOUNDED:
        raise ModelError(
            f"{model.name}: ends in {last}, which gives {_BOUNDED[last]}, and by data.target_scale the net "
            "learns numbers around 0: end it without an activation, or leave target_scale out."
        )


_BOUNDED = dict.fromkeys(("relu", "relu6", "softplus", "squareplus", "exponential"), "none below 0")
_BOUNDED |= dict.fromkeys(("sigmoid", "hard_sigmoid"), "0 to 1")
_BOUNDED |= dict.fromkeys(("tanh", "softsign", "hard_tanh"), "-1 to 1")


def _mismatch(
    name: str, loss: Any, ending: Ending, last: str | None, n_outputs: int, from_logits: bool | None
) -> str | None:
    """Returns why a loss of probabilities does not fit a model's outputs, and what to change."""
    takes_logits = bool(loss_arguments(loss).get("from_logits", False))
    fitting = "sigmoid" if n_outputs == 1 else "softmax"
    if last in _NO_PROBABILITIES:
        ends = "model ends in" if ending.layer is None else f"output layer {ending.layer} is followed by"
        return (
            f"the {ends} {last}, which gives no probabilities, and the loss {name} needs them: end the model "
            f"in {fitting}."
        )
    if from_logits is False and takes_logits:
        ends = f"ends in {last}" if last else "gives probabilities"
        return (
            f"the model {ends}, and the loss {name} applies {fitting} again (from_logits=True): let "
            "from_logits be False, or end the model without an activation."
        )
    if from_logits is True and not takes_logits:
        cure = "set from_logits=True, or end" if "from_logits" in LOSSES[name].arguments else "end"
        return (
            f"the model's outputs are logits, and the loss {name} takes them for probabilities: {cure} the "
            f"model in {fitting}."
        )
    return None


_OF_PROBABILITIES = {name for name, loss in LOSSES.items() if "from_logits" in loss.arguments} | {
    "kl_divergence",
    "categorical_generalized_cross_entropy",
}
_OF_ONE_CLASS = {name for name in LOSSES if "categorical" in name} | {"kl_divergence"}
_OF_SEVERAL_OUTPUTS = {"categorical_crossentropy", "sparse_categorical_crossentropy"}
_NO_PROBABILITIES = {"relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh"}
_NO_PROBABILITIES |= {"softplus", "softsign", "prelu", "hard_silu", "hard_tanh", "squareplus"}


def loss_name(loss: Any) -> str:
    """Returns the snake_case name of a compiled model's loss; as it is, where Keras has none."""
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return find_loss(str(name)) or str(name)


def only_loss(loss: Any) -> Any:
    """Returns the loss in a list or dict of one, as Keras takes them for a model with one output."""
    while isinstance(loss, list | tuple | Mapping) and len(loss) == 1:
        loss = next(iter(loss.values() if isinstance(loss, Mapping) else loss))
    return loss


def class_weights(
    given: str | Mapping[Any, float] | None, labels: np.ndarray, classes: Sequence[Any]
) -> dict[int, float] | None:
    """Returns what a sample of each class counts in training, by class index; None where all count the same.

    Args:
        given: `balanced`, or weights by label; a class that is not named counts 1.
        labels: (sample,), class indices of the rows that are trained on.
        classes: The label of each class.
    """
    if given is None:
        return None
    if isinstance(given, str):  # balanced
        counts = np.bincount(labels, minlength=len(classes))
        return {i: len(labels) / (len(classes) * max(int(n), 1)) for i, n in enumerate(counts)}
    named = {str(label): float(weight) for label, weight in given.items()}
    return {index: named.get(str(label), 1.0) for index, label in enumerate(classes)}


def _has_shape(model: keras.Model) -> bool:
    """Tells whether a model knows its output's shape, as functional and built Sequential ones do."""
    return hasattr(model, "outputs") and bool(model.outputs)


def _fitting_loss(model: keras.Model, route: Route, objective: Objective, n_outputs: int) -> str:
    if n_outputs == 1:
        return "binary_crossentropy"
    if output_activation(model) == "sigmoid":
        raise ModelError(
            f"the model ends in {n_outputs} sigmoid outputs, but each sample has one of {n_outputs} classes: "
            "end it in softmax, or give a loss in params."
        )
    wants_one_hot = objective.metric is not None and METRICS[objective.metric].labels in {"one_hot", "binary"}
    wants_one_hot = wants_one_hot or "label_smoothing" in route.loss_args  # the sparse one has none
    wants_one_hot = wants_one_hot or route.training.labels == "one_hot"
    return "categorical_crossentropy" if wants_one_hot else "sparse_categorical_crossentropy"


_WRITTEN = {
    "optimizer.learning_rate": "learning_rate",
    "optimizer.gradient_accumulation_steps": "training.accumulate",
}
"""Arguments of optimizers that are written otherwise."""


def _check_asked(model: keras.Model, route: Route) -> None:
    """Refuses params that a model which its function has compiled would ignore, or that it cannot do without.

    Raises:
        ModelError: There are such.
    """
    asked = [name for name in ("optimizer", "loss") if getattr(route, name) is not None]
    asked += [f"optimizer.{name}" for name in route.optimizer_args] + [
        f"loss.{name}" for name in route.loss_args
    ]
    if asked:
        shown = ", ".join(_WRITTEN.get(name, name) for name in asked)
        raise ModelError(
            f"the model function compiles its model, which keeps its optimizer and loss, so that {shown} "
            "would be ignored: name it in the function's signature, or do not compile there."
        )
    if model.loss is None and not trains_itself(model):
        raise ModelError(
            f"{model.name}: is compiled without a loss, and has no train_step or compute_loss of its own: "
            "give compile a loss, or do not compile there: then params.loss is taken, or the one that fits."
        )


def _compiled_labels(
    model: keras.Model,
    route: Route,
    n_outputs: int,
    from_logits: bool | None,
    target: Target,
    form: Form | None,
    again: Callable[[], keras.Model] | None,
) -> str:
    """Returns the form of labels that a compiled model's loss wants, or its own training step."""
    loss, asked = only_loss(model.loss), route.training.labels
    name, known = loss_name(loss), None
    if loss is not None and (isinstance(loss, str) or is_of_keras(loss) or is_of_keras(type(loss))):
        known = LOSSES[name].labels if name in LOSSES else None
    if known is not None:
        _check_form(name, known, asked)
        return known
    if n_outputs == 1 or target.kind != "classes":
        return "binary" if n_outputs == 1 else "any"
    if asked != "auto":
        return asked
    n_classes, found = target.n_outputs, None
    if loss is not None and (callable(loss) or isinstance(loss, keras.losses.Loss)):
        found = form_of_loss(loss, model, n_outputs, n_classes, from_logits)
    elif loss is None and again is not None and form is not None:
        found = form_of_step(again, form, n_classes)
    return found or (LOSSES[name].labels if name in LOSSES else "any")


def _check_form(name: str, known: str, asked: str) -> None:
    """Raises a ModelError where `training.labels` is of another form than a loss of Keras takes."""
    if asked not in ("auto", "any", known) and (asked, known) != ("one_hot", "binary"):
        raise ModelError(
            f"training.labels is {asked}, and the loss {name} takes {known} labels: leave training.labels "
            "out, which is for losses of your own."
        )


def _make(kind: str, module: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    if not hasattr(module, name):
        raise ModelError(
            f"{kind} {name} is of a newer Keras than {keras.__version__}, the installed one: choose another, "
            "or install that."
        )
    try:
        return getattr(module, name)(**arguments)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{kind} {name} refused {dict(arguments)}: {error}") from error
