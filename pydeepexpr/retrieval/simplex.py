"""Bounds on the Jensen–Shannon divergence from a few coordinates of each distribution.

√JS is the distance of a Hilbert space (Fuglede and Topsøe, "Jensen–Shannon divergence and Hilbert space embedding",
2004), so distributions may be treated as points of it, and divergences from some landmarks say where a point's
projection onto the space that these span lies, and how far from it the point is: the n-simplex projection of Connor,
Vadicamo and Rabitti ("High-dimensional simplexes for supermetric search", 2017), here on principal axes of the
landmarks, as in classical scaling. For points with projections x, y and heights r, s above them

    ‖x − y‖² + (r − s)² ≤ JS ≤ ‖x − y‖² + (r + s)².
"""

import numpy as np

from pydeepexpr.retrieval.divergence import divergence_matrix
from pydeepexpr.retrieval.kernels import own_sums

__all__ = ["Simplex"]

_LEAST_VARIANCE = 1e-6  # of all axes' together: axes with less would magnify rounding


class Simplex:
    """A projection onto the principal axes of some landmarks.

    Parameters
    ----------
    landmarks : (L, D) array
        Distributions. Those of the data that are to be searched, or like them, bound best.
    axes : int
        How many of at most L − 1 axes to keep.

    Attributes
    ----------
    width : int
        How many numbers a lower bound needs of a row, and of a query: A + 3 with A axes.
    slack : float
        What float32 arithmetic on coordinates may add to a lower bound.
    """

    def __init__(self, landmarks: np.ndarray, axes: int) -> None:
        self._landmarks = np.ascontiguousarray(landmarks)
        self._own = own_sums(self._landmarks)
        squared = divergence_matrix(self._landmarks, self._landmarks)
        squared = (squared + squared.T) / 2
        self._column_mean = squared.mean(axis=0)
        self._mean = squared.mean()
        inner = -0.5 * (squared - self._column_mean - self._column_mean[:, None] + self._mean)
        variance, direction = np.linalg.eigh(inner)
        kept = np.flatnonzero(variance > _LEAST_VARIANCE * max(inner.trace(), 1e-12))[::-1][:axes]
        self.width = len(kept) + 3
        self._basis = direction[:, kept] / np.sqrt(variance[kept])
        # A sum of n products errs by at most (n + 2) · 2⁻²⁴ of what their magnitudes sum to: 4 ln 2, for no point is
        # farther than √ln 2 from the landmarks' mean.
        self.slack = (len(kept) + 8) * 2.0**-24 * 4 * np.log(2.0)

    def project(self, distributions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where points lie.

        Parameters
        ----------
        distributions : (N, D) array

        Returns
        -------
        projections : (N, A) float64 array
            Coordinates on the axes, from the landmarks' mean.
        heights : (N,) float64 array
            Above the axes, ≥ 0.
        squares : (N,) float64 array
            Squared distances from the landmarks' mean, 0…ln 2.
        """
        if len(distributions) < len(self._landmarks):  # a few rows are dear to turn, a few queries are not
            squared = divergence_matrix(distributions, self._landmarks, self._own)
        else:
            squared = divergence_matrix(self._landmarks, distributions).T
        squares = np.maximum(squared.mean(axis=1) - 0.5 * self._mean, 0.0)
        projections = -0.5 * (squared - self._column_mean) @ self._basis
        heights = np.sqrt(np.maximum(squares - (projections**2).sum(axis=1), 0.0))
        return projections, heights, squares

    def rows(self, distributions: np.ndarray) -> np.ndarray:
        """Return what of some rows a lower bound needs, (N, width) float32."""
        projections, heights, squares = self.project(distributions)
        return np.column_stack([projections, heights, squares, np.ones_like(squares)]).astype(np.float32)

    def queries(self, distributions: np.ndarray) -> np.ndarray:
        """Return what of some queries a lower bound needs, (Q, width) float32.

        `simplex.queries(p) @ simplex.rows(q).T` (or `kernels.inner_products`) are the bounds: ‖x − y‖² + (r − s)² is
        the sum of both points’ squared lengths less twice their inner product. They may exceed the divergence by
        `slack`.
        """
        projections, heights, squares = self.project(distributions)
        return np.column_stack([-2 * projections, -2 * heights, np.ones_like(squares), squares]).astype(np.float32)
