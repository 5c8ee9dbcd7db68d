"""Contact sheets: queries and what was retrieved for them, as one page a person can judge."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from pydeepexpr.evaluation.page import page
from pydeepexpr.evaluation.style import EXPRESSION_COLOURS, FAINT, INK, RULE, Paths, rgb
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["Panel", "Tile", "montage"]

_TILE = 1.0  # inches; every other length below is in inches, too
_GAP = 0.09
_BAR = 0.035
_CAPTION_GAP = 0.03
_LINE = 0.115 / 6  # a caption's line, for each point of its letters
_QUERY_BARS = 0.84
_BARS_GAP = 0.04
_HEADING = 0.2
_NAME = 0.2


class _Style(NamedTuple):
    """How large queries are, in inches, and their letters, as a multiple of the tiles'; how far panels stand apart."""

    query: float
    letters: float
    between: float


_LIST = _Style(1.55, 1.25, 0.22)  # so that a query with its bars is as high as two lines of tiles
_GRID = _Style(_TILE, 1.0, 0.12)


@dataclasses.dataclass(frozen=True)
class Tile:
    """One picture with what is said of it.

    Attributes
    ----------
    image : (H, W, 3) uint8 array or None
        BGR, square. Without one a card is drawn that shows `name`.
    label : int
        Expression that colours the tile, −1 for none.
    badge : str
        Text in the corner, for instance the rank.
    lines : tuple of str
        Up to three short lines below; the first stands in bold.
    aside : str
        Said at the right end of the first line.
    name : str
        File name, for a card.
    """

    image: np.ndarray | None
    label: int = -1
    badge: str = ""
    lines: tuple[str, ...] = ()
    aside: str = ""
    name: str = ""


@dataclasses.dataclass(frozen=True)
class Panel:
    """A query at the left and its tiles at the right, where they wrap.

    Attributes
    ----------
    query : Tile or None
        Drawn large.
    prob : (7,) array or None
        Class probabilities, drawn as bars below the query.
    tiles : sequence of (Tile or None)
        Where there is none, a dash says so.
    name : str
        Written at the panel's left, upwards.
    rows : tuple of str
        Names of its lines of tiles, written likewise at the left of these; fewer names stand for as many lines each.
    """

    query: Tile | None
    prob: np.ndarray | None
    tiles: Sequence[Tile | None]
    name: str = ""
    rows: tuple[str, ...] = ()


def montage(
    panels: Sequence[Panel],
    path: Paths,
    *,
    columns: int = 5,
    headings: Sequence[str] = (),
    note: str = "",
    letters: float = 6,
) -> None:
    """Draw panels below one another and save them as one figure.

    With headings it is arranged as figure 7 of Aneja et al. 2016: columns that have names, and a query at the left that
    is as large as its matches.

    Parameters
    ----------
    panels : sequence of Panel
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    columns : int
        Tiles a line, where columns have no names.
    headings : sequence of str
        One a column, drawn once, at the top.
    note : str
        Small print at the foot, for instance how the distances were computed.
    letters : float
        Points of the tiles' captions.
    """
    columns = len(headings) or min(columns, max(len(panel.tiles) for panel in panels))
    style = _GRID if headings else _LIST
    layout = _Layout(panels, columns, style, letters)
    top = _HEADING if headings else 0
    height = top + sum(map(layout.height, panels)) + style.between * (len(panels) - 1)
    with page(layout.width, height, path, note) as axes:
        for column, heading in enumerate(headings):
            middle = layout.tiles + column * (_TILE + _GAP) + _TILE / 2
            axes.text(middle, 0, heading, size=8, weight="bold", ha="center", va="top")
        for number, panel in enumerate(panels):
            if number:
                rule = top - style.between / 2
                axes.plot([0, layout.width], [rule, rule], color=RULE, lw=0.5)
            _draw_panel(axes, panel, layout, top)
            top += layout.height(panel) + style.between


