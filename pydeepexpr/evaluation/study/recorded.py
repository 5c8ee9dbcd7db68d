"""What characters returned for photographs, as `tools/retrieve.py --json` recorded it, for studies to be drawn from."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.origin import origin_of
from pydeepexpr.evaluation.score import mid_ranks
from pydeepexpr.evaluation.stored_queries import RANKINGS
from pydeepexpr.evaluation.study.retrieved import Asked, Retrieved, Source, face_of
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features import FeatureStore
from pydeepexpr.files import read_json
from pydeepexpr.gallery import Gallery
from pydeepexpr.images import read_image

__all__ = ["from_results"]

_DECIDES = ("model", "normalisation", "alpha", "beta", "sort_by", "within")

_MARGIN = 0.35  # of the face's box on each side: a detected face ends at the brows

_Record = Mapping[str, Any]


def from_results(paths: Sequence[str | os.PathLike]) -> Source:
    """Return the queries and matches that `tools/retrieve.py --json` recorded.

    A query's label is the expression that its network predicted, for no other is known. The stores are opened for the
    pictures of the matches, the photographs for those of the queries, which are cropped around the face.

    Parameters
    ----------
    paths : sequence of path
        Records of the same stores, model and settings.

    Raises
    ------
    UserError
        If a record cannot be read, holds no query, does not fit the first one, or its store is missing or was replaced.
    """
    if not paths:
        raise UserError("no results were given; write some with tools/retrieve.py --json")
    records = [_read_record(path) for path in paths]
    for path, record in zip(paths, records, strict=True):
        for name in (*_DECIDES, "stores"):
            if record[name] != records[0][name]:
                raise UserError(f"{os.fspath(path)} differs from {os.fspath(paths[0])} in {name}; draw from one alone")
    stores = {name: FeatureStore.open(path) for name, path in _store_paths(records[0]["stores"], paths[0]).items()}
    galleries = {name: Gallery(store) for name, store in stores.items()}
    queries, answers = [], []
    for path, record in zip(paths, records, strict=True):
        try:
            for query in record["queries"]:
                left, top, right, bottom = map(float, query["box"])
                load = partial(_photographed_face, query["name"], left, top, right, bottom)
                queries.append(Asked(query["name"], "", EXPRESSIONS.index(query["predicted"]), load))
                matches = query["matches"]
                answers.append({name: _retrieved(matches[name], stores[name], galleries[name]) for name in stores})
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise UserError(f"{os.fspath(path)} is damaged; write it again with tools/retrieve.py --json") from None
    settings = {"origin": origin_of(f"{len(queries):,} photographs", stores.values())}
    settings |= {name: records[0][name] for name in (*_DECIDES, "stores")} | {"query_labels": "predicted"}
    return _Recorded(queries, list(stores), settings, answers)


@dataclass(frozen=True)
class _Recorded:
    queries: Sequence[Asked]
    characters: Sequence[str]
    settings: Mapping[str, Any]
    answers: Sequence[Mapping[str, Retrieved]]

    def retrieve(self, query: int, character: str) -> Retrieved:
        return self.answers[query][character]


def _read_record(path: str | os.PathLike) -> dict[str, Any]:
    """Return a record as one of several stores has it, whether it is of one or of several."""
    name = os.fspath(path)
    record = read_json(path, "what tools/retrieve.py --json wrote")
    try:
        if "store" in record:
            only = Path(record["store"]["path"]).name
            record["stores"] = {only: record["store"]}
            record["queries"] = [{**query, "matches": {only: query["matches"]}} for query in record["queries"]]
        taken = {part: record[part] for part in (*_DECIDES, "stores", "queries")}
    except (KeyError, TypeError):
        raise UserError(f"{name} records no retrieval; give what tools/retrieve.py --json wrote") from None
    if not taken["queries"]:
        raise UserError(f"{name} holds no query; ask with another photograph (tools/retrieve.py)")
    return taken


def _store_paths(stores: Mapping[str, _Record], path: str | os.PathLike) -> dict[str, str]:
    try:
        return {name: store["path"] for name, store in stores.items()}
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{os.fspath(path)} is damaged; write it again with tools/retrieve.py --json") from None


def _retrieved(matches: Sequence[_Record], store: FeatureStore, gallery: Gallery) -> Retrieved:
    rows, sources = [match["row"] for match in matches], [match["source"] for match in matches]
    if not all(0 <= row < len(store) for row in rows) or store.rows["source"].take(rows).to_pylist() != sources:
        raise UserError(f"{store.path} is not the store that the matches came from; retrieve again (tools/retrieve.py)")
    distances = [[_number(match[name]) for match in matches] for name in ("js", "geometric")]
    js, geometry = mid_ranks(np.array(distances))
    places = np.array([float(match["rank"]) for match in matches])
    return Retrieved(
        sources,
        np.array([EXPRESSIONS.index(match["label"] or match["predicted"]) for match in matches], dtype=int),
        dict(zip(RANKINGS, (places, js, geometry), strict=True)),
        lambda place: face_of(gallery, store, rows[place]),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _photographed_face(path: str, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Return a photograph's face, with a margin around the box in which it was detected."""
    try:
        image = read_image(path)
    except UserError as error:
        raise UserError(f"cannot show the photograph {path}: {error}") from None
    height, width = image.shape[:2]
    margin = _MARGIN * max(right - left, bottom - top)
    rows = slice(max(0, round(top - margin)), min(height, round(bottom + margin)))
    columns = slice(max(0, round(left - margin)), min(width, round(right + margin)))
    face = image[rows, columns]
    if not face.size:
        raise UserError(f"the photograph {path} is not the one that was asked with; retrieve again (tools/retrieve.py)")
    return face
