"""A drop-in pycaffe on PyTorch: Caffe's networks, solvers and files, without Caffe."""

from pydeepexpr.caffe import _caffe as _caffe
from pydeepexpr.caffe import coord_map, draw, io, layers, net_spec, proto, pycaffe
from pydeepexpr.caffe._caffe import __version__ as __version__
from pydeepexpr.caffe._caffe import layer_type_list
from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.classifier import Classifier
from pydeepexpr.caffe.detector import Detector
from pydeepexpr.caffe.install import install
from pydeepexpr.caffe.layers.python import Layer
from pydeepexpr.caffe.log import init_log
from pydeepexpr.caffe.log import log_message as log
from pydeepexpr.caffe.mode import (
    TEST,
    TRAIN,
    has_nccl,
    set_crops,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_precision,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from pydeepexpr.caffe.nccl import NCCL
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.net_spec import NetSpec, params, to_proto
from pydeepexpr.caffe.solver import Solver
from pydeepexpr.caffe.solvers import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)
from pydeepexpr.caffe.timer import Timer

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "coord_map",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "install",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "net_spec",
    "params",
    "proto",
    "pycaffe",
    "set_crops",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_precision",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
