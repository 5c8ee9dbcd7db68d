"""Layers in which one blob says which rows of another go on."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, Shape, layer, layer_function
from pydeepexpr.errors import UserError


def _rows(layer: Layer, index: Tensor, count: int) -> Tensor:
    """Return the index as integers. On CUDA, PyTorch's own check speaks, without a wait for the device."""
    rows = index.long()
    if rows.device.type == "cpu" and rows.numel() and (rows.min() < 0 or rows.max() >= count):
        raise UserError(
            f"layer {layer.name!r} ({layer.type}) has {count} rows but meets the indices {int(rows.min())} to "
            f"{int(rows.max())}; they count from 0"
        )
    return rows


@layer("Embed")
class Embed(Layer):
    """A learned vector, weights (input_dim, num_output) and a bias (num_output), for each index in the bottom."""

    no_gradient_to = (0,)

    def setup(self, bottom: Shape) -> None:
        p = self.param.embed_param
        if not p.num_output or not p.input_dim:
            raise UserError(f"layer {self.name!r} (Embed) needs num_output and input_dim above 0 in embed_param")
        self.add_blob((p.input_dim, p.num_output), p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)

    def forward(self, index: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor]:
        y = F.embedding(_rows(self, index, len(weight)), weight)
        return (y if bias is None else y + bias,)


@layer_function("BatchReindex", bottoms=(2, 2), no_gradient_to=(1,))
def batch_reindex(layer: Layer, x: Tensor, index: Tensor) -> Tensor:
    """The first bottom's items in the order that the second, a vector, tells; some several times, some never."""
    if index.dim() != 1 or x.dim() < 1:
        raise UserError(
            f"layer {layer.name!r} (BatchReindex) takes a batch and a vector of indices, not "
            f"{tuple(x.shape)} and {tuple(index.shape)}"
        )
    return x.index_select(0, _rows(layer, index, len(x)))


@layer("Filter")
class Filter(Layer):
    """Those items of each bottom for which the last bottom, N or N×1×…, is not 0.

    As in Caffe the tops have all N items until the first forward has seen which ones there are.
    """

    bottoms, tops = (2, None), (1, None)

    def setup(self, *bottoms: Shape) -> None:
        if len(self.param.top) != len(bottoms) - 1:
            raise UserError(
                f"layer {self.name!r} (Filter) has {len(self.param.top)} top(s) for {len(bottoms) - 1} bottom(s) and "
                "a selector; give one top for each bottom but the last"
            )
        self.no_gradient_to = (len(bottoms) - 1,)
        self._selected: tuple[int, int] | None = None  # of so many, so many

    def _check(self, *bottoms: Shape) -> None:
        *items, selector = bottoms
        if not selector or any(size != 1 for size in selector[1:]):
            raise UserError(f"layer {self.name!r} (Filter) takes a selector of N or N×1×…, not {selector}")
        if any(item[:1] != selector[:1] for item in items):
            raise UserError(
                f"layer {self.name!r} (Filter) has a selector for {selector[0]} items and bottoms of {items}"
            )

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        self._check(*bottoms)
        total = bottoms[-1][0]
        of, selected = self._selected or (total, total)
        count = selected if of == total else total
        return [(count, *item[1:]) for item in bottoms[:-1]]

    def forward(self, *bottoms: Tensor) -> list[Tensor]:
        self._check(*(tuple(x.shape) for x in bottoms))
        *items, selector = bottoms
        index = selector.reshape(-1).nonzero()[:, 0]
        self._selected = len(selector), len(index)
        return [torch.index_select(x, 0, index) for x in items]
