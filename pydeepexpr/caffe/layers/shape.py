"""Layers that move values but change none: joining, cutting, repeating, other axes for the same values."""

import math
from itertools import pairwise

import torch
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, canonical_axis, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def _refusal(layer: Layer, reason: str) -> UserError:
    return UserError(f"layer {layer.name!r} ({layer.type}) {reason}")


def _axis(layer: Layer, p: pb.ConcatParameter | pb.SliceParameter, older: str, dims: int) -> int:
    """Return the axis that `axis` says, or its older spelling, which counts from 0."""
    if not p.HasField(older):
        return canonical_axis(p.axis, dims)
    if p.HasField("axis"):
        raise _refusal(layer, f"gives axis and {older}; keep axis")
    return canonical_axis(getattr(p, older), dims)


def _not_in_place(layer: Layer) -> None:
    if layer.param.top[0] == layer.param.bottom[0]:
        raise _refusal(layer, f"cannot work in place; give its top another name than {layer.param.top[0]!r}")


@layer_function("Concat", bottoms=(1, None))
def concat(layer: Layer, *bottoms: Tensor) -> Tensor:
    """Join the bottoms along `axis`; all other sizes are alike."""
    axis = _axis(layer, layer.param.concat_param, "concat_dim", bottoms[0].dim())
    shapes = [tuple(x.shape) for x in bottoms]
    if len({(shape[:axis], shape[axis + 1 :]) for shape in shapes}) > 1:
        raise _refusal(layer, f"joins along axis {axis} bottoms that differ elsewhere too: {shapes}")
    return torch.cat(bottoms, axis)


@layer_function("Slice", tops=(1, None))
def slice_(layer: Layer, x: Tensor) -> list[Tensor]:
    """Cut the bottom along `axis` before each `slice_point`, or into equal parts, one for each top."""
    p, count = layer.param.slice_param, len(layer.param.top)
    axis = _axis(layer, p, "slice_dim", x.dim())
    size = x.shape[axis]
    if p.slice_point:
        if len(p.slice_point) != count - 1:
            raise _refusal(layer, f"has {len(p.slice_point)} slice_point for {count} tops; give {count - 1}")
        points = [0, *p.slice_point]
        if any(b <= a for a, b in pairwise(points)) or points[-1] > size:
            raise _refusal(layer, f"needs slice_point that rise from above 0 to {size}, not {points[1:]}")
    elif size % count:
        raise _refusal(layer, f"cannot cut axis {axis} of {tuple(x.shape)} into {count} equal parts; add slice_point")
    else:
        points = [k * size // count for k in range(count)]
    ends = [*points[1:], size]
    # Copies, so that the tops stay what they are when the user writes to the bottom.
    return [x.narrow(axis, a, b - a).clone() for a, b in zip(points, ends, strict=True)]


@layer_function("Crop", bottoms=(2, 2), constants=(1,))
def crop(layer: Layer, x: Tensor, reference: Tensor) -> Tensor:
    """Cut the first bottom from `axis` on to the sizes of the second, `offset` (0, one, or one for each axis) in."""
    p = layer.param.crop_param
    axis = canonical_axis(p.axis, x.dim())
    axes = x.dim() - axis
    offsets = list(p.offset) or [0]
    if len(offsets) not in (1, axes):
        raise _refusal(layer, f"has {len(offsets)} offset for the {axes} axes from axis {axis} on; give 1 or {axes}")
    offsets = offsets * axes if len(offsets) == 1 else offsets
    wanted = reference.shape[axis:]
    if len(wanted) < axes or any(o + n > size for o, n, size in zip(offsets, wanted, x.shape[axis:], strict=False)):
        raise _refusal(
            layer, f"cannot cut {tuple(reference.shape)} out of {tuple(x.shape)} from axis {axis} on at {offsets}"
        )
    inside = (slice(o, o + n) for o, n in zip(offsets, wanted, strict=False))
    return x[(*(slice(None),) * axis, *inside)].clone()


@layer_function("Flatten")
def flatten(layer: Layer, x: Tensor) -> Tensor:
    """Make the axes from `axis` to `end_axis` one."""
    _not_in_place(layer)
    p = layer.param.flatten_param
    start, end = (canonical_axis(axis, x.dim()) for axis in (p.axis, p.end_axis))
    if end < start - 1:
        raise _refusal(layer, f"flattens from axis {start} to {end}; let end_axis be axis or above")
    return x.reshape(*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])


@layer_function("Reshape")
def reshape(layer: Layer, x: Tensor) -> Tensor:
    """Put other sizes in the place of those of `num_axes` axes from `axis` on; 0 copies a size, −1 follows from all.

    A negative `axis` counts from behind the last axis, where −1 is: there axes of size 1 can be added.
    """
    _not_in_place(layer)
    p = layer.param.reshape_param
    start = p.axis if p.axis >= 0 else x.dim() + p.axis + 1
    end = x.dim() if p.num_axes == -1 else start + p.num_axes
    if not 0 <= start <= end <= x.dim():
        raise _refusal(layer, f"has axis {p.axis} and num_axes {p.num_axes}, which {tuple(x.shape)} has not")
    return x.reshape(_reshaped(layer, tuple(x.shape), start, end))


def _reshaped(layer: Layer, bottom: Shape, start: int, end: int) -> list[int]:
    """Return the bottom's shape with the sizes from axis `start` to before `end` as the layer's `shape` says."""
    told = list(layer.param.reshape_param.shape.dim)
    if told.count(-1) > 1 or min(told, default=0) < -1:
        raise _refusal(layer, f"needs dim of 0 or above, and at most one −1, not {told}")
    copied = bottom[start : start + len(told)]
    if any(dim == 0 and k >= len(copied) for k, dim in enumerate(told)):
        raise _refusal(layer, f"copies with dim 0 a size that the bottom {bottom} has not: {told} from axis {start}")
    sizes = [copied[k] if dim == 0 else dim for k, dim in enumerate(told)]
    shape = [*bottom[:start], *sizes, *bottom[end:]]
    count = math.prod(bottom)
    if -1 in told:
        known = -math.prod(shape)
        if known == 0 or count % known:
            raise _refusal(layer, f"cannot find the −1 in {shape}: {count} values of {bottom} do not divide")
        shape[start + told.index(-1)] = count // known
    if math.prod(shape) != count:
        raise _refusal(layer, f"cannot make {shape} of {bottom}: {math.prod(shape)} values of {count}")
    return shape


@layer_function("Tile")
def tile(layer: Layer, x: Tensor) -> Tensor:
    """Repeat the bottom `tiles` times along `axis`."""
    p = layer.param.tile_param
    if p.tiles < 1:
        raise _refusal(layer, "needs tiles, 1 or more, in tile_param")
    times = [1] * x.dim()
    times[canonical_axis(p.axis, x.dim())] = p.tiles
    return x.repeat(times)
