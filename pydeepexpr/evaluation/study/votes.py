"""What a study found: how often each expression was chosen, or the order that each set of faces was given."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.questionnaire import KINDS
from pydeepexpr.evaluation.table import Table
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import provenance, read_json, write_json

__all__ = ["Ranked", "Recognised", "Votes"]

_VERSION = 1


@dataclass(frozen=True)
class Recognised:
    """What people saw in a face.

    Attributes
    ----------
    votes : dict of str to int
        How many chose each of the seven expressions.
    intended : str
        The expression that the face should show.
    character : str
        Whose face it is; empty for people.
    source : str
        The picture's name in its database.
    """

    votes: Mapping[str, int]
    intended: str
    character: str = ""
    source: str = ""

    @property
    def share(self) -> float | None:
        """The share of votes, 0 to 1, for the intended expression; None without votes."""
        total = sum(self.votes.values())
        return self.votes.get(self.intended, 0) / total if total else None


@dataclass(frozen=True)
class Ranked:
    """The order of a set of faces, most similar first.

    Attributes
    ----------
    votes : int
        How many orders it was made of; 0 if it is no person's.
    ranks : dict of str to float
        Each picture's place, from 1, by its identifier; ties share their mid-rank.
    """

    votes: int
    ranks: Mapping[str, float]


@dataclass(frozen=True)
class Votes:
    """Answers to a study, summed up: by people, by an expert, or by a measure that stands for one.

    Attributes
    ----------
    kind : {'recognition', 'ranking'}
    study : str
        The questionnaire's identifier.
    by : str
        Whose votes these are, and how they were made one: ``50 people, Borda count``.
    raters : int
        How many people; 0 if it is no person's.
    questions : dict of str to Recognised or Ranked
        By the question's identifier. A set of faces that nobody ranked is not here.
    agreement : dict
        `agreement.agreement`; empty where it is not asked for.
    left_out : sequence of dict
        Each answer sheet, or part of one, that was not counted: `rater` and `why`.
    """

    kind: str
    study: str
    by: str
    raters: int
    questions: Mapping[str, Recognised | Ranked]
    agreement: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[Mapping[str, str]] = ()

    @property
    def ranks(self) -> dict[str, dict[str, float]]:
        """Places of pictures, by question; empty for a recognition study."""
        return {name: dict(one.ranks) for name, one in self.questions.items() if isinstance(one, Ranked)}

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Votes for expressions, by question; empty for a ranking study."""
        return {name: dict(one.votes) for name, one in self.questions.items() if isinstance(one, Recognised)}

    def record(self) -> dict[str, Any]:
        """Return everything for JSON (docs/study.md)."""
        questions = {name: asdict(one) for name, one in self.questions.items()}
        for name, one in self.questions.items():
            if isinstance(one, Recognised):
                questions[name]["share"] = one.share
        return {
            "version": _VERSION,
            "kind": self.kind,
            "study": self.study,
            "by": self.by,
            "raters": self.raters,
            "left_out": [dict(one) for one in self.left_out],
            "agreement": dict(self.agreement),
            "questions": questions,
        }

    def write(self, path: str | os.PathLike, tables: Sequence[Table] = ()) -> None:
        """Write it as JSON, with its tables and the command that made it."""
        shown = {"tables": [table.record() for table in tables], "provenance": provenance()}
        write_json(path, {**self.record(), **shown})

    @staticmethod
    def read(path: str | os.PathLike) -> "Votes":
        """Read what `write` wrote.

        Raises
        ------
        UserError
            If it cannot be read, or holds no votes.
        """
        name = os.fspath(path)
        record = read_json(path, "what tools/study.py read wrote")
        try:
            if record["version"] != _VERSION:
                raise UserError(f"{name} is of version {record['version']}, not {_VERSION}; read the answers again")
            kind = record["kind"]
            if kind not in KINDS:
                raise UserError(f"{name} is of a kind {kind!r} that is not known; use one of: {', '.join(KINDS)}")
            of_kind = _recognised if kind == "recognition" else _ranked
            questions = {one: of_kind(found) for one, found in record["questions"].items()}
            raters, left_out = int(record["raters"]), tuple(record["left_out"])
            return Votes(kind, record["study"], record["by"], raters, questions, record["agreement"], left_out)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UserError(f"{name} holds no votes, or damaged ones; give what tools/study.py read wrote") from None


def _recognised(record: Mapping[str, Any]) -> Recognised:
    votes = {expression: int(record["votes"][expression]) for expression in EXPRESSIONS}
    if record["intended"] not in EXPRESSIONS or min(votes.values()) < 0:
        raise ValueError(record)
    return Recognised(votes, record["intended"], record["character"], record["source"])


def _ranked(record: Mapping[str, Any]) -> Ranked:
    return Ranked(int(record["votes"]), {name: float(rank) for name, rank in record["ranks"].items()})
