"""Features of humans and characters in one space: a sample, its distances, its neighbours, and its picture by t-SNE."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import eigh

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.features import FeatureStore
from pydeepexpr.lineage import check_kin, check_sizes
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, divergence_matrix, normalise

__all__ = ["HUMAN", "MOST", "Embedding", "balanced_sample", "embed", "root_divergences", "shares_of_nearest", "tsne"]

#: How many points an embedding has at most.
MOST = 1500

#: What people are called among the characters.
HUMAN = "human"

_PERPLEXITY = 30.0
_FEWEST = 10  # points


@dataclasses.dataclass(frozen=True)
class Embedding:
    """A sample of humans' and characters' images, and where t-SNE puts them.

    Attributes
    ----------
    who : (N,) str array
        `HUMAN`, or the character's name.
    names : list of str
        The images' names in their databases.
    labels : (N,) int array
        True expressions.
    places : (N, 2) float array
        In the picture.
    shares : dict of int to (H,) float array
        For some k, and each human point in order: the share of its k nearest character points that have its expression.
        Counted in the space of the features, not in the picture.
    chance : (H,) float array
        The share of all character points that have its expression.
    settings : dict
        What decides about it, ready for JSON.
    """

    who: np.ndarray
    names: list[str]
    labels: np.ndarray
    places: np.ndarray
    shares: dict[int, np.ndarray]
    chance: np.ndarray
    settings: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """Return everything for JSON: the shares' means over all human points and an expression, and all points."""
        points = zip(self.who.tolist(), self.names, self.labels, self.places.tolist(), strict=True)
        return {
            **self.settings,
            "nearest": {str(k): self._means(share) for k, share in self.shares.items()},
            "chance": self._means(self.chance),
            "points": [
                {"who": who, "name": name, "expression": EXPRESSIONS[label], "place": place}
                for who, name, label, place in points
            ],
        }

    def _means(self, share: np.ndarray) -> dict[str, float]:
        labels = self.labels[self.who == HUMAN]
        each = {EXPRESSIONS[label]: float(share[labels == label].mean()) for label in np.unique(labels)}
        return {"all": float(share.mean()), **each}


