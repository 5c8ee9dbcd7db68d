"""Pooling and spatial pyramid pooling."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, layer, layer_function
from pydeepexpr.caffe.layers.windows import sliding_windows
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

_MAX, _AVE = pb.PoolingParameter.MAX, pb.PoolingParameter.AVE

Pair = tuple[int, int]


@layer("Pooling")
class Pooling(Layer):
    """Largest value, average or a random pick of each window. MAX may have a second top, the maximum's place."""

    tops = (1, 2)
    lends_gradients = True

    def setup(self, bottom: Shape) -> None:
        p = self.param.pooling_param
        self._need_four_axes(bottom)
        if len(self.param.top) > 1 and p.pool != _MAX:
            raise UserError(f"layer {self.name!r} (Pooling) has 2 tops; only MAX has a second one, the mask")
        if p.global_pooling:
            told = [field for field in ("kernel_size", "kernel_h", "kernel_w") if p.HasField(field)]
            if told or self._pair("pad") != (0, 0) or self._pair("stride") != (1, 1):
                raise UserError(
                    f"layer {self.name!r} (Pooling) pools globally; take {', '.join(told) or 'pad and stride'} away"
                )
            return
        self.kernel, self.stride, self.pad = (self._pair(name) for name in ("kernel", "stride", "pad"))
        if not all(self.kernel) or not all(self.stride):
            raise UserError(f"layer {self.name!r} (Pooling) needs kernel_size and stride above 0, or global_pooling")

    def _pair(self, name: str) -> Pair:
        """Return (height, width) of `kernel`, `stride` or `pad`, given once for both or by axis."""
        p = self.param.pooling_param
        both, sides = "kernel_size" if name == "kernel" else name, (f"{name}_h", f"{name}_w")
        told = [side for side in sides if p.HasField(side)]
        if not told:
            return (getattr(p, both),) * 2
        if p.HasField(both) or len(told) == 1:
            raise UserError(f"layer {self.name!r} (Pooling) takes either {both} or both {name}_h and {name}_w")
        return getattr(p, sides[0]), getattr(p, sides[1])

    def _need_four_axes(self, bottom: Sequence[int]) -> None:
        if len(bottom) != 4:
            raise UserError(f"layer {self.name!r} (Pooling) takes N×C×H×W, not {tuple(bottom)}")

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        p = self.param.pooling_param
        self._need_four_axes(x.shape)
        whole = tuple(x.shape[2:]), (1, 1), (0, 0)
        geometry = whole if p.global_pooling else (self.kernel, self.stride, self.pad)
        ceil = p.round_mode == pb.PoolingParameter.CEIL
        if len(self.param.top) > 1:
            return _max_pool(self, x, *geometry, ceil, with_mask=True)
        return (pool(self, x, p.pool, *geometry, ceil),)


