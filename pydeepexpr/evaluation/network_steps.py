"""A network as a reader of figures sees it: the steps that change its blobs' shapes, read from a prototxt."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from pydeepexpr import caffe, paths
from pydeepexpr.caffe.graph import filter_net
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net
from pydeepexpr.errors import UserError

__all__ = ["Network", "Step", "read_network"]

#: What is said of layers that leave shapes as they are: a note at the step whose output they take.
_NOTES = {
    "ReLU": lambda layer: "ReLU",
    "LRN": lambda layer: "LRN",
    "Dropout": lambda layer: f"dropout {layer.dropout_param.dropout_ratio:g}",
}

#: Layers that measure how a training goes and compute nothing that is used.
_MEASURES = ("Accuracy",)


@dataclasses.dataclass(frozen=True)
class Step:
    """A layer that makes a blob, and what happens to that blob before it is used.

    Attributes
    ----------
    name, kind : str
        The layer's name and type, as Caffe has them.
    title : str
        What a figure calls it: `CONV1`, `max pooling`, `FC6`.
    detail : str
        Kernel, stride, padding, groups.
    notes : tuple of str
        `ReLU`, `LRN`, `dropout 0.5`.
    shape : tuple of int
        Of one image's output.
    parameters : int
        Weights and biases.
    rate : float
        The multiple of the learning rate at which its weights learn; 0 where they stay as they are or there are none.
    sources : tuple of str
        Names of the steps whose output it takes.
    """

    name: str
    kind: str
    title: str
    detail: str
    notes: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: int
    rate: float
    sources: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Network:
    """A network's steps, from the pixels to the loss.

    Attributes
    ----------
    name : str
        What its prototxt calls it.
    stage : str
        The reading that was taken, where the prototxt has several; else empty.
    steps : tuple of Step
    """

    name: str
    stage: str
    steps: tuple[Step, ...]

    @property
    def parameters(self) -> int:
        """Weights and biases of all steps."""
        return sum(step.parameters for step in self.steps)

    @property
    def learned(self) -> int:
        """Those of them that are trained."""
        return sum(step.parameters for step in self.steps if step.rate)

    def record(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {**dataclasses.asdict(self), "parameters": self.parameters, "learned": self.learned}


def read_network(prototxt: str | os.PathLike, stage: str = "") -> Network:
    """Read the steps of a network that is trained, with the shapes and sizes that the engine gives its blobs.

    Parameters
    ----------
    prototxt : path
        With `Data` layers, as for training; looked for as `paths.find` does.
    stage : str
        Which reading to take, where the network's rules know stages; a network without stages has none to take.

    Raises
    ------
    UserError
        If it cannot be read, has no data layer for training with a crop, or knows other stages.
    """
    path = paths.find(prototxt)
    param = read_net(path)
    stage = _stage_of(param, stage, path)
    stages = [stage] if stage else []
    layers = filter_net(param, pb.NetState(phase=caffe.TRAIN, stage=stages))
    net = caffe.Net(_fed_by_hand(layers, path), caffe.TRAIN, stages=stages)
    steps: dict[str, Step] = {}
    maker: dict[str, str] = {}  # the step whose output a blob is
    for layer in layers.layer:
        sources = tuple(maker[name] for name in layer.bottom if name in maker)
        if layer.type in _NOTES and sources:
            (made,) = sources
            steps[made] = dataclasses.replace(steps[made], notes=(*steps[made].notes, _NOTES[layer.type](layer)))
            maker.update(dict.fromkeys(layer.top, made))
        elif layer.type not in _MEASURES:
            steps[layer.name] = _step(net, layer, sources)
            maker[layer.top[0]] = layer.name  # not the labels, which a data layer gives beside its images
    return Network(param.name or Path(path).stem, stage, tuple(steps.values()))


def _stage_of(param: pb.NetParameter, stage: str, path: Path) -> str:
    rules = [rule for layer in param.layer for rule in (*layer.include, *layer.exclude)]
    known = dict.fromkeys(name for rule in rules for name in (*rule.stage, *rule.not_stage))
    if known and stage not in ("", *known):
        raise UserError(f"the network {path} knows no stage {stage!r}; it has: {', '.join(known)}")
    return stage if known else ""


def _fed_by_hand(param: pb.NetParameter, path: Path) -> pb.NetParameter:
    """Return a network with inputs of one image in the place of its data layers, whose databases need not be there."""
    fed = pb.NetParameter()
    fed.CopyFrom(param)
    for layer in fed.layer:
        if layer.type == "Data":
            side, tops = layer.transform_param.crop_size, list(layer.top)
            if not side:
                raise UserError(f"the network {path} crops no images, so its sizes are not known; give it a crop_size")
            layer.Clear()
            layer.name, layer.type = "data", "Input"
            layer.top.extend(tops)
            for shape in ([1, 3, side, side], [1])[: len(tops)]:
                layer.input_param.shape.add().dim.extend(shape)
    if not any(layer.type == "Input" for layer in fed.layer):
        raise UserError(f"the network {path} has no Data layer for the phase TRAIN")
    return fed


def _step(net: caffe.Net, layer: pb.LayerParameter, sources: tuple[str, ...]) -> Step:
    parameters = sum(blob.count for blob in net.params.get(layer.name, ()))
    rate = max((spec.lr_mult for spec in layer.param[:1]), default=1.0) if parameters else 0.0
    title, detail = _words(layer)
    loss = layer.type == "SoftmaxWithLoss"  # of which a reader wants to know how many classes it tells apart
    blob = net.blobs[(layer.bottom if loss else layer.top)[0]]
    shape = tuple(blob.data.shape[1:])
    return Step(layer.name, layer.type, title, detail, (), shape, parameters, rate, sources)


def _words(layer: pb.LayerParameter) -> tuple[str, str]:
    """Return a layer's title and, where it has windows, their geometry."""
    name = layer.name.replace("_", " ")
    if layer.type == "Convolution":
        its = layer.convolution_param
        return name.upper(), _windows(its) + (f", {its.group} groups" if its.group > 1 else "")
    if layer.type == "Pooling":
        its = layer.pooling_param
        kind = {its.MAX: "max", its.AVE: "average"}.get(its.pool, "stochastic")
        return f"{kind} pooling", "all of it" if its.global_pooling else _windows(its)
    if layer.type == "InnerProduct":
        first, _, rest = name.partition(" ")
        return f"{first.upper()} {rest}".strip(), ""
    if layer.type == "Eltwise":
        return name.partition(" ")[2] or name, ""
    return {"Data": "image", "SoftmaxWithLoss": "softmax"}.get(layer.type, name), ""


def _windows(its: pb.ConvolutionParameter | pb.PoolingParameter) -> str:
    (high, wide), stride, pad = _sides(its, "kernel", 1), _sides(its, "stride", 1), _sides(its, "pad", 0)
    words = [f"{high}×{wide}"]
    for what, sides, usual in (("stride", stride, 1), ("pad", pad, 0)):
        if set(sides) != {usual}:
            words.append(f"{what} {'×'.join(map(str, dict.fromkeys(sides)))}")
    return ", ".join(words)


def _sides(its: pb.ConvolutionParameter | pb.PoolingParameter, what: str, usual: int) -> tuple[int, int]:
    """Return a window's height and width, or its stride or padding along them, however they are given."""
    apart = getattr(its, f"{what}_h"), getattr(its, f"{what}_w")
    if any(apart):
        return apart
    given = getattr(its, "kernel_size" if what == "kernel" else what)
    values = [given] if isinstance(given, int) else [*given] or [usual]
    return values[0], values[-1]
