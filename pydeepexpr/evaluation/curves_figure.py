"""Training curves: loss and accuracy over iterations, a panel a run."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.page import inset, page
from pydeepexpr.evaluation.style import FAINT, RULE, Paths, check_ending
from pydeepexpr.training_log import read_run

__all__ = ["curves_figure", "draw_curves"]

Rows = Sequence[Mapping[str, float]]

_COLUMNS = 3
_ALONE = (5.6, 2.9)  # inches of a panel that is alone, and of one among others
_TOGETHER = (2.05, 1.45)
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.36, 0.3, 0.26, 0.36  # around each panel

_TRAINING, _TEST, _ACCURACY = "#8fb1cf", "#0065a3", "#c44e00"


def curves_figure(runs: Sequence[str | os.PathLike], path: Paths) -> dict[str, Any]:
    """Read trainings, draw their curves and return what they came to, ready for JSON.

    Parameters
    ----------
    runs : sequence of path
        Each a run's folder, its log or its table (`training_log.read_run`).
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.

    Raises
    ------
    UserError
        If one cannot be read, or is given twice.
    """
    check_ending(path)
    places = [Path(run) for run in runs]
    titles = [(place if place.is_dir() else place.parent).resolve().name for place in places]
    if len(set(titles)) < len(titles):
        titles = [str(place) for place in places]
    if len(set(titles)) < len(titles):
        raise UserError("a run is given twice; name each once")
    rows = dict(zip(titles, map(read_run, places), strict=True))
    draw_curves(rows, path)
    return {"figure": "curves", "runs": {title: _summary(of_run) for title, of_run in rows.items()}}


def draw_curves(runs: Mapping[str, Rows], path: Paths) -> None:
    """Draw training and test loss, on the left axis, and test accuracy, on the right one.

    Panels that stand together have the same axes of loss and accuracy.

    Parameters
    ----------
    runs : mapping of str to sequence of mapping
        Rows of each training, as `training_log.parse_log` returns them, by its title.
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    """
    columns = min(_COLUMNS, len(runs))
    wide, tall = _ALONE if len(runs) == 1 else _TOGETHER
    across, down = _LEFT + wide + _RIGHT, _ABOVE + tall + _BELOW
    top = _ceiling(runs.values())
    with page(columns * across, math.ceil(len(runs) / columns) * down, path) as canvas:
        for number, (title, rows) in enumerate(runs.items()):
            line, column = divmod(number, columns)
            axes = inset(canvas, column * across + _LEFT, line * down + _ABOVE, wide, tall)
            _draw_run(axes, rows, top, first=column == 0, last=column == columns - 1 or number == len(runs) - 1)
            axes.set_title(title, size=8, weight="bold", loc="left", pad=5)
            if number == 0:
                _name_lines(canvas, columns * across)


def _summary(rows: Rows) -> dict[str, Any]:
    """Return what a run came to: its last iteration, and its last and its best test accuracy, null without a test."""
    accuracies = _series(rows, "test_accuracy")[1]
    last, best = (accuracies[-1], max(accuracies)) if accuracies else (None, None)
    return {"iterations": int(rows[-1]["iteration"]), "last_accuracy": last, "best_accuracy": best}


def _series(rows: Rows, column: str) -> tuple[list[float], list[float]]:
    """Return iterations and values where a column says something."""
    pairs = [(row["iteration"], row[column]) for row in rows if column in row]
    return [x for x, _ in pairs], [y for _, y in pairs]


def _ceiling(runs: Iterable[Rows]) -> float:
    """Return where the axis of loss ends, so that all panels have the same."""
    losses = [loss for rows in runs for column in ("train_loss", "test_loss") for loss in _series(rows, column)[1]]
    return 1.05 * max(filter(math.isfinite, losses), default=1.0)


def _draw_run(axes: Axes, rows: Rows, top: float, first: bool, last: bool) -> None:
    dots = {"marker": "o", "ms": 1.8, "lw": 1.0}
    axes.plot(*_series(rows, "train_loss"), color=_TRAINING, lw=0.8)
    axes.plot(*_series(rows, "test_loss"), color=_TEST, **dots)
    accuracy = axes.twinx()
    iterations, shares = _series(rows, "test_accuracy")
    accuracy.plot(iterations, [100 * share for share in shares], color=_ACCURACY, ls="--", clip_on=False, **dots)
    accuracy.set_ylim(0, 100)
    axes.set_ylim(0, top)
    axes.set_xlabel("iteration", labelpad=1)
    axes.grid(color=RULE, lw=0.3)
    axes.set_axisbelow(True)
    for one, label, shown in ((axes, "loss", first), (accuracy, "accuracy, %", last)):
        one.tick_params(length=0, labelsize=6.5, labelcolor=FAINT)
        one.tick_params(axis="y", labelleft=shown and one is axes, labelright=shown and one is accuracy)
        one.spines["left"].set_visible(False)
        one.set_ylabel(label if shown else "", labelpad=2)


def _name_lines(canvas: Axes, right: float) -> None:
    """Say once, above the panels, what the lines are."""
    x = right - _RIGHT
    for said, colour, style in (
        ("test accuracy (right axis)", _ACCURACY, "--"),
        ("test loss", _TEST, "-"),
        ("training loss", _TRAINING, "-"),
    ):
        canvas.text(x, 0.0, said, size=6.5, ha="right", va="center_baseline")
        x -= 0.043 * len(said) + 0.05
        canvas.plot([x - 0.2, x], [0, 0], color=colour, ls=style, lw=1.2)
        x -= 0.35
