"""Images drawn by lot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.evaluation.lot import draw_of_each
from pydeepexpr.expressions import EXPRESSIONS

ROWS = st.lists(st.fixed_dictionaries({"expression": st.integers(-1, 6), "subject": st.sampled_from(["", "p", "q"])}))


@given(ROWS, st.integers(1, 5), st.integers(0, 9))
def test_what_is_drawn(rows, each, seed):
    """Each expression that is there, its own images, nobody twice, and as many as there are people for."""
    drawn = draw_of_each(rows, each, seed)
    assert drawn == draw_of_each(rows, each, seed)
    there = {row["expression"] for row in rows}
    assert list(drawn) == [name for label, name in enumerate(EXPRESSIONS) if label in there]
    for name, numbers in drawn.items():
        of = [row for row in rows if row["expression"] == EXPRESSIONS.index(name)]
        people = {row["subject"] for row in of if row["subject"]}
        assert len(numbers) == min(each, len(people) + sum(not row["subject"] for row in of))
        assert all(rows[number]["expression"] == EXPRESSIONS.index(name) for number in numbers)
        named = [rows[number]["subject"] for number in numbers if rows[number]["subject"]]
        assert len(named) == len(set(named)) and len(numbers) == len(set(numbers))


def test_rows_need_not_name_persons():
    rows = [{"expression": 3}] * 4
    assert sorted(draw_of_each(rows, 9, 0)["joy"]) == [0, 1, 2, 3]


def test_every_image_has_its_chance():
    """Of 4 images 2000 draws take each about 500 times, give or take five times √(2000 · ¼ · ¾) ≈ 19.4."""
    counts = np.bincount([draw_of_each([{"expression": 0}] * 4, 1, seed)["anger"][0] for seed in range(2000)])
    assert counts == pytest.approx(500, abs=97)
