"""Who counts, and what they said together, worked by hand."""

import dataclasses

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.answers import Answer, Session
from pydeepexpr.evaluation.study.checks import checks_of, with_checks
from pydeepexpr.evaluation.study.counting import admit, count_votes
from pydeepexpr.expressions import EXPRESSIONS


def choosing(study, rater, choices, session=""):
    """Return the session of a rater who chose these expressions for the first questions; None leaves one out."""
    given = zip(study.questions, choices, strict=False)
    answers = {question.identifier: Answer(choice=choice) for question, choice in given if choice}
    return Session(rater, session or f"s-{rater}", answers)


def ordering(study, rater, *orders):
    """Return the session of a rater who put the faces of the first questions into these orders, given as places."""
    answers = {
        question.identifier: Answer(order=tuple(question.pictures[at].identifier for at in order))
        for question, order in zip(study.questions, orders, strict=False)
        if order
    }
    return Session(rater, f"s-{rater}", answers)


def test_recognition_by_hand(recognition):
    """Three raters; the first face is anger: two say anger, one disgust. The second is seen by two."""
    sessions = [
        choosing(recognition, "a", ["anger", "disgust"]),
        choosing(recognition, "b", ["anger", "fear"]),
        choosing(recognition, "c", ["disgust", None]),
    ]
    votes = count_votes(recognition, sessions)
    first, second, third, *_ = votes.questions.values()
    assert (votes.by, votes.raters, votes.kind, votes.study) == ("3 people", 3, "recognition", recognition.identifier)
    assert (first.votes["anger"], first.votes["disgust"], first.share) == (2, 1, pytest.approx(2 / 3))
    assert (first.intended, first.character, first.source) == ("anger", "ray", "anger/1.png")
    assert second.share == 0.5 and third.share is None
    # Units: anger anger disgust; disgust fear. Coincidences: aa 1, ad 1, da 1, df 1, fd 1; n: a 2, d 2, f 1; 5 in all.
    # Observed disagreement 4/5; expected (2·2 + 2·1 + 2·1)·2 / (5·4) = 16/20; α = 1 − (4/5) / (16/20) = 0.
    assert votes.agreement["alpha"] == pytest.approx(0, abs=1e-12) and votes.agreement["level"] == "nominal"


def test_ranking_by_hand(ranking):
    """Three raters order the first set; the second has one order, the third none."""
    sessions = [
        ordering(ranking, "a", (0, 1, 2, 3, 4), (4, 3, 2, 1, 0)),
        ordering(ranking, "b", (1, 0, 2, 3, 4)),
        ordering(ranking, "c", (0, 2, 1, 4, 3)),
    ]
    votes = count_votes(ranking, sessions)
    names = [[picture.identifier for picture in question.pictures] for question in ranking.questions]
    # places: 1 2 1, 2 1 3, 3 3 2, 4 4 5, 5 5 4; sums 4, 6, 8, 13, 14
    assert votes.ranks[ranking.questions[0].identifier] == dict(zip(names[0], [1, 2, 3, 4, 5], strict=True))
    assert votes.ranks[ranking.questions[1].identifier] == dict(zip(names[1], [5, 4, 3, 2, 1], strict=True))
    assert len(votes.questions) == 2 and votes.by == "3 people, Borda count"
    assert [one.votes for one in votes.questions.values()] == [3, 1]
    assert votes.agreement["level"] == "ordinal" and votes.agreement["units"] == 5
    assert 0 < votes.agreement["alpha"] < 1
    assert count_votes(ranking, sessions[:1], "kemeny").by == "1 person, Kemeny's rule"
    assert count_votes(ranking, sessions[:1]).agreement["alpha"] is None


def test_raters_who_agree(ranking):
    orders = ((0, 1, 2, 3, 4), (2, 1, 0, 3, 4), (4, 0, 3, 1, 2))
    votes = count_votes(ranking, [ordering(ranking, name, *orders) for name in "abcd"])
    assert votes.agreement["alpha"] == 1
    for question, order in zip(ranking.questions, orders, strict=True):
        ranks = votes.ranks[question.identifier]
        assert [ranks[question.pictures[at].identifier] for at in order] == [1, 2, 3, 4, 5]


def test_who_is_left_out(recognition):
    study = with_checks(recognition, 1)
    (check,) = checks_of(study).values()
    wrong = next(name for name in EXPRESSIONS if name != check.wanted)

    def checked(session, choice):
        return dataclasses.replace(session, answers={**session.answers, check.identifier: Answer(choice=choice)})

    first = choosing(study, "Ada", ["joy"], "2025-1")
    sessions = [
        choosing(study, "ada", ["fear"], "2025-2"),
        checked(first, check.wanted),
        first,
        checked(choosing(study, "Bo", ["joy"]), wrong),
        Session("Cy", "rejected-3", {}, rejected=True),
        Session("Di", "s-Di", {}, unknown=2),
        choosing(study, "", ["joy"], "anonymous-1"),
        choosing(study, "", ["joy"], "anonymous-2"),
    ]
    kept, left_out = admit(study, sessions)
    assert [session.identifier for session in kept] == ["2025-1", "anonymous-1", "anonymous-2"]
    assert check.identifier in kept[0].answers  # the fullest copy of a session
    assert {one["rater"]: one["why"] for one in left_out if one["rater"] != "Di"} == {
        "ada": "a second session of the same rater",
        "Ada": "the same session, read again",
        "Bo": "failed an attention check",
        "Cy": "rejected on Mechanical Turk",
    }
    assert [one["why"] for one in left_out if one["rater"] == "Di"] == [
        *["an answer to a question that the study does not have"] * 2,
        "answered no question",
    ]
    assert [session.rater for session in admit(study, sessions, keep_inattentive=True)[0]] == ["Ada", "", "", "Bo"]
    votes = count_votes(study, sessions)
    assert votes.raters == 3 and list(votes.left_out) == left_out and check.identifier not in votes.questions


def test_a_second_session_does_not_count_where_the_first_failed(recognition):
    study = with_checks(recognition, 1)
    (check,) = checks_of(study).values()
    failed = Answer(choice=next(name for name in EXPRESSIONS if name != check.wanted))
    sessions = [Session("a", "1", {check.identifier: failed}), choosing(study, "a", ["joy"], "2")]
    assert admit(study, sessions)[0] == []


@pytest.mark.parametrize(
    ("sessions", "why"), [([], "no session was read"), ([Session("a", "1", {})], "answered no question: 1")]
)
def test_nobody(recognition, sessions, why):
    with pytest.raises(UserError, match=why):
        count_votes(recognition, sessions)
