"""Studies drawn by lot: what is in a set, how even sets are, and that nothing is drawn that cannot be."""

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.drawing import draw_key_poses, draw_ranking, draw_recognition
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.retrieved import Asked, Retrieved
from pydeepexpr.expressions import EXPRESSIONS


def picture_of(*numbers):
    return np.full((2, 2, 3), numbers, np.uint8)


@dataclass
class Cast:
    """Queries of given labels, and characters with so many frames of each expression, ranked at random for each."""

    labels: tuple
    frames: dict
    subjects: tuple = ()
    settings: dict = field(default_factory=lambda: {"query_labels": "true"})

    @property
    def queries(self):
        subjects = self.subjects or [""] * len(self.labels)
        return [
            Asked(f"q{number}", subject, label, lambda number=number: picture_of(255, 0, number))
            for number, (label, subject) in enumerate(zip(self.labels, subjects, strict=True))
        ]

    @property
    def characters(self):
        return list(self.frames)

    def retrieve(self, query, character):
        labels = np.repeat(np.arange(7), self.frames[character])
        lot = np.random.default_rng([query, len(character)])
        ranks = {name: 1.0 + lot.permutation(len(labels)) for name in ("deepexpr", "js")}
        ranks["geometry"] = np.full(len(labels), (len(labels) + 1) / 2)  # as where the query's geometry is unknown
        sources = [f"{character}/{number}" for number in range(len(labels))]
        return Retrieved(sources, labels, ranks, lambda place: picture_of(0, 255, place))


EVEN = Cast(tuple(range(7)) * 5, {"a": [9] * 7, "bb": [9] * 7, "ccc": [9] * 7})
SIZES, SEEDS = st.integers(2, 9), st.integers(0, 2**32 - 1)


@settings(max_examples=20)
@given(st.integers(1, 40), SIZES, SEEDS)
def test_a_set_is_of_the_querys_label_and_its_ranks_are_places(sets, size, seed):
    study = draw_ranking(EVEN, sets, size, seed=seed).questionnaire
    assert len(study.questions) == sets
    for question in study.questions:
        rows = [int(picture.source.split("/")[1]) for picture in question.pictures]
        (character,) = {picture.character for picture in question.pictures}
        assert len(set(rows)) == size
        query = int(question.query.source[1:])
        found = EVEN.retrieve(query, character)
        assert {found.labels[row] for row in rows} == {EVEN.labels[query]}
        assert {picture.expression for picture in question.pictures} == {EXPRESSIONS[EVEN.labels[query]]}
        for name in ("deepexpr", "js"):
            places = [picture.ranks[name] for picture in question.pictures]
            assert sorted(places) == list(range(1, size + 1))
            assert np.argsort(places).tolist() == np.argsort(found.ranks[name][rows]).tolist()
        assert {picture.ranks["geometry"] for picture in question.pictures} == {(size + 1) / 2}  # all tied


