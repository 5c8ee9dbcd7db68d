"""Coordinates whose distances bound the divergence."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pydeepexpr.retrieval import jensen_shannon, normalise
from pydeepexpr.retrieval.simplex import Simplex

FEATURES = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 30), st.just(6)), elements=st.sampled_from([0.0, 1e-30, 0.01, 1.0, 1.0, 5.0])
)


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Distributions about a few centres, with zeros, as FC6 has them."""
    rng = np.random.default_rng(seed)
    centres = np.maximum(rng.normal(-0.5, 1, size=(7, 128)), 0)
    return normalise(np.maximum(centres[rng.integers(7, size=count)] + rng.normal(0, 0.3, (count, 128)), 0))


def bounds(simplex: Simplex, queries: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower bounds as they are used, and the upper ones that the module's docstring states."""
    lower = simplex.queries(queries) @ simplex.rows(rows).T
    return lower, lower + 4 * np.outer(simplex.project(queries)[1], simplex.project(rows)[1])


@given(FEATURES, st.integers(1, 12), st.integers(0, 12))
def test_they_never_exceed_the_divergence(features, landmarks, axes):
    rows = normalise(features)
    simplex = Simplex(rows[:landmarks], axes)
    exact = np.array([jensen_shannon(row, rows) for row in rows])
    lower, upper = bounds(simplex, rows, rows)
    assert (lower <= exact + simplex.slack).all()
    assert (upper >= exact - simplex.slack).all()


def test_they_hold_for_rows_that_are_no_landmarks_and_tighten_with_their_number():
    rows, queries = clustered(520)[:500], clustered(520)[500:]
    exact = np.array([jensen_shannon(query, rows) for query in queries])
    gaps = []
    for landmarks in (4, 32, 128):
        simplex = Simplex(rows[:landmarks], landmarks)
        lower, upper = bounds(simplex, queries, rows)
        assert (lower <= exact + simplex.slack).all() and (upper >= exact - simplex.slack).all()
        gaps.append((upper - lower).mean())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < exact.mean()


def test_among_landmarks_they_are_exact_where_every_axis_is_kept():
    rows = clustered(20)
    simplex = Simplex(rows, 19)
    lower, upper = bounds(simplex, rows, rows)
    exact = np.array([jensen_shannon(row, rows) for row in rows])
    np.testing.assert_allclose(lower, exact, atol=1e-5)
    np.testing.assert_allclose(upper, exact, atol=1e-3)  # heights are 0 but for rounding, of which this takes roots


def test_a_landmark_alone_measures_the_distance_from_it():
    rows = clustered(9)
    projections, heights, squares = Simplex(rows[:1], 5).project(rows)
    assert projections.shape == (9, 0)
    np.testing.assert_allclose(heights**2, jensen_shannon(rows[0], rows), atol=1e-12)
    np.testing.assert_allclose(squares, jensen_shannon(rows[0], rows), atol=1e-12)


def test_few_and_many_distributions_get_the_same_coordinates():
    rows = clustered(64)
    simplex = Simplex(rows[:32], 16)
    for few, many in zip(simplex.project(rows[:5]), simplex.project(rows), strict=True):
        np.testing.assert_allclose(few, many[:5], atol=1e-9)
