"""Faces behind a store's rows."""

import shutil

import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
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
        transaction.delete(tiny.keys[0].encode())
    gallery = Gallery(FeatureStore.open(tmp_path / "store"))
    assert gallery.face(0) is None and gallery.face(22) is None


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
