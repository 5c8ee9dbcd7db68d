"""Distributions that are made as they are asked for are those that normalise makes."""

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval import NORMALISATIONS, Distributions, normalise


@pytest.mark.parametrize("how", NORMALISATIONS)
@pytest.mark.parametrize("rows", [slice(None), slice(3, 5000), np.array([8999, 0, 7, 7]), slice(2, 2)])
def test_rows_are_normalised_as_all_are(how, rows):
    rng = np.random.default_rng(0)
    features = np.maximum(rng.normal(size=(9000, 8)), 0).astype(np.float32)
    weights = {"predicted": rng.integers(3, size=9000), "fc7": rng.normal(size=(3, 8))}
    lazy = Distributions(features, how, **weights)
    assert lazy.shape == (9000, 8) and len(lazy) == 9000
    found = lazy[rows]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, normalise(features, how, **weights)[rows].astype(np.float32))


def test_they_are_loaded_where_there_is_room(monkeypatch):
    lazy = Distributions(np.ones((10, 4), np.float32), "l1")  # 160 bytes as float32
    monkeypatch.setattr("pydeepexpr.retrieval.distributions.available_memory", lambda: 320)
    np.testing.assert_array_equal(lazy.loaded(), np.full((10, 4), 0.25, np.float32))
    monkeypatch.setattr("pydeepexpr.retrieval.distributions.available_memory", lambda: 319)
    assert lazy.loaded() is lazy


def test_what_cannot_be_normalised_is_named_when_it_is_asked_for():
    lazy = Distributions(np.array([[1.0, 2.0], [-1.0, 2.0]]), "l1")
    np.testing.assert_array_equal(lazy[:1], np.array([[1 / 3, 2 / 3]], np.float32))
    with pytest.raises(UserError, match="negative values"):
        lazy[:]
