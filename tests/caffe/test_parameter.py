"""The Parameter layer: a learned blob as a top."""

import numpy as np

from pydeepexpr import caffe
from tests.caffe.one_layer import one_layer


def test_its_top_is_its_parameter():
    net = one_layer("Parameter", parameters="parameter_param { shape { dim: 2 dim: 3 } }", phase=caffe.TRAIN)
    assert not net.forward()["top0"].any()
    net.params["l"][0].data[...] = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(net.forward()["top0"], [[1, 2, 3], [4, 5, 6]])
    net.backward(top0=np.full((2, 3), 7))
    np.testing.assert_array_equal(net.params["l"][0].diff, np.full((2, 3), 7))


def test_without_a_shape_it_is_one_number():
    assert one_layer("Parameter").blobs["top0"].shape == ()


def test_it_learns(make_net):
    # of Σ (p − x)² / 2 the minimum is at p = x; one step of rate 1 goes there
    net = make_net(
        """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
        layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 1 dim: 3 } } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "p" bottom: "x" top: "loss" }""",
        caffe.TRAIN,
    )
    net.forward(x=np.array([[1, -2, 3]]))
    net.backward()
    parameter = net.params["p"][0]
    parameter.data[...] -= parameter.diff
    assert net.forward(x=np.array([[1, -2, 3]]))["loss"] == 0
