"""The built-in models by name; imports no Keras."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltIn:
    """A model function that comes with kerasgrid.

    Attributes:
        target: `module:function`.
        summary: One line that says what it is.
        n_parameters: Numbers of weights for (28, 28, 1) and 10 classes with its defaults.
    """

    target: str
    summary: str
    n_parameters: int


BUILT_IN: dict[str, BuiltIn] = {
    "fc": BuiltIn(
        "kerasgrid.models.fc:fc",
        "small fully connected net: Dense 64, 128, 256, each with BatchNorm and dropout",
        95_946,
    ),
    "sopcnn": BuiltIn(
        "kerasgrid.models.sopcnn:sopcnn",
        "SOPCNN (Assiri 2020): 2 x Conv 64, 2 x Conv 128, 2 x Dense 2048, dropout 0.8 before the softmax",
        17_324_490,
    ),
    "vgg": BuiltIn(
        "kerasgrid.models.vgg:vgg",
        "VGG style with LeakyReLU: 3 x Conv 64, 3 x Conv 128, 2 x Conv 256, Dense 256",
        1_926_794,
    ),
    "vgg_sopcnn": BuiltIn(
        "kerasgrid.models.vgg:vgg_sopcnn",
        "vgg crossed with sopcnn: one more Conv 512, Dense 1024, a single dropout before the softmax",
        3_054_986,
    ),
    "convnet": BuiltIn(
        "kerasgrid.models.convnet:convnet",
        "plain ConvNet: Conv 16, 64 and 128 (5x5), Dense 512, 128; BatchNorm optional",
        871_658,
    ),
    "bn_cnn": BuiltIn(
        "kerasgrid.models.bn_cnn:bn_cnn",
        "small CNN with BatchNorm in every layer: Conv 16, 32, 64, Dense 128, 64",
        434_954,
    ),
}
