"""Layers that any kind of network uses."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, canonical_axis, layer, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


@layer("InnerProduct")
class InnerProduct(Layer):
    """y = x · Wᵀ + b over the axes from `axis` on. W is (num_output, K), or (K, num_output) if transposed."""

    lends_top = lends_gradients = True

    def setup(self, bottom: Shape) -> None:
        p = self.param.inner_product_param
        if not p.num_output:
            raise UserError(f"layer {self.name!r} (InnerProduct) needs num_output in inner_product_param")
        inputs = int(torch.Size(bottom[canonical_axis(p.axis, len(bottom)) :]).numel())
        self.add_blob((inputs, p.num_output) if p.transpose else (p.num_output, inputs), p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor]:
        p = self.param.inner_product_param
        x = x.flatten(canonical_axis(p.axis, x.dim()))
        weight = weight.t() if p.transpose else weight
        if x.shape[-1] != weight.shape[1]:
            raise UserError(
                f"layer {self.name!r} (InnerProduct) was built for {weight.shape[1]} values along its axes and "
                f"meets {x.shape[-1]}"
            )
        return (F.linear(x, weight, bias),)


@layer_function("Softmax")
def softmax(layer: Layer, x: Tensor) -> Tensor:
    """y = exp(x) / Σ exp(x) along `axis`."""
    return torch.softmax(x.float(), canonical_axis(layer.param.softmax_param.axis, x.dim()))


@layer_function("Split", tops=(1, None), shares_data=True)
def split(layer: Layer, x: Tensor) -> tuple[Tensor, ...]:
    """Give every top the bottom's values; the gradients of the tops add up."""
    if layer.param.bottom[0] in layer.param.top:
        raise UserError(f"layer {layer.name!r} (Split) cannot work in place; give its tops other names")
    return tuple(x.view_as(x) for _ in layer.param.top)


@layer_function("Silence", bottoms=(1, None), tops=(0, 0))
def silence(layer: Layer, *bottoms: Tensor) -> tuple[Tensor, ...]:
    """Use the bottoms, so that they are no outputs of the net."""
    return ()


@layer("Parameter")
class Parameter(Layer):
    """A learned blob of the given `shape` as the top."""

    bottoms = (0, 0)

    def setup(self) -> None:
        self.add_blob(tuple(self.param.parameter_param.shape.dim), pb.FillerParameter())

    def forward(self, values: Tensor) -> tuple[Tensor]:
        return (values.view_as(values),)
