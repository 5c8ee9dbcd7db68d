"""Windows that slide over any number of spatial axes."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

__all__ = ["columns", "sliding_windows"]


def sliding_windows(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """Return what each window holds: N×C×places…×kernel… from N×C×sizes…, as a view of the padded input.

    `pad` is put on both sides of each axis; where it is negative it is cut off.
    """
    if any(pad):
        x = F.pad(x, [amount for p in reversed(pad) for amount in (p, p)])
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        x = x.unfold(2 + axis, (k - 1) * d + 1, s)[..., ::d]
    return x


def columns(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """Return the windows' values as channels: N×(C·kernel)×places…, the kernel's last axis running fastest (im2col)."""
    axes = len(kernel)
    windows = sliding_windows(x, kernel, stride, pad, dilation)
    places, inside = range(2, 2 + axes), range(2 + axes, 2 + 2 * axes)
    return windows.permute(0, 1, *inside, *places).flatten(1, 1 + axes)