def embed(
    queries: FeatureStore,
    stores: Mapping[str, FeatureStore],
    how: str = DEFAULT_NORMALISATION,
    *,
    most: int = MOST,
    nearest: Sequence[int] = (1, 10),
    seed: int = 2016,
    siblings: bool = False,
) -> Embedding:
    """Lay a sample of humans and characters out in the plane, by the distance that retrieval goes by.

    The distance of two images is √JS of their normalised FC6, which unlike JS is a metric (Endres and Schindelin 2003).
    Half of the sample are humans, as far as there are.

    Parameters
    ----------
    queries : FeatureStore
        Humans.
    stores : mapping of str to FeatureStore
        Characters, by name.
    how : {'l1', 'softmax', 'class-weight'}
        The normalisation of FC6.
    most : int
        Points.
    nearest : sequence of int
        How many of its nearest character points are looked at for each human point.
    seed : int
        Fixes the sample and the picture.
    siblings : bool
        Accept models that were both fine-tuned from a third (`lineage.check_kin`).

    Raises
    ------
    UserError
        If scikit-learn is not installed, the models do not fit, or there are too few labelled images.
    """
    _require_scikit_learn()
    if bad := [k for k in nearest if k < 1]:
        raise UserError(f"cannot look at the {bad[0]} nearest points; give 1 or more")
    for store in stores.values():
        check_kin(queries.model, store, siblings=siblings)
        check_sizes(queries.fc7, store)
    lot = np.random.default_rng(seed)
    people = balanced_sample(queries.labels, most // 2, lot)
    labels = np.concatenate([store.labels for store in stores.values()]).astype(int)
    owners = np.repeat(np.arange(len(stores)), [len(store) for store in stores.values()])
    groups = np.where(labels == UNLABELLED, -1, owners * len(EXPRESSIONS) + labels)
    frames = balanced_sample(groups, most // 2, lot)
    if not len(people) or not len(frames) or len(people) + len(frames) < _FEWEST:
        raise UserError(
            f"{len(people)} labelled images of people and {len(frames)} of characters are too few for a picture; "
            f"give stores of labelled images, and {_FEWEST} points or more"
        )
    starts = np.cumsum([0, *(len(store) for store in stores.values())])
    taken = [(HUMAN, queries, people)]
    taken += [
        (name, store, frames[owners[frames] == number] - starts[number])
        for number, (name, store) in enumerate(stores.items())
    ]
    features = np.concatenate([_distributions(store, rows, how) for _, store, rows in taken])
    distances = root_divergences(features)
    of_all = np.concatenate([store.labels[rows] for _, store, rows in taken]).astype(int)
    count = len(people)
    shares = {k: shares_of_nearest(distances[:count, count:], of_all[:count], of_all[count:], k) for k in nearest}
    return Embedding(
        who=np.repeat([name for name, _, _ in taken], [len(rows) for _, _, rows in taken]),
        names=[name for _, store, rows in taken for name in store.rows["source"].take(rows).to_pylist()],
        labels=of_all,
        places=tsne(distances, seed),
        shares=shares,
        chance=(of_all[:count, None] == of_all[count:]).mean(axis=1),
        settings={
            "normalisation": how,
            "distance": "root of the Jensen-Shannon divergence",
            "perplexity": _perplexity(len(of_all)),
            "seed": seed,
            "queries": {"path": os.fspath(queries.path), "models": [model.record() for model in queries.models]},
            "stores": {
                name: {"path": os.fspath(store.path), "models": [model.record() for model in store.models]}
                for name, store in stores.items()
            },
        },
    )


def balanced_sample(groups: np.ndarray, most: int, lot: np.random.Generator) -> np.ndarray:
    """Draw members of groups by lot, in turns, so that no group has two more than another that has any left.

    Parameters
    ----------
    groups : (N,) int array
        −1 for what belongs to none and is not drawn.
    most : int
        How many to draw; all where there are fewer.
    lot : numpy.random.Generator

    Returns
    -------
    (n,) int64 array
        Places in `groups`, ascending.
    """
    groups = np.asarray(groups)
    order = lot.permutation(np.flatnonzero(groups >= 0))
    turns = np.empty(len(order), int)
    for group in np.unique(groups[order]):
        of_group = groups[order] == group
        turns[of_group] = np.arange(of_group.sum())
    return np.sort(order[np.argsort(turns, kind="stable")][:most])


def root_divergences(distributions: np.ndarray) -> np.ndarray:
    """Return √JS between all pairs of distributions, (N, D) → (N, N) float64, symmetric with zeros between equals."""
    divergence = divergence_matrix(distributions, distributions)
    np.fill_diagonal(divergence, 0.0)
    return np.sqrt((divergence + divergence.T) / 2.0)


def shares_of_nearest(distances: np.ndarray, labels: np.ndarray, among: np.ndarray, k: int) -> np.ndarray:
    """Return how many of each point's nearest neighbours have its label.

    Parameters
    ----------
    distances : (Q, N) array
    labels : (Q,) int array
    among : (N,) int array
        The neighbours' labels.
    k : int
        Neighbours; all where there are fewer. Of equally near ones the first count.

    Returns
    -------
    (Q,) float64 array
        Shares, 0…1.
    """
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return (among[nearest] == labels[:, None]).mean(axis=1)


def tsne(distances: np.ndarray, seed: int = 0) -> np.ndarray:
    """Lay points out in the plane so that neighbours stay neighbours (van der Maaten and Hinton 2008).

    It starts from classical scaling of the same distances, so that the large arrangement is theirs and not chance's
    (Kobak and Berens 2019).

    Parameters
    ----------
    distances : (N, N) array
        Symmetric, with a zero diagonal.
    seed : int

    Returns
    -------
    (N, 2) float64 array

    Raises
    ------
    UserError
        If scikit-learn is not installed.
    """
    make = _require_scikit_learn()
    from threadpoolctl import threadpool_limits  # which scikit-learn brings with it

    options = {"metric": "precomputed", "init": _classical_scaling(distances), "random_state": seed}
    with threadpool_limits(1):  # so that sums come out the same everywhere, and threads do not wait for one another
        return make(perplexity=_perplexity(len(distances)), **options).fit_transform(distances).astype(np.float64)


def _classical_scaling(distances: np.ndarray) -> np.ndarray:
    """Return the plane in which squared distances are kept best (Torgerson 1952), as small as t-SNE wants to start."""
    squares = distances**2
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean()
    count = len(distances)
    values, vectors = eigh(-0.5 * centred, subset_by_index=(count - 2, count - 1))
    places = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0))
    return (1e-4 * places / (places[:, 0].std() or 1.0)).astype(np.float32)


def _perplexity(count: int) -> float:
    return min(_PERPLEXITY, (count - 1) / 3)


def _distributions(store: FeatureStore, rows: np.ndarray, how: str) -> np.ndarray:
    return normalise(store.fc6[rows], how, predicted=store.fc7_rows[rows], fc7=store.fc7)


def _require_scikit_learn() -> Any:
    """Return the class that does t-SNE."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise UserError("an embedding needs scikit-learn: pip install 'pydeepexpr[embedding]'") from None
    return TSNE
