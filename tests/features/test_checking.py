"""Every damaged byte is found, and named."""

import json
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore, verify
from tests.features.samples import HUMAN, MERY, make_store

FILES = ("fc6.f32", "prob.f32", "geometry.f32", "fc7.f32", "rows-00000.parquet", "rows-00001.parquet", "meta.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("whole") / "store", (MERY, range(4)), (HUMAN, range(4, 9))).path


@pytest.fixture
def store(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "store")


def test_a_whole_store(store):
    assert verify(store) == []
    for name in ("fc6.f32", "prob.f32", "geometry.f32", "fc7.f32"):  # a writer that was killed
        with (store / name).open("ab") as file:
            file.write(b"left")
    assert verify(store) == []


@given(data=st.data(), name=st.sampled_from(FILES))
def test_any_flipped_bit_is_found(whole, tmp_path_factory, data, name):
    store = shutil.copytree(whole, tmp_path_factory.mktemp("flip") / "store")
    content = bytearray((store / name).read_bytes())
    place = data.draw(st.integers(0, 8 * len(content) - 1))
    content[place // 8] ^= 1 << place % 8
    (store / name).write_bytes(content)
    try:
        damages = verify(store)
    except UserError as error:
        assert name == "meta.json"
        damages = [str(error)]
    if name != "meta.json":  # where meta.json is damaged, other files may not be what it says
        assert len(damages) == 1
    assert name in damages[0] or "version" in damages[0]


@given(data=st.data(), name=st.sampled_from(FILES))
def test_any_truncation_is_found_by_opening_and_by_verifying(whole, tmp_path_factory, data, name):
    store = shutil.copytree(whole, tmp_path_factory.mktemp("cut") / "store")
    size = (store / name).stat().st_size
    kept = data.draw(st.integers(0, size - 2 if name == "meta.json" else size - 1))  # the last line's end is no loss
    os.truncate(store / name, kept)
    with pytest.raises(UserError, match=name):
        FeatureStore.open(store)
    if name == "meta.json":
        with pytest.raises(UserError, match=name):
            verify(store)
    else:
        assert f"{store / name} is truncated: {size - kept} of {size} bytes are missing" in verify(store)


def test_damage_is_named_by_part(store):
    content = bytearray((store / "fc6.f32").read_bytes())
    content[4 * 8] ^= 1  # row 4 of two numbers: the first of the second part
    (store / "fc6.f32").write_bytes(content)
    (store / "rows-00001.parquet").unlink()
    weights = bytearray((store / "fc7.f32").read_bytes())
    weights[-1] ^= 1
    (store / "fc7.f32").write_bytes(weights)
    missing, fc7, fc6 = verify(store)
    assert missing.startswith(f"{store / 'rows-00001.parquet'} is truncated")
    assert fc7 == f"{store / 'fc7.f32'} has changed since it was written: the weights of human.caffemodel"
    assert fc6 == f"{store / 'fc6.f32'} has changed since it was written: part 2, rows 4 to 8"


def test_a_truncated_file_is_still_checked_as_far_as_it_goes(store):
    content = bytearray((store / "prob.f32").read_bytes())
    content[0] ^= 1
    (store / "prob.f32").write_bytes(content[:-1])
    truncated, changed = verify(store)
    assert "is truncated: 1 of 252" in truncated and "part 1, rows 0 to 3" in changed


def test_meta_that_was_edited_is_found(store):
    meta = json.loads((store / "meta.json").read_text())
    meta["models"][0]["name"] = "ray.caffemodel"
    (store / "meta.json").write_text(json.dumps(meta, indent=2))
    assert FeatureStore.open(store).models[0].name == "ray.caffemodel"
    assert verify(store) == [f"{store / 'meta.json'} has changed since it was written"]


def test_no_store(tmp_path):
    with pytest.raises(UserError, match="is no feature store"):
        verify(tmp_path)
