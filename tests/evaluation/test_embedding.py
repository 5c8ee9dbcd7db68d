"""Humans and characters in one space: sample, distances and neighbours by hand, the picture by properties."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.embedding import (
    HUMAN,
    balanced_sample,
    embed,
    root_divergences,
    shares_of_nearest,
    tsne,
)
from pydeepexpr.expressions import EXPRESSIONS
from tests.evaluation.made_stores import HUMAN as HUMAN_MODEL
from tests.evaluation.made_stores import TUNED, Image, make_store

GREY = (128, 128, 128)


@given(arrays.arrays(np.int64, st.integers(0, 60), elements=st.integers(-1, 4)), st.integers(0, 70), st.integers(0, 5))
def test_a_sample_is_balanced(groups, most, seed):
    chosen = balanced_sample(groups, most, np.random.default_rng(seed))
    assert chosen.tolist() == balanced_sample(groups, most, np.random.default_rng(seed)).tolist()
    assert len(chosen) == len(set(chosen)) == min(most, (groups >= 0).sum())
    taken, there = (np.bincount(part[part >= 0], minlength=5) for part in (groups[chosen], groups))
    left = there > taken
    if left.any():  # whoever has any left has at most one fewer than anybody else
        assert taken.max() <= taken[left].min() + 1


def test_distances_are_scipys():
    distributions = np.random.default_rng(0).dirichlet(np.full(6, 0.3), 12)
    distributions[3] = distributions[8]
    distances = root_divergences(distributions)
    expected = [[jensenshannon(one, other) for other in distributions] for one in distributions]
    np.testing.assert_allclose(distances, np.nan_to_num(expected), atol=1e-6)
    assert (distances == distances.T).all() and not distances.diagonal().any()


def test_shares_by_hand():
    """The first point, of label 1, has c, a, d, b as neighbours; the second, of label 0, as given a, b, c, d.

    Their labels: 0, 1, 1, 0 and 1, 0, 0, 1.
    """
    distances = np.array([[0.2, 0.9, 0.1, 0.3], [0.5, 0.5, 0.5, 0.6]])
    labels, among = np.array([1, 0]), np.array([1, 0, 0, 1])
    for k, expected in (
        (1, (0, 0)),
        (2, (1 / 2, 1 / 2)),
        (3, (2 / 3, 2 / 3)),
        (4, (1 / 2, 1 / 2)),
        (9, (1 / 2, 1 / 2)),
    ):
        assert shares_of_nearest(distances, labels, among, k) == pytest.approx(expected)


def clusters(count: int = 3, each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Distributions in clusters, whose names are returned, too."""
    generator = np.random.default_rng(1)
    centres = np.eye(count) * 20 + 1
    return np.concatenate([generator.dirichlet(centre, each) for centre in centres]), np.repeat(np.arange(count), each)


def test_neighbours_stay_neighbours():
    distributions, names = clusters()
    places = tsne(root_divergences(distributions), seed=0)
    assert places.shape == (60, 2) and np.isfinite(places).all()
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (names[apart.argmin(axis=1)] == names).all()


def test_the_large_arrangement_is_that_of_the_distances():
    """Clusters on a line stay in their order, which a start by chance would not see to."""
    line = np.repeat(np.linspace(0, 30, 4), 15) + np.random.default_rng(0).normal(0, 0.4, 60)
    places = tsne(np.abs(line[:, None] - line), seed=0)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    assert spearmanr(apart.ravel(), np.abs(line[:, None] - line).ravel()).statistic > 0.9


def test_the_same_seed_gives_the_same_picture():
    distances = root_divergences(clusters(2, 12)[0])
    np.testing.assert_array_equal(tsne(distances, seed=3), tsne(distances, seed=3))


