"""Retrieved matches as a table, as JSON and as a sheet."""

import dataclasses
import json
import math

import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.results import (
    draw_cast_sheet,
    draw_sheet,
    record_of,
    record_of_cast,
    table_of,
    table_of_cast,
)
from pydeepexpr.gallery import Gallery
from pydeepexpr.pipeline import Query, Retriever


@pytest.fixture
def results(tiny):
    fc6, prob = tiny.recogniser.features(tiny.faces[:1])
    geometry = np.array([*np.full(8, 0.5), 0.25])
    seen = (tiny.faces[0], np.zeros(4), np.zeros((49, 2)), geometry, 1.0, 2.0, fc6[0], prob[0])
    query = Query("in/photo.jpg", *seen, stand_in=False, others=2)
    retriever = Retriever(tiny.store, tiny.recogniser)
    return retriever, [(query, retriever.retrieve(query, 23))]


def test_the_table_has_a_line_a_match(results):
    lines = table_of(*results[1][0]).splitlines()
    assert lines[0].startswith("in/photo.jpg: ") and lines[0].endswith("the best of 3 faces")
    assert len(lines) == 2 + 23
    first = results[1][0][1][0]
    assert lines[2].split()[:3] == ["1", str(first.js_rank), f"{first.divergence:.4f}"]
    assert lines[2].endswith(first.source)


def test_what_is_not_to_be_trusted_is_said_so(results):
    query, matches = results[1][0]
    faint = dataclasses.replace(query, score=0.131, number=1)  # 1 / (1 + e^(-4 · 0.131))
    said = table_of(faint, matches[:1]).splitlines()[0]
    assert said.endswith("face 2 of 3, doubtful: the detector's confidence is 0.63")
    askew = dataclasses.replace(query, fit_error=14.2)
    assert table_of(askew, matches[:1]).splitlines()[0].endswith("the landmarks lie 14 pixels beside a frontal face's")
    unseen = dataclasses.replace(query, score=math.nan, fit_error=math.nan, stand_in=True, others=0)
    assert "doubtful" not in table_of(unseen, matches[:1])
    record = record_of(results[0], [(faint, []), (unseen, [])])["queries"]
    assert record[0]["confidence"] == pytest.approx(0.62808, abs=1e-5) and record[0]["fit_error"] == 2.0
    assert record[1]["confidence"] is record[1]["fit_error"] is None


def test_the_record_is_json_without_nan(results):
    record = json.loads(json.dumps(record_of(*results), allow_nan=False))
    query = record["queries"][0]
    assert sum(query["probabilities"].values()) == pytest.approx(1)
    assert len(query["matches"]) == 23 and query["faces"] == 3
    for given, match in zip(query["matches"], results[1][0][1], strict=True):
        assert given["js"] == match.divergence
        assert given["phi"] is None if math.isnan(match.phi) else given["phi"] == match.phi
    assert record["normalisation"] == "class-weight" and record["sort_by"] == "geometric"


@pytest.fixture
def of_cast(results):
    """The same query among two characters, of each the three best."""
    retriever, [(query, matches)] = results
    found = {"mery": matches[:3], "a character of a very long name": matches[3:6]}
    return dict.fromkeys(found, retriever), [(query, found)]


def test_the_table_of_a_cast_has_a_line_a_match(of_cast):
    [(query, found)] = of_cast[1]
    lines = table_of_cast(query, found).splitlines()
    assert lines[0].startswith("in/photo.jpg: ") and len(lines) == 2 + 6
    assert lines[2].startswith("mery   ") and lines[5].startswith("a character of a very long name  ")
    assert lines[2].endswith(found["mery"][0].source)
    assert lines[1].index("JS  ") == lines[2].index(f"{found['mery'][0].divergence:.4f}")


def test_the_record_of_a_cast_goes_by_names(of_cast):
    record = json.loads(json.dumps(record_of_cast(*of_cast), allow_nan=False))
    assert list(record["stores"]) == list(record["queries"][0]["matches"]) == list(of_cast[0])
    assert record["stores"]["mery"]["rows"] == 23
    for name, matches in of_cast[1][0][1].items():
        assert [match["js"] for match in record["queries"][0]["matches"][name]] == [m.divergence for m in matches]


@pytest.mark.parametrize("with_images", [True, False])
def test_the_sheet_of_a_cast_is_drawn(tiny, of_cast, tmp_path, with_images):
    galleries = dict.fromkeys(of_cast[0], Gallery(tiny.store)) if with_images else None
    draw_cast_sheet(*of_cast, tmp_path / "s.png", galleries)
    height, width = cv2.imread(str(tmp_path / "s.png")).shape[:2]
    assert width == pytest.approx(300 * (0.32 + 1.0 + 0.27 + 2 * 1.09 - 0.09), abs=2)
    assert height > 300 * 3 * 1.2  # the second and third best stand below the best


@pytest.mark.parametrize("ending", ["png", "pdf", "svg", "jpg"])
@pytest.mark.parametrize("with_images", [True, False])
def test_the_sheet_is_drawn(tiny, results, tmp_path, ending, with_images):
    path = tmp_path / f"sheet.{ending}"
    retriever, [(query, matches)] = results
    draw_sheet(retriever, [(query, matches[:3])], path, Gallery(tiny.store) if with_images else None)
    assert path.stat().st_size > 5000
    assert list(tmp_path.iterdir()) == [path]


def test_a_sheet_needs_a_known_ending(results, tmp_path):
    with pytest.raises(UserError, match="end the name in one of"):
        draw_sheet(*results, tmp_path / "sheet.gif")
