"""All that is asked of private attributes of Keras and KerasTuner, which a new version may rename or drop.

Each function names the attributes that it reads, as Keras 3.15 has them, and what needs them; nothing public
tells the same. `tests/models/test_keras_private.py` has a test of each, which says what is lost without it.
Keras's global state is kept in `seeds`, which does not import Keras.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import keras


def layers_within(layer: keras.Layer, *, nested: bool = True) -> list[keras.Layer]:
    """Returns the layers that a layer or model is made of, each once; `Layer._flatten_layers`.

    A model's `layers` are of one depth, and a layer of the user's own has none. What a graph holds, and which
    layers a pack cannot train, is told by all of them.

    Args:
        layer: It is not among them.
        nested: Whether those of nested models, wrappers and layers follow, too.
    """
    return layer._flatten_layers(include_self=False, recursive=nested)


def call_of(tensor: Any) -> tuple[Any, list[Any], int] | None:
    """Returns the operation that gave a symbolic tensor, its inputs, and the output's place; None for others.

    `KerasTensor._keras_history` and `Operation._inbound_nodes`. How a model ends is read from its end back.
    """
    if not hasattr(tensor, "_keras_history"):
        return None
    operation, node_index, tensor_index = tensor._keras_history
    return operation, operation._inbound_nodes[node_index].input_tensors, tensor_index


def inputs_of_calls(layer: keras.Layer) -> list[list[Any]]:
    """Returns the symbolic tensors that a layer was called with, a list a call; `Operation._inbound_nodes`.

    `layer.input` is of a single call, and a model within may stand in several others. A Normalization is
    adapted to what comes to it.
    """
    return [list(node.input_tensors) for node in layer._inbound_nodes]


def arguments_of_calls(operation: Any) -> list[tuple[Any, ...]]:
    """Returns what an operation was called with by position, a tuple a call; `Node.arguments`.

    What `x[:, 3]` takes of x is an argument of the call, and none of the operation.
    """
    return [tuple(node.arguments.args) for node in operation._inbound_nodes]


def is_masked(net: keras.Model) -> bool:
    """Tells whether a Functional or Sequential was called with a mask; `Operation._inbound_nodes`.

    `Functional.call` hangs it on the net's inputs, and layers hand it on by what they give: a net that is cut
    there would lose it.
    """
    masks = [node.arguments.kwargs.get("mask") for node in net._inbound_nodes]
    return any(mask is not None for mask in keras.tree.flatten(masks))


def run_graph(model: keras.Model, inputs: list[Any], call: Callable[..., Any]) -> Any:
    """Returns what a Functional or Sequential gives of other inputs; `Function._run_through_graph`.

    `Sequential._functional` is the graph of its layers. A graph is cut in two by calling what comes after the
    cut anew, with the same layers, which no public function does inside of a model within.

    Args:
        model: Built; its layers are shared.
        inputs: In the order of its own.
        call: Is asked to call each operation, in order: `call(operation, args, kwargs)`.
    """

    def calling(operation: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: call(operation, args, kwargs)

    return getattr(model, "_functional", model)._run_through_graph(inputs, operation_fn=calling)


def compile_like(model: keras.Model, other: keras.Model) -> None:
    """Compiles a model as another one is, which has not been trained yet, by the same optimizer.

    `_user_metrics` of `Trainer._compile_metrics`, which may have been changed since (see `change_metrics`).
    A loss may be by the output's name, which a model that ends within one of the other's has not.
    """
    settings = {**compile_arguments(other), "jit_compile": other.jit_compile}
    model.output_names = getattr(other, "output_names", None)
    model.compile(**{**settings, "optimizer": other.optimizer})
    if other._compile_metrics is not None:
        change_metrics(model, lambda _: other._compile_metrics._user_metrics)


def has_value(variable: keras.Variable) -> bool:
    """Whether a variable has a value yet; `Variable._value`.

    Those that are made while a model is called with a symbol have none, and `value` draws one in its place.
    It is asked in order to know which weights the model function has set itself.
    """
    return getattr(variable, "_value", None) is not None


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Returns what `compile` was given, as it was; empty for a model that is not compiled.

    `Trainer._compile_config`: `get_compile_config` gives it serialized, which a user's own loss need not be
    made for. A model of a pack may have no loss weights, and one with layers before it is compiled alike.
    """
    return model._compile_config.config if model.compiled else {}


