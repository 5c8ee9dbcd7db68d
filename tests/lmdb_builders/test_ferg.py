"""FERG-DB's quirks, and rendered characters, on small trees of drawn frames."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmdb_builders import READERS, Record, Reject, ferg, find_face
from lmdb_builders.register import register
from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS


def frame(root, character, expression, number, pixels=None):
    """Write one frame: transparent with an opaque square unless pixels are given."""
    folder = root / character / f"{character}_{expression}"
    folder.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = np.zeros((256, 256, 4), np.uint8)
        pixels[..., :3] = 200  # colour under full transparency, which must not be seen
        pixels[64:192, 64:192] = (10, 20, 30, 255)
    cv2.imwrite(str(folder / f"{character}_{expression}_{number}.png"), pixels)
    return folder / f"{character}_{expression}_{number}.png"


@pytest.fixture
def tree(tmp_path):
    """Two characters with the database's quirks: a missing number, a damaged frame, stray and hidden files."""
    root = tmp_path / "FERG_DB_256"
    for number in (1, 2, 10):
        frame(root, "mery", "joy", number)
    for number in (480, 482):
        frame(root, "bonnie", "fear", number)
    (root / "bonnie" / "bonnie_surprise").mkdir()
    (root / "bonnie" / "bonnie_surprise" / "bonnie_surprise_1389.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    for stray in (".DS_Store", "bonnie/.DS_Store", "bonnie/bonnie_fear/.DS_Store", "bonnie/bonnie_fear/Thumbs.db"):
        (root / stray).write_bytes(b"x")
    (root / "bonnie/bonnie_fear/bonnie_fear_007.png").write_bytes(b"x")
    (root / "readme").mkdir()
    return root


def test_frames_come_by_character_expression_and_number(tree):
    records = [item for item in ferg.read(tree) if isinstance(item, Record)]
    assert [record.name for record in records] == [
        "bonnie/bonnie_fear/bonnie_fear_480.png",
        "bonnie/bonnie_fear/bonnie_fear_482.png",
        "bonnie/bonnie_surprise/bonnie_surprise_1389.png",
        "mery/mery_joy/mery_joy_1.png",
        "mery/mery_joy/mery_joy_2.png",
        "mery/mery_joy/mery_joy_10.png",
    ]
    last = records[-1]
    assert (last.database, last.character, last.expression) == ("ferg", "mery", EXPRESSIONS.index("joy"))
    assert (last.sequence, last.frame, last.subject, last.split, last.landmarks) == ("mery_joy", 10, "", "", None)


def test_stray_images_are_rejected_and_other_files_passed_over(tree):
    rejects = [item for item in ferg.read(tree) if isinstance(item, Reject)]
    assert [reject.name for reject in rejects] == ["bonnie/bonnie_fear/bonnie_fear_007.png"]
    assert "bonnie_fear_NUMBER.png" in rejects[0].reason


def test_the_folder_above_will_do(tree):
    assert list(ferg.read(tree.parent)) == list(ferg.read(tree))


def test_transparency_shows_black(tree):
    pixels = next(iter(ferg.read(tree))).read()
    assert pixels.shape == (256, 256, 3)
    assert (pixels[:64] == 0).all() and (pixels[100, 100] == (10, 20, 30)).all()


def test_a_damaged_frame_is_rejected_with_its_reason_and_the_others_go_on(tree, tmp_path):
    summary = register("ferg", tree, tmp_path / "out", workers=1)
    assert summary["counts"]["accepted"] == 5
    assert "bonnie/bonnie_surprise/bonnie_surprise_1389.png" in (tmp_path / "out/rejects.csv").read_text()
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert {row["character"] for row in rows} == {"bonnie", "mery"}
    assert {row["face"] for row in rows} == {"whole-image"}, "a square is no face, and nothing stands in for it"
    assert summary["differences"] == ferg.differences(tree)


def test_the_published_counts_are_those_of_55767_images():
    assert sum(map(sum, ferg.PUBLISHED.values())) == 55767
    assert all(len(counts) == len(EXPRESSIONS) for counts in ferg.PUBLISHED.values())


def test_differences_from_the_published_table_are_named(tree):
    frame(tree, "pip", "joy", 1)
    lines = ferg.differences(tree)
    assert "bonnie_fear: 2 images, published 1255" in lines
    assert "bonnie_fear: no number 1, 2, 3, 4, 5 and 475 more" in lines, "1 to 479, and 481"
    assert "mery_joy: no number 3, 4, 5, 6, 7 and 2 more" in lines
    assert "mery_anger: 0 images, published 1428" in lines
    assert f"ray is missing; published with {sum(ferg.PUBLISHED['ray'])} images" in lines
    assert "pip is none of the published characters" in lines
    assert not [line for line in lines if line.startswith("pip_")], "nothing is published of it to differ from"


def test_the_tool_reports_the_differences(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["register.py", "--database", "ferg", *map(str, (tree, tmp_path / "out")), "--workers", "1"]
    )
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(Path(__file__).parents[2] / "tools/register.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert stopped.value.code in (0, None)
    assert "differs from the published ferg: bonnie_fear: 2 images, published 1255\n" in said
    assert said.endswith("5 faces (0 detected, 5 whole images), 2 rejected (rejects.csv)\n")


def test_a_complete_sequence_differs_in_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(ferg, "PUBLISHED", {"mery": (0, 0, 0, 2, 0, 0, 0)})
    for number in (1, 2):
        frame(tmp_path, "mery", "joy", number)
    assert ferg.differences(tmp_path) == []


def test_neutral_frames_from_all_over_are_named_for_the_fallback(tmp_path):
    for number in range(1, 12):
        frame(tmp_path, "mery", "neutral", number)
    frame(tmp_path, "mery", "joy", 1)
    frame(tmp_path, "ray", "joy", 1)
    by_name = {record.name: record for record in ferg.read(tmp_path)}
    at_rest = [path.name for path in by_name["mery/mery_joy/mery_joy_1.png"].at_rest]
    assert at_rest == [f"mery_neutral_{number}.png" for number in (1, 3, 5, 7, 9)]
    assert by_name["ray/ray_joy/ray_joy_1.png"].at_rest == ()


# Rendered characters


def table(root, rows):
    """Write frames.parquet of (path, split, landmarks) rows, with a column beside."""
    columns = dict(zip(("path", "split", "landmarks"), map(list, zip(*rows, strict=True)), strict=True))
    columns["landmarks"] = pa.array(columns["landmarks"], pa.list_(pa.float32()))
    pq.write_table(pa.table({**columns, "n": list(range(len(rows)))}), root / "frames.parquet")


def smiling(offset=0.0):
    """Return landmarks of an ordinary face in the middle of the frame, as 98 numbers."""
    return (faces.mean_face() * 0.5 + 64 + offset).ravel().tolist()


def test_rendered_frames_have_the_tables_landmarks_and_split(tmp_path):
    for number in (1, 2, 3):
        frame(tmp_path, "pip", "joy", number)
    unknown = [float("nan")] * 98
    table(tmp_path, [("pip/pip_joy/pip_joy_2.png", "test", smiling()), ("pip/pip_joy/pip_joy_3.png", "train", unknown)])
    first, second, third = READERS["rig"].read(tmp_path)
    assert (first.split, first.landmarks) == ("", None)
    assert (second.database, second.split, second.character) == ("rig", "test", "pip")
    np.testing.assert_allclose(second.landmarks, faces.mean_face() * 0.5 + 64, atol=1e-4)
    assert (third.split, third.landmarks) == ("train", None)


def test_what_a_frame_is_rendered_again_from_reaches_the_manifest(tmp_path):
    root = tmp_path / "RIG_DB_256"
    for number in (1, 2):
        frame(root, "pip", "joy", number)
    table(root, [("pip/pip_joy/pip_joy_2.png", "val", smiling())])
    rows = pq.read_table(root / "frames.parquet")
    for name, value in {"muscles": [0.5, 0.25], "gaze": [0.1], "head": [0.0], "size": 256}.items():
        rows = rows.append_column(name, pa.array([value]))
    pq.write_table(rows, root / "frames.parquet")
    register("rig", root, tmp_path / "out", workers=1)
    first, second = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert (first["muscles"], first["image"]) == (None, None), "the table does not know it"
    assert (second["muscles"], second["size"], second["image"]) == ([0.5, 0.25], 256, "rig")


def test_rendered_photographs_have_the_tables_person_and_split(tmp_path):
    (tmp_path / "joy").mkdir()
    for name in ("p0_1", "p0_2"):
        cv2.imwrite(str(tmp_path / f"joy/{name}.png"), np.zeros((8, 8, 3), np.uint8))
    rows = {"path": ["joy/p0_1.png"], "split": ["test"], "subject": ["p0"], "landmarks": [smiling()]}
    pq.write_table(pa.table(rows), tmp_path / "frames.parquet")
    one, two = READERS["folder"].read(tmp_path)
    assert (one.subject, one.split, one.landmarks) == ("p0", "test", None), "its face is detected, as a photograph's is"
    assert (two.subject, two.split) == ("", "")


def test_a_frame_that_is_listed_but_absent_is_rejected(tmp_path):
    frame(tmp_path, "pip", "joy", 1)
    table(tmp_path, [("pip/pip_joy/pip_joy_2.png", "test", smiling())])
    (reject,) = (item for item in ferg.read(tmp_path) if isinstance(item, Reject))
    assert reject.name == "pip/pip_joy/pip_joy_2.png" and "no such file" in reject.reason


def test_rendered_landmarks_reach_the_manifest_with_their_geometry(tmp_path):
    root = tmp_path / "RIG_DB_256"
    frame(root, "pip", "joy", 1)
    table(root, [("pip/pip_joy/pip_joy_1.png", "val", smiling())])
    summary = register("rig", root, tmp_path / "out", workers=1)
    (row,) = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert (row["face"], row["split"], row["character"], row["sequence"], row["frame"]) == (
        *("rendered", "val", "pip", "pip_joy", 1),
    )
    np.testing.assert_allclose(row["landmarks"], smiling(), atol=1e-4)
    np.testing.assert_allclose(row["geometry"], faces.geometry(faces.mean_face()), atol=1e-5)
    assert np.isnan(row["score"]) and row["box"][0] == pytest.approx(min(smiling()[::2]), abs=1e-3)
    assert summary["counts"]["rendered"] == 1 and summary["alignment"] == "similarity"
    # Twice the size and 128 to the left and up: the square from 64 to 192 fills the registered frame.
    registered = cv2.imread(str(tmp_path / "out" / row["path"]))
    assert (registered[4:-4, 4:-4] == (10, 20, 30)).all()


def test_a_frame_may_be_taken_whole(tmp_path):
    root = tmp_path / "RIG_DB_256"
    path = frame(root, "pip", "joy", 1)
    table(root, [("pip/pip_joy/pip_joy_1.png", "val", smiling())])
    register("rig", root, tmp_path / "out", alignment="none", workers=1)
    (row,) = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert row["face"] == "rendered" and np.isfinite(row["geometry"]).all()
    expected = Record("", path, "rig").read()
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / row["path"])), expected)


