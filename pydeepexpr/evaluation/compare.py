"""Every query compared with every image of a store, in blocks: what the scores and shares are counted from."""

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from pydeepexpr.features import FeatureStore
from pydeepexpr.lineage import ModelIdentity, check_kin, check_sizes
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, Distributions, Index, geometric_distance, normalise

__all__ = ["Comparison", "Described", "compare"]

_PAIRS = 1 << 20  # a block's queries times the store's images: some 8 MiB an array


class Described(Protocol):
    """Images as networks and geometry describe them: a feature store, or photographs that were looked at."""

    @property
    def labels(self) -> np.ndarray:
        """True labels, (N,) integers, −1 where unknown."""

    @property
    def predicted(self) -> np.ndarray:
        """Predicted labels, (N,) integers."""

    @property
    def fc6(self) -> np.ndarray:
        """Features, (N, D), ≥ 0."""

    @property
    def geometry(self) -> np.ndarray:
        """Geometric measures, (N, 9), NaN where unknown."""

    @property
    def fc7(self) -> np.ndarray:
        """FC7 weights of the network, (C, D)."""

    @property
    def model(self) -> ModelIdentity:
        """The network."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A block of queries beside all images of a store.

    Attributes
    ----------
    queries : slice
        Which queries.
    divergence : (q, N) float64 array
        Jensen–Shannon divergences, 0…ln 2.
    geometric : (q, N) float64 array
        Geometric distances, NaN where unknown.
    matched : (q, N) bool array
        Whether the image's predicted label is the query's.
    """

    queries: slice
    divergence: np.ndarray
    geometric: np.ndarray
    matched: np.ndarray


def compare(
    queries: Described, store: FeatureStore, how: str = DEFAULT_NORMALISATION, *, siblings: bool = False
) -> Iterator[Comparison]:
    """Compare every query with every image of a store, in memory that does not grow with the number of queries.

    Parameters
    ----------
    queries : Described
    store : FeatureStore
    how : {'l1', 'softmax', 'class-weight'}
        The normalisation of FC6.
    siblings : bool
        Accept models that were both fine-tuned from a third (`lineage.check_kin`).

    Raises
    ------
    UserError
        If the models or their pixel transforms do not fit.
    """
    check_kin(queries.model, store, siblings=siblings)
    check_sizes(queries.fc7, store)
    index = Index(Distributions(store.fc6, how, predicted=store.fc7_rows, fc7=store.fc7).loaded())
    size = max(1, _PAIRS // len(store))
    for start in range(0, len(queries.labels), size):
        block = slice(start, start + size)
        predicted = queries.predicted[block]
        asked = normalise(queries.fc6[block], how, predicted=predicted, fc7=queries.fc7)
        geometric = np.array([geometric_distance(measures, store.geometry) for measures in queries.geometry[block]])
        yield Comparison(block, index.divergences(asked), geometric, predicted[:, None] == store.predicted[None])
