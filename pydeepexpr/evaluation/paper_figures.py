"""Figures 4, 6, 7 and 8 of Aneja et al. 2016, drawn from whatever faces and characters there are.

Each is one call that `tools/figures.py` makes: it draws the figure and returns what is on it, ready for JSON.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.lot import draw_of_each
from pydeepexpr.evaluation.results import match_record, match_tile, ranked_by, settings_of, store_record
from pydeepexpr.evaluation.sheet import Panel, Tile, montage
from pydeepexpr.evaluation.stored_queries import StoredQuery, draw_queries, first_matches, open_retrievers
from pydeepexpr.evaluation.style import Paths, check_ending
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features import FeatureStore
from pydeepexpr.gallery import Gallery
from pydeepexpr.images import read_image
from pydeepexpr.pipeline import Match, Retriever
from pydeepexpr.retrieval import DEFAULT_NORMALISATION
from pydeepexpr.stores import open_stores

__all__ = ["best_figure", "comparison_figure", "faces_figure", "retrievals_figure"]

File = str | os.PathLike

_LETTERS = 7  # points of captions: larger than a sheet's, for print at the width of a page
_JUDGED = "Below a frame: its own expression, ✓ where it is the query’s and ✗ where not."


def faces_figure(folders: Sequence[File], path: Paths, *, seed: int = 2016) -> dict[str, Any]:
    """Draw registered faces: a row a database, or a character; a column an expression (figure 4).

    Parameters
    ----------
    folders : sequence of path
        Folders of `tools/register.py`. Of each database a face an expression is drawn by lot among those that were
        detected, or rendered with landmarks.
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    seed : int

    Raises
    ------
    UserError
        If a folder is not registered, an image is missing, or there is no labelled face at all.
    """
    check_ending(path)
    panels, rows = [], []
    for name, folder, faces in _databases(folders):
        drawn = {expression: faces[number] for expression, (number,) in draw_of_each(faces, 1, seed).items()}
        tiles = [_face_tile(folder, drawn.get(expression), label) for label, expression in enumerate(EXPRESSIONS)]
        if drawn:
            panels.append(Panel(None, None, tiles, name=name))
            faces_by_name = {expression: face["source"] for expression, face in drawn.items()}
            rows.append({"name": name, "folder": os.fspath(folder), "faces": faces_by_name})
    if not panels:
        raise UserError(f"no labelled face was registered in {', '.join(map(os.fspath, folders))}")
    montage(panels, path, headings=EXPRESSIONS)
    return {"figure": "faces", "seed": seed, "rows": rows}


def retrievals_figure(
    queries: File,
    character: File,
    path: Paths,
    *,
    expression: str = "joy",
    top: int = 10,
    seed: int = 2016,
    normalise: str = DEFAULT_NORMALISATION,
    siblings: bool = False,
) -> dict[str, Any]:
    """Draw what one query finds first, by Jensen–Shannon divergence and after the geometric sort (figure 6).

    Parameters
    ----------
    queries : path
        Feature store that the query is drawn from (`stored_queries.draw_queries`).
    character : path
        Feature store of the frames.
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    expression : str
        The query's.
    top : int
        How many frames.
    seed : int
    normalise : {'l1', 'softmax', 'class-weight'}
    siblings : bool
        Accept models that were both fine-tuned from a third (`lineage.check_kin`).

    Raises
    ------
    UserError
        If there is no such query, the models do not fit, or the store holds fewer frames.
    """
    check_ending(path)
    asked, stores = FeatureStore.open(queries), open_stores([character])
    ((name, retriever),) = open_retrievers(asked, stores, normalise, siblings=siblings).items()
    if not 1 <= top <= len(retriever.store):
        raise UserError(f"cannot show the first {top}: {retriever.store.path} holds {len(retriever.store)} images")
    (query,) = draw_queries(asked, seed, [expression]).values()
    found = first_matches(retriever, query, top, "js", "deepexpr")
    gallery = Gallery(retriever.store)
    tile = _query_tile(query, Gallery(asked))
    tiles = {by: [match_tile(match, gallery) for match in matches] for by, matches in found.items()}
    panels = [
        Panel(tile, asked.prob[query.row], tiles["js"], rows=(f"{name}, by Jensen–Shannon",)),
        Panel(None, None, tiles["deepexpr"], rows=(f"{name}, sorted by geometry",)),
    ]
    note = f"Number: rank; colour and bold word of a frame: predicted expression. {ranked_by(retriever)}"
    montage(panels, path, note=f"{note} {_drawn(seed)}")
    matches = {by: [match_record(match) for match in matches] for by, matches in found.items()}
    rows = [{"expression": expression, "query": _query_record(query), "matches": {name: matches}}]
    return _record("retrievals", asked, {name: retriever}, seed, rows)


def best_figure(
    queries: File,
    characters: Sequence[File],
    path: Paths,
    *,
    expressions: Sequence[str] = (),
    seed: int = 2016,
    normalise: str = DEFAULT_NORMALISATION,
    siblings: bool = False,
) -> dict[str, Any]:
    """Draw the best match of every character for a query of every expression (figure 7).

    Parameters
    ----------
    queries : path
        Feature store that a query an expression is drawn from (`stored_queries.draw_queries`).
    characters : sequence of path
        Feature store of each character's frames.
    path : path, or several
        PNG, JPEG, PDF or SVG by its ending.
    expressions : sequence of str
        Rows, from top to bottom; by default all of which there is a query.
    seed, normalise, siblings
        As `retrievals_figure` has them.

    Raises
    ------
    UserError
        If there is no such query, or the models do not fit.
    """
    rows = {"DeepExpr": "deepexpr"}
    return _matches_figure("best", rows, queries, characters, path, expressions, seed, normalise, siblings)


def comparison_figure(
    queries: File,
    characters: Sequence[File],
    path: Paths,
    *,
    expressions: Sequence[str] = ("disgust", "fear"),
    names: Sequence[str] = ("geometry", "DeepExpr"),
    seed: int = 2016,
    normalise: str = DEFAULT_NORMALISATION,
    siblings: bool = False,
) -> dict[str, Any]:
    """Draw each character's best match by geometry alone, and below it that of DeepExpr, for the same query (figure 8).

    Parameters
    ----------
    queries, characters, path, expressions, seed, normalise, siblings
        As `best_figure` has them.
    names : sequence of str
        What the two ways to rank are called.

    Raises
    ------
    UserError
        If there is no such query, or the models do not fit.
    """
    rows = dict(zip(names, ("geometry", "deepexpr"), strict=True))
    return _matches_figure("comparison", rows, queries, characters, path, expressions, seed, normalise, siblings)


def _matches_figure(
    figure: str,
    ranked: Mapping[str, str],
    queries: File,
    characters: Sequence[File],
    path: Paths,
    expressions: Sequence[str],
    seed: int,
    normalise: str,
    siblings: bool,
) -> dict[str, Any]:
    """Draw a panel a query, in it a line a ranking (its name to that of `RANKINGS`), in that a match a character."""
    check_ending(path)
    asked, stores = FeatureStore.open(queries), open_stores(characters)
    retrievers = open_retrievers(asked, stores, normalise, siblings=siblings)
    pictures, galleries = Gallery(asked), {name: Gallery(store) for name, store in stores.items()}
    panels, rows = [], []
    for expression, query in draw_queries(asked, seed, expressions).items():
        found = {name: first_matches(one, query, 1, *ranked.values()) for name, one in retrievers.items()}
        tiles = [_judged_tile(found[name][by], query, galleries[name]) for by in ranked.values() for name in stores]
        named = tuple(ranked) if len(ranked) > 1 else ()
        panels.append(Panel(_query_tile(query, pictures), None, tiles, expression, named))
        matches = {
            name: {by: [match_record(match) for match in matches] for by, matches in its.items()}
            for name, its in found.items()
        }
        rows.append({"expression": expression, "query": _query_record(query), "matches": matches})
    note = f"{_JUDGED} {ranked_by(next(iter(retrievers.values())), shows_phi=False)} {_drawn(seed)}"
    montage(panels, path, headings=list(stores), note=note, letters=_LETTERS)
    return _record(figure, asked, retrievers, seed, rows)


def _databases(folders: Sequence[File]) -> list[tuple[str, Path, list[dict[str, Any]]]]:
    """Return each database, or character, of registered folders: its name, the folder, the rows of its faces."""
    found: dict[tuple[str, Path], list[dict[str, Any]]] = {}
    for folder in map(Path, folders):
        manifest = folder / "manifest.parquet"
        columns = ["path", "source", "expression", "database", "character", "subject", "face"]
        try:
            rows = pq.read_table(manifest, columns=columns, partitioning=None).to_pylist()
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"cannot read {manifest}: {reason}; register the images with tools/register.py") from None
        for row in rows:
            if row["face"] in ("detected", "rendered"):
                # A folder of images is a database of its own, by its own name.
                name = row["character"] or (row["database"] if row["database"] != "folder" else folder.resolve().name)
                found.setdefault((name, folder), []).append(row)
    return [(name, folder, rows) for (name, folder), rows in found.items()]


def _face_tile(folder: Path, row: Mapping[str, Any] | None, label: int) -> Tile | None:
    if row is None:
        return None
    file = folder / row["path"]
    try:
        return Tile(read_image(file), label)
    except (OSError, UserError) as error:
        raise UserError(f"cannot read the face {file}: {error}; register its folder again") from None


def _query_tile(query: StoredQuery, gallery: Gallery) -> Tile:
    lines = (f"query: {EXPRESSIONS[query.label]}", f"predicted: {EXPRESSIONS[query.predicted]}")
    return Tile(gallery.face(query.row), query.label, lines=lines, name=os.path.basename(query.name))


def _judged_tile(matches: Sequence[Match], query: StoredQuery, gallery: Gallery) -> Tile | None:
    """Return a best match with its own expression, and whether that is the query's; None where nothing was ranked."""
    if not matches:
        return None
    (match,) = matches
    known = match.label >= 0
    said = f"{'✓' if match.label == query.label else '✗'} {EXPRESSIONS[match.label]}" if known else "not labelled"
    name = os.path.basename(match.source or match.key)
    return Tile(gallery.face(match.row), match.label, lines=(said,), name=name)


def _query_record(query: StoredQuery) -> dict[str, Any]:
    predicted = EXPRESSIONS[query.predicted]
    return {"name": query.name, "row": query.row, "label": EXPRESSIONS[query.label], "predicted": predicted}


def _record(
    figure: str, queries: FeatureStore, retrievers: Mapping[str, Retriever], seed: int, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "figure": figure,
        "seed": seed,
        **settings_of(next(iter(retrievers.values()))),
        "queries": os.fspath(queries.path),
        "stores": {name: store_record(retriever) for name, retriever in retrievers.items()},
        "rows": rows,
    }


def _drawn(seed: int) -> str:
    return f"Queries drawn by lot (seed {seed})."
