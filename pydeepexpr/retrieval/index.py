"""An index of distributions: exact nearest neighbours by Jensen–Shannon divergence without looking at most rows.

Three sieves, each of which keeps every row that may be among the k nearest: bounds from some coordinates (`Simplex`),
the divergence in float32 with a bound on its rounding, and the divergence by its definition in float64. What remains is
what `rank` finds, to the last bit and with ties in the same order.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval.distributions import Distributions
from pydeepexpr.retrieval.divergence import divergence_matrix, jensen_shannon
from pydeepexpr.retrieval.kernels import SEGMENT, inner_products, own_sums, sieve, smallest, threads_for
from pydeepexpr.retrieval.search import rank
from pydeepexpr.retrieval.simplex import Simplex

__all__ = ["Index"]

_PAIRS = 1 << 20  # queries times rows that are bounded together: 4 MiB of float32 …
_TOGETHER = 16  # … but at least so many queries: a sixteenth of what 512 features take
_FETCH = 1 << 13  # pairs whose rows are taken from a disk together: at most 16 MiB of 512 float32
_MANY = 16  # queries for whose full rankings a compiled function pays, however few the rows
_SORTED = 256  # smallest values of a row that are found sooner by insertion than by partition
_SEEDS = 32  # rows beyond k that are compared first, so that their k-th nearest says where to stop


class Index:
    """Distributions that are searched many times.

    The first queries are compared with every row. When as many were asked as there are landmarks, whose divergences
    from all rows the coordinates need, the coordinates have paid, and are computed (`project`).

    Parameters
    ----------
    distributions : (N, D) float32 array, or Distributions
        One a row. An array lies in memory (or is a memory map); of `Distributions` only those rows are made that a
        query asks for: beside the features' own file, memory holds a seventh of it.
    landmarks, axes : int
        How many rows are drawn to span the coordinates, and how many coordinates there are.
    seed : int
        Of the draw. It decides how fast the search is, never what it finds.
    small : int
        Up to so many rows NumPy alone serves, by the definition: it has nothing to compile and is as fast.

    Attributes
    ----------
    asked, compared, evaluated : int
        How many queries were asked so far, how many rows were compared with them in float32, and by the definition.

    Raises
    ------
    UserError
        If there is no row, or a row is no distribution.
    """

    def __init__(
        self,
        distributions: np.ndarray | Distributions,
        *,
        landmarks: int = 128,
        axes: int = 61,
        seed: int = 0,
        small: int = 2048,
    ) -> None:
        if len(distributions.shape) != 2 or 0 in distributions.shape:
            raise UserError(f"an index needs distributions of shape (N, D), not {distributions.shape}")
        if isinstance(distributions, np.ndarray):
            distributions = np.ascontiguousarray(distributions, dtype=np.float32)
        self._rows = distributions
        self._landmarks, self._axes, self._seed = landmarks, axes, seed
        self._is_small = len(distributions) <= small
        self._simplex: Simplex | None = None
        for block in self._blocks():
            _check(block)
        self._rounding = _rounding(distributions.shape[1])
        self.asked = self.compared = self.evaluated = 0

    def __len__(self) -> int:
        return len(self._rows)

    def project(self) -> None:
        """Compute the coordinates now, not after the first queries."""
        chosen = np.random.default_rng(self._seed).permutation(len(self))[: self._landmarks]
        simplex = Simplex(self._rows[np.sort(chosen)], self._axes)
        self._coordinates, start = np.empty((len(self), simplex.width), np.float32), 0
        for block in self._blocks():
            self._coordinates[start : start + len(block)] = simplex.rows(block)
            start += len(block)
        self._simplex = simplex

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of each query, nearest first.

        Parameters
        ----------
        queries : (Q, D) array
            Distributions; rounded to float32 as the rows are.
        k : int
            1…N.

        Returns
        -------
        rows : (Q, k) int64 array
            Of rows at exactly the same divergence the smaller number comes first.
        divergence : (Q, k) float64 array
            0…ln 2, not decreasing.

        Raises
        ------
        UserError
            If `k` is not in 1…N, the shapes do not fit, or a query is no distribution.
        """
        queries = self._checked(queries)
        if not 1 <= k <= len(self):
            raise UserError(f"cannot return the top {k} of a store of {len(self)} rows; ask for 1 to {len(self)}")
        rows, divergence = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        if self._is_small:
            stored = self._rows[:]
            for number, query in enumerate(queries):
                rows[number], divergence[number] = rank(query, stored, k)
            self.evaluated += len(queries) * len(self)
        else:
            if self._simplex is None and self.asked >= self._landmarks:
                self.project()
            size = max(_TOGETHER, _PAIRS // len(self))
            for start in range(0, len(queries), size):
                part = slice(start, start + size)
                rows[part], divergence[part] = self._search(queries[part], k)
        self.asked += len(queries)
        return rows, divergence

    def divergences(self, queries: np.ndarray) -> np.ndarray:
        """Return the divergence of every row from each query, for full rankings.

        Parameters
        ----------
        queries : (Q, D) array
            Distributions; rounded to float32 as the rows are.

        Returns
        -------
        (Q, N) float64 array
            0…ln 2, within 1e-13 of `jensen_shannon`; equal rows have equal values.
        """
        queries = self._checked(queries)
        if self._is_small and len(queries) < _MANY:
            stored = self._rows[:]
            return np.array([jensen_shannon(query, stored) for query in queries]).reshape(len(queries), len(self))
        parts, start = [], 0
        for block in self._blocks():
            parts.append(divergence_matrix(queries, block, self._own[start : start + len(block)]))
            start += len(block)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        with threads_for(queries.size):
            own = own_sums(queries)
        near = self._near(queries, own, *self._bounds(queries, own, k))
        farthest = np.take_along_axis(near, _smallest(near, k), axis=1).max(axis=1)
        rows, divergence = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        for number, query in enumerate(queries):
            final = np.flatnonzero(near[number] <= farthest[number] + np.float32(2 * self._rounding))
            exact = jensen_shannon(query, self._rows[final])
            nearest = np.argsort(exact, kind="stable")[:k]  # `final` is in row order, which settles ties
            rows[number], divergence[number] = final[nearest], exact[nearest]
            self.evaluated += len(final)
        return rows, divergence

    def _bounds(self, queries: np.ndarray, own: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return lower bounds of all divergences, (Q, N), and how small those of the k nearest are at most, (Q,)."""
        if self._simplex is None:
            return _no_bounds(len(queries), len(self))
        asked = self._simplex.queries(queries)
        with threads_for(len(asked) * self._coordinates.size):
            lower = inner_products(asked, self._coordinates)
        seeds = _smallest(lower, min(k + _SEEDS, len(self)))
        enough = np.empty(len(queries), np.float32)
        for number, chosen in enumerate(seeds):
            one = slice(number, number + 1)
            rows = self._rows[chosen], self._own[chosen]
            near = _approximate(queries[one], own[one], *rows, *_no_bounds(1, len(chosen)))
            enough[number] = np.partition(near[0], k - 1)[k - 1]
        return lower, enough + np.float32(self._rounding + self._simplex.slack)

    def _near(self, queries: np.ndarray, own: np.ndarray, lower: np.ndarray, enough: np.ndarray) -> np.ndarray:
        """Return divergences at most `_rounding` beside the true ones, (Q, N) float32; infinity where bounds exceed."""
        needed = lower <= enough[:, None]
        self.compared += np.count_nonzero(needed)
        if isinstance(self._rows, np.ndarray):
            return _approximate(queries, own, self._rows, self._own, lower, enough)
        near = np.full(lower.shape, np.inf, np.float32)
        columns = np.flatnonzero(needed.any(axis=0))
        for start in range(0, len(columns), _FETCH):
            these = columns[start : start + _FETCH]
            part = np.ascontiguousarray(lower[:, these])
            near[:, these] = _approximate(queries, own, self._rows[these], self._own[these], part, enough)
        return near

    @cached_property
    def _own(self) -> np.ndarray:
        return np.concatenate([own_sums(block) for block in self._blocks()])

    def _blocks(self) -> Iterator[np.ndarray]:
        """Yield the rows in order, as arrays."""
        if isinstance(self._rows, np.ndarray):
            yield self._rows
        else:
            for start in range(0, len(self), _FETCH):
                yield self._rows[start : start + _FETCH]

    def _checked(self, queries: np.ndarray) -> np.ndarray:
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self._rows.shape[1]:
            raise UserError(f"queries of shape {queries.shape} cannot be compared with rows of {self._rows.shape[1]}")
        _check(queries)
        return queries


def _no_bounds(queries: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds that keep every row."""
    return np.zeros((queries, rows), np.float32), np.ones(queries, np.float32)


def _approximate(
    queries: np.ndarray,
    own: np.ndarray,
    rows: np.ndarray,
    rows_own: np.ndarray,
    lower: np.ndarray,
    enough: np.ndarray,
) -> np.ndarray:
    near = np.empty(lower.shape, np.float32)
    with threads_for(np.count_nonzero(lower <= enough[:, None]) * queries.shape[1]):
        sieve(queries, own, rows, rows_own, lower, enough, near)
    return near


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Return where the `count` smallest values of each row are, in no order."""
    if count > _SORTED:
        return np.argpartition(values, count - 1, axis=1)[:, :count]
    with threads_for(values.size):
        return smallest(values, count)


def _check(rows: np.ndarray) -> None:
    if not ((np.abs(rows.sum(axis=1, dtype=np.float64) - 1) < 1e-3).all() and (rows >= 0).all()):
        raise UserError("a row is no distribution: its elements must not be negative, and sum to 1 (see normalise)")


def _rounding(width: int) -> float:
    """Return how far `sieve` may be from the divergence of float32 rows with `width` elements.

    Every |s · log₂ s| enters with at most SEGMENT + 3 roundings of 2⁻²⁴ (its own and those of the sums it is part of),
    and all together are at most 2 log₂ D + 2, for Σ s = 2. log₂ itself errs by 3.7e-7, and by 6 roundings, for each s.
    The result is rounded, and what it is compared with.
    """
    terms = 2 * np.log2(max(width, 2)) + 2
    return 0.5 * np.log(2.0) * (2.0**-24 * ((SEGMENT + 3) * terms + 12) + 2 * 3.7e-7) + 4 * 2.0**-24
