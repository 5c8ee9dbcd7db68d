"""Layers that treat every element of one blob by itself."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, layer, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


class _ReLUFromTop(torch.autograd.Function):
    """The gradient of a ReLU of which only the top is left: it has the bottom's sign."""

    @staticmethod
    def forward(ctx, y, slope, spoils):
        ctx.save_for_backward(y)
        ctx.slope, ctx.spoils = slope, spoils
        return y.view_as(y)

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        dx = dy if ctx.spoils else torch.empty_like(dy)
        if ctx.slope:
            torch.ops.aten.leaky_relu_backward.grad_input(dy, y, ctx.slope, True, grad_input=dx)
        else:
            torch.ops.aten.threshold_backward.grad_input(dy, y, 0, grad_input=dx)
        return dx, None, None


@layer("ReLU")
class ReLU(Layer):
    """y = max(x, 0) + negative_slope · min(x, 0)."""

    @property
    def slope(self) -> float:
        return self.param.relu_param.negative_slope

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (F.leaky_relu(x, self.slope) if self.slope else F.relu(x),)

    @property
    def overwrites(self) -> bool:
        return self.slope >= 0

    def overwrite(self, x: Tensor) -> None:
        F.leaky_relu_(x, self.slope) if self.slope else F.relu_(x)

    def from_top(self, y: Tensor, spoils: bool) -> tuple[Tensor]:
        return (_ReLUFromTop.apply(y, self.slope, spoils),)


@layer("PReLU")
class PReLU(Layer):
    """y = max(x, 0) + a · min(x, 0), with one learned slope a for each channel, or one for all (`channel_shared`)."""

    def setup(self, bottom: Shape) -> None:
        p = self.param.prelu_param
        if len(bottom) < 2:
            raise UserError(f"layer {self.name!r} (PReLU) needs a bottom of 2 axes or more, not {bottom}")
        filler = p.filler if p.HasField("filler") else pb.FillerParameter(value=0.25)
        self.add_blob(() if p.channel_shared else (bottom[1],), filler)

    def forward(self, x: Tensor, slope: Tensor) -> tuple[Tensor]:
        return (F.prelu(x, slope.reshape(-1).to(x.dtype)),)


@layer_function("ELU")
def elu(layer: Layer, x: Tensor) -> Tensor:
    """y = x above 0, alpha · (exp(x) − 1) below."""
    return F.elu(x, layer.param.elu_param.alpha)


@layer_function("Sigmoid")
def sigmoid(layer: Layer, x: Tensor) -> Tensor:
    """y = 1 / (1 + exp(−x))."""
    return torch.sigmoid(x)


@layer_function("TanH")
def tanh(layer: Layer, x: Tensor) -> Tensor:
    """y = (1 − exp(−2x)) / (1 + exp(−2x))."""
    return torch.tanh(x)


@layer_function("Swish")
def swish(layer: Layer, x: Tensor) -> Tensor:
    """y = x / (1 + exp(−beta · x))."""
    beta = layer.param.swish_param.beta
    return F.silu(x) if beta == 1 else x * torch.sigmoid(beta * x)


@layer_function("BNLL")
def bnll(layer: Layer, x: Tensor) -> Tensor:
    """y = log(1 + exp(x)), in a form that overflows nowhere."""
    return F.softplus(x.float())


@layer_function("AbsVal")
def absolute(layer: Layer, x: Tensor) -> Tensor:
    """y = |x|."""
    return x.abs()


@layer_function("Clip")
def clip(layer: Layer, x: Tensor) -> Tensor:
    """y = x, but at least `min` and at most `max`. The gradient passes within, both ends included."""
    p = layer.param.clip_param
    if not p.IsInitialized() or not p.min <= p.max:
        raise UserError(f"layer {layer.name!r} (Clip) needs clip_param with a min that is not above its max")
    return x.clamp(p.min, p.max)


@layer_function("Threshold", no_gradient_to=(0,))
def threshold(layer: Layer, x: Tensor) -> Tensor:
    """y = 1 above the threshold and 0 elsewhere. It has no gradient."""
    return (x > layer.param.threshold_param.threshold).to(x.dtype)


def _scaled(x: Tensor, p: pb.ExpParameter | pb.LogParameter | pb.PowerParameter) -> Tensor:
    """Return shift + scale · x in float32."""
    x = x.float() if p.scale == 1 else x.float() * p.scale
    return x + p.shift if p.shift else x


def _log_of_base(layer: Layer, base: float) -> float:
    """Return the natural logarithm of an Exp or Log layer's base, where −1 stands for e."""
    if base == -1:
        return 1.0
    if not 0 < base < math.inf:
        raise UserError(f"layer {layer.name!r} ({layer.type}) needs a base above 0, or -1 for e, not {base:g}")
    return math.log(base)


@layer_function("Exp")
def exp(layer: Layer, x: Tensor) -> Tensor:
    """y = base^(shift + scale · x)."""
    p = layer.param.exp_param
    log_base = _log_of_base(layer, p.base)
    exponent = _scaled(x, p)
    return torch.exp(exponent if log_base == 1 else exponent * log_base)


@layer_function("Log")
def log(layer: Layer, x: Tensor) -> Tensor:
    """y = log(shift + scale · x) to the given base."""
    p = layer.param.log_param
    log_base = _log_of_base(layer, p.base)
    if log_base == 0:
        raise UserError(f"layer {layer.name!r} (Log) has the base 1, to which there is no logarithm")
    y = torch.log(_scaled(x, p))
    return y if log_base == 1 else y / log_base


@layer_function("Power")
def power(layer: Layer, x: Tensor) -> Tensor:
    """y = (shift + scale · x)^power; a constant, without a gradient, where power or scale is 0."""
    p = layer.param.power_param
    if p.power * p.scale == 0:
        return torch.full_like(x, p.shift, dtype=torch.float32) ** p.power
    y = _scaled(x, p)
    return y if p.power == 1 else y**p.power


@layer_function("Dropout")
def dropout(layer: Layer, x: Tensor) -> Tensor:
    """Zero each element with probability dropout_ratio when training and scale the others by 1 / (1 − ratio)."""
    ratio = layer.param.dropout_param.dropout_ratio
    if not 0 <= ratio < 1:
        raise UserError(f"layer {layer.name!r} (Dropout) needs a dropout_ratio from 0 to below 1, not {ratio:g}")
    return F.dropout(x, ratio, training=layer.is_training)
