"""Local response normalisation against its formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

from pydeepexpr import caffe
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import spaced
from tests.caffe.one_layer import one_layer, run


@given(st.sampled_from([1, 3, 5, 7]), st.sampled_from([0.5, 0.75, 1.0]), st.sampled_from([1.0, 2.0]), st.integers(1, 6))
def test_lrn_across_channels(size, beta, k, channels):
    # lrn_layer.cpp: scale = k + α / size · Σ x² over the neighbours that exist; y = x · scale^−β
    x = spaced((2, channels, 2, 3)) * 10
    net = one_layer("LRN", x.shape, parameters=f"lrn_param {{ local_size: {size} alpha: 0.3 beta: {beta} k: {k} }}")
    padded = np.pad(x**2, ((0, 0), (size // 2,) * 2, (0, 0), (0, 0)))
    sums = sum(padded[:, i : i + channels] for i in range(size))
    np.testing.assert_allclose(run(net, x)[0], x * (k + 0.3 / size * sums) ** -beta, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(2, 3, 6, 5), (1, 2, 1, 2)])
def test_lrn_within_channels(size, shape):
    # the squares are averaged over the full window, the border's zeros included, and k is 1 (lrn_layer.cpp: a Power
    # layer of shift 1 on an average pooling)
    x = spaced(shape) * 10
    told = f"local_size: {size} alpha: 0.3 beta: 0.6 k: 9 norm_region: WITHIN_CHANNEL"
    box = np.ones((size, size)) / size**2
    padded = np.pad(x**2, ((0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2))
    means = np.array([[correlate2d(plane, box, "valid") for plane in image] for image in padded])
    (got,) = run(one_layer("LRN", shape, parameters=f"lrn_param {{ {told} }}"), x)
    np.testing.assert_allclose(got, x * (1 + 0.3 * means) ** -0.6, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_the_engine_is_of_no_matter(region):
    x = spaced((2, 3, 4, 4))
    told = [f"lrn_param {{ norm_region: {region} engine: {engine} }}" for engine in ("DEFAULT", "CAFFE", "CUDNN")]
    first, *others = [run(one_layer("LRN", x.shape, parameters=text), x)[0] for text in told]
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_bf16_does_not_coarsen_the_squares(region):
    x = spaced((2, 3, 4, 4)) * 100
    net = one_layer("LRN", x.shape, parameters=f"lrn_param {{ norm_region: {region} }}")
    (exact,) = run(net, x)
    caffe.set_precision("bf16")
    np.testing.assert_array_equal(run(net, x)[0], exact)


@pytest.mark.parametrize("size", [0, 2, 4])
def test_lrn_needs_an_odd_size(size):
    with pytest.raises(UserError, match=rf"layer 'l' \(LRN\) needs an odd local_size, not {size}"):
        one_layer("LRN", (1, 2, 3, 3), parameters=f"lrn_param {{ local_size: {size} }}")


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (1, 2, 3, 4, 5)])
def test_lrn_takes_images(shape):
    with pytest.raises(UserError, match=r"layer 'l' \(LRN\) takes N×C×H×W, not"):
        one_layer("LRN", shape)
