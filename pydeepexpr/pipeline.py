"""What a person calls on an image: detect, register, FC6, normalise, rank, refine. Composed here and nowhere else.

Examples
--------
The three frames of Tilda whose expression comes closest to that of Eileen Collins, as NASA photographed her:

>>> from skimage.data import astronaut
>>> retriever = Retriever("models/stores/tilda", "models/human.caffemodel", device="cpu")
>>> for match in retriever.query(astronaut()[..., ::-1], k=3):
...     print(match.rank, match.source)
1 tilda/tilda_joy/tilda_joy_85.png
2 tilda/tilda_joy/tilda_joy_84.png
3 tilda/tilda_joy/tilda_joy_83.png
"""

import dataclasses
import os

import numpy as np

from pydeepexpr import paths
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
from pydeepexpr.lineage import check_kin, check_sizes
from pydeepexpr.queries import KINDS, Image, NoFaceError, Query, look, look_at_all
from pydeepexpr.recogniser import Recogniser
from pydeepexpr.retrieval import (
    DEFAULT_NORMALISATION,
    Distributions,
    Index,
    check_refinement,
    geometric_distance,
    normalise,
    phi,
    refine,
)

__all__ = [
    "KINDS",
    "FeatureStore",
    "Match",
    "NoFaceError",
    "Query",
    "Ranking",
    "Recogniser",
    "Retriever",
    "look",
    "look_at_all",
]


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


class Retriever:
    """Ranks a store for queries.

    Parameters
    ----------
    store : FeatureStore or path
        What is searched. Its model and the queries' must be kin (`lineage.check_kin`).
    model : Recogniser or path
        The queries' network, or its `.caffemodel`.
    how : {'l1', 'softmax', 'class-weight'}
        The normalisation (`retrieval.normalise`).
    alpha, beta : float
        Weights of φ. With β = 0 geometry has no say.
    sort_by : {'geometric', 'phi'}
        What matches are sorted by (`retrieval.refine`).
    within : {'label', 'store'}
        How far that sort reaches: the matches of the query's predicted label, or the whole store whatever the label.
    siblings : bool
        Accept a store whose model and the queries' were both fine-tuned from a third (`lineage.check_kin`).
    device : {'auto', 'cpu', 'cuda'}
        Where a network that is given as a path runs.

    Raises
    ------
    UserError
        If a file is missing, models or pixel transforms do not fit, or an option is not known.
    """

    def __init__(
        self,
        store: FeatureStore | str | os.PathLike,
        model: Recogniser | str | os.PathLike,
        *,
        how: str = DEFAULT_NORMALISATION,
        alpha: float = 1.0,
        beta: float = 1.0,
        sort_by: str = "geometric",
        within: str = "label",
        siblings: bool = False,
        device: str = "auto",
    ) -> None:
        check_refinement(alpha, beta, sort_by, within)
        if isinstance(store, str | os.PathLike):
            store = FeatureStore.open(paths.find(store))
        if isinstance(model, str | os.PathLike):
            model = Recogniser(model, device=device)
        check_kin(model.identity, store, siblings=siblings)
        check_sizes(model.fc7, store)
        self.store, self.recogniser = store, model
        self.how, self.alpha, self.beta, self.sort_by, self.within = how, alpha, beta, sort_by, within
        self._distributions = Distributions(store.fc6, how, predicted=store.fc7_rows, fc7=store.fc7).loaded()
        self._index = Index(self._distributions)

    def query(self, image: Image, k: int = 10, kind: str = "photograph") -> list[Match]:
        """Return the k images of the store that carry the expression of an image's best face, best first.

        Parameters
        ----------
        image : path, or (H, W, 3) uint8 array
            An image file, or BGR pixels.
        k : int
            1…N.
        kind : {'photograph', 'cropped', 'character', 'as-is'}
            What the image shows (`queries.KINDS`): a character's frame asks as a photograph does.

        Raises
        ------
        UserError
            If the file is no image, or there are fewer than `k` images.
        NoFaceError
            If a photograph shows no face.
        """
        return self.retrieve(look(self.recogniser, image, kind), k)

    def rank(self, query: Query) -> Ranking:
        """Rank the whole store: by Jensen–Shannon divergence, then by geometry as far as that reaches."""
        divergence = self._index.divergences(self._distribution(query))[0]
        by_divergence = np.argsort(divergence, kind="stable")
        geometric = geometric_distance(query.geometry, self.store.geometry)
        weighted = phi(divergence, geometric, self.alpha, self.beta)
        matched = (self.store.predicted == query.predicted) | (self.within == "store")
        order = refine(
            by_divergence, divergence, geometric, matched, alpha=self.alpha, beta=self.beta, sort_by=self.sort_by
        )
        return Ranking(order, by_divergence, divergence, geometric, weighted)

    def retrieve(self, query: Query, k: int) -> list[Match]:
        """Return the k best matches, best first.

        Where geometry has a say the whole store is ranked and refined, not the first k alone: the best match may come
        from far behind. Where it has none, the nearest are found without a look at most of the store.
        """
        if not 1 <= k <= len(self.store):
            raise UserError(f"cannot return the top {k}: {self.store.path} holds {len(self.store)} images")
        if self.beta:
            return self.matches_at(self.rank(query), np.arange(k))
        rows, divergence = (found[0] for found in self._index.search(self._distribution(query), k))
        geometric = geometric_distance(query.geometry, self.store.geometry[rows])
        ranks = np.arange(1, k + 1)
        return self._matches(rows, ranks, ranks, divergence, geometric, phi(divergence, geometric, self.alpha, 0.0))

    def matches_at(self, ranking: Ranking, places: np.ndarray) -> list[Match]:
        """Return what stands at some places of a ranking, the first being place 0, in the order given."""
        js_rank = np.empty(len(self.store), dtype=np.int64)
        js_rank[ranking.by_divergence] = np.arange(1, len(self.store) + 1)
        rows = ranking.order[places]
        distances = ranking.divergence[rows], ranking.geometric[rows], ranking.phi[rows]
        return self._matches(rows, places + 1, js_rank[rows], *distances)

    def _distribution(self, query: Query) -> np.ndarray:
        return normalise(query.fc6[None], self.how, predicted=np.array([query.predicted]), fc7=self.recogniser.fc7)

    def distributions(self, rows: np.ndarray) -> np.ndarray:
        """Return the normalised features of some rows of the store, (n, D)."""
        return self._distributions[rows]

    def _matches(
        self,
        rows: np.ndarray,
        ranks: np.ndarray,
        js_ranks: np.ndarray,
        divergence: np.ndarray,
        geometric: np.ndarray,
        weighted: np.ndarray,
    ) -> list[Match]:
        names = self.store.rows.select(["key", "path", "source"]).take(rows).to_pylist()
        numbers = zip(rows, ranks, js_ranks, divergence, geometric, weighted, names, strict=True)
        return [
            Match(
                rank=int(rank),
                row=int(row),
                divergence=float(js),
                geometric=float(geo),
                phi=float(both),
                js_rank=int(js_rank),
                predicted=int(self.store.predicted[row]),
                label=int(self.store.labels[row]),
                **name,
            )
            for row, rank, js_rank, js, geo, both, name in numbers
        ]
