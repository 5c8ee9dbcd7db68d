"""BatchNorm and MVN against NumPy; the running statistics by batch_norm_layer.cpp's rule, computed by hand."""

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import layer_net, spaced

RNG = np.random.default_rng(4)
FIRST, SECOND = RNG.normal(3, 2, size=(2, 4, 3, 2, 5))
AXES = (0, 2, 3)


def moments(x):
    """Return each channel's mean and variance, and the variance as the running average takes it."""
    count = x.size // x.shape[1]
    return x.mean(AXES), x.var(AXES), x.var(AXES) * count / (count - 1)


def by_channel(values):
    return np.reshape(values, (1, -1, 1, 1))


def normalised(x, mean, variance, eps=1e-5):
    return (x - by_channel(mean)) / np.sqrt(by_channel(variance) + eps)


def statistics(net):
    return [blob.data.copy() for blob in net.params["l"]]


def assert_all_close(got, want):
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_training_normalises_by_the_batch_and_adds_it_to_fading_sums(make_net):
    parameters = "batch_norm_param { moving_average_fraction: 0.9 eps: 0.01 }"
    net = layer_net(make_net, "BatchNorm", FIRST, parameters=parameters, phase=caffe.TRAIN)
    assert_all_close(statistics(net), [np.zeros(3), np.zeros(3), [0]])  # building a net sees no batch
    mean, variance, corrected = moments(FIRST)
    np.testing.assert_allclose(net.forward()["top0"], normalised(FIRST, mean, variance, 0.01), atol=1e-5)
    assert_all_close(statistics(net), [mean, corrected, [1]])
    net.backward(top0=np.ones(FIRST.shape))
    net.reshape()
    assert_all_close(statistics(net), [mean, corrected, [1]])
    net.forward(in0=SECOND)
    mean2, _, corrected2 = moments(SECOND)
    assert_all_close(statistics(net), [0.9 * mean + mean2, 0.9 * corrected + corrected2, [1.9]])


def test_testing_divides_the_sums_by_their_weight_and_leaves_them(make_net):
    net = layer_net(make_net, "BatchNorm", FIRST)
    stored = [3.0, -6, 9], [12.0, 3, 0.3], [1.5]
    for blob, values in zip(net.params["l"], stored, strict=True):
        blob.data[...] = values
    wanted = normalised(FIRST, [2, -4, 6], [8, 2, 0.2])
    np.testing.assert_allclose(net.forward()["top0"], wanted, rtol=1e-4, atol=1e-5)
    gradient = net.backward(top0=np.ones(FIRST.shape))["in0"]
    np.testing.assert_allclose(gradient[0, :, 0, 0], np.array([8, 2, 0.2]) ** -0.5, rtol=1e-4)
    assert_all_close(statistics(net), stored)
    assert not any(blob.diff.any() for blob in net.params["l"])  # not even with force_backward


def test_without_any_batch_so_far_mean_and_variance_are_zero(make_net):
    net = layer_net(make_net, "BatchNorm", FIRST)
    np.testing.assert_allclose(net.forward()["top0"], FIRST / np.sqrt(1e-5), rtol=1e-4)


def test_use_global_stats_overrules_the_phase(make_net):
    fixed = "batch_norm_param { use_global_stats: true }"
    net = layer_net(make_net, "BatchNorm", FIRST, parameters=fixed, phase=caffe.TRAIN)
    net.params["l"][2].data[...] = 1
    np.testing.assert_allclose(net.forward()["top0"], FIRST / np.sqrt(1e-5), rtol=1e-4)
    assert_all_close(statistics(net), [np.zeros(3), np.zeros(3), [1]])

    net = layer_net(make_net, "BatchNorm", FIRST, parameters="batch_norm_param { use_global_stats: false }")
    mean, variance, corrected = moments(FIRST)
    np.testing.assert_allclose(net.forward()["top0"], normalised(FIRST, mean, variance), atol=1e-5)
    net.backward(top0=np.ones(FIRST.shape))
    assert_all_close(statistics(net), [mean, corrected, [1]])  # once, for the one forward


@pytest.mark.parametrize("x", [[[4.0, -2]], [[[[3.0]]]]])
def test_one_value_a_channel(make_net, x):
    net = layer_net(make_net, "BatchNorm", x, phase=caffe.TRAIN)
    assert not net.forward()["top0"].any()
    mean, variance, weight = statistics(net)
    np.testing.assert_array_equal(mean, np.ravel(x))
    assert not variance.any() and weight == 1
    assert not net.backward(top0=np.ones(np.shape(x)))["in0"].any()


