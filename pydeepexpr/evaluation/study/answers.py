"""What people answered: a session at a time, checked against its study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.checks import checks_of
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["Answer", "Session", "check_study", "session_of_page", "session_of_rows"]

_VERSION = 1


@dataclass(frozen=True)
class Answer:
    """An answer to a question or to an attention check.

    Attributes
    ----------
    choice : str
        The expression that was chosen; empty for a ranking.
    order : tuple of str
        Identifiers of the pictures, most similar first; empty for a recognition.
    position : int, optional
        The question's place in the session, from 1.
    seconds : float, optional
        How long it was looked at.
    """

    choice: str = ""
    order: tuple[str, ...] = ()
    position: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Session:
    """What one rater answered at one sitting.

    Attributes
    ----------
    rater : str
        Empty where nobody gave a name.
    identifier : str
        The page's begin with the time of their start (UTC), so that they sort by it.
    answers : dict of str to Answer
        By the identifier of the question or check.
    unknown : int
        Answers to questions that the study does not have.
    rejected : bool
        Whether the requester rejected it (Mechanical Turk).
    """

    rater: str
    identifier: str
    answers: Mapping[str, Answer]
    unknown: int = 0
    rejected: bool = False


def session_of_page(record: Any, questionnaire: Questionnaire, where: str, rater: str | None = None) -> Session:
    """Return the session that a page described.

    Parameters
    ----------
    record : dict
        The page's JSON, read (docs/study.md).
    questionnaire : Questionnaire
    where : str
        Where it was read, for errors.
    rater : str, optional
        Who it was, where somebody knows better than the page.

    Raises
    ------
    UserError
        If it is damaged or answers another study.
    """
    try:
        if record["version"] != _VERSION:
            raise UserError(f"{where}: answers of version {record['version']!r}, not {_VERSION}; make the study again")
        check_study(record["study"], questionnaire, where)
        rows = [{**row, "order": row.get("order", ())} for row in record["answers"]]
        session, named = record["session"], record["rater"]
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{where}: these are no answers of a study's page, or damaged ones") from None
    if not isinstance(session, str) or not isinstance(named, str):
        raise UserError(f"{where}: the names of rater and session are no words; these answers are damaged")
    return session_of_rows(rows, questionnaire, session, named if rater is None else rater, where)


def session_of_rows(
    rows: Sequence[Mapping[str, Any]], questionnaire: Questionnaire, session: str, rater: str, where: str
) -> Session:
    """Return a session of its answers, each with `question`, `choice` or `order`, and perhaps `position`, `seconds`.

    Raises
    ------
    UserError
        If the session has no name, one is no answer to its question, or a question was answered twice.
    """
    pictures = {one.identifier: [picture.identifier for picture in one.pictures] for one in questionnaire.questions}
    pictures |= {name: list(check.pictures) for name, check in checks_of(questionnaire).items()}
    if not session:
        raise UserError(f"{where}: a session has no name; the answers are damaged")
    answers: dict[str, Answer] = {}
    unknown = 0
    for row in rows:
        question = str(row.get("question"))
        if question not in pictures:
            unknown += 1
            continue
        at = f"{where}, question {question}"
        if question in answers:
            raise UserError(f"{at} is answered twice in session {session}; the file is damaged")
        answers[question] = _answer(row, questionnaire.kind, pictures[question], at)
    return Session(rater.strip(), session, answers, unknown)


def check_study(study: object, questionnaire: Questionnaire, where: str) -> None:
    """Refuse the answers to another study; `where` is where they were read."""
    if study != questionnaire.identifier:
        raise UserError(f"{where} answers study {study}, not {questionnaire.identifier}; give that one's study.json")


def _answer(row: Mapping[str, Any], kind: str, pictures: Sequence[str], at: str) -> Answer:
    position, seconds = _number(row, "position", at), _number(row, "seconds", at)
    place = None if position is None else int(position)
    if kind == "recognition":
        if row.get("choice") not in EXPRESSIONS:
            raise UserError(f"{at}: {row.get('choice')!r} is no expression; the answers are damaged")
        return Answer(choice=row["choice"], position=place, seconds=seconds)
    order = row.get("order")
    if not isinstance(order, list | tuple) or sorted(map(str, order)) != sorted(pictures):
        raise UserError(f"{at}: {order!r} does not name each of its faces once; the answers are damaged")
    return Answer(order=tuple(order), position=place, seconds=seconds)


def _number(row: Mapping[str, Any], name: str, at: str) -> float | None:
    text = row.get(name)
    if text is None or text == "":
        return None
    try:
        number = float(text)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise UserError(f"{at}: {name} is {text!r}, which is no number of 0 or more; the answers are damaged")
    return number
