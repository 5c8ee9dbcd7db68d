"""The compiled loops against NumPy's own logarithm, within the bounds that the search relies on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numba import get_num_threads

from pydeepexpr.retrieval import jensen_shannon, kernels, normalise
from pydeepexpr.retrieval.index import _rounding


def x_log2_x(x: np.ndarray) -> np.ndarray:
    return x * np.log2(x, out=np.zeros_like(x), where=x > 0)


def rows(count: int, width: int, dtype: type = np.float32) -> np.ndarray:
    """Distributions of which many elements are 0."""
    return normalise(np.maximum(np.random.default_rng(width).normal(size=(count, width)), 0)).astype(dtype)


def test_both_logarithms_are_as_exact_as_they_say():
    wide = np.geomspace(1e-37, 4.0, 200_001)
    near_one = np.linspace(0.5, 2.0, 200_001)
    for x in (wide, near_one):
        exact = np.log2(x)
        single = np.log2(x.astype(np.float32).astype(np.float64))
        found64 = np.array([kernels._log2_64(value) for value in x[::101]])
        found32 = np.array([kernels._log2_32(value) for value in x.astype(np.float32)[::101]], dtype=np.float64)
        # A result of up to 128 itself has a rounding of 2⁻²⁴ and 2⁻⁵³ of that.
        assert np.abs(found64 - exact[::101]).max() < 2e-15 + 128 * 2.0**-53
        assert (np.abs(found32 - single[::101]) <= 6e-7 + np.abs(exact[::101]) * 2.0**-24).all()


@pytest.mark.parametrize("width", [1, 3, 63, 64, 65, 200, 512])
def test_sums_of_any_width(width):
    stored, asked = rows(131, width), rows(5, width)[::-1].astype(np.float64)
    pairs = asked[:, None] + stored[None].astype(np.float64)
    np.testing.assert_allclose(
        kernels.own_sums(stored), (stored + x_log2_x(stored.astype(np.float64))).sum(axis=1), atol=1e-12
    )
    found = np.empty((5, 131))
    kernels.joint_sums(asked, stored, found)
    np.testing.assert_allclose(found, x_log2_x(pairs).sum(axis=2), atol=1e-12)
    kernels.overlap_sums(asked, stored, found)
    there = asked[:, None] > 0
    expected = (there * (x_log2_x(stored.astype(np.float64)) - x_log2_x(pairs))).sum(axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("width", [1, 63, 64, 65, 512])
def test_the_sieve_keeps_what_may_be_near_and_errs_by_less_than_its_bound(width):
    stored, asked = rows(10_000 // width, width), rows(3, width)[::-1].copy()
    exact = np.array([jensen_shannon(query, stored) for query in asked])
    lower = (exact * np.random.default_rng(0).random(exact.shape)).astype(np.float32)
    enough = np.array([0.0, 0.2, 1.0], np.float32)
    near = np.full(exact.shape, np.nan, np.float32)
    kernels.sieve(asked, kernels.own_sums(asked), stored, kernels.own_sums(stored), lower, enough, near)
    kept = lower <= enough[:, None]
    assert np.isinf(near[~kept]).all()
    assert np.abs(near - exact)[kept].max() <= _rounding(width)


def test_inner_products():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(3, 66)).astype(np.float32), rng.normal(size=(500, 66)).astype(np.float32)
    np.testing.assert_allclose(kernels.inner_products(first, second), first @ second.T, atol=1e-5)


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=st.sampled_from([-1, 0, 2, 5, 9])
    ),
    st.data(),
)
def test_the_smallest(values, data):
    count = data.draw(st.integers(1, values.shape[1]))
    found = kernels.smallest(values, count)
    for row, places in zip(values, found, strict=True):
        assert len(set(places)) == count
        assert sorted(row[places]) == sorted(row)[:count]


def test_little_work_has_one_thread_and_the_usual_number_comes_back():
    usual = get_num_threads()
    with pytest.raises(KeyError), kernels.threads_for(512):
        assert get_num_threads() == 1
        raise KeyError
    assert get_num_threads() == usual
    with kernels.threads_for(1 << 40):
        assert get_num_threads() == usual
