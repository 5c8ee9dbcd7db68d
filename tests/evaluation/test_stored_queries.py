"""Images of a store as queries: which are drawn, and what they find by each way to rank."""

import dataclasses

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.stored_queries import draw_queries, first_matches, open_retrievers, query_at
from pydeepexpr.pipeline import Retriever
from tests.evaluation.made_stores import HUMAN, TUNED, Image, make_store

GREY = (128, 128, 128)
NAN = float("nan")


@pytest.fixture
def human(tmp_path):
    return make_store(
        tmp_path / "human",
        HUMAN,
        Image("a.png", "joy", (1, 0), 0.0, GREY, split="train"),
        Image("b.png", "joy", (1, 0), 0.0, GREY, face="whole-image"),
        Image("c.png", "joy", (1, 0), 0.0, GREY, subject="p"),
        Image("d.png", "fear", (0, 1), 0.5, GREY, predicted="joy"),
        Image("e.png", "", (0, 1), 0.5, GREY),
        Image("f.png", "anger", (0, 1), NAN, GREY),
    )


def test_queries_are_test_images_with_a_detected_face(human):
    for seed in range(5):
        drawn = draw_queries(human, seed)
        assert {name: query.row for name, query in drawn.items()} == {"anger": 5, "fear": 3, "joy": 2}
    query = drawn["fear"]
    assert (query.name, query.label, query.predicted) == ("fear/d.png", 2, 3)
    assert query.fc6.tolist() == [0, 1] and query.geometry.tolist() == [0.5] * 9


def test_expressions_are_drawn_in_the_order_asked_for(human):
    assert list(draw_queries(human, 0, ["joy", "anger"])) == ["joy", "anger"]


def test_a_store_without_test_images_is_drawn_from_as_it_is(tiny):
    """Its images validate, every fifth is not a detection, and it names no persons."""
    rows = {query.row for seed in range(40) for query in draw_queries(tiny.store, seed, ["anger"]).values()}
    assert rows == {0, 7, 21}  # of label 0: 0, 7, 14, 21, where 14 stands in


@pytest.mark.parametrize(
    ("expressions", "said"),
    [
        (["rage"], "'rage' is no expression; there are: anger, disgust"),
        (["joy", "surprise"], "holds no test image of surprise with a detected face"),
    ],
)
def test_queries_that_are_not_there(human, expressions, said):
    with pytest.raises(UserError, match=said):
        draw_queries(human, 0, expressions)


def test_a_store_without_any_query(tmp_path):
    store = make_store(tmp_path / "human", HUMAN, Image("e.png", "", (0, 1), 0.5, GREY))
    with pytest.raises(UserError, match="holds no test image of known expression"):
        draw_queries(store, 0)


@pytest.fixture
def mery(tmp_path):
    """For the query (1, 0) at 0: by divergence 0, 1, 2, 3; of these 0 and 1 are predicted as joy and change places."""
    return make_store(
        tmp_path / "mery",
        TUNED,
        Image("0.png", "joy", (0.9, 0.1), 0.3, GREY),
        Image("1.png", "joy", (0.8, 0.2), 0.1, GREY),
        Image("2.png", "fear", (0.7, 0.3), 0.05, GREY),
        Image("3.png", "joy", (0.1, 0.9), NAN, GREY, predicted="fear"),
    )


def test_each_way_to_rank(human, mery):
    retriever = open_retrievers(human, {"mery": mery}, "l1")["mery"]
    found = first_matches(retriever, query_at(human, 2), 9, "js", "deepexpr", "geometry")
    assert [match.row for match in found["js"]] == [0, 1, 2, 3]
    assert [match.row for match in found["deepexpr"]] == [1, 0, 2, 3]
    assert [match.row for match in found["geometry"]] == [2, 1, 0], "what has no measures is not ranked by them"
    assert [match.rank for match in found["geometry"]] == [1, 2, 3]
    assert [match.js_rank for match in found["deepexpr"]] == [2, 1, 3, 4]
    # Nine measures, each 0.1 away: √(9 · 0.01).
    assert found["deepexpr"][0].geometric == pytest.approx(0.3, abs=1e-6)


def test_a_query_without_measures_finds_nothing_by_geometry(human, mery):
    retriever = open_retrievers(human, {"mery": mery}, "l1")["mery"]
    found = first_matches(retriever, query_at(human, 5), 1, "geometry", "js")
    assert found["geometry"] == [] and [match.row for match in found["js"]] == [3]


def test_what_is_found_is_what_the_retriever_finds_for_a_photograph(tiny):
    """The same image asked as a photograph, through the network, and from its store."""
    retriever = open_retrievers(tiny.store, {"tiny": tiny.store})["tiny"]
    for row in (0, 5, 13):
        asked = query_at(tiny.store, row)
        whole = Retriever(tiny.store, tiny.recogniser)
        fc6, _ = tiny.recogniser.features(tiny.faces[row : row + 1])
        by_network = whole.retrieve(asked._replace(fc6=fc6[0]), 5)
        found = first_matches(retriever, asked, 5, "deepexpr")["deepexpr"]
        assert [match.row for match in found] == [match.row for match in by_network]
        assert found[0].divergence == pytest.approx(by_network[0].divergence, abs=1e-5)


def test_true_labels_do_not_change_what_is_found(human, mery):
    retriever = open_retrievers(human, {"mery": mery}, "l1")["mery"]
    query = query_at(human, 2)
    one, other = (
        first_matches(retriever, asked, 4, "js", "deepexpr", "geometry") for asked in (query, query._replace(label=0))
    )
    for name in one:
        assert [match.row for match in one[name]] == [match.row for match in other[name]]


def test_strangers_are_refused(human, tmp_path):
    stranger = dataclasses.replace(TUNED, ancestry=())
    store = make_store(tmp_path / "stranger", stranger, Image("0.png", "joy", (0.9, 0.1), 0.3, GREY))
    with pytest.raises(UserError, match="neither descends from"):
        open_retrievers(human, {"stranger": store})
