"""Votes are read as they were written, and nothing else is read as votes."""

import json

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.votes import Ranked, Recognised, Votes
from pydeepexpr.evaluation.table import Table
from pydeepexpr.expressions import EXPRESSIONS


def counts(**votes: int) -> dict[str, int]:
    return dict.fromkeys(EXPRESSIONS, 0) | votes


RECOGNITION = Votes(
    "recognition",
    "abc",
    "4 people",
    4,
    {"q": Recognised(counts(joy=3, fear=1), "joy", "ray", "joy/1.png"), "r": Recognised(counts(), "fear")},
    {"alpha": None, "why": "…"},
    ({"rater": "W", "why": "failed an attention check"},),
)
RANKING = Votes("ranking", "abc", "distance between rig action units", 0, {"q": Ranked(0, {"a": 1.5, "b": 1.5})})


@pytest.mark.parametrize("votes", [RECOGNITION, RANKING])
def test_read_as_written(tmp_path, votes):
    votes.write(tmp_path / "votes.json", [Table("t", ("a",), [["b"]])])
    assert Votes.read(tmp_path / "votes.json") == votes
    record = json.loads((tmp_path / "votes.json").read_text())
    assert record["tables"][0]["title"] == "t" and "command" in record["provenance"]


def test_what_is_asked_of_them(tmp_path):
    assert RECOGNITION.questions["q"].share == 0.75 and RECOGNITION.questions["r"].share is None
    assert RECOGNITION.counts["q"]["joy"] == 3 and RECOGNITION.ranks == {}
    assert RANKING.ranks == {"q": {"a": 1.5, "b": 1.5}} and RANKING.counts == {}
    assert [one["share"] for one in RECOGNITION.record()["questions"].values()] == [0.75, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "is of version 2"),
        ({"kind": "guess"}, "a kind 'guess' that is not known"),
        ({"questions": None}, "holds no votes"),
        ({"questions": {"q": {}}}, "holds no votes"),
        ({"questions": {"q": {"votes": counts(joy=-1), "intended": "joy", "character": "", "source": ""}}}, "no votes"),
        ({"questions": {"q": {"votes": {"joy": 1}, "intended": "joy", "character": "", "source": ""}}}, "no votes"),
        ({"questions": {"q": {"votes": counts(), "intended": "glee", "character": "", "source": ""}}}, "no votes"),
        ({"raters": "many"}, "holds no votes"),
        ({"left_out": None}, "holds no votes"),
    ],
)
def test_damaged_votes(tmp_path, change, message):
    path = tmp_path / "votes.json"
    path.write_text(json.dumps(RECOGNITION.record() | change))
    with pytest.raises(UserError, match=message):
        Votes.read(path)


@pytest.mark.parametrize(
    ("content", "message"), [("", "no JSON"), ("[]", "holds no votes"), ("{}", "holds no votes"), ("{", "no JSON")]
)
def test_no_votes(tmp_path, content, message):
    (tmp_path / "votes.json").write_text(content)
    with pytest.raises(UserError, match=message):
        Votes.read(tmp_path / "votes.json")
    with pytest.raises(UserError, match="cannot read"):
        Votes.read(tmp_path / "absent.json")
