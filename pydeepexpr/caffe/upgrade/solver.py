"""Solvers from before they had names: `solver_type: ADAM` becomes `type: "Adam"`."""

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["has_solver_type", "name_solver_type"]

_NAMES = {
    pb.SolverParameter.SGD: "SGD",
    pb.SolverParameter.NESTEROV: "Nesterov",
    pb.SolverParameter.ADAGRAD: "AdaGrad",
    pb.SolverParameter.RMSPROP: "RMSProp",
    pb.SolverParameter.ADADELTA: "AdaDelta",
    pb.SolverParameter.ADAM: "Adam",
}


def has_solver_type(solver: pb.SolverParameter) -> bool:
    """Whether the solver says its type as a number."""
    return solver.HasField("solver_type")


def name_solver_type(solver: pb.SolverParameter) -> None:
    """Say the type by its name."""
    if solver.HasField("type"):
        raise UserError(f"it has a type, {solver.type!r}, beside its solver_type; keep the type")
    solver.type = _NAMES[solver.solver_type]
    solver.ClearField("solver_type")
