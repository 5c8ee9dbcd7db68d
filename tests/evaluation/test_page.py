"""Pages: their size, what stands where, and in which files."""

import cv2
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from pydeepexpr.evaluation.page import inset, page


def dark(path) -> tuple[int, int, int, int]:
    """Return where a page is black: left, top, right, bottom in pixels."""
    rows, columns = np.nonzero(cv2.imread(str(path)).max(axis=2) < 60)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_lengths_are_inches_from_the_upper_left_corner_within_margins(tmp_path):
    with page(2.0, 1.0, [tmp_path / "p.png", tmp_path / "p.pdf"]) as axes:
        axes.add_patch(Rectangle((0.5, 0.25), 1.0, 0.5, color="black", lw=0))
    assert cv2.imread(str(tmp_path / "p.png")).shape[:2] == pytest.approx((300 * 1.32, 300 * 2.32), abs=1)
    assert dark(tmp_path / "p.png") == pytest.approx([300 * x for x in (0.66, 0.41, 1.66, 0.91)], abs=2)
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")


def test_further_axes_stand_where_they_are_put(tmp_path):
    with page(2.0, 1.0, tmp_path / "p.png") as axes:
        inner = inset(axes, 0.5, 0.25, 1.0, 0.5)
        inner.set(facecolor="black", xticks=[], yticks=[])
        inner.spines[:].set_visible(False)
    assert dark(tmp_path / "p.png") == pytest.approx([300 * x for x in (0.66, 0.41, 1.66, 0.91)], abs=2)


def test_a_note_makes_the_page_longer_by_its_lines(tmp_path):
    heights = []
    for words in (0, 1, 40):
        with page(2.0, 1.0, tmp_path / "p.png", "word " * words):
            pass
        heights.append(cv2.imread(str(tmp_path / "p.png")).shape[0])
    # 44 letters a line: 200 letters are 5 lines or so, of 0.105 inches each, and as much above them.
    assert heights[1] - heights[0] == pytest.approx(300 * 0.21, abs=2)
    assert heights[2] - heights[1] == pytest.approx(300 * 0.105 * 4, abs=2)


def test_nothing_is_written_where_drawing_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), page(2.0, 1.0, tmp_path / "p.png"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
