"""Montages: which picture stands where, and what is said beside it."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.sheet import Panel, Tile, montage

RED, GREEN, BLUE, CYAN = (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 0)


def tile(colour, *lines) -> Tile:
    return Tile(np.full((256, 256, 3), colour, np.uint8), 0, lines=lines)


def places(path: Path, colour) -> tuple[int, int, int, int]:
    """Return where a colour stands: left, top, right, bottom in pixels."""
    rows, columns = np.nonzero(np.abs(cv2.imread(str(path)).astype(int) - colour).sum(axis=2) < 8)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def inches(*lengths) -> tuple:
    return pytest.approx([300 * length for length in lengths], abs=2)


def words(path: Path) -> list[str]:
    """Return what an SVG's texts say."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))


def test_columns_stand_below_their_headings(tmp_path):
    """One colour a column: whatever the row, its pixels lie in one band, 1.09 inches wide, and the bands do not mix."""
    colours = [(0, 0, 255), (0, 255, 0), (255, 0, 0)]
    tiles = [Tile(np.full((256, 256, 3), colour, np.uint8), 0) for colour in colours]
    query = Tile(np.full((256, 256, 3), (255, 255, 0), np.uint8), 0)
    panels = [Panel(query, None, tiles), Panel(query, None, [*tiles, *tiles])]
    montage(panels, tmp_path / "s.png", headings=["a", "b", "c"])
    sheet = cv2.imread(str(tmp_path / "s.png")).astype(int)
    for column, colour in enumerate(colours):
        rows, columns = np.nonzero(np.abs(sheet - colour).sum(axis=2) < 8)
        left = 300 * (0.16 + 1.0 + 0.27 + column * 1.09)
        assert columns.min() == pytest.approx(left, abs=2) and columns.max() == pytest.approx(left + 300, abs=3)
        assert len(rows) == pytest.approx(3 * 300**2, rel=0.02)


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


@pytest.mark.parametrize("headed", [True, False])
def test_names_of_panels_and_lines_push_what_they_name_to_the_right(tmp_path, headed):
    how = {"headings": ["a", "b"]} if headed else {"columns": 2}
    panels = [Panel(tile(RED), None, [tile(GREEN), tile(BLUE)] * 2, "joy", ("one", "other"))]
    montage(panels, [tmp_path / "s.png", tmp_path / "s.svg"], **how)
    side, top = (1.0, 0.36) if headed else (1.55, 0.16)
    assert places(tmp_path / "s.png", RED) == inches(0.36, top, 0.36 + side, top + side)
    left = 0.36 + side + 0.27 + 0.2
    second = top + 1.035 + 0.09  # the second line of tiles, which have no captions
    assert places(tmp_path / "s.png", GREEN) == inches(left, top, left + 1, second + 1)
    assert places(tmp_path / "s.png", BLUE) == inches(left + 1.09, top, left + 2.09, second + 1)
    assert set(words(tmp_path / "s.svg")) == {"joy", "one", "other", *("ab" if headed else "")}


def test_without_queries_there_is_no_room_for_them(tmp_path):
    montage(
        [Panel(None, None, [tile(RED), None, tile(BLUE)], "ck+")],
        [tmp_path / "s.png", tmp_path / "s.svg"],
        headings="abc",
    )
    assert places(tmp_path / "s.png", RED) == inches(0.36, 0.36, 1.36, 1.36)
    assert places(tmp_path / "s.png", BLUE) == inches(0.36 + 2.18, 0.36, 1.36 + 2.18, 1.36)
    assert sorted(words(tmp_path / "s.svg")) == sorted(["ck+", "a", "b", "c", "–"]), "a dash stands where none is"


def test_a_panel_without_a_query_keeps_to_the_others_columns(tmp_path):
    montage([Panel(tile(CYAN), None, [tile(RED)]), Panel(None, None, [tile(GREEN)])], tmp_path / "s.png")
    assert places(tmp_path / "s.png", RED)[0] == places(tmp_path / "s.png", GREEN)[0]


@pytest.mark.parametrize("letters", [6, 9])
def test_captions_have_room(tmp_path, letters):
    """Each line of a caption takes 0.115 inches at six points, more at more."""
    montage([Panel(None, None, [tile(RED, "one", "two"), tile(BLUE)])], tmp_path / "s.png", columns=1, letters=letters)
    line = 0.115 * letters / 6
    assert places(tmp_path / "s.png", BLUE)[1] == pytest.approx(300 * (0.16 + 1.035 + 0.03 + 2 * line + 0.09), abs=2)


def test_pictures_in_print_are_the_ones_given(tmp_path):
    """A PDF holds the pictures' own pixels, not resampled ones."""
    montage([Panel(None, None, [tile(RED), tile(BLUE)])], tmp_path / "s.pdf")
    sizes = re.findall(rb"/Height (\d+)", (tmp_path / "s.pdf").read_bytes())
    assert sizes == [b"256", b"256"]


def test_a_montage_needs_a_known_ending(tmp_path):
    with pytest.raises(UserError, match="end the name in one of"):
        montage([Panel(None, None, [tile(RED)])], [tmp_path / "s.png", tmp_path / "s.gif"])
    assert not list(tmp_path.iterdir())
