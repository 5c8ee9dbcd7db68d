"""Convolution, Deconvolution and Im2col over any number of spatial axes."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, canonical_axis, layer
from pydeepexpr.caffe.layers.windows import columns
from pydeepexpr.errors import UserError

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_LARGE_MAP = 100 * 100  # pixels
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class Sliding(Layer):
    """What the three share: N×C×sizes… (C on `axis`, the axes before it are the batch) and a window that slides."""

    def setup(self, *bottoms: Shape) -> None:
        p, bottom = self.param.convolution_param, bottoms[0]
        self.axis = canonical_axis(p.axis, len(bottom))
        axes = len(bottom) - self.axis - 1
        self.kernel = self._sizes("kernel_size", "kernel", axes, 0)
        self.stride = self._sizes("stride", "stride", axes, 1)
        self.pad = self._sizes("pad", "pad", axes, 0)
        self.dilation = self._sizes("dilation", None, axes, 1)
        if not all((*self.kernel, *self.stride, *self.dilation)):
            raise UserError(f"layer {self.name!r} ({self.type}) needs kernel_size, stride and dilation above 0")
        self.reach = tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        if any(size < 1 for size in self.places(bottom[self.axis + 1 :], self.reach)):
            raise UserError(
                f"layer {self.name!r} ({self.type}): a window of {self.reach} with the pad {self.pad} does not suit "
                f"the bottom {bottom}"
            )

    def _sizes(self, name: str, prefix: str | None, axes: int, default: int) -> tuple[int, ...]:
        """Return one size for each axis: `name`, once for all or for each, or in 2-D the fields `…_h` and `…_w`."""
        p = self.param.convolution_param
        values = tuple(getattr(p, name)) or (default,)
        if prefix and (p.HasField(f"{prefix}_h") or p.HasField(f"{prefix}_w")):
            if len(getattr(p, name)):
                raise UserError(
                    f"layer {self.name!r} ({self.type}) gives {name} and {prefix}_h/{prefix}_w; keep one of them"
                )
            if axes != 2:
                raise UserError(
                    f"layer {self.name!r} ({self.type}) has {axes} spatial axes, and {prefix}_h/{prefix}_w are for 2; "
                    f"use {name}"
                )
            values = getattr(p, f"{prefix}_h"), getattr(p, f"{prefix}_w")
        if len(values) not in (1, axes):
            raise UserError(
                f"layer {self.name!r} ({self.type}) gives {name} {len(values)} times for {axes} spatial axes; "
                "give it once, or once for each"
            )
        return values * axes if len(values) == 1 else values

    def places(self, sizes: Sequence[int], reach: Sequence[int]) -> list[int]:
        """Return how often windows that reach so far fit along each axis."""
        return [(n + 2 * p - r) // s + 1 for n, r, s, p in zip(sizes, reach, self.stride, self.pad, strict=True)]

    def slide(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return the top of an N×C×sizes… bottom."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        count = len(self.param.bottom)
        bottoms, parameters = inputs[:count], inputs[count:]
        shapes = [tuple(x.shape) for x in bottoms]
        if len(set(shapes)) > 1:
            raise UserError(f"layer {self.name!r} ({self.type}) takes bottoms of one shape, not {shapes}")
        return [self._slide_batch(x, parameters) for x in bottoms]

    def _slide_batch(self, x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        if x.dim() != self.axis + 1 + len(self.kernel):
            raise UserError(
                f"layer {self.name!r} ({self.type}) was built for {len(self.kernel)} spatial axes behind axis "
                f"{self.axis} and meets {tuple(x.shape)}"
            )
        if self.axis == 1:
            return self.slide(x, *parameters)
        batch = x.shape[: self.axis]
        y = self.slide(x.reshape(math.prod(batch), *x.shape[self.axis :]), *parameters)
        return y.reshape(*batch, *y.shape[1:])


@layer("Im2col")
class Im2col(Sliding):
    """The values of each window as channels: C·kernel of them at every place."""

    def slide(self, x: Tensor) -> Tensor:
        return columns(x, self.kernel, self.stride, self.pad, self.dilation)


class _Weighted(Sliding):
    """Convolution and Deconvolution: several bottoms of one shape go, each by itself, through the same weights."""

    bottoms, tops = (1, None), (1, None)
    lends_top = lends_gradients = True
    transposed = False

    def setup(self, *bottoms: Shape) -> None:
        super().setup(*bottoms)
        p = self.param.convolution_param
        if len(self.param.top) != len(bottoms):
            raise UserError(
                f"layer {self.name!r} ({self.type}) has {len(bottoms)} bottom(s) and {len(self.param.top)} top(s); "
                "give one top for each bottom"
            )
        if not p.num_output or not p.group:
            raise UserError(f"layer {self.name!r} ({self.type}) needs num_output and group above 0")
        inputs, self.group = bottoms[0][self.axis], p.group
        if inputs % p.group or p.num_output % p.group:
            raise UserError(
                f"layer {self.name!r} ({self.type}): {inputs} inputs and {p.num_output} outputs do not divide by "
                f"group {p.group}"
            )
        first, second = (inputs, p.num_output) if self.transposed else (p.num_output, inputs)
        self.add_blob((first, second // p.group, *self.kernel), p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)


@layer("Convolution")
class Convolution(_Weighted):
    """Correlation with learned kernels: weights (num_output, C / group, kernel…) and a bias (num_output)."""

    def slide(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if self.group == 1 and not any(self.pad) and tuple(x.shape[2:]) == self.reach == self.kernel:
            # The window is the whole bottom: an inner product, which is many times as fast.
            return F.linear(x.flatten(1), weight.flatten(1), bias).reshape(len(x), -1, *[1] * len(self.kernel))
        convolve = _CONVOLUTIONS.get(len(self.kernel), _convolve)
        return convolve(_laid_out(x), weight, bias, self.stride, self.pad, self.dilation, self.group)


@layer("Deconvolution")
class Deconvolution(_Weighted):
    """Convolution's gradient as a layer of its own: weights (C, num_output / group, kernel…), bias (num_output)."""

    transposed = True

    def places(self, sizes: Sequence[int], reach: Sequence[int]) -> list[int]:
        return [(n - 1) * s + r - 2 * p for n, r, s, p in zip(sizes, reach, self.stride, self.pad, strict=True)]

    def slide(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        deconvolve = _TRANSPOSED.get(len(self.kernel), _deconvolve)
        return deconvolve(_laid_out(x), weight, bias, self.stride, self.pad, 0, self.group, self.dilation)


def _laid_out(x: Tensor) -> Tensor:
    """Return an image bottom as convolution takes it fastest: channels last in memory, where pooling and LRN are, too.

    But on the CPU the gradients of large maps of many channels take twice as long there.
    """
    if x.dim() != 4 or (x.device.type == "cpu" and x.shape[1] >= 16 and x.shape[2] * x.shape[3] >= _LARGE_MAP):
        return x.contiguous()
    return x.contiguous(memory_format=torch.channels_last)


def _convolve(x, weight, bias, stride, pad, dilation, group) -> Tensor:
    """Return the convolution over a number of axes for which PyTorch has none: one matrix product on columns."""
    cols = columns(x, weight.shape[2:], stride, pad, dilation)
    places = cols.shape[2:]
    y = weight.reshape(group, weight.shape[0] // group, -1) @ cols.reshape(len(x), group, -1, math.prod(places))
    y = y.reshape(len(x), len(weight), *places)
    return y if bias is None else y + bias.reshape(-1, *[1] * len(places))


def _deconvolve(x, weight, bias, stride, pad, output_pad, group, dilation) -> Tensor:
    """Return the transposed convolution over any number of axes, from the arguments that PyTorch's takes.

    It is the convolution of the bottom, spread out by its stride, with the kernels turned round.
    """
    kernel = weight.shape[2:]
    spread = x.new_zeros(*x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], stride, strict=True)))
    spread[(..., *(slice(None, None, s) for s in stride))] = x
    turned = weight.reshape(group, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    turned = turned.flip(tuple(range(2, turned.dim())))
    pad = [(k - 1) * d - p for k, d, p in zip(kernel, dilation, pad, strict=True)]
    return _convolve(spread, turned, bias, [1] * len(kernel), pad, dilation, group)
