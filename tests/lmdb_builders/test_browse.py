"""tools/browse.py: what is selected and in which order, and that the sheet shows it."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdb_builders import browse
from lmdb_builders.browse import Album, draw, grouped, landmarks_of, open_album, select
from lmdb_builders.build import build_lmdb
from lmdb_builders.quality import FLAGS
from lmdb_builders.records import Reader, Record, Reject
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS

TOOL = Path(__file__).parents[2] / "tools" / "browse.py"
NAN = float("nan")
LABELS = [3, 0, 3, 5, -1, 3]
POINTS = np.stack(np.meshgrid(np.linspace(20, 88, 7), np.linspace(25, 85, 7)), axis=-1).reshape(49, 2)
SHIFT = [1.5, 0.0, 10.0, 0.0, 1.5, 20.0]  # from source pixels to the registered frame
A_FLAG = st.sampled_from(list(FLAGS))
GREEN = np.array([90, 255, 120])


def picture(number):
    """A smooth picture that no other number has."""
    rng = np.random.default_rng(number)
    return cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)


def make(out, images=None, **columns):
    """Make a registered folder of six faces; `columns` replaces or, with None, drops manifest columns."""
    names = [f"some/folder {number}/{number}.png" for number in range(len(LABELS))]
    for number, name in enumerate(names):
        (out / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(out / "faces" / name), picture(number) if images is None else images[number])
    manifest = {
        "path": [f"faces/{name}" for name in names],
        "source": names,
        "database": ["fer2013"] * 3 + ["kdef"] * 3,
        "expression": pa.array(LABELS, pa.int8()),
        "subject": ["", "", "", "AF01", "AF01", "AM02"],
        "sequence": [""] * 6,
        "frame": pa.array([-1] * 6, pa.int32()),
        "split": ["train", "train", "val", "train", "train", "test"],
        "face": ["detected", "whole-image", "detected", "detected", "detected", "detected"],
        "score": pa.array([0.5, NAN, 0.1, 2.0, 0.1, 1.0], pa.float32()),
        "fit_error": pa.array([3.0, NAN, 9.0, 6.5, 3.0, 7.0], pa.float32()),
        "landmarks": pa.array([POINTS.ravel().tolist()] * 6, pa.list_(pa.float32())),
        "transform": pa.array([SHIFT] * 6, pa.list_(pa.float32())),
        "quality": [[], ["stand-in"], ["poor-fit", "cut-off"], ["poor-fit"], [], ["poor-fit", "faint"]],
    }
    manifest.update(columns)
    pq.write_table(pa.table({k: v for k, v in manifest.items() if v is not None}), out / "manifest.parquet")
    return out


def with_rejects(out, root, rows, database="folder"):
    """Add rejects.csv and register.json."""
    (out / "register.json").write_text(json.dumps({"database": database, "root": str(root), "options": {}}))
    lines = ["path,reason,expression,subject", *rows]
    (out / "rejects.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return make(tmp_path_factory.mktemp("data") / "registered")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """LMDBs of five crops, whose images are black but for white spots at the landmarks."""
    root = tmp_path_factory.mktemp("crops")
    spots = np.zeros((256, 256, 3), np.uint8)
    for x, y in np.rint(POINTS * 1.5 + (10, 20)).astype(int):
        spots[y - 1 : y + 2, x - 1 : x + 2] = 255
    build_lmdb([make(root / "faces", [spots] * 6)], root / "out", crops="five", encode="png", unlabelled="skip")
    return root / "out"


def where(sheet, image):
    """Return the line and column of pixels where a sheet shows an image, pixel by pixel; None where it does not."""
    place = cv2.minMaxLoc(cv2.matchTemplate(sheet, image, cv2.TM_SQDIFF))[2]
    x, y = place
    shown = sheet[y : y + image.shape[0], x : x + image.shape[1]]
    return (y, x) if np.array_equal(shown, image) else None


def small(image, side=100):
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    ("wanted", "sort", "rows"),
    [
        ({}, "manifest", [0, 1, 2, 3, 4, 5]),
        ({"label": ["joy"]}, "manifest", [0, 2, 5]),
        ({"label": ["Angry", "unlabelled"]}, "manifest", [1, 4]),
        ({"database": ["kdef"], "label": ["joy"]}, "manifest", [5]),
        ({"subject": ["AF01", "AM02"]}, "manifest", [3, 4, 5]),
        ({"split": ["val", "test"]}, "manifest", [2, 5]),
        ({"face": ["whole-image"]}, "manifest", [1]),
        ({"flag": ["cut-off", "faint"]}, "manifest", [2, 5]),
        ({}, "fit", [2, 5, 3, 0, 4, 1]),
        ({}, "score", [2, 4, 0, 5, 3, 1]),
        ({"flag": ["poor-fit"], "database": ["kdef"]}, "fit", [5, 3]),
    ],
)
def test_selection(faces, wanted, sort, rows):
    assert select(open_album(faces), wanted, sort).tolist() == rows


def test_random_order_is_the_seeds(faces):
    album = open_album(faces)
    orders = [select(album, {}, "random", seed).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == list(range(6))
    with pytest.raises(UserError, match="the seed -1 is negative; give 0 or more"):
        select(album, {}, "random", -1)


def test_groups_stand_in_their_own_order(faces):
    album = open_album(faces)
    rows = select(album, {}, "fit")

    def groups(by):
        return {name: group.tolist() for name, group in grouped(album, rows, by).items()}

    assert list(groups("label").items()) == [("anger", [1]), ("joy", [2, 5, 0]), ("sadness", [3]), ("unlabelled", [4])]
    flags = {"stand-in": [1], "faint": [5], "poor-fit": [2, 5, 3], "cut-off": [2], "no flag": [0, 4]}
    assert list(groups("flag").items()) == list(flags.items())
    assert groups(None) == {"": rows.tolist()}


@given(
    st.lists(
        st.tuples(st.integers(-1, 6), st.sets(st.sampled_from(list(FLAGS))), st.floats(0, 20) | st.none()), min_size=1
    ),
    st.sets(st.sampled_from([*EXPRESSIONS, "unlabelled"])),
    st.sets(st.sampled_from(list(FLAGS))),
)
def test_what_is_selected_is_what_was_wanted(images, labels, flags):
    table = pa.table(
        {
            "expression": pa.array([label for label, _, _ in images], pa.int8()),
            "quality": pa.array([sorted(has) for _, has, _ in images], pa.list_(pa.string())),
            "fit_error": pa.array([error for _, _, error in images], pa.float64()),
        }
    )
    album = Album(Path("made up"), table, lambda row: None, "faces")
    names = [*EXPRESSIONS, "unlabelled"]
    fits = [(not labels or names[label] in labels) and (not flags or has & flags) for label, has, _ in images]
    known = labels <= {names[label] for label, _, _ in images} and flags <= set().union(*(has for _, has, _ in images))
    if not any(fits) or not known:
        with pytest.raises(UserError, match=r"none of \d+ faces has the (label|flag)"):
            select(album, {"label": labels, "flag": flags}, "fit")
        return
    rows = select(album, {"label": labels, "flag": flags}, "fit").tolist()
    assert sorted(rows) == [row for row, fit in enumerate(fits) if fit]
    errors = [-1 if images[row][2] is None else images[row][2] for row in rows]
    assert all((a, -i) > (b, -j) for a, b, i, j in zip(errors, errors[1:], rows, rows[1:], strict=False))
    groups = grouped(album, np.array(rows), "label")
    assert sorted(np.concatenate([*groups.values()]).tolist()) == sorted(rows)


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


def test_landmarks_are_drawn_where_the_transform_puts_them(tmp_path):
    album = open_album(make(tmp_path, [np.zeros((256, 256, 3), np.uint8)] * 6))
    image = browse._tiles(album, np.array([0]), None, True, 256)[0].image
    assert not browse._tiles(album, np.array([0]), None, False, 256)[0].image.any()
    points = POINTS * 1.5 + (10, 20)
    for x, y in np.rint(points).astype(int):
        np.testing.assert_array_equal(image[y, x], GREEN)
    y, x = np.nonzero(image.any(axis=-1))
    assert np.hypot(*(np.stack([x, y], -1)[:, None] - points).transpose(2, 0, 1)).min(axis=1).max() < 5


def test_landmarks_shrink_with_the_image(tmp_path):
    album = open_album(make(tmp_path, [np.zeros((256, 256, 3), np.uint8)] * 6))
    image = browse._tiles(album, np.array([0]), None, True, 128)[0].image
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


def test_records_are_found_by_their_keys(faces, tmp_path):
    build_lmdb([faces], tmp_path / "out", encode="png", unlabelled="skip")
    album = open_album(tmp_path / "out")
    for place, name in enumerate(album.column("source")):
        np.testing.assert_array_equal(album.picture(place), picture(int(Path(name).stem)))
    swapped = album.table.take(pa.array([1, 0, 2, 3, 4]))
    pq.write_table(swapped, tmp_path / "out/manifest.parquet")
    with pytest.raises(UserError, match=r"the manifest lists 00000001_.* where its LMDB does not; build it again"):
        open_album(tmp_path / "out").picture(0)


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
    tiles = browse._tiles(album, np.arange(3), None, False, 100)
    np.testing.assert_array_equal(tiles[0].image[25:75], wide)
    assert (tiles[0].image[:25] == 240).all() and (tiles[0].image[75:] == 240).all()
    assert tiles[0].lines == ("joy", "joy/a.png", "", "no face was found")
    assert tiles[1].image is None and tiles[1].name == "the file is no image"
    assert tiles[2].image is None and tiles[2].lines[0] == "unlabelled"
    groups = grouped(album, np.arange(3), "reason")
    assert {name: rows.tolist() for name, rows in groups.items()} == {
        "no face was found": [0, 2],
        "the file is no image": [1],
    }
    assert draw(album, groups, tmp_path / "sheet.png") == {tmp_path / "sheet.png": 3}


def test_rejects_that_are_no_files_are_read_as_records(tmp_path, monkeypatch):
    items = [Record("rows/1", picture(1), "rows"), Reject("rows/2", "five votes")]
    monkeypatch.setitem(browse.READERS, "rows", Reader(lambda root: iter(items), about="", licence="mine"))
    rows = ["rows/1,no face was found,,", "rows/2,five votes,,"]
    out = with_rejects(make(tmp_path / "faces"), tmp_path / "rows.csv", rows, "rows")
    album = open_album(out, rejects=True)
    np.testing.assert_array_equal(album.picture(0), picture(1))
    assert album.picture(1) is None


def test_old_rejects_have_no_labels(tmp_path):
    out = with_rejects(make(tmp_path), tmp_path, [])
    (out / "rejects.csv").write_text("path,reason\na.png,no face was found\n")
    assert open_album(out, rejects=True).table.to_pylist() == [
        {"source": "a.png", "reason": "no face was found", "expression": -1, "subject": "", "database": "folder"}
    ]


@pytest.mark.parametrize(
    ("columns", "wanted", "sort", "message"),
    [
        ({}, {"label": ["glee"]}, "manifest", "'glee' is no expression known here; use one of: anger"),
        ({}, {"label": ["fear"]}, "manifest", r"none of 6 faces has the label fear; there are: joy \(3\), anger \(1\)"),
        ({}, {"label": ["joy", "fear"]}, "manifest", "none of 6 faces has the label fear;"),
        ({}, {"flag": ["ugly"]}, "manifest", "no flag 'ugly'; the flags are: stand-in, several-faces"),
        ({}, {"split": ["val"], "flag": ["faint"]}, "manifest", r"none of 1 faces .*: poor-fit \(1\), cut-off \(1\)"),
        ({}, {"subject": ["S"]}, "manifest", r"there are: AF01 \(2\), AM02 \(1\)"),
        ({"subject": [str(n) for n in range(6)]}, {"subject": ["S"]}, "manifest", r"5 \(1\)$"),
        ({}, {"fold": ["1"]}, "manifest", "has no folds; give a folder of tools/build_lmdb.py --split folds"),
        ({}, {"character": ["mery"]}, "manifest", "has no column 'character'; register the folder anew"),
        ({"quality": None}, {"flag": ["faint"]}, "manifest", "has no column 'quality'; register the folder anew"),
        ({"fit_error": None}, {}, "fit", "has no column 'fit_error'; register the folder anew with tools/register.py"),
        ({"database": None}, {}, "manifest", "lacks database; register the folder anew with tools/register.py"),
        ({"database": [""] * 6}, {}, "manifest", "rows without a database; register the folder anew"),
        ({"expression": pa.array([9] * 6)}, {}, "manifest", "expression 9 is neither 0-6 nor -1"),
    ],
)
def test_selections_that_cannot_be(tmp_path, columns, wanted, sort, message):
    with pytest.raises(UserError, match=message) as raised:
        select(open_album(make(tmp_path, **columns)), wanted, sort)
    assert "\n" not in str(raised.value)


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


def test_folders_that_cannot_be(faces, records, tmp_path):
    with pytest.raises(UserError, match=r"there is no .*manifest.parquet; give a folder that tools/register.py"):
        open_album(tmp_path)
    with pytest.raises(UserError, match="holds LMDBs, which know no rejects; give the registered folder"):
        open_album(records, rejects=True)
    with pytest.raises(UserError, match=r"has no readable rejects.csv and register.json; register the folder anew"):
        open_album(faces, rejects=True)
    with pytest.raises(UserError, match="reasons are the rejects'; add --rejects"):
        grouped(open_album(faces), np.arange(6), "reason")
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="cannot be read"):
        open_album(tmp_path)
    rejected = open_album(with_rejects(make(tmp_path / "faces"), tmp_path, []), rejects=True)
    with pytest.raises(UserError, match="has no rejects"):
        select(rejected, {})
    rejected = open_album(with_rejects(tmp_path / "faces", tmp_path, ["a,b,,"]), rejects=True)
    with pytest.raises(UserError, match="of rejects no 'split' is known"):
        select(rejected, {"split": ["train"]})


@pytest.fixture
def tool(monkeypatch, capsys):
    """Run tools/browse.py; return its exit status, what it prints and what it complains about."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["browse.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOL), run_name="__main__")
        return ended.value.code, *capsys.readouterr()

    return call


