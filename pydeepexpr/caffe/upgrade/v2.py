"""What grew old within today's format: a net's own input fields, and rates for the statistics of BatchNorm."""

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["clear_batch_norm_rates", "has_batch_norm_rates", "has_input_fields", "move_input_fields"]


def has_input_fields(net: pb.NetParameter) -> bool:
    """Whether the net names its inputs outside any layer."""
    return bool(net.input)


def move_input_fields(net: pb.NetParameter) -> None:
    """Make the inputs an Input layer, the first. Inputs without shapes, which old weights carry, are dropped."""
    if net.input_shape or net.input_dim:
        layer = pb.LayerParameter(name="input", type="Input", top=net.input)
        layer.input_param.shape.extend(_input_shapes(net))
        net.layer.insert(0, layer)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def _input_shapes(net: pb.NetParameter) -> list[pb.BlobShape]:
    """Return the inputs' shapes: their `input_shape`, or four `input_dim` each."""
    dims = list(net.input_dim)
    shapes = list(net.input_shape) or [pb.BlobShape(dim=dims[i : i + 4]) for i in range(0, len(dims), 4)]
    if len(shapes) != len(net.input) or (dims and len(dims) != 4 * len(net.input)):
        raise UserError(
            f"it has {len(net.input)} input(s), {len(net.input_shape)} input_shape and {len(dims)} input_dim; "
            "give one input_shape, or four input_dim, for each input"
        )
    return shapes


def _rated_statistics(net: pb.NetParameter) -> list[pb.ParamSpec]:
    """Return the three `param` of each BatchNorm that has them and lets the solver change its statistics."""
    specs = [layer.param for layer in net.layer if layer.type == "BatchNorm" and len(layer.param) == 3]
    return [spec for three in specs for spec in three if spec.lr_mult or spec.decay_mult]


def has_batch_norm_rates(net: pb.NetParameter) -> bool:
    """Whether a BatchNorm has rates for its three statistics, as its first version wanted."""
    return bool(_rated_statistics(net))


def clear_batch_norm_rates(net: pb.NetParameter) -> None:
    """Set the rates of BatchNorm's statistics to 0: the layer computes them, no solver does. Names stay."""
    for spec in _rated_statistics(net):
        spec.lr_mult = spec.decay_mult = 0
