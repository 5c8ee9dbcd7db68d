"""Amazon Mechanical Turk: a whole study a HIT, or a question a HIT (docs/study.md); its input and its batch results."""

import csv
import io
import json
from collections.abc import Mapping, Sequence

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.answers import Session, session_of_page, session_of_rows
from pydeepexpr.evaluation.study.questionnaire import Questionnaire

__all__ = ["hits_of", "is_batch", "sessions_of_batch"]

_WORKER, _STATUS = "WorkerId", "AssignmentStatus"
_PAGE = "Answer.answers"
_QUESTION = "Input.question"
_ANSWER = {"recognition": "Answer.choice", "ranking": "Answer.order"}


def hits_of(questionnaire: Questionnaire) -> str:
    """Return the input of a batch that asks one question a HIT, as CSV.

    Its columns are `question`, in ranking studies `query`, and `picture1` …: identifiers, of which a HIT's template
    makes the addresses of pictures.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    asked = sorted(questionnaire.questions, key=lambda one: one.identifier)
    ranking = questionnaire.kind == "ranking"
    most = max(len(question.pictures) for question in asked)
    writer.writerow(["question", *(["query"] if ranking else []), *(f"picture{at + 1}" for at in range(most))])
    for question in asked:
        query = [question.query.identifier if question.query else ""] if ranking else []
        writer.writerow([question.identifier, *query, *sorted(picture.identifier for picture in question.pictures)])
    return text.getvalue()


def is_batch(heads: Sequence[str]) -> bool:
    """Return whether a CSV file with these headings is a batch of Mechanical Turk."""
    return _WORKER in heads and any(head.startswith("Answer.") for head in heads)


def sessions_of_batch(rows: Sequence[Mapping[str, str]], questionnaire: Questionnaire, where: str) -> list[Session]:
    """Return the sessions in a batch.

    Where a HIT was a whole study, its page's answers are in the column ``Answer.answers``. Where a HIT was one
    question, named in ``Input.question``, with its answer in ``Answer.choice`` or ``Answer.order``, a worker's
    assignments are one session; the first answer to a question counts. Rejected assignments are sessions of their own,
    marked so.

    Raises
    ------
    UserError
        If it has neither form, or an answer is damaged.
    """
    answer = _ANSWER[questionnaire.kind]
    if not rows or (_PAGE not in rows[0] and not {_QUESTION, answer} <= {*rows[0]}):
        raise UserError(f"{where} needs answers in the column {_PAGE}, or in {_QUESTION} and {answer}")
    sessions = []
    singles: dict[str, dict[str, dict[str, object]]] = {}
    for number, row in enumerate(rows, 2):
        at, worker = f"{where}, row {number}", row[_WORKER]
        if not worker:
            raise UserError(f"{at} names no worker; give the batch as Mechanical Turk saved it")
        if row.get(_STATUS) == "Rejected":
            sessions.append(Session(worker, f"rejected-{number}", {}, rejected=True))
        elif page := _filled(row.get(_PAGE)):
            sessions.append(session_of_page(_json(page, at), questionnaire, at, worker))
        elif said := _filled(row.get(answer)):
            one = {"question": row.get(_QUESTION), "choice": said, "order": said.split()}
            singles.setdefault(worker, {}).setdefault(str(row.get(_QUESTION)), one)
        else:
            raise UserError(f"{at} holds no answer; reject it, or take it out")
    sessions += [
        session_of_rows([*answers.values()], questionnaire, f"hits-{worker}", worker, where)
        for worker, answers in singles.items()
    ]
    return sessions


def _filled(cell: str | None) -> str:
    """Return what a cell says; Mechanical Turk writes ``{}`` where nothing was answered."""
    return "" if cell is None or cell.strip() in ("", "{}") else cell


def _json(text: str, at: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{at}: the answers are damaged or cut short: {error}") from None
