"""What was retrieved for photographs, as a table to read, a record to keep and a sheet to look at."""

import math
import os
from collections.abc import Sequence
from typing import Any

from pydeepexpr.evaluation.sheet import Panel, Tile, montage
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import provenance
from pydeepexpr.gallery import Gallery
from pydeepexpr.pipeline import Match, Query, Retriever

__all__ = ["Result", "draw_sheet", "record_of", "table_of"]

Result = tuple[Query, list[Match]]


def table_of(query: Query, matches: Sequence[Match]) -> str:
    """Return a query's matches as a table for a terminal."""
    head = f"{query.name}: {EXPRESSIONS[query.predicted]} ({query.prob[query.predicted]:.2f})"
    if query.stand_in:
        head += ", no face found: the whole image taken, no geometry"
    if query.others:
        head += f", the best of {query.others + 1} faces"
    lines = [head, "rank  JS rank  JS      geometric  φ       predicted  labelled   image"]
    for match in matches:
        distances = f"{match.divergence:.4f}  {_number(match.geometric):9}  {_number(match.phi):6}"
        labels = f"{EXPRESSIONS[match.predicted]:9}  {_label(match.label):9}"
        lines.append(f"{match.rank:4}  {match.js_rank:7}  {distances}  {labels}  {match.source}")
    return "\n".join(lines)


def record_of(retriever: Retriever, results: Sequence[Result]) -> dict[str, Any]:
    """Return everything about a retrieval, ready for JSON: unknown distances and labels are null."""
    store, model = retriever.store, retriever.recogniser.identity
    return {
        "model": {"name": model.name, "sha256": model.sha256},
        "store": {"path": os.fspath(store.path), "rows": len(store), "model": store.meta["model"]},
        "normalisation": retriever.how,
        "alpha": retriever.alpha,
        "beta": retriever.beta,
        "sort_by": retriever.sort_by if retriever.beta else None,
        "queries": [
            {
                "name": query.name,
                "predicted": EXPRESSIONS[query.predicted],
                "probabilities": {name: float(p) for name, p in zip(EXPRESSIONS, query.prob, strict=True)},
                "box": [float(edge) for edge in query.box],
                "geometry": [_or_none(measure) for measure in query.geometry],
                "stand_in": query.stand_in,
                "faces": query.others + 1,
                "matches": [_match_record(match) for match in matches],
            }
            for query, matches in results
        ],
        "provenance": provenance(),
    }


def draw_sheet(
    retriever: Retriever, results: Sequence[Result], path: str | os.PathLike, gallery: Gallery | None = None
) -> None:
    """Draw a contact sheet: each query with its matches, their ranks, labels and distances.

    Parameters
    ----------
    retriever : Retriever
        What the matches came from.
    results : sequence of (Query, list of Match)
    path : path
        PNG, JPEG, PDF or SVG by its ending.
    gallery : Gallery, optional
        Where the matched faces are. Without it, and for a face that is missing, cards with file names are drawn.
    """
    panels = []
    for query, matches in results:
        tiles = [_tile(match, gallery.face(match.row) if gallery else None) for match in matches]
        name = os.path.basename(query.name)
        lines = (f"{EXPRESSIONS[query.predicted]}  {query.prob[query.predicted]:.2f}", _shorten(name, 30))
        panels.append(Panel(Tile(query.face, query.predicted, lines=lines, name=name), query.prob, tiles))
    montage(panels, path, note=_note(retriever))


def _tile(match: Match, face: Any) -> Tile:
    lines = (
        EXPRESSIONS[match.predicted],
        f"JS {match.divergence:.4f}   geo {_number(match.geometric, 3)}",
        f"φ {_number(match.phi)}   JS rank {match.js_rank}",
    )
    aside = f"true: {EXPRESSIONS[match.label]}" if match.label >= 0 else ""
    return Tile(face, match.predicted, str(match.rank), lines, aside, os.path.basename(match.source or match.key))


def _note(retriever: Retriever) -> str:
    said = f"Colour and bold word: predicted expression. FC6 normalised by {retriever.how}, ranked by Jensen–Shannon"
    if not retriever.beta:
        return f"{said} divergence alone."
    key = "geometric distance" if retriever.sort_by == "geometric" else "φ"
    weights = f"φ = {retriever.alpha:g}·JS + {retriever.beta:g}·geo"
    return f"{said}; matches of the query’s predicted expression re-sorted by {key}. {weights}."


def _match_record(match: Match) -> dict[str, Any]:
    return {
        "rank": match.rank,
        "js_rank": match.js_rank,
        "row": match.row,
        "js": match.divergence,
        "geometric": _or_none(match.geometric),
        "phi": _or_none(match.phi),
        "predicted": EXPRESSIONS[match.predicted],
        "label": EXPRESSIONS[match.label] if match.label >= 0 else None,
        "key": match.key,
        "path": match.path,
        "source": match.source,
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _number(value: float, digits: int = 4) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _label(label: int) -> str:
    return EXPRESSIONS[label] if label >= 0 else "–"


def _shorten(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 13]}…{name[-12:]}"
