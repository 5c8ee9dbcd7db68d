"""Table 2 by hand."""

import json
import math

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.questionnaire import Picture, Question, Questionnaire
from pydeepexpr.evaluation.study.votes import Ranked, Recognised, Votes
from pydeepexpr.evaluation.table import Missing
from pydeepexpr.evaluation.table2 import PAPERS, report_table2, table2
from pydeepexpr.expressions import EXPRESSIONS


def recognised(intended, character, right, wrong):
    votes = dict.fromkeys(EXPRESSIONS, 0)
    votes[intended] = right
    votes["surprise" if intended == "fear" else "fear"] = wrong
    return Recognised(votes, intended, character)


STUDY = Questionnaire("recognition", tuple(Question(f"q{n}", (Picture(f"p{n}", "a.png"),)) for n in range(4)))
VOTES = Votes(
    "recognition",
    STUDY.identifier,
    "10 people",
    10,
    {
        "q0": recognised("joy", "mery", 9, 1),
        "q1": recognised("joy", "ray", 5, 5),
        "q2": recognised("fear", "mery", 4, 1),
        "q3": recognised("fear", "ray", 0, 0),  # nobody was asked
    },
    {"measure": "Krippendorff's α", "alpha": 0.5},
)


def test_by_hand():
    table, characters = table2(VOTES)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["joy"][:4] == pytest.approx([70, math.sqrt(2 * 20**2), 2, 20])  # 90 and 50
    assert rows["fear"] == [80.0, None, 1, 5, 81, 42]
    assert rows["anger"] == [None, None, 0, 0, 85, 60]
    assert rows["average"][0] == pytest.approx(75)  # of the expressions, not of the matches
    assert rows["average"][2:4] == [3, 25]
    assert [row[0] for row in table.rows] == [*EXPRESSIONS, "average"] and table.last
    assert characters.rows[0][:2] == ["mery", pytest.approx(85)] and characters.rows[1][:2] == ["ray", 50.0]
    assert "10 people." in table.said and "Krippendorff's α between raters is 0.500" in table.said


def test_the_papers_values_stand_in_the_order_of_labels():
    """Aneja et al. 2016, Table 2: anger, disgust, fear, neutral, joy, sad, surprise there."""
    theirs = ("anger", "disgust", "fear", "neutral", "joy", "sadness", "surprise")
    animator = dict(zip(theirs, (60, 47, 42, 87, 95, 43, 93), strict=True))
    deepexpr = dict(zip(theirs, (85, 86, 81, 88, 97, 89, 95), strict=True))
    assert PAPERS["Character Animator"] == tuple(animator[name] for name in EXPRESSIONS)
    assert PAPERS["DeepExpr"] == tuple(deepexpr[name] for name in EXPRESSIONS)


def test_without_votes_every_own_number_is_missing():
    (table,) = table2(None)
    for row in table.rows:
        assert all(isinstance(cell, Missing) for cell in row[1:5]) and not any(
            isinstance(cell, Missing) for cell in row[5:]
        )
    text = report_table2()
    assert "missing (1): no answers of people were collected; make the study with tools/study.py recognition" in text
    assert "| joy | missing (1) | missing (1) | missing (1) | missing (1) | 97.0 | 95.0 |" in text


def test_agreement_that_is_undefined_says_why():
    votes = Votes("recognition", "s", "1 people", 1, {}, {"measure": "α", "alpha": None, "why": "one rater"})
    assert "α is undefined: one rater." in table2(votes)[0].said
    assert "α" not in table2(Votes("recognition", "s", "nobody", 0, {}))[0].said


def test_files(tmp_path):
    VOTES.write(tmp_path / "votes.json")
    Questionnaire("recognition", STUDY.questions, {"origin": {"model": "human.caffemodel"}}).write(tmp_path / "s.json")
    out = {name: tmp_path / f"out.{name}" for name in ("json", "markdown", "csv")}
    text = report_table2(tmp_path / "votes.json", study=tmp_path / "s.json", **out)
    assert text == out["markdown"].read_text() and "human.caffemodel" in text
    assert "| joy | 70.0 | 28.3 | 2 | 20 | 97.0 | 95.0 |" in text
    record = json.loads(out["json"].read_text())
    assert record["raters"] == 10 and record["papers"]["DeepExpr"]["fear"] == 81 and len(record["tables"]) == 2
    assert "joy,70.0,28.28" in out["csv"].read_text()


def test_what_does_not_fit(tmp_path):
    with pytest.raises(UserError, match="these votes are of a ranking study"):
        table2(Votes("ranking", "s", "x", 1, {"q": Ranked(1, {"a": 1.0})}))
    with pytest.raises(UserError, match=r"cannot read .*none\.json"):
        report_table2(tmp_path / "none.json")
    VOTES.write(tmp_path / "votes.json")
    Questionnaire("recognition", STUDY.questions[:2]).write(tmp_path / "other.json")
    with pytest.raises(UserError, match=r"holds votes of study .*, which .*other\.json is not"):
        report_table2(tmp_path / "votes.json", study=tmp_path / "other.json")
