"""What a net does not do silently: leave out a gradient, change a shape in place, hide which layer is wrong."""

import sys

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

sys.modules["layers_of_refusals"] = sys.modules[__name__]  # pytest imports tests under longer names

X = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }
"""


def learned(name, bottom="x", outputs=3, top=None):
    return f"""layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top or name}"
        inner_product_param {{ num_output: {outputs} weight_filler {{ type: "constant" value: 0.01 }} }} }}\n"""


def layer(kind, bottoms, tops, more=""):
    read, made = (
        " ".join(f'{what}: "{name}"' for name in names.split()) for what, names in (("bottom", bottoms), ("top", tops))
    )
    return f'layer {{ name: "l" type: "{kind}" {read} {made} {more} }}\n'


# Gradients


@pytest.mark.parametrize(
    ("text", "bottom"),
    [
        # SoftmaxWithLossLayer::Backward: "Layer cannot backpropagate to label inputs"; so do the other losses
        (learned("a") + learned("b", outputs=1) + layer("SoftmaxWithLoss", "a b", "loss"), "b"),
        (learned("a") + learned("b", outputs=1) + layer("HingeLoss", "a b", "loss"), "b"),
        (learned("a") + learned("b", outputs=1) + layer("MultinomialLogisticLoss", "a b", "loss"), "b"),
        (learned("a") + learned("b") + layer("SigmoidCrossEntropyLoss", "a b", "loss"), "b"),
        (learned("a") + layer("SoftmaxWithLoss", "a y", "loss", "propagate_down: true propagate_down: true"), "y"),
        # NOT_IMPLEMENTED or CHECK(!propagate_down) in their Backward
        (learned("a") + layer("Threshold", "a", "t", "loss_weight: 1"), "a"),
        (learned("a") + layer("ArgMax", "a", "t", "loss_weight: 1"), "a"),
        (learned("a") + layer("Accuracy", "a y", "t", "loss_weight: 1"), "a"),
        (learned("a") + layer("Embed", "a", "t", "loss_weight: 1 embed_param { input_dim: 2 num_output: 1 }"), "a"),
    ],
)
def test_a_gradient_that_the_layer_does_not_have(make_net, text, bottom):
    net = make_net(X + text, caffe.TRAIN)
    net.forward()
    with pytest.raises(
        UserError, match=rf"layer 'l' \(.*\) has no gradient for its bottom '{bottom}', which depends on"
    ):
        net.backward()


def test_a_label_that_learns_works_once_its_gradient_is_left_out(make_net):
    text = X + learned("a") + learned("b", outputs=1)
    told = layer("SoftmaxWithLoss", "a b", "loss", "propagate_down: true propagate_down: false")
    net = make_net(text + told, caffe.TRAIN)
    net.blobs["x"].data[...] = 1
    net.forward()
    net.backward()
    assert net.params["a"][0].diff.any() and not net.params["b"][0].diff.any()


@pytest.mark.parametrize(
    ("text", "others"),
    [
        # CropLayer, ContrastiveLossLayer and LSTMUnitLayer::Backward leave these bottoms alone without a word
        (
            learned("a", outputs=4)
            + learned("b", outputs=2)
            + layer("Crop", "a b", "t", "loss_weight: 1 crop_param { axis: 1 }"),
            "b",
        ),
        (learned("a") + learned("c") + learned("b", outputs=1) + layer("ContrastiveLoss", "a c b", "t"), "b"),
    ],
)
def test_bottoms_that_pass_for_constants(make_net, text, others):
    net = make_net(X + text, caffe.TRAIN)
    net.blobs["x"].data[...] = np.arange(120).reshape(2, 3, 4, 5)
    net.params["a"][0].data[0] = 1
    net.forward()
    net.backward()
    assert net.params["a"][0].diff.any() and not net.params[others][0].diff.any()


# In place


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (learned("l", top="x"), r"\(2, 3\)"),
        (layer("Pooling", "x", "x", "pooling_param { kernel_size: 2 }"), r"\(2, 3, 3, 4\)"),
        (layer("Reduction", "x", "x"), r"\(\)"),
        (layer("Tile", "x", "x", "tile_param { tiles: 2 }"), r"\(2, 6, 4, 5\)"),
    ],
)
def test_another_shape_in_place(make_net, text, made):
    with pytest.raises(UserError, match=rf"layer 'l' \(.*\) makes {made} of \(2, 3, 4, 5\) and"):
        make_net(X + text)


def test_another_shape_in_place_after_a_reshape(make_net):
    net = make_net(X + layer("BatchReindex", "x y", "x"))
    net.forward()
    net.blobs["y"].reshape(5)
    for run in (net.reshape, net.forward):
        with pytest.raises(
            UserError, match=r"layer 'l' \(BatchReindex\) makes \(5, 3, 4, 5\) of \(2, 3, 4, 5\) and so"
        ):
            run()
        assert net.blobs["x"].shape == (2, 3, 4, 5)


def test_a_split_in_place(make_net):
    # SplitLayer::Reshape: "Layer does not allow in-place computation"
    with pytest.raises(UserError, match=r"layer 'l' \(Split\) cannot work in place; give its tops other names"):
        make_net(X + layer("Split", "x", "x z"))


# Names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            layer("Softmax", "x", "t", "softmax_param { axis: 4 }"),
            r"\(Softmax\): axis 4 is out of range for a blob of 4",
        ),
        (learned("l").replace('"constant"', '"xaver"'), r"\(InnerProduct\): filler type 'xaver' is unknown"),
        (
            layer("DummyData", "", "t", 'dummy_data_param { shape { dim: 2 } data_filler { type: "norm" } }'),
            r"\(DummyData\): filler type 'norm' is unknown",
        ),
        (
            layer("DummyData", "", "t", "dummy_data_param { shape { dim: 65536 dim: 65536 } }"),
            r"\(DummyData\): a blob of \(65536, 65536\) is too large; Caffe's blobs hold up to 2147483647",
        ),
        (
            layer("Convolution", "x", "t", "convolution_param { num_output: 2147483646 kernel_size: 2 }"),
            r"\(Convolution\): a blob of \(2147483646, 3, 2, 2\) is too large",
        ),
        (layer("Tile", "x", "t", "tile_param { tiles: 2147483647 }"), r"\(Tile\): a blob of .* is too large"),
    ],
)
def test_an_error_names_its_layer(make_net, text, said):
    with pytest.raises(UserError, match=f"^layer 'l' {said}"):
        make_net(X + text)


class Short(caffe.Layer):
    """A user's layer with a mistake."""

    def setup(self, bottom, top):
        return bottom[7]


