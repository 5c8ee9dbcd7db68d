"""Voting schemes against hand counts, SciPy, and what social choice theory says of them."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, rankdata

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.voting import VOTING, borda, kemeny

votes = st.integers(2, 5).flatmap(
    lambda number: st.lists(st.permutations(range(1, number + 1)), min_size=1, max_size=6).map(np.array)
)


def test_borda_by_hand():
    # a: 1+1+2+5+1 = 10, b: 2+3+1+4+2 = 12, c: 3+2+3+3+3 = 14, d: 4+5+4+2+4 = 19, e: 5+4+5+1+5 = 20
    ranks = [[1, 2, 3, 4, 5], [1, 3, 2, 5, 4], [2, 1, 3, 4, 5], [5, 4, 3, 2, 1], [1, 2, 3, 4, 5]]
    assert borda(np.array(ranks)).tolist() == [1, 2, 3, 4, 5]
    # sums 3, 3, 6: the first two share the places 1 and 2
    assert borda(np.array([[1, 2, 3], [2, 1, 3]])).tolist() == [1.5, 1.5, 3]


def test_kemeny_by_hand():
    """Borda's and Kemeny's winner differ: three put a before b before c, two put b before c before a."""
    ranks = np.array([[1, 2, 3]] * 3 + [[3, 1, 2]] * 2)
    # a before b: 3 to 2; b before c: 5 to 0; a before c: 3 to 2. So a b c stands against 2 + 0 + 2 = 4 votes;
    # b c a against 3 + 0 + 3 = 6; b a c against 3 + 2 = 5. Sums of ranks: a 9, b 8, c 13.
    assert kemeny(ranks).tolist() == [1, 2, 3]
    assert borda(ranks).tolist() == [2, 1, 3]


def test_kemeny_of_a_cycle_tells_nothing_apart():
    """The paradox of Condorcet: a beats b, b beats c, c beats a; three orders do equally well."""
    assert kemeny(np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1]])).tolist() == [2, 2, 2]


@pytest.mark.parametrize("scheme", VOTING)
@given(votes, st.randoms())
def test_neither_names_nor_the_order_of_voters_matter(scheme, ranks, lot):
    combine = VOTING[scheme].combine
    found = combine(ranks)
    voters, things = (lot.sample(range(length), length) for length in ranks.shape)
    np.testing.assert_array_equal(combine(ranks[voters]), found)
    np.testing.assert_array_equal(combine(ranks[:, things]), found[things])
    assert found.sum() == sum(range(1, ranks.shape[1] + 1))


@pytest.mark.parametrize("scheme", VOTING)
@given(votes)
def test_votes_that_agree_and_votes_turned_round(scheme, ranks):
    combine, most = VOTING[scheme].combine, ranks.shape[1] + 1
    np.testing.assert_array_equal(combine(ranks[:1].repeat(4, axis=0)), ranks[0])
    np.testing.assert_array_equal(combine(most - ranks), most - combine(ranks))


@given(votes)
def test_kemeny_puts_first_what_beats_all_others(ranks):
    """Condorcet's criterion, which Borda's count does not meet."""
    for thing in range(ranks.shape[1]):
        rest = np.delete(ranks, thing, axis=1)
        if ((ranks[:, [thing]] < rest).sum(axis=0) * 2 > len(ranks)).all():
            assert kemeny(ranks)[thing] == 1


def test_kemeny_is_the_order_nearest_to_the_votes():
    """By SciPy's τ of all pairs of orders of four: 1 − 2 · discordant / 6; the mean of those that are equally near."""
    orders = list(permutations(range(1, 5)))
    distance = np.array([[(1 - kendalltau(one, other).statistic) * 3 for other in orders] for one in orders]).round()
    lot = np.random.default_rng(3)
    several = 0
    for voters in [1, 2, 3, 4, 5, 7] * 20:
        votes = lot.integers(len(orders), size=voters)
        costs = distance[:, votes].sum(axis=1)
        best = np.array(orders)[costs == costs.min()]
        several += len(best) > 1
        np.testing.assert_array_equal(kemeny(np.array(orders)[votes]), rankdata(best.mean(axis=0).round(9)))
    assert 10 < several < 110  # both cases were met


@pytest.mark.parametrize("scheme", VOTING)
@pytest.mark.parametrize("ranks", [[], [[]], [1, 2], [[1, 1]], [[0, 1]], [[1, 3]], [[1, 2], [2, 2]], [[1.5, 1.5]]])
def test_what_is_no_permutation(scheme, ranks):
    with pytest.raises(ValueError, match="permutation"):
        VOTING[scheme].combine(np.array(ranks))


def test_too_many_orders_to_go_through():
    with pytest.raises(UserError, match="--voting borda"):
        kemeny(np.arange(1, 10)[None])
