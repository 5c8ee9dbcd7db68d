"""Exact ranking of a store by its divergence from a query."""

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval.divergence import jensen_shannon

__all__ = ["rank"]


def rank(query: np.ndarray, store: np.ndarray, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rank the rows of a store by their Jensen–Shannon divergence from a query, nearest first.

    Parameters
    ----------
    query : (D,) array
        The query's distribution.
    store : (N, D) array
        The store's distributions, one a row.
    k : int, optional
        How many to return, 1…N; all of them when not given.

    Returns
    -------
    rows : (k,) int64 array
        Row numbers, nearest first. Of rows at exactly the same divergence the smaller number comes first.
    divergence : (k,) float64 array
        Their divergences, 0…ln 2, not decreasing.

    Raises
    ------
    UserError
        If `k` is not in 1…N or the shapes do not fit.
    """
    divergence = jensen_shannon(query, store)
    count = len(divergence)
    if k is None:
        rows = np.argsort(divergence, kind="stable")
    elif not 1 <= k <= count:
        raise UserError(f"cannot return the top {k} of a store of {count} rows; ask for 1 to {count}")
    else:
        farthest = np.partition(divergence, k - 1)[k - 1]
        rows = np.flatnonzero(divergence <= farthest)  # in row order, so a stable sort settles ties
        rows = rows[np.argsort(divergence[rows], kind="stable")][:k]
    return rows.astype(np.int64), divergence[rows]