def test_the_tool_counts(tool, tmp_path):
    faces = with_rejects(make(tmp_path / "faces"), tmp_path, ["a,no face was found,joy,"] * 2)
    status, said, _ = tool(faces)
    lines = [line.split() for line in said.splitlines()]
    assert status == 0 and lines[0] == ["fer2013", "kdef"]
    assert ["joy", "2", "1"] in lines and ["unlabelled", "0", "1"] in lines and ["all", "3", "3"] in lines
    assert "       3  poor-fit: the landmarks fit a frontal face badly" in said
    assert said.endswith("reasons of rejects\n       2  no face was found\n")
    _, said, _ = tool(faces, "--label", "joy")
    assert ["all", "2", "1"] in [line.split() for line in said.splitlines()] and "rejects" not in said
    _, said, _ = tool(faces, "--rejects")
    assert ["joy", "2"] in [line.split() for line in said.splitlines()] and "no face was found" in said


def test_the_tool_draws(tool, faces, tmp_path):
    out = tmp_path / "sheet.png"
    status, said, _ = tool(
        faces, out, "--label", "joy", "--label", "anger", "--sort", "fit", "--limit", 2, "--size", 100
    )
    assert status == 0
    assert said.splitlines() == [
        f"4 of 6 faces selected, 2 drawn: {out}",
        f"fer2013: {browse.READERS['fer2013'].licence}",
        f"kdef: {browse.READERS['kdef'].licence}",
    ]
    sheet = cv2.imread(str(out))
    assert where(sheet, small(picture(1)))[0] < where(sheet, small(picture(2)))[0]  # a block each: anger, joy
    status, said, complaint = tool(faces, out, "--flag", "enlarged")
    assert (status, said) == (2, "") and complaint.startswith("error: none of 6 faces has the flag enlarged; there are")


def test_captions_say_what_is_known(faces):
    tiles = browse._tiles(open_album(faces), np.array([2, 1, 4]), "fit", False, 100)
    assert tiles[0].lines[0] == "joy" and tiles[0].lines[2] == "fit 9.00, poor-fit, cut-off"
    assert tiles[1].lines[2] == "stand-in"  # whose fit is not known
    assert tiles[2].lines == ("unlabelled", "some/folder 4/4.png", "fit 3.00")


def test_long_names_keep_their_end():
    font = browse._font(11)
    assert browse._wrapped("train/angry/1.png", font, 150) == ["train/angry/1.png"]
    assert browse._wrapped("training/angry/a_long_name_1.png", font, 140) == ["…a_long_name_1.png"]
    (line,) = browse._wrapped("x" * 99 + "_1.png", font, 100)
    assert line.startswith("…") and line.endswith("x_1.png") and font.getlength(line) <= 100
    assert browse._wrapped("no face was found", font, 60) == ["no face", "was found"]
