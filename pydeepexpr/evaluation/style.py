"""How figures look: one palette, one set of sizes, one way to save."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

__all__ = ["EXPRESSION_COLOURS", "FAINT", "INK", "RC", "RULE", "Paths", "check_ending", "rgb", "save_figure"]

INK = "#1a1a1a"
FAINT = "#6b6b6b"
RULE = "#d5d5d5"

#: One colour an expression, in label order: Okabe and Ito's colours, which colour-blind readers tell apart, darkened
#: where white text stands on them. Colour never carries a meaning alone.
EXPRESSION_COLOURS = ("#c44e00", "#00805e", "#a5558a", "#c98a00", "#7a7a7a", "#0065a3", "#2f9bd0")

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}

_FORMATS = (".png", ".pdf", ".svg", ".jpg")


#: Where a figure goes: a file, or several, for instance a PNG for pages and a PDF for print.
Paths = str | os.PathLike | Sequence[str | os.PathLike]


def save_figure(figure: Figure, path: Paths, dpi: int = 300) -> None:
    """Write a figure whole or not at all; each file's ending chooses PNG, JPEG, PDF or SVG."""
    check_ending(path)
    for one in each_of(path):
        with atomic_file(one) as partial, rc_context(RC):
            figure.savefig(partial, dpi=dpi, facecolor="white")


def check_ending(path: Paths) -> None:
    """Refuse a file name that no figure can be written to, before any work is done."""
    for one in each_of(path):
        if os.path.splitext(os.fspath(one))[1].lower() not in _FORMATS:
            raise UserError(f"cannot draw {os.fspath(one)}; end the name in one of: {', '.join(_FORMATS)}")


def each_of(path: Paths) -> Sequence[str | os.PathLike]:
    """Return where a figure goes as a sequence."""
    return [path] if isinstance(path, str | os.PathLike) else path


def rgb(image: np.ndarray) -> np.ndarray:
    """Return a BGR image as matplotlib wants it."""
    return np.ascontiguousarray(image[..., ::-1])
