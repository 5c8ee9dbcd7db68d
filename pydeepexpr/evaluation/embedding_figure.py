"""Humans and characters in one space, as a picture."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from pydeepexpr.evaluation.embedding import HUMAN, MOST, Embedding, embed
from pydeepexpr.evaluation.page import inset, page
from pydeepexpr.evaluation.style import EXPRESSION_COLOURS, FAINT, INK, RULE, Paths, check_ending
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features import FeatureStore
from pydeepexpr.retrieval import DEFAULT_NORMALISATION
from pydeepexpr.stores import open_stores

__all__ = ["draw_embedding", "embedding_figure"]

_LARGE, _SMALL, _GAP, _HEADING, _LEGEND = 4.4, 2.06, 0.14, 0.14, 0.36  # inches


def embedding_figure(
    queries: str | os.PathLike,
    characters: Sequence[str | os.PathLike],
    path: Paths,
    *,
    most: int = MOST,
    nearest: Sequence[int] = (1, 10),
    seed: int = 2016,
    normalise: str = DEFAULT_NORMALISATION,
    siblings: bool = False,
) -> dict[str, Any]:
    """Lay humans and characters out in one plane, draw that, and return it ready for JSON.

    Parameters
    ----------
    queries : path
        Feature store of humans.
    characters : sequence of path
        Feature store of each character's frames.
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    most, nearest, seed, normalise, siblings
        As `embedding.embed` has them.

    Raises
    ------
    UserError
        As `embedding.embed` raises them.
    """
    check_ending(path)
    stores = open_stores(characters)
    made = embed(
        FeatureStore.open(queries), stores, normalise, most=most, nearest=nearest, seed=seed, siblings=siblings
    )
    draw_embedding(made, path)
    return {"figure": "embedding", **made.record()}


def draw_embedding(embedding: Embedding, path: Paths) -> None:
    """Draw all points, and at the right humans and characters each for themselves, in the same places.

    Parameters
    ----------
    embedding : Embedding
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    """
    human = embedding.who == HUMAN
    left = _LARGE + _GAP
    panels = (
        ((0, _HEADING, _LARGE), "humans and characters", np.ones(len(human), bool)),
        ((left, _HEADING, _SMALL), "humans", human),
        ((left, _LARGE + _HEADING - _SMALL, _SMALL), "characters", ~human),
    )
    with page(left + _SMALL, _HEADING + _LARGE + _LEGEND, path, _note(embedding)) as canvas:
        for (x, top, side), title, shown in panels:
            axes = inset(canvas, x, top, side, side)
            _draw_points(axes, embedding, shown, side)
            axes.set_title(f"{title} ({shown.sum():,})", size=8, weight="bold", loc="left", pad=3)
        _draw_legend(canvas, embedding, _HEADING + _LARGE)


def _draw_points(axes: Axes, embedding: Embedding, shown: np.ndarray, side: float) -> None:
    """Draw points in a square of some inches, and beside the middle of each expression's its name."""
    human, places, scale = embedding.who == HUMAN, embedding.places, side / _LARGE
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    reach = 0.53 * np.ptp(places, axis=0).max()
    inch = 2 * reach / side
    for label, colour in enumerate(EXPRESSION_COLOURS):
        of_label = shown & (embedding.labels == label)
        for of_kind, style in ((human, {"marker": "o", "lw": 0}), (~human, {"marker": "^", "facecolor": "none"})):
            chosen = places[of_label & of_kind]
            fill = {"facecolor": colour, **style}
            axes.scatter(*chosen.T, s=14 * scale, edgecolor=colour, linewidths=fill.pop("lw", 0.5), alpha=0.8, **fill)
    taken, name_half = places[shown], np.array([0.33, 0.1]) * inch
    for label in np.unique(embedding.labels[shown]):
        start = _middle(places[shown & (embedding.labels == label)])
        place = _free_place(taken, start, name_half, middle, reach)
        taken = np.concatenate([taken, place + name_half * [[-1, 0], [0, 0], [1, 0]]])
        edge = [withStroke(linewidth=2, foreground="white")]
        style = {"color": EXPRESSION_COLOURS[label], "weight": "bold", "ha": "center", "va": "center"}
        axes.text(*place, EXPRESSIONS[label], size=5.5 + 2.5 * scale, path_effects=edge, **style)
    low, high = middle - reach, middle + reach
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=RULE)


def _middle(places: np.ndarray) -> np.ndarray:
    """Return the point that is nearest to all others: unlike the mean, it lies where points are."""
    return places[np.linalg.norm(places[:, None] - places, axis=2).sum(axis=1).argmin()]


def _free_place(taken: np.ndarray, start: np.ndarray, half: np.ndarray, middle: np.ndarray, reach: float) -> np.ndarray:
    """Return the place nearest to a start, within a square, where a name of some half width and height covers least."""
    steps = np.linspace(-12, 12, 49)[:, None]
    offsets = np.stack(np.meshgrid(0.25 * steps, steps), axis=-1).reshape(-1, 2) * half
    places = np.clip(start + offsets, middle - reach + half, middle + reach - half)
    covered = (np.abs(places[:, None] - taken) < half).all(axis=2).sum(axis=1)
    return places[np.lexsort((np.linalg.norm(places - start, axis=1), covered))[0]]


def _draw_legend(canvas: Axes, embedding: Embedding, top: float) -> None:
    characters = ", ".join(dict.fromkeys(embedding.who[embedding.who != HUMAN]))
    kinds = (("o", FAINT, "a human"), ("^", "none", f"a character ({characters})"))
    x = 0.06
    for marker, fill, said in kinds:
        canvas.add_line(Line2D([x], [top + 0.12], marker=marker, ms=4.5, mfc=fill, mec=INK, mew=0.5, ls=""))
        canvas.text(x + 0.08, top + 0.12, said, size=7, va="center_baseline")
        x += 0.75
    x = 0.06
    for label, name in enumerate(EXPRESSIONS):
        canvas.add_line(Line2D([x], [top + 0.3], marker="s", ms=4.5, color=EXPRESSION_COLOURS[label], ls=""))
        canvas.text(x + 0.08, top + 0.3, name, size=7, va="center_baseline")
        x += 0.75


def _note(embedding: Embedding) -> str:
    its = embedding.settings
    nearest = ", ".join(
        f"{share.mean():.0%} of the {k} nearest" if k > 1 else f"{share.mean():.0%} of the nearest"
        for k, share in embedding.shares.items()
    )
    return (
        f"t-SNE (perplexity {its['perplexity']:.0f}) of the root of the Jensen–Shannon divergence of FC6 normalised by "
        f"{its['normalisation']}; points drawn by lot (seed {its['seed']}), evenly over expressions and characters. "
        f"Among the characters’ points around a human’s, in the space itself, these have its expression: {nearest} "
        f"({embedding.chance.mean():.0%} by chance)."
    )
