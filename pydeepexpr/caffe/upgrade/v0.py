"""Layers of 2013, `layers { layer { type: "conv" kernelsize: 5 … } }`, and the padding layers of their time."""

from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["has_v0_layers", "upgrade_layers"]

#: V1's names of the types.
_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
#: Where a type's parameters went, and which of them it has.
_PARAMS = {
    "concat": ("concat_param", {"concat_dim"}),
    "conv": (
        "convolution_param",
        {"num_output", "biasterm", "weight_filler", "bias_filler", "pad", "kernelsize", "group", "stride"},
    ),
    "data": ("data_param", {"source", "batchsize", "rand_skip"}),
    "dropout": ("dropout_param", {"dropout_ratio"}),
    "hdf5_data": ("hdf5_data_param", {"source", "batchsize"}),
    "images": (
        "image_data_param",
        {"source", "batchsize", "rand_skip", "shuffle_images", "new_height", "new_width"},
    ),
    "infogain_loss": ("infogain_loss_param", {"source"}),
    "innerproduct": ("inner_product_param", {"num_output", "biasterm", "weight_filler", "bias_filler"}),
    "lrn": ("lrn_param", {"local_size", "alpha", "beta", "k"}),
    "pool": ("pooling_param", {"pool", "pad", "kernelsize", "stride"}),
    "window_data": (
        "window_data_param",
        {
            "source",
            "batchsize",
            "det_fg_threshold",
            "det_bg_threshold",
            "det_fg_fraction",
            "det_context_pad",
            "det_crop_mode",
        },
    ),
}
#: Parameters that were of the layer and still are; those that any layer may hand to its transform_param.
_KEPT = {"name", "blobs", "blobs_lr", "weight_decay"}
_TRANSFORM = {"scale", "meanfile", "cropsize", "mirror"}
#: Parameters whose name changed.
_RENAMED = {
    "batchsize": "batch_size",
    "biasterm": "bias_term",
    "cropsize": "crop_size",
    "det_bg_threshold": "bg_threshold",
    "det_context_pad": "context_pad",
    "det_crop_mode": "crop_mode",
    "det_fg_fraction": "fg_fraction",
    "det_fg_threshold": "fg_threshold",
    "kernelsize": "kernel_size",
    "meanfile": "mean_file",
    "shuffle_images": "shuffle",
}
#: Parameters of a convolution that are one for each spatial axis since.
_PER_AXIS = {"pad", "kernelsize", "stride"}


def has_v0_layers(net: pb.NetParameter) -> bool:
    """Whether a layer of the net is a V0 one."""
    return any(layer.HasField("layer") for layer in net.layers)


def upgrade_layers(net: pb.NetParameter) -> None:
    """Make each V0 layer a V1 one, and padding layers the padding of the convolution or pooling that follows."""
    layers = [_upgrade_layer(layer) for layer in _fold_padding(net)]
    del net.layers[:]
    net.layers.extend(layers)


def _fold_padding(net: pb.NetParameter) -> list[pb.V1LayerParameter]:
    """Return the net's layers without padding layers; what read one pads by itself."""
    kept = []
    maker: dict[str, pb.V1LayerParameter] = {}  # blob name → the layer that made it last
    for layer in net.layers:
        folded = pb.V1LayerParameter()
        folded.CopyFrom(layer)
        for i, bottom in enumerate(layer.bottom):
            if bottom in maker and maker[bottom].layer.type == "padding":
                padding = maker[bottom]
                _check_padding(padding, layer)
                folded.layer.pad = padding.layer.pad
                folded.bottom[i] = padding.bottom[0]
        if layer.layer.type != "padding":
            kept.append(folded)
        maker.update(dict.fromkeys(layer.top, layer))
    return kept


def _check_padding(padding: pb.V1LayerParameter, reader: pb.V1LayerParameter) -> None:
    counts = (len(padding.bottom), len(padding.top), len(reader.bottom))
    if reader.layer.type not in ("conv", "pool") or counts != (1, 1, 1):
        raise UserError(
            f"layer {reader.layer.name!r} ({reader.layer.type}) reads the padding layer {padding.layer.name!r}; that "
            "can be only a conv or pool layer, with one blob into and out of each"
        )


def _upgrade_layer(connection: pb.V1LayerParameter) -> pb.V1LayerParameter:
    """Return a V0 layer, given with its bottoms and tops, as a V1 one; a V1 layer as it is."""
    if not connection.HasField("layer"):
        return connection
    old, new = connection.layer, pb.V1LayerParameter()
    new.CopyFrom(connection)
    new.ClearField("layer")
    if old.HasField("type"):
        if old.type not in _TYPES:
            raise UserError(f"layer {old.name!r} has the unknown type {old.type!r}")
        new.type = pb.V1LayerParameter.LayerType.Value(_TYPES[old.type])
    message, own = _PARAMS.get(old.type, ("", ()))
    for field, value in old.ListFields():
        name = _RENAMED.get(field.name, field.name)
        if field.name in own:
            value = [value] if message == "convolution_param" and field.name in _PER_AXIS else value
            _merge(new, {message: {name: value}})
        elif field.name in _TRANSFORM:
            _merge(new, {"transform_param": {name: value}})
        elif field.name in _KEPT or (field.name, old.type) == ("hdf5_output_param", "hdf5_output"):
            _merge(new, {name: value})
        elif field.name != "type":
            log.warning("layer %r: %s layers have no %s; it is ignored", old.name, old.type, field.name)
    return new


def _merge(layer: pb.V1LayerParameter, fields: dict) -> None:
    layer.MergeFrom(pb.V1LayerParameter(**fields))
