"""The layer types. Importing a module here registers the types in it."""

from collections.abc import Callable

from pydeepexpr.caffe import net_spec
from pydeepexpr.caffe.layers import (
    affine,
    common,
    convolution,
    data,
    distance_loss,
    eltwise,
    hdf5_data,
    image_data,
    inputs,
    loss,
    lrn,
    memory_data,
    neuron,
    normalisation,
    pooling,
    python,
    recurrent,
    reduction,
    selection,
    shape,
    window_data,
)
from pydeepexpr.caffe.layers.base import LAYERS, Layer, make_layer

__all__ = [
    "LAYERS",
    "Layer",
    "affine",
    "common",
    "convolution",
    "data",
    "distance_loss",
    "eltwise",
    "hdf5_data",
    "image_data",
    "inputs",
    "loss",
    "lrn",
    "make_layer",
    "memory_data",
    "neuron",
    "normalisation",
    "pooling",
    "python",
    "recurrent",
    "reduction",
    "selection",
    "shape",
    "window_data",
]


def __getattr__(name: str) -> Callable:
    """Let `caffe.layers` be pycaffe's `L` too: ``L.Convolution(bottom, num_output=20)`` (see `net_spec`)."""
    if not name[0].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(net_spec.layers, name)
