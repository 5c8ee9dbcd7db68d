"""The learning rate as a function of the iteration: Caffe's seven policies."""

import math
from collections.abc import Callable

import numpy as np

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["LR_POLICIES", "check_policy", "drops_at", "learning_rate"]


def _power(base: float, exponent: float) -> float:
    """Return base^exponent, infinite where it is too large for a float."""
    with np.errstate(all="ignore"):
        return float(np.float64(base) ** exponent)


def _sigmoid(p, i, drops):
    return 1 / (1 + math.exp(min(-p.gamma * (i - p.stepsize), 700)))  # e^710 is too large for a float


#: Factors on `base_lr` by the name in `SolverParameter.lr_policy`, functions of (solver, iteration, drops).
LR_POLICIES: dict[str, Callable[[pb.SolverParameter, int, int], float]] = {
    "fixed": lambda p, i, drops: 1.0,
    "step": lambda p, i, drops: _power(p.gamma, drops),
    "exp": lambda p, i, drops: _power(p.gamma, i),
    "inv": lambda p, i, drops: _power(1 + p.gamma * i, -p.power),
    "multistep": lambda p, i, drops: _power(p.gamma, drops),
    "poly": lambda p, i, drops: _power(max(1 - i / p.max_iter, 0.0), p.power),
    "sigmoid": _sigmoid,
}


def check_policy(param: pb.SolverParameter) -> None:
    """Raise a UserError unless the solver's policy is one of the seven and has the settings that it needs."""
    policy = param.lr_policy
    if policy not in LR_POLICIES:
        raise UserError(f"lr_policy {policy!r} is unknown; use one of: {', '.join(LR_POLICIES)}")
    if policy in ("step", "sigmoid") and param.stepsize <= 0:
        raise UserError(f"lr_policy {policy!r} needs a stepsize above 0 in the solver")
    if policy == "poly" and param.max_iter <= 0:
        raise UserError("lr_policy 'poly' needs a max_iter above 0 in the solver")
    if policy in ("step", "exp", "inv", "multistep") and not param.gamma >= 0:
        raise UserError(f"lr_policy {policy!r} needs a gamma of 0 or more, not {param.gamma:g}")


def drops_at(param: pb.SolverParameter, iteration: int, before: int) -> int:
    """Return how often the rate has been multiplied by `gamma` at an iteration (a `.solverstate`'s `current_step`).

    Parameters
    ----------
    param : SolverParameter
    iteration : int
        Counted from 0.
    before : int
        The drops at the iteration before. As in Caffe, 'multistep' drops at most once an iteration and looks at the
        next of its values alone.
    """
    if param.lr_policy == "step":
        return iteration // param.stepsize
    values = param.stepvalue
    if param.lr_policy == "multistep" and 0 <= before < len(values) and iteration >= values[before]:
        return before + 1
    return before


def learning_rate(param: pb.SolverParameter, iteration: int, drops: int) -> float:
    """Return the global rate at an iteration, counted from 0, after so many drops."""
    return param.base_lr * LR_POLICIES[param.lr_policy](param, iteration, drops)
