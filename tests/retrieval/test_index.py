"""The index finds what brute force by the definition finds: the same rows, in the same order, equally far."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import jensenshannon

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval import Distributions, Index, jensen_shannon, normalise, rank

# Few different values, so that equal rows and equal distances abound; peaked, uniform and tiny ones.
FEATURES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 40), st.sampled_from([1, 3, 7])),
    elements=st.sampled_from([0.0, 0.0, 1e-30, 1e-5, 1.0, 1.0, 2.0, 1e6]),
)


def check(index: Index, queries: np.ndarray, rows: np.ndarray, k: int) -> None:
    found, divergence = index.search(queries, k)
    for number, query in enumerate(queries):
        expected = rank(query, rows, k)
        np.testing.assert_array_equal(found[number], expected[0])
        np.testing.assert_array_equal(divergence[number], expected[1])


def kinds() -> dict[str, np.ndarray]:
    """Features (600, 48) of which each kind is hard for a search in its own way."""
    rng = np.random.default_rng(0)
    sparse = np.maximum(rng.normal(-1, 1, (600, 48)), 0)
    near = rng.gamma(1, size=48) * (1 + 1e-6 * rng.normal(size=(600, 48)))  # differ by less than float32's rounding
    near[300:] = near[:300]
    return {
        "random": rng.random((600, 48)),
        "sparse": sparse,
        "peaked": rng.gamma(0.02, size=(600, 48)),
        "clustered": np.repeat(sparse[:6], 100, axis=0) + 0.05 * rng.random((600, 48)),
        "identical": np.repeat(sparse[:1], 600, axis=0),
        "nearly identical": near,
        "zero": np.zeros((600, 48)),
        "one element each": np.eye(48)[rng.integers(48, size=600)],
    }


@given(FEATURES, st.booleans(), st.booleans(), st.data())
def test_equals_brute_force(features, projected, lazy, data):
    rows = normalise(features).astype(np.float32)
    index = Index(
        Distributions(features, "l1") if lazy else rows,
        landmarks=data.draw(st.integers(1, 12)),
        axes=5,
        small=data.draw(st.sampled_from([0, 0, 2048])),
    )
    if projected:
        index.project()
    check(index, rows[:: max(1, len(rows) // 4)], rows, data.draw(st.integers(1, len(rows))))


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("kind", kinds())
def test_equals_brute_force_on_hard_data(kind, projected):
    features = kinds()[kind]
    rows = normalise(features).astype(np.float32)
    others = normalise(np.roll(features[:5], 7, axis=1) + 1e-3).astype(np.float32)
    index = Index(rows, landmarks=64, axes=20, small=0)
    if projected:
        index.project()
    for k in (1, 10, 599, 600):
        check(index, np.concatenate([rows[[0, 333]], others]), rows, k)


def test_agrees_with_scipy_and_compares_few_rows_of_clusters():
    rng = np.random.default_rng(5)
    centres = np.maximum(rng.normal(-0.5, 1, size=(40, 128)), 0)
    features = np.maximum(centres[rng.integers(40, size=5000)] + rng.normal(0, 0.2, (5000, 128)), 0)
    rows = normalise(features).astype(np.float32)
    index = Index(rows)
    index.project()
    found, divergence = index.search(rows[100:104], 10)
    for number, query in enumerate(rows[100:104]):
        expected = jensenshannon(query.astype(np.float64)[:, None], rows.T.astype(np.float64)) ** 2
        np.testing.assert_allclose(divergence[number], np.sort(expected)[:10], atol=1e-7)
        assert found[number][0] == 100 + number and divergence[number][0] == 0
    assert index.compared / index.asked < 0.2 * len(rows)
    assert index.evaluated / index.asked < 20


def test_coordinates_come_when_they_have_paid():
    features = np.random.default_rng(1).gamma(0.3, size=(5000, 24))
    rows = normalise(features).astype(np.float32)
    index = Index(rows, landmarks=8, axes=4)
    for number in range(2):
        check(index, rows[number * 4 : number * 4 + 4], rows, 5)
    assert (index.asked, index.compared) == (8, 8 * len(rows))
    check(index, rows[8:12], rows, 5)
    assert index._simplex is not None
    assert index.asked == 12


@pytest.mark.parametrize("how", ["l1", "softmax", "class-weight"])
def test_features_on_a_disk_are_searched_as_those_in_memory(tmp_path, how):
    rng = np.random.default_rng(2)
    features = np.maximum(rng.normal(size=(9000, 16)), 0).astype(np.float32)  # more than one fetch
    features.tofile(tmp_path / "fc6.f32")
    mapped = np.memmap(tmp_path / "fc6.f32", dtype=np.float32, mode="r", shape=features.shape)
    weights = {"predicted": rng.integers(7, size=9000), "fc7": rng.normal(size=(7, 16)).astype(np.float32)}
    rows = normalise(features, how, **weights).astype(np.float32)
    index = Index(Distributions(mapped, how, **weights))
    check(index, rows[:3], rows, 10)
    index.project()
    check(index, rows[:3], rows, 10)
    np.testing.assert_allclose(index.divergences(rows[:2]), [jensen_shannon(row, rows) for row in rows[:2]], atol=1e-13)


@pytest.mark.parametrize("small", [0, 2048])
def test_divergences_in_memory(small):
    rows = normalise(kinds()["sparse"]).astype(np.float32)
    for count in (0, 1, 9, 20):  # one, several and many are computed in ways of their own
        expected = np.array([jensen_shannon(row, rows) for row in rows[:count]]).reshape(count, 600)
        np.testing.assert_allclose(Index(rows, small=small).divergences(rows[:count]), expected, atol=1e-13)


@pytest.mark.parametrize(
    "rows",
    [
        np.empty((0, 4), np.float32),
        np.empty((4, 0), np.float32),
        np.ones(4, np.float32),
        np.ones((2, 4), np.float32),
        np.full((2, 4), np.nan, np.float32),
        np.array([[2.0, -1.0]], np.float32),
        np.array([[np.inf, 0.0]], np.float32),
    ],
)
def test_rows_that_are_no_distributions(rows):
    with pytest.raises(UserError, match="distribution"):
        Index(rows)


@pytest.mark.parametrize("queries", [np.ones(4), np.ones((1, 3)), np.ones((1, 1, 4))])
def test_queries_of_another_shape(queries):
    with pytest.raises(UserError, match="cannot be compared with rows of 4"):
        Index(np.full((3, 4), 0.25, np.float32)).search(queries, 1)


@pytest.mark.parametrize("query", [[0.5, 0.5, 0.5, 0.5], [1.5, -0.5, 0, 0], [np.nan] * 4])
def test_queries_that_are_no_distributions(query):
    with pytest.raises(UserError, match="is no distribution"):
        Index(np.full((3, 4), 0.25, np.float32)).search(np.array([query]), 1)


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_outside_the_store(k):
    with pytest.raises(UserError, match=f"top {k} of a store of 3 rows"):
        Index(np.full((3, 4), 0.25, np.float32)).search(np.full((1, 4), 0.25), k)


def test_no_query():
    found, divergence = Index(np.full((3, 4), 0.25, np.float32)).search(np.empty((0, 4)), 2)
    assert found.shape == divergence.shape == (0, 2)
