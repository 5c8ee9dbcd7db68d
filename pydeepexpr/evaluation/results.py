"""What was retrieved for photographs, as a table to read, a record to keep and a sheet to look at."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydeepexpr.evaluation.sheet import Panel, Tile, montage
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces import confidence
from pydeepexpr.files import provenance
from pydeepexpr.gallery import Gallery
from pydeepexpr.pipeline import Match, Query, Retriever

__all__ = [
    "CastResult",
    "Result",
    "draw_cast_sheet",
    "draw_sheet",
    "match_record",
    "match_tile",
    "ranked_by",
    "record_of",
    "record_of_cast",
    "settings_of",
    "store_record",
    "table_of",
    "table_of_cast",
]

#: A query and its best matches in one store.
Result = tuple[Query, list[Match]]

#: A query and its best matches in each of several stores, by the store's name.
CastResult = tuple[Query, dict[str, list[Match]]]


def table_of(query: Query, matches: Sequence[Match]) -> str:
    """Return a query's matches as a table for a terminal."""
    return "\n".join([_headline(query), _COLUMNS, *(_line(match) for match in matches)])


def table_of_cast(query: Query, found: Mapping[str, Sequence[Match]]) -> str:
    """Return a query's matches in several stores as one table for a terminal."""
    wide = max(map(len, [*found, "store"]))
    lines = [_headline(query), f"{'store':{wide}}  {_COLUMNS}"]
    lines += [f"{name:{wide}}  {_line(match)}" for name, matches in found.items() for match in matches]
    return "\n".join(lines)


def record_of(retriever: Retriever, results: Sequence[Result]) -> dict[str, Any]:
    """Return everything about a retrieval, ready for JSON: unknown distances and labels are null."""
    return {
        **settings_of(retriever),
        "store": store_record(retriever),
        "queries": [
            {**_query_record(query), "matches": [match_record(match) for match in matches]}
            for query, matches in results
        ],
        "provenance": provenance(),
    }


