"""The gradients of shape, window and recurrent layers against finite differences of their own forward passes."""

import numpy as np
import pytest

from pydeepexpr import caffe
from tests.caffe.gradient_checker import check_gradients, layer_net, spaced

RECURRENT = "recurrent_param { num_output: 3 }"
#: Of two sequences a second one begins in the middle; all begin anew, whatever the forward before left.
CONT = [[0, 0], [1, 1], [1, 0], [1, 1]]
#: As CONT, but one goes on from the state that is given.
GOING_ON = [[0, 1], *CONT[1:]]
STATE = (1, 2, 3)


def exposed(*states):
    """Return the parameters with the states at the end, which have no gradient, silenced."""
    silence = " ".join(f'bottom: "{state}"' for state in states)
    return f'recurrent_param {{ num_output: 3 expose_hidden: true }} }} layer {{ name: "s" type: "Silence" {silence}'


#: Layer type → cases: each bottom's shape, or its values, the layer's own parameters, and the number of tops.
CASES = {
    "BatchReindex": [([(3, 2, 2), [2, 0, 2, 2]], "", 1), ([(3,), [1, 1]], "", 1)],
    "Concat": [
        ([(2, 3), (2, 1), (2, 2)], "", 1),
        ([(1, 2, 2), (3, 2, 2)], "concat_param { concat_dim: 0 }", 1),
        ([(2, 3, 1), (2, 3, 2)], "concat_param { axis: -1 }", 1),
        ([(2, 3)], "", 1),
    ],
    "Convolution": [
        ([(2, 4, 4, 4)], "convolution_param { num_output: 2 kernel_size: 3 stride: 2 pad: 1 group: 2 }", 1),
        ([(1, 2, 5, 4)], "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 2 dilation: 2 bias_term: false }", 1),
        ([(2, 3)], "convolution_param { num_output: 4 kernel_size: 1 }", 1),
        ([(2, 2, 6)], "convolution_param { num_output: 2 kernel_size: 3 stride: 2 pad: 1 }", 1),
        ([(1, 2, 3, 4, 3)], "convolution_param { num_output: 2 kernel_size: [2, 3, 1] pad: [1, 0, 1] }", 1),
        ([(1, 2, 2, 3, 2, 3)], "convolution_param { num_output: 4 group: 2 kernel_size: 2 stride: [1, 2, 1, 1] }", 1),
        ([(2, 2, 2, 4)], "convolution_param { num_output: 3 kernel_size: 2 axis: 2 }", 1),
        ([(2, 2, 3, 3), (2, 2, 3, 3)], "convolution_param { num_output: 2 kernel_size: 2 }", 2),
    ],
    "Crop": [
        ([(1, 2, 4, 5), (1, 2, 2, 3)], "crop_param { offset: 1 offset: 2 }", 1),
        ([(2, 3, 2), (1, 2, 2)], "crop_param { axis: 0 offset: [1, 0, 0] }", 1),
    ],
    "Deconvolution": [
        ([(2, 4, 3, 2)], "convolution_param { num_output: 2 kernel_size: 3 stride: 2 pad: 1 group: 2 }", 1),
        ([(1, 2, 3, 3)], "convolution_param { num_output: 3 kernel_size: 2 dilation: 2 bias_term: false }", 1),
        ([(2, 3)], "convolution_param { num_output: 4 kernel_size: 1 }", 1),
        ([(2, 2, 3)], "convolution_param { num_output: 2 kernel_size: 4 stride: 2 pad: 1 }", 1),
        ([(1, 2, 2, 2, 3)], "convolution_param { num_output: 2 kernel_size: [2, 1, 2] stride: [1, 2, 1] }", 1),
        ([(1, 2, 2, 1, 2, 2)], "convolution_param { num_output: 4 group: 2 kernel_size: 2 pad: [0, 0, 1, 0] }", 1),
        ([(2, 2, 2, 2), (2, 2, 2, 2)], "convolution_param { num_output: 2 kernel_size: 2 }", 2),
    ],
    "Embed": [
        ([[[1, 0, 4], [1, 1, 2]]], "embed_param { input_dim: 5 num_output: 3 }", 1),
        ([[3, 3, 0]], "embed_param { input_dim: 4 num_output: 2 bias_term: false }", 1),
    ],
    "Filter": [
        ([(4, 2, 2), [1, 0, 0, 1]], "", 1),
        ([(3, 2), (3, 1, 2), [[1], [0], [-0.5]]], "", 2),
    ],
    "Flatten": [([(2, 3, 2)], "", 1), ([(2, 3, 2, 2)], "flatten_param { axis: 0 end_axis: -2 }", 1)],
    "Im2col": [
        ([(2, 2, 4, 5)], "convolution_param { kernel_size: 3 stride: 2 pad: 1 }", 1),
        ([(1, 2, 5)], "convolution_param { kernel_size: 2 dilation: 3 }", 1),
        ([(1, 2, 3, 2, 3)], "convolution_param { kernel_size: [2, 1, 3] }", 1),
    ],
    "LRN": [
        ([(2, 5, 2, 2)], "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 }", 1),
        ([(2, 5, 2, 2)], "lrn_param { local_size: 5 alpha: 2 beta: 0.75 k: 2 }", 1),
        ([(1, 2, 4, 4)], "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 norm_region: WITHIN_CHANNEL }", 1),
        ([(1, 1, 2, 5)], "lrn_param { local_size: 5 alpha: 2 norm_region: WITHIN_CHANNEL }", 1),
    ],
    "LSTM": [
        ([(4, 2, 3), CONT], RECURRENT, 1),
        ([(4, 2, 2, 2), CONT, (2, 2)], RECURRENT, 1),
        ([(4, 2, 3), GOING_ON, STATE, STATE], exposed("top1", "top2"), 3),
        ([(4, 2, 3), GOING_ON, (2, 1, 2), STATE, STATE], exposed("top1", "top2"), 3),
    ],
    "LSTMUnit": [([(1, 3, 2), (1, 3, 8), [[0, 1, 1]]], "", 2)],
    "Parameter": [([], "parameter_param { shape { dim: 2 dim: 3 } }", 1)],
    "Pooling": [
        ([(1, 2, 5, 5)], "pooling_param { kernel_size: 3 stride: 2 pad: 1 }", 1),
        ([(1, 2, 6, 6)], "pooling_param { kernel_size: 3 stride: 2 }", 1),
        ([(1, 2, 5, 6)], "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 2 }", 1),
        ([(1, 2, 4, 3)], "pooling_param { pool: AVE global_pooling: true }", 1),
        ([(1, 2, 4, 5)], "pooling_param { kernel_size: 3 pad: 2 stride: 3 round_mode: FLOOR }", 1),
        ([(1, 2, 5, 5)], "pooling_param { pool: AVE kernel_size: 1 stride: 3 }", 1),  # a window outside
        ([(1, 2, 4, 3)], "pooling_param { global_pooling: true }", 1),
        ([(1, 2, 5, 4)], "pooling_param { kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1 }", 1),
    ],
    "RNN": [
        ([(4, 2, 3), CONT], RECURRENT, 1),
        ([(4, 2, 2, 2), CONT, (2, 2)], RECURRENT, 1),
        ([(4, 2, 3), GOING_ON, STATE], exposed("top1"), 2),
    ],
    "Reduction": [
        ([(2, 3, 2)], f"reduction_param {{ operation: {operation} axis: {axis} coeff: -1.5 }}", 1)
        for operation, axis in [("SUM", 0), ("ASUM", 1), ("SUMSQ", 2), ("MEAN", -1), ("MEAN", 0)]
    ],
    "Reshape": [
        ([(2, 3, 2)], "reshape_param { shape { dim: 0 dim: -1 } }", 1),
        ([(2, 3, 2)], "reshape_param { axis: -1 num_axes: 0 shape { dim: 1 } }", 1),
    ],
    "SPP": [
        ([(1, 2, 4, 6)], "spp_param { pyramid_height: 2 }", 1),
        ([(1, 1, 7, 6)], "spp_param { pyramid_height: 3 pool: AVE }", 1),
        ([(1, 2, 3, 3)], "spp_param { pyramid_height: 1 }", 1),
    ],
    "Slice": [
        ([(2, 4)], "", 2),
        ([(2, 5, 2)], "slice_param { slice_point: 1 slice_point: 3 }", 3),
        ([(3, 2)], "slice_param { slice_dim: 0 }", 1),
    ],
    "Tile": [([(2, 3)], "tile_param { tiles: 2 }", 1), ([(1, 2, 2)], "tile_param { axis: 0 tiles: 3 }", 1)],
}


