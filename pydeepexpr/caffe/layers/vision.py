"""Layers that look at neighbourhoods: convolution, pooling, local response normalisation."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.layers.base import Layer, Shape, layer, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def _pair(layer: Layer, p, name: str, default: int, h: str, w: str) -> tuple[int, int]:
    """Return the two sizes that `name` (once or twice) or the fields `h` and `w` give, Caffe's three spellings."""
    if p.HasField(h) or p.HasField(w):
        if len(getattr(p, name)):
            raise UserError(f"layer {layer.name!r} gives {name} and {h}/{w}; keep the one or the other")
        return getattr(p, h), getattr(p, w)
    return _one_or_two(layer, p, name, default)


def _one_or_two(layer: Layer, p, name: str, default: int) -> tuple[int, int]:
    values = list(getattr(p, name)) or [default]
    if len(values) > 2:
        raise UserError(f"layer {layer.name!r} gives {name} {len(values)} times; 2-D convolution takes one or two")
    return values[0], values[-1]


@layer("Convolution")
class Convolution(Layer):
    """2-D convolution over N×C×H×W with `group`, `pad`, `stride` and `dilation`; weights (O, C / group, Kh, Kw)."""

    def setup(self, bottom: Shape) -> None:
        p = self.param.convolution_param
        if len(bottom) != 4 or p.axis != 1:
            raise UserError(f"layer {self.name!r} (Convolution) takes N×C×H×W and axis 1, not {bottom} and {p.axis}")
        self.kernel = _pair(self, p, "kernel_size", 0, "kernel_h", "kernel_w")
        self.stride = _pair(self, p, "stride", 1, "stride_h", "stride_w")
        self.pad = _pair(self, p, "pad", 0, "pad_h", "pad_w")
        self.dilation = _one_or_two(self, p, "dilation", 1)
        if not all((p.num_output, p.group, *self.kernel, *self.stride, *self.dilation)):
            raise UserError(
                f"layer {self.name!r} (Convolution) needs num_output, kernel_size, stride, dilation and group above 0"
            )
        if bottom[1] % p.group or p.num_output % p.group:
            raise UserError(
                f"layer {self.name!r}: {bottom[1]} inputs and {p.num_output} outputs do not divide by group {p.group}"
            )
        self.add_blob((p.num_output, bottom[1] // p.group, *self.kernel), p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor]:
        group = self.param.convolution_param.group
        # Channels last in memory: convolution, pooling and LRN are all faster there.
        x = x.contiguous(memory_format=torch.channels_last)
        return (F.conv2d(x, weight, bias, self.stride, self.pad, self.dilation, group),)


def _pooled_size(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> int:
    """Return Caffe's number of windows: rounded up unless told, none starting beyond the image and its padding."""
    count = (math.ceil if ceil else math.floor)((size + 2 * pad - kernel) / stride) + 1
    if pad and (count - 1) * stride >= size + pad:
        count -= 1
    return count


@layer_function("Pooling")
def pooling(layer: Layer, x: Tensor) -> Tensor:
    """Largest value or average of each window. The average counts padding, but not what lies beyond it."""
    p = layer.param.pooling_param
    if p.pool == pb.PoolingParameter.STOCHASTIC:
        raise UserError(f"layer {layer.name!r}: STOCHASTIC pooling is not available; use MAX or AVE")
    if p.global_pooling:
        kernel, stride, pad = tuple(x.shape[2:]), (1, 1), (0, 0)
    else:
        kernel = (p.kernel_h, p.kernel_w) if p.HasField("kernel_h") else (p.kernel_size,) * 2
        stride = (p.stride_h, p.stride_w) if p.HasField("stride_h") else (p.stride,) * 2
        pad = (p.pad_h, p.pad_w) if p.HasField("pad_h") else (p.pad,) * 2
    if not all(kernel) or not all(stride):
        raise UserError(f"layer {layer.name!r} (Pooling) needs kernel_size and stride above 0, or global_pooling")
    if any(q >= k for q, k in zip(pad, kernel, strict=True)):
        raise UserError(f"layer {layer.name!r} (Pooling) needs a pad below its kernel_size: {pad} and {kernel}")
    ceil = p.round_mode == pb.PoolingParameter.CEIL
    size = [_pooled_size(*axis, ceil) for axis in zip(x.shape[2:], kernel, stride, pad, strict=True)]
    if p.pool == pb.PoolingParameter.AVE:
        if any(2 * q > k for q, k in zip(pad, kernel, strict=True)):  # more than PyTorch pads
            x, pad = F.pad(x, (pad[1], pad[1], pad[0], pad[0])), (0, 0)
        return F.avg_pool2d(x, kernel, stride, pad, ceil, count_include_pad=True)[:, :, : size[0], : size[1]]
    # One rule for any padding: pad with the least number, exactly as far as the last window reaches.
    beyond = [
        max((n - 1) * s + k - length - q, 0)
        for n, s, k, length, q in zip(size, stride, kernel, x.shape[2:], pad, strict=True)
    ]
    if not any(pad) and all(b < k for b, k in zip(beyond, kernel, strict=True)):
        return F.max_pool2d(x, kernel, stride, ceil_mode=ceil)
    x = F.pad(x, (pad[1], beyond[1], pad[0], beyond[0]), value=torch.finfo(x.dtype).min)
    return F.max_pool2d(x, kernel, stride)


class _AcrossChannels(torch.autograd.Function):
    """y = x · s^−β with s = k + α/n · Σ x² over n neighbouring channels, and its gradient.

    Channels lie together in memory (channels-last), so the sum over neighbours is one product with a band matrix.
    PyTorch's own local_response_norm takes several times as long.
    """

    @staticmethod
    def forward(ctx, x, size, alpha, beta, k):
        x = x.permute(0, 2, 3, 1)  # N×H×W×C
        channel = torch.arange(x.shape[-1], device=x.device)
        band = ((channel[:, None] - channel).abs() <= size // 2).to(x.dtype)
        scale = torch.mul(x, x).matmul(band).mul_(alpha / size).add_(k)
        if beta == 0.75:  # the usual exponent, without the slow power
            root = scale.rsqrt()
            power = root.sqrt().mul_(root)
        else:
            power = scale.pow(-beta)
        ctx.save_for_backward(x, scale, power, band)
        ctx.factor = 2 * alpha * beta / size
        return (x * power).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, dy):
        x, scale, power, band = ctx.saved_tensors
        dy = dy.permute(0, 2, 3, 1)
        dx = dy * power
        ratio = torch.mul(dx, x).div_(scale).matmul(band).mul_(x)
        return dx.sub_(ratio, alpha=ctx.factor).permute(0, 3, 1, 2), None, None, None, None


@layer_function("LRN")
def lrn(layer: Layer, x: Tensor) -> Tensor:
    """Local response normalisation across neighbouring channels, or within each channel's neighbourhood."""
    p = layer.param.lrn_param
    if p.local_size % 2 == 0:
        raise UserError(f"layer {layer.name!r} (LRN) needs an odd local_size, not {p.local_size}")
    with torch.autocast(mode.device().type, enabled=False):  # squares of bf16 would be too coarse
        y = x.float()
        if p.norm_region == pb.LRNParameter.ACROSS_CHANNELS:
            y = _AcrossChannels.apply(y, p.local_size, p.alpha, p.beta, p.k)
        else:  # Caffe fixes k = 1 here and divides by the full window at the borders too
            mean = F.avg_pool2d(y * y, p.local_size, 1, p.local_size // 2)
            y = y * (1 + p.alpha * mean).pow(-p.beta)
        return y.to(x.dtype)
