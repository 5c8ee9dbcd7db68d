"""Figures about recognition."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pydeepexpr.evaluation.recognition import Recognition
from pydeepexpr.evaluation.style import EXPRESSION_COLOURS, FAINT, INK, RC, RULE, Paths, save_figure
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["confusion_figure"]


def confusion_figure(result: Recognition, path: Paths, title: str = "") -> None:
    """Draw how true expressions were predicted, and how many of each were recognised.

    Left, the confusion matrix: each row's shares of all images of a true expression, rejected ones included. Right,
    the recognised share a class, and of all images as a line.

    Parameters
    ----------
    result : Recognition
    path : path or sequence of path
        PNG, JPEG, PDF or SVG by its ending.
    title : str
        A line above both.
    """
    rejected = bool(result.rejected.any())
    with rc_context(RC):
        figure = Figure(figsize=(6.6, 3.0))
        bottom, tall = 0.20, 0.66
        matrix = figure.add_axes((0.095, bottom, 0.36, tall))
        bars = figure.add_axes((0.60, bottom, 0.325, tall))
        _draw_matrix(matrix, result, rejected)
        _draw_bars(bars, result)
        if title:
            figure.text(0.013, 0.965, title, size=8, weight="bold", va="top")
        save_figure(figure, path)


def _draw_matrix(axes: Axes, result: Recognition, rejected: bool) -> None:
    counts = result.confusion
    names = list(EXPRESSIONS)
    if rejected:
        counts = np.column_stack([counts, result.rejected])
        names.append("rejected")
    shares = counts / np.maximum(result.counts[:, None], 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (true, predicted), share in np.ndenumerate(shares):
        ink = "white" if share > 0.55 else INK if share >= 0.005 else FAINT
        weight = "bold" if true == predicted else "normal"
        axes.text(predicted, true, f"{100 * share:.0f}", size=6.5, color=ink, weight=weight, ha="center", va="center")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(EXPRESSIONS)), EXPRESSIONS)
    axes.set_xticks(np.arange(0.5, len(names) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(EXPRESSIONS) - 1), minor=True)
    axes.grid(which="minor", color="white", lw=0.8)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("% of each true expression", size=7, color=FAINT, loc="left", pad=4)


def _draw_bars(axes: Axes, result: Recognition) -> None:
    places = np.arange(len(EXPRESSIONS))
    shares = 100 * np.nan_to_num(result.per_class)
    axes.barh(places, shares, height=0.62, color=EXPRESSION_COLOURS)
    for place, share, count in zip(places, shares, result.counts, strict=True):
        inside = {"x": share - 1.5, "color": "white", "ha": "right"}
        outside = {"x": share + 1.5, "color": INK, "ha": "left"}
        axes.text(y=place, s=f"{share:.1f}", size=6.5, va="center_baseline", **(inside if share > 12 else outside))
        axes.text(102, place, f"n = {count:,}", size=6, color=FAINT, va="center_baseline")
    overall = 100 * result.accuracy
    axes.axvline(overall, color=INK, lw=0.6, ls=(0, (4, 3)), zorder=0)
    axes.text(overall, -0.62, f"all {overall:.1f}", size=6.5, ha="center", va="bottom")
    axes.set_yticks(places, EXPRESSIONS)
    axes.set_ylim(len(EXPRESSIONS) - 0.5, -0.55)
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 25))
    axes.xaxis.grid(color=RULE, lw=0.4)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("recognised, %")
