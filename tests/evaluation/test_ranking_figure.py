"""Figure 9: what stands on it, and where."""

import re

import cv2
import numpy as np
import pytest

from pydeepexpr.evaluation.ranking import Correlation
from pydeepexpr.evaluation.ranking_figure import ranking_figure
from pydeepexpr.evaluation.table import Missing


def correlation(*rho, undefined=0):
    values = np.array([*rho, *[np.nan] * undefined])
    first = np.where(np.isnan(values)[:, None], np.nan, 1.0) * np.ones((1, 2))
    names = tuple(f"q{number}" for number in range(len(values)))
    return Correlation("deepexpr", "50 people", names, {"spearman": values, "kendall": values * 0.5}, first)


def words(path):
    return re.findall(r">([^<>\n]+)</text>", path.read_text())


def test_means_and_sides_are_named(tmp_path):
    ranking_figure({"expert": correlation(0.9, -1, 1), "crowd": correlation(1, 1)}, tmp_path / "f.svg")
    said = words(tmp_path / "f.svg")
    assert said.count("50 people") == 2 and {"(a) expert", "(b) crowd", "0.8"} <= set(said)
    assert "Spearman’s ρ: mean 0.30 ± 1.13" in said  # √1.27
    assert "Kendall’s τ: mean 0.15 ± 0.56" in said
    assert "Spearman’s ρ: mean 1.00 ± 0.00" in said


def test_what_is_missing_is_drawn_as_its_reason(tmp_path):
    sides = {"expert": Missing("nobody was asked"), "crowd": correlation(undefined=2)}
    ranking_figure(sides, tmp_path / "f.svg")
    said = words(tmp_path / "f.svg")
    assert "missing: nobody was asked" in said
    assert "missing: no set has an order on both sides" in said
    assert not any("mean" in one for one in said)


def test_one_set_has_no_deviation(tmp_path):
    ranking_figure({"expert": correlation(0.5)}, tmp_path / "f.svg")
    assert "Spearman’s ρ: mean 0.50" in words(tmp_path / "f.svg")


@pytest.mark.parametrize("rho", [1.0, -1.0])
def test_marks_stand_at_their_height(tmp_path, rho):
    """All τ are ±0.5, marked orange: a quarter of the chart from its upper or lower end."""
    ranking_figure({"expert": correlation(*[rho] * 10)}, tmp_path / "f.png")
    picture = cv2.imread(str(tmp_path / "f.png")).astype(int)
    orange = np.abs(picture - (0x00, 0x4E, 0xC4)).sum(axis=2) < 30
    dark = np.abs(picture - 0x1A).sum(axis=2) < 30
    left = np.argmax(dark.sum(axis=0))  # the axis, from −1.05 to 1.05
    top, bottom = np.flatnonzero(dark[:, left])[[0, -1]]
    width = orange.sum(axis=1)
    height = np.flatnonzero(width > 0.5 * width.max()).mean()  # the line of the mean lies there, too
    assert 1.05 - 2.1 * (height - top) / (bottom - top) == pytest.approx(0.5 * rho, abs=0.03)
