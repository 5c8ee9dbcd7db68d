"""Equation 6 and its ranks, by hand and against counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.score import mid_ranks, retrieval_score, sorted_ranks
from pydeepexpr.retrieval import refine

DISTANCES = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, np.nan])


def test_ranks_by_hand():
    distances = np.array([[0.3, 0.1, 0.2, 0.4], [0.2, 0.1, 0.2, np.nan], [0.0, 0.0, 0.0, 0.0], [np.nan] * 4])
    expected = [[3, 1, 2, 4], [2.5, 1, 2.5, 4], [2.5] * 4, [2.5] * 4]
    np.testing.assert_array_equal(mid_ranks(distances), expected)


def test_scores_by_hand():
    ranks = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]] * 5)
    relevant = np.array(
        [
            [1, 1, 0, 0, 0],  # first: 0
            [0, 0, 0, 1, 1],  # last: (4 + 5 − 3) / (5 · 2)
            [1, 0, 0, 0, 1],  # (1 + 5 − 3) / 10
            [1, 1, 1, 1, 1],  # nothing else to retrieve
            [0, 0, 0, 0, 0],  # nothing to retrieve
        ],
        dtype=bool,
    )
    np.testing.assert_allclose(retrieval_score(ranks, relevant), [0, 0.6, 0.3, 0, np.nan])


def test_ties_score_as_chance_does():
    ranks = mid_ranks(np.zeros((1, 10)))
    relevant = np.arange(10)[None] < 3
    np.testing.assert_allclose(retrieval_score(ranks, relevant), [(10 - 3) / (2 * 10)])


@given(hnp.arrays(np.float64, (3, 7), elements=DISTANCES), hnp.arrays(bool, (3, 7)))
def test_a_score_counts_the_pairs_in_the_wrong_order(distances, relevant):
    """Σ Rk − Nrel(Nrel + 1)/2 is the number of irrelevant images before relevant ones, ties counting half."""
    scores = retrieval_score(mid_ranks(distances), relevant)
    far = np.where(np.isnan(distances), np.inf, distances)
    for score, distance, wanted in zip(scores, far, relevant, strict=True):
        if not wanted.any():
            assert np.isnan(score)
            continue
        before = sum((d < r) + 0.5 * (d == r) for r in distance[wanted] for d in distance[~wanted])
        assert score == pytest.approx(before / (7 * wanted.sum()))


def test_sorted_ranks_by_hand():
    ranks = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
    geometric = np.array([[0.4, 0.1, 0.2, np.nan, 0.1]])
    matched = np.array([[True, True, False, True, True]])
    # Images 0, 1 and 4 hold the ranks 1, 2 and 5; 1 and 4 tie for the first two of them.
    np.testing.assert_array_equal(sorted_ranks(ranks, geometric, matched), [[5, 1.5, 3, 4, 1.5]])


@given(st.permutations(range(8)), st.permutations(range(8)), hnp.arrays(bool, 8))
def test_without_ties_the_sort_is_the_refinement(by_divergence, by_geometry, matched):
    divergence, geometric = np.array(by_divergence) / 10, np.array(by_geometry) / 10
    order = refine(np.argsort(divergence), divergence, geometric, matched)
    ranks = sorted_ranks(mid_ranks(divergence[None]), geometric[None], matched[None])[0]
    np.testing.assert_array_equal(ranks[order], np.arange(1, 9))


@given(
    hnp.arrays(np.float64, (2, 6), elements=DISTANCES),
    hnp.arrays(np.float64, (2, 6), elements=DISTANCES),
    hnp.arrays(bool, (2, 6)),
)
def test_the_sort_gives_no_rank_away(divergence, geometric, matched):
    before = mid_ranks(divergence)
    after = sorted_ranks(before, geometric, matched)
    moves = matched & ~np.isnan(geometric)
    np.testing.assert_array_equal(after[~moves], before[~moves])
    for row in range(2):
        np.testing.assert_allclose(after[row, moves[row]].sum(), before[row, moves[row]].sum())
        ordered = after[row, moves[row]][np.argsort(geometric[row, moves[row]])]
        assert (np.diff(ordered) >= 0).all()
    np.testing.assert_array_equal(mid_ranks(divergence), before)


@pytest.mark.parametrize(
    "call",
    [
        lambda: retrieval_score(np.ones((2, 3)), np.ones((2, 4), bool)),
        lambda: retrieval_score(np.ones(3), np.ones(3, bool)),
        lambda: sorted_ranks(np.ones((1, 3)), np.ones((1, 3)), np.ones((1, 2), bool)),
    ],
)
def test_shapes_that_do_not_fit(call):
    with pytest.raises(UserError, match=r"do not fit|one shape"):
        call()
