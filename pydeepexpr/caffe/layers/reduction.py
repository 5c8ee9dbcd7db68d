"""Layers that make many values few: sums and the places of the largest."""

import torch
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, canonical_axis, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

_REDUCTIONS = {
    pb.ReductionParameter.SUM: lambda x: x.sum(-1),
    pb.ReductionParameter.ASUM: lambda x: x.abs().sum(-1),
    pb.ReductionParameter.SUMSQ: lambda x: x.square().sum(-1),
    pb.ReductionParameter.MEAN: lambda x: x.mean(-1),
}


@layer_function("Reduction")
def reduction(layer: Layer, x: Tensor) -> Tensor:
    """coeff · the sum, sum of magnitudes, sum of squares or mean of all that lies from `axis` on."""
    p = layer.param.reduction_param
    return _REDUCTIONS[p.operation](x.float().flatten(canonical_axis(p.axis, x.dim()))) * p.coeff


@layer_function("ArgMax", no_gradient_to=(0,))
def arg_max(layer: Layer, x: Tensor) -> Tensor:
    """Places (or with `out_max_val` values) of the `top_k` largest along `axis`; of equals the last comes first.

    Without `axis` each image is one row: N×1×top_k places, or N×2×top_k places and values.
    """
    p = layer.param.argmax_param
    has_axis = p.HasField("axis")
    axis = canonical_axis(p.axis, x.dim()) if has_axis else 1 + canonical_axis(0, x.dim())
    rows = x if has_axis else x[:, None].flatten(1)
    size = rows.shape[axis]
    if not 1 <= p.top_k <= size:
        raise UserError(f"layer {layer.name!r} (ArgMax) needs a top_k from 1 to {size}, not {p.top_k}")
    backwards = rows.flip(axis)
    if p.top_k == 1:  # many times as fast as sorting; of equals both keep the first
        at = backwards.argmax(axis, keepdim=True)
    else:
        at = backwards.argsort(dim=axis, descending=True, stable=True).narrow(axis, 0, p.top_k)
    values, places = backwards.gather(axis, at), (size - 1 - at).float()
    if has_axis:
        return values if p.out_max_val else places
    tops = torch.stack([places, values] if p.out_max_val else [places], 1)
    return tops.reshape(*tops.shape, *[1] * (x.dim() - 3))
