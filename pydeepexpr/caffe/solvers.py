"""The kinds of solvers: pycaffe's `SGDSolver` and its kin, and `get_solver`."""

import os

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.solver import Solver, read_param
from pydeepexpr.errors import UserError

__all__ = [
    "SOLVERS",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "get_solver",
]


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    kind = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    kind = "Nesterov"


class AdaGradSolver(Solver):
    """Each value's rate falls with the sum of its squared gradients (Duchi et al. 2011)."""

    kind = "AdaGrad"


class RMSPropSolver(Solver):
    """Each value's rate falls with the recent mean of its squared gradients (Tieleman and Hinton 2012)."""

    kind = "RMSProp"


class AdaDeltaSolver(Solver):
    """RMSProp with the recent mean of squared updates in the place of the rate's unit (Zeiler 2012)."""

    kind = "AdaDelta"


class AdamSolver(Solver):
    """Means of gradients and of their squares, freed from the bias of their start (Kingma and Ba 2015)."""

    kind = "Adam"


#: Solver classes by the name in `SolverParameter.type`.
SOLVERS: dict[str, type[Solver]] = {
    solver.kind: solver
    for solver in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
}


def get_solver(path: str | os.PathLike | pb.SolverParameter) -> Solver:
    """Return the solver that a prototxt describes, of the kind its `type` names."""
    param = read_param(path)
    if param.type not in SOLVERS:
        raise UserError(f"solver type {param.type!r} is unknown; use one of: {', '.join(SOLVERS)}")
    return SOLVERS[param.type](param)
