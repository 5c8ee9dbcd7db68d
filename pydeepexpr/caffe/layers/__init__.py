"""The layer types. Importing a module here registers the types in it."""

from pydeepexpr.caffe.layers import common, data, inputs, loss, neuron, vision
from pydeepexpr.caffe.layers.base import LAYERS, Layer, make_layer

__all__ = ["LAYERS", "Layer", "common", "data", "inputs", "loss", "make_layer", "neuron", "vision"]
