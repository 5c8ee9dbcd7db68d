"""The networks side by side, as figure 5 of Aneja et al. 2016, drawn from the prototxts that they are trained from."""

import os
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from pydeepexpr.evaluation.network_steps import Network, Step, read_network
from pydeepexpr.evaluation.page import page
from pydeepexpr.evaluation.style import EXPRESSION_COLOURS, FAINT, INK, Paths, check_ending

__all__ = ["PROTOTXTS", "align", "draw_networks", "networks_figure"]

#: The papers' three networks.
PROTOTXTS = tuple(f"prototxt/{name}_train_val.prototxt" for name in ("human", "character", "finetune"))

_WIDE, _TALL = 2.05, 0.37  # inches of a box, and of what stands between boxes
_ASIDE, _BELOW = 0.3, 0.15
_HEADING = 0.42
_INSET = 0.06

_FILLS = {"Convolution": "#e2edf6", "Pooling": "#efefef", "InnerProduct": "#fbeeda"}
_TUNED = EXPRESSION_COLOURS[0]


def networks_figure(prototxts: Sequence[str | os.PathLike], path: Paths, *, stage: str = "fc6-map") -> dict[str, Any]:
    """Read networks, draw them and return what is on the figure, ready for JSON.

    Parameters
    ----------
    prototxts : sequence of path
        What they are trained from.
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    stage : str
        Which reading to take of those that have several.

    Raises
    ------
    UserError
        If one cannot be read (`network_steps.read_network`).
    """
    check_ending(path)
    networks = [read_network(prototxt, stage) for prototxt in prototxts]
    draw_networks(networks, path)
    return {
        "figure": "networks",
        "prototxts": [*map(os.fspath, prototxts)],
        "networks": [one.record() for one in networks],
    }


def draw_networks(networks: Sequence[Network], path: Paths) -> None:
    """Draw networks from top to bottom, what they have in common on one level.

    Where some of a network's layers learn and others do not, those that do have a thick frame.

    Parameters
    ----------
    networks : sequence of Network
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    """
    rows = align(networks)
    width = len(networks) * (_WIDE + _ASIDE) - _ASIDE
    height = _HEADING + len(rows) * (_TALL + _BELOW) - _BELOW
    note = (
        "In a box, from the upper left: the layer and the size of its output for one image; its windows and what "
        "follows it; its weights and biases. Thick frames: layers that fine-tuning changes, and how many times the "
        "learning rate; all others keep the values of the network they were copied from."
    )
    with page(width, height, path, note) as axes:
        for column, network in enumerate(networks):
            left = column * (_WIDE + _ASIDE)
            axes.text(left, 0, _title(network), size=9, weight="bold", va="top")
            axes.text(left, 0.17, _summary(network), size=6.5, color=FAINT, va="top")
            tops = {row[column].name: _HEADING + n * (_TALL + _BELOW) for n, row in enumerate(rows) if column in row}
            for step in network.steps:
                _draw_step(axes, step, left, tops[step.name], 0 < network.learned < network.parameters)
                _draw_arrows(axes, network, step, left, tops)


def align(networks: Sequence[Network]) -> list[dict[int, Step]]:
    """Return levels from top to bottom: each has one step at most of each network, by the network's number.

    Steps stand on one level where they are of one type and a title begins with the same word; what a network has for
    itself stands on levels of its own.
    """
    rows: list[dict[int, Step]] = []
    for number, network in enumerate(networks):
        known = [_key(next(iter(row.values()))) for row in rows]
        merged = []
        for what, a, b, c, d in SequenceMatcher(None, known, [*map(_key, network.steps)], False).get_opcodes():
            steps = network.steps[c:d]
            if what == "equal":
                merged += [{**row, number: step} for row, step in zip(rows[a:b], steps, strict=True)]
            else:
                merged += [*rows[a:b], *({number: step} for step in steps)]
        rows = merged
    return rows


def _key(step: Step) -> tuple[str, str]:
    return step.kind, step.title.split()[0]


def _title(network: Network) -> str:
    return f"{network.name} ({network.stage})" if network.stage else network.name


def _summary(network: Network) -> str:
    said = f"{network.parameters:,} parameters"
    return said if network.learned == network.parameters else f"{said}, {network.learned:,} learned"


def _draw_step(axes: Axes, step: Step, left: float, top: float, marked: bool) -> None:
    tuned = marked and step.rate > 0
    edge = {"edgecolor": _TUNED, "lw": 1.8} if tuned else {"edgecolor": INK, "lw": 0.5}
    axes.add_patch(Rectangle((left, top), _WIDE, _TALL, facecolor=_FILLS.get(step.kind, "white"), **edge))
    said = ", ".join(filter(None, [step.detail, *step.notes]))
    upper = top + (0.125 if said or step.parameters else _TALL / 2)
    lower = top + 0.265
    right = {"x": left + _WIDE - _INSET, "ha": "right", "va": "center_baseline"}
    axes.text(left + _INSET, upper, step.title, size=7.5, weight="bold", va="center_baseline")
    axes.text(y=upper, s=" × ".join(map(str, step.shape)), size=7, **right)
    axes.text(left + _INSET, lower, said, size=6, color=FAINT, va="center_baseline")
    if step.parameters:
        learns = {"color": _TUNED, "weight": "bold"} if tuned else {"color": FAINT}
        rate = f", rate × {step.rate:g}" if tuned else ""
        axes.text(y=lower, s=f"{step.parameters:,}{rate}", size=6, **right, **learns)


def _draw_arrows(axes: Axes, network: Network, step: Step, left: float, tops: dict[str, float]) -> None:
    """Draw where a step's input comes from: from above, or past what stands between at the left."""
    names = [one.name for one in network.steps]
    style = {"arrowstyle": "-|>", "mutation_scale": 6, "lw": 0.6, "color": INK, "shrinkA": 0, "shrinkB": 0}
    for source in step.sources:
        start, end = tops[source] + _TALL, tops[step.name]
        if names.index(source) + 1 == names.index(step.name):
            middle = left + _WIDE / 2
            axes.annotate("", (middle, end), (middle, start), arrowprops=style)
        else:
            past, into = left - 0.4 * _ASIDE, end + _TALL / 2
            axes.plot([left, past, past], [start - _TALL / 2, start - _TALL / 2, into], color=INK, lw=0.6)
            axes.annotate("", (left, into), (past, into), arrowprops=style)
