"""What a person calls on a photograph: detect, register, FC6, normalise, rank, refine. Composed here and nowhere else.

Examples
--------
>>> recogniser = Recogniser("models/human.caffemodel")  # doctest: +SKIP
>>> retriever = Retriever(recogniser, FeatureStore.open("stores/mery"))  # doctest: +SKIP
>>> for match in retriever.retrieve(retriever.look("photo.jpg"), 10):  # doctest: +SKIP
...     print(match.rank, match.source, match.divergence)
"""

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
from pydeepexpr.images import read_image
from pydeepexpr.lineage import check_kin
from pydeepexpr.recogniser import Recogniser
from pydeepexpr.retrieval import (
    DEFAULT_NORMALISATION,
    check_refinement,
    geometric_distance,
    normalise,
    phi,
    rank,
    refine,
)

if TYPE_CHECKING:
    from pydeepexpr.faces import Face

__all__ = ["KINDS", "FeatureStore", "Match", "NoFaceError", "Query", "Ranking", "Recogniser", "Retriever", "look"]

#: What a query may be: a photograph of anything, in which the face is detected and registered; a photograph that is
#: a face already, whole if none is detected; a character's frame, registered as such frames are for training, by
#: position, size and roll, and whole if no face is detected; an image that the network shall see whole in any case.
KINDS = ("photograph", "cropped", "character", "as-is")


class NoFaceError(UserError):
    """A photograph shows no face."""


@dataclasses.dataclass(frozen=True)
class Query:
    """A photograph's face as the network and the geometry see it.

    Attributes
    ----------
    name : str
        The path it was read from, as given.
    photograph : (H, W, 3) uint8 array
        BGR, upright.
    face : (256, 256, 3) uint8 array
        BGR, registered.
    box : (4,) array
        Left, top, right, bottom of the face in the photograph's pixels.
    geometry : (9,) array
        Geometric measures, NaN where unknown.
    fc6 : (D,) float32 array
        Features, ≥ 0.
    prob : (C,) float32 array
        Class probabilities.
    stand_in : bool
        No face was found and the whole image stands in for it.
    others : int
        How many further, fainter faces the photograph shows.
    """

    name: str
    photograph: np.ndarray
    face: np.ndarray
    box: np.ndarray
    geometry: np.ndarray
    fc6: np.ndarray
    prob: np.ndarray
    stand_in: bool
    others: int

    @property
    def predicted(self) -> int:
        """The label of the highest probability."""
        return int(np.argmax(self.prob))


