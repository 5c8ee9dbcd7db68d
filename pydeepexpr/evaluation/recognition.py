"""How often the predicted expression is the true one; images without a face count as wrong."""

import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.table import Table
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED, label_of

__all__ = ["Recognition", "read_rejects", "recognition"]


@dataclasses.dataclass(frozen=True)
class Recognition:
    """Counts from which every figure about recognition follows.

    Attributes
    ----------
    confusion : (7, 7) int64 array
        Images by true label (row) and predicted label (column).
    rejected : (7,) int64 array
        Images by true label that were left out before the network saw them. They count as wrong.
    unlabelled : int
        Images, seen or left out, whose true label is not known. They count in nothing.
    """

    confusion: np.ndarray
    rejected: np.ndarray
    unlabelled: int

    @property
    def counts(self) -> np.ndarray:
        """Labelled images a class, (7,) int64."""
        return self.confusion.sum(axis=1) + self.rejected

    @property
    def total(self) -> int:
        """All labelled images."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Share of all labelled images that were recognised, 0…1."""
        return float(self.confusion.trace() / self.total)

    @property
    def accuracy_of_accepted(self) -> float:
        """The same among the images that the network saw."""
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def per_class(self) -> np.ndarray:
        """Share of each class that was recognised, (7,) float64; NaN for a class without images."""
        counts = self.counts
        return np.divide(self.confusion.diagonal(), counts, out=np.full(len(counts), np.nan), where=counts > 0)

    def record(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "images": self.total,
            "rejected": int(self.rejected.sum()),
            "unlabelled": self.unlabelled,
            "accuracy": self.accuracy,
            "accuracy_of_accepted": self.accuracy_of_accepted,
            "mean_of_classes": float(np.nanmean(self.per_class)),
            "classes": {
                name: {
                    "images": int(self.counts[label]),
                    "rejected": int(self.rejected[label]),
                    "accuracy": float(self.per_class[label]) if self.counts[label] else None,
                    "predicted_as": dict(zip(EXPRESSIONS, self.confusion[label].tolist(), strict=True)),
                }
                for label, name in enumerate(EXPRESSIONS)
            },
        }

    def table(self, remark: str = "") -> Table:
        """Return the accuracy of each class; `remark` is said above it, too."""
        said = f"{self.accuracy:.2%} of {self.total:,} images recognised"
        if rejected := int(self.rejected.sum()):
            said += f" ({rejected:,} rejected images count as wrong; {self.accuracy_of_accepted:.2%} of the others)"
        said += f"; {remark}." if remark else "."
        rows = [
            [name, int(self.counts[label]), int(self.rejected[label]), float(self.per_class[label])]
            for label, name in enumerate(EXPRESSIONS)
        ]
        rows.append(["all", self.total, rejected, self.accuracy])
        columns = ("expression", "images", "rejected", "recognised")
        return Table("Recognition by expression", columns, rows, {"recognised": ".1%"}, said, last=True)


def recognition(labels: np.ndarray, predicted: np.ndarray, rejected: Sequence[int] = ()) -> Recognition:
    """Count what was recognised.

    Parameters
    ----------
    labels : (N,) integer array
        True labels 0–6, −1 where unknown.
    predicted : (N,) integer array
        Predicted labels 0–6.
    rejected : sequence of int
        True labels of the images that were left out, −1 where unknown.

    Raises
    ------
    UserError
        If there is no labelled image among those that the network saw.
    """
    labels, predicted, rejected = np.asarray(labels), np.asarray(predicted), np.asarray(rejected, dtype=np.int64)
    known = labels != UNLABELLED
    if not known.any():
        raise UserError("no image has a label, so nothing can be said about recognition; give labelled images")
    size = len(EXPRESSIONS)
    confusion = np.zeros((size, size), dtype=np.int64)
    np.add.at(confusion, (labels[known], predicted[known]), 1)
    left_out = np.bincount(rejected[rejected >= 0], minlength=size)
    return Recognition(confusion, left_out, int((~known).sum() + (rejected < 0).sum()))


def read_rejects(path: str | os.PathLike, under: str = "") -> list[int]:
    """Return the labels of rejected images, as the list or else the folder names in their paths tell them.

    Parameters
    ----------
    path : path
        `rejects.csv` of a registered folder.
    under : str
        Only those whose path starts with this folder, for instance `val`.

    Returns
    -------
    list of int
        Labels 0–6; −1 where neither names an expression.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [(row["path"], row.get("expression")) for row in csv.DictReader(file)]
    except OSError as error:
        raise UserError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise UserError(f"{os.fspath(path)} is no list of rejects (columns path, reason)") from None
    folder = PurePosixPath(under)
    return [
        _label(said, PurePosixPath(name)) for name, said in rows if not under or folder in PurePosixPath(name).parents
    ]


def _label(said: str | None, path: PurePosixPath) -> int:
    for name in (said or "", *(folder.name for folder in path.parents)):
        try:
            return label_of(name)
        except UserError:
            continue
    return UNLABELLED
