"""That sheets show the images they should."""

import cv2
import numpy as np
import pytest

from lmdb_builders.browse import draw, grouped, open_album, select
from lmdb_builders.browse.sheet import _font, _wrapped
from pydeepexpr.errors import UserError
from tests.lmdb_builders.browse.made_folders import make, picture, small, where


def test_the_sheet_shows_the_images_in_order(faces, tmp_path):
    album = open_album(faces)
    sheets = draw(album, grouped(album, select(album, {}, "fit"), None), tmp_path / "new/sheet.png", side=100)
    assert sheets == {tmp_path / "new/sheet.png": 6}
    sheet = cv2.imread(str(tmp_path / "new/sheet.png"))
    places = [where(sheet, small(picture(number))) for number in (2, 5, 3, 0, 4, 1)]
    assert len({y for y, _ in places}) == 1 and set(np.diff([x for _, x in places])) == {110}


def test_blocks_hold_as_many_of_each_and_go_on_over_the_pages(faces, tmp_path):
    album = open_album(faces)
    groups = grouped(album, select(album, {"label": ["joy", "anger"]}), "label")
    sheets = draw(album, groups, tmp_path / "sheet.png", limit=5, pages=9, side=100)
    assert sheets == {tmp_path / "sheet.png": 3, tmp_path / "sheet-2.png": 1}
    first, second = (cv2.imread(str(path)) for path in sheets)
    places = {number: where(first, small(picture(number))) for number in (1, 0, 2)}
    assert places[1][0] < places[0][0] == places[2][0] and places[1][1] == places[0][1]  # anger above joy
    assert where(first, small(picture(5))) is None and where(second, small(picture(5))) is not None


def test_a_jpeg_of_the_first_images(faces, tmp_path):
    album = open_album(faces)
    sheets = draw(album, grouped(album, np.arange(6), None), tmp_path / "sheet.jpg", limit=4, side=100)
    assert list(sheets.values()) == [4] and (tmp_path / "sheet.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.jpg"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sheet.gif", {}, "cannot draw .*sheet.gif; end the name in one of: .png, .jpg, .jpeg"),
        ("sheet.png", {"limit": 0}, "the number of images must be 1 to 1000, got 0"),
        ("sheet.png", {"limit": 1}, "2 groups do not fit on a sheet of 1 images"),
        ("sheet.png", {"pages": 0}, "the number of sheets must be 1 to 1000, got 0"),
        ("sheet.png", {"side": 20}, "the size must be 80 to 512, got 20"),
        ("sheet.png", {"landmarks": True}, "has no column 'transform'; register the folder anew"),
        ("sheet.png", {}, "some/folder 2/2.png: there is no such file; register the folder anew"),
    ],
)
def test_sheets_that_cannot_be(tmp_path, name, options, message):
    faces = make(tmp_path / "faces", transform=None)
    (faces / "faces/some/folder 2/2.png").unlink()
    with pytest.raises(UserError, match=message):
        draw(open_album(faces), {"a": np.array([1]), "b": np.array([2])}, tmp_path / name, **options)
    assert not (tmp_path / name).exists()


def test_long_names_keep_their_end():
    font = _font(11)
    assert _wrapped("train/angry/1.png", font, 150) == ["train/angry/1.png"]
    assert _wrapped("training/angry/a_long_name_1.png", font, 140) == ["…a_long_name_1.png"]
    (line,) = _wrapped("x" * 99 + "_1.png", font, 100)
    assert line.startswith("…") and line.endswith("x_1.png") and font.getlength(line) <= 100
    assert _wrapped("no face was found", font, 60) == ["no face", "was found"]
