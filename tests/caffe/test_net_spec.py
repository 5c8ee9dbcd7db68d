"""Networks written in Python. What is expected is the prototxt that pycaffe's rules of naming and order lead to."""

import copy

import numpy as np
import pytest
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe import layers as L
from pydeepexpr.caffe import params as P
from pydeepexpr.caffe.net_spec import Function, Top, param_name_dict
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def inputs(**more):
    return L.DummyData(shape=[{"dim": [4, 1, 12, 12]}, {"dim": [4, 1, 1, 1]}], ntop=2, **more)


def digits():
    """A small LeNet, every blob named."""
    n = caffe.NetSpec()
    n.data, n.label = inputs(transform_param={"scale": 1.0 / 255})
    n.conv = L.Convolution(n.data, kernel_size=5, num_output=6, weight_filler={"type": "xavier"})
    n.pool = L.Pooling(n.conv, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool, num_output=9, weight_filler={"type": "xavier"})
    n.relu = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu, num_output=10, weight_filler={"type": "xavier"})
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n.to_proto()


def anonymous_digits():
    """The same network, nothing named."""
    data, label = inputs(transform_param={"scale": 1.0 / 255})
    conv = L.Convolution(data, kernel_size=5, num_output=6, weight_filler={"type": "xavier"})
    pool = L.Pooling(conv, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    ip1 = L.InnerProduct(pool, num_output=9, weight_filler={"type": "xavier"})
    ip2 = L.InnerProduct(L.ReLU(ip1, in_place=True), num_output=10, weight_filler={"type": "xavier"})
    return L.SoftmaxWithLoss(ip2, label).to_proto()


def tops_of(net):
    return [list(layer.top) for layer in net.layer]


def test_a_network_is_the_prototxt_one_would_write():
    expected = text_format.Parse(
        """
        layer { name: "data" type: "DummyData" top: "data" top: "label" transform_param { scale: 0.00392156886 }
          dummy_data_param { shape { dim: 4 dim: 1 dim: 12 dim: 12 } shape { dim: 4 dim: 1 dim: 1 dim: 1 } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
          convolution_param { num_output: 6 kernel_size: 5 weight_filler { type: "xavier" } } }
        layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
          pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
        layer { name: "ip1" type: "InnerProduct" bottom: "pool" top: "ip1"
          inner_product_param { num_output: 9 weight_filler { type: "xavier" } } }
        layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
        layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
          inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
        """,
        pb.NetParameter(),
    )
    assert digits() == expected


@pytest.mark.parametrize("described", [digits, anonymous_digits])
def test_it_builds_and_runs_from_its_text(described, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(str(described()))
    net = caffe.Net(str(path), caffe.TRAIN)
    assert [layer.type for layer in net.layers] == [layer.type for layer in described().layer]
    net.forward()
    net.backward()
    assert all(blob.diff.shape == blob.shape for blob in net.blobs.values())


def test_names_that_were_not_given_count_by_type():
    assert tops_of(anonymous_digits()) == [
        ["DummyData1", "DummyData2"],
        ["Convolution1"],
        ["Pooling1"],
        ["InnerProduct1"],
        ["InnerProduct1"],
        ["InnerProduct2"],
        ["SoftmaxWithLoss1"],
    ]
    assert [layer.name for layer in anonymous_digits().layer][:2] == ["DummyData1", "Convolution1"]
    assert anonymous_digits().layer[4].name == "ReLU1"


def test_layers_come_once_and_before_what_needs_them():
    data = L.Input(shape={"dim": [1, 2]})
    shared = L.ReLU(data)
    left, right = L.Power(shared), L.Power(shared)
    net = caffe.to_proto(L.Eltwise(left, right), L.Exp(right))
    assert [layer.type for layer in net.layer] == ["Input", "ReLU", "Power", "Power", "Eltwise", "Exp"]
    assert list(net.layer[4].bottom) == ["Power1", "Power2"] and list(net.layer[5].bottom) == ["Power2"]
    n = caffe.NetSpec()
    n.late, n.early = L.ReLU(shared), shared
    assert [layer.name for layer in n.to_proto().layer] == ["Input1", "early", "late"]


def test_layers_without_tops():
    n = caffe.NetSpec()
    n.one, n.two = L.DummyData(shape={"dim": 3}, ntop=2)
    n.quiet = L.Silence(n.one, ntop=0)
    n.still = L.Silence(n.two, ntop=0)
    assert isinstance(n.quiet, Function)
    net = n.to_proto()
    assert [layer.name for layer in net.layer] == ["one", "quiet", "still"] and not net.layer[1].top
    assert len(caffe.Net(net, caffe.TEST).forward()) == 0
    assert caffe.to_proto(L.Silence(L.Input(), ntop=0)).layer[1].name == "Silence1"


def test_a_split_by_hand():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 2]})
    n.left, n.right = L.Split(n.data, ntop=2)
    n.sum = L.Eltwise(n.left, n.right)
    net = caffe.Net(n.to_proto(), caffe.TEST)
    assert net.forward(data=np.array([[1, 2]]))["sum"].tolist() == [[2, 4]]


