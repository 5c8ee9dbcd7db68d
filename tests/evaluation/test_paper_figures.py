"""The paper's figures: whose picture stands where, and what their records say of it."""

import json
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.paper_figures import best_figure, comparison_figure, faces_figure, retrievals_figure
from pydeepexpr.expressions import EXPRESSIONS
from tests.evaluation.made_stores import HUMAN, TUNED, Image, make_store

# Pictures by their colours (BGR), none of which is a colour of the palette.
JOY, FEAR = (250, 10, 10), (10, 250, 10)
FIRST, SORTED, NEAREST, OTHER = (250, 250, 10), (10, 250, 250), (250, 10, 250), (130, 250, 10)


@pytest.fixture
def stores(tmp_path):
    """Humans, and two characters that answer the query of joy by other frames in each way to rank.

    By divergence from (1, 0) come 0, 1, 2, 3; of these 0 and 1 are predicted as joy, and geometry changes their places;
    geometry alone puts 2 first. Ray, of whom no measures are known, has his frames the other way round.
    """
    human = make_store(
        tmp_path / "human",
        HUMAN,
        Image("j.png", "joy", (1, 0), 0.0, JOY, subject="p"),
        Image("f.png", "fear", (0, 1), 0.5, FEAR, predicted="joy", subject="p"),
    )
    frames = (
        Image("0.png", "joy", (0.9, 0.1), 0.3, FIRST),
        Image("1.png", "joy", (0.8, 0.2), 0.1, SORTED),
        Image("2.png", "fear", (0.7, 0.3), 0.05, NEAREST),
        Image("3.png", "", (0.1, 0.9), 0.4, OTHER, predicted="fear"),
    )
    mery = make_store(tmp_path / "mery", TUNED, *frames)
    unknown = [frame._replace(geometry=float("nan"), name=f"r{frame.name}") for frame in frames[::-1]]
    ray = make_store(tmp_path / "ray", TUNED, *unknown)
    return human.path, mery.path, ray.path


def colour_at(path, x: float, y: float) -> tuple[int, ...]:
    """Return the colour at a place of a figure, in inches from its upper left corner; resampling may be 1 beside it."""
    return tuple(10 * round(value / 10) for value in cv2.imread(str(path))[round(300 * y), round(300 * x)].tolist())


def test_best(stores, tmp_path):
    human, mery, ray = stores
    record = best_figure(human, [mery, ray], [tmp_path / "b.png", tmp_path / "b.pdf"], normalise="l1")
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")
    # Rows in label order. A row is 1.035 + 0.03 + two lines of 0.115 · 7/6 high; the next comes 0.12 below it.
    fear, joy = 0.36 + 0.5, 0.36 + 1.065 + 0.23 * 7 / 6 + 0.12 + 0.5
    assert colour_at(tmp_path / "b.png", 0.86, fear) == FEAR and colour_at(tmp_path / "b.png", 0.86, joy) == JOY
    assert colour_at(tmp_path / "b.png", 1.63 + 0.5, joy) == SORTED
    assert colour_at(tmp_path / "b.png", 1.63 + 1.59, joy) == FIRST, "without measures divergence alone decides"
    rows = json.loads(json.dumps(record, allow_nan=False))["rows"]
    assert [row["expression"] for row in rows] == ["fear", "joy"]
    assert rows[0]["query"] == {"name": "fear/f.png", "row": 1, "label": "fear", "predicted": "joy"}
    assert rows[1]["matches"]["mery"]["deepexpr"][0]["source"] == "joy/1.png"
    assert rows[1]["matches"]["ray"]["deepexpr"][0]["source"] == "joy/r0.png"
    assert (record["normalisation"], record["sort_by"], record["seed"]) == ("l1", "geometric", 2016)
    assert record["model"]["sha256"] == "a" * 64
    assert record["stores"]["ray"]["models"][0]["sha256"] == "b" * 64 and record["stores"]["ray"]["rows"] == 4