def record_of_cast(retrievers: Mapping[str, Retriever], results: Sequence[CastResult]) -> dict[str, Any]:
    """Return the same about a retrieval from several stores: `stores` and each query's `matches` go by their names.

    Parameters
    ----------
    retrievers : mapping of str to Retriever
        One a store, with the same model and settings.
    results : sequence of (Query, dict of str to list of Match)
    """
    return {
        **settings_of(next(iter(retrievers.values()))),
        "stores": {name: store_record(retriever) for name, retriever in retrievers.items()},
        "queries": [
            {
                **_query_record(query),
                "matches": {name: [match_record(match) for match in matches] for name, matches in found.items()},
            }
            for query, found in results
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
    panels = [
        Panel(_query_tile(query, 30), query.prob, [match_tile(match, gallery) for match in matches])
        for query, matches in results
    ]
    montage(panels, path, note=_note(retriever))


def draw_cast_sheet(
    retrievers: Mapping[str, Retriever],
    results: Sequence[CastResult],
    path: str | os.PathLike,
    galleries: Mapping[str, Gallery] | None = None,
) -> None:
    """Draw a sheet as figure 7 of Aneja et al. 2016: a row a query, a column a store, the best match on top.

    Parameters
    ----------
    retrievers : mapping of str to Retriever
        One a store; the names stand above the columns.
    results : sequence of (Query, dict of str to list of Match)
        Equally many matches each.
    path : path
        PNG, JPEG, PDF or SVG by its ending.
    galleries : mapping of str to Gallery, optional
        Where the matched faces are. Without it, and for a face that is missing, cards with file names are drawn.
    """
    panels = []
    for query, found in results:
        ranks = zip(*(found[name] for name in retrievers), strict=True)
        tiles = [
            match_tile(match, galleries[name] if galleries else None, lines=2, badge=len(found[name]) > 1)
            for matches in ranks
            for name, match in zip(retrievers, matches, strict=True)
        ]
        panels.append(Panel(_query_tile(query, 24), None, tiles))
    headings = [_shorten(name, 15, 5) for name in retrievers]
    montage(panels, path, headings=headings, note=_note(next(iter(retrievers.values())), shows_phi=False))


def _query_tile(query: Query, letters: int) -> Tile:
    name = os.path.basename(query.name)
    if query.number:
        name = f"face {query.number + 1} of {name}"
    lines = (f"{EXPRESSIONS[query.predicted]}  {query.prob[query.predicted]:.2f}", _shorten(name, letters))
    return Tile(query.face, query.predicted, lines=lines, name=name)


def match_tile(match: Match, gallery: Gallery | None, lines: int = 3, badge: bool = True) -> Tile:
    """Return a match as a sheet shows it: its picture, its rank, and up to three lines about it."""
    said = (
        EXPRESSIONS[match.predicted],
        f"JS {match.divergence:.4f}   geo {_number(match.geometric, 3)}",
        f"φ {_number(match.phi)}   JS rank {match.js_rank}",
    )
    face = gallery.face(match.row) if gallery else None
    aside = f"true: {EXPRESSIONS[match.label]}" if match.label >= 0 else ""
    name = os.path.basename(match.source or match.key)
    return Tile(face, match.predicted, str(match.rank) if badge else "", said[:lines], aside, name)


def _note(retriever: Retriever, shows_phi: bool = True) -> str:
    return f"Colour and bold word: predicted expression. {ranked_by(retriever, shows_phi)}"


def ranked_by(retriever: Retriever, shows_phi: bool = True) -> str:
    """Say how a retriever ranks, for a figure's small print; what φ is where it counts or is shown."""
    said = f"FC6 normalised by {retriever.how}, ranked by Jensen–Shannon"
    if not retriever.beta:
        return f"{said} divergence alone."
    key = "geometric distance" if retriever.sort_by == "geometric" else "φ"
    reach = "matches of the query’s predicted expression" if retriever.within == "label" else "all"
    said += f"; {reach} re-sorted by {key}."
    if shows_phi or retriever.sort_by == "phi":
        said += f" φ = {retriever.alpha:g}·JS + {retriever.beta:g}·geo."
    return said


_DOUBTFUL = 0.8  # confidence: below, what dlib takes for a face often is none
_POOR_FIT = 11.0  # pixels of the registered face: beyond, landmarks are not to be trusted

_COLUMNS = "rank  JS rank  JS      geometric  φ       predicted  labelled   image"


def _line(match: Match) -> str:
    distances = f"{match.divergence:.4f}  {_number(match.geometric):9}  {_number(match.phi):6}"
    labels = f"{EXPRESSIONS[match.predicted]:9}  {_label(match.label):9}"
    return f"{match.rank:4}  {match.js_rank:7}  {distances}  {labels}  {match.source}"


def _headline(query: Query) -> str:
    said = f"{query.name}: {EXPRESSIONS[query.predicted]} ({query.prob[query.predicted]:.2f})"
    if query.stand_in:
        said += ", no face found: the whole image taken, no geometry"
    if query.others:
        count = query.others + 1
        said += f", face {query.number + 1} of {count}" if query.number else f", the best of {count} faces"
    if confidence(query.score) < _DOUBTFUL:  # not where nothing was detected: then it is NaN
        said += f", doubtful: the detector's confidence is {confidence(query.score):.2f}"
    if query.fit_error > _POOR_FIT:
        said += f", doubtful: the landmarks lie {query.fit_error:.0f} pixels beside a frontal face's"
    return said


def settings_of(retriever: Retriever) -> dict[str, Any]:
    """Return what decides about a ranking, ready for JSON."""
    model = retriever.recogniser.identity
    return {
        "model": {"name": model.name, "sha256": model.sha256},
        "normalisation": retriever.how,
        "alpha": retriever.alpha,
        "beta": retriever.beta,
        "sort_by": retriever.sort_by if retriever.beta else None,
        "within": retriever.within if retriever.beta else None,
    }


def store_record(retriever: Retriever) -> dict[str, Any]:
    """Return which store is searched and what made it, ready for JSON."""
    store = retriever.store
    return {"path": os.fspath(store.path), "rows": len(store), "models": [model.record() for model in store.models]}


def _query_record(query: Query) -> dict[str, Any]:
    return {
        "name": query.name,
        "predicted": EXPRESSIONS[query.predicted],
        "probabilities": {name: float(p) for name, p in zip(EXPRESSIONS, query.prob, strict=True)},
        "box": [float(edge) for edge in query.box],
        "geometry": [_or_none(measure) for measure in query.geometry],
        "confidence": _or_none(confidence(query.score)),
        "fit_error": _or_none(query.fit_error),
        "stand_in": query.stand_in,
        "face": query.number,
        "faces": query.others + 1,
    }


def match_record(match: Match) -> dict[str, Any]:
    """Return everything about a match, ready for JSON: an unknown distance or label is null."""
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


def _shorten(name: str, most: int, tail: int = 12) -> str:
    return name if len(name) <= most else f"{name[: most - tail - 1]}…{name[-tail:]}"