def test_parameters_go_where_they_belong():
    data = L.Input(shape={"dim": [1, 2, 5, 5]})
    conv = L.Convolution(
        data,
        name="told",
        kernel_h=3,
        kernel_w=1,
        num_output=np.int64(4),
        stride=[2, 1],
        pad=(1, 0),
        param=[{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2}],
        include={"phase": caffe.TRAIN},
        loss_weight=3,
        propagate_down=[False],
    )
    layer = conv.to_proto().layer[1]
    assert layer.name == "told"  # a layer's own fields win over the name that would follow
    own = layer.convolution_param
    assert (own.kernel_h, own.kernel_w, own.num_output, own.stride, own.pad) == (3, 1, 4, [2, 1], [1, 0])
    assert [(spec.lr_mult, spec.decay_mult) for spec in layer.param] == [(1, 1), (2, 1)]
    assert (
        layer.include[0].phase == pb.TRAIN and list(layer.loss_weight) == [3] and list(layer.propagate_down) == [False]
    )
    python = L.Python(data, module="m", layer="L", param_str="x", share_in_parallel=True).to_proto().layer[1]
    assert str(python.python_param).split() == [
        "module:",
        '"m"',
        "layer:",
        '"L"',
        "param_str:",
        '"x"',
        "share_in_parallel:",
        "true",
    ]
    deconv = L.Deconvolution(data, convolution_param={"num_output": 3, "kernel_size": [4], "bias_term": False})
    assert deconv.to_proto().layer[1].convolution_param.kernel_size == [4]
    lstm = L.LSTM(
        data, data, recurrent_param={"num_output": 7, "weight_filler": {"type": "uniform", "min": -1, "max": 1}}
    )
    assert lstm.to_proto().layer[1].recurrent_param.weight_filler.min == -1
    one = L.InnerProduct(data, num_output=2, param={"name": "shared"}, bias_filler=pb.FillerParameter(value=5))
    layer = one.to_proto().layer[1]
    assert layer.param[0].name == "shared" and layer.inner_product_param.bias_filler.value == 5
    drop = L.Dropout(data, dropout_ratio=0.25, in_place=True).to_proto().layer[1]
    assert drop.dropout_param.dropout_ratio == 0.25 and list(drop.top) == list(drop.bottom) == ["Input1"]


def test_an_empty_dict_makes_an_empty_message_and_an_empty_list_nothing():
    layer = L.Pooling(L.Input(), pooling_param={}, param=[]).to_proto().layer[1]
    assert layer.HasField("pooling_param") and not layer.param


def test_own_parameters_by_layer_type():
    # the message's type without `Parameter` names the layer, the field without `_param` its place
    names = param_name_dict()
    assert names["Convolution"] == "convolution" and names["InnerProduct"] == "inner_product"
    assert names["LRN"] == "lrn" and names["TanH"] == "tanh" and names["Recurrent"] == "recurrent"


