"""The retrieval score (Aneja et al. 2016, equation 6) and the ranks it is made of, on arrays alone.

Ranks count from 1, and images at exactly the same distance share the mean of the ranks they hold together, so that a
score does not depend on the order in which a store happens to list its images.
"""

import numpy as np
from scipy.stats import rankdata

from pydeepexpr.errors import UserError

__all__ = ["mid_ranks", "retrieval_score", "sorted_ranks"]


def mid_ranks(distances: np.ndarray) -> np.ndarray:
    """Rank the images of a database for each query, nearest first.

    Parameters
    ----------
    distances : (Q, N) array
        One row a query; NaN where unknown.

    Returns
    -------
    (Q, N) float64 array
        Ranks 1…N; ties share their mid-rank. What is at an unknown distance comes last, all of it tied.

    Examples
    --------
    >>> mid_ranks(np.array([[0.2, 0.1, 0.2, np.nan]]))
    array([[2.5, 1. , 2.5, 4. ]])
    """
    distances = np.asarray(distances, dtype=np.float64)
    return rankdata(np.where(np.isnan(distances), np.inf, distances), axis=1)


def sorted_ranks(ranks: np.ndarray, geometric: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Re-sort matched images among the ranks they hold; every other image keeps its rank.

    What `retrieval.refine` does to an order, done to ranks with ties: images at the same geometric distance share the
    mean of the ranks that fall to them.

    Parameters
    ----------
    ranks : (Q, N) array
        As `mid_ranks` returns them.
    geometric : (Q, N) array
        Geometric distances. Images with NaN keep their ranks.
    matched : (Q, N) bool array
        Whether the image's predicted label is the query's.

    Returns
    -------
    (Q, N) float64 array

    Examples
    --------
    >>> sorted_ranks(np.array([[1.0, 2.0, 3.0]]), np.array([[0.3, 0.2, 0.1]]), np.array([[True, False, True]]))
    array([[3., 2., 1.]])
    """
    if not np.shape(ranks) == np.shape(geometric) == np.shape(matched):
        raise UserError("ranks, geometric distances and matches must be of one shape")
    result = np.array(ranks, dtype=np.float64)
    for row, distance, moves in zip(result, geometric, matched & ~np.isnan(geometric), strict=True):
        if moves.any():
            _, group, sizes = np.unique(distance[moves], return_inverse=True, return_counts=True)
            held = np.add.reduceat(np.sort(row[moves]), np.cumsum(sizes) - sizes) / sizes
            row[moves] = held[group]
    return result


def retrieval_score(ranks: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Return how far down the relevant images stand: the average normalised rank.

    score = 1 / (N·Nrel) · (Σ Rk − Nrel·(Nrel + 1) / 2), with Rk the rank of the k-th relevant image, Nrel their number
    and N that of all images (Aneja et al. 2016, equation 6, where the typesetting has lost the fraction bar).

    Parameters
    ----------
    ranks : (Q, N) array
        Ranks from 1, one row a query.
    relevant : (Q, N) bool array
        Whether the image carries the query's true label.

    Returns
    -------
    (Q,) float64 array
        0 where all relevant images come first; (N − Nrel) / N where they come last, half of that by chance. NaN where
        no image is relevant.

    Examples
    --------
    >>> retrieval_score(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[True, False, False, True]]))
    array([0.25])
    """
    ranks, relevant = np.asarray(ranks, dtype=np.float64), np.asarray(relevant, dtype=bool)
    if ranks.ndim != 2 or ranks.shape != relevant.shape:
        raise UserError(f"ranks of shape {ranks.shape} do not fit relevance of shape {relevant.shape}")
    count = relevant.sum(axis=1)
    excess = np.where(relevant, ranks, 0.0).sum(axis=1) - count * (count + 1) / 2
    return np.divide(excess, ranks.shape[1] * count, out=np.full(len(ranks), np.nan), where=count > 0)
