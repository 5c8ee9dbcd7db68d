"""Element-wise layers against their formulas in NumPy, also far out and at kinks, and with settings that cannot be."""

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import layer_net

X = np.array([[-1000, -30, -1.5, 0, 0.5, 2, 60, 1000]], np.float64)
SMALL = np.array([[-1.25, -0.5, 0, 0.5, 1, 2.5]])


def forward_backward(make_net, kind, x, parameters=""):
    """Return the layer's top, and its gradient for a top diff of ones."""
    net = layer_net(make_net, kind, x, parameters=parameters)
    y = net.forward()["top0"].copy()
    return y, net.backward(top0=np.ones(y.shape))["in0"]


@pytest.mark.parametrize(
    ("kind", "parameters", "x", "y", "slope"),
    [
        ("AbsVal", "", SMALL, np.abs(SMALL), np.sign(SMALL)),
        ("BNLL", "", X, np.logaddexp(0, X), 1 / (1 + np.exp(-np.clip(X, -700, None)))),
        ("Clip", "clip_param { min: -0.5 max: 1 }", SMALL, np.clip(SMALL, -0.5, 1), [[0, 1, 1, 1, 1, 0]]),
        ("ELU", "elu_param { alpha: 2 }", X, np.where(X > 0, X, 2 * np.expm1(np.minimum(X, 0))), None),
        ("Exp", "", SMALL, np.exp(SMALL), np.exp(SMALL)),
        (
            "Exp",
            "exp_param { base: 2 scale: 3 shift: 1 }",
            SMALL,
            2 ** (1 + 3 * SMALL),
            3 * np.log(2) * 2 ** (1 + 3 * SMALL),
        ),
        ("Exp", "exp_param { base: 1 }", SMALL, np.ones_like(SMALL), np.zeros_like(SMALL)),
        ("Log", "log_param { shift: 2 }", SMALL, np.log(SMALL + 2), 1 / (SMALL + 2)),
        (
            "Log",
            "log_param { base: 10 scale: -2 shift: 6 }",
            SMALL,
            np.log10(6 - 2 * SMALL),
            -2 / np.log(10) / (6 - 2 * SMALL),
        ),
        ("Power", "power_param { power: 3 scale: 2 shift: 1 }", SMALL, (1 + 2 * SMALL) ** 3, 6 * (1 + 2 * SMALL) ** 2),
        ("Power", "power_param { power: 2 }", SMALL, SMALL**2, 2 * SMALL),
        ("Power", "power_param { scale: -3 shift: 1 }", SMALL, 1 - 3 * SMALL, np.full_like(SMALL, -3)),
        # power_layer.cpp: a constant, and a gradient of 0, where power · scale is 0
        ("Power", "power_param { power: 0 shift: 5 }", SMALL, np.ones_like(SMALL), np.zeros_like(SMALL)),
        ("Power", "power_param { power: 3 scale: 0 shift: 2 }", SMALL, np.full_like(SMALL, 8), np.zeros_like(SMALL)),
        ("Power", "power_param { power: -1 scale: 0 }", SMALL, np.full_like(SMALL, np.inf), np.zeros_like(SMALL)),
        ("PReLU", "", SMALL, np.where(SMALL > 0, SMALL, SMALL / 4), np.where(SMALL > 0, 1, 0.25)),
        ("ReLU", "", SMALL, np.maximum(SMALL, 0), SMALL > 0),
        ("ReLU", "relu_param { negative_slope: -2 }", SMALL, np.where(SMALL > 0, SMALL, -2 * SMALL), None),
        ("Sigmoid", "", X, 1 / (1 + np.exp(-np.clip(X, -700, None))), None),
        ("Swish", "swish_param { beta: 2 }", SMALL, SMALL / (1 + np.exp(-2 * SMALL)), None),
        ("Swish", "", SMALL, SMALL / (1 + np.exp(-SMALL)), None),
        ("TanH", "", X, np.tanh(X), 1 - np.tanh(X) ** 2),
        ("Threshold", "threshold_param { threshold: 0.5 }", SMALL, SMALL > 0.5, np.zeros_like(SMALL)),
        ("Threshold", "", SMALL, SMALL > 0, np.zeros_like(SMALL)),
    ],
)
def test_formulas(make_net, kind, parameters, x, y, slope):
    got, gradient = forward_backward(make_net, kind, x, parameters)
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-6)
    assert np.isfinite(gradient).all()
    if slope is not None:
        np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


def test_prelu_has_a_slope_for_each_channel_or_one_for_all(make_net):
    x = np.full((1, 3, 2), -2.0)
    net = layer_net(make_net, "PReLU", x)
    np.testing.assert_array_equal(net.params["l"][0].data, [0.25] * 3)
    net.params["l"][0].data[...] = [0, 1, -3]
    np.testing.assert_array_equal(net.forward()["top0"], [[[0, 0], [-2, -2], [6, 6]]])
    shared = layer_net(make_net, "PReLU", x, parameters="prelu_param { channel_shared: true filler { value: 3 } }")
    assert shared.params["l"][0].shape == ()
    np.testing.assert_array_equal(shared.forward()["top0"], 3 * x)
    shared.backward(top0=np.ones(x.shape))
    assert shared.params["l"][0].diff == x.sum()


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("Clip", "", "needs clip_param"),
        ("Clip", "clip_param { min: 1 max: 0 }", "min that is not above its max"),
        ("Clip", "clip_param { min: nan max: 0 }", "min that is not above its max"),
        ("Dropout", "dropout_param { dropout_ratio: 1 }", "dropout_ratio from 0 to below 1"),
        ("Dropout", "dropout_param { dropout_ratio: -0.5 }", "dropout_ratio from 0 to below 1"),
        ("Exp", "exp_param { base: 0 }", "base above 0, or -1 for e, not 0"),
        ("Exp", "exp_param { base: inf }", "base above 0"),
        ("Log", "log_param { base: -2 }", "base above 0, or -1 for e, not -2"),
        ("Log", "log_param { base: nan }", "base above 0"),
        ("Log", "log_param { base: 1 }", "to which there is no logarithm"),
        ("PReLU", "", "2 axes or more"),
    ],
)
def test_settings_that_cannot_be(make_net, kind, parameters, said):
    with pytest.raises(UserError, match=said) as error:
        layer_net(make_net, kind, (4,), parameters=parameters)
    assert "'l'" in str(error.value) and kind in str(error.value)


def test_prelu_meets_another_number_of_channels(make_net):
    net = layer_net(make_net, "PReLU", (2, 3))
    net.blobs["in0"].reshape(2, 4)
    with pytest.raises(UserError, match="'l'"):
        net.forward()


def test_dropout_draws_one_mask_for_forward_and_backward(make_net):
    net = layer_net(make_net, "Dropout", np.ones((50, 50)), phase=caffe.TRAIN)
    y = net.forward()["top0"].copy()
    np.testing.assert_array_equal(net.backward(top0=np.ones(y.shape))["in0"], y)
    assert set(np.unique(y)) == {0, 2}
