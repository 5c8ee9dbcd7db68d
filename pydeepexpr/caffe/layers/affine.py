"""Scale and Bias: multiplying or adding a smaller blob along some axes, learned or from a second bottom."""

import torch
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, canonical_axis, layer
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def _spanned(layer: Layer, p: pb.ScaleParameter | pb.BiasParameter, bottom: Shape) -> Shape:
    """Return the part of the bottom's shape that a learned blob has: `num_axes` from `axis` on; -1 is all of them."""
    axis = canonical_axis(p.axis, len(bottom))
    end = len(bottom) if p.num_axes == -1 else axis + p.num_axes
    if not axis <= end <= len(bottom):
        raise UserError(
            f"layer {layer.name!r} ({layer.type}) has num_axes {p.num_axes} from axis {axis} on; "
            f"its bottom {bottom} has {len(bottom)} axes"
        )
    return bottom[axis:end]


def _aligned(layer: Layer, part: Tensor, x: Tensor, axis: int) -> Tensor:
    """Return `part` with axes of size 1 behind its own, so that they line up with those of `x` from `axis` on."""
    if part.dim() == 0:
        return part
    axis = canonical_axis(axis, x.dim())
    if x.shape[axis : axis + part.dim()] != part.shape:
        raise UserError(
            f"layer {layer.name!r} ({layer.type}) cannot lay {tuple(part.shape)} along {tuple(x.shape)} "
            f"from axis {axis} on"
        )
    return part.reshape(*part.shape, *[1] * (x.dim() - axis - part.dim()))


@layer("Scale")
class Scale(Layer):
    """y = x · s, or x · s + b with `bias_term`; s is learned, or the second bottom."""

    bottoms = (1, 2)
    lends_top = True

    def setup(self, bottom: Shape, factor: Shape | None = None) -> None:
        p = self.param.scale_param
        if factor is None:
            factor = _spanned(self, p, bottom)
            self.add_blob(factor, p.filler if p.HasField("filler") else pb.FillerParameter(value=1))
        if p.bias_term:
            self.add_blob(factor, p.bias_filler)

    def forward(self, x: Tensor, factor: Tensor, bias: Tensor | None = None) -> tuple[Tensor]:
        axis = self.param.scale_param.axis
        factor = _aligned(self, factor, x, axis)
        y = x * factor if bias is None else torch.addcmul(_aligned(self, bias, x, axis), x, factor)
        return (y.to(x.dtype),)


@layer("Bias")
class Bias(Layer):
    """y = x + b; b is learned, or the second bottom."""

    bottoms = (1, 2)
    lends_top = True

    def setup(self, bottom: Shape, bias: Shape | None = None) -> None:
        if bias is None:
            p = self.param.bias_param
            self.add_blob(_spanned(self, p, bottom), p.filler)

    def forward(self, x: Tensor, bias: Tensor) -> tuple[Tensor]:
        return ((x + _aligned(self, bias, x, self.param.bias_param.axis)).to(x.dtype),)
