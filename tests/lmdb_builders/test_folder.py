import cv2
import numpy as np
import pytest

from lmdb_builders import READERS, folder
from pydeepexpr.errors import UserError


def fill(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", np.full((8, 8), 9, np.uint8))[1].tobytes())
    return root


def test_class_folders_by_any_name(tmp_path):
    fill(tmp_path, "Happy/b.jpg", "Happy/a.png", "angry/1.png", "sadness/deep/er/2.bmp", "AF/3.png", "neutral/4.JPG")
    records = list(folder.read(tmp_path))
    assert [(r.name, r.expression) for r in records] == [
        ("AF/3.png", 2),
        ("Happy/a.png", 3),
        ("Happy/b.jpg", 3),
        ("angry/1.png", 0),
        ("neutral/4.JPG", 4),
        ("sadness/deep/er/2.bmp", 5),
    ]
    assert {(r.database, r.split, r.subject, r.sequence, r.frame) for r in records} == {("folder", "", "", "", -1)}
    assert records[0].image == tmp_path / "AF/3.png"
    assert records[0].read().shape == (8, 8)


def test_splits_outside(tmp_path):
    fill(tmp_path, "train/joy/1.png", "Validation/fear/2.png", "test/sad/3.png", "train/0.png")
    assert {(r.name, r.split, r.expression) for r in folder.read(tmp_path)} == {
        ("train/joy/1.png", "train", 3),
        ("train/0.png", "train", -1),
        ("Validation/fear/2.png", "val", 2),
        ("test/sad/3.png", "test", 5),
    }


def test_images_in_the_root_are_unlabelled(tmp_path):
    fill(tmp_path, "me.jpg", "you.png")
    assert [(r.name, r.expression) for r in folder.read(tmp_path)] == [("me.jpg", -1), ("you.png", -1)]


def test_what_is_no_image_is_passed_over(tmp_path):
    fill(tmp_path, "joy/1.png", "joy/.2.png", "joy/._1.png", "joy/.cache/3.png", ".git/4.png", "__MACOSX/joy/5.png")
    for name in (".DS_Store", "Thumbs.db", "joy/.DS_Store", "joy/notes.txt", "readme.md"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "joy/folder.png").mkdir()
    (tmp_path / "fear").mkdir()
    assert [r.name for r in folder.read(tmp_path)] == ["joy/1.png"]


def test_names_in_any_script(tmp_path):
    fill(tmp_path, "joy/笑 顔/été.png")
    assert [r.name for r in folder.read(tmp_path)] == ["joy/笑 顔/été.png"]


def test_nothing_is_read_before_it_is_wanted(tmp_path):
    fill(tmp_path, "joy/1.png")
    (tmp_path / "joy/2.png").write_bytes(b"broken")
    first, second = folder.read(tmp_path)
    assert first.read().shape == (8, 8), "grey stays grey"
    with pytest.raises(UserError, match="no image"):
        second.read()


@pytest.mark.parametrize("name", ["contempt", "happpy", "train/bored", "0"])
def test_unknown_folders_are_named(tmp_path, name):
    fill(tmp_path, f"{name}/1.png", "train/joy/2.png" if name.startswith("train") else "joy/2.png")
    with pytest.raises(UserError, match=rf"'{name}'.*anger, disgust, fear, joy, neutral, sadness, surprise"):
        list(folder.read(tmp_path))


def test_a_split_beside_a_class_is_a_mistake(tmp_path):
    fill(tmp_path, "train/joy/1.png", "joy/2.png")
    with pytest.raises(UserError, match="'train'"):
        list(folder.read(tmp_path))


def test_no_image_or_no_folder(tmp_path):
    (tmp_path / "joy").mkdir()
    with pytest.raises(UserError, match="no image"):
        list(folder.read(tmp_path))
    with pytest.raises(UserError, match="no folder"):
        list(folder.read(tmp_path / "absent"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="not a folder"):
        list(folder.read(tmp_path / "file"))


def test_registry():
    assert READERS["folder"].read is folder.read and not READERS["folder"].cropped
    assert READERS["fer2013"].cropped
