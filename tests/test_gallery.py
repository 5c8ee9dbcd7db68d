"""Faces behind a store's rows."""

import dataclasses
import os
import shutil
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore, merge, write_store
from pydeepexpr.gallery import Gallery


def test_faces_come_out_of_the_lmdb(tiny):
    gallery = Gallery(tiny.store)
    for row in (0, 12, 13, 22):
        np.testing.assert_array_equal(gallery.face(row), tiny.faces[row])


def test_without_its_lmdb_a_store_has_no_faces(tiny, tmp_path):
    shutil.copytree(tiny.store.path, tmp_path / "elsewhere" / "store")
    assert Gallery(FeatureStore.open(tmp_path / "elsewhere" / "store")).face(0) is None


def test_an_lmdb_that_was_built_again_is_not_believed(tiny, tmp_path):
    for name in ("store", "data"):
        shutil.copytree(tiny.root / name, tmp_path / name)
    import lmdb

    with lmdb.open(str(tmp_path / "data" / "val_lmdb"), map_size=1 << 26) as env, env.begin(write=True) as transaction:
        for place in (0, 10, 22):  # another image under the key's number
            datum = transaction.pop(tiny.keys[place].encode())
            transaction.put(f"{place:08d}_other.png".encode(), datum)
    gallery = Gallery(FeatureStore.open(tmp_path / "store"))
    assert [row for row in range(23) if gallery.face(row) is None] == [0, 10, 22]


def test_faces_of_chosen_rows(tiny):
    chosen = tiny.store.where(expression=["joy", "surprise"])
    gallery = Gallery(chosen)
    for row, number in enumerate((3, 6, 10, 13, 17, 20)):
        np.testing.assert_array_equal(gallery.face(row), tiny.faces[number])


def test_each_part_has_its_own_lmdb(tiny, tmp_path):
    """Whole parts, and parts that hold some of their LMDB's records alone."""
    shutil.copytree(tiny.root / "data", tmp_path / "more" / "data")
    stranger = dataclasses.replace(tiny.recogniser.identity, sha256="e" * 64)
    place = os.path.relpath(tmp_path / "more" / "data" / "val_lmdb", tmp_path / "more" / "store")
    with write_store(tmp_path / "more" / "store", stranger, tiny.store.fc7, lmdb=place) as writer:
        writer.append(tiny.store.fc6, tiny.store.prob, tiny.store.geometry, tiny.store.rows)
    more = FeatureStore.open(tmp_path / "more" / "store")
    merged = merge([tiny.store.where(expression="joy"), more, more.where(expression="anger")], tmp_path / "a" / "store")
    numbers = [3, 10, 17, *range(23), 0, 7, 14, 21]
    gallery = Gallery(merged)
    for row in (0, 2, 3, 25, 26, 28, 29):
        np.testing.assert_array_equal(gallery.face(row), tiny.faces[numbers[row]])
    shutil.rmtree(tmp_path / "more" / "data")
    gallery = Gallery(FeatureStore.open(tmp_path / "a" / "store"))
    assert gallery.face(2) is not None and gallery.face(3) is None and gallery.face(29) is None


def test_faces_come_out_of_a_folder(tiny, tmp_path):
    (tmp_path / "faces" / "joy").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "faces" / "joy" / "3.png"), tiny.faces[3])
    (tmp_path / "faces" / "joy" / "5.png").write_bytes(b"no image")
    gallery = Gallery(tiny.store, tmp_path)
    np.testing.assert_array_equal(gallery.face(3), tiny.faces[3])
    assert gallery.face(4) is None
    with pytest.raises(UserError, match=r"5\.png: .*register its folder again"):
        gallery.face(5)


def test_a_folder_that_is_not_there(tiny, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        Gallery(tiny.store, tmp_path / "absent")


def naming(store, image, path="frame.png"):
    """The store with a column that says how its images are had."""
    store = dataclasses.replace(store)
    rows = store.rows.drop_columns(["path"])
    columns = {"image": [image] * len(store), "path": [path] * len(store)}
    vars(store)["rows"] = pa.table({**{name: rows[name] for name in rows.column_names}, **columns})
    return store


def test_a_row_may_name_a_file_seen_from_the_store(tiny, tmp_path):
    shutil.copytree(tiny.store.path, tmp_path / "stores" / "mery")
    store = FeatureStore.open(tmp_path / "stores" / "mery")
    cv2.imwrite(str(tmp_path / "frame.png"), tiny.faces[8])
    np.testing.assert_array_equal(Gallery(naming(store, "file", "../../frame.png")).face(2), tiny.faces[8])
    assert Gallery(naming(store, "file", "absent.png")).face(2) is None
    assert Gallery(naming(store, "file", "")).face(2) is None


def test_a_row_may_be_rendered_again(tiny, monkeypatch):
    asked = []

    def render_again(row):
        asked.append(row["key"])
        frame = np.zeros((2, 2, 4), np.uint8)
        frame[0, 0] = 10, 20, 30, 255
        frame[0, 1] = 10, 20, 30, 51  # a fifth
        return frame

    monkeypatch.setitem(sys.modules, "pydeepexpr.rig.shots", SimpleNamespace(render_again=render_again))
    picture = Gallery(naming(tiny.store, "rig")).face(4)
    assert asked == [tiny.keys[4]]
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [30, 20, 10]  # BGR
    assert picture[0, 1].tolist() == [195, 193, 191]  # 236 · 4/5 + 30/5, …
    assert picture[1, 0].tolist() == [236, 236, 236]


def test_a_row_that_names_no_source_comes_out_of_the_lmdb(tiny):
    np.testing.assert_array_equal(Gallery(naming(tiny.store, "")).face(3), tiny.faces[3])
    np.testing.assert_array_equal(Gallery(naming(tiny.store, None)).face(3), tiny.faces[3])


def test_a_source_that_is_not_known(tiny):
    with pytest.raises(UserError, match="no source of images is called 'film'; there are: file, rig"):
        Gallery(naming(tiny.store, "film")).face(0)
