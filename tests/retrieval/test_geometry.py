"""Geometric distance and refinement: what moves, what stays, by which key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval import geometric_distance, phi, refine


def test_distance_is_the_l2_norm():
    store = np.zeros((3, 9))
    store[1, :2] = [3, 4]
    store[2, 8] = np.nan
    np.testing.assert_array_equal(geometric_distance(np.zeros(9), store), [0, 5, np.nan])


def test_a_query_without_geometry_is_at_no_distance():
    assert np.isnan(geometric_distance(np.full(9, np.nan), np.zeros((2, 9)))).all()


def test_phi_is_equation_3():
    np.testing.assert_allclose(phi([0.1, 0.2], [0.5, np.nan], 2, 3), [2 * 0.1 + 3 * 0.5, np.nan])
    np.testing.assert_allclose(phi([0.1, 0.2], [0.5, np.nan], 2, 0), [0.2, 0.4])


ORDER = np.array([3, 0, 4, 1, 2])
JS = np.array([0.2, 0.4, 0.5, 0.1, 0.3])
GEOMETRIC = np.array([0.9, 0.5, 0.1, 0.8, np.nan])
MATCHED = np.array([True, True, False, True, True])


def test_matched_rows_are_sorted_among_their_ranks():
    # Matched with known geometry: rows 3, 0, 1 at ranks 0, 1, 3. By geometry: 1, 3, 0. Rows 4 (NaN), 2 stay.
    assert refine(ORDER, JS, GEOMETRIC, MATCHED).tolist() == [1, 3, 4, 0, 2]


def test_sorting_by_phi_lets_the_weights_decide():
    # φ = 10·JS + geometric: row 0: 2.9, row 1: 4.5, row 3: 1.8.
    assert refine(ORDER, JS, GEOMETRIC, MATCHED, alpha=10, sort_by="phi").tolist() == [3, 0, 4, 1, 2]


@pytest.mark.parametrize("sort_by", ["geometric", "phi"])
def test_the_ends_of_the_weights(sort_by):
    assert refine(ORDER, JS, GEOMETRIC, MATCHED, beta=0, sort_by=sort_by).tolist() == ORDER.tolist()
    assert refine(ORDER, JS, GEOMETRIC, MATCHED, alpha=0, sort_by=sort_by).tolist() == [1, 3, 4, 0, 2]


def test_equal_keys_keep_the_order_they_came_in():
    order = np.array([2, 1, 0])
    assert refine(order, np.zeros(3), np.ones(3), np.ones(3, bool)).tolist() == [2, 1, 0]


@st.composite
def rankings(draw):
    count = draw(st.integers(0, 20))
    values = st.sampled_from([0.0, 0.1, 0.2, 0.3, float("nan")])
    js = np.array(draw(st.lists(st.floats(0, 0.69), min_size=count, max_size=count)))
    geometric = np.array(draw(st.lists(values, min_size=count, max_size=count)))
    matched = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), dtype=bool)
    return np.argsort(js, kind="stable"), js, geometric, matched


@given(rankings(), st.sampled_from(["geometric", "phi"]), st.sampled_from([0.0, 1.0, 5.0]))
def test_refinement_permutes_matched_rows_and_moves_nothing_else(ranking, sort_by, beta):
    order, js, geometric, matched = ranking
    before = order.copy()
    refined = refine(order, js, geometric, matched, beta=beta, sort_by=sort_by)
    np.testing.assert_array_equal(order, before)
    np.testing.assert_array_equal(np.sort(refined), np.arange(len(order)))
    moves = matched & ~np.isnan(geometric)
    still = ~moves[order]
    np.testing.assert_array_equal(refined[still], order[still])
    assert set(np.flatnonzero(moves[refined])) == set(np.flatnonzero(moves[order]))
    if beta:
        key = geometric if sort_by == "geometric" else phi(js, geometric, 1.0, beta)
        assert (np.diff(key[refined[moves[refined]]]) >= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1}, "alpha must be a number of at least 0, not -1"),
        ({"beta": float("nan")}, "beta must be"),
        ({"sort_by": "label"}, "use one of: geometric, phi"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message):
        refine(ORDER, JS, GEOMETRIC, MATCHED, **options)


def test_shapes_that_do_not_fit():
    with pytest.raises(UserError, match="one entry a row"):
        refine(ORDER, JS[:3], GEOMETRIC, MATCHED)
    with pytest.raises(UserError, match="cannot be compared"):
        geometric_distance(np.zeros(9), np.zeros((2, 8)))
