"""Answer files as pages and spreadsheets write them, and dozens of damaged ones."""

import json

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.checks import checks_of, with_checks
from pydeepexpr.evaluation.study.reading import CSV_COLUMNS, read_answers


def page_record(study, /, **changes):
    """Return what a page saves when each face is called joy, or faces are left as they are."""
    answers = []
    for at, question in enumerate(study.questions):
        said = (
            {"choice": "joy"}
            if study.kind == "recognition"
            else {"order": [one.identifier for one in question.pictures]}
        )
        answers.append({"question": question.identifier, "position": at + 1, "seconds": 1.5 + at, **said})
    record = {
        "version": 1,
        "study": study.identifier,
        "kind": study.kind,
        "session": "20251127T150301-0a",
        "rater": "Ada",
    }
    return {**record, "seed": 7, "answers": answers, **changes}


def as_csv(record, separator=",", ends="\n"):
    rows = [CSV_COLUMNS]
    for one in record["answers"]:
        said = (one.get("choice", ""), " ".join(one.get("order", ())))
        names = (record["study"], record["rater"], record["session"], one["question"])
        rows.append((*names, one["position"], *said, one["seconds"]))
    return "".join(separator.join(map(str, row)) + ends for row in rows)


@pytest.fixture
def read(tmp_path):
    def call(study, *contents):
        paths = []
        for number, content in enumerate(contents):
            paths.append(tmp_path / f"answers{number}")
            paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_answers(paths, study)

    return call


@pytest.mark.parametrize("kind", ["recognition", "ranking"])
def test_every_form_says_the_same(request, read, kind):
    study = request.getfixturevalue(kind)
    record = page_record(study)
    text = json.dumps(record)
    forms = [
        text,
        "\ufeff" + text,
        json.dumps(record, indent=1).replace("\n", "\r\n") + "\r\n\r\n",
        f"[{text}]",
        as_csv(record),
        "\ufeff" + as_csv(record, ends="\r\n"),
        as_csv(record, separator=";"),
        as_csv(record, separator="\t"),
        as_csv(record) + "\n\n",
    ]
    first, *others = read(study, *forms)
    assert first.rater == "Ada" and first.identifier == "20251127T150301-0a" and first.unknown == 0
    for question, one in zip(study.questions, record["answers"], strict=True):
        answer = first.answers[question.identifier]
        assert (answer.choice, list(answer.order)) == (one.get("choice", ""), one.get("order", []))
        assert (answer.position, answer.seconds) == (one["position"], one["seconds"])
    assert others == [first] * (len(forms) - 1)


def test_several_sessions_in_a_table(recognition, read):
    one, two = (as_csv(page_record(recognition, rater=name, session=name * 2)) for name in ("a", "b"))
    sessions = read(recognition, one + two.split("\n", 1)[1])
    assert [(session.rater, session.identifier) for session in sessions] == [("a", "aa"), ("b", "bb")]


def test_what_may_be_missing(recognition, read):
    """Seconds, positions and answers may be missing, and a session's questions be unknown."""
    answers = [
        {"question": recognition.questions[0].identifier, "choice": "fear"},
        {"question": "other", "choice": "joy"},
    ]
    (session,) = read(recognition, json.dumps(page_record(recognition, answers=answers)))
    (answer,) = session.answers.values()
    assert (answer.choice, answer.position, answer.seconds, session.unknown) == ("fear", None, None, 1)
    assert read(recognition, json.dumps(page_record(recognition, answers=[])))[0].answers == {}


def test_attention_checks_are_read_too(ranking, read):
    study = with_checks(ranking, 1)
    (check,) = checks_of(study).values()
    answers = [{"question": check.identifier, "order": list(check.wanted)}]
    (session,) = read(study, json.dumps(page_record(study, answers=answers)))
    assert session.answers[check.identifier].order == check.wanted


def change(study, **cells):
    """Return the text of a page's record with changes to its first answer."""
    record = page_record(study)
    record["answers"][0] |= cells
    return json.dumps(record)