@dataclasses.dataclass(frozen=True)
class Match:
    """One row of a ranking.

    Attributes
    ----------
    rank : int
        From 1.
    row : int
        Row in the store.
    divergence : float
        Jensen–Shannon divergence from the query, 0…ln 2.
    geometric : float
        Geometric distance, NaN where unknown.
    phi : float
        α·|JS| + β·|geometric|, NaN where the latter is unknown and β is not 0.
    js_rank : int
        The rank by Jensen–Shannon divergence alone, from 1.
    predicted : int
        The label that the store's network predicted.
    label : int
        The true label, −1 where unknown. It never enters a ranking.
    key, path, source : str
        The record in the LMDB, the registered image, the image in its database.
    """

    rank: int
    row: int
    divergence: float
    geometric: float
    phi: float
    js_rank: int
    predicted: int
    label: int
    key: str
    path: str
    source: str


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A whole store ranked for one query.

    Attributes
    ----------
    order : (N,) int64 array
        Rows, best first, refined by geometry.
    by_divergence : (N,) int64 array
        Rows, best first, by Jensen–Shannon divergence alone.
    divergence, geometric, phi : (N,) float64 arrays
        Distances by row, as in `Match`.
    """

    order: np.ndarray
    by_divergence: np.ndarray
    divergence: np.ndarray
    geometric: np.ndarray
    phi: np.ndarray


def look(recogniser: Recogniser, path: str | os.PathLike, kind: str = "photograph") -> Query:
    """Read a photograph, or a character's frame, and describe its face.

    Parameters
    ----------
    recogniser : Recogniser
    path : path
        An image file; what is transparent counts as black.
    kind : {'photograph', 'cropped', 'character', 'as-is'}
        What it shows and how the face is brought before the network (`KINDS`). Where no face is detected there is no
        geometry either.

    Raises
    ------
    UserError
        If the file is no image.
    NoFaceError
        If a photograph shows no face.
    """
    if kind not in KINDS:
        raise UserError(f"no query is of the kind {kind!r}; use one of: {', '.join(KINDS)}")
    try:
        image = read_image(path)
    except UserError as error:
        raise UserError(f"cannot read the photograph {os.fspath(path)}: {error}") from None
    found = _find_faces(image, kind)
    if not found:
        raise NoFaceError(
            f"no face found in {os.fspath(path)}; give a photograph in which one face looks to the front and fills "
            "at least a fifth of the height, --cropped for an image that is a face already, or --character for a "
            "character's frame"
        )
    face = found[0]
    fc6, prob = recogniser.features([face.registered])
    return Query(
        name=os.fspath(path),
        photograph=image,
        face=face.registered,
        box=np.asarray(face.box, dtype=np.float64),
        geometry=np.asarray(face.geometry, dtype=np.float64),
        fc6=fc6[0],
        prob=prob[0],
        stand_in=face.stand_in,
        others=len(found) - 1,
    )


def _find_faces(image: np.ndarray, kind: str) -> "list[Face]":
    from pydeepexpr import faces

    if kind in ("photograph", "cropped"):
        return faces.analyse(image, cropped=kind == "cropped")
    # A plain detection first: `cropped` asks for a person's proportions, which a character need not have.
    alignment = faces.CHARACTER_ALIGNMENT if kind == "character" else "none"
    return faces.analyse(image, alignment=alignment) or faces.analyse(image, cropped=True, alignment=alignment)


class Retriever:
    """Ranks a store for queries.

    Parameters
    ----------
    recogniser : Recogniser
        The queries' network.
    store : FeatureStore
        What is searched. Its model and the queries' must be kin (`lineage.check_kin`).
    how : {'l1', 'softmax', 'class-weight'}
        The normalisation (`retrieval.normalise`).
    alpha, beta : float
        Weights of φ. With β = 0 geometry has no say.
    sort_by : {'geometric', 'phi'}
        What matches of the query's predicted label are sorted by (`retrieval.refine`).
    siblings : bool
        Accept a store whose model and the queries' were both fine-tuned from a third (`lineage.check_kin`).

    Raises
    ------
    UserError
        If models or pixel transforms do not fit, or an option is not known.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        store: FeatureStore,
        *,
        how: str = DEFAULT_NORMALISATION,
        alpha: float = 1.0,
        beta: float = 1.0,
        sort_by: str = "geometric",
        siblings: bool = False,
    ) -> None:
        check_refinement(alpha, beta, sort_by)
        check_kin(recogniser.identity, store, siblings=siblings)
        if recogniser.fc7.shape != store.fc7.shape:
            raise UserError(f"{store.path} holds FC7 of shape {store.fc7.shape}, the query's is {recogniser.fc7.shape}")
        self.recogniser, self.store = recogniser, store
        self.how, self.alpha, self.beta, self.sort_by = how, alpha, beta, sort_by
        self._distributions = normalise(store.fc6, how, predicted=store.predicted, fc7=store.fc7)

    def look(self, path: str | os.PathLike, kind: str = "photograph") -> Query:
        """Read a query with this retriever's network; see `look`."""
        return look(self.recogniser, path, kind)

    def rank(self, query: Query) -> Ranking:
        """Rank the whole store: by Jensen–Shannon divergence, then by geometry within the predicted label."""
        distribution = normalise(
            query.fc6[None], self.how, predicted=np.array([query.predicted]), fc7=self.recogniser.fc7
        )[0]
        by_divergence, distances = rank(distribution, self._distributions)
        divergence = np.empty(len(distances))
        divergence[by_divergence] = distances
        geometric = geometric_distance(query.geometry, self.store.geometry)
        weighted = phi(divergence, geometric, self.alpha, self.beta)
        matched = self.store.predicted == query.predicted
        order = refine(
            by_divergence, divergence, geometric, matched, alpha=self.alpha, beta=self.beta, sort_by=self.sort_by
        )
        return Ranking(order, by_divergence, divergence, geometric, weighted)

    def retrieve(self, query: Query, k: int) -> list[Match]:
        """Return the k best matches, best first.

        The whole store is ranked and refined, not the first k alone: the best match may come from far behind.
        """
        if not 1 <= k <= len(self.store):
            raise UserError(f"cannot return the top {k}: {self.store.path} holds {len(self.store)} images")
        ranking = self.rank(query)
        js_rank = np.empty(len(self.store), dtype=np.int64)
        js_rank[ranking.by_divergence] = np.arange(1, len(self.store) + 1)
        rows = ranking.order[:k]
        names = self.store.rows.select(["key", "path", "source"]).take(rows).to_pylist()
        return [
            Match(
                rank=place,
                row=int(row),
                divergence=float(ranking.divergence[row]),
                geometric=float(ranking.geometric[row]),
                phi=float(ranking.phi[row]),
                js_rank=int(js_rank[row]),
                predicted=int(self.store.predicted[row]),
                label=int(self.store.labels[row]),
                **name,
            )
            for place, (row, name) in enumerate(zip(rows, names, strict=True), 1)
        ]
