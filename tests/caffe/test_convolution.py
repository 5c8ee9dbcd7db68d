"""Convolution, Deconvolution and Im2col over any number of axes, against their definitions written as plain loops."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import spaced
from tests.caffe.one_layer import one_layer, run


def fields(kernel, stride, pad, dilation):
    names = zip(("kernel_size", "stride", "pad", "dilation"), (kernel, stride, pad, dilation), strict=True)
    return " ".join(f"{name}: {value}" for name, values in names for value in values)


def at(inside, places, stride, dilation):
    """Return where the windows at all places have the element `inside` the kernel, as slices."""
    starts = [i * d for i, d in zip(inside, dilation, strict=True)]
    return tuple(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, places, stride, strict=True))


def loop_columns(x, kernel, stride, pad, dilation):
    """Return N×C×kernel…×places…: im2col's values, one element of the kernel after the other."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    places = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
    columns = np.zeros((*x.shape[:2], *kernel, *places))
    for inside in itertools.product(*map(range, kernel)):
        columns[(slice(None), slice(None), *inside)] = x[(..., *at(inside, places, stride, dilation))]
    return columns


def loop_convolution(x, weight, group, *window):
    axes = weight.ndim - 2
    columns = loop_columns(x, weight.shape[2:], *window)
    inputs, outputs = weight.shape[1], len(weight) // group
    tops = []
    for output in range(len(weight)):
        first = output // outputs * inputs
        of_group = columns[:, first : first + inputs]
        tops.append(np.tensordot(of_group, weight[output], (range(1, 2 + axes), range(1 + axes))))
    return np.stack(tops, 1)


def loop_deconvolution(x, weight, group, stride, pad, dilation):
    """Add, for each channel of the bottom, the kernels times its values to the top at their places."""
    kernel, outputs = weight.shape[2:], weight.shape[1]
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(x.shape[2:], stride, kernel, dilation, strict=True)]
    top = np.zeros((len(x), outputs * group, *full))
    for channel, inside in itertools.product(range(x.shape[1]), itertools.product(*map(range, kernel))):
        places = at(inside, x.shape[2:], stride, dilation)
        for output in range(outputs):
            to = channel // (x.shape[1] // group) * outputs + output
            top[(slice(None), to, *places)] += x[:, channel] * weight[(channel, output, *inside)]
    return top[(..., *(slice(p, size - p) for p, size in zip(pad, full, strict=True)))]