@pytest.mark.parametrize(
    ("kind", "bottoms", "parameters", "tops"),
    [pytest.param(kind, *case, id=f"{kind}-{k}") for kind, cases in CASES.items() for k, case in enumerate(cases)],
)
def test_gradients_equal_finite_differences(make_net, kind, bottoms, parameters, tops):
    check_gradients(make_net, kind, *bottoms, parameters=parameters, tops=tops)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_stochastic_pooling(make_net, phase):
    # all far from 0, where the picks' thresholds lie between the same values after a small step
    values = 1 + 0.1 * spaced((2, 2, 4, 5))
    parameters = "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"
    check_gradients(make_net, "Pooling", values, parameters=parameters, phase=phase)


@pytest.mark.parametrize(
    ("kind", "bottoms", "parameters", "tops"),
    [pytest.param(kind, *cases[0], id=kind) for kind, cases in CASES.items()],
)
def test_bf16_stays_near_float32(make_net, kind, bottoms, parameters, tops):
    # bf16 keeps 8 binary digits
    results = []
    for precision in ("fp32", "bf16"):
        caffe.set_precision(precision)
        net = layer_net(make_net, kind, *bottoms, parameters=parameters, tops=tops, phase=caffe.TRAIN)
        for k, blob in enumerate(net.params.get("l", ())):
            blob.data[...] = spaced(blob.shape, 90 + k)
        net.forward()
        net.backward(**{name: spaced(net.blobs[name].shape, 7) for name in net.outputs})
        of_parameters = [blob.diff for blob in net.params.get("l", ())]
        results.append(
            [*(blob.data for blob in net.blobs.values()), *(net.blobs[n].diff for n in net.inputs), *of_parameters]
        )
    for exact, coarse in zip(*results, strict=True):
        np.testing.assert_allclose(coarse, exact, atol=0.03 * max(1, np.abs(exact).max(initial=0)))
