"""Recognition accuracy, every division beside the papers' numbers: what was trained on, what tested."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.bootstrap import group_numbers, interval, resampled_means
from pydeepexpr.evaluation.folds import PAPER_ACCURACY, spread
from pydeepexpr.evaluation.recognition import Recognition, recognition
from pydeepexpr.evaluation.table import Cell, Missing, Table
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.features import FeatureStore

__all__ = ["DIVISIONS", "Accuracy", "accuracy_of", "accuracy_tables", "read_accuracies"]


@dataclass(frozen=True)
class Division:
    """A row of the table: which network is tested on what.

    Attributes
    ----------
    about : str
    papers : float or None
        What the papers report, 0…1.
    over : str
        What one store is, where there are several.
    lacks : str
        Why the row may be missing.
    """

    about: str
    papers: float | None
    over: str
    lacks: str


_LINE = 100  # letters of a command that is shown whole

_PAPERS_CHARACTER = 0.8902  # ACCV 2016, section 5.1

_FULL = "needs a training of its own: make reproduce FULL=1"

#: The rows. "random" is the papers' division of the characters' frames as far as they tell, and leaks.
DIVISIONS = {
    "folds": Division("human: five folds, each person in one", PAPER_ACCURACY, "folds", _FULL),
    "people": Division("human: people in no training image", PAPER_ACCURACY, "parts", "no test images"),
    "random": Division("character: frames divided at random", _PAPERS_CHARACTER, "parts", _FULL),
    "apart": Division("character: neighbouring frames on one side", _PAPERS_CHARACTER, "parts", _FULL),
    "left-out": Division("character: one that it has never seen", None, "characters", _FULL),
    "tuned": Division("human, tuned for each character: neighbours on one side", None, "characters", "no stores"),
}


@dataclass(frozen=True)
class Accuracy:
    """What was recognised of one division's test images.

    Attributes
    ----------
    confusion : (7, 7) int array
        Rows true, columns predicted.
    each : dict of str to float
        The accuracy in each store, by its name.
    low, high : float
        Ends of the 95 % interval of the accuracy over resampled persons (of frames: over resampled sequences).
    made : str
        When the newest of the stores was made.
    trained : str
        How long the networks were trained, in words; empty where that was not said.
    command : str
        What made it, if it is an earlier result that was read from a file; else empty.
    """

    confusion: np.ndarray
    each: dict[str, float]
    low: float
    high: float
    made: str
    trained: str = ""
    command: str = ""

    @property
    def result(self) -> Recognition:
        """The same as counts of recognition."""
        return Recognition(self.confusion, np.zeros(len(EXPRESSIONS), dtype=np.int64), 0)

    def record(self) -> dict[str, Any]:
        """Return everything for JSON."""
        mean, deviation = spread([*self.each.values()])
        return {
            "accuracy": self.result.accuracy,
            "images": self.result.total,
            "lower": self.low,
            "upper": self.high,
            "each": self.each,
            "mean": mean,
            "deviation": None if np.isnan(deviation) else deviation,
            "confusion": self.confusion.tolist(),
            "made": self.made,
            "trained": self.trained,
            **({"command": self.command} if self.command else {}),
        }


def accuracy_of(stores: Mapping[str, FeatureStore], trained: str = "") -> Accuracy:
    """Count what is recognised in stores of test images.

    Parameters
    ----------
    stores : mapping of str to FeatureStore
        Folds, characters, or one store alone. No image may be in two of them.
    trained : str
        How long their networks were trained, in words.

    Raises
    ------
    UserError
        If a store holds no labelled image.
    """
    each, confusion, columns, hits = {}, 0, {"database": [], "unit": []}, []
    for name, store in stores.items():
        counted = recognition(store.labels, store.predicted)
        each[name], confusion = counted.accuracy, confusion + counted.confusion
        known = store.labels != UNLABELLED
        hits.append((store.labels == store.predicted)[known])
        for row, labelled in zip(_persons(store), known, strict=True):
            if labelled:
                columns["database"].append(row["database"])
                columns["unit"].append(row["subject"] or row["sequence"])
    together = np.concatenate(hits)
    groups = group_numbers(columns["database"], columns["unit"])
    means = resampled_means(together, np.zeros(len(together), dtype=np.int64), groups, 1)
    (low,), (high,) = interval(means)
    made = max(part["provenance"].get("made", "") for store in stores.values() for part in store.parts)
    return Accuracy(confusion, each, float(low), float(high), made, trained)


def read_accuracies(path: str | os.PathLike) -> dict[str, Accuracy]:
    """Read an earlier result, by division.

    Raises
    ------
    UserError
        If the file cannot be read or holds no accuracies.
    """
    name = os.fspath(path)
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        made = record["provenance"]
        return {
            division: Accuracy(
                np.array(its["confusion"], dtype=np.int64),
                its["each"],
                its["lower"],
                its["upper"],
                its["made"],
                its["trained"],
                its.get("command") or _brief(made["command"], path),
            )
            for division, its in record["divisions"].items()
            if division in DIVISIONS
        }
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{name} holds no accuracies; give what tools/evaluate.py accuracy --json wrote") from None


def _brief(command: list[str], path: str | os.PathLike) -> str:
    """Return a command, or its beginning and where the whole of it stands."""
    whole = shlex.join(command)
    return whole if len(whole) <= _LINE else f"{shlex.join(command[:2])} …, the whole command in {Path(path).name}"


def accuracy_tables(found: Mapping[str, Accuracy]) -> list[Table]:
    """Return the accuracies beside the papers', by expression, and by character."""
    return [_whole(found), _by_expression(found), *_by_character(found)]


