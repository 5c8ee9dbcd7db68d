"""The inner loops of the Jensen–Shannon divergence, compiled: sums of s · log₂ s without a library's logarithm.

A logarithm is a float's exponent plus a polynomial in its mantissa, which a processor computes for several elements at
once. The polynomials interpolate log₂ at Chebyshev's points of √½…√2, where their error falls by 3 + √8 a degree.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads
from numpy.polynomial import Chebyshev, Polynomial

__all__ = [
    "SEGMENT",
    "inner_products",
    "joint_sums",
    "overlap_sums",
    "own_sums",
    "sieve",
    "smallest",
    "threads_for",
]

#: Elements that are summed in float32 before they enter a float64 sum: it bounds the rounding of `sieve`.
SEGMENT = 64

_LEAST_SHARE = 1 << 19  # elements that are worth a thread: a fifth of a millisecond
_HALF_LN2 = 0.5 * np.log(2.0)
_PARTS, _RUN = 64, 64  # `sieve` deals out rows to so many heaps, so many at a time
_LINE = 16  # float32 of a line of the cache
_TILE = 64  # rows that are turned together: 512 float64 of each, twice, fit a core's cache


def _log2_polynomial(degree: int, dtype: type) -> tuple[float, ...]:
    """Return coefficients of log₂(1 + f) for f in √½ − 1…√2 − 1, the lowest first."""
    ends = [np.sqrt(0.5) - 1.0, np.sqrt(2.0) - 1.0]
    fitted = Chebyshev.interpolate(lambda f: np.log2(1.0 + f), degree, domain=ends)
    return tuple(dtype(c) for c in fitted.convert(kind=Polynomial, domain=[-1, 1]).coef)


_FIRST32 = np.sqrt(np.float32(0.5)).view(np.int32)  # the bits of the least mantissa that is left as it is
_FIRST64 = np.sqrt(np.float64(0.5)).view(np.uint64)
_ONE64 = np.float64(1.0).view(np.uint64)
_TWO52 = np.float64(2.0**52).view(np.uint64)
_POLY32 = _log2_polynomial(7, np.float32)  # within 3.7e-7
_POLY64 = _log2_polynomial(18, np.float64)  # within 1.4e-15

# A logarithm is computed as it is written, but for products that are joined with sums; sums of many of them may be
# taken in any order. Nothing else of IEEE's rules is given up.
_EXACT = {"fastmath": {"contract"}, "error_model": "numpy", "cache": True, "nogil": True}
_VECTOR = {**_EXACT, "fastmath": {"reassoc", "contract", "nsz"}}


@njit(**_EXACT)
def _log2_32(x):
    """Return log₂ x of a float32 > 0; some finite number for 0."""
    bits = np.int32(np.float32(x).view(np.int32) - _FIRST32)
    mantissa = np.int32(np.int32(bits & np.int32(0x7FFFFF)) + _FIRST32)
    f = mantissa.view(np.float32) - np.float32(1.0)
    r = _POLY32[7]
    r = r * f + _POLY32[6]
    r = r * f + _POLY32[5]
    r = r * f + _POLY32[4]
    r = r * f + _POLY32[3]
    r = r * f + _POLY32[2]
    r = r * f + _POLY32[1]
    r = r * f + _POLY32[0]
    return np.float32(np.int32(bits >> np.int32(23))) + r


@njit(**_EXACT)
def _log2_64(x):
    """Return log₂ x of a float64 > 0; some finite number for 0."""
    bits = np.uint64(np.uint64(np.float64(x).view(np.uint64) - _FIRST64) + _ONE64)
    mantissa = np.uint64(np.uint64(bits & np.uint64(0xFFFFFFFFFFFFF)) + _FIRST64)
    f = mantissa.view(np.float64) - 1.0
    r = _POLY64[18]
    for degree in range(17, -1, -1):
        r = r * f + _POLY64[degree]
    # AVX2 cannot make a float64 of an integer of 64 bits: the exponent becomes the mantissa of 2⁵² + exponent.
    exponent = np.uint64(np.uint64(bits >> np.uint64(52)) | _TWO52)
    return (exponent.view(np.float64) - (2.0**52 + 1023.0)) + r


@njit(parallel=True, **_VECTOR)
def own_sums(rows: np.ndarray) -> np.ndarray:
    """Return Σ q + q · log₂ q of each row, (N,) float64.

    Parameters
    ----------
    rows : (N, D) float32 or float64
        Not negative.
    """
    count, width = rows.shape
    result = np.empty(count)
    for row in prange(count):
        total = 0.0
        for i in range(width):
            q = np.float64(rows[row, i])
            total += q + q * _log2_64(q)
        result[row] = total
    return result


@njit(**_VECTOR)
def _joint_sum(p, q):
    total = np.float32(0.0)
    for i in range(len(p)):
        s = p[i] + q[i]
        total += s * _log2_32(s)
    return total


@njit(parallel=True, **_VECTOR)
def inner_products(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the inner product of every query and every row, (Q, N) float32.

    For few queries it takes no longer than a matrix product of BLAS, whose threads would stay at work, waiting, while
    the functions that come next need the cores.

    Parameters
    ----------
    queries, rows : (Q, A) and (N, A) float32
    """
    result = np.empty((len(queries), len(rows)), np.float32)
    for row in prange(len(rows)):
        q = rows[row]
        for number in range(len(queries)):
            p = queries[number]
            total = np.float32(0.0)
            for i in range(len(p)):
                total += p[i] * q[i]
            result[number, row] = total
    return result


