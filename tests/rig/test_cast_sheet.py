"""tools/cast_sheet.py: what its sheets show, small."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.rig.action_units import AU_TO_MUSCLES
from pydeepexpr.rig.cast import CAST

TOOL = Path(__file__).parents[2] / "tools/cast_sheet.py"


@pytest.fixture(scope="module")
def tool() -> dict:
    return runpy.run_path(str(TOOL))


def tiles(sheet: np.ndarray, left: int, top: int, across: int, down: int, columns: int, rows: int, size: int):
    """Return a sheet's pictures, (rows · columns, size, size, 3)."""
    corners = [(top + row * down, left + column * across) for row in range(rows) for column in range(columns)]
    return np.array([sheet[y : y + size, x : x + size] for y, x in corners], np.float64)


def test_cast_sheet_shows_everybody_with_seven_expressions(tool):
    sheet = np.asarray(tool["cast_sheet"](size=40, margin=60))
    assert sheet.shape == (30 + 8 * 46, 60 + 7 * 46, 3)
    pictures = tiles(sheet, 60, 30, 46, 46, 7, len(CAST), 40).reshape(8, 7, -1)
    within = np.abs(pictures[:, :, None] - pictures[:, None]).mean(axis=-1)
    across = np.abs(pictures[:, None] - pictures[None]).mean(axis=(-1, -2))
    assert within[:, ~np.eye(7, dtype=bool)].min() > 0.5  # every expression is another picture
    assert across[~np.eye(8, dtype=bool)].min() > within.mean()  # and other people differ more


def test_every_action_unit_is_shown_and_changes_the_face(tool):
    sheet = np.asarray(tool["action_unit_sheet"]("finn", size=64))
    pictures = tiles(sheet, 6, 6, 70, 96, 5, 5, 64)
    assert len(AU_TO_MUSCLES) == 24
    changed = np.abs(pictures[1:] - pictures[0]).max(axis=(1, 2, 3))
    assert changed.min() > 25


def test_unknown_character(tool):
    with pytest.raises(UserError, match="no character 'nobody'; the cast is: tilda"):
        tool["action_unit_sheet"]("nobody")
