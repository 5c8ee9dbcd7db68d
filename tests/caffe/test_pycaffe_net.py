"""What a pycaffe script may do with a net. Expected numbers are worked out by hand or with NumPy beside each test."""

import gc

import numpy as np
import pytest
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

#: Every kind of thing that pycaffe's own tests look at: data by fillers, a convolution, scores, a loss.
SMALL = """
name: "small" force_backward: true
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  num: 5 channels: 2 height: 3 width: 4  num: 5 channels: 1 height: 1 width: 1
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { decay_mult: 1 } param { decay_mult: 0 }
  convolution_param { num_output: 7 kernel_size: 2 stride: 2 pad: 3
                      weight_filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: 2 } } }
layer { name: "scores" type: "InnerProduct" bottom: "conv" top: "scores_blob" inner_product_param {
  num_output: 6 weight_filler { type: "gaussian" std: 2.5 } bias_filler { type: "constant" value: -3 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores_blob" bottom: "label" top: "loss" }
"""


def data(*shape, name="data"):
    dims = " ".join(f"dim: {n}" for n in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(kind, name, bottom, top=None, more=""):
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {more} }}\n'


def ip(name, bottom, outputs=2, top=None, more="", bias=False):
    param = f"num_output: {outputs} bias_term: {str(bias).lower()} weight_filler {{ type: 'xavier' }}"
    return layer("InnerProduct", name, bottom, top, f"inner_product_param {{ {param} }} {more}")


@pytest.fixture
def small(make_net):
    net = make_net(SMALL, caffe.TRAIN)
    net.blobs["label"].data[...] = np.random.default_rng(0).integers(6, size=net.blobs["label"].data.shape)
    return net


# Names and numbers


def test_names_types_and_numbers(small):
    assert list(small.layer_dict) == list(small._layer_names) == ["data", "conv", "scores", "loss"]
    assert [small.layer_dict[name].type for name in small._layer_names] == [layer.type for layer in small.layers]
    assert small.inputs == [] and small.outputs == ["loss"] and small._inputs == [] and small._outputs == [4]
    assert list(small.top_names.items()) == [
        ("data", ["data", "label"]),
        ("conv", ["conv"]),
        ("scores", ["scores_blob"]),
        ("loss", ["loss"]),
    ]
    assert list(small.bottom_names.values()) == [[], ["data"], ["conv"], ["scores_blob", "label"]]
    assert small._blob_names == ["data", "label", "conv", "scores_blob", "loss"]
    assert [list(small._bottom_ids(i)) for i in range(4)] == [[], [0], [2], [3, 1]]
    assert [list(small._top_ids(i)) for i in range(4)] == [[0, 1], [2], [3], [4]]
    assert small._blobs == list(small.blobs.values()) and small._blob_loss_weights == [0, 0, 0, 0, 1]
    assert [(name, len(blobs)) for name, blobs in small.params.items()] == [("conv", 2), ("scores", 2)]
    assert list(small.blobs["conv"].shape) == [5, 7, 4, 5]
    assert (small.blobs["conv"].num, small.blobs["conv"].width, small.blobs["conv"].count) == (5, 5, 700)


def test_two_layers_may_have_one_name(make_net):
    # Net::Init does not mind; what goes by name finds the first, what is a dict holds the last
    net = make_net(data(1, 2) + layer("ReLU", "same", "data", "a") + layer("Power", "same", "a", "b"))
    assert net._layer_names == ["data", "same", "same"] and [x.type for x in net.layers] == ["Input", "ReLU", "Power"]
    assert net.layer_dict["same"].type == "Power" and net.top_names["same"] == ["b"]
    assert set(net.forward(data=[[1, -1]], end="same")) == {"a"}


def test_a_loss_without_a_top_has_caffes_automatic_one(make_net):
    net = make_net(
        data(1, 2) + data(1, name="label") + layer("SoftmaxWithLoss", "l", "data label").replace('top: "l"', "")
    )
    assert net.top_names["l"] == ["(automatic)"] and net.outputs == []
    weighted = make_net(
        data(1, 2) + data(1, name="label") + 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "data" bottom: "label"'
        " loss_weight: 2 }"
    )
    weighted.forward(data=[[0, 0]], label=[0])
    assert weighted.forward_range(0, 2) == pytest.approx(2 * np.log(2))


