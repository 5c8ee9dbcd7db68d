"""A merged store is what one writer would have written."""

import os
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore, merge, verify, write_store
from tests.features.samples import HUMAN, MERY, RAY, TRANSFORM, assert_same, fc7_of, images, make_store

part = st.tuples(st.sampled_from([HUMAN, MERY, RAY]), st.integers(1, 6))


@settings(max_examples=8, deadline=None)
@given(stores=st.lists(st.lists(part, min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_merge_equals_one_write_of_all_parts(tmp_path_factory, stores):
    folder, first, written, everything = tmp_path_factory.mktemp("merge"), 0, [], []
    for number, parts in enumerate(stores):
        stretches = []
        for model, size in parts:
            stretches.append((model, range(first, first + size)))
            first += size
        written.append(make_store(folder / f"{number}", *stretches))
        everything += stretches
    merged = merge(written, folder / "merged")
    assert_same(merged, make_store(folder / "once", *everything))
    assert verify(merged.path) == []
    assert [part["rows"] for part in merged.meta["parts"]] == [len(numbers) for _, numbers in everything]


@settings(max_examples=8, deadline=None)
@given(
    wanted=st.fixed_dictionaries(
        {}, optional={"split": st.sampled_from(["train", "val"]), "model": st.sampled_from(["human", "ray"])}
    )
)
def test_a_merge_of_chosen_rows_is_the_choice(tmp_path_factory, wanted):
    folder = tmp_path_factory.mktemp("choice")
    store = make_store(folder / "s", (HUMAN, range(10)), (RAY, range(10, 30)), (HUMAN, range(30, 50)))
    chosen = store.where(**wanted)
    assert_same(merge([chosen], folder / "merged"), chosen)


def test_rows_of_large_parts_come_through(tmp_path):
    with write_store(tmp_path / "s", MERY, fc7_of(MERY)) as writer:
        writer.append(*images(range(9000)))
    store = FeatureStore.open(tmp_path / "s")
    assert_same(merge([store], tmp_path / "merged"), store)


def test_how_parts_were_made_is_kept_and_how_they_were_merged(tmp_path):
    one = make_store(tmp_path / "deep" / "one", (HUMAN, range(3)), lmdb="../../data/val_lmdb")
    two = make_store(tmp_path / "two", (MERY, range(3, 5)), note="kept")
    merged = merge([one, two], tmp_path / "merged")
    first, second = merged.meta["parts"]
    assert (merged.path / first["lmdb"]).resolve() == (tmp_path / "data" / "val_lmdb").resolve()
    assert not os.path.isabs(first["lmdb"])
    assert first["provenance"] == one.meta["parts"][0]["provenance"]
    assert second["note"] == "kept" and "lmdb" not in second
    assert merged.meta["merged"]["made"]


def test_files_that_rows_name_are_found_from_the_new_store(tmp_path):
    fc6, prob, geometry, table = images(range(3))
    paths = pa.array(["../frames/0.png", "faces/1.png", "faces/2.png"])
    table = table.set_column(0, "path", paths).append_column("image", pa.array(["file", "", None]))
    with write_store(tmp_path / "stores" / "mery", MERY, fc7_of(MERY)) as writer:
        writer.append(fc6, prob, geometry, table)
    merged = merge([FeatureStore.open(tmp_path / "stores" / "mery")], tmp_path / "merged")
    assert merged.rows["path"].to_pylist() == ["../stores/frames/0.png", "faces/1.png", "faces/2.png"]


def test_a_store_may_be_merged_into_its_own_place(tmp_path):
    one, two = make_store(tmp_path / "one", (HUMAN, range(3))), make_store(tmp_path / "two", (MERY, range(3, 5)))
    merged = merge([one, two], one.path)
    assert merged.fc6[:, 0].tolist() == [0, 1, 2, 3, 4] and verify(one.path) == []


def other(model, **changes):
    return type(model)(**{**vars(model), **changes})


def _flip(path):
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)


def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path):
    one, out = make_store(tmp_path / "one", (HUMAN, range(3))), tmp_path / "out"
    pixels = make_store(tmp_path / "pixels", (other(RAY, transform={**TRANSFORM, "scale": 1.0}), range(3)))
    with pytest.raises(UserError, match=r"pixels prepared as .*ray\.caffemodel"):
        merge([one, pixels], out)
    with write_store(tmp_path / "wide", RAY, np.zeros((7, 3))) as writer:
        writer.append(np.zeros((1, 3)), *images(range(1))[1:])
    with pytest.raises(UserError, match=r"holds fc6 of 2 numbers and 7 classes, ray.* gives fc6 of 3"):
        merge([one, FeatureStore.open(tmp_path / "wide")], out)
    with write_store(tmp_path / "same", HUMAN, fc7_of(MERY)) as writer:
        writer.append(*images(range(1)))
    with pytest.raises(UserError, match=r"FC7 weights of human.* differ"):
        merge([one, FeatureStore.open(tmp_path / "same")], out)
    with pytest.raises(UserError, match="no store to merge"):
        merge([], out)
    shutil.copytree(one.path, tmp_path / "damaged")
    _flip(tmp_path / "damaged" / "fc6.f32")
    with pytest.raises(UserError, match=r"damaged/fc6.f32 has changed since it was written.*; extract"):
        merge([one, FeatureStore.open(tmp_path / "damaged")], out)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="exists and is no feature store"):
        merge([one], tmp_path / "thesis")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["damaged", "one", "pixels", "same", "thesis", "wide"]