DAMAGED = {
    "empty": (lambda study: "", "is empty"),
    "blank": (lambda study: " \n\r\n", "is empty"),
    "latin": (lambda study: "rätsel".encode("latin-1"), "is no UTF-8 text"),
    "cut": (lambda study: json.dumps(page_record(study))[:-40], "damaged or cut short"),
    "number": (lambda study: "[1]", "no answers of a study's page"),
    "letters": (lambda study: '["a"]', "no answers of a study's page"),
    "nothing": (lambda study: "{}", "no answers of a study's page"),
    "version": (lambda study: json.dumps(page_record(study, version=2)), "answers of version 2, not 1"),
    "study": (lambda study: json.dumps(page_record(study, study="other")), "answers study other, not"),
    "answers": (lambda study: json.dumps(page_record(study, answers=3)), "no answers of a study's page"),
    "answer": (lambda study: json.dumps(page_record(study, answers=[3])), "no answers of a study's page"),
    "session": (lambda study: json.dumps(page_record(study, session="")), "a session has no name"),
    "session 3": (lambda study: json.dumps(page_record(study, session=3)), "no words"),
    "rater": (lambda study: json.dumps(page_record(study, rater=None)), "no words"),
    "twice": (
        lambda study: json.dumps(page_record(study, answers=page_record(study)["answers"] * 2)),
        "answered twice",
    ),
    "seconds": (lambda study: change(study, seconds="soon"), "seconds is 'soon', which is no number"),
    "negative": (lambda study: change(study, seconds=-1), "seconds is -1, which is no number of 0 or more"),
    "for ever": (lambda study: change(study, seconds=float("inf")), "seconds is inf"),
    "position": (lambda study: change(study, position=[1]), "position is .1., which is no number"),
    "image": (lambda study: b"\xff\xd8\xff\xe0\x00\x10JFIF", "is no UTF-8 text"),
    "prose": (lambda study: "Dear all, here are my answers", "has neither the headings"),
    "headings": (lambda study: as_csv(page_record(study)).replace("seconds", "time"), "has neither the headings"),
    "cells": (lambda study: as_csv(page_record(study)).rstrip() + ",9\n", "cells under 8 headings"),
    "short": (lambda study: as_csv(page_record(study)).rsplit(",", 1)[0], "7 cells under 8 headings"),
    "quote": (lambda study: as_csv(page_record(study)).rstrip() + '"', "cells|cut short|seconds is"),
    "open": (lambda study: as_csv(page_record(study)) + '"abc', "no CSV file, or cut short"),
    "other": (lambda study: as_csv(page_record(study, study="other")), "answers study other, not"),
    "nameless": (lambda study: as_csv(page_record(study, session="")), "a session has no name"),
}


@pytest.mark.parametrize("kind", ["recognition", "ranking"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files(request, read, damage, kind):
    study = request.getfixturevalue(kind)
    make, message = DAMAGED[damage]
    with pytest.raises(UserError, match=message) as error:
        read(study, make(study))
    assert "answers0" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("choice", ["", None, "glee", 3, ["joy"], {"joy": 1}, "Joy"])
def test_choices_that_are_none(recognition, read, choice):
    with pytest.raises(UserError, match="is no expression"):
        read(recognition, change(recognition, choice=choice))


@pytest.mark.parametrize("order", [None, [], "abc", ["a"], [1, 2, 3, 4, 5], {"a": 1}])
def test_orders_that_are_none(ranking, read, order):
    with pytest.raises(UserError, match="does not name each of its faces once"):
        read(ranking, change(ranking, order=order))
    faces = [picture.identifier for picture in ranking.questions[0].pictures]
    for wrong in (faces[:4], [*faces, faces[0]], [*faces[:4], faces[0]], [*faces[:4], "other"]):
        with pytest.raises(UserError, match="does not name each"):
            read(ranking, change(ranking, order=wrong))


def test_a_missing_file(recognition, tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*absent"):
        read_answers([tmp_path / "absent"], recognition)
    with pytest.raises(UserError, match="cannot read"):
        read_answers([tmp_path], recognition)
