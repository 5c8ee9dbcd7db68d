"""Convolution, pooling and LRN against plain loops over Caffe's definitions, on random geometries."""

import itertools
import math

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def build(shape, kind, parameters):
    dims = " ".join(f"dim: {n}" for n in shape)
    return caffe.Net(
        text_format.Parse(
            f"""layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}
            layer {{ name: "l" type: "{kind}" bottom: "data" top: "top" {parameters} }}""",
            pb.NetParameter(),
        ),
        caffe.TEST,
    )


def random(shape, seed=0):
    """Return values far from each other, negative ones too."""
    count = math.prod(shape)
    return (np.random.default_rng(seed).permutation(count).reshape(shape) / count * 4 - 2).astype(np.float32)


def pooled(x, kernel, stride, pad, ceil, average):
    """PoolingLayer::Reshape and Forward_cpu of pooling_layer.cpp, one window after the other."""
    sizes = []
    for length, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        n = (math.ceil if ceil else math.floor)((length + 2 * p - k) / s) + 1
        sizes.append(n - 1 if any(pad) and (n - 1) * s >= length + p else n)
    top = np.zeros((*x.shape[:2], *sizes), np.float64)
    for row, column in itertools.product(*(range(n) for n in sizes)):
        window, area = [], 1
        for at, length, k, s, p in zip((row, column), x.shape[2:], kernel, stride, pad, strict=True):
            start = at * s - p
            end = min(start + k, length + p)
            area *= end - start
            window.append(slice(max(start, 0), min(end, length)))
        values = x[:, :, window[0], window[1]].astype(np.float64)
        top[:, :, row, column] = values.sum((2, 3)) / area if average else values.max((2, 3))
    return top


@st.composite
def geometries(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = tuple(draw(st.integers(1, k)) for k in kernel)  # with a larger one a window can lie outside
    pad = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    size = tuple(draw(st.integers(k, 9)) for k in kernel)
    return size, kernel, stride, pad


@given(geometries(), st.booleans(), st.booleans())
def test_pooling_is_caffes(geometry, ceil, average):
    size, kernel, stride, pad = geometry
    fields = " ".join(
        f"{name}_{axis}: {value}"
        for name, values in (("kernel", kernel), ("stride", stride), ("pad", pad))
        for axis, value in zip("hw", values, strict=True)
    )
    pool, mode = "AVE" if average else "MAX", "CEIL" if ceil else "FLOOR"
    x = random((2, 3, *size))
    net = build(x.shape, "Pooling", f"pooling_param {{ pool: {pool} round_mode: {mode} {fields} }}")
    wanted = pooled(x, kernel, stride, pad, ceil, average)
    assert net.blobs["top"].shape == wanted.shape
    np.testing.assert_allclose(net.forward(data=x)["top"], wanted, atol=1e-6)


@pytest.mark.parametrize(("size", "wanted"), [(55, 27), (27, 13), (13, 6), (56, 28), (4, 2), (3, 1)])
def test_the_ceil_rule_on_the_sizes_of_known_networks(size, wanted):
    # kernel 3, stride 2: CaffeNet's 55 → 27 → 13 → 6; GoogLeNet's 56 → 28, where rounding down would give 27
    net = build((1, 1, size, size), "Pooling", "pooling_param { kernel_size: 3 stride: 2 }")
    assert net.blobs["top"].shape == (1, 1, wanted, wanted)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_global_pooling(pool):
    x = random((2, 3, 5, 4))
    net = build(x.shape, "Pooling", f"pooling_param {{ pool: {pool} global_pooling: true }}")
    wanted = (x.max if pool == "MAX" else x.mean)((2, 3), keepdims=True)
    np.testing.assert_allclose(net.forward(data=x)["top"], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("", r"layer 'l' \(Pooling\) needs kernel_size and stride above 0, or global_pooling"),
        ("kernel_size: 2 stride: 0", "needs kernel_size and stride above 0"),
        ("kernel_h: 2", "needs kernel_size and stride above 0"),
        ("kernel_size: 2 pad: 2", r"needs a pad below its kernel_size: \(2, 2\) and \(2, 2\)"),
        ("kernel_size: 9", r"layer 'l' \(Pooling\): "),
        ("kernel_size: 2 pool: STOCHASTIC", "layer 'l': STOCHASTIC pooling is not available; use MAX or AVE"),
    ],
)
def test_poolings_that_cannot_be(fields, said):
    with pytest.raises(UserError, match=said) as error:
        build((1, 1, 5, 5), "Pooling", f"pooling_param {{ {fields} }}")
    assert "\n" not in str(error.value)


