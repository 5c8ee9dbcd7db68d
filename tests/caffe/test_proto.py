"""The messages hold what real Caffe wrote, default as Caffe documents, and number their enums as Caffe does."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from pydeepexpr.caffe.proto import caffe_pb2

GOLDEN = Path(__file__).parents[1] / "golden" / "caffe" / "proto"
SOURCE = Path(caffe_pb2.__file__).with_name("caffe.proto")
MESSAGES = ["BlobProto", "BlobProtoVector", "Datum", "NetParameter", "SolverParameter", "SolverState"]


def golden(name):
    binary = (GOLDEN / f"{name}.bin").read_bytes()
    return getattr(caffe_pb2, name), binary, (GOLDEN / f"{name}.prototxt").read_text()


@pytest.mark.parametrize("name", MESSAGES)
def test_caffes_bytes_read_as_caffes_text(name):
    message, binary, text = golden(name)
    assert text_format.MessageToString(message.FromString(binary)) == text


@pytest.mark.parametrize("name", MESSAGES)
def test_caffes_text_is_written_as_caffes_bytes(name):
    message, binary, text = golden(name)
    assert text_format.Parse(text, message()).SerializeToString() == binary


def fields_set(message, found):
    for field, value in message.ListFields():
        found.add(field.full_name)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for child in [value] if isinstance(value, Message) else value:
                fields_set(child, found)
    return found


def test_the_golden_messages_set_every_field():
    found = set()
    for name in MESSAGES:
        message, binary, _ = golden(name)
        fields_set(message.FromString(binary), found)
    assert found == {f.full_name for m in caffe_pb2.DESCRIPTOR.message_types_by_name.values() for f in m.fields}


# fields without an entry here default to zero or have no default
DEFAULTS = {
    "NetParameter": {"force_backward": False, "debug_info": False},
    "NetState": {"phase": caffe_pb2.TEST, "level": 0},
    "ParamSpec": {"lr_mult": 1, "decay_mult": 1},
    "FillerParameter": {
        "type": "constant",
        "value": 0,
        "min": 0,
        "max": 1,
        "mean": 0,
        "std": 1,
        "sparse": -1,
        "variance_norm": caffe_pb2.FillerParameter.FAN_IN,
    },
    "SolverParameter": {
        "test_interval": 0,
        "snapshot": 0,
        "snapshot_diff": False,
        "solver_mode": caffe_pb2.SolverParameter.GPU,
        "device_id": 0,
        "test_compute_loss": False,
        "random_seed": -1,
        "snapshot_after_train": True,
        "regularization_type": "L2",
        "solver_type": caffe_pb2.SolverParameter.SGD,
        "delta": 1e-8,
        "test_initialization": True,
        "average_loss": 1,
        "clip_gradients": -1,
        "iter_size": 1,
        "snapshot_format": caffe_pb2.SolverParameter.BINARYPROTO,
        "rms_decay": 0.99,
        "momentum2": 0.999,
        "type": "SGD",
        "layer_wise_reduce": True,
    },
    "SolverState": {"current_step": 0},
    "AccuracyParameter": {"top_k": 1, "axis": 1},
    "ArgMaxParameter": {"out_max_val": False, "top_k": 1},
    "BatchNormParameter": {"moving_average_fraction": 0.999, "eps": 1e-5},
    "BiasParameter": {"axis": 1, "num_axes": 1},
    "ConcatParameter": {"axis": 1, "concat_dim": 1},
    "ContrastiveLossParameter": {"margin": 1, "legacy_version": False},
    "ConvolutionParameter": {
        "bias_term": True,
        "group": 1,
        "pad_h": 0,
        "pad_w": 0,
        "engine": caffe_pb2.ConvolutionParameter.DEFAULT,
        "axis": 1,
        "force_nd_im2col": False,
    },
    "CropParameter": {"axis": 2},
    "DataParameter": {
        "scale": 1,
        "crop_size": 0,
        "mirror": False,
        "rand_skip": 0,
        "backend": caffe_pb2.DataParameter.LEVELDB,
        "force_encoded_color": False,
        "prefetch": 4,
    },
    "DropoutParameter": {"dropout_ratio": 0.5},
    "EltwiseParameter": {"operation": caffe_pb2.EltwiseParameter.SUM, "stable_prod_grad": True},
    "ELUParameter": {"alpha": 1},
    "EmbedParameter": {"bias_term": True},
    "ExpParameter": {"base": -1, "scale": 1, "shift": 0},
    "FlattenParameter": {"axis": 1, "end_axis": -1},
    "HDF5DataParameter": {"shuffle": False},
    "HingeLossParameter": {"norm": caffe_pb2.HingeLossParameter.L1},
    "ImageDataParameter": {"scale": 1, "batch_size": 1, "shuffle": False, "new_height": 0, "is_color": True},
    "InfogainLossParameter": {"axis": 1},
    "InnerProductParameter": {"bias_term": True, "axis": 1, "transpose": False},
    "LogParameter": {"base": -1, "scale": 1, "shift": 0},
    "LossParameter": {"normalization": caffe_pb2.LossParameter.VALID},
    "LRNParameter": {
        "local_size": 5,
        "alpha": 1,
        "beta": 0.75,
        "norm_region": caffe_pb2.LRNParameter.ACROSS_CHANNELS,
        "k": 1,
    },
    "MVNParameter": {"normalize_variance": True, "across_channels": False, "eps": 1e-9},
    "PoolingParameter": {
        "pool": caffe_pb2.PoolingParameter.MAX,
        "stride": 1,
        "pad": 0,
        "global_pooling": False,
        "round_mode": caffe_pb2.PoolingParameter.CEIL,
    },
    "PowerParameter": {"power": 1, "scale": 1, "shift": 0},
    "PReLUParameter": {"channel_shared": False},
    "PythonParameter": {"param_str": "", "share_in_parallel": False},
    "RecurrentParameter": {"num_output": 0, "debug_info": False, "expose_hidden": False},
    "ReductionParameter": {"operation": caffe_pb2.ReductionParameter.SUM, "axis": 0, "coeff": 1},
    "ReLUParameter": {"negative_slope": 0},
    "ReshapeParameter": {"axis": 0, "num_axes": -1},
    "ScaleParameter": {"axis": 1, "num_axes": 1, "bias_term": False},
    "SliceParameter": {"axis": 1, "slice_dim": 1},
    "SoftmaxParameter": {"axis": 1},
    "SPPParameter": {"pool": caffe_pb2.SPPParameter.MAX},
    "SwishParameter": {"beta": 1},
    "ThresholdParameter": {"threshold": 0},
    "TileParameter": {"axis": 1},
    "TransformationParameter": {"scale": 1, "mirror": False, "crop_size": 0, "force_color": False},
    "WindowDataParameter": {
        "scale": 1,
        "fg_threshold": 0.5,
        "bg_threshold": 0.5,
        "fg_fraction": 0.25,
        "crop_mode": "warp",
    },
    "V0LayerParameter": {
        "biasterm": True,
        "group": 1,
        "stride": 1,
        "dropout_ratio": 0.5,
        "local_size": 5,
        "alpha": 1,
        "beta": 0.75,
        "scale": 1,
        "k": 1,
        "det_fg_threshold": 0.5,
        "det_bg_threshold": 0.5,
        "det_fg_fraction": 0.25,
        "det_crop_mode": "warp",
        "concat_dim": 1,
    },
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name):
    message = getattr(caffe_pb2, name)()
    for field, value in DEFAULTS[name].items():
        got = getattr(message, field)
        assert got == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), field


def test_every_other_default_is_zero():
    for name, message in caffe_pb2.DESCRIPTOR.message_types_by_name.items():
        for field in message.fields:
            if field.has_default_value and field.name not in DEFAULTS.get(name, {}):
                assert not field.default_value, field.full_name


def test_v1_layer_types():
    types = """NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN HDF5_DATA HDF5_OUTPUT IM2COL
        IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN MULTINOMIAL_LOGISTIC_LOSS POOLING RELU SIGMOID SOFTMAX SOFTMAX_LOSS
        SPLIT TANH WINDOW_DATA ELTWISE POWER SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA ARGMAX THRESHOLD
        DUMMY_DATA SLICE MVN ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION"""
    assert dict(caffe_pb2.V1LayerParameter.LayerType.items()) == {name: i for i, name in enumerate(types.split())}


@pytest.mark.parametrize(
    ("enum", "first", "names"),
    [
        (caffe_pb2.Phase, 0, "TRAIN TEST"),
        (caffe_pb2.SolverParameter.SolverType, 0, "SGD NESTEROV ADAGRAD RMSPROP ADADELTA ADAM"),
        (caffe_pb2.SolverParameter.SolverMode, 0, "CPU GPU"),
        (caffe_pb2.SolverParameter.SnapshotFormat, 0, "HDF5 BINARYPROTO"),
        (caffe_pb2.ParamSpec.DimCheckMode, 0, "STRICT PERMISSIVE"),
        (caffe_pb2.V1LayerParameter.DimCheckMode, 0, "STRICT PERMISSIVE"),
        (caffe_pb2.FillerParameter.VarianceNorm, 0, "FAN_IN FAN_OUT AVERAGE"),
        (caffe_pb2.LossParameter.NormalizationMode, 0, "FULL VALID BATCH_SIZE NONE"),
        (caffe_pb2.DataParameter.DB, 0, "LEVELDB LMDB"),
        (caffe_pb2.EltwiseParameter.EltwiseOp, 0, "PROD SUM MAX"),
        (caffe_pb2.HingeLossParameter.Norm, 1, "L1 L2"),
        (caffe_pb2.LRNParameter.NormRegion, 0, "ACROSS_CHANNELS WITHIN_CHANNEL"),
        (caffe_pb2.PoolingParameter.PoolMethod, 0, "MAX AVE STOCHASTIC"),
        (caffe_pb2.PoolingParameter.RoundMode, 0, "CEIL FLOOR"),
        (caffe_pb2.V0LayerParameter.PoolMethod, 0, "MAX AVE STOCHASTIC"),
        (caffe_pb2.ReductionParameter.ReductionOp, 1, "SUM ASUM SUMSQ MEAN"),
    ],
)
def test_enum_numbers(enum, first, names):
    assert dict(enum.items()) == {name: first + i for i, name in enumerate(names.split())}


@pytest.mark.parametrize("layer", ["Convolution", "LRN", "Pooling", "ReLU", "Sigmoid", "Softmax", "SPP", "TanH"])
def test_engines(layer):
    engine = getattr(caffe_pb2, f"{layer}Parameter").Engine
    assert dict(engine.items()) == {"DEFAULT": 0, "CAFFE": 1, "CUDNN": 2}


def test_the_generated_module_is_up_to_date():
    """Every field of caffe.proto, by name and number, is in caffe_pb2.py, and no other."""
    written = []
    for line in SOURCE.read_text().splitlines():
        if opening := re.match(r"message (\w+) {", line):
            message = opening[1]
        elif field := re.match(r"  (?:optional|repeated|required) \w+ (\w+) = (\d+)", line):
            written.append((message, field[1], int(field[2])))
    messages = caffe_pb2.DESCRIPTOR.message_types_by_name
    assert sorted(written) == sorted((m, f.name, f.number) for m in messages for f in messages[m].fields)


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_no_clash_with_an_installed_pycaffe(implementation):
    """Its messages have the same names; the older ones need protobuf's implementation in Python."""
    script = """
from pydeepexpr.caffe.proto import caffe_pb2 as own
from caffe.proto import caffe_pb2 as pycaffes
assert pycaffes.Datum.DESCRIPTOR.full_name == "caffe.Datum" and pycaffes.Datum is not own.Datum
print(own.Datum.FromString(pycaffes.Datum(label=3).SerializeToString()).label)
"""
    pycaffe = Path(__file__).parents[1] / "pycaffe"
    environment = {**os.environ, "PYTHONPATH": str(pycaffe), "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "3\n", done.stderr


def test_messages_travel_between_processes():
    datum = caffe_pb2.Datum(channels=3, height=2, width=1, data=b"abcdef", label=4)
    assert pickle.loads(pickle.dumps(datum)) == datum
