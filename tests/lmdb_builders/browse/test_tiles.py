"""What is shown of an image: its landmarks, its caption, or why it was rejected."""

import cv2
import numpy as np

from lmdb_builders.browse import draw, grouped, open_album, select
from lmdb_builders.browse.tiles import landmarks_of, tiles_of
from tests.lmdb_builders.browse.made_folders import POINTS, make, with_rejects

GREEN = np.array([90, 255, 120])


def test_landmarks_are_drawn_where_the_transform_puts_them(tmp_path):
    album = open_album(make(tmp_path, [np.zeros((256, 256, 3), np.uint8)] * 6))
    image = tiles_of(album, np.array([0]), 256, landmarks=True)[0].image
    assert not tiles_of(album, np.array([0]), 256)[0].image.any()
    points = POINTS * 1.5 + (10, 20)
    for x, y in np.rint(points).astype(int):
        np.testing.assert_array_equal(image[y, x], GREEN)
    y, x = np.nonzero(image.any(axis=-1))
    assert np.hypot(*(np.stack([x, y], -1)[:, None] - points).transpose(2, 0, 1)).min(axis=1).max() < 5


def test_landmarks_shrink_with_the_image(tmp_path):
    album = open_album(make(tmp_path, [np.zeros((256, 256, 3), np.uint8)] * 6))
    image = tiles_of(album, np.array([0]), 128, landmarks=True)[0].image
    y, x = np.nonzero(image.any(axis=-1))
    middle = (POINTS * 1.5 + (10, 20)).mean(axis=0)
    np.testing.assert_allclose([x.mean(), y.mean()], (middle + 0.5) / 2 - 0.5, atol=0.1)


def test_records_are_the_manifests_and_crops_carry_their_landmarks(records, tmp_path):
    album = open_album(records)
    assert album.kind == "records" and len(album.table) == 32  # ten views of each that trains
    views = set()
    for place, row in enumerate(album.table.to_pylist()):
        image, points = album.picture(place), np.rint(landmarks_of(row)).astype(int)
        assert image.shape == (227, 227, 3)
        inside = ((points >= 0) & (points < 227)).all(axis=1)
        assert inside.sum() >= 35 and (image[points[inside, 1], points[inside, 0]] == 255).all()
        views.add((row["split"], row["crop"]))
    assert {crop for split, crop in views if split == "train"} == set(range(10))
    chosen = select(album, {"split": ["train"], "label": ["joy"]})
    assert len(chosen) == 10
    assert draw(album, {"": chosen}, tmp_path / "a.png", landmarks=True, side=100) == {tmp_path / "a.png": 10}


def test_rejects_are_shown_from_the_database(tmp_path):
    root = tmp_path / "root"
    (root / "joy").mkdir(parents=True)
    wide = np.full((50, 100, 3), (10, 200, 30), np.uint8)
    cv2.imwrite(str(root / "joy/a.png"), wide)
    (root / "joy/b.png").write_bytes(b"x")
    rows = ["joy/a.png,no face was found,joy,", "joy/b.png,the file is no image,joy,S1", "gone.png,no face was found,,"]
    album = open_album(with_rejects(make(tmp_path / "faces"), root, rows), rejects=True)
    assert album.kind == "rejects" and album.column("expression") == [3, 3, -1]
    assert select(album, {"subject": ["S1"]}).tolist() == [1]
    tiles = tiles_of(album, np.arange(3), 100)
    np.testing.assert_array_equal(tiles[0].image[25:75], wide)
    assert (tiles[0].image[:25] == 240).all() and (tiles[0].image[75:] == 240).all()
    assert tiles[0].lines == ("joy", "joy/a.png", "no face was found")
    assert tiles[1].image is None and tiles[1].name == "the file is no image"
    assert tiles[2].image is None and tiles[2].lines[0] == "unlabelled"
    groups = grouped(album, np.arange(3), "reason")
    assert {name: rows.tolist() for name, rows in groups.items()} == {
        "no face was found": [0, 2],
        "the file is no image": [1],
    }
    assert draw(album, groups, tmp_path / "sheet.png") == {tmp_path / "sheet.png": 3}


def test_captions_say_what_is_known(faces):
    tiles = tiles_of(open_album(faces), np.array([2, 1, 4]), 100, value="fit")
    assert tiles[0].lines[0] == "joy" and tiles[0].lines[2] == "fit 9.00, poor-fit, cut-off"
    assert tiles[1].lines[2] == "stand-in"  # whose fit is not known
    assert tiles[2].lines == ("unlabelled", "some/folder 4/4.png", "fit 3.00")
