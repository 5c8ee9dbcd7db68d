"""Distributions that are made of features as they are asked for, so that a store may be larger than memory."""

import numpy as np

from pydeepexpr.retrieval.normalise import normalise
from pydeepexpr.workers import available_memory

__all__ = ["Distributions"]

_BLOCK = 4096  # rows that are normalised at a time, in float64


class Distributions:
    """Features as distributions in float32, normalised row by row when they are asked for.

    To the search it is an array: it has a shape, and `distributions[rows]` is an array of those rows.

    Parameters
    ----------
    features : (N, D) array
        FC6, for instance a memory map.
    how : {'l1', 'softmax', 'class-weight'}
    predicted : (N,) integer array, optional
    fc7 : (C, D) array, optional
        As `normalise` has them.

    Examples
    --------
    >>> lazy = Distributions(np.array([[1.0, 3.0], [2.0, 2.0], [4.0, 0.0]]), "l1")
    >>> lazy.shape, lazy[1:]
    ((3, 2), array([[0.5, 0.5],
           [1. , 0. ]], dtype=float32))
    """

    def __init__(
        self, features: np.ndarray, how: str, *, predicted: np.ndarray | None = None, fc7: np.ndarray | None = None
    ) -> None:
        self._features, self._how, self._predicted, self._fc7 = features, how, predicted, fc7

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and elements."""
        return self._features.shape

    def __len__(self) -> int:
        return len(self._features)

    def loaded(self) -> "np.ndarray | Distributions":
        """Return them all as an array where half of the memory that is free has room for it, else themselves."""
        return self[:] if 4 * self._features.size <= available_memory() // 2 else self

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        features = self._features[rows]
        predicted = None if self._predicted is None else self._predicted[rows]
        result = np.empty(features.shape, dtype=np.float32)
        for start in range(0, len(features), _BLOCK):
            part = slice(start, start + _BLOCK)
            labels = None if predicted is None else predicted[part]
            result[part] = normalise(features[part], self._how, predicted=labels, fc7=self._fc7)
        return result
