"""Voting schemes: many orders of the same things become one."""

from collections.abc import Callable
from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from pydeepexpr.errors import UserError

__all__ = ["DEFAULT_VOTING", "VOTING", "Scheme", "borda", "kemeny"]

_MOST = 8  # things whose orders Kemeny's rule goes through: 8! = 40,320


def borda(ranks: np.ndarray) -> np.ndarray:
    """Order things by the sum of their ranks (Borda count, least first).

    Parameters
    ----------
    ranks : (V, N) int array
        The rank, from 1, that each of V voters gave each of N things; a row is a permutation of 1 to N.

    Returns
    -------
    (N,) float array
        The rank, from 1; equal sums share their mid-rank.

    Examples
    --------
    >>> borda(np.array([[1, 2, 3], [1, 3, 2]])).tolist()  # sums 2, 5, 5
    [1.0, 2.5, 2.5]
    """
    return rankdata(_checked(ranks).sum(axis=0))


def kemeny(ranks: np.ndarray) -> np.ndarray:
    """Order things so that as few pairs as possible stand against a vote (Kemeny's rule, exact).

    Of all N! orders, the one counts that has the least sum, over the voters, of pairs in the other order (Kendall's
    distance; Kemeny 1959). Where several orders do equally well, a thing's places in them are averaged, and things
    are ranked by that: so the result hangs neither on names nor on the order of the voters, but need not be one of
    these orders.

    Parameters
    ----------
    ranks : (V, N) int array
        As in `borda`; at most 8 things.

    Returns
    -------
    (N,) float array
        The rank, from 1; equal averages share their mid-rank.

    Raises
    ------
    UserError
        If there are more things than whose orders can be gone through.

    Examples
    --------
    >>> kemeny(np.array([[1, 2, 3], [1, 2, 3], [3, 1, 2]])).tolist()
    [1.0, 2.0, 3.0]
    """
    ranks = _checked(ranks)
    number = ranks.shape[1]
    if number > _MOST:
        raise UserError(f"{number} faces have too many orders for kemeny; use --voting borda")
    against = (ranks[:, :, None] > ranks[:, None, :]).sum(axis=0)  # voters who put j before i, by i and j
    orders = np.array(list(permutations(range(1, number + 1))))
    costs = np.zeros(len(orders), dtype=np.int64)
    for i, j in permutations(range(number), 2):
        costs += np.where(orders[:, i] < orders[:, j], against[i, j], 0)
    return rankdata(orders[costs == costs.min()].sum(axis=0))


class Scheme(NamedTuple):
    """A way to make one order of many: what it is called, and the function from (V, N) ranks to (N,)."""

    title: str
    combine: Callable[[np.ndarray], np.ndarray]


#: Voting schemes by name.
VOTING = {"borda": Scheme("Borda count", borda), "kemeny": Scheme("Kemeny's rule", kemeny)}

DEFAULT_VOTING = "borda"


def _checked(ranks: np.ndarray) -> np.ndarray:
    ranks = np.asarray(ranks)
    if ranks.ndim != 2 or not ranks.size or (np.sort(ranks, axis=1) != np.arange(1, ranks.shape[1] + 1)).any():
        raise ValueError(f"each voter's ranks must be a permutation of 1 to N, and there must be one; got {ranks!r}")
    return ranks.astype(np.int64)