def built_metrics(model: keras.Model, target: Any, outputs: Any) -> list[keras.metrics.Metric]:
    """Returns the metrics that a model is compiled with, without `loss`, as a first batch makes them.

    `Trainer._compile_metrics`, which makes them of their names once it knows the shapes of both.

    Args:
        model: Compiled.
        target: Targets as in training.
        outputs: Outputs for them.
    """
    compiled = model._compile_metrics
    if compiled is None:
        return []
    if not compiled.built:
        compiled.build(target, outputs)
    return list(compiled.metrics)


def change_metrics(model: keras.Model, change: Callable[[Any], Any]) -> None:
    """Changes what a model is to be compiled with as metrics, if no batch has made them yet.

    `_user_metrics` of `Trainer._compile_metrics`; compiled anew, a model would lose what else it was told.

    Args:
        model: Any.
        change: Takes the argument `metrics` of `compile`, and gives the one that holds.
    """
    compiled = getattr(model, "_compile_metrics", None)
    if compiled is not None and not compiled.built:
        compiled._user_metrics = change(compiled._user_metrics)


def loss_arguments(loss: Any) -> dict[str, Any]:
    """Returns the arguments that a loss calls its function with, which change with it; `_fn_kwargs`.

    Empty for a loss without any, or that is no object of Keras's. `from_logits` and `label_smoothing` are
    there: the first is checked, the second is an input of a program.
    """
    return getattr(loss, "_fn_kwargs", {})


def metric_function(metric: keras.metrics.Metric) -> Callable | None:
    """Returns the function that a metric takes the mean of; None where it is no mean of one.

    `MeanMetricWrapper._fn`. A function of the user's own is no part of a pack, by whatever name.
    """
    return getattr(metric, "_fn", None)