def test_a_neutral_frame_stands_in_and_has_no_geometry(tmp_path):
    head = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()[
        20:220, 120:320, ::-1
    ]
    head = cv2.resize(np.ascontiguousarray(head), (256, 256))
    root = tmp_path / "FERG_DB_256"
    frame(root, "mery", "neutral", 1, np.zeros((256, 256, 3), np.uint8))
    frame(root, "mery", "neutral", 2, head)
    frame(root, "mery", "joy", 1, cv2.GaussianBlur(head, (0, 0), 25))
    register("ferg", root, tmp_path / "out", workers=1)
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert [row["face"] for row in rows] == ["neutral-frame", "neutral-frame", "detected"]
    joy, _, neutral = rows
    assert joy["landmarks"] == neutral["landmarks"]
    assert np.isnan(joy["geometry"]).all() and np.isfinite(neutral["geometry"]).all()


def test_landmarks_at_rest_skip_what_cannot_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((64, 64, 3), np.uint8))
    assert find_face._landmarks_at_rest((tmp_path / "a.png", tmp_path / "b.png")) is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("pip/pip_joy/pip_joy_1.png", "holdout", None)], "the split 'holdout' of pip/pip_joy/pip_joy_1.png"),
        ([("pip/pip_joy/pip_joy_1.png", "val", [1.0] * 49)], "49 numbers are the landmarks"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path, rows, message):
    frame(tmp_path, "pip", "joy", 1)
    table(tmp_path, rows)
    with pytest.raises(UserError, match=message):
        list(ferg.read(tmp_path))


@pytest.mark.parametrize("content", ["no parquet", "no columns"])
def test_a_damaged_table_is_named(tmp_path, content):
    frame(tmp_path, "pip", "joy", 1)
    if content == "no columns":
        pq.write_table(pa.table({"path": ["a"]}), tmp_path / "frames.parquet")
    else:
        (tmp_path / "frames.parquet").write_text(content)
    with pytest.raises(UserError, match=r"frames\.parquet: .*render it again") as error:
        list(ferg.read(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([], "no frame of a character"),
        (["mery/mery_wink"], "mery_wink names no expression"),
        (["mery/joy"], "no frame"),
    ],
)
def test_what_is_no_database_of_characters(tmp_path, made, message):
    for folder in made:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(UserError, match=message):
        list(ferg.read(tmp_path))


def test_an_absent_root_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        list(ferg.read(tmp_path / "absent"))
