"""Files cut short or changed by chance: what is read works, or one line says what is wrong with which file."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr import caffe
from pydeepexpr.caffe.datum import array_to_blobproto, read_mean
from pydeepexpr.caffe.hdf5_weights import save_hdf5
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net, read_solver, read_text
from pydeepexpr.caffe.snapshots import State, write_state
from pydeepexpr.errors import UserError

OLD_NETS = Path(__file__).parent / "old_nets"
NET = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "fc/again" type: "InnerProduct" bottom: "fc" top: "again"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""
SOLVER = """
base_lr: 0.1  lr_policy: "multistep"  stepvalue: 10  stepvalue: 20
momentum: 0.9  max_iter: 30  snapshot_prefix: "x\\\\y\\"z"  solver_mode: CPU
net_param { name: "n" layers { name: "a" type: RELU bottom: "b" } input: "b" input_dim: 1 }
"""


@st.composite
def damages(draw):
    """Draw a function that cuts bytes short, or changes, takes out or doubles some of them."""
    places = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4))
    kind = draw(st.sampled_from(["cut", "change", "flip", "remove", "double", "fill"]))
    value = draw(st.integers(0, 255))
    length = draw(st.sampled_from([1, 4, 8]))

    def damage(content):
        result = bytearray(content)
        for place in places:
            i = int(place * len(result))
            if kind == "cut":
                return bytes(result[:i])
            elif kind == "change":
                result[i] = value
            elif kind == "flip":
                result[i] ^= 1 << value % 8
            elif kind == "remove":
                del result[i : i + length]
            elif kind == "double":
                result[i:i] = result[i : i + length]
            else:
                result[i : i + length] = bytes([value]) * length
        return bytes(result)

    return damage


def works_or_says(path, content, read, *others):
    """Whether reading a file of this content works; if not, the error must name it, or another that it leads to."""
    path.write_bytes(content)
    try:
        read(path)
    except UserError as error:
        assert any(str(name) in str(error) for name in (path, *others)), error
        assert "\n" not in str(error)
        return False
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@pytest.fixture(scope="module")
def net():
    return caffe.Net(text_format.Parse(NET, pb.NetParameter()), caffe.TEST)


@given(damages(), st.sampled_from(sorted(OLD_NETS.glob("*.prototxt"))))
def test_a_network(folder, damage, old):
    works_or_says(folder / "net.prototxt", damage(old.read_bytes()), read_net)


@given(damages())
def test_a_solver(folder, damage):
    works_or_says(folder / "solver.prototxt", damage(SOLVER.encode()), read_solver)


def generations(net):
    """Return the net's model in each of the formats."""
    stored = [
        (layer.name, [array_to_blobproto(blob.data, blob.data) for blob in layer.blobs])
        for layer in net.layers
        if layer.blobs
    ]
    for _, blobs in stored:
        for blob in blobs:
            blob.double_data.extend(blob.data)
    v1 = [pb.V1LayerParameter(name=name, type="INNER_PRODUCT", blobs=blobs) for name, blobs in stored]
    v0 = [
        pb.V1LayerParameter(layer=pb.V0LayerParameter(name=name, type="innerproduct", blobs=blobs), bottom=["data"])
        for name, blobs in stored
    ]
    v2 = [pb.LayerParameter(name=name, blobs=blobs) for name, blobs in stored]
    models = pb.NetParameter(layers=v0, input=["data"]), pb.NetParameter(layers=v1), pb.NetParameter(layer=v2)
    return [model.SerializeToString() for model in models]


@given(damages(), st.integers(0, 2))
def test_a_model(folder, net, damage, generation):
    path = folder / "m.caffemodel"
    before = [blob.data.copy() for blobs in net.params.values() for blob in blobs]
    if not works_or_says(path, damage(generations(net)[generation]), net.copy_from):
        for blob, values in zip([blob for blobs in net.params.values() for blob in blobs], before, strict=True):
            np.testing.assert_array_equal(blob.data, values)


@given(damages())
def test_a_model_in_hdf5(folder, net, damage):
    path = folder / "m.caffemodel.h5"
    save_hdf5(net, path, with_diff=True)
    works_or_says(path, damage(path.read_bytes()), net.copy_from)


def solver_param():
    param = text_format.Parse(SOLVER, pb.SolverParameter())
    param.net_param.CopyFrom(text_format.Parse(NET, pb.NetParameter()))
    return param


@given(damages(), st.sampled_from(["m.solverstate", "m.solverstate.h5"]))
def test_a_solver_state(folder, damage, name):
    solver = caffe.SGDSolver(solver_param())
    solver.net.save(folder / "m.caffemodel")
    path = folder / name
    write_state(str(path), state_of(solver))
    works_or_says(path, damage(path.read_bytes()), solver.restore, "the model ")


def state_of(solver):
    return State(3, "m.caffemodel", 1, [blob.data for blob, _ in solver.net.learnable])


def test_a_solver_state_whose_model_has_a_name_that_is_no_text(folder):
    solver, path = caffe.SGDSolver(solver_param()), folder / "m.solverstate"
    write_state(str(path), state_of(solver))
    content = path.read_bytes().replace(b"caffemodel", b"\xff\xfe" * 5)
    assert not works_or_says(path, content, solver.restore, "the model ")


@given(damages(), st.booleans())
def test_a_mean_image(folder, damage, old):
    mean = array_to_blobproto(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    if old:
        mean = pb.BlobProto(num=1, channels=2, height=3, width=4, data=mean.data)
    works_or_says(folder / "mean.binaryproto", damage(mean.SerializeToString()), read_mean)


HUGE = [
    (1 << 62,),
    (1 << 32, 1 << 32),  # 2⁶⁴ is 0 in 64 bits
    (1 << 40, 1 << 40, 0),
    (-1, -6),
    (-2, 3, -1),
    (6, 1 << 31),
]


@pytest.mark.parametrize("shape", HUGE)
@pytest.mark.parametrize("count", [0, 6])
def test_a_blob_that_promises_more_than_it_holds(folder, net, shape, count):
    blob = pb.BlobProto(shape=pb.BlobShape(dim=shape), data=range(count))
    model = pb.NetParameter(layer=[pb.LayerParameter(name="fc", blobs=[blob, blob])])
    assert not works_or_says(folder / "m.caffemodel", model.SerializeToString(), net.copy_from)
    assert not works_or_says(folder / "mean.binaryproto", blob.SerializeToString(), read_mean)


def test_old_shapes_that_promise_more_than_they_hold(folder, net):
    blob = pb.BlobProto(num=1, channels=1, height=(1 << 31) - 1, width=(1 << 31) - 1, data=range(6))
    model = pb.NetParameter(layers=[pb.V1LayerParameter(name="fc", blobs=[blob, blob])])
    assert not works_or_says(folder / "m.caffemodel", model.SerializeToString(), net.copy_from)
    assert not works_or_says(folder / "mean.binaryproto", blob.SerializeToString(), read_mean)


def test_what_is_not_damaged_works(folder, net):
    for generation in generations(net):
        assert works_or_says(folder / "m.caffemodel", generation, net.copy_from)
    for path in OLD_NETS.glob("*.prototxt"):
        assert read_text(path, pb.NetParameter(), "network")