def test_comparison(stores, tmp_path):
    human, mery, ray = stores
    record = comparison_figure(
        human, [mery, ray], [tmp_path / "c.png", tmp_path / "c.svg"], expressions=["joy"], normalise="l1"
    )
    tile = 1.065 + 0.115 * 7 / 6  # with a caption of a line
    left, upper, lower = 0.36 + 1.27 + 0.2 + 0.5, 0.86, 0.86 + tile + 0.09
    assert colour_at(tmp_path / "c.png", 0.86, upper) == JOY
    assert colour_at(tmp_path / "c.png", left, upper) == NEAREST, "geometry alone"
    assert colour_at(tmp_path / "c.png", left, lower) == SORTED, "DeepExpr"
    assert colour_at(tmp_path / "c.png", left + 1.09, lower) == FIRST
    drawn = (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert drawn.count("✓ joy") == 2 and drawn.count("✗ fear") == 1, "right and wrong are told in words"
    assert ">–<" in drawn, "ray has no measures to go by"
    for name in ("geometry", "DeepExpr", "mery", "ray", "joy", "query: joy", "predicted: joy"):
        assert f">{name}<" in drawn
    matches = record["rows"][0]["matches"]
    assert [match["source"] for match in matches["mery"]["geometry"]] == ["fear/2.png"]
    assert matches["ray"]["geometry"] == []


def test_the_two_models_may_be_called_otherwise(stores, tmp_path):
    human, mery, _ = stores
    comparison_figure(human, [mery], tmp_path / "c.svg", expressions=["fear"], names=["A", "B"])
    drawn = (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert ">A<" in drawn and ">B<" in drawn and ">DeepExpr<" not in drawn


def test_retrievals(stores, tmp_path):
    human, mery, _ = stores
    paths = [tmp_path / "r.png", tmp_path / "r.svg"]
    record = retrievals_figure(human, mery, paths, top=3, normalise="l1")
    left = 0.16 + 1.55 + 0.27 + 0.2 + 0.5
    assert colour_at(paths[0], 0.7, 0.7) == JOY
    # The first panel is as high as the query with its caption and the bars of its probabilities.
    second = 0.66 + 1.585 + 0.03 + 2 * 0.115 * 1.25 + 0.04 + 0.84 + 0.22
    for row, colours in ((0.66, (FIRST, SORTED, NEAREST)), (second, (SORTED, FIRST, NEAREST))):
        assert tuple(colour_at(paths[0], left + 1.09 * number, row) for number in range(3)) == colours
    drawn = paths[1].read_text(encoding="utf-8")
    for said in ("mery, by Jensen–Shannon", "mery, sorted by geometry", "true: fear", "query: joy"):
        assert f">{said}<" in drawn
    matches = record["rows"][0]["matches"]["mery"]
    assert [match["row"] for match in matches["js"]] == [0, 1, 2]
    assert [(match["row"], match["js_rank"]) for match in matches["deepexpr"]] == [(1, 2), (0, 1), (2, 3)]


def test_frames_without_a_label_and_pictures_that_are_gone(stores, tmp_path):
    """Of lost pictures cards with file names are drawn; of what nobody labelled nothing is called right or wrong."""
    human, _, _ = stores
    frame = Image("lost.png", "", (0.1, 0.9), 0.5, OTHER, predicted="joy")
    store = make_store(tmp_path / "bob", TUNED, frame, pictures=False)
    record = best_figure(human, [store.path], tmp_path / "b.svg")
    drawn = (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert drawn.count(">lost.png<") == drawn.count(">not labelled<") == 2
    assert record["rows"][0]["matches"]["bob"]["deepexpr"][0]["label"] is None
    shutil.rmtree(tmp_path / "human-pictures")
    best_figure(human, [store.path], tmp_path / "b.svg")
    assert ">j.png<" in (tmp_path / "b.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("draw", [best_figure, comparison_figure])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"expressions": ["rage"]}, "'rage' is no expression"),
        ({"expressions": ["surprise"]}, "holds no test image of surprise"),
        ({"expressions": ["joy"], "normalise": "l2"}, "no normalisation is called 'l2'"),
    ],
)
def test_what_cannot_be_drawn(stores, tmp_path, draw, options, said):
    human, mery, _ = stores
    with pytest.raises(UserError, match=said):
        draw(human, [mery], tmp_path / "x.png", **options)
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("path", ["x.gif", ["x.png", "x"]])
def test_endings_are_checked_before_anything_is_read(tmp_path, path):
    absent = tmp_path / "absent"
    for draw, given in (
        (best_figure, (absent, [absent])),
        (comparison_figure, (absent, [absent])),
        (retrievals_figure, (absent, absent)),
        (faces_figure, ([absent],)),
    ):
        with pytest.raises(UserError, match="end the name in one of"):
            draw(*given, path)


def test_stores_that_are_not_there_or_given_twice(stores, tmp_path):
    human, mery, _ = stores
    with pytest.raises(UserError, match="given twice"):
        best_figure(human, [mery, mery], tmp_path / "x.png")
    with pytest.raises(UserError, match="absent"):
        best_figure(tmp_path / "absent", [mery], tmp_path / "x.png")
    with pytest.raises(UserError, match="no store was given"):
        best_figure(human, [], tmp_path / "x.png")


@pytest.mark.parametrize("top", [0, 5])
def test_as_many_frames_as_there_are(stores, tmp_path, top):
    with pytest.raises(UserError, match=f"cannot show the first {top}: .* holds 4 images"):
        retrievals_figure(*stores[:2], tmp_path / "x.png", top=top)


def register(folder, *faces):
    """Write a registered folder of faces: expression, database, character, how it was found, colour."""
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, (expression, database, character, face, colour) in enumerate(faces):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((256, 256, 3), colour, np.uint8))
        label = EXPRESSIONS.index(expression) if expression else -1
        names = {"path": f"{number}.png", "source": f"in/{number}.png", "subject": f"p{number}"}
        rows.append({**names, "expression": label, "database": database, "character": character, "face": face})
    pq.write_table(pa.Table.from_pylist(rows), folder / "manifest.parquet")
    return folder


def test_faces(tmp_path):
    people = register(
        tmp_path / "people",
        ("anger", "ckplus", "", "detected", JOY),
        ("surprise", "ckplus", "", "detected", FEAR),
        ("joy", "ckplus", "", "whole-image", OTHER),
        ("", "ckplus", "", "detected", OTHER),
        ("anger", "kdef", "", "detected", FIRST),
    )
    mine = register(tmp_path / "mine", ("anger", "folder", "", "detected", SORTED))
    cast = register(tmp_path / "cast", ("anger", "rig", "mery", "rendered", NEAREST))
    record = faces_figure([people, mine, cast], [tmp_path / "f.png", tmp_path / "f.svg"])
    # A row is 1.035 inches high and 0.12 from the next; the last column stands six tiles behind the first.
    rows = [0.36 + 0.5 + 1.155 * number for number in range(4)]
    assert [colour_at(tmp_path / "f.png", 0.86, row) for row in rows] == [JOY, FIRST, SORTED, NEAREST]
    assert colour_at(tmp_path / "f.png", 0.86 + 6 * 1.09, rows[0]) == FEAR
    drawn = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert all(f">{name}<" in drawn for name in ("ckplus", "kdef", "mine", "mery", *EXPRESSIONS))
    assert drawn.count(">–<") == 4 * 7 - 5, "only what is there"
    assert [row["name"] for row in record["rows"]] == ["ckplus", "kdef", "mine", "mery"]
    assert record["rows"][0]["faces"] == {"anger": "in/0.png", "surprise": "in/1.png"}


def test_a_seed_chooses_the_faces(tmp_path):
    folder = register(tmp_path / "p", *[("joy", "kdef", "", "detected", JOY)] * 8)
    records = [faces_figure([folder], tmp_path / "f.jpg", seed=seed) for seed in (1, 1, 2, 3, 4)]
    drawn = [record["rows"][0]["faces"]["joy"] for record in records]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1


def test_faces_that_cannot_be_drawn(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*manifest\.parquet: .*; register the images"):
        faces_figure([tmp_path], tmp_path / "f.png")
    (tmp_path / "manifest.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"cannot read .*manifest\.parquet"):
        faces_figure([tmp_path], tmp_path / "f.png")
    unlabelled = register(tmp_path / "u", ("", "kdef", "", "detected", JOY))
    with pytest.raises(UserError, match="no labelled face was registered in"):
        faces_figure([unlabelled], tmp_path / "f.png")
    gone = register(tmp_path / "g", ("joy", "kdef", "", "detected", JOY))
    (gone / "0.png").unlink()
    with pytest.raises(UserError, match=r"cannot read the face .*0\.png: .*register its folder again"):
        faces_figure([gone], tmp_path / "f.png")
