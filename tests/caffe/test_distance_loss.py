"""Losses between values: by their formulas in NumPy, at the edges, and with bottoms that do not fit."""

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import layer_net

RNG = np.random.default_rng(2)


def loss_and_gradients(make_net, kind, *bottoms, parameters=""):
    net = layer_net(make_net, kind, *bottoms, parameters=parameters)
    loss = float(net.forward()["top0"])
    return loss, net.backward()


def test_euclidean_loss_sends_gradients_both_ways(make_net):
    a, b = RNG.normal(size=(2, 4, 3))
    loss, gradients = loss_and_gradients(make_net, "EuclideanLoss", a, b)
    assert loss == pytest.approx(((a - b) ** 2).sum() / 8)
    np.testing.assert_allclose(gradients["in0"], (a - b) / 4, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gradients["in1"], (b - a) / 4, rtol=1e-5, atol=1e-7)


def test_euclidean_loss_learns_on_its_second_bottom_alone(make_net):
    net = make_net(
        """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
           layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }
           layer { name: "b" type: "Bias" bottom: "x" top: "b" }
           layer { name: "loss" type: "EuclideanLoss" bottom: "t" bottom: "b" top: "loss" }""",
        caffe.TRAIN,
    )
    net.forward(x=np.ones((2, 3)), t=np.zeros((2, 3)))
    net.backward()
    np.testing.assert_allclose(net.params["b"][0].data, 0)
    np.testing.assert_allclose(net.params["b"][0].diff, 1)
    assert not net.blobs["t"].diff.any()


# Pairs at the distances 5, 0.5, 0 and 2 (margin 1.5): similar ones count d², others max(1.5 − d, 0)²,
# or in the legacy version max(1.5 − d², 0).
A = [[3, 4], [0.3, 0.4], [1, 1], [0, 2]]
B = [[0, 0], [0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("similar", "legacy", "losses", "pulls"),
    [
        ([1, 1, 1, 1], "false", [25, 0.25, 0, 4], [1, 1, 1, 1]),
        ([0, 0, 0, 0], "false", [0, 1, 2.25, 0], [0, -1 / 0.5001, -1.5 / 1e-4, 0]),
        ([0, 0, 0, 0], "true", [0, 1.25, 1.5, 0], [0, -1, -1, 0]),
        ([1, 0, 0, 1], "true", [25, 1.25, 1.5, 4], [1, -1, -1, 1]),
        ([7, 0.9, -3, 0], "false", [25, 1, 0, 0], [1, -1 / 0.5001, 1, 0]),  # cut to integers, true unless 0
    ],
)
def test_contrastive_loss(make_net, similar, legacy, losses, pulls):
    parameters = f"contrastive_loss_param {{ margin: 1.5 legacy_version: {legacy} }}"
    loss, gradients = loss_and_gradients(make_net, "ContrastiveLoss", A, B, similar, parameters=parameters)
    assert loss == pytest.approx(sum(losses) / 8, rel=1e-5)
    wanted = np.reshape(pulls, (4, 1)) * (np.array(A) - B) / 4  # contrastive_loss_layer.cpp: … / (d + 1e-4)
    np.testing.assert_allclose(gradients["in0"], wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradients["in1"], -wanted, rtol=1e-4, atol=1e-6)
    assert not gradients["in2"].any()


SCORES = RNG.normal(size=(3, 2, 2)) * 3
TARGETS = np.array([[[0, 1], [1, 0.3]], [[0.7, 2], [1, 0]], [[2, 2], [0, 1]]])
CROSS_ENTROPY = -(TARGETS * -np.log1p(np.exp(-SCORES)) + (1 - TARGETS) * -np.log1p(np.exp(SCORES)))


@pytest.mark.parametrize(
    ("parameters", "ignored", "divisor"),
    [
        ("", None, 3),  # the batch, unlike SoftmaxWithLoss
        ("normalization: FULL", None, 12),
        ("normalization: VALID", None, 12),
        ("normalization: BATCH_SIZE", None, 3),
        ("normalization: NONE", None, 1),
        ("ignore_label: 2", 2, 3),
        ("ignore_label: 2 normalization: VALID", 2, 9),
        ("ignore_label: 2 normalization: FULL", 2, 12),
        ("ignore_label: 0 normalization: VALID", 0, 7),  # 0.3 and 0.7 are cut to 0
        ("ignore_label: 2 normalize: true", 2, 9),
        ("ignore_label: 2 normalize: false", 2, 3),
        ("ignore_label: 2 normalize: true normalization: NONE", 2, 1),
    ],
)
def test_sigmoid_cross_entropy_loss(make_net, parameters, ignored, divisor):
    counted = TARGETS.astype(int) != ignored if ignored is not None else np.ones(TARGETS.shape, bool)
    loss, gradients = loss_and_gradients(
        make_net, "SigmoidCrossEntropyLoss", SCORES, TARGETS, parameters=f"loss_param {{ {parameters} }}"
    )
    assert loss == pytest.approx(CROSS_ENTROPY[counted].sum() / divisor, rel=1e-5)
    wanted = (1 / (1 + np.exp(-SCORES)) - TARGETS) * counted / divisor
    np.testing.assert_allclose(gradients["in0"], wanted, atol=1e-6)
    assert not gradients["in1"].any()


def test_sigmoid_cross_entropy_of_scores_far_out(make_net):
    scores, targets = [[1000, -1000, 1000, -1000]], [[1, 0, 0, 1]]
    loss, gradients = loss_and_gradients(make_net, "SigmoidCrossEntropyLoss", scores, targets)
    assert loss == 2000
    np.testing.assert_array_equal(gradients["in0"], [[0, 0, 1, -1]])


@pytest.mark.parametrize("mode", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
def test_all_targets_ignored_is_no_loss(make_net, mode):
    parameters = f"loss_param {{ ignore_label: 1 normalization: {mode} }}"
    loss, gradients = loss_and_gradients(
        make_net, "SigmoidCrossEntropyLoss", (2, 3), np.ones((2, 3)), parameters=parameters
    )
    assert loss == 0 and not gradients["in0"].any()


@pytest.mark.parametrize(
    ("kind", "bottoms", "said"),
    [
        ("EuclideanLoss", [(2, 3), (3, 2)], "one batch size"),
        ("EuclideanLoss", [(2, 3), (2, 4)], "cannot compare"),
        ("EuclideanLoss", [(2, 3), (2, 1)], "cannot compare"),
        ("ContrastiveLoss", [(2, 3), (2, 3), (3,)], "one batch size"),
        ("ContrastiveLoss", [(2, 3), (2, 3), (2, 2)], "one similarity for each of 2 pairs, not 4"),
        ("ContrastiveLoss", [(2, 3), (2, 4), (2,)], "two N×C bottoms"),
        ("ContrastiveLoss", [(2, 3, 2), (2, 3, 2), (2,)], "two N×C bottoms"),
        ("ContrastiveLoss", [(2,), (2,), (2,)], "two N×C bottoms"),
        ("ContrastiveLoss", [(2, 3), (2, 3)], "takes 3"),
        ("SigmoidCrossEntropyLoss", [(2, 3), (2,)], "a target for each score"),
        ("SigmoidCrossEntropyLoss", [(2, 3), (3, 2)], "one batch size"),
    ],
)
def test_bottoms_that_do_not_fit(make_net, kind, bottoms, said):
    with pytest.raises(UserError, match=said) as error:
        layer_net(make_net, kind, *bottoms)
    assert "'l'" in str(error.value)
