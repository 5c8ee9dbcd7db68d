"""The Jensen–Shannon divergence: of one distribution from many by its definition, of many from many by less work."""

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval.kernels import joint_sums, overlap_sums, own_sums, threads_for

__all__ = ["divergence_matrix", "jensen_shannon"]

_SEVERAL = 4  # queries for which it pays to turn rows, so that elements that are 0 in a query are skipped
_BLOCK = 256  # rows at a time: 1 MiB of 512 float64, which stays in a core's cache


def jensen_shannon(query: np.ndarray, store: np.ndarray) -> np.ndarray:
    """Return the Jensen–Shannon divergence of one distribution from each of many.

    JS(H, C) = ½ D(H‖M) + ½ D(C‖M) with M = ½ (H + C), D the Kullback–Leibler divergence and the natural logarithm
    (Aneja et al. 2016, equations 4 and 5). An element that is 0 adds nothing: 0 · log 0 = 0.

    Parameters
    ----------
    query : (D,) array
        A distribution: not negative, summing to 1.
    store : (N, D) array
        Distributions, one a row. Converted to float64 in blocks, so it may be a memory map.

    Returns
    -------
    (N,) float64 array
        Values in 0…ln 2; exactly 0 for equal rows, exactly symmetric, the same for equal rows wherever they stand.

    Examples
    --------
    >>> jensen_shannon(np.array([1.0, 0.0]), np.array([[1.0, 0.0], [0.0, 1.0]])).round(4)
    array([0.    , 0.6931])
    """
    query = np.asarray(query, dtype=np.float64)
    if query.ndim != 1 or store.ndim != 2 or store.shape[1] != len(query):
        raise UserError(f"a query of shape {query.shape} cannot be compared with a store of shape {store.shape}")
    result = np.empty(len(store))
    for start in range(0, len(store), _BLOCK):
        block = np.asarray(store[start : start + _BLOCK], dtype=np.float64)
        total = query + block
        divergence = 0.5 * (_relative_entropy(query, total) + _relative_entropy(block, total))
        result[start : start + _BLOCK] = np.clip(divergence, 0.0, np.log(2.0))  # rounding may pass the ends by 1e-16
    return result


def _relative_entropy(p: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return Σ p · log(2p / total) along the last axis: D(p‖M), written so that a tiny M does not underflow."""
    p = np.broadcast_to(p, total.shape)
    ratio = np.divide(2.0 * p, total, out=np.ones_like(total), where=p > 0)
    return (p * np.log(ratio)).sum(axis=-1)


def divergence_matrix(queries: np.ndarray, store: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Return the Jensen–Shannon divergence of each of several distributions from each of many, compiled.

    With H(x) = Σ x + x log₂ x,

        2 JS(p, q) / ln 2 = H(p) + H(q) − Σ s log₂ s,  s = p + q.

    Where a query's element p is 0, s is q, so the terms of q and s cancel but for q itself, and logarithms are needed
    for the others only: a fifth of FC6 after its ReLU.

    Parameters
    ----------
    queries : (Q, D) array
        Distributions, one a row: not negative, summing to 1.
    store : (N, D) array
        Distributions, one a row.
    own : (N,) float64 array, optional
        H of each row of the store (`kernels.own_sums`), where it is known.

    Returns
    -------
    (Q, N) float64 array
        Values in 0…ln 2, within 1e-13 of `jensen_shannon`; equal rows of the store have equal values.
    """
    queries, store = np.ascontiguousarray(queries, dtype=np.float64), np.ascontiguousarray(store)
    if queries.ndim != 2 or store.ndim != 2 or store.shape[1] != queries.shape[1]:
        raise UserError(f"queries of shape {queries.shape} cannot be compared with a store of shape {store.shape}")
    if store.dtype != np.float32:
        store = store.astype(np.float64, copy=False)
    result = np.empty((len(queries), len(store)))
    with threads_for(queries.size * len(store)):
        # Where most elements of the queries are above 0 there is nothing to skip.
        if (own is not None and len(queries) < _SEVERAL) or 2 * np.count_nonzero(queries) > queries.size:
            joint_sums(queries, store, result)
            np.subtract(own_sums(store) if own is None else own, result, out=result)
        else:
            overlap_sums(queries, store, result)
            result += store.sum(axis=1, dtype=np.float64)
        result += own_sums(queries)[:, None]
    result *= 0.5 * np.log(2.0)
    return np.clip(result, 0.0, np.log(2.0), out=result)
