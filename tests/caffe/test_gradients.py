"""Every differentiable layer type against finite differences of its own forward pass."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from pydeepexpr import caffe
from tests.caffe.gradient_checker import check_gradients, spaced

RNG = np.random.default_rng(1)
LABELS_4 = [0, 2, 1, 2]
GRID = [[0, 1], [2, 1]]  # labels of 2 maps of 2 places
WIDE = 1.7 * spaced((4, 3))  # no value is at a hinge's kink, 1 or −1
POSITIVE = 0.6 + 0.4 * spaced((4, 3))
SIMILAR = [1, 0, 0, 1, 0]
TARGETS = RNG.uniform(size=(3, 4))
GAINS = RNG.uniform(-1, 1, size=(1, 1, 3, 3))

#: Layer type → cases: each bottom's shape, or its values, and the layer's own parameters. The types that
#: convolve, move or cut values have theirs in the file beside this one.
CASES = {
    "AbsVal": [([(4, 5)], ""), ([(2, 3, 1, 2)], "")],
    "BNLL": [([(4, 5)], ""), ([40 * spaced((2, 3, 2))], "")],
    "BatchNorm": [
        ([(4, 3)], ""),
        ([(3, 2, 2, 3)], "batch_norm_param { eps: 0.1 }"),
        ([(2, 3, 4)], "batch_norm_param { use_global_stats: true eps: 0.5 }"),
        ([(7,)], ""),
    ],
    "Bias": [
        ([(3, 4)], ""),
        ([(2, 3, 2, 2)], "bias_param { axis: 0 num_axes: 2 }"),
        ([(2, 3, 2)], "bias_param { axis: -2 num_axes: -1 }"),
        ([(2, 3)], "bias_param { num_axes: 0 }"),
        ([(2, 3, 2), (3,)], ""),
        ([(2, 3, 2), (2, 3)], "bias_param { axis: 0 }"),
        ([(2, 3), ()], ""),
    ],
    "Clip": [
        ([(4, 5)], "clip_param { min: -0.5 max: 0.4 }"),
        ([(2, 3, 2)], "clip_param { min: 0.1 max: 9 }"),
    ],
    "ContrastiveLoss": [
        ([(5, 3), (5, 3), SIMILAR], "contrastive_loss_param { margin: 2.5 }"),
        ([(5, 3, 1, 1), (5, 3, 1, 1), SIMILAR], "loss_weight: 2"),
        ([(5, 3), (5, 3), SIMILAR], "contrastive_loss_param { margin: 3 legacy_version: true }"),
    ],
    "Dropout": [([(4, 5)], "dropout_param { dropout_ratio: 0.4 }")],
    "ELU": [([(4, 5)], ""), ([(2, 3, 2)], "elu_param { alpha: 0.3 }")],
    "Eltwise": [
        ([(3, 4), (3, 4)], ""),
        ([(2, 3, 2), (2, 3, 2), (2, 3, 2)], "eltwise_param { coeff: 2 coeff: -1 coeff: 0.5 }"),
        ([(3, 4), (3, 4)], "eltwise_param { operation: PROD }"),
        ([(3, 2), (3, 2), (3, 2)], "eltwise_param { operation: PROD stable_prod_grad: false }"),
        ([(3, 4), spaced((3, 4), 5) + 0.02, spaced((3, 4), 6) - 0.02], "eltwise_param { operation: MAX }"),
    ],
    "EuclideanLoss": [([(3, 4), (3, 4)], ""), ([(2, 3, 2), (2, 6)], "loss_weight: 3")],
    "Exp": [
        ([(3, 4)], ""),
        ([(3, 4)], "exp_param { base: 2 scale: 1.5 shift: 0.5 }"),
        ([(2, 3, 2)], "exp_param { base: 0.5 scale: -2 }"),
    ],
    "HingeLoss": [
        ([WIDE, LABELS_4], ""),
        ([WIDE, LABELS_4], "hinge_loss_param { norm: L2 }"),
        ([WIDE.reshape(2, 6), [5, 3]], "loss_weight: 2 hinge_loss_param { norm: L1 }"),
    ],
    "InfogainLoss": [
        ([(4, 3), LABELS_4, GAINS], ""),
        ([(2, 3, 2), GRID, GAINS], "loss_weight: 2 loss_param { ignore_label: 1 }"),
        ([(2, 2, 3), GRID, GAINS], "infogain_loss_param { axis: -1 } loss_param { normalization: NONE }"),
    ],
    "InnerProduct": [
        ([(3, 2, 2)], "inner_product_param { num_output: 4 }"),
        ([(3, 2, 4)], "inner_product_param { num_output: 2 axis: 2 transpose: true }"),
    ],
    "Log": [
        ([POSITIVE], ""),
        ([(3, 4)], "log_param { base: 10 scale: -2 shift: 3 }"),
        ([(2, 3, 2)], "log_param { base: 0.5 shift: 1.5 }"),
    ],
    "MVN": [
        ([(2, 3, 2, 3)], ""),
        ([(2, 3, 2, 2)], "mvn_param { across_channels: true eps: 1e-5 }"),
        ([(2, 3, 4)], "mvn_param { normalize_variance: false }"),
        ([(2, 5)], "mvn_param { normalize_variance: false across_channels: true }"),
    ],
    "MultinomialLogisticLoss": [([POSITIVE, LABELS_4], ""), ([POSITIVE.reshape(2, 6, 1, 1), [5, 0]], "loss_weight: 2")],
    "PReLU": [
        ([(4, 5)], ""),
        ([(2, 3, 2, 2)], ""),
        ([(2, 3, 2)], "prelu_param { channel_shared: true filler { value: 0.1 } }"),
    ],
    "Power": [
        ([(3, 4)], ""),
        ([(3, 4)], "power_param { scale: -2 shift: 0.5 }"),
        ([(3, 4)], "power_param { power: 2 scale: 0.5 shift: -1 }"),
        ([(2, 3, 2)], "power_param { power: 3 }"),
        ([(2, 3, 2)], "power_param { power: -0.5 shift: 2 }"),
    ],
    "ReLU": [([(4, 5)], ""), ([(4, 5)], "relu_param { negative_slope: 0.2 }")],
    "Scale": [
        ([(3, 4)], ""),
        ([(2, 3, 2, 2)], "scale_param { bias_term: true }"),
        ([(2, 3, 2, 2)], "scale_param { axis: 0 num_axes: 2 bias_term: true }"),
        ([(2, 3, 2)], "scale_param { axis: -2 num_axes: -1 }"),
        ([(2, 3)], "scale_param { num_axes: 0 bias_term: true }"),
        ([(2, 3, 2), (3,)], ""),
        ([(2, 3, 2), (2, 3)], "scale_param { axis: 0 bias_term: true }"),
        ([(2, 3), ()], ""),
    ],
    "Sigmoid": [([(4, 5)], ""), ([5 * spaced((2, 3, 2))], "")],
    "SigmoidCrossEntropyLoss": [
        ([(3, 4), TARGETS], ""),
        ([(3, 4), TARGETS.round()], "loss_param { ignore_label: 1 normalization: VALID }"),
        ([4 * spaced((3, 2, 2)), TARGETS.reshape(3, 2, 2)], "loss_weight: 2 loss_param { normalization: FULL }"),
    ],
    "Softmax": [([(3, 4)], ""), ([(2, 3, 4)], "softmax_param { axis: -1 }")],
    "SoftmaxWithLoss": [
        ([(4, 3), LABELS_4], ""),
        ([(2, 3, 2), GRID], "loss_weight: 2 loss_param { ignore_label: 1 normalization: NONE }"),
        ([(2, 2, 3), GRID], "softmax_param { axis: -1 } loss_param { normalization: BATCH_SIZE }"),
    ],
    "Split": [([(3, 4)], 'top: "second"')],
    "Swish": [([(4, 5)], ""), ([(2, 3, 2)], "swish_param { beta: 2.5 }")],
    "TanH": [([(4, 5)], ""), ([2 * spaced((2, 3, 2))], "")],
}
#: Data, measurements and steps; and Python, whose gradient is the user's.
WITHOUT_GRADIENT = {
    *("Accuracy", "ArgMax", "Data", "DummyData", "HDF5Data", "HDF5Output", "ImageData", "Input", "MemoryData"),
    *("Python", "Silence", "Threshold", "WindowData"),
}


@pytest.mark.parametrize(
    ("kind", "bottoms", "parameters"),
    [pytest.param(kind, *case, id=f"{kind}-{k}") for kind, cases in CASES.items() for k, case in enumerate(cases)],
)
def test_gradients_equal_finite_differences(make_net, kind, bottoms, parameters):
    check_gradients(make_net, kind, *bottoms, parameters=parameters)


def test_batch_norm_with_the_statistics_of_a_batch_when_testing(make_net):
    check_gradients(
        make_net, "BatchNorm", (3, 2, 4), parameters="batch_norm_param { use_global_stats: false }", phase=caffe.TEST
    )


def test_every_layer_type_is_checked_somewhere():
    files = Path(__file__).parent.glob("test_gradients*.py")
    checked = set().union(*(import_module(f"tests.caffe.{file.stem}").CASES for file in files))
    assert set(caffe.layer_type_list()) == checked | (WITHOUT_GRADIENT & set(caffe.layer_type_list()))
