"""The learning rate as a function of the iteration: Caffe's seven policies."""

import math
from collections.abc import Callable

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["LR_POLICIES", "learning_rate"]


def _step(p, i):
    if p.stepsize <= 0:
        raise UserError("lr_policy 'step' needs a stepsize above 0 in the solver")
    return p.gamma ** (i // p.stepsize)


def _multistep(p, i):
    return p.gamma ** sum(i >= value for value in p.stepvalue)


def _poly(p, i):
    if p.max_iter <= 0:
        raise UserError("lr_policy 'poly' needs a max_iter above 0 in the solver")
    return max(1 - i / p.max_iter, 0.0) ** p.power


def _sigmoid(p, i):
    return 1 / (1 + math.exp(min(-p.gamma * (i - p.stepsize), 700)))  # e^710 is too large for a float


#: Factors on `base_lr` by the name in `SolverParameter.lr_policy`, functions of (solver, iteration).
LR_POLICIES: dict[str, Callable[[pb.SolverParameter, int], float]] = {
    "fixed": lambda p, i: 1.0,
    "step": _step,
    "exp": lambda p, i: p.gamma**i,
    "inv": lambda p, i: (1 + p.gamma * i) ** -p.power,
    "multistep": _multistep,
    "poly": _poly,
    "sigmoid": _sigmoid,
}


def learning_rate(param: pb.SolverParameter, iteration: int) -> float:
    """Return the global rate at an iteration, counted from 0.

    Raises
    ------
    UserError
        If `lr_policy` is none of the seven.
    """
    if param.lr_policy not in LR_POLICIES:
        known = ", ".join(LR_POLICIES)
        raise UserError(f"lr_policy {param.lr_policy!r} is unknown; use one of: {known}")
    return param.base_lr * LR_POLICIES[param.lr_policy](param, iteration)
