"""Layers without bottoms: what the user sets, and what fillers make."""

from collections.abc import Sequence

from torch import Tensor

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.fillers import fill
from pydeepexpr.caffe.layers.base import Layer, Shape, layer
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


@layer("Input")
class Input(Layer):
    """Tops that the user fills: of one shape, of one each, or of none until the user reshapes them."""

    bottoms, tops = (0, 0), (1, None)

    def top_shapes(self) -> list[Shape]:
        shapes = [tuple(shape.dim) for shape in self.param.input_param.shape] or [()]
        if len(shapes) not in (1, len(self.param.top)):
            raise UserError(f"layer {self.name!r} (Input) has {len(shapes)} shapes for {len(self.param.top)} tops")
        return shapes * (len(self.param.top) // len(shapes))

    def forward(self) -> Sequence[Tensor | None] | None:
        return None


@layer("DummyData")
class DummyData(Layer):
    """Tops made by fillers: constants once, random ones anew at every forward, in the shape that the top has then."""

    bottoms, tops = (0, 0), (1, None)

    def build(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        p = self.param.dummy_data_param
        self._made = tops
        self._fillers = self._for_each_top(list(p.data_filler) or [pb.FillerParameter()])

    def top_shapes(self) -> list[Shape]:
        p = self.param.dummy_data_param
        old = [list(p.num), list(p.channels), list(p.height), list(p.width)]
        if not any(old):
            return self._for_each_top([tuple(shape.dim) for shape in p.shape])
        if p.shape:
            raise UserError(f"layer {self.name!r} (DummyData) has a shape and the old num, channels …; keep the shape")
        return list(zip(*(self._for_each_top(sizes) for sizes in old), strict=True))

    def _for_each_top(self, given: list) -> list:
        """Return what was given once for all tops, or once for each, once for each."""
        count = len(self.param.top)
        if len(given) not in (1, count):
            raise UserError(
                f"layer {self.name!r} (DummyData) needs one shape and one filler, or one of each per top (of the old "
                "num, channels, height and width too)"
            )
        return given * (count // len(given))

    def fill_tops(self, *tops: Blob) -> None:
        for top, filler in zip(tops, self._fillers, strict=True):
            top.data_memory.put(fill(top.shape, filler).to(mode.device()))

    def forward(self) -> Sequence[Tensor | None] | None:
        return [
            None if filler.type == "constant" else fill(top.shape, filler).to(mode.device())
            for top, filler in zip(self._made, self._fillers, strict=True)
        ]
