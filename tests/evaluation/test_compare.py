"""Many queries against a store, in blocks, as one by one."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation import compare as module
from pydeepexpr.evaluation.compare import compare
from pydeepexpr.retrieval import geometric_distance, jensen_shannon, normalise


@pytest.mark.parametrize("how", ["l1", "class-weight"])
@pytest.mark.parametrize("pairs", [1, 115, 1 << 20])  # one query a block, five, all
def test_blocks_hold_what_single_queries_give(tiny, monkeypatch, how, pairs):
    monkeypatch.setattr(module, "_PAIRS", pairs)
    blocks = list(compare(tiny.store, tiny.store, how))
    assert len(blocks) == {1: 23, 115: 5, 1 << 20: 1}[pairs]
    assert np.concatenate([np.arange(23)[block.queries] for block in blocks]).tolist() == list(range(23))
    store = tiny.store
    distributions = normalise(store.fc6, how, predicted=store.predicted, fc7=store.fc7)
    for name, expected in (
        ("divergence", [jensen_shannon(query, distributions) for query in distributions]),
        ("geometric", [geometric_distance(query, store.geometry) for query in store.geometry]),
        ("matched", [query == store.predicted for query in store.predicted]),
    ):
        found = np.concatenate([getattr(block, name) for block in blocks])
        np.testing.assert_allclose(found, expected, atol=1e-13)


def test_each_side_is_normalised_by_its_own_network(tiny):
    """With class weights the queries' FC7 is theirs: the same features under another FC7 are other distributions."""
    store = tiny.store
    other = SimpleNamespace(
        labels=store.labels,
        predicted=store.predicted,
        fc6=store.fc6,
        geometry=store.geometry,
        fc7=np.abs(store.fc7[::-1]),
        model=store.model,
    )
    (block,) = compare(other, store, "class-weight")
    asked = normalise(store.fc6, "class-weight", predicted=store.predicted, fc7=other.fc7)
    kept = normalise(store.fc6, "class-weight", predicted=store.predicted, fc7=store.fc7)
    np.testing.assert_allclose(block.divergence[3], jensen_shannon(asked[3], kept), atol=1e-13)


def test_what_does_not_fit_is_refused(tiny):
    def queries(**changed):
        names = ("labels", "predicted", "fc6", "geometry", "fc7", "model")
        return SimpleNamespace(**{**{name: getattr(tiny.store, name) for name in names}, **changed})

    stranger = dataclasses.replace(tiny.store.model, sha256="0" * 64)
    with pytest.raises(UserError, match="neither descends from"):
        next(compare(queries(model=stranger), tiny.store))
    with pytest.raises(UserError, match="has 16 features and 7 classes, the queries have 8 and 7"):
        next(compare(queries(fc7=np.ones((7, 8))), tiny.store))