def test_points_that_are_all_the_same_have_a_picture():
    assert np.isfinite(tsne(np.zeros((12, 12)), seed=0)).all()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Humans and two characters, whose expressions lie at the two ends of a line; one of ray's is on the wrong side."""
    root = tmp_path_factory.mktemp("stores")
    generator = np.random.default_rng(0)

    def images(count: int, split: str = "test") -> list[Image]:
        made = []
        for number in range(count):
            x = 0.1 * generator.random()
            name, fc6 = (("joy", (1 - x, x)), ("fear", (x, 1 - x)))[number % 2]
            made.append(Image(f"{number}.png", name, fc6, 0.0, GREY, split=split))
        return [*made, Image("u.png", "", (0.5, 0.5), 0.0, GREY)]

    human = make_store(root / "human", HUMAN_MODEL, *images(20), pictures=False)
    mery = make_store(root / "mery", TUNED, *images(12), pictures=False)
    ray = make_store(root / "ray", TUNED, *images(8), Image("w.png", "fear", (1, 0), 0.0, GREY), pictures=False)
    return human, {"mery": mery, "ray": ray}


def test_embedding(stores):
    human, characters = stores
    made = embed(human, characters, "l1", most=100, nearest=(1, 3))
    assert {name: int((made.who == name).sum()) for name in (HUMAN, "mery", "ray")} == {HUMAN: 20, "mery": 12, "ray": 9}
    assert [made.names[place] for place in (0, 20, 40)] == ["joy/0.png", "joy/0.png", "fear/w.png"]
    assert [name.partition("/")[0] for name in made.names] == [EXPRESSIONS[label] for label in made.labels]
    assert made.places.shape == (41, 2) and np.isfinite(made.places).all()
    people = made.labels[:20]
    assert made.chance[people == 3] == pytest.approx(10 / 21) and made.chance[people == 2] == pytest.approx(11 / 21)
    assert (made.shares[1][people == 2] == 1).all(), "fear has no stranger beside it"
    record = json.loads(json.dumps(made.record(), allow_nan=False))
    assert record["nearest"]["1"]["fear"] == 1 and list(record["nearest"]) == ["1", "3"]
    assert record["nearest"]["3"]["all"] == pytest.approx(made.shares[3].mean())
    assert record["chance"]["joy"] == pytest.approx(10 / 21)
    assert len(record["points"]) == 41 and record["points"][40]["who"] == "ray"
    assert record["points"][40]["place"] == pytest.approx(made.places[40].tolist())
    assert (record["normalisation"], record["seed"], record["perplexity"]) == ("l1", 2016, pytest.approx(40 / 3))
    assert record["stores"]["mery"]["models"][0]["sha256"] == "b" * 64


def test_shares_are_counted_in_the_space_and_not_in_the_picture(stores):
    human, characters = stores
    made = embed(human, characters, "l1", most=100, nearest=(3,))
    features = np.concatenate([np.asarray(store.fc6)[store.labels >= 0] for store in (human, *characters.values())])
    features /= features.sum(axis=1, keepdims=True)
    for number in range(20):
        away = [jensenshannon(features[number], other) for other in features[20:]]
        near = np.argsort(away, kind="stable")[:3]
        assert made.shares[3][number] == pytest.approx((made.labels[20:][near] == made.labels[number]).mean())


def test_a_seed_fixes_sample_and_picture(stores):
    one, same, other = (embed(*stores, "l1", most=24, seed=seed) for seed in (1, 1, 2))
    assert one.names == same.names and (one.places == same.places).all()
    assert one.names != other.names
    assert (one.who == HUMAN).sum() == 12 and len(one.names) == 24
    assert [int((one.labels[one.who == who] == 3).sum()) for who in (HUMAN, "mery", "ray")] == [6, 3, 3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"how": "l2"}, "no normalisation is called"),
        ({"most": 8}, "4 labelled images of people and 4 of characters are too few"),
        ({"most": 0}, "0 labelled images of people"),
        ({"nearest": (0,)}, "cannot look at the 0 nearest points"),
    ],
)
def test_what_cannot_be_embedded(stores, options, said):
    with pytest.raises(UserError, match=said):
        embed(*stores, **options)


def test_strangers_are_refused(stores, tmp_path):
    stranger = dataclasses.replace(TUNED, ancestry=())
    store = make_store(tmp_path / "s", stranger, Image("0.png", "joy", (1, 0), 0.0, GREY), pictures=False)
    with pytest.raises(UserError, match="neither descends from"):
        embed(stores[0], {"s": store})


def test_without_scikit_learn_one_line_says_so(stores, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(UserError, match=r"needs scikit-learn: pip install 'pydeepexpr\[embedding\]'"):
        embed(*stores)
