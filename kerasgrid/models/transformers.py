"""Transformers for images: ViT, of patches, and CCT, of what convolutions make of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
from keras import ops


@dataclass(frozen=True)
class ViT:
    """How large a Vision Transformer is (Dosovitskiy et al. 2021).

    Attributes:
        patch: Height and width of a patch.
        width: Numbers a token.
        depth: Layers.
        heads: Of the attention.
        ratio: Width of the Dense layer between, in widths of a token.
    """

    patch: int
    width: int
    depth: int
    heads: int
    ratio: int = 4

    @property
    def least(self) -> int:
        """The fewest pixels that height and width may have: two patches."""
        return 2 * self.patch

    @property
    def multiple(self) -> int:
        """What height and width have to be a multiple of."""
        return self.patch

    def build(self, name: str, shape: Sequence[int]) -> keras.Model:
        """Returns the net from images to tokens, (sample, token, number); the first is the class token."""
        inputs = keras.Input(tuple(shape))
        x = keras.layers.Conv2D(self.width, self.patch, self.patch, name="patches")(inputs)
        x = keras.layers.Reshape((-1, self.width), name="tokens")(x)
        # The class token is learnt with its position: of the two vectors' sum there is one.
        x = keras.layers.ZeroPadding1D((1, 0), name="class_token")(x)
        x = _with_positions(x, 0.02)
        for place in range(self.depth):
            layer = f"layer{place}"
            x = keras.layers.Add(name=f"{layer}_add")(
                [x, _attention(_normalized(x, f"{layer}_norm"), self.heads, layer, use_bias=True)]
            )
            y = _dense(_normalized(x, f"{layer}_dense_norm"), self.ratio, layer)
            x = keras.layers.Add(name=f"{layer}_dense_add")([x, y])
        return keras.Model(inputs, _normalized(x, "norm"), name=name)


@dataclass(frozen=True)
class CCT:
    """How large a Compact Convolutional Transformer is (Hassani et al. 2021).

    Attributes:
        depth: Layers.
        heads: Of the attention.
        ratio: Width of the Dense layer between, in widths of a token.
        width: Numbers a token.
        kernel: Height and width of the convolutions; those of 7 have stride 2.
        convolutions: How many there are; a max-pooling by 2 follows each.
    """

    depth: int
    heads: int
    ratio: int
    width: int
    kernel: int
    convolutions: int

    multiple = 1
    """What height and width have to be a multiple of."""

    @property
    def stride(self) -> int:
        """Of a convolution."""
        return max(1, self.kernel // 2 - 1)

    @property
    def least(self) -> int:
        """The fewest pixels that height and width may have, so that there are 2 x 2 tokens."""
        return 2 * (2 * self.stride) ** self.convolutions

    def build(self, name: str, shape: Sequence[int]) -> keras.Model:
        """Returns the net from images to tokens, (sample, token, number)."""
        inputs = x = keras.Input(tuple(shape))
        for place in range(self.convolutions):
            width = self.width if place == self.convolutions - 1 else 64
            x = keras.layers.Conv2D(
                width,
                self.kernel,
                self.stride,
                padding="same",
                activation="relu",
                use_bias=False,
                kernel_initializer="he_normal",
                name=f"conv{place}",
            )(x)
            x = keras.layers.MaxPooling2D(3, 2, padding="same", name=f"pool{place}")(x)
        x = _with_positions(keras.layers.Reshape((-1, self.width), name="tokens")(x), 0.2)
        for place in range(self.depth):
            layer = f"layer{place}"
            y = _attention(_normalized(x, f"{layer}_norm"), self.heads, layer, use_bias=False)
            x = keras.layers.Add(name=f"{layer}_add")([x, y])
            # In the authors' code the sum is normalised, and what the Dense layers give is added to that.
            x = _normalized(x, f"{layer}_dense_norm")
            x = keras.layers.Add(name=f"{layer}_dense_add")([x, _dense(x, self.ratio, layer)])
        return keras.Model(inputs, _normalized(x, "norm"), name=name)


SIZES: Mapping[str, ViT | CCT] = {
    "vit": ViT(4, 64, 4, 4, 2),
    "vit_ti16": ViT(16, 192, 12, 3),
    "vit_s16": ViT(16, 384, 12, 6),
    "vit_b16": ViT(16, 768, 12, 12),
    "vit_b32": ViT(32, 768, 12, 12),
    "vit_l16": ViT(16, 1024, 24, 16),
    "cct": CCT(2, 2, 1, 128, 3, 2),
    "cct_4_3x2": CCT(4, 2, 1, 128, 3, 2),
    "cct_6_3x1": CCT(6, 4, 2, 256, 3, 1),
    "cct_6_3x2": CCT(6, 4, 2, 256, 3, 2),
    "cct_7_3x1": CCT(7, 4, 2, 256, 3, 1),
    "cct_7_3x2": CCT(7, 4, 2, 256, 3, 2),
    "cct_7_7x2": CCT(7, 4, 2, 256, 7, 2),
    "cct_14_7x2": CCT(14, 6, 3, 384, 7, 2),
}
"""By name: `vit` is for small images, `cct` the paper's smallest, CCT-2/3x2; the others are as in the papers,
vit_ti16 and vit_s16 as in Touvron et al. 2021 (arXiv 2012.12877)."""


def sequence_pooling(x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the mean of tokens, (sample, token, number), weighted by what is learnt of each: CCT's own."""
    weights = keras.layers.Softmax(axis=1)(keras.layers.Dense(1)(x))
    return keras.layers.Flatten()(keras.layers.Dot(axes=1)([weights, x]))


def _with_positions(x: keras.KerasTensor, deviation: float) -> keras.KerasTensor:
    """Adds what is learnt of each token's place, by Keras's own layers alone: a product with 1."""
    _, n_tokens, width = x.shape
    places = keras.layers.Dense(
        n_tokens * width,
        use_bias=False,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=deviation),
        name="positions",
    )(ops.ones_like(x[:, 0, :1]))
    places = keras.layers.Reshape((n_tokens, width), name="positions_of_tokens")(places)
    return keras.layers.Add(name="placed")([x, places])


def _normalized(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def _attention(x: keras.KerasTensor, heads: int, layer: str, *, use_bias: bool) -> keras.KerasTensor:
    return keras.layers.MultiHeadAttention(
        heads, x.shape[-1] // heads, use_bias=use_bias, name=f"{layer}_attention"
    )(x, x)


def _dense(x: keras.KerasTensor, ratio: int, layer: str) -> keras.KerasTensor:
    width = x.shape[-1]
    y = keras.layers.Dense(ratio * width, activation="gelu", name=f"{layer}_dense")(x)
    return keras.layers.Dense(width, name=f"{layer}_dense_out")(y)