@settings(max_examples=20)
@given(st.integers(1, 40), SEEDS)
def test_expressions_and_characters_take_turns(sets, seed):
    questions = draw_ranking(EVEN, sets, seed=seed).questionnaire.questions
    for counts, of in (
        (Counter(question.query.expression for question in questions), 7),
        (Counter(question.pictures[0].character for question in questions), 3),
    ):
        assert set(counts.values()) | ({0} if len(counts) < of else set()) <= {sets // of, -(-sets // of)}
    pairs = [(question.query.source, question.pictures[0].character) for question in questions]
    assert len(set(pairs)) == sets


@settings(max_examples=20)
@given(SEEDS, SEEDS)
def test_the_same_seed_draws_the_same(seed, other):
    one, again, third = (draw_ranking(EVEN, 12, seed=it).questionnaire for it in (seed, seed, other))
    assert one == again and one.identifier == again.identifier
    assert (third.questions == one.questions) == (other == seed)
    assert draw_recognition(EVEN, seed=seed).questionnaire == draw_recognition(EVEN, seed=seed).questionnaire


def test_frames_stand_in_random_order():
    """The first face of a set is as often its best as any other: of 200 sets of 5 about 40, deviation 5.7."""
    cast = Cast(tuple(range(7)) * 30, EVEN.frames)
    first = [question.pictures[0].ranks["deepexpr"] for question in draw_ranking(cast, 200).questionnaire.questions]
    assert all(15 < count < 65 for count in Counter(first).values()) and len(set(first)) == 5


@settings(max_examples=20)
@given(st.integers(30, 63), SEEDS)
def test_only_the_first_of_a_ranking_are_drawn_from(among, seed):
    study = draw_ranking(EVEN, 10, 3, among, seed).questionnaire
    for question in study.questions:
        found = EVEN.retrieve(int(question.query.source[1:]), question.pictures[0].character)
        for picture in question.pictures:
            assert found.ranks["deepexpr"][found.sources.index(picture.source)] <= among


def test_what_cannot_be_filled_is_drawn_again():
    cast = Cast(tuple(range(7)) * 5, {"a": [9, 9, 9, 0, 4, 9, 9], "bb": [0, 9, 9, 0, 9, 9, 9]})
    questions = draw_ranking(cast, 20).questionnaire.questions
    drawn = {(question.query.expression, question.pictures[0].character) for question in questions}
    assert not drawn & {("joy", "a"), ("joy", "bb"), ("neutral", "a"), ("anger", "bb")}
    assert len(questions) == 20 and ("neutral", "bb") in drawn


@pytest.mark.parametrize(
    ("cast", "options", "message"),
    [
        (Cast((0, 3), {"a": [4] * 7}), {}, "only 0 of 30 sets of 5 frames can be filled"),
        (Cast((0, 3), {"a": [5] * 7}), {}, "only 2 of 30 sets of 5 frames can be filled"),  # two queries, one character
        (EVEN, {"among": 4}, "only 0 of 30 sets"),
        (Cast((-1, -1), {"a": [9] * 7}), {}, "no query has a known expression"),
        (EVEN, {"sets": 0}, "--sets 0: the least there can be is 1"),
        (EVEN, {"size": 1}, "--size 1: the least there can be is 2"),
        (EVEN, {"among": 0}, "--among 0: the least there can be is 1"),
    ],
)
def test_rankings_that_cannot_be_drawn(cast, options, message):
    with pytest.raises(UserError, match=message):
        draw_ranking(cast, **options)


def test_recognition_asks_for_the_best_match_of_every_character():
    drawn = draw_recognition(EVEN, each=3)
    study = drawn.questionnaire
    assert len(study.questions) == 3 * 7 * 3
    for question in study.questions:
        (picture,) = question.pictures
        query = int(question.query.source[1:])
        found = EVEN.retrieve(query, picture.character)
        row = found.sources.index(picture.source)
        assert found.ranks["deepexpr"][row] == 1
        # What it should show is the query's expression; what it is labelled stands in the settings.
        assert picture.expression == question.query.expression == EXPRESSIONS[EVEN.labels[query]]
        own = study.settings["labelled_otherwise"].get(picture.identifier, picture.expression)
        assert own == EXPRESSIONS[found.labels[row]]
        np.testing.assert_array_equal(drawn.pictures[picture.identifier](), picture_of(0, 255, row))
        assert question.query.identifier not in drawn.pictures  # it is known, and not shown
    assert Counter(question.query.expression for question in study.questions) == dict.fromkeys(EXPRESSIONS, 9)


def test_the_queries_of_an_expression_are_different_persons():
    cast = Cast((3,) * 12, {"a": [1] * 7}, subjects=("ann",) * 10 + ("ben", "cem"))
    for seed in range(5):
        questions = draw_recognition(cast, each=3, seed=seed).questionnaire.questions
        assert {cast.subjects[int(question.query.source[1:])] for question in questions} == {"ann", "ben", "cem"}


def test_recognitions_that_cannot_be_drawn():
    with pytest.raises(UserError, match="no query has a known expression"):
        draw_recognition(Cast((-1,), {"a": [1] * 7}))
    with pytest.raises(UserError, match="--each 0"):
        draw_recognition(EVEN, each=0)
    with pytest.raises(UserError, match="a returned nothing for q0"):
        draw_recognition(Cast((3,), {"a": [0] * 7}))


@pytest.mark.parametrize("draw", [draw_recognition, draw_ranking])
def test_names_tell_nothing_and_every_picture_loads(draw, tmp_path):
    drawn = draw(EVEN)
    names = [picture.identifier for one in drawn.questionnaire.questions for picture in one.pictures]
    asked = [one.query.identifier for one in drawn.questionnaire.questions]
    assert len(set(names + asked)) == len(names + asked)
    assert set(drawn.pictures) == set(names + asked if draw is draw_ranking else names)
    assert all(load().shape == (2, 2, 3) for load in drawn.pictures.values())
    assert all(re.fullmatch("[0-9a-f]{10}", name) for name in names + asked)
    drawn.questionnaire.write(tmp_path / "study.json")
    assert Questionnaire.read(tmp_path / "study.json").identifier == drawn.questionnaire.identifier


def test_questions_do_not_stand_by_expression():
    """In order there would be 6 changes from one expression to another; by lot, of 62 neighbours some 53."""
    expressions = [one.query.expression for one in draw_recognition(EVEN).questionnaire.questions]
    assert sum(one != other for one, other in pairwise(expressions)) > 40


@pytest.fixture
def registered(tmp_path):
    """A registered folder of three images, one without an expression."""
    names = ["mery/a.png", "mery/b.png", "ray/c.png"]
    (tmp_path / "faces").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "faces" / f"{number}.png"), np.full((4, 4, 3), 80 * number, np.uint8))
    columns = {
        "path": [f"faces/{number}.png" for number in range(3)],
        "source": names,
        "expression": pa.array([3, -1, 0], pa.int8()),
        "character": ["mery", "mery", "ray"],
    }
    pq.write_table(pa.table(columns), tmp_path / "manifest.parquet")
    return tmp_path


