"""Folders of registered faces, as `tools/register.py` leaves them."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lmdb_builders.splits import SPLITS
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.files import sha256_of

__all__ = ["RegisteredFaces", "read_registered"]

_NEEDED = {
    "path": pa.string(),
    "source": pa.string(),
    "database": pa.string(),
    "subject": pa.string(),
    "sequence": pa.string(),
    "split": pa.string(),
    "expression": pa.int8(),
}
#: Columns that older or other manifests may lack, and what stands for them.
_OPTIONAL = {"frame": pa.scalar(-1, pa.int32()), "character": pa.scalar("")}


@dataclass(frozen=True)
class RegisteredFaces:
    """The rows of one or more registered folders, in their order.

    Attributes
    ----------
    table : pyarrow.Table
        The manifests, one after another.
    files : list of Path
        The image of each row.
    sources : list of dict
        For each folder: `folder` (its name), `rows`, `manifest_sha256`.
    """

    table: pa.Table
    files: list[Path]
    sources: list[dict[str, object]]

    def column(self, name: str) -> list:
        """Return one column as Python values."""
        return self.table[name].to_pylist()

    def take(self, indices: Sequence[int]) -> "RegisteredFaces":
        """Return the rows at `indices`, in that order; a row may stand there more than once."""
        rows = pa.array(indices, pa.int64())
        return RegisteredFaces(self.table.take(rows), [self.files[index] for index in indices], self.sources)


def read_registered(folders: Iterable[str | os.PathLike]) -> RegisteredFaces:
    """Read registered folders and check that their rows can be used.

    Raises
    ------
    UserError
        If a folder, its manifest, a column or an image is missing, a value is out of its range, or an image is
        listed twice.
    """
    folders = [Path(folder) for folder in folders]
    if not folders:
        raise UserError("no registered folder was given; make one with tools/register.py")
    for place, times in Counter(folder.resolve() for folder in folders).items():
        if times > 1:
            raise UserError(f"{place} is given {times} times; name each registered folder once")
    tables = [_read_manifest(folder) for folder in folders]
    files = [folder / path for folder, table in zip(folders, tables, strict=True) for path in table["path"].to_pylist()]
    sources = [
        {
            "folder": folder.resolve().name,
            "rows": table.num_rows,
            "manifest_sha256": sha256_of(folder / "manifest.parquet"),
        }
        for folder, table in zip(folders, tables, strict=True)
    ]
    try:
        table = pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise UserError(f"the manifests do not fit together: {_one_line(error)}; register the folders anew") from error
    return RegisteredFaces(table, files, sources)


def _read_manifest(folder: Path) -> pa.Table:
    """Read and check one folder's manifest; missing strings become empty ones, missing numbers -1."""
    path = folder / "manifest.parquet"
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; make it with tools/register.py")
    if not path.is_file():
        raise UserError(f"{folder} has no manifest.parquet; give a folder that tools/register.py has finished")
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no readable Parquet file: {_one_line(error)}") from error
    for name, kind in _NEEDED.items():
        table = _checked_column(table, name, kind, path)
    for name, value in _OPTIONAL.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value.as_py()] * len(table), value.type))
        table = _checked_column(table, name, value.type, path)
    _check_values(table, folder)
    return table


def _checked_column(table: pa.Table, name: str, kind: pa.DataType, path: Path) -> pa.Table:
    """Return `table` with the column `name` as `kind` and without nulls."""
    if table.column_names.count(name) != 1:
        raise UserError(f"{path} has no column {name!r}; register the folder anew with tools/register.py")
    index = table.column_names.index(name)
    try:
        column = table[name].cast(kind)
    except pa.ArrowException as error:
        raise UserError(f"{path}: the column {name!r} is not {kind}: {_one_line(error)}") from error
    column = pc.fill_null(column, "" if kind == pa.string() else -1)
    return table.set_column(index, name, column)


def _check_values(table: pa.Table, folder: Path) -> None:
    """Check labels, splits and images of one manifest."""
    path = folder / "manifest.parquet"
    for label in pc.unique(table["expression"]).to_pylist():
        if not UNLABELLED <= label < len(EXPRESSIONS):
            raise UserError(f"{path}: expression {label} is neither 0-{len(EXPRESSIONS) - 1} nor {UNLABELLED}")
    for split in pc.unique(table["split"]).to_pylist():
        if split and split not in SPLITS:
            raise UserError(f"{path}: the split {split!r} is none of {', '.join(SPLITS)}")
    images = table["path"].to_pylist()
    name, times = Counter(images).most_common(1)[0] if images else ("", 0)
    if times > 1:
        raise UserError(f"{path} lists {name} {times} times; register the folder anew with tools/register.py")
    missing = [image for image in images if not image or not (folder / image).is_file()]
    if missing:
        raise UserError(f"{len(missing)} of {len(images)} registered images are missing, first {folder / missing[0]}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
