"""Answers as a table, written as a stream: CSV or Parquet, columns called as OpenFace calls them (docs/video.md)."""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces import NUM_LANDMARKS, confidence
from pydeepexpr.files import atomic_file
from pydeepexpr.performance import Answer, Moment
from pydeepexpr.pipeline import Match, Query

__all__ = ["TABLE_COLUMNS", "TableWriter", "check_table_ending", "write_table"]

_BOX = ("left", "top", "right", "bottom")
_ROWS_AT_ONCE = 1024

#: The columns, in order.
TABLE_COLUMNS = pa.schema(
    [
        ("filename", pa.string()),
        ("frame", pa.int32()),
        ("face_id", pa.int32()),
        ("timestamp", pa.float64()),
        ("confidence", pa.float32()),
        ("success", pa.int8()),
        *((f"box_{edge}", pa.float32()) for edge in _BOX),
        *((f"x_{number}", pa.float32()) for number in range(NUM_LANDMARKS)),
        *((f"y_{number}", pa.float32()) for number in range(NUM_LANDMARKS)),
        ("predicted", pa.string()),
        *((name, pa.float32()) for name in EXPRESSIONS),
        ("store", pa.string()),
        ("rank", pa.int32()),
        ("js_rank", pa.int32()),
        ("js", pa.float64()),
        ("geometric", pa.float64()),
        ("phi", pa.float64()),
        ("match_predicted", pa.string()),
        ("match_label", pa.string()),
        ("match_row", pa.int64()),
        ("match_key", pa.string()),
        ("match_path", pa.string()),
        ("match_source", pa.string()),
    ]
)


def check_table_ending(path: str | os.PathLike) -> None:
    """Refuse a name that says no format, before any work is done."""
    if Path(path).suffix.lower() not in _WRITERS:
        raise UserError(f"cannot write the table {os.fspath(path)}; end the name in one of: {', '.join(_WRITERS)}")


@contextlib.contextmanager
def write_table(path: str | os.PathLike, settings: Mapping[str, Any]) -> "Iterator[TableWriter]":
    """Yield a table to append to; the file is whole or absent.

    Parameters
    ----------
    path : path
        Ends in `.csv` or `.parquet`.
    settings : mapping
        What made the table, as JSON can hold it: Parquet keeps it in the schema's metadata, under `pydeepexpr`.
    """
    check_table_ending(path)
    schema = TABLE_COLUMNS.with_metadata({"pydeepexpr": json.dumps(settings)})
    with atomic_file(path) as partial, _WRITERS[Path(path).suffix.lower()](partial, schema) as file:
        table = TableWriter(file)
        yield table
        table.flush()


_WRITERS = {".csv": pa.csv.CSVWriter, ".parquet": pa.parquet.ParquetWriter}


class TableWriter:
    """Appends to a table; made by `write_table`."""

    def __init__(self, file: "pa.csv.CSVWriter | pa.parquet.ParquetWriter") -> None:
        self._file = file
        self._waiting: list[dict[str, Any]] = []

    def append(self, name: str, moment: Moment) -> None:
        """Append a frame: a row a match, one row without a face.

        Parameters
        ----------
        name : str
            Of the file, or of the camera.
        moment : Moment
        """
        frame = {"filename": name, "frame": moment.frame.number, "timestamp": _known(moment.frame.time)}
        rows = [frame | row for answer in moment.answers for row in _rows(answer)]
        self._waiting += rows or [frame | {"confidence": 0.0, "success": 0}]
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        if self._waiting:
            self._file.write_table(pa.Table.from_pylist(self._waiting, schema=TABLE_COLUMNS))
            self._waiting.clear()


def _rows(answer: Answer) -> Iterator[dict[str, Any]]:
    face = _face_columns(answer.query)
    for store, matches in answer.matches.items():
        for match in matches:
            yield face | {"store": store} | _match_columns(match)


def _face_columns(query: Query) -> dict[str, Any]:
    """Return what is known of the face; of a stand-in no place, for it was not found."""
    columns = {"face_id": query.number, "predicted": EXPRESSIONS[query.predicted]}
    columns |= zip(EXPRESSIONS, query.prob.tolist(), strict=True)
    if query.stand_in:
        return columns | {"confidence": 0.0, "success": 0}
    columns |= {"confidence": confidence(query.score), "success": 1}
    columns |= {f"box_{edge}": float(value) for edge, value in zip(_BOX, query.box, strict=True)}
    for number, (x, y) in enumerate(query.landmarks.tolist()):
        columns |= {f"x_{number}": x, f"y_{number}": y}
    return columns


def _match_columns(match: Match) -> dict[str, Any]:
    return {
        "rank": match.rank,
        "js_rank": match.js_rank,
        "js": match.divergence,
        "geometric": _known(match.geometric),
        "phi": _known(match.phi),
        "match_predicted": EXPRESSIONS[match.predicted],
        "match_label": EXPRESSIONS[match.label] if match.label >= 0 else None,
        "match_row": match.row,
        "match_key": match.key,
        "match_path": match.path,
        "match_source": match.source,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
