"""Images of a feature store as queries of characters' stores: drawn by lot, and what is returned for them."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.lot import draw_of_each
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.features import FeatureStore
from pydeepexpr.lineage import ModelIdentity
from pydeepexpr.pipeline import Match, Ranking, Retriever
from pydeepexpr.retrieval import DEFAULT_NORMALISATION

__all__ = ["RANKINGS", "StoredQuery", "draw_queries", "first_matches", "open_retrievers", "query_at"]

#: Ways to rank a store, to the rows that they put in order: by Jensen–Shannon divergence and then by geometry as far as
#: that reaches (what retrieval returns), by the divergence alone, by the nine measures alone, where they are known.
RANKINGS: dict[str, Callable[[Ranking], np.ndarray]] = {
    "deepexpr": lambda ranking: ranking.order,
    "js": lambda ranking: ranking.by_divergence,
    "geometry": lambda ranking: np.argsort(ranking.geometric, kind="stable")[: np.isfinite(ranking.geometric).sum()],
}


class StoredQuery(NamedTuple):
    """An image of a store, as `pipeline.Retriever` asks with it.

    Attributes
    ----------
    row : int
        Its place in the store.
    name : str
        Its name in its database.
    label : int
        Its true expression, −1 where unknown. It never enters a ranking.
    predicted : int
    fc6 : (D,) float32 array
    geometry : (9,) float32 array
    """

    row: int
    name: str
    label: int
    predicted: int
    fc6: np.ndarray
    geometry: np.ndarray


class _Network(NamedTuple):
    """What a retriever asks of the queries' network where their features are known already."""

    identity: ModelIdentity
    fc7: np.ndarray


def open_retrievers(
    queries: FeatureStore,
    stores: Mapping[str, FeatureStore],
    how: str = DEFAULT_NORMALISATION,
    *,
    siblings: bool = False,
) -> dict[str, Retriever]:
    """Return what ranks each character's store for images of the queries' store.

    Raises
    ------
    UserError
        If the models or their pixel transforms do not fit, or the queries were made by several models.
    """
    network = _Network(queries.model, queries.fc7)
    return {name: Retriever(store, network, how=how, siblings=siblings) for name, store in stores.items()}


def draw_queries(store: FeatureStore, seed: int, expressions: Collection[str] = ()) -> dict[str, StoredQuery]:
    """Draw one query an expression by lot, among the test images of known expression in which a face was detected.

    A store that does not say how faces were found, or holds no test images, is drawn from as it is.

    Parameters
    ----------
    store : FeatureStore
    seed : int
        The same seed and store give the same queries, whichever expressions are asked for.
    expressions : collection of str
        Which; by default all of which there are images.

    Returns
    -------
    dict of str to StoredQuery
        By expression, in the order of `expressions`, else in label order.

    Raises
    ------
    UserError
        If an expression is not known, or there is no such image of it.
    """
    for name in expressions:
        if name not in EXPRESSIONS:
            raise UserError(f"{name!r} is no expression; there are: {', '.join(EXPRESSIONS)}")
    known = [name for name in ("expression", "subject", "split", "face") if name in store.rows.column_names]
    rows = store.rows.select(known).to_pylist()
    tested = any(row.get("split") == "test" for row in rows)
    numbers = [
        number
        for number, row in enumerate(rows)
        if row.get("face", "detected") == "detected"
        and (not tested or row["split"] == "test")
        and row["expression"] != UNLABELLED
    ]
    drawn = draw_of_each([rows[number] for number in numbers], 1, seed)
    missing = [name for name in expressions if name not in drawn]
    if missing or not drawn:
        what = missing[0] if missing else "known expression"
        raise UserError(f"{store.path} holds no test image of {what} with a detected face; ask with another store")
    return {name: query_at(store, numbers[drawn[name][0]]) for name in expressions or drawn}


def query_at(store: FeatureStore, row: int) -> StoredQuery:
    """Return an image of a store as a query."""
    (record,) = store.rows.slice(row, 1).to_pylist()
    name = record.get("source") or record["key"]
    return StoredQuery(
        row, name, int(store.labels[row]), int(store.predicted[row]), store.fc6[row], store.geometry[row]
    )


def first_matches(retriever: Retriever, query: StoredQuery, k: int, *by: str) -> dict[str, list[Match]]:
    """Return the k best matches of a query by each of some `RANKINGS`, best first; fewer where fewer are ranked."""
    ranking = retriever.rank(query)
    found = {}
    for name in by:
        order = RANKINGS[name](ranking)
        found[name] = retriever.matches_at(dataclasses.replace(ranking, order=order), np.arange(min(k, len(order))))
    return found
