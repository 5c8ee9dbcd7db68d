"""Geometric distance, and the refinement that sorts matches of one expression by it."""

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["SORT_KEYS", "WITHIN", "check_refinement", "geometric_distance", "phi", "refine"]

#: What matched images may be sorted by: the geometric distance alone, as in the papers, or φ.
SORT_KEYS = ("geometric", "phi")

#: How far the sort reaches: through the images of the query's predicted label, as in the papers, or the whole store.
WITHIN = ("label", "store")


def geometric_distance(query: np.ndarray, store: np.ndarray) -> np.ndarray:
    """Return the L2 norm between one vector of geometric measures and each of many.

    Aneja et al. 2016, section 3.2, "Geometric Distance"; the measures are normalised by the face's box.

    Parameters
    ----------
    query : (9,) array
        The query's measures; NaN where unknown.
    store : (N, 9) array
        Measures, one row an image; NaN where unknown.

    Returns
    -------
    (N,) float64 array
        Distances ≥ 0, NaN where a measure of either side is unknown.
    """
    query, store = np.asarray(query, dtype=np.float64), np.asarray(store, dtype=np.float64)
    if query.ndim != 1 or store.ndim != 2 or store.shape[1] != len(query):
        raise UserError(f"geometry of shape {query.shape} cannot be compared with one of shape {store.shape}")
    return np.sqrt(((store - query) ** 2).sum(axis=1))


def phi(divergence: np.ndarray, geometric: np.ndarray, alpha: float = 1.0, beta: float = 1.0) -> np.ndarray:
    """Return φ = α·|JS| + β·|geometric| (Aneja et al. 2016, equation 3).

    Parameters
    ----------
    divergence, geometric : (N,) arrays
        Jensen–Shannon divergences and geometric distances of the same rows.
    alpha, beta : float
        Weights, finite and ≥ 0.

    Returns
    -------
    (N,) float64 array
        NaN where the geometric distance is unknown, unless β is 0.
    """
    check_refinement(alpha, beta)
    weighted = alpha * np.abs(np.asarray(divergence, dtype=np.float64))
    return weighted + beta * np.abs(geometric) if beta else weighted


def refine(
    order: np.ndarray,
    divergence: np.ndarray,
    geometric: np.ndarray,
    matched: np.ndarray,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    sort_by: str = "geometric",
) -> np.ndarray:
    """Re-sort matched rows among the ranks they already hold; every other row keeps its rank.

    "Our implementation uses JS Distance as a retrieval parameter and then geometric distance as a sorting parameter"
    (Aneja et al. 2016, section 3.2). The papers give α and β no values and do not say how weights enter a sort that
    follows retrieval. Here the sort is by geometric distance as that sentence has it; `sort_by='phi'` is the other
    reading, in which the weights decide. With β = 0 geometry has no say and nothing moves. With α = 0 both agree.

    Parameters
    ----------
    order : (N,) integer array
        A ranking: a permutation of the rows 0…N−1, nearest first.
    divergence, geometric : (N,) arrays
        Distances **by row** (not by rank). Rows with NaN in `geometric` keep their ranks.
    matched : (N,) bool array
        By row: whether the image's predicted label is the query's predicted label. Never a true label.
    alpha, beta : float
        Weights of φ, finite and ≥ 0.
    sort_by : {'geometric', 'phi'}
        What matched rows are sorted by.

    Returns
    -------
    (N,) integer array
        The refined ranking. Rows with equal keys stay in the order they came in.

    Examples
    --------
    >>> refine(np.array([2, 0, 1]), np.zeros(3), np.array([0.1, 0.2, 0.3]), np.array([True, False, True]))
    array([0, 2, 1])
    """
    check_refinement(alpha, beta, sort_by)
    order = np.array(order)
    if not order.shape == np.shape(divergence) == np.shape(geometric) == np.shape(matched):
        raise UserError("a ranking and its distances must have one entry a row")
    if beta == 0:
        return order
    key = geometric if sort_by == "geometric" else phi(divergence, geometric, alpha, beta)
    ranks = np.flatnonzero((np.asarray(matched) & ~np.isnan(geometric))[order])
    rows = order[ranks]
    order[ranks] = rows[np.argsort(key[rows], kind="stable")]
    return order


def check_refinement(alpha: float, beta: float, sort_by: str = "phi", within: str = "label") -> None:
    """Refuse a sort key or a reach that is not known, and weights with which φ would not be a distance."""
    if within not in WITHIN:
        raise UserError(f"cannot sort matches within {within!r}; use one of: {', '.join(WITHIN)}")
    if sort_by not in SORT_KEYS:
        raise UserError(f"cannot sort matches by {sort_by!r}; use one of: {', '.join(SORT_KEYS)}")
    for name, weight in (("alpha", alpha), ("beta", beta)):
        if not (np.isfinite(weight) and weight >= 0):
            raise UserError(f"{name} must be a number of at least 0, not {weight}")
