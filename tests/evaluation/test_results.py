"""Retrieved matches as a table, as JSON and as a sheet."""

import json
import math

import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.results import draw_sheet, record_of, table_of
from pydeepexpr.evaluation.sheet import Panel, Tile, montage
from pydeepexpr.gallery import Gallery
from pydeepexpr.pipeline import Query, Retriever


@pytest.fixture
def results(tiny):
    fc6, prob = tiny.recogniser.features(tiny.faces[:1])
    geometry = np.array([*np.full(8, 0.5), 0.25])
    query = Query("in/photo.jpg", tiny.faces[0], tiny.faces[0], np.zeros(4), geometry, fc6[0], prob[0], False, 2)
    retriever = Retriever(tiny.recogniser, tiny.store)
    return retriever, [(query, retriever.retrieve(query, 23))]


def test_the_table_has_a_line_a_match(results):
    lines = table_of(*results[1][0]).splitlines()
    assert lines[0].startswith("in/photo.jpg: ") and lines[0].endswith("the best of 3 faces")
    assert len(lines) == 2 + 23
    first = results[1][0][1][0]
    assert lines[2].split()[:3] == ["1", str(first.js_rank), f"{first.divergence:.4f}"]
    assert lines[2].endswith(first.source)


def test_the_record_is_json_without_nan(results):
    record = json.loads(json.dumps(record_of(*results), allow_nan=False))
    query = record["queries"][0]
    assert sum(query["probabilities"].values()) == pytest.approx(1)
    assert len(query["matches"]) == 23 and query["faces"] == 3
    for given, match in zip(query["matches"], results[1][0][1], strict=True):
        assert given["js"] == match.divergence
        assert given["phi"] is None if math.isnan(match.phi) else given["phi"] == match.phi
    assert record["normalisation"] == "l1" and record["sort_by"] == "geometric"


@pytest.mark.parametrize("ending", ["png", "pdf", "svg", "jpg"])
@pytest.mark.parametrize("with_images", [True, False])
def test_the_sheet_is_drawn(tiny, results, tmp_path, ending, with_images):
    path = tmp_path / f"sheet.{ending}"
    retriever, [(query, matches)] = results
    draw_sheet(retriever, [(query, matches[:3])], path, Gallery(tiny.store) if with_images else None)
    assert path.stat().st_size > 5000
    assert list(tmp_path.iterdir()) == [path]


def test_a_sheet_shows_the_pixels_it_was_given(tmp_path):
    red = np.full((256, 256, 3), (0, 0, 255), np.uint8)
    montage([Panel(Tile(red, 3), None, [Tile(red, 0, "1"), Tile(None, 1, "2", name="a" * 100)])], tmp_path / "s.png")
    sheet = cv2.imread(str(tmp_path / "s.png"))
    share = (np.abs(sheet.astype(int) - (0, 0, 255)).sum(axis=2) < 8).mean()
    area = 1.55**2 + 1.0 - 0.19**2  # the query, and a tile without its badge, in square inches
    assert share == pytest.approx(area * 300**2 / sheet[..., 0].size, rel=0.02)


@pytest.mark.parametrize("count", [1, 5, 11])
def test_tiles_wrap(tmp_path, count):
    tile = Tile(None, 2, "1", ("fear", "JS", "φ"), "true: joy", "name.png")
    montage([Panel(tile, np.full(7, 1 / 7), [tile] * count)] * 2, tmp_path / "s.png", note="word " * 60)
    height, width = cv2.imread(str(tmp_path / "s.png")).shape[:2]
    assert width == pytest.approx(300 * (0.32 + 1.55 + 0.18 + 1.09 * min(count, 5)), abs=2)
    assert height > 300 * 2 * 1.3 * -(-count // 5)


def test_a_sheet_needs_a_known_ending(results, tmp_path):
    with pytest.raises(UserError, match="end the name in one of"):
        draw_sheet(*results, tmp_path / "sheet.gif")
