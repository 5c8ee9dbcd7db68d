"""Choose one candidate a frame, so that a sequence of matches does not flicker: dynamic programming over candidates."""

from collections import deque

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval.divergence import divergence_matrix

__all__ = ["Smoother"]


class Smoother:
    """Chooses one of each frame's candidates, a frame at a time and in constant memory.

    What is minimised over all sequences of candidates c₁, c₂, … is

        Σ distance(cₜ) + strength · Σ JS(cₜ₋₁, cₜ),

    how far the chosen candidates are from their frames, and how far from one another: JS is the Jensen–Shannon
    divergence of the two candidates' features, 0 for a candidate that stays. Viterbi's algorithm finds the minimum
    (Viterbi, IEEE Trans. Information Theory 1967); a frame's choice is settled once `lag` more frames have come, and
    all that follows keeps to it. With at least as much lag as frames the sequence is the best there is.

    Parameters
    ----------
    strength : float
        0 takes every frame's best candidate; the greater, the longer a candidate is held.
    lag : int
        Frames to wait, at least 0.

    Raises
    ------
    UserError
        If `strength` or `lag` is out of range.

    Examples
    --------
    >>> smoother = Smoother(strength=1.0, lag=25)
    >>> a, b = [1.0, 0.0], [0.0, 1.0]
    >>> for distances in ([0.1, 0.2], [0.2, 0.1], [0.1, 0.2]):
    ...     assert smoother.add(distances, [a, b]) is None
    >>> smoother.finish()
    [0, 0, 0]
    """

    def __init__(self, strength: float, lag: int = 25) -> None:
        if not (np.isfinite(strength) and strength >= 0):
            raise UserError(f"the strength of smoothing must be a number of at least 0, not {strength}")
        if lag < 0:
            raise UserError(f"smoothing cannot look {lag} frames ahead; give a lag of at least 0")
        self.strength, self.lag = strength, lag
        self._features: np.ndarray | None = None  # the last frame's candidates
        self._cost = np.empty(0)  # of the best sequence that ends with each of them
        self._came_from: deque[np.ndarray] = deque()  # a frame that is not settled: each candidate's best predecessor

    def add(self, distances: np.ndarray, features: np.ndarray) -> int | None:
        """Take the next frame; return which candidate the frame of `lag` frames ago gets, None at the beginning.

        Parameters
        ----------
        distances : (K,) array
            How far each candidate is from the frame, finite. K ≥ 1 and may differ from frame to frame.
        features : (K, D) array
            The candidates' distributions (`normalise`).

        Returns
        -------
        int or None
            Number of a candidate among those of its own frame; of equally good ones the first.
        """
        distances, features = np.asarray(distances, np.float64), np.asarray(features, np.float64)
        if distances.ndim != 1 or not len(distances) or features.ndim != 2 or len(features) != len(distances):
            raise UserError(f"{distances.shape} distances and features of {features.shape} are no candidates")
        if not np.isfinite(distances).all():
            raise UserError("a candidate's distance is not a finite number")
        if self._features is None:
            before, came_from = np.zeros(len(distances)), np.zeros(len(distances), np.int64)
        else:
            ways = self._cost[:, None] + self.strength * divergence_matrix(self._features, features)
            came_from = ways.argmin(axis=0)
            before = ways.min(axis=0)
        self._came_from.append(came_from)
        self._cost, self._features = before + distances, features
        return self._settle() if len(self._came_from) > self.lag else None

    def best(self, count: int) -> np.ndarray:
        """Return the last frame's candidates with which the best sequences end, by number, at most `count`."""
        return np.argsort(self._cost, kind="stable")[:count]

    def finish(self) -> list[int]:
        """Return the choices that are still open, the oldest first; the next frame begins a new sequence."""
        self._features = None
        if not self._came_from:
            return []
        chosen = [int(self._cost.argmin())]
        for came_from in reversed(list(self._came_from)[1:]):
            chosen.append(int(came_from[chosen[-1]]))
        self._came_from.clear()
        return chosen[::-1]

    def _settle(self) -> int:
        """Settle the oldest open frame by the best sequence so far, and rule out sequences that do not agree."""
        began_with = np.arange(len(self._cost))
        for came_from in reversed(list(self._came_from)[1:]):
            began_with = came_from[began_with]
        chosen = int(began_with[self._cost.argmin()])
        self._cost = np.where(began_with == chosen, self._cost, np.inf)
        self._cost -= self._cost.min()  # so that it does not grow without end
        self._came_from.popleft()
        return chosen
