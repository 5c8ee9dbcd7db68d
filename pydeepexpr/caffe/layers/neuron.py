"""Element-wise layers."""

import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, layer_function
from pydeepexpr.errors import UserError


@layer_function("ReLU")
def relu(layer: Layer, x: Tensor) -> Tensor:
    """y = max(x, 0) + negative_slope · min(x, 0)."""
    slope = layer.param.relu_param.negative_slope
    return F.leaky_relu(x, slope) if slope else F.relu(x)


@layer_function("Dropout")
def dropout(layer: Layer, x: Tensor) -> Tensor:
    """Zero each element with probability dropout_ratio when training and scale the others by 1 / (1 − ratio)."""
    ratio = layer.param.dropout_param.dropout_ratio
    if not 0 <= ratio < 1:
        raise UserError(f"layer {layer.name!r} (Dropout) needs a dropout_ratio from 0 to below 1, not {ratio:g}")
    return F.dropout(x, ratio, training=layer.is_training)
