"""Fillers against the distributions that filler.hpp defines."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from scipy import stats

from pydeepexpr.caffe.fillers import FILLERS, fill
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

WIDE = (40, 20, 5, 5)  # fan in 20·5·5 = 500, fan out 40·5·5 = 1000


def drawn(shape, text):
    torch.manual_seed(1)
    values = fill(shape, text_format.Parse(text, pb.FillerParameter()))
    assert values.dtype == torch.float32 and tuple(values.shape) == shape
    return values.numpy().astype(np.float64)


def assert_distribution(values, distribution):
    """The Kolmogorov-Smirnov test: fixed seed, so this passes always or never."""
    assert stats.kstest(values.ravel(), distribution.cdf).pvalue > 0.01


def test_constant():
    assert (drawn((3, 4), "value: 2.5") == 2.5).all() and (drawn((2,), "") == 0).all()


def test_uniform():
    assert_distribution(drawn(WIDE, 'type: "uniform" min: -2 max: 3'), stats.uniform(-2, 5))
    assert_distribution(drawn(WIDE, 'type: "uniform"'), stats.uniform(0, 1))


def test_gaussian():
    assert_distribution(drawn(WIDE, 'type: "gaussian" mean: 1 std: 0.5'), stats.norm(1, 0.5))


def test_sparse_gaussian_keeps_so_many_inputs_of_each_output():
    # GaussianFiller: non-zero with probability sparse / num_outputs, where num_outputs is the blob's first axis
    values = drawn((50, 2000), 'type: "gaussian" sparse: 10')
    assert (values != 0).mean() == pytest.approx(0.2, abs=0.01)
    assert_distribution(values[values != 0], stats.norm(0, 1))


@pytest.mark.parametrize(("norm", "n"), [("FAN_IN", 500), ("FAN_OUT", 1000), ("AVERAGE", 750)])
def test_xavier_and_msra(norm, n):
    # filler.hpp: uniform of ±√(3 / n), gaussian of √(2 / n); fan in is count / num, fan out count / channels
    limit = (3 / n) ** 0.5
    assert_distribution(drawn(WIDE, f'type: "xavier" variance_norm: {norm}'), stats.uniform(-limit, 2 * limit))
    assert_distribution(drawn(WIDE, f'type: "msra" variance_norm: {norm}'), stats.norm(0, (2 / n) ** 0.5))


def test_xavier_of_a_bias_counts_one_input():
    # of shape (n): count / num = 1
    assert np.abs(drawn((1000,), 'type: "xavier"')).max() == pytest.approx(3**0.5, rel=0.01)


@pytest.mark.parametrize(("norm", "n"), [("FAN_IN", 240), ("FAN_OUT", 480), ("AVERAGE", 360)])
def test_the_fans_of_kernels_over_three_axes(norm, n):
    # fan in 10·2·3·4, fan out 20·2·3·4
    values = drawn((20, 10, 2, 3, 4), f'type: "xavier" variance_norm: {norm}')
    assert_distribution(values, stats.uniform(-((3 / n) ** 0.5), 2 * (3 / n) ** 0.5))


def test_positive_unitball():
    values = drawn((30, 4, 5), 'type: "positive_unitball"')
    assert (values >= 0).all() and values.std() > 0.01
    np.testing.assert_allclose(values.reshape(30, -1).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_bilinear(size):
    # BilinearFiller::Fill, element by element
    factor = -(-size // 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    wanted = [
        [(1 - abs(x / factor - centre)) * (1 - abs(y / factor - centre)) for x in range(size)] for y in range(size)
    ]
    values = drawn((2, 3, size, size), 'type: "bilinear"')
    np.testing.assert_allclose(values, np.broadcast_to(wanted, values.shape), rtol=1e-5, atol=1e-6)


def test_bilinear_of_four_is_the_usual_kernel_for_doubling():
    row = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(drawn((1, 1, 4, 4), 'type: "bilinear"')[0, 0], np.outer(row, row))


def test_equal_seeds_draw_equal_numbers():
    for name in FILLERS:
        np.testing.assert_array_equal(*(drawn((2, 2, 3, 3), f'type: "{name}"') for _ in range(2)))


@pytest.mark.parametrize("shape", [(2, 2, 3, 4), (2, 3), (5,)])
def test_bilinear_needs_a_square_kernel(shape):
    with pytest.raises(UserError, match="the bilinear filler needs a square kernel"):
        drawn(shape, 'type: "bilinear"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('type: "uniform" min: 1 max: 0', "the uniform filler needs a min not above max, not 1 and 0"),
        ('type: "uniform" min: nan', "the uniform filler needs a min not above max, not nan and 1"),
        ('type: "uniform" max: inf', "the uniform filler needs a min not above max, not 0 and inf"),
        ('type: "uniform" min: -3e38 max: 3e38', "the uniform filler needs a min not above max"),
        ('type: "gaussian" std: -1', "the gaussian filler needs a std of 0 or above, not -1"),
        ('type: "gaussian" std: nan', "the gaussian filler needs a std of 0 or above, not nan"),
        ('type: "gaussian" sparse: 5', "the gaussian filler needs a sparse from 0 to 4, or -1, not 5"),
        ('type: "gaussian" sparse: -2', "the gaussian filler needs a sparse from 0 to 4, or -1, not -2"),
        ("sparse: 1", "the constant filler takes no sparse; only gaussian does"),
        ('type: "uniform" sparse: 0', "the uniform filler takes no sparse"),
        ('type: "positive_unitball" sparse: 1', "the positive_unitball filler takes no sparse"),
        ('type: "xavier" sparse: 1', "the xavier filler takes no sparse"),
        ('type: "msra" sparse: 1', "the msra filler takes no sparse"),
        ('type: "bilinear" sparse: 1', "the bilinear filler takes no sparse"),
    ],
)
def test_numbers_that_do_not_suit(text, said):
    with pytest.raises(UserError, match=said):
        drawn((4, 2, 3, 3), text)


def test_sparse_0_leaves_nothing():
    assert not drawn((4, 5), 'type: "gaussian" sparse: 0').any()


@pytest.mark.parametrize("name", sorted(FILLERS))
def test_there_must_be_something_to_fill(name):
    with pytest.raises(UserError, match=rf"the {name} filler has nothing to fill in the shape \(2, 0, 3, 3\)"):
        drawn((2, 0, 3, 3), f'type: "{name}"')


@pytest.mark.parametrize("text", ['"xavier"', '"msra"', '"positive_unitball"', '"gaussian" sparse: 1'])
def test_a_blob_without_axes_has_no_outputs(text):
    with pytest.raises(UserError, match="filler cannot tell the outputs of a blob without axes"):
        drawn((), f"type: {text}")


@pytest.mark.parametrize("name", ["Xavier", "", "normal"])
def test_unknown_filler(name):
    with pytest.raises(UserError, match=f"filler type '{name}' is unknown; use one of: constant, uniform, gaussian"):
        drawn((2,), f'type: "{name}"')
