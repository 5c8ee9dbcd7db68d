"""How often retrieved images carry the query's expression, beside how often the classifier names it."""

import dataclasses
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.compare import Described, compare
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED, label_of
from pydeepexpr.features import FeatureStore
from pydeepexpr.lineage import ModelIdentity
from pydeepexpr.pipeline import NoFaceError, Query, Recogniser, look
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, check_refinement, refine

__all__ = ["Photographs", "RetrievalShares", "look_at_queries", "pick_queries", "retrieval_shares"]


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Labelled photographs as a network and geometry describe them (`compare.Described`).

    Attributes
    ----------
    labels, predicted : (Q,) int array
    fc6 : (Q, D) float32 array
    geometry : (Q, 9) array
    fc7 : (C, D) float32 array
    model : ModelIdentity
    missed : dict of str to int
        Names and labels of the photographs in which no face was found; they are not among the others.
    """

    labels: np.ndarray
    predicted: np.ndarray
    fc6: np.ndarray
    geometry: np.ndarray
    fc7: np.ndarray
    model: ModelIdentity
    missed: dict[str, int]


@dataclasses.dataclass(frozen=True)
class RetrievalShares:
    """Hits of each query.

    Attributes
    ----------
    labels : (Q,) int array
        True labels of the queries.
    classified : (Q,) bool array
        Whether the classifier named the query's label.
    first : (Q,) bool array
        Whether the first match carries the query's label.
    share : (Q,) float array
        Share of the first k matches that do.
    k : int
    """

    labels: np.ndarray
    classified: np.ndarray
    first: np.ndarray
    share: np.ndarray
    k: int

    def with_misses(self, labels: Collection[int]) -> "RetrievalShares":
        """Return the same with further queries, of these labels, in which no face was found: they count as wrong."""
        none = np.zeros(len(labels))
        return RetrievalShares(
            np.concatenate([self.labels, np.array(list(labels), dtype=self.labels.dtype)]),
            np.concatenate([self.classified, none > 0]),
            np.concatenate([self.first, none > 0]),
            np.concatenate([self.share, none]),
            self.k,
        )

    def record(self) -> dict[str, Any]:
        """Return everything for JSON: shares 0…1 over all queries and a class, and ratios to the classifier."""
        accuracy = float(self.classified.mean())
        top = {"top_1": float(self.first.mean()), f"top_{self.k}": float(self.share.mean())}
        return {
            "queries": len(self.labels),
            "classifier_accuracy": accuracy,
            **top,
            "ratio_to_classifier": {name: value / accuracy if accuracy else None for name, value in top.items()},
            "classes": {EXPRESSIONS[label]: self._of_class(label) for label in np.unique(self.labels)},
        }

    def _of_class(self, label: int) -> dict[str, float | int]:
        these = self.labels == label
        return {
            "queries": int(these.sum()),
            "classifier_accuracy": float(self.classified[these].mean()),
            "top_1": float(self.first[these].mean()),
            f"top_{self.k}": float(self.share[these].mean()),
        }


def retrieval_shares(
    queries: Described,
    store: FeatureStore,
    k: int = 10,
    *,
    how: str = DEFAULT_NORMALISATION,
    alpha: float = 1.0,
    beta: float = 1.0,
    sort_by: str = "geometric",
    within: str = "label",
    siblings: bool = False,
) -> RetrievalShares:
    """Retrieve for every labelled query and count matches that carry its true label.

    True labels enter the count alone, never the ranking. What is retrieved is what `pipeline.Retriever` retrieves.

    Parameters
    ----------
    queries : Described
        Photographs, or a feature store.
    store : FeatureStore
    k : int
        How many matches are looked at.
    how, alpha, beta, sort_by, within, siblings
        As `pipeline.Retriever` has them.

    Raises
    ------
    UserError
        If no query has a label, the models do not fit, or the store holds fewer than `k` images.
    """
    check_refinement(alpha, beta, sort_by, within)
    if not 1 <= k <= len(store):
        raise UserError(f"cannot return the top {k}: {store.path} holds {len(store)} images")
    labels = np.asarray(queries.labels)
    known = labels != UNLABELLED
    if not known.any():
        raise UserError("no query has a label, so no match can be judged; give labelled images")
    hits = np.zeros((len(labels), k), dtype=bool)
    for block in compare(queries, store, how, siblings=siblings):
        for row, divergence, geometric, matched, label in zip(
            hits[block.queries],
            block.divergence,
            block.geometric,
            block.matched,
            labels[block.queries],
            strict=True,
        ):
            order = np.argsort(divergence, kind="stable")
            sorts = matched | (within == "store")
            order = refine(order, divergence, geometric, sorts, alpha=alpha, beta=beta, sort_by=sort_by)
            row[:] = store.labels[order[:k]] == label
    classified = np.asarray(queries.predicted) == labels
    return RetrievalShares(labels[known], classified[known], hits[known, 0], hits[known].mean(axis=1), k)


def look_at_queries(recogniser: Recogniser, names: Sequence[str], root: str | os.PathLike) -> Photographs:
    """Read every photograph of a list once, to measure several stores and settings on them.

    Parameters
    ----------
    recogniser : Recogniser
    names : sequence of str
        Paths relative to `root`; the folder names the expression.
    root : path

    Raises
    ------
    UserError
        If a photograph is missing, or none of them shows a face.
    """
    root = Path(root)
    if missing := [name for name in names if not (root / name).is_file()]:
        raise UserError(f"{len(missing)} of {len(names)} queries are not in {root}, for instance {missing[0]}")
    labels = {name: label_of(Path(name).parent.name) for name in names}
    found: dict[str, Query] = {}
    for name in progress(labels, len(labels), "queries"):
        try:
            found[name] = look(recogniser, root / name)
        except NoFaceError:
            continue
    if not found:
        raise UserError(f"no face was found in any of the {len(names)} queries; give photographs of faces")
    queries = list(found.values())
    return Photographs(
        labels=np.array([labels[name] for name in found]),
        predicted=np.array([query.predicted for query in queries]),
        fc6=np.array([query.fc6 for query in queries]),
        geometry=np.array([query.geometry for query in queries]),
        fc7=recogniser.fc7,
        model=recogniser.identity,
        missed={name: label for name, label in labels.items() if name not in found},
    )


def pick_queries(
    manifest: str | os.PathLike, each: int = 10, seed: int = 0, *, exclude: Collection[str] = (), fewer: bool = False
) -> list[str]:
    """Choose queries by lot: `each` an expression, among the images in which a face was detected.

    Parameters
    ----------
    manifest : path
        `manifest.parquet` of a registered folder.
    each : int
        Names an expression.
    seed : int
        The same seed and manifest give the same names.
    exclude : collection of str
        Names not to choose: those of another list.
    fewer : bool
        Where an expression has fewer than `each`, take them all instead of raising an error.

    Returns
    -------
    list of str
        `source` names, sorted within each expression.
    """
    try:
        table = pq.read_table(manifest, columns=["source", "expression", "face"]).to_pydict()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {os.fspath(manifest)}: {' '.join(str(error).split())}") from None
    generator = np.random.default_rng(seed)
    chosen = []
    for label, expression in enumerate(EXPRESSIONS):
        rows = zip(table["source"], table["expression"], table["face"], strict=True)
        names = sorted({name for name, its, face in rows if its == label and face == "detected"} - set(exclude))
        if len(names) < each and not fewer:
            raise UserError(f"{os.fspath(manifest)} has {len(names)} detected faces of {expression}, fewer than {each}")
        chosen += sorted(generator.choice(names, min(each, len(names)), replace=False).tolist())
    return chosen
