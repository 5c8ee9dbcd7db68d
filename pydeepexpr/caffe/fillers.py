"""Fillers: how Caffe initialises parameters. A filler is one function of (shape, parameters, generator)."""

import math
from collections.abc import Callable, Sequence

import torch

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["FILLERS", "fill"]

Filler = Callable[[Sequence[int], pb.FillerParameter], torch.Tensor]

#: Fillers by the name in `FillerParameter.type`.
FILLERS: dict[str, Filler] = {}


def _filler(name: str) -> Callable[[Filler], Filler]:
    def register(function: Filler) -> Filler:
        FILLERS[name] = function
        return function

    return register


def fill(shape: Sequence[int], parameter: pb.FillerParameter) -> torch.Tensor:
    """Return a float32 tensor of `shape` on the CPU, filled as `parameter` says from PyTorch's generator.

    Raises
    ------
    UserError
        If the filler's type is unknown, or it or its numbers do not suit the shape.
    """
    if parameter.type not in FILLERS:
        raise UserError(f"filler type {parameter.type!r} is unknown; use one of: {', '.join(FILLERS)}")
    if parameter.sparse != -1 and parameter.type != "gaussian":
        raise UserError(f"the {parameter.type} filler takes no sparse; only gaussian does")
    if 0 in shape:
        raise UserError(f"the {parameter.type} filler has nothing to fill in the shape {tuple(shape)}")
    return FILLERS[parameter.type](tuple(shape), parameter)


def _outputs(shape, parameter) -> int:
    if not shape:
        raise UserError(f"the {parameter.type} filler cannot tell the outputs of a blob without axes")
    return shape[0]


@_filler("constant")
def _constant(shape, parameter):
    return torch.full(shape, parameter.value)


@_filler("uniform")
def _uniform(shape, parameter):
    if not 0 <= parameter.max - parameter.min <= torch.finfo(torch.float32).max:
        raise UserError(f"the uniform filler needs a min not above max, not {parameter.min:g} and {parameter.max:g}")
    return torch.empty(shape).uniform_(parameter.min, parameter.max)


@_filler("gaussian")
def _gaussian(shape, parameter):
    if not parameter.std >= 0:
        raise UserError(f"the gaussian filler needs a std of 0 or above, not {parameter.std:g}")
    values = torch.empty(shape).normal_(parameter.mean, parameter.std)
    if parameter.sparse != -1:  # so many inputs of each output are expected to stay non-zero
        outputs = _outputs(shape, parameter)
        if not 0 <= parameter.sparse <= outputs:
            raise UserError(f"the gaussian filler needs a sparse from 0 to {outputs}, or -1, not {parameter.sparse}")
        values *= torch.bernoulli(torch.full(shape, parameter.sparse / outputs))
    return values


@_filler("positive_unitball")
def _positive_unitball(shape, parameter):
    values = torch.rand(shape).reshape(_outputs(shape, parameter), -1)
    return (values / values.sum(1, keepdim=True)).reshape(shape)


def _fan(shape, parameter) -> float:
    """Return n of Glorot and He: Caffe counts fan-in as count / num and fan-out as count / channels."""
    count = math.prod(shape)
    fan_in = count / _outputs(shape, parameter)
    fan_out = count / shape[1] if len(shape) > 1 else count
    if parameter.variance_norm == pb.FillerParameter.FAN_OUT:
        return fan_out
    return (fan_in + fan_out) / 2 if parameter.variance_norm == pb.FillerParameter.AVERAGE else fan_in


@_filler("xavier")
def _xavier(shape, parameter):
    limit = math.sqrt(3 / _fan(shape, parameter))
    return torch.empty(shape).uniform_(-limit, limit)


@_filler("msra")
def _msra(shape, parameter):
    return torch.empty(shape).normal_(0, math.sqrt(2 / _fan(shape, parameter)))


@_filler("bilinear")
def _bilinear(shape, parameter):
    if len(shape) != 4 or shape[2] != shape[3]:
        raise UserError(f"the bilinear filler needs a square kernel (N×C×K×K), not the shape {tuple(shape)}")
    factor = math.ceil(shape[3] / 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    weight = 1 - (torch.arange(shape[3]) / factor - centre).abs()
    return (weight[:, None] * weight).expand(shape).clone()