def test_a_layer_gives_its_tops_their_shapes_on_request(small):
    bottom, top = caffe.Blob(2, 2, 9, 9), caffe.Blob()
    small.layers[1].reshape([bottom], [top])
    assert top.shape == top.diff.shape == (2, 7, 7, 7)


# Live views


def test_blobs_outlive_their_net():
    net = caffe.Net(_parsed(SMALL), caffe.TRAIN)
    blobs = [*net.blobs.values(), *(blob for blobs in net.params.values() for blob in blobs)]
    del net
    gc.collect()
    assert np.isfinite(sum(float(blob.data.sum() + blob.diff.sum()) for blob in blobs))


def _parsed(text):
    return text_format.Parse(text, pb.NetParameter())


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_part_of_the_net_runs_on_what_the_user_wrote(make_net, phase):
    net = make_net(SMALL, phase)
    conv, scores = net.blobs["conv"], net.blobs["scores_blob"]
    weight, bias = (blob.data for blob in net.params["scores"])
    conv.data[:] = np.random.default_rng(1).uniform(size=conv.shape)
    got = net.forward(start="scores", end="scores")
    assert list(got) == ["scores_blob"]
    np.testing.assert_allclose(scores.data, conv.data.reshape(5, -1) @ weight.T + bias, rtol=1e-3, atol=1e-5)
    scores.diff[:] = np.random.default_rng(2).uniform(size=scores.shape)
    got = net.backward(start="scores", end="scores")
    assert list(got) == ["conv"]
    np.testing.assert_allclose(conv.diff, (scores.diff @ weight).reshape(conv.shape), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(net.params["scores"][0].diff, scores.diff.T @ conv.data.reshape(5, -1), rtol=1e-3)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_backward_before_any_forward_uses_what_the_blobs_hold(make_net, phase):
    net = make_net(SMALL, phase)
    net.blobs["scores_blob"].diff[:] = 1
    net.backward(start="scores", end="scores")
    expected = np.broadcast_to(net.params["scores"][0].data.sum(0).reshape(1, 7, 4, 5), (5, 7, 4, 5))
    np.testing.assert_allclose(net.blobs["conv"].diff, expected, rtol=1e-4, atol=1e-5)
    net = make_net(SMALL, phase)
    net.backward()
    assert np.isfinite(net.params["conv"][0].diff).all()


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_what_the_user_writes_between_forward_and_backward_counts(make_net, phase):
    # Caffe's layers hold nothing but their blobs: InnerProduct's dW is the top's diff times what the bottom holds now
    net = make_net("force_backward: true " + data(2, 3) + layer("ReLU", "x", "data") + ip("y", "x"), phase)
    net.forward(data=np.ones((2, 3)))
    net.blobs["x"].data[...] = 5
    net.params["y"][0].data[...] = 2
    got = net.backward(y=np.ones((2, 2)))["data"]
    np.testing.assert_array_equal(net.params["y"][0].diff, np.full((2, 3), 10))
    np.testing.assert_array_equal(got, np.full((2, 3), 4))


def test_backward_of_the_whole_after_forward_of_a_part(make_net):
    net = make_net("force_backward: true " + data(2, 3) + layer("ReLU", "x", "data") + ip("y", "x"), caffe.TRAIN)
    net.forward(data=np.ones((2, 3)))
    net.forward(data=np.full((2, 3), 7), end="x")
    net.backward(y=np.ones((2, 2)))
    np.testing.assert_array_equal(net.params["y"][0].diff, np.full((2, 3), 14))


def test_views_stay_valid_from_forward_to_forward(small):
    held = small.blobs["scores_blob"].data, small.params["conv"][0].diff
    for _ in range(2):
        got = small.forward(["scores_blob"])["scores_blob"]
        small.clear_param_diffs()
        assert not held[1].any()
        small.backward()
        assert got is held[0] and small.params["conv"][0].diff is held[1] and held[1].any()


def test_the_copies_of_a_split_are_one_memory_with_gradients_of_their_own(make_net):
    # SplitLayer::Forward shares the bottom's data with every top
    net = make_net("force_backward: true " + data(1, 3) + layer("ReLU", "a", "data") + layer("Power", "b", "data"))
    copies = [net.blobs[f"data_data_0_split_{k}"] for k in range(2)]
    net.blobs["data"].data[...] = 4
    assert all((copy.data == 4).all() for copy in copies)
    copies[1].data[...] = 9
    assert (copies[0].data == 9).all() and (net.blobs["data"].data == 9).all()
    net.forward(data=[[1, 2, 3]])
    assert copies[0].data.tolist() == [[1, 2, 3]] and copies[0].data is copies[1].data
    copies[0].diff[...], copies[1].diff[...] = 2, 3
    assert (net.backward(start="data_data_0_split")["data"] == 5).all()
    net.blobs["data"].reshape(2, 4)
    net.reshape()
    assert {copy.diff.shape for copy in copies} == {copy.data.shape for copy in copies} == {(2, 4)}


def test_backward_twice_sees_one_dropout_mask(make_net):
    dropout = layer("Dropout", "drop", "data", more="dropout_param { dropout_ratio: 0.5 }")
    net = make_net("force_backward: true " + data(1, 1000) + dropout, caffe.TRAIN)
    mask = net.forward(data=np.ones((1, 1000)))["drop"].copy()
    for _ in range(2):
        np.testing.assert_array_equal(net.backward(drop=np.ones((1, 1000)))["data"], mask)
    net.blobs["data"].data[...] = 3
    np.testing.assert_array_equal(net.backward()["data"], mask)
    assert 300 < (mask == 0).sum() < 700


def test_parameters_of_other_shapes_share_permissively(make_net):
    # ParamSpec.PERMISSIVE: only the count must agree; both see one memory, data and gradient
    more = 'param {{ name: "w" share_mode: {} }}'
    text = "force_backward: true " + data(2, 4) + data(2, 2, 2, name="cube")
    text += ip("a", "data", 4, more='param { name: "w" }')
    text += ip("b", "cube", 4, more=more.format("PERMISSIVE")).replace("num_output", "axis: 2 num_output")
    with pytest.raises(UserError, match="layer 'b' cannot share the parameter 'w'"):
        make_net(text)
    text = text.replace("num_output: 4 bias_term: false", "num_output: 8 bias_term: false", 2)
    text = text.replace("axis: 2 num_output: 8", "axis: 2 num_output: 16")
    with pytest.raises(
        UserError, match=r"cannot share the parameter 'w': its shape is \(16, 2\), the owner's \(8, 4\)"
    ):
        make_net(text.replace("PERMISSIVE", "STRICT"))
    net = make_net(text)
    a, b = net.params["a"][0], net.params["b"][0]
    assert (a.shape, b.shape, len(net.learnable)) == ((8, 4), (16, 2), 1)
    b.data[0, 1] = 42
    assert a.data[0, 1] == 42
    x, cube = np.ones((2, 4)), np.ones((2, 2, 2))
    net.forward(data=x, cube=cube)
    net.backward(a=np.ones((2, 8)), b=np.ones((2, 2, 16)))
    np.testing.assert_array_equal(a.diff, np.full((8, 4), 2 + 4))
    np.testing.assert_array_equal(b.diff, np.full((16, 2), 2 + 4))
    other = make_net(text)
    other.share_with(net)
    b.data[0, 0] = -7
    assert other.params["a"][0].data[0, 0] == other.params["b"][0].data[0, 0] == -7


# More items than a batch


def test_forward_all_goes_batch_by_batch_and_drops_the_padding(make_net):
    net = make_net(data(4, 3) + layer("ReLU", "x", "data") + layer("Power", "y", "x", more="power_param { scale: 2 }"))
    values = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    got = net.forward_all(blobs=["x"], data=values)
    np.testing.assert_array_equal(got["x"], np.maximum(values, 0))
    np.testing.assert_array_equal(got["y"], 2 * np.maximum(values, 0))
    assert set(got) == {"x", "y"}
    assert not np.shares_memory(got["y"], net.blobs["y"].data)


@pytest.mark.parametrize("count", [3, 4, 9])
def test_forward_backward_all(make_net, count):
    net = make_net("force_backward: true " + data(4, 3) + layer("ReLU", "x", "data") + layer("Power", "y", "x"))
    rng = np.random.default_rng(0)
    values, tops = (rng.normal(size=(count, 3)).astype(np.float32) for _ in range(2))
    outputs, gradients = net.forward_backward_all(blobs=["x"], diffs=["x"], data=values, y=tops)
    np.testing.assert_array_equal(outputs["y"], np.maximum(values, 0))
    np.testing.assert_array_equal(gradients["data"], tops * (values > 0))
    np.testing.assert_array_equal(gradients["x"], tops)
    assert set(outputs) == {"x", "y"} and set(gradients) == {"data", "x"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda net: net.forward_all(), r"forward_all needs the net's inputs by name: \['data'\]"),
        (lambda net: net.forward_all(dta=np.ones((2, 3))), r"the net's inputs are \['data'\]"),
        (lambda net: net.forward_all(data=np.ones((0, 3))), r"one length, above 0, but have: {'data': 0}"),
        (lambda net: net.forward_all(data=np.ones((5, 2))), r"input 'data' is \(4, 2\) but its blob is \(4, 3\)"),
        (lambda net: net.forward_backward_all(), "forward_backward_all was given \\[\\]"),
        (lambda net: net.forward_backward_all(z=np.ones((4, 3))), r"was given \['z'\]; .* its outputs \['x'\]"),
        (
            lambda net: net.forward_backward_all(data=np.ones((4, 3)), x=np.ones((5, 3))),
            "one length, above 0, but have: {'data': 4, 'x': 5}",
        ),
        (lambda net: net.set_input_arrays(np.ones((4, 3)), np.ones(4)), "the net's first layer is a MemoryData"),
        (lambda net: net.blobs["data"].reshape(2, -3), r"cannot be reshaped to \(2, -3\)"),
        (lambda net: net.share_with(caffe.Net(_parsed(data(1, 2) + ip("w", "data")), caffe.TEST)), None),
    ],
)
def test_calls_that_do_not_fit(make_net, call, said):
    net = make_net(data(4, 3) + layer("ReLU", "x", "data"))
    if said is None:
        call(net)
    else:
        with pytest.raises(UserError, match=said):
            call(net)


