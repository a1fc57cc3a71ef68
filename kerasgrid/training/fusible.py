"""What a program can train: the models, losses, metrics and optimizers of which it is known."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import KerasgridError
from kerasgrid.keras_names import LOSSES, find_loss, is_of_keras
from kerasgrid.models.keras_private import (
    arguments_of_calls,
    built_metrics,
    compile_arguments,
    excludes_from_decay,
    inputs_of_calls,
    layers_within,
    metric_function,
    renormalizes,
)
from kerasgrid.training.keyed import KEYED, MOST_DROPPED

PER_SAMPLE = frozenset(
    """
    InputLayer Dense Flatten Reshape Permute RepeatVector Activation ReLU LeakyReLU PReLU ELU Softmax
    Identity Embedding Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose DepthwiseConv1D
    DepthwiseConv2D SeparableConv1D SeparableConv2D MaxPooling1D MaxPooling2D MaxPooling3D
    AveragePooling1D AveragePooling2D AveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D
    UpSampling3D Add Subtract Multiply Average Maximum Minimum Concatenate Dot LayerNormalization
    GroupNormalization UnitNormalization RMSNormalization Rescaling Resizing MultiHeadAttention EinsumDense
    Functional Sequential LayerScale CustomScaleLayer
    """.split()  # noqa: SIM905
)
"""Keras's own layers that treat each sample by itself and keep no state but weights; the last two are of its
applications."""

_ELEMENT_BY_ELEMENT = frozenset(
    """
    Absolute Add Cast Clip Divide Elu Equal Exp Gelu HardSigmoid HardSilu HardSwish HardTanh LeakyRelu Log
    Log1p LogSigmoid Maximum Minimum Multiply Negative OnesLike Power Relu Relu6 Selu Sigmoid Silu Softplus
    Softsign Sqrt Square Subtract Tanh TrueDivide
    """.split()  # noqa: SIM905
)
"""Operations of keras.ops that treat each number by itself, as in `x + shortcut`."""

_OVER_AXES = frozenset(
    """
    Amax Amin Concatenate ExpandDims LogSoftmax Logsumexp Max Mean Min Prod Softmax Squeeze Stack Std Sum Var
    """.split()  # noqa: SIM905
)
"""Operations of keras.ops that take the numbers of some axes together, or have them."""

OPTIMIZER_NUMBERS = {
    "SGD": ("momentum", "weight_decay"),
    "RMSprop": ("rho", "momentum", "epsilon", "weight_decay"),
    "Adam": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "AdamW": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "Adamax": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "Adagrad": ("epsilon", "weight_decay"),
    "Adadelta": ("rho", "epsilon", "weight_decay"),
    "Lion": ("beta_1", "beta_2", "weight_decay"),
    "Ftrl": (),
    "Lamb": (),
}
"""Optimizers that a program can apply, with the attributes that are its inputs beside learning_rate."""

ELEMENTWISE = frozenset(OPTIMIZER_NUMBERS) - {"Lamb"}
"""Optimizers whose step treats each weight by itself, so that all weights can be one vector."""


class UnfusibleError(KerasgridError):
    """A candidate that no program can train; it takes Keras's own fit. The message says why."""


def is_net(layer: Any) -> bool:
    """Tells whether a layer is a model whose graph is known: a Functional or Sequential of Keras's own."""
    return type(layer).__name__ in {"Functional", "Sequential"} and is_of_keras(type(layer))


def check_model(model: keras.Model, n_inputs: int = 1) -> None:
    """Refuses a model whose graph is not known, or that keeps state or mixes samples.

    Args:
        model: Any.
        n_inputs: That a sample has.

    Raises:
        UnfusibleError: It does.
    """
    if not is_net(model):
        raise UnfusibleError(f"{type(model).__name__} is a subclass of keras.Model, whose graph is not known")
    if not model.built or len(model.outputs) != 1 or len(model.inputs) != n_inputs:
        raise UnfusibleError("the model has not its inputs and one output of known shape")
    if getattr(model, "run_eagerly", False):
        raise UnfusibleError("the model is compiled with run_eagerly")
    layers = layers_within(model)
    for layer in layers:
        _check_layer(layer)
    for part in (model, *layers):
        for operation in getattr(part, "operations", ()):
            if not isinstance(operation, keras.layers.Layer) and not keeps_samples_apart(operation):
                raise UnfusibleError(f"the operation {operation.name} between layers may mix samples")


