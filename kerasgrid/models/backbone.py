"""Nets for pictures, by their names, and a head on each: keras.applications', RepVGG, ViT and CCT."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import keras
import numpy as np

from kerasgrid.errors import ModelError, WeightsError
from kerasgrid.models import repvgg, transformers
from kerasgrid.models.blocks import (
    Activation,
    Dropout,
    Head,
    Normalization,
    check_choice,
    check_switch,
    check_widths,
    image_input,
    is_list,
    is_whole,
    normalization_of,
)
from kerasgrid.models.freezing import freeze
from kerasgrid.models.references import IMAGENET, NO_WEIGHTS
from kerasgrid.models.weights import load_weights, with_imagenet

POOLINGS = ("own", "avg", "max", "flatten")
_OWN = {**repvgg.SIZES, **transformers.SIZES}
_LEAST = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
"""The fewest pixels that height and width may have, of nets of keras.applications; of the others 32."""


def backbone(
    input_shape: Sequence[int],
    n_classes: int | None = None,
    *,
    n_outputs: int | None = None,
    multi_label: bool = False,
    backbone: str = "repvgg",
    weights: str | None = "none",
    trainable: bool = True,
    resize: int | Sequence[int] | None = None,
    pooling: str = "own",
    dense_units: Sequence[int] = (),
    activation: str = "relu",
    negative_slope: float = 0.1,
    batch_norm: bool = False,
    normalization: str = "batch_norm",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    gamma_initializer: Any = "ones",
    dense_dropout: float = 0.0,
    dropout: float = 0.0,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """A net for pictures by its name, from pixels of 0 to 255, and Dense layers on what it gives.

    Any of keras.applications, such as VGG16, ResNet50V2, MobileNetV3Small or EfficientNetB0; RepVGG (Ding et
    al. 2021, arXiv 2101.03697), ViT (Dosovitskiy et al. 2021, arXiv 2010.11929) and CCT (Hassani et al. 2021,
    arXiv 2104.05704), which Keras has not. Each scales pixels itself, as it was published, so that `data` has
    neither `scale` nor `standardize`. 158,666 parameters for (28, 28, 1) and 10 classes, 1,408 of them not
    trainable.

    Args:
        input_shape: (height, width, channels), of pixels from 0 to 255; 3 channels, or 1, which is repeated.
        n_classes: From 2; None to predict numbers, which the model gives as they come.
        n_outputs: How many numbers, from 1; as many as `n_classes`, where that is given.
        multi_label: Whether samples may have several labels: each output is a sigmoid of its own then.
        backbone: One of keras.applications; repvgg, vit or cct, which are for small images; or as in the
            papers repvgg_a0 to a2, repvgg_b0 to b3, vit_ti16, vit_s16, vit_b16, vit_b32, vit_l16, cct_4_3x2,
            cct_6_3x1, cct_6_3x2, cct_7_3x1, cct_7_3x2, cct_7_7x2, cct_14_7x2.
        weights: What the backbone begins with: none, to draw them; imagenet, which Keras downloads where they
            are not at hand; or the path of a file, from the folder of grid.yaml: a .weights.h5 file that its
            save_weights has written, or a .keras file with it, such as kerasgrid saves.
        trainable: Whether the backbone is trained; else its BatchNorm and dropout are as in prediction.
        resize: Height and width that images are brought to in the model, one number for both or a list; by
            default their own, or the least that the backbone takes.
        pooling: What becomes of feature maps or tokens: avg, max, flatten, or own: ViT's class token, CCT's
            weighted mean, and avg for all others. ConvNeXt normalises after avg and max.
        dense_units: A width for each Dense layer before the output layer; may be empty.
        activation: Of these: an activation of Keras, or prelu.
        negative_slope: Of leaky_relu, from 0.
        batch_norm: Whether these are normalised, before their activation.
        normalization: How: batch_norm, layer_norm, group_norm or none.
        momentum: Of that BatchNorm's moving statistics, in [0, 1).
        epsilon: That BatchNorm's, above 0.
        gamma_initializer: Of that normalisation's scale.
        dense_dropout: Rate after each of these layers, in [0, 1).
        dropout: Rate before the output layer, in [0, 1).
        kernel_initializer: Of the Dense layers; the backbone has its own.

    Returns:
        The uncompiled model, float, (sample, n_classes) or (sample, n_outputs); its backbone is a model
        within, of the backbone's name.

    Raises:
        ModelError: An argument is out of its range or unknown, the images are none that it takes, or its
            weights are not at hand or of another net.
    """
    net = _net(backbone)
    check_switch("trainable", trainable)
    check_choice("pooling", pooling, POOLINGS)
    widths = check_widths("dense_units", dense_units, empty=True)
    act = Activation(activation, negative_slope)
    norm = Normalization(normalization_of(batch_norm, normalization), momentum, epsilon, gamma_initializer)
    dense_drop, drop = Dropout(dense_dropout, argument="dense_dropout"), Dropout(dropout)
    head = Head("backbone", n_classes, n_outputs, multi_label, kernel_initializer)

    inputs = image_input("backbone", input_shape, smallest=1, why="its convolutions")
    x = _pictures(net, inputs, resize)
    body = net.with_weights(x.shape[1:], NO_WEIGHTS if weights is None else weights, pooling)
    x = net.prepare(x)
    if not trainable:
        freeze([body])
    x = net.pooled(body(x), pooling)
    for width in widths:
        x = keras.layers.Dense(width, kernel_initializer=kernel_initializer)(x)
        x = dense_drop(act(norm(x)))
    return head(inputs, drop(x))


def _net(name: str) -> _Own | _Application:
    known = applications()
    check_choice("backbone", name, [*known, *_OWN])
    return _Application(name, known[name]) if name in known else _Own(name)


def applications() -> dict[str, Callable[..., keras.Model]]:
    """Returns the functions of keras.applications that build nets, by their names."""
    found = vars(keras.applications).items()
    return {name: one for name, one in found if isinstance(one, FunctionType) and name[0].isupper()}


def _pictures(net: _Own | _Application, x: keras.KerasTensor, resize: Any) -> keras.KerasTensor:
    """Returns images of the size that a net takes, in three channels."""
    *shape, channels = x.shape[1:]
    if channels not in (1, 3):
        raise ModelError(
            f"backbone: input_shape is {tuple(x.shape[1:])}, but its nets take 3 channels, or 1, which is "
            "repeated. Give pictures in grey or RGB, or use another model."
        )
    size = [-(-max(pixels, net.least) // net.multiple) * net.multiple for pixels in shape]
    if resize is not None:
        size = _size(net, resize)
    if size != shape:
        x = keras.layers.Resizing(*size, name="resize")(x)
    return x if channels == 3 else keras.layers.Concatenate(name="repeat_grey")([x, x, x])


def _size(net: _Own | _Application, resize: Any) -> list[int]:
    """Returns the height and width that are asked for."""
    size = [*resize] if is_list(resize) else [resize, resize]
    if len(size) != 2 or not all(map(is_whole, size)):
        raise ModelError(
            f"resize is {resize!r}, but must be a whole number of pixels, or a list of height and width."
        )
    if min(size) < net.least:
        raise ModelError(
            f"resize is {resize!r}, but {net.name} needs images of at least {net.least} x {net.least}."
        )
    if any(pixels % net.multiple for pixels in size):
        raise ModelError(
            f"resize is {resize!r}, but {net.name} cuts images into patches of {net.multiple} x "
            f"{net.multiple}: give a multiple of {net.multiple}."
        )
    return [int(pixels) for pixels in size]


@dataclass(frozen=True)
class _Own:
    """A net that is built here."""

    name: str

    @property
    def least(self) -> int:
        return _OWN[self.name].least

    @property
    def multiple(self) -> int:
        return _OWN[self.name].multiple

    def with_weights(self, shape: Sequence[int], weights: str, pooling: str) -> keras.Model:
        if weights == IMAGENET:
            raise WeightsError(
                f"weights is imagenet, which Keras has of keras.applications alone, and of no {self.name}: "
                "give none or the path of a file; searched beside nets that have them, weights takes "
                "when: {backbone: [...]}."
            )
        return _loaded(_OWN[self.name].build(self.name, shape), weights)

    def prepare(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Rescaling(1 / 127.5, -1.0, name="pixels")(x)

    def pooled(self, x: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
        size = _OWN[self.name]
        if isinstance(size, transformers.ViT):
            return x[:, 0] if pooling == "own" else _pooled(x[:, 1:], pooling)
        if isinstance(size, transformers.CCT) and pooling == "own":
            return transformers.sequence_pooling(x)
        return _pooled(x, pooling)


@dataclass(frozen=True)
class _Application:
    """A net of keras.applications."""

    name: str
    function: Callable[..., keras.Model]

    multiple = 1

    @property
    def least(self) -> int:
        return _LEAST.get(self.name, 32)

    def with_weights(self, shape: Sequence[int], weights: str, pooling: str) -> keras.Model:
        """Returns the net up to its feature maps; ConvNeXt pools these, and normalises what it has then."""
        pools = self.name.startswith("ConvNeXt") and pooling != "flatten"
        own = {"own": "avg"}.get(pooling, pooling) if pools else None

        def build(given: str | None) -> keras.Model:
            return self.function(include_top=False, weights=given, input_shape=tuple(shape), pooling=own)

        return with_imagenet(self.name, build) if weights == IMAGENET else _loaded(build(None), weights)

    def prepare(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Does as the preprocess_input that Keras has beside the net, which is asked of four pixels."""
        prepare = vars(sys.modules[self.function.__module__])["preprocess_input"]
        pixels = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype("float32").reshape(4, 1, 1, 3)
        black, *primary = np.asarray(prepare(pixels.copy(), data_format="channels_last")).reshape(4, 3)
        slopes = (np.stack(primary) - black) / 255  # (channel in, channel)
        if np.array_equal(slopes, np.eye(3)) and not black.any():
            return x  # its first layers do it
        if slopes[0, 2]:
            x, slopes = x[:, :, :, ::-1], slopes[::-1]  # BGR, as Caffe has it
        scale = [float(slopes[channel, channel]) for channel in range(3)]
        return keras.layers.Rescaling(scale, [float(offset) for offset in black], name="pixels")(x)

    def pooled(self, x: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
        return x if len(x.shape) == 2 else _pooled(x, pooling)


def _loaded(net: keras.Model, weights: str) -> keras.Model:
    if weights != NO_WEIGHTS:
        load_weights(net, str(weights))
    return net


def _pooled(x: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
    """Returns (sample, number) of feature maps or tokens; `own` is the mean."""
    if pooling == "flatten":
        return keras.layers.Flatten()(x)
    if len(x.shape) == 3:
        kind = keras.layers.GlobalMaxPooling1D if pooling == "max" else keras.layers.GlobalAveragePooling1D
    else:
        kind = keras.layers.GlobalMaxPooling2D if pooling == "max" else keras.layers.GlobalAveragePooling2D
    return kind()(x)
