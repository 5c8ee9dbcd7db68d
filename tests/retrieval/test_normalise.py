"""Normalisations against hand calculations, and what must hold for any features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval import NORMALISATIONS, normalise

FC7 = np.array([[1.0, -1.0, 0.5], [-2.0, 1.0, 3.0]])
FEATURES = hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(3)), elements=st.floats(0, 2.0**100, width=32))


def test_l1_divides_by_the_sum():
    np.testing.assert_array_equal(normalise(np.array([[1, 3, 4]])), [[0.125, 0.375, 0.5]])


def test_softmax_is_scipys():
    features = np.random.default_rng(0).gamma(1, 30, (5, 512))
    np.testing.assert_allclose(normalise(features, "softmax"), softmax(features, axis=1), rtol=1e-13)


def test_class_weight_by_hand():
    # Row 0, class 0: (2·1, 4·−1 → 0, 4·0.5) = (2, 0, 2). Row 1, class 1: (1·−2 → 0, 1·1, 1·3) = (0, 1, 3).
    result = normalise(np.array([[2, 4, 4], [1, 1, 1]]), "class-weight", predicted=np.array([0, 1]), fc7=FC7)
    np.testing.assert_array_equal(result, [[0.5, 0, 0.5], [0, 0.25, 0.75]])


@pytest.mark.parametrize("how", NORMALISATIONS)
def test_zero_vector_becomes_uniform(how):
    result = normalise(np.zeros((2, 3)), how, predicted=np.array([0, 1]), fc7=FC7)
    np.testing.assert_array_equal(result, np.full((2, 3), 1 / 3))


def test_class_weight_with_nothing_left_becomes_uniform():
    result = normalise(np.array([[0.0, 7.0, 0.0]]), "class-weight", predicted=np.array([0]), fc7=FC7)
    np.testing.assert_array_equal(result, np.full((1, 3), 1 / 3))


@given(FEATURES, st.sampled_from(sorted(NORMALISATIONS)))
def test_rows_are_distributions(features, how):
    predicted = np.arange(len(features)) % 2
    result = normalise(features, how, predicted=predicted, fc7=FC7)
    assert result.dtype == np.float64
    assert (result >= 0).all()
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-12)


@given(FEATURES)
def test_l1_does_not_mind_the_scale(features):
    np.testing.assert_allclose(normalise(features), normalise(features.astype(np.float64) * 8), rtol=1e-12)


@pytest.mark.parametrize(
    ("features", "how", "options", "message"),
    [
        (np.ones((1, 3)), "l2", {}, "no normalisation is called 'l2'; use one of: l1, softmax, class-weight"),
        (np.ones(3), "l1", {}, "shape"),
        (np.ones((1, 0)), "l1", {}, "shape"),
        (np.array([[np.nan, 1]]), "softmax", {}, "NaN"),
        (np.array([[np.inf, 1]]), "l1", {}, "infinite"),
        (np.array([[-1.0, 2]]), "l1", {}, "negative"),
        (np.ones((1, 3)), "class-weight", {}, "needs the predicted classes"),
        (np.ones((1, 3)), "class-weight", {"predicted": np.array([2]), "fc7": FC7}, "0–1"),
        (np.ones((1, 3)), "class-weight", {"predicted": np.array([-1]), "fc7": FC7}, "0–1"),
        (np.ones((1, 3)), "class-weight", {"predicted": np.array([0, 1]), "fc7": FC7}, "do not fit 1"),
        (np.ones((1, 4)), "class-weight", {"predicted": np.array([0]), "fc7": FC7}, "do not fit features of 4"),
    ],
)
def test_bad_input(features, how, options, message):
    with pytest.raises(UserError, match=message):
        normalise(features, how, **options)
