"""The names of pycaffe's compiled part, `caffe._caffe`."""

from pydeepexpr.caffe.blob import Blob, BlobVec
from pydeepexpr.caffe.layers import LAYERS
from pydeepexpr.caffe.layers.python import Layer
from pydeepexpr.caffe.log import init_log
from pydeepexpr.caffe.log import log_message as log
from pydeepexpr.caffe.mode import (
    has_nccl,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from pydeepexpr.caffe.nccl import NCCL
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.proto.caffe_pb2 import LayerParameter, SolverParameter
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
    "LayerParameter",
    "NesterovSolver",
    "Net",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "SolverParameter",
    "Timer",
    "get_solver",
    "has_nccl",
    "init_log",
    "layer_type_list",
    "log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
]

#: The release of Caffe whose behaviour this is.
__version__ = "1.0.0"


def layer_type_list() -> list[str]:
    """Return the names of the layer types that a prototxt may use."""
    return sorted(LAYERS)