def schedule_of(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Returns the schedule that an optimizer takes its learning rate from; None where that can be set.

    `Optimizer._learning_rate`, as `learning_rate` gives the rate of this step.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of mixed_float16's LossScaleOptimizer
    rate = getattr(optimizer, "_learning_rate", None)
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def excludes_from_decay(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether some weights are left out of an optimizer's weight decay, which no config tells.

    `_exclude_from_weight_decay` and `_exclude_from_weight_decay_pattern`. A program's weights may be one
    vector, which has no names.
    """
    return any(getattr(optimizer, name, None) for name in _EXCLUSIONS)


_EXCLUSIONS = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")


def keep_exclusions(optimizer: keras.optimizers.Optimizer, other: keras.optimizers.Optimizer) -> None:
    """Leaves the same weights out of another optimizer's weight decay, which is of the first one's config."""
    for name in _EXCLUSIONS:
        if hasattr(optimizer, name):
            setattr(other, name, getattr(optimizer, name))
    if hasattr(optimizer, "inner_optimizer"):
        keep_exclusions(optimizer.inner_optimizer, other.inner_optimizer)


def spare_replica_sums(optimizer: Any) -> None:
    """Lets an optimizer that trains on one replica not sum its gradients over replicas.

    `_distribution_strategy` and `_all_reduce_sum_gradients`, on TensorFlow. That sum is a
    tf.custom_gradient, whose graph stays in TensorFlow's registry of gradients for ever: some 10 MB a fit.
    https://github.com/tensorflow/tensorflow/issues/97697
    Other backends' optimizers have no strategy, and are left as they are.
    """
    strategy = getattr(optimizer, "_distribution_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync == 1:
        optimizer._all_reduce_sum_gradients = list
    if hasattr(optimizer, "inner_optimizer"):  # of mixed_float16's LossScaleOptimizer
        spare_replica_sums(optimizer.inner_optimizer)


def make_stateless(optimizer: Any) -> Any:
    """Lets an optimizer that is not built yet be applied within a StatelessScope.

    On TensorFlow it would write to its tf.Variables by way of tf.distribute: the methods below are those of
    `BaseOptimizer` there, as other backends have them.
    """
    if keras.backend.backend() == "tensorflow":
        from keras.src.optimizers.base_optimizer import BaseOptimizer

        for name in (
            "assign",
            "assign_add",
            "assign_sub",
            "_var_key",
            "_apply_weight_decay",
            "_backend_update_step",
            "_clip_by_norm",
            "add_variable_from_reference",
        ):
            setattr(optimizer, name, MethodType(getattr(BaseOptimizer, name), optimizer))
    return optimizer


def carried_logits(outputs: Any) -> Any | None:
    """Returns the logits that a tensor of TensorFlow carries; None for none; `_keras_logits`.

    Keras takes a crossentropy, as loss or metric, from them instead of from the outputs.
    https://github.com/keras-team/keras/blob/v3.12.0/keras/src/backend/tensorflow/nn.py, `_get_logits`.
    """
    return getattr(outputs, "_keras_logits", None)


def carry_logits(outputs: Any, logits: Any) -> None:
    """Lets a tensor of TensorFlow carry logits, as one that comes out of a softmax does; `_keras_logits`."""
    outputs._keras_logits = logits


def noise_shape(layer: keras.Layer, inputs: Any) -> tuple:
    """Returns the shape of what a SpatialDropout multiplies by, 1 in axes of space; `_get_noise_shape`."""
    return tuple(layer._get_noise_shape(inputs))


def renormalizes(layer: keras.layers.BatchNormalization) -> bool:
    """Whether batches are corrected towards the moving statistics (Ioffe 2017); `renorm`, from Keras 3.14 on.

    A program's BatchNormalization takes those of the batch.
    """
    return bool(getattr(layer, "renorm", False))


def add_state(layer: keras.Layer, variable: keras.Variable) -> None:
    """Lets a layer that is built have one more variable, which is none of its weights.

    `Layer._seed_generators`, whose `state` is among a model's variables, too: steps of any backend write it,
    and neither `get_weights` nor a saved file has it. How often statistics were updated is counted so.
    """
    list.append(layer._seed_generators, SimpleNamespace(state=variable))  # its own append is for building


def own_build(function: Callable) -> Callable:
    """Returns a HyperModel's build as it was written; any other function as it is.

    `HyperModel._build`, as KerasTuner 1.4 keeps it behind `_build_wrapper`. Messages tell its name and line.
    """
    is_wrapped = getattr(function, "__name__", "") == "_build_wrapper"
    return getattr(getattr(function, "__self__", None), "_build", function) if is_wrapped else function


@contextmanager
def downloading_by(get: Callable[..., str]) -> Iterator[None]:
    """Lets keras.applications get files of weights by a function; `keras.src.utils.file_utils.get_file`.

    Nothing public tells the name and address of such a file, or whether it is at hand, before it is there.

    Args:
        get: Takes Keras's own `get_file`, and its arguments; it returns the file's path.
    """
    from keras.src.utils import file_utils

    before = file_utils.get_file
    file_utils.get_file = partial(get, before)
    try:
        yield
    finally:
        file_utils.get_file = before


def is_whole_download(path: Path, given: Mapping[str, Any]) -> bool:
    """Tells whether a file has the hash that Keras knows of it, as far as it knows one.

    `keras.src.utils.file_utils.validate_file`.

    Args:
        path: Of the file, which is there.
        given: What Keras gave its `get_file` by name.
    """
    from keras.src.utils import file_utils

    known = given.get("file_hash") or given.get("md5_hash")
    return known is None or file_utils.validate_file(path, known)


def download_path(file: str, folder: str) -> Path:
    """Returns where Keras keeps a file that it downloads; `keras.src.backend.config.keras_home`.

    Args:
        file: Its name.
        folder: The `cache_subdir` of get_file.
    """
    from keras.src.backend import config

    home = os.path.expanduser(config.keras_home())
    return Path(home if os.access(home, os.W_OK) else "/tmp/.keras") / folder / file


class OwnMoments(keras.layers.BatchNormalization):
    """BatchNormalization that trains with the statistics that `moments` gives; `_moments`, which `call` asks.

    A class that has others overrides `moments`, so that padding does not count.
    """

    def moments(self, inputs: Any) -> tuple[Any, Any] | None:
        """Returns mean and variance of each channel; None for those of all inputs."""
        return None

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        found = self.moments(inputs)
        return super()._moments(inputs, mask) if found is None else found
