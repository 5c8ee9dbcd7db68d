"""The study of the papers' distance as a picture."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pydeepexpr.evaluation.distance_study import DistanceStudy
from pydeepexpr.evaluation.style import FAINT, RC, RULE, Paths, save_figure
from pydeepexpr.retrieval.geometry import WITHIN

__all__ = ["distance_figure"]

#: Colour and line style of each reach of the sort: two of Okabe and Ito's colours, told apart without colour, too.
_STYLES = {"label": ("#0065a3", "-", "within the label"), "store": ("#c44e00", "--", "over the store")}
_END = 0.8  # decades between the ends 0 and ∞ and the ratio beside them


def distance_figure(study: DistanceStudy, path: Paths, title: str = "") -> None:
    """Draw each measure over β/α: a row a measure, a column a normalisation, a line a reach of the sort.

    Bands are a standard error of the change from Jensen–Shannon alone wide, to either side.

    Parameters
    ----------
    study : DistanceStudy
    path : path
        PNG, JPEG, PDF or SVG by its ending.
    title : str
        A line above it.
    """
    rows, columns = len(study.values), len(study.normalisations)
    with rc_context(RC):
        figure = Figure(figsize=(0.9 + 2.0 * columns, 0.85 + 1.3 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey="row", squeeze=False)
        for row, measure in enumerate(study.values):
            for column, how in enumerate(study.normalisations):
                axes = grid[row, column]
                _draw_measure(axes, study, measure, column)
                if row == 0:
                    axes.set_title(how, size=8, weight="bold", loc="left", pad=6)
                if row == rows - 1:
                    axes.set_xlabel("β/α")
            grid[row, 0].set_ylabel("score (0 is best)" if measure == "score" else f"{measure.replace('_', ' ')}, %")
        _name_lines(grid[0], study)
        if title:
            figure.suptitle(title, size=8, weight="bold", x=0.01, ha="left")
        save_figure(figure, path)


def _draw_measure(axes: Axes, study: DistanceStudy, measure: str, column: int) -> None:
    scale = 1.0 if measure == "score" else 100.0
    places = _places(study.ratios)
    means, (_, errors) = study.mean(measure)[0], study.change_by_geometry(measure)
    if measure != "score":
        axes.axhline(scale * study.classified.mean(), color=FAINT, lw=0.6, ls=":", zorder=0)
    for reach, within in enumerate(WITHIN):
        colour, dashes, _ = _STYLES[within]
        mean, error = scale * means[column, reach], scale * np.nan_to_num(errors[column, reach])
        axes.fill_between(places, mean - error, mean + error, color=colour, alpha=0.15, lw=0)
        axes.plot(places, mean, color=colour, ls=dashes, lw=1.1)
        axes.plot(places[[0, -1]], mean[[0, -1]], color=colour, ls="", marker="o", ms=2.5)
    names = ["0\nJS", *(f"{ratio:g}".lstrip("0") for ratio in study.ratios[1:-1]), "∞\ngeometry"]
    axes.set_xticks(places, names)
    axes.tick_params(axis="x", length=2)
    axes.set_xlim(places[0] - 0.15, places[-1] + 0.15)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.yaxis.grid(color=RULE, lw=0.3)
    axes.set_axisbelow(True)


def _places(ratios: tuple[float, ...]) -> np.ndarray:
    """Return where ratios stand on a logarithmic axis, with 0 and ∞ a step beyond the outermost."""
    between = np.log10(ratios[1:-1]) if len(ratios) > 2 else np.zeros(1)
    inner = between if len(ratios) > 2 else []
    return np.array([between.min() - _END, *inner, between.max() + _END])


def _name_lines(row: np.ndarray, study: DistanceStudy) -> None:
    """Write the lines' names beside them: the classifier's in the first of a row of axes, the reaches' in the last."""
    share, right = 100 * study.classified.mean(), _places(study.ratios)[-1]
    row[0].annotate("classifier", (right, share), (0, 2), textcoords="offset points", size=6, color=FAINT, ha="right")
    ends = 100 * study.mean("top_1")[0][-1, :, -1]
    low, high = row[-1].get_ylim()
    apart = abs(ends[0] - ends[1]) > 0.15 * (high - low)
    for reach, within in enumerate(WITHIN):
        colour, _, name = _STYLES[within]
        above = (ends[0] > ends[1]) == (reach == 0)
        row[-1].annotate(
            name.replace(" the ", "\nthe "),
            (right, ends[reach]),
            (6, 0),
            textcoords="offset points",
            size=6.5,
            color=colour,
            va="center" if apart else "bottom" if above else "top",
            annotation_clip=False,
        )
