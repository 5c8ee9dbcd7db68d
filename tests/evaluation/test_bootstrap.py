"""The bootstrap beside SciPy's, and whole groups by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from pydeepexpr.evaluation.bootstrap import group_numbers, interval, resampled_means


def test_observations_that_stand_alone_vary_as_scipy_says():
    values = np.random.default_rng(0).exponential(size=200)
    means = resampled_means(values, np.zeros(200, int), np.arange(200), 1)
    low, high = interval(means)
    reference = bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1))
    assert means[:, 0].std(ddof=1) == pytest.approx(reference.standard_error, rel=0.05)
    assert low[0] == pytest.approx(reference.confidence_interval.low, abs=0.02)
    assert high[0] == pytest.approx(reference.confidence_interval.high, abs=0.02)


def test_groups_are_drawn_whole():
    """Two persons, one with two images of 0 and one with one of 1: both, 1/3; the first twice, 0; the second, 1."""
    means = resampled_means([0.0, 0.0, 1.0], [0, 0, 0], [0, 0, 1], 1)[:, 0]
    values, counts = np.unique(means, return_counts=True)
    np.testing.assert_allclose(values, [0, 1 / 3, 1])
    np.testing.assert_allclose(counts / len(means), [0.25, 0.5, 0.25], atol=0.04)


def test_classes_share_their_draws():
    """Two persons with an image of each class: where one's joy was drawn, so was its anger."""
    means = resampled_means([0.0, 0.0, 1.0, 1.0], [0, 1, 0, 1], [0, 0, 1, 1], 2)
    np.testing.assert_array_equal(means[:, 0], means[:, 1])
    assert set(np.unique(means)) == {0, 0.5, 1}


def test_several_numbers_an_observation():
    values = np.random.default_rng(0).normal(size=(30, 3))
    labels, groups = np.repeat([0, 1], 15), np.arange(30) // 2
    together = resampled_means(values, labels, groups, 2)
    assert together.shape == (2000, 2, 3)
    np.testing.assert_allclose(together[..., 1], resampled_means(values[:, 1], labels, groups, 2))


def test_a_class_that_was_not_drawn_has_no_mean():
    means = resampled_means([1.0, 2.0], [0, 1], [0, 1], 3)
    assert np.isnan(means[:, 2]).all() and 0.15 < np.isnan(means[:, 0]).mean() < 0.35
    low, high = interval(means)
    np.testing.assert_array_equal([low, high], [[1, 2, np.nan], [1, 2, np.nan]])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.integers(0, 5))
def test_means_lie_among_the_values(values, seed):
    means = resampled_means(values, [0] * len(values), range(len(values)), 1, seed=seed)
    assert min(values) - 1e-9 <= means.min() and means.max() <= max(values) + 1e-9
    np.testing.assert_array_equal(means, resampled_means(values, [0] * len(values), range(len(values)), 1, seed=seed))


def test_the_same_name_in_two_databases_is_two_persons():
    assert group_numbers(["a", "b", "a", "a", "a"], ["S1", "S1", "S1", "", ""]).tolist() == [0, 1, 0, 2, 3]
