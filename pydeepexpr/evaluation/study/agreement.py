"""How far raters agree with each other: Krippendorff's α."""

from typing import Any

import krippendorff
import numpy as np

__all__ = ["agreement"]


def agreement(values: np.ndarray, level: str) -> dict[str, Any]:
    """Return Krippendorff's α (Krippendorff 2004, chapter 11), by the library `krippendorff`.

    Parameters
    ----------
    values : (R, U) float array
        What each of R raters said of each of U units: numbers that stand for categories, or ranks. NaN where a rater
        said nothing of a unit.
    level : {'nominal', 'ordinal'}
        How values differ: alike or not; or by how many of the values given lie between them.

    Returns
    -------
    dict
        `measure`, `level`, `raters`, `units` that at least two raters spoke of, and `alpha`: 1 if they always agree, 0
        if they agree as by chance, below if less. Where it is undefined `alpha` is None and `why` says the reason.
    """
    values = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(values)
    shared = known.sum(axis=0) >= 2
    said = np.unique(values[:, shared][known[:, shared]])
    record = {
        "measure": "Krippendorff's α",
        "level": level,
        "raters": int(known.any(axis=1).sum()),
        "units": int(shared.sum()),
        "alpha": None,
    }
    if not shared.any():
        return {**record, "why": "no question was answered by two raters"}
    if len(said) == 1:
        return {**record, "why": "all raters gave the same answer to every question, so that nothing tells units apart"}
    return {**record, "alpha": float(krippendorff.alpha(values[:, shared], level_of_measurement=level))}
