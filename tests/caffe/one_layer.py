"""Nets of one layer, made and run in a line, for the tests of layer types."""

import numpy as np
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from tests.caffe.gradient_checker import layer_net

__all__ = ["one_layer", "run"]


def one_layer(kind, *bottoms, parameters="", tops=1, phase=caffe.TEST):
    """Return a net of one layer as `layer_net` does, also where Hypothesis allows no fixture."""

    def make_net(text, phase):
        return caffe.Net(text_format.Parse(text, pb.NetParameter()), phase)

    return layer_net(make_net, kind, *bottoms, parameters=parameters, tops=tops, phase=phase)


def run(net, *values):
    """Put the values into the net's inputs, reshaped to fit, and return the layer's tops as float64."""
    for k, array in enumerate(values):
        net.blobs[f"in{k}"].reshape(*np.shape(array))
        net.blobs[f"in{k}"].data[...] = array
    net.forward()
    return [net.blobs[name].data.astype(np.float64) for name in net.top_names["l"]]
