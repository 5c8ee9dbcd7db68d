"""Sequences: frames that lie between key poses, divided so that no part sees another's key poses.

Neighbouring frames are nearly alike. If frames were divided by lot, a network would be tested on what it was trained
on; so the key poses are divided first, and frames are interpolated between those of one part alone.
"""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["PARTS", "Between", "divide", "ease", "frame_counts", "sequence"]

#: The parts, and which share of the frames each holds.
PARTS = {"train": 0.7, "val": 0.15, "test": 0.15}

_STEP = 12  # about as many frames lead from one key pose to the next, where there are pairs enough


@dataclass(frozen=True)
class Between:
    """Where a frame lies.

    Attributes
    ----------
    split : str
        One of `PARTS`.
    first, second : int
        Numbers of the key poses it lies between, both of `split`.
    blend : float
        How far from the first to the second, 0 to 1.
    """

    split: str
    first: int
    second: int
    blend: float


def divide(count: int, rng: np.random.Generator) -> np.ndarray:
    """Divide key poses, or performers, into the parts by lot.

    Parameters
    ----------
    count : int
        From 3 on each part receives one at least, and in all about its share.
    rng : numpy.random.Generator

    Returns
    -------
    (count,) str
        The part of each.
    """
    held_out = max(1, round(PARTS["val"] * count)) if count >= 3 else 0
    parts = np.array(["val"] * held_out + ["test"] * held_out + ["train"] * (count - 2 * held_out), dtype="<U5")
    return rng.permutation(parts)


def frame_counts(frames: int, parts: np.ndarray) -> dict[str, int]:
    """Return how many of the frames each part gets: its share, rounded so that they add up; none if it is empty."""
    shares = {part: share for part, share in PARTS.items() if part in parts}
    bounds = np.cumsum([0.0, *shares.values()]) / sum(shares.values())
    edges = np.rint(bounds * frames).astype(int)
    return {part: int(count) for part, count in zip(shares, np.diff(edges), strict=True)}


def sequence(parts: np.ndarray, frames: int, rng: np.random.Generator) -> list[Between]:
    """Lay out the frames of one character with one expression.

    Each part's frames lead through its key poses on one path, at an even pace but for the ease at each of them.

    Parameters
    ----------
    parts : (K,) str
        The part of each key pose, from `divide`.
    frames : int
        How many in all.
    rng : numpy.random.Generator

    Returns
    -------
    list of Between
        Part by part.

    Raises
    ------
    UserError
        If a part with frames holds a single key pose: it has nothing to interpolate.
    """
    laid = []
    for part, count in frame_counts(frames, parts).items():
        members = np.flatnonzero(parts == part)
        if count and len(members) < 2:
            raise UserError(f"frames lie between key poses, but {part} has only {len(members)}")
        pairs = len(members) * (len(members) - 1) // 2
        steps = _path(members, min(pairs, max(len(members) - 1, round(count / _STEP))), rng)
        for place in (np.arange(count) + rng.random()) * len(steps) / max(count, 1):
            first, second = steps[int(place)]
            laid.append(Between(part, first, second, ease(float(place) % 1)))
    return laid


def ease(time: float) -> float:
    """Return how far a movement from rest to rest has come: slowly at first, slowly at last.

    >>> ease(0.0), ease(0.5), ease(1.0)
    (0.0, 0.5, 1.0)
    """
    return time * time * (3 - 2 * time)


def _path(members: np.ndarray, steps: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Walk from key pose to key pose: to those least visited, by pairs not yet used as long as there are some."""
    used: dict[frozenset[int], int] = {}
    visits = dict.fromkeys(members.tolist(), 0)
    here = int(rng.choice(members))
    visits[here] = 1
    path = []
    for _ in range(steps):
        others = [other for other in rng.permutation(members).tolist() if other != here]
        there = min(others, key=lambda other: (used.get(frozenset((here, other)), 0), visits[other]))
        pair = frozenset((here, there))
        used[pair] = used.get(pair, 0) + 1
        visits[there] += 1
        path.append((here, there))
        here = there
    return path
