"""The Jensen–Shannon divergence against SciPy, by hand, and by its known bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import jensenshannon

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval import divergence_matrix, jensen_shannon, normalise

LN2 = np.log(2.0)

FEATURES = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 8), st.just(5)), elements=st.sampled_from([0.0, 1e-300, 1e-9, 0.3, 1.0, 7.0])
)


def sparse_features(rows: int, dims: int = 512) -> np.ndarray:
    """FC6 as a ReLU leaves it: about half exact zeros."""
    return np.maximum(np.random.default_rng(rows).normal(size=(rows, dims)), 0).astype(np.float32)


def test_agrees_with_scipy():
    distributions = normalise(sparse_features(700))  # more than one block
    expected = [jensenshannon(distributions[0], other) ** 2 for other in distributions]
    np.testing.assert_allclose(jensen_shannon(distributions[0], distributions), expected, atol=1e-15)


def test_by_hand():
    # M = (¾, ¼): ½·log(4/3) + ½·(½·log(2/3) + ½·log 2)
    expected = 0.5 * np.log(4 / 3) + 0.25 * np.log(2 / 3) + 0.25 * np.log(2)
    np.testing.assert_allclose(jensen_shannon(np.array([1.0, 0.0]), np.array([[0.5, 0.5]])), [expected], rtol=1e-15)


def test_ends_are_exact():
    h = np.array([0.25, 0.75, 0.0, 0.0])
    np.testing.assert_array_equal(jensen_shannon(h, np.array([h, [0, 0, 0.5, 0.5]])), [0, LN2])


def test_tiny_elements_do_not_underflow():
    tiny = np.nextafter(0, 1)
    result = jensen_shannon(np.array([tiny, 1.0]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(result, [0, LN2])


def test_equal_rows_are_at_equal_distance_wherever_they_stand():
    store = np.tile(normalise(sparse_features(1)), (601, 1))
    assert len(set(jensen_shannon(normalise(sparse_features(2))[1], store))) == 1


def test_float32_memory_layouts_give_the_same():
    store = normalise(sparse_features(10)).astype(np.float32)
    query = store[0].astype(np.float64)
    np.testing.assert_array_equal(jensen_shannon(query, store), jensen_shannon(query, store.astype(np.float64)))


@given(FEATURES)
def test_symmetric_bounded_and_never_nan(features):
    distributions = normalise(features)
    matrix = np.array([jensen_shannon(row, distributions) for row in distributions])
    np.testing.assert_array_equal(matrix, matrix.T)
    assert (matrix >= 0).all() and (matrix <= LN2).all()
    np.testing.assert_array_equal(np.diag(matrix), 0)
    hellinger = 1 - np.sqrt(distributions) @ np.sqrt(distributions).T
    assert (matrix >= LN2 * hellinger - 1e-12).all()
    assert (matrix <= hellinger + 1e-12).all()


@given(FEATURES)
def test_its_root_is_a_metric(features):
    distributions = normalise(features)
    root = np.sqrt([jensen_shannon(row, distributions) for row in distributions])
    through = (root[:, :, None] + root[None, :, :]).min(axis=1)
    assert (root <= through + 1e-7).all()


def test_empty_store():
    assert jensen_shannon(np.array([1.0]), np.empty((0, 1))).shape == (0,)


@pytest.mark.parametrize("shapes", [((2,), (3, 4)), ((1, 4), (3, 4)), ((4,), (4,))])
def test_shapes_that_do_not_fit(shapes):
    with pytest.raises(UserError, match="cannot be compared"):
        jensen_shannon(np.ones(shapes[0]), np.ones(shapes[1]))


def test_a_matrix_holds_what_the_definition_gives():
    queries, store = normalise(sparse_features(5)), normalise(sparse_features(700))  # more than one block
    queries[0] = 1 / 512  # what an all-zero vector becomes: no element is left out
    expected = np.array([jensen_shannon(query, store) for query in queries])
    np.testing.assert_allclose(divergence_matrix(queries, store), expected, atol=1e-14)


@given(FEATURES)
def test_a_matrix_is_bounded_and_agrees_on_tiny_elements(features):
    distributions = normalise(features)
    matrix = divergence_matrix(distributions[:2], distributions)
    assert (matrix >= 0).all() and (matrix <= LN2).all()
    np.testing.assert_allclose(matrix, [jensen_shannon(row, distributions) for row in distributions[:2]], atol=1e-14)


def test_equal_rows_are_at_equal_distance_in_a_matrix():
    store = np.tile(normalise(sparse_features(1)), (601, 1))
    assert all(len(set(row)) == 1 for row in divergence_matrix(normalise(sparse_features(3)), store))


@pytest.mark.parametrize("shapes", [((4,), (3, 4)), ((2, 3), (3, 4)), ((2, 4), (4,))])
def test_shapes_that_make_no_matrix(shapes):
    with pytest.raises(UserError, match="cannot be compared"):
        divergence_matrix(np.ones(shapes[0]), np.ones(shapes[1]))
