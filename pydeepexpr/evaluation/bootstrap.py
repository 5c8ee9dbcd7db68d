"""How far a mean might lie elsewhere if other people had been asked: the bootstrap, whole persons at a time."""

import numpy as np

__all__ = ["LEVEL", "group_numbers", "interval", "resampled_means"]

#: The share of resampled means that an interval holds.
LEVEL = 0.95

_RESAMPLES = 2000
_AT_ONCE = 100  # draws that are held in memory together


def resampled_means(
    values: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, *, seed: int = 2016
) -> np.ndarray:
    """Return class means over resampled groups (Efron 1979; groups as clusters, for a person's images are alike).

    Groups are drawn with replacement, as many as there are, and each brings all of its values; the same draws serve
    all classes, so that functions of several of them (their average, a difference) have honest spreads.

    Parameters
    ----------
    values : (N,) or (N, M) array
        One or several numbers an observation.
    labels : (N,) integer array
        The class of each, 0 to classes − 1.
    groups : (N,) integer array
        What is drawn together, numbered from 0 without gaps.
    classes : int
    seed : int
        The same seed gives the same draws.

    Returns
    -------
    (2000, classes) or (2000, classes, M) float64 array
        NaN where a draw holds nothing of a class.
    """
    values, labels, groups = np.asarray(values, dtype=np.float64), np.asarray(labels), np.asarray(groups)
    count = int(groups.max()) + 1
    totals = np.zeros((count, classes, *values.shape[1:]))
    sizes = np.zeros((count, classes))
    np.add.at(totals, (groups, labels), values)
    np.add.at(sizes, (groups, labels), 1)
    generator, each = np.random.default_rng(seed), np.full(count, 1 / count)
    means = np.full((_RESAMPLES, *totals.shape[1:]), np.nan)
    for start in range(0, _RESAMPLES, _AT_ONCE):
        drawn = generator.multinomial(count, each, size=_AT_ONCE)
        held = (drawn @ sizes).reshape(_AT_ONCE, classes, *[1] * (values.ndim - 1))
        summed = np.tensordot(drawn, totals, axes=1)
        np.divide(summed, held, out=means[start : start + _AT_ONCE], where=held > 0)
    return means


def interval(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper end of the percentile interval of resampled means, along their first axis.

    NaN among the means are left out; NaN where all are.
    """
    tail = (1 - LEVEL) / 2
    known = ~np.isnan(means).all(axis=0)
    ends = np.full((2, *means.shape[1:]), np.nan)
    ends[:, known] = np.nanquantile(means[:, known], [tail, 1 - tail], axis=0)
    return ends[0], ends[1]


def group_numbers(database: list[str], subject: list[str]) -> np.ndarray:
    """Number what is drawn together: a person's images; an image by itself where the person is not known.

    Examples
    --------
    >>> group_numbers(["kdef", "kdef", "kdef", "mmi"], ["AF01", "", "AF01", "AF01"]).tolist()
    [0, 1, 0, 2]
    """
    seen: dict[object, int] = {}
    keys = ((base, who) if who else row for row, (base, who) in enumerate(zip(database, subject, strict=True)))
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)
