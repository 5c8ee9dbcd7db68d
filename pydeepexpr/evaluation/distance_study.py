"""The papers' distance φ = α·|JS| + β·|geometric| in every reading: how well each of them ranks."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.compare import Described, compare
from pydeepexpr.evaluation.score import mid_ranks, retrieval_score, sorted_ranks
from pydeepexpr.expressions import UNLABELLED
from pydeepexpr.features import FeatureStore
from pydeepexpr.retrieval import NORMALISATIONS, phi, refine
from pydeepexpr.retrieval.geometry import WITHIN

__all__ = ["RATIOS", "DistanceStudy", "distance_study", "weights_of"]

#: Values of β/α between the ends 0 and ∞, which are always studied.
RATIOS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclasses.dataclass(frozen=True)
class DistanceStudy:
    """What each query found by each reading of the distance.

    A ranking depends on the ratio of the weights alone, so the readings are a grid: A normalisations × 2 reaches of the
    sort (`WITHIN`) × R ratios β/α. The ends are old acquaintances: ratio 0 is Jensen–Shannon alone; ∞ is the papers'
    geometric sort within the label, or geometry alone over the store.

    Attributes
    ----------
    labels : (Q,) int array
        True labels of the queries.
    classified : (Q,) bool array
        Whether the classifier named the query's label.
    normalisations : tuple of str
    ratios : tuple of float
        Ascending, from 0 to infinity.
    values : dict of str to (A, 2, R, Q) float array
        Means over the stores: `top_1` and `top_<k>`, the shares 0…1 of the first and the first k matches that carry
        the query's label; `score`, equation 6 of Aneja et al. 2016 (0 is best), NaN for a query without a face or
        without relevant images.
    without_geometry : int
        Queries and images whose measures are unknown: they keep the ranks that Jensen–Shannon gives them.
    """

    labels: np.ndarray
    classified: np.ndarray
    normalisations: tuple[str, ...]
    ratios: tuple[float, ...]
    values: dict[str, np.ndarray]
    without_geometry: int

    def mean(self, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a measure of each reading and its standard error over the queries, (A, 2, R) each.

        Shares are means over queries, scores over expressions, as in `retrieval_shares` and `table1`. The error is NaN
        where an expression has one query only.
        """
        return self._mean(measure, self.values[measure])

    def change(self, measure: str, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return by how much a measure differs from a baseline's, and that difference's standard error.

        The error is paired: of the differences that the same queries show, far smaller than that of either mean. It is
        what a bootstrap over the queries converges to.

        Parameters
        ----------
        measure : str
        baseline : (…, Q) array
            A part of `values[measure]`, broadcast against it.
        """
        return self._mean(measure, self.values[measure] - baseline)

    def change_by_geometry(self, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the change from Jensen–Shannon alone under the same normalisation, and its paired standard error."""
        return self.change(measure, self.values[measure][:, :, :1])

    def _mean(self, measure: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = ~np.isnan(values[0, 0, 0])
        groups = self.labels[known] if measure == "score" else np.zeros(known.sum(), dtype=int)
        return _mean_of_groups(values[..., known], groups)


def _mean_of_groups(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean along the last axis of each group's mean, and its standard error."""
    if not len(groups):
        return np.full(values.shape[:-1], np.nan), np.full(values.shape[:-1], np.nan)
    means, variances = [], []
    for group in np.unique(groups):
        its = values[..., groups == group]
        count = its.shape[-1]
        means.append(its.mean(axis=-1))
        variances.append(its.var(axis=-1, ddof=1) / count if count > 1 else np.full(its.shape[:-1], np.nan))
    return np.mean(means, axis=0), np.sqrt(np.sum(variances, axis=0)) / len(means)


def weights_of(ratio: float) -> tuple[float, float]:
    """Return α and β of a ratio β/α: (1, ratio), or (0, 1) for infinity."""
    return (0.0, 1.0) if np.isinf(ratio) else (1.0, float(ratio))


def distance_study(
    queries: Described,
    stores: Mapping[str, FeatureStore],
    k: int = 10,
    *,
    normalisations: Sequence[str] = tuple(NORMALISATIONS),
    ratios: Sequence[float] = RATIOS,
    missed: Collection[int] = (),
    siblings: bool = False,
) -> DistanceStudy:
    """Rank every store for every labelled query by each reading of the distance.

    Divergences and geometric distances are computed once for a block of queries, and every ratio and reach follows from
    them. Memory grows by a few numbers a query, not by the store's images.

    Parameters
    ----------
    queries : Described
        Photographs, or a feature store.
    stores : mapping of str to FeatureStore
        Means are taken over them.
    k : int
        How many matches are looked at.
    normalisations : sequence of {'l1', 'softmax', 'class-weight'}
    ratios : sequence of float
        Values of β/α besides 0 and infinity: positive and finite.
    missed : collection of int
        Labels of queries in which no face was found. In shares they count as wrong; a score they do not have.
    siblings : bool
        Accept models that were both fine-tuned from a third (`lineage.check_kin`).

    Raises
    ------
    UserError
        If no query has a label, the models do not fit, a store holds fewer than `k` images, or a ratio is no positive
        number.
    """
    if not all(np.isfinite(ratio) and ratio > 0 for ratio in ratios):
        raise UserError("ratios β/α must be positive numbers; 0 and infinity are always studied")
    if small := [store for store in stores.values() if not 1 <= k <= len(store)]:
        raise UserError(f"cannot return the top {k}: {small[0].path} holds {len(small[0])} images")
    labels = np.asarray(queries.labels)
    known = labels != UNLABELLED
    if not known.any():
        raise UserError("no query has a label, so no match can be judged; give labelled images")
    ratios = (0.0, *sorted(set(map(float, ratios))), np.inf)
    found = _mean_of_stores(
        _measure_store(queries, store, k, normalisations, ratios, siblings) for store in stores.values()
    )
    wrong = np.array([0.0, 0.0, np.nan])[:, None, None, None, None]
    found = np.concatenate([found[..., known], np.broadcast_to(wrong, (*found.shape[:-1], len(missed)))], axis=-1)
    return DistanceStudy(
        labels=np.concatenate([labels[known], np.array(list(missed), dtype=labels.dtype)]),
        classified=np.concatenate([(np.asarray(queries.predicted) == labels)[known], np.zeros(len(missed), bool)]),
        normalisations=tuple(normalisations),
        ratios=ratios,
        values=dict(zip(("top_1", f"top_{k}", "score"), found, strict=True)),
        without_geometry=sum(int(np.isnan(its.geometry).any(axis=1).sum()) for its in (queries, *stores.values())),
    )


def _measure_store(
    queries: Described,
    store: FeatureStore,
    k: int,
    normalisations: Sequence[str],
    ratios: Sequence[float],
    siblings: bool,
) -> np.ndarray:
    """Return what each query finds in one store: first match, first k, score, (3, A, 2, R, Q)."""
    labels = np.asarray(queries.labels)
    found = np.empty((3, len(normalisations), len(WITHIN), len(ratios), len(labels)))
    rankings = (
        (number, block, row)
        for number, how in enumerate(normalisations)
        for block in compare(queries, store, how, siblings=siblings)
        for row in range(len(block.divergence))
    )
    for number, block, row in progress(rankings, len(normalisations) * len(labels), store.path.name):
        query = block.queries.start + row
        distances = block.divergence[row], block.geometric[row], block.matched[row]
        found[:, number, :, :, query] = _measure_query(*distances, labels[query], store.labels, ratios, k)
    return found


def _measure_query(
    divergence: np.ndarray,
    geometric: np.ndarray,
    matched: np.ndarray,
    label: int,
    labels: np.ndarray,
    ratios: Sequence[float],
    k: int,
) -> np.ndarray:
    """Return what one query of a true label finds among images of these labels: first match, first k, score, (3, 2, R).

    Images without a label count as wrong among the matches; in the score they take no part.
    """
    order = np.argsort(divergence, kind="stable")
    judged = labels != UNLABELLED
    ranks = mid_ranks(divergence[None, judged])
    relevant = labels[None, judged] == label
    found = np.empty((3, len(WITHIN), len(ratios)))
    for reach, within in enumerate(WITHIN):
        sorts = matched | (within == "store")
        for number, ratio in enumerate(ratios):
            alpha, beta = weights_of(ratio)
            best = refine(order, divergence, geometric, sorts, alpha=alpha, beta=beta, sort_by="phi")[:k]
            key = phi(divergence, geometric, alpha, beta)
            hits = labels[best] == label
            score = retrieval_score(sorted_ranks(ranks, key[None, judged], sorts[None, judged]), relevant)
            found[:, reach, number] = hits[0], hits.mean(), score[0]
    return found


def _mean_of_stores(found: Iterable[np.ndarray]) -> np.ndarray:
    """Return the mean of arrays of one shape, one at a time, over what is not NaN; NaN where all are."""
    total, count = 0.0, 0
    for one in found:
        total = total + np.nan_to_num(one)
        count = count + ~np.isnan(one)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