def test_key_poses_are_the_labelled_images_of_a_folder(registered):
    drawn = draw_key_poses(registered)
    shown = {one.source: one for question in drawn.questionnaire.questions for one in question.pictures}
    assert {name: (its.character, its.expression) for name, its in shown.items()} == {
        "mery/a.png": ("mery", "joy"),
        "ray/c.png": ("ray", "anger"),
    }
    assert all(question.query is None for question in drawn.questionnaire.questions)
    assert drawn.pictures[shown["ray/c.png"].identifier]()[0, 0, 0] == 160
    chosen = draw_key_poses(registered, ["ray/c.png", "ray/c.png"]).questionnaire.questions
    assert [question.pictures[0].source for question in chosen] == ["ray/c.png"]


def test_key_poses_that_cannot_be_drawn(registered, tmp_path):
    with pytest.raises(UserError, match=r"no labelled image mery/b\.png and 1 more"):
        draw_key_poses(registered, ["ray/c.png", "mery/b.png", "nobody.png"])
    with pytest.raises(UserError, match="holds no labelled image"):
        draw_key_poses(registered, [])
    with pytest.raises(UserError, match=r"nowhere holds no manifest\.parquet"):
        draw_key_poses(tmp_path / "nowhere")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.parquet").write_text("no table")
    with pytest.raises(UserError, match=r"bad holds no manifest\.parquet that can be read"):
        draw_key_poses(tmp_path / "bad")
    drawn = draw_key_poses(registered, ["ray/c.png"])
    (registered / "faces" / "2.png").unlink()
    with pytest.raises(UserError, match=r"2\.png: there is no such file; register its folder again"):
        next(iter(drawn.pictures.values()))()