@layer_function("SPP")
def spp(layer: Layer, x: Tensor) -> Tensor:
    """Pool over grids of 1, 4, 16 … cells; N×(C · number of cells), level after level.

    A pyramid of height 1 gives N×C×1×1.
    """
    p = layer.param.spp_param
    if not p.pyramid_height:
        raise UserError(f"layer {layer.name!r} (SPP) needs a pyramid_height above 0")
    if x.dim() != 4 or 0 in x.shape[2:]:
        raise UserError(f"layer {layer.name!r} (SPP) takes N×C×H×W with pixels in it, not {tuple(x.shape)}")
    levels = []
    for level in range(p.pyramid_height):
        cells = 2**level
        kernel = tuple(-(-size // cells) for size in x.shape[2:])
        pad = tuple((k * cells - size + 1) // 2 for k, size in zip(kernel, x.shape[2:], strict=True))
        if any(q >= k for q, k in zip(pad, kernel, strict=True)):  # Caffe's limit too: it depends on the sizes
            raise UserError(
                f"layer {layer.name!r} (SPP): level {level} of its pyramid, {cells}×{cells} cells, does not suit the "
                f"bottom {tuple(x.shape)}; take a lower pyramid_height or other sizes"
            )
        levels.append(pool(layer, x, p.pool, kernel, kernel, pad))
    return torch.cat([grid.flatten(1) for grid in levels], 1) if len(levels) > 1 else levels[0]


def pool(layer: Layer, x: Tensor, method: int, kernel: Pair, stride: Pair, pad: Pair, ceil: bool = True) -> Tensor:
    """Return N×C×H×W pooled by a `PoolMethod`; `layer` says what errors are about and whether it trains."""
    if method == _MAX:
        return _max_pool(layer, x, kernel, stride, pad, ceil)[0]
    if method == _AVE:
        return _average_pool(layer, x, kernel, stride, pad, ceil)
    return _stochastic_pool(layer, x, kernel, stride, pad, ceil)


def _pooled_sizes(layer: Layer, x: Tensor, kernel: Pair, stride: Pair, pad: Pair, ceil: bool) -> list[int]:
    """Return Caffe's numbers of windows: rounded up unless told.

    With padding none starts beyond the image and its padding; without, the last one of a large stride may.
    """
    if any(q >= k for q, k in zip(pad, kernel, strict=True)):
        raise UserError(f"layer {layer.name!r} ({layer.type}) needs a pad below the kernel's size: {pad} and {kernel}")
    sizes = []
    for size, k, s, q in zip(x.shape[2:], kernel, stride, pad, strict=True):
        count = (math.ceil if ceil else math.floor)((size + 2 * q - k) / s) + 1
        sizes.append(count - 1 if any(pad) and (count - 1) * s >= size + q else count)
    if min(sizes) < 1:
        raise UserError(
            f"layer {layer.name!r} ({layer.type}): a window of {kernel} with the pad {pad} does not suit "
            f"the bottom {tuple(x.shape)}"
        )
    return sizes


def _beyond(x: Tensor, sizes: Sequence[int], kernel: Pair, stride: Pair, pad: Pair) -> list[int]:
    """Return how far the last windows reach beyond the image's lower and right border."""
    return [
        max((n - 1) * s + k - size - q, 0)
        for n, s, k, size, q in zip(sizes, stride, kernel, x.shape[2:], pad, strict=True)
    ]


def _average_pool(layer: Layer, x: Tensor, kernel: Pair, stride: Pair, pad: Pair, ceil: bool) -> Tensor:
    """Return each window's average. It counts padding, but not what lies beyond it."""
    sizes = _pooled_sizes(layer, x, kernel, stride, pad, ceil)
    if any(2 * q > k for q, k in zip(pad, kernel, strict=True)):  # more than PyTorch pads
        x, pad = F.pad(x, (pad[1], pad[1], pad[0], pad[0])), (0, 0)
    y = F.avg_pool2d(x, kernel, stride, pad, ceil, count_include_pad=True)
    lacking = [n - have for n, have in zip(sizes, y.shape[2:], strict=True)]
    # Windows that lie outside altogether, which PyTorch leaves out, are 0; windows within the padding go.
    return F.pad(y, (0, lacking[1], 0, lacking[0])) if any(lacking) else y


def _max_pool(
    layer: Layer, x: Tensor, kernel: Pair, stride: Pair, pad: Pair, ceil: bool, with_mask: bool = False
) -> tuple[Tensor, ...]:
    """Return each window's maximum, and with `with_mask` its place h · width + w in the image.

    Of equal values the first counts. A window outside the image has the lowest number, and the place −1.
    """
    sizes = _pooled_sizes(layer, x, kernel, stride, pad, ceil)
    beyond = _beyond(x, sizes, kernel, stride, pad)
    width = x.shape[3]
    top = left = 0
    if any(2 * q > k for q, k in zip(pad, kernel, strict=True)) or any(
        b >= k for b, k in zip(beyond, kernel, strict=True)
    ):  # more than PyTorch pads
        x = F.pad(x, (pad[1], beyond[1], pad[0], beyond[0]), value=torch.finfo(x.dtype).min)
        (top, left), pad, ceil = pad, (0, 0), False
    x = x.contiguous(memory_format=torch.channels_last)  # ten times as fast on the CPU
    if not with_mask:
        return (F.max_pool2d(x, kernel, stride, pad, ceil_mode=ceil),)
    y, at = F.max_pool2d(x, kernel, stride, pad, ceil_mode=ceil, return_indices=True)
    place = (at // x.shape[3] - top) * width + at % x.shape[3] - left
    return y, torch.where(y == torch.finfo(y.dtype).min, -1, place).float()


def _stochastic_pool(layer: Layer, x: Tensor, kernel: Pair, stride: Pair, pad: Pair, ceil: bool) -> Tensor:
    """Return from each window a value picked with a probability proportional to it, or its expectation when testing.

    The values should not be negative. A window of zeros gives 0. Zeiler and Fergus (2013), equations 4 and 6.
    """
    if any(pad):
        raise UserError(f"layer {layer.name!r} ({layer.type}) pools stochastically and takes no pad, not {pad}")
    sizes = _pooled_sizes(layer, x, kernel, stride, pad, ceil)
    beyond = _beyond(x, sizes, kernel, stride, pad)
    padded = F.pad(x.float(), (0, beyond[1], 0, beyond[0]))  # zeros, which are never picked and weigh nothing
    windows = sliding_windows(padded, kernel, stride, (0, 0), (1, 1)).flatten(4)
    if not layer.is_training:
        total = windows.sum(-1)
        nonzero = total > 0
        return torch.where(nonzero, windows.square().sum(-1) / total.where(nonzero, 1), 0).to(x.dtype)
    below = windows.detach().cumsum(-1)
    threshold = torch.rand(below.shape[:-1], device=x.device)[..., None] * below[..., -1:]
    picked = (below >= threshold).int().argmax(-1, keepdim=True)  # the first
    return windows.gather(-1, picked)[..., 0].to(x.dtype)
