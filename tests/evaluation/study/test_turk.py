"""Batches of Mechanical Turk, in both layouts, as it writes them: all cells quoted."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.reading import read_answers
from pydeepexpr.evaluation.study.turk import hits_of
from pydeepexpr.expressions import EXPRESSIONS


def batch(rows, ends="\r\n"):
    """Return a batch with the columns that Mechanical Turk always has, and more."""
    text = io.StringIO()
    heads = list(dict.fromkeys(["HITId", "WorkerId", "AssignmentStatus", *(name for row in rows for name in row)]))
    writer = csv.DictWriter(text, heads, restval="", quoting=csv.QUOTE_ALL, lineterminator=ends)
    writer.writeheader()
    writer.writerows({"HITId": "3X", "AssignmentStatus": "Approved", **row} for row in rows)
    return text.getvalue()


@pytest.fixture
def read(tmp_path):
    def call(study, text):
        (tmp_path / "batch.csv").write_bytes(text.encode())
        return read_answers([tmp_path / "batch.csv"], study)

    return call


def of_page(study, session, rater=""):
    answers = [{"question": one.identifier, "position": 1, "choice": "joy", "seconds": 2} for one in study.questions]
    return json.dumps({"version": 1, "study": study.identifier, "session": session, "rater": rater, "answers": answers})


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_study_a_hit(recognition, read, ends):
    rows = [
        {"WorkerId": "W1", "Answer.answers": of_page(recognition, "s1", "W1")},
        {"WorkerId": "W2", "Answer.answers": of_page(recognition, "s2"), "AssignmentStatus": "Rejected"},
        {"WorkerId": "W3", "Answer.answers": of_page(recognition, "s3", "somebody"), "AssignmentStatus": "Submitted"},
    ]
    sessions = {session.rater: session for session in read(recognition, "\ufeff" + batch(rows, ends))}
    assert {name: session.rejected for name, session in sessions.items()} == {"W1": False, "W2": True, "W3": False}
    assert len(sessions["W1"].answers) == len(sessions["W3"].answers) == 7 and not sessions["W2"].answers


def test_a_question_a_hit_of_recognition(recognition, read):
    first, second = (question.identifier for question in recognition.questions[:2])
    rows = [
        {"WorkerId": "W1", "Input.question": first, "Answer.choice": "fear"},
        {"WorkerId": "W2", "Input.question": first, "Answer.choice": "joy"},
        {"WorkerId": "W1", "Input.question": second, "Answer.choice": "anger"},
        {"WorkerId": "W1", "Input.question": second, "Answer.choice": "joy"},  # a second answer does not count
        {"WorkerId": "W2", "Input.question": second, "Answer.choice": "joy", "AssignmentStatus": "Rejected"},
        {"WorkerId": "W2", "Input.question": "other", "Answer.choice": "joy"},
    ]
    sessions = {session.identifier: session for session in read(recognition, batch(rows))}
    said = {name: {one: answer.choice for one, answer in its.answers.items()} for name, its in sessions.items()}
    assert said == {
        "hits-W1": {first: "fear", second: "anger"},
        "hits-W2": {first: "joy"},
        "rejected-6": {},
    }
    assert sessions["hits-W2"].unknown == 1


def test_a_question_a_hit_of_ranking(ranking, read):
    question = ranking.questions[0]
    order = [picture.identifier for picture in question.pictures][::-1]
    row = {"WorkerId": "W", "Input.question": question.identifier, "Answer.order": " ".join(order)}
    (session,) = read(ranking, batch([row]))
    assert session.answers[question.identifier].order == tuple(order)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"WorkerId": "W", "Answer.other": "x"}, "needs answers in the column Answer.answers, or in Input.question"),
        ({"WorkerId": "W", "Answer.choice": "joy"}, "needs answers in the column"),
        ({"WorkerId": "", "Answer.answers": "{}"}, "row 2 names no worker"),
        ({"WorkerId": "W", "Answer.answers": ""}, "row 2 holds no answer"),
        ({"WorkerId": "W", "Answer.answers": "{}"}, "row 2 holds no answer"),
        ({"WorkerId": "W", "Answer.answers": '{"version": 1'}, "row 2: the answers are damaged or cut short"),
        ({"WorkerId": "W", "Answer.answers": "3"}, "row 2: these are no answers"),
        ({"WorkerId": "W", "Input.question": "QUESTION", "Answer.choice": "glee"}, "'glee' is no expression"),
    ],
)
def test_damaged_batches(recognition, read, row, message):
    text = batch([row]).replace("QUESTION", recognition.questions[0].identifier)
    with pytest.raises(UserError, match=message):
        read(recognition, text)


def test_a_batch_without_rows(recognition, read):
    with pytest.raises(UserError, match="needs answers"):
        read(recognition, '"WorkerId","Answer.choice","Input.question"\n')


def test_the_input_of_a_batch(recognition, ranking):
    rows = list(csv.DictReader(io.StringIO(hits_of(ranking))))
    by_question = {question.identifier: question for question in ranking.questions}
    assert [row["question"] for row in rows] == sorted(by_question)
    for row in rows:
        question = by_question[row["question"]]
        assert row["query"] == question.query.identifier
        assert [row[f"picture{at}"] for at in range(1, 6)] == sorted(one.identifier for one in question.pictures)
    assert hits_of(recognition).splitlines()[0] == "question,picture1"
    turned = Questionnaire("recognition", recognition.questions[::-1])
    assert hits_of(turned) == hits_of(recognition)  # the order tells nothing


def test_the_templates_of_the_docs_name_columns_of_the_input(recognition, ranking):
    text = (Path(__file__).parents[3] / "docs" / "study.md").read_text(encoding="utf-8")
    templates = re.findall(r"```html\n(.*?)```", text, re.DOTALL)
    for template, study in zip(templates, (recognition, ranking), strict=True):
        columns = hits_of(study).splitlines()[0].split(",")
        assert {*re.findall(r"\$\{(.*?)\}", template)} == {*columns} - {"question"}
    assert re.findall(r'value="(\w+)"', templates[0]) == list(EXPRESSIONS)
    assert 'name="choice"' in templates[0] and 'name="order"' in templates[1]