class _Layout:
    """Where things stand from left to right, and how high they are."""

    def __init__(self, panels: Sequence[Panel], columns: int, style: _Style, letters: float) -> None:
        self.columns, self.letters = columns, letters
        self.side, self.query_letters = style.query, style.letters * letters
        self.query = _NAME if any(panel.name for panel in panels) else 0
        self.rows = self.query + (self.side + 3 * _GAP if any(panel.query for panel in panels) else 0)
        self.tiles = self.rows + (_NAME if any(panel.rows for panel in panels) else 0)
        self.width = self.tiles + columns * (_TILE + _GAP) - _GAP
        lines = max((len(tile.lines) for panel in panels for tile in panel.tiles if tile), default=0)
        self.tile = _tall(_TILE, lines, letters)

    def lines(self, panel: Panel) -> int:
        return -(-len(panel.tiles) // self.columns)

    def height(self, panel: Panel) -> float:
        lines = self.lines(panel)
        tiles = lines * self.tile + (lines - 1) * _GAP
        if panel.query is None:
            return tiles
        return max(tiles, self.query_height(panel) + (_BARS_GAP + _QUERY_BARS if panel.prob is not None else 0))

    def query_height(self, panel: Panel) -> float:
        return _tall(self.side, len(panel.query.lines), self.query_letters)


def _tall(side: float, lines: int, letters: float) -> float:
    """Return how high a tile is with the bar and the caption below it."""
    return side + _BAR + (_CAPTION_GAP + lines * _LINE * letters if lines else 0)


def _draw_panel(axes: Axes, panel: Panel, layout: _Layout, top: float) -> None:
    if panel.name:
        _draw_name(axes, panel.name, layout.query - _NAME, top, layout.height(panel))
    if panel.query is not None:
        _draw_tile(axes, panel.query, layout.query, top, layout.side, layout.query_letters)
    if panel.prob is not None:
        below = top + layout.query_height(panel) + _BARS_GAP
        _draw_bars(axes, panel.prob, layout.query, below, layout.side)
    step = layout.lines(panel) / max(len(panel.rows), 1) * (layout.tile + _GAP)
    for number, name in enumerate(panel.rows):
        _draw_name(axes, name, layout.rows, top + number * step, step - _GAP)
    for number, tile in enumerate(panel.tiles):
        line, column = divmod(number, layout.columns)
        left, up = layout.tiles + column * (_TILE + _GAP), top + line * (layout.tile + _GAP)
        if tile is None:
            axes.text(left + _TILE / 2, up + _TILE / 2, "–", size=8, color=FAINT, ha="center", va="center")
        else:
            _draw_tile(axes, tile, left, up, _TILE, layout.letters)


def _draw_name(axes: Axes, name: str, left: float, top: float, tall: float) -> None:
    """Write a name upwards, in the middle of what it names."""
    style = {"size": 8, "weight": "bold", "rotation": 90, "ha": "left", "va": "center"}
    axes.text(left, top + tall / 2, name, **style)


class _Picture(AxesImage):
    """An image that files for print hold as it is: resampled or put together with others it would have grey edges."""

    def can_composite(self) -> bool:
        return False

    def draw(self, renderer: RendererBase) -> None:
        self.set_interpolation("none" if renderer.option_scale_image() else "lanczos")
        super().draw(renderer)


def _draw_tile(axes: Axes, tile: Tile, x: float, y: float, side: float, size: float) -> None:
    """Draw a picture or a card, the coloured bar below it, the badge, the caption."""
    colour = EXPRESSION_COLOURS[tile.label] if tile.label >= 0 else FAINT
    if tile.image is not None:
        picture = _Picture(axes, extent=(x, x + side, y + side, y))
        picture.set_data(rgb(tile.image))
        axes.add_image(picture)
    else:
        axes.add_patch(Rectangle((x, y), side, side, color=colour, alpha=0.12, lw=0))
        axes.text(x + side / 2, y + side * 0.56, _wrap(tile.name), size=size - 0.5, ha="center", va="center")
    axes.add_patch(Rectangle((x, y + side), side, _BAR, color=colour, lw=0))
    if tile.badge:
        box = 0.19
        wide = box if len(tile.badge) < 3 else 0.08 * len(tile.badge)
        axes.add_patch(Rectangle((x, y), wide, box, color=colour, lw=0, zorder=3))
        style = {"size": 7, "color": "white", "weight": "bold", "ha": "center", "va": "center_baseline"}
        axes.text(x + wide / 2, y + box / 2, tile.badge, zorder=4, **style)
    for number, line in enumerate(tile.lines):
        weight, ink = ("bold", INK) if number == 0 else ("normal", FAINT)
        below = y + side + _BAR + _CAPTION_GAP + number * _LINE * size
        axes.text(x, below, line, size=size if number == 0 else size - 0.5, weight=weight, color=ink, va="top")
    if tile.aside:
        below = y + side + _BAR + _CAPTION_GAP
        axes.text(x + side, below, tile.aside, size=size - 0.5, color=FAINT, ha="right", va="top")


def _wrap(name: str, wide: int = 15, most: int = 5) -> str:
    """Break a file name into lines, after a separator where there is one."""
    lines, rest = [], name
    while len(rest) > wide:
        cut = max(rest.rfind(mark, 0, wide) for mark in "_-/ ") + 1 or wide
        lines.append(rest[:cut])
        rest = rest[cut:]
    lines.append(rest)
    if len(lines) > most:
        lines = [*lines[: most - 2], "…", lines[-1]]
    return "\n".join(lines)


def _draw_bars(axes: Axes, prob: np.ndarray, x: float, y: float, wide: float) -> None:
    """Draw one horizontal bar a class."""
    name_width, number_width = 0.46, 0.26
    longest = wide - name_width - number_width
    step = _QUERY_BARS / len(prob)
    for label, share in enumerate(prob):
        middle = y + (label + 0.5) * step
        axes.text(x + name_width - 0.05, middle, EXPRESSIONS[label], size=5.5, ha="right", va="center_baseline")
        axes.add_patch(Rectangle((x + name_width, middle - 0.035), longest, 0.07, color="#f0f0f0", lw=0))
        bar = Rectangle((x + name_width, middle - 0.035), longest * share, 0.07, color=EXPRESSION_COLOURS[label], lw=0)
        axes.add_patch(bar)
        axes.text(x + wide, middle, f"{share:.2f}", size=5.5, color=FAINT, ha="right", va="center_baseline")
