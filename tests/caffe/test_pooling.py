"""Pooling and SPP against plain loops over Caffe's definitions, on random geometries."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr import caffe
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import spaced
from tests.caffe.one_layer import one_layer, run

LOWEST = np.finfo(np.float32).min


def pooled_sizes(shape, kernel, stride, pad, ceil):
    """PoolingLayer::Reshape of pooling_layer.cpp."""
    sizes = []
    for length, k, s, p in zip(shape, kernel, stride, pad, strict=True):
        n = (math.ceil if ceil else math.floor)((length + 2 * p - k) / s) + 1
        sizes.append(n - 1 if any(pad) and (n - 1) * s >= length + p else n)
    return sizes


def pooled(x, kernel, stride, pad, ceil, average):
    """PoolingLayer::Forward_cpu, one window after the other; second, the maxima's places in the image.

    A window that lies outside altogether holds nothing: its average is 0 here.
    """
    sizes = pooled_sizes(x.shape[2:], kernel, stride, pad, ceil)
    top, mask = np.zeros((2, *x.shape[:2], *sizes))
    for row, column in itertools.product(*(range(n) for n in sizes)):
        window, area = [], 1
        for at, length, k, s, p in zip((row, column), x.shape[2:], kernel, stride, pad, strict=True):
            start = at * s - p
            end = min(start + k, length + p)
            area *= end - start
            window.append(slice(max(start, 0), max(min(end, length), 0)))
        values = x[:, :, window[0], window[1]].astype(np.float64)
        if average:
            top[:, :, row, column] = values.sum((2, 3)) / area if values.size else 0
            continue
        if not values.size:
            top[:, :, row, column], mask[:, :, row, column] = LOWEST, -1
            continue
        top[:, :, row, column] = values.max((2, 3))
        first = values.reshape(*x.shape[:2], -1).argmax(-1)
        h, w = np.unravel_index(first, values.shape[2:])
        mask[:, :, row, column] = (h + window[0].start) * x.shape[3] + w + window[1].start
    return top, mask


@st.composite
def geometries(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    pad = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return size, kernel, stride, pad


def fields(kernel, stride, pad):
    sides = zip(("kernel", "stride", "pad"), (kernel, stride, pad), strict=True)
    return " ".join(f"{name}_{side}: {n}" for name, pair in sides for side, n in zip("hw", pair, strict=True))


@given(geometries(), st.booleans(), st.booleans())
def test_pooling_is_caffes(geometry, ceil, average):
    size, *window = geometry
    pool, mode = "AVE" if average else "MAX", "CEIL" if ceil else "FLOOR"
    x = spaced((2, 3, *size))
    parameters = f"pooling_param {{ pool: {pool} round_mode: {mode} {fields(*window)} }}"
    if min(pooled_sizes(size, *window, ceil)) < 1:
        with pytest.raises(UserError, match=r"layer 'l' \(Pooling\): a window of .* does not suit the bottom"):
            one_layer("Pooling", x.shape, parameters=parameters)
        return
    net = one_layer("Pooling", x.shape, parameters=parameters)
    wanted, _ = pooled(x, *window, ceil, average)
    assert net.blobs["top0"].shape == wanted.shape
    np.testing.assert_allclose(run(net, x)[0], wanted, atol=1e-6)


@given(geometries(), st.booleans(), st.booleans())
def test_the_second_top_of_max_is_the_place_of_the_maximum(geometry, ceil, is_tied):
    size, *window = geometry
    if min(pooled_sizes(size, *window, ceil)) < 1:
        return
    x = spaced((2, 3, *size))
    x = x.round() if is_tied else x  # of equals the first counts
    told = f"round_mode: {'CEIL' if ceil else 'FLOOR'} {fields(*window)}"
    net = one_layer("Pooling", x.shape, parameters=f"pooling_param {{ {told} }}", tops=2)
    top, mask = run(net, x)
    wanted_top, wanted_mask = pooled(x, *window, ceil, False)
    np.testing.assert_allclose(top, wanted_top, atol=1e-6)
    np.testing.assert_array_equal(mask, wanted_mask)


@pytest.mark.parametrize(("size", "wanted"), [(55, 27), (27, 13), (13, 6), (56, 28), (4, 2), (3, 1)])
def test_the_ceil_rule_on_the_sizes_of_known_networks(size, wanted):
    # kernel 3, stride 2: CaffeNet's 55 → 27 → 13 → 6; GoogLeNet's 56 → 28, where rounding down would give 27
    net = one_layer("Pooling", (1, 1, size, size), parameters="pooling_param { kernel_size: 3 stride: 2 }")
    assert net.blobs["top0"].shape == (1, 1, wanted, wanted)


def test_a_window_larger_than_the_image_is_cut_where_rounding_up_allows_it():
    # ⌈(5 − 6) / 2⌉ + 1 = 1
    x = spaced((1, 1, 5, 5))
    for pool, wanted in (("MAX", x.max()), ("AVE", x.mean())):
        net = one_layer("Pooling", x.shape, parameters=f"pooling_param {{ pool: {pool} kernel_size: 6 stride: 2 }}")
        assert run(net, x)[0].tolist() == [[[[pytest.approx(wanted)]]]]


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_global_pooling_of_whatever_size_comes(pool):
    net = one_layer("Pooling", (2, 3, 5, 4), parameters=f"pooling_param {{ pool: {pool} global_pooling: true }}")
    for shape in [(2, 3, 5, 4), (1, 3, 7, 9)]:
        x = spaced(shape)
        wanted = (x.max if pool == "MAX" else x.mean)((2, 3), keepdims=True)
        np.testing.assert_allclose(run(net, x)[0], wanted, atol=1e-6)


# Stochastic pooling

STOCHASTIC = "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"


def test_stochastic_pooling_picks_values_as_often_as_they_are_large():
    # Zeiler and Fergus 2013, equations 2 and 4: of the window 1, 2, 3, 4 the picks come at 10, 20, 30, 40 %
    x = np.broadcast_to([[1, 2], [3, 4]], (100, 200, 2, 2)).copy()
    (picked,) = run(one_layer("Pooling", x.shape, parameters=STOCHASTIC, phase=caffe.TRAIN), x)
    for value in (1, 2, 3, 4):
        assert (picked == value).mean() == pytest.approx(value / 10, abs=0.01)


def test_stochastic_pooling_never_picks_zeros_or_what_lies_beyond_the_image():
    x = np.zeros((30, 10, 3, 3))
    x[..., 2, 2] = 5
    x[..., 0, 1] = 2
    (picked,) = run(one_layer("Pooling", x.shape, parameters=STOCHASTIC, phase=caffe.TRAIN), x)
    np.testing.assert_array_equal(picked, np.broadcast_to([[2, 0], [0, 5]], (30, 10, 2, 2)))


def test_stochastic_pooling_follows_the_seed_and_is_new_each_time():
    net = one_layer("Pooling", (4, 4, 8, 8), parameters=STOCHASTIC, phase=caffe.TRAIN)
    x = np.abs(spaced((4, 4, 8, 8)))
    torch.manual_seed(5)
    first, second = run(net, x)[0], run(net, x)[0]
    torch.manual_seed(5)
    np.testing.assert_array_equal(run(net, x)[0], first)
    assert (first != second).any()


@given(geometries(), st.booleans())
def test_stochastic_pooling_when_testing_is_the_expectation(geometry, ceil):
    # equation 6: Σ x² / Σ x over the part of the window inside the image; 0 where there is nothing
    size, kernel, stride, _ = geometry
    if min(pooled_sizes(size, kernel, stride, (0, 0), ceil)) < 1:
        return
    x = np.abs(spaced((2, 3, *size)))
    x[x < 0.3] = 0
    told = f"pool: STOCHASTIC round_mode: {'CEIL' if ceil else 'FLOOR'} {fields(kernel, stride, (0, 0))}"
    (got,) = run(one_layer("Pooling", x.shape, parameters=f"pooling_param {{ {told} }}"), x)
    sizes = pooled_sizes(size, kernel, stride, (0, 0), ceil)
    wanted = np.zeros((2, 3, *sizes))
    for row, column in itertools.product(*(range(n) for n in sizes)):
        h, w = row * stride[0], column * stride[1]
        values = x[:, :, h : h + kernel[0], w : w + kernel[1]]
        total = values.sum((2, 3))
        wanted[:, :, row, column] = np.divide((values**2).sum((2, 3)), total, where=total > 0, out=np.zeros((2, 3)))
    np.testing.assert_allclose(got, wanted, atol=1e-5)


# SPP


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("size", [(4, 4), (9, 11), (7, 6), (14, 9)])
def test_spp_pools_over_finer_and_finer_grids(size, pool):
    # SPPLayer::GetPoolingParam: kernel and stride ⌈size / cells⌉, pad ⌈(kernel · cells − size) / 2⌉
    x = spaced((2, 3, *size))
    net = one_layer("SPP", x.shape, parameters=f"spp_param {{ pyramid_height: 3 pool: {pool} }}")
    levels = []
    for cells in (1, 2, 4):
        kernel = tuple(math.ceil(n / cells) for n in size)
        pad = tuple(math.ceil((k * cells - n) / 2) for k, n in zip(kernel, size, strict=True))
        levels.append(pooled(x, kernel, kernel, pad, True, pool == "AVE")[0].reshape(2, -1))
    assert net.blobs["top0"].shape == (2, 3 * (1 + 4 + 16))
    np.testing.assert_allclose(run(net, x)[0], np.concatenate(levels, 1), atol=1e-6)


def test_spp_of_one_level_keeps_its_axes():
    # with one level the layer is the pooling alone, without Flatten and Concat
    x = spaced((2, 3, 5, 6))
    net = one_layer("SPP", x.shape, parameters="spp_param { pyramid_height: 1 }")
    np.testing.assert_allclose(run(net, x)[0], x.max((2, 3), keepdims=True), atol=1e-6)


def test_spp_gives_as_much_for_any_size_of_image():
    net = one_layer("SPP", (1, 2, 8, 8), parameters="spp_param { pyramid_height: 3 }")
    assert [run(net, spaced((1, 2, *size)))[0].shape for size in [(8, 8), (7, 13), (30, 21)]] == [(1, 42)] * 3


# What cannot be


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("", r"layer 'l' \(Pooling\) needs kernel_size and stride above 0, or global_pooling"),
        ("kernel_size: 2 stride: 0", "needs kernel_size and stride above 0"),
        ("kernel_size: 0", "needs kernel_size and stride above 0"),
        ("kernel_h: 2", "takes either kernel_size or both kernel_h and kernel_w"),
        ("kernel_size: 2 kernel_h: 2 kernel_w: 2", "takes either kernel_size or both kernel_h and kernel_w"),
        ("kernel_size: 2 stride_w: 2", "takes either stride or both stride_h and stride_w"),
        ("kernel_size: 2 stride: 2 stride_h: 1 stride_w: 1", "takes either stride or both stride_h and stride_w"),
        ("kernel_size: 3 pad: 1 pad_h: 1 pad_w: 1", "takes either pad or both pad_h and pad_w"),
        ("kernel_size: 2 pad: 2", r"needs a pad below the kernel's size: \(2, 2\) and \(2, 2\)"),
        ("kernel_size: 9", r"a window of \(9, 9\) with the pad \(0, 0\) does not suit the bottom \(1, 1, 5, 5\)"),
        ("global_pooling: true kernel_size: 2", "pools globally; take kernel_size away"),
        ("global_pooling: true kernel_h: 2 kernel_w: 1", "pools globally; take kernel_h, kernel_w away"),
        ("global_pooling: true pad: 1", "pools globally; take pad and stride away"),
        ("global_pooling: true stride: 2", "pools globally; take pad and stride away"),
        ("kernel_size: 3 pool: STOCHASTIC pad: 1", r"pools stochastically and takes no pad, not \(1, 1\)"),
    ],
)
def test_poolings_that_cannot_be(told, said):
    with pytest.raises(UserError, match=said) as error:
        one_layer("Pooling", (1, 1, 5, 5), parameters=f"pooling_param {{ {told} }}")
    assert "layer 'l' (Pooling)" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(5, 5), (1, 5, 5), (1, 1, 5, 5, 5)])
def test_pooling_takes_images(shape):
    with pytest.raises(UserError, match=r"layer 'l' \(Pooling\) takes N×C×H×W, not"):
        one_layer("Pooling", shape, parameters="pooling_param { kernel_size: 2 }")


@pytest.mark.parametrize("pool", ["AVE", "STOCHASTIC"])
def test_only_max_has_a_second_top(pool):
    with pytest.raises(UserError, match=r"layer 'l' \(Pooling\) has 2 tops; only MAX has a second one, the mask"):
        one_layer("Pooling", (1, 1, 5, 5), parameters=f"pooling_param {{ pool: {pool} kernel_size: 2 }}", tops=2)


@pytest.mark.parametrize(
    ("shape", "told", "said"),
    [
        ((1, 1, 5, 5), "", "needs a pyramid_height above 0"),
        ((1, 1, 5, 5), "pyramid_height: 3", "level 2 of its pyramid, 4×4 cells, does not suit"),  # pad 2 of kernel 2
        ((1, 1, 5, 5), "pyramid_height: 4000000000", "level 2 of its pyramid, 4×4 cells, does not suit"),
        ((1, 1, 5, 5), "pyramid_height: 2 pool: STOCHASTIC", "takes no pad"),
        ((1, 5, 5), "pyramid_height: 2", "takes N×C×H×W with pixels in it"),
        ((1, 1, 0, 5), "pyramid_height: 2", "takes N×C×H×W with pixels in it"),
    ],
)
def test_pyramids_that_cannot_be(shape, told, said):
    with pytest.raises(UserError, match=rf"layer 'l' \(SPP\).*{said}"):
        one_layer("SPP", shape, parameters=f"spp_param {{ {told} }}")
