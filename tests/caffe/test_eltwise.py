"""Eltwise: what NumPy computes, which of equals gets the gradient, and what is refused."""

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import layer_net

A, B, C = (np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32) for seed in range(3))


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ("", A + B + C),
        ("operation: SUM coeff: 1 coeff: -1 coeff: 0.5", A - B + C / 2),
        ("operation: PROD", A * B * C),
        ("operation: MAX", np.maximum(np.maximum(A, B), C)),
    ],
)
def test_three_bottoms(make_net, parameters, wanted):
    net = layer_net(make_net, "Eltwise", A, B, C, parameters=f"eltwise_param {{ {parameters} }}")
    np.testing.assert_allclose(net.forward()["top0"], wanted, rtol=1e-6)


def test_of_equal_maxima_one_gets_the_whole_gradient(make_net):
    # eltwise_layer.cpp keeps the first of two only if it is larger, and takes a later one only if that is larger
    first, second, third = [[1, 1, 0, 1]], [[1, 0, 1, 1]], [[0, 1, 1, 1]]
    net = layer_net(make_net, "Eltwise", first, second, third, parameters="eltwise_param { operation: MAX }")
    net.forward()
    got = net.backward(top0=[[5, 6, 7, 8]])
    np.testing.assert_array_equal([got[f"in{k}"][0] for k in range(3)], [[0, 6, 0, 0], [5, 0, 7, 8], [0, 0, 0, 0]])


@pytest.mark.parametrize("stable", ["true", "false"])
def test_the_gradient_of_a_product_with_zeros(make_net, stable):
    parameters = f"eltwise_param {{ operation: PROD stable_prod_grad: {stable} }}"
    net = layer_net(make_net, "Eltwise", [[0, 0, 2]], [[3, 0, 4]], parameters=parameters)
    net.forward()
    got = net.backward(top0=np.ones((1, 3)))
    np.testing.assert_array_equal(got["in0"], [[3, 0, 4]])
    np.testing.assert_array_equal(got["in1"], [[0, 0, 2]])


@pytest.mark.parametrize(
    ("bottoms", "parameters", "said"),
    [
        ([(2, 3), (2, 1)], "", "one shape"),
        ([(2, 3), (3, 2)], "", "one shape"),
        ([(2, 3), (2, 3, 1)], "operation: MAX", "one shape"),
        ([(2, 3), (2, 3)], "coeff: 1", "1 coeff for 2 bottoms"),
        ([(2, 3), (2, 3)], "operation: MAX coeff: 1 coeff: 1 coeff: 1", "3 coeff for 2 bottoms"),
        ([(2, 3), (2, 3)], "operation: PROD coeff: 1 coeff: 2", "only the operation SUM"),
        ([(2, 3)], "", "takes at least 2"),
    ],
)
def test_what_is_refused(make_net, bottoms, parameters, said):
    with pytest.raises(UserError, match=said):
        layer_net(make_net, "Eltwise", *bottoms, parameters=f"eltwise_param {{ {parameters} }}")
