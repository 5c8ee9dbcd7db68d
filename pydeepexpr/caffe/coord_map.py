"""Where a blob's pixels lie in another blob, and the Crop layer that lines the two up (pycaffe's `caffe.coord_map`).

A coordinate map is (axis, scale, shift): from `axis` on, the coordinate x of the one blob is scale · x + shift in the
other. The axis is None, and scale and shift are numbers, where layers without a geometry of their own lie between.
"""

from collections.abc import Iterator

import numpy as np

from pydeepexpr.caffe.net_spec import Function, Top, layers
from pydeepexpr.caffe.raised import BadCrop, BadValue
from pydeepexpr.errors import UserError

__all__ = [
    "PASS_THROUGH_LAYERS",
    "AxisMismatchException",
    "UndefinedMapException",
    "compose",
    "conv_params",
    "coord_map",
    "coord_map_from_to",
    "crop",
    "crop_params",
    "inverse",
]

Scale = float | np.ndarray
CoordMap = tuple[int | None, Scale, Scale]

#: Layers that leave every pixel in its place.
PASS_THROUGH_LAYERS = [
    *("AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Exp", "Log", "LRN", "MVN"),
    *("Power", "PReLU", "ReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold"),
]
_IDENTITY: CoordMap = (None, 1, 0)


class UndefinedMapException(UserError):
    """A layer whose tops have no place in its bottoms."""


class AxisMismatchException(UserError):
    """Two maps that begin at different axes."""


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return axis, stride, extent of the (dilated) kernel and pad of a layer that looks at neighbourhoods.

    Raises
    ------
    UserError
        If it has no kernel_size, or says something of height and width apart.
    """
    params = fn.params.get("convolution_param", fn.params)
    if legacy := sorted(key for key in params if key.endswith(("_h", "_w"))):
        raise BadCrop(f"{fn.type_name} gives {', '.join(legacy)}; give kernel_size, stride and pad instead")
    if "kernel_size" not in params:
        raise BadValue(f"{fn.type_name} has no kernel_size, so its tops have no place in its bottoms")
    size, stride, pad, dilation = (
        np.array(params.get(key, default), ndmin=1)
        for key, default in (("kernel_size", 1), ("stride", 1), ("pad", 0), ("dilation", 1))
    )
    return params.get("axis", 1), stride, (size - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """Return the first axis that a Crop layer cuts, and its offsets."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> CoordMap:
    """Return the map from a layer's bottom to its top.

    Raises
    ------
    UndefinedMapException
        If the layer's type has none.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        # The map's axis is the one before the first that is cropped, as a convolution's is that of the channels.
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"the layer type {fn.type_name} maps no coordinates")


def compose(base_map: CoordMap, next_map: CoordMap) -> CoordMap:
    """Return the map that applies `next_map` and then `base_map`.

    Raises
    ------
    AxisMismatchException
        If both have an axis and these differ.
    """
    base_axis, base_scale, base_shift = base_map
    next_axis, next_scale, next_shift = next_map
    if None not in (base_axis, next_axis) and base_axis != next_axis:
        raise AxisMismatchException(f"the maps begin at the axes {base_axis} and {next_axis}; give all layers one axis")
    axis = next_axis if base_axis is None else base_axis
    return axis, base_scale * next_scale, base_scale * next_shift + base_shift


def inverse(coord_map: CoordMap) -> CoordMap:
    """Return the map in the other direction."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def _ancestors(top: Top) -> Iterator[tuple[Top, CoordMap]]:
    """Yield a blob and all that it was made of, with the maps from them to it, as far as there are maps."""
    waiting: list[tuple[Top, CoordMap]] = [(top, _IDENTITY)]
    seen = {top}
    while waiting:
        current, to_top = waiting.pop()
        yield current, to_top
        inputs = current.fn.inputs[:1] if current.fn.type_name == "Crop" else current.fn.inputs
        for bottom in inputs:
            if bottom not in seen:
                try:
                    from_bottom = compose(to_top, coord_map(current.fn))
                except UndefinedMapException:
                    break
                seen.add(bottom)
                waiting.append((bottom, from_bottom))


def coord_map_from_to(top_from: Top, top_to: Top) -> CoordMap:
    """Return the map from a blob's coordinates to another's, by what both were made of.

    Raises
    ------
    UserError
        If nothing connects them, or only layers that map no coordinates do.
    """
    to_from = dict(_ancestors(top_from))
    for shared, to_to in _ancestors(top_to):
        if shared in to_from:
            return compose(to_to, inverse(to_from[shared]))
    raise UserError("there is no map between the two blobs; they are not connected by layers with coordinates")


def crop(top_from: Top, top_to: Top) -> Top:
    """Return a Crop layer's top: `top_from` cut so that its pixels lie on those of `top_to`.

    Raises
    ------
    UserError
        If the scales differ, or the offset is negative or no whole number (also an AssertionError, as in pycaffe).
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    scale, shift = np.atleast_1d(scale), np.atleast_1d(shift)
    if not (scale == 1).all():
        raise BadCrop(f"the scales of the two blobs differ by {scale}; only blobs of one scale can be cropped")
    if (shift > 0).any():
        raise BadCrop(f"the crop's offset {-shift} is negative: the blob to crop is the smaller one")
    if (shift != np.round(shift)).any():
        raise BadCrop(f"the crop's offset {-shift} is no whole number of pixels")
    # The Crop layer counts from the first axis that it cuts, the one after the map's.
    return layers.Crop(
        top_from, top_to, crop_param={"axis": (1 if axis is None else axis) + 1, "offset": [int(o) for o in -shift]}
    )
