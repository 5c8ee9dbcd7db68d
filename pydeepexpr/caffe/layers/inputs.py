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
    """Tops that the user fills."""

    bottoms, tops = (0, 0), (1, None)

    def top_shapes(self) -> list[Shape]:
        shapes = [tuple(shape.dim) for shape in self.param.input_param.shape]
        if len(shapes) not in (1, len(self.param.top)):
            raise UserError(f"layer {self.name!r} (Input) has {len(shapes)} shapes for {len(self.param.top)} tops")
        return shapes * (len(self.param.top) // len(shapes))

    def forward(self) -> Sequence[Tensor | None] | None:
        return None


@layer("DummyData")
class DummyData(Layer):
    """Tops made by fillers: constants once, random ones anew at every forward."""

    bottoms, tops = (0, 0), (1, None)

    def top_shapes(self) -> list[Shape]:
        p = self.param.dummy_data_param
        shapes = [tuple(shape.dim) for shape in p.shape]
        shapes = shapes or list(zip(p.num, p.channels, p.height, p.width, strict=False))
        fillers = list(p.data_filler) or [pb.FillerParameter()]
        count = len(self.param.top)
        if len(shapes) not in (1, count) or len(fillers) not in (1, count):
            raise UserError(f"layer {self.name!r} (DummyData) needs one shape and one filler, or one of each per top")
        self.shapes = shapes * (count // len(shapes))
        self.fillers = fillers * (count // len(fillers))
        return self.shapes

    def fill_tops(self, *tops: Blob) -> None:
        for top, shape, filler in zip(tops, self.shapes, self.fillers, strict=True):
            top.data_memory.put(fill(shape, filler).to(mode.device()))

    def forward(self) -> Sequence[Tensor | None] | None:
        return [
            None if filler.type == "constant" else fill(shape, filler).to(mode.device())
            for shape, filler in zip(self.shapes, self.fillers, strict=True)
        ]