@given(
    group=st.sampled_from([1, 2]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(5, 8), st.integers(5, 8)),
)
def test_convolution_is_the_sum_of_scipys_correlations(group, kernel, stride, pad, dilation, size):
    x = random((2, 4, *size))
    fields = f"""kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]}
      pad_h: {pad[0]} pad_w: {pad[1]} dilation: {dilation[0]} dilation: {dilation[1]} group: {group}"""
    net = build(x.shape, "Convolution", f"convolution_param {{ num_output: 6 {fields} }}")
    weight, bias = (blob.data for blob in net.params["l"])
    assert weight.shape == (6, 4 // group, *kernel)
    weight[...], bias[...] = random(weight.shape, 1), random(bias.shape, 2)
    got = net.forward(data=x)["top"]
    spread = np.zeros((*weight.shape[:2], *((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))))
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    padded = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2)).astype(np.float64)
    for image, output in itertools.product(range(2), range(6)):
        first = output // (6 // group) * (4 // group)
        wanted = bias[output] + sum(
            correlate2d(padded[image, first + k], spread[output, k], "valid") for k in range(4 // group)
        )
        np.testing.assert_allclose(got[image, output], wanted[:: stride[0], :: stride[1]], atol=1e-4)


@pytest.mark.parametrize("fields", ["kernel_size: 3", "kernel_size: 3 kernel_size: 3", "kernel_h: 3 kernel_w: 3"])
def test_the_three_spellings_of_a_kernel(fields):
    net = build((1, 2, 5, 5), "Convolution", f"convolution_param {{ num_output: 1 {fields} bias_term: false }}")
    assert [blob.shape for blob in net.params["l"]] == [(1, 2, 3, 3)]


@pytest.mark.parametrize(
    ("shape", "fields", "said"),
    [
        (
            (1, 2, 5, 5),
            "kernel_size: 3",
            r"\(Convolution\) needs num_output, kernel_size, stride, dilation and group above 0",
        ),
        ((1, 2, 5, 5), "num_output: 2", "needs num_output, kernel_size, stride, dilation and group above 0"),
        (
            (1, 2, 5, 5),
            "num_output: 2 kernel_size: 3 stride: 0",
            "needs num_output, kernel_size, stride, dilation and group above 0",
        ),
        (
            (1, 2, 5, 5),
            "num_output: 2 kernel_h: 3",
            "needs num_output, kernel_size, stride, dilation and group above 0",
        ),
        ((1, 2, 5, 5), "num_output: 2 kernel_size: 3 kernel_h: 3", "gives kernel_size and kernel_h/kernel_w; keep"),
        ((1, 2, 5, 5), "num_output: 2 kernel_size: [3, 3, 3]", "gives kernel_size 3 times"),
        ((1, 2, 5, 5), "num_output: 3 kernel_size: 3 group: 2", "2 inputs and 3 outputs do not divide by group 2"),
        ((1, 3, 5, 5), "num_output: 2 kernel_size: 3 group: 2", "3 inputs and 2 outputs do not divide by group 2"),
        ((1, 2, 5, 5), "num_output: 2 kernel_size: 3 group: 0", "dilation and group above 0"),
        ((1, 2, 5, 5), "num_output: 2 kernel_size: 6", r"layer 'l' \(Convolution\): .*[Kk]ernel size"),
        ((1, 2, 5, 5), "num_output: 2 kernel_size: 3 dilation: 3", r"layer 'l' \(Convolution\): .*[Kk]ernel size"),
        ((1, 2, 5, 5), "num_output: 2 kernel_size: 3 dilation: 0", "dilation and group above 0"),
        ((1, 2, 5, 5), "num_output: 2 kernel_size: 3 dilation: [1, 1, 1]", "gives dilation 3 times"),
        ((1, 2, 5), "num_output: 2 kernel_size: 3", r"takes N×C×H×W and axis 1, not \(1, 2, 5\) and 1"),
        ((1, 2, 5, 5), "num_output: 2 kernel_size: 3 axis: 2", "and axis 1, not"),
    ],
)
def test_convolutions_that_cannot_be(shape, fields, said):
    with pytest.raises(UserError, match=said) as error:
        build(shape, "Convolution", f"convolution_param {{ {fields} }}")
    assert "'l'" in str(error.value) and "\n" not in str(error.value)


@given(st.sampled_from([1, 3, 5, 7]), st.sampled_from([0.5, 0.75, 1.0]), st.sampled_from([1.0, 2.0]), st.integers(1, 6))
def test_lrn_across_channels(size, beta, k, channels):
    # lrn_layer.cpp: scale = k + α / size · Σ x² over the neighbours that exist; y = x · scale^−β
    x = random((2, channels, 2, 3)) * 5
    net = build(x.shape, "LRN", f"lrn_param {{ local_size: {size} alpha: 0.3 beta: {beta} k: {k} }}")
    padded = np.pad(x.astype(np.float64) ** 2, ((0, 0), (size // 2,) * 2, (0, 0), (0, 0)))
    sums = sum(padded[:, i : i + channels] for i in range(size))
    np.testing.assert_allclose(net.forward(data=x)["top"], x * (k + 0.3 / size * sums) ** -beta, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_lrn_within_channels(size):
    # the squares are averaged over the full window, the border's zeros included, and k is 1 (lrn_layer.cpp: a Power
    # layer of shift 1 on an average pooling)
    x = random((2, 3, 6, 5)) * 5
    net = build(
        x.shape, "LRN", f"lrn_param {{ local_size: {size} alpha: 0.3 beta: 0.6 k: 9 norm_region: WITHIN_CHANNEL }}"
    )
    box = np.ones((size, size)) / size**2
    means = np.array([[correlate2d(plane**2, box, "same") for plane in image] for image in x.astype(np.float64)])
    np.testing.assert_allclose(net.forward(data=x)["top"], x * (1 + 0.3 * means) ** -0.6, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [0, 2, 4])
def test_lrn_needs_an_odd_size(size):
    with pytest.raises(UserError, match=rf"layer 'l' \(LRN\) needs an odd local_size, not {size}"):
        build((1, 2, 3, 3), "LRN", f"lrn_param {{ local_size: {size} }}")