def test_a_mistake_in_a_users_layer_stays_what_it_is(make_net):
    with pytest.raises(IndexError):
        make_net(X + layer("Python", "x", "t", 'python_param { module: "layers_of_refusals" layer: "Short" }'))


# Descriptions in other forms


def test_a_description_with_parameters_begins_with_them(make_net, tmp_path):
    # a layer of Caffe's takes the parameters that stand in its description
    net = make_net(X + learned("l"))
    net.params["l"][0].data[...] = np.arange(180).reshape(3, 60)
    net.save(tmp_path / "n.caffemodel")
    stored = pb.NetParameter.FromString((tmp_path / "n.caffemodel").read_bytes())
    again = caffe.Net(stored, caffe.TEST)
    np.testing.assert_array_equal(again.params["l"][0].data, net.params["l"][0].data)
    del stored.layer[-1].blobs[1:]
    with pytest.raises(UserError, match="layer 'l'"):
        caffe.Net(stored, caffe.TEST)


def test_a_net_given_as_a_message_is_upgraded_as_one_in_a_file(make_net):
    net = make_net(
        """input: "x" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5
        layers { name: "c" type: CONVOLUTION bottom: "x" top: "c" blobs_lr: 0 convolution_param { num_output: 2
                 kernel_size: 3 } }
        layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }"""
    )
    assert [layer.type for layer in net.layers] == ["Input", "Convolution", "ReLU"]
    assert net.blobs["c"].shape == (1, 2, 2, 3) and net.learnable[0][1].lr_mult == 0