@pytest.mark.parametrize(
    ("call", "as_pycaffe"),
    [
        (lambda net: net.forward(start="no"), ValueError),  # list.index
        (lambda net: net.forward(["no"]), KeyError),  # OrderedDict
        (lambda net: net.forward(data=np.ones((4, 2))), ValueError),  # NumPy's broadcasting
        (lambda net: caffe.Net("no_such_file.prototxt", caffe.TEST), RuntimeError),
        (lambda net: net.copy_from("no_such_file.caffemodel"), RuntimeError),
        (lambda net: net.set_input_arrays(np.ones((4, 3)), np.ones(4)), RuntimeError),
        (lambda net: caffe.Net("no_such_file.prototxt"), TypeError),  # Boost.Python's ArgumentError is one
    ],
)
def test_errors_are_also_what_pycaffe_raises(make_net, call, as_pycaffe):
    with pytest.raises(as_pycaffe):
        call(make_net(data(4, 3) + layer("ReLU", "x", "data")))


# Callbacks and the log


def test_callbacks_hear_of_each_layer_by_number(make_net):
    net = make_net("force_backward: true " + data(1, 3) + layer("ReLU", "x", "data"))
    heard = []
    for when in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, when)(lambda number, when=when: heard.append((when, number)))
    net.after_forward(lambda number: heard.append(float(net.blobs["x"].data.sum())))
    net.forward(data=[[1, 1, 1]])
    assert heard == [
        *[("before_forward", 0), ("after_forward", 0), 0.0],
        *[("before_forward", 1), ("after_forward", 1), 3.0],
    ]
    heard.clear()
    net.backward()
    assert heard == [("before_backward", 1), ("after_backward", 1), ("before_backward", 0), ("after_backward", 0)]


