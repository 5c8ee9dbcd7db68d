"""What cannot be built is named, and nothing is written."""

import cv2
import numpy as np
import pytest

from lmdb_builders.build import build_lmdb
from pydeepexpr.errors import UserError
from tests.lmdb_builders.building.made_builds import register


def _write(folder, name, data):
    (folder / name).write_bytes(data)


SPOILS = {
    "no folder": (lambda f: f.rename(f.with_name("moved")), "there is no folder .*tools/register.py"),
    "no manifest": (lambda f: (f / "manifest.parquet").unlink(), "has no manifest.parquet"),
    "manifest is text": (lambda f: _write(f, "manifest.parquet", b"path,label\n"), "no readable Parquet file"),
    "manifest is empty": (lambda f: _write(f, "manifest.parquet", b""), "no readable Parquet file"),
    "column missing": (lambda f: register(f, split=None), "has no column 'split'"),
    "labels are words": (lambda f: register(f, expression=["joy"] * 28), "'expression' is not int8"),
    "label 7": (lambda f: register(f, [0, 7]), "expression 7 is neither 0-6 nor -1"),
    "odd split": (lambda f: register(f, splits=["training"] * 28), "split 'training' is none of train, val, test"),
    "path twice": (lambda f: register(f, path=["faces/0/image 0.png"] * 28), r"lists faces/0/image 0.png 28 times"),
    "image missing": (lambda f: (f / "faces/0/image 0.png").unlink(), r"1 of 28 registered images are missing, first"),
    "image is text": (lambda f: _write(f, "faces/0/image 0.png", b"hello"), "image 0.png is no readable image"),
    "image is empty": (lambda f: _write(f, "faces/0/image 0.png", b""), "image 0.png is no readable image"),
    "image is small": (
        lambda f: cv2.imwrite(str(f / "faces/3/image 3.png"), np.zeros((48, 64), np.uint8)),
        "image 3.png is 64×48, not 256×256",
    ),
    "no rows": (lambda f: register(f, []), "no image falls to the training split"),
    "all unlabelled": (lambda f: register(f, [-1, -1]), "2 of 2 images have no label"),
    "no training rows": (lambda f: register(f, [1, 2], splits=["val"] * 2), "no image falls to the training split"),
}


@pytest.mark.parametrize("case", SPOILS)
def test_a_spoilt_folder_is_named_and_nothing_is_written(tmp_path, case):
    spoil, message = SPOILS[case]
    faces = register(tmp_path / "data/faces")
    spoil(faces)
    with pytest.raises(UserError, match=message) as caught:
        build_lmdb([faces], tmp_path / "target/out")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("target/*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 0.6, "test": 0.5}, "must leave some to train"),
        ({"val": -0.1}, "must not be negative"),
        ({"val": float("nan")}, "must leave some to train"),
        ({"quality": 0}, "JPEG quality 0 is not between 1 and 100"),
        ({"quality": 101}, "JPEG quality 101"),
        ({"seed": -1}, "the seed -1 is negative"),
        ({"workers": -2}, "-2 threads cannot work"),
        ({"encode": "gif"}, "encode 'gif' is none of jpg, png, raw"),
        ({"split": "halves"}, "split 'halves' is none of own, stratified, blocks, random, folds"),
        ({"crops": "seven"}, "crops 'seven' is none of random, centre, mirrored, five"),
        ({"split": "folds", "folds": 1}, "1 folds are no cross-validation"),
        ({"split": "folds", "folds": 29}, "28 persons .* cannot be divided into 29 folds"),
        ({"split": "folds", "fold": 5}, "there is no fold 5; there are 5, counted from 0"),
        ({"split": "folds", "fold": -1}, "there is no fold -1"),
        ({"split": "folds", "val": 0.8}, "must leave some to train"),
        ({"balance": "smote"}, "balance 'smote' is none of"),
        ({"unlabelled": "guess"}, "unlabelled 'guess' is none of error, skip"),
    ],
)
def test_an_option_out_of_range_is_named(faces, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        build_lmdb([faces], tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_bad_places_are_named(faces, tmp_path):
    with pytest.raises(UserError, match="no registered folder was given"):
        build_lmdb([], tmp_path / "out")
    with pytest.raises(UserError, match="is given 2 times"):
        build_lmdb([faces, faces / "."], tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file is no folder, so .*file/out cannot be made"):
        build_lmdb([faces], tmp_path / "file/out")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"out was not made by build_lmdb"):
        build_lmdb([faces], tmp_path / "out")


def test_manifests_that_do_not_fit_together_are_named(faces, tmp_path):
    other = register(tmp_path / "other", [3, 4], geometry=["a", "b"])
    with pytest.raises(UserError, match="the manifests do not fit together"):
        build_lmdb([faces, other], tmp_path / "out")
