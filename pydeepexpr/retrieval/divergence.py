"""The Jensen–Shannon divergence: of one distribution from many by its definition, of many from many by less work."""

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["divergence_matrix", "jensen_shannon"]

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


def divergence_matrix(queries: np.ndarray, store: np.ndarray) -> np.ndarray:
    """Return the Jensen–Shannon divergence of each of several distributions from each of many.

    Where a query's element is 0, the store's adds q · ln 2 / 2, and all of a row's elements sum to 1. So

        JS(p, q) = ln 2 + ½ Σ [p ln p + q ln q − (p + q) ln(p + q)], the sum taken where p > 0,

    which needs a logarithm only for the elements that are not 0 in the query: a sixth of FC6 after its ReLU. The values
    agree with `jensen_shannon` to 1e-14.

    Parameters
    ----------
    queries : (Q, D) array
        Distributions, one a row: not negative, summing to 1.
    store : (N, D) array
        Distributions, one a row.

    Returns
    -------
    (Q, N) float64 array
        Values in 0…ln 2; equal rows of the store have equal values.
    """
    queries, store = np.asarray(queries, dtype=np.float64), np.asarray(store, dtype=np.float64)
    if queries.ndim != 2 or store.ndim != 2 or store.shape[1] != queries.shape[1]:
        raise UserError(f"queries of shape {queries.shape} cannot be compared with a store of shape {store.shape}")
    # One row an element, so that a query's elements are whole rows, and sums over them run in the same order for all.
    store = np.ascontiguousarray(store.T)
    entropy = _x_log_x(store)
    result = np.empty((len(queries), store.shape[1]))
    for query, row in zip(queries, result, strict=True):
        there = np.flatnonzero(query)
        own = _x_log_x(query[there]).sum()
        for start in range(0, len(row), _BLOCK):
            part = slice(start, start + _BLOCK)
            total = store[there, part] + query[there, None]
            row[part] = own + (entropy[there, part] - total * np.log(total)).sum(axis=0)
    return np.clip(np.log(2.0) + 0.5 * result, 0.0, np.log(2.0))


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(x, out=np.zeros_like(x), where=x > 0)
