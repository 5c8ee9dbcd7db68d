"""What a character's store returns for the images of another."""

import dataclasses
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import rankdata

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.retrieved import from_stores
from pydeepexpr.features import FeatureStore
from pydeepexpr.retrieval import normalise


def relabelled(store, labels):
    """The same images with other true labels."""
    other = dataclasses.replace(store)
    other.__dict__["labels"] = np.asarray(labels, dtype=np.int8)  # where its cached property keeps them
    return other


@pytest.mark.parametrize("query", [0, 4, 11, 22])  # the geometry of 4 is unknown
def test_ranks_are_those_of_the_definition(tiny, query):
    """Against SciPy's divergence and a sort written out: places of matched images, in the order of their geometry."""
    store = tiny.store
    found = from_stores(store, {"tiny": store}).retrieve(query, "tiny")
    p = normalise(store.fc6, "class-weight", predicted=store.predicted, fc7=store.fc7).astype(np.float64)
    js = np.array([jensenshannon(p[query], row) ** 2 for row in p])
    geometric = np.sqrt(((tiny.geometry - tiny.geometry[query]) ** 2).sum(axis=1))
    np.testing.assert_array_equal(found.ranks["js"], rankdata(js.round(13)))
    np.testing.assert_array_equal(found.ranks["geometry"], rankdata(np.nan_to_num(geometric, nan=np.inf)))
    order = sorted(range(23), key=lambda row: js[row])
    moves = [row for row in order if store.predicted[row] == store.predicted[query] and not np.isnan(geometric[row])]
    by_geometry = iter(sorted(moves, key=lambda row: geometric[row]))
    expected = [next(by_geometry) if row in moves else row for row in order]
    assert np.argsort(found.ranks["deepexpr"]).tolist() == expected
    assert sorted(found.ranks["deepexpr"]) == list(range(1, 24))


def test_ranks_are_those_that_retrieval_shows(tiny):
    """An image that a network looks at, and its features in a store, find the same in the same order."""
    from pydeepexpr.pipeline import Retriever, look

    retriever = Retriever(tiny.store, tiny.recogniser)
    asked = dataclasses.replace(look(tiny.recogniser, tiny.faces[7], "as-is"), geometry=tiny.geometry[7])
    shown = [match.source for match in retriever.retrieve(asked, 23)]
    found = from_stores(tiny.store, {"tiny": tiny.store}).retrieve(7, "tiny")
    assert [found.sources[row] for row in np.argsort(found.ranks["deepexpr"])] == shown


@settings(max_examples=20)
@given(st.permutations([number % 7 for number in range(23)]))
def test_no_label_enters_a_ranking(tiny, labels):
    as_is = from_stores(tiny.store, {"tiny": tiny.store}).retrieve(3, "tiny")
    other = relabelled(tiny.store, labels)
    found = from_stores(other, {"tiny": other}).retrieve(3, "tiny")
    assert found.labels.tolist() == list(labels)
    for name, ranks in as_is.ranks.items():
        np.testing.assert_array_equal(found.ranks[name], ranks)


def test_an_unknown_label_is_the_predicted_one(tiny):
    labels = np.where(np.arange(23) < 5, -1, tiny.store.labels)
    source = from_stores(relabelled(tiny.store, labels), {"tiny": relabelled(tiny.store, labels)})
    found = source.retrieve(9, "tiny")
    assert found.labels[:5].tolist() == tiny.store.predicted[:5].tolist()
    assert [query.label for query in source.queries] == labels.tolist()  # a query's stays unknown: it is not drawn


def test_pictures_are_those_of_the_rows(tiny):
    source = from_stores(tiny.store, {"tiny": tiny.store})
    np.testing.assert_array_equal(source.queries[5].picture(), tiny.faces[5])
    np.testing.assert_array_equal(source.retrieve(0, "tiny").picture(17), tiny.faces[17])
    assert source.queries[5].source == "joy/5.png" and source.characters == ["tiny"]


def test_settings_say_what_was_ranked(tiny):
    settings = from_stores(tiny.store, {"tiny": tiny.store}, "l1").settings
    assert settings["normalisation"] == "l1" and settings["query_labels"] == "true"
    assert settings["model"]["sha256"] == tiny.store.model.sha256
    assert settings["stores"]["tiny"]["rows"] == 23
    assert "tiny" in settings["origin"]["data"] and settings["origin"]["split"] == "val"


def test_what_cannot_be_ranked(tiny, tmp_path):
    with pytest.raises(UserError, match="no store of a character was given"):
        from_stores(tiny.store, {})
    with pytest.raises(UserError, match="no normalisation"):
        from_stores(tiny.store, {"tiny": tiny.store}, "softmix")
    shutil.copytree(tiny.store.path, tmp_path / "alone")  # no LMDB lies beside it there
    lost = from_stores(tiny.store, {"tiny": FeatureStore.open(tmp_path / "alone")}).retrieve(0, "tiny")
    with pytest.raises(UserError, match=r"the picture of joy/3\.png is missing"):
        lost.picture(3)
