"""How often retrieved images carry the query's expression, beside how often the classifier names it."""

import dataclasses
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, label_of
from pydeepexpr.pipeline import NoFaceError, Query, Recogniser, Retriever, look

__all__ = ["LabelledQuery", "RetrievalShares", "look_at_queries", "pick_queries", "read_queries", "retrieval_shares"]


@dataclasses.dataclass(frozen=True)
class LabelledQuery:
    """A query with its true label; `query` is None where no face was found, which counts as wrong."""

    name: str
    label: int
    query: Query | None


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


def retrieval_shares(queries: Sequence[LabelledQuery], retriever: Retriever, k: int = 10) -> RetrievalShares:
    """Retrieve for every query and count matches that carry its true label.

    True labels enter the count alone, never the ranking. A query without a face has no hits.
    """
    labels = np.array([query.label for query in queries])
    classified, first, share = np.zeros(len(queries), bool), np.zeros(len(queries), bool), np.zeros(len(queries))
    for number, given in enumerate(queries):
        if given.query is None:
            continue
        hits = [match.label == given.label for match in retriever.retrieve(given.query, k)]
        classified[number] = given.query.predicted == given.label
        first[number], share[number] = hits[0], np.mean(hits)
    return RetrievalShares(labels, classified, first, share, k)


def look_at_queries(recogniser: Recogniser, names: Sequence[str], root: str | os.PathLike) -> list[LabelledQuery]:
    """Read every query once, so that several retrievers can be measured on them.

    Parameters
    ----------
    recogniser : Recogniser
    names : sequence of str
        Paths relative to `root`; the folder names the expression.
    root : path
    """
    return list(progress(_look(recogniser, names, Path(root)), len(names), "queries"))


def _look(recogniser: Recogniser, names: Sequence[str], root: Path) -> Iterator[LabelledQuery]:
    if missing := [name for name in names if not (root / name).is_file()]:
        raise UserError(f"{len(missing)} of {len(names)} queries are not in {root}, for instance {missing[0]}")
    for name in names:
        label = label_of(Path(name).parent.name)
        try:
            yield LabelledQuery(name, label, look(recogniser, root / name))
        except NoFaceError:
            yield LabelledQuery(name, label, None)


def read_queries(path: str | os.PathLike) -> list[str]:
    """Read a list of query names: one a line, `#` starts a comment."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list of queries {os.fspath(path)}: {error}") from None
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise UserError(f"{os.fspath(path)} names no query")
    return names


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
