"""Layers that bring blobs to mean 0 and variance 1."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, layer, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


@layer("BatchNorm")
class BatchNorm(Layer):
    """y = (x − mean) / √(variance + eps), by channel: the batch's own moments in TRAIN, the stored ones in TEST.

    The three blobs are running sums over batches, in which each batch before counts `moving_average_fraction` times
    as much as the one after it: of means, of variances (times m / (m − 1), for m values a channel) and of ones, which
    the other two are divided by. Forward changes them; solvers do not.
    """

    lends_top = True

    def setup(self, bottom: Shape) -> None:
        specs = self.param.param
        if any(spec.lr_mult for spec in specs):
            raise UserError(
                f"layer {self.name!r} (BatchNorm) keeps statistics in its blobs, which no solver may change; "
                "let their param have lr_mult: 0, or leave it out"
            )
        if not bottom or not self.param.batch_norm_param.eps >= 0:
            raise UserError(f"layer {self.name!r} (BatchNorm) needs a bottom of 1 axis or more and an eps of 0 or more")
        for _ in range(3 - len(specs)):
            specs.add(lr_mult=0)
        channels = bottom[1] if len(bottom) > 1 else 1
        for size in (channels, channels, 1):
            self.add_blob((size,), pb.FillerParameter())

    def top_shapes(self, bottom: Shape) -> list[Shape]:
        self._check(bottom)
        return [bottom]

    def forward(self, x: Tensor, *stored: Tensor) -> tuple[Tensor]:
        self._check(tuple(x.shape))
        p = self.param.batch_norm_param
        mean, variance, weight = (blob.detach() for blob in stored)
        channels = x if x.dim() > 1 else x[:, None]
        if p.use_global_stats if p.HasField("use_global_stats") else not self.is_training:
            share = torch.where(weight == 0, 0, 1 / weight)
            y = F.batch_norm(channels, mean * share, variance * share, eps=p.eps)
        else:
            moments = torch.zeros_like(mean), torch.zeros_like(variance)
            # PyTorch's running averages, of momentum 1: what one pass over the batch finds.
            y = torch.batch_norm(channels, None, None, *moments, True, 1.0, p.eps, torch.backends.cudnn.enabled)
            # What a TEST net's backward runs again for its gradient was counted in forward.
            if self.is_training or not torch.is_grad_enabled():
                alone = channels.numel() == mean.numel()  # one value's variance is 0, not 0 / 0
                for sums, now in zip(stored, (moments[0], 0 if alone else moments[1], 1), strict=True):
                    sums.detach().mul_(p.moving_average_fraction).add_(now)
        return (y.reshape(x.shape),)

    def _check(self, bottom: Shape) -> None:
        channels = bottom[1] if len(bottom) > 1 else 1
        if channels != self.blobs[0].count:
            raise UserError(
                f"layer {self.name!r} (BatchNorm) was built for {self.blobs[0].count} channels and meets {channels}"
            )


class _Standardised(torch.autograd.Function):
    """Rows minus their mean, divided by σ + eps, and its gradient.

    As in Caffe the gradient takes σ + eps for σ, and so stays finite where a row is constant.
    """

    @staticmethod
    def forward(ctx, rows, eps):
        centred = rows - rows.mean(-1, keepdim=True)
        scale = centred.square().mean(-1, keepdim=True).sqrt_().add_(eps)
        y = centred.div_(scale)
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx, dy):
        y, scale = ctx.saved_tensors
        along = (dy * y).mean(-1, keepdim=True)
        return (dy - dy.mean(-1, keepdim=True) - y * along) / scale, None


@layer_function("MVN")
def mvn(layer: Layer, x: Tensor) -> Tensor:
    """Take off each channel's mean and divide by its deviation + eps, in each image by itself.

    `across_channels` takes an image's channels together; without `normalize_variance` nothing is divided.
    """
    p = layer.param.mvn_param
    kept = 1 if p.across_channels else 2
    rows = x.float().reshape(*x.shape[:kept], math.prod(x.shape[kept:]))
    y = _Standardised.apply(rows, p.eps) if p.normalize_variance else rows - rows.mean(-1, keepdim=True)
    return y.reshape(x.shape).to(x.dtype)