def test_debug_info_logs_mean_absolute_values_as_caffe_does(make_net, logged):
    weights = 'param { name: "shared" } param { }'
    net = make_net("debug_info: true force_backward: true " + data(2, 2) + ip("y", "data", 2, more=weights, bias=True))
    net.params["y"][0].data[...] = [[1, -1], [2, 0]]
    net.forward(data=[[1, 2], [3, -4]])
    net.backward(y=[[1, 0], [0, -1]])
    # y = x Wᵀ: [[-1, 2], [7, 6]]; dx = dy W: [[1, -1], [-2, 0]]; dW = dyᵀ x: [[1, 2], [-3, 4]]; db: [1, -1]
    assert [line.split("] ", 1)[1] for line in logged() if "ward] " in line] == [
        "    [Forward] Layer data, top blob data data: 2.5",
        "    [Forward] Layer y, top blob y data: 4",
        "    [Forward] Layer y, param blob shared data: 1",
        "    [Forward] Layer y, param blob 1 data: 0",
        "    [Backward] Layer y, bottom blob data diff: 1",
        "    [Backward] Layer y, param blob shared diff: 2.5",
        "    [Backward] Layer y, param blob 1 diff: 1",
        "    [Backward] All net params (data, diff): L1 norm = (4, 12); L2 norm = (2.44949, 5.65685)",
    ]