def trained(tmp_path, more="", test_net=""):
    net = tmp_path / "net.prototxt"
    net.write_text(
        """layer { name: "x" type: "DummyData" top: "x" dummy_data_param {
             shape { dim: 4 dim: 3 dim: 2 dim: 5 } data_filler { value: 2 } } }
           layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 4 dim: 2 } } }"""
        f'layer {{ name: "l" type: "BatchNorm" bottom: "x" top: "n" {more} }}'
        """layer { name: "ip" type: "InnerProduct" bottom: "n" top: "ip" inner_product_param { num_output: 2 } }
           layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }"""
    )
    solver = pb.SolverParameter(
        net=str(net), base_lr=0.5, lr_policy="fixed", weight_decay=0.1, momentum=0.9, snapshot_after_train=False
    )
    if test_net:
        solver.test_iter.append(1)
    return caffe.get_solver(solver)


@pytest.mark.parametrize("more", ["", "param { lr_mult: 0 }", "param { lr_mult: 0 } " * 3])
def test_solvers_leave_the_statistics_alone(tmp_path, more):
    solver = trained(tmp_path, more, "with a test net")
    assert [spec.lr_mult for spec in solver.net.layer_dict["l"].param.param] == [0, 0, 0]
    solver.step(3)
    weight = 1 + 0.999 + 0.999**2
    assert_all_close(statistics(solver.net), [np.full(3, 2 * weight), np.zeros(3), [weight]])
    solver.test_all()
    np.testing.assert_allclose(solver.test_nets[0].blobs["n"].data, 0, atol=1e-3)
    assert_all_close(statistics(solver.net), [np.full(3, 2 * weight), np.zeros(3), [weight]])


def test_statistics_are_stored_with_the_model(make_net, tmp_path):
    net = layer_net(make_net, "BatchNorm", FIRST, phase=caffe.TRAIN)
    net.forward()
    net.save(str(tmp_path / "net.caffemodel"))
    other = layer_net(make_net, "BatchNorm", FIRST)
    other.copy_from(str(tmp_path / "net.caffemodel"))
    assert_all_close(statistics(other), statistics(net))


@pytest.mark.parametrize(
    "more",  # of three, all are set to 0, as UpgradeNetBatchNorm does
    ["param { lr_mult: 1 }", "param { }", "param { lr_mult: 0 } param { lr_mult: 2 }"],
)
def test_statistics_cannot_learn(make_net, more):
    with pytest.raises(UserError, match=r"layer 'l' \(BatchNorm\) .* lr_mult: 0"):
        layer_net(make_net, "BatchNorm", (2, 3), parameters=more)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [((), ""), ((2, 3), "batch_norm_param { eps: -1 }"), ((2, 3), "batch_norm_param { eps: nan }")],
)
def test_settings_that_cannot_be(make_net, shape, parameters):
    with pytest.raises(UserError, match=r"layer 'l' \(BatchNorm\) needs a bottom of 1 axis or more and an eps"):
        layer_net(make_net, "BatchNorm", shape, parameters=parameters)


def test_another_number_of_channels(make_net):
    net = layer_net(make_net, "BatchNorm", (2, 3, 4))
    net.blobs["in0"].reshape(2, 4, 4)
    for change in (net.forward, net.reshape):
        with pytest.raises(UserError, match="built for 3 channels and meets 4"):
            change()


@pytest.mark.parametrize(
    ("parameters", "axes", "divides"),
    [
        ("", (2, 3), True),
        ("across_channels: true", (1, 2, 3), True),
        ("normalize_variance: false", (2, 3), False),
        ("across_channels: true normalize_variance: false", (1, 2, 3), False),
        ("eps: 0.5", (2, 3), True),
    ],
)
def test_mvn(make_net, parameters, axes, divides):
    eps = 0.5 if "eps" in parameters else 1e-9
    net = layer_net(make_net, "MVN", FIRST, parameters=f"mvn_param {{ {parameters} }}")
    wanted = FIRST - FIRST.mean(axes, keepdims=True)
    if divides:  # by the deviation plus eps, not by the root of the variance plus eps
        wanted /= FIRST.std(axes, keepdims=True) + eps
    np.testing.assert_allclose(net.forward()["top0"], wanted, atol=1e-5)


def test_mvn_of_a_constant_is_zero_with_a_finite_gradient(make_net):
    # mvn_layer.cpp: (dy − mean(dy) − y · mean(y · dy)) / (σ + eps), here with σ = 0
    net = layer_net(make_net, "MVN", np.full((1, 1, 1, 3), 7.0), parameters="mvn_param { eps: 0.1 }")
    assert not net.forward()["top0"].any()
    np.testing.assert_allclose(net.backward(top0=[[[[1, 2, 6]]]])["in0"], [[[[-20, -10, 30]]]], rtol=1e-5)


def test_mvn_without_places_is_zero(make_net):
    assert not layer_net(make_net, "MVN", spaced((3, 4))).forward()["top0"].any()
