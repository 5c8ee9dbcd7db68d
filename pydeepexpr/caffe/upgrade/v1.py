"""Layers of 2014, `layers { type: CONVOLUTION blobs_lr: 1 … }`, and the transformation fields of their data layers."""

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["has_data_fields", "has_v1_layers", "move_data_fields", "upgrade_layers"]

#: Today's names of the types.
_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}

#: Lists with an entry for each learnable blob, and the field of ParamSpec that took their place.
_SPEC_FIELDS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
#: What has no field of the same name and type in LayerParameter; `layer` is V0's.
_REPLACED = {"layer", "type", *_SPEC_FIELDS}

_DATA_PARAMS = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_DATA_FIELDS = ("scale", "mean_file", "crop_size", "mirror")


def _type_name(layer: pb.V1LayerParameter) -> str:
    return pb.V1LayerParameter.LayerType.Name(layer.type)


def _data_fields(layer: pb.V1LayerParameter) -> dict:
    """Return the transformation fields that a data layer sets in its own parameters."""
    if _type_name(layer) not in _DATA_PARAMS:
        return {}
    param = getattr(layer, _DATA_PARAMS[_type_name(layer)])
    return {field: getattr(param, field) for field in _DATA_FIELDS if param.HasField(field)}


def has_data_fields(net: pb.NetParameter) -> bool:
    """Whether a V1 data layer says in its own parameters what is transform_param's to say."""
    return any(_data_fields(layer) for layer in net.layers)


def move_data_fields(net: pb.NetParameter) -> None:
    """Move transformation fields into transform_param."""
    for layer in net.layers:
        for field, value in _data_fields(layer).items():
            setattr(layer.transform_param, field, value)
            getattr(layer, _DATA_PARAMS[_type_name(layer)]).ClearField(field)


def has_v1_layers(net: pb.NetParameter) -> bool:
    """Whether the net has `layers`."""
    return bool(net.layers)


def upgrade_layers(net: pb.NetParameter) -> None:
    """Make each of `layers` a `layer`."""
    if net.layer:
        raise UserError("it has `layer` and `layers`; write all of them as `layer`")
    for old in net.layers:
        new = net.layer.add(**{field.name: value for field, value in old.ListFields() if field.name not in _REPLACED})
        if old.HasField("type"):
            new.type = _TYPES[_type_name(old)]
        for name, field in _SPEC_FIELDS.items():
            for i, value in enumerate(getattr(old, name)):
                if i == len(new.param):
                    new.param.add()
                setattr(new.param[i], field, value)
    del net.layers[:]
