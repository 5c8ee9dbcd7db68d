"""Kin may be compared, strangers and other pixels may not."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore, append_store, write_store
from pydeepexpr.lineage import ModelIdentity, check_kin

TRANSFORM = {"scale": 0.015625, "mean_value": [104.0, 117.0, 123.0], "crop_size": 227}
HUMAN = ModelIdentity("human.caffemodel", "a" * 64, (), TRANSFORM)
MERY = ModelIdentity("mery.caffemodel", "b" * 64, ("c" * 64, "a" * 64), TRANSFORM)


def store_of(path, model, weight=0.0) -> FeatureStore:
    """Write, or append to, a store with an image of the model's."""
    row = pa.table({name: ["x"] for name in ("path", "source", "key")} | {"expression": pa.array([0], pa.int8())})
    with (append_store if path.exists() else write_store)(path, model, np.full((7, 2), weight)) as writer:
        writer.append(np.zeros((1, 2)), np.full((1, 7), 1 / 7), np.zeros((1, 9)), row)
    return FeatureStore.open(path)


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path / "store", MERY)


def test_kin_may_be_compared(store):
    for model in (MERY, HUMAN, dataclasses.replace(HUMAN, sha256="d" * 64, ancestry=("b" * 64,))):
        check_kin(model, store)


@pytest.mark.parametrize("ancestry", [(), ("a" * 64,)], ids=["stranger", "sibling"])
def test_models_that_are_no_kin(store, ancestry):
    stranger = dataclasses.replace(HUMAN, name="ray.caffemodel", sha256="e" * 64, ancestry=ancestry)
    with pytest.raises(UserError, match=r"mery.caffemodel \(bbbbbbbb\).*ray.caffemodel \(eeeeeeee\)"):
        check_kin(stranger, store)


RAY = ModelIdentity("ray.caffemodel", "e" * 64, ("a" * 64,), TRANSFORM)


def test_siblings_are_told_their_common_ancestor(store):
    with pytest.raises(UserError, match=r"a sibling of ray.caffemodel .*fine-tuned from \(aaaaaaaa\).* --siblings"):
        check_kin(RAY, store)
    check_kin(RAY, store, siblings=True)


def test_siblings_need_a_common_ancestor_and_the_same_pixels(store):
    with pytest.raises(UserError, match="neither descends from"):
        check_kin(dataclasses.replace(RAY, ancestry=("f" * 64,)), store, siblings=True)
    with pytest.raises(UserError, match="pixels prepared as"):
        check_kin(dataclasses.replace(RAY, transform={**TRANSFORM, "scale": 1.0}), store, siblings=True)


def test_every_model_of_a_store_must_be_kin(tmp_path):
    for model, weight in ((MERY, 0.0), (RAY, 1.0)):
        store = store_of(tmp_path / "store", model, weight)
    check_kin(HUMAN, store)  # both descend from it
    with pytest.raises(UserError, match=r"was made by ray.caffemodel \(eeeeeeee\), a sibling of mery"):
        check_kin(MERY, store)
    check_kin(MERY, store, siblings=True)
    check_kin(MERY, store.where(model="mery"))


def test_what_files_say_of_a_model():
    assert MERY.record() == {"name": "mery.caffemodel", "sha256": "b" * 64, "ancestry": ["c" * 64, "a" * 64]}
    assert str(MERY) == "mery.caffemodel (bbbbbbbb)"


def test_the_youngest_common_ancestor():
    cousin = dataclasses.replace(RAY, ancestry=("c" * 64, "a" * 64))
    assert cousin.common_ancestor(MERY) == "c" * 64
    assert MERY.common_ancestor(HUMAN) == HUMAN.common_ancestor(MERY) == HUMAN.sha256
    assert RAY.common_ancestor(dataclasses.replace(HUMAN, sha256="9" * 64)) is None


@pytest.mark.parametrize("change", [{"scale": 1.0}, {"mean_value": [0.0, 0.0, 0.0]}, {"crop_size": 224}])
def test_pixels_prepared_differently(store, change):
    with pytest.raises(UserError, match="pixels prepared as"):
        check_kin(dataclasses.replace(HUMAN, transform={**TRANSFORM, **change}), store)


def test_a_mean_file_is_known_by_its_content(tmp_path):
    transform = {"crop_size": 227, "mean_file": "data/mean.binaryproto", "mean_sha256": "f" * 64}
    opened = store_of(tmp_path / "s", dataclasses.replace(HUMAN, transform=transform))
    check_kin(dataclasses.replace(HUMAN, transform={**transform, "mean_file": "elsewhere.binaryproto"}), opened)
    with pytest.raises(UserError, match="pixels"):
        check_kin(dataclasses.replace(HUMAN, transform={**transform, "mean_sha256": "0" * 64}), opened)