def _whole(found: Mapping[str, Accuracy]) -> Table:
    columns = ("network and division", "accuracy", "95 %", "papers", "images", "mean ± deviation", "trained", "made")
    rows = []
    for name, division in DIVISIONS.items():
        row: list[Cell] = [Missing(division.lacks), None, division.papers, None, None, None, None]
        if its := found.get(name):
            mean, deviation = spread([*its.each.values()])
            over = f"{mean:.1%} ± {deviation:.1%} over {len(its.each)} {division.over}" if len(its.each) > 1 else None
            made = its.made[:10] + ("*" if its.command else "")
            between = f"{its.low:.1%} to {its.high:.1%}"
            row = [its.result.accuracy, between, division.papers, its.result.total, over, its.trained or None, made]
        rows.append([division.about, *row])
    said = (
        "Labelled test images whose expression the network names; photographs without a face found are not among "
        "them. Intervals hold 95 % of the accuracies over resampled persons, of characters over resampled sequences. "
        "A random division has neighbours of the test frames in training. Nobody has published a number of a "
        "character never seen."
    )
    earlier = dict.fromkeys(f"{its.made[:10]}: {its.command}" for its in found.values() if its.command)
    if earlier:
        said += f" * From an earlier full run ({'; '.join(earlier)})."
    formats = {"accuracy": ".2%", "papers": ".2%"}
    return Table("Recognition accuracy", columns, rows, formats, said)


def _by_expression(found: Mapping[str, Accuracy]) -> Table:
    names = [name for name in DIVISIONS if name in found]
    shares = [found[name].result.per_class for name in names]
    rows = [[expression, *(float(share[label]) for share in shares)] for label, expression in enumerate(EXPRESSIONS)]
    return Table("Recognition accuracy by expression", ("expression", *names), rows, dict.fromkeys(names, ".1%"))


def _by_character(found: Mapping[str, Accuracy]) -> list[Table]:
    names = [name for name in ("left-out", "tuned") if name in found]
    characters = list(dict.fromkeys(who for name in names for who in found[name].each))
    if not characters:
        return []
    rows = [[who, *(found[name].each.get(who) for name in names)] for who in characters]
    return [Table("Recognition accuracy by character", ("character", *names), rows, dict.fromkeys(names, ".1%"))]


def _persons(store: FeatureStore) -> list[dict[str, str]]:
    """Return what tells which images belong together: the person's name, else the sequence's, else nothing."""
    known = [name for name in ("database", "subject", "sequence") if name in store.rows.column_names]
    empty = dict.fromkeys(("database", "subject", "sequence"), "")
    return [{**empty, **row} for row in store.rows.select(known).to_pylist()]
