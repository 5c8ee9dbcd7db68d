"""Figure 9 of Aneja et al. 2016: the correlation of each set of faces, against the expert's order and the crowd's."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pydeepexpr.evaluation.ranking import ABOVE, Correlation
from pydeepexpr.evaluation.style import FAINT, INK, RC, RULE, Paths, save_figure
from pydeepexpr.evaluation.table import Missing

__all__ = ["ranking_figure"]

#: Colour, marker and words of a coefficient: two of Okabe and Ito's colours, told apart without colour, too. A ring
#: goes round a square on the same spot.
_STYLES = {
    "spearman": ("#0065a3", {"marker": "o", "ms": 5.5, "mfc": "white", "mew": 0.9}, "Spearman’s ρ"),
    "kendall": ("#c44e00", {"marker": "s", "ms": 2.6, "mew": 0}, "Kendall’s τ"),
}


def ranking_figure(sides: Mapping[str, Correlation | Missing], path: Paths) -> None:
    """Draw a chart a side: both coefficients of each set, by falling ρ, their means, and a line at 0.8.

    The papers' chart has the sets in the order of the experiments, which says nothing; sorted, the share above a line
    can be read off.

    Parameters
    ----------
    sides : mapping of str to Correlation, or Missing
        By whose order it is. A chart of what is missing shows the reason.
    path : path or several
        PNG, JPEG, PDF or SVG by the ending.
    """
    with rc_context(RC):
        figure = Figure(figsize=(0.4 + 3.1 * len(sides), 2.6), layout="constrained")
        charts = figure.subplots(1, len(sides), squeeze=False)[0]
        for number, (axes, (side, its)) in enumerate(zip(charts, sides.items(), strict=True)):
            axes.set_title(f"({chr(ord('a') + number)}) {side}", size=8, weight="bold", loc="left", pad=14)
            if isinstance(its, Missing) or not its.defined.any():
                _draw_reason(axes, its.why if isinstance(its, Missing) else "no set has an order on both sides")
            else:
                _draw_sets(axes, its)
        save_figure(figure, path)


def _draw_sets(axes: Axes, its: Correlation) -> None:
    values = {name: numbers[its.defined] for name, numbers in its.coefficients.items()}
    order = np.lexsort([-values["kendall"], -values["spearman"]])
    places = np.arange(1, len(order) + 1)
    axes.axhline(0, color=INK, lw=0.5, zorder=0)
    axes.axhline(ABOVE, color=FAINT, lw=0.6, ls=":", zorder=0)
    axes.annotate(f"{ABOVE}", (1, ABOVE), (2, 0), ("axes fraction", "data"), "offset points", va="center", color=FAINT)
    axes.vlines(places, *np.sort([numbers[order] for numbers in values.values()], axis=0), color=RULE, zorder=1)
    for name, (colour, marker, words) in _STYLES.items():
        said = f"{words}: mean {its.mean(name):.2f}"
        if len(order) > 1:
            said += f" ± {its.deviation(name):.2f}"
        axes.plot(places, values[name][order], ls="", color=colour, label=said, **marker)
        axes.axhline(its.mean(name), color=colour, lw=0.8, ls="--", zorder=0)
    axes.legend(loc="lower left", frameon=False, handletextpad=0.2, borderpad=0)
    axes.annotate(textwrap.shorten(its.by, 70), (0, 1), (0, 5), "axes fraction", "offset points", size=6.5, color=FAINT)
    axes.set_ylim(-1.05, 1.05)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    axes.set_ylabel("correlation with DeepExpr’s ranking")
    axes.set_xlim(0.3, len(order) + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("validation set, by falling ρ")
    axes.tick_params(length=2)


def _draw_reason(axes: Axes, why: str) -> None:
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        textwrap.fill(f"missing: {why}", 48, break_on_hyphens=False),
        ha="center",
        va="center",
        color=FAINT,
        linespacing=1.5,
    )
