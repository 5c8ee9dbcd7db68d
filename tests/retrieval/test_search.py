"""Ranking: exact, complete, with ties in a documented order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import jensenshannon

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval import jensen_shannon, normalise, rank

# Few different values, so that equal rows and equal distances abound.
STORES = hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.sampled_from([0.0, 1.0, 2.0]))


@given(STORES, st.data())
def test_equals_brute_force_with_the_smaller_row_first(features, data):
    store = normalise(features)
    query = store[data.draw(st.integers(0, len(store) - 1))]
    k = data.draw(st.integers(1, len(store)))
    by_distance_then_row = sorted(zip(jensen_shannon(query, store), range(len(store)), strict=True))[:k]
    rows, divergence = rank(query, store, k)
    assert rows.tolist() == [row for _, row in by_distance_then_row]
    assert divergence.tolist() == [distance for distance, _ in by_distance_then_row]


def test_agrees_with_scipys_order():
    store = normalise(np.random.default_rng(1).gamma(0.5, size=(300, 512)))
    expected = np.argsort([jensenshannon(store[7], row) for row in store])
    rows, _ = rank(store[7], store)
    np.testing.assert_array_equal(rows, expected)
    assert rows[0] == 7


def test_top_k_begins_the_full_ranking():
    store = normalise(np.random.default_rng(2).gamma(0.5, size=(500, 16)))
    full, divergence = rank(store[0], store)
    for k in (1, 10, 499, 500):
        rows, nearest = rank(store[0], store, k)
        np.testing.assert_array_equal(rows, full[:k])
        np.testing.assert_array_equal(nearest, divergence[:k])


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_outside_the_store(k):
    with pytest.raises(UserError, match=f"top {k} of a store of 3 rows"):
        rank(np.array([1.0]), np.ones((3, 1)), k)
