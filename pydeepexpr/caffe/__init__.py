"""A drop-in pycaffe on PyTorch: Caffe's networks, solvers and files, without Caffe."""

from pydeepexpr.caffe import proto
from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.layers import LAYERS, Layer
from pydeepexpr.caffe.mode import (
    TEST,
    TRAIN,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_precision,
    set_random_seed,
)
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.solver import NesterovSolver, SGDSolver, get_solver

__all__ = [
    "TEST",
    "TRAIN",
    "Blob",
    "Layer",
    "NesterovSolver",
    "Net",
    "SGDSolver",
    "get_solver",
    "layer_type_list",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_precision",
    "set_random_seed",
]


def layer_type_list() -> list[str]:
    """Return the names of the layer types that a prototxt may use."""
    return sorted(LAYERS)
