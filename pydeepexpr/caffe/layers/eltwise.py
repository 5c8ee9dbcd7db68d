"""Eltwise: several blobs of one shape become one, element by element."""

from functools import reduce

import torch
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def _larger(best: Tensor, x: Tensor) -> Tensor:
    return torch.where(x > best, x, best)


def _largest(first: Tensor, second: Tensor, *others: Tensor) -> Tensor:
    """Return the maximum; of equals the one gets the gradient that Caffe's loop keeps.

    It keeps the first of two only if it is larger, and takes a later one only if that is larger.
    """
    return reduce(_larger, others, torch.where(first > second, first, second))


@layer_function("Eltwise", bottoms=(2, None), lends_top=True)
def eltwise(layer: Layer, *bottoms: Tensor) -> Tensor:
    """Product, sum weighted by `coeff`, or maximum of the bottoms.

    The product's gradient is always the stable one: the product of the others, never the top divided by the bottom.
    """
    p = layer.param.eltwise_param
    shapes = [tuple(x.shape) for x in bottoms]
    if len(set(shapes)) > 1:
        raise UserError(f"layer {layer.name!r} (Eltwise) takes bottoms of one shape, not {shapes}")
    if len(p.coeff) not in (0, len(bottoms)):
        raise UserError(f"layer {layer.name!r} (Eltwise) has {len(p.coeff)} coeff for {len(bottoms)} bottoms")
    if p.operation == pb.EltwiseParameter.MAX:
        return _largest(*bottoms)
    if p.operation == pb.EltwiseParameter.SUM:
        weighted = [x if c == 1 else x * c for x, c in zip(bottoms, p.coeff or [1] * len(bottoms), strict=True)]
        return reduce(torch.add, weighted)
    if p.coeff:
        raise UserError(f"layer {layer.name!r} (Eltwise) has coeff, which only the operation SUM takes")
    return reduce(torch.mul, bottoms)
