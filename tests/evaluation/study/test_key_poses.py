"""The 70 % filter, worked by hand, and its list as tools/build_lmdb.py reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.key_poses import divide, filter_key_poses
from pydeepexpr.evaluation.study.votes import Ranked, Recognised, Votes
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import read_names


def face(source: str, right: int, wrong: int, intended: str = "joy") -> Recognised:
    votes = dict.fromkeys(EXPRESSIONS, 0) | {intended: right, "neutral": wrong}
    return Recognised(votes, intended, "ray", source)


def votes_on(*faces: Recognised) -> Votes:
    return Votes("recognition", "s", "50 people", 50, {str(number): one for number, one in enumerate(faces)})


def test_seventy_of_a_hundred_suffice(tmp_path):
    """35 of 50 are exactly 70 %, and 7 of 10; 34 of 50 are 68 %."""
    votes = votes_on(face("a", 35, 15), face("b", 34, 16), face("c", 7, 3), face("d", 0, 0), face("e", 9, 1, "fear"))
    table = filter_key_poses(votes, tmp_path / "out.txt", tmp_path / "kept.txt")
    assert read_names(tmp_path / "out.txt") == ["b", "d"] and read_names(tmp_path / "kept.txt") == ["a", "c", "e"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["joy"] == [2, 2, 1] and rows["fear"] == [1, 0, 0] and rows["all"] == [3, 2, 1]


def test_an_image_asked_about_twice_must_pass_twice(tmp_path):
    filter_key_poses(votes_on(face("a", 10, 0), face("a", 1, 9), face("b", 9, 1)), tmp_path / "out", tmp_path / "kept")
    assert read_names(tmp_path / "out") == ["a"] and read_names(tmp_path / "kept") == ["b"]


def test_nothing_to_leave_out(tmp_path):
    filter_key_poses(votes_on(face("a", 10, 0)), tmp_path / "out")
    assert (tmp_path / "out").read_text().count("\n") == 1  # how it was made


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 100))
def test_shares_are_compared_exactly(right, wrong, percent):
    kept, excluded = divide(votes_on(face("a", right, wrong)), percent / 100)
    assert bool(kept) == (100 * right >= percent * (right + wrong)) and len(kept) + len(excluded) == 1


@pytest.mark.parametrize("share", [-0.1, 1.1, 70, float("nan")])
def test_no_share(share):
    with pytest.raises(UserError, match="is no share"):
        divide(votes_on(face("a", 1, 0)), share)


def test_votes_of_another_kind():
    with pytest.raises(UserError, match="these votes rank faces"):
        divide(Votes("ranking", "s", "1 person", 1, {"q": Ranked(1, {"a": 1.0})}))
