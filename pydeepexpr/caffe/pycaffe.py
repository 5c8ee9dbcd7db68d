"""The names that scripts import from `caffe.pycaffe`."""

from pydeepexpr.caffe.blob import Blob, BlobVec
from pydeepexpr.caffe.layers.python import Layer
from pydeepexpr.caffe.nccl import NCCL
from pydeepexpr.caffe.net import Net
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
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobVec",
    "Layer",
    "NesterovSolver",
    "Net",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "get_solver",
]
