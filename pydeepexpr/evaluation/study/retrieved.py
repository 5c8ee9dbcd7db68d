"""What characters return for queries, from which studies are drawn; ranked by what feature stores hold."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.origin import origin_of
from pydeepexpr.evaluation.results import settings_of
from pydeepexpr.evaluation.score import mid_ranks
from pydeepexpr.evaluation.stored_queries import RANKINGS, open_retrievers, query_at
from pydeepexpr.expressions import UNLABELLED
from pydeepexpr.features import FeatureStore
from pydeepexpr.gallery import Gallery
from pydeepexpr.pipeline import Retriever
from pydeepexpr.retrieval import DEFAULT_NORMALISATION

__all__ = ["Asked", "Loader", "Retrieved", "Source", "face_of", "from_stores"]

#: Loads a picture, (H, W, 3) uint8 BGR, when it is called.
Loader = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Asked:
    """A query.

    Attributes
    ----------
    source : str
        Its name in its database.
    subject : str
        Whose face it is; empty where that is not known.
    label : int
        Its expression, −1 where unknown.
    picture : callable
        Loads it.
    """

    source: str
    subject: str
    label: int
    picture: Loader


@dataclass(frozen=True)
class Retrieved:
    """The frames that one character returned for one query, in the order of its store or record.

    Attributes
    ----------
    sources : sequence of str
        Names in their database.
    labels : (M,) int array
        True labels, the predicted one where a true one is not known. They never enter a rank.
    ranks : dict of str to (M,) float array
        From 1, by ranking (`stored_queries.RANKINGS`). By `js` and `geometry` ties share their mid-rank, and what is at
        an unknown distance comes last, all of it tied.
    picture : callable
        Loads the picture of a frame, given by its place in `sources`.
    """

    sources: Sequence[str]
    labels: np.ndarray
    ranks: Mapping[str, np.ndarray]
    picture: Callable[[int], np.ndarray]


class Source(Protocol):
    """Queries, and what characters return for them."""

    @property
    def queries(self) -> Sequence[Asked]:
        """All queries."""

    @property
    def characters(self) -> Sequence[str]:
        """Who answers."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides about the rankings, ready for JSON.

        `origin` says it in words (`origin.origin_of`), `query_labels` whether those are `true` or `predicted`.
        """

    def retrieve(self, query: int, character: str) -> Retrieved:
        """Return what a character returns for a query, given by its place in `queries`."""


def from_stores(
    queries: FeatureStore,
    stores: Mapping[str, FeatureStore],
    how: str = DEFAULT_NORMALISATION,
    *,
    siblings: bool = False,
) -> Source:
    """Return a store's images as queries; each is ranked against a character's store when that is asked for.

    Parameters
    ----------
    queries : FeatureStore
        For instance the human test images.
    stores : mapping of str to FeatureStore
        A character's images by its name.
    how : {'l1', 'softmax', 'class-weight'}
        The normalisation of FC6.
    siblings : bool
        Accept models that were both fine-tuned from a third (`lineage.check_kin`).

    Raises
    ------
    UserError
        If the models or their pixel transforms do not fit, or no store is given.
    """
    if not stores:
        raise UserError("no store of a character was given; make one with tools/extract_features.py")
    return _Stores(queries, open_retrievers(queries, stores, how, siblings=siblings))


class _Stores:
    def __init__(self, queries: FeatureStore, retrievers: Mapping[str, Retriever]) -> None:
        self._store, self._retrievers = queries, retrievers
        self._sources = {name: one.store.rows["source"].to_pylist() for name, one in retrievers.items()}
        self._galleries = {name: Gallery(one.store) for name, one in retrievers.items()}
        gallery = Gallery(queries)
        names = queries.rows["source"].to_pylist()
        known = "subject" in queries.rows.column_names
        subjects = queries.rows["subject"].to_pylist() if known else [""] * len(names)
        self.queries = [
            Asked(name, subject or "", int(label), partial(face_of, gallery, queries, row))
            for row, (name, subject, label) in enumerate(zip(names, subjects, queries.labels, strict=True))
        ]
        self.characters = list(retrievers)

    @property
    def settings(self) -> Mapping[str, Any]:
        stores = {
            name: {"path": os.fspath(one.store.path), "rows": len(one.store), "models": _models(one.store)}
            for name, one in self._retrievers.items()
        }
        return {
            "origin": origin_of(self._store, [one.store for one in self._retrievers.values()]),
            **settings_of(next(iter(self._retrievers.values()))),
            "queries": os.fspath(self._store.path),
            "query_labels": "true",
            "stores": stores,
        }

    def retrieve(self, query: int, character: str) -> Retrieved:
        retriever = self._retrievers[character]
        ranking = retriever.rank(query_at(self._store, query))
        place = np.empty(len(ranking.order))
        place[ranking.order] = np.arange(1, len(place) + 1)
        js, geometry = mid_ranks(np.array([ranking.divergence, ranking.geometric]))
        store = retriever.store
        return Retrieved(
            self._sources[character],
            np.where(store.labels == UNLABELLED, store.predicted, store.labels),
            dict(zip(RANKINGS, (place, js, geometry), strict=True)),
            partial(face_of, self._galleries[character], store),
        )


def face_of(gallery: Gallery, store: FeatureStore, row: int) -> np.ndarray:
    """Return the picture of a store's row.

    Raises
    ------
    UserError
        If it is missing.
    """
    face = gallery.face(row)
    if face is None:
        name = store.rows["source"][row].as_py()
        raise UserError(f"{store.path}: the picture of {name} is missing; put back the LMDB that the store was made of")
    return face


def _models(store: FeatureStore) -> list[dict[str, Any]]:
    return [model.record() for model in store.models]
