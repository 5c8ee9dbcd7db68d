"""Input and DummyData (input_layer.cpp, dummy_data_layer.cpp)."""

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.errors import UserError


def dummy(param, tops=1):
    names = " ".join(f'top: "{name}"' for name in "abc"[:tops])
    return f'layer {{ name: "d" type: "DummyData" {names} dummy_data_param {{ {param} }} }}'


def given(param, tops=1):
    names = " ".join(f'top: "{name}"' for name in "abc"[:tops])
    return f'layer {{ name: "i" type: "Input" {names} input_param {{ {param} }} }}'


SHAPE = "shape { dim: 2 dim: 3 }"
CONSTANT, UNIFORM = "data_filler { value: 5 }", 'data_filler { type: "uniform" min: 1 max: 2 }'


@pytest.mark.parametrize(
    ("param", "shapes"),
    [
        (SHAPE, [(2, 3), (2, 3)]),
        (SHAPE + "shape { dim: 4 }", [(2, 3), (4,)]),
        ("num: 2 channels: 3 height: 4 width: 5", [(2, 3, 4, 5)] * 2),
        ("num: 2 channels: 3 channels: 6 height: 4 width: 5", [(2, 3, 4, 5), (2, 6, 4, 5)]),
        ("num: 1 num: 2 channels: 3 channels: 4 height: 5 height: 6 width: 7 width: 8", [(1, 3, 5, 7), (2, 4, 6, 8)]),
    ],
)
def test_shapes(make_net, param, shapes):
    net = make_net(dummy(param, 2))
    assert [net.blobs[name].shape for name in "ab"] == shapes


def test_without_a_filler_zeros(make_net):
    assert not make_net(dummy(SHAPE)).forward()["a"].any()


def test_one_filler_for_all_or_one_for_each(make_net):
    net = make_net(dummy(SHAPE + CONSTANT, 3))
    assert all((net.forward()[name] == 5).all() for name in "abc")
    net = make_net(dummy(SHAPE + CONSTANT + UNIFORM + "data_filler { value: 7 }", 3))
    for _ in range(2):
        net.forward()
        assert (net.blobs["a"].data == 5).all() and (net.blobs["c"].data == 7).all()
        assert (net.blobs["b"].data >= 1).all() and (net.blobs["b"].data <= 2).all()


def test_constants_are_filled_once_and_the_others_at_every_forward(make_net):
    net = make_net(dummy(SHAPE + CONSTANT + UNIFORM, 2))
    net.blobs["a"].data[...] = 9
    drawn = set()
    for _ in range(3):
        net.forward()
        assert (net.blobs["a"].data == 9).all()
        drawn.add(net.blobs["b"].data.tobytes())
    assert len(drawn) == 3


def test_a_top_that_was_reshaped_keeps_its_shape(make_net):
    # DummyDataLayer has no Reshape, and fills the blob as it is
    net = make_net(dummy(SHAPE + UNIFORM))
    net.blobs["a"].reshape(5, 4)
    net.reshape()
    assert net.forward()["a"].shape == (5, 4) and (net.blobs["a"].data >= 1).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (dummy(""), "needs one shape and one filler, or one of each per top"),
        (dummy(SHAPE * 2, 3), "needs one shape and one filler, or one of each per top"),
        (dummy(SHAPE + CONSTANT * 2, 3), "needs one shape and one filler, or one of each per top"),
        (dummy("num: 2"), r"one of each per top \(of the old num, channels, height and width too\)"),
        (dummy("num: 2 num: 3 channels: 1 height: 1 width: 1", 3), "one of each per top"),
        (
            dummy(SHAPE + "num: 2 channels: 1 height: 1 width: 1"),
            "has a shape and the old num, channels …",
        ),
        (dummy(SHAPE + 'data_filler { type: "none" }'), "filler type 'none' is unknown"),
        (dummy("shape { dim: -2 }"), "sizes are 0 or more"),
        (given(SHAPE * 2, 3), r"layer 'i' \(Input\) has 2 shapes for 3 tops"),
        (given(SHAPE * 2), r"layer 'i' \(Input\) has 2 shapes for 1 tops"),
    ],
)
def test_layers_that_cannot_be_built(make_net, text, said):
    with pytest.raises(UserError, match=said) as error:
        make_net(text)
    assert "\n" not in str(error.value)


def test_inputs(make_net):
    net = make_net(given(SHAPE, 2))
    assert [net.blobs[name].shape for name in net.inputs] == [(2, 3)] * 2
    assert [make_net(given(SHAPE + "shape { dim: 4 }", 2)).blobs[name].shape for name in "ab"] == [(2, 3), (4,)]


def test_an_input_without_a_shape_waits_for_one(make_net):
    # "Must specify 'shape' once, once per top blob, or not at all"
    net = make_net(given(""), caffe.TRAIN)
    net.blobs["a"].reshape(2, 2)
    np.testing.assert_array_equal(net.forward(a=np.eye(2))["a"], np.eye(2))