def test_constants():
    assert (P.Pooling.MAX, P.Pooling.AVE, P.Eltwise.SUM, P.Data.LMDB) == (0, 1, 1, 1)
    for missing in (lambda: P.Nonsense, lambda: P.Pooling.MEDIAN):
        with pytest.raises(AttributeError):
            missing()


def test_a_spec_is_like_a_dict():
    n = caffe.NetSpec()
    n["odd/name"] = L.Input(shape={"dim": [2]})
    n.other = L.ReLU(n["odd/name"])
    assert n.keys() == ["odd/name", "other"] and n.vals() == [n["odd/name"], n.other] and isinstance(n.other, Top)
    part = caffe.NetSpec()
    part.x = L.Power(n.other)
    part.y = L.Power(part.x)
    n.update("branch", part)
    assert n.keys() == ["odd/name", "other", "branch/x", "branch/y"] and n["branch/y"] is part.y
    assert [layer.name for layer in n.to_proto().layer] == n.keys()
    del n["branch/y"], n.other
    assert n.keys() == ["odd/name", "branch/x"]
    assert [layer.name for layer in n.to_proto().layer] == ["odd/name", "ReLU1", "branch/x"]
    assert copy.copy(n).keys() == n.keys()


def test_a_blob_of_two_names_has_the_last():
    n = caffe.NetSpec()
    n.first = L.Input(shape={"dim": [1]})
    n.second = n.first
    assert tops_of(n.to_proto()) == [["second"]]


def test_a_deep_network_needs_no_deep_stack():
    top = L.Input(shape={"dim": [1]})
    for _ in range(3000):
        top = L.ReLU(top)
    assert len(top.to_proto().layer) == 3001


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (
            lambda data: L.Silence(inputs(), ntop=0),
            TypeError,
            r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$",
        ),
        (lambda data: L.Eltwise(data, "data"), TypeError, "Eltwise input 1 is not a Top"),
        (lambda data: caffe.to_proto("data"), TypeError, "made of Tops, not of str"),
        (
            lambda data: L.ReLU(data, slope=1).to_proto(),
            AttributeError,
            r"layer 'ReLU1' \(ReLU\): LayerParameter has no field 'slope'; it has: name",
        ),
        (
            lambda data: L.Convolution(data, weight_filler={"typ": "x"}).to_proto(),
            AttributeError,
            "FillerParameter has no field 'typ'; it has: type",
        ),
        (
            lambda data: L.Convolution(data, num_output="many").to_proto(),
            TypeError,
            "ConvolutionParameter.num_output cannot be 'many'",
        ),
        (lambda data: L.Convolution(data, num_output=-1).to_proto(), ValueError, "num_output cannot be -1"),
        (lambda data: L.Convolution(data, num_output=[1, 2]).to_proto(), ValueError, "takes one value, not 2"),
        (lambda data: L.Convolution(data, num_output={"x": 1}).to_proto(), TypeError, "num_output cannot be"),
        (lambda data: L.Pooling(data, pool="MIDDLE").to_proto(), ValueError, "pool cannot be 'MIDDLE'"),
        (lambda data: caffe.NetSpec().missing, AttributeError, "has no blob 'missing' so far"),
        (lambda data: caffe.NetSpec()["missing"], KeyError, "has no blob 'missing' so far"),
        (lambda data: caffe.NetSpec().__delitem__("missing"), KeyError, "has no blob 'missing' so far"),
    ],
)
def test_what_cannot_be_said(call, kind, said):
    with pytest.raises(kind, match=said) as error:
        call(L.Input(shape={"dim": [1]}))
    assert isinstance(error.value, UserError) and "\n" not in str(error.value)


def test_a_spec_says_what_is_no_blob():
    n = caffe.NetSpec()
    n.pair = inputs()
    with pytest.raises(UserError, match="the blob 'pair' of the network is no Top but tuple"):
        n.to_proto()


def test_l_is_also_where_the_engine_keeps_its_layers():
    from pydeepexpr.caffe.layers import common

    assert callable(L.Anything) and common.InnerProduct.__name__ == "InnerProduct"
    with pytest.raises(AttributeError):
        L.anything  # noqa: B018
