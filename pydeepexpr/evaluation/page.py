"""A page that figures are drawn on in inches, with the same margins and small print for all."""

import contextlib
import textwrap
from collections.abc import Iterator

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pydeepexpr.evaluation.style import FAINT, RC, Paths, save_figure

__all__ = ["inset", "page"]

_MARGIN = 0.16  # inches, as all below
_NOTE_LINE = 0.105
_NOTE_LETTER = 0.0445  # a letter of the note, on average


@contextlib.contextmanager
def page(width: float, height: float, path: Paths, note: str = "") -> Iterator[Axes]:
    """Yield axes in inches, downwards from the upper left corner; save them with margins around and a note below.

    Parameters
    ----------
    width, height : float
        Inches, without margins and note.
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    note : str
        Small print, which wraps.
    """
    small = textwrap.wrap(note, int(width / _NOTE_LETTER))
    bottom = height + _MARGIN + (_NOTE_LINE * (len(small) + 1) if small else 0)
    with rc_context(RC):
        figure = Figure(figsize=(width + 2 * _MARGIN, bottom + _MARGIN))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        yield axes
        style = {"size": 5.5, "color": FAINT, "va": "bottom"}
        for number, line in enumerate(reversed(small)):
            axes.text(0, bottom - _MARGIN - number * _NOTE_LINE, line, **style)
        axes.set(xlim=(-_MARGIN, width + _MARGIN), ylim=(bottom, -_MARGIN))
        save_figure(figure, path)


def inset(canvas: Axes, left: float, top: float, width: float, height: float) -> Axes:
    """Return further axes on a page, at a place in inches from its upper left corner."""
    across, down = canvas.figure.get_size_inches()
    place = (left + _MARGIN) / across, 1 - (top + height + _MARGIN) / down, width / across, height / down
    return canvas.figure.add_axes(place)
