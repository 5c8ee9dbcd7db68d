"""Opening what is looked at: a folder of registered faces, one of LMDBs, or what was rejected."""

import csv
import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmdb_builders import READERS, Record
from pydeepexpr.caffe.datum import datum_to_image
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.images import read_image

__all__ = ["FILTERS", "NAMES", "Album", "open_album"]

#: What images are chosen by, and the manifest's column that says it.
FILTERS = {
    "label": "expression",
    "database": "database",
    "subject": "subject",
    "split": "split",
    "fold": "fold",
    "face": "face",
    "character": "character",
    "flag": "quality",
}
#: How labels are called; −1 is the last.
NAMES = (*EXPRESSIONS, "unlabelled")

_NEEDED = {"path", "source", "database", "expression", "split"}
_COLUMNS = {*_NEEDED, *FILTERS.values(), "score", "fit_error", "landmarks", "transform", "key", "crop"}


@dataclass(frozen=True)
class Album:
    """The images of a folder.

    Attributes
    ----------
    folder : Path
    table : pyarrow.Table
        One row an image.
    picture : callable
        Returns a row's image, uint8 BGR; None where a rejected one cannot be read.
    kind : {"faces", "records", "rejects"}
        Registered faces, those of an LMDB, or what was rejected.
    """

    folder: Path
    table: pa.Table
    picture: Callable[[int], np.ndarray | None]
    kind: str

    def column(self, name: str) -> list:
        """Return a column as Python values.

        Raises
        ------
        UserError
            If there is none.
        """
        if name in self.table.column_names:
            return self.table[name].to_pylist()
        if self.kind == "rejects":
            raise UserError(f"of rejects no {name!r} is known")
        if name == "fold":
            raise UserError(f"{self.folder} has no folds; give a folder of tools/build_lmdb.py --split folds")
        if name == "reason":
            raise UserError("reasons are the rejects'; add --rejects")
        then = " and build the LMDB again" if self.kind == "records" else ""
        raise UserError(f"{self.folder} has no column {name!r}; register the folder anew with tools/register.py{then}")

    def words(self, what: str) -> list[list[str]]:
        """Return what each image has of `what`, one of `FILTERS` or "reason": a label, any number of flags …"""
        values = self.column(FILTERS.get(what, what))
        if what == "flag":
            return [flags or [] for flags in values]
        if what == "label":
            return [[NAMES[UNLABELLED if label is None else label]] for label in values]
        return [[str(value)] if value not in (None, "", -1) else [] for value in values]


def open_album(folder: str | os.PathLike, *, rejects: bool = False) -> Album:
    """Open a folder of tools/register.py or tools/build_lmdb.py, or the rejects of the former.

    Raises
    ------
    UserError
        If it is neither, or what is read of it is damaged.
    """
    folder = Path(folder)
    table = _read_manifest(folder)
    if "key" in table.column_names:
        if rejects:
            raise UserError(f"{folder} holds LMDBs, which know no rejects; give the registered folder")
        return Album(folder, table, _of_lmdbs(folder, table), "records")
    if rejects:
        run, table = _read_rejects(folder)
        return Album(folder, table, _of_database(run, table["source"].to_pylist()), "rejects")
    return Album(folder, table, _of_files(folder, table["path"].to_pylist()), "faces")


def _read_manifest(folder: Path) -> pa.Table:
    path = folder / "manifest.parquet"
    if not path.is_file():
        raise UserError(f"there is no {path}; give a folder that tools/register.py or tools/build_lmdb.py has made")
    anew = "register the folder anew with tools/register.py"
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            if missing := _NEEDED - names:
                raise UserError(f"{path} lacks {', '.join(sorted(missing))}; {anew}")
            table = file.read(columns=sorted(_COLUMNS & names))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not all(table["database"].unique().to_pylist()):
        raise UserError(f"{path} has rows without a database; {anew}")
    for label in table["expression"].unique().to_pylist():
        if label is not None and not UNLABELLED <= label < len(EXPRESSIONS):
            raise UserError(f"{path}: expression {label} is neither 0-{len(EXPRESSIONS) - 1} nor {UNLABELLED}")
    return table


def _read_rejects(folder: Path) -> tuple[dict[str, Any], pa.Table]:
    """Return what register.json says of the run, and the rejects as a table."""
    try:
        run = json.loads((folder / "register.json").read_text(encoding="utf-8"))
        database, _ = run["database"], run["root"]
        with open(folder / "rejects.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        labels = [row.get("expression") for row in rows]  # which old lists lack, like subjects
        columns = {
            "source": [row["path"] for row in rows],
            "reason": [row["reason"] for row in rows],
            "expression": pa.array([EXPRESSIONS.index(word) if word else UNLABELLED for word in labels], pa.int8()),
            "subject": [row.get("subject") or "" for row in rows],
            "database": [database] * len(rows),
        }
    except (OSError, ValueError, KeyError):
        raise UserError(f"{folder} has no readable rejects.csv and register.json; register the folder anew") from None
    return run, pa.table(columns)


def _of_files(folder: Path, paths: list[str]) -> Callable[[int], np.ndarray]:
    def picture(row: int) -> np.ndarray:
        try:
            return read_image(folder / paths[row])
        except UserError as error:
            raise UserError(f"{folder / paths[row]}: {error}; register the folder anew") from None

    return picture


def _of_lmdbs(folder: Path, table: pa.Table) -> Callable[[int], np.ndarray]:
    keys, splits = table["key"].to_pylist(), np.array(table["split"].to_pylist())
    places = np.zeros(len(splits), np.int64)
    for split in np.unique(splits):  # within each the rows stand in the order of the keys
        places[splits == split] = np.arange((splits == split).sum())
    source = functools.cache(lambda split: LmdbSource(folder / f"{split}_lmdb"))

    def picture(row: int) -> np.ndarray:
        key, datum = next(source(splits[row]).records(skip=int(places[row])), (b"", None))
        if key != keys[row].encode():
            raise UserError(f"{folder}: the manifest lists {keys[row]} where its LMDB does not; build it again")
        return datum_to_image(datum, cv2.IMREAD_COLOR)

    return picture


def _of_database(run: dict[str, Any], names: list[str]) -> Callable[[int], np.ndarray | None]:
    root = Path(run["root"])

    @functools.cache
    def records() -> dict[str, Record]:
        """Return those that are no files of their own: rows of a table, frames of a video."""
        wanted = set(names)
        items = READERS[run["database"]].read(root, **run.get("options", {}))
        return {item.name: item for item in items if item.name in wanted and isinstance(item, Record)}

    def picture(row: int) -> np.ndarray | None:
        try:
            if (root / names[row]).is_file():
                return read_image(root / names[row])
            return records()[names[row]].read()
        except (RuntimeError, OSError, KeyError, cv2.error):  # KeyError: neither a file nor a record
            return None

    return picture