def keeps_samples_apart(operation: Any) -> bool:
    """Tells whether an operation between layers is known to treat each sample by itself."""
    kind = type(operation)
    if not is_of_keras(kind):
        return False
    if kind.__name__ == "OneHot":
        return operation.axis != 0 and not operation.sparse
    if kind.__name__ == "Take":  # the same places of each sample
        is_fixed = not any(isinstance(at, keras.KerasTensor) for _, at in arguments_of_calls(operation))
        return is_fixed and operation.axis is not None and operation.axis > 0
    if kind.__name__ == "GetItem":  # `x[:, 3]`, of all samples
        keys = [key for _, key in arguments_of_calls(operation)]
        return all(isinstance(key, tuple | list) and key and key[0] == slice(None) for key in keys)
    if kind.__name__ == "Transpose":
        return bool(operation.axes) and operation.axes[0] == 0
    if kind.__name__ == "Reshape":
        [symbol], (first, *others) = inputs_of_calls(operation)[0], operation.newshape
        size = _size(others)
        return first in (-1, None) and size is not None and size == _size(symbol.shape[1:])
    if kind.__name__ in _OVER_AXES:
        axes = keras.tree.flatten([operation.axis])
        return None not in axes and not any(_is_of_samples(axis, operation) for axis in axes)
    return kind.__name__ in _ELEMENT_BY_ELEMENT and _are_of_one_rank(operation)


def _size(shape: Sequence[int | None]) -> int | None:
    """Returns how many numbers are of such a shape; None where it does not say."""
    known = [size for size in shape if size is not None and size >= 0]
    return math.prod(known) if len(known) == len(shape) else None


def _are_of_one_rank(operation: Any) -> bool:
    """Tells whether all that is calculated with has its samples on one axis, which a lower rank has not."""
    symbols = [len(symbol.shape) for call in inputs_of_calls(operation) for symbol in call]
    given = [one for call in arguments_of_calls(operation) for one in call]
    others = [np.ndim(one) for one in given if not isinstance(one, keras.KerasTensor)]
    return max([*symbols, *others]) == min(symbols)


