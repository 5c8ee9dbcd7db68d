"""Drawing a network as a graph (pycaffe's `caffe.draw`), through pydot and Graphviz, which are optional."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.raised import BadValue
from pydeepexpr.caffe.upgrade import upgrade_net
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

if TYPE_CHECKING:
    import pydot

__all__ = [
    "choose_color_by_layertype",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_label",
    "get_layer_lr_mult",
    "get_pooling_types_dict",
    "get_pydot_graph",
]

_BLOB = {"shape": "octagon", "style": "filled", "fillcolor": "#E0E0E0"}
_NEURON = {"shape": "box", "style": "filled", "fillcolor": "#90EE90"}
_LAYER = {"shape": "box", "style": "filled"}
_COLOURS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}
_OTHER_COLOUR = "#6495ED"


def choose_color_by_layertype(layertype: str) -> str:
    """Return the colour of a layer type, as ``#RRGGBB``."""
    return _COLOURS.get(layertype, _OTHER_COLOUR)


def get_pooling_types_dict() -> dict[int, str]:
    """Return the names of the kinds of pooling by their numbers."""
    return {number: name for name, number in pb.PoolingParameter.PoolMethod.items()}


def _first(values, default: int) -> int:
    return values[0] if len(values) else default


def get_layer_lr_mult(layer: pb.LayerParameter) -> list[float]:
    """Return the rates of the parameters of a convolution or an inner product, [1.0] where none is given."""
    if layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
        return []
    return [spec.lr_mult for spec in layer.param] or [1.0]


def get_layer_label(layer: pb.LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """Return what a layer's node says: name, type, the geometry of a convolution or pooling, rates where asked for.

    Parameters
    ----------
    layer : LayerParameter
    rankdir : str
        Direction of the graph: lines are separated by what suits it, a blank or a line's end.
    display_lrm : bool
        Whether to add the parameters' rates.
    """
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    lines = [layer.name, f"({layer.type})"]
    if layer.type in ("Convolution", "Deconvolution"):
        p = layer.convolution_param
        kernel = f"{p.kernel_h}x{p.kernel_w}" if p.HasField("kernel_h") else str(_first(p.kernel_size, 1))
        lines += [f"kernel size: {kernel}"]
        lines += [f"stride: {p.stride_h if p.HasField('stride_h') else _first(p.stride, 1)}"]
        lines += [f"pad: {p.pad_h if p.HasField('pad_h') else _first(p.pad, 0)}"]
        if _first(p.dilation, 1) != 1:
            lines += [f"dilation: {p.dilation[0]}"]
    elif layer.type == "Pooling":
        p = layer.pooling_param
        kind = get_pooling_types_dict()[p.pool]
        if p.global_pooling:
            lines[1] = f"(global {kind} {layer.type})"
        else:
            lines[1] = f"({kind} {layer.type})"
            lines += [f"kernel size: {p.kernel_h if p.HasField('kernel_h') else p.kernel_size}"]
            lines += [f"stride: {p.stride_h if p.HasField('stride_h') else p.stride}"]
            lines += [f"pad: {p.pad_h if p.HasField('pad_h') else p.pad}"]
    if display_lrm and (rates := get_layer_lr_mult(layer)):
        lines += [f"lr mult: {', '.join(f'{rate:g}' for rate in rates)}"]
    return separator.join(lines)


def get_edge_label(layer: pb.LayerParameter) -> str:
    """Return what the edge behind a layer says: its number of outputs, or its batch size."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    return str(layer.inner_product_param.num_output) if layer.type == "InnerProduct" else ""


def get_pydot_graph(
    caffe_net: pb.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> "pydot.Dot":
    """Return a network's graph: its layers, its blobs, and what flows where. A layer that works in place has no blob.

    Parameters
    ----------
    caffe_net : NetParameter
        Of any age.
    rankdir : {'LR', 'TB', 'BT', 'RL'}
        Direction of the graph, left to right for instance.
    label_edges : bool
        Whether edges say how many outputs a layer has.
    phase : int, optional
        `TRAIN` or `TEST`: draw only the layers of that phase; all of them unless told.
    display_lrm : bool
        Whether layers say the rates of their parameters.

    Raises
    ------
    UserError
        If pydot is not installed.
    """
    pydot = _pydot()
    net = upgrade_net(caffe_net, "the network")
    layers = [layer for layer in net.layer if phase is None or _is_in(layer, phase)]
    graph = pydot.Dot(_quoted(net.name or "Net"), graph_type="digraph", rankdir=rankdir)
    blobs: set[str] = set()
    for number, layer in enumerate(layers):
        node = f"layer {number}"
        in_place = list(layer.bottom) == list(layer.top) and len(layer.top) == 1
        style = _NEURON if in_place else {**_LAYER, "fillcolor": choose_color_by_layertype(layer.type)}
        label = _quoted(get_layer_label(layer, rankdir, display_lrm))
        graph.add_node(pydot.Node(_quoted(node), label=label, **_quoted_all(style)))
        for name in [*layer.bottom, *layer.top]:
            if name not in blobs:
                blobs.add(name)
                graph.add_node(pydot.Node(_quoted(f"{name} blob"), label=_quoted(name), **_quoted_all(_BLOB)))
        edge_label = _quoted(get_edge_label(layer) if label_edges else "")
        for name in layer.bottom:
            graph.add_edge(pydot.Edge(_quoted(f"{name} blob"), _quoted(node), label='""'))
        for name in layer.top:
            graph.add_edge(pydot.Edge(_quoted(node), _quoted(f"{name} blob"), label=edge_label))
    return graph


def _is_in(layer: pb.LayerParameter, phase: int) -> bool:
    """Whether a layer's rules let it be in a phase, for some level and stages."""
    included = not layer.include or any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return included and not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def draw_net(
    caffe_net: pb.NetParameter, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """Return the picture of a network as the bytes of a file of the format `ext`, whatever Graphviz writes.

    ``raw`` is the graph's own text, for which Graphviz need not be there.

    The other parameters are those of `get_pydot_graph`.

    Raises
    ------
    UserError
        If pydot or Graphviz is not installed, or Graphviz cannot write the format.
    """
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    if ext == "raw":
        return graph.to_string().encode()
    try:
        return graph.create(format=ext)
    except OSError as error:
        raise UserError(f"drawing needs Graphviz: its program `dot` is not found ({error.strerror})") from None
    except Exception as error:
        raise UserError(
            f"Graphviz cannot draw the network; does it write {ext!r}? ({str(error).splitlines()[-1]})"
        ) from None


def draw_net_to_file(
    caffe_net: pb.NetParameter,
    filename: str | os.PathLike,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write the picture of a network, in the format that the file's name ends in (see `draw_net`)."""
    ext = Path(filename).suffix.removeprefix(".")
    if not ext:
        raise BadValue(f"the picture {os.fspath(filename)} needs a name with a format: .png, .svg, .pdf …")
    picture = draw_net(caffe_net, rankdir, ext, phase, display_lrm)
    with atomic_file(filename) as partial:
        partial.write_bytes(picture)


def _pydot():
    try:
        import pydot
    except ImportError:
        raise UserError(
            "drawing needs pydot and Graphviz: pip install pydeepexpr[draw], and the program `dot`"
        ) from None
    return pydot


def _quoted(text: str) -> str:
    """Return a name or a label in quotes, for Graphviz."""
    return '"' + text.replace('"', r"\"") + '"'


def _quoted_all(attributes: dict[str, str]) -> dict[str, str]:
    return {key: _quoted(value) for key, value in attributes.items()}
