"""From sessions to votes: who counts, and what they said together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.agreement import agreement
from pydeepexpr.evaluation.study.answers import Answer, Session
from pydeepexpr.evaluation.study.checks import Check, checks_of
from pydeepexpr.evaluation.study.questionnaire import Question, Questionnaire
from pydeepexpr.evaluation.study.votes import Ranked, Recognised, Votes
from pydeepexpr.evaluation.study.voting import DEFAULT_VOTING, VOTING
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["admit", "count_votes"]


def count_votes(
    questionnaire: Questionnaire,
    sessions: Iterable[Session],
    voting: str = DEFAULT_VOTING,
    *,
    keep_inattentive: bool = False,
) -> Votes:
    """Sum up sessions.

    Parameters
    ----------
    questionnaire : Questionnaire
    sessions : iterable of Session
    voting : {'borda', 'kemeny'}
        How the orders of a ranking become one.
    keep_inattentive : bool
        Count raters who failed an attention check, too.

    Raises
    ------
    UserError
        If nobody's answers count.
    """
    admitted, left_out = admit(questionnaire, sessions, keep_inattentive=keep_inattentive)
    if not admitted:
        reasons = Counter(one["why"] for one in left_out)
        said = "; ".join(f"{why}: {count}" for why, count in reasons.items()) or "no session was read"
        raise UserError(f"nobody's answers can be counted ({said})")
    sheets = [session.answers for session in admitted]
    people = f"{len(sheets)} {'person' if len(sheets) == 1 else 'people'}"
    names = (questionnaire.kind, questionnaire.identifier)
    if questionnaire.kind == "recognition":
        recognised = {one.identifier: _recognised(one, sheets) for one in questionnaire.questions}
        values = [_choices(questionnaire.questions, sheet) for sheet in sheets]
        found = agreement(np.array(values), "nominal")
        return Votes(*names, people, len(sheets), recognised, found, left_out)
    scheme = VOTING[voting]
    ranked = {}
    for question in questionnaire.questions:
        orders = [_ranks(question, sheet) for sheet in sheets if question.identifier in sheet]
        if orders:
            places = scheme.combine(np.array(orders)).tolist()
            pictures = [picture.identifier for picture in question.pictures]
            ranked[question.identifier] = Ranked(len(orders), dict(zip(pictures, places, strict=True)))
    values = [np.concatenate([_ranks(question, sheet) for question in questionnaire.questions]) for sheet in sheets]
    found = agreement(np.array(values), "ordinal")
    return Votes(*names, f"{people}, {scheme.title}", len(sheets), ranked, found, left_out)


def admit(
    questionnaire: Questionnaire, sessions: Iterable[Session], *, keep_inattentive: bool = False
) -> tuple[list[Session], list[dict[str, str]]]:
    """Return the sessions that count, one a rater, and for each thing left out whose it was (`rater`) and `why`.

    Left out are, in this order: assignments that were rejected; a session that was read before (the fullest copy
    counts); a rater's second session, by their identifiers, which begin with the time; one that fails an attention
    check; one without answers. Who gave no name is somebody else in every session. Each answer to an unknown
    question is named, too.
    """
    checks = checks_of(questionnaire)
    questions = {question.identifier for question in questionnaire.questions}
    left_out: list[dict[str, str]] = []
    copies: dict[str, Session] = {}
    for session in sessions:
        if session.rejected:
            left_out.append(_without(session, "rejected on Mechanical Turk"))
            continue
        known = copies.get(session.identifier)
        if known:
            left_out.append(_without(session, "the same session, read again"))
        if not known or len(session.answers) >= len(known.answers):
            copies[session.identifier] = session
    admitted: dict[str, Session] = {}
    for session in sorted(copies.values(), key=lambda one: one.identifier):
        left_out += [_without(session, "an answer to a question that the study does not have")] * session.unknown
        if admitted.setdefault(session.rater.casefold() or session.identifier, session) is not session:
            left_out.append(_without(session, "a second session of the same rater"))
    kept = []
    for session in admitted.values():
        if not keep_inattentive and _fails(session.answers, checks):
            left_out.append(_without(session, "failed an attention check"))
        elif not questions & {*session.answers}:
            left_out.append(_without(session, "answered no question"))
        else:
            kept.append(session)
    return kept, left_out


def _without(session: Session, why: str) -> dict[str, str]:
    return {"rater": session.rater or session.identifier, "why": why}


def _fails(answers: Mapping[str, Answer], checks: Mapping[str, Check]) -> bool:
    given = {name: answer.choice or answer.order for name, answer in answers.items()}
    return any(given[name] != check.wanted for name, check in checks.items() if name in given)


def _recognised(question: Question, sheets: Sequence[Mapping[str, Answer]]) -> Recognised:
    said = Counter(sheet[question.identifier].choice for sheet in sheets if question.identifier in sheet)
    picture = question.pictures[0]
    votes = {expression: said[expression] for expression in EXPRESSIONS}
    return Recognised(votes, picture.expression, picture.character, picture.source)


def _choices(questions: Sequence[Question], sheet: Mapping[str, Answer]) -> list[float]:
    """Return the label chosen for each question; NaN where there is none."""
    given = (sheet.get(question.identifier) for question in questions)
    return [EXPRESSIONS.index(answer.choice) if answer else np.nan for answer in given]


def _ranks(question: Question, sheet: Mapping[str, Answer]) -> np.ndarray:
    """Return the rank, from 1, given to each of a question's pictures; NaN where it was not answered."""
    answer = sheet.get(question.identifier)
    if not answer:
        return np.full(len(question.pictures), np.nan)
    return np.array([answer.order.index(picture.identifier) + 1.0 for picture in question.pictures])
