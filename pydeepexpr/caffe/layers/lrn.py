"""Local response normalisation."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.layers.base import Layer, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


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
        scale = torch.mul(x, x).matmul(band.mul(alpha / size)).add_(k)
        ctx.save_for_backward(x, scale, band)
        ctx.factor, ctx.beta = 2 * alpha * beta / size, beta
        return _power(scale, beta).mul_(x).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, dy):
        x, scale, band = ctx.saved_tensors
        # s^−β is made once more: keeping it would cost as much memory as the top.
        dx = _power(scale, ctx.beta).mul_(dy.permute(0, 2, 3, 1))
        ratio = torch.mul(dx, x).div_(scale).matmul(band).mul_(x)
        return dx.sub_(ratio, alpha=ctx.factor).permute(0, 3, 1, 2), None, None, None, None


def _power(scale: Tensor, beta: float) -> Tensor:
    """Return scale^−β, for the usual exponent without the slow power."""
    if beta != 0.75:
        return scale.pow(-beta)
    root = scale.rsqrt()
    return root.sqrt().mul_(root)


@layer_function("LRN", lends_gradients=True)
def lrn(layer: Layer, x: Tensor) -> Tensor:
    """Local response normalisation across neighbouring channels, or within each channel's neighbourhood."""
    p = layer.param.lrn_param
    if p.local_size % 2 == 0:
        raise UserError(f"layer {layer.name!r} (LRN) needs an odd local_size, not {p.local_size}")
    if x.dim() != 4:
        raise UserError(f"layer {layer.name!r} (LRN) takes N×C×H×W, not {tuple(x.shape)}")
    with torch.autocast(mode.device().type, enabled=False):  # squares of bf16 would be too coarse
        y = x.float()
        if p.norm_region == pb.LRNParameter.ACROSS_CHANNELS:
            y = _AcrossChannels.apply(y, p.local_size, p.alpha, p.beta, p.k)
        else:  # Caffe fixes k = 1 here and divides by the full window at the borders too
            mean = F.avg_pool2d(y * y, p.local_size, 1, p.local_size // 2)
            y = y * (1 + p.alpha * mean).pow(-p.beta)
        return y.to(x.dtype)
