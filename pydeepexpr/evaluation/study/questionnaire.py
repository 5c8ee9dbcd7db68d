"""A study's questions, and the key that its answers are read by.

What people are shown knows nothing of labels and ranks: pages name pictures by the identifiers here, which tell
nothing, and the questionnaire stays with whoever made the study.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import provenance, read_json, write_json

__all__ = ["KINDS", "Picture", "Question", "Questionnaire", "identifier"]

#: Which expression does this face show; which of these faces is the most like that one.
KINDS = ("recognition", "ranking")

_VERSION = 1


@dataclass(frozen=True)
class Picture:
    """One picture of a question.

    Attributes
    ----------
    identifier : str
        What pages and answers call it.
    source : str
        Its name in its database.
    character : str
        Whose it is; empty for people.
    expression : str
        Its true expression, else the predicted one.
    ranks : dict of str to float
        Its place among the question's pictures, from 1, by ranking (`deepexpr`, `js`, `geometry`); ties share their
        mid-rank. Empty but for the pictures that are ranked.
    """

    identifier: str
    source: str
    character: str = ""
    expression: str = ""
    ranks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What is asked at once.

    Attributes
    ----------
    identifier : str
    pictures : tuple of Picture
        The one that is to be recognised, or those that are to be ranked.
    query : Picture, optional
        The photograph that asked: shown with those to be ranked; with one to be recognised it is known and not shown.
    """

    identifier: str
    pictures: tuple[Picture, ...]
    query: Picture | None = None


@dataclass(frozen=True)
class Questionnaire:
    """A study.

    Attributes
    ----------
    kind : {'recognition', 'ranking'}
    questions : tuple of Question
    settings : dict
        How the questions were drawn: models, stores, normalisation, seed … ready for JSON.
    """

    kind: str
    questions: tuple[Question, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identifier(self) -> str:
        """What tells this study from others: a hash of its kind and of its questions' and pictures' identifiers."""
        names = [(one.identifier, *(picture.identifier for picture in one.pictures)) for one in self.questions]
        return identifier(self.kind, names)

    def write(self, path: str | os.PathLike) -> None:
        """Write it as JSON (docs/study.md), with the command that made it."""
        questions = [asdict(question) for question in self.questions]
        record = {"version": _VERSION, "kind": self.kind, "study": self.identifier, "settings": dict(self.settings)}
        write_json(path, {**record, "questions": questions, "provenance": provenance()})

    @staticmethod
    def read(path: str | os.PathLike) -> "Questionnaire":
        """Read what `write` wrote.

        Raises
        ------
        UserError
            If it cannot be read, or is no questionnaire.
        """
        name = os.fspath(path)
        record = read_json(path, "the study.json that tools/study.py wrote")
        try:
            if record["version"] != _VERSION:
                raise UserError(f"{name} is of version {record['version']}, not {_VERSION}; make the study again")
            questionnaire = Questionnaire(record["kind"], _questions(record["questions"]), record["settings"])
        except (KeyError, TypeError):
            raise UserError(f"{name} is no study; give the study.json that tools/study.py wrote") from None
        if questionnaire.kind not in KINDS or record.get("study") != questionnaire.identifier:
            raise UserError(f"{name} was changed after it was made; make the study again")
        return questionnaire


def identifier(*parts: object) -> str:
    """Return ten letters that stand for values and tell nothing of them."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:10]


def _questions(records: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    questions = tuple(
        Question(
            record["identifier"],
            tuple(Picture(**picture) for picture in record["pictures"]),
            None if record["query"] is None else Picture(**record["query"]),
        )
        for record in records
    )
    for question in questions:
        for picture in (*question.pictures, *filter(None, [question.query])):
            if picture.expression and picture.expression not in EXPRESSIONS:
                raise UserError(f"{picture.expression!r} is no expression (question {question.identifier})")
    return questions
