"""Lets one search choose among built-in nets: `model: convnets.py:build`, `net: [vgg, sopcnn]` in `space`."""

from kerasgrid.models.convnet import convnet
from kerasgrid.models.vgg import bn_cnn, sopcnn, vgg, vgg_sopcnn

NETS = {"bn_cnn": bn_cnn, "convnet": convnet, "sopcnn": sopcnn, "vgg": vgg, "vgg_sopcnn": vgg_sopcnn}


def build(input_shape, n_classes, net="vgg", **params):
    """Returns the net of a name; the other parameters are its own."""
    return NETS[net](input_shape, n_classes, **params)