def test_without_debug_info_nothing_is_logged(make_net, logged):
    net = make_net("force_backward: true " + data(2, 2) + ip("y", "data"))
    net.forward(data=np.ones((2, 2)))
    net.backward()
    assert not [line for line in logged() if "ward]" in line]


# Files


@pytest.mark.parametrize(
    ("save", "load"), [("save", "copy_from"), ("save_hdf5", "load_hdf5"), ("save_hdf5", "copy_from")]
)
def test_saved_parameters_come_back(small, make_net, tmp_path, save, load):
    path = str(tmp_path / ("net.caffemodel" if save == "save" else "net.caffemodel.h5"))
    getattr(small, save)(path)
    other = make_net(SMALL, caffe.TRAIN)
    getattr(other, load)(path)
    for name, blobs in small.params.items():
        for one, two in zip(blobs, other.params[name], strict=True):
            np.testing.assert_array_equal(one.data, two.data)


# Precision


def test_bf16_shows_float32_and_takes_what_the_user_writes(make_net):
    caffe.set_precision("bf16")
    net = make_net("force_backward: true " + data(2, 3) + ip("x", "data", 4) + ip("y", "x"), caffe.TRAIN)
    net.forward(data=np.ones((2, 3)))
    net.blobs["x"].data[...] = 0.5
    weight = net.params["y"][0].data
    net.backward(y=np.ones((2, 2)))
    assert {blob.data.dtype for blob in net.blobs.values()} == {blob.diff.dtype for blob in net.blobs.values()}
    assert net.blobs["x"].diff.dtype == np.float32
    np.testing.assert_array_equal(net.params["y"][0].diff, np.ones((2, 4)))
    np.testing.assert_allclose(net.blobs["x"].diff, np.tile(weight.sum(0), (2, 1)), atol=0.03)
    np.testing.assert_allclose(net.forward(start="y")["y"], np.tile(weight.sum(1) / 2, (2, 1)), atol=0.02)


def test_nets_with_two_layers_of_one_name_share_layer_by_layer(make_net, tmp_path):
    text = data(1, 2) + ip("same", "data", 2, top="a") + ip("same", "a", 2, top="b")
    one, two = make_net(text), make_net(text)
    two.share_with(one)
    for k in (1, 2):
        one.layers[k].blobs[0].data[...] = k
        assert (two.layers[k].blobs[0].data == k).all()
    one.save(tmp_path / "net.caffemodel")
    stored = pb.NetParameter.FromString((tmp_path / "net.caffemodel").read_bytes())
    assert [set(layer.blobs[0].data) for layer in stored.layer[1:]] == [{1}, {2}]
