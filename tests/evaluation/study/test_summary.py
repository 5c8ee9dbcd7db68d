"""Tables of what a study found, worked by hand."""

from pydeepexpr.evaluation.study.summary import summary
from pydeepexpr.evaluation.study.votes import Ranked, Recognised, Votes
from pydeepexpr.expressions import EXPRESSIONS


def counts(**votes: int) -> dict[str, int]:
    return dict.fromkeys(EXPRESSIONS, 0) | votes


def test_recognition():
    faces = {
        "a": Recognised(counts(joy=3, fear=1), "joy", "ray"),
        "b": Recognised(counts(joy=1, neutral=1), "joy", "mery"),
        "c": Recognised(counts(fear=2), "fear", "ray"),
        "d": Recognised(counts(), "anger", "ray"),
    }
    agreement = {"measure": "α", "level": "nominal", "alpha": 0.25}
    whole, characters = summary(Votes("recognition", "s", "4 people", 4, faces, agreement))
    rows = {row[0]: row[1:] for row in whole.rows}
    # joy: two faces, 4 + 2 votes, 3 + 1 of them right, 1 for fear, 1 for neutral
    assert rows["joy"] == [2, 6, 4 / 6, 0, 0, 1 / 6, 4 / 6, 1 / 6, 0, 0]
    assert rows["anger"] == [1, 0, None, *[None] * 7] and rows["surprise"][:2] == [0, 0]
    assert rows["all"][:3] == [4, 8, 6 / 8]
    assert {row[0]: row[1:] for row in characters.rows} == {"mery": [1, 2, 0.5], "ray": [3, 6, 5 / 6]}
    assert "α (nominal) is 0.250" in whole.said and "| joy | 2 | 6 | 66.7% |" in whole.markdown()


def test_faces_of_people_have_no_table_by_character():
    faces = {"a": Recognised(counts(joy=1), "joy")}
    assert len(summary(Votes("recognition", "s", "1 person", 1, faces))) == 1


def test_ranking():
    ranks = {"a": 3.0, "b": 1.5, "c": 1.5, "d": 4.0}
    agreement = {"measure": "α", "level": "ordinal", "alpha": None, "why": "one rater"}
    (table,) = summary(Votes("ranking", "s", "1 person, Borda count", 1, {"q": Ranked(1, ranks)}, agreement))
    assert table.rows == [["q", 1, "b = c a d"]]
    assert "is undefined: one rater" in table.said
