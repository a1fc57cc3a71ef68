"""RepVGG: three branches a block while it learns, one convolution each for prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasgrid.models.keras_private import layers_within


@dataclass(frozen=True)
class RepVGG:
    """How large a RepVGG is.

    Attributes:
        blocks: Of each stage; the first stage is a single block.
        widths: Channels of each stage.
        strides: Of the first block of each stage; the others have 1.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...] = (2, 2, 2, 2, 2)

    multiple = 1
    """What height and width have to be a multiple of."""

    @property
    def least(self) -> int:
        """The fewest pixels that height and width may have, so that each stride halves some."""
        return 2 ** sum(stride > 1 for stride in self.strides)

    def build(self, name: str, shape: Sequence[int]) -> keras.Model:
        """Returns the net from images to feature maps, with its three branches."""
        return _net(name, shape, self, is_folded=False)


_A, _B = (1, 2, 4, 14, 1), (1, 4, 6, 16, 1)
SIZES: Mapping[str, RepVGG] = {
    "repvgg": RepVGG((1, 1, 2, 1), (32, 32, 64, 128), (1, 2, 2, 2)),
    "repvgg_a0": RepVGG(_A, (48, 48, 96, 192, 1280)),
    "repvgg_a1": RepVGG(_A, (64, 64, 128, 256, 1280)),
    "repvgg_a2": RepVGG(_A, (64, 96, 192, 384, 1408)),
    "repvgg_b0": RepVGG(_B, (64, 64, 128, 256, 1280)),
    "repvgg_b1": RepVGG(_B, (64, 128, 256, 512, 2048)),
    "repvgg_b2": RepVGG(_B, (64, 160, 320, 640, 2560)),
    "repvgg_b3": RepVGG(_B, (64, 192, 384, 768, 2560)),
}
"""By name: `repvgg` is for small images, the others are of Ding et al. 2021, table 2 and 3."""


def _net(name: str, shape: Sequence[int], size: RepVGG, *, is_folded: bool) -> keras.Model:
    inputs = x = keras.Input(tuple(shape))
    for stage, (n_blocks, width, stride) in enumerate(
        zip(size.blocks, size.widths, size.strides, strict=True)
    ):
        for block in range(n_blocks):
            layer = _folded_block if is_folded else _block
            x = layer(x, width, 1 if block else stride, f"stage{stage}_block{block}")
            x = keras.layers.ReLU(name=f"stage{stage}_block{block}_relu")(x)
    return keras.Model(inputs, x, name=name)


def _block(x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
    """Adds a 3x3 and a 1x1 convolution, and where nothing changes its shape the input, each normalised."""
    wide = keras.layers.Conv2D(width, 3, stride, use_bias=False, name=f"{name}_3x3")(_padded(x, name))
    narrow = keras.layers.Conv2D(width, 1, stride, use_bias=False, name=f"{name}_1x1")(x)
    branches = [_normalized(wide, f"{name}_3x3"), _normalized(narrow, f"{name}_1x1")]
    if stride == 1 and x.shape[-1] == width:
        branches.append(_normalized(x, f"{name}_identity"))
    return keras.layers.Add(name=f"{name}_add")(branches)


def _folded_block(x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
    return keras.layers.Conv2D(width, 3, stride, name=f"{name}_3x3")(_padded(x, name))


def _padded(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    # `same` puts the rim of a stride at one end alone, off the middle that a 1x1 convolution sees.
    return keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)


def _normalized(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)


def folded(model: keras.Model) -> keras.Model:
    """Returns a model that predicts alike, each block of its RepVGG one convolution and a ReLU.

    Args:
        model: A RepVGG, or one that has some within it, at any depth, as what `backbone` gives. It stays.

    Returns:
        A model with weights of its own, not compiled.
    """
    if model.name in SIZES:
        return _folded_net(model)
    made = keras.models.clone_model(model, clone_function=_folded_layer)
    for mine, theirs in zip(made.layers, model.layers, strict=True):
        if not is_within(theirs):
            mine.set_weights(theirs.get_weights())
    return made


def is_within(layer: keras.Layer) -> bool:
    """Tells whether a model is a RepVGG, or has some within it, at any depth."""
    parts = (layer, *layers_within(layer))
    return any(part.name in SIZES and isinstance(part, keras.Model) for part in parts)


def _folded_layer(layer: keras.Layer) -> keras.Layer:
    return folded(layer) if is_within(layer) else type(layer).from_config(layer.get_config())


def _folded_net(net: keras.Model) -> keras.Model:
    made = _net(net.name, net.input_shape[1:], SIZES[net.name], is_folded=True)
    layers = {layer.name: layer for layer in layers_within(net)}
    for layer in made.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights(_merged(layers, layer.name.removesuffix("_3x3"), layer.filters))
    return made


def _merged(layers: Mapping[str, Any], block: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel, (3, 3, channel in, channel), and bias of a block, summed over its branches."""
    parts = []
    for branch in ("3x3", "1x1", "identity"):
        if f"{block}_{branch}_norm" not in layers:
            continue
        kernel = np.eye(width)[np.newaxis, np.newaxis]
        if branch != "identity":
            kernel = layers[f"{block}_{branch}"].get_weights()[0].astype(np.float64)
        if branch != "3x3":
            kernel = np.pad(kernel, [(1, 1), (1, 1), (0, 0), (0, 0)])
        norm = layers[f"{block}_{branch}_norm"]
        gamma, beta, mean, variance = (weight.astype(np.float64) for weight in norm.get_weights())
        scale = gamma / np.sqrt(variance + norm.epsilon)
        parts.append((kernel * scale, beta - mean * scale))
    kernels, biases = zip(*parts, strict=True)
    return sum(kernels), sum(biases)
