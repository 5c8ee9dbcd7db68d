"""The Jensen–Shannon divergence, by its definition."""

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["jensen_shannon"]

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