@njit(parallel=True, **_VECTOR)
def sieve(
    queries: np.ndarray,
    queries_own: np.ndarray,
    rows: np.ndarray,
    rows_own: np.ndarray,
    lower: np.ndarray,
    enough: np.ndarray,
    near: np.ndarray,
) -> None:
    """Write the divergence of each row whose lower bound is small enough, in float32 arithmetic; infinity elsewhere.

    Parameters
    ----------
    queries, rows : (Q, D) and (N, D) float32
    queries_own, rows_own : (Q,) and (N,) float64
        Their `own_sums`.
    lower : (Q, N) float32
    enough : (Q,) float32
    near : (Q, N) float32
        Where to write.
    """
    width, count = queries.shape[1], len(rows)
    whole = width - width % SEGMENT
    for part in prange(_PARTS):  # what is near often stands together: every thread has its share of each stretch
        for first in range(part * _RUN, count, _PARTS * _RUN):
            for row in range(first, min(first + _RUN, count)):
                q = rows[row]
                for number in range(len(queries)):
                    if lower[number, row] <= enough[number]:
                        p = queries[number]
                        total = 0.0
                        for start in range(0, whole, SEGMENT):
                            total += _joint_sum(p[start : start + SEGMENT], q[start : start + SEGMENT])
                        total += _joint_sum(p[whole:], q[whole:])
                        near[number, row] = _HALF_LN2 * (queries_own[number] + rows_own[row] - total)
                    else:
                        near[number, row] = np.inf


@njit(parallel=True, **_VECTOR)
def joint_sums(queries: np.ndarray, rows: np.ndarray, result: np.ndarray) -> None:
    """Write Σ s · log₂ s with s = p + q for every query p and row q, in float64 arithmetic.

    Parameters
    ----------
    queries : (Q, D) float64
    rows : (N, D) float32 or float64
        Not negative.
    result : (Q, N) float64
        Where to write.
    """
    for row in prange(len(rows)):
        q = rows[row]
        for number in range(len(queries)):
            p = queries[number]
            total = 0.0
            for i in range(len(p)):
                s = p[i] + np.float64(q[i])
                total += s * _log2_64(s)
            result[number, row] = total


@njit(parallel=True, **_VECTOR)
def overlap_sums(queries: np.ndarray, rows: np.ndarray, result: np.ndarray) -> None:
    """Write Σ q · log₂ q − s · log₂ s with s = p + q over the elements where p > 0, for every query p and row q.

    Only a query's elements that are not 0 are looked at, a few rows at a time, each in a column of its own: all sums
    run in the same order, whatever stands beside them.

    Parameters
    ----------
    queries : (Q, D) float64
    rows : (N, D) float32 or float64
        Not negative.
    result : (Q, N) float64
        Where to write.
    """
    count, width = rows.shape
    there = np.empty((len(queries), width), np.int32)
    used = np.zeros(len(queries), np.int64)
    asked = np.zeros(width, np.bool_)
    for number in range(len(queries)):
        for i in range(width):
            if queries[number, i] > 0:
                there[number, used[number]] = i
                used[number] += 1
                asked[i] = True
    for tile in prange((count + _TILE - 1) // _TILE):
        first = tile * _TILE
        size = min(_TILE, count - first)
        turned = np.zeros((width, _TILE))
        own = np.empty((width, _TILE))
        for block in range(0, width, _LINE):
            for row in range(size):
                for i in range(block, min(block + _LINE, width)):
                    turned[i, row] = rows[first + row, i]
        for i in range(width):
            if asked[i]:
                for row in range(_TILE):
                    own[i, row] = turned[i, row] * _log2_64(turned[i, row])
        sums = np.empty(_TILE)
        for number in range(len(queries)):
            sums[:] = 0.0
            for place in range(used[number]):
                i = there[number, place]
                p = queries[number, i]
                for row in range(_TILE):
                    s = turned[i, row] + p
                    sums[row] += own[i, row] - s * _log2_64(s)
            for row in range(size):
                result[number, first + row] = sums[row]


@njit(parallel=True, **_VECTOR)
def smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Return where the `count` smallest values of each row are, (Q, count) int64, in no order.

    Parameters
    ----------
    values : (Q, N) float32
    count : int
        1…N.
    """
    result = np.empty((len(values), count), np.int64)
    for number in prange(len(values)):
        row, kept = values[number], result[number]
        kept[:] = np.arange(count)
        worst = np.argmax(row[:count])
        for i in range(count, len(row)):
            if row[i] < row[kept[worst]]:
                kept[worst] = i
                for other in range(count):
                    if row[kept[other]] > row[kept[worst]]:
                        worst = other
    return result


@contextmanager
def threads_for(elements: int) -> Iterator[None]:
    """Let the functions above start no more threads than so many elements are worth."""
    usual = get_num_threads()
    set_num_threads(max(1, min(usual, elements // _LEAST_SHARE)))
    try:
        yield
    finally:
        set_num_threads(usual)
