"""Contact sheets: a query and what was retrieved for it, as one page a person can judge."""

import contextlib
import dataclasses
import os
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pydeepexpr.evaluation.style import EXPRESSION_COLOURS, FAINT, INK, RC, RULE, rgb, save_figure
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["Panel", "Tile", "grid", "montage"]

_TILE = 1.0  # inches; every other length below is in inches, too
_GAP = 0.09
_MARGIN = 0.16
_BAR = 0.035
_LINE = 0.115
_CAPTION = 0.03 + 3 * _LINE
_QUERY = 1.55  # so that a query with its bars is as high as two lines of tiles
_QUERY_CAPTION = 0.36
_QUERY_BARS = 0.84
_BETWEEN_PANELS = 0.22
_BETWEEN_ROWS = 0.12
_HEADING = 0.2
_NOTE_LINE = 0.105
_NOTE_LETTER = 0.0445  # a letter of the note, on average


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
    query : Tile
        Drawn large.
    prob : (7,) array or None
        Class probabilities; a montage draws them as bars below the query.
    tiles : sequence of Tile
    """

    query: Tile
    prob: np.ndarray | None
    tiles: Sequence[Tile]


def montage(panels: Sequence[Panel], path: str | os.PathLike, *, columns: int = 5, note: str = "") -> None:
    """Draw panels below one another and save them as one figure.

    Parameters
    ----------
    panels : sequence of Panel
    path : path
        PNG, JPEG, PDF or SVG by its ending.
    columns : int
        Tiles a line.
    note : str
        Small print at the foot, for instance how the distances were computed.
    """
    columns = min(columns, max(len(panel.tiles) for panel in panels))
    width = 2 * _MARGIN + _QUERY + 2 * _GAP + columns * (_TILE + _GAP)
    heights = [_panel_height(panel, columns) for panel in panels]
    with _page(width, sum(heights) + _BETWEEN_PANELS * (len(panels) - 1), path, note) as axes:
        top = _MARGIN
        for number, (panel, tall) in enumerate(zip(panels, heights, strict=True)):
            if number:
                _draw_rule(axes, width, top - _BETWEEN_PANELS / 2)
            _draw_panel(axes, panel, _MARGIN, top, columns)
            top += tall + _BETWEEN_PANELS


def grid(panels: Sequence[Panel], headings: Sequence[str], path: str | os.PathLike, *, note: str = "") -> None:
    """Draw panels as rows of equal pictures in columns that have names, and save them as one figure.

    This is the arrangement of figure 7 of Aneja et al. 2016: a query at the left, the best match of each character
    beside it.

    Parameters
    ----------
    panels : sequence of Panel
        Their tiles fill the columns line by line. Probabilities are not drawn.
    headings : sequence of str
        One a column, drawn once, at the top.
    path : path
        PNG, JPEG, PDF or SVG by its ending.
    note : str
        Small print at the foot.
    """
    columns = len(headings)
    start = _MARGIN + _TILE + 3 * _GAP
    width = start + columns * (_TILE + _GAP) - _GAP + _MARGIN
    tile = _TILE + _BAR + _CAPTION - _LINE  # two lines are said of each
    heights = [-(-len(panel.tiles) // columns) * (tile + _GAP) - _GAP for panel in panels]
    with _page(width, _HEADING + sum(heights) + _BETWEEN_ROWS * (len(panels) - 1), path, note) as axes:
        style = {"size": 8, "weight": "bold", "ha": "center", "va": "top"}
        for column, heading in enumerate(headings):
            axes.text(start + column * (_TILE + _GAP) + _TILE / 2, _MARGIN, heading, **style)
        top = _MARGIN + _HEADING
        for number, (panel, tall) in enumerate(zip(panels, heights, strict=True)):
            if number:
                _draw_rule(axes, width, top - _BETWEEN_ROWS / 2)
            _draw_tile(axes, panel.query, _MARGIN, top, _TILE, size=6)
            _draw_tiles(axes, panel.tiles, start, top, columns, tile)
            top += tall + _BETWEEN_ROWS


@contextlib.contextmanager
def _page(width: float, height: float, path: str | os.PathLike, note: str) -> Iterator[Axes]:
    """Yield axes in inches from the page's upper left corner, and save them with margins and a note below."""
    small = textwrap.wrap(note, int((width - 2 * _MARGIN) / _NOTE_LETTER))
    height += 2 * _MARGIN + (_LINE + _NOTE_LINE * len(small) if small else 0)
    with rc_context(RC):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        yield axes
        style = {"size": 5.5, "color": FAINT, "va": "bottom"}
        for number, line in enumerate(reversed(small)):
            axes.text(_MARGIN, height - _MARGIN - number * _NOTE_LINE, line, **style)
        axes.set(xlim=(0, width), ylim=(height, 0))  # after imshow, which sets its own
        axes.set_aspect("auto")
        save_figure(figure, path)


def _draw_rule(axes: Axes, width: float, y: float) -> None:
    axes.plot([_MARGIN, width - _MARGIN], [y, y], color=RULE, lw=0.5)


def _panel_height(panel: Panel, columns: int) -> float:
    lines = -(-len(panel.tiles) // columns)
    tiles = lines * (_TILE + _BAR + _CAPTION) + (lines - 1) * _GAP
    return max(tiles, _QUERY + _BAR + _QUERY_CAPTION + (_QUERY_BARS if panel.prob is not None else 0))


def _draw_panel(axes: Axes, panel: Panel, left: float, top: float, columns: int) -> None:
    _draw_tile(axes, panel.query, left, top, _QUERY, size=7.5)
    if panel.prob is not None:
        _draw_bars(axes, panel.prob, left, top + _QUERY + _BAR + _QUERY_CAPTION, _QUERY)
    _draw_tiles(axes, panel.tiles, left + _QUERY + 3 * _GAP, top, columns, _TILE + _BAR + _CAPTION)


def _draw_tiles(axes: Axes, tiles: Sequence[Tile], left: float, top: float, columns: int, tall: float) -> None:
    """Draw tiles line by line; `tall` is one with its caption."""
    for number, tile in enumerate(tiles):
        line, column = divmod(number, columns)
        _draw_tile(axes, tile, left + column * (_TILE + _GAP), top + line * (tall + _GAP), _TILE, size=6)


def _draw_tile(axes: Axes, tile: Tile, x: float, y: float, side: float, size: float) -> None:
    """Draw a picture or a card, the coloured bar below it, the badge, the caption."""
    colour = EXPRESSION_COLOURS[tile.label] if tile.label >= 0 else FAINT
    if tile.image is not None:
        axes.imshow(rgb(tile.image), extent=(x, x + side, y + side, y), interpolation="lanczos", aspect="auto")
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
        below = y + side + _BAR + 0.03 + number * _LINE * (size / 6)
        axes.text(x, below, line, size=size if number == 0 else size - 0.5, weight=weight, color=ink, va="top")
    if tile.aside:
        axes.text(x + side, y + side + _BAR + 0.03, tile.aside, size=size - 0.5, color=FAINT, ha="right", va="top")


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
