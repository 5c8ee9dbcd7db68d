"""The picture of the common space: all points, in three panels, with what they mean."""

import re

import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.embedding import HUMAN, Embedding
from pydeepexpr.evaluation.embedding_figure import _free_place, draw_embedding, embedding_figure
from pydeepexpr.expressions import EXPRESSIONS
from tests.evaluation.made_stores import HUMAN as HUMAN_MODEL
from tests.evaluation.made_stores import TUNED, Image, make_store

GREY = (128, 128, 128)


@pytest.fixture
def embedding():
    """Seven humans on a line and seven frames on another, above it."""
    labels = np.tile(np.arange(7), 2)
    places = np.column_stack([labels * 10.0, np.repeat([0.0, 40.0], 7)])
    settings = {"perplexity": 30.0, "normalisation": "l1", "seed": 7}
    shares = {1: np.full(7, 0.5), 10: np.full(7, 0.25)}
    who = np.array([HUMAN] * 7 + ["mery"] * 4 + ["ray"] * 3)
    return Embedding(who, [""] * 14, labels, places, shares, np.full(7, 1 / 7), settings)


def test_everything_is_said(embedding, tmp_path):
    files = [tmp_path / f"e.{ending}" for ending in ("png", "pdf", "svg")]
    draw_embedding(embedding, files)
    assert all(file.stat().st_size > 5000 for file in files)
    drawn = files[2].read_text(encoding="utf-8")
    said = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    assert [said.count(name) for name in ("humans and characters (14)", "humans (7)", "characters (7)")] == [1, 1, 1]
    assert "a character (mery, ray)" in said and "a human" in said
    assert [said.count(name) for name in EXPRESSIONS] == [1] * 7, "in the legend; names in panels are outlines"
    note = " ".join(said)  # its lines from below
    shares = ("50% of the nearest", "25% of the 10", "14% by chance")
    for words in ("perplexity 30", "normalised by l1", "seed 7", *shares):
        assert words in note


def test_panels_hold_humans_and_characters_apart(embedding, tmp_path):
    """In #c44e00 (anger) stand a filled disc, lower left in two panels, and an empty triangle, upper left in two."""
    draw_embedding(embedding, tmp_path / "e.png")
    picture = cv2.imread(str(tmp_path / "e.png")).astype(int)

    def ink(left: float, top: float, side: float, upper: bool) -> int:
        """Count pixels of a panel's left tenth, in its upper or lower half; marks lie less than 0.06 inches from it."""
        y = top if upper else top + side / 2
        part = picture[
            round(300 * y) : round(300 * (y + side / 2)), round(300 * left) : round(300 * (left + side / 10))
        ]
        return int((np.abs(part - (51, 113, 208)).sum(axis=2) < 40).sum())  # of #c44e00, four fifths on white

    large, humans, characters = (0.16, 0.3, 4.4), (4.7, 0.3, 2.06), (4.7, 2.64, 2.06)
    assert ink(*large, False) > 20 and ink(*large, True) > 5
    assert ink(*humans, False) > 10 and ink(*humans, True) == 0
    assert ink(*characters, False) == 0 and ink(*characters, True) > 2


def test_a_name_stands_where_it_covers_nothing():
    generator = np.random.default_rng(0)
    taken = generator.normal(0, 0.5, (200, 2))
    half, middle = np.array([0.4, 0.1]), np.zeros(2)
    place = _free_place(taken, np.zeros(2), half, middle, 3.0)
    assert not (np.abs(taken - place) < half).all(axis=1).any()
    assert (np.abs(place) + half <= 3.0 + 1e-9).all()


def test_from_stores(tmp_path):
    def images(prefix: str) -> list[Image]:
        names = ("joy", "fear", "anger")
        return [Image(f"{prefix}{n}.png", names[n % 3], (n + 1, 20 - n), 0.1, GREY) for n in range(9)]

    human = make_store(tmp_path / "human", HUMAN_MODEL, *images("h"), pictures=False)
    mery = make_store(tmp_path / "mery", TUNED, *images("m"), pictures=False)
    record = embedding_figure(human.path, [mery.path], [tmp_path / "e.png", tmp_path / "e.pdf"], normalise="l1")
    assert (tmp_path / "e.png").is_file() and (tmp_path / "e.pdf").is_file()
    assert record["figure"] == "embedding" and len(record["points"]) == 18 and record["nearest"]["1"]["all"] == 1


def test_the_ending_is_checked_first(tmp_path):
    with pytest.raises(UserError, match="end the name in one of"):
        embedding_figure(tmp_path / "absent", [tmp_path / "absent"], tmp_path / "e.csv")