@st.composite
def geometries(draw, most_axes=4):
    axes = draw(st.integers(0, most_axes))

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel, stride, dilation = sizes(1, 3 if axes < 3 else 2), sizes(1, 3), sizes(1, 2)
    pad = tuple(draw(st.integers(0, (k - 1) * d // 2)) for k, d in zip(kernel, dilation, strict=True))
    size = tuple((k - 1) * d + 1 + draw(st.integers(0, 3)) for k, d in zip(kernel, dilation, strict=True))
    return size, kernel, stride, pad, dilation


@given(geometries(), st.sampled_from([1, 2]), st.booleans())
def test_convolution_over_any_number_of_axes(geometry, group, bias_term):
    size, *window = geometry
    x = spaced((2, 4, *size))
    parameters = f"num_output: 6 group: {group} bias_term: {str(bias_term).lower()} {fields(*window)}"
    net = one_layer("Convolution", x.shape, parameters=f"convolution_param {{ {parameters} }}")
    weight, *biases = (blob.data for blob in net.params["l"])
    assert weight.shape == (6, 4 // group, *window[0])
    weight[...] = spaced(weight.shape, 1)
    wanted = loop_convolution(x, weight, group, *window[1:])
    for bias in biases:
        bias[...] = spaced((6,), 2)
        wanted += bias.reshape(-1, *[1] * len(size))
    assert len(biases) == bias_term and net.blobs["top0"].shape == wanted.shape
    np.testing.assert_allclose(run(net, x)[0], wanted, atol=1e-4)


@given(geometries(), st.sampled_from([1, 2]), st.booleans())
def test_deconvolution_over_any_number_of_axes(geometry, group, bias_term):
    size, *window = geometry
    x = spaced((2, 4, *size))
    parameters = f"num_output: 6 group: {group} bias_term: {str(bias_term).lower()} {fields(*window)}"
    net = one_layer("Deconvolution", x.shape, parameters=f"convolution_param {{ {parameters} }}")
    weight, *biases = (blob.data for blob in net.params["l"])
    assert weight.shape == (4, 6 // group, *window[0])
    weight[...] = spaced(weight.shape, 1)
    wanted = loop_deconvolution(x, weight, group, *window[1:])
    for bias in biases:
        bias[...] = spaced((6,), 2)
        wanted += bias.reshape(-1, *[1] * len(size))
    assert len(biases) == bias_term and net.blobs["top0"].shape == wanted.shape
    np.testing.assert_allclose(run(net, x)[0], wanted, atol=1e-4)


@given(geometries())
def test_im2col_over_any_number_of_axes(geometry):
    size, *window = geometry
    x = spaced((2, 3, *size))
    net = one_layer("Im2col", x.shape, parameters=f"convolution_param {{ {fields(*window)} }}")
    wanted = loop_columns(x, *window)
    wanted = wanted.reshape(2, 3 * math.prod(window[0]), *wanted.shape[2 + len(size) :])
    assert net.blobs["top0"].shape == wanted.shape
    np.testing.assert_array_equal(run(net, x)[0], wanted.astype(np.float32))


@given(
    group=st.sampled_from([1, 2]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(5, 8), st.integers(5, 8)),
)
def test_convolution_is_the_sum_of_scipys_correlations(group, kernel, stride, pad, dilation, size):
    x = spaced((2, 4, *size))
    sides = f"""kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]}
      pad_h: {pad[0]} pad_w: {pad[1]} dilation: {dilation[0]} dilation: {dilation[1]} group: {group}"""
    net = one_layer("Convolution", x.shape, parameters=f"convolution_param {{ num_output: 6 {sides} }}")
    weight, bias = (blob.data for blob in net.params["l"])
    weight[...], bias[...] = spaced(weight.shape, 1), spaced(bias.shape, 2)
    (got,) = run(net, x)
    spread = np.zeros((*weight.shape[:2], *((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))))
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    padded = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2)).astype(np.float64)
    for image, output in itertools.product(range(2), range(6)):
        first = output // (6 // group) * (4 // group)
        wanted = bias[output] + sum(
            correlate2d(padded[image, first + k], spread[output, k], "valid") for k in range(4 // group)
        )
        np.testing.assert_allclose(got[image, output], wanted[:: stride[0], :: stride[1]], atol=1e-4)


# How the window may be told


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("told", ["kernel_size: 3", "kernel_size: 3 kernel_size: 3", "kernel_h: 3 kernel_w: 3"])
def test_the_three_spellings_of_a_kernel(kind, told):
    net = one_layer(kind, (1, 2, 5, 5), parameters=f"convolution_param {{ num_output: 2 {told} bias_term: false }}")
    assert [blob.shape for blob in net.params["l"]] == [(2, 2, 3, 3)]


def test_sizes_by_axis_are_height_first():
    told = "kernel_size: [1, 3] stride: [1, 2] pad: [0, 1] dilation: [1, 2]"
    net = one_layer("Convolution", (1, 1, 4, 9), parameters=f"convolution_param {{ num_output: 1 {told} }}")
    assert net.params["l"][0].shape == (1, 1, 1, 3)
    assert net.blobs["top0"].shape == (1, 1, 4, (9 + 2 - 5) // 2 + 1)


def test_pad_and_stride_of_one_side_alone():
    # the other pad is 0, as its default says
    net = one_layer(
        "Convolution", (1, 1, 4, 4), parameters="convolution_param { num_output: 1 kernel_size: 3 pad_h: 1 }"
    )
    assert net.blobs["top0"].shape == (1, 1, 4, 2)


@pytest.mark.parametrize("told", ["", "engine: DEFAULT", "engine: CAFFE", "engine: CUDNN", "force_nd_im2col: true"])
def test_engines_and_ways_to_compute_give_the_same(told):
    x = spaced((2, 2, 5, 6))
    net = one_layer("Convolution", x.shape, parameters=f"convolution_param {{ num_output: 3 kernel_size: 3 {told} }}")
    weight = net.params["l"][0].data
    weight[...] = spaced(weight.shape, 1)
    np.testing.assert_allclose(run(net, x)[0], loop_convolution(x, weight, 1, (1, 1), (0, 0), (1, 1)), atol=1e-4)


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution", "Im2col"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((2, 3, 2, 5, 4), 2), ((2, 3, 2, 5, 4), -3), ((2, 5, 4), 0), ((3, 2, 6), 1)]
)
def test_axes_before_the_channels_are_the_batch(kind, shape, axis):
    # base_conv_layer.cpp: all axes before the channels together count as the batch
    x = spaced(shape)
    told = "kernel_size: 2" + (" num_output: 4" if kind != "Im2col" else "")
    channels = axis % len(shape)
    folded = x.reshape(-1, *shape[channels:])
    net = one_layer(kind, shape, parameters=f"convolution_param {{ {told} axis: {axis} }}")
    plain = one_layer(kind, folded.shape, parameters=f"convolution_param {{ {told} }}")
    for blob, other in zip(net.params.get("l", ()), plain.params.get("l", ()), strict=True):
        blob.data[...] = other.data[...] = spaced(blob.shape, 1)
    (got,), (wanted,) = run(net, x), run(plain, folded)
    assert got.shape == (*shape[:channels], *wanted.shape[1:])
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_several_bottoms_go_through_the_same_weights(kind):
    a, b = spaced((1, 2, 4, 4)), spaced((1, 2, 4, 4), 1)
    told = "convolution_param { num_output: 3 kernel_size: 3 bias_term: false }"
    net = one_layer(kind, a.shape, b.shape, parameters=told, tops=2)
    assert len(net.params["l"]) == 1
    weight = net.params["l"][0].data
    weight[...] = spaced(weight.shape, 2)
    loops = loop_convolution if kind == "Convolution" else loop_deconvolution
    for got, x in zip(run(net, a, b), (a, b), strict=True):
        np.testing.assert_allclose(got, loops(x, weight, 1, (1, 1), (0, 0), (1, 1)), atol=1e-4)


def test_other_sizes_and_batches_than_at_first():
    net = one_layer("Convolution", (1, 2, 5, 5), parameters="convolution_param { num_output: 3 kernel_size: 3 }")
    weight = net.params["l"][0].data
    weight[...] = spaced(weight.shape, 1)
    x = spaced((4, 2, 6, 9))
    np.testing.assert_allclose(run(net, x)[0], loop_convolution(x, weight, 1, (1, 1), (0, 0), (1, 1)), atol=1e-4)


# Upsampling by Deconvolution


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_bilinear_deconvolution_interpolates(factor):
    # the usual upsampling layer: kernel 2f − f % 2, stride f, pad ⌈(f − 1) / 2⌉, a group for each channel
    x = spaced((2, 3, 6, 5))
    told = f"""num_output: 3 group: 3 bias_term: false kernel_size: {2 * factor - factor % 2} stride: {factor}
      pad: {math.ceil((factor - 1) / 2)} weight_filler {{ type: "bilinear" }}"""
    (got,) = run(one_layer("Deconvolution", x.shape, parameters=f"convolution_param {{ {told} }}"), x)
    wanted = F.interpolate(
        torch.from_numpy(x).float(), scale_factor=factor, mode="bilinear", align_corners=False
    ).numpy()
    assert got.shape == wanted.shape
    inside = slice(factor, -factor)  # at the borders zeros come in
    np.testing.assert_allclose(got[..., inside, inside], wanted[..., inside, inside], atol=1e-5)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "wanted"), [(16, 64, 32, 0, 544), (70, 4, 2, 0, 142), (7, 4, 2, 1, 14)]
)
def test_the_deconvolutions_of_known_networks(size, kernel, stride, pad, wanted):
    # FCN-32s: 16 → 544, which is cropped to 500; FCN-16s: 70 → 142 by kernel 4; DCGAN's doubling
    told = f"num_output: 1 kernel_size: {kernel} stride: {stride} pad: {pad}"
    net = one_layer("Deconvolution", (1, 1, size, size), parameters=f"convolution_param {{ {told} }}")
    assert net.blobs["top0"].shape == (1, 1, wanted, wanted)


# What cannot be

SQUARE = (1, 2, 5, 5)


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution", "Im2col"])
@pytest.mark.parametrize(
    ("shape", "told", "said"),
    [
        (SQUARE, "", "needs kernel_size, stride and dilation above 0"),
        (SQUARE, "kernel_size: 0", "needs kernel_size, stride and dilation above 0"),
        (SQUARE, "kernel_size: 3 stride: 0", "needs kernel_size, stride and dilation above 0"),
        (SQUARE, "kernel_size: 3 stride_h: 2", "needs kernel_size, stride and dilation above 0"),
        (SQUARE, "kernel_size: 3 dilation: 0", "needs kernel_size, stride and dilation above 0"),
        (SQUARE, "kernel_h: 3", "needs kernel_size, stride and dilation above 0"),
        (SQUARE, "kernel_size: 3 kernel_h: 3", "gives kernel_size and kernel_h/kernel_w; keep one of them"),
        (SQUARE, "kernel_size: 3 pad: 1 pad_w: 1", "gives pad and pad_h/pad_w; keep one of them"),
        (SQUARE, "kernel_size: 3 stride: 1 stride_h: 1 stride_w: 1", "gives stride and stride_h/stride_w; keep"),
        (SQUARE, "kernel_size: [3, 3, 3]", "gives kernel_size 3 times for 2 spatial axes; give it once"),
        (SQUARE, "kernel_size: 3 dilation: [1, 1, 1]", "gives dilation 3 times for 2 spatial axes"),
        ((1, 2, 5), "kernel_h: 3 kernel_w: 3", "has 1 spatial axes, and kernel_h/kernel_w are for 2; use kernel_size"),
        ((1, 2, 5), "kernel_size: [3, 3]", "gives kernel_size 2 times for 1 spatial axes"),
        ((1, 2, 5, 5, 5), "kernel_size: 3 pad_h: 1", "has 3 spatial axes, and pad_h/pad_w are for 2; use pad"),
        (SQUARE, "kernel_size: 3 axis: 4", "axis 4 is out of range for a blob of 4 axes"),
        (SQUARE, "kernel_size: 3 axis: -5", "axis -5 is out of range for a blob of 4 axes"),
    ],
)
def test_windows_that_cannot_be(kind, shape, told, said):
    with pytest.raises(UserError, match=said) as error:
        one_layer(kind, shape, parameters=f"convolution_param {{ num_output: 2 {told} }}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["Convolution", "Im2col"])
@pytest.mark.parametrize("told", ["kernel_size: 6", "kernel_size: 3 dilation: 3", "kernel_size: [2, 8] pad: [0, 1]"])
def test_windows_larger_than_the_bottom(kind, told):
    said = (
        rf"layer 'l' \({kind}\): a window of \(\d, \d\) with the pad \(0, \d\) does not suit the bottom \(1, 2, 5, 5\)"
    )
    with pytest.raises(UserError, match=said):
        one_layer(kind, SQUARE, parameters=f"convolution_param {{ num_output: 2 {told} }}")


def test_a_deconvolution_that_cuts_everything_off():
    with pytest.raises(UserError, match=r"a window of \(3, 3\) with the pad \(4, 4\) does not suit"):
        one_layer("Deconvolution", SQUARE, parameters="convolution_param { num_output: 2 kernel_size: 3 pad: 4 }")


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize(
    ("shapes", "tops", "told", "said"),
    [
        ([SQUARE], 1, "kernel_size: 3", "needs num_output and group above 0"),
        ([SQUARE], 1, "num_output: 2 kernel_size: 3 group: 0", "needs num_output and group above 0"),
        ([SQUARE], 1, "num_output: 3 kernel_size: 3 group: 2", "2 inputs and 3 outputs do not divide by group 2"),
        ([(1, 3, 5, 5)], 1, "num_output: 2 kernel_size: 3 group: 2", "3 inputs and 2 outputs do not divide by group 2"),
        (
            [SQUARE],
            2,
            "num_output: 2 kernel_size: 3",
            r"has 1 bottom\(s\) and 2 top\(s\); give one top for each bottom",
        ),
        ([SQUARE, SQUARE], 1, "num_output: 2 kernel_size: 3", r"has 2 bottom\(s\) and 1 top\(s\)"),
        ([SQUARE, (1, 2, 5, 6)], 2, "num_output: 2 kernel_size: 3", "takes bottoms of one shape, not"),
    ],
)
def test_weights_that_cannot_be(kind, shapes, tops, told, said):
    with pytest.raises(UserError, match=rf"layer 'l' \({kind}\).*{said}"):
        one_layer(kind, *shapes, parameters=f"convolution_param {{ {told} }}", tops=tops)


@pytest.mark.parametrize("shape", [(1, 3, 5, 5), (1, 2, 2, 5), (1, 2, 5), (1, 2, 5, 5, 5)])
def test_bottoms_that_do_not_fit_the_weights_any_more(shape):
    net = one_layer("Convolution", SQUARE, parameters="convolution_param { num_output: 2 kernel_size: 3 }")
    with pytest.raises(UserError, match=r"layer 'l' \(Convolution\)") as error:
        run(net, np.zeros(shape))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shape", "kernel", "pad", "group"),
    [
        ((2, 3, 5, 4), (5, 4), (0, 0), 1),  # one window, the whole bottom: an inner product
        ((2, 3, 5, 4), (5, 4), (1, 0), 1),
        ((2, 4, 5, 4), (5, 4), (0, 0), 2),
        ((2, 3, 6), (6,), (0,), 1),
        ((1, 16, 100, 101), (3, 3), (1, 1), 1),  # a large map
    ],
)
def test_each_way_of_computing_it_gives_pytorchs_values_and_gradients(shape, kernel, pad, group):
    window = fields(kernel, (1,), pad, (1,))
    net = one_layer("Convolution", shape, parameters=f"convolution_param {{ num_output: 6 group: {group} {window} }}")
    rng = np.random.default_rng(0)
    values = [rng.normal(size=s).astype(np.float32) for s in (shape, *(blob.shape for blob in net.params["l"]))]
    parts = [torch.tensor(part, requires_grad=True) for part in values]
    y = {1: F.conv1d, 2: F.conv2d}[len(kernel)](*parts, padding=pad, groups=group)
    dy = rng.normal(size=y.shape).astype(np.float32)
    y.backward(torch.tensor(dy))
    for blob, array in zip(net.params["l"], values[1:], strict=True):
        blob.data[...] = array
    np.testing.assert_allclose(run(net, values[0])[0], y.detach().numpy(), rtol=1e-4, atol=1e-4)
    net.backward(top0=dy)
    got = [net.blobs["in0"].diff, *(blob.diff for blob in net.params["l"])]
    for gradient, part in zip(got, parts, strict=True):
        np.testing.assert_allclose(gradient, part.grad.numpy(), rtol=1e-3, atol=2e-3)
