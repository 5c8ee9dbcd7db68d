"""What a net keeps in memory: layers that overwrite their bottom, and gradients that a solver lets go of."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }'
CONV = """layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }"""
SUM = 'layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }'


def parse_net(text):
    return text_format.Parse(text, pb.NetParameter())


def relu(slope):
    return f'layer {{ name: "relu" type: "ReLU" bottom: "y" top: "y" relu_param {{ negative_slope: {slope} }} }}'


def build(*layers, phase=caffe.TRAIN):
    caffe.set_random_seed(3)
    net = caffe.Net(parse_net("force_backward: true " + " ".join(layers)), phase)
    net.blobs["x"].data[...] = np.random.default_rng(0).normal(size=net.blobs["x"].shape)
    return net


def expected(net, slope):
    """Return top and the gradients of x and of the weights, by PyTorch."""
    x, w = (torch.tensor(array, requires_grad=True) for array in (net.blobs["x"].data, net.params["conv"][0].data))
    y = F.leaky_relu(F.conv2d(x, w), slope)
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy(), w.grad.numpy()


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("slope", [0, 0.1, 1, -0.5])
def test_a_relu_in_place_gives_pytorchs_values_and_gradients_again_and_again(slope, shown, phase):
    net = build(INPUT, CONV, relu(slope), SUM, phase=phase)
    if shown:
        view = net.blobs["y"].data
    y, dx, dw = expected(net, slope)
    for _ in range(2):
        net.forward()
        net.clear_param_diffs()
        for _ in range(2):
            net.backward()
        np.testing.assert_allclose(net.blobs["y"].data, y, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(net.blobs["x"].diff, dx, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(net.params["conv"][0].diff, 2 * dw, rtol=1e-5, atol=1e-5)
    if shown:
        np.testing.assert_allclose(view, y, rtol=1e-5, atol=1e-6)


def test_only_memory_that_no_gradient_reads_is_overwritten():
    sigmoid = 'layer { name: "sigmoid" type: "Sigmoid" bottom: "y" top: "y" }'
    flat = 'layer { name: "flat" type: "Flatten" bottom: "x" top: "y" }'
    cases = {
        "convolution": (CONV, relu(0)),
        "negative slope": (CONV, relu(-1)),
        "sigmoid": (CONV, sigmoid, relu(0)),
        "the input's own memory": (flat, relu(0)),
        "not in place": (CONV, relu(0).replace('top: "y"', 'top: "z"')),
    }
    overwrites = {
        name for name, layers in cases.items() if any(step.overwrites for step in build(INPUT, *layers, SUM).steps)
    }
    assert overwrites == {"convolution"}


def test_a_relu_behind_a_sigmoid_leaves_its_gradient_alone():
    sigmoid = 'layer { name: "sigmoid" type: "Sigmoid" bottom: "y" top: "y" }'
    net = build(INPUT, CONV, sigmoid, relu(0), SUM)
    net.forward()
    net.backward()
    x = torch.tensor(net.blobs["x"].data, requires_grad=True)
    torch.sigmoid(F.conv2d(x, torch.tensor(net.params["conv"][0].data))).sum().backward()
    np.testing.assert_allclose(net.blobs["x"].diff, x.grad.numpy(), rtol=1e-5, atol=1e-6)


def solver():
    data = 'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } data_filler { type: "gaussian" } } }'  # noqa: E501
    net = parse_net(" ".join([data, CONV, relu(0), SUM]))
    param = pb.SolverParameter(base_lr=0.1, lr_policy="fixed", random_seed=1)
    param.net_param.CopyFrom(net)
    return caffe.get_solver(param)


def test_after_a_step_every_gradient_can_be_read():
    trained = solver()
    trained.step(2)
    assert trained.net.blobs["sum"].diff == 1  # the seed of the loss
    np.testing.assert_array_equal(trained.net.blobs["y"].diff, trained.net.blobs["y"].data > 0)


def test_a_solver_keeps_no_gradients_during_the_next_forward():
    trained = solver()
    held = {}
    trained.net.after_forward(lambda i: held.update({i: not trained.net.blobs["y"].diff_memory.is_zero()}))
    trained.step(2)
    assert held == {0: False, 1: False, 2: False, 3: False}


def test_what_somebody_asked_for_stays():
    asked, plain = solver(), solver()
    view = asked.net.blobs["y"].diff
    for one in (asked, plain):
        one.step(3)
    np.testing.assert_array_equal(view, asked.net.blobs["y"].data > 0)  # a ReLU's, of ones
    np.testing.assert_array_equal(asked.net.params["conv"][0].data, plain.net.params["conv"][0].data)


def test_a_callback_sees_the_gradients_of_the_layer_at_hand():
    seen = {}
    trained = solver()
    trained.net.after_backward(lambda i: seen.update({i: trained.net.blobs["y"].diff.copy()} if i == 2 else {}))
    trained.step(1)
    assert seen[2].shape == (2, 4, 2, 3)


@pytest.mark.parametrize("name", ["data", "diff"])
def test_under_bf16_the_user_sees_float32(name):
    caffe.set_precision("bf16")
    try:
        net = build(INPUT, CONV, relu(0), SUM)
        y, dx, _ = expected(net, 0)
        net.forward()
        net.backward()
        for blob in net.blobs.values():
            assert getattr(blob, name).dtype == np.float32
        np.testing.assert_allclose(net.blobs["y"].data, y, rtol=0.03, atol=0.05)
        np.testing.assert_allclose(net.blobs["x"].diff, dx, rtol=0.03, atol=0.1)
    finally:
        caffe.set_precision("fp32")


def test_two_relus_under_one_sum_do_not_share_their_gradient():
    # Eltwise gives both bottoms one gradient: a ReLU that worked in its memory would mask the other's as well
    other = CONV.replace('"conv"', '"conv2"').replace('"y"', '"z"')
    relus = relu(0) + relu(0).replace('"relu"', '"relu2"').replace('"y"', '"z"')
    added = 'layer { name: "add" type: "Eltwise" bottom: "y" bottom: "z" top: "s" }'
    net = build(INPUT, CONV, other, relus, added, SUM.replace('"y"', '"s"'))
    assert [step.overwrites for step in net.steps if step.layer.type == "ReLU"] == [True, True]
    x, w, v = (
        torch.tensor(array, requires_grad=True)
        for array in (net.blobs["x"].data, net.params["conv"][0].data, net.params["conv2"][0].data)
    )
    (F.relu(F.conv2d(x, w)) + F.relu(F.conv2d(x, v))).sum().backward()
    net.forward()
    net.backward()
    for got, part in zip((net.blobs["x"], net.params["conv"][0], net.params["conv2"][0]), (x, w, v), strict=True):
        np.testing.assert_allclose(got.diff, part.grad.numpy(), rtol=1e-5, atol=1e-5)


def test_a_relu_under_a_pooling_works_in_its_gradients_memory():
    pooled = 'layer { name: "p" type: "Pooling" bottom: "y" top: "p" pooling_param { pool: AVE kernel_size: 2 } }'
    net = build(INPUT, CONV, relu(0), pooled, SUM.replace('"y"', '"p"'))
    assert [step.spoils for step in net.steps if step.layer.type == "ReLU"] == [True]
    x = torch.tensor(net.blobs["x"].data, requires_grad=True)
    w = torch.tensor(net.params["conv"][0].data)
    F.avg_pool2d(F.relu(F.conv2d(x, w)), 2, 1).sum().backward()
    net.forward()
    for _ in range(2):
        net.backward()
        np.testing.assert_allclose(net.blobs["x"].diff, x.grad.numpy(), rtol=1e-5, atol=1e-6)