def mixes_samples(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer of Keras's is made to work over the axis of samples, as `Softmax(axis=0)` is."""
    if type(layer) is keras.layers.EinsumDense and not _keeps_first_axis(layer.equation):
        return True
    axes = [getattr(layer, name, None) for name in ("axis", "attention_axes")]
    return any(axis is not None and _is_of_samples(axis, layer) for axis in keras.tree.flatten(axes))


def _is_of_samples(axis: int, operation: Any) -> bool:
    """Tells whether an axis of what an operation takes may be the first, counted from the end too."""
    ranks = [len(symbol.shape) for call in inputs_of_calls(operation) for symbol in call]
    return axis == 0 or (axis < 0 and axis + min(ranks, default=2) <= 0)


def _keeps_first_axis(equation: str) -> bool:
    """Tells whether a product of inputs and weights, such as `abc,cd->abd`, treats each sample by itself."""
    inputs, weights, outputs = re.split(",|->", equation.replace(" ", ""))
    first = inputs[:3] if inputs.startswith("...") else inputs[:1]
    return outputs.startswith(first) and first not in weights


def _check_layer(layer: keras.layers.Layer) -> None:
    kind = type(layer)
    is_given = kind is keras.layers.Normalization and layer.input_mean is not None  # and not learnt of rows
    is_known = is_of_keras(kind) and (kind in KEYED or kind.__name__ in PER_SAMPLE or is_given)
    if not is_known or mixes_samples(layer):
        raise UnfusibleError(f"the layer {layer.name} ({kind.__name__}) may keep state or mix samples")
    if kind is not keras.layers.GaussianDropout and getattr(layer, "rate", 0.0) > MOST_DROPPED:
        raise UnfusibleError(f"the layer {layer.name} drops more than 255 of 256")
    if kind is keras.layers.MultiHeadAttention and layer.dropout:
        raise UnfusibleError(f"the layer {layer.name} drops some of its attention by seeds of its own")
    if layer.activity_regularizer is not None:
        raise UnfusibleError(f"the layer {layer.name} has an activity regularizer")
    is_plain = kind is not keras.layers.BatchNormalization or not (
        renormalizes(layer) or layer.synchronized or layer.axis not in (-1, len(layer.input.shape) - 1)
    )
    if not is_plain:
        raise UnfusibleError(
            f"the layer {layer.name} normalises by renorm, in sync or not over the last axis"
        )
    if getattr(layer, "mask_zero", False):
        raise UnfusibleError(f"the layer {layer.name} masks what follows it")
    if getattr(layer, "seed", None) is not None:
        raise UnfusibleError(f"the layer {layer.name} has a seed of its own")
    if keras.backend.standardize_dtype(layer.compute_dtype or "float32") == "float16":  # its loss is scaled
        raise UnfusibleError(f"the layer {layer.name} computes in {layer.compute_dtype}")


def loss_of(model: keras.Model) -> keras.losses.Loss:
    """Returns a loss like that of a compiled model.

    Raises:
        UnfusibleError: It is none of keras.losses that is averaged over the batch.
    """
    loss = model.loss
    if loss is None or compile_arguments(model).get("loss_weights") is not None:
        raise UnfusibleError("the model is compiled with loss weights or without a loss")
    if is_of_keras(loss):  # a function of Keras's, by its name
        loss = getattr(loss, "__name__", loss)
    if isinstance(loss, str):
        name = find_loss(loss)
        loss = None if name is None else getattr(keras.losses, LOSSES[name].class_name)()
    if not isinstance(loss, keras.losses.Loss) or not is_of_keras(type(loss)):
        raise UnfusibleError("the loss is a function of the user's own")
    if loss.reduction != "sum_over_batch_size":
        raise UnfusibleError(f"the loss is reduced by {loss.reduction}")
    config = loss.get_config()
    if config.get("ignore_class") is not None:
        raise UnfusibleError(f"the loss {type(loss).__name__} ignores a class, and is a mean of the others")
    if config.get("axis", -1) is None or type(loss) is keras.losses.Circle:
        raise UnfusibleError(f"the loss {type(loss).__name__} is of a whole batch, padding included")
    return type(loss).from_config(config)


def metrics_of(model: keras.Model, sample: tuple[Any, Any]) -> list[keras.metrics.Metric]:
    """Returns the metrics that a model is compiled with, built for a sample and its target.

    Raises:
        UnfusibleError: One is none of keras.metrics, or is weighted.
    """
    if compile_arguments(model).get("weighted_metrics"):
        raise UnfusibleError("the model is compiled with weighted metrics")
    target = keras.ops.convert_to_tensor(sample[1])
    outputs = keras.ops.zeros((1, *model.output_shape[1:]))
    found = built_metrics(model, target, outputs)
    for metric in found:
        kinds = (type(metric), metric_function(metric))
        if not all(kind is None or is_of_keras(kind) for kind in kinds):
            raise UnfusibleError(f"the metric {metric.name} is the user's own")
        metric.update_state(target, outputs)  # some make their variables now
        metric.reset_state()
    return found


def check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses an optimizer that a program cannot apply.

    Raises:
        UnfusibleError: It is.
    """
    name = type(optimizer).__name__
    if name not in OPTIMIZER_NUMBERS or not is_of_keras(type(optimizer)):
        raise UnfusibleError(f"the optimizer is {name}")
    if optimizer.gradient_accumulation_steps:
        raise UnfusibleError(f"{name} accumulates gradients over steps, as training.accumulate says")
    if optimizer.use_ema or optimizer.loss_scale_factor:
        raise UnfusibleError(f"{name} uses moving averages or loss scaling")
    if excludes_from_decay(optimizer):
        raise UnfusibleError(f"{name} excludes weights from weight decay")
