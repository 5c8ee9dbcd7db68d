"""Every differentiable layer type against finite differences of its own forward pass."""

import math

import numpy as np
import pytest
import torch

from pydeepexpr import caffe

STEP = 2e-3
NEIGHBOURS = "local_size: 3 alpha: 0.5 beta: 0.6"

#: Layer type → cases: the bottoms' shapes and the layer's own parameters. Labels follow the scores' axis 1.
CASES = {
    "Convolution": [
        ([(2, 4, 4, 4)], "convolution_param { num_output: 2 kernel_size: 3 stride: 2 pad: 1 group: 2 }"),
        ([(1, 2, 5, 4)], "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 2 dilation: 2 bias_term: false }"),
    ],
    "Dropout": [([(4, 5)], "dropout_param { dropout_ratio: 0.4 }")],
    "InnerProduct": [
        ([(3, 2, 2)], "inner_product_param { num_output: 4 }"),
        ([(3, 2, 4)], "inner_product_param { num_output: 2 axis: 2 transpose: true }"),
    ],
    "LRN": [
        ([(2, 5, 2, 2)], f"lrn_param {{ {NEIGHBOURS} }}"),
        ([(2, 5, 2, 2)], "lrn_param { local_size: 5 alpha: 2 beta: 0.75 k: 2 }"),
        ([(1, 2, 4, 4)], f"lrn_param {{ {NEIGHBOURS} norm_region: WITHIN_CHANNEL }}"),
    ],
    "Pooling": [
        ([(1, 2, 5, 5)], "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
        ([(1, 2, 6, 6)], "pooling_param { kernel_size: 3 stride: 2 }"),
        ([(1, 2, 5, 6)], "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 2 }"),
        ([(1, 2, 4, 3)], "pooling_param { pool: AVE global_pooling: true }"),
    ],
    "ReLU": [([(4, 5)], ""), ([(4, 5)], "relu_param { negative_slope: 0.2 }")],
    "Softmax": [([(3, 4)], ""), ([(2, 3, 4)], "softmax_param { axis: -1 }")],
    "SoftmaxWithLoss": [
        ([(4, 3), (4,)], ""),
        ([(2, 3, 2), (2, 2)], "loss_weight: 2 loss_param { ignore_label: 1 normalization: NONE }"),
    ],
    "Split": [([(3, 4)], 'top: "second"')],
}
WITHOUT_GRADIENT = {"Accuracy", "Data", "DummyData", "Input", "Silence"}


def build(make_net, kind, shapes, parameters):
    text = "force_backward: true\n"
    for k, shape in enumerate(shapes):
        dims = " ".join(f"dim: {n}" for n in shape)
        text += f'layer {{ name: "in{k}" type: "Input" top: "in{k}" input_param {{ shape {{ {dims} }} }} }}\n'
    bottoms = " ".join(f'bottom: "in{k}"' for k in range(len(shapes)))
    return make_net(text + f'layer {{ name: "l" type: "{kind}" {bottoms} top: "top" {parameters} }}', caffe.TRAIN)


def spaced(shape, seed):
    """Return values between −1 and 1 so far apart, and from 0, that a step changes no order among them."""
    count = math.prod(shape)
    return (
        np.random.default_rng(seed)
        .permutation(np.linspace(-1, 1, 2 * count)[::2].reshape(shape).ravel())
        .reshape(shape)
    )


@pytest.mark.parametrize("kind", sorted(caffe.layer_type_list()))
def test_gradients_equal_finite_differences(make_net, kind):
    if kind in WITHOUT_GRADIENT:
        assert kind not in CASES
        return
    for shapes, parameters in CASES[kind]:
        net = build(make_net, kind, shapes, parameters)
        checked = [net.blobs["in0"], *net.params.get("l", ())]
        for seed, blob in enumerate(checked):
            blob.data[...] = spaced(blob.shape, seed)
        if len(shapes) > 1:
            net.blobs["in1"].data[...] = np.arange(math.prod(shapes[1])).reshape(shapes[1]) % shapes[0][1]

        rng = np.random.default_rng(9)
        tops = {}
        if not net.layer_dict["l"].is_loss:
            tops = {name: rng.normal(size=net.blobs[name].shape) for name in net.outputs}

        def objective(net=net, tops=tops):
            torch.manual_seed(3)  # dropout's mask
            loss = net.forward_range(0, len(net.layers) - 1)
            return loss + sum((net.blobs[name].data * weights).sum(dtype=np.float64) for name, weights in tops.items())

        objective()
        net.backward(**tops)
        for blob in checked:
            numeric = np.zeros(blob.shape)
            for at in np.ndindex(blob.shape):
                kept = blob.data[at]
                blob.data[at] = kept + STEP
                above = objective()
                blob.data[at] = kept - STEP
                numeric[at] = (above - objective()) / (2 * STEP)
                blob.data[at] = kept
            assert np.abs(numeric).max() > 0.01
            np.testing.assert_allclose(
                blob.diff, numeric, atol=3e-3 * max(1, np.abs(numeric).max()), err_msg=parameters
            )
